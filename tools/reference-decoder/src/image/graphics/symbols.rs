//! Rows and spans [5.2], surroundings [5.3] and repetition [5.4].

use super::super::common::{finish, fold};
use super::super::references::References;
use super::super::{Group, bitlen};
use super::Alphabet;
use super::candidates::{COUNTERS, Candidates, Known, Slot};
use super::escape::Escape;
use crate::coding::{CountedBit, RangeDecoder};
use crate::error::Result;

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
pub(super) struct Around {
    pub(super) near: [u32; 26],
    /// The hashes of neighbours.
    pub(super) h: [u32; 13],
    /// The hash of the far surroundings.
    far: u32,
    pub(super) pattern: u32,
    /// The symbol that is referred to, and which neighbours are as there [5.9].
    pub(super) reference: Option<u32>,
    pub(super) like: usize,
}

/// The symbols of a picture of more than two colours.
pub(super) struct Symbols<'a> {
    group: Group,
    alphabet: &'a Alphabet,
    references: Option<&'a References>,
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
    pub(super) fn new(
        group: Group,
        alphabet: &'a Alphabet,
        references: Option<&'a References>,
    ) -> Self {
        let stride = group.width + 2 * BESIDE;
        let z = bitlen(group.pixels() as u32).clamp(10, 17);
        Self {
            group,
            alphabet,
            references,
            s: vec![0; (group.rows + ABOVE) * stride],
            stride,
            z,
            recall: vec![vec![Slot::default(); 1 << z]; 13],
            places: vec![0; 1 << z],
            pointer: 0,
            length: 0,
            agreement: 0,
            candidates: Candidates::new(z, references.is_some()),
            escape: Escape::new(group, alphabet),
        }
    }

    /// Rows and spans [5.2].
    pub(super) fn decode(mut self, coder: &mut RangeDecoder<'_>) -> Result<Vec<u32>> {
        let (width, stride) = (self.group.width, self.stride);
        let mut same_row = SameRow::new();
        let mut referred_row = SameRow::new();
        let mut spans = Spans::default();
        let mut symbols = Vec::new();
        for y in 0..self.group.rows {
            let at = (y + ABOVE) * stride + BESIDE;
            let above = if y == 0 { 0 } else { self.s[at - stride] };
            self.s[at - BESIDE..at].fill(above);
            let q = self.places_referred_to(y);
            if !q.is_empty() && referred_row.decode(coder)? {
                for (x, &q) in q.iter().enumerate() {
                    self.s[at + x] = self.s[q];
                }
                self.stop();
            } else if same_row.decode(coder)? {
                self.s.copy_within(at - stride..at - stride + width, at);
                self.stop();
            } else {
                self.row(coder, at, &q, &mut spans)?;
            }
            let last = self.s[at + width - 1];
            self.s[at + width..at + width + BESIDE].fill(last);
            symbols.extend(&self.s[at..at + width]);
        }
        Ok(symbols)
    }

    /// The places that the pixels of a row refer to; none if it refers to
    /// nothing.
    fn places_referred_to(&self, y: usize) -> Vec<usize> {
        let place = |(column, row)| (row + ABOVE) * self.stride + BESIDE + column;
        let of = |x| self.references.and_then(|r| r.of(self.group, x, y));
        (0..self.group.width).filter_map(of).map(place).collect()
    }

    /// A row that is no copy.
    fn row(
        &mut self,
        coder: &mut RangeDecoder<'_>,
        at: usize,
        q: &[usize],
        models: &mut Spans,
    ) -> Result<()> {
        let (width, stride) = (self.group.width, self.stride);
        let (mut spans, mut referred_spans) = (0, 0);
        let mut x = 0;
        while x < width {
            if x % 16 == 0 && x + 16 <= width {
                if let Some(q) = q.get(x..x + 16) {
                    let like = |(i, &q): (usize, &usize)| {
                        self.s[at + x + i - stride] == self.s[q - stride]
                    };
                    let above = q.iter().enumerate().all(like);
                    let model = &mut models.referred[2 * referred_spans + usize::from(above)];
                    let same = model.decode(coder, 60)?;
                    referred_spans = (2 * referred_spans + usize::from(!same)) % 8;
                    if same {
                        for (i, &q) in q.iter().enumerate() {
                            self.s[at + x + i] = self.s[q];
                        }
                        self.stop();
                        x += 16;
                        continue;
                    }
                }
                if self.flat(at + x) {
                    let same = models.same[spans].decode(coder, 60)?;
                    spans = (2 * spans + usize::from(!same)) % 8;
                    if same {
                        let symbol = self.s[at + x - 1];
                        self.s[at + x..at + x + 16].fill(symbol);
                        self.stop();
                        x += 16;
                        continue;
                    }
                }
            }
            self.s[at + x] = self.symbol(coder, at + x, q.get(x).copied())?;
            x += 1;
        }
        Ok(())
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
    fn around(&self, p: usize, q: Option<usize>) -> Around {
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
        let mut like = 0;
        if let Some(q) = q {
            let [r, re, rs, rw, rn, rnw, rne] =
                [(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (-1, -1), (1, -1)]
                    .map(|offset| self.at(q, offset));
            h[10] = finish(fold(78, &[r, w, n]));
            h[12] = finish(fold(79, &[r, re, rs, rw, rn]));
            let same = [w == rw, n == rn, nw == rnw, ne == rne];
            like = (0..)
                .zip(same)
                .map(|(i, same)| usize::from(same) << i)
                .sum();
        }
        Around {
            near,
            h,
            far,
            pattern,
            reference: q.map(|q| self.s[q]),
            like,
        }
    }

    fn agree(&self, p: usize, around: &Around) -> usize {
        let pairs = NEAR.iter().zip(&around.near);
        pairs
            .filter(|&(&offset, &s)| self.at(p, offset) == s)
            .count()
    }

    /// What is remembered of such surroundings [5.4].
    fn find(&mut self, around: &Around, q: Option<usize>) -> Known {
        let mut slots = [None; 13];
        for (k, known) in slots.iter_mut().enumerate() {
            let slot = self.recall[k][(around.h[k] >> (32 - self.z)) as usize];
            if slot.check == check(around.h[k]) {
                *known = Some(slot);
            }
        }
        let p = self.places[(around.far >> (32 - self.z)) as usize];
        if self.length < 8 {
            for p in [p].into_iter().filter(|&p| p > 0).chain(q) {
                let a = self.agree(p, around);
                if self.pointer == 0 || a >= self.agreement {
                    if p != self.pointer {
                        self.length = 0;
                    }
                    self.pointer = p;
                }
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
    fn symbol(&mut self, coder: &mut RangeDecoder<'_>, p: usize, q: Option<usize>) -> Result<u32> {
        let around = self.around(p, q);
        let known = self.find(&around, q);
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
        self.candidates.learn_reference(&around, s);
        self.remember(p, &around, &known, s);
        Ok(s)
    }
}

/// What a slot's check is for a hash [5.4].
fn check(h: u32) -> u32 {
    (h & 0xffff) | 1
}

/// Whether spans are of one colour [5.2], or what they refer to [5.9].
#[derive(Default)]
struct Spans {
    same: [CountedBit; 8],
    referred: [CountedBit; 16],
}

/// Whether a row is the one above [5.2].
pub(crate) struct SameRow {
    models: [CountedBit; 4],
    before: usize,
}

impl SameRow {
    pub(crate) fn new() -> Self {
        Self {
            models: [CountedBit::with_p1(8000, 2); 4],
            before: 0,
        }
    }

    pub(crate) fn decode(&mut self, coder: &mut RangeDecoder<'_>) -> Result<bool> {
        let same = self.models[self.before].decode(coder, 30)?;
        self.before = (2 * self.before + usize::from(same)) % 4;
        Ok(same)
    }
}
