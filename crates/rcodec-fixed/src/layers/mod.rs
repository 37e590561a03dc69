//! The layers: checked descriptions turned into packed weights, and what runs
//! them.
//!
//! A layer is made from a `…Spec`, plain data with weights in an obvious
//! order, by a constructor that checks everything it will rely on: sizes,
//! shifts, and that no sum can leave 32 bits. After that, running it can only
//! fail for the shape of what it is given.

mod affine;
mod causal;
mod chain;
mod conv;
mod depthwise;
mod elementwise;
mod matrix;
mod recurrent;
mod shuffle;
mod table;
mod transposed;

pub use affine::Gate;
pub use causal::{CausalConv1d, CausalConv1dSpec, CausalState};
pub use chain::WordChain;
pub use conv::{Conv2d, Conv2dSpec};
pub use depthwise::{DepthwiseConv2d, DepthwiseConv2dSpec};
pub use elementwise::{Gain, GateHalves, activate, add_assign, multiply, narrow};
pub use matrix::{ByteMatrix, ByteMatrixSpec, WordMatrix, WordMatrixSpec};
pub use recurrent::{GatedRecurrence, GruCell, GruState, MinGruCell, MinGruState};
pub use shuffle::{PixelShuffle, PixelUnshuffle};
pub use table::{Table, TableSpec};
pub use transposed::{ConvPixelShuffle, TransposedConv2dSpec};

use crate::engine::Engine;
use crate::requant::Range;
use crate::residual::Residual;
use crate::tensor::{QFormat, Shape, Tensor};
use rcodec_core::{Error, Result};

/// What lies beyond the edges of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Padding {
    /// Zeros.
    #[default]
    Zero,
    /// The value at the edge.
    Replicate,
}

impl Padding {
    /// The index in `0..len` that stands for `index`; `None` where there are
    /// zeros.
    #[inline]
    pub fn index(self, index: isize, len: usize) -> Option<usize> {
        match self {
            _ if (0..len as isize).contains(&index) => Some(index as usize),
            Padding::Zero => None,
            Padding::Replicate => Some(index.clamp(0, len as isize - 1) as usize),
        }
    }
}

/// A layer from one tensor to one tensor.
pub trait Layer: Send + Sync {
    /// The scale of its inputs.
    fn input_q(&self) -> QFormat;

    /// The scale of its outputs.
    fn output_q(&self) -> QFormat;

    /// The shape it gives for an input's, or an error if it cannot take it.
    fn output_shape(&self, input: Shape) -> Result<Shape>;

    /// The outputs that are possible, a residual not counted.
    fn output_range(&self) -> Range;

    /// Multiply-adds for an input of that shape.
    fn work(&self, input: Shape) -> u64;

    /// Computes `out` from `input`, values of shape `shape`; `out` has the
    /// length of the output shape. Fails for the wrong lengths only.
    fn run(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()>;

    /// Computes `out`, which takes the output's shape and scale.
    fn forward(&self, engine: &Engine, input: &Tensor, out: &mut Tensor) -> Result<()> {
        check_q(self.input_q(), input)?;
        out.reshape(self.output_shape(input.shape())?, self.output_q())?;
        let (shape, values) = (input.shape(), input.values());
        self.run(engine, shape, values, Residual::None, out.values_mut())
    }

    /// Computes `out` and adds `residual`, of the output's shape and scale.
    fn forward_add(
        &self,
        engine: &Engine,
        input: &Tensor,
        residual: &Tensor,
        out: &mut Tensor,
    ) -> Result<()> {
        check_q(self.input_q(), input)?;
        check_q(self.output_q(), residual)?;
        out.reshape(self.output_shape(input.shape())?, self.output_q())?;
        let (shape, values) = (input.shape(), input.values());
        let residual = Residual::Add(residual.values());
        self.run(engine, shape, values, residual, out.values_mut())
    }

    /// Adds its outputs to `sum`, of the output's shape and scale.
    fn forward_accumulate(&self, engine: &Engine, input: &Tensor, sum: &mut Tensor) -> Result<()> {
        check_q(self.input_q(), input)?;
        check_q(self.output_q(), sum)?;
        if sum.shape() != self.output_shape(input.shape())? {
            return Err(Error::Parameter(format!(
                "a sum of {:?} cannot take the outputs for {:?}",
                sum.shape(),
                input.shape()
            )));
        }
        let (shape, values) = (input.shape(), input.values());
        self.run(
            engine,
            shape,
            values,
            Residual::Accumulate,
            sum.values_mut(),
        )
    }
}

/// Fails if the tensor has not the scale `q`.
fn check_q(q: QFormat, tensor: &Tensor) -> Result<()> {
    if tensor.q() != q {
        return Err(Error::Parameter(format!(
            "a tensor of {:?} where {q:?} is expected",
            tensor.q()
        )));
    }
    Ok(())
}

/// Fails unless `input` and `out` have the lengths of their shapes.
fn check_lengths(input: Shape, values: &[i16], output: Shape, out: &[i16]) -> Result<()> {
    if values.len() != input.checked_len()? || out.len() != output.checked_len()? {
        return Err(Error::Parameter(format!(
            "{} values for {input:?}, {} for {output:?}",
            values.len(),
            out.len()
        )));
    }
    Ok(())
}

/// Fails unless the input has `channels` channels.
fn check_channels(input: Shape, channels: usize) -> Result<()> {
    if input.channels != channels {
        return Err(Error::Parameter(format!(
            "{} channels where {channels} are expected",
            input.channels
        )));
    }
    Ok(())
}

#[cfg(test)]
mod test_support;
