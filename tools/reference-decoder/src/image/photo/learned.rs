//! The learned expert [6.10].

use super::super::bitlen;
use super::super::common::quarter;
use super::Channel;
use super::experts::{BEFORE, OWN, inverse};
use crate::error::{Result, malformed};

/// The file of the networks' weights, and its hash.
const FILE: &[u8] =
    include_bytes!("../../../../../crates/rcodec-image/src/lossless/photo/photo-expert.bin");
const HASH: &str = "1aa183cdf1415c0925db20706d704d11fb3e8111e3701d4a8681a0a426030aeb";

const SIZES: [usize; 4] = [86, 64, 32, 2];

/// A layer: weights by output and input, and biases.
#[derive(Clone, Debug)]
struct Layer {
    weights: Vec<Vec<i64>>,
    bias: Vec<i64>,
}

impl Layer {
    /// Takes a layer off the front.
    fn read(file: &mut &[u8], inputs: usize, outputs: usize) -> Option<Layer> {
        let weights = file.split_off(..2 * inputs * outputs)?;
        let bias = file.split_off(..4 * outputs)?;
        let weights = weights.as_chunks().0.iter();
        let weights: Vec<i64> = weights.map(|&w| i16::from_le_bytes(w).into()).collect();
        let bias = bias.as_chunks().0.iter();
        Some(Layer {
            weights: weights.chunks(inputs).map(<[i64]>::to_vec).collect(),
            bias: bias.map(|&b| i32::from_le_bytes(b).into()).collect(),
        })
    }

    fn sums(&self, input: &[i64]) -> Vec<i64> {
        let sum = |(weights, bias): (&Vec<i64>, &i64)| {
            bias + weights.iter().zip(input).map(|(w, x)| w * x).sum::<i64>()
        };
        self.weights.iter().zip(&self.bias).map(sum).collect()
    }
}

/// What the expert of a channel knows.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    layers: Vec<Layer>,
    /// G, the colours before.
    colours: usize,
    /// What the plain blend missed, by row and column.
    missed: Vec<Vec<i32>>,
    /// 2^(i / 64).
    exp2: Vec<i64>,
}

/// What it says.
pub(super) struct Opinion {
    pub(super) mu: i32,
    pub(super) inv: i64,
}

/// What the plain blend says.
pub(super) struct Plain {
    pub(super) mu: i32,
    pub(super) energy: i32,
    /// The number of its mean, and the mean.
    pub(super) class: usize,
    pub(super) mean: i32,
}

impl Learned {
    pub(super) fn new(colours: usize) -> Result<Learned> {
        if blake3::hash(FILE).to_hex().as_str() != HASH {
            return malformed("the weights of the learned expert");
        }
        let mut file = FILE;
        let mut networks = Vec::new();
        for _ in 0..3 {
            let layer = |i: usize| Layer::read(&mut file, SIZES[i], SIZES[i + 1]);
            let Some(layers) = (0..3).map(layer).collect::<Option<Vec<Layer>>>() else {
                return malformed("the length of the learned expert's weights");
            };
            networks.push(layers);
        }
        let colours = colours.min(2);
        let mut power: u128 = 1 << 62;
        let mut exp2 = Vec::new();
        for _ in 0..64 {
            exp2.push((power >> 47) as i64);
            power = (power * 4_661_903_986_662_671_290) >> 62;
        }
        Ok(Learned {
            layers: networks.swap_remove(colours),
            colours,
            missed: Vec::new(),
            exp2,
        })
    }

    fn network(&self, input: &[i64]) -> [i64; 2] {
        let hidden = |layer: &Layer, input: &[i64]| -> Vec<i64> {
            let sums = layer.sums(input).into_iter();
            sums.map(|sum| ((sum + 2048) >> 12).clamp(0, 4095))
                .collect()
        };
        let first = hidden(&self.layers[0], input);
        let second = hidden(&self.layers[1], &first);
        let last = self.layers[2].sums(&second);
        [0, 1].map(|o| ((last[o] + 512) >> 10).clamp(-32_768, 32_767))
    }

    fn missed(&self, x: isize, y: isize) -> i32 {
        if y < 0 || x < 0 {
            return 0;
        }
        let row = &self.missed[y as usize];
        row[(x as usize).min(row.len() - 1)]
    }

    pub(super) fn learn(&mut self, y: usize, missed: i32) {
        self.missed.resize_with(y + 1, Vec::new);
        self.missed[y].push(missed);
    }
}

impl Channel<'_> {
    /// What the learned expert says of a sample, of which the other experts
    /// say `mu` and have been wrong by `energy`.
    pub(super) fn learned(
        &self,
        learned: &Learned,
        (x, y): (usize, usize),
        (mu, energy): (&[i32], &[i32]),
        plain: &Plain,
    ) -> Opinion {
        let drop = (bitlen(self.max as u32) as i32 - 10).max(0);
        let mean = plain.mean.max(1024 << drop);
        let unit_inverse = inverse(mean);
        let a = (bitlen(unit_inverse as u32) as i32 - 14).max(0);
        let unit = |d: i32| {
            let v = i64::from(d >> drop).clamp(-65_535, 65_535);
            let z = ((v * (unit_inverse >> a)) >> (20 - a - drop)).clamp(-8192, 8192);
            z.clamp(-1024, 1024) + (z >> 3)
        };
        let place = self.own.place(x, y);
        let from_plain = |q6: i32| unit(q6 - plain.mu);
        let mut input = vec![from_plain(self.p(place, 0, -1, 0) << 6)];
        for (dx, dy) in OWN {
            input.push(from_plain(self.p(place, 0, dx, dy) << 6));
        }
        for i in 1..=2 {
            let here = self.p(place, i, 0, 0);
            for &(dx, dy) in BEFORE[1..].iter().chain(&[(-1, 0)]) {
                let away = self.p(place, i, dx, dy) - here;
                input.push(if i <= learned.colours {
                    unit(away << 6)
                } else {
                    0
                });
            }
        }
        input.extend(mu[..5].iter().map(|&mu| from_plain(mu)));
        for (dx, dy) in [(-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2)] {
            input.push(unit(learned.missed(x as isize + dx, y as isize + dy)));
        }
        for (i, dx) in [(1, 0), (2, 0), (1, -1), (1, 1), (2, -1), (2, 1)] {
            let beside = x.saturating_add_signed(dx).min(self.group.width - 1);
            let r = self.residual(beside, y, i);
            input.push(if i <= learned.colours {
                unit(r << 6)
            } else {
                0
            });
        }
        let log = |energy: i32| i64::from(quarter(energy as u32 + 24));
        for &energy in &energy[..5] {
            input.push((64 * (log(energy) - log(plain.energy))).clamp(-2048, 2047));
        }
        input.push(16 * i64::from(quarter(mean as u32)) - 640);
        input.push(16 * plain.class as i64 - 400);
        let most = i64::from(self.max) << 6;
        input.push(i64::from(plain.mu) * 512 / most - 256);
        input.push(256 * (x as i64 % 2));
        input.push(256 * (y as i64 % 2));
        input.push(0);
        let [mean, log] = learned.network(&input);
        let t = (-log).clamp(-4096, 6143) >> 4;
        let v = (unit_inverse * learned.exp2[(t & 63) as usize]) >> 15;
        Opinion {
            mu: (i64::from(plain.mu) + (mean << 18) / unit_inverse).clamp(0, most) as i32,
            inv: ((v << 8) >> (8 - (t >> 6))).clamp(16, 1 << 30),
        }
    }
}
