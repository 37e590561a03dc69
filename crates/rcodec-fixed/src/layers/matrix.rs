//! Matrix products for recurrent models: one vector, or a small batch of them
//! side by side.

use super::affine::{Affine, Gate};
use crate::engine::{Engine, with_byte_scratch, with_scratch};
use crate::kernel::pack::{Bytes, Operand, Words};
use crate::requant::{Range, Requant, check_input_max, sum_bound};
use crate::residual::Residual;
use crate::simd::BYTE_OFFSET;
use rcodec_core::{Error, Result};

/// Rows of a batch that one thread takes at once.
const CHUNK_ROWS: usize = 48;

/// Description of a [`ByteMatrix`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteMatrixSpec {
    /// Length of an input vector.
    pub inputs: usize,
    /// Number of sums; with a gate, twice the outputs.
    pub outputs: usize,
    /// `[output][input]`, -127 to 127.
    pub weights: Vec<i8>,
    /// Biases, shifts and activation of the sums.
    pub requant: Requant,
    /// Whether one half of the outputs multiplies the other.
    pub gate: Option<Gate>,
}

/// Description of a [`WordMatrix`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordMatrixSpec {
    /// Length of an input vector.
    pub inputs: usize,
    /// Number of sums; with a gate, twice the outputs.
    pub outputs: usize,
    /// `[output][input]`.
    pub weights: Vec<i16>,
    /// Biases, shifts and activation of the sums.
    pub requant: Requant,
    /// Whether one half of the outputs multiplies the other.
    pub gate: Option<Gate>,
    /// The largest magnitude of an input, 1 to 32768.
    pub input_max: u32,
}

/// The bounds of a matrix's sums, everything else checked.
fn sum_bounds<T: Copy + Into<i16>>(
    (inputs, outputs): (usize, usize),
    weights: &[T],
    requant: &Requant,
    gate: Option<Gate>,
    input_max: u32,
) -> Result<Vec<u32>> {
    if inputs == 0 || outputs == 0 || inputs.checked_mul(outputs) != Some(weights.len()) {
        return Err(Error::Parameter(format!(
            "{} weights for a matrix of {inputs} inputs and {outputs} outputs",
            weights.len()
        )));
    }
    check_input_max(input_max)?;
    requant.check(outputs)?;
    gate.map_or(Ok(()), |gate| gate.check(outputs))?;
    weights
        .chunks_exact(inputs)
        .enumerate()
        .map(|(output, weights)| {
            let weights = weights.iter().map(|&w| w.into());
            sum_bound(
                weights,
                input_max,
                requant.bias[output],
                requant.shift[output],
            )
        })
        .collect()
}

impl ByteMatrixSpec {
    /// The bound of each output's sums, below 2³¹ or an error.
    pub fn sum_bounds(&self) -> Result<Vec<u32>> {
        if self.weights.contains(&i8::MIN) {
            return Err(Error::parameter(
                "weight of -128: 8-bit weights are symmetric",
            ));
        }
        let sizes = (self.inputs, self.outputs);
        sum_bounds(sizes, &self.weights, &self.requant, self.gate, 128)
    }
}

impl WordMatrixSpec {
    /// The bound of each output's sums, below 2³¹ or an error.
    pub fn sum_bounds(&self) -> Result<Vec<u32>> {
        let sizes = (self.inputs, self.outputs);
        let input_max = self.input_max;
        sum_bounds(sizes, &self.weights, &self.requant, self.gate, input_max)
    }
}

/// What both kinds of matrices are.
#[derive(Clone, Debug)]
struct Matrix<O: Operand> {
    inputs: usize,
    affine: Affine<O>,
    /// The biases alone: what sums that are not requantised start at.
    bias: Vec<i32>,
}

impl<O: Operand> Matrix<O> {
    fn new(
        (inputs, outputs): (usize, usize),
        weights: &[O::Elem],
        requant: &Requant,
        gate: Option<Gate>,
        bounds: &[u32],
    ) -> Matrix<O> {
        let weight = |output, input| weights[output * inputs + input];
        let affine = Affine::new((outputs, inputs), weight, requant, gate, bounds);
        let bias = affine.per_slot(|output| requant.bias[output]);
        Matrix {
            inputs,
            affine,
            bias,
        }
    }

    /// Rows of `input`, if `out_len` outputs belong to them.
    fn rows(&self, input_len: usize, out_len: usize) -> Result<usize> {
        let rows = input_len / self.inputs;
        let fits = rows.checked_mul(self.affine.width()) == Some(out_len);
        if !fits || !input_len.is_multiple_of(self.inputs) {
            return Err(Error::Parameter(format!(
                "{input_len} values for {out_len} outputs of a matrix of {} inputs and {} outputs",
                self.inputs,
                self.affine.width()
            )));
        }
        Ok(rows)
    }

    /// Inputs, padded to groups.
    fn padded_inputs(&self) -> usize {
        self.inputs.next_multiple_of(O::GROUP)
    }

    /// Calls `compute` for chunks of rows of `out`.
    fn split<T: Send>(
        &self,
        engine: &Engine,
        input: &[O::Elem],
        out: &mut [T],
        compute: impl Fn(usize, &[O::Elem], &mut [T]) + Sync,
    ) {
        let width = self.affine.width();
        let work = self
            .affine
            .work()
            .saturating_mul((out.len() / width) as u64);
        engine.split(out, CHUNK_ROWS * width, work, |i, out| {
            let rows = out.len() / width;
            let input = &input[i * CHUNK_ROWS * self.inputs..][..rows * self.inputs];
            compute(i * CHUNK_ROWS * width, input, out);
        });
    }

    /// Fails if there is a gate.
    fn check_ungated(&self) -> Result<()> {
        if self.affine.is_gated() {
            return Err(Error::parameter(
                "the sums of a gated matrix have no meaning",
            ));
        }
        Ok(())
    }
}

/// A matrix of `i8` weights for vectors of `i8`; outputs are `i16`.
#[derive(Clone, Debug)]
pub struct ByteMatrix {
    matrix: Matrix<Bytes>,
    /// What the sums start at on levels that add [`BYTE_OFFSET`] to the
    /// activations: `BYTE_OFFSET · Σw` is taken off.
    offset_start: Vec<i32>,
    /// The same for the biases alone.
    offset_bias: Vec<i32>,
}

impl ByteMatrix {
    /// Checks the description, proves that no sum overflows, and packs the
    /// weights.
    pub fn new(spec: &ByteMatrixSpec) -> Result<ByteMatrix> {
        let bounds = spec.sum_bounds()?;
        let sizes = (spec.inputs, spec.outputs);
        let matrix = Matrix::new(sizes, &spec.weights, &spec.requant, spec.gate, &bounds);
        let weight_sums = matrix.affine.per_slot(|output| {
            let weights = &spec.weights[output * spec.inputs..][..spec.inputs];
            weights
                .iter()
                .fold(0, |sum: i32, &w| sum.wrapping_add(i32::from(w)))
        });
        let offset = |start: &[i32]| -> Vec<i32> {
            let sums = start.iter().zip(&weight_sums);
            sums.map(|(&start, &sum)| start.wrapping_sub(BYTE_OFFSET.wrapping_mul(sum)))
                .collect()
        };
        Ok(ByteMatrix {
            offset_start: offset(matrix.affine.start()),
            offset_bias: offset(&matrix.bias),
            matrix,
        })
    }

    /// Length of an input vector.
    pub fn inputs(&self) -> usize {
        self.matrix.inputs
    }

    /// Outputs for each vector.
    pub fn outputs(&self) -> usize {
        self.matrix.affine.width()
    }

    /// The outputs that are possible.
    pub fn output_range(&self) -> Range {
        self.matrix.affine.range()
    }

    /// Multiply-adds for each vector.
    pub fn work(&self) -> u64 {
        self.matrix.affine.work()
    }

    /// Multiplies one or more vectors, one after another in `input`, and
    /// requantises. `residual` is as for layers.
    pub fn apply(
        &self,
        engine: &Engine,
        input: &[i8],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()> {
        self.matrix.rows(input.len(), out.len())?;
        residual.check(out.len())?;
        let affine = &self.matrix.affine;
        self.matrix.split(engine, input, out, |first, input, out| {
            let residual = residual.part(first, out.len());
            let starts = (affine.start(), &self.offset_start[..]);
            self.with_operands(engine, starts, input, |rows, start| {
                let stride = self.matrix.padded_inputs();
                affine.run(engine, (rows, stride, &[0]), start, residual, out);
            });
        });
        Ok(())
    }

    /// As [`ByteMatrix::apply`], but gives the sums with their biases, neither
    /// shifted nor activated. Not for gated matrices.
    pub fn sums(&self, engine: &Engine, input: &[i8], out: &mut [i32]) -> Result<()> {
        self.matrix.rows(input.len(), out.len())?;
        self.matrix.check_ungated()?;
        self.matrix.split(engine, input, out, |_, input, out| {
            let starts = (&self.matrix.bias[..], &self.offset_bias[..]);
            self.with_operands(engine, starts, input, |rows, start| {
                let stride = self.matrix.padded_inputs();
                self.matrix
                    .affine
                    .run_sums(engine, rows, stride, start, out);
            });
        });
        Ok(())
    }

    /// Lends the vectors and the starts of the sums as the engine's level
    /// wants them: padded, and perhaps with an offset.
    fn with_operands(
        &self,
        engine: &Engine,
        (start, offset_start): (&[i32], &[i32]),
        input: &[i8],
        use_them: impl FnOnce(&[i8], &[i32]),
    ) {
        let (inputs, padded) = (self.matrix.inputs, self.matrix.padded_inputs());
        let has_offset = engine.simd().has_byte_offset();
        if !has_offset && inputs == padded {
            return use_them(input, start);
        }
        // The sign bit flipped is 128 added, in the unsigned reading.
        let (flip, start) = if has_offset {
            (i8::MIN, offset_start)
        } else {
            (0, start)
        };
        with_byte_scratch(input.len() / inputs * padded, |rows| {
            let vectors = rows.chunks_exact_mut(padded);
            for (to, from) in vectors.zip(input.chunks_exact(inputs)) {
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = from ^ flip;
                }
                to[inputs..].fill(0);
            }
            use_them(rows, start);
        });
    }
}

/// A matrix of `i16` weights for vectors of `i16`.
#[derive(Clone, Debug)]
pub struct WordMatrix {
    matrix: Matrix<Words>,
    input_max: u32,
}

impl WordMatrix {
    /// The largest magnitude of an input that its sums are proved for.
    pub fn input_max(&self) -> u32 {
        self.input_max
    }

    /// Weights and what follows.
    pub(crate) fn affine(&self) -> &Affine<Words> {
        &self.matrix.affine
    }

    /// Checks the description, proves that no sum overflows, and packs the
    /// weights.
    pub fn new(spec: &WordMatrixSpec) -> Result<WordMatrix> {
        let bounds = spec.sum_bounds()?;
        let sizes = (spec.inputs, spec.outputs);
        let matrix = Matrix::new(sizes, &spec.weights, &spec.requant, spec.gate, &bounds);
        Ok(WordMatrix {
            matrix,
            input_max: spec.input_max,
        })
    }

    /// Length of an input vector.
    pub fn inputs(&self) -> usize {
        self.matrix.inputs
    }

    /// Outputs for each vector.
    pub fn outputs(&self) -> usize {
        self.matrix.affine.width()
    }

    /// The outputs that are possible.
    pub fn output_range(&self) -> Range {
        self.matrix.affine.range()
    }

    /// Multiply-adds for each vector.
    pub fn work(&self) -> u64 {
        self.matrix.affine.work()
    }

    /// Multiplies one or more vectors, one after another in `input`, and
    /// requantises. `residual` is as for layers.
    pub fn apply(
        &self,
        engine: &Engine,
        input: &[i16],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()> {
        self.matrix.rows(input.len(), out.len())?;
        residual.check(out.len())?;
        let affine = &self.matrix.affine;
        self.matrix.split(engine, input, out, |first, input, out| {
            let residual = residual.part(first, out.len());
            self.with_padding(input, |rows| {
                let rows = (rows, self.matrix.padded_inputs(), &[0][..]);
                affine.run(engine, rows, affine.start(), residual, out);
            });
        });
        Ok(())
    }

    /// As [`WordMatrix::apply`], but gives the sums with their biases, neither
    /// shifted nor activated. Not for gated matrices.
    pub fn sums(&self, engine: &Engine, input: &[i16], out: &mut [i32]) -> Result<()> {
        self.matrix.rows(input.len(), out.len())?;
        self.matrix.check_ungated()?;
        self.matrix.split(engine, input, out, |_, input, out| {
            self.with_padding(input, |rows| {
                let stride = self.matrix.padded_inputs();
                self.matrix
                    .affine
                    .run_sums(engine, rows, stride, &self.matrix.bias, out);
            });
        });
        Ok(())
    }

    /// Lends the vectors padded to pairs.
    fn with_padding(&self, input: &[i16], use_it: impl FnOnce(&[i16])) {
        let (inputs, padded) = (self.matrix.inputs, self.matrix.padded_inputs());
        if inputs == padded {
            return use_it(input);
        }
        with_scratch(input.len() / inputs * padded, |rows| {
            let vectors = rows.chunks_exact_mut(padded);
            for (to, from) in vectors.zip(input.chunks_exact(inputs)) {
                to[..inputs].copy_from_slice(from);
                to[inputs..].fill(0);
            }
            use_it(rows);
        });
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
