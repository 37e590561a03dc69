//! The range coder: a queue, for models that adapt from symbol to symbol.
//!
//! The payload is the coder's point as big-endian bytes, so that the end can
//! be cut where only zeros would follow: after `n` words of 32 bits have left
//! the coder, a payload has between `4 n` and `4 n + 4` bytes, and a decoder
//! has read `n + 2` words. That makes reading more than two words past the end
//! a proof of truncation.

use crate::cdf::Cdf;
use crate::coder::{BitCoder, clamp_p1};
use crate::model::{Bit, Table, Uniform};
use constriction::stream::queue::{DefaultRangeEncoder, EncoderSituation, RangeDecoder};
use constriction::stream::{Decode, Encode};
use constriction::{CoderError, Queue, backends::ReadWords};
use rcodec_core::{Error, Result};

/// The point of `[lower, lower + range)` with the most trailing zero bytes,
/// modulo 2^64; the smallest of them if there are several.
fn final_point(lower: u64, range: u64) -> u64 {
    let lower = u128::from(lower);
    let end = lower + u128::from(range);
    for zero_bits in [64, 56, 48, 40, 32] {
        let point = (lower + (1 << zero_bits) - 1) >> zero_bits << zero_bits;
        if point < end {
            // Keeps the low 64 bits: beyond them there is only the carry.
            return point as u64;
        }
    }
    // Not reached: the range is at least 2^32, so it holds a multiple of that.
    lower as u64
}

/// How many of the eight bytes of `point` are written.
fn significant_bytes(point: u64) -> usize {
    if point == 0 {
        0
    } else {
        8 - (point.trailing_zeros() / 8) as usize
    }
}

/// Encodes with `constriction`'s range coder.
#[derive(Debug, Clone, Default)]
pub struct RangeBitEncoder {
    inner: DefaultRangeEncoder,
}

impl RangeBitEncoder {
    /// An encoder that has coded nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the payload. Coding nothing at all takes no bytes, and the end
    /// costs about one byte more than the information coded.
    pub fn finish(self) -> Vec<u8> {
        let (words, state, situation) = self.inner.into_raw_parts();
        let point = final_point(state.lower(), state.range().get());
        let carried = point < state.lower();
        let mut bytes = Vec::with_capacity(4 * words.len() + 12);
        for word in words {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        if let EncoderSituation::Inverted(count, first) = situation {
            let (first, others) = if carried {
                (first.wrapping_add(1), 0)
            } else {
                (first, u32::MAX)
            };
            bytes.extend_from_slice(&first.to_be_bytes());
            for _ in 1..count.get() {
                bytes.extend_from_slice(&others.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&point.to_be_bytes()[..significant_bytes(point)]);
        bytes
    }
}

#[cold]
#[inline(never)]
pub(crate) fn not_in_table(symbol: u32, cdf: &Cdf) -> Error {
    Error::parameter(format!(
        "symbol {symbol} is not in a table of {} symbols",
        cdf.len()
    ))
}

impl BitCoder for RangeBitEncoder {
    const DECODES: bool = false;

    #[inline(always)]
    fn code_bit(&mut self, bit: bool, p1_q16: u32) -> Result<bool> {
        let model = Bit {
            p1_q16: clamp_p1(p1_q16),
        };
        // Neither model nor memory can fail.
        let _ = self.inner.encode_symbol(bit, model);
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
            let _ = self.inner.encode_symbol(high, Uniform { bits: high_bits });
        }
        if low_bits > 0 {
            let _ = self.inner.encode_symbol(low, Uniform { bits: low_bits });
        }
        Ok(high << 16 | low)
    }

    #[inline(always)]
    fn code_cdf(&mut self, symbol: u32, cdf: &Cdf) -> Result<u32> {
        match self.inner.encode_symbol(symbol, Table(cdf)) {
            Ok(()) => Ok(symbol),
            Err(_) => Err(not_in_table(symbol, cdf)),
        }
    }

    fn position(&self) -> u64 {
        4 * self.inner.bulk().len() as u64
    }
}

/// More words past the end than an encoder leaves out.
#[derive(Debug, Clone, Copy)]
struct PastEnd;

/// The bytes of a payload as big-endian words, followed by two words of zeros.
#[derive(Debug, Clone)]
struct Words<'a> {
    bytes: &'a [u8],
    /// Number of words handed out.
    read: usize,
}

/// A word that is not complete in the payload.
///
/// Takes values, so that a decoder need not live in memory because of it.
#[cold]
#[inline(never)]
fn word_at_end(bytes: &[u8], index: usize) -> Result<Option<u32>, PastEnd> {
    if index >= bytes.len().div_ceil(4) + 2 {
        return Err(PastEnd);
    }
    let rest = bytes.get(4 * index..).unwrap_or(&[]);
    let mut word = [0; 4];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    Ok(Some(u32::from_be_bytes(word)))
}

impl ReadWords<u32, Queue> for Words<'_> {
    type ReadError = PastEnd;

    #[inline(always)]
    fn read(&mut self) -> Result<Option<u32>, PastEnd> {
        let index = self.read;
        self.read += 1;
        match self.bytes.as_chunks::<4>().0.get(index) {
            Some(word) => Ok(Some(u32::from_be_bytes(*word))),
            None => word_at_end(self.bytes, index),
        }
    }
}

/// Decodes what [`RangeBitEncoder`] wrote.
///
/// Positions in its errors count bytes of the payload.
#[derive(Debug, Clone)]
pub struct RangeBitDecoder<'a> {
    inner: RangeDecoder<u32, u64, Words<'a>>,
    /// The payload once more, for positions.
    len: usize,
}

impl<'a> RangeBitDecoder<'a> {
    /// A decoder of exactly one payload: bytes that follow it must have been
    /// split off.
    pub fn new(payload: &'a [u8]) -> Self {
        let words = Words {
            bytes: payload,
            read: 0,
        };
        let inner = match RangeDecoder::with_backend(words) {
            Ok(decoder) => decoder,
            // The first two words always exist: at worst they are zeros.
            Err(PastEnd) => unreachable!("two words can be read past the end"),
        };
        RangeBitDecoder {
            inner,
            len: payload.len(),
        }
    }

    /// Checks that the payload ends where the decoded symbols end, with the
    /// bytes that an encoder writes there.
    ///
    /// This finds most damage, cuts and appended bytes, and nearly always a
    /// decoder whose models differ from the encoder's. It cannot find all, as
    /// a payload has hardly a byte of redundancy: the container's checksum
    /// does.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] at the first byte that should not be there.
    pub fn finish(self) -> Result<()> {
        let (words, state, point) = self.inner.into_raw_parts();
        let expected = final_point(state.lower(), state.range().get());
        let expected_len = 4 * (words.read - 2) + significant_bytes(expected);
        if point != expected {
            let at = (4 * (words.read - 2)).min(words.bytes.len());
            return Err(Error::malformed(at as u64, "range coder does not end here"));
        }
        if words.bytes.len() != expected_len {
            let at = expected_len.min(words.bytes.len());
            return Err(Error::malformed(
                at as u64,
                "bytes after the range coder's end",
            ));
        }
        Ok(())
    }
}

/// Not a method, for the same reason as [`word_at_end`].
#[cold]
#[inline(never)]
fn decoding_error<F>(error: CoderError<F, PastEnd>, position: u64, len: usize) -> Error {
    match error {
        CoderError::Backend(PastEnd) => Error::Truncated { at: len as u64 },
        CoderError::Frontend(_) => Error::malformed(position, "not a range coder's bytes"),
    }
}

impl BitCoder for RangeBitDecoder<'_> {
    const DECODES: bool = true;

    #[inline(always)]
    fn code_bit(&mut self, _: bool, p1_q16: u32) -> Result<bool> {
        let model = Bit {
            p1_q16: clamp_p1(p1_q16),
        };
        match self.inner.decode_symbol(model) {
            Ok(bit) => Ok(bit),
            Err(error) => Err(decoding_error(error, self.position(), self.len)),
        }
    }

    #[inline]
    fn code_raw(&mut self, _: u32, bits: u32) -> Result<u32> {
        let bits = bits.min(32);
        let low_bits = bits.min(16);
        let mut value = 0;
        for bits in [bits - low_bits, low_bits] {
            if bits > 0 {
                match self.inner.decode_symbol(Uniform { bits }) {
                    Ok(part) => value = value << 16 | part,
                    Err(error) => return Err(decoding_error(error, self.position(), self.len)),
                }
            }
        }
        Ok(value)
    }

    #[inline(always)]
    fn code_cdf(&mut self, _: u32, cdf: &Cdf) -> Result<u32> {
        match self.inner.decode_symbol(Table(cdf)) {
            Ok(symbol) => Ok(symbol),
            Err(error) => Err(decoding_error(error, self.position(), self.len)),
        }
    }

    #[inline(always)]
    fn position(&self) -> u64 {
        // The coder shows its source only when taken apart; a copy is small.
        let (words, ..) = self.inner.clone().into_raw_parts();
        (4 * words.read).min(self.len) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits with their probabilities, from a small generator; a third of the
    /// probabilities are the extremes.
    fn decisions(count: usize, mut seed: u64) -> Vec<(bool, u32)> {
        (0..count)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let r = seed >> 33;
                let p1_q16 = match r % 6 {
                    0 => 1,
                    1 => 65535,
                    _ => (r as u32 >> 3) % 65535 + 1,
                };
                ((seed >> 20) as u32 % 65536 < p1_q16, p1_q16)
            })
            .collect()
    }

    fn encode(decisions: &[(bool, u32)]) -> Vec<u8> {
        let mut encoder = RangeBitEncoder::new();
        for &(bit, p1_q16) in decisions {
            assert_eq!(encoder.code_bit(bit, p1_q16).unwrap(), bit);
        }
        encoder.finish()
    }

    /// Decodes and checks; whether all of it was right.
    fn decode(payload: &[u8], decisions: &[(bool, u32)]) -> Result<bool> {
        let mut decoder = RangeBitDecoder::new(payload);
        let mut right = true;
        for &(bit, p1_q16) in decisions {
            right &= decoder.code_bit(false, p1_q16)? == bit;
        }
        decoder.finish()?;
        Ok(right)
    }

    #[test]
    fn nothing_takes_no_bytes() {
        assert_eq!(encode(&[]), []);
        assert!(decode(&[], &[]).unwrap());
    }

    #[test]
    fn the_end_is_short() {
        // One bit takes one byte or none; what was certain takes none.
        assert_eq!(encode(&[(true, 1 << 15)]), []);
        assert_eq!(encode(&[(false, 1 << 15)]), [0x80]);
        assert_eq!(encode(&[(true, 65535); 1000]), []);
        // Over many short streams the loss stays under a byte on average.
        let (mut bytes, mut ideal_bits) = (0, 0.0);
        for seed in 0..500 {
            let data = decisions(40, seed);
            bytes += encode(&data).len();
            for (bit, p) in data {
                let p = if bit { p } else { 65536 - p };
                ideal_bits -= (f64::from(p) / 65536.0).log2();
            }
        }
        let lost = (bytes as f64 - ideal_bits / 8.0) / 500.0;
        assert!((0.0..1.0).contains(&lost), "{lost} bytes lost per stream");
    }

    #[test]
    fn extreme_probabilities_and_carries_come_back() {
        let mut data = decisions(300_000, 7);
        // The unlikely side of the extremes, and a long run just under a carry.
        data.extend([(true, 1), (false, 65535), (true, 1), (false, 65535)]);
        data.extend([(false, 32768); 200]);
        data.extend([(false, 1); 100_000]);
        data.extend([(false, 65535); 50]);
        let payload = encode(&data);
        assert!(decode(&payload, &data).unwrap());
    }

    #[test]
    fn a_carry_runs_through_words_of_ones() {
        // A run of upper halves fills words with ones; then the last choices
        // decide whether a carry has to run back through them.
        for tail in 0..64 {
            let mut data = vec![(false, 32768); 300];
            data.push((true, 65535));
            data.extend((0..6).map(|i| (tail >> i & 1 != 0, 65535 - 9 * i)));
            let payload = encode(&data);
            assert!(decode(&payload, &data).unwrap());
        }
    }

    #[test]
    fn cut_and_extended_payloads_are_found_out() {
        let data = decisions(2000, 3);
        let payload = encode(&data);
        for len in 0..payload.len() {
            match decode(&payload[..len], &data) {
                // What lies within the coder's state when it ends may be the
                // payload of other bits.
                Ok(right) => assert!(!right && len + 8 >= payload.len(), "{len}"),
                Err(error) => assert!(error.is_bad_input()),
            }
        }
        for extra in [&[0][..], &[1], &[0; 8], &[0xff; 4]] {
            let longer = [&payload, extra].concat();
            let error = decode(&longer, &data).unwrap_err();
            assert!(error.is_bad_input(), "{error}");
        }
    }

    #[test]
    fn reading_on_and_on_is_truncation() {
        for payload in [&[][..], &[0x12], &[0; 9], &[0xff; 100]] {
            let mut decoder = RangeBitDecoder::new(payload);
            let error = (0..1_000_000)
                .find_map(|_| decoder.code_bit(false, 1 << 15).err())
                .expect("an end");
            match error {
                Error::Truncated { at } => assert_eq!(at, payload.len() as u64),
                Error::Malformed { at, .. } => assert!(at <= payload.len() as u64),
                other => panic!("{other}"),
            }
            // It stays an error.
            assert!((0..100).any(|_| decoder.code_bit(false, 1 << 15).is_err()));
        }
    }

    #[test]
    fn probabilities_out_of_range_are_clamped() {
        let data = [(true, 0), (false, 65536), (true, u32::MAX), (false, 0)];
        assert!(decode(&encode(&data), &data).unwrap());
    }

    #[test]
    fn symbols_outside_of_the_table_are_the_callers_mistake() {
        let cdf = Cdf::from_frequencies(&[1, 2, 3]).unwrap();
        let mut encoder = RangeBitEncoder::new();
        for symbol in [3, u32::MAX] {
            let error = encoder.code_cdf(symbol, &cdf).unwrap_err();
            assert!(matches!(error, Error::Parameter(_)));
        }
        assert_eq!(encoder.finish(), []);
    }
}
