//! What a language model says, as inputs of the mixers.
//!
//! ```text
//! weights of 256 bytes ─ tree of sums ─▶ p1 of each bit ─┬▶ stretched ──────────▶ input
//!                                                        ├▶ distance from 1/2 ──▶ input
//!                                                        ├▶ two maps: its worth ▶ inputs
//!                                                        └▶ selects weights of two more mixers
//! ```

use super::apm::Apm;
use rcodec_core::{Budget, Reservation, Result};
use rcodec_entropy::logistic::{Inputs, LearningRate, Mixer, STRETCH_MAX_Q8, stretch};

/// Inputs that an adviser has.
pub(crate) const ADVICE_INPUTS: usize = 4;
/// Mixers of its own.
pub(crate) const ADVICE_MIXERS: usize = 2;
/// Their weight sets.
const SETS: [usize; ADVICE_MIXERS] = [LEVELS * 8, 4 * 256 + 256];
/// Steps of a prediction in the logistic domain.
const LEVELS: usize = 24;
/// Points and contexts of the maps.
const POINTS: usize = 32;
const MAPS: [usize; 2] = [1 << 10, 1 << 16];

/// What a first mixer trusts the adviser with at first, Q12, for each input;
/// its other weights are scaled by [`OTHERS_Q8`].
const TRUST_Q12: [i16; ADVICE_INPUTS] = [1024, 0, 512, 512];
const OTHERS_Q8: i32 = 160;
/// What the second mixers give to the adviser's own mixers at first, Q12, and
/// what is left of the others' weights.
const SECOND_TRUST_Q12: i16 = 820;
const SECOND_OTHERS_Q8: i32 = 154;
/// How quickly the adviser's mixers learn.
const RATE: LearningRate = LearningRate::falling(700, 80, 12);

/// A language model's part in a [`Model`](super::Model).
pub(crate) struct Advice<const N: usize> {
    pub(crate) mixers: [Mixer<N>; ADVICE_MIXERS],
    maps: [Apm<POINTS>; 2],
    /// Sums of the weights of bytes: a node's children are `2n` and `2n + 1`.
    tree: Box<[u32; 512]>,
    /// The likeliest byte and 256, and how likely it is: 0 to 3.
    top: (usize, usize),
    /// The prediction of this bit.
    x_q8: i32,
    _reservation: Reservation,
}

impl<const N: usize> Advice<N> {
    pub(crate) fn new(budget: &Budget) -> Result<Self> {
        let sets: usize = SETS.iter().sum();
        Ok(Advice {
            mixers: SETS.map(|sets| Mixer::new(sets, 0, RATE)),
            maps: [Apm::new(MAPS[0], budget)?, Apm::new(MAPS[1], budget)?],
            tree: Box::new([0; 512]),
            top: (0, 0),
            x_q8: 0,
            _reservation: budget.reserve((sets * (N * 4 + 4)) as u64)?,
        })
    }

    /// The memory of an adviser, about, in bytes.
    pub(crate) fn bytes() -> u64 {
        let sets: usize = SETS.iter().sum();
        let points: usize = MAPS.iter().sum::<usize>() * POINTS;
        (sets * (N * 4 + 4) + points * 4) as u64
    }

    /// Gives first mixers some trust in the adviser; the adviser's own begin
    /// like `by_bits`, which has a set for each bit of a byte.
    pub(crate) fn join<'m>(
        &mut self,
        mixers: &mut [Mixer<N>],
        second: impl Iterator<Item = &'m mut Mixer<16>>,
    ) {
        let first = N - ADVICE_INPUTS;
        for mixer in mixers.iter_mut() {
            change(mixer, |i, weight| match i.checked_sub(first) {
                Some(own) => TRUST_Q12[own],
                None => scaled(weight, OTHERS_Q8),
            });
        }
        if let Some(by_bits) = mixers.last() {
            for (mixer, sets) in self.mixers.iter_mut().zip(SETS) {
                for set in 0..sets {
                    let weights = *by_bits.weights_q12(set % 8);
                    mixer.set_weights(set, &weights, mixer.rate_q16(set));
                }
            }
        }
        for mixer in second {
            change(mixer, |i, weight| match i >= 16 - ADVICE_MIXERS {
                true => SECOND_TRUST_Q12,
                false => scaled(weight, SECOND_OTHERS_Q8),
            });
        }
    }

    /// Takes what is said of the next byte: weights with a sum below 2^31.
    pub(crate) fn advise(&mut self, weights: &[u32; 256]) {
        self.tree[256..].copy_from_slice(weights);
        for node in (1..256).rev() {
            self.tree[node] = self.tree[2 * node] + self.tree[2 * node + 1];
        }
        // The first of several.
        let bytes = weights.iter().enumerate().rev();
        let (byte, weight) = bytes.max_by_key(|&(_, weight)| weight).unwrap_or((0, &0));
        let (part, whole) = (u64::from(*weight) * 16, u64::from(self.tree[1]));
        let is_above = |sixteenths| usize::from(part > whole * sixteenths);
        self.top = (byte | 256, is_above(4) + is_above(10) + is_above(15));
    }

    /// Sets the inputs for the bit after `partial`.
    #[inline(always)]
    pub(crate) fn predict(&mut self, partial: u32, last_byte: u32, x: &mut [i16]) {
        let node = partial as usize & 255;
        let (all, ones) = (self.tree[node], self.tree[2 * node + 1]);
        if all == 0 {
            self.x_q8 = 0;
            x.fill(0);
        } else {
            let p1_q16 = ((u64::from(ones) << 16) / u64::from(all)).clamp(1, 65535) as u32;
            self.x_q8 = stretch(p1_q16);
            x[0] = self.x_q8 as i16;
            x[1] = ((p1_q16 as i32 - (1 << 15)) >> 5) as i16;
        }
        self.maps[0].select(node | self.top.1 << 8);
        self.maps[1].select(node | (last_byte as usize) << 8);
        for (map, x) in self.maps.iter_mut().zip(&mut x[2..]) {
            let refined = stretch(map.refine(self.x_q8));
            *x = if all == 0 { 0 } else { refined as i16 };
        }
    }

    /// What its mixers say.
    #[inline(always)]
    pub(crate) fn mix(&mut self, inputs: &Inputs<N>, partial: u32, bits: u32, out: &mut [i16]) {
        let span = 2 * STRETCH_MAX_Q8 + 1;
        let level = (self.x_q8 + STRETCH_MAX_Q8) * LEVELS as i32 / span;
        // What the likeliest byte begins with.
        let (top, share) = self.top;
        let agrees = top >> (8 - bits) == partial as usize;
        let by_top = match agrees {
            true => share << 8 | top & 255,
            false => 4 << 8 | bits as usize,
        };
        let sets = [level as usize * 8 + bits as usize, by_top];
        for ((mixer, set), out) in self.mixers.iter_mut().zip(sets).zip(out) {
            *out = mixer.mix(inputs, set) as i16;
        }
    }

    /// Learns the bit that came.
    #[inline(always)]
    pub(crate) fn update(&mut self, inputs: &Inputs<N>, bit: bool) {
        for mixer in &mut self.mixers {
            mixer.update(inputs, bit);
        }
        for map in &mut self.maps {
            map.update(bit);
        }
    }
}

fn scaled(weight_q12: i16, factor_q8: i32) -> i16 {
    ((i32::from(weight_q12) * factor_q8) >> 8) as i16
}

/// Changes the weights of all sets; their rates stay.
fn change<const N: usize>(mixer: &mut Mixer<N>, weight: impl Fn(usize, i16) -> i16) {
    for set in 0..mixer.sets() {
        let old = *mixer.weights_q12(set);
        let new = std::array::from_fn(|i| weight(i, old[i]));
        mixer.set_weights(set, &new, mixer.rate_q16(set));
    }
}
