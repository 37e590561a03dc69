//! Regressions [8]: the one place of floating point. Every operation is one of
//! IEEE 754's double precision, in the order of the page.

use super::level_at;

/// The numbers of a regression [13].
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) interval: usize,
    pub(super) lambda: f64,
    /// Own taps without a reference.
    pub(super) mono: i64,
    /// Own taps with one.
    pub(super) own: i64,
    pub(super) reference: i64,
}

/// Predicts by weighted least squares over the past.
pub(super) struct Regression {
    shape: Shape,
    n: usize,
    /// λ^0 to λ^interval.
    powers: Vec<f64>,
    weights: Vec<f64>,
    level: f64,
    // What the last prediction was made of.
    regressors: Vec<f64>,
    prediction: f64,
    /// Rows with their levels, and weights, since the last solution.
    kept: Vec<(Vec<f64>, f64)>,
    covariances: Vec<Vec<f64>>,
}

fn dot(u: &[f64], v: &[f64]) -> f64 {
    let mut s = [0.0; 8];
    for (k, (u, v)) in u.iter().zip(v).enumerate() {
        s[k % 8] += u * v;
    }
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

impl Regression {
    pub(super) fn new(shape: Shape, has_reference: bool) -> Self {
        let n = if has_reference {
            shape.own + shape.reference
        } else {
            shape.mono
        } as usize;
        let mut powers = vec![1.0];
        for i in 0..shape.interval {
            powers.push(powers[i] * shape.lambda);
        }
        Self {
            shape,
            n,
            powers,
            weights: vec![0.0; n],
            level: 0.0,
            regressors: Vec::new(),
            prediction: 0.0,
            kept: Vec::new(),
            covariances: vec![vec![0.0; n + 1]; n],
        }
    }

    /// The prediction of the frame behind those of `y`, in Q8 [8.1].
    pub(super) fn predict(&mut self, y: &[i64], z: Option<&[i64]>) -> i64 {
        let t = y.len() as i64;
        let own = match z {
            Some(_) => self.shape.own,
            None => self.shape.mono,
        };
        let past = (t - own..t).map(|t| level_at(y, t) as f64);
        self.regressors = past.collect();
        if let Some(z) = z {
            let first = t - self.shape.reference / 2;
            let around = (first..first + self.shape.reference).map(|t| level_at(z, t) as f64);
            self.regressors.extend(around);
        }
        self.prediction = dot(&self.regressors, &self.weights);
        // The cast rounds toward zero and gives 0 for NaN.
        ((self.prediction * 256.0) as i64).clamp(-1 << 42, 1 << 42)
    }

    /// Learns the level of that frame [8.2].
    pub(super) fn learn(&mut self, y: i64) {
        let y = y as f64;
        self.level = 0.6 * self.level + (y - self.prediction).abs();
        let r = (self.level + 2.0).sqrt();
        let weight = (1.0 - self.shape.lambda) / (r * r.sqrt());
        let mut row = std::mem::take(&mut self.regressors);
        row.push(y);
        self.kept.push((row, weight));
        if self.kept.len() == self.shape.interval {
            self.cover();
            if let Some(weights) = self.solve() {
                self.weights = weights;
            }
        }
    }

    fn cover(&mut self) {
        let interval = self.shape.interval;
        for (i, (x, weight)) in self.kept.drain(..).enumerate() {
            let q = weight * self.powers[interval - 1 - i];
            for j in 0..self.n {
                for k in j..=self.n {
                    let c = &mut self.covariances[j][k];
                    if i == 0 {
                        *c *= self.powers[interval];
                    }
                    *c += (q * x[j]) * x[k];
                }
            }
        }
    }

    fn solve(&self) -> Option<Vec<f64>> {
        let n = self.n;
        let ridge = 0.001 * (1.0 - self.shape.lambda);
        let mut u = self.covariances.clone();
        let mut v = vec![vec![0.0; n + 1]; n];
        for j in 0..n {
            u[j][j] += ridge;
            for i in 0..j {
                for k in j..=n {
                    u[j][k] -= v[i][j] * u[i][k];
                }
            }
            if !(1e-9 < u[j][j] && u[j][j] < 1e300) {
                return None;
            }
            let g = 1.0 / u[j][j];
            for k in j..=n {
                v[j][k] = u[j][k] * g;
            }
        }
        let mut new = vec![0.0; n];
        for f in (0..n).step_by(8).rev() {
            let m = n.min(f + 8) - f;
            let behind = (f + 8).min(n);
            let mut left = [0.0_f64; 8];
            for r in 0..m {
                left[r] = v[f + r][n] - dot(&v[f + r][behind..n], &new[behind..n]);
            }
            for r in (0..m).rev() {
                if left[r].is_nan() || left[r].abs() >= 1e6 {
                    return None;
                }
                new[f + r] = left[r];
                for s in 0..r {
                    left[s] -= v[f + s][f + r] * left[r];
                }
            }
        }
        Some(new)
    }
}
