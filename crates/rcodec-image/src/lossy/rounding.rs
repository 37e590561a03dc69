//! Which symbol an encoder writes for a latent: rate–distortion-optimised
//! rounding.

use super::{LATENT_Q, symbol_of};
use rcodec_entropy::{ParametricTables, SCALES, cost_q24};

/// What an error of a squared step weighs against a bit.
///
/// A model whose gains balance rate and distortion has its optimum where one
/// step weighs 6 / ln 2 / 3 = 2.9 bits, and so do its synthesis's responses to
/// single steps. But errors of this search all point to the mean and add up:
/// of 4 to 80, 35 to 50 gave most on pictures of the training set, -1% (4: +11%,
/// 18: -0.4%, 80: -0.8%). Weights by channel, from those responses, gave less.
const DISTORTION_WEIGHT: f32 = 40.0;

/// The costs of symbols, to weigh against the distortion.
pub(super) struct RateDistortion {
    /// Bits of the symbols `-reach..=reach`, by scale.
    bits: Vec<Vec<f32>>,
}

impl RateDistortion {
    pub(super) fn new(tables: &ParametricTables) -> RateDistortion {
        let bits = (0..SCALES).map(|scale| {
            let (cdf, reach) = tables.table(scale, 0);
            let costs_q24 = (0..=2 * reach as u32).map(|s| cost_q24(cdf.probability(s)));
            costs_q24
                .map(|cost| cost as f32 / (1 << 24) as f32)
                .collect()
        });
        RateDistortion {
            bits: bits.collect(),
        }
    }

    /// The nearest symbol, or the one before it towards zero if that saves
    /// more than its error costs.
    pub(super) fn symbol(&self, value: i16, mean: i16, scale: usize) -> i32 {
        let nearest = symbol_of(value, mean);
        let bits = &self.bits[scale];
        let reach = (bits.len() / 2) as i32;
        if nearest == 0 || nearest.abs() > reach {
            return nearest;
        }
        let steps = (i32::from(value) - i32::from(mean)) as f32 / f32::from(1u8 << LATENT_Q);
        let cost = |symbol: i32| {
            let error = steps - symbol as f32;
            bits[(symbol + reach) as usize] + DISTORTION_WEIGHT * error * error
        };
        let smaller = nearest - nearest.signum();
        if cost(smaller) < cost(nearest) {
            smaller
        } else {
            nearest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_entropy::Family;

    #[test]
    fn only_what_is_dear_and_nearly_between_is_rounded_down() {
        let tables = ParametricTables::new(Family::Gaussian, 1).unwrap();
        let rounding = RateDistortion::new(&tables);
        let mut smaller = 0;
        for scale in 0..SCALES {
            for value in (-3000i16..=3000).step_by(7) {
                let (nearest, chosen) = (symbol_of(value, 13), rounding.symbol(value, 13, scale));
                assert!(chosen == nearest || chosen == nearest - nearest.signum());
                smaller += usize::from(chosen != nearest);
                // A step's scale or more: the symbols next to zero cost alike.
                let at_zero = nearest.abs() == 1 && scale > 32;
                assert!(!at_zero || (i32::from(value) - 13).abs() < 34 || chosen == nearest);
            }
        }
        assert!(smaller > 0);
        // 0.55 steps and a scale of 0.11: 1 costs many bits, 0 nothing.
        assert_eq!((symbol_of(35, 0), rounding.symbol(35, 0, 0)), (1, 0));
        assert_eq!(rounding.symbol(-35, 0, 0), 0);
        assert_eq!(rounding.symbol(64, 0, 0), 1);
        assert_eq!(rounding.symbol(i16::MAX, 0, 0), symbol_of(i16::MAX, 0));
    }
}
