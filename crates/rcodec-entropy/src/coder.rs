//! One trait for both directions.

use crate::cdf::Cdf;
use rcodec_core::Result;

/// Codes bits, raw numbers and table symbols; modelling code written over it
/// serves the encoder, the decoder and the estimation of code lengths.
///
/// An encoder codes the value it is given and returns it. A decoder ignores
/// the value and returns the decoded one. So a model is written once:
///
/// ```
/// use rcodec_entropy::{BitCoder, RangeBitDecoder, RangeBitEncoder};
/// use rcodec_core::Result;
///
/// /// Codes a flag and, if it is set, a number of six bits.
/// fn code_level<C: BitCoder>(coder: &mut C, level: u32) -> Result<u32> {
///     if coder.code_bit(level != 0, 9000)? {
///         Ok(1 + coder.code_raw(level.wrapping_sub(1), 6)?)
///     } else {
///         Ok(0)
///     }
/// }
///
/// let mut encoder = RangeBitEncoder::new();
/// for level in [0, 3, 0, 64] {
///     code_level(&mut encoder, level)?;
/// }
/// let bytes = encoder.finish();
///
/// let mut decoder = RangeBitDecoder::new(&bytes);
/// for level in [0, 3, 0, 64] {
///     assert_eq!(code_level(&mut decoder, 0)?, level);
/// }
/// decoder.finish()?;
/// # Ok::<(), rcodec_core::Error>(())
/// ```
///
/// A decoder passes any value it likes (0, `false`) for what it does not know
/// yet; code must not look at the argument again, only at the returned value.
/// What may be skipped when decoding (a search, say) can ask
/// [`DECODES`](Self::DECODES), which is constant and costs nothing.
pub trait BitCoder {
    /// Whether the returned values come from a payload, and arguments are
    /// ignored.
    const DECODES: bool;

    /// Codes one bit. `p1_q16` is the probability that it is `true`, in
    /// 1..=65535 of 65536; values outside are clamped to that.
    ///
    /// # Errors
    ///
    /// A decoder reports [`Truncated`](rcodec_core::Error::Truncated) when it
    /// has to read beyond what an encoder may have left out, and
    /// [`Malformed`](rcodec_core::Error::Malformed) for bytes that no encoder
    /// writes. Encoders do not fail.
    fn code_bit(&mut self, bit: bool, p1_q16: u32) -> Result<bool>;

    /// Codes the low `bits` bits (at most 32, more are taken as 32) of
    /// `value`, all values being equally probable. Returns only those bits.
    ///
    /// # Errors
    ///
    /// As [`code_bit`](Self::code_bit).
    fn code_raw(&mut self, value: u32, bits: u32) -> Result<u32>;

    /// Codes a symbol with the probabilities of a table.
    ///
    /// # Errors
    ///
    /// As [`code_bit`](Self::code_bit); and an encoder reports
    /// [`Parameter`](rcodec_core::Error::Parameter) for a symbol that is not
    /// in the table.
    fn code_cdf(&mut self, symbol: u32, cdf: &Cdf) -> Result<u32>;

    /// About how many bytes of payload have been written or read: where to
    /// point in an error message. Encoders may lag by a few bytes, decoders
    /// run ahead by up to eight.
    fn position(&self) -> u64;
}

/// The two probabilities of a binary decision, both at least 1 of 65536.
#[inline(always)]
pub(crate) fn clamp_p1(p1_q16: u32) -> u32 {
    p1_q16.clamp(1, 65535)
}
