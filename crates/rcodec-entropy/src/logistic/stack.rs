//! Two layers of mixing.

use super::mixer::{Inputs, LearningRate, Mixer};

/// What a [`MixerStack`] begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackParameters {
    /// All weights of the first layer, Q16.
    pub first_weight_q16: i32,
    /// Learning rate of the first layer.
    pub first_rate: LearningRate,
    /// Learning rate of the second layer, whose weights begin at 1 / K.
    pub second_rate: LearningRate,
}

/// `K` (1 to 8) mixers over the same inputs, each with the weight set of a
/// context of its own, and one that mixes their predictions.
///
/// All of the first layer learn from the same bit, each from its own error.
#[derive(Debug, Clone)]
pub struct MixerStack<const N: usize, const K: usize> {
    first: [Mixer<N>; K],
    hidden: Inputs<8>,
    second: Mixer<8>,
}

impl<const N: usize, const K: usize> MixerStack<N, K> {
    /// A stack whose mixers have `sets` weight sets, the last one
    /// `second_sets`.
    pub fn new(sets: [usize; K], second_sets: usize, parameters: StackParameters) -> Self {
        const { assert!(K >= 1 && K <= 8) }
        MixerStack {
            first: sets.map(|n| Mixer::new(n, parameters.first_weight_q16, parameters.first_rate)),
            hidden: Inputs::new(),
            second: Mixer::new(second_sets, 65536 / K as i32, parameters.second_rate),
        }
    }

    /// The mixers of the first layer, to look at what they learned.
    pub fn first(&self) -> &[Mixer<N>; K] {
        &self.first
    }

    /// The mixers of the first layer, to begin with what others learned
    /// ([`Mixer::set_weights`]).
    pub fn first_mut(&mut self) -> &mut [Mixer<N>; K] {
        &mut self.first
    }

    /// Mixes with a context for each mixer of the first layer and one for the
    /// second, and returns the prediction in the logistic domain, Q8.
    #[inline(always)]
    pub fn mix(&mut self, inputs: &Inputs<N>, contexts: [usize; K], second_context: usize) -> i32 {
        for (i, (mixer, context)) in self.first.iter_mut().zip(contexts).enumerate() {
            let x_q8 = mixer.mix(inputs, context);
            self.hidden.values_mut()[i] = x_q8 as i16;
        }
        self.second.mix(&self.hidden, second_context)
    }

    /// The last prediction as a probability, in 1..=65535 of 65536.
    #[inline(always)]
    pub fn p1_q16(&self) -> u32 {
        self.second.p1_q16()
    }

    /// Learns the bit that came. `inputs` are those given to
    /// [`mix`](Self::mix).
    #[inline(always)]
    pub fn update(&mut self, inputs: &Inputs<N>, bit: bool) {
        self.second.update(&self.hidden, bit);
        for mixer in &mut self.first {
            mixer.update(inputs, bit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::stretch;
    use crate::{BitCoder, CostEstimator};

    /// Codes bits that input `right` foretells in its context, with a stack
    /// and with that input alone; the two costs in bits.
    fn costs() -> (u64, u64) {
        let rate = LearningRate::falling(1500, 200, 8);
        let mut stack = MixerStack::<8, 2>::new(
            [4, 1],
            1,
            StackParameters {
                first_weight_q16: 65536 / 4,
                first_rate: rate,
                second_rate: LearningRate::constant(100),
            },
        );
        let (mut mixed, mut single) = (CostEstimator::new(), CostEstimator::new());
        let mut seed = 1u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) % n
        };
        for _ in 0..20_000 {
            let context = next(4) as usize;
            let bit = next(2) == 1;
            let mut inputs = Inputs::new();
            for i in 0..4 {
                // The input of the context is right 15 times of 16, the others
                // know nothing but claim the same.
                let right = if i == context {
                    next(16) > 0
                } else {
                    next(2) == 1
                };
                let p1 = if right == bit { 61_440 } else { 4_096 };
                inputs.set(i, stretch(p1));
                if i == context {
                    single.code_bit(bit, p1).unwrap();
                }
            }
            stack.mix(&inputs, [context, 0], 0);
            mixed.code_bit(bit, stack.p1_q16()).unwrap();
            stack.update(&inputs, bit);
        }
        (mixed.bits_q24() >> 24, single.bits_q24() >> 24)
    }

    #[test]
    fn a_stack_finds_out_whom_to_trust() {
        // At best it is as good as always knowing the right input.
        let (mixed, single) = costs();
        assert!(mixed < single + single / 20, "{mixed} against {single}");
    }
}
