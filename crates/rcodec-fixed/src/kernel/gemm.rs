//! The matrix kernel: every convolution and matrix product runs on it.
//!
//! Row `r` of the left matrix is not stored as such: it is the concatenation
//! of segments of the activations, `activations[r·row_stride + segment..]`,
//! one for each row of a convolution's window. So no layer needs an im2col
//! copy.

use super::pack::{Operand, PANEL, Packed};
use crate::simd::{Isa, Kernel, LANES_I32};

/// Rows of the largest tile.
const TILE_ROWS: usize = 6;
/// Rows whose activations should stay in the first-level cache while all the
/// panels pass by; a multiple of [`TILE_ROWS`].
const ROWS_PER_PASS: usize = 48;

/// Sums of a tile: `[row][PANEL]`.
pub(crate) type TileSums = [i32; TILE_ROWS * PANEL];

/// What becomes of the sums.
pub(crate) trait Sink {
    /// Takes the sums of rows `row..row + rows`, slots `slot..slot + slots`
    /// (`slots` is a multiple of 16); row `i` begins at `sums[i · PANEL]`.
    fn emit<I: Isa>(
        &mut self,
        isa: I,
        row: usize,
        rows: usize,
        slot: usize,
        slots: usize,
        sums: &TileSums,
    );
}

/// One matrix product `rows × (segments · segment_len)` by packed weights.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, O: Operand> {
    weights: &'a Packed<O>,
    start: &'a [i32],
    activations: &'a [O::Elem],
    rows: usize,
    row_stride: usize,
    segments: &'a [usize],
    segment_groups: usize,
}

impl<'a, O: Operand> Product<'a, O> {
    /// A product whose sums start at `start`, one value for each slot of
    /// `weights`.
    ///
    /// # Panics
    /// If the segments reach beyond `activations` or do not add up to the
    /// inputs of `weights`: an error in this crate, since layers check the
    /// shapes that callers give.
    pub(crate) fn new(
        weights: &'a Packed<O>,
        start: &'a [i32],
        activations: &'a [O::Elem],
        rows: usize,
        row_stride: usize,
        segments: &'a [usize],
    ) -> Self {
        assert!(!segments.is_empty() && weights.groups().is_multiple_of(segments.len()));
        let segment_groups = weights.groups() / segments.len();
        assert!(start.len() >= weights.blocks() * LANES_I32);
        if rows > 0 {
            let farthest = segments.iter().copied().max().unwrap_or(0);
            let end = (rows - 1)
                .checked_mul(row_stride)
                .and_then(|last| last.checked_add(farthest))
                .and_then(|last| last.checked_add(segment_groups * O::GROUP));
            assert!(end.is_some_and(|end| end <= activations.len()));
        }
        Product {
            weights,
            start,
            activations,
            rows,
            row_stride,
            segments,
            segment_groups,
        }
    }
}

/// A product together with what becomes of it.
pub(crate) struct Gemm<'a, O: Operand, S: Sink> {
    pub(crate) product: Product<'a, O>,
    pub(crate) sink: S,
}

impl<O: Operand, S: Sink> Kernel for Gemm<'_, O, S> {
    type Output = ();

    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        self.run_with(isa, &mut Self::sums());
    }
}

impl<O: Operand, S: Sink> Gemm<'_, O, S> {
    /// Sums of a tile.
    #[inline(always)]
    pub(crate) fn sums() -> TileSums {
        [0; TILE_ROWS * PANEL]
    }

    /// The product, with room for the sums of a tile.
    #[inline(always)]
    pub(crate) fn run_with<I: Isa>(mut self, isa: I, sums: &mut TileSums) {
        let product = self.product;
        let mut pass = 0;
        while pass < product.rows {
            let pass_end = product.rows.min(pass + ROWS_PER_PASS);
            let mut block = 0;
            while block < product.weights.blocks() {
                let (lines, width) = product.weights.panel(block);
                let slot = block * LANES_I32;
                let start = &product.start[slot..slot + width * LANES_I32];
                let mut row = pass;
                while row < pass_end {
                    let rows = tile_rows(pass_end - row);
                    product.tile(isa, row, rows, lines, width, start, sums);
                    let slots = width * LANES_I32;
                    self.sink.emit(isa, row, rows, slot, slots, sums);
                    row += rows;
                }
                block += width;
            }
            pass = pass_end;
        }
    }
}

/// How many of `left` rows the next tile takes: 1, 2, 4 or 6.
#[inline(always)]
fn tile_rows(left: usize) -> usize {
    match left {
        0..=2 => left,
        3 => 2,
        4 | 5 | 8 => 4,
        _ => TILE_ROWS,
    }
}

impl<O: Operand> Product<'_, O> {
    /// The sums of `rows` rows (see [`tile_rows`]) and one panel.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn tile<I: Isa>(
        &self,
        isa: I,
        row: usize,
        rows: usize,
        lines: &[O::Line],
        width: usize,
        start: &[i32],
        sums: &mut TileSums,
    ) {
        assert!(row + rows <= self.rows);
        // SAFETY: rows `row..row + rows` are rows of this product, whose reach
        // `Product::new` has checked.
        unsafe {
            if I::WIDE {
                match rows {
                    1 => self.panel_tile::<I, 1, 4, 4>(isa, row, lines, width, start, sums),
                    2 => self.panel_tile::<I, 2, 4, 2>(isa, row, lines, width, start, sums),
                    4 => self.panel_tile::<I, 4, 4, 1>(isa, row, lines, width, start, sums),
                    _ => {
                        assert_eq!(rows, TILE_ROWS);
                        self.panel_tile::<I, TILE_ROWS, 4, 1>(isa, row, lines, width, start, sums);
                    }
                }
            } else {
                match rows {
                    1 => self.panel_tile::<I, 1, 4, 1>(isa, row, lines, width, start, sums),
                    2 => self.panel_tile::<I, 2, 1, 1>(isa, row, lines, width, start, sums),
                    4 => self.panel_tile::<I, 4, 1, 1>(isa, row, lines, width, start, sums),
                    _ => {
                        assert_eq!(rows, TILE_ROWS);
                        self.panel_tile::<I, TILE_ROWS, 1, 1>(isa, row, lines, width, start, sums);
                    }
                }
            }
        }
    }

    /// Sums the blocks of a panel, up to `TOGETHER` at once: as many as the
    /// registers hold accumulators for.
    ///
    /// # Safety
    /// Rows `row..row + ROWS` are rows of this product.
    #[inline(always)]
    unsafe fn panel_tile<I: Isa, const ROWS: usize, const TOGETHER: usize, const UNROLL: usize>(
        &self,
        isa: I,
        row: usize,
        lines: &[O::Line],
        width: usize,
        start: &[i32],
        sums: &mut TileSums,
    ) {
        let mut block = 0;
        while block < width {
            let blocks = TOGETHER.min(width - block);
            // SAFETY: the caller's promise is `block_tile`'s.
            unsafe {
                if TOGETHER >= 4 && blocks == 4 {
                    self.block_tile::<I, ROWS, 4, UNROLL>(
                        isa, row, lines, width, block, start, sums,
                    );
                } else if TOGETHER >= 4 && blocks == 3 {
                    self.block_tile::<I, ROWS, 3, UNROLL>(
                        isa, row, lines, width, block, start, sums,
                    );
                } else if TOGETHER >= 2 && blocks == 2 {
                    self.block_tile::<I, ROWS, 2, UNROLL>(
                        isa, row, lines, width, block, start, sums,
                    );
                } else {
                    assert_eq!(blocks, 1);
                    self.block_tile::<I, ROWS, 1, UNROLL>(
                        isa, row, lines, width, block, start, sums,
                    );
                }
            }
            block += blocks;
        }
    }

    /// The sums of `ROWS` rows and blocks `block..block + BLOCKS` of a panel
    /// of `width` blocks, kept in registers. Sums of few rows are split in
    /// `UNROLL` chains, so that they do not wait for each other.
    ///
    /// # Safety
    /// Rows `row..row + ROWS` are rows of this product.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
    unsafe fn block_tile<I: Isa, const ROWS: usize, const BLOCKS: usize, const UNROLL: usize>(
        &self,
        isa: I,
        row: usize,
        lines: &[O::Line],
        width: usize,
        block: usize,
        start: &[i32],
        sums: &mut TileSums,
    ) {
        assert!(lines.len() == width * self.weights.groups() && block + BLOCKS <= width);
        let mut acc = [[[isa.splat32(0); BLOCKS]; ROWS]; UNROLL];
        for n in 0..BLOCKS {
            let start = isa.load32(&start[(block + n) * LANES_I32..][..LANES_I32]);
            for m in 0..ROWS {
                acc[0][m][n] = start;
            }
        }
        let base = self.activations.as_ptr();
        let mut line = lines.as_ptr();
        for &segment in self.segments {
            let mut x = [base; ROWS];
            for m in 0..ROWS {
                // SAFETY: inside `activations`, as `Product::new` has checked
                // for every row and segment.
                x[m] = unsafe { base.add((row + m) * self.row_stride + segment) };
            }
            let mut group = 0;
            while group + UNROLL <= self.segment_groups {
                for u in 0..UNROLL {
                    // SAFETY: `group + u < segment_groups`: the row's segment
                    // has that group (`Product::new`), and the panel its
                    // `width` lines (one of each for every group of every
                    // segment, asserted above).
                    unsafe {
                        step::<I, O, ROWS, BLOCKS>(isa, &mut acc[u], &x, group + u, line.add(block))
                    };
                    // SAFETY: at most one past the panel's end.
                    line = unsafe { line.add(width) };
                }
                group += UNROLL;
            }
            while group < self.segment_groups {
                // SAFETY: as above.
                unsafe { step::<I, O, ROWS, BLOCKS>(isa, &mut acc[0], &x, group, line.add(block)) };
                // SAFETY: at most one past the panel's end.
                line = unsafe { line.add(width) };
                group += 1;
            }
        }
        for m in 0..ROWS {
            for n in 0..BLOCKS {
                let mut sum = acc[0][m][n];
                for part in acc.iter().skip(1) {
                    sum = isa.add32(sum, part[m][n]);
                }
                isa.store32(
                    sum,
                    &mut sums[m * PANEL + (block + n) * LANES_I32..][..LANES_I32],
                );
            }
        }
    }
}

/// Adds the products of one group of inputs.
///
/// # Safety
/// Every pointer of `x` has `group + 1` groups, and `line` has `BLOCKS` lines.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn step<I: Isa, O: Operand, const ROWS: usize, const BLOCKS: usize>(
    isa: I,
    acc: &mut [[I::I32; BLOCKS]; ROWS],
    x: &[*const O::Elem; ROWS],
    group: usize,
    line: *const O::Line,
) {
    // SAFETY: the caller's promise; lines are aligned, being in a slice of
    // them.
    unsafe {
        let mut w = [O::load(isa, &*line); BLOCKS];
        for n in 1..BLOCKS {
            w[n] = O::load(isa, &*line.add(n));
        }
        for m in 0..ROWS {
            let x = O::splat(isa, x[m].add(group * O::GROUP));
            for n in 0..BLOCKS {
                acc[m][n] = O::dot(isa, acc[m][n], x, w[n]);
            }
        }
    }
}
