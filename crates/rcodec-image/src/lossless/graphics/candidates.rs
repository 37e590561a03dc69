//! Is it one of the symbols that the surroundings suggest?

use super::recall::{Match, Recall, STATES};
use super::surroundings::{CONTEXTS, Near, SymbolField, finish, hash_reference, hashes, mix};
use crate::lossless::ablation::{Part, on};
use rcodec_core::Result;
use rcodec_entropy::logistic::{Apm, Inputs, LearningRate, MixerStack, StackParameters, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};

/// The most candidates that are asked for.
pub(crate) const CANDIDATES_MAX: usize = 6;

/// Inputs of the mixer: recall, counters, match, masks, reference, a constant.
const INPUTS: usize = 32;
const MASKS: usize = 3;

type Counter = CountedBit<255>;

/// Candidates that are right less often than this (of 65536) are not asked for.
const WORTH_ASKING: u32 = 1200;

/// Symbols that the contexts suggest, and how strongly.
struct Suggestions {
    symbols: [u32; 2 * CONTEXTS + 6],
    scores: [i32; 2 * CONTEXTS + 6],
    count: usize,
}

impl Default for Suggestions {
    fn default() -> Self {
        Suggestions {
            symbols: [0; 2 * CONTEXTS + 6],
            scores: [0; 2 * CONTEXTS + 6],
            count: 0,
        }
    }
}

impl Suggestions {
    #[inline(always)]
    fn add(&mut self, symbol: u32, score: i32) {
        let known = &self.symbols[..self.count];
        if let Some(i) = known.iter().position(|&s| s == symbol) {
            self.scores[i] += score;
        } else if self.count < self.symbols.len() {
            self.symbols[self.count] = symbol;
            self.scores[self.count] = score;
            self.count += 1;
        }
    }

    /// Takes out the symbol with the highest score.
    #[inline(always)]
    fn take_best(&mut self) -> Option<(u32, i32)> {
        let scores = self.scores[..self.count].iter().enumerate();
        let (best, &score) = scores.max_by_key(|&(i, &score)| (score, usize::MAX - i))?;
        let symbol = self.symbols[best];
        self.count -= 1;
        self.symbols[best] = self.symbols[self.count];
        self.scores[best] = self.scores[self.count];
        Some((symbol, score))
    }
}

/// Everything about the present position that decisions and escapes look at.
pub(crate) struct Situation {
    pub(crate) near: Near,
    pub(crate) hashes: [u32; CONTEXTS],
    predicted: Option<u32>,
    confidence: usize,
    /// Contexts that were met before, counted from the shortest.
    known: usize,
    /// Which of the nearest neighbours are the same.
    pattern: usize,
    pub(crate) reference: Option<Referred>,
}

/// What a symbol refers to.
#[derive(Clone, Copy)]
pub(crate) struct Referred {
    pub(crate) symbol: u32,
    /// Which of the nearest neighbours are as those there.
    like: usize,
}

/// The models of candidate decisions.
pub(crate) struct Candidates {
    most: usize,
    recall: Recall,
    repeat: Match,
    states: Vec<CountedBit<400>>,
    repeats: Vec<CountedBit<400>>,
    masks: [Vec<Counter>; MASKS],
    /// Whether a candidate is right, by whether it is what is referred to.
    references: Vec<Counter>,
    /// Whether the last symbols were what they referred to.
    reference_history: usize,
    counters: Vec<Counter>,
    counter_bits: u32,
    inputs: Inputs<INPUTS>,
    mixer: MixerStack<INPUTS, 3>,
    apm: Apm,
    apm_mask: Apm,
    /// How often candidates of a class were right.
    worth: Vec<CountedBit<255>>,
    offered: [u32; CANDIDATES_MAX],
    classes: [usize; CANDIDATES_MAX],
    asked: usize,
}

impl Candidates {
    /// Models for about so many symbols, asking for at most `most` candidates;
    /// some may refer to others.
    pub(crate) fn new(symbols: usize, most: usize, refer: bool) -> Self {
        let bits = (usize::BITS - symbols.leading_zeros()).clamp(10, 17);
        let parameters = StackParameters {
            first_weight_q16: 14_000,
            first_rate: LearningRate::falling(900, 120, 7),
            second_rate: LearningRate::falling(300, 40, 8),
        };
        let j = CANDIDATES_MAX;
        Candidates {
            most,
            recall: Recall::new(bits),
            repeat: Match::new(bits),
            states: vec![Default::default(); CONTEXTS * j * STATES],
            repeats: vec![Default::default(); j * 64],
            masks: [
                vec![Default::default(); j << 12],
                vec![Default::default(); 1 << 16],
                vec![Default::default(); 1 << 16],
            ],
            references: vec![Default::default(); if refer { j * 128 } else { 0 }],
            reference_history: 0,
            counters: vec![Default::default(); CONTEXTS << (bits + 1)],
            counter_bits: bits + 1,
            inputs: Inputs::new(),
            mixer: MixerStack::new(
                [j * 16 * 4, j * 64, j * 64 * if refer { 2 } else { 1 }],
                j,
                parameters,
            ),
            apm: Apm::new(j * 1024, 255),
            apm_mask: Apm::new(j * 1024, 255),
            worth: vec![CountedBit::with_p1_q16(30_000, 1); j * 8 * 16 * 8],
            offered: [0; CANDIDATES_MAX],
            classes: [0; CANDIDATES_MAX],
            asked: 0,
        }
    }

    /// Looks around position `at`, and around the place that it refers to.
    #[inline(always)]
    pub(crate) fn look(
        &mut self,
        field: &SymbolField,
        at: usize,
        reference: Option<usize>,
    ) -> Situation {
        let near = field.near(at);
        let mut hashes = hashes(&near);
        let referred = reference.map(|place| {
            let around = field.around(place);
            hash_reference(&mut hashes, &near, &around);
            Referred {
                symbol: around[0],
                like: usize::from(near[0] == around[3])
                    | usize::from(near[1] == around[4]) << 1
                    | usize::from(near[2] == around[5]) << 2
                    | usize::from(near[3] == around[6]) << 3,
            }
        });
        self.recall.find(&hashes);
        let predicted = self.repeat.find(field, at, &near, hashes[8], reference);
        let predicted = predicted.filter(|_| on(Part::Repetition));
        let known = self.recall.found[..9].iter().filter(|s| s.known()).count();
        let [w, n, nw, ne, ww, nn] = [near[0], near[1], near[2], near[3], near[4], near[5]];
        let pattern = usize::from(w == n)
            | usize::from(n == ne) << 1
            | usize::from(w == nw) << 2
            | usize::from(w == ww) << 3
            | usize::from(n == nn) << 4
            | usize::from(n == nw) << 5;
        Situation {
            confidence: if predicted.is_some() {
                self.repeat.confidence()
            } else {
                63
            },
            near,
            hashes,
            predicted,
            known,
            pattern,
            reference: referred,
        }
    }

    /// The counter of candidate number `j`, before `same` is added: whether it
    /// is what is referred to.
    #[inline(always)]
    fn reference_place(&self, referred: Referred, j: usize) -> usize {
        ((j * 16 + referred.like) * 4 + self.reference_history) * 2
    }

    /// Lists what the contexts suggest, with the evidence for each.
    #[inline(always)]
    fn suggest(&self, situation: &Situation, list: &mut Suggestions) {
        list.count = 0;
        for (k, slot) in self.recall.found.iter().enumerate() {
            if slot.known() && on(Part::Recall) {
                let states = k * CANDIDATES_MAX * STATES;
                let odds = |state: usize| stretch(self.states[states + state].p1_q16());
                let neither = odds(slot.state_of_others());
                list.add(slot.last, odds(slot.state(slot.last)) - neither);
                if slot.older != slot.last {
                    list.add(slot.older, odds(slot.state(slot.older)) - neither);
                }
            }
        }
        if let Some(predicted) = situation.predicted {
            let at = situation.confidence.min(31) * 2;
            let odds = |same: usize| stretch(self.repeats[at + same].p1_q16());
            list.add(predicted, 2 * (odds(1) - odds(0)));
        }
        if let Some(referred) = situation.reference {
            let at = self.reference_place(referred, 0);
            let odds = |same: usize| stretch(self.references[at + same].p1_q16());
            list.add(referred.symbol, odds(1) - odds(0));
        }
        for &symbol in &situation.near[..4] {
            list.add(symbol, 64);
        }
    }

    /// Codes `symbol` if it is among the candidates; gives it, or `None`.
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        situation: &Situation,
        symbol: u32,
    ) -> Result<Option<u32>> {
        let mut list = Suggestions::default();
        self.suggest(situation, &mut list);
        self.asked = 0;
        for j in 0..self.most {
            let Some((candidate, score)) = list.take_best() else {
                return Ok(None);
            };
            let class = self.class(situation, j, score);
            self.classes[j] = class;
            self.offered[j] = candidate;
            self.asked = j + 1;
            if on(Part::Worth) && self.worth[class].p1_q16() < WORTH_ASKING {
                return Ok(None);
            }
            if self.decide(coder, situation, candidate, j, symbol == candidate)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// What decides whether a candidate is worth asking for.
    #[inline(always)]
    fn class(&self, situation: &Situation, j: usize, score: i32) -> usize {
        let score = match score {
            ..=64 => 0,
            65..=500 => 1,
            501..=2000 => 2,
            2001..=5000 => 3,
            _ => 4,
        };
        ((j * 8 + score) * 16 + situation.known) * 8 + (situation.pattern & 7)
    }

    /// Codes whether candidate number `j` is right.
    #[inline]
    fn decide<C: BitCoder>(
        &mut self,
        coder: &mut C,
        situation: &Situation,
        candidate: u32,
        j: usize,
        hit: bool,
    ) -> Result<bool> {
        let near = &situation.near;
        let mut mask = 0usize;
        for (i, &symbol) in near.iter().enumerate() {
            mask |= usize::from(symbol == candidate) << i;
        }
        let salt = finish(mix(0x51 + j as u32, candidate));
        let mut states = [0usize; CONTEXTS];
        let mut counters = [0usize; CONTEXTS];
        for k in 0..CONTEXTS {
            let state = self.recall.found[k].state(candidate);
            states[k] = (k * CANDIDATES_MAX + j) * STATES + state;
            let input = if state == 0 || !on(Part::Recall) {
                0
            } else {
                stretch(self.states[states[k]].p1_q16())
            };
            self.inputs.set(k, input);
            let hashed = (situation.hashes[k] ^ salt).wrapping_mul(0x2c1b_3c6d);
            counters[k] = k << self.counter_bits | (hashed >> (32 - self.counter_bits)) as usize;
            let counter = &self.counters[counters[k]];
            let odds = stretch(counter.p1_q16());
            let input = match counter.count() {
                0 => 0,
                _ if !on(Part::Counters) => 0,
                1 => odds / 2,
                _ => odds,
            };
            self.inputs.set(CONTEXTS + k, input);
        }
        let repeat = situation.predicted.map(|predicted| {
            j * 64 + situation.confidence.min(31) * 2 + usize::from(predicted == candidate)
        });
        let odds = repeat.map_or(0, |at| stretch(self.repeats[at].p1_q16()));
        self.inputs.set(2 * CONTEXTS, odds);
        let hashed = |seed: u32, bits: usize| {
            (finish(mix(seed + j as u32, (mask & ((1 << bits) - 1)) as u32)) >> 16) as usize
        };
        let pattern_hash = finish(mix(
            mix(900 + j as u32, situation.pattern as u32),
            (mask & 0xfff) as u32,
        ));
        let masks = [
            j << 12 | mask & 0xfff,
            hashed(100, 20),
            (pattern_hash >> 16) as usize,
        ];
        for (i, (&at, table)) in masks.iter().zip(&self.masks).enumerate() {
            if on(Part::Masks) {
                let odds = stretch(table[at].p1_q16());
                self.inputs.set(2 * CONTEXTS + 1 + i, odds);
            }
        }
        let reference = situation.reference.map(|referred| {
            self.reference_place(referred, j) + usize::from(referred.symbol == candidate)
        });
        let odds = reference.map_or(0, |at| stretch(self.references[at].p1_q16()));
        self.inputs.set(2 * CONTEXTS + 1 + MASKS, odds);
        self.inputs.set(INPUTS - 1, 256);
        let odds = self.mixer.mix(
            &self.inputs,
            [
                (j * 16 + situation.known) * 4 + (situation.confidence >> 4).min(3),
                j * 64 + (mask & 63),
                match reference {
                    // Where symbols refer to others, this says more.
                    Some(at) => (CANDIDATES_MAX + j) * 64 + (at >> 3 & 15) * 2 + (at & 1),
                    None => j * 64 + situation.pattern,
                },
            ],
            j,
        );
        let p_mixed = self.mixer.p1_q16();
        let shortest = ((situation.hashes[1] ^ salt) >> 22) as usize;
        let mut p_context = self.apm.refine(odds, j * 1024 + shortest);
        let mut p_mask = self.apm_mask.refine(odds, j * 1024 + (mask & 1023));
        if !on(Part::Maps) {
            (p_context, p_mask) = (p_mixed, p_mixed);
        }
        let hit = coder.code_bit(hit, (2 * p_mixed + p_context + p_mask) >> 2)?;
        self.mixer.update(&self.inputs, hit);
        self.apm.update(hit);
        self.apm_mask.update(hit);
        for k in 0..CONTEXTS {
            self.states[states[k]].update(hit);
            self.counters[counters[k]].update(hit);
        }
        if let Some(at) = repeat {
            self.repeats[at].update(hit);
        }
        if let Some(at) = reference {
            self.references[at].update(hit);
        }
        for (&at, table) in masks.iter().zip(&mut self.masks) {
            table[at].update(hit);
        }
        Ok(hit)
    }

    /// Learns the symbol at `at`.
    #[inline(always)]
    pub(crate) fn learn(&mut self, situation: &Situation, at: usize, symbol: u32) {
        for (&class, &offered) in self.classes.iter().zip(&self.offered).take(self.asked) {
            self.worth[class].update(offered == symbol);
        }
        if let Some(referred) = situation.reference {
            let same = usize::from(symbol == referred.symbol);
            self.reference_history = (self.reference_history << 1 | same) & 3;
        }
        self.recall.learn(symbol);
        self.repeat.learn(at, symbol, situation.predicted);
    }

    /// Symbols are left out: no repetition goes on.
    pub(crate) fn skip(&mut self) {
        self.repeat.stop();
    }
}
