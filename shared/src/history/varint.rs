//! Variable-length integers: LEB128, seven bits a byte, the lowest first, the high bit set on all but the last; signed
//! ones in zigzag order. Both as in Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>).

use super::FormatError;

/// Appends `value` in one to ten bytes.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a signed value; small magnitudes of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Appends a count and as many bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of some bytes; whatever they are, it ends in a value or an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'bytes> {
    form: &'static str,
    bytes: &'bytes [u8],
}

impl<'bytes> Reader<'bytes> {
    /// Reads bytes that begin with the version byte 1.
    pub(super) fn new(form: &'static str, bytes: &'bytes [u8]) -> Result<Self, FormatError> {
        Self::versioned(form, 1, bytes).map(|(_, reader)| reader)
    }

    /// Reads bytes that begin with the byte of a version up to the newest.
    pub(super) fn versioned(form: &'static str, newest: u8, bytes: &'bytes [u8]) -> Result<(u8, Self), FormatError> {
        match bytes.split_first() {
            Some((&version, bytes)) if (1..=newest).contains(&version) => Ok((version, Self { form, bytes })),
            Some((&version, _)) => Err(FormatError::UnknownVersion { form, version }),
            None => Err(FormatError::Damaged { form, reason: "it is empty" }),
        }
    }

    pub(super) fn damaged<T>(&self, reason: &'static str) -> Result<T, FormatError> {
        Err(FormatError::Damaged { form: self.form, reason })
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next unsigned value.
    #[inline]
    pub(super) fn take(&mut self) -> Result<u64, FormatError> {
        // Where most numbers are small, that is easy to guess.
        if let Some((&byte @ ..0x80, rest)) = self.bytes.split_first() {
            self.bytes = rest;
            return Ok(byte.into());
        }
        // Up to four bytes at once and without a branch for each, where lengths alternate at random: a processor that
        // guesses wrong at every other number takes three times as long.
        if let Some(bytes) = self.bytes.first_chunk() {
            let word = u32::from_le_bytes(*bytes);
            let ends = !word & 0x8080_8080;
            if ends != 0 {
                let sevens = word & (ends ^ (ends - 1));
                let value = sevens & 0x7f | sevens >> 1 & 0x3f80 | sevens >> 2 & 0x1f_c000 | sevens >> 3 & 0xfe0_0000;
                let length = ends.trailing_zeros() as usize / 8 + 1;
                self.bytes = self.bytes.get(length..).unwrap_or_default();
                return Ok(value.into());
            }
        }
        self.take_long()
    }

    #[cold]
    fn take_long(&mut self) -> Result<u64, FormatError> {
        let mut value = 0;
        for (index, &byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.bytes = self.bytes.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        self.damaged("a number breaks off")
    }

    /// The next signed value.
    pub(super) fn take_signed(&mut self) -> Result<i64, FormatError> {
        let value = self.take()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The next value, as something narrower.
    #[inline]
    pub(super) fn take_as<T: TryFrom<u64>>(&mut self) -> Result<T, FormatError> {
        let value = self.take()?;
        T::try_from(value).or_else(|_| self.damaged("a number is out of range"))
    }

    /// A count and as many bytes, to be read by themselves.
    pub(super) fn take_bytes(&mut self) -> Result<Self, FormatError> {
        let length = self.take_as()?;
        match self.bytes.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.bytes = rest;
                Ok(Self { form: self.form, bytes })
            }
            None => self.damaged("it breaks off"),
        }
    }

    /// What is left, as it is.
    pub(super) fn rest(self) -> &'bytes [u8] {
        self.bytes
    }

    /// Refuses what is left over.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        if self.bytes.is_empty() { Ok(()) } else { self.damaged("bytes are left over") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_length_come_back() {
        let mut bytes = vec![1];
        let unsigned = [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, -64, 64, i64::MIN, i64::MAX];
        unsigned.iter().for_each(|&value| put(&mut bytes, value));
        signed.iter().for_each(|&value| put_signed(&mut bytes, value));

        let mut reader = Reader::new("a test", &bytes).unwrap();
        assert!(unsigned.iter().all(|&value| reader.take() == Ok(value)));
        assert!(signed.iter().all(|&value| reader.take_signed() == Ok(value)));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn numbers_that_break_off_or_never_end_are_errors() {
        assert!(Reader::new("a test", &[1, 0x80]).unwrap().take().is_err());
        assert!(Reader::new("a test", &[[1].as_slice(), &[0xff; 11]].concat()).unwrap().take().is_err());
        assert!(Reader::new("a test", &[1, 5, 0]).unwrap().take_bytes().is_err());
        let unknown = Reader::new("a test", &[2]).unwrap_err().to_string();
        assert!(unknown.contains("a test is in version 2"), "{unknown}");
    }
}
