//! The mode photo [6].

use super::common::{
    K, Ols, Sums, Weights, above, add_products, between, ln, no_sums, quarter, tail,
};
use super::{Group, Plane, ValueMap, bitlen, head, order, streams};
use crate::bytes::Bytes;
use crate::coding::{
    Apm, Coder, CountedBit, Mixer, MixerStack, RangeDecoder, Rate, squash, stretch,
};
use crate::error::Result;
use std::collections::HashMap;

/// The numbers in which the two modes differ [6.1].
#[derive(Clone, Copy, Debug)]
struct Mode {
    large: bool,
    experts: usize,
    inputs: usize,
    mixers: usize,
    counters: usize,
    memories: usize,
}

const NORMAL: Mode = Mode {
    large: false,
    experts: 4,
    inputs: 8,
    mixers: 2,
    counters: 3,
    memories: 0,
};

const LARGE: Mode = Mode {
    large: true,
    experts: 6,
    inputs: 32,
    mixers: 4,
    counters: 16,
    memories: 9,
};

/// Room for what the experts say, in either mode.
type Each<T> = [T; 6];

pub(super) fn decode(
    group: Group,
    mut bytes: Bytes<'_>,
    large: bool,
) -> Result<(Vec<ValueMap>, Vec<Plane>)> {
    let mode = if large { LARGE } else { NORMAL };
    let mut coder = RangeDecoder::new(head(&mut bytes)?)?;
    let maps = ValueMap::read_all(&mut coder, group)?;
    let sparse = coder.raw(1)? == 1;
    coder.finish()?;
    let top = |c: usize| maps[c].top();
    let coded: Vec<usize> = order(group.channels)
        .iter()
        .copied()
        .filter(|&c| top(c) > 0)
        .collect();
    let seen_stage = |position: usize| {
        sparse
            && group.channels >= 3
            && coded[..=position].ends_with(&[1, 0, 2])
            && (0..3).all(|c| top(c) < 256)
    };
    let mut done: Vec<Coded> = Vec::new();
    for (position, payload) in streams(&mut bytes, coded.len())?.into_iter().enumerate() {
        let max = top(coded[position]);
        let mut channel = Channel::new(mode, group, max, &done, seen_stage(position));
        channel.decode(RangeDecoder::new(payload)?)?;
        let finished = channel.own;
        done.push(finished);
    }
    let mut planes = vec![vec![0; group.pixels()]; group.channels];
    for (&c, channel) in coded.iter().zip(&done) {
        planes[c] = channel.samples(group);
    }
    Ok((maps, planes))
}

const BESIDE: usize = 4;
const ABOVE: usize = 3;

/// A channel's samples, with margins [6.2], and residuals.
#[derive(Clone, Debug)]
struct Coded {
    plane: Vec<i32>,
    stride: usize,
    residuals: Vec<i32>,
}

impl Coded {
    fn new(group: Group, max: i32) -> Self {
        let stride = group.width + 2 * BESIDE;
        Self {
            plane: vec![(max + 1) / 2; stride * (ABOVE + group.rows + 1)],
            stride,
            residuals: vec![0; group.pixels()],
        }
    }

    /// Where a sample stands.
    fn place(&self, x: usize, y: usize) -> usize {
        (y + ABOVE) * self.stride + BESIDE + x
    }

    /// The sample beside a place.
    fn at(&self, place: usize, dx: isize, dy: isize) -> i32 {
        self.plane[(place as isize + dx + dy * self.stride as isize) as usize]
    }

    fn begin_row(&mut self, y: usize) {
        let first = self.place(0, y);
        let above = self.plane[first - self.stride];
        self.plane[first - BESIDE..first].fill(above);
    }

    fn end_row(&mut self, y: usize, last_row: bool) {
        let stride = self.stride;
        let first = self.place(0, y);
        let end = first + stride - 2 * BESIDE;
        let last = self.plane[end - 1];
        self.plane[end..end + BESIDE].fill(last);
        let row = first - BESIDE..end + BESIDE;
        if y == 0 {
            for above in 1..=ABOVE {
                self.plane
                    .copy_within(row.clone(), row.start - above * stride);
            }
        }
        if last_row {
            self.plane.copy_within(row.clone(), row.start + stride);
        }
    }

    fn samples(&self, group: Group) -> Plane {
        (0..group.rows)
            .flat_map(|y| &self.plane[self.place(0, y)..][..group.width])
            .copied()
            .collect()
    }
}

// Predictions [6.3].

/// The differences of the own plane.
const OWN: [(isize, isize); 27] = [
    (0, -1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (0, -2),
    (2, -1),
    (-1, -2),
    (1, -2),
    (-2, -1),
    (-3, 0),
    (2, -2),
    (-2, -2),
    (0, -3),
    (3, -1),
    (-3, -1),
    (1, -3),
    (-1, -3),
    (4, -1),
    (3, -2),
    (-3, -2),
    (-4, 0),
    (2, -3),
    (-2, -3),
    (-4, -1),
    (4, -2),
    (3, -3),
    (-3, -3),
];

/// Those of the planes before.
const BEFORE: [(isize, isize); 15] = [
    (0, 0),
    (1, 0),
    (0, -1),
    (0, 1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (1, 1),
    (-1, 1),
    (0, -2),
    (2, 0),
    (2, -1),
    (-1, -2),
    (1, -2),
    (2, 1),
];

const FEATURES: usize = 31;

/// Least squares over the blocks around.
#[derive(Clone, Debug)]
struct Local {
    weights: Weights,
    features: usize,
    reach: usize,
    columns: usize,
    /// D(y, k): the sums over each block of each row.
    blocks: Vec<Vec<Sums<i32>>>,
}

impl Local {
    fn new(features: usize, reach: usize, columns: usize, bits: u32) -> Self {
        Self {
            weights: Weights::new(features, bits.saturating_sub(10)),
            features,
            reach,
            columns,
            blocks: Vec::new(),
        }
    }

    /// Before a row.
    fn begin_row(&mut self, y: usize, width: usize) {
        let blocks = width.div_ceil(self.columns);
        self.blocks.push(vec![no_sums(self.features); blocks]);
        // Rows out of reach are not needed again.
        if y > self.reach {
            self.blocks[y - self.reach - 1] = Vec::new();
        }
    }

    fn predict(&mut self, x: usize, y: usize, features: &[i32]) -> i32 {
        if x.is_multiple_of(self.columns) {
            self.solve(x / self.columns, y);
        }
        self.weights.predict(features)
    }

    fn solve(&mut self, k: usize, y: usize) {
        let mut sums: Sums<i32> = no_sums(self.features);
        let mut add = |block: &Sums<i32>| {
            for (row, other) in sums.iter_mut().zip(block) {
                for (sum, s) in row.iter_mut().zip(other) {
                    *sum = sum.wrapping_add(*s);
                }
            }
        };
        for z in y.saturating_sub(self.reach).max(1)..y {
            let row = &self.blocks[z];
            row[k.saturating_sub(1)..row.len().min(k + 2)]
                .iter()
                .for_each(&mut add);
        }
        if k > 0 {
            add(&self.blocks[y][k - 1]);
        }
        let doubles = |row: &Vec<i32>| row.iter().map(|&s| f64::from(s)).collect();
        self.weights.solve(sums.iter().map(doubles).collect(), 16.0);
    }

    fn learn(&mut self, x: usize, y: usize, features: &[i32], target: i32) {
        let v = self.weights.cut(features, target);
        add_products(&mut self.blocks[y][x / self.columns], &v);
    }
}

/// The experts that least squares are, in their order; the slope and the blend
/// are left to the channel.
#[derive(Clone, Debug)]
enum Expert {
    Ols(Ols),
    Local(Local),
    Slope,
    /// One for each place of a pixel among four.
    Phases(Vec<Ols>),
}

fn experts(mode: Mode, bits: u32) -> Vec<Expert> {
    let ols = |features, keep, every| Ols::new(features, keep, every, bits);
    let local = |features, reach, columns| Local::new(features, reach, columns, bits);
    if mode.large {
        vec![
            Expert::Ols(ols(24, 0.98, 8)),
            Expert::Local(local(12, 6, 8)),
            Expert::Ols(ols(31, 0.998, 32)),
            Expert::Phases(vec![ols(24, 0.98, 8); 4]),
            Expert::Local(local(15, 12, 8)),
        ]
    } else {
        vec![
            Expert::Ols(ols(24, 0.995, 8)),
            Expert::Local(local(12, 6, 12)),
            Expert::Slope,
        ]
    }
}

// Errors, blend and scale [6.4].

const QUARTER: [i64; 4] = [256, 304, 362, 431];

/// The last errors of an expert, three rows in turn.
#[derive(Clone, Debug)]
struct Errors {
    rows: [Vec<i32>; 3],
}

impl Errors {
    fn new(width: usize) -> Self {
        Self {
            rows: std::array::from_fn(|_| vec![64; width + 4]),
        }
    }

    fn energy(&self, x: usize, y: usize) -> i32 {
        let x = x + 2;
        let (row, above, second) = (
            &self.rows[y % 3],
            &self.rows[(y + 2) % 3],
            &self.rows[(y + 1) % 3],
        );
        5 * (row[x - 1] + above[x])
            + 3 * (above[x - 1] + above[x + 1])
            + 2 * (row[x - 2] + second[x])
    }

    fn set(&mut self, x: usize, y: usize, error: i32) {
        let row = &mut self.rows[y % 3];
        row[x + 2] = error;
        if x == 0 {
            row[..2].fill(error);
        }
        if x + 5 == row.len() {
            row[x + 3..].fill(error);
        }
    }
}

/// What was left of the blend in contexts like these.
#[derive(Clone, Copy, Debug, Default)]
struct Bias {
    sum: i32,
    count: i32,
}

/// What is known of a sample before it is decoded.
#[derive(Clone, Debug)]
struct Said {
    features: Vec<i32>,
    mu: Each<i32>,
    inv: Each<i64>,
    /// The number of each expert's mean.
    class: Each<usize>,
    bias: usize,
    blended: i32,
    scale: usize,
    centre: i32,
    r1: i32,
    r2: i32,
}

impl Said {
    /// The tails at the boundary below `v`.
    fn tails(&self, v: i32) -> Each<i32> {
        std::array::from_fn(|e| {
            let distance = (i64::from(v) << 6) - 32 - i64::from(self.mu[e]);
            tail((distance * self.inv[e]) >> 20)
        })
    }
}

/// A channel at work.
struct Channel<'a> {
    mode: Mode,
    group: Group,
    max: i32,
    own: Coded,
    /// The channels before, by position.
    before: &'a [Coded],
    experts: Vec<Expert>,
    errors: Vec<Errors>,
    biases: Vec<Bias>,
    /// Means of errors with counts, of each expert.
    means: Vec<Vec<(i32, i32)>>,
    /// Slots of memories: values and counts.
    memories: Vec<Vec<(i32, usize)>>,
    tree: Models,
    seen: Option<Seen>,
}

impl<'a> Channel<'a> {
    fn new(mode: Mode, group: Group, max: i32, before: &'a [Coded], seen_stage: bool) -> Self {
        let mean = |i: usize| {
            (
                ((QUARTER[i % 4] << (i / 4) >> 8) << 6).min(1 << 28) as i32,
                0,
            )
        };
        let means: Vec<(i32, i32)> = (0..96).map(mean).collect();
        Self {
            mode,
            group,
            max,
            own: Coded::new(group, max),
            before,
            experts: experts(mode, bitlen(max as u32)),
            errors: vec![Errors::new(group.width); mode.experts],
            biases: vec![Bias::default(); 1024],
            means: vec![means; mode.experts],
            memories: vec![vec![(0, 0); 1 << 16]; mode.memories],
            tree: Models::new(mode),
            seen: seen_stage.then(|| Seen::new(mode)),
        }
    }

    fn decode(&mut self, mut coder: RangeDecoder<'_>) -> Result<()> {
        for y in 0..self.group.rows {
            self.own.begin_row(y);
            for expert in &mut self.experts {
                if let Expert::Local(local) = expert {
                    local.begin_row(y, self.group.width);
                }
            }
            for x in 0..self.group.width {
                self.sample(&mut coder, x, y)?;
            }
            self.own.end_row(y, y + 1 == self.group.rows);
        }
        coder.finish()
    }

    fn sample(&mut self, coder: &mut RangeDecoder<'_>, x: usize, y: usize) -> Result<()> {
        let said = self.predict(x, y);
        let context = self.contexts(x, y, &said);
        let mut step = Step {
            mode: self.mode,
            said: &said,
            context: &context,
            coder,
        };
        let mut excluded = Vec::new();
        let mut sample = None;
        if let Some(seen) = &mut self.seen {
            (sample, excluded) = seen.decode(&mut step)?;
        }
        let sample = match sample {
            Some(sample) => sample,
            None => step.tree(&mut self.tree, self.max, &excluded)?,
        };
        if let Some(seen) = &mut self.seen {
            seen.learn(&context, sample);
        }
        self.learn(x, y, &said, sample);
        for (memory, &slot) in self.memories.iter_mut().zip(&context.slots) {
            let (value, count) = &mut memory[slot];
            if *value == sample {
                *count = (*count + 1).min(7);
            } else if *count > 3 {
                *count /= 2;
            } else {
                (*value, *count) = (sample, 1);
            }
        }
        let place = self.own.place(x, y);
        self.own.plane[place] = sample;
        self.own.residuals[y * self.group.width + x] = sample - said.centre;
        Ok(())
    }

    /// A sample around: `i` channels before, 0 if there are not so many.
    fn p(&self, place: usize, i: usize, dx: isize, dy: isize) -> i32 {
        if i == 0 {
            self.own.at(place, dx, dy)
        } else if i <= self.before.len() {
            self.before[self.before.len() - i].at(place, dx, dy)
        } else {
            0
        }
    }

    fn residual(&self, x: usize, y: usize, i: usize) -> i32 {
        match self.before.len().checked_sub(i) {
            Some(position) => self.before[position].residuals[y * self.group.width + x],
            None => 0,
        }
    }

    fn features(&self, place: usize) -> Vec<i32> {
        let w = self.p(place, 0, -1, 0);
        let mut own = OWN.iter().map(|&(dx, dy)| self.p(place, 0, dx, dy) - w);
        let planes = self.before.len().min(2);
        let mut before = BEFORE.iter().flat_map(|&(dx, dy)| {
            (1..=planes).map(move |i| self.p(place, i, dx, dy) - self.p(place, i, -1, 0))
        });
        let mut features: Vec<i32> = own.by_ref().take(3).collect();
        features.extend(before.by_ref().take(2));
        while features.len() < FEATURES {
            let next = [own.next(), before.next()];
            if next == [None, None] {
                break;
            }
            features.extend(next.into_iter().flatten());
        }
        features.resize(FEATURES, 0);
        features
    }

    /// What the experts say [6.3], [6.4].
    fn predict(&mut self, x: usize, y: usize) -> Said {
        let place = self.own.place(x, y);
        let p = |dx, dy| self.p(place, 0, dx, dy);
        let (w, n, nw, ne) = (p(-1, 0), p(0, -1), p(-1, -1), p(1, -1));
        let (ww, nn) = (p(-2, 0), p(0, -2));
        let slope = if self.before.is_empty() {
            (w + n - nw) << 6
        } else {
            let g = |dx, dy| self.p(place, 1, dx, dy);
            ((w + n) << 5) + ((2 * g(0, 0) - g(-1, 0) - g(0, -1)) << 5)
        };
        let features = self.features(place);
        let (r1, r2) = (self.residual(x, y, 1), self.residual(x, y, 2));
        let most = self.max << 6;
        let mut mu = [0; 6];
        for (mu, expert) in mu.iter_mut().zip(&mut self.experts) {
            let predicted = match expert {
                Expert::Ols(ols) => ols.predict(&features),
                Expert::Local(local) => local.predict(x, y, &features),
                Expert::Phases(four) => four[phase(x, y)].predict(&features),
                Expert::Slope => slope - (w << 6),
            };
            *mu = (w << 6).saturating_add(predicted).clamp(0, most);
        }

        let z = self.mode.experts - 1;
        let energy: Vec<i32> = self.errors.iter().map(|e| e.energy(x, y)).collect();
        let steps: Vec<i32> = energy[..z]
            .iter()
            .map(|&e| quarter(e as u32 + 24))
            .collect();
        let best = steps.iter().min().copied().unwrap_or(0);
        let (mut sum, mut weights) = (0, 0);
        for (step, mu) in steps.iter().zip(mu) {
            let t = 3 * (step - best).min(20) as usize;
            let weight = (QUARTER[3 - (t + 3) % 4] << 8) >> t.div_ceil(4);
            sum += weight * i64::from(mu);
            weights += weight;
        }
        let blended = (sum / weights) as i32;
        let v = blended >> 6;
        let texture: usize = [n, w, nw, ne, nn, ww]
            .iter()
            .enumerate()
            .map(|(i, &s)| usize::from(s > v) << i)
            .sum();
        let bias = 64 * (quarter(energy[z] as u32 / 20 + 8) / 2).min(15) as usize + texture;
        let Bias { sum, count } = self.biases[bias];
        mu[z] = (blended + sum / (count + 4)).clamp(0, most);

        let mut class = [0; 6];
        let mut inv = [0; 6];
        let mut scale = 0;
        for e in 0..=z {
            let nearby = (r1.unsigned_abs() << 6) * 3 / 8;
            class[e] = quarter(energy[e] as u32 / 20 + nearby + 2).min(95) as usize;
            let mean = self.means[e][class[e]].0.max(64);
            let s = bitlen(mean as u32) - 7;
            let inverse = (2 * K / (2 * (64 + i64::from(mean >> s) % 64) + 1)) >> 8;
            inv[e] = (inverse << 4) >> s;
            scale = quarter(mean as u32 >> 6) as usize;
        }
        Said {
            features,
            mu,
            inv,
            class,
            bias,
            blended,
            scale,
            centre: (mu[z] + 32) >> 6,
            r1,
            r2,
        }
    }

    fn learn(&mut self, x: usize, y: usize, said: &Said, sample: i32) {
        let w = self.p(self.own.place(x, y), 0, -1, 0);
        let target = sample - w;
        for expert in &mut self.experts {
            match expert {
                Expert::Ols(ols) => ols.learn(&said.features, target),
                Expert::Local(local) => local.learn(x, y, &said.features, target),
                Expert::Phases(four) => four[phase(x, y)].learn(&said.features, target),
                Expert::Slope => {}
            }
        }
        let bias = &mut self.biases[said.bias];
        bias.sum += (sample << 6) - said.blended;
        bias.count += 1;
        if bias.count >= 128 {
            bias.sum /= 2;
            bias.count /= 2;
        }
        for e in 0..self.mode.experts {
            let error = ((sample << 6) - said.mu[e]).abs();
            self.errors[e].set(x, y, error);
            let (mean, n) = &mut self.means[e][said.class[e]];
            if *n < 250 {
                *n += 1;
            }
            let off = (i64::from(error) << 6) - i64::from(*mean);
            *mean += ((off * i64::from(65536 / (*n + 4))) >> 16) as i32;
        }
    }

    /// Contexts [6.5] and slots of memories [6.6].
    fn contexts(&self, x: usize, y: usize, said: &Said) -> Context {
        let place = self.own.place(x, y);
        let p0 = |dx, dy| self.p(place, 0, dx, dy);
        let p1 = |dx, dy| self.p(place, 1, dx, dy);
        let p2 = |dx, dy| self.p(place, 2, dx, dy);
        let (w, n, nw, ne) = (p0(-1, 0), p0(0, -1), p0(-1, -1), p0(1, -1));
        let (ww, nn, nne) = (p0(-2, 0), p0(0, -2), p0(1, -2));
        let p = said.centre;
        let sc = said.scale.min(63);
        let coarse = (sc / 3).min(15);
        let value = if self.max > 255 {
            (i64::from(p) * 255 / i64::from(self.max)) as usize
        } else {
            p as usize
        };
        let phase = phase(x, y);
        let off = |e: usize| class15((said.mu[e] - (p << 6)) >> 4);
        let near = |v: i32| class15(v - p);
        let (g, g2) = (p1(0, 0), p2(0, 0));
        let through = |v: i32, u: i32| near(v + g - u);
        let through2 = |v: i32, u: i32| near(v + g2 - u);
        let (r1, r2) = (said.r1, said.r2);
        let counters = [
            16 * off(0) + off(1),
            64 * class15(r1) + 16 * phase + coarse,
            16 * near(w) + near(n),
            16 * off(2) + coarse,
            64 * near(w) + 8 * class7(ne - p) + class7(nw - p),
            64 * near(n) + 8 * class7(nne - p) + class7(ne - p),
            16 * near(nn) + near(ww),
            16 * class15(r1) + class15(r2),
            16 * through(w, p1(-1, 0)) + through(n, p1(0, -1)),
            16 * through2(w, p2(-1, 0)) + through2(n, p2(0, -1)),
            16 * through(nw, p1(-1, -1)) + through(ne, p1(1, -1)),
            64 * class15(p1(1, 0) - g) + 8 * class7(p1(0, 1) - g) + class7(g - p1(-1, 0)),
            4 * (g % 256) as usize + phase,
            64 * through(w + n - nw, p1(-1, 0) + p1(0, -1) - p1(-1, -1)) + 16 * phase + coarse,
            16 * through(2 * w - ww, p1(-1, 0)) + near(w),
            64 * class15(p - g) + 4 * class15(r1) + phase,
        ];
        let sets = [
            coarse,
            8 * class7(r1) + class7(w - n),
            16 * phase + coarse,
            value,
        ];
        let keys: [&[i32]; 9] = [
            &[g, g2],
            &[g, g2, w],
            &[g, g2, n],
            &[g, g2, p],
            &[g, w, p1(-1, 0)],
            &[g, n, p1(0, -1)],
            &[g, g2, w, p1(-1, 0), p2(-1, 0)],
            &[g, g2, n, p1(0, -1), p2(0, -1)],
            &[w, n, g],
        ];
        let mut slots = [0; 9];
        let mut memories = [(0, 0); 9];
        for (k, memory) in self.memories.iter().enumerate() {
            let key = keys[k].iter().fold(1_u64, |key, &sample| {
                // The first sample is added to 1, the others to what a product gave.
                key.wrapping_add(sample as u64)
                    .wrapping_mul(0x2F0B_4F61_8F3D_A6E5)
            });
            let hash = (key.wrapping_add(k as u64)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            slots[k] = (hash >> 48) as usize;
            memories[k] = memory[slots[k]];
        }
        Context {
            counters,
            sets,
            sc,
            value,
            slots,
            memories,
            green_red: (g2, g),
        }
    }
}

fn phase(x: usize, y: usize) -> usize {
    x % 2 + 2 * (y % 2)
}

fn class15(v: i32) -> usize {
    let q = match v.abs() {
        a @ 0..=2 => a,
        3..=4 => 3,
        5..=8 => 4,
        9..=16 => 5,
        17..=32 => 6,
        _ => 7,
    };
    (7 + q * v.signum()) as usize
}

fn class7(v: i32) -> usize {
    let q = match v.abs() {
        0 => 0,
        1..=2 => 1,
        3..=8 => 2,
        _ => 3,
    };
    (3 + q * v.signum()) as usize
}

/// The contexts of a sample.
#[derive(Clone, Debug)]
struct Context {
    counters: [usize; 16],
    sets: [usize; 4],
    sc: usize,
    value: usize,
    slots: [usize; 9],
    /// Values and counts of the slots.
    memories: [(i32, usize); 9],
    green_red: (i32, i32),
}

// One decision [6.7].

/// What mixes the inputs.
#[derive(Clone, Debug)]
enum Mixing {
    /// Two mixers, whose answers count the same, in the normal mode.
    Pair([Mixer; 2]),
    /// A stack, whose answer two maps refine, in the large one.
    Refined {
        stack: MixerStack,
        by_value: Apm,
        by_scale: Apm,
    },
}

impl Mixing {
    fn new(mode: Mode) -> Self {
        let rate = Rate::falling(800, 250, 6);
        let sets = [512, 2048, 2048, 8192];
        if mode.large {
            let last = Rate::falling(200, 30, 8);
            Self::Refined {
                stack: MixerStack::new(mode.inputs, &sets[..mode.mixers], 3000, rate, 32, last),
                by_value: Apm::new(8192, LIMIT),
                by_scale: Apm::new(2048, LIMIT),
            }
        } else {
            Self::Pair([0, 1].map(|m| Mixer::new(mode.inputs, sets[m], 6000, rate)))
        }
    }

    /// The probability of 1 in a context, at a node.
    fn probability(&mut self, input: &[i32], context: &Context, node: usize) -> u32 {
        let contexts = context.sets.map(|set| 32 * set + node);
        match self {
            Self::Pair([first, second]) => {
                let answers = first.mix(input, contexts[0]) + second.mix(input, contexts[1]);
                squash(answers / 2)
            }
            Self::Refined {
                stack,
                by_value,
                by_scale,
            } => {
                let odds = stack.mix(input, &contexts, node);
                let q1 = by_value.refine(odds, 32 * context.value + node);
                let q2 = by_scale.refine(odds, 32 * context.sc + node);
                (2 * stack.p1() + q1 + q2) >> 2
            }
        }
    }

    fn learn(&mut self, bit: bool) {
        match self {
            Self::Pair(mixers) => {
                for mixer in mixers {
                    mixer.learn(bit);
                }
            }
            Self::Refined {
                stack,
                by_value,
                by_scale,
            } => {
                stack.learn(bit);
                by_value.learn(bit);
                by_scale.learn(bit);
            }
        }
    }
}

/// What decides [6.7].
#[derive(Clone, Debug)]
struct Models {
    counters: Vec<CountedBit>,
    trust: Vec<CountedBit>,
    mixing: Mixing,
}

const LIMIT: u32 = 255;

impl Models {
    fn new(mode: Mode) -> Self {
        Self {
            counters: vec![CountedBit::default(); mode.counters * 1024 * 32],
            trust: vec![CountedBit::default(); mode.memories * 24 * 32],
            mixing: Mixing::new(mode),
        }
    }
}

fn fine(model: &CountedBit) -> i32 {
    stretch(16 * (model.p1() >> 4) + 8)
}

/// What a decision asks.
#[derive(Clone, Copy, Debug)]
struct Question {
    node: usize,
    reference: i32,
    sign: i32,
    from: i32,
    split: i32,
    to: i32,
}

/// Farther than any sample.
const FAR: i32 = 1 << 20;

/// A sample that is being decoded.
struct Step<'a, 'b> {
    mode: Mode,
    said: &'a Said,
    context: &'a Context,
    coder: &'a mut RangeDecoder<'b>,
}

impl Step<'_, '_> {
    fn decide(
        &mut self,
        models: &mut Models,
        question: Question,
        odds: impl Fn(usize) -> i32,
    ) -> Result<bool> {
        let Mode {
            experts,
            inputs,
            counters,
            memories,
            ..
        } = self.mode;
        let node = question.node;
        let context = self.context;
        let mut input = vec![0; inputs];
        for e in 0..experts {
            input[e] = odds(e).clamp(-2047, 2047);
        }
        let counter = |k: usize| (1024 * k + context.counters[k]) * 32 + node;
        for k in 0..counters {
            input[experts + k] = fine(&models.counters[counter(k)]);
        }
        let trust = |k: usize| {
            let (value, count) = context.memories[k];
            let d = question.sign * (value - question.reference);
            let says = if count == 0 || d < question.from || d >= question.to {
                0
            } else {
                1 + usize::from(d >= question.split)
            };
            (3 * (8 * k + count) + says) * 32 + node
        };
        for k in 0..memories {
            input[experts + counters + k] = fine(&models.trust[trust(k)]);
        }
        input[inputs - 1] = 256;
        let p1 = models.mixing.probability(&input, context, node);
        let bit = self.coder.bit(p1)?;
        models.mixing.learn(bit);
        for k in 0..counters {
            models.counters[counter(k)].learn(bit, LIMIT);
        }
        for k in 0..memories {
            models.trust[trust(k)].learn(bit, LIMIT);
        }
        Ok(bit)
    }

    /// The tree of decisions [6.8].
    fn tree(&mut self, models: &mut Models, max: i32, excluded: &[i32]) -> Result<i32> {
        let said = self.said;
        let centre = said.centre;
        let question = |node, sign, from, split, to| Question {
            node,
            reference: centre,
            sign,
            from,
            split,
            to,
        };
        let below = said.tails(centre);
        let behind = said.tails(centre + 1);
        if !excluded.contains(&centre) {
            let odds = |e: usize| {
                let m = between(below[e], behind[e]);
                ln(m) - ln((1 << 30) - m.min((1 << 30) - 1))
            };
            if self.decide(models, question(0, 1, 0, 1, FAR), odds)? {
                return Ok(centre);
            }
        }
        let up = if centre == 0 {
            true
        } else if centre == max {
            false
        } else {
            let odds = |e: usize| ln(above(behind[e])) - ln(above(-below[e]));
            self.decide(models, question(1, 1, -FAR, 1, FAR), odds)?
        };
        let (sign, most) = if up { (1, max - centre) } else { (-1, centre) };
        // The tails at the near boundary of a distance.
        let near = |d: i32| match up {
            true => said.tails(centre + d),
            false => said.tails(centre + 1 - d).map(|t| -t),
        };
        let unit = (said.scale as i32 / 4 - 7).max(0);
        let mut from = 1;
        let mut s = 0;
        let mut to;
        loop {
            let more = if s < 8 { 0 } else { (s - 6) / 2 };
            let width = 1 << (unit + more).min(16);
            let split = from + width;
            if split > most {
                to = most + 1;
                break;
            }
            if width == 1 && excluded.contains(&(centre + sign * from)) {
                from = split;
                s += 1;
                continue;
            }
            let node = 2 + 2 * s.min(13) as usize + usize::from(!up);
            let (low, high) = (near(from), near(split));
            let odds = |e: usize| ln(above(high[e])) - ln(between(low[e], high[e]));
            if self.decide(models, question(node, sign, from, split, FAR), odds)? {
                from = split;
                s += 1;
            } else {
                to = split;
                break;
            }
        }
        while to - from > 1 {
            let split = from + (to - from + 1) / 2;
            let node = 30 + usize::from(to - from > 2);
            let (low, middle, high) = (near(from), near(split), near(to));
            let odds = |e: usize| ln(between(middle[e], high[e])) - ln(between(low[e], middle[e]));
            if self.decide(models, question(node, sign, from, split, to), odds)? {
                from = split;
            } else {
                to = split;
            }
        }
        Ok(centre + sign * from)
    }
}

// Colours seen before [6.9].

/// What was seen of the channel blue.
struct Seen {
    sets: HashMap<(i32, i32), Vec<bool>>,
    models: Models,
    flag: Mixer,
    a: Vec<CountedBit>,
    b: Vec<CountedBit>,
    c: Vec<CountedBit>,
    history: usize,
}

fn lo(a: i64, b: i64) -> i32 {
    ln(a.max(1) as u32) - ln(b.max(1) as u32)
}

impl Seen {
    fn new(mode: Mode) -> Self {
        Self {
            sets: HashMap::new(),
            models: Models::new(mode),
            flag: Mixer::new(8, 32, 20000, Rate::falling(600, 60, 7)),
            a: vec![CountedBit::default(); 512],
            b: vec![CountedBit::default(); 2048],
            c: vec![CountedBit::default(); 2048],
            history: 0,
        }
    }

    fn learn(&mut self, context: &Context, sample: i32) {
        let set = self.sets.entry(context.green_red);
        set.or_insert_with(|| vec![false; 256])[sample as usize] = true;
    }

    /// Gives a sample, or what the tree does not need to consider.
    fn decode(&mut self, step: &mut Step<'_, '_>) -> Result<(Option<i32>, Vec<i32>)> {
        let Some(set) = self.sets.get(&step.context.green_red) else {
            return Ok((None, Vec::new()));
        };
        let said = step.said;
        let reach = (4 + ((9 << (said.scale / 4).min(12)) >> 6)).min(32);
        let list: Vec<i32> = (said.centre - reach..said.centre + reach)
            .filter(|&v| (0..256).contains(&v) && set[v as usize])
            .collect();
        if list.is_empty() {
            return Ok((None, Vec::new()));
        }
        let masses: Vec<Each<i64>> = list
            .iter()
            .map(|&v| {
                let (low, high) = (said.tails(v), said.tails(v + 1));
                std::array::from_fn(|e| i64::from(between(low[e], high[e])))
            })
            .collect();
        if !self.hit(step, &masses)? {
            return Ok((None, list));
        }
        Ok((Some(self.choose(step, &list, &masses)?), Vec::new()))
    }

    /// Whether the sample is one of the list.
    fn hit(&mut self, step: &mut Step<'_, '_>, masses: &[Each<i64>]) -> Result<bool> {
        let blend = step.mode.experts - 1;
        let m = sum(masses)[blend].min((1 << 30) - 1);
        let o = lo(m, (1 << 30) - m);
        let share = ((o + 1024).clamp(0, 2047) >> 6) as usize;
        let count = masses.len();
        let l = count.ilog2();
        let number = (2 * l as usize + (count >> l.saturating_sub(1) & 1)).min(15);
        let a = &mut self.a[16 * share + number];
        let b = &mut self.b[64 * share + step.context.sc];
        let c = &mut self.c[64 * share + self.history % 64];
        let stretched = |model: &CountedBit| stretch(model.p1());
        let input = [o, stretched(a), stretched(b), stretched(c), 256];
        self.flag.mix(&input, share);
        let hit = step.coder.bit(self.flag.p1())?;
        self.flag.learn(hit);
        a.learn(hit, 1023);
        b.learn(hit, 1023);
        c.learn(hit, 255);
        self.history = (2 * self.history + usize::from(hit)) % 64;
        Ok(hit)
    }

    /// Which of the list it is.
    fn choose(
        &mut self,
        step: &mut Step<'_, '_>,
        list: &[i32],
        masses: &[Each<i64>],
    ) -> Result<i32> {
        let models = &mut self.models;
        let last = list.len() - 1;
        if last == 0 {
            return Ok(list[0]);
        }
        let blend = step.mode.experts - 1;
        // The last one of equals.
        let best = (0..=last).max_by_key(|&i| masses[i][blend]).unwrap_or(0);
        let question = |node, sign, from, split, to| Question {
            node,
            reference: list[best],
            sign,
            from,
            split,
            to,
        };
        let total = sum(masses);
        let m = masses[best];
        let odds = |e: usize| lo(m[e], (total[e] - m[e]).max(0));
        if step.decide(models, question(0, 1, 0, 1, FAR), odds)? {
            return Ok(list[best]);
        }
        let (lower, upper) = (sum(&masses[..best]), sum(&masses[best + 1..]));
        let up = if best == 0 {
            true
        } else if best == last {
            false
        } else {
            let odds = |e: usize| lo(upper[e], lower[e]);
            step.decide(models, question(1, 1, -FAR, 1, FAR), odds)?
        };
        let (sign, mut rest, end) = if up { (1, upper, last) } else { (-1, lower, 0) };
        let mut i = best;
        let mut s = 0;
        loop {
            i = if up { i + 1 } else { i - 1 };
            if i == end {
                return Ok(list[i]);
            }
            for (rest, mass) in rest.iter_mut().zip(masses[i]) {
                *rest -= mass;
            }
            let from = sign * (list[i] - list[best]);
            let node = 2 + 2 * s.min(13) + usize::from(!up);
            let odds = |e: usize| lo(rest[e].max(1), masses[i][e]);
            if !step.decide(models, question(node, sign, from, from + 1, FAR), odds)? {
                return Ok(list[i]);
            }
            s += 1;
        }
    }
}

fn sum(masses: &[Each<i64>]) -> Each<i64> {
    std::array::from_fn(|e| masses.iter().map(|mass| mass[e]).sum())
}
