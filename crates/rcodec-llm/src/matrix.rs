//! Matrices of 8-bit weights.
//!
//! ```text
//! w[row][i] ≈ w_q[row][i] · scale[row]        |w_q| ≤ 127, scale 16 bits and a power of two
//! x[i]      ≈ (256·hi[i] + lo[i]) · 2^(e-20)  15 bits, as two vectors of i8
//! y[row]    = (256·Σ w_q·hi + Σ w_q·lo) · scale[row] · 2^(e-20)
//! ```
//!
//! Both vectors go through the weights at once, so that what activations lose
//! is far less than what weights do.

use crate::fixed::{exponent_for, largest, scaled};
use crate::float::Float;
use rayon::prelude::*;
use rcodec_core::{Budget, Reservation, Result};
use rcodec_fixed::{Activation, ByteMatrix, ByteMatrixSpec, Engine, Requant};

/// Weights in a part, about.
const PART_WEIGHTS: usize = 1 << 20;
/// Weights from which on parts are computed side by side.
const PARALLEL_WEIGHTS: usize = 1 << 21;
/// Bits of an activation's magnitude.
const INPUT_BITS: i32 = 14;

/// `mantissa · 2^exponent`; the mantissa has 16 bits, or is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) mantissa: i64,
    pub(crate) exponent: i32,
}

/// Rounds a row to 8 bits: its largest weight becomes ±127.
pub(crate) fn quantize_row(row: &[Float], out: &mut Vec<i8>) -> Scale {
    let most = row.iter().copied().max_by_key(|w| w.magnitude());
    let most = most.unwrap_or(Float::ZERO);
    if most.mantissa == 0 {
        out.resize(out.len() + row.len(), 0);
        return Scale {
            mantissa: 0,
            exponent: 0,
        };
    }
    let divisor = most.mantissa.unsigned_abs();
    // The quotient by multiplication with an inverse for each power of two,
    // which is at most one too small.
    let twice: [u64; 10] = std::array::from_fn(|shift| u64::from(divisor) << (shift + 1));
    let inverse_q55 = twice.map(|twice| (1 << 55) / twice);
    out.extend(row.iter().map(|w| {
        // Below 1/512 of the largest a weight is 0.
        let shift = most.exponent - w.exponent;
        if w.mantissa == 0 || shift > 9 {
            return 0;
        }
        let shift = shift as usize;
        let numerator = u64::from(w.mantissa.unsigned_abs()) * 254 + (u64::from(divisor) << shift);
        let quotient = (numerator * inverse_q55[shift]) >> 55;
        let is_small = (quotient + 1) * twice[shift] <= numerator;
        let q = quotient as i8 + i8::from(is_small);
        if w.mantissa < 0 { -q } else { q }
    }));
    // 24 bits over 127, to 16 bits: the quotient has 17 or 18.
    let quotient = (u64::from(divisor) << 16) / 127;
    let shift = 64 - quotient.leading_zeros() as i32 - 16;
    Scale {
        mantissa: (quotient >> shift) as i64,
        exponent: most.exponent - 16 + shift,
    }
}

/// An activation vector in two parts.
pub(crate) struct Halves {
    /// All upper halves, then all lower ones.
    values: Vec<i8>,
    exponent: i32,
}

impl Halves {
    /// Rounds a vector in Q20 to 15 bits.
    pub(crate) fn new(x: &[i64]) -> Halves {
        let exponent = exponent_for(largest(x), INPUT_BITS);
        let mut values = vec![0i8; 2 * x.len()];
        let (high, low) = values.split_at_mut(x.len());
        for ((high, low), &x) in high.iter_mut().zip(low).zip(x) {
            // At most 2^14 in magnitude, so that the upper half is within ±64.
            let x = scaled(x, -exponent);
            *high = ((x + 128) >> 8) as i8;
            *low = x as i8;
        }
        Halves { values, exponent }
    }
}

/// A matrix of `[row][input]`.
pub(crate) struct Matrix {
    inputs: usize,
    /// Rows of each part but the last.
    part_rows: usize,
    parts: Vec<ByteMatrix>,
    scales: Vec<Scale>,
    /// Added to the products, Q20; none if empty.
    pub(crate) bias: Vec<i64>,
    _reservation: Reservation,
}

impl Matrix {
    /// Quantises rows as `next_row` gives them.
    pub(crate) fn new(
        (rows, inputs): (usize, usize),
        budget: &Budget,
        mut next_row: impl FnMut(usize, &mut Vec<Float>) -> Result<()>,
    ) -> Result<Matrix> {
        let bytes = (rows as u64).saturating_mul(inputs as u64 + 32);
        let reservation = budget.reserve(bytes)?;
        let part_rows = (PART_WEIGHTS / inputs.max(1)).next_multiple_of(64);
        let (mut parts, mut scales, mut row) = (Vec::new(), Vec::new(), Vec::new());
        for first in (0..rows).step_by(part_rows) {
            let outputs = part_rows.min(rows - first);
            let mut weights = Vec::new();
            for index in first..first + outputs {
                next_row(index, &mut row)?;
                scales.push(quantize_row(&row, &mut weights));
            }
            parts.push(ByteMatrix::new(&ByteMatrixSpec {
                inputs,
                outputs,
                weights,
                requant: Requant::uniform(outputs, 0, Activation::Identity),
                gate: None,
            })?);
        }
        Ok(Matrix {
            inputs,
            part_rows,
            parts,
            scales,
            bias: Vec::new(),
            _reservation: reservation,
        })
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Multiply-adds of a product.
    pub(crate) fn work(&self) -> u64 {
        2 * (self.rows() * self.inputs) as u64
    }

    /// The product with a vector, Q20.
    pub(crate) fn apply(&self, engine: &Engine, x: &Halves) -> Result<Vec<i64>> {
        let mut out = vec![0i64; self.rows()];
        let compute = |(part, out): (usize, &mut [i64])| -> Result<()> {
            let rows = out.len();
            let mut sums = vec![0i32; 2 * rows];
            self.parts[part].sums(engine, &x.values, &mut sums)?;
            let (high, low) = sums.split_at(rows);
            let scales = &self.scales[part * self.part_rows..][..rows];
            for ((out, scale), (&high, &low)) in
                out.iter_mut().zip(scales).zip(high.iter().zip(low))
            {
                let sum = 256 * i64::from(high) + i64::from(low);
                // 2^35 or less times 16 bits.
                *out = scaled(sum * scale.mantissa, scale.exponent + x.exponent);
            }
            Ok(())
        };
        if self.rows() * self.inputs >= PARALLEL_WEIGHTS && rayon::current_num_threads() > 1 {
            let parts = out.par_chunks_mut(self.part_rows).enumerate();
            parts.try_for_each(compute)?;
        } else {
            let parts = out.chunks_mut(self.part_rows).enumerate();
            parts.into_iter().try_for_each(compute)?;
        }
        for (out, bias) in out.iter_mut().zip(&self.bias) {
            *out += bias;
        }
        Ok(out)
    }
}

/// The embedding: rows of 8-bit weights that are looked up.
pub(crate) struct Embedding {
    width: usize,
    weights: Vec<i8>,
    scales: Vec<Scale>,
    _reservation: Reservation,
}

impl Embedding {
    /// Quantises rows as `next_row` gives them.
    pub(crate) fn new(
        (rows, width): (usize, usize),
        budget: &Budget,
        mut next_row: impl FnMut(usize, &mut Vec<Float>) -> Result<()>,
    ) -> Result<Embedding> {
        let bytes = (rows as u64).saturating_mul(width as u64 + 16);
        let reservation = budget.reserve(bytes)?;
        let (mut weights, mut scales, mut row) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..rows {
            next_row(index, &mut row)?;
            scales.push(quantize_row(&row, &mut weights));
        }
        Ok(Embedding {
            width,
            weights,
            scales,
            _reservation: reservation,
        })
    }

    /// The row of a token, Q20.
    pub(crate) fn row(&self, token: usize) -> Vec<i64> {
        let scale = self.scales[token];
        let weights = &self.weights[token * self.width..][..self.width];
        let row = weights.iter().map(|&w| {
            scaled(
                i64::from(w) * scale.mantissa,
                scale.exponent + crate::fixed::Q,
            )
        });
        row.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::FloatType;
    use proptest::prelude::*;

    fn floats(values: &[f32]) -> Vec<Float> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut out = Vec::new();
        FloatType::F32.read(&bytes, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn rows_are_rounded_to_nearest(values in prop::collection::vec(-3.0f32..3.0, 1..50), power in -60i32..60) {
            let values: Vec<f32> = values.iter().map(|v| v * 2f32.powi(power)).collect();
            let mut out = Vec::new();
            let scale = quantize_row(&floats(&values), &mut out);
            let most = values.iter().fold(0.0f64, |m, &v| m.max(f64::from(v).abs()));
            for (&v, &q) in values.iter().zip(&out) {
                if most > 0.0 {
                    prop_assert!((f64::from(v) * 127.0 / most - f64::from(q)).abs() < 0.5001);
                }
            }
            let found = scale.mantissa as f64 * 2f64.powi(scale.exponent);
            prop_assert!((found - most / 127.0).abs() <= most / 127.0 / 32768.0);
        }

        #[test]
        fn products_are_those_of_floats(
            rows in 1usize..100,
            inputs in 1usize..70,
            seed in any::<u32>(),
        ) {
            let value = |i: usize| {
                let x = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed);
                (x.wrapping_mul(x | 1) >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            let budget = Budget::new(rcodec_core::Limits::default());
            let matrix = Matrix::new((rows, inputs), &budget, |row, out| {
                let row: Vec<f32> = (0..inputs).map(|i| value(row * inputs + i)).collect();
                *out = floats(&row);
                Ok(())
            }).unwrap();
            let x: Vec<f64> = (0..inputs).map(|i| f64::from(value(99 * i + 7)) * 30.0).collect();
            let x_q20: Vec<i64> = x.iter().map(|x| (x * f64::from(1 << 20)) as i64).collect();
            let found = matrix.apply(&Engine::new(), &Halves::new(&x_q20)).unwrap();
            for (row, &found) in found.iter().enumerate() {
                let exact: f64 = (0..inputs).map(|i| f64::from(value(row * inputs + i)) * x[i]).sum();
                let error = (found as f64 / f64::from(1 << 20) - exact).abs();
                // Half a step of a weight times each input.
                prop_assert!(error < 0.5 / 127.0 * 30.0 * inputs as f64 + 0.1, "{error}");
            }
        }
    }
}
