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

use super::normal_equations::{NormalEquations, dot};

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
    equations: NormalEquations,
    /// The samples since the last solution, one row each.
    rows: Vec<f64>,
    /// The same, multiplied by their weights.
    weighted_rows: Vec<f64>,
    row_weights: Vec<f64>,
    pending: usize,
    /// Weights, padded with zeros to `stride`.
    weights: Vec<f64>,
    prediction: f64,
    error_level: f64,
    /// `lambda` to the powers 0 to `interval`.
    decay_powers: Vec<f64>,
}

impl LeastSquares {
    pub(crate) fn new(order: usize, shape: LeastSquaresShape) -> Self {
        let equations = NormalEquations::new(order);
        let stride = equations.stride();
        let mut decay_powers = vec![1.0; shape.interval + 1];
        for i in 1..=shape.interval {
            decay_powers[i] = decay_powers[i - 1] * shape.lambda;
        }
        LeastSquares {
            shape,
            equations,
            rows: vec![0.0; shape.interval * stride],
            weighted_rows: vec![0.0; shape.interval * stride],
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
        let (stride, order) = (self.equations.stride(), self.equations.order());
        &mut self.rows[self.pending * stride..][..order]
    }

    /// The prediction of the next sample.
    #[inline(always)]
    pub(crate) fn predict(&mut self) -> f64 {
        let (stride, order) = (self.equations.stride(), self.equations.order());
        let row = &mut self.rows[self.pending * stride..][..stride];
        row[order] = 0.0;
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
        let at = self.pending * self.equations.stride() + self.equations.order();
        self.rows[at] = target;
        self.row_weights[self.pending] = weight;
        self.pending += 1;
        if self.pending == self.shape.interval {
            self.pending = 0;
            self.accumulate();
            if self.equations.factorise(self.shape.ridge) {
                let order = self.equations.order();
                self.equations.solve(order, &mut self.weights);
            }
        }
    }

    /// Brings the covariance up to date with the pending rows.
    #[inline(always)]
    fn accumulate(&mut self) {
        let stride = self.equations.stride();
        let interval = self.shape.interval;
        for i in 0..interval {
            let weight = self.row_weights[i] * self.decay_powers[interval - 1 - i];
            let row = &self.rows[i * stride..(i + 1) * stride];
            let weighted = &mut self.weighted_rows[i * stride..(i + 1) * stride];
            for (to, &x) in weighted.iter_mut().zip(row) {
                *to = weight * x;
            }
        }
        let decay = self.decay_powers[interval];
        self.equations
            .add_rows(decay, &self.rows, &self.weighted_rows);
    }
}
