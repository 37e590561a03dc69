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

impl Words<'_> {
    /// Words that are not complete in the payload.
    #[cold]
    #[inline(never)]
    fn read_at_end(&mut self) -> Result<Option<u32>, PastEnd> {
        if self.read >= self.bytes.len().div_ceil(4) + 2 {
            return Err(PastEnd);
        }
        let rest = self.bytes.get(4 * self.read..).unwrap_or(&[]);
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        self.read += 1;
        Ok(Some(u32::from_be_bytes(word)))
    }
}

impl ReadWords<u32, Queue> for Words<'_> {
    type ReadError = PastEnd;

    #[inline(always)]
    fn read(&mut self) -> Result<Option<u32>, PastEnd> {
        match self.bytes.as_chunks::<4>().0.get(self.read) {
            Some(word) => {
                self.read += 1;
                Ok(Some(u32::from_be_bytes(*word)))
            }
            None => self.read_at_end(),
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
    /// A payload that was cut or damaged is very often, but not always, found
    /// out here (the container's checksum finds the rest); one that was coded
    /// with another sequence of models nearly always is.
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

    #[cold]
    #[inline(never)]
    fn fail<F>(&self, error: CoderError<F, PastEnd>) -> Error {
        match error {
            CoderError::Backend(PastEnd) => Error::Truncated {
                at: self.len as u64,
            },
            CoderError::Frontend(_) => {
                Error::malformed(self.position(), "not a range coder's bytes")
            }
        }
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
            Err(error) => Err(self.fail(error)),
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
                    Err(error) => return Err(self.fail(error)),
                }
            }
        }
        Ok(value)
    }

    #[inline(always)]
    fn code_cdf(&mut self, _: u32, cdf: &Cdf) -> Result<u32> {
        match self.inner.decode_symbol(Table(cdf)) {
            Ok(symbol) => Ok(symbol),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn position(&self) -> u64 {
        // The coder shows its source only when taken apart; a copy is small.
        let (words, ..) = self.inner.clone().into_raw_parts();
        (4 * words.read).min(self.len) as u64
    }
}
