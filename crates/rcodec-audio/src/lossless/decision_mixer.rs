//! Mixers for the decisions of the residual coder, from quick to thorough.

use super::learned_mixers::{NARROW_Q12, WIDE_Q12};
use super::residual::{DISTANCES, EXCESSES};
use rcodec_entropy::logistic::{Inputs, LearningRate, Mixer, MixerStack, StackParameters, squash};

/// Decisions are of three kinds.
pub(crate) const KINDS: usize = 3;

/// Turns the predictions of Laplace distributions and counters into one
/// probability.
pub(crate) trait DecisionMixer {
    /// How many Laplace distributions are asked; they are the first inputs.
    const LAPLACE: usize;
    /// How many counter tables are asked; they are the next inputs.
    const TABLES: usize;
    /// Whether signs are modelled.
    const SIGNS: bool = true;

    fn new() -> Self;

    /// Sets an input, in the logistic domain, Q8.
    fn set(&mut self, index: usize, logit_q8: i32);

    /// The probability of a 1 of 65536. Contexts are those by distance, by the
    /// spread of the stages' predictions and by the reference channel.
    fn mix(&mut self, contexts: [usize; 3]) -> u32;

    /// Learns the bit that came.
    fn update(&mut self, bit: bool);

    /// What was learned, for [`learned_mixers`](super::learned_mixers): by
    /// table of that module and row, weights and how quickly they still learn.
    #[cfg(test)]
    fn learned(&self) -> Vec<(usize, usize, Vec<i16>, u32)> {
        Vec::new()
    }
}

const FIRST_RATE_Q16: u32 = 1000;
const RATE: LearningRate = LearningRate::falling(FIRST_RATE_Q16, 150, 8);

/// What is set in the last input.
const BIAS_Q8: i32 = 256;

/// The mean of two counters; signs as they are.
#[derive(Clone)]
pub(crate) struct QuickMixer {
    logits_q8: [i32; 2],
}

impl DecisionMixer for QuickMixer {
    const LAPLACE: usize = 0;
    const TABLES: usize = 2;
    const SIGNS: bool = false;

    fn new() -> Self {
        QuickMixer { logits_q8: [0; 2] }
    }

    #[inline(always)]
    fn set(&mut self, index: usize, logit_q8: i32) {
        self.logits_q8[index] = logit_q8;
    }

    #[inline(always)]
    fn mix(&mut self, _contexts: [usize; 3]) -> u32 {
        squash((self.logits_q8[0] + self.logits_q8[1]) >> 1)
    }

    #[inline(always)]
    fn update(&mut self, _bit: bool) {}
}

/// Seven inputs, one set of weights for each distance.
#[derive(Clone)]
pub(crate) struct NarrowMixer {
    inputs: Inputs<8>,
    mixer: Mixer<8>,
}

impl DecisionMixer for NarrowMixer {
    const LAPLACE: usize = 3;
    const TABLES: usize = 4;

    fn new() -> Self {
        let mut inputs = Inputs::new();
        inputs.set(7, BIAS_Q8);
        let mut mixer = Mixer::new(KINDS * DISTANCES, 65536 / 5, RATE);
        for set in 0..mixer.sets() {
            mixer.set_weights(set, &NARROW_Q12[set / DISTANCES], FIRST_RATE_Q16);
        }
        NarrowMixer { inputs, mixer }
    }

    #[cfg(test)]
    fn learned(&self) -> Vec<(usize, usize, Vec<i16>, u32)> {
        let sets = 0..self.mixer.sets();
        sets.map(|set| {
            let weights = self.mixer.weights_q12(set).to_vec();
            (0, set / DISTANCES, weights, self.mixer.rate_q16(set))
        })
        .collect()
    }

    #[inline(always)]
    fn set(&mut self, index: usize, logit_q8: i32) {
        self.inputs.set(index, logit_q8);
    }

    #[inline(always)]
    fn mix(&mut self, contexts: [usize; 3]) -> u32 {
        self.mixer.mix(&self.inputs, contexts[0]);
        self.mixer.p1_q16()
    }

    #[inline(always)]
    fn update(&mut self, bit: bool) {
        self.mixer.update(&self.inputs, bit);
    }
}

/// Thirteen inputs, three selections of weights, and a mixer of their answers.
#[derive(Clone)]
pub(crate) struct WideMixer {
    inputs: Inputs<16>,
    stack: MixerStack<16, 3>,
}

impl DecisionMixer for WideMixer {
    const LAPLACE: usize = 5;
    const TABLES: usize = 8;

    fn new() -> Self {
        let mut inputs = Inputs::new();
        inputs.set(15, BIAS_Q8);
        let parameters = StackParameters {
            first_weight_q16: 65536 / 10,
            first_rate: RATE,
            second_rate: LearningRate::falling(300, 30, 9),
        };
        let sets = [KINDS * DISTANCES, KINDS * EXCESSES, KINDS * EXCESSES];
        let mut stack = MixerStack::new(sets, KINDS * DISTANCES, parameters);
        for (mixer, rows) in stack.first_mut().iter_mut().zip(&WIDE_Q12) {
            for set in 0..mixer.sets() {
                let kind = set / (mixer.sets() / KINDS);
                mixer.set_weights(set, &rows[kind], FIRST_RATE_Q16);
            }
        }
        WideMixer { inputs, stack }
    }

    #[cfg(test)]
    fn learned(&self) -> Vec<(usize, usize, Vec<i16>, u32)> {
        let mut learned = Vec::new();
        for (i, mixer) in self.stack.first().iter().enumerate() {
            for set in 0..mixer.sets() {
                let row = i * KINDS + set / (mixer.sets() / KINDS);
                let weights = mixer.weights_q12(set).to_vec();
                learned.push((1, row, weights, mixer.rate_q16(set)));
            }
        }
        learned
    }

    #[inline(always)]
    fn set(&mut self, index: usize, logit_q8: i32) {
        self.inputs.set(index, logit_q8);
    }

    #[inline(always)]
    fn mix(&mut self, contexts: [usize; 3]) -> u32 {
        self.stack.mix(&self.inputs, contexts, contexts[0]);
        self.stack.p1_q16()
    }

    #[inline(always)]
    fn update(&mut self, bit: bool) {
        self.stack.update(&self.inputs, bit);
    }
}
