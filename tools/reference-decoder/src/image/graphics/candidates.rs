//! Candidates for a symbol [5.5], and what they are found in [5.4].

use super::super::common::{finish, mix};
use super::symbols::Around;
use crate::coding::{Apm, Coder, CountedBit, MixerStack, RangeDecoder, Rate, stretch};
use crate::error::Result;

/// What a slot of recall holds [5.4].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    pub(super) check: u32,
    hits: u32,
    last: u32,
    older: u32,
}

impl Slot {
    fn level(&self) -> usize {
        match self.hits {
            hits @ 0..=3 => hits as usize,
            4..=5 => 4,
            6..=9 => 5,
            10..=20 => 6,
            21..=60 => 7,
            _ => 8,
        }
    }

    pub(super) fn learn(&mut self, known: bool, check: u32, s: u32) {
        if !known {
            *self = Self {
                check,
                hits: 0,
                last: s,
                older: s,
            };
        } else if self.last == s {
            self.hits = (self.hits + 1).min(255);
        } else {
            self.older = self.last;
            self.last = s;
            self.hits = 0;
        }
    }
}

/// What the slots and the repetition say of a place.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The slots that are known.
    pub(super) slots: [Option<Slot>; 13],
    /// How many of the first nine are.
    pub(super) count: usize,
    pub(super) predicted: Option<u32>,
    pub(super) confidence: usize,
}

impl Known {
    /// The state of a symbol in slot `k`.
    fn state(&self, k: usize, s: u32) -> usize {
        match &self.slots[k] {
            None => 0,
            Some(slot) if s == slot.last => 1 + slot.level(),
            Some(slot) if s == slot.older => 10 + slot.level().min(3),
            Some(slot) => 14 + slot.level(),
        }
    }

    fn repeat(&self, j: usize, hit: bool) -> usize {
        64 * j + 2 * self.confidence.min(31) + usize::from(hit)
    }
}

/// The input of a counter [5.5].
pub(crate) fn input_of(counter: &CountedBit) -> i32 {
    match counter.count {
        0 => 0,
        1 => stretch(counter.p1()) / 2,
        _ => stretch(counter.p1()),
    }
}

const STATES: u32 = 400;
pub(super) const COUNTERS: u32 = 255;

/// The tables of candidates [5.5].
pub(super) struct Candidates {
    states: Vec<CountedBit>,
    repeats: Vec<CountedBit>,
    masks: [Vec<CountedBit>; 3],
    counters: Vec<CountedBit>,
    pub(super) worth: Vec<CountedBit>,
    /// By what is referred to [5.9].
    referred: Vec<CountedBit>,
    history: usize,
    stack: MixerStack,
    apms: [Apm; 2],
}

impl Candidates {
    pub(super) fn new(z: u32, references: bool) -> Self {
        let fresh = |n: usize| vec![CountedBit::default(); n];
        Self {
            states: fresh(13 * 6 * 24),
            repeats: fresh(6 * 64),
            masks: [fresh(6 << 12), fresh(1 << 16), fresh(1 << 16)],
            counters: fresh(13 << (z + 1)),
            worth: vec![CountedBit::with_p1(30000, 1); 6 * 8 * 16 * 8],
            referred: fresh(768),
            history: 0,
            stack: MixerStack::new(
                32,
                &[384, 384, if references { 768 } else { 384 }],
                14000,
                Rate::falling(900, 120, 7),
                6,
                Rate::falling(300, 40, 8),
            ),
            apms: [Apm::new(6144, 255), Apm::new(6144, 255)],
        }
    }

    fn st(&self, i: usize) -> i32 {
        stretch(self.states[i].p1())
    }

    fn rp(&self, i: usize) -> i32 {
        stretch(self.repeats[i].p1())
    }

    /// The symbols that what is remembered and the neighbours suggest, with
    /// scores.
    pub(super) fn suggestions(&self, around: &Around, known: &Known) -> Vec<(u32, i32)> {
        let mut list: Vec<(u32, i32)> = Vec::new();
        let mut suggest = |s: u32, score: i32| match list.iter_mut().find(|entry| entry.0 == s) {
            Some(entry) => entry.1 += score,
            None => list.push((s, score)),
        };
        for (k, slot) in known.slots.iter().enumerate() {
            let Some(slot) = slot else { continue };
            let level = slot.level();
            let none = self.st(144 * k + 14 + level);
            suggest(slot.last, self.st(144 * k + 1 + level) - none);
            if slot.older != slot.last {
                suggest(slot.older, self.st(144 * k + 10 + level.min(3)) - none);
            }
        }
        if let Some(predicted) = known.predicted {
            let r = known.repeat(0, false);
            suggest(predicted, 2 * (self.rp(r + 1) - self.rp(r)));
        }
        if let Some(r) = around.reference {
            let f = self.f(0, around);
            let odds = |i: usize| stretch(self.referred[i].p1());
            suggest(r, odds(f + 1) - odds(f));
        }
        for &s in &around.near[..4] {
            suggest(s, 64);
        }
        list
    }

    fn f(&self, j: usize, around: &Around) -> usize {
        2 * (4 * (16 * j + around.like) + self.history)
    }

    /// Learns whether a symbol is what it refers to [5.9].
    pub(super) fn learn_reference(&mut self, around: &Around, s: u32) {
        if let Some(r) = around.reference {
            self.history = (2 * self.history + usize::from(s == r)) % 4;
        }
    }

    /// Whether the symbol is `d`.
    pub(super) fn decide(
        &mut self,
        coder: &mut RangeDecoder<'_>,
        around: &Around,
        known: &Known,
        j: usize,
        d: u32,
    ) -> Result<bool> {
        let j32 = j as u32;
        let mut mask = 0;
        for (i, &s) in around.near.iter().enumerate() {
            mask |= u32::from(s == d) << i;
        }
        let salt = finish(mix(81 + j32, d));
        let table = self.counters.len() / 13;
        let shift = 32 - table.ilog2();
        let mut input = [0; 32];
        let (mut states, mut counters) = ([0; 13], [0; 13]);
        for k in 0..13 {
            let t = known.state(k, d);
            states[k] = (6 * k + j) * 24 + t;
            if t > 0 {
                input[k] = self.st(states[k]);
            }
            let hash = (around.h[k] ^ salt).wrapping_mul(0x2C1B_3C6D) >> shift;
            counters[k] = k * table + hash as usize;
            input[13 + k] = input_of(&self.counters[counters[k]]);
        }
        let repeat = known.predicted.map(|p| known.repeat(j, p == d));
        if let Some(r) = repeat {
            input[26] = self.rp(r);
        }
        let m0 = 4096 * j32 + mask % 4096;
        let m1 = finish(mix(100 + j32, mask % (1 << 20))) >> 16;
        let m2 = finish(mix(mix(900 + j32, around.pattern), mask % 4096)) >> 16;
        let masks = [m0, m1, m2].map(|m| m as usize);
        for i in 0..3 {
            input[27 + i] = stretch(self.masks[i][masks[i]].p1());
        }
        let same = usize::from(around.reference == Some(d));
        let referred = around.reference.map(|_| self.f(j, around) + same);
        if let Some(i) = referred {
            input[30] = stretch(self.referred[i].p1());
        }
        input[31] = 256;
        let contexts = [
            (16 * j + known.count) * 4 + (known.confidence >> 4).min(3),
            64 * j + (mask % 64) as usize,
            match referred {
                Some(_) => 384 + 64 * j + 2 * around.like + same,
                None => 64 * j + around.pattern as usize,
            },
        ];
        let odds = self.stack.mix(&input, &contexts, j);
        let q = self.stack.p1();
        let q1 = self.apms[0].refine(odds, 1024 * j + ((around.h[1] ^ salt) >> 22) as usize);
        let q2 = self.apms[1].refine(odds, 1024 * j + (mask % 1024) as usize);
        let hit = coder.bit((2 * q + q1 + q2) >> 2)?;
        self.stack.learn(hit);
        for apm in &mut self.apms {
            apm.learn(hit);
        }
        for k in 0..13 {
            self.states[states[k]].learn(hit, STATES);
            self.counters[counters[k]].learn(hit, COUNTERS);
        }
        if let Some(r) = repeat {
            self.repeats[r].learn(hit, STATES);
        }
        if let Some(i) = referred {
            self.referred[i].learn(hit, COUNTERS);
        }
        for i in 0..3 {
            self.masks[i][masks[i]].learn(hit, COUNTERS);
        }
        Ok(hit)
    }
}
