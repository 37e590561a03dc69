//! RMS normalisation (Zhang and Sennrich, 2019).

use crate::config::Number;
use crate::fixed::{Q, exponent_for, largest, scaled, scaled_wide};
use crate::float::Float;

/// `x / sqrt(mean(x²) + ε) · weight`.
pub(crate) struct Norm {
    weight_q20: Vec<i64>,
    epsilon: Number,
}

impl Norm {
    pub(crate) fn new(weight: &[Float], epsilon: Number) -> Norm {
        Norm {
            weight_q20: weight.iter().map(|w| w.to_fixed(Q)).collect(),
            epsilon,
        }
    }

    /// Normalises a vector in Q20.
    pub(crate) fn apply(&self, x: &[i64]) -> Vec<i64> {
        // To 24 bits, so that squares and their sum have room.
        let exponent = exponent_for(largest(x), 24);
        let t: Vec<i64> = x.iter().map(|&x| scaled(x, -exponent)).collect();
        let sum: u64 = t.iter().map(|t| t.unsigned_abs().pow(2)).sum();
        let mean = u128::from(sum / t.len().max(1) as u64);
        // In units of the squares: 2^(2·(exponent - 20)).
        let epsilon = self.epsilon.to_fixed(2 * (Q - exponent));
        // Q8, as a square of Q16.
        let square_q16 = (mean.saturating_add(epsilon)).min(1 << 100) << 16;
        let root_q8 = square_q16.isqrt().max(1);
        // In Q92; t / root is within ±sqrt(n).
        let inverse = ((1u128 << 100) / root_q8) as i128;
        t.iter()
            .zip(&self.weight_q20)
            .map(|(&t, &weight_q20)| {
                let normed_q24 = scaled_wide(i128::from(t) * inverse, 24 - 92);
                scaled_wide(i128::from(normed_q24) * i128::from(weight_q20), -24)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::FloatType;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn norms_are_those_of_floats(
            x in prop::collection::vec(-10.0f64..10.0, 1..60),
            power in -18i32..12,
        ) {
            let x: Vec<f64> = x.iter().map(|x| x * 2f64.powi(power)).collect();
            let weights: Vec<f32> = (0..x.len()).map(|i| i as f32 * 0.1 - 1.0).collect();
            let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
            let mut floats = Vec::new();
            FloatType::F32.read(&bytes, &mut floats).unwrap();
            let epsilon = crate::testing::number(1e-5);
            let x_q20: Vec<i64> = x.iter().map(|x| (x * f64::from(1 << 20)) as i64).collect();
            let found = Norm::new(&floats, epsilon).apply(&x_q20);
            let exact: Vec<f64> = x_q20.iter().map(|&x| x as f64 / f64::from(1 << 20)).collect();
            let mean = exact.iter().map(|x| x * x).sum::<f64>() / exact.len() as f64;
            for ((found, x), weight) in found.iter().zip(&exact).zip(&weights) {
                let exact = x / (mean + 1e-5).sqrt() * f64::from(*weight);
                let found = *found as f64 / f64::from(1 << 20);
                prop_assert!((found - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{found} {exact}");
            }
        }
    }
}
