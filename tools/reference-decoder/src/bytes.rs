//! Reading numbers and pieces from bytes.

use crate::error::{Result, malformed};

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        if n > self.0.len() as u64 {
            return malformed("the bytes end too early");
        }
        let (piece, rest) = self.0.split_at(n as usize);
        self.0 = rest;
        Ok(piece)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A number of `n` bytes, at most eight, the lowest first.
    pub fn number(&mut self, n: u64) -> Result<u64> {
        let bytes = self.take(n)?.iter().rev();
        Ok(bytes.fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    /// A varint.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for i in 0..10 {
            let byte = self.u8()?;
            if i == 9 && byte > 1 {
                return malformed("a varint leaves 64 bits");
            }
            value |= u64::from(byte & 127) << (7 * i);
            if byte < 128 {
                if i > 0 && byte == 0 {
                    return malformed("a varint is longer than it needs to be");
                }
                return Ok(value);
            }
        }
        malformed("a varint is too long")
    }

    /// A varint that has to lie within bounds.
    pub fn varint_within(&mut self, least: u64, most: u64) -> Result<u64> {
        let value = self.varint()?;
        if value < least || value > most {
            return malformed("a number is out of bounds");
        }
        Ok(value)
    }

    /// Checks that nothing is left.
    pub fn finish(&self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            malformed("bytes are left")
        }
    }
}
