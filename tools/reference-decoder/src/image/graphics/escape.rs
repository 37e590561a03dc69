//! Symbols that no candidate gave [5.6].

use super::super::common::{GOLDEN, between, finish, fold, ln};
use super::super::{Group, bitlen};
use super::Alphabet;
use super::candidates::{COUNTERS, input_of};
use super::experts::{Experts, Said};
use super::symbols::Around;
use crate::coding::{Apm, Coder, CountedBit, MixerStack, RangeDecoder, Rate};
use crate::error::Result;

/// Counters that stand together.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    check: u32,
    counters: [CountedBit; 15],
}

/// Symbols that no candidate gave [5.6].
pub(super) struct Escape {
    /// 14 tables of 2^y lines.
    lines: Vec<Vec<Line>>,
    y: u32,
    stack: MixerStack,
    apms: [Apm; 2],
    experts: Vec<Experts>,
}

impl Escape {
    pub(super) fn new(group: Group, alphabet: &Alphabet) -> Self {
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

    pub(super) fn decode(
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
pub(super) struct Place<'a> {
    alphabet: &'a Alphabet,
    pub(super) near: &'a [u32; 26],
    pub(super) c: usize,
    /// The symbol with the fields so far.
    pub(super) coded: u32,
    pub(super) error: i32,
}

impl Place<'_> {
    /// This field of a symbol.
    pub(super) fn v(&self, symbol: u32) -> i32 {
        self.alphabet.get(symbol, self.c)
    }

    /// The field before.
    pub(super) fn u(&self, symbol: u32) -> i32 {
        self.alphabet.get(symbol, self.c - 1)
    }

    pub(super) fn grad(&self) -> i32 {
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
        if let Some(r) = around.reference {
            hashes[10] = finish(fold(240 + self.c as u32, &[coded, r]));
            hashes[13] = finish(fold(256 + self.c as u32, &[coded, r, w]));
        }
        hashes
    }

    /// The features of the experts [5.7].
    pub(super) fn features(&self) -> Vec<i32> {
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
