//! Entropy coding of rcodec in integers.
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
