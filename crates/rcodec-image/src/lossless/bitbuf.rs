//! Plain bits in bytes, most significant bit first: stored samples and the
//! headers of groups.

use rcodec_core::{Error, Result};

/// Collects bits.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// A writer that continues `bytes`.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        BitWriter {
            bytes,
            ..BitWriter::default()
        }
    }

    /// Appends the low `bits` (at most 32) of `value`.
    pub(crate) fn put(&mut self, value: u32, bits: u32) {
        self.pending = self.pending << bits | u64::from(value);
        self.pending_bits += bits;
        while self.pending_bits >= 8 {
            self.pending_bits -= 8;
            self.bytes.push((self.pending >> self.pending_bits) as u8);
        }
    }

    /// Fills the last byte with zeros and gives the bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.pending_bits > 0 {
            self.put(0, 8 - self.pending_bits);
        }
        self.bytes
    }
}

/// Reads what [`BitWriter`] wrote.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    next_byte: usize,
    pending: u64,
    pending_bits: u32,
}

impl<'a> BitReader<'a> {
    /// Reads `bytes` from position `start`.
    pub(crate) fn at(bytes: &'a [u8], start: usize) -> Self {
        BitReader {
            bytes,
            next_byte: start,
            pending: 0,
            pending_bits: 0,
        }
    }

    /// The next `bits` (at most 32) as a number.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end of the bytes.
    pub(crate) fn get(&mut self, bits: u32) -> Result<u32> {
        while self.pending_bits < bits {
            let at = self.next_byte as u64;
            let byte = *self
                .bytes
                .get(self.next_byte)
                .ok_or(Error::Truncated { at })?;
            self.next_byte += 1;
            self.pending = self.pending << 8 | u64::from(byte);
            self.pending_bits += 8;
        }
        self.pending_bits -= bits;
        let value = self.pending >> self.pending_bits & ((1 << bits) - 1);
        Ok(value as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_round_trip() {
        let mut writer = BitWriter::after(vec![7]);
        for bits in 1..=32 {
            writer.put((0x9e37_79b9u64 & ((1 << bits) - 1)) as u32, bits);
        }
        let bytes = writer.finish();
        assert_eq!(bytes.len(), 1 + (33 * 16usize).div_ceil(8));
        let mut reader = BitReader::at(&bytes, 1);
        for bits in 1..=32 {
            let expected = (0x9e37_79b9u64 & ((1 << bits) - 1)) as u32;
            assert_eq!(reader.get(bits).unwrap(), expected);
        }
        assert!(matches!(reader.get(8), Err(Error::Truncated { .. })));
    }
}
