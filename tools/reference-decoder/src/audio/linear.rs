//! Mode 2, linear prediction [6].

use super::learned::BELOW_Q16;
use super::{Coded, Places, Plan, level_at};
use crate::coding::{Cdf, Coder, exp_golomb, unzigzag};
use crate::error::{Result, malformed};

/// The levels of all channels; none of those that are not coded.
pub(super) fn decode(
    coder: &mut impl Coder,
    frames: usize,
    plans: &[Plan],
) -> Result<Vec<Vec<i64>>> {
    let tables = Tables::new();
    let mut all: Vec<Vec<i64>> = Vec::new();
    for plan in plans {
        let mut levels = Vec::new();
        if let Plan::Coded(plan) = plan {
            let reference = plan.reference.map(|c| all[c].as_slice());
            levels = channel(coder, &tables, frames, plan, reference)?;
        }
        all.push(levels);
    }
    Ok(all)
}

const SECTION: usize = 8192;

fn channel(
    coder: &mut impl Coder,
    tables: &Tables,
    frames: usize,
    plan: &Coded,
    reference: Option<&[i64]>,
) -> Result<Vec<i64>> {
    let places = Places::read(coder, plan)?;
    let mut residuals = Residuals::new();
    let mut coefficients = Coefficients::new();
    let mut y: Vec<i64> = Vec::new();
    while y.len() < frames {
        let end = frames.min(y.len() + SECTION);
        let s = coder.raw(3)?;
        if s > 4 {
            return malformed("too many parts");
        }
        for _ in 0..1 << s {
            let predictor = Predictor::read(coder, tables, &mut coefficients, reference)?;
            for _ in 0..(SECTION >> s).min(end - y.len()) {
                let v = predictor.predict(&y, reference).clamp(plan.min, plan.max);
                let (place, _) = places.nearest(256 * v);
                let residual = residuals.decode(coder, tables)?;
                y.push(places.level(place.saturating_add(residual))?);
            }
        }
    }
    Ok(y)
}

/// Coefficients in effect [6.1].
struct Predictor {
    f: u32,
    own: Vec<i64>,
    reference: Vec<i64>,
}

impl Predictor {
    fn read(
        coder: &mut impl Coder,
        tables: &Tables,
        coefficients: &mut Coefficients,
        reference: Option<&[i64]>,
    ) -> Result<Self> {
        let shape = coder.raw(3)? as usize;
        let mut predictor = Self {
            f: 0,
            own: Vec::new(),
            reference: Vec::new(),
        };
        if shape == 0 {
            return Ok(predictor);
        }
        predictor.f = coder.raw(4)? as u32;
        for tap in 0..[0, 2, 4, 4, 8, 16, 24, 32][shape] {
            let a = coefficients.decode(coder, tables, tap, predictor.f)?;
            predictor.own.push(a);
        }
        if shape >= 3 && reference.is_some() {
            for tap in 32..40 {
                let b = coefficients.decode(coder, tables, tap, predictor.f)?;
                predictor.reference.push(b);
            }
        }
        Ok(predictor)
    }

    /// The prediction [6.2] for the frame behind those of `y`.
    fn predict(&self, y: &[i64], z: Option<&[i64]>) -> i64 {
        let t = y.len() as i64;
        let mut sum = (1 << self.f) >> 1;
        for (i, a) in (0..).zip(&self.own) {
            sum += a * level_at(y, t - 1 - i);
        }
        for (k, b) in (0..).zip(&self.reference) {
            sum += b * level_at(z.unwrap_or(&[]), t - 4 + k);
        }
        sum >> self.f
    }
}

/// The means that residuals are coded by [6.3].
struct Residuals {
    fast: i64,
    medium: i64,
    slow: i64,
}

impl Residuals {
    fn new() -> Self {
        Self {
            fast: 1 << 21,
            medium: 1 << 21,
            slow: 1 << 21,
        }
    }

    fn decode(&mut self, coder: &mut impl Coder, tables: &Tables) -> Result<i64> {
        let mean = (self.medium + self.slow) >> 1;
        let above = |n: &&i64| 8 * self.fast > **n * mean;
        let context = [3, 5, 7, 10, 15].iter().filter(above).count();
        let residual = tables.value(coder, mean, context)?;
        let m = residual.saturating_abs().min(1 << 40) << 16;
        self.fast += (m - self.fast) >> 2;
        self.medium += (m - self.medium) >> 4;
        self.slow += (m - self.slow) >> 7;
        Ok(residual)
    }
}

/// The means that coefficients are coded by [6.4].
struct Coefficients {
    means: [i64; 40],
}

impl Coefficients {
    fn new() -> Self {
        let mean = |j| {
            if j < 32 {
                3000 + 100_000 / (j + 1)
            } else {
                3000
            }
        };
        Self {
            means: std::array::from_fn(|j| mean(j as i64)),
        }
    }

    fn decode(
        &mut self,
        coder: &mut impl Coder,
        tables: &Tables,
        tap: usize,
        f: u32,
    ) -> Result<i64> {
        let c = tables.value(coder, self.means[tap] << f, 2)?;
        if c.saturating_abs() >= 1 << 20 {
            return malformed("too large a coefficient");
        }
        let m = (c.abs().min(1 << 24) << 16) >> f;
        self.means[tap] = (3 * self.means[tap] + m) >> 2;
        Ok(c)
    }
}

/// The tables of values [6.5].
struct Tables {
    /// By context, then scale.
    tables: Vec<Vec<Cdf>>,
}

impl Tables {
    fn new() -> Self {
        let mut knots = vec![0];
        for i in 1..=40 {
            let step = match i {
                1..=16 => 2,
                17..=24 => 4,
                25..=32 => 8,
                _ => 16,
            };
            knots.push(knots[i - 1] + step);
        }
        let contexts = BELOW_Q16.iter();
        let tables = contexts.map(|b| (0..24).map(|scale| table(&knots, b, scale)).collect());
        Self {
            tables: tables.collect(),
        }
    }

    fn value(&self, coder: &mut impl Coder, mean: i64, context: usize) -> Result<i64> {
        let w = (mean | 8192).min(1 << 50) as u64;
        let o = w.ilog2();
        let u = o.saturating_sub(18);
        let scale = 4 * (o - u - 13) as usize + (w >> (o - 2)) as usize % 4;
        let y = coder.symbol(&self.tables[context][scale])? as i64;
        if y == 127 {
            return Ok(unzigzag(exp_golomb(coder, u + 6)?));
        }
        Ok(((y - 63) << u) + coder.raw(u)? as i64 - ((1 << u) >> 1))
    }
}

fn table(knots: &[u64], b: &[u64; 41], scale: u64) -> Cdf {
    let mean_q20 = (9 + 2 * (scale % 4)) << (scale / 4 + 14);
    let below = |n: u64| {
        let x = (n << 39) / mean_q20;
        match (1..=40).find(|&i| knots[i] << 16 > x) {
            None => b[40] << 16,
            Some(i) => {
                let d = (b[i] - b[i - 1]) << 16;
                let (from, to) = (knots[i - 1] << 16, knots[i] << 16);
                (b[i - 1] << 16) + d * (x - from) / (to - from)
            }
        }
    };
    let mut frequencies = [0; 128];
    frequencies[63] = ((2 * below(1)) >> 5) + 1;
    for v in 1..=63 {
        let n = 2 * v as u64;
        let f = ((below(n + 1) - below(n - 1)) >> 5) + 1;
        frequencies[63 + v] = f;
        frequencies[63 - v] = f;
    }
    frequencies[127] = (((1 << 32) - below(127)) >> 4) + 1;
    Cdf::from_frequencies(&frequencies)
}
