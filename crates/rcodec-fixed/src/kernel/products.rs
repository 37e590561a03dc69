//! Sums of products of columns over rows: what least squares is made of.

use crate::simd::{Isa, Kernel, LANES_I32};

/// `sums[i][j]` becomes the sum over samples of column `i` times column `j`,
/// modulo 2³², for `j` from the multiple of 16 at or below `i` on.
pub(crate) struct Products<'a, const C: usize> {
    /// Two samples at a time: for every column, its value in one and in the
    /// other.
    pub(crate) pairs: &'a [[[i16; 2]; C]],
    pub(crate) sums: &'a mut [[i32; C]],
}

impl<const C: usize> Kernel for Products<'_, C> {
    type Output = ();

    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        const { assert!(C > 0 && C.is_multiple_of(LANES_I32)) }
        assert!(self.sums.len() <= C);
        for (i, row) in self.sums.iter_mut().enumerate() {
            let mut block = i / LANES_I32 * LANES_I32;
            while block < C {
                let mut sum = isa.splat32(0);
                for pair in self.pairs {
                    // SAFETY: `i` and `block + 15` are below `C`, so that one
                    // pair and sixteen pairs of values can be read.
                    let (x, w) = unsafe {
                        (
                            isa.splat_words(pair.as_ptr().add(i).cast()),
                            isa.load_words(pair.as_ptr().add(block).cast()),
                        )
                    };
                    sum = isa.dot_words(sum, x, w);
                }
                isa.store32(sum, &mut row[block..block + LANES_I32]);
                block += LANES_I32;
            }
        }
    }
}
