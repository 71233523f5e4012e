//! Lists of durations, each in a quarter of a byte and one to four more: Stream VByte (D. Lemire, N. Kurz, C. Rupp: Stream
//! VByte: faster byte-oriented integer compression, 2018, <https://arxiv.org/abs/1709.08990>). First the lengths, less
//! one, in two bits each, the lowest first; then the numbers, the lowest byte first. A number is 0 where there is no
//! duration, else one more than its microseconds.
//!
//! Reading does without a branch that depends on what is read: lengths of two and three bytes alternate at random here,
//! and a processor that guesses wrong at every other number takes many times as long.

use super::FormatError;

/// What stands for no duration in a decoded list.
pub const NONE: i32 = -1;

/// The duration of an entry of a decoded list.
#[must_use]
pub fn duration(entry: i32) -> Option<i32> {
    (entry != NONE).then_some(entry)
}

/// The bytes of a list.
pub(super) fn encode(durations: impl Iterator<Item = Option<i32>>) -> Vec<u8> {
    let mut data = Vec::new();
    let mut lengths = Vec::new();
    for (place, duration) in durations.enumerate() {
        let number = duration.map_or(0, |micros| micros.max(0).unsigned_abs() + 1);
        let length = 4 - (number | 1).leading_zeros() / 8;
        if place % 4 == 0 {
            lengths.push(0);
        }
        if let Some(lengths) = lengths.last_mut() {
            *lengths |= (length as u8 - 1) << (place % 4 * 2);
        }
        data.extend(number.to_le_bytes().iter().take(length as usize));
    }
    lengths.append(&mut data);
    lengths
}

/// The entries of a list of so many: microseconds, or [`NONE`].
pub(super) fn decode(form: &'static str, bytes: &[u8], count: usize) -> Result<Vec<i32>, FormatError> {
    let damaged = |reason| Err(FormatError::Damaged { form, reason });
    let Some((lengths, mut data)) = bytes.split_at_checked(count.div_ceil(4)) else {
        return damaged("a list of durations breaks off");
    };
    let mut entries = Vec::with_capacity(count + 3);
    let mut lowest = 0;
    for (group, &lengths) in lengths.iter().enumerate() {
        for pair in [0, 2] {
            let left = count.saturating_sub(group * 4 + pair).min(2);
            // Eight bytes have both numbers of a pair.
            let word = match data.first_chunk() {
                Some(bytes) => u64::from_le_bytes(*bytes),
                None => data.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
            };
            let [first, second] = [lengths >> (pair * 2), lengths >> (pair * 2 + 2)].map(|length| (length & 3) + 1);
            let number = |shift: u8, length: u8| (word >> (shift * 8) & u64::MAX >> (64 - length * 8)) as u32;
            for number in [number(0, first), number(first, second)].into_iter().take(left) {
                let entry = number.wrapping_sub(1).cast_signed();
                lowest = lowest.min(entry);
                entries.push(entry);
            }
            let length = [0, first, first + second].get(left).copied().unwrap_or_default();
            let Some(rest) = data.get(length.into()..) else { return damaged("a list of durations breaks off") };
            data = rest;
        }
    }
    if !data.is_empty() {
        return damaged("bytes are left over");
    }
    if lowest < NONE {
        return damaged("a duration is out of range");
    }
    Ok(entries)
}
