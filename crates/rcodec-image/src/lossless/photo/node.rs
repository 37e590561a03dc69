//! The probability of one decision: experts and context counters, mixed.

use super::contexts::{Neighbourhood, class7, class15};
use super::experts::Distribution;
use rcodec_core::Result;
use rcodec_entropy::logistic::{Apm, Inputs, LearningRate, MixerStack, StackParameters, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};

/// Kinds of decisions in the tree.
pub(crate) const NODES: usize = 32;

/// Most context counters of a decision.
const CONTEXTS_MAX: usize = 17;

/// Contexts of one kind.
const CONTEXT_SIZE: usize = 1024;

/// Classes of the blend's scale that select weights.
const SCALES: usize = 16;

/// A counter of one decision in one context.
type Counter = CountedBit<255>;

/// The models of one channel's decisions: `E` experts, and counters that fill
/// the `N` inputs of `M` mixers, with the last input constant.
pub(crate) struct NodeModels<const E: usize, const N: usize, const M: usize> {
    counters: Vec<[Counter; NODES]>,
    inputs: Inputs<N>,
    mixer: MixerStack<N, M>,
    apm_scale: Apm,
    apm_value: Apm,
}

/// The contexts of one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    slots: [usize; CONTEXTS_MAX],
    scale: usize,
    texture: usize,
    crossed: usize,
    value: usize,
}

impl<const E: usize, const N: usize, const M: usize> NodeModels<E, N, M> {
    /// Counters per decision.
    const CONTEXTS: usize = if N == 16 { 8 } else { CONTEXTS_MAX };

    pub(crate) fn new() -> Self {
        let parameters = StackParameters {
            first_weight_q16: 6000,
            first_rate: LearningRate::falling(800, 250, 6),
            second_rate: LearningRate::falling(200, 30, 8),
        };
        NodeModels {
            counters: vec![Default::default(); Self::CONTEXTS * CONTEXT_SIZE],
            inputs: Inputs::new(),
            mixer: MixerStack::new(
                first_of([NODES * SCALES, NODES * 64, NODES * 256]),
                NODES,
                parameters,
            ),
            apm_scale: Apm::new(NODES * 64, 255),
            apm_value: Apm::new(NODES * 256, 255),
        }
    }

    /// Codes one decision. `odds_q8` is what the experts say of it.
    #[inline]
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        selection: &Selection,
        bit: bool,
        node: usize,
        odds_q8: &[i32; E],
    ) -> Result<bool> {
        for (e, &odds) in odds_q8.iter().enumerate() {
            self.inputs.set(e, odds);
        }
        let inputs = self.inputs.values_mut();
        for (input, &slot) in inputs[E..]
            .iter_mut()
            .zip(&selection.slots[..Self::CONTEXTS])
        {
            *input = stretch(self.counters[slot][node].p1_q16()) as i16;
        }
        inputs[N - 1] = 256;
        let sets = first_of([
            node * SCALES + (selection.scale / 3).min(SCALES - 1),
            node * 64 + selection.texture,
            node * 256 + selection.crossed,
        ]);
        let odds = self.mixer.mix(&self.inputs, sets, node);
        let p_mixed = self.mixer.p1_q16();
        let p_scale = self.apm_scale.refine(odds, node * 64 + selection.scale);
        let p_value = self.apm_value.refine(odds, node * 256 + selection.value);
        let p_q16 = (2 * p_mixed + p_scale + p_value) >> 2;
        let bit = coder.code_bit(bit, p_q16)?;
        self.mixer.update(&self.inputs, bit);
        self.apm_scale.update(bit);
        self.apm_value.update(bit);
        for &slot in &selection.slots[..Self::CONTEXTS] {
            self.counters[slot][node].update(bit);
        }
        Ok(bit)
    }
}

impl Selection {
    /// Chooses the contexts for one sample.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new<const E: usize>(
        dist: &Distribution<E>,
        hood: &Neighbourhood,
        residuals: &[i32; 4],
        position: usize,
        x: usize,
        y: usize,
        max: i32,
    ) -> Self {
        let p = dist.centre;
        let mu = dist.mu_q6[E - 1];
        let fraction = ((mu + 32) & 63) as usize; // 0..64, 32 is the middle
        let scale = dist.scale_step.min(63);
        let coarse = (scale / 3).min(15);
        let prev = if position > 0 {
            residuals[position - 1]
        } else {
            0
        };
        let prev2 = if position > 1 {
            residuals[position - 2]
        } else {
            0
        };
        let value = if max > 255 {
            (p as usize) * 255 / max as usize
        } else {
            p as usize
        };
        let texture = usize::from(hood.n > p)
            | usize::from(hood.w > p) << 1
            | usize::from(hood.nw > p) << 2
            | usize::from(hood.ne > p) << 3
            | usize::from(hood.nn > p) << 4
            | usize::from(hood.ww > p) << 5;
        let offset = |e: usize| class15((dist.mu_q6[e] - (p << 6)) >> 4);
        let phase = (x & 1) | (y & 1) << 1;
        let near = |value: i32| class15(value - p);
        let contexts = [
            offset(0) << 4 | offset(1),
            offset(2) << 4 | coarse,
            near(hood.w) << 6 | class7(hood.ne - p) << 3 | class7(hood.nw - p),
            class15(prev) << 6 | phase << 4 | coarse,
            near(hood.nn) << 4 | near(hood.ww),
            class15(prev) << 4 | class15(prev2),
            near(hood.w) << 4 | near(hood.n),
            near(hood.n) << 6 | class7(hood.nne - p) << 3 | class7(hood.ne - p),
            near(hood.w + hood.ne - hood.n) << 4 | near(hood.n + hood.ne - hood.nne),
            near(hood.w + hood.n - hood.nw) << 4 | near(2 * hood.n - hood.nn),
            near((hood.w + hood.ne) / 2) << 4 | near(2 * hood.w - hood.ww),
            offset(E - 3) << 4 | offset(0),
            offset(E - 2) << 4 | offset(0),
            scale << 4 | fraction >> 2,
            coarse << 6 | texture,
            value << 2 | fraction >> 4,
            near((hood.w + hood.n) / 2) << 6 | fraction >> 4 << 4 | coarse,
        ];
        let mut slots = [0; CONTEXTS_MAX];
        let count = if E == 4 { 8 } else { CONTEXTS_MAX };
        for (k, (slot, context)) in slots.iter_mut().zip(contexts).enumerate().take(count) {
            *slot = k * CONTEXT_SIZE + context % CONTEXT_SIZE;
        }
        Selection {
            slots,
            scale,
            texture: class7(prev) << 3 | class7(hood.w - hood.n),
            crossed: offset(0) << 4 | offset(1),
            value,
        }
    }

    /// Step of the blend's scale, 0..64.
    pub(crate) fn scale(&self) -> usize {
        self.scale
    }
}

/// The first `M` of the contexts.
#[inline(always)]
fn first_of<const M: usize>(contexts: [usize; 3]) -> [usize; M] {
    std::array::from_fn(|i| contexts[i])
}
