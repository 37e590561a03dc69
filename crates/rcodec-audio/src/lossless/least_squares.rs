//! Stage A: recursive least squares with an exponential window.
//!
//! The weights solve `C w = b`, where `C` is the covariance of the regressors
//! and `b` their correlation with the target, both under a window that forgets
//! exponentially. Samples with large errors count less (iteratively
//! reweighted least squares, between L2 and L1), which suits the heavy tails
//! of music. Covariances are brought up to date, and the weights solved for,
//! once every `interval` samples.
//!
//! # Exactness
//!
//! This is the only floating point of the decoder, and it is strict: IEEE 754
//! double precision with `+ − * / sqrt` alone, each in the order written here,
//! never fused, never reassociated. Sums that could run in parallel are laid
//! out in [`LANES`] fixed lanes, so that vector units and scalar code compute
//! the same. Every platform that Rust supports in full gives the same bits.

/// Width of the fixed summation lanes.
const LANES: usize = 8;

/// The longest row: at most one regressor less.
const MAX_STRIDE: usize = 64;

/// Shape of one least-squares predictor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LeastSquaresShape {
    /// Samples between two solutions, at least 1.
    pub(crate) interval: usize,
    /// Forgetting factor per sample.
    pub(crate) lambda: f64,
    /// Added to the diagonal before solving.
    pub(crate) ridge: f64,
}

/// A predictor whose weights follow the signal by least squares.
pub(crate) struct LeastSquares {
    shape: LeastSquaresShape,
    /// Number of regressors.
    order: usize,
    /// Length of a row: the regressors, then the target, then zeros up to a
    /// multiple of [`LANES`].
    stride: usize,
    /// Upper triangle of `C`, with `b` as column `order`.
    covariance: Vec<f64>,
    /// Upper triangle of the Cholesky factor, with its solution of `b`.
    factor: Vec<f64>,
    /// The samples since the last solution, one row each.
    rows: Vec<f64>,
    row_weights: Vec<f64>,
    pending: usize,
    /// Weights, padded with zeros to `stride`.
    weights: Vec<f64>,
    prediction: f64,
    error_level: f64,
    /// `lambda` to the powers 0 to `interval`.
    decay_powers: Vec<f64>,
}

/// Sum of products in [`LANES`] lanes, then over the lanes in pairs.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    for (x, y) in a
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(b.as_chunks::<LANES>().0)
    {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6]))
        + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

impl LeastSquares {
    pub(crate) fn new(order: usize, shape: LeastSquaresShape) -> Self {
        let stride = (order + 1).next_multiple_of(LANES);
        let mut decay_powers = vec![1.0; shape.interval + 1];
        for i in 1..=shape.interval {
            decay_powers[i] = decay_powers[i - 1] * shape.lambda;
        }
        LeastSquares {
            shape,
            order,
            stride,
            covariance: vec![0.0; order * stride],
            factor: vec![0.0; order * stride],
            rows: vec![0.0; shape.interval * stride],
            row_weights: vec![0.0; shape.interval],
            pending: 0,
            weights: vec![0.0; stride],
            prediction: 0.0,
            error_level: 0.0,
            decay_powers,
        }
    }

    /// The regressors of the next sample, to be filled in before
    /// [`predict`](Self::predict).
    #[inline(always)]
    pub(crate) fn regressors(&mut self) -> &mut [f64] {
        &mut self.rows[self.pending * self.stride..][..self.order]
    }

    /// The prediction of the next sample.
    #[inline(always)]
    pub(crate) fn predict(&mut self) -> f64 {
        let row = &mut self.rows[self.pending * self.stride..][..self.stride];
        row[self.order] = 0.0;
        self.prediction = dot(row, &self.weights);
        self.prediction
    }

    /// Learns the sample that was predicted.
    #[inline(always)]
    pub(crate) fn update(&mut self, target: f64) {
        let error = (target - self.prediction).abs();
        self.error_level = 0.6 * self.error_level + error;
        // (level + 2)^(-3/4)
        let root = (self.error_level + 2.0).sqrt();
        let weight = (1.0 - self.shape.lambda) / (root * root.sqrt());
        self.rows[self.pending * self.stride + self.order] = target;
        self.row_weights[self.pending] = weight;
        self.pending += 1;
        if self.pending == self.shape.interval {
            self.accumulate();
            self.solve();
            self.pending = 0;
        }
    }

    /// Brings the covariance up to date with the pending rows.
    #[inline(always)]
    fn accumulate(&mut self) {
        let stride = self.stride;
        let interval = self.shape.interval;
        let decay = self.decay_powers[interval];
        for i in 0..interval {
            self.row_weights[i] *= self.decay_powers[interval - 1 - i];
        }
        for j in 0..self.order {
            let start = j / LANES * LANES;
            let line = &mut self.covariance[j * stride + start..(j + 1) * stride];
            for (chunk, sums) in line.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let at = start + chunk * LANES;
                let mut acc = *sums;
                for value in &mut acc {
                    *value *= decay;
                }
                for (row, weight) in self.rows.chunks_exact(stride).zip(&self.row_weights) {
                    let factor = weight * row[j];
                    let values: &[f64] = &row[at..at + LANES];
                    for lane in 0..LANES {
                        acc[lane] += factor * values[lane];
                    }
                }
                *sums = acc;
            }
        }
    }

    /// Cholesky factorisation and back substitution. Where the matrix is not
    /// positive definite in practice, the weights stay as they were.
    #[inline(always)]
    fn solve(&mut self) {
        let (order, stride) = (self.order, self.stride);
        for j in 0..order {
            let start = j / LANES * LANES;
            let (above, below) = self.factor.split_at_mut(j * stride);
            for at in (start..stride).step_by(LANES) {
                let mut acc = [0.0; LANES];
                acc.copy_from_slice(&self.covariance[j * stride + at..][..LANES]);
                if at == start {
                    acc[j - start] += self.shape.ridge;
                }
                for line in above.chunks_exact(stride) {
                    let factor = line[j];
                    let values: &[f64] = &line[at..at + LANES];
                    for lane in 0..LANES {
                        acc[lane] -= factor * values[lane];
                    }
                }
                below[at..at + LANES].copy_from_slice(&acc);
            }
            let pivot = below[j];
            // Also false for NaN.
            if !(pivot > 1e-9 && pivot < 1e300) {
                return;
            }
            let inverse = 1.0 / pivot.sqrt();
            for value in &mut below[start..stride] {
                *value *= inverse;
            }
        }
        self.substitute();
    }

    /// Solves `U w = y`, where `y` is column `order` of the factor.
    #[inline(always)]
    fn substitute(&mut self) {
        let (order, stride) = (self.order, self.stride);
        let mut solution = [0.0; MAX_STRIDE];
        let solution = &mut solution[..stride];
        for i in (0..order).rev() {
            let line = &self.factor[i * stride..(i + 1) * stride];
            // Lanes at or before i are zero in the solution so far; the
            // target's column is, too.
            let start = i / LANES * LANES;
            let mut lanes = [0.0; LANES];
            for (x, y) in line[start..]
                .as_chunks::<LANES>()
                .0
                .iter()
                .zip(solution[start..].as_chunks::<LANES>().0)
            {
                for lane in 0..LANES {
                    lanes[lane] += x[lane] * y[lane];
                }
            }
            let sum = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6]))
                + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
            let weight = (line[order] - sum) / line[i];
            if weight.is_nan() || weight.abs() >= 1e6 {
                return;
            }
            solution[i] = weight;
        }
        self.weights.copy_from_slice(solution);
    }
}
