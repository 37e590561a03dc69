//! Mixers for the decisions of the residual coder, from quick to thorough.

use super::learned::{NARROW_Q12, WIDE_Q12};
use super::learning::{FIRST_NARROW, FIRST_WIDE, LearnedWeights};
use super::neuron::{Neuron, Rate};
use super::residual::{DISTANCES, EXCESSES, MAX_LAPLACE, MAX_TABLES};
use rcodec_entropy::logistic::squash;

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

    /// The probability of a 1 of 65536, from what Laplace distributions and
    /// counter tables say, in the logistic domain, Q8. Contexts are those by
    /// distance, by the spread of the stages' predictions and by the reference
    /// channel.
    fn mix(
        &mut self,
        laplace_q8: [i32; MAX_LAPLACE],
        tables_q8: [i32; MAX_TABLES],
        contexts: [usize; 3],
    ) -> u32;

    /// Learns the bit that came.
    fn update(&mut self, bit: bool);

    /// What was learned.
    fn learned(&self) -> Vec<LearnedWeights> {
        Vec::new()
    }
}

const FIRST_RATE_Q16: u32 = 1000;
const RATE: Rate = Rate {
    first_q16: FIRST_RATE_Q16,
    last_q16: 150,
    decay: 8,
};

/// What is set in the last input.
const BIAS_Q8: i32 = 256;

/// The mean of two counters; signs as they are.
#[derive(Clone)]
pub(crate) struct QuickMixer;

impl DecisionMixer for QuickMixer {
    const LAPLACE: usize = 0;
    const TABLES: usize = 2;
    const SIGNS: bool = false;

    fn new() -> Self {
        QuickMixer
    }

    #[inline(always)]
    fn mix(
        &mut self,
        _laplace_q8: [i32; MAX_LAPLACE],
        tables_q8: [i32; MAX_TABLES],
        _contexts: [usize; 3],
    ) -> u32 {
        squash((tables_q8[0] + tables_q8[1]) >> 1)
    }

    #[inline(always)]
    fn update(&mut self, _bit: bool) {}
}

/// Seven inputs, one set of weights for each distance.
#[derive(Clone)]
pub(crate) struct NarrowMixer {
    neuron: Neuron<8>,
}

impl DecisionMixer for NarrowMixer {
    const LAPLACE: usize = 3;
    const TABLES: usize = 4;

    fn new() -> Self {
        let mut neuron = Neuron::new(KINDS * DISTANCES, 0, RATE);
        for set in 0..neuron.sets() {
            neuron.set_weights(set, &NARROW_Q12[set / DISTANCES]);
        }
        NarrowMixer { neuron }
    }

    fn learned(&self) -> Vec<LearnedWeights> {
        let row = |set| FIRST_NARROW + set / DISTANCES;
        (0..self.neuron.sets())
            .map(|set| self.neuron.learned(set, row(set)))
            .collect()
    }

    #[inline(always)]
    fn mix(
        &mut self,
        laplace_q8: [i32; MAX_LAPLACE],
        tables_q8: [i32; MAX_TABLES],
        contexts: [usize; 3],
    ) -> u32 {
        let [a, b, c, ..] = laplace_q8;
        let [d, e, f, g, ..] = tables_q8;
        self.neuron.mix([a, b, c, d, e, f, g, BIAS_Q8], contexts[0]);
        self.neuron.p1_q16()
    }

    #[inline(always)]
    fn update(&mut self, bit: bool) {
        self.neuron.update(bit);
    }
}

/// Thirteen inputs, three selections of weights, and a mixer of their answers.
#[derive(Clone)]
pub(crate) struct WideMixer {
    first: [Neuron<16>; 3],
    second: Neuron<4>,
}

impl DecisionMixer for WideMixer {
    const LAPLACE: usize = 5;
    const TABLES: usize = 8;

    fn new() -> Self {
        let sets = [KINDS * DISTANCES, KINDS * EXCESSES, KINDS * EXCESSES];
        let mut first = sets.map(|sets| Neuron::new(sets, 0, RATE));
        for (neuron, rows) in first.iter_mut().zip(&WIDE_Q12) {
            for set in 0..neuron.sets() {
                neuron.set_weights(set, &rows[set / (neuron.sets() / KINDS)]);
            }
        }
        let rate = Rate {
            first_q16: 300,
            last_q16: 30,
            decay: 9,
        };
        WideMixer {
            first,
            second: Neuron::new(KINDS * DISTANCES, 65536 / 3, rate),
        }
    }

    fn learned(&self) -> Vec<LearnedWeights> {
        let mut learned = Vec::new();
        for (i, neuron) in self.first.iter().enumerate() {
            for set in 0..neuron.sets() {
                let row = i * KINDS + set / (neuron.sets() / KINDS);
                learned.push(neuron.learned(set, FIRST_WIDE + row));
            }
        }
        learned
    }

    #[inline(always)]
    fn mix(
        &mut self,
        laplace_q8: [i32; MAX_LAPLACE],
        tables_q8: [i32; MAX_TABLES],
        contexts: [usize; 3],
    ) -> u32 {
        let [a, b, c, d, e] = laplace_q8;
        let [f, g, h, i, j, k, l, m] = tables_q8;
        let inputs = [a, b, c, d, e, f, g, h, i, j, k, l, m, 0, 0, BIAS_Q8];
        let [n, o, p] = &mut self.first;
        let hidden = [
            n.mix(inputs, contexts[0]),
            o.mix(inputs, contexts[1]),
            p.mix(inputs, contexts[2]),
            0,
        ];
        self.second.mix(hidden, contexts[0]);
        self.second.p1_q16()
    }

    #[inline(always)]
    fn update(&mut self, bit: bool) {
        self.second.update(bit);
        for neuron in &mut self.first {
            neuron.update(bit);
        }
    }
}
