//! What comes after the first mixers: mixers of these, and what their
//! predictions were really worth in contexts of their own.

use super::apm::Apm;
use super::class::Situation;
use super::contexts::Tracker;
use rcodec_core::{Budget, Result};
use rcodec_entropy::logistic::{Inputs, LearningRate, Mixer, squash, stretch};

/// Second mixers for whose weights a prior has room; a narrow class has the
/// first of them only.
const KEPT_SECOND: usize = 2;
/// Weight sets of the second mixers that only wide classes have besides.
const MORE_SETS: [usize; 3] = [2048, 2048, 512];
/// Maps of the last stage: orders 1 and 3, and in wide classes orders 0 and 2,
/// the word, and what the longest match foretells.
const MAPS: usize = 6;
/// Class of the longest matches that count as short.
const LONG: u32 = 12;
/// Maps of a narrow class.
const NARROW_MAPS: usize = 2;

/// What a class asks for.
pub(crate) struct Refining {
    /// How quickly the second mixers learn.
    pub(crate) rate: LearningRate,
    /// Contexts of the hashed maps, as a power of two.
    pub(crate) hashed_bits: u32,
}

/// The last stages; `WIDE` ones have more mixers and maps, and a mixer for
/// these.
pub(crate) struct Refiner<const P: usize, const WIDE: bool> {
    /// Predictions of the first mixers.
    pub(crate) hidden: Inputs<16>,
    /// By the match and how well known the situation is; and with `WIDE` by the
    /// bits of the byte.
    pub(crate) second: Vec<Mixer<16>>,
    /// Three more with `WIDE`: by the place in word and structure, by the word,
    /// and by the byte that the longest match foretells. A prior brings no
    /// weights for them; they begin with those that it has for situations it
    /// never met.
    pub(crate) more: Vec<Mixer<16>>,
    maps: Vec<Apm<P>>,
    /// For each large map the context of the next bit, if that is a zero.
    next: [usize; MAPS],
    /// Mixes the refined predictions, if there are more.
    last: Mixer<8>,
    refined: Inputs<8>,
}

impl<const P: usize, const WIDE: bool> Refiner<P, WIDE> {
    pub(crate) fn new(mixers: usize, refining: &Refining, budget: &Budget) -> Result<Self> {
        let maps = Self::sizes(refining).map(|size| Apm::new(size, budget));
        let second = |sets| Mixer::new(sets, 65536 / mixers as i32, refining.rate);
        let kept = if WIDE { KEPT_SECOND } else { 1 };
        let more = if WIDE { &MORE_SETS[..] } else { &[] };
        Ok(Refiner {
            hidden: Inputs::new(),
            second: [9 * 64, 256].into_iter().take(kept).map(second).collect(),
            more: more.iter().map(|&sets| second(sets)).collect(),
            maps: maps.collect::<Result<_>>()?,
            next: [0; MAPS],
            last: Mixer::new(256, 65536 / 6, LearningRate::constant(40)),
            refined: Inputs::new(),
        })
    }

    /// Contexts of each map.
    fn sizes(refining: &Refining) -> impl Iterator<Item = usize> {
        let hashed = 1 << refining.hashed_bits;
        let count = if WIDE { MAPS } else { NARROW_MAPS };
        [1 << 16, hashed, 1024, hashed, hashed, 1 << 17]
            .into_iter()
            .take(count)
    }

    /// The memory of all maps, in bytes.
    pub(crate) fn bytes(refining: &Refining) -> u64 {
        Self::sizes(refining)
            .map(|size| (size * P * 4) as u64)
            .sum()
    }

    /// The maps that a prior brings: the others have too many contexts.
    pub(crate) fn kept_maps(&mut self) -> impl Iterator<Item = &mut Apm<P>> {
        self.maps.iter_mut().step_by(2).take(2)
    }

    /// Gives the mixers for which a prior has no weights those that it has for
    /// situations that it never met: the mean.
    pub(crate) fn spread(&mut self) {
        let Some(by_match) = self.second.first() else {
            return;
        };
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
    /// follows `partial`, and asks the cache for them. With `partial` 0: for the
    /// first bit of a byte. `foretold` is the byte that the longest match says
    /// and 256, or 0, and the class of its length.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, tracker: &Tracker, partial: u32, foretold: (u32, u32)) {
        let c1 = tracker.byte(1) as usize;
        self.next[0] = c1 << 8 | (partial as usize) << 1;
        self.next[1] = tracker.last_slot(3, partial) << 1;
        if WIDE {
            self.next[3] = tracker.last_slot(2, partial) << 1;
            self.next[4] = tracker.word_slot(partial) << 1;
            let (byte, length_class) = foretold;
            let byte = byte & 255 | u32::from(length_class > LONG) << 8;
            self.next[5] = (byte << 8 | partial << 1) as usize;
        }
        for (i, (map, &next)) in self.maps.iter().zip(&self.next).enumerate() {
            if i != 2 {
                map.touch(next);
            }
        }
    }

    /// Chooses the contexts that were prepared, now that the bit before is
    /// known: the lowest of `partial`.
    #[inline(always)]
    pub(crate) fn select(&mut self, partial: u32) {
        for (map, next) in self.maps.iter_mut().zip(self.next) {
            map.select(next | partial as usize & 1);
        }
    }

    /// The final probability, of 65536, of what the first mixers say.
    #[inline(always)]
    pub(crate) fn refine(&mut self, situation: &Situation<'_>) -> u32 {
        let (match_class, bits_known) = (situation.match_class, situation.bits_known);
        let by_match = (match_class * 8 + situation.known) * 8 + bits_known;
        let tracker = situation.tracker;
        let sets = [
            by_match,
            situation.partial,
            tracker.place() << 3 | bits_known,
            tracker.word().0 as usize >> 7 & (MORE_SETS[1] - 1),
            situation.expected,
        ];
        let second = self.second.iter_mut().chain(&mut self.more);
        let sum: i32 = second
            .zip(sets)
            .map(|(mixer, set)| mixer.mix(&self.hidden, set))
            .sum();
        // A fifth of it.
        let x_q8 = if WIDE { (sum * 13107) >> 16 } else { sum };
        let p_q16 = squash(x_q8);
        if !WIDE {
            let [by_one, by_three, ..] = &mut self.maps[..] else {
                return p_q16;
            };
            let refined = [by_one.refine(x_q8), by_three.refine(x_q8)];
            #[cfg(feature = "ablation")]
            let refined = with_a_say(refined, p_q16);
            let [r1, r3] = refined;
            return (2 * p_q16 + 3 * r1 + 3 * r3 + 4) >> 3;
        }
        // Small enough to be at hand.
        self.maps[2].select(situation.partial | match_class.min(3) << 8);
        let [by_one, by_three, by_none, by_two, by_word, by_match] = &mut self.maps[..] else {
            return p_q16;
        };
        let (r1, r3) = (by_one.refine(x_q8), by_three.refine(x_q8));
        let (r0, r2) = (by_none.refine(x_q8), by_two.refine(x_q8));
        let (word, foretold) = (by_word.refine(x_q8), by_match.refine(x_q8));
        #[cfg(feature = "ablation")]
        let [r1, r3, r0, r2, word, foretold] = with_a_say([r1, r3, r0, r2, word, foretold], p_q16);
        let refined = self.refined.values_mut();
        let all = [p_q16, r0, r1, r2, r3, word, foretold];
        for (refined, p_q16) in refined.iter_mut().zip(all) {
            *refined = stretch(p_q16) as i16;
        }
        let mixed = squash(self.last.mix(&self.refined, situation.partial));
        let mean = (p_q16 + r0 + r1 + r2 + 2 * r3 + word + foretold + 4) >> 3;
        (mixed + mean) >> 1
    }

    /// Lets the mixers learn the bit that came.
    #[inline(always)]
    pub(crate) fn update_mixers(&mut self, bit: bool) {
        for second in self.second.iter_mut().chain(&mut self.more) {
            second.update(&self.hidden, bit);
        }
        if WIDE {
            self.last.update(&self.refined, bit);
        }
    }

    /// Lets the maps learn the bit that came.
    #[inline(always)]
    pub(crate) fn update_maps(&mut self, bit: bool) {
        #[cfg(feature = "ablation")]
        let is_left_out = |i| crate::ablation::WITHOUT.maps.contains(&i);
        #[cfg(not(feature = "ablation"))]
        let is_left_out = |_: usize| false;
        for (i, map) in self.maps.iter_mut().enumerate() {
            if !is_left_out(i) {
                map.update(bit);
            }
        }
    }
}

/// What maps say; those without a say repeat what they were asked.
#[cfg(feature = "ablation")]
fn with_a_say<const COUNT: usize>(refined: [u32; COUNT], p_q16: u32) -> [u32; COUNT] {
    let is_silent = |i| crate::ablation::WITHOUT.maps.contains(&i);
    std::array::from_fn(|i| if is_silent(i) { p_q16 } else { refined[i] })
}
