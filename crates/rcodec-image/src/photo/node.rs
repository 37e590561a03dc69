//! The probability of one decision: experts and context counters, mixed.

use super::contexts::{Neighbourhood, class7, class15};
use super::experts::{Distribution, EXPERTS};
use crate::counter::Counter;
use crate::logistic::{stretch_q8, squash_q16};
use crate::mixer::{Apm, MixerSets};
use rcodec_core::Result;
use rcodec_entropy::BitCoder;

/// Kinds of decisions in the tree.
pub(crate) const NODES: usize = 32;

/// Context counters per decision.
const CONTEXTS: usize = 11;

/// Contexts of one kind.
const CONTEXT_SIZE: usize = 1024;

/// Mixer inputs: experts, counters, and a constant.
const INPUTS: usize = EXPERTS + CONTEXTS + 1;

/// Classes of the blend's scale that select weights.
const SCALES: usize = 16;

/// Uses after which a counter's rate stays.
const COUNTER_LIMIT: u32 = 255;

/// The models of one channel's decisions.
pub(crate) struct NodeModels {
    counters: Vec<[Counter; NODES]>,
    by_scale: MixerSets<INPUTS>,
    by_texture: MixerSets<INPUTS>,
    apm_scale: Apm,
    apm_value: Apm,
    slots: [usize; CONTEXTS],
    scale: usize,
    texture: usize,
    value: usize,
}

impl NodeModels {
    pub(crate) fn new() -> Self {
        let mut weights = [20; INPUTS];
        weights[..EXPERTS].fill(60);
        NodeModels {
            counters: vec![[Counter::NEW; NODES]; CONTEXTS * CONTEXT_SIZE],
            by_scale: MixerSets::new(NODES * SCALES, &weights, 8),
            by_texture: MixerSets::new(NODES * 64, &weights, 8),
            apm_scale: Apm::new(NODES * 64 * 4, 6),
            apm_value: Apm::new(NODES * 256, 6),
            slots: [0; CONTEXTS],
            scale: 0,
            texture: 0,
            value: 0,
        }
    }

    /// Chooses the contexts for one sample.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn select(
        &mut self,
        dist: &Distribution,
        hood: &Neighbourhood,
        residuals: &[i32; 4],
        position: usize,
        x: usize,
        y: usize,
        max: i32,
    ) {
        let p = dist.centre;
        let mu = dist.mu_q6[EXPERTS - 1];
        let fraction = ((mu + 32) & 63) as usize; // 0..64, 32 is the middle
        let scale = dist.scale_step.min(63);
        let coarse = (scale / 3).min(15);
        let prev = if position > 0 { residuals[position - 1] } else { 0 };
        let prev2 = if position > 1 { residuals[position - 2] } else { 0 };
        let value = if max > 255 { (p as usize) * 255 / max as usize } else { p as usize };
        let texture = usize::from(hood.n > p)
            | usize::from(hood.w > p) << 1
            | usize::from(hood.nw > p) << 2
            | usize::from(hood.ne > p) << 3
            | usize::from(hood.nn > p) << 4
            | usize::from(hood.ww > p) << 5;
        let offset = |e: usize| class15((dist.mu_q6[e] - (p << 6)) >> 4);
        let phase = (x & 1) | (y & 1) << 1;
        let contexts = [
            scale << 4 | fraction >> 2,
            coarse << 6 | texture,
            value << 2 | fraction >> 4,
            class15(hood.w - p) << 4 | class15(hood.n - p),
            class15(hood.w - p) << 6 | class7(hood.ne - p) << 3 | class7(hood.nw - p),
            class15(prev) << 6 | phase << 4 | coarse,
            class15(prev) << 4 | class15(prev2),
            class15(hood.nn - p) << 4 | class15(hood.ww - p),
            offset(0) << 4 | offset(1),
            offset(2) << 4 | coarse,
            class7(hood.n - p) << 7 | class7(hood.nne - p) << 4 | coarse,
        ];
        for (k, (slot, context)) in self.slots.iter_mut().zip(contexts).enumerate() {
            *slot = k * CONTEXT_SIZE + context % CONTEXT_SIZE;
        }
        self.scale = scale;
        self.texture = class7(prev) << 3 | class7(hood.w - hood.n);
        self.value = value;
    }

    /// Codes one decision. `odds_q8` is what the experts say of it.
    #[inline]
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        node: usize,
        odds_q8: &[i32; EXPERTS],
    ) -> Result<bool> {
        let mut inputs = [0i16; INPUTS];
        for (input, &odds) in inputs.iter_mut().zip(odds_q8) {
            *input = odds.clamp(-2047, 2047) as i16;
        }
        for (input, &slot) in inputs[EXPERTS..].iter_mut().zip(&self.slots) {
            *input = stretch_q8(self.counters[slot][node].p_q16()) as i16;
        }
        inputs[INPUTS - 1] = 256;
        let set_scale = node * SCALES + (self.scale / 3).min(SCALES - 1);
        let set_texture = node * 64 + self.texture;
        let odds_scale = self.by_scale.mix_q8(set_scale, &inputs);
        let odds_texture = self.by_texture.mix_q8(set_texture, &inputs);
        let odds = (odds_scale + odds_texture) / 2;
        let p_mixed = squash_q16(odds);
        let (p_a, place_a) = self.apm_scale.refine_q16(node * 64 + self.scale, odds);
        let (p_b, place_b) = self.apm_value.refine_q16(node * 256 + self.value, odds);
        let p_q16 = (2 * p_mixed + p_a + p_b) >> 2;
        let bit = coder.code_bit(bit, p_q16)?;
        self.by_scale.update(set_scale, &inputs, odds_scale, bit);
        self.by_texture.update(set_texture, &inputs, odds_texture, bit);
        self.apm_scale.update(place_a, bit);
        self.apm_value.update(place_b, bit);
        for &slot in &self.slots {
            self.counters[slot][node].update(bit, COUNTER_LIMIT);
        }
        Ok(bit)
    }
}
