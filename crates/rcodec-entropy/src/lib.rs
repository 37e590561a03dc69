//! Entropy coding in integers: coders, probability tables, adaptive models and
//! logistic mixing for images, audio and text alike.
//!
//! The coding itself is done by [`constriction`]'s range and ANS coders. This
//! crate adds what a codec for ever needs around them: models in integers
//! only, so that a file decodes to the same symbols on every machine; payloads
//! that lose about a byte at their end; decoders for which hostile input is
//! normal input.
//!
//! ```text
//!            models (this crate)                     coders (over constriction)
//!  symbol ─▶ Cdf / ParametricTables ── table ──────▶ RangeBitEncoder  ─▶ payload
//!            AdaptiveBit, CountedBit ─ p1_q16 ─────▶ AnsEncoder       ─▶ payload
//!            └▶ logistic::MixerStack ▶ Apm ─ p1 ───▶ CostEstimator    ─▶ bits
//! ```
//!
//! # Write a model once
//!
//! Everything is coded through [`BitCoder`], in both directions by the same
//! code: an encoder returns the value that it was given, a decoder the one
//! that it found, and [`CostEstimator`] only counts. See there for an example.
//!
//! # Which coder should I use?
//!
//! - **[`RangeBitEncoder`]** when probabilities depend on what was coded just
//!   before: adaptive models, mixing, contexts. It is a queue, first in, first
//!   out. This is the default choice.
//! - **[`AnsEncoder`]** when all tables of a block are known before the block
//!   is coded: static tables, latents of a network. It decodes about 40%
//!   faster, but it has to record the block (4 bytes a symbol) and encode it
//!   backwards, and corruption shows only at the end.
//! - **[`CostEstimator`]** when a mode has to be chosen: it gives the length
//!   that either coder would reach.
//!
//! # Which model should I use?
//!
//! | what is coded | model |
//! |---|---|
//! | a flag in a context | [`CountedBit`]; [`AdaptiveBit`] for very many contexts |
//! | a small symbol, adaptively | [`BitTree`] |
//! | a symbol with known frequencies | [`Cdf`] |
//! | a residual of known scale | [`ParametricTables`], which escapes what is far off |
//! | an integer of any size | [`AdaptiveExpGolomb`]; [`code_exp_golomb`] for a few of them |
//! | what several models predict | [`logistic::MixerStack`], then [`logistic::Apm`] |
//! | noise | [`BitCoder::code_raw`] |
//!
//! Adaptive bits cost more time than a table symbol for each bit, but learn;
//! mixing costs some 5 to 30 ns a bit, and is where the last 10% come from.
//!
//! # What must hold
//!
//! - No floats, and no `usize` arithmetic that could differ between machines,
//!   in anything that decides a probability. Tables come out of integer
//!   arithmetic when the crate is compiled or a table is built.
//! - Probabilities are never 0: what a model holds for impossible stays
//!   codable.
//! - A decoder takes any bytes. It ends in symbols or an error and does not
//!   allocate; how many symbols to ask for is for the caller to limit.
//! - Given the same calls, payloads and models never change: `tests/golden.rs`
//!   pins them.
//!
//! [`constriction`]: https://docs.rs/constriction

mod adaptive;
mod ans;
mod cdf;
mod coder;
mod cost;
mod escape;
mod fixed_math;
pub mod logistic;
mod model;
mod parametric;
mod range;

pub use adaptive::{AdaptiveBit, BitModel, BitTree, CountedBit, TwoRateBit};
pub use ans::{AnsDecoder, AnsEncoder};
pub use cdf::{Cdf, MAX_SYMBOLS, PRECISION};
pub use coder::BitCoder;
pub use cost::{CostEstimator, cost_q24};
pub use escape::{
    AdaptiveExpGolomb, code_exp_golomb, code_exp_golomb_signed, code_raw_u64, unzigzag, zigzag,
};
pub use parametric::{Family, ParametricTables, SCALES, scale_q16};
pub use range::{RangeBitDecoder, RangeBitEncoder};
