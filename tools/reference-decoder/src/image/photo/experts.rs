//! Predictions [6.3], and errors, blend and scale [6.4].

use super::super::bitlen;
use super::super::common::{K, Ols, Sums, Weights, add_products, no_sums, quarter, tail};
use super::learned::Plain;
use super::{Channel, Each, Mode, phase};

/// The differences of the own plane.
pub(super) const OWN: [(isize, isize); 27] = [
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
pub(super) const BEFORE: [(isize, isize); 15] = [
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
pub(super) struct Local {
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
    pub(super) fn begin_row(&mut self, y: usize, width: usize) {
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
pub(super) enum Expert {
    Ols(Ols),
    Local(Local),
    Slope,
    /// One for each place of a pixel among four.
    Phases(Vec<Ols>),
}

pub(super) fn experts(mode: Mode, bits: u32) -> Vec<Expert> {
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

pub(super) const QUARTER: [i64; 4] = [256, 304, 362, 431];

/// The last errors of an expert, three rows in turn.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    rows: [Vec<i32>; 3],
}

impl Errors {
    pub(super) fn new(width: usize) -> Self {
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
pub(super) struct Bias {
    pub(super) sum: i32,
    pub(super) count: i32,
}

/// What is known of a sample before it is decoded.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) features: Vec<i32>,
    pub(super) mu: Each<i32>,
    pub(super) inv: Each<i64>,
    /// The number of each expert's mean.
    pub(super) class: Each<usize>,
    pub(super) bias: usize,
    pub(super) blended: i32,
    /// Of the learned mode: the plain blend and the number of its mean.
    pub(super) plain: Option<(i32, usize)>,
    pub(super) scale: usize,
    pub(super) centre: i32,
    pub(super) r1: i32,
    pub(super) r2: i32,
}

/// The reciprocal of the scale that goes with a mean error.
pub(super) fn inverse(mean: i32) -> i64 {
    let s = bitlen(mean as u32) - 7;
    let inverse = (2 * K / (2 * (64 + i64::from(mean >> s) % 64) + 1)) >> 8;
    (inverse << 4) >> s
}

/// The number of the mean for an energy.
fn class_of(energy: i32, r1: i32) -> usize {
    let nearby = (r1.unsigned_abs() << 6) * 3 / 8;
    quarter(energy as u32 / 20 + nearby + 2).min(95) as usize
}

/// What some experts say, by the energies of their errors.
fn blend(mu: &[i32], energy: &[i32]) -> i32 {
    let steps: Vec<i32> = energy.iter().map(|&e| quarter(e as u32 + 24)).collect();
    let best = steps.iter().min().copied().unwrap_or(0);
    let (mut sum, mut weights) = (0, 0);
    for (step, &mu) in steps.iter().zip(mu) {
        let t = 3 * (step - best).min(20) as usize;
        let weight = (QUARTER[3 - (t + 3) % 4] << 8) >> t.div_ceil(4);
        sum += weight * i64::from(mu);
        weights += weight;
    }
    (sum / weights) as i32
}

/// A mean error, with its count, after one more error.
fn learn_mean((mean, n): &mut (i32, i32), error: i32) {
    if *n < 250 {
        *n += 1;
    }
    let off = (i64::from(error) << 6) - i64::from(*mean);
    *mean += ((off * i64::from(65536 / (*n + 4))) >> 16) as i32;
}

impl Said {
    /// The tails at the boundary below `v`.
    pub(super) fn tails(&self, v: i32) -> Each<i32> {
        std::array::from_fn(|e| {
            let distance = (i64::from(v) << 6) - 32 - i64::from(self.mu[e]);
            tail((distance * self.inv[e]) >> 20)
        })
    }
}

impl Channel<'_> {
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
    pub(super) fn predict(&mut self, x: usize, y: usize) -> Said {
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
        let mut mu = [0; 7];
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
        let (others, blend_energy) = if self.mode.learned {
            (5, self.plain_errors.energy(x, y))
        } else {
            (z, energy[z])
        };
        let blended = blend(&mu[..others], &energy[..others]);
        let v = blended >> 6;
        let texture: usize = [n, w, nw, ne, nn, ww]
            .iter()
            .enumerate()
            .map(|(i, &s)| usize::from(s > v) << i)
            .sum();
        let bias = 64 * (quarter(blend_energy as u32 / 20 + 8) / 2).min(15) as usize + texture;
        let Bias { sum, count } = self.biases[bias];
        mu[z] = (blended + sum / (count + 4)).clamp(0, most);

        let mut class = [0; 7];
        let mut inv = [0; 7];
        let mut scale = 0;
        for e in 0..=z {
            class[e] = class_of(energy[e], r1);
            let mean = self.means[e][class[e]].0.max(64);
            inv[e] = inverse(mean);
            scale = quarter(mean as u32 >> 6) as usize;
        }
        let mut plain = None;
        if let Some(learned) = &self.learned {
            let class = class_of(blend_energy, r1);
            let known = Plain {
                mu: mu[z],
                energy: blend_energy,
                class,
                mean: self.plain_means[class].0,
            };
            let opinion = self.learned(learned, (x, y), (&mu, &energy), &known);
            plain = Some((mu[z], class));
            (mu[5], inv[5]) = (opinion.mu, opinion.inv);
            mu[z] = blend(&mu[..6], &energy[..6]);
        }
        Said {
            features,
            mu,
            inv,
            class,
            bias,
            blended,
            plain,
            scale,
            centre: (mu[z] + 32) >> 6,
            r1,
            r2,
        }
    }

    pub(super) fn learn(&mut self, x: usize, y: usize, said: &Said, sample: i32) {
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
            learn_mean(&mut self.means[e][said.class[e]], error);
        }
        if let (Some((plain, class)), Some(learned)) = (said.plain, &mut self.learned) {
            let missed = (sample << 6) - plain;
            self.plain_errors.set(x, y, missed.abs());
            learn_mean(&mut self.plain_means[class], missed.abs());
            learned.learn(y, missed);
        }
    }
}
