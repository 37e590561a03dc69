//! The mode graphics [5].

use super::common::{GOLDEN, K, Ols, between, finish, fold, ln, mix, quarter, tail};
use super::{Group, Plane, ValueMap, bitlen, order, two_colours};
use crate::coding::{Apm, Coder, CountedBit, MixerStack, RangeDecoder, Rate, stretch};
use crate::error::{Result, malformed};

pub(super) fn decode(group: Group, payload: &[u8]) -> Result<(Vec<ValueMap>, Vec<Plane>)> {
    let mut coder = RangeDecoder::new(payload)?;
    let maps = ValueMap::read_all(&mut coder, group)?;
    let alphabet = Alphabet::read(&mut coder, &maps)?;
    let symbols = match alphabet.palette.as_ref().map(Vec::len) {
        Some(1) => vec![0; group.pixels()],
        Some(2) => two_colours::decode(&mut coder, group)?,
        _ => Symbols::new(group, &alphabet).decode(&mut coder)?,
    };
    coder.finish()?;
    let mut planes = vec![Vec::new(); group.channels];
    for symbol in symbols {
        for (c, rank) in alphabet.ranks(symbol)?.into_iter().enumerate() {
            if rank > maps[c].top() {
                return malformed("a rank beyond the largest one");
            }
            planes[c].push(rank);
        }
    }
    Ok((maps, planes))
}

/// What symbols stand for [5.1].
#[derive(Clone, Debug)]
struct Alphabet {
    /// Each colour's ranks, by number of channel.
    palette: Option<Vec<Vec<i32>>>,
    /// The bits of each field of a symbol.
    fields: Vec<u32>,
}

impl Alphabet {
    fn read(coder: &mut RangeDecoder<'_>, maps: &[ValueMap]) -> Result<Self> {
        let bits: Vec<u32> = maps.iter().map(|map| bitlen(map.top() as u32)).collect();
        if coder.raw(1)? == 0 {
            let fields: Vec<u32> = order(maps.len()).iter().map(|&c| bits[c]).collect();
            if fields.iter().sum::<u32>() > 32 {
                return malformed("symbols of too many bits");
            }
            return Ok(Self {
                palette: None,
                fields,
            });
        }
        let mut palette = Vec::new();
        for _ in 0..=coder.raw(8)? {
            let mut ranks = Vec::new();
            for (map, &bits) in maps.iter().zip(&bits) {
                let rank = coder.raw(bits)? as i32;
                if rank > map.top() {
                    return malformed("a rank beyond the largest one");
                }
                ranks.push(rank);
            }
            palette.push(ranks);
        }
        Ok(Self {
            fields: vec![bitlen(palette.len() as u32 - 1)],
            palette: Some(palette),
        })
    }

    /// Field `i` of a symbol.
    fn get(&self, symbol: u32, i: usize) -> i32 {
        let below: u32 = self.fields[i + 1..].iter().sum();
        ((u64::from(symbol) >> below) & ((1 << self.fields[i]) - 1)) as i32
    }

    fn ranks(&self, symbol: u32) -> Result<Vec<i32>> {
        if let Some(palette) = &self.palette {
            return match palette.get(symbol as usize) {
                Some(ranks) => Ok(ranks.clone()),
                None => malformed("a symbol beyond the palette"),
            };
        }
        let mut ranks = vec![0; self.fields.len()];
        for (i, &c) in order(ranks.len()).iter().enumerate() {
            ranks[c] = self.get(symbol, i);
        }
        Ok(ranks)
    }
}

/// The first four rows above, and the columns to the left of a row.
const ABOVE: usize = 4;
const BESIDE: usize = 9;

/// The neighbours of a place [5.3].
const NEAR: [(isize, isize); 26] = [
    (-1, 0),
    (0, -1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (0, -2),
    (-2, -1),
    (2, -1),
    (-1, -2),
    (1, -2),
    (-3, 0),
    (0, -3),
    (-2, -2),
    (2, -2),
    (-3, -1),
    (3, -1),
    (-1, -3),
    (1, -3),
    (-4, 0),
    (-4, -1),
    (4, -1),
    (-3, -2),
    (3, -2),
    (5, -1),
    (-5, 0),
    (6, -1),
];

const FAR: [(isize, isize); 14] = [
    (-5, 0),
    (-6, 0),
    (-7, 0),
    (-5, -1),
    (-6, -1),
    (6, -1),
    (7, -1),
    (8, -1),
    (-4, -2),
    (4, -2),
    (5, -2),
    (6, -2),
    (0, -4),
    (3, -3),
];

/// What surrounds a place [5.3].
#[derive(Clone, Debug)]
struct Around {
    near: [u32; 26],
    /// The hashes of neighbours.
    h: [u32; 13],
    /// The hash of the far surroundings.
    far: u32,
    pattern: u32,
}

/// What a slot of recall holds [5.4].
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    check: u32,
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

    fn learn(&mut self, known: bool, check: u32, s: u32) {
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
struct Known {
    /// The slots that are known.
    slots: [Option<Slot>; 13],
    /// How many of the first nine are.
    count: usize,
    predicted: Option<u32>,
    confidence: usize,
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
pub(super) fn input_of(counter: &CountedBit) -> i32 {
    match counter.count {
        0 => 0,
        1 => stretch(counter.p1()) / 2,
        _ => stretch(counter.p1()),
    }
}

const STATES: u32 = 400;
const COUNTERS: u32 = 255;

/// The tables of candidates [5.5].
struct Candidates {
    states: Vec<CountedBit>,
    repeats: Vec<CountedBit>,
    masks: [Vec<CountedBit>; 3],
    counters: Vec<CountedBit>,
    worth: Vec<CountedBit>,
    stack: MixerStack,
    apms: [Apm; 2],
}

impl Candidates {
    fn new(z: u32) -> Self {
        let fresh = |n: usize| vec![CountedBit::default(); n];
        Self {
            states: fresh(13 * 6 * 24),
            repeats: fresh(6 * 64),
            masks: [fresh(6 << 12), fresh(1 << 16), fresh(1 << 16)],
            counters: fresh(13 << (z + 1)),
            worth: vec![CountedBit::with_p1(30000, 1); 6 * 8 * 16 * 8],
            stack: MixerStack::new(
                32,
                &[384, 384, 384],
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
    fn suggestions(&self, around: &Around, known: &Known) -> Vec<(u32, i32)> {
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
        for &s in &around.near[..4] {
            suggest(s, 64);
        }
        list
    }

    /// Whether the symbol is `d`.
    fn decide(
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
        input[31] = 256;
        let contexts = [
            (16 * j + known.count) * 4 + (known.confidence >> 4).min(3),
            64 * j + (mask % 64) as usize,
            64 * j + around.pattern as usize,
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
        for i in 0..3 {
            self.masks[i][masks[i]].learn(hit, COUNTERS);
        }
        Ok(hit)
    }
}

/// The symbols of a picture of more than two colours.
struct Symbols<'a> {
    group: Group,
    alphabet: &'a Alphabet,
    /// Symbols with margins [5.2].
    s: Vec<u32>,
    stride: usize,
    /// 2^z slots and places.
    z: u32,
    recall: Vec<Vec<Slot>>,
    places: Vec<usize>,
    pointer: usize,
    length: u32,
    agreement: usize,
    candidates: Candidates,
    escape: Escape,
}

impl<'a> Symbols<'a> {
    fn new(group: Group, alphabet: &'a Alphabet) -> Self {
        let stride = group.width + 2 * BESIDE;
        let z = bitlen(group.pixels() as u32).clamp(10, 17);
        Self {
            group,
            alphabet,
            s: vec![0; (group.rows + ABOVE) * stride],
            stride,
            z,
            recall: vec![vec![Slot::default(); 1 << z]; 13],
            places: vec![0; 1 << z],
            pointer: 0,
            length: 0,
            agreement: 0,
            candidates: Candidates::new(z),
            escape: Escape::new(group, alphabet),
        }
    }

    /// Rows and spans [5.2].
    fn decode(mut self, coder: &mut RangeDecoder<'_>) -> Result<Vec<u32>> {
        let (width, stride) = (self.group.width, self.stride);
        let mut same_row = SameRow::new();
        let mut same_span = [CountedBit::default(); 8];
        let mut symbols = Vec::new();
        for y in 0..self.group.rows {
            let at = (y + ABOVE) * stride + BESIDE;
            let above = if y == 0 { 0 } else { self.s[at - stride] };
            self.s[at - BESIDE..at].fill(above);
            if same_row.decode(coder)? {
                self.s.copy_within(at - stride..at - stride + width, at);
                self.stop();
            } else {
                let mut spans = 0;
                let mut x = 0;
                while x < width {
                    if x % 16 == 0 && x + 16 <= width && self.flat(at + x) {
                        let same = same_span[spans].decode(coder, 60)?;
                        spans = (2 * spans + usize::from(!same)) % 8;
                        if same {
                            let symbol = self.s[at + x - 1];
                            self.s[at + x..at + x + 16].fill(symbol);
                            self.stop();
                            x += 16;
                            continue;
                        }
                    }
                    self.s[at + x] = self.symbol(coder, at + x)?;
                    x += 1;
                }
            }
            let last = self.s[at + width - 1];
            self.s[at + width..at + width + BESIDE].fill(last);
            symbols.extend(&self.s[at..at + width]);
        }
        Ok(symbols)
    }

    fn flat(&self, p: usize) -> bool {
        let f = self.s[p - 1];
        let above = p - self.stride;
        self.s[p - 2] == f && self.s[above - 1..=above + 16].iter().all(|&s| s == f)
    }

    fn stop(&mut self) {
        self.pointer = 0;
        self.length = 0;
    }

    fn at(&self, p: usize, (dx, dy): (isize, isize)) -> u32 {
        self.s[(p as isize + dx + dy * self.stride as isize) as usize]
    }

    /// The surroundings of a place [5.3].
    fn around(&self, p: usize) -> Around {
        let near = NEAR.map(|offset| self.at(p, offset));
        let counts = [1, 2, 3, 4, 6, 8, 11, 16, 24];
        let others: [&[usize]; 4] = [&[0, 4, 10, 18], &[1, 5, 11], &[1, 3, 7, 9], &[0, 1, 4, 5]];
        let mut h = [0; 13];
        for (h, count) in h.iter_mut().zip(counts) {
            *h = finish(fold(0, &near[..count]));
        }
        for (h, indices) in h[9..].iter_mut().zip(others) {
            let neighbours: Vec<u32> = indices.iter().map(|&i| near[i]).collect();
            *h = finish(fold(77, &neighbours));
        }
        let far = finish(fold(h[8], &FAR.map(|offset| self.at(p, offset))));
        let [w, n, nw, ne, ww, nn, ..] = near;
        let same = [w == n, n == ne, w == nw, w == ww, n == nn, n == nw];
        let pattern = (0..).zip(same).map(|(i, same)| u32::from(same) << i).sum();
        Around {
            near,
            h,
            far,
            pattern,
        }
    }

    fn agree(&self, p: usize, around: &Around) -> usize {
        let pairs = NEAR.iter().zip(&around.near);
        pairs
            .filter(|&(&offset, &s)| self.at(p, offset) == s)
            .count()
    }

    /// What is remembered of such surroundings [5.4].
    fn find(&mut self, around: &Around) -> Known {
        let mut slots = [None; 13];
        for (k, known) in slots.iter_mut().enumerate() {
            let slot = self.recall[k][(around.h[k] >> (32 - self.z)) as usize];
            if slot.check == check(around.h[k]) {
                *known = Some(slot);
            }
        }
        let p = self.places[(around.far >> (32 - self.z)) as usize];
        if self.length < 8 && p > 0 {
            let a = self.agree(p, around);
            if self.pointer == 0 || a >= self.agreement {
                if p != self.pointer {
                    self.length = 0;
                }
                self.pointer = p;
            }
        }
        let mut predicted = None;
        if self.pointer > 0 {
            self.agreement = self.agree(self.pointer, around);
            if self.agreement > 12 {
                predicted = Some(self.s[self.pointer]);
            }
        }
        let l = match self.length {
            0 => 0,
            1..=3 => 1,
            4..=15 => 2,
            _ => 3,
        };
        let confidence = match predicted {
            None => 63,
            Some(_) => 8 * l + (self.agreement - 13) / 2,
        };
        Known {
            slots,
            count: slots[..9].iter().flatten().count(),
            predicted,
            confidence,
        }
    }

    fn remember(&mut self, p: usize, around: &Around, known: &Known, s: u32) {
        for k in 0..13 {
            let h = around.h[k];
            let slot = &mut self.recall[k][(h >> (32 - self.z)) as usize];
            slot.learn(known.slots[k].is_some(), check(h), s);
        }
        self.places[(around.far >> (32 - self.z)) as usize] = p;
        if self.pointer > 0 {
            self.length = if known.predicted == Some(s) {
                self.length + 1
            } else {
                0
            };
            self.pointer += 1;
            if known.predicted.is_none() && self.agreement < 6 {
                self.pointer = 0;
            }
        }
    }

    /// The symbol at a place [5.5].
    fn symbol(&mut self, coder: &mut RangeDecoder<'_>, p: usize) -> Result<u32> {
        let around = self.around(p);
        let known = self.find(&around);
        let mut list = self.candidates.suggestions(&around, &known);
        let most = if self.alphabet.fields.len() == 1 {
            3
        } else {
            5
        };
        let mut offered = Vec::new();
        let mut found = None;
        for j in 0..most {
            let mut best = 0;
            for i in 1..list.len() {
                if list[i].1 > list[best].1 {
                    best = i;
                }
            }
            if list.is_empty() {
                break;
            }
            let (d, score) = list.swap_remove(best);
            let b = [64, 500, 2000, 5000].iter().filter(|&&t| score > t).count();
            let class = ((8 * j + b) * 16 + known.count) * 8 + (around.pattern % 8) as usize;
            offered.push((class, d));
            if self.candidates.worth[class].p1() < 1200 {
                break;
            }
            if self.candidates.decide(coder, &around, &known, j, d)? {
                found = Some(d);
                break;
            }
        }
        let s = match found {
            Some(s) => s,
            None => self.escape.decode(coder, self.alphabet, &around)?,
        };
        for (class, d) in offered {
            self.candidates.worth[class].learn(d == s, COUNTERS);
        }
        self.remember(p, &around, &known, s);
        Ok(s)
    }
}

/// What a slot's check is for a hash [5.4].
fn check(h: u32) -> u32 {
    (h & 0xffff) | 1
}

/// Whether a row is the one above [5.2].
pub(super) struct SameRow {
    models: [CountedBit; 4],
    before: usize,
}

impl SameRow {
    pub(super) fn new() -> Self {
        Self {
            models: [CountedBit::with_p1(8000, 2); 4],
            before: 0,
        }
    }

    pub(super) fn decode(&mut self, coder: &mut RangeDecoder<'_>) -> Result<bool> {
        let same = self.models[self.before].decode(coder, 30)?;
        self.before = (2 * self.before + usize::from(same)) % 4;
        Ok(same)
    }
}

/// Counters that stand together.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    check: u32,
    counters: [CountedBit; 15],
}

/// Symbols that no candidate gave [5.6].
struct Escape {
    /// 14 tables of 2^y lines.
    lines: Vec<Vec<Line>>,
    y: u32,
    stack: MixerStack,
    apms: [Apm; 2],
    experts: Vec<Experts>,
}

impl Escape {
    fn new(group: Group, alphabet: &Alphabet) -> Self {
        let y = bitlen(group.pixels() as u32).clamp(8, 15);
        Self {
            lines: vec![vec![Line::default(); 1 << y]; 14],
            y,
            stack: MixerStack::new(
                24,
                &[1088, 1024, 2176],
                13000,
                Rate::falling(900, 150, 7),
                68,
                Rate::falling(300, 40, 8),
            ),
            apms: [Apm::new(4096, 255), Apm::new(2176, 255)],
            experts: alphabet.fields.iter().map(|&b| Experts::new(b)).collect(),
        }
    }

    fn decode(
        &mut self,
        coder: &mut RangeDecoder<'_>,
        alphabet: &Alphabet,
        around: &Around,
    ) -> Result<u32> {
        let mut coded = 0;
        let mut error = 0;
        for (c, &bits) in alphabet.fields.iter().enumerate() {
            if bits == 0 {
                continue;
            }
            let place = Place {
                alphabet,
                near: &around.near,
                c,
                coded,
                error,
            };
            let said = self.experts[c].predict(&place);
            let hashes = place.hashes(around, said.centre());
            let value = self.field(coder, c, bits, &hashes, &said)?;
            self.experts[c].learn(&place, &said, value);
            let below: u32 = alphabet.fields[c + 1..].iter().sum();
            coded |= (value as u32) << below;
            error = value - said.centre();
        }
        Ok(coded)
    }

    /// The bits of a field.
    fn field(
        &mut self,
        coder: &mut RangeDecoder<'_>,
        c: usize,
        bits: u32,
        hashes: &[u32; 14],
        said: &Said,
    ) -> Result<i32> {
        let mut low = 0_i32;
        let mut first = said.tails(0);
        let mut last = said.tails(1 << bits);
        let mut lines = [0; 14];
        let mut node = 1;
        for s in (0..bits).rev() {
            let prefix = ((1 << bits) + low as u32) >> (s + 1);
            if s + 1 == bits || s % 4 == 3 {
                for k in 0..14 {
                    let h = finish(hashes[k] ^ prefix.wrapping_mul(GOLDEN));
                    lines[k] = (h >> (32 - self.y)) as usize;
                    let check = (h << 8) | 1;
                    let line = &mut self.lines[k][lines[k]];
                    if line.check != check {
                        *line = Line {
                            check,
                            ..Line::default()
                        };
                    }
                }
                node = 1;
            }
            let mut input = [0; 24];
            let mut confident = 0;
            for k in 0..14 {
                let counter = &self.lines[k][lines[k]].counters[node - 1];
                input[k] = input_of(counter);
                confident += usize::from(counter.count > 2);
            }
            let middle = said.tails(low + (1 << s));
            for e in 0..4 {
                input[14 + e] = ln(between(middle[e], last[e])) - ln(between(first[e], middle[e]));
            }
            input[23] = 256;
            let level = 17 * c + s as usize;
            let contexts = [
                16 * level + confident,
                256 * c + (prefix % 256) as usize,
                32 * level + said.scale,
            ];
            let odds = self.stack.mix(&input, &contexts, level);
            let q = self.stack.p1();
            let hash = (hashes[4] ^ prefix).wrapping_mul(GOLDEN) >> 22;
            let q1 = self.apms[0].refine(odds, 1024 * c + hash as usize);
            let q2 = self.apms[1].refine(odds, 32 * level + said.scale);
            let b = coder.bit((2 * q + q1 + q2) >> 2)?;
            self.stack.learn(b);
            for apm in &mut self.apms {
                apm.learn(b);
            }
            for k in 0..14 {
                self.lines[k][lines[k]].counters[node - 1].learn(b, COUNTERS);
            }
            node = 2 * node + usize::from(b);
            if b {
                low += 1 << s;
                first = middle;
            } else {
                last = middle;
            }
        }
        Ok(low)
    }
}

/// A field that is to be coded, and what it can be predicted from.
struct Place<'a> {
    alphabet: &'a Alphabet,
    near: &'a [u32; 26],
    c: usize,
    /// The symbol with the fields so far.
    coded: u32,
    error: i32,
}

impl Place<'_> {
    /// This field of a symbol.
    fn v(&self, symbol: u32) -> i32 {
        self.alphabet.get(symbol, self.c)
    }

    /// The field before.
    fn u(&self, symbol: u32) -> i32 {
        self.alphabet.get(symbol, self.c - 1)
    }

    fn grad(&self) -> i32 {
        let [w, n, nw, ..] = self.near.map(|s| self.v(s));
        (w + n - nw).clamp(w.min(n), w.max(n))
    }

    /// The contexts [5.6].
    fn hashes(&self, around: &Around, centre: i32) -> [u32; 14] {
        let coded = self.coded;
        let [w, n, nw, ne, ww, nn, ..] = *self.near;
        let v = |s| self.v(s);
        let (fw, fn_) = if self.c == 0 {
            (2 * v(w) - v(ww), 2 * v(n) - v(nn))
        } else {
            let u = |s| self.u(s);
            (v(w) + u(coded) - u(w), v(n) + u(coded) - u(n))
        };
        let number = |v: i32| v as u32;
        let values: [&[u32]; 14] = [
            &[coded, w, n],
            &[coded],
            &[coded, n],
            &[coded, w],
            &[number(self.grad()), number(self.error.clamp(-20, 20))],
            &[number(fw), number(fn_ >> 2)],
            &[number((v(w) + v(ne)) >> 1), number(v(n) >> 2)],
            &[number(v(w)), number(v(n))],
            &[number(centre), number(self.error.clamp(-4, 4))],
            &[number(fn_), number(fw >> 2)],
            &[],
            &[coded, w, n, nw, ne],
            &[coded, around.h[4]],
            &[coded, around.h[6]],
        ];
        let mut hashes = [0; 14];
        for ((k, hash), values) in (1..).zip(&mut hashes).zip(values) {
            *hash = finish(fold(16 * k + self.c as u32, values));
        }
        hashes
    }

    /// The features of the experts [5.7].
    fn features(&self) -> Vec<i32> {
        let o = |i: usize| self.v(self.near[i]) - self.v(self.near[0]);
        let earlier: Vec<usize> = (0..self.c).rev().take(2).collect();
        let g = |d: usize, s: u32| self.alphabet.get(s, d) - self.alphabet.get(self.near[0], d);
        let mut features = vec![o(1), o(2), o(3)];
        for &d in &earlier {
            features.extend([g(d, self.coded), g(d, self.near[1])]);
        }
        features.extend([o(4), o(5)]);
        for &d in &earlier {
            features.extend([2, 3, 5].map(|i| g(d, self.near[i])));
        }
        features.extend((6..14).map(o));
        features.resize(24, 0);
        features
    }
}

/// What the experts of a field say [5.7].
#[derive(Clone, Debug)]
struct Said {
    features: Vec<i32>,
    mu: [i32; 4],
    inv: [i64; 4],
    scale: usize,
    class: usize,
}

impl Said {
    fn centre(&self) -> i32 {
        (self.mu[0] + 32) >> 6
    }

    fn tails(&self, v: i32) -> [i32; 4] {
        std::array::from_fn(|e| {
            let distance = (i64::from(v) << 6) - 32 - i64::from(self.mu[e]);
            tail((distance * self.inv[e]) >> 24)
        })
    }
}

/// The experts of a field [5.7].
struct Experts {
    bits: u32,
    long: Ols,
    short: Ols,
    /// Means of errors with counts, of each expert.
    means: [Vec<(i32, i32)>; 4],
}

impl Experts {
    fn new(bits: u32) -> Self {
        let mean = |i: u32| (4096 + (64 << (i / 4)).min(1 << 20), 0);
        let means: Vec<(i32, i32)> = (0..64).map(mean).collect();
        Self {
            bits,
            long: Ols::new(24, 0.98, 2, bits),
            short: Ols::new(12, 0.74, 2, bits),
            means: std::array::from_fn(|_| means.clone()),
        }
    }

    fn predict(&self, place: &Place<'_>) -> Said {
        let features = place.features();
        let o = place.near.map(|s| place.v(s));
        let most = ((1 << self.bits) - 1) << 6;
        let grad = place.grad();
        let x = if place.c == 0 {
            (3 * grad + ((o[0] + o[3]) >> 1) + 2) >> 2
        } else {
            let moved = |i: usize| o[i] + place.u(place.coded) - place.u(place.near[i]);
            (moved(0) + moved(1)) >> 1
        };
        let around = |prediction: i32| ((o[0] << 6) + prediction).clamp(0, most);
        let mu = [
            around(self.long.predict(&features)),
            around(self.short.predict(&features)),
            grad << 6,
            (x << 6).clamp(0, most),
        ];
        let activity = (o[0] - o[2]).abs()
            + (o[1] - o[2]).abs()
            + (o[1] - o[3]).abs()
            + (o[0] - o[4]).abs()
            + 4 * place.error.abs()
            + (mu[0] - mu[3]).abs() / 32;
        let class = quarter(2 * activity as u32 + 2).min(63) as usize;
        let mean = |e: usize| self.means[e][class].0;
        Said {
            features,
            mu,
            inv: std::array::from_fn(|e| K / i64::from(mean(e).max(64))),
            scale: (quarter(mean(0) as u32 >> 6) / 2).min(31) as usize,
            class,
        }
    }

    fn learn(&mut self, place: &Place<'_>, said: &Said, value: i32) {
        for (means, mu) in self.means.iter_mut().zip(said.mu) {
            let (mean, n) = &mut means[said.class];
            if *n < 250 {
                *n += 1;
            }
            *mean += ((((value << 6) - mu).abs() << 6) - *mean) / (*n + 4);
        }
        let target = value - place.v(place.near[0]);
        self.long.learn(&said.features, target);
        self.short.learn(&said.features, target);
    }
}
