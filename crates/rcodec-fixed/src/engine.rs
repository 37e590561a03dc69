//! Where layers run: at which instruction set, on how many threads.

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
