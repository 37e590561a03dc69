//! Probabilities of bits after some contexts, learned directly.
//!
//! A bit history says what came lately, and stands for many contexts at once;
//! where a context has been seen a hundred times, its own probability is known
//! better. A context's probabilities of half a byte share a cache line; there
//! are no checks, so contexts may meet in one line.

use rcodec_core::{Budget, Reservation, Result};
use rcodec_entropy::logistic::stretch;
use rcodec_entropy::{BitModel, CountedBit};
use rcodec_fixed::{prefer_large_pages, prefetch};

/// Contexts.
pub(crate) const DIRECT: usize = 4;
/// Cells of a line: 64 bytes.
const CELLS: usize = 16;

type Cell = CountedBit<1023>;

/// The table.
pub(crate) struct Direct {
    /// Cells, exclusive-or what they begin with, so that zeros from the system
    /// are a new table; the first line stands at `first`, where a cache line
    /// begins.
    cells: Vec<u32>,
    first: usize,
    mask: usize,
    fresh: u32,
    lines: [usize; DIRECT],
    _reservation: Reservation,
}

impl Direct {
    /// Memory of a table of `2^bits` lines.
    pub(crate) fn bytes(bits: u32) -> u64 {
        (((1 << bits) + 1) * CELLS * 4) as u64
    }

    /// A table of `2^bits` lines that knows nothing.
    pub(crate) fn new(bits: u32, budget: &Budget) -> Result<Self> {
        let reservation = budget.reserve(Self::bytes(bits))?;
        let cells = vec![0u32; ((1 << bits) + 1) * CELLS];
        prefer_large_pages(&cells);
        let first = cells.as_ptr().align_offset(64).min(CELLS);
        Ok(Direct {
            cells,
            first,
            mask: (1 << bits) - 1,
            fresh: Cell::default().to_bits(),
            lines: [0; DIRECT],
            _reservation: reservation,
        })
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.cells.fill(0);
    }

    /// Chooses the lines of a half byte by hashes of the contexts, and asks the
    /// cache for them.
    #[inline(always)]
    pub(crate) fn select(&mut self, hashes: [u32; DIRECT], partial: u32) {
        for (line, hash) in self.lines.iter_mut().zip(hashes) {
            let mixed = (hash ^ partial.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x2c1b_3c6d);
            *line = self.first + ((mixed ^ mixed >> 15) as usize & self.mask) * CELLS;
            prefetch(&self.cells[*line]);
        }
    }

    /// Sets the inputs for the bit of number `node` in its half.
    #[inline(always)]
    pub(crate) fn predict(&self, node: usize, x: &mut [i16]) {
        for (line, x) in self.lines.iter().zip(x) {
            let cell = Cell::from_bits(self.cells[line + node] ^ self.fresh);
            *x = stretch(cell.p1_q16()) as i16;
        }
    }

    /// Learns the bit that came.
    #[inline(always)]
    pub(crate) fn update(&mut self, node: usize, bit: bool) {
        for line in &self.lines {
            let stored = &mut self.cells[line + node];
            let mut cell = Cell::from_bits(*stored ^ self.fresh);
            cell.update(bit);
            *stored = cell.to_bits() ^ self.fresh;
        }
    }
}
