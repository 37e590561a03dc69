//! From 32-bit sums back to 16 bits, and the proof that the sums fit.
//!
//! ```text
//! sum_q(in+w) = bias_q(in+w) + Σ w·x                       (i32, wrapping)
//! y_q(out)    = sat16((sum + round) >> shift)              round = 2^shift / 2
//! y_q(out)    = activation(y)
//! ```
//!
//! The shift is arithmetic (it rounds down), so that with `round` the value is
//! rounded to nearest, halves upwards. Each output channel has its own shift:
//! its weights' scale is `q(out) + shift - q(in)` fractional bits.

use rcodec_core::{Error, Result};

/// What follows the saturation to 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `clamp(y, lo, hi)`; with `lo` = 0 the clipped ReLU.
    Clip {
        /// The least value, in the output's scale.
        lo: i16,
        /// The greatest value.
        hi: i16,
    },
    /// Leaky ReLU of slope `2^-shift` for negative values, rounded down, and
    /// clipped above: `min(max(y, y >> shift), hi)`.
    LeakyRelu {
        /// 1 to 15.
        shift: u8,
        /// The greatest value, in the output's scale.
        hi: i16,
    },
}

impl Activation {
    /// The ReLU, clipped at `hi`.
    pub fn relu(hi: i16) -> Activation {
        Activation::Clip { lo: 0, hi }
    }

    /// The function itself: the definition the kernels agree with.
    pub fn apply(self, y: i16) -> i16 {
        let (lo, hi) = self.limits();
        y.max(y >> self.leak_shift()).max(lo).min(hi)
    }

    /// Fails if the parameters contradict each other.
    pub fn check(self) -> Result<()> {
        let bad = match self {
            Activation::Identity => false,
            Activation::Clip { lo, hi } => lo > hi,
            Activation::LeakyRelu { shift, hi } => !(1..=15).contains(&shift) || hi < 0,
        };
        if bad {
            return Err(Error::Parameter(format!("impossible activation {self:?}")));
        }
        Ok(())
    }

    /// The least and the greatest value it gives.
    pub fn limits(self) -> (i16, i16) {
        match self {
            Activation::Identity => (i16::MIN, i16::MAX),
            Activation::Clip { lo, hi } => (lo, hi),
            Activation::LeakyRelu { hi, .. } => (i16::MIN, hi),
        }
    }

    /// The shift of negative values; 0 if there is none.
    pub(crate) fn leak_shift(self) -> u8 {
        match self {
            Activation::LeakyRelu { shift, .. } => shift,
            _ => 0,
        }
    }
}

/// How the sums of a layer become outputs: one bias and one shift for each
/// output channel, and the activation.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Requant {
    /// Added to the sums, in their scale (`q(in) + q(weight)`).
    pub bias: Vec<i32>,
    /// Right shifts, 0 to 30.
    pub shift: Vec<u8>,
    /// What follows.
    pub activation: Activation,
}

impl Requant {
    /// Zero biases and one shift for all of `channels`.
    pub fn uniform(channels: usize, shift: u8, activation: Activation) -> Requant {
        Requant {
            bias: vec![0; channels],
            shift: vec![shift; channels],
            activation,
        }
    }

    /// The output of channel `channel` for the sum of its products: the
    /// definition the kernels agree with.
    pub fn apply(&self, channel: usize, products: i32) -> i16 {
        let shift = u32::from(self.shift[channel]);
        let sum = products
            .wrapping_add(self.bias[channel])
            .wrapping_add(rounding(shift));
        let y = (sum >> shift).clamp(i32::from(i16::MIN), i32::from(i16::MAX));
        self.activation.apply(y as i16)
    }

    /// Fails if there is not one bias and one possible shift for each of
    /// `channels`.
    pub(crate) fn check(&self, channels: usize) -> Result<()> {
        self.activation.check()?;
        if self.bias.len() != channels || self.shift.len() != channels {
            return Err(Error::Parameter(format!(
                "{} biases and {} shifts for {channels} channels",
                self.bias.len(),
                self.shift.len()
            )));
        }
        if let Some(shift) = self.shift.iter().find(|&&shift| shift > MAX_SHIFT) {
            return Err(Error::Parameter(format!("requantisation shift of {shift}")));
        }
        Ok(())
    }

    /// What the sum of a channel starts at: bias and rounding.
    pub(crate) fn start(&self, channel: usize) -> i32 {
        self.bias[channel].wrapping_add(rounding(u32::from(self.shift[channel])))
    }
}

/// The greatest requantisation shift.
pub const MAX_SHIFT: u8 = 30;

/// Half of `1 << shift`, 0 for no shift.
#[inline(always)]
pub(crate) fn rounding(shift: u32) -> i32 {
    (1 << shift) >> 1
}

/// The least and the greatest output of a channel, for the bound of its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least value.
    pub lo: i16,
    /// The greatest value.
    pub hi: i16,
}

impl Range {
    /// Every `i16`.
    pub const FULL: Range = Range {
        lo: i16::MIN,
        hi: i16::MAX,
    };

    /// The largest magnitude, 0 to 32768: what the next layer's `input_max`
    /// must cover.
    pub fn max_abs(self) -> u32 {
        u32::from(self.lo.unsigned_abs()).max(u32::from(self.hi.unsigned_abs()))
    }

    /// The smallest range that covers both.
    #[must_use]
    pub fn union(self, other: Range) -> Range {
        Range {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
        }
    }

    /// The range of saturating sums.
    #[must_use]
    pub fn plus(self, other: Range) -> Range {
        Range {
            lo: self.lo.saturating_add(other.lo),
            hi: self.hi.saturating_add(other.hi),
        }
    }
}

/// Proves that the sum of an output channel fits in an `i32`: gives the bound
/// `Σ|w| · input_max + |bias| + round`, or an error if it is not below 2³¹.
pub fn sum_bound(
    weights: impl Iterator<Item = i16>,
    input_max: u32,
    bias: i32,
    shift: u8,
) -> Result<u32> {
    let magnitude: u64 = weights.map(|w| u64::from(w.unsigned_abs())).sum();
    // At most 2^48 weights of 2^15 fit in memory: no overflow before here.
    let bound = u128::from(magnitude) * u128::from(input_max)
        + u128::from(bias.unsigned_abs())
        + rounding(u32::from(shift.min(MAX_SHIFT))) as u128;
    u32::try_from(bound)
        .ok()
        .filter(|&bound| bound < 1 << 31)
        .ok_or_else(|| {
            Error::Parameter(format!(
                "sums may reach {bound}, beyond 2^31: weights {magnitude}, inputs {input_max}, bias {bias}"
            ))
        })
}

/// The outputs that a bounded sum can give.
pub(crate) fn output_range(bound: u32, shift: u8, activation: Activation) -> Range {
    let clamp = |v: i64| v.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
    let hi = clamp(i64::from(bound) >> shift);
    let lo = clamp(-i64::from(bound) >> shift);
    Range {
        lo: activation.apply(lo),
        hi: activation.apply(hi),
    }
}

/// Fails unless `input_max` is a magnitude of an `i16`: 1 to 32768.
pub(crate) fn check_input_max(input_max: u32) -> Result<()> {
    if !(1..=1 << 15).contains(&input_max) {
        return Err(Error::Parameter(format!("input bound of {input_max}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_upwards() {
        let requant = Requant::uniform(1, 1, Activation::Identity);
        let rounded: Vec<i16> = [-3, -2, -1, 0, 1, 2, 3]
            .iter()
            .map(|&sum| requant.apply(0, sum))
            .collect();
        assert_eq!(rounded, [-1, -1, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn outputs_saturate() {
        let requant = Requant::uniform(1, 0, Activation::Identity);
        assert_eq!(requant.apply(0, 40_000), i16::MAX);
        assert_eq!(requant.apply(0, -40_000), i16::MIN);
    }

    #[test]
    fn the_bound_counts_everything() {
        let weights = [i16::MIN, i16::MAX];
        let magnitude = 65_535;
        assert_eq!(
            sum_bound(weights.into_iter(), 32_767, -1, 4).unwrap(),
            magnitude * 32_767 + 1 + 8
        );
        assert!(sum_bound(weights.into_iter(), 32_768, 32_768, 0).is_err());
        assert!(sum_bound(std::iter::repeat_n(i16::MIN, 100), 32_768, 0, 0).is_err());
    }

    #[test]
    fn activations_follow_their_formulas() {
        let leaky = Activation::LeakyRelu { shift: 3, hi: 100 };
        assert_eq!(leaky.apply(-9), -2);
        assert_eq!(leaky.apply(101), 100);
        assert_eq!(Activation::relu(50).apply(-1), 0);
        assert!(Activation::Clip { lo: 1, hi: 0 }.check().is_err());
        assert!(Activation::LeakyRelu { shift: 0, hi: 1 }.check().is_err());
    }
}
