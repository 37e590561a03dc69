//! Residuals of mode 1 [12].

use super::learned::{NARROW_Q12, SIGN_Q12, WIDE_Q12};
use crate::coding::{Coder, CountedBit, RangeDecoder, squash, stretch};
use crate::error::Result;
use std::sync::LazyLock;

// Scales [12.1].

const BUCKETS: usize = 68;
const SCALES: usize = 304;

fn bits(b: usize) -> u32 {
    if b < 4 { 0 } else { b as u32 / 2 - 1 }
}

fn low(b: usize) -> i64 {
    if b < 4 {
        b as i64
    } else {
        (2 + b as i64 % 2) << bits(b)
    }
}

/// The place of a mean, Q16, on the scale.
pub(super) fn index(m: i64) -> usize {
    let v = m.max(0) as u64 + 4096;
    let o = v.ilog2() as usize;
    (8 * (o - 12) + ((v >> (o - 3)) % 8) as usize).min(SCALES - 1)
}

/// What follows from the Laplace distributions.
struct Scales {
    /// By kind, place, and bucket.
    logit: [Vec<[i32; BUCKETS]>; 3],
    start: Vec<usize>,
}

/// The probabilities that a bucket is j or more, Q62, by j.
fn reached(l: usize) -> Vec<u128> {
    let one = 1_u128 << 62;
    let mean_q24 = ((((17 + 2 * (l as u128 % 8)) << (l / 8 + 12)) >> 4) - 4096) << 8;
    let root = ((1 << 48) + mean_q24 * mean_q24).isqrt();
    let theta = (mean_q24 << 62) / ((1 << 24) + root);
    let pow = |mut e: i64| {
        let (mut p, mut b) = (one, theta);
        while e > 0 {
            if e % 2 == 1 {
                p = (p * b) >> 62;
            }
            b = (b * b) >> 62;
            e /= 2;
        }
        p
    };
    let mut s = vec![one];
    for j in 1..BUCKETS {
        s.push(((2 * pow(low(j))) << 62) / (one + theta));
    }
    s.push(0);
    s
}

static SCALE: LazyLock<Scales> = LazyLock::new(|| {
    let one = 1_u128 << 62;
    let odds = |p: u128, q: u128| stretch(((p << 16) / q.max(1)).clamp(1, 65535) as u32);
    let mut scales = Scales {
        logit: [Vec::new(), Vec::new(), Vec::new()],
        start: Vec::new(),
    };
    for l in 0..SCALES {
        let s = reached(l);
        let mut logit = [[0; BUCKETS]; 3];
        for j in 1..BUCKETS {
            logit[0][j] = odds(s[j], one);
            logit[1][j] = odds(s[j], s[j - 1]);
            logit[2][j] = odds(s[j].saturating_sub(s[j + 1]), one - s[j + 1]);
        }
        for (all, logit) in scales.logit.iter_mut().zip(logit) {
            all.push(logit);
        }
        let start = (1..BUCKETS).rev().find(|&j| s[j] >= 1 << 61);
        scales.start.push(start.unwrap_or(1));
    }
    scales
});

// Mixing [12.5].

/// How decisions are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mixing {
    Quick,
    Narrow,
    Wide,
}

#[derive(Clone, Debug)]
struct Neuron {
    /// Sets of weights in Q20.
    weights: Vec<Vec<i32>>,
    rates: Vec<i32>,
    last: i32,
    decay: u32,
    // The last mix.
    input: Vec<i32>,
    set: usize,
    p1: u32,
}

impl Neuron {
    fn new(weights: Vec<Vec<i32>>, first: i32, last: i32, decay: u32) -> Self {
        Self {
            rates: vec![first << 10; weights.len()],
            weights,
            last: last << 10,
            decay,
            input: Vec::new(),
            set: 0,
            p1: 0,
        }
    }

    /// With the same weights in Q12 for `sets` sets of each kind.
    fn by_kind(weights_q12: &[&[i32]], sets: usize) -> Self {
        let weights = weights_q12
            .iter()
            .flat_map(|weights| vec![from_q12(weights); sets])
            .collect();
        Self::new(weights, 1000, 150, 8)
    }

    fn mix(&mut self, input: &[i32], set: usize) -> i32 {
        self.input = input.to_vec();
        self.set = set;
        let sum = self.weights[set]
            .iter()
            .zip(input)
            .fold(0_i32, |sum, (w, x)| sum.wrapping_add((w >> 6) * x));
        let y = (sum.wrapping_add(8192) >> 14).clamp(-2815, 2815);
        self.p1 = squash(y);
        y
    }

    fn learn(&mut self, bit: bool) {
        let rate = &mut self.rates[self.set];
        let error = i64::from(bit) * 65536 - i64::from(self.p1);
        let step = ((error * i64::from(*rate >> 10) + 2048) >> 12) as i32;
        *rate -= (*rate - self.last) >> self.decay;
        let most = (1 << 23) - 1;
        for (weight, x) in self.weights[self.set].iter_mut().zip(&self.input) {
            *weight = (*weight + ((x * step + 128) >> 8)).clamp(-most, most);
        }
    }
}

fn from_q12(weights: &[i32]) -> Vec<i32> {
    weights.iter().map(|w| 256 * w).collect()
}

enum Neurons {
    Quick,
    Narrow(Neuron),
    Wide(Vec<Neuron>, Neuron),
}

impl Neurons {
    fn new(mixing: Mixing) -> Self {
        match mixing {
            Mixing::Quick => Self::Quick,
            Mixing::Narrow => {
                let kinds: Vec<&[i32]> = NARROW_Q12.iter().map(|w| &w[..]).collect();
                Self::Narrow(Neuron::by_kind(&kinds, 10))
            }
            Mixing::Wide => {
                let neuron = |n: usize, sets| {
                    let kinds: Vec<&[i32]> = WIDE_Q12[n].iter().map(|w| &w[..]).collect();
                    Neuron::by_kind(&kinds, sets)
                };
                let last = Neuron::new(vec![vec![349_520; 4]; 30], 300, 30, 9);
                Self::Wide(vec![neuron(0, 10), neuron(1, 13), neuron(2, 13)], last)
            }
        }
    }

    fn learn(&mut self, bit: bool) {
        match self {
            Self::Quick => {}
            Self::Narrow(neuron) => neuron.learn(bit),
            Self::Wide(three, last) => {
                for neuron in three {
                    neuron.learn(bit);
                }
                last.learn(bit);
            }
        }
    }
}

// State [12.2].

/// What the residual of a frame is coded with.
pub(super) struct Frame {
    pub(super) d: [i64; 8],
    pub(super) can_fall: bool,
    pub(super) can_rise: bool,
    pub(super) reference_excess: i64,
}

/// Counters by kind, context, and relative bucket.
type Table = [Vec<[CountedBit; 32]>; 3];

const LIMIT: u32 = 255;

fn counter_table(fine: bool) -> Table {
    std::array::from_fn(|kind| {
        let context = |c: i64| {
            let l = if fine {
                2 * c
            } else {
                (4 * (c / 13) + 2 * ((c % 13) - 6)).clamp(0, 84)
            };
            let logit = &SCALE.logit[kind][l as usize];
            std::array::from_fn(|bucket| CountedBit::with_p1(squash(logit[bucket]), 6))
        };
        (0..if fine { 42 } else { 273 }).map(context).collect()
    })
}

pub(super) struct Residuals {
    newest: i64,
    fast: i64,
    medium: i64,
    slow: i64,
    one_ago: usize,
    two_ago: usize,
    tables: Vec<Table>,
    neurons: Neurons,
    upper: Vec<CountedBit>,
    lower: Vec<CountedBit>,
    sign: Neuron,
    by_history: Vec<CountedBit>,
    by_magnitude: Vec<CountedBit>,
    signs: usize,
}

/// The contexts of a frame [12.3].
struct Contexts {
    /// A, M, R, S, B.
    scales: [usize; 5],
    start: usize,
    x_spread: usize,
    x_ref: usize,
    /// Context and shift of each table.
    tables: [(usize, usize); 8],
}

fn excess(x: i64) -> usize {
    ((x + 26) >> 2).clamp(0, 12) as usize
}

fn shared(l: usize) -> (usize, usize) {
    let k = l / 2;
    let shift = k.saturating_sub(40) / 2;
    (k - 2 * shift, shift)
}

fn coarse(l: usize, x: usize) -> (usize, usize) {
    let (scale, shift) = shared(l);
    ((scale / 2) * 13 + x, shift)
}

impl Residuals {
    pub(super) fn new(mixing: Mixing) -> Self {
        let tables = match mixing {
            Mixing::Quick => 2,
            Mixing::Narrow => 4,
            Mixing::Wide => 8,
        };
        let begin = 1 << 21;
        Self {
            newest: begin,
            fast: begin,
            medium: begin,
            slow: begin,
            one_ago: index(begin),
            two_ago: index(begin),
            tables: (0..tables).map(|i| counter_table(i < 2)).collect(),
            neurons: Neurons::new(mixing),
            upper: vec![CountedBit::with_p1(31000, 20); 64],
            lower: vec![CountedBit::with_p1(31800, 20); 128],
            sign: Neuron::new(SIGN_Q12.iter().map(|w| from_q12(w)).collect(), 300, 30, 10),
            by_history: vec![CountedBit::default(); 256],
            by_magnitude: vec![CountedBit::default(); 64],
            signs: 0,
        }
    }

    fn contexts(&self, frame: &Frame) -> Contexts {
        let n = index(self.newest);
        let (a, m, s) = (index(self.fast), index(self.medium), index(self.slow));
        let b = index((self.fast + self.medium) >> 1);
        let r = (s as i64 + frame.reference_excess).clamp(0, 303) as usize;
        let over = |x: usize, y: usize| x as i64 - y as i64;
        let (x_fast, x_ref) = (excess(over(a, s)), excess(over(r, s)));
        let x_newest = excess(over(n, b));
        let d = index((frame.d[0] - frame.d[1]).abs() << 8);
        let x_spread = excess(over(d, m));
        Contexts {
            scales: [a, m, r, s, b],
            start: SCALE.start[b],
            x_spread,
            x_ref,
            tables: [
                shared(a),
                shared(m),
                coarse(s, x_fast),
                coarse(b, (x_newest + x_ref) / 2),
                coarse(m, x_spread),
                coarse(a, x_ref),
                coarse(m, excess(over(self.one_ago, m) / 2)),
                coarse(m, excess(over(self.two_ago, m) / 2)),
            ],
        }
    }

    /// Whether the bucket is j or more.
    fn decide(
        &mut self,
        coder: &mut RangeDecoder<'_>,
        contexts: &Contexts,
        kind: usize,
        j: usize,
    ) -> Result<bool> {
        let place = |i: usize| {
            let (context, shift) = contexts.tables[i];
            (context, j.saturating_sub(shift).min(31))
        };
        let mut t = [0; 8];
        for (i, table) in self.tables.iter().enumerate() {
            let (context, bucket) = place(i);
            let p = table[kind][context][bucket].p1();
            t[i] = stretch(16 * (p >> 4) + 8);
        }
        let a = contexts.scales.map(|l| SCALE.logit[kind][l][j]);
        let delta = j.abs_diff(contexts.start).min(9);
        let p1 = match &mut self.neurons {
            Neurons::Quick => squash((t[0] + t[1]) >> 1),
            Neurons::Narrow(neuron) => {
                let input = [a[0], a[1], a[2], t[0], t[1], t[2], t[3], 256];
                neuron.mix(&input, 10 * kind + delta);
                neuron.p1
            }
            Neurons::Wide(three, last) => {
                let mut input = [0; 16];
                input[..5].copy_from_slice(&a);
                input[5..13].copy_from_slice(&t);
                input[15] = 256;
                let sets = [
                    10 * kind + delta,
                    13 * kind + contexts.x_spread,
                    13 * kind + contexts.x_ref,
                ];
                let mut answers = [0; 4];
                for (n, neuron) in three.iter_mut().enumerate() {
                    answers[n] = neuron.mix(&input, sets[n]);
                }
                last.mix(&answers, sets[0]);
                last.p1
            }
        };
        let bit = coder.bit(p1)?;
        self.neurons.learn(bit);
        for (i, table) in self.tables.iter_mut().enumerate() {
            let (context, bucket) = place(i);
            table[kind][context][bucket].learn(bit, LIMIT);
        }
        Ok(bit)
    }

    /// A residual [12.4].
    pub(super) fn decode(&mut self, coder: &mut RangeDecoder<'_>, frame: &Frame) -> Result<i64> {
        let contexts = self.contexts(frame);
        let mut b = contexts.start;
        if self.decide(coder, &contexts, 0, b)? {
            while b + 1 < BUCKETS && self.decide(coder, &contexts, 1, b + 1)? {
                b += 1;
            }
        } else {
            b -= 1;
            while b > 0 && !self.decide(coder, &contexts, 2, b)? {
                b -= 1;
            }
        }
        let mut negative = false;
        if b > 0 {
            if !frame.can_rise {
                negative = true;
            } else if frame.can_fall {
                negative = self.sign(coder, frame, low(b))?;
            }
        }
        let mut offset = 0;
        let n = bits(b);
        let k = (b + 16).saturating_sub(contexts.start).min(31);
        if n >= 1 {
            let i = if n == 1 { k + 32 } else { k };
            let u = self.upper[i].decode(coder, LIMIT)?;
            offset = i64::from(u) << (n - 1);
            if n >= 2 {
                let i = if n == 2 { k + 32 } else { k };
                let v = self.lower[2 * i + usize::from(u)].decode(coder, LIMIT)?;
                offset += (i64::from(v) << (n - 2)) + coder.raw(n - 2)? as i64;
            }
        }
        let m = low(b) + offset;

        let wide = m << 16;
        self.newest += (wide - self.newest) >> 1;
        self.fast += ((wide - self.fast) * 5) >> 5;
        self.medium += (wide - self.medium) >> 5;
        self.slow += (wide - self.slow) >> 8;
        self.two_ago = self.one_ago;
        self.one_ago = index(wide);
        let g = if b == 0 { 0 } else { 1 + usize::from(negative) };
        self.signs = (4 * self.signs + g) % 256;
        Ok(if negative { -m } else { m })
    }

    /// The sign [12.6]: whether it is negative.
    fn sign(&mut self, coder: &mut RangeDecoder<'_>, frame: &Frame, m: i64) -> Result<bool> {
        if matches!(self.neurons, Neurons::Quick) {
            return coder.bit(32768);
        }
        let f = (512 << 16) / ((self.medium >> 8) + 64);
        let q = (m << 8).min(1 << 30);
        let mut x = [0; 16];
        for i in 0..8 {
            let d = -frame.d[i].clamp(-q, q);
            x[i] = ((d * f) >> 16).clamp(-2000, 2000) as i32;
        }
        let h = &mut self.by_history[self.signs];
        let near = ((frame.d[0] + 128) >> 4).clamp(0, 15) + 16 * (m.min(4) - 1);
        let g = &mut self.by_magnitude[near as usize];
        x[8] = stretch(h.p1());
        x[9] = stretch(g.p1());
        self.sign.mix(&x, (index(self.medium) / 16).min(7));
        let negative = coder.bit(self.sign.p1)?;
        self.sign.learn(negative);
        h.learn(negative, LIMIT);
        g.learn(negative, LIMIT);
        Ok(negative)
    }
}
