//! Normal equations of least squares, in tiles that vector units like.
//!
//! The weights solve `C w = b`, where `C` is the covariance of the regressors
//! and `b` their correlation with the target. Everything here is `f64` with
//! `+ − * /` alone, each in an order that does not depend on how it is
//! compiled: an element's sum runs in the order of rows, whatever the tiles.

/// Width of the fixed summation lanes, and of tiles.
pub(crate) const LANES: usize = 8;

/// The longest row: at most one regressor less.
pub(crate) const MAX_STRIDE: usize = 64;

/// `C`, `b` and their factorisation.
pub(crate) struct NormalEquations {
    /// Number of regressors.
    order: usize,
    /// Length of a row: the regressors, then the target, then zeros up to a
    /// multiple of [`LANES`].
    stride: usize,
    /// Rows of the matrices: a multiple of [`LANES`], those behind `order` of
    /// no meaning.
    padded_order: usize,
    /// Upper triangle of `C`, with `b` as column `order`.
    covariance: Vec<f64>,
    /// Upper triangle `U` of the factorisation, with `b` as column `order`.
    factor: Vec<f64>,
    /// Rows of `U` divided by their pivots.
    scaled: Vec<f64>,
}

/// Sum of products in [`LANES`] lanes, then over the lanes in pairs.
#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
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

impl NormalEquations {
    /// Equations without any data.
    pub(crate) fn new(order: usize) -> Self {
        let stride = (order + 1).next_multiple_of(LANES);
        let padded_order = order.next_multiple_of(LANES);
        NormalEquations {
            order,
            stride,
            padded_order,
            covariance: vec![0.0; padded_order * stride],
            factor: vec![0.0; padded_order * stride],
            scaled: vec![0.0; padded_order * stride],
        }
    }

    #[inline(always)]
    pub(crate) fn order(&self) -> usize {
        self.order
    }

    /// Length of a row of data.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// `C = decay * C + sum of weighted row' * row` over rows of regressors and
    /// target.
    #[inline(always)]
    pub(crate) fn add_rows(&mut self, decay: f64, rows: &[f64], weighted_rows: &[f64]) {
        let stride = self.stride;
        for first in (0..self.padded_order).step_by(LANES) {
            for at in (first..stride).step_by(LANES) {
                let mut tile = load_tile(&self.covariance, stride, first, at);
                for line in &mut tile {
                    for value in line {
                        *value *= decay;
                    }
                }
                let rows = rows.chunks_exact(stride);
                for (row, weighted) in rows.zip(weighted_rows.chunks_exact(stride)) {
                    let (factors, values) = (lanes(weighted, first), lanes(row, at));
                    for r in 0..LANES {
                        for lane in 0..LANES {
                            tile[r][lane] += factors[r] * values[lane];
                        }
                    }
                }
                store_tile(&mut self.covariance, stride, first, at, &tile);
            }
        }
    }

    /// Factorises `C = U' D^-1 U` with `U` upper triangular and `D` its
    /// diagonal, with `ridge` added to the diagonal of `C`. False where the matrix is
    /// not positive definite in practice.
    ///
    /// `U[j][k] = C[j][k] - sum of (U[i][j] / D[i]) * U[i][k]`, with `i` from 0
    /// up; a quotient is a product with the rounded inverse.
    #[inline(always)]
    pub(crate) fn factorise(&mut self, ridge: f64) -> bool {
        let (order, stride) = (self.order, self.stride);
        for first in (0..order).step_by(LANES) {
            for at in (first..stride).step_by(LANES) {
                let mut tile = load_tile(&self.covariance, stride, first, at);
                if at == first {
                    for (r, line) in tile.iter_mut().enumerate() {
                        line[r] += ridge;
                    }
                }
                let factor = self.factor.chunks_exact(stride);
                let scaled = self.scaled.chunks_exact(stride);
                for (above, scaled) in factor.zip(scaled).take(first) {
                    let (factors, values) = (lanes(scaled, first), lanes(above, at));
                    for r in 0..LANES {
                        for lane in 0..LANES {
                            tile[r][lane] -= factors[r] * values[lane];
                        }
                    }
                }
                store_tile(&mut self.factor, stride, first, at, &tile);
            }
            for j in first..order.min(first + LANES) {
                if !self.eliminate(first, j) {
                    return false;
                }
            }
        }
        true
    }

    /// Scales row `j`, which is complete, and takes it out of the later rows
    /// of the same tiles, which begin with row `first`. Gives back whether the
    /// pivot is usable.
    #[inline(always)]
    fn eliminate(&mut self, first: usize, j: usize) -> bool {
        let stride = self.stride;
        let (done, later) = self.factor.split_at_mut((j + 1) * stride);
        let row = &done[j * stride..];
        let pivot = row[j];
        // Also false for NaN.
        if !(pivot > 1e-9 && pivot < 1e300) {
            return false;
        }
        let inverse = 1.0 / pivot;
        let below = first + LANES - 1 - j;
        let mut factors = [0.0; LANES];
        for at in (first..stride).step_by(LANES) {
            let values = lanes(row, at);
            let mut scaled = [0.0; LANES];
            for lane in 0..LANES {
                scaled[lane] = values[lane] * inverse;
            }
            self.scaled[j * stride + at..][..LANES].copy_from_slice(&scaled);
            if at == first {
                factors = scaled;
            }
            for s in 0..below {
                let factor = factors[j + 1 + s - first];
                let mut line = lanes(&later[s * stride..], at);
                for lane in 0..LANES {
                    line[lane] -= factor * values[lane];
                }
                later[s * stride + at..][..LANES].copy_from_slice(&line);
            }
        }
        true
    }

    /// The weights of the first `count` regressors alone (others zero), once
    /// factorised; where they are not numbers of use, `weights` stay as they
    /// were.
    ///
    /// Solves `D^-1 U w = D^-1 y`, where `y` is column `order` of the factor:
    /// `w[i] = y[i] / D[i] - sum of (U[i][k] / D[i]) * w[k]`, the sum over the
    /// tiles behind that of `i` in lanes, then over the rest of its own tile
    /// from the last `k` down.
    #[inline(always)]
    pub(crate) fn solve(&self, count: usize, weights: &mut [f64]) {
        let (order, stride) = (self.order, self.stride);
        let mut solution = [0.0; MAX_STRIDE];
        let solution = &mut solution[..stride];
        for first in (0..count).step_by(LANES).rev() {
            let mut left = [0.0; LANES];
            let rows = count.min(first + LANES) - first;
            for (r, left) in left.iter_mut().enumerate().take(rows) {
                let line = &self.scaled[(first + r) * stride..][..stride];
                let behind = first + LANES;
                *left = line[order] - dot(&line[behind..], &solution[behind..]);
            }
            for r in (0..rows).rev() {
                let weight = left[r];
                if weight.is_nan() || weight.abs() >= 1e6 {
                    return;
                }
                solution[first + r] = weight;
                for (q, left) in left.iter_mut().enumerate().take(r) {
                    *left -= self.scaled[(first + q) * stride + first + r] * weight;
                }
            }
        }
        weights.copy_from_slice(solution);
    }

    /// By how much regressor `i` lowers the sum of squared errors that those
    /// before it leave, once factorised.
    pub(crate) fn gain(&self, i: usize) -> f64 {
        self.factor[i * self.stride + self.order] * self.scaled[i * self.stride + self.order]
    }

    /// Sets the sum of products of two regressors, or, for column `order`, of
    /// a regressor and the target. That of the target with itself has no place.
    pub(crate) fn set(&mut self, i: usize, j: usize, sum: f64) {
        let (row, column) = (i.min(j), i.max(j));
        if row < self.order {
            self.covariance[row * self.stride + column] = sum;
        }
    }

    /// Adds the data of other equations of the same order.
    pub(crate) fn add(&mut self, other: &NormalEquations) {
        for (to, from) in self.covariance.iter_mut().zip(&other.covariance) {
            *to += from;
        }
    }
}

type Tile = [[f64; LANES]; LANES];

/// The lanes of a row from `at` on.
#[inline(always)]
fn lanes(row: &[f64], at: usize) -> [f64; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&row[at..at + LANES]);
    lanes
}

/// The tile whose first row is `first` and whose first column is `at`.
#[inline(always)]
fn load_tile(matrix: &[f64], stride: usize, first: usize, at: usize) -> Tile {
    let mut tile = [[0.0; LANES]; LANES];
    for (r, line) in tile.iter_mut().enumerate() {
        *line = lanes(&matrix[(first + r) * stride..], at);
    }
    tile
}

#[inline(always)]
fn store_tile(matrix: &mut [f64], stride: usize, first: usize, at: usize, tile: &Tile) {
    for (r, line) in tile.iter().enumerate() {
        matrix[(first + r) * stride + at..][..LANES].copy_from_slice(line);
    }
}
