//! Space to depth and back.

use super::{Layer, Residual, check_lengths};
use crate::engine::Engine;
use crate::requant::Range;
use crate::tensor::{QFormat, Shape};
use rcodec_core::{Error, Result};

/// The largest factor.
const MAX_FACTOR: usize = 64;

/// Fails unless the factor is 1 to 64.
fn check_factor(factor: usize) -> Result<usize> {
    if !(1..=MAX_FACTOR).contains(&factor) {
        return Err(Error::Parameter(format!("shuffle by {factor}")));
    }
    Ok(factor)
}

/// Depth to space: each position becomes a square of `factor · factor`.
///
/// Channel `(dy · factor + dx) · channels + c` of the input is channel `c` of
/// position `(dy, dx)` in the square. (PyTorch and burn order the channels
/// `c · factor² + dy · factor + dx`: an exporter permutes the outputs of the
/// layer before.)
#[derive(Clone, Copy, Debug)]
pub struct PixelShuffle {
    factor: usize,
    q: QFormat,
}

/// Space to depth: the inverse of [`PixelShuffle`], with its order of
/// channels. Where the factor does not divide the height or the width, the
/// last rows or columns are repeated.
#[derive(Clone, Copy, Debug)]
pub struct PixelUnshuffle {
    factor: usize,
    q: QFormat,
}

impl PixelShuffle {
    /// A shuffle by `factor`, 1 to 64, of values of any scale `q`.
    pub fn new(factor: usize, q: QFormat) -> Result<PixelShuffle> {
        let factor = check_factor(factor)?;
        Ok(PixelShuffle { factor, q })
    }
}

impl PixelUnshuffle {
    /// The inverse of a shuffle by `factor`, 1 to 64.
    pub fn new(factor: usize, q: QFormat) -> Result<PixelUnshuffle> {
        let factor = check_factor(factor)?;
        Ok(PixelUnshuffle { factor, q })
    }
}

/// The shape that a shuffle by `factor` gives.
pub(crate) fn shuffled_shape(input: Shape, factor: usize) -> Result<Shape> {
    if !input.channels.is_multiple_of(factor * factor) {
        return Err(Error::Parameter(format!(
            "shuffle by {factor} of {} channels",
            input.channels
        )));
    }
    let too_large = || Error::Limit("tensor size");
    Shape::new(
        input.height.checked_mul(factor).ok_or_else(too_large)?,
        input.width.checked_mul(factor).ok_or_else(too_large)?,
        input.channels / (factor * factor),
    )
}

/// Spreads one row of `input` (positions of `factor² · channels`) over
/// `factor` rows.
pub(crate) fn shuffle_row(input: &[i16], factor: usize, channels: usize, out: &mut [i16]) {
    let run = factor * channels;
    let out_row = out.len() / factor;
    for (x, position) in input.chunks_exact(factor * run).enumerate() {
        for (dy, values) in position.chunks_exact(run).enumerate() {
            out[dy * out_row + x * run..][..run].copy_from_slice(values);
        }
    }
}

impl Layer for PixelShuffle {
    fn input_q(&self) -> QFormat {
        self.q
    }

    fn output_q(&self) -> QFormat {
        self.q
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        shuffled_shape(input, self.factor)
    }

    fn output_range(&self) -> Range {
        Range::FULL
    }

    fn work(&self, input: Shape) -> u64 {
        // A value moved counts as a multiply-add.
        input.saturating_len()
    }

    fn run(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()> {
        let output = self.output_shape(shape)?;
        check_lengths(shape, input, output, out)?;
        residual.check(out.len())?;
        let row_len = shape.width * shape.channels;
        engine.split(out, row_len, shape.saturating_len(), |row, out| {
            let input = &input[row * row_len..][..row_len];
            let residual = residual.part(row * row_len, row_len);
            residual.add_to(engine, out, |out| {
                shuffle_row(input, self.factor, output.channels, out);
            });
        });
        Ok(())
    }
}

impl Layer for PixelUnshuffle {
    fn input_q(&self) -> QFormat {
        self.q
    }

    fn output_q(&self) -> QFormat {
        self.q
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        let channels = input
            .channels
            .checked_mul(self.factor * self.factor)
            .ok_or(Error::Limit("tensor size"))?;
        Shape::new(
            input.height.div_ceil(self.factor),
            input.width.div_ceil(self.factor),
            channels,
        )
    }

    fn output_range(&self) -> Range {
        Range::FULL
    }

    fn work(&self, input: Shape) -> u64 {
        // A value moved counts as a multiply-add.
        input.saturating_len()
    }

    fn run(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()> {
        let output = self.output_shape(shape)?;
        check_lengths(shape, input, output, out)?;
        residual.check(out.len())?;
        let row_len = output.width * output.channels;
        engine.split(out, row_len, shape.saturating_len(), |row, out| {
            let residual = residual.part(row * row_len, row_len);
            residual.add_to(engine, out, |out| {
                self.gather_row(shape, input, row, output.channels, out);
            });
        });
        Ok(())
    }
}

impl PixelUnshuffle {
    /// Row `row` of the output.
    fn gather_row(
        &self,
        shape: Shape,
        input: &[i16],
        row: usize,
        channels: usize,
        out: &mut [i16],
    ) {
        let run = self.factor * shape.channels;
        let row_len = shape.width * shape.channels;
        for (x, position) in out.chunks_exact_mut(channels).enumerate() {
            for (dy, values) in position.chunks_exact_mut(run).enumerate() {
                let y = (row * self.factor + dy).min(shape.height - 1);
                let source = &input[y * row_len..][..row_len];
                let source = &source[x * run..row_len.min((x + 1) * run)];
                let (inside, beyond) = values.split_at_mut(source.len());
                inside.copy_from_slice(source);
                let last = &source[source.len() - shape.channels..];
                for pixel in beyond.chunks_exact_mut(shape.channels) {
                    pixel.copy_from_slice(last);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Padding;
    use super::super::test_support::{
        Values, assert_layer, assert_threads, cases, counted, padded, tame,
    };
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases(256))]

        fn unshuffling_follows_the_formula_and_shuffling_undoes_it_cases(
            seed: u64,
            (height, width, channels) in (1usize..20, 1usize..20, 1usize..5),
            factor in 1usize..9,
        ) {
            let (height, width) = (tame(height, 5), tame(width, 5));
            let shape = Shape::new(height, width, channels).unwrap();
            let input = Values::new(seed).extreme_words(height * width * channels);
            let unshuffle = PixelUnshuffle::new(factor, QFormat::INTEGER).unwrap();
            let deep = unshuffle.output_shape(shape).unwrap();
            let mut expected = Vec::new();
            for y in 0..deep.height {
                for x in 0..deep.width {
                    for c in 0..deep.channels {
                        let (tap, channel) = (c / channels, c % channels);
                        let row = (y * factor + tap / factor) as isize;
                        let column = (x * factor + tap % factor) as isize;
                        let value = padded(&input, shape, Padding::Replicate, row, column, channel);
                        expected.push(value as i16);
                    }
                }
            }
            assert_layer(&unshuffle, shape, &input, &expected);

            let shuffle = PixelShuffle::new(factor, QFormat::INTEGER).unwrap();
            let flat = shuffle.output_shape(deep).unwrap();
            let mut back = Vec::new();
            for row in 0..flat.height as isize {
                for column in 0..flat.width as isize {
                    for c in 0..channels {
                        back.push(padded(&input, shape, Padding::Replicate, row, column, c) as i16);
                    }
                }
            }
            assert_layer(&shuffle, deep, &expected, &back);
        }
    }

    #[test]
    fn unshuffling_follows_the_formula_and_shuffling_undoes_it() {
        counted(
            "pixel-unshuffle and shuffle",
            unshuffling_follows_the_formula_and_shuffling_undoes_it_cases,
        );
    }

    #[test]
    #[cfg_attr(miri, ignore = "too large")]
    fn threads_change_nothing() {
        let shape = Shape::new(200, 150, 48).unwrap();
        let input = Values::new(1).extreme_words(shape.checked_len().unwrap());
        let q = QFormat::INTEGER;
        assert_threads(&PixelShuffle::new(4, q).unwrap(), shape, &input);
        assert_threads(&PixelUnshuffle::new(8, q).unwrap(), shape, &input);
    }

    #[test]
    fn impossible_factors_are_refused() {
        let q = QFormat::INTEGER;
        assert!(PixelShuffle::new(0, q).is_err());
        assert!(PixelUnshuffle::new(65, q).is_err());
        let shuffle = PixelShuffle::new(2, q).unwrap();
        assert!(shuffle.output_shape(Shape::new(1, 1, 6).unwrap()).is_err());
    }
}
