//! Mode 1, adaptive prediction [7], its filters [9], stage mixers [10], and
//! presets [13].

use super::regression::{Regression, Shape};
use super::residual::{Frame, Mixing, Residuals, index};
use super::{Coded, Places, Plan};
use crate::coding::RangeDecoder;
use crate::error::Result;

/// The levels of all channels; none of those that are not coded.
pub(super) fn decode(
    coder: &mut RangeDecoder<'_>,
    preset: u8,
    frames: usize,
    plans: &[Plan],
) -> Result<Vec<Vec<i64>>> {
    let preset = Preset::number(preset);
    let mut all: Vec<Vec<i64>> = Vec::new();
    let mut excesses: Vec<Vec<i64>> = Vec::new();
    for plan in plans {
        let (mut levels, mut excess) = (Vec::new(), Vec::new());
        if let Plan::Coded(plan) = plan {
            let reference = plan.reference.map(|c| Reference {
                levels: &all[c],
                excess: &excesses[c],
            });
            (levels, excess) = channel(coder, &preset, frames, plan, reference)?;
        }
        all.push(levels);
        excesses.push(excess);
    }
    Ok(all)
}

/// What a channel sees of its reference.
#[derive(Clone, Copy)]
struct Reference<'a> {
    levels: &'a [i64],
    excess: &'a [i64],
}

/// The levels of a channel, and what its residuals tell one that refers to it.
fn channel(
    coder: &mut RangeDecoder<'_>,
    preset: &Preset,
    frames: usize,
    plan: &Coded,
    reference: Option<Reference<'_>>,
) -> Result<(Vec<i64>, Vec<i64>)> {
    let places = Places::read(coder, plan)?;
    let mut prediction = Prediction::new(preset, plan.history_shift, reference.is_some());
    let mut residuals = Residuals::new(preset.mixing);
    let mut noted = Noted::new();
    let mut y = Vec::new();
    for t in 0..frames {
        let (p, estimates) = prediction.predict(&y, reference.map(|r| r.levels));
        let (place, distance) = places.nearest(p);
        let level = places.level(place)?;
        let most = 1_i64 << 30;
        let excess = reference.and_then(|r| r.excess.get(t + 2).copied());
        let frame = Frame {
            d: estimates.map(|e| ((e - 256 * level) / distance).clamp(-most, most)),
            can_fall: place > 0,
            can_rise: place < places.last(),
            reference_excess: excess.unwrap_or(0),
        };
        let residual = residuals.decode(coder, &frame)?;
        let level = places.level(place + residual)?;
        prediction.update(level);
        noted.note(residual.abs());
        y.push(level);
    }
    Ok((y, noted.excess))
}

/// The residuals of a channel, for one that refers to it [7.1].
struct Noted {
    last: [i64; 5],
    slow: i64,
    excess: Vec<i64>,
}

impl Noted {
    fn new() -> Self {
        Self {
            last: [0; 5],
            slow: 1 << 21,
            excess: Vec::new(),
        }
    }

    fn note(&mut self, m: i64) {
        let [_, b, c, d, e] = self.last;
        self.last = [b, c, d, e, m];
        let around = ((b + 2 * c + 4 * d + 2 * e + m) << 16) / 10;
        let excess = index(around) as i64 - index(self.slow) as i64;
        self.excess.push(excess.clamp(-128, 127));
        self.slow += ((m << 16) - self.slow) >> 8;
    }
}

// Filters [9].

/// The weights of segments.
const SEGMENT_WEIGHTS: [i64; 8] = [17703, 5209, 3018, 1741, 1002, 576, 331, 190];

/// A normalised LMS filter.
struct Filter {
    taps: usize,
    step_q32: i64,
    /// Values, the newest last, with zeros before the first.
    history: Vec<i64>,
    /// Q24.
    weights: Vec<i32>,
    gains: Vec<i64>,
}

/// First tap, length, and weight of each segment.
fn segments(taps: usize) -> impl Iterator<Item = (usize, usize, i64)> {
    let count = taps.ilog2() as usize - 3;
    SEGMENT_WEIGHTS[..count].iter().enumerate().map(|(s, &r)| {
        let first = if s == 0 { 0 } else { 8 << s };
        (first, 16 << s.saturating_sub(1), r)
    })
}

fn shift_for(gain: u32, bits: u32) -> u32 {
    bits.saturating_sub(gain.leading_zeros())
}

impl Filter {
    fn new(taps: usize, millionths: i64) -> Self {
        let mu_q32 = (millionths << 32) / 1_000_000;
        let all: i64 = segments(taps).map(|(_, length, r)| r * length as i64).sum();
        Self {
            taps,
            step_q32: (mu_q32 * all) >> 16,
            history: vec![0; taps + 3],
            weights: vec![0; taps],
            gains: Vec::new(),
        }
    }

    /// H[j], 0 being the newest.
    fn h(&self, j: usize) -> i64 {
        self.history[self.history.len() - 1 - j]
    }

    fn output(&self) -> i64 {
        let product = |j: usize| {
            let x = self.weights[j].wrapping_add(512) >> 10;
            i64::from(x.clamp(-32768, 32767)) * self.h(j)
        };
        // Modulo 2^32.
        i64::from((0..self.taps).map(product).sum::<i64>() as i32)
    }

    fn update(&mut self, e: i64, v: i64) {
        let e = e.clamp(-1 << 26, 1 << 26);
        let square = |j| self.h(j) * self.h(j);
        let power: i64 = segments(self.taps)
            .map(|(first, length, r)| r * (first..first + length).map(square).sum::<i64>())
            .sum();
        let g = e * self.step_q32 / ((power >> 16) + 1);
        let most = (1 << 31) - 1;
        let g = g.clamp(-most, most);
        if self.taps < 128 {
            self.change(&[g], 17);
        } else {
            let most = (1 << 29) - 1;
            self.gains.push(g.clamp(-most, most));
            if self.gains.len() == 4 {
                let gains = std::mem::take(&mut self.gains);
                self.change(&gains, 19);
            }
        }
        self.history.push(v);
    }

    /// Changes the weights by gains, the oldest first.
    fn change(&mut self, gains: &[i64], bits: u32) {
        let all = gains.iter().fold(0, |all, g| all | g.unsigned_abs());
        if all == 0 {
            return;
        }
        let u = shift_for(all as u32, bits);
        let round = (1 << (16 - u)) >> 1;
        for j in 0..self.taps {
            let newest = j + gains.len() - 1;
            let products = gains.iter().enumerate();
            let sum: i64 = products.map(|(i, g)| self.h(newest - i) * (g >> u)).sum();
            self.weights[j] = self.weights[j].wrapping_add(((sum + round) >> (16 - u)) as i32);
        }
    }
}

// Stage mixers [10].

struct StageMixer {
    rate: i64,
    weights: Vec<i64>,
    magnitudes: Vec<i64>,
    inputs: Vec<i64>,
    mixed: i64,
}

impl StageMixer {
    fn new(weights: Vec<i64>, rate: i64) -> Self {
        Self {
            rate,
            magnitudes: vec![0; weights.len()],
            inputs: vec![0; weights.len()],
            weights,
            mixed: 0,
        }
    }

    fn mix(&mut self, inputs: Vec<i64>) -> i64 {
        let products = inputs.iter().zip(&self.weights);
        let sum = products.fold(0_i64, |sum, (x, a)| sum.wrapping_add(x.wrapping_mul(*a)));
        self.inputs = inputs;
        self.mixed = sum >> 16;
        self.mixed
    }

    fn update(&mut self, target: i64) {
        let sign = (target - self.mixed).signum();
        for (i, x) in self.inputs.iter().enumerate() {
            let l = &mut self.magnitudes[i];
            *l += ((x.abs() << 4) - *l) >> 5;
            let change = sign * (self.rate * x / ((*l >> 4) + 2));
            self.weights[i] = (self.weights[i] + change).clamp(-1 << 18, 1 << 18);
        }
    }
}

// Prediction [11].

struct Prediction {
    h: i64,
    /// The main one first.
    regressions: Vec<Regression>,
    filters: Vec<Filter>,
    first: StageMixer,
    second: StageMixer,
    // The last prediction.
    r: i64,
    base: i64,
    c: Vec<i64>,
}

fn scale(v: i64, s: i64) -> i64 {
    if s >= 0 {
        v << s
    } else {
        (v + (1 << (-s - 1))) >> -s
    }
}

const BOUND: i64 = 1 << 42;

impl Prediction {
    fn new(preset: &Preset, h: i64, has_reference: bool) -> Self {
        let regressions = preset.regressions.iter();
        let filters = preset.filters.iter();
        let others = preset.regressions.len() - 1;
        let mut weights = vec![65536; preset.filters.len()];
        weights.resize(preset.filters.len() + others, 0);
        Self {
            h,
            regressions: regressions
                .map(|&shape| Regression::new(shape, has_reference))
                .collect(),
            filters: filters.map(|&(taps, mu)| Filter::new(taps, mu)).collect(),
            first: StageMixer::new(vec![0; others], 60),
            second: StageMixer::new(weights, 260),
            r: 0,
            base: 0,
            c: Vec::new(),
        }
    }

    /// The prediction of the next frame, and estimates.
    fn predict(&mut self, y: &[i64], z: Option<&[i64]>) -> (i64, [i64; 8]) {
        let said: Vec<i64> = self
            .regressions
            .iter_mut()
            .map(|x| x.predict(y, z))
            .collect();
        let (r, o) = (said[0], &said[1..]);
        let filters = self.filters.iter();
        let c: Vec<i64> = filters.map(|f| scale(f.output(), self.h - 6)).collect();
        let mut base = r;
        if !o.is_empty() {
            let mixed = self.first.mix(o.iter().map(|o| o - r).collect());
            base = (r + mixed).clamp(-BOUND, BOUND);
        }
        let q = o.iter().map(|o| (o - r) - (base - r));
        let mixed = self.second.mix(c.iter().copied().chain(q).collect());
        let p = (base + mixed).clamp(-BOUND, BOUND);
        let other = |i: usize| o.get(i).copied().unwrap_or(r);
        let sum = |n: usize| base + c.iter().take(n).sum::<i64>();
        let estimates = [
            p,
            base,
            sum(3),
            other(0),
            other(1),
            other(2),
            sum(1),
            sum(2),
        ];
        (self.r, self.base, self.c) = (r, base, c);
        (p, estimates)
    }

    fn update(&mut self, y: i64) {
        if self.regressions.len() > 1 {
            self.first.update(256 * y - self.r);
        }
        let mut target = 256 * y - self.base;
        self.second.update(target);
        for regression in &mut self.regressions {
            regression.learn(y);
        }
        for (i, filter) in self.filters.iter_mut().enumerate() {
            let e = scale(target - self.c[i], -self.h);
            let v = scale(target, -8 - self.h).clamp(-32768, 32767);
            filter.update(e, v);
            target -= (self.c[i] * self.second.weights[i]) >> 16;
        }
    }
}

// Presets [13].

struct Preset {
    mixing: Mixing,
    regressions: &'static [Shape],
    filters: &'static [(usize, i64)],
}

const fn shape(interval: usize, lambda: f64, mono: i64, own: i64, reference: i64) -> Shape {
    Shape {
        interval,
        lambda,
        mono,
        own,
        reference,
    }
}

impl Preset {
    /// Preset 1 to 11.
    fn number(preset: u8) -> Self {
        let (regressions, filters): (&[Shape], &[(usize, i64)]) = match preset {
            1 => (&const { [shape(64, 0.998, 12, 8, 4)] }, &[(16, 2500)]),
            2 => (&const { [shape(32, 0.998, 16, 16, 7)] }, &[(32, 1900)]),
            3 => (
                &const { [shape(32, 0.9985, 23, 12, 11)] },
                &[(512, 300), (32, 2000)],
            ),
            4 => (
                &const { [shape(16, 0.9995, 32, 32, 15), shape(8, 0.998, 20, 16, 7)] },
                &[(1024, 60), (256, 350), (32, 1500)],
            ),
            5 => (
                &const {
                    [
                        shape(32, 0.9995, 32, 32, 23),
                        shape(8, 0.998, 20, 16, 7),
                        shape(8, 0.99, 12, 8, 3),
                    ]
                },
                &[(2048, 30), (512, 100), (128, 400), (32, 1500), (16, 3000)],
            ),
            6 => (
                &const { [shape(8, 0.998, 24, 16, 15), shape(8, 0.99, 12, 10, 3)] },
                &[(256, 700), (32, 3000), (16, 3000)],
            ),
            7 => (
                &const {
                    [
                        shape(2, 0.998, 32, 32, 15),
                        shape(16, 0.9995, 32, 32, 7),
                        shape(2, 0.99, 24, 16, 7),
                        shape(1, 0.97, 8, 8, 3),
                    ]
                },
                &[(256, 700), (32, 3000), (16, 3000)],
            ),
            8 => (
                &const { [shape(32, 0.999625, 23, 6, 17)] },
                &[(512, 300), (32, 2000)],
            ),
            9 => (
                &const { [shape(32, 0.999625, 23, 12, 11)] },
                &[(512, 90), (32, 1100)],
            ),
            10 => (
                &const { [shape(32, 0.994, 23, 12, 11)] },
                &[(512, 300), (32, 2000)],
            ),
            _ => (
                &const { [shape(32, 0.9985, 23, 20, 3)] },
                &[(512, 90), (32, 2000)],
            ),
        };
        Self {
            mixing: match preset {
                1 => Mixing::Quick,
                4..=7 => Mixing::Wide,
                _ => Mixing::Narrow,
            },
            regressions,
            filters,
        }
    }
}
