//! Where layers run: at which instruction set, on how many threads.

use crate::kernel::products::Products;
use crate::simd::{Level, Simd};
use rayon::prelude::*;
use std::cell::RefCell;

/// Multiply-adds below which a layer does not call other threads.
const MIN_PARALLEL_WORK: u64 = 1 << 20;

/// What every layer computes with: an instruction set that this CPU is known
/// to have.
///
/// Work is split over the current rayon pool (`ThreadPool::install` chooses
/// another than the global one). Neither the level nor the number of threads
/// changes any result.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    simd: Simd,
}

impl Default for Engine {
    fn default() -> Self {
        Engine::new()
    }
}

impl Engine {
    /// The best level of this CPU, or the lower one that `RCODEC_CPU` asks for
    /// ([`Level::detect`]).
    pub fn new() -> Engine {
        let simd = Simd::new(Level::detect()).unwrap_or(Simd::Scalar(crate::simd::Scalar));
        Engine { simd }
    }

    /// A given level, if this CPU has it.
    pub fn at(level: Level) -> Option<Engine> {
        Simd::new(level).map(|simd| Engine { simd })
    }

    /// The level in use.
    pub fn level(&self) -> Level {
        self.simd.level()
    }

    /// Sums of products of columns, for least squares: `sums[i][j]` becomes
    /// the sum over all samples of column `i` times column `j`, modulo 2³².
    /// Only `j` from the multiple of 16 at or below `i` on is written; `C` is
    /// a multiple of 16.
    ///
    /// Samples come two at a time: `pairs[t][c]` has column `c` of samples
    /// `2t` and `2t + 1`.
    ///
    /// # Panics
    /// If there are more than `C` rows of sums.
    pub fn products<const C: usize>(&self, pairs: &[[[i16; 2]; C]], sums: &mut [[i32; C]]) {
        self.simd.run(Products { pairs, sums });
    }

    /// The token of the level.
    pub(crate) fn simd(&self) -> Simd {
        self.simd
    }

    /// Calls `compute(i, chunk)` for the `i`-th chunk of `chunk_len` outputs,
    /// on several threads if `work` (multiply-adds in all) is worth it.
    pub(crate) fn split<T: Send>(
        &self,
        out: &mut [T],
        chunk_len: usize,
        work: u64,
        compute: impl Fn(usize, &mut [T]) + Sync,
    ) {
        if chunk_len == 0 {
            return;
        }
        if work < MIN_PARALLEL_WORK || out.len() <= chunk_len || rayon::current_num_threads() == 1 {
            for (i, chunk) in out.chunks_mut(chunk_len).enumerate() {
                compute(i, chunk);
            }
        } else {
            out.par_chunks_mut(chunk_len)
                .enumerate()
                .for_each(|(i, chunk)| compute(i, chunk));
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
    static ROW_SCRATCH: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
    static BYTE_SCRATCH: RefCell<Vec<i8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the first `len` values of `scratch`.
fn lend<T: Default + Clone, R>(
    scratch: &RefCell<Vec<T>>,
    len: usize,
    use_it: impl FnOnce(&mut [T]) -> R,
) -> R {
    let mut scratch = scratch.borrow_mut();
    if scratch.len() < len {
        scratch.resize(len, T::default());
    }
    use_it(&mut scratch[..len])
}

/// Lends `len` values of this thread's scratch memory, their content
/// unspecified. Not to be nested: for what a kernel reads.
pub(crate) fn with_scratch<R>(len: usize, use_it: impl FnOnce(&mut [i16]) -> R) -> R {
    SCRATCH.with(|scratch| lend(scratch, len, use_it))
}

/// As [`with_scratch`], for the output of a layer inside a layer; the inner
/// one may use [`with_scratch`].
pub(crate) fn with_row_scratch<R>(len: usize, use_it: impl FnOnce(&mut [i16]) -> R) -> R {
    ROW_SCRATCH.with(|scratch| lend(scratch, len, use_it))
}

/// As [`with_scratch`], of bytes.
pub(crate) fn with_byte_scratch<R>(len: usize, use_it: impl FnOnce(&mut [i8]) -> R) -> R {
    BYTE_SCRATCH.with(|scratch| lend(scratch, len, use_it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_of_products_at_every_level() {
        let value = |n: usize| (n as u32).wrapping_mul(2_654_435_761) as i32 >> 16;
        for samples in [0, 1, 3, 8] {
            let pairs: Vec<[[i16; 2]; 32]> = (0..samples)
                .map(|t| std::array::from_fn(|c| [0, 1].map(|k| value(64 * t + 2 * c + k) as i16)))
                .collect();
            for level in Level::available() {
                let mut sums = [[7; 32]; 25];
                Engine::at(level).unwrap().products(&pairs, &mut sums);
                for (i, row) in sums.iter().enumerate() {
                    for (j, &sum) in row.iter().enumerate().skip(i / 16 * 16) {
                        let products = pairs.iter().flat_map(|pair| {
                            [0, 1].map(|k| i32::from(pair[i][k]) * i32::from(pair[j][k]))
                        });
                        assert_eq!(sum, products.fold(0, i32::wrapping_add), "{level:?}");
                    }
                }
            }
        }
    }
}
