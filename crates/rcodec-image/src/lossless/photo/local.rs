//! Least squares over the window around a sample: the rows above it within
//! reach on both sides, and what is to the left in its own row.
//!
//! The products are exact integers, summed by column as the window moves down
//! and over columns as it moves on; only their solution is in IEEE doubles,
//! with `+ - * /` in a fixed order.

use super::field::Field;

/// Numbers in a row of products: up to fifteen features and the target.
const LANES: usize = 16;

/// Fraction bits of the weights.
const WEIGHT_Q: u32 = 16;

/// Features (and the target) multiplied by features.
type Products<const N: usize> = [[i32; LANES]; N];

/// How far a window reaches, and how much an expert is held back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalParams {
    /// Rows above, and columns on each side (rounded down to whole blocks).
    pub(crate) reach: usize,
    /// Columns of a block: the window moves from block to block.
    pub(crate) block: usize,
    /// Added to the diagonal, in squared sample units.
    pub(crate) ridge: f64,
}

/// Predicts a sample as a weighted sum of `N` (at most 15) features.
pub(crate) struct LocalOls<const N: usize> {
    params: LocalParams,
    /// Bits dropped from samples so that sums stay below 2^31.
    shift: u32,
    width: usize,
    /// Products of the rows above, by block of columns.
    above: Vec<Products<N>>,
    /// Products of this row.
    current: Vec<Products<N>>,
    /// The sum of those above over the blocks within reach.
    window: Box<Products<N>>,
    /// The sum of those to the left within reach.
    left: Box<Products<N>>,
    weights_q16: [i32; N],
}

/// Adds the products of one sample.
#[inline(always)]
fn add_products<const N: usize>(sums: &mut Products<N>, vector: &[i16; LANES]) {
    let mut i = 0;
    while i < N {
        let factor = i32::from(vector[i]);
        let row = &mut sums[i];
        let mut j = 0;
        while j < LANES {
            row[j] = row[j].wrapping_add(factor * i32::from(vector[j]));
            j += 1;
        }
        i += 1;
    }
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
    pub(crate) fn new(params: LocalParams, bits: u8, width: usize) -> Self {
        let zero = [[0; LANES]; N];
        let mut weights_q16 = [0; N];
        weights_q16[0] = 1 << (WEIGHT_Q - 1);
        weights_q16[1] = 1 << (WEIGHT_Q - 1);
        let blocks = width.div_ceil(params.block);
        LocalOls {
            params,
            shift: u32::from(bits.saturating_sub(10)),
            width,
            above: vec![zero; blocks],
            current: vec![zero; blocks],
            window: Box::new(zero),
            left: Box::new(zero),
            weights_q16,
        }
    }

    /// Features and target of the sample at `base`.
    #[inline(always)]
    fn vector(&self, field: &Field, offsets: &[(isize, isize)], base: usize) -> [i16; LANES] {
        let s = &field.samples;
        let sample = |offset: isize| i32::from(s[base.wrapping_add_signed(offset)]);
        let mut vector = [0; LANES];
        let mut i = 0;
        while i < N {
            let (plus, minus) = offsets[i];
            vector[i] = ((sample(plus) - sample(minus)) >> self.shift) as i16;
            i += 1;
        }
        vector[N] = ((sample(0) - sample(-1)) >> self.shift) as i16;
        vector
    }

    /// Blocks on each side within reach.
    #[inline(always)]
    fn reach_blocks(&self) -> usize {
        self.params.reach / self.params.block
    }

    /// Moves the window to the beginning of a row.
    #[inline(always)]
    pub(crate) fn begin_row(&mut self) {
        *self.window = [[0; LANES]; N];
        *self.left = [[0; LANES]; N];
        for products in self.above.iter().take(self.reach_blocks()) {
            slide(&mut self.window, Some(products), None);
        }
    }

    /// The prediction in Q6, less the sample to the left.
    #[inline(always)]
    pub(crate) fn predict_q6(&mut self, features: &[i32; N], x: usize) -> i64 {
        if x.is_multiple_of(self.params.block) {
            self.move_on(x / self.params.block);
        }
        let mut sum = 0i64;
        let mut i = 0;
        while i < N {
            sum += i64::from(self.weights_q16[i]) * i64::from(features[i]);
            i += 1;
        }
        (sum + (1 << (WEIGHT_Q - 7))) >> (WEIGHT_Q - 6)
    }

    /// Moves the window on to a block, and finds weights for it.
    #[inline(always)]
    fn move_on(&mut self, block: usize) {
        let reach = self.reach_blocks();
        let gone = block.checked_sub(reach + 1);
        let old = gone.map(|at| &self.above[at]);
        slide(&mut self.window, self.above.get(block + reach), old);
        if let Some(last) = block.checked_sub(1) {
            let old = gone.map(|at| &self.current[at]);
            slide(&mut self.left, Some(&self.current[last]), old);
        }
        self.current[block] = [[0; LANES]; N];
        self.solve();
    }

    /// Learns the sample in column `x` at `base`, which is known now.
    #[inline(always)]
    pub(crate) fn update(
        &mut self,
        field: &Field,
        offsets: &[(isize, isize)],
        base: usize,
        x: usize,
    ) {
        let vector = self.vector(field, offsets, base);
        add_products(&mut self.current[x / self.params.block], &vector);
    }

    /// Takes row `y`, whose first sample is at `base`, into those above, and
    /// the one that is out of reach now out of them. The first row does not
    /// count: what is above it has changed since.
    #[inline(always)]
    pub(crate) fn end_row(
        &mut self,
        field: &Field,
        offsets: &[(isize, isize)],
        base: usize,
        y: usize,
    ) {
        let back = self.params.reach * field.stride;
        for block in 0..self.above.len() {
            let mut old = [[0; LANES]; N];
            if y > self.params.reach {
                let first = block * self.params.block;
                let end = (first + self.params.block).min(self.width);
                for x in first..end {
                    let vector = self.vector(field, offsets, base + x - back);
                    add_products(&mut old, &vector);
                }
            }
            let new = (y > 0).then_some(&self.current[block]);
            slide(&mut self.above[block], new, Some(&old));
        }
    }

    /// Gaussian elimination without pivoting: the matrix is symmetric and
    /// positive definite.
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
        let mut inverse = [0.0; N];
        let mut k = 0;
        while k < N {
            let pivot = m[k];
            if pivot[k] <= 1e-6 {
                return;
            }
            inverse[k] = 1.0 / pivot[k];
            let mut i = k + 1;
            while i < N {
                let factor = pivot[i] * inverse[k];
                let row = &mut m[i];
                // Four at a time; what is before column `i` is not looked at.
                let mut quad = i / 4;
                while quad < LANES / 4 {
                    let mut j = 4 * quad;
                    while j < 4 * quad + 4 {
                        row[j] -= factor * pivot[j];
                        j += 1;
                    }
                    quad += 1;
                }
                i += 1;
            }
            k += 1;
        }
        let mut rest = [0.0; N];
        let mut i = 0;
        while i < N {
            rest[i] = m[i][N];
            i += 1;
        }
        let mut i = N;
        while i > 0 {
            i -= 1;
            let weight = rest[i] * inverse[i];
            let mut above = 0;
            while above < i {
                rest[above] -= m[above][i] * weight;
                above += 1;
            }
            // A cast saturates, and turns what is not a number into 0.
            self.weights_q16[i] = (weight * f64::from(1 << WEIGHT_Q)).clamp(-2e6, 2e6) as i32;
        }
    }
}

#[cfg(test)]
mod tests {
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
            reach: 4,
            block: 2,
            ridge: 1.0,
        };
        let mut ols = LocalOls::<4>::new(params, 8, width);
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
                field.samples[base] = value as u16;
                ols.update(&field, &offsets, base, x);
            }
            field.end_row(0, y);
            let base = field.row(0, y);
            ols.end_row(&field, &offsets, base, y);
        }
        assert!(missed <= 64, "{missed}");
    }
}
