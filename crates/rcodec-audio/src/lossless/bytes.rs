//! Varints and bytes of block headers.

use rcodec_core::{Error, Result};
use rcodec_entropy::{unzigzag, zigzag};

/// Appends `value` in groups of seven bits, lowest first.
pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number.
pub(crate) fn write_signed(out: &mut Vec<u8>, value: i64) {
    write_varint(out, zigzag(value));
}

/// Reads a block's header; offsets in errors are those within the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        ByteReader { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Steps over `count` bytes and returns them.
    pub(crate) fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count))
            .filter(|&end| end <= self.bytes.len())
            .ok_or(Error::Truncated {
                at: self.bytes.len() as u64,
            })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn varint(&mut self) -> Result<u64> {
        let start = self.at();
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                break;
            }
            value |= part << shift;
            if byte == 0 && shift > 0 {
                return Err(Error::malformed(start, "number longer than it need be"));
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::malformed(start, "number of more than 64 bits"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64> {
        Ok(unzigzag(self.varint()?))
    }

    /// A number within `range`, or the rule it breaks.
    pub(crate) fn varint_in(
        &mut self,
        range: std::ops::RangeInclusive<u64>,
        what: &'static str,
    ) -> Result<u64> {
        let start = self.at();
        let value = self.varint()?;
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(Error::malformed(start, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let values = [0, 1, -1, 63, -64, 64, 1 << 40, i64::MAX, i64::MIN];
        let mut bytes = Vec::new();
        for value in values {
            write_signed(&mut bytes, value);
        }
        let mut reader = ByteReader::new(&bytes);
        for value in values {
            assert_eq!(reader.signed().unwrap(), value);
        }
        assert!(matches!(reader.byte(), Err(Error::Truncated { .. })));
    }

    #[test]
    fn too_long_numbers_are_malformed() {
        for bytes in [&[0xff; 11][..], &[0x80; 11], &[0x80, 0], &[0x81, 0x80, 0]] {
            let error = ByteReader::new(bytes).varint().unwrap_err();
            assert!(matches!(error, Error::Malformed { at: 0, .. }));
        }
    }
}
