//! Sound samples as bytes.

use rcodec_core::{Error, Result, SampleFormat};

/// How samples of a stream stand in a file: in 1–4 bytes, at the
/// low end unless shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pcm {
    /// Bytes of one sample, 1–4.
    pub(crate) bytes: usize,
    /// Whether zero stands in the middle of an unsigned range (8-bit WAV).
    pub(crate) unsigned: bool,
    /// Zero bits below the sample within its bytes.
    pub(crate) shift: u32,
    /// Whether the highest byte comes first.
    pub(crate) big_endian: bool,
}

impl Pcm {
    /// The fewest whole bytes that hold the samples, signed.
    pub(crate) fn packed(format: SampleFormat) -> Self {
        Pcm {
            bytes: usize::from(format.bits().clamp(1, 32)).div_ceil(8),
            unsigned: false,
            shift: 0,
            big_endian: false,
        }
    }

    /// As WAV has it: one-byte samples unsigned, others signed, samples of odd
    /// widths moved to the upper end.
    pub(crate) fn wav(format: SampleFormat) -> Self {
        let packed = Self::packed(format);
        Pcm {
            unsigned: packed.bytes == 1,
            shift: packed.bytes as u32 * 8 - u32::from(format.bits().clamp(1, 32)),
            ..packed
        }
    }

    /// Reads whole samples. Every value of the bytes is a sample; `shift` must
    /// be 0.
    pub(crate) fn read(self, bytes: &[u8]) -> Vec<i32> {
        match self.bytes {
            2 if self.big_endian => bytes
                .chunks_exact(2)
                .map(|b| i32::from(i16::from_be_bytes([b[0], b[1]])))
                .collect(),
            3 if self.big_endian => bytes
                .chunks_exact(3)
                .map(|b| i32::from_be_bytes([b[0], b[1], b[2], 0]) >> 8)
                .collect(),
            4 if self.big_endian => bytes
                .chunks_exact(4)
                .map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            1 if self.unsigned => bytes.iter().map(|&b| i32::from(b) - 128).collect(),
            1 => bytes.iter().map(|&b| i32::from(b as i8)).collect(),
            2 => bytes
                .chunks_exact(2)
                .map(|b| i32::from(i16::from_le_bytes([b[0], b[1]])))
                .collect(),
            3 => bytes
                .chunks_exact(3)
                .map(|b| i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8)
                .collect(),
            _ => bytes
                .chunks_exact(4)
                .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        }
    }

    /// Appends samples to `bytes`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a sample does not fit.
    pub(crate) fn write(self, samples: &[i32], bytes: &mut Vec<u8>) -> Result<()> {
        let bits = self.bytes as u32 * 8 - self.shift;
        let unused = 32 - bits;
        let low = if self.unsigned { 1i32 << (bits - 1) } else { 0 };
        let mut misfit = 0i32;
        for &sample in samples {
            misfit |= (sample << unused >> unused) ^ sample;
            let value = sample.wrapping_add(low) << self.shift;
            if self.big_endian {
                bytes.extend_from_slice(&value.to_be_bytes()[4 - self.bytes..]);
            } else {
                bytes.extend_from_slice(&value.to_le_bytes()[..self.bytes]);
            }
        }
        if misfit != 0 {
            return Err(Error::parameter(format!(
                "a sample does not fit in {bits} bits"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back() {
        for bits in [8, 16, 24, 32] {
            let format = SampleFormat::Int { bits };
            let high = (1i64 << (bits - 1)) - 1;
            let samples = [0, 1, -1, high as i32, (-high - 1) as i32];
            let big_endian = Pcm {
                big_endian: true,
                ..Pcm::packed(format)
            };
            for pcm in [Pcm::packed(format), Pcm::wav(format), big_endian] {
                let mut bytes = Vec::new();
                pcm.write(&samples, &mut bytes).unwrap();
                assert_eq!(bytes.len(), 5 * usize::from(bits) / 8);
                assert_eq!(pcm.read(&bytes), samples);
            }
        }
    }

    #[test]
    fn odd_widths_stand_at_the_upper_end() {
        let mut bytes = Vec::new();
        let pcm = Pcm::wav(SampleFormat::Int { bits: 20 });
        pcm.write(&[1, -1, 0x7FFFF], &mut bytes).unwrap();
        assert_eq!(bytes, [0x10, 0, 0, 0xF0, 0xFF, 0xFF, 0xF0, 0xFF, 0x7F]);
        let mut bytes = Vec::new();
        let pcm = Pcm::wav(SampleFormat::Int { bits: 4 });
        pcm.write(&[-8, 0, 7], &mut bytes).unwrap();
        assert_eq!(bytes, [0, 0x80, 0xF0]);
        assert!(pcm.write(&[8], &mut bytes).is_err());
    }
}
