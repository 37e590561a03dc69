//! What comes after the first mixers: mixers of these, and what their
//! predictions were really worth in contexts of their own.

use super::apm::Apm;
use super::class::Situation;
use super::contexts::Tracker;
use rcodec_core::{Budget, Result};
use rcodec_entropy::logistic::{Inputs, LearningRate, Mixer, squash, stretch};

/// Second mixers.
pub(crate) const SECOND: usize = 2;
/// Weight sets of the second mixers that only wide classes have.
const MORE_SETS: usize = 2048;
/// Maps of the last stage: orders 0, 1 and 3, and with `WIDE` order 2 and the
/// word.
pub(crate) const MAPS: usize = 5;

/// What a class asks for.
pub(crate) struct Refining {
    /// How quickly the second mixers learn.
    pub(crate) rate: LearningRate,
    /// Contexts of the hashed maps, as a power of two.
    pub(crate) hashed_bits: u32,
    /// Whether there are more maps, and a mixer for them.
    pub(crate) is_wide: bool,
}

impl Refining {
    /// Contexts of each map.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        let hashed = 1 << self.hashed_bits;
        let count = if self.is_wide { MAPS } else { 3 };
        [1024, 1 << 16, hashed, hashed, hashed]
            .into_iter()
            .take(count)
    }

    /// The memory of all maps of so many points, in bytes.
    pub(crate) fn bytes(&self, points: usize) -> u64 {
        self.sizes().map(|size| (size * points * 4) as u64).sum()
    }
}

/// The last stages.
pub(crate) struct Refiner<const P: usize> {
    /// Predictions of the first mixers.
    pub(crate) hidden: Inputs<16>,
    pub(crate) second: [Mixer<16>; SECOND],
    /// Two more with `is_wide`: by the place in word and structure, and by the
    /// word. A prior brings no weights for them; they begin with those that it
    /// has for situations it never met.
    pub(crate) more: Vec<Mixer<16>>,
    pub(crate) maps: Vec<Apm<P>>,
    /// For each large map the context of the next bit, if that is a zero.
    next: [usize; MAPS],
    /// Mixes the refined predictions, if there are more.
    pub(crate) last: Mixer<8>,
    refined: Inputs<8>,
    is_wide: bool,
}

impl<const P: usize> Refiner<P> {
    pub(crate) fn new(mixers: usize, refining: &Refining, budget: &Budget) -> Result<Self> {
        let maps = refining.sizes().map(|size| Apm::new(size, budget));
        let second = |sets| Mixer::new(sets, 65536 / mixers as i32, refining.rate);
        let more = if refining.is_wide { 2 } else { 0 };
        Ok(Refiner {
            hidden: Inputs::new(),
            second: [second(256), second(9 * 64)],
            more: (0..more).map(|_| second(MORE_SETS)).collect(),
            maps: maps.collect::<Result<_>>()?,
            next: [0; MAPS],
            last: Mixer::new(256, 65536 / 6, LearningRate::constant(40)),
            refined: Inputs::new(),
            is_wide: refining.is_wide,
        })
    }

    /// Gives the mixers for which a prior has no weights those that it has for
    /// situations that it never met: the mean.
    pub(crate) fn spread(&mut self) {
        let [_, by_match] = &self.second;
        let never = by_match.sets() - 1;
        let weights = *by_match.weights_q12(never);
        let rate = by_match.rate_q16(never);
        for mixer in &mut self.more {
            for set in 0..mixer.sets() {
                mixer.set_weights(set, &weights, rate);
            }
        }
    }

    /// Finds the contexts of the large maps for the bit after the next, which
    /// follows `partial`, and asks the cache for them. With `partial` 0: for the first bit of a byte.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, tracker: &Tracker, partial: u32) {
        let c1 = tracker.byte(1) as usize;
        self.next[1] = c1 << 8 | (partial as usize) << 1;
        self.next[2] = tracker.last_slot(3, partial) << 1;
        if self.is_wide {
            self.next[3] = tracker.last_slot(2, partial) << 1;
            self.next[4] = tracker.word_slot(partial) << 1;
        }
        for (map, &next) in self.maps.iter().zip(&self.next).skip(1) {
            map.touch(next);
        }
    }

    /// Chooses the contexts that were prepared, now that the bit before is
    /// known: the lowest of `partial`.
    #[inline(always)]
    pub(crate) fn select(&mut self, partial: u32) {
        let maps = self.maps.iter_mut().zip(self.next).skip(1);
        maps.for_each(|(map, next)| map.select(next | partial as usize & 1));
    }

    /// The final probability, of 65536, of what the first mixers say.
    #[inline(always)]
    pub(crate) fn refine(&mut self, situation: &Situation<'_>) -> u32 {
        let match_class = situation.match_class;
        let a = self.second[0].mix(&self.hidden, situation.partial);
        let b = self.second[1].mix(
            &self.hidden,
            (match_class * 8 + situation.known) * 8 + situation.bits_known,
        );
        let x_q8 = if let [by_place, by_word] = &mut self.more[..] {
            let tracker = situation.tracker;
            let place = tracker.place() << 3 | situation.bits_known;
            let word = tracker.word().0 as usize >> 7 & (MORE_SETS - 1);
            let c = by_place.mix(&self.hidden, place);
            let d = by_word.mix(&self.hidden, word);
            (a + b + c + d) >> 2
        } else {
            (a + b) >> 1
        };
        let p_q16 = squash(x_q8);
        // Small enough to be at hand.
        self.maps[0].select(situation.partial | match_class.min(3) << 8);
        let [r0, r1, r3] = [0, 1, 2].map(|i| self.maps[i].refine(x_q8));
        if !self.is_wide {
            return (2 * p_q16 + r0 + 2 * r1 + 3 * r3 + 4) >> 3;
        }
        let [r2, word] = [3, 4].map(|i| self.maps[i].refine(x_q8));
        let refined = self.refined.values_mut();
        for (i, p_q16) in [p_q16, r0, r1, r2, r3, word].into_iter().enumerate() {
            refined[i] = stretch(p_q16) as i16;
        }
        let mixed = squash(self.last.mix(&self.refined, situation.partial));
        let mean = (2 * p_q16 + r0 + r1 + r2 + 2 * r3 + word + 4) >> 3;
        (mixed + mean) >> 1
    }

    /// Learns the bit that came.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool) {
        for second in self.second.iter_mut().chain(&mut self.more) {
            second.update(&self.hidden, bit);
        }
        for map in &mut self.maps {
            map.update(bit);
        }
        if self.is_wide {
            self.last.update(&self.refined, bit);
        }
    }
}
