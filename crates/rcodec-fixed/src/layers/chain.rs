//! Several matrices one after another for single vectors: small networks that
//! run once for each sample, where calls cost more than products.

use super::matrix::WordMatrix;
use crate::engine::Engine;
use crate::kernel::gemm::Gemm;
use crate::kernel::pack::{PANEL, Words};
use crate::kernel::sink::Requantize;
use crate::residual::Residual;
use crate::simd::{Isa, Kernel};
use rcodec_core::{Error, Result};

/// Matrices whose outputs are the inputs of the next, at most 64 of them, in one
/// kernel.
#[derive(Clone, Debug)]
pub struct WordChain(Vec<WordMatrix>);

impl WordChain {
    /// Checks that they fit each other.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are none, for gates, for odd numbers of
    /// inputs, for more than 64 outputs, and if one has other inputs than the
    /// one before has outputs, or may get larger ones than it was made for.
    pub fn new(matrices: Vec<WordMatrix>) -> Result<WordChain> {
        let follow = matrices.windows(2).all(|pair| {
            let range = pair[0].output_range();
            pair[1].inputs() == pair[0].outputs() && range.max_abs() <= pair[1].input_max()
        });
        let simple = |matrix: &WordMatrix| {
            !matrix.affine().is_gated()
                && matrix.inputs().is_multiple_of(2)
                && matrix.outputs() <= PANEL
        };
        if matrices.is_empty() || !follow || !matrices.iter().all(simple) {
            return Err(Error::parameter("matrices that make no chain"));
        }
        Ok(WordChain(matrices))
    }

    /// Multiplies one vector by all matrices, with what they do to sums.
    ///
    /// # Errors
    /// [`Error::Parameter`] for vectors of other lengths.
    #[inline]
    pub fn apply(&self, engine: &Engine, input: &[i16], out: &mut [i16]) -> Result<()> {
        let inputs = self.0.first().map(WordMatrix::inputs);
        let outputs = self.0.last().map(WordMatrix::outputs);
        if inputs != Some(input.len()) || outputs != Some(out.len()) {
            return Err(Error::parameter(
                "vectors of other lengths than the chain's",
            ));
        }
        let matrices = &self.0;
        engine.simd().run(Chain {
            matrices,
            input,
            out,
        });
        Ok(())
    }
}

/// A chain and its vectors, whose lengths are right.
struct Chain<'a> {
    matrices: &'a [WordMatrix],
    input: &'a [i16],
    out: &'a mut [i16],
}

impl Kernel for Chain<'_> {
    type Output = ();

    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        let mut sums = Gemm::<Words, Requantize<'_>>::sums();
        let mut vectors = [[0i16; PANEL]; 2];
        for (i, matrix) in self.matrices.iter().enumerate() {
            let (from, to) = vectors.split_at_mut(1);
            let (from, to) = match i % 2 {
                0 => (&from[0], &mut to[0]),
                _ => (&to[0], &mut from[0]),
            };
            let input = if i == 0 {
                self.input
            } else {
                &from[..matrix.inputs()]
            };
            let out = if i + 1 == self.matrices.len() {
                &mut self.out[..]
            } else {
                &mut to[..matrix.outputs()]
            };
            let affine = matrix.affine();
            let gemm = Gemm {
                product: affine.product((input, input.len(), &[0]), affine.start(), 1),
                sink: affine.requantize(Residual::None, out),
            };
            gemm.run_with(isa, &mut sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::WordMatrixSpec;
    use crate::requant::{Activation, Requant};
    use crate::simd::Level;

    fn matrix(inputs: usize, outputs: usize, seed: i64, input_max: u32) -> WordMatrix {
        let weight = |i: usize| ((i as i64 * 7919 + seed * 104_729) % 601 - 300) as i16;
        WordMatrix::new(&WordMatrixSpec {
            inputs,
            outputs,
            weights: (0..inputs * outputs).map(weight).collect(),
            requant: Requant::uniform(outputs, 9, Activation::relu(900)),
            gate: None,
            input_max,
        })
        .unwrap()
    }

    #[test]
    fn a_chain_is_its_matrices_one_by_one() {
        for sizes in [[86, 64, 32, 2], [2, 6, 50, 17], [128, 2, 2, 64]] {
            let matrices: Vec<WordMatrix> = (0..3)
                .map(|i| matrix(sizes[i], sizes[i + 1], i as i64, 2048))
                .collect();
            let chain = WordChain::new(matrices.clone()).unwrap();
            let input: Vec<i16> = (0..sizes[0])
                .map(|i| (i * 977 % 4096) as i16 - 2048)
                .collect();
            for engine in Level::available().into_iter().filter_map(Engine::at) {
                let mut expected = input.clone();
                for matrix in &matrices {
                    let mut out = vec![0; matrix.outputs()];
                    matrix
                        .apply(&engine, &expected, Residual::None, &mut out)
                        .unwrap();
                    expected = out;
                }
                let mut out = vec![-1; sizes[3]];
                chain.apply(&engine, &input, &mut out).unwrap();
                assert_eq!(out, expected, "{:?}", engine.level());
                assert!(chain.apply(&engine, &input[1..], &mut out).is_err());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let chain = |matrices: Vec<WordMatrix>| WordChain::new(matrices);
        assert!(chain(Vec::new()).is_err());
        assert!(chain(vec![matrix(4, 6, 1, 9), matrix(4, 2, 1, 2048)]).is_err());
        // The second one's sums are proved for smaller inputs only.
        assert!(chain(vec![matrix(4, 6, 1, 900), matrix(6, 2, 1, 9)]).is_err());
        assert!(chain(vec![matrix(3, 6, 1, 9)]).is_err());
        assert!(chain(vec![matrix(4, 66, 1, 9)]).is_err());
        assert!(chain(vec![matrix(4, 64, 1, 9)]).is_ok());
    }
}
