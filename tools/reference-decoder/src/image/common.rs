//! What the modes have in common [3].

use std::sync::LazyLock;

/// The number of bits without leading zeros.
pub(super) fn bitlen(v: u32) -> u32 {
    32 - v.leading_zeros()
}

pub(super) fn log2(v: u32) -> u32 {
    bitlen(v) - 1
}

// Hashes [3.1].

pub(super) const GOLDEN: u32 = 0x9E37_79B1;

pub(super) fn mix(h: u32, v: u32) -> u32 {
    (h ^ v.wrapping_add(1).wrapping_mul(0x85EB_CA77))
        .rotate_left(13)
        .wrapping_mul(GOLDEN)
}

pub(super) fn finish(h: u32) -> u32 {
    let g = (h ^ (h >> 15)).wrapping_mul(0xC2B2_AE3D);
    g ^ (g >> 13)
}

pub(super) fn fold(h: u32, values: &[u32]) -> u32 {
    values.iter().fold(h, |h, &v| mix(h, v))
}

// Logarithms [3.2].

/// The natural logarithm, Q8.
pub(super) fn ln(v: u32) -> i32 {
    static LN: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let entry = |i: u64| {
            let mut m = (1024 + i) << 21;
            let mut l = 0_u64;
            for _ in 0..24 {
                m = (m * m) >> 31;
                l *= 2;
                if m >= 1 << 32 {
                    m >>= 1;
                    l += 1;
                }
            }
            ((((l * 2_977_044_472) >> 32) + (1 << 15)) >> 16) as u32
        };
        (0..1024).map(entry).collect()
    });
    let w = v | 1;
    let s = log2(w);
    let m = (w << (31 - s)) >> 21 & 1023;
    (((s * 45426) >> 8) + LN[m as usize]) as i32
}

/// Four times the logarithm to the base 2.
pub(super) fn quarter(v: u32) -> i32 {
    let w = v | 1;
    let s = log2(w);
    let f = ((u64::from(w) << 32) >> s) as u32;
    let thresholds = [812_661_256, 1_779_033_704, 2_928_246_036];
    4 * s as i32 + thresholds.iter().filter(|&&t| f >= t).count() as i32
}

// The logistic distribution [3.3].

/// 2^38 / 0.72.
pub(super) const K: i64 = 381_774_870_756;

const ONE: i32 = 1 << 30;

/// The signed tail at a point.
pub(super) fn tail(z: i64) -> i32 {
    static TAIL: LazyLock<Vec<i32>> = LazyLock::new(|| {
        let one = 1_i128 << 62;
        let (mut step, mut term) = (one, one);
        for k in 1..=11 {
            term = (-term / 256) / k;
            step += term;
        }
        let mut power = one;
        let mut entry = || {
            let beyond = (power << 30) / (one + power);
            power = (power * step) >> 62;
            beyond.max(1) as i32
        };
        (0..4096).map(|_| entry()).collect()
    });
    let beyond = TAIL[z.unsigned_abs().min(4095) as usize];
    if z < 0 { beyond } else { -beyond }
}

/// What lies between two points.
pub(super) fn between(a: i32, b: i32) -> u32 {
    let across = if a > 0 && b < 0 { ONE } else { 0 };
    // At most 2^30, but the sum's parts reach further.
    (i64::from(b) - i64::from(a) + i64::from(across)).max(1) as u32
}

/// What lies above a point.
pub(super) fn above(a: i32) -> u32 {
    (if a > 0 { ONE - a } else { -a }).max(1) as u32
}

// Least squares [3.4].

/// Sums of products: for each feature, and the target behind the last one, the
/// sums with it; `m[i][j]` counts for `j >= i` only.
pub(super) type Sums<T> = Vec<Vec<T>>;

pub(super) fn no_sums<T: Clone + Default>(features: usize) -> Sums<T> {
    vec![vec![T::default(); features + 1]; features]
}

/// The weights, Q14, or none.
fn solve(mut m: Sums<f64>) -> Option<Vec<i32>> {
    let n = m.len();
    let mut inverse = vec![0.0; n];
    for k in 0..n {
        if m[k][k] <= 0.000001 {
            return None;
        }
        inverse[k] = 1.0 / m[k][k];
        for i in k + 1..n {
            let factor = m[k][i] * inverse[k];
            for j in i..=n {
                m[i][j] -= factor * m[k][j];
            }
        }
    }
    let mut rest: Vec<f64> = m.iter().map(|row| row[n]).collect();
    let mut weights = vec![0; n];
    for i in (0..n).rev() {
        let w = rest[i] * inverse[i];
        for a in 0..i {
            rest[a] -= m[a][i] * w;
        }
        // What is not a number becomes 0.
        weights[i] = (w * 16384.0).clamp(-131_072.0, 131_072.0) as i32;
    }
    Some(weights)
}

/// The weights of an expert, and how much its samples are shifted.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    weights: Vec<i32>,
    shift: u32,
}

impl Weights {
    pub(super) fn new(features: usize, shift: u32) -> Self {
        let mut weights = vec![0; features];
        weights[..2].fill(8192);
        Self { weights, shift }
    }

    /// The prediction from features, Q6.
    pub(super) fn predict(&self, features: &[i32]) -> i32 {
        let products = self.weights.iter().zip(features);
        let sum: i64 = products.map(|(&w, &f)| i64::from(w) * i64::from(f)).sum();
        if self.shift == 0 {
            (sum + 128) as i32 >> 8
        } else {
            ((sum + 128) >> 8) as i32
        }
    }

    /// What is learned of features and a target.
    pub(super) fn cut(&self, features: &[i32], target: i32) -> Vec<i32> {
        let features = &features[..self.weights.len()];
        let all = features.iter().chain([&target]);
        all.map(|&v| i32::from((v >> self.shift) as i16)).collect()
    }

    /// Solves for new weights, with `ridge` added to the diagonal.
    pub(super) fn solve(&mut self, mut sums: Sums<f64>, ridge: f64) {
        for (i, row) in sums.iter_mut().enumerate() {
            row[i] += ridge;
        }
        if let Some(weights) = solve(sums) {
            self.weights = weights;
        }
    }
}

/// Adds the products of what a sample teaches.
pub(super) fn add_products(sums: &mut Sums<i32>, v: &[i32]) {
    for (i, row) in sums.iter_mut().enumerate() {
        for j in i..v.len() {
            row[j] = row[j].wrapping_add(v[i] * v[j]);
        }
    }
}

/// Least squares over all samples so far, the older the less.
#[derive(Clone, Debug)]
pub(super) struct Ols {
    weights: Weights,
    keep: f64,
    every: u32,
    sums: Sums<f64>,
    /// The sums of the samples since the last 16th.
    fresh: Sums<i32>,
    samples: u32,
    blocks: u32,
}

impl Ols {
    /// For samples of `bits` bits.
    pub(super) fn new(features: usize, keep: f64, every: u32, bits: u32) -> Self {
        Self {
            weights: Weights::new(features, bits.saturating_sub(12)),
            keep,
            every,
            sums: no_sums(features),
            fresh: no_sums(features),
            samples: 0,
            blocks: 0,
        }
    }

    pub(super) fn predict(&self, features: &[i32]) -> i32 {
        self.weights.predict(features)
    }

    pub(super) fn learn(&mut self, features: &[i32], target: i32) {
        add_products(&mut self.fresh, &self.weights.cut(features, target));
        self.samples += 1;
        if !self.samples.is_multiple_of(16) {
            return;
        }
        for (row, fresh) in self.sums.iter_mut().zip(&mut self.fresh) {
            for (sum, s) in row.iter_mut().zip(fresh) {
                *sum = *sum * self.keep + f64::from(std::mem::take(s));
            }
        }
        self.blocks += 1;
        if self.blocks.is_multiple_of(self.every) || self.blocks < 16 {
            self.weights.solve(self.sums.clone(), 8.0);
        }
    }
}
