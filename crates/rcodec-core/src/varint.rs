//! Variable-length integers (LEB128: seven bits a byte, least significant
//! first, the top bit says that more follow) and a cursor that reads them from
//! a slice.

use crate::{Error, Result};

/// Longest encoding of a u64.
pub const MAX_VARINT_BYTES: usize = 10;

/// Appends `value` to `out`.
pub fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Collects the bytes of one varint, for readers of streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct VarintParser {
    value: u64,
    bytes: usize,
}

impl VarintParser {
    /// Takes the next byte; returns the value after the last one. Overlong
    /// encodings are malformed, so that every number has exactly one.
    ///
    /// # Errors
    /// What is wrong with the byte.
    pub fn push(&mut self, byte: u8) -> Result<Option<u64>, &'static str> {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * self.bytes as u32;
        self.bytes += 1;
        if self.bytes == MAX_VARINT_BYTES && byte > 1 {
            return Err("a number is longer than 64 bits");
        }
        self.value |= bits << shift;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        if byte == 0 && self.bytes > 1 {
            return Err("a number is longer than it need be");
        }
        Ok(Some(self.value))
    }
}

/// Reads fields from a slice; errors carry the offset in the file.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`, which begin at offset `at`.
    pub fn new(bytes: &'a [u8], at: u64) -> Self {
        Cursor { bytes, at }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error at the current offset.
    pub fn malformed(&self, what: &'static str) -> Error {
        Error::malformed(self.at, what)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if there are fewer.
    pub fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let end = usize::try_from(count)
            .ok()
            .filter(|&end| end <= self.bytes.len())
            .ok_or(Error::Truncated {
                at: self.at + self.bytes.len() as u64,
            })?;
        let (taken, rest) = self.bytes.split_at(end);
        self.bytes = rest;
        self.at += count;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// The next little-endian u64.
    ///
    /// # Errors
    /// [`Error::Truncated`] if there are fewer bytes.
    pub fn u64_le(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// The next varint.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::Malformed`] at the byte that is one too
    /// many, or makes the number too large.
    pub fn varint(&mut self) -> Result<u64> {
        let mut parser = VarintParser::default();
        loop {
            let at = self.at;
            let byte = self.byte()?;
            match parser.push(byte) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(what) => return Err(Error::malformed(at, what)),
            }
        }
    }

    /// The next varint, which is within `range`.
    ///
    /// # Errors
    /// Those of [`varint`](Self::varint), and [`Error::Malformed`] with `what`
    /// at the number's first byte.
    pub fn varint_in(
        &mut self,
        range: std::ops::RangeInclusive<u64>,
        what: &'static str,
    ) -> Result<u64> {
        let start = self.at;
        let value = self.varint()?;
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(Error::malformed(start, what))
        }
    }

    /// Fails with `what` if bytes are left.
    ///
    /// # Errors
    /// [`Error::Malformed`] at the first of them.
    pub fn expect_end(&self, what: &'static str) -> Result<()> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.malformed(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            prop_assert!(bytes.len() <= MAX_VARINT_BYTES);
            let mut cursor = Cursor::new(&bytes, 0);
            prop_assert_eq!(cursor.varint().unwrap(), value);
            prop_assert!(cursor.rest().is_empty());
        }

        #[test]
        fn what_parses_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut cursor = Cursor::new(&bytes, 0);
            if let Ok(value) = cursor.varint() {
                let mut again = Vec::new();
                write_varint(&mut again, value);
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
            }
        }
    }

    #[test]
    fn overlong_and_oversized_are_malformed() {
        for bytes in [&[0x80, 0x00][..], &[0xff; 10], &[0xff; 11]] {
            assert!(matches!(
                Cursor::new(bytes, 5).varint(),
                Err(Error::Malformed { .. })
            ));
        }
        assert!(matches!(
            Cursor::new(&[0x80], 5).varint(),
            Err(Error::Truncated { at: 6 })
        ));
    }
}
