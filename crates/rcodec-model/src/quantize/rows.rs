//! Scales for the weights of a layer.

use super::scaled;
use rcodec_core::{Error, Result};
use rcodec_fixed::{MAX_SHIFT, sum_bound};

/// What is known before the weights of a layer are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scales {
    /// Fractional bits of the inputs, less the narrowing shift for layers that
    /// narrow them.
    pub input_q: i32,
    /// Fractional bits of the outputs. With a gate, the rows of the values and
    /// those of the gates (the gate's shift) have their own; quantise them
    /// apart and [`append`](Quantized::append).
    pub output_q: i32,
    /// The greatest magnitude of an input, 1 to 32768; 128 for layers that
    /// narrow them.
    pub input_max: u32,
    /// Bits of a weight with its sign, 2 to 16. Files grow by about a bit per
    /// weight with each; 8 makes weights that fit in an `i8`.
    pub weight_bits: u8,
}

/// A layer's integers: weight `w` of output `o` stands for
/// `w · 2^-(output_q + shift[o] - input_q)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantized {
    /// `[output][…]`.
    pub weights: Vec<i16>,
    /// In the scale of the sums.
    pub bias: Vec<i32>,
    /// For each output.
    pub shift: Vec<u8>,
}

impl Quantized {
    /// Adds the outputs of `other` after these.
    #[must_use]
    pub fn append(mut self, other: Quantized) -> Quantized {
        self.weights.extend(other.weights);
        self.bias.extend(other.bias);
        self.shift.extend(other.shift);
        self
    }
}

impl Scales {
    /// Fractional bits of the weights of an output that is shifted by `shift`.
    fn weight_q(&self, shift: u8) -> i32 {
        self.output_q + i32::from(shift) - self.input_q
    }

    fn check(&self) -> Result<()> {
        let is_possible = (2..=16).contains(&self.weight_bits)
            && (1..=1 << 15).contains(&self.input_max)
            && (-8..=31).contains(&self.input_q)
            && (0..=31).contains(&self.output_q);
        if !is_possible {
            return Err(Error::Parameter(format!("impossible scales {self:?}")));
        }
        Ok(())
    }
}

/// Rounds the weights of one output with a given shift; an error says what is
/// too large. The result is proven: `Σ|w| · input_max + |bias| + round < 2³¹`.
fn quantize_row(row: &[f32], bias: f32, shift: u8, scales: &Scales) -> Result<(Vec<i16>, i32)> {
    let limit = f64::from((1i32 << (scales.weight_bits - 1)) - 1);
    let weight_q = scales.weight_q(shift);
    let weights: Result<Vec<i16>> = row
        .iter()
        .map(|&weight| {
            let rounded = scaled(f64::from(weight), weight_q);
            // A weight that is not a number fails this too.
            if rounded.abs() <= limit {
                Ok(rounded as i16)
            } else {
                Err(Error::Parameter(format!("weight {weight} at Q{weight_q}")))
            }
        })
        .collect();
    let weights = weights?;
    let rounded = scaled(f64::from(bias), scales.input_q + weight_q);
    if rounded.is_nan() || rounded.abs() > f64::from(i32::MAX) {
        return Err(Error::Parameter(format!("bias {bias} at Q{weight_q}")));
    }
    let bias = rounded as i32;
    sum_bound(weights.iter().copied(), scales.input_max, bias, shift)?;
    Ok((weights, bias))
}

/// Chooses for each output the finest power-of-two scale at which its weights
/// fit in their bits and no sum can leave 32 bits, and rounds.
///
/// `weights` are `[output][…]`, `bias` one for each output.
///
/// # Errors
/// [`Error::Parameter`] if there is no such scale for an output (weights too
/// large for the formats of input and output), or the lengths do not fit.
pub fn quantize_rows(weights: &[f32], bias: &[f32], scales: &Scales) -> Result<Quantized> {
    let window = check_lengths(weights, bias, scales)?;
    let mut quantized = Quantized::default();
    for (output, (row, &bias)) in weights.chunks_exact(window).zip(bias).enumerate() {
        let largest = row.iter().fold(0f32, |max, w| max.max(w.abs()));
        let limit = f64::from(1i32 << (scales.weight_bits - 1));
        let mut found = None;
        for shift in (0..=MAX_SHIFT).rev() {
            // Most shifts are out of the question without looking at all.
            if f64::from(largest) * 2f64.powi(scales.weight_q(shift)) < limit {
                found = quantize_row(row, bias, shift, scales)
                    .ok()
                    .map(|row| (row, shift));
            }
            if found.is_some() {
                break;
            }
        }
        let Some(((row, bias), shift)) = found else {
            return Err(Error::Parameter(format!(
                "output {output}: no scale fits weights up to {largest} and bias {bias} ({scales:?})"
            )));
        };
        quantized.weights.extend(row);
        quantized.bias.push(bias);
        quantized.shift.push(shift);
    }
    Ok(quantized)
}

/// Rounds with given shifts, those that training simulated for instance.
///
/// # Errors
/// As [`quantize_rows`]: what the shifts make too large is an error.
pub fn quantize_with_shifts(
    weights: &[f32],
    bias: &[f32],
    shift: &[u8],
    scales: &Scales,
) -> Result<Quantized> {
    let window = check_lengths(weights, bias, scales)?;
    if shift.len() != bias.len() || shift.iter().any(|&shift| shift > MAX_SHIFT) {
        return Err(Error::parameter("not one possible shift for each output"));
    }
    let mut quantized = Quantized::default();
    for (output, (row, &bias)) in weights.chunks_exact(window).zip(bias).enumerate() {
        let row = quantize_row(row, bias, shift[output], scales)
            .map_err(|error| Error::Parameter(format!("output {output}: {error}")))?;
        quantized.weights.extend(row.0);
        quantized.bias.push(row.1);
    }
    quantized.shift = shift.to_vec();
    Ok(quantized)
}

/// Weights of one output.
fn check_lengths(weights: &[f32], bias: &[f32], scales: &Scales) -> Result<usize> {
    scales.check()?;
    if bias.is_empty() || weights.is_empty() || !weights.len().is_multiple_of(bias.len()) {
        return Err(Error::Parameter(format!(
            "{} weights for {} outputs",
            weights.len(),
            bias.len()
        )));
    }
    Ok(weights.len() / bias.len())
}
