//! The checksum of the decoded content.

use rcodec_core::{Media, Samples};
use xxhash_rust::xxh3::Xxh3;

/// XXH3-64 over the decoded content, and its length.
///
/// The content is hashed in one canonical form: bytes as they are, image
/// samples of up to 8 bits as one byte each and larger ones as two (little
/// endian), audio samples as four bytes (little endian, two's complement).
#[derive(Clone, Default)]
pub struct ContentHasher {
    hash: Xxh3,
    samples: u64,
    buffer: Vec<u8>,
}

/// The result of a [`ContentHasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest {
    /// Number of samples (bytes, for bytes).
    pub samples: u64,
    /// XXH3-64 of the canonical form.
    pub hash: u64,
}

impl ContentHasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a unit.
    pub fn update(&mut self, unit: &Media) {
        match unit {
            Media::Bytes(bytes) => {
                self.hash.update(bytes);
                self.samples += bytes.len() as u64;
            }
            Media::Image(strip) => {
                match &strip.samples {
                    Samples::U8(samples) => self.hash.update(samples),
                    Samples::U16(samples) => {
                        self.update_words(samples, |&sample| sample.to_le_bytes());
                    }
                }
                self.samples += strip.samples.len() as u64;
            }
            Media::Audio(block) => {
                self.update_words(&block.samples, |&sample| sample.to_le_bytes());
                self.samples += block.samples.len() as u64;
            }
            other => unreachable!("media without a canonical form: {other:?}"),
        }
    }

    fn update_words<T, const N: usize>(&mut self, words: &[T], to_bytes: impl Fn(&T) -> [u8; N]) {
        for chunk in words.chunks(16 << 10) {
            self.buffer.clear();
            self.buffer.extend(chunk.iter().flat_map(&to_bytes));
            self.hash.update(&self.buffer);
        }
    }

    /// Samples so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> ContentDigest {
        ContentDigest {
            samples: self.samples,
            hash: self.hash.digest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::AudioBlock;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn the_digest_does_not_depend_on_the_cut() {
        let samples: Vec<i32> = (0..100_000i32).map(|i| i.wrapping_mul(i)).collect();
        let mut whole = ContentHasher::new();
        whole.update(&Media::Audio(AudioBlock {
            samples: samples.clone(),
        }));
        let mut cut = ContentHasher::new();
        for piece in samples.chunks(777) {
            cut.update(&Media::Audio(AudioBlock {
                samples: piece.to_vec(),
            }));
        }
        assert_eq!(whole.digest(), cut.digest());
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(whole.digest().hash, xxh3_64(&bytes));
    }
}
