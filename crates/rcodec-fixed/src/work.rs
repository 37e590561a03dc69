//! Plain Rust compiled for the instructions of the CPU.

use crate::engine::Engine;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Isa, Kernel};

/// A computation in plain Rust that gains from being compiled for the CPU's
/// vector instructions: loops over slices that compilers vectorise.
///
/// Integers and IEEE floats give the same results at every level: Rust never
/// reorders or fuses floating-point operations.
pub trait Work {
    /// What it gives back.
    type Output;

    /// The computation. It and all hot functions below it must be
    /// `#[inline(always)]`: what is not inlined stays compiled for any CPU.
    fn run(self) -> Self::Output;
}

impl Engine {
    /// Runs `work` compiled for the level of this engine, as far as that pays
    /// for most: for AVX2 where the level is that or higher, as it is
    /// elsewhere.
    pub fn run<W: Work>(&self, work: W) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        {
            if self.level() != crate::Level::Scalar
                && let Some(isa) = Avx2::new()
            {
                return isa.run(Run(work));
            }
        }
        work.run()
    }

    /// As [`run`](Self::run), but compiled for AVX-512 where the level is that
    /// or higher: for loops over long arrays of floats or of 16-bit integers.
    pub fn run_wide<W: Work>(&self, work: W) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        if matches!(
            self.level(),
            crate::Level::Avx512 | crate::Level::Avx512Vnni
        ) && let Some(isa) = Avx512::new()
        {
            return isa.run(Run(work));
        }
        self.run(work)
    }
}

/// [`Work`] as a kernel that does not look at its token.
#[cfg(target_arch = "x86_64")]
struct Run<W>(W);

#[cfg(target_arch = "x86_64")]
impl<W: Work> Kernel for Run<W> {
    type Output = W::Output;
    #[inline(always)]
    fn call<I: Isa>(self, _: I) -> W::Output {
        self.0.run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    struct Dot<'a>(&'a [i16], &'a [i16]);

    impl Work for Dot<'_> {
        type Output = i32;
        #[inline(always)]
        fn run(self) -> i32 {
            let products = self.0.iter().zip(self.1);
            products.fold(0, |sum: i32, (&a, &b)| {
                sum.wrapping_add(i32::from(a) * i32::from(b))
            })
        }
    }

    #[test]
    fn every_level_computes_the_same() {
        let values: Vec<i16> = (0..1003i16).map(|i| i.wrapping_mul(7919)).collect();
        let results: Vec<i32> = Level::available()
            .into_iter()
            .filter_map(Engine::at)
            .map(|engine| engine.run(Dot(&values, &values[1..])))
            .collect();
        assert!(results.iter().all(|&sum| sum == results[0]));
    }
}
