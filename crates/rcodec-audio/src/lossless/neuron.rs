//! Mixing in the logistic domain, as [`rcodec_entropy::logistic`] does it, in
//! a form that is inlined into the loop over samples.

use super::learning::LearnedWeights;
use rcodec_entropy::logistic::{STRETCH_MAX_Q8, squash};

/// How quickly a neuron learns: a rate that falls, for each weight set by
/// itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Rates in Q16, of the first decision and in the long run.
    pub(crate) first_q16: u32,
    pub(crate) last_q16: u32,
    /// The difference falls by `2^-decay` of itself with each decision.
    pub(crate) decay: u32,
}

/// Weights for one value of a context.
#[derive(Clone, Debug)]
struct WeightSet<const N: usize> {
    /// Q20, within ±8.
    weights: [i32; N],
    rate_q26: u32,
}

/// No weight passes ±8.
const WEIGHT_MAX_Q20: i32 = (8 << 20) - 1;

/// A neuron with a weight set for each value of a context.
#[derive(Clone, Debug)]
pub(crate) struct Neuron<const N: usize> {
    sets: Vec<WeightSet<N>>,
    rate: Rate,
    /// What was mixed last.
    inputs_q8: [i32; N],
    selected: usize,
    p1_q16: u32,
}

impl<const N: usize> Neuron<N> {
    /// A neuron of `sets` weight sets, all weights at `weight_q16`.
    pub(crate) fn new(sets: usize, weight_q16: i32, rate: Rate) -> Self {
        let set = WeightSet {
            weights: [weight_q16 << 4; N],
            rate_q26: rate.first_q16 << 10,
        };
        Neuron {
            sets: vec![set; sets],
            rate,
            inputs_q8: [0; N],
            selected: 0,
            p1_q16: 1 << 15,
        }
    }

    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    /// What a set has learned, for a row of the tables of first weights.
    pub(crate) fn learned(&self, set: usize, row: usize) -> LearnedWeights {
        let set = &self.sets[set];
        LearnedWeights {
            row,
            weights_q12: set.weights.map(|weight| (weight >> 8) as i16).to_vec(),
            rate_q16: set.rate_q26 >> 10,
        }
    }

    /// Gives a set the weights that others had learned.
    pub(crate) fn set_weights(&mut self, set: usize, weights_q12: &[i16; N]) {
        self.sets[set].weights = weights_q12.map(|weight| i32::from(weight) << 8);
    }

    /// The mix of inputs (Q8, within ±[`STRETCH_MAX_Q8`]) with the weights of
    /// a context, Q8.
    #[inline(always)]
    pub(crate) fn mix(&mut self, inputs_q8: [i32; N], context: usize) -> i32 {
        self.inputs_q8 = inputs_q8;
        self.selected = context;
        let weights = &self.sets[context].weights;
        let mut sum_q22 = 0i32;
        for i in 0..N {
            // Q14 times Q8: at most 2^17 times 2^12; only sums of most of them
            // could wrap, which does no harm.
            sum_q22 = sum_q22.wrapping_add((weights[i] >> 6) * inputs_q8[i]);
        }
        let x_q8 = (sum_q22.wrapping_add(1 << 13) >> 14).clamp(-STRETCH_MAX_Q8, STRETCH_MAX_Q8);
        self.p1_q16 = squash(x_q8);
        x_q8
    }

    /// The last mix as a probability of 65536.
    #[inline(always)]
    pub(crate) fn p1_q16(&self) -> u32 {
        self.p1_q16
    }

    /// Learns the decision.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool) {
        let error_q16 = (i32::from(bit) << 16) - self.p1_q16 as i32;
        let set = &mut self.sets[self.selected];
        let step_q20 = (error_q16 * (set.rate_q26 >> 10) as i32 + (1 << 11)) >> 12;
        let distance = set.rate_q26 as i32 - (self.rate.last_q16 << 10) as i32;
        set.rate_q26 = (set.rate_q26 as i32 - (distance >> self.rate.decay)) as u32;
        for i in 0..N {
            let delta_q20 = (self.inputs_q8[i] * step_q20 + 128) >> 8;
            let weight = &mut set.weights[i];
            *weight = (*weight + delta_q20).clamp(-WEIGHT_MAX_Q20, WEIGHT_MAX_Q20);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neuron_finds_out_whom_to_trust() {
        let rate = Rate {
            first_q16: 800,
            last_q16: 200,
            decay: 6,
        };
        let mut neuron = Neuron::<8>::new(2, 8192, rate);
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 31 != 0
        };
        let says = |yes: bool| if yes { 512 } else { -512 };
        let mut sure = 0;
        for n in 0..4000 {
            // In context 0 the first input is right, in context 1 the second.
            let (bit, other, context) = (random(), random(), n & 1);
            let mut inputs = [0; 8];
            inputs[context] = says(bit);
            inputs[1 - context] = says(other);
            neuron.mix(inputs, context);
            if n >= 2000 {
                let p = neuron.p1_q16();
                sure += u32::from(if bit { p > 60_000 } else { p < 5_536 });
            }
            neuron.update(bit);
        }
        assert!(sure > 1900, "{sure}");
        // Both sets learned.
        for set in 0..2 {
            let learned = neuron.learned(set, set);
            assert!(learned.rate_q16 < 210);
            let weights = learned.weights_q12.iter();
            assert!(weights.max().is_some_and(|&most| most > 4096));
        }
    }
}
