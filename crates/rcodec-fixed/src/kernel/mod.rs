//! The kernels, each written once over [`Isa`](crate::simd::Isa).
//!
//! ```text
//!   activations ─┐
//!                ├─▶ gemm: tiles of i32 sums ─▶ sink: shift, clip, gate, add ─▶ i16
//!   packed W ────┘
//! ```

pub(crate) mod depthwise;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod pack;
pub(crate) mod pages;
pub(crate) mod prefetch;
pub(crate) mod products;
pub(crate) mod sink;
