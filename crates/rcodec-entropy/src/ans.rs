//! Asymmetric numeral systems: a stack, for models that are known before the
//! block is coded.
//!
//! The payload holds the words that left the coder, little-endian, and then
//! its last state with leading zero bytes left out; the decoder begins at the
//! end. While there are words below it, a state has more than 32 bits and so
//! takes 5 to 8 bytes, which makes the length of the payload alone say how
//! many. The encoder begins with state 0, so a decoder that has taken
//! everything out is at 0 again: that is checked.

use crate::cdf::Cdf;
use crate::coder::{BitCoder, clamp_p1};
use crate::model::{Bit, Span, Table, Uniform};
use constriction::stream::stack::{AnsCoder, DefaultAnsCoder};
use constriction::stream::{Decode, Encode};
use constriction::{CoderError, Stack, UnwrapInfallible, backends::ReadWords};
use rcodec_core::{Error, Result};
use std::convert::Infallible;

/// Records symbols in the order in which they will be decoded and encodes them
/// all at the end, backwards, as ANS must.
///
/// It keeps 4 bytes for each symbol, so a block has to have a bounded size.
#[derive(Debug, Clone, Default)]
pub struct AnsEncoder {
    /// `left << 16 | (probability - 1)`, in the order of decoding.
    spans: Vec<u32>,
}

impl AnsEncoder {
    /// An encoder that has recorded nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    #[inline(always)]
    fn push(&mut self, left: u32, probability: u32) {
        self.spans.push(left << 16 | (probability - 1));
    }

    /// Encodes what was recorded. Recording nothing takes no bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut coder = DefaultAnsCoder::new();
        for span in self.spans.into_iter().rev() {
            let model = Span {
                left: span >> 16,
                probability: (span & 0xffff) + 1,
            };
            // Neither model nor memory can fail.
            let _ = coder.encode_symbol((), model);
        }
        let (words, state) = coder.into_raw_parts();
        let mut bytes = Vec::with_capacity(4 * words.len() + 8);
        for word in words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let state_bytes = 8 - state.leading_zeros() as usize / 8;
        bytes.extend_from_slice(&state.to_le_bytes()[..state_bytes]);
        bytes
    }
}

impl BitCoder for AnsEncoder {
    const DECODES: bool = false;

    #[inline(always)]
    fn code_bit(&mut self, bit: bool, p1_q16: u32) -> Result<bool> {
        let p1_q16 = clamp_p1(p1_q16);
        if bit {
            self.push(0, p1_q16);
        } else {
            self.push(p1_q16, 65536 - p1_q16);
        }
        Ok(bit)
    }

    #[inline]
    fn code_raw(&mut self, value: u32, bits: u32) -> Result<u32> {
        let bits = bits.min(32);
        let low_bits = bits.min(16);
        let high_bits = bits - low_bits;
        let low = value & ((1 << low_bits) - 1);
        let high = (value >> 16) & ((1 << high_bits) - 1);
        if high_bits > 0 {
            self.push(high << (16 - high_bits), 1 << (16 - high_bits));
        }
        if low_bits > 0 {
            self.push(low << (16 - low_bits), 1 << (16 - low_bits));
        }
        Ok(high << 16 | low)
    }

    #[inline(always)]
    fn code_cdf(&mut self, symbol: u32, cdf: &Cdf) -> Result<u32> {
        let Some((left, probability)) = cdf.span(symbol) else {
            return Err(crate::range::not_in_table(symbol, cdf));
        };
        self.push(left, probability);
        Ok(symbol)
    }

    /// An upper bound: what the records take in memory.
    fn position(&self) -> u64 {
        4 * self.spans.len() as u64
    }
}

/// The words of a payload from its end.
#[derive(Debug, Clone)]
struct Words<'a> {
    rest: &'a [[u8; 4]],
}

impl ReadWords<u32, Stack> for Words<'_> {
    type ReadError = Infallible;

    #[inline(always)]
    fn read(&mut self) -> Result<Option<u32>, Infallible> {
        Ok(self.rest.split_last().map(|(word, rest)| {
            self.rest = rest;
            u32::from_le_bytes(*word)
        }))
    }
}

/// Decodes what [`AnsEncoder`] wrote.
///
/// Any bytes decode to some symbols: only [`finish`](Self::finish) tells
/// whether they were the right ones.
#[derive(Clone)]
pub struct AnsDecoder<'a> {
    inner: AnsCoder<u32, u64, Words<'a>>,
    len: usize,
}

impl std::fmt::Debug for AnsDecoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnsDecoder")
            .field("words_left", &self.inner.bulk().rest.len())
            .finish_non_exhaustive()
    }
}

impl<'a> AnsDecoder<'a> {
    /// A decoder of exactly one payload: bytes that follow it must have been
    /// split off.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if the last byte is 0, which no encoder writes.
    pub fn new(payload: &'a [u8]) -> Result<Self> {
        let len = payload.len();
        if payload.last() == Some(&0) {
            return Err(Error::malformed(len as u64 - 1, "ANS state begins with 0"));
        }
        let state_bytes = if len < 5 { len } else { 5 + (len - 5) % 4 };
        let (words, tail) = payload.split_at(len - state_bytes);
        let mut state = [0; 8];
        state[..state_bytes].copy_from_slice(tail);
        let words = Words {
            rest: words.as_chunks().0,
        };
        Ok(AnsDecoder {
            inner: AnsCoder::from_raw_parts(words, u64::from_le_bytes(state)),
            len,
        })
    }

    /// Checks that everything was taken out: no words are left and the state
    /// is the one with which the encoder began. That finds most damage, but
    /// not what merely changes the last symbols: the container's checksum does.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] at the position that decoding has reached.
    pub fn finish(self) -> Result<()> {
        let at = self.position();
        let (words, state) = self.inner.into_raw_parts();
        if words.rest.is_empty() && state == 0 {
            Ok(())
        } else {
            Err(Error::malformed(at, "ANS coder does not end here"))
        }
    }
}

/// Takes the value out of a result that cannot be an error.
#[inline(always)]
fn certain<T>(result: Result<T, CoderError<Infallible, Infallible>>) -> T {
    result.unwrap_infallible()
}

impl BitCoder for AnsDecoder<'_> {
    const DECODES: bool = true;

    #[inline(always)]
    fn code_bit(&mut self, _: bool, p1_q16: u32) -> Result<bool> {
        let p1_q16 = clamp_p1(p1_q16);
        Ok(certain(self.inner.decode_symbol(Bit { p1_q16 })))
    }

    #[inline]
    fn code_raw(&mut self, _: u32, bits: u32) -> Result<u32> {
        let bits = bits.min(32);
        let low_bits = bits.min(16);
        let mut value = 0;
        for bits in [bits - low_bits, low_bits] {
            if bits > 0 {
                value = value << 16 | certain(self.inner.decode_symbol(Uniform { bits }));
            }
        }
        Ok(value)
    }

    #[inline(always)]
    fn code_cdf(&mut self, _: u32, cdf: &Cdf) -> Result<u32> {
        Ok(certain(self.inner.decode_symbol(Table(cdf))))
    }

    /// Decoding runs from the last byte to the first; this is the number of
    /// bytes not read yet.
    fn position(&self) -> u64 {
        (4 * self.inner.bulk().rest.len()).min(self.len) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(symbols: &[u32], cdf: &Cdf) -> Vec<u8> {
        let mut encoder = AnsEncoder::new();
        for &symbol in symbols {
            encoder.code_cdf(symbol, cdf).unwrap();
        }
        encoder.finish()
    }

    fn decode(payload: &[u8], symbols: &[u32], cdf: &Cdf) -> Result<bool> {
        let mut decoder = AnsDecoder::new(payload)?;
        let mut right = true;
        for &symbol in symbols {
            right &= decoder.code_cdf(0, cdf)? == symbol;
        }
        decoder.finish()?;
        Ok(right)
    }

    #[test]
    fn streams_of_every_length_come_back() {
        let cdf = Cdf::from_frequencies(&[50, 9, 1, 0, 700]).unwrap();
        let symbols: Vec<u32> = (0..300).map(|i| (i * i + i / 7) % 5).collect();
        assert_eq!(encode(&[], &cdf), []);
        for len in 0..symbols.len() {
            let payload = encode(&symbols[..len], &cdf);
            assert!(decode(&payload, &symbols[..len], &cdf).unwrap());
        }
    }

    #[test]
    fn damage_is_found_at_the_end() {
        let cdf = Cdf::from_frequencies(&[50, 9, 1, 0, 700]).unwrap();
        let symbols: Vec<u32> = (0..300).map(|i| (i * i + i / 7) % 5).collect();
        let payload = encode(&symbols, &cdf);
        let mut unseen = 0;
        for at in 0..payload.len() {
            let cut = decode(&payload[..at], &symbols, &cdf);
            let mut flipped = payload.clone();
            flipped[at] ^= 1 << (at % 8);
            for result in [cut, decode(&flipped, &symbols, &cdf)] {
                match result {
                    Ok(right) => {
                        assert!(!right, "changed nothing at {at}");
                        unseen += 1;
                    }
                    Err(error) => assert!(error.is_bad_input()),
                }
            }
        }
        assert!(unseen * 10 < payload.len(), "{unseen} of {}", payload.len());
        let longer = [&payload[..], &[0]].concat();
        assert!(decode(&longer, &symbols, &cdf).is_err());
        assert!(decode(&payload, &symbols[1..], &cdf).is_err());
    }

    #[test]
    fn a_single_symbol_costs_nothing() {
        let cdf = Cdf::from_frequencies(&[1]).unwrap();
        let payload = encode(&[0; 1000], &cdf);
        assert_eq!(payload, []);
        assert!(decode(&payload, &[0; 1000], &cdf).unwrap());
    }

    #[test]
    fn symbols_outside_of_the_table_are_the_callers_mistake() {
        let cdf = Cdf::from_frequencies(&[1, 2, 3]).unwrap();
        let error = AnsEncoder::new().code_cdf(3, &cdf).unwrap_err();
        assert!(matches!(error, Error::Parameter(_)));
    }
}
