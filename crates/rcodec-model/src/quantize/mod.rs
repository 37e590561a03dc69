//! The exporter's side: from floats to a model.
//!
//! ```text
//! f32 weights ── quantize_rows ──▶ Quantized ── GraphBuilder ──▶ ModelData ── write ──▶ file
//!                (scales, bounds)                (checks each node)
//! ```
//!
//! Everything here is a pure function of its arguments. Floats are multiplied
//! by powers of two, which is exact, and rounded once, halves to even: the
//! integers do not depend on the machine.

mod builder;
mod rows;
#[cfg(test)]
mod tests;

pub use builder::{GraphBuilder, LayerOptions, ModelBuilder, Value};
pub use rows::{Quantized, Scales, quantize_rows, quantize_with_shifts};

use rcodec_core::{Error, Result};

/// Rounds `value · 2^bits`, halves to even.
fn scaled(value: f64, bits: i32) -> f64 {
    (value * 2f64.powi(bits)).round_ties_even()
}

/// A function as a table for [`Op::Lookup`](crate::graph::Op::Lookup) and
/// recurrent cells: its values at `2^index_bits + 1` equidistant points of
/// `-2^range_bits..=2^range_bits` (integers of `input_q` fractional bits), as
/// integers of `output_q` fractional bits, saturated.
///
/// # Errors
/// [`Error::Parameter`] for sizes that no table has, or where the function is
/// not a number.
pub fn table_values(
    function: impl Fn(f64) -> f64,
    (range_bits, index_bits): (u8, u8),
    (input_q, output_q): (u8, u8),
) -> Result<Vec<i16>> {
    let is_possible = (3..=15).contains(&range_bits)
        && (4..=12).contains(&index_bits)
        && index_bits <= range_bits + 1;
    if !is_possible {
        return Err(Error::Parameter(format!(
            "table of {index_bits} index bits over {range_bits} bits"
        )));
    }
    let step = 1i64 << (range_bits + 1 - index_bits);
    (0..=1i64 << index_bits)
        .map(|i| {
            let x = (i * step - (1 << range_bits)) as f64 * 2f64.powi(-i32::from(input_q));
            let y = scaled(function(x), i32::from(output_q));
            if y.is_nan() {
                return Err(Error::Parameter(format!("a function without value at {x}")));
            }
            Ok(y.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16)
        })
        .collect()
}

/// Weights `[rest …][outputs]` as `[outputs][rest …]`: from the order of
/// training frameworks that put inputs first to the order of model files.
pub fn outputs_first(weights: &[f32], outputs: usize) -> Vec<f32> {
    let rest = weights.len() / outputs.max(1);
    (0..outputs)
        .flat_map(|out| (0..rest).map(move |i| weights[i * outputs + out]))
        .collect()
}
