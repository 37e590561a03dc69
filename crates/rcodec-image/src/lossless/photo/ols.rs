//! Least squares over causal neighbours, with exponential forgetting.
//!
//! Samples are collected in blocks of sixteen; their products are exact
//! integers, and only the running covariance and its solution are IEEE
//! doubles. Those see `+ - * /` in a fixed order and nothing else, so the
//! weights are the same on every machine.

/// Samples between two solutions.
pub(crate) const BLOCK: usize = 16;

/// Fraction bits of the weights.
const WEIGHT_Q: u32 = 16;

/// How an expert forgets and how much it is held back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OlsParams {
    /// Weight of the past after a block of sixteen samples.
    pub(crate) keep: f64,
    /// Added to the diagonal, in squared sample units.
    pub(crate) ridge: f64,
    /// Solve after this many blocks.
    pub(crate) blocks_per_solve: u32,
}

/// Predicts a sample as a weighted sum of `N` features.
#[derive(Clone, Debug)]
pub(crate) struct Ols<const N: usize> {
    params: OlsParams,
    /// Bits dropped from features and target so that they fit 16 bits.
    shift: u32,
    /// The last samples: features, then the target.
    block: Vec<[i16; BLOCK]>,
    filled: usize,
    blocks: u32,
    /// Upper triangle of the features' covariance; the last column belongs to
    /// the target.
    covariance: Vec<[f64; N]>,
    target: [f64; N],
    scratch: Vec<[f64; N]>,
    weights_q16: [i32; N],
}

impl<const N: usize> Ols<N> {
    /// An expert for samples of `bits` bits that begins with the mean of its
    /// first two features.
    pub(crate) fn new(params: OlsParams, bits: u8) -> Self {
        let mut weights_q16 = [0; N];
        weights_q16[0] = 1 << (WEIGHT_Q - 1);
        weights_q16[1] = 1 << (WEIGHT_Q - 1);
        Ols {
            params,
            shift: u32::from(bits.saturating_sub(12)),
            block: vec![[0; BLOCK]; N + 1],
            filled: 0,
            blocks: 0,
            covariance: vec![[0.0; N]; N],
            target: [0.0; N],
            scratch: vec![[0.0; N]; N],
            weights_q16,
        }
    }

    /// The prediction in Q6.
    #[inline(always)]
    pub(crate) fn predict_q6(&self, features: &[i32; N]) -> i64 {
        let mut sum = 0i64;
        for (&w, &x) in self.weights_q16.iter().zip(features) {
            sum += i64::from(w) * i64::from(x);
        }
        (sum + (1 << (WEIGHT_Q - 7))) >> (WEIGHT_Q - 6)
    }

    /// Learns what the sample was.
    #[inline(always)]
    pub(crate) fn update(&mut self, features: &[i32; N], target: i32) {
        let at = self.filled;
        for (slot, &x) in self.block.iter_mut().zip(features) {
            slot[at] = (x >> self.shift) as i16;
        }
        self.block[N][at] = (target >> self.shift) as i16;
        self.filled += 1;
        if self.filled == BLOCK {
            self.filled = 0;
            self.absorb();
            self.blocks += 1;
            if self.blocks.is_multiple_of(self.params.blocks_per_solve) || self.blocks < 16 {
                self.solve();
            }
        }
    }

    /// Adds the block's products to the covariance.
    #[inline(always)]
    fn absorb(&mut self) {
        let keep = self.params.keep;
        let target = self.block[N];
        for i in 0..N {
            let a = self.block[i];
            let row = &mut self.covariance[i];
            for (slot, b) in row[i..].iter_mut().zip(&self.block[i..N]) {
                *slot = *slot * keep + f64::from(dot(&a, b));
            }
            self.target[i] = self.target[i] * keep + f64::from(dot(&a, &target));
        }
    }

    /// Gaussian elimination without pivoting: the matrix is symmetric and
    /// positive definite.
    #[inline(always)]
    fn solve(&mut self) {
        let m = &mut self.scratch;
        m.copy_from_slice(&self.covariance);
        for (i, row) in m.iter_mut().enumerate() {
            row[i] += self.params.ridge;
        }
        let mut rhs = self.target;
        let mut inverse = [0.0; N];
        for k in 0..N {
            let (above, below) = m.split_at_mut(k + 1);
            let pivot_row = &above[k];
            if pivot_row[k] <= 1e-6 {
                return;
            }
            inverse[k] = 1.0 / pivot_row[k];
            for (offset, row) in below.iter_mut().enumerate() {
                let i = k + 1 + offset;
                let factor = pivot_row[i] * inverse[k];
                for (x, &p) in row[i..].iter_mut().zip(&pivot_row[i..]) {
                    *x -= factor * p;
                }
                rhs[i] -= factor * rhs[k];
            }
        }
        let mut weights = [0.0; N];
        for i in (0..N).rev() {
            let mut sum = rhs[i];
            for (&x, &w) in m[i][i + 1..].iter().zip(&weights[i + 1..]) {
                sum -= x * w;
            }
            weights[i] = sum * inverse[i];
        }
        for (slot, &w) in self.weights_q16.iter_mut().zip(&weights) {
            // A cast saturates, and turns what is not a number into 0.
            *slot = (w * f64::from(1 << WEIGHT_Q)).clamp(-2e6, 2e6) as i32;
        }
    }
}

/// Sum of products of two blocks.
#[inline(always)]
fn dot(a: &[i16; BLOCK], b: &[i16; BLOCK]) -> i32 {
    let mut sum = 0i32;
    for (&x, &y) in a.iter().zip(b) {
        sum = sum.wrapping_add(i32::from(x) * i32::from(y));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_linear_rule() {
        let params = OlsParams {
            keep: 0.99,
            ridge: 1.0,
            blocks_per_solve: 1,
        };
        let mut ols = Ols::<4>::new(params, 8);
        let mut state = 1u32;
        let mut error = 0;
        for n in 0..400 {
            let mut features = [0i32; 4];
            for x in &mut features {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *x = (state >> 24) as i32 - 128;
            }
            let target = features[0] - features[2] + features[3] / 2;
            if n >= 200 {
                let predicted = (ols.predict_q6(&features) + 32) >> 6;
                error = error.max(predicted.abs_diff(i64::from(target)));
            }
            ols.update(&features, target);
        }
        assert!(error <= 1, "{error}");
    }
}
