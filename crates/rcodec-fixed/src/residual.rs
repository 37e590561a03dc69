//! What a layer adds to its outputs.

use crate::engine::{Engine, with_scratch};
use crate::kernel::elementwise::AddAssign;
use rcodec_core::{Error, Result};

/// What a layer adds to its outputs, saturating, before it stores them.
#[derive(Clone, Copy, Debug)]
pub enum Residual<'a> {
    /// Nothing.
    None,
    /// Values of the output's shape and scale.
    Add(&'a [i16]),
    /// What the output holds already.
    Accumulate,
}

impl<'a> Residual<'a> {
    /// Fails if there are values and not `len` of them.
    pub(crate) fn check(&self, len: usize) -> Result<()> {
        match self {
            Residual::Add(values) if values.len() != len => Err(Error::Parameter(format!(
                "{} residual values for {len} outputs",
                values.len()
            ))),
            _ => Ok(()),
        }
    }

    /// The part that belongs to outputs `start..start + len`.
    pub(crate) fn part(&self, start: usize, len: usize) -> Residual<'a> {
        match self {
            Residual::Add(values) => Residual::Add(&values[start..start + len]),
            other => *other,
        }
    }

    /// Lets `compute` fill `out`, and adds this.
    pub(crate) fn add_to(
        &self,
        engine: &Engine,
        out: &mut [i16],
        compute: impl FnOnce(&mut [i16]),
    ) {
        match *self {
            Residual::None => compute(out),
            Residual::Add(x) => {
                compute(out);
                engine.simd().run(AddAssign { x, out });
            }
            Residual::Accumulate => with_scratch(out.len(), |x| {
                compute(x);
                engine.simd().run(AddAssign { x, out });
            }),
        }
    }
}
