//! Mixing of predictions in the logistic domain (Mahoney, 2005), in integers.

use crate::logistic::{STRETCH_MAX, squash_q16};

/// A weight of 1 in Q20.
const ONE_Q20: i32 = 1 << 20;

/// Largest weight, so that its upper part fits 16 bits.
const WEIGHT_MAX_Q20: i32 = (1 << 27) - 1;

/// Weight sets over `N` inputs (at most 32), each with its own learning rate
/// that falls while the set is used.
#[derive(Clone, Debug)]
pub(crate) struct MixerSets<const N: usize> {
    weights_q20: Vec<[i32; N]>,
    rates: Vec<u16>,
    rate_min: u16,
}

/// Rates are in units of 2^-13, with four more fraction bits while falling.
const RATE_START: u16 = 96 << 4;

impl<const N: usize> MixerSets<N> {
    /// `sets` sets that begin with `weights` (of 256).
    pub(crate) fn new(sets: usize, weights: &[i32; N], rate_min: u16) -> Self {
        MixerSets {
            weights_q20: vec![weights.map(|w| w * (ONE_Q20 >> 8)); sets],
            rates: vec![RATE_START; sets],
            rate_min: rate_min << 4,
        }
    }

    /// The log odds that set `set` makes of the inputs, Q8.
    #[inline(always)]
    pub(crate) fn mix_q8(&self, set: usize, inputs_q8: &[i16; N]) -> i32 {
        let weights = &self.weights_q20[set];
        let mut sum = 0i32;
        for i in 0..N {
            let weight_q12 = (weights[i] >> 8) as i16;
            sum = sum.wrapping_add(i32::from(weight_q12) * i32::from(inputs_q8[i]));
        }
        (sum >> 12).clamp(-STRETCH_MAX, STRETCH_MAX)
    }

    /// Learns from the bit that came; `odds_q8` is what [`mix_q8`](Self::mix_q8)
    /// said.
    #[inline(always)]
    pub(crate) fn update(&mut self, set: usize, inputs_q8: &[i16; N], odds_q8: i32, bit: bool) {
        let error_q16 = (i32::from(bit) << 16) - squash_q16(odds_q8) as i32;
        let rate = self.rates[set];
        self.rates[set] = rate - ((rate - self.rate_min) >> 6);
        let step = ((error_q16 * i32::from(rate >> 4)) >> 8).clamp(-32_767, 32_767) as i16;
        for (weight, &input) in self.weights_q20[set].iter_mut().zip(inputs_q8) {
            let change = (i32::from(input) * i32::from(step) + (1 << 8)) >> 9;
            *weight = (*weight + change).clamp(-WEIGHT_MAX_Q20, WEIGHT_MAX_Q20);
        }
    }
}

/// Adaptive probability maps: refine a probability by what came of it in a
/// context, interpolating between 33 points of its log odds.
#[derive(Clone, Debug)]
pub(crate) struct Apm {
    points_q16: Vec<u16>,
    rate: u32,
}

/// A place in an [`Apm`], to be updated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApmPlace(usize);

const APM_POINTS: usize = 33;

impl Apm {
    /// Maps for `contexts` contexts that begin as the identity and move by
    /// 2^-rate of the error.
    pub(crate) fn new(contexts: usize, rate: u32) -> Self {
        let mut one = [0u16; APM_POINTS];
        for (i, point) in one.iter_mut().enumerate() {
            *point = squash_q16((i as i32 - 16) * 128) as u16;
        }
        Apm {
            points_q16: one.repeat(contexts),
            rate,
        }
    }

    /// The refined probability, Q16, and where it came from.
    #[inline(always)]
    pub(crate) fn refine_q16(&self, context: usize, odds_q8: i32) -> (u32, ApmPlace) {
        let position = (odds_q8 + 2048) as usize;
        let low = context * APM_POINTS + (position >> 7);
        let fraction = (position & 127) as u32;
        let a = u32::from(self.points_q16[low]);
        let b = u32::from(self.points_q16[low + 1]);
        let p = (a * (128 - fraction) + b * fraction) >> 7;
        let near = low + usize::from(fraction >= 64);
        (p, ApmPlace(near))
    }

    /// Learns from the bit that came.
    #[inline(always)]
    pub(crate) fn update(&mut self, place: ApmPlace, bit: bool) {
        let point = &mut self.points_q16[place.0];
        let value = i32::from(*point);
        let target = if bit { 65_535 } else { 0 };
        *point = (value + ((target - value) >> self.rate)) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::stretch_q8;

    #[test]
    fn the_mixer_finds_the_useful_input() {
        let mut mixer = MixerSets::<4>::new(1, &[64; 4], 12);
        let mut state = 1u32;
        let mut wrong = 0;
        for n in 0..4000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bit = state >> 31 == 1;
            let noise = ((state >> 20) & 511) as i16 - 256;
            let inputs = [noise, if bit { 300 } else { -300 }, 0, -noise];
            let odds = mixer.mix_q8(0, &inputs);
            if n >= 2000 && (odds > 0) != bit {
                wrong += 1;
            }
            mixer.update(0, &inputs, odds, bit);
        }
        assert!(wrong < 20, "{wrong}");
    }

    #[test]
    fn the_map_learns_a_bias() {
        let mut apm = Apm::new(2, 6);
        let odds = stretch_q8(32_768);
        for n in 0..4000 {
            let (_, place) = apm.refine_q16(1, odds);
            apm.update(place, n % 10 == 0);
        }
        let (p, _) = apm.refine_q16(1, odds);
        assert!(p < 12_000, "{p}");
        let (p, _) = apm.refine_q16(0, 2047);
        assert!(p > 65_000);
    }
}
