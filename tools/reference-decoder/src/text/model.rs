//! The model of a block: what predicts each bit, and learns it (sections 3 and
//! 7 to 11).

use super::histories::Histories;
use super::matches::MatchModel;
use super::noted::{Noted, slot_of};
use super::prior::{Prior, PriorSlots};
use super::slots::{Slot, Table};
use super::{Class, MapKind};
use crate::coding::{AdaptiveBit, CountedBit, Mixer, Rate, squash, stretch};
use crate::error::Result;

/// Limits of counters: those of histories and runs, of direct probabilities, and
/// of the last stage's maps.
const SLOT_LIMIT: u32 = 1023;
const DIRECT_LIMIT: u32 = 1023;

/// Sets of the mixers of the first layer.
const SETS: [usize; 14] = [
    576, 768, 1024, 256, 2048, 256, 512, 1024, 2048, 1024, 2048, 2048, 1024, 8,
];
/// Sets of the mixers a, b, c, d, e of the second.
const SECOND_SETS: [usize; 5] = [576, 256, 2048, 2048, 512];
/// Inputs of the second layer.
const SECOND_INPUTS: usize = 16;

/// The rate of the bits that know nothing but those of their byte.
pub(super) const ORDER0_RATE: u32 = 5;

/// Contexts that have direct probabilities, by their place in the list.
const DIRECT: [usize; 4] = [0, 1, 2, 5];

/// What histories and runs say: the probability is rounded before it is stretched.
fn coarse(p1: u32) -> i32 {
    stretch(16 * (p1 / 16) + 8)
}

pub(super) struct Model {
    pub(super) class: &'static Class,
    pub(super) histories: Histories,
    noted: Noted,
    partial: u32,
    /// Bits of the byte that are known, `k`.
    known: u32,
    hashes: Vec<u32>,
    table: Table,
    slots: Vec<Slot>,
    at: Vec<(usize, usize)>,
    prior: Option<PriorSlots>,
    /// For every context, origin and state.
    pub(super) states: Vec<[Vec<CountedBit>; 2]>,
    /// For every context, run and place.
    pub(super) runs: Vec<Vec<CountedBit>>,
    pub(super) matches: Vec<MatchModel>,
    pub(super) order0: Vec<AdaptiveBit>,
    /// Lines of 16 cells, and which of them the contexts have.
    direct: Vec<[CountedBit; 16]>,
    direct_lines: [usize; 4],
    pub(super) first: Vec<Mixer>,
    pub(super) second: Vec<Mixer>,
    pub(super) maps: Vec<Map>,
    last: Mixer,
    used: Used,
    /// `expected` and `expected_class` before the last bit.
    expected_before: (u32, u32),
}

/// What a prediction used, for learning.
#[derive(Default)]
struct Used {
    p1: u32,
    node: usize,
    /// The bits that runs and match models foretold.
    runs: Vec<Option<bool>>,
    matches: Vec<Option<bool>>,
    /// Of each map, the first of the two points.
    points: Vec<usize>,
}

/// A map of the last stage.
pub(super) struct Map {
    per_row: usize,
    step: i32,
    middle: i32,
    limit: u32,
    pub(super) points: Vec<CountedBit>,
}

impl Map {
    fn new(class: &Class, rows: usize) -> Map {
        let (step, middle) = (class.step, class.middle);
        let row =
            (0..class.points as i32).map(|j| CountedBit::with_p1(squash(j * step - middle), 6));
        let row: Vec<CountedBit> = row.collect();
        Map {
            per_row: class.points,
            step,
            middle,
            limit: class.map_limit,
            points: row.repeat(rows),
        }
    }

    /// What it makes of `x`, and the first of the two points that say so.
    fn refine(&self, x: i32, row: usize) -> (u32, usize) {
        let y = (x + self.middle).clamp(0, 2 * self.middle - 1);
        let (j, f) = (y / self.step, (y % self.step) as u32);
        let point = row * self.per_row + j as usize;
        let step = self.step as u32;
        let [low, high] = [point, point + 1].map(|i| self.points[i].p_q22);
        let q = (low * (step - f) + high * f) / step;
        ((q >> 6).max(1), point)
    }

    fn learn(&mut self, point: usize, bit: bool) {
        self.points[point].learn(bit, self.limit);
        self.points[point + 1].learn(bit, self.limit);
    }
}

impl Model {
    pub(super) fn new(class: &'static Class, lines_log2: u32) -> Model {
        let histories = Histories::new();
        let contexts = class.contexts.len();
        let map: Vec<CountedBit> = (0..histories.len())
            .map(|s| CountedBit::with_p1(histories.guess(s as u8), 0))
            .collect();
        let heads_log2 = (lines_log2 + 1).clamp(10, class.most_positions_log2);
        let with = |n| if class.runs_and_direct { n } else { 0 };
        let mixers = |inputs, weight, rate, sets: &[usize]| -> Vec<Mixer> {
            sets.iter()
                .map(|&sets| Mixer::new(inputs, sets, weight, rate))
                .collect()
        };
        let rows = |kind| match kind {
            MapKind::Match => 1024,
            MapKind::Order1 => 65536,
            MapKind::Foretold => 131_072,
            MapKind::Order2 | MapKind::Order3 | MapKind::Word => class.hashed_rows,
        };
        let mut model = Model {
            class,
            noted: Noted::new(),
            partial: 1,
            known: 0,
            hashes: vec![0; contexts],
            table: Table::new(lines_log2),
            slots: vec![Slot::default(); contexts],
            at: vec![(0, 0); contexts],
            prior: None,
            states: vec![[map.clone(), map]; contexts],
            runs: vec![vec![CountedBit::with_p1(32768, 0); 64]; with(contexts)],
            matches: class
                .shortest
                .iter()
                .map(|&n| MatchModel::new(n, heads_log2))
                .collect(),
            order0: vec![AdaptiveBit::new(ORDER0_RATE); 256],
            direct: vec![[CountedBit::with_p1(32768, 0); 16]; with(1 << lines_log2.clamp(8, 19))],
            direct_lines: [0; 4],
            first: mixers(
                class.inputs,
                class.weight,
                class.rate,
                &SETS[..class.mixers],
            ),
            second: mixers(
                SECOND_INPUTS,
                class.second_weight,
                class.second_rate,
                &SECOND_SETS[..class.second_mixers],
            ),
            maps: class
                .maps
                .iter()
                .map(|&(kind, _)| Map::new(class, rows(kind)))
                .collect(),
            last: Mixer::new(8, 256, 10922, Rate::falling(40, 40, 1)),
            used: Used::default(),
            expected_before: (0, 0),
            histories,
        };
        model.hash_contexts();
        model.look_up();
        model
    }

    /// Section 14.
    pub(super) fn begin_with(&mut self, mut prior: Prior) -> Result<()> {
        prior.give_weights(self)?;
        if let [a, _, rest @ ..] = &mut self.second[..] {
            let (weights, rate) = a.learned(a.sets() - 1);
            for mixer in rest {
                (0..mixer.sets()).for_each(|set| mixer.give(set, &weights, rate));
            }
        }
        self.prior = Some(prior.into_slots());
        self.look_up();
        Ok(())
    }

    pub(super) fn into_content(self) -> Vec<u8> {
        self.noted.content
    }

    /// `expected` and `expected_class` of section 6.
    fn expected(&self) -> (u32, u32) {
        let last = self
            .matches
            .iter()
            .rev()
            .find_map(|m| m.expected.map(|e| (e, m.class)));
        last.unwrap_or((0, 0))
    }

    fn hash_contexts(&mut self) {
        let (expected, class) = self.expected();
        for (hash, context) in self.hashes.iter_mut().zip(self.class.contexts) {
            *hash = context.hash(&self.noted, expected, class);
        }
    }

    fn look_up(&mut self) {
        if self.class.runs_and_direct {
            self.direct_lines = DIRECT.map(|i| {
                let h = self.hashes[i] ^ self.partial.wrapping_mul(0x9E37_79B1);
                let m = h.wrapping_mul(0x2C1B_3C6D);
                (m ^ m >> 15) as usize % self.direct.len()
            });
        }
        for (i, &h) in self.hashes.iter().enumerate() {
            let (at, slot) =
                self.table
                    .look_up(h, self.partial, &self.histories, self.prior.as_ref());
            self.at[i] = at;
            self.slots[i] = slot;
        }
    }

    fn end_half(&mut self) {
        for (slot, &at) in self.slots.iter_mut().zip(&self.at) {
            if self.class.runs_and_direct {
                let half = (self.partial % 16) as u8;
                slot.run = if slot.half == half {
                    (slot.run + 1).min(7)
                } else {
                    1
                };
                slot.half = half;
            }
            self.table.put_back(at, *slot);
        }
    }

    /// The probability of a 1.
    pub(super) fn predict(&mut self) -> u32 {
        let class = self.class;
        let (known, partial) = (self.known, self.partial);
        let node = match known {
            0..4 => partial,
            _ => (1 << (known - 4)) + partial % (1 << (known - 4)),
        };
        let mut used = Used {
            node: node as usize,
            ..Used::default()
        };

        // The inputs.
        let mut x = vec![0; class.inputs];
        for (i, slot) in self.slots.iter().enumerate() {
            let state = usize::from(slot.nodes[used.node]);
            x[i] = coarse(self.states[i][usize::from(slot.origin)][state].p1());
        }
        for (i, runs) in self.runs.iter().enumerate() {
            let slot = self.slots[i];
            let foretold = run_foretold(slot, node, known % 4);
            let says = coarse(runs[run_place(slot, known)].p1());
            x[class.runs_at + i] = match foretold {
                None => 0,
                Some(true) => says,
                Some(false) => -says,
            };
            used.runs.push(foretold);
        }
        let mut match_class = 0;
        for (i, model) in self.matches.iter().enumerate() {
            let foretold = model.foretold(partial, known);
            x[class.matches_at + 2 * i..][..2].copy_from_slice(&model.inputs(foretold));
            if foretold.is_some() {
                match_class = match_class.max(model.class);
            }
            used.matches.push(foretold);
        }
        x[class.order0_at] = stretch(self.order0[partial as usize].p1());
        x[class.constant_at] = 256;
        if class.runs_and_direct {
            for (i, &line) in self.direct_lines.iter().enumerate() {
                x[class.direct_at + i] = stretch(self.direct[line][used.node].p1());
            }
        }

        // The layers of mixers.
        let seen = |slot: &&Slot| slot.nodes[used.node] != 0;
        let seen = self.slots[..5].iter().filter(seen).count();
        let matched = match_class.div_ceil(4) as usize;
        let sets = self.sets(matched, seen);
        let mix = |(mixer, &set): (&mut Mixer, &usize)| mixer.mix(&x, set);
        let said: Vec<i32> = self.first.iter_mut().zip(&sets).map(mix).collect();
        let sets = self.second_sets(matched, seen);
        let mix = |(mixer, &set): (&mut Mixer, &usize)| mixer.mix(&said, set);
        let sum: i32 = self.second.iter_mut().zip(&sets).map(mix).sum();
        let x = match class.second_mixers {
            1 => sum,
            _ => (sum * 13107) >> 16,
        };

        // The last stage.
        let p = squash(x);
        let mut mean = class.own_share * p;
        let mut results = vec![stretch(p)];
        for (map, &(kind, share)) in self.maps.iter().zip(class.maps) {
            let (result, point) = map.refine(x, self.row(kind, matched));
            mean += share * result;
            results.push(stretch(result));
            used.points.push(point);
        }
        mean = (mean + 4) >> 3;
        if class.last_mixer {
            let says = self.last.mix(&results, partial as usize);
            mean = (squash(says) + mean) >> 1;
        }
        used.p1 = mean;
        self.used = used;
        mean
    }

    /// The sets of the mixers of the first layer.
    fn sets(&self, matched: usize, seen: usize) -> [usize; 14] {
        let noted = &self.noted;
        let (k, partial) = (self.known as usize, self.partial as usize);
        let c = |n| usize::from(noted.c(n));
        [
            (8 * matched + seen) * 8 + k,
            partial + 256 * noted.above_agrees(partial, self.known),
            noted.classes as usize % 256 + 256 * (k / 2),
            noted.place(),
            8 * c(1) + k,
            c(2),
            self.expected().0 as usize,
            (noted.word >> 7) as usize % 1024,
            8 * noted.column.min(255) + k,
            c(3) + 256 * (k / 2),
            slot_of(noted.last(2), 0) as usize % 2048,
            8 * (noted.shape as usize % 256) + k,
            64 * noted.word_length.min(15) as usize + 8 * (c(1) / 32) + k,
            k,
        ]
    }

    /// The sets of the mixers of the second layer.
    fn second_sets(&self, matched: usize, seen: usize) -> [usize; 5] {
        let k = self.known as usize;
        [
            (8 * matched + seen) * 8 + k,
            self.partial as usize,
            8 * self.noted.place() + k,
            (self.noted.word >> 7) as usize % 2048,
            self.expected().0 as usize,
        ]
    }

    /// The row of a map of the last stage.
    fn row(&self, kind: MapKind, matched: usize) -> usize {
        let noted = &self.noted;
        let partial = self.partial as usize;
        let hashed = |v: u32| {
            let slot = slot_of(v, self.partial / 2) as usize;
            (2 * slot + partial % 2) % self.class.hashed_rows
        };
        match kind {
            MapKind::Match => partial + 256 * matched.min(3),
            MapKind::Foretold => {
                let (byte, class) = self.expected_before;
                65536 * usize::from(class > 12) + 256 * (byte as usize % 256) + partial
            }
            MapKind::Order1 => 256 * usize::from(noted.c(1)) + partial,
            MapKind::Order2 => hashed(noted.last(2)),
            MapKind::Order3 => hashed(noted.last(3)),
            MapKind::Word => hashed(noted.word ^ u32::from(noted.c(1))),
        }
    }

    /// Learns the bit that was predicted, and goes on behind it.
    pub(super) fn learn(&mut self, bit: bool) {
        let used = std::mem::take(&mut self.used);
        if (65536 * u32::from(bit)).abs_diff(used.p1) >= self.class.least_error {
            for mixer in self.first.iter_mut().chain(&mut self.second) {
                mixer.learn(bit);
            }
            if self.class.last_mixer {
                self.last.learn(bit);
            }
        }
        self.expected_before = self.expected();
        for (map, &point) in self.maps.iter_mut().zip(&used.points) {
            map.learn(point, bit);
        }
        for (i, slot) in self.slots.iter_mut().enumerate() {
            let state = slot.nodes[used.node];
            let map = &mut self.states[i][usize::from(slot.origin)];
            map[usize::from(state)].learn(bit, SLOT_LIMIT);
            slot.nodes[used.node] = self.histories.next(state, bit);
        }
        for (i, runs) in self.runs.iter_mut().enumerate() {
            if let Some(foretold) = used.runs[i] {
                let place = run_place(self.slots[i], self.known);
                runs[place].learn(bit == foretold, SLOT_LIMIT);
            }
        }
        for (model, &foretold) in self.matches.iter_mut().zip(&used.matches) {
            model.learn(foretold, bit);
        }
        self.order0[self.partial as usize].learn(bit);
        if self.class.runs_and_direct {
            for line in self.direct_lines {
                self.direct[line][used.node].learn(bit, DIRECT_LIMIT);
            }
        }

        self.partial = 2 * self.partial + u32::from(bit);
        self.known += 1;
        if self.known == 4 {
            self.end_half();
            self.look_up();
        }
        if self.known == 8 {
            self.end_half();
            self.note();
        }
    }

    /// Notes the byte that is complete.
    fn note(&mut self) {
        self.noted.note(self.partial as u8);
        self.partial = 1;
        self.known = 0;
        for model in &mut self.matches {
            model.advance(&self.noted.content);
        }
        self.expected_before = self.expected();
        self.hash_contexts();
        self.look_up();
    }
}

/// The bit that a slot's run foretells, `d` bits of the half being known.
fn run_foretold(slot: Slot, node: u32, d: u32) -> Option<bool> {
    let l = 16 + u32::from(slot.half);
    (slot.run > 0 && l >> (4 - d) == node).then_some(l >> (3 - d) & 1 == 1)
}

fn run_place(slot: Slot, known: u32) -> usize {
    8 * usize::from(slot.run) + known as usize
}
