//! The colours seen so far.
//!
//! Many pictures have far fewer colours than they could: those that were tone
//! mapped, converted between colour spaces, scanned to a coarse lattice or
//! drawn. Given the first two channels, the last one then has few values. This
//! stage remembers which values have occurred with the first two, first says
//! whether the sample is one of them, and then only which.

use super::experts::Distribution;
use super::node::{NodeModels, Question, Selection};
use super::tree::{FAR, NODE_CENTRE, NODE_SIDE, STEPS, Tails, Tree, each, step_node};
use crate::lossless::logistic::{ln_q8, mass_between_q30};
use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use rcodec_core::Result;
use rcodec_entropy::logistic::{Inputs, LearningRate, Mixer, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};

/// Whether the colours of a picture are sparse enough: colours come back much
/// more often than those that differ a little in the last channel.
pub(crate) fn is_worth(planes: &Planes, maps: &[ValueMap]) -> bool {
    if maps.len() < 3 || maps[..3].iter().any(|map| map.max_rank() > 255) {
        return false;
    }
    let mut seen = vec![[0u64; 4]; 1 << 16];
    let (mut hits, mut near) = (0u64, 0u64);
    for at in 0..planes.pixels() {
        let [r, g, b] = [0, 1, 2].map(|c| usize::from(planes.channels[c][at]) & 255);
        let set = &mut seen[r << 8 | g];
        let b = b as i32;
        hits += 6 * u64::from(contains(set, b));
        for distance in [-3, -2, -1, 1, 2, 3] {
            let other = b + distance;
            near += u64::from((0..256).contains(&other) && contains(set, other));
        }
        set[(b >> 6) as usize & 3] |= 1 << (b & 63);
    }
    5 * hits > 9 * near
}

/// Values that are considered around the centre, on each side.
const REACH: i32 = 32;

/// A set of values below 256.
pub(crate) type ValueSet = [u64; 4];

/// Whether `value` (of 0..256) is in the set.
#[inline(always)]
pub(crate) fn contains(set: &ValueSet, value: i32) -> bool {
    set[(value >> 6) as usize & 3] >> (value & 63) & 1 != 0
}

/// How far from the centre candidates are looked for: far beyond what is
/// likely, as what lies outside costs a flag.
#[inline(always)]
fn reach_of<const E: usize>(dist: &Distribution<E>) -> i32 {
    (4 + ((9 << (dist.scale_step / 4).min(12)) >> 6)).min(REACH)
}

/// The stage for the last channel of a picture.
pub(crate) struct SeenStage<const E: usize, const N: usize, const M: usize> {
    sets: Vec<ValueSet>,
    key: usize,
    nodes: NodeModels<E, N, M>,
    flags: FlagModels,
}

/// A value that has been seen, and what each expert gives it.
#[derive(Clone, Copy, Debug)]
struct Candidate<const E: usize> {
    value: i32,
    mass: [u32; E],
}

/// The candidates around the centre, in order.
struct Candidates<const E: usize> {
    list: [Candidate<E>; 2 * REACH as usize],
    len: usize,
    total: [u32; E],
}

impl<const E: usize> Candidates<E> {
    #[inline(always)]
    fn collect(set: &ValueSet, tree: &Tree<E>, dist: &Distribution<E>) -> Self {
        let mut all = Candidates {
            list: [Candidate {
                value: 0,
                mass: [0; E],
            }; 2 * REACH as usize],
            len: 0,
            total: [0; E],
        };
        let reach = reach_of(dist);
        let low = dist.centre - reach;
        let mut window = window(set, low) & (u64::MAX >> (64 - 2 * reach));
        let mut tails_at = (i32::MIN, [0; E]);
        while window != 0 {
            let value = low + window.trailing_zeros() as i32;
            window &= window - 1;
            let left = if tails_at.0 == value {
                tails_at.1
            } else {
                tree.tails(value)
            };
            let right = tree.tails(value + 1);
            tails_at = (value + 1, right);
            let mass = masses(&left, &right);
            for (sum, m) in all.total.iter_mut().zip(mass) {
                *sum += m;
            }
            if let Some(slot) = all.list.get_mut(all.len) {
                *slot = Candidate { value, mass };
                all.len += 1;
            }
        }
        all
    }

    fn as_slice(&self) -> &[Candidate<E>] {
        &self.list[..self.len]
    }
}

#[inline(always)]
fn masses<const E: usize>(left: &Tails<E>, right: &Tails<E>) -> [u32; E] {
    let mut all = [0; E];
    let mut e = 0;
    while e < E {
        all[e] = mass_between_q30(left[e], right[e]);
        e += 1;
    }
    all
}

/// The 64 bits of the set from value `low` on; values outside are missing.
#[inline(always)]
fn window(set: &ValueSet, low: i32) -> u64 {
    let word = |index: i32| -> u64 {
        usize::try_from(index)
            .ok()
            .and_then(|i| set.get(i))
            .copied()
            .unwrap_or(0)
    };
    let (index, shift) = (low.div_euclid(64), low.rem_euclid(64) as u32);
    let upper = if shift == 0 {
        0
    } else {
        word(index + 1) << (64 - shift)
    };
    word(index) >> shift | upper
}

impl<const E: usize, const N: usize, const M: usize> SeenStage<E, N, M> {
    pub(crate) fn new() -> Self {
        SeenStage {
            sets: vec![[0; 4]; 1 << 16],
            key: 0,
            nodes: NodeModels::new(),
            flags: FlagModels::new(),
        }
    }

    /// Chooses the set by the samples of the first two channels.
    #[inline(always)]
    pub(crate) fn select(&mut self, first: u16, second: u16) {
        self.key = (usize::from(first & 255)) << 8 | usize::from(second & 255);
    }

    /// Codes `value` if it has been seen; `None` if it has not, and is still
    /// to be coded. The set tells which values it then cannot be.
    #[inline(always)]
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        selection: &Selection,
        tree: &Tree<'_, E>,
        dist: &Distribution<E>,
        value: i32,
    ) -> Result<(Option<i32>, ValueSet)> {
        let set = self.sets[self.key];
        if set == [0; 4] {
            return Ok((None, set));
        }
        let candidates = Candidates::collect(&set, tree, dist);
        if candidates.len == 0 {
            return Ok((None, [0; 4]));
        }
        let near = candidates.as_slice();
        let hit = near.iter().any(|c| c.value == value);
        let hit = self.flags.code(coder, hit, selection, &candidates)?;
        // What lies beyond the window can still come.
        let excluded = if hit {
            set
        } else {
            only_near(&set, dist.centre, reach_of(dist))
        };
        if !hit {
            return Ok((None, excluded));
        }
        let value = self.choose(coder, selection, &candidates, value)?;
        Ok((Some(value), excluded))
    }

    /// Remembers the value.
    #[inline(always)]
    pub(crate) fn update(&mut self, value: i32) {
        self.sets[self.key][(value >> 6) as usize & 3] |= 1 << (value & 63);
    }

    /// Codes which candidate it is: the likeliest first, then the side, then
    /// outwards.
    #[inline(always)]
    fn choose<C: BitCoder>(
        &mut self,
        coder: &mut C,
        selection: &Selection,
        candidates: &Candidates<E>,
        value: i32,
    ) -> Result<i32> {
        let list = candidates.as_slice();
        let best = (0..list.len())
            .max_by_key(|&i| list[i].mass[E - 1])
            .unwrap_or(0);
        if list.len() == 1 {
            return Ok(list[best].value);
        }
        let chosen = list[best].value;
        let sum = |part: &[Candidate<E>]| {
            let mut sum = [0i32; E];
            for candidate in part {
                for (sum, &mass) in sum.iter_mut().zip(&candidate.mass) {
                    *sum += mass as i32;
                }
            }
            sum
        };
        let (mut at, mut sign, mut steps) = (best, 0, 0);
        let mut rest = [0i32; E];
        let mut sums = ([0i32; E], [0i32; E]);
        loop {
            // What is asked: first of the likeliest, then the side, then each
            // in turn whether it is farther away.
            let (odds, node, from, split);
            let sided = sign != 0;
            if !sided && steps == 0 {
                odds = each(|e| {
                    let mass = list[best].mass[e];
                    log_odds(mass, candidates.total[e].saturating_sub(mass))
                });
                (node, from, split) = (NODE_CENTRE, 0, 1);
            } else if !sided {
                sums = (sum(&list[..best]), sum(&list[best + 1..]));
                odds = each(|e| log_odds(sums.1[e] as u32, sums.0[e] as u32));
                (node, from, split) = (NODE_SIDE, -FAR, 1);
            } else {
                let here = &list[at];
                for (rest, &mass) in rest.iter_mut().zip(&here.mass) {
                    *rest -= mass as i32;
                }
                odds = each(|e| log_odds(rest[e].max(1) as u32, here.mass[e]));
                node = step_node(sign > 0, steps.min(STEPS - 1));
                from = sign * (here.value - chosen);
                split = from + 1;
            }
            let bit = if !sided && steps == 0 {
                value == chosen
            } else if !sided {
                value > chosen
            } else {
                value != list[at].value
            };
            let question = Question {
                node,
                reference: chosen,
                sign: if sign < 0 { -1 } else { 1 },
                from,
                split,
                to: FAR,
            };
            let one_sided = best == 0 || best + 1 == list.len();
            let bit = if !sided && steps == 1 && one_sided {
                best == 0
            } else {
                self.nodes.code(coder, selection, bit, &question, &odds)?
            };
            if !sided && steps == 0 {
                if bit {
                    return Ok(chosen);
                }
                steps = 1;
                continue;
            }
            if !sided {
                sign = if bit { 1 } else { -1 };
                rest = if bit { sums.1 } else { sums.0 };
                steps = 0;
            } else {
                if !bit {
                    return Ok(list[at].value);
                }
                steps += 1;
            }
            at = if sign > 0 { at + 1 } else { at - 1 };
            let last = if sign > 0 { list.len() - 1 } else { 0 };
            if at == last {
                return Ok(list[at].value);
            }
        }
    }
}

#[inline(always)]
fn log_odds(yes: u32, no: u32) -> i32 {
    ln_q8(yes.max(1)) - ln_q8(no.max(1))
}

/// The part of the set that candidates are taken from.
#[inline(always)]
fn only_near(set: &ValueSet, centre: i32, reach: i32) -> ValueSet {
    let bits = |from: i32| -> u64 {
        // The bits of a word from one on; all, or none.
        match from {
            64.. => 0,
            ..=0 => u64::MAX,
            _ => u64::MAX << from,
        }
    };
    let mut near = *set;
    let mut word = 0;
    while word < near.len() {
        let start = 64 * word as i32;
        near[word] &= bits(centre - reach - start) & !bits(centre + reach - start);
        word += 1;
    }
    near
}

/// Whether a sample is one of the candidates.
struct FlagModels {
    by_count: Vec<CountedBit<1023>>,
    by_scale: Vec<CountedBit<1023>>,
    by_history: Vec<CountedBit<255>>,
    mixer: Mixer<8>,
    inputs: Inputs<8>,
    history: usize,
}

impl FlagModels {
    fn new() -> Self {
        FlagModels {
            by_count: vec![Default::default(); 32 * 16],
            by_scale: vec![Default::default(); 32 * 64],
            by_history: vec![Default::default(); 32 * 64],
            mixer: Mixer::new(32, 20_000, LearningRate::falling(600, 60, 7)),
            inputs: Inputs::new(),
            history: 0,
        }
    }

    #[inline(always)]
    fn code<C: BitCoder, const E: usize>(
        &mut self,
        coder: &mut C,
        hit: bool,
        selection: &Selection,
        candidates: &Candidates<E>,
    ) -> Result<bool> {
        let mass = candidates.total[E - 1].min((1 << 30) - 1);
        let mass_odds = log_odds(mass, (1 << 30) - mass);
        let share = ((mass_odds + 1024).clamp(0, 2047) >> 6) as usize;
        let count = (candidates.len.ilog2() as usize * 2
            + usize::from(candidates.len >> candidates.len.ilog2().saturating_sub(1) & 1 != 0))
        .min(15);
        let contexts = [
            share << 4 | count,
            share << 6 | selection.scale(),
            share << 6 | self.history & 63,
        ];
        self.inputs.set(0, mass_odds);
        self.inputs
            .set(1, stretch(self.by_count[contexts[0]].p1_q16()));
        self.inputs
            .set(2, stretch(self.by_scale[contexts[1]].p1_q16()));
        self.inputs
            .set(3, stretch(self.by_history[contexts[2]].p1_q16()));
        self.inputs.set(4, 256);
        self.mixer.mix(&self.inputs, share);
        let hit = coder.code_bit(hit, self.mixer.p1_q16())?;
        self.mixer.update(&self.inputs, hit);
        self.by_count[contexts[0]].update(hit);
        self.by_scale[contexts[1]].update(hit);
        self.by_history[contexts[2]].update(hit);
        self.history = self.history << 1 | usize::from(hit);
        Ok(hit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_show_the_set() {
        let mut set = [0u64; 4];
        for value in [0, 5, 63, 64, 130, 200, 255] {
            set[value >> 6] |= 1 << (value & 63);
        }
        for low in -40..260 {
            let bits = window(&set, low);
            let near = only_near(&set, low + REACH, REACH);
            for i in 0..64 {
                let value = low + i;
                let expected = (0..256).contains(&value) && contains(&set, value);
                assert_eq!(bits >> i & 1 != 0, expected);
                if expected {
                    assert!(contains(&near, value));
                }
            }
            let count: u32 = near.iter().map(|w| w.count_ones()).sum();
            assert_eq!(count, bits.count_ones());
        }
    }
}
