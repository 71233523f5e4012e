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
    let mut entries = Vec::with_capacity(lengths.len() * 4);
    for (place, &lengths) in lengths.iter().enumerate() {
        let (group, length) = match data.first_chunk() {
            Some(bytes) => decode_group(lengths, bytes),
            None => {
                let mut bytes = [0; 16];
                bytes.iter_mut().zip(data).for_each(|(byte, &there)| *byte = there);
                decode_group(lengths, &bytes)
            }
        };
        entries.extend_from_slice(&group);
        // The last group may be short; its lengths are 0, that is one byte, where there is no number.
        let missing = 4 - (count - place * 4).min(4);
        let Some(rest) = data.get(length - missing..) else { return damaged("a list of durations breaks off") };
        data = rest;
    }
    entries.truncate(count);
    if !data.is_empty() {
        return damaged("bytes are left over");
    }
    if entries.iter().fold(NONE, |lowest, &entry| lowest.min(entry)) < NONE {
        return damaged("a duration is out of range");
    }
    Ok(entries)
}

/// Four numbers, and how many bytes they have. Two of them are in eight bytes at most.
#[inline]
fn decode_group(lengths: u8, bytes: &[u8; 16]) -> ([i32; 4], usize) {
    let [a, b, c, d] = [0, 2, 4, 6].map(|shift| usize::from(lengths >> shift & 3) + 1);
    let word = |start: usize| {
        let bytes = bytes.get(start..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    };
    let entry =
        |word: u64, length: usize| ((word & u64::MAX >> (64 - length * 8)) as u32).wrapping_sub(1).cast_signed();
    let (one, other) = (word(0), word(a + b));
    ([entry(one, a), entry(one >> (a * 8), b), entry(other, c), entry(other >> (c * 8), d)], a + b + c + d)
}
