//! Least squares over causal neighbours, with exponential forgetting.
//!
//! Samples are collected in blocks of sixteen; their products are exact
//! integers, and only the running covariance and its solution are IEEE
//! doubles. Those see `+ - * /` in a fixed order and nothing else, so the
//! weights are the same on every machine.

use super::solve::solve;
use rcodec_fixed::{Engine, Work};

/// Samples of a block.
pub(crate) const BLOCK: usize = 16;

/// Columns that are multiplied side by side.
const LANES: usize = 16;

/// Fraction bits of the weights.
pub(crate) const WEIGHT_Q: u32 = 14;

/// Samples of so many bits are taken as they are.
const NARROW_BITS: u8 = 12;

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

/// Two samples: for every column, its value in one and in the other.
pub(crate) type Pair<const C: usize> = [[i16; 2]; C];

/// Two vectors as a pair.
#[inline(always)]
pub(crate) fn pair_of<const C: usize>(first: &[i16; C], second: &[i16; C]) -> Pair<C> {
    let mut pair = [[0; 2]; C];
    let mut c = 0;
    while c < C {
        pair[c] = [first[c], second[c]];
        c += 1;
    }
    pair
}

/// The weighted sum of features, Q6: in 32 bits unless samples have more than
/// `NARROW_BITS` (`shift` is not 0).
#[inline(always)]
pub(crate) fn predict_q6<const N: usize>(
    weights_q14: &[i32; N],
    features: &[i32; N],
    shift: u32,
) -> i64 {
    let round = 1 << (WEIGHT_Q - 7);
    if shift == 0 {
        let mut sum = 0i32;
        let mut i = 0;
        while i < N {
            sum = sum.wrapping_add(weights_q14[i].wrapping_mul(features[i]));
            i += 1;
        }
        return i64::from(sum.wrapping_add(round) >> (WEIGHT_Q - 6));
    }
    let mut sum = 0i64;
    let mut i = 0;
    while i < N {
        sum += i64::from(weights_q14[i]) * i64::from(features[i]);
        i += 1;
    }
    (sum + i64::from(round)) >> (WEIGHT_Q - 6)
}

/// Predicts a sample as a weighted sum of `N` features. `C` is the multiple
/// of 16 above `N`: column `N` is the target.
#[derive(Clone, Debug)]
pub(crate) struct Ols<const N: usize, const C: usize> {
    params: OlsParams,
    engine: Engine,
    /// Bits dropped from features and target so that they fit 16 bits.
    shift: u32,
    /// The last samples, and the one whose pair is not complete.
    pairs: [Pair<C>; BLOCK / 2],
    last: [i16; C],
    filled: usize,
    blocks: u32,
    products: Box<[[i32; C]; N]>,
    /// Upper triangle of the covariance, by whole sixteens.
    covariance: Box<[[f64; C]; N]>,
    weights_q14: [i32; N],
}

impl<const N: usize, const C: usize> Ols<N, C> {
    /// An expert for samples of `bits` bits that begins with the mean of its
    /// first two features.
    pub(crate) fn new(params: OlsParams, bits: u8, engine: Engine) -> Self {
        const { assert!(N < C && C.is_multiple_of(LANES)) }
        let mut weights_q14 = [0; N];
        weights_q14[0] = 1 << (WEIGHT_Q - 1);
        weights_q14[1] = 1 << (WEIGHT_Q - 1);
        Ols {
            params,
            engine,
            shift: u32::from(bits.saturating_sub(NARROW_BITS)),
            pairs: [[[0; 2]; C]; BLOCK / 2],
            last: [0; C],
            filled: 0,
            blocks: 0,
            products: Box::new([[0; C]; N]),
            covariance: Box::new([[0.0; C]; N]),
            weights_q14,
        }
    }

    /// The prediction in Q6.
    #[inline(always)]
    pub(crate) fn predict_q6(&self, features: &[i32; N]) -> i64 {
        predict_q6(&self.weights_q14, features, self.shift)
    }

    /// Learns what the sample was.
    #[inline(always)]
    pub(crate) fn update(&mut self, features: &[i32; N], target: i32) {
        let mut vector = [0; C];
        for (slot, &x) in vector.iter_mut().zip(features) {
            *slot = (x >> self.shift) as i16;
        }
        vector[N] = (target >> self.shift) as i16;
        if self.filled.is_multiple_of(2) {
            self.last = vector;
        } else {
            self.pairs[self.filled / 2] = pair_of(&self.last, &vector);
        }
        self.filled += 1;
        if self.filled == BLOCK {
            self.filled = 0;
            let engine = self.engine;
            engine.products(&self.pairs, &mut self.products[..]);
            engine.run(Absorb(self));
        }
    }

    /// Adds the block's products to the covariance.
    #[inline(always)]
    fn absorb(&mut self) {
        let keep = self.params.keep;
        for (i, row) in self.covariance.iter_mut().enumerate() {
            let products = &self.products[i];
            let mut block = i / LANES * LANES;
            while block < C {
                // By way of a copy, which nobody else can write to: else this
                // is not done in vectors.
                let mut sums = [0.0; LANES];
                for (sum, &product) in sums.iter_mut().zip(&products[block..block + LANES]) {
                    *sum = f64::from(product);
                }
                for (sum, &before) in sums.iter_mut().zip(&row[block..block + LANES]) {
                    *sum += before * keep;
                }
                row[block..block + LANES].copy_from_slice(&sums);
                block += LANES;
            }
        }
    }

    /// Finds new weights.
    #[inline(always)]
    fn solve(&mut self) {
        let mut m = *self.covariance;
        for (i, row) in m.iter_mut().enumerate() {
            row[i] += self.params.ridge;
        }
        if let Some(weights_q14) = solve::<N, C>(&mut m, WEIGHT_Q) {
            self.weights_q14 = weights_q14;
        }
    }
}

/// Learning from a block whose products are known.
struct Absorb<'a, const N: usize, const C: usize>(&'a mut Ols<N, C>);

impl<const N: usize, const C: usize> Work for Absorb<'_, N, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ols = self.0;
        ols.absorb();
        ols.blocks += 1;
        if ols.blocks.is_multiple_of(ols.params.blocks_per_solve) || ols.blocks < 16 {
            ols.solve();
        }
    }
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
        let mut ols = Ols::<4, 16>::new(params, 8, Engine::new());
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
