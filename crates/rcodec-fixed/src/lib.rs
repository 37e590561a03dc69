//! Fixed-point neural inference that gives the same bits on every machine.
//!
//! Float networks differ in the last bit from one machine to another, and an
//! entropy decoder that depends on one derails. Here everything is an integer:
//!
//! * activations are `i16` with a scale ([`QFormat`]), weights `i16` or `i8`,
//!   sums `i32` that wrap, and provably never do (each constructor checks
//!   `Σ|w| · max|x| + |bias| + round < 2³¹` for every output);
//! * a layer's sums become `i16` again by a rounding shift and one saturation
//!   at its end ([`Requant`]);
//! * kernels are written once over a vector abstraction and compiled for
//!   several instruction sets ([`Level`]); all of them give the bits of the
//!   scalar one. The number of threads changes nothing either.
//!
//! ```
//! use rcodec_fixed::{
//!     Activation, Conv2d, Conv2dSpec, Engine, Layer, Padding, QFormat, Requant, Shape, Tensor,
//! };
//!
//! # fn main() -> rcodec_core::Result<()> {
//! let q8 = QFormat::new(8)?;
//! let layer = Conv2d::new(&Conv2dSpec {
//!     in_channels: 2,
//!     out_channels: 1,
//!     kernel: 1,
//!     stride: 1,
//!     padding: Padding::Zero,
//!     weights: vec![3 << 6, -1 << 6], // 3 and -1 with 6 fractional bits
//!     requant: Requant::uniform(1, 6, Activation::relu(i16::MAX)),
//!     gate: None,
//!     input_max: 1 << 15,
//!     input_q: q8,
//!     output_q: q8,
//! })?;
//! let engine = Engine::new();
//! let input = Tensor::from_values(Shape::new(1, 2, 2)?, q8, vec![100, 20, 10, 50])?;
//! let mut output = Tensor::zeros(layer.output_shape(input.shape())?, q8)?;
//! layer.forward(&engine, &input, &mut output)?;
//! assert_eq!(output.values(), [280, 0]);
//! # Ok(())
//! # }
//! ```
//!
//! This is the only crate of rcodec with `unsafe`, and only in its `simd` and
//! `kernel` modules.

mod engine;
mod kernel;
pub mod layers;
mod requant;
mod residual;
mod simd;
mod tensor;
mod work;

pub use engine::Engine;
pub use kernel::pages::prefer_large_pages;
pub use kernel::prefetch::prefetch;
pub use layers::{
    ByteMatrix, ByteMatrixSpec, CausalConv1d, CausalConv1dSpec, CausalState, Conv2d, Conv2dSpec,
    ConvPixelShuffle, DepthwiseConv2d, DepthwiseConv2dSpec, Gain, Gate, GateHalves,
    GatedRecurrence, GruCell, GruState, Layer, MinGruCell, MinGruState, Padding, PixelShuffle,
    PixelUnshuffle, Table, TableSpec, TransposedConv2dSpec, WordChain, WordMatrix, WordMatrixSpec,
};
pub use requant::{Activation, MAX_SHIFT, Range, Requant, sum_bound};
pub use residual::Residual;
pub use simd::Level;
pub use tensor::{QFormat, Shape, Tensor};
pub use work::Work;
