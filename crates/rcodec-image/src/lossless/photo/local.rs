//! Least squares over the window around a sample: the rows above it within
//! reach on both sides, and what is to the left in its own row.
//!
//! The products are exact integers, summed by column as the window moves down
//! and over columns as it moves on; only their solution is in IEEE doubles,
//! with `+ - * /` in a fixed order.

use super::ols::{Pair, WEIGHT_Q, pair_of, predict_q6};
use super::solve::solve;
use rcodec_fixed::Engine;

/// Numbers in a row of products: up to fifteen features and the target.
const LANES: usize = 16;

/// Features (and the target) multiplied by features.
type Products<const N: usize> = [[i32; LANES]; N];

/// How far a window reaches, and how much an expert is held back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalParams {
    /// Rows above.
    pub(crate) rows: usize,
    /// Columns of a block, an even number: the window moves from block to
    /// block.
    pub(crate) block: usize,
    /// Blocks on each side.
    pub(crate) side: usize,
    /// Added to the diagonal, in squared sample units.
    pub(crate) ridge: f64,
}

/// Predicts a sample as a weighted sum of `N` (at most 15) features.
pub(crate) struct LocalOls<const N: usize> {
    params: LocalParams,
    engine: Engine,
    /// Bits dropped from samples so that sums stay below 2^31.
    shift: u32,
    /// Features and targets of the rows within reach, and of the one at work,
    /// two samples at a time: whole blocks.
    history: Vec<Pair<LANES>>,
    /// Pairs of a row.
    row_pairs: usize,
    /// Which row of the history is at work.
    slot: usize,
    /// The sample whose pair is not complete.
    last: [i16; LANES],
    /// Products of the rows above, by block of columns.
    above: Vec<Products<N>>,
    /// Products of this row.
    current: Vec<Products<N>>,
    /// The sum of those above over the blocks within reach.
    window: Box<Products<N>>,
    /// The sum of those to the left within reach.
    left: Box<Products<N>>,
    weights_q14: [i32; N],
}

/// Adds some products and takes others away.
#[inline(always)]
fn slide<const N: usize>(
    sums: &mut Products<N>,
    new: Option<&Products<N>>,
    old: Option<&Products<N>>,
) {
    let zero = [[0; LANES]; N];
    let (new, old) = (new.unwrap_or(&zero), old.unwrap_or(&zero));
    let mut i = 0;
    while i < N {
        let mut j = 0;
        while j < LANES {
            sums[i][j] = sums[i][j].wrapping_add(new[i][j]).wrapping_sub(old[i][j]);
            j += 1;
        }
        i += 1;
    }
}

impl<const N: usize> LocalOls<N> {
    /// An expert for rows of `width` samples of `bits` bits.
    pub(crate) fn new(params: LocalParams, bits: u8, width: usize, engine: Engine) -> Self {
        let zero = [[0; LANES]; N];
        let mut weights_q14 = [0; N];
        weights_q14[0] = 1 << (WEIGHT_Q - 1);
        weights_q14[1] = 1 << (WEIGHT_Q - 1);
        let blocks = width.div_ceil(params.block);
        let row_pairs = blocks * (params.block / 2);
        LocalOls {
            params,
            engine,
            shift: u32::from(bits.saturating_sub(10)),
            history: vec![[[0; 2]; LANES]; row_pairs * (params.rows + 1)],
            row_pairs,
            slot: 0,
            last: [0; LANES],
            above: vec![zero; blocks],
            current: vec![zero; blocks],
            window: Box::new(zero),
            left: Box::new(zero),
            weights_q14,
        }
    }

    /// The products of a block in a row of the history.
    #[inline(always)]
    fn products(&self, slot: usize, block: usize) -> Products<N> {
        let pairs = self.params.block / 2;
        let first = slot * self.row_pairs + block * pairs;
        let mut products = [[0; LANES]; N];
        self.engine
            .products(&self.history[first..first + pairs], &mut products);
        products
    }

    /// Moves the window to the beginning of a row.
    #[inline(always)]
    pub(crate) fn begin_row(&mut self) {
        *self.window = [[0; LANES]; N];
        *self.left = [[0; LANES]; N];
        for products in self.above.iter().take(self.params.side) {
            slide(&mut self.window, Some(products), None);
        }
    }

    /// The prediction in Q6, less the sample to the left.
    #[inline(always)]
    pub(crate) fn predict_q6(&mut self, features: &[i32; N], x: usize) -> i64 {
        if x.is_multiple_of(self.params.block) {
            self.move_on(x / self.params.block);
        }
        predict_q6(&self.weights_q14, features, self.shift)
    }

    /// Moves the window on to a block, and finds weights for it.
    #[inline(always)]
    fn move_on(&mut self, block: usize) {
        let side = self.params.side;
        let gone = block.checked_sub(side + 1);
        let old = gone.map(|at| &self.above[at]);
        slide(&mut self.window, self.above.get(block + side), old);
        if let Some(last) = block.checked_sub(1) {
            self.current[last] = self.products(self.slot, last);
            let old = gone.map(|at| &self.current[at]);
            slide(&mut self.left, Some(&self.current[last]), old);
        }
        self.solve();
    }

    /// Learns the sample in column `x`, which is known now.
    #[inline(always)]
    pub(crate) fn update(&mut self, features: &[i32; N], target: i32, x: usize) {
        let mut vector = [0; LANES];
        let mut i = 0;
        while i < N {
            vector[i] = (features[i] >> self.shift) as i16;
            i += 1;
        }
        vector[N] = (target >> self.shift) as i16;
        let at = self.slot * self.row_pairs + x / 2;
        if x.is_multiple_of(2) {
            // Complete as it is, if the row ends here.
            self.history[at] = pair_of(&vector, &[0; LANES]);
            self.last = vector;
        } else {
            self.history[at] = pair_of(&self.last, &vector);
        }
    }

    /// Takes row `y`, which is complete, into those above, and the one that
    /// is out of reach now out of them. The first row does not count: what is
    /// above it is made up.
    #[inline(always)]
    pub(crate) fn end_row(&mut self, y: usize) {
        let blocks = self.above.len();
        let last = blocks - 1;
        self.current[last] = self.products(self.slot, last);
        let rows = self.params.rows + 1;
        let next = (self.slot + 1) % rows;
        for block in 0..blocks {
            let old = (y > self.params.rows).then(|| self.products(next, block));
            let new = (y > 0).then_some(&self.current[block]);
            slide(&mut self.above[block], new, old.as_ref());
        }
        self.slot = next;
    }

    /// Finds weights for the samples within reach.
    #[inline(always)]
    fn solve(&mut self) {
        let mut m = [[0.0f64; LANES]; N];
        let mut i = 0;
        while i < N {
            let mut j = 0;
            while j < LANES {
                m[i][j] = f64::from(self.window[i][j].wrapping_add(self.left[i][j]));
                j += 1;
            }
            m[i][i] += self.params.ridge;
            i += 1;
        }
        if let Some(weights_q14) = solve::<N, LANES>(&mut m, WEIGHT_Q) {
            self.weights_q14 = weights_q14;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::Field;
    use super::*;

    #[test]
    fn finds_a_rule_that_changes() {
        // Left half: twice the upper less the one above it; right half: the
        // left neighbour's mirror about its own left one.
        let (width, rows) = (40, 30);
        let mut field = Field::new(width, rows, &[100]);
        let stride = field.stride as isize;
        let offsets = [
            (-stride, -1),
            (-stride - 1, -1),
            (-2, -1),
            (-2 * stride, -1),
        ];
        let params = LocalParams {
            rows: 4,
            block: 2,
            side: 2,
            ridge: 1.0,
        };
        let mut ols = LocalOls::<4>::new(params, 8, width, Engine::new());
        let mut state = 1u32;
        let mut missed = 0;
        for y in 0..rows {
            field.begin_row(0, y);
            ols.begin_row();
            for x in 0..width {
                let base = field.row(0, y) + x;
                let at = |offset: isize| i32::from(field.samples[base.wrapping_add_signed(offset)]);
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let value = if y < 3 {
                    (state >> 24) as i32
                } else if x < width / 2 {
                    at(-stride)
                } else {
                    at(-stride - 1)
                };
                let features = std::array::from_fn(|i| at(offsets[i].0) - at(offsets[i].1));
                let predicted = i64::from(at(-1)) * 64 + ols.predict_q6(&features, x);
                if y > 8 && (x < width / 2 - 7 || x > width / 2 + 7) {
                    missed = missed.max(predicted.abs_diff(i64::from(value) * 64));
                }
                let target = value - at(-1);
                field.samples[base] = value as u16;
                ols.update(&features, target, x);
            }
            field.end_row(0, y);
            ols.end_row(y);
        }
        assert!(missed <= 64, "{missed}");
    }
}
