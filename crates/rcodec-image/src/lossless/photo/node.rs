//! The probability of one decision: experts, counters in contexts and values
//! remembered from contexts, mixed.

use super::contexts::{Neighbourhood, class7, class15};
use super::experts::Distribution;
use crate::lossless::ablation::{Part, context, expert, on};
use rcodec_core::Result;
use rcodec_entropy::logistic::{Apm, Inputs, LearningRate, Mixer, squash, stretch, update_all};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};

/// Kinds of decisions in the tree.
pub(crate) const NODES: usize = 32;

/// Most context counters of a decision.
const CONTEXTS_MAX: usize = 16;

/// Most remembered values.
pub(crate) const MEMORIES_MAX: usize = 9;

/// Contexts of one kind.
const CONTEXT_SIZE: usize = 1024;

/// Slots of the memory of one kind of context.
const MEMORY_SIZE: usize = 1 << 16;

/// Classes of the blend's scale that select weights.
const SCALES: usize = 16;

/// Most weight sets.
const SETS: usize = 4;

/// A counter of one decision in one context.
type Counter = CountedBit<255>;

/// Counters of all decisions in one context; those that are needed most share
/// a line of the cache.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
struct Slot([Counter; NODES]);

/// Whether mixers with so many inputs are those of the large level.
const fn is_large(inputs: usize) -> bool {
    inputs > 16
}

/// What followed a context the last time, and how often in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    value: u16,
    count: u16,
}

/// A memory is most certain after this many times.
const COUNT_MAX: u16 = 7;

/// The models of one channel's decisions: `E` experts, and counters that fill
/// the `N` inputs of `M` mixers, with the last input constant.
pub(crate) struct NodeModels<const E: usize, const N: usize, const M: usize> {
    counters: Vec<Slot>,
    /// By memory, certainty and what the remembered value says of a decision.
    trust: Vec<Slot>,
    inputs: Inputs<N>,
    first: [Mixer<N>; M],
    /// Of the large level only, as what follows: the normal one takes the mean
    /// of what the mixers say.
    hidden: Inputs<8>,
    second: Mixer<8>,
    by_value: Apm,
    by_scale: Apm,
    stretch: Box<[i16; 4096]>,
}

/// The contexts of one sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    slots: [u32; CONTEXTS_MAX],
    sets: [usize; SETS],
    scale: usize,
    value: usize,
    memories: [Memory; MEMORIES_MAX],
}

/// A decision: whether the sample's distance from `reference`, in the
/// direction of `sign`, is at least `split`, when it is known to be in
/// `from..to`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) node: usize,
    pub(crate) reference: i32,
    pub(crate) sign: i32,
    pub(crate) from: i32,
    pub(crate) split: i32,
    pub(crate) to: i32,
}

impl<const E: usize, const N: usize, const M: usize> NodeModels<E, N, M> {
    /// Values remembered.
    const MEMORIES: usize = memories(N);
    /// Counters per decision.
    const CONTEXTS: usize = contexts(E, N);

    pub(crate) fn new() -> Self {
        let first = LearningRate::falling(800, 250, 6);
        let second = LearningRate::falling(200, 30, 8);
        let sizes = [SCALES, 64, 64, 256];
        let (weight_q16, of_large) = if is_large(N) {
            (3_000, NODES)
        } else {
            (6_000, 0)
        };
        NodeModels {
            counters: vec![Default::default(); Self::CONTEXTS * CONTEXT_SIZE],
            trust: vec![Default::default(); Self::MEMORIES * 3 * (usize::from(COUNT_MAX) + 1)],
            inputs: Inputs::new(),
            first: std::array::from_fn(|m| Mixer::new(NODES * sizes[m], weight_q16, first)),
            hidden: Inputs::new(),
            second: Mixer::new(of_large, 65_536 / M as i32, second),
            by_scale: Apm::new(of_large * 64, 255),
            by_value: Apm::new(of_large * 256, 255),
            stretch: Box::new(std::array::from_fn(|i| stretch((16 * i + 8) as u32) as i16)),
        }
    }

    /// Codes one decision. `odds_q8` is what the experts say of it.
    #[inline(always)]
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        selection: &Selection,
        bit: bool,
        question: &Question,
        odds_q8: &[i32; E],
    ) -> Result<bool> {
        let node = question.node;
        let inputs = self.inputs.values_mut();
        for (e, (input, &odds)) in inputs.iter_mut().zip(odds_q8).enumerate() {
            if expert(e).is_none_or(on) {
                *input = odds.clamp(-2047, 2047) as i16;
            }
        }
        let slots = &selection.slots[..Self::CONTEXTS];
        for (k, (input, &slot)) in inputs[E..].iter_mut().zip(slots).enumerate() {
            if !on(context(k)) {
                continue;
            }
            let p = self.counters[slot as usize].0[node].p1_q16();
            *input = self.stretch[(p >> 4) as usize & 4095];
        }
        let mut trusts = [0; MEMORIES_MAX];
        let base = E + Self::CONTEXTS;
        let remembered = if on(Part::Memories) {
            Self::MEMORIES
        } else {
            0
        };
        for (k, slot) in trusts.iter_mut().enumerate().take(remembered) {
            let memory = &selection.memories[k];
            let distance = question.sign * (i32::from(memory.value) - question.reference);
            let says = usize::from(distance >= question.from)
                + usize::from(distance >= question.split)
                - 2 * usize::from(distance >= question.to && distance >= question.from);
            let says = if memory.count == 0 { 0 } else { says };
            let trust = (k * 8 + usize::from(memory.count)) * 3 + says;
            *slot = trust;
            let p = self.trust[trust].0[node].p1_q16();
            inputs[base + k] = self.stretch[(p >> 4) as usize & 4095];
        }
        inputs[N - 1] = 256;
        // One by one: two at once are not found to be `pmaddwd`.
        let hidden = &mut self.hidden.values_mut()[..M];
        for ((hidden, mixer), set) in hidden.iter_mut().zip(&mut self.first).zip(selection.sets) {
            *hidden = mixer.mix(&self.inputs, set * NODES + node) as i16;
        }
        let p_q16 = if is_large(N) {
            self.refined(selection, node)
        } else {
            let sum: i32 = self.hidden.values()[..M]
                .iter()
                .map(|&x| i32::from(x))
                .sum();
            squash(sum / M as i32)
        };
        let bit = coder.code_bit(bit, p_q16)?;
        update_all(&mut self.first, &self.inputs, bit);
        if is_large(N) {
            self.second.update(&self.hidden, bit);
            if on(Part::MapByValue) {
                self.by_value.update(bit);
            }
            if on(Part::MapByScale) {
                self.by_scale.update(bit);
            }
        }
        for (k, &slot) in slots.iter().enumerate() {
            if on(context(k)) {
                self.counters[slot as usize].0[node].update(bit);
            }
        }
        for &trust in &trusts[..remembered] {
            self.trust[trust].0[node].update(bit);
        }
        Ok(bit)
    }

    /// The mixers' opinions mixed again, and what such an answer was worth.
    #[inline(always)]
    fn refined(&mut self, selection: &Selection, node: usize) -> u32 {
        let mut odds = self.second.mix(&self.hidden, node);
        let mut p_mixed = self.second.p1_q16();
        if !on(Part::SecondMixer) {
            let sum: i32 = self.hidden.values().iter().map(|&x| i32::from(x)).sum();
            odds = sum / M as i32;
            p_mixed = squash(odds);
        }
        let (mut p_value, mut p_scale) = (p_mixed, p_mixed);
        if on(Part::MapByValue) {
            p_value = self.by_value.refine(odds, selection.value * NODES + node);
        }
        if on(Part::MapByScale) {
            p_scale = self.by_scale.refine(odds, selection.scale * NODES + node);
        }
        (2 * p_mixed + p_scale + p_value) >> 2
    }
}

/// Values remembered per decision.
pub(crate) const fn memories(inputs: usize) -> usize {
    if is_large(inputs) { 9 } else { 0 }
}

/// Counters per decision: what the experts and memories leave, but one.
const fn contexts(experts: usize, inputs: usize) -> usize {
    inputs - 1 - experts - memories(inputs)
}

/// What followed contexts of several samples.
pub(crate) struct Memories {
    slots: Vec<Memory>,
    at: [u32; MEMORIES_MAX],
    count: usize,
}

impl Memories {
    pub(crate) fn new(inputs: usize) -> Self {
        let count = memories(inputs);
        Memories {
            slots: vec![Memory::default(); count * MEMORY_SIZE],
            at: [0; MEMORIES_MAX],
            count,
        }
    }

    /// Looks up what followed these contexts.
    #[inline(always)]
    pub(crate) fn look_up(&mut self, keys: &[u64; MEMORIES_MAX], selection: &mut Selection) {
        for (k, key) in keys.iter().enumerate().take(self.count) {
            let hash = key
                .wrapping_add(k as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let at = k * MEMORY_SIZE + (hash >> 48) as usize;
            self.at[k] = at as u32;
            selection.memories[k] = self.slots[at];
        }
    }

    /// Learns what came.
    #[inline(always)]
    pub(crate) fn update(&mut self, value: i32) {
        for &at in &self.at[..self.count] {
            let memory = &mut self.slots[at as usize];
            if i32::from(memory.value) == value {
                memory.count = (memory.count + 1).min(COUNT_MAX);
            } else if memory.count > 3 {
                memory.count /= 2;
            } else {
                memory.value = value as u16;
                memory.count = 1;
            }
        }
    }
}

/// What the channels before are like around a sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guides {
    /// By how much they were missed: the one just before, then the one before
    /// that.
    pub(crate) residuals: [i32; 2],
    /// Their samples here, to the left, above, to the upper right and right.
    pub(crate) here: [i32; 2],
    pub(crate) w: [i32; 2],
    pub(crate) n: [i32; 2],
    pub(crate) ne: [i32; 2],
    pub(crate) nw: [i32; 2],
    pub(crate) e: [i32; 2],
    pub(crate) s: [i32; 2],
}

impl Selection {
    /// Chooses the contexts for one sample.
    #[inline(always)]
    pub(crate) fn choose<const E: usize, const N: usize>(
        &mut self,
        dist: &Distribution<E>,
        hood: &Neighbourhood,
        guides: &Guides,
        (x, y): (usize, usize),
        max: i32,
    ) {
        let p = dist.centre;
        let scale = dist.scale_step.min(63);
        let coarse = (scale / 3).min(15);
        let [prev, prev2] = guides.residuals;
        let value = if max > 255 {
            (p as usize) * 255 / max as usize
        } else {
            p as usize
        };
        let offset = |e: usize| class15((dist.mu_q6[e] - (p << 6)) >> 4);
        let phase = (x & 1) | (y & 1) << 1;
        let near = |value: i32| class15(value - p);
        let Selection { slots, sets, .. } = self;
        let count = contexts(E, N);
        let mut put = |k: usize, context: usize| {
            if k < count {
                slots[k] = (k * CONTEXT_SIZE + context % CONTEXT_SIZE) as u32;
            }
        };
        put(0, offset(0) << 4 | offset(1));
        put(1, class15(prev) << 6 | phase << 4 | coarse);
        put(2, near(hood.w) << 4 | near(hood.n));
        put(3, offset(2) << 4 | coarse);
        put(
            4,
            near(hood.w) << 6 | class7(hood.ne - p) << 3 | class7(hood.nw - p),
        );
        put(
            5,
            near(hood.n) << 6 | class7(hood.nne - p) << 3 | class7(hood.ne - p),
        );
        sets[0] = (scale / 3).min(SCALES - 1);
        if on(Part::Sets1) {
            sets[1] = class7(prev) << 3 | class7(hood.w - hood.n);
        }
        if N > 16 {
            let [g, g2] = guides.here;
            // What a neighbour says through the difference to a guide.
            let through = |own: i32, guide: i32| near(own + g - guide);
            let through2 = |own: i32, guide: i32| near(own + g2 - guide);
            put(6, near(hood.nn) << 4 | near(hood.ww));
            put(7, class15(prev) << 4 | class15(prev2));
            put(
                8,
                through(hood.w, guides.w[0]) << 4 | through(hood.n, guides.n[0]),
            );
            put(
                9,
                through2(hood.w, guides.w[1]) << 4 | through2(hood.n, guides.n[1]),
            );
            put(
                10,
                through(hood.nw, guides.nw[0]) << 4 | through(hood.ne, guides.ne[0]),
            );
            put(
                11,
                class15(guides.e[0] - g) << 6
                    | class7(guides.s[0] - g) << 3
                    | class7(g - guides.w[0]),
            );
            put(12, (g as usize & 255) << 2 | phase);
            put(
                13,
                through(
                    hood.w + hood.n - hood.nw,
                    guides.w[0] + guides.n[0] - guides.nw[0],
                ) << 6
                    | phase << 4
                    | coarse,
            );
            put(
                14,
                through(2 * hood.w - hood.ww, guides.w[0]) << 4 | near(hood.w),
            );
            put(15, class15(p - g) << 6 | class15(prev) << 2 | phase);
            if on(Part::Sets2) {
                sets[2] = phase << 4 | coarse;
            }
            if on(Part::Sets3) {
                sets[3] = value;
            }
        }
        self.scale = scale;
        self.value = value;
    }

    /// Step of the blend's scale, 0..64.
    pub(crate) fn scale(&self) -> usize {
        self.scale
    }
}

/// Exact values that may have come together with the same sample before.
#[inline(always)]
pub(crate) fn memory_keys(
    hood: &Neighbourhood,
    guides: &Guides,
    centre: i32,
) -> [u64; MEMORIES_MAX] {
    let of = |values: &[i32]| {
        values.iter().fold(1u64, |sum, &v| {
            sum.wrapping_add(v as u64)
                .wrapping_mul(0x2f0b_4f61_8f3d_a6e5)
        })
    };
    let [g, g2] = guides.here;
    let [gw, gw2] = guides.w;
    let [gn, gn2] = guides.n;
    [
        of(&[g, g2]),
        of(&[g, g2, hood.w]),
        of(&[g, g2, hood.n]),
        of(&[g, g2, centre]),
        of(&[g, hood.w, gw]),
        of(&[g, hood.n, gn]),
        of(&[g, g2, hood.w, gw, gw2]),
        of(&[g, g2, hood.n, gn, gn2]),
        of(&[hood.w, hood.n, g]),
    ]
}
