//! Up-sampling: a convolution whose channels are spread over squares, and
//! transposed convolution as one of those.

use super::shuffle::{shuffle_row, shuffled_shape};
use super::{Conv2d, Conv2dSpec, Layer, Padding, Residual, check_lengths};
use crate::engine::{Engine, with_row_scratch};
use crate::requant::{Range, Requant};
use crate::tensor::{QFormat, Shape};
use rcodec_core::{Error, Result};

/// A convolution of stride 1 followed by a [`PixelShuffle`](super::PixelShuffle),
/// in one pass.
#[derive(Clone, Debug)]
pub struct ConvPixelShuffle {
    conv: Conv2d,
    factor: usize,
}

impl ConvPixelShuffle {
    /// The convolution `spec`, of stride 1, and a shuffle by `factor`.
    pub fn new(spec: &Conv2dSpec, factor: usize) -> Result<ConvPixelShuffle> {
        let conv = Conv2d::new(spec)?;
        if spec.stride != 1 {
            return Err(Error::parameter("strided convolution before a shuffle"));
        }
        let one = Shape::new(1, 1, spec.in_channels)?;
        super::PixelShuffle::new(factor, spec.output_q)?.output_shape(conv.output_shape(one)?)?;
        Ok(ConvPixelShuffle { conv, factor })
    }
}

impl Layer for ConvPixelShuffle {
    fn input_q(&self) -> QFormat {
        self.conv.input_q()
    }

    fn output_q(&self) -> QFormat {
        self.conv.output_q()
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        shuffled_shape(self.conv.output_shape(input)?, self.factor)
    }

    fn output_range(&self) -> Range {
        self.conv.output_range()
    }

    fn work(&self, input: Shape) -> u64 {
        self.conv.work(input)
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
        // One row of the convolution is `factor` rows of the output.
        let row_len = self.factor * output.width * output.channels;
        engine.split(out, row_len, self.work(shape), |row, out| {
            with_row_scratch(row_len, |deep| {
                self.conv.run_row(engine, shape, input, row, deep);
                let residual = residual.part(row * row_len, row_len);
                residual.add_to(engine, out, |out| {
                    shuffle_row(deep, self.factor, output.channels, out);
                });
            });
        });
        Ok(())
    }
}

/// Description of a transposed convolution that doubles height and width, for
/// [`ConvPixelShuffle::transposed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransposedConv2dSpec {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Width and height of the kernel: 2, 3, 4 or 5. The padding is that which
    /// gives exactly twice the size: 0 for 2, 1 for 3 (and an output padding
    /// of 1) and 4, 2 for 5 (and an output padding of 1).
    pub kernel: usize,
    /// `[out][row][column][in]`; input `(i, j)` times the weight at `(row,
    /// column)` is added to output `(2i + row - padding, 2j + column -
    /// padding)`.
    pub weights: Vec<i16>,
    /// Biases, shifts and activation of the outputs.
    pub requant: Requant,
    /// The largest magnitude of an input, 1 to 32768.
    pub input_max: u32,
    /// Scale of the input.
    pub input_q: QFormat,
    /// Scale of the output.
    pub output_q: QFormat,
}

impl TransposedConv2dSpec {
    /// The same map as a convolution to four times the channels, one set for
    /// each of the outputs' four phases.
    fn to_conv(&self) -> Result<Conv2dSpec> {
        let weights = self
            .in_channels
            .checked_mul(self.kernel.saturating_mul(self.kernel))
            .and_then(|window| window.checked_mul(self.out_channels));
        let is_possible = self.in_channels > 0
            && self.out_channels > 0
            && (2..=5).contains(&self.kernel)
            && weights == Some(self.weights.len());
        if !is_possible {
            return Err(Error::Parameter(format!(
                "transposed convolution of {} to {} channels, kernel {}, {} weights",
                self.in_channels,
                self.out_channels,
                self.kernel,
                self.weights.len()
            )));
        }
        self.requant.check(self.out_channels)?;
        let padding = (self.kernel - 1) / 2;
        let window = if self.kernel == 2 { 1 } else { 3 };
        let reach = window / 2;
        let taps = window * window;
        // The kernel's row that connects input row `i + tap - reach` with
        // output row `2i + phase`.
        let source = |phase: usize, tap: usize| {
            (phase + padding + 2 * reach)
                .checked_sub(2 * tap)
                .filter(|&row| row < self.kernel)
        };
        let block = self.in_channels * taps;
        let mut conv_weights = vec![0; 4 * self.out_channels * block];
        for (index, target) in conv_weights.chunks_exact_mut(self.in_channels).enumerate() {
            let (output, tap) = (index / taps, index % taps);
            let (phase, channel) = (output / self.out_channels, output % self.out_channels);
            let rows = source(phase / 2, tap / window).zip(source(phase % 2, tap % window));
            if let Some((row, column)) = rows {
                let from = (channel * self.kernel + row) * self.kernel + column;
                target
                    .copy_from_slice(&self.weights[from * self.in_channels..][..self.in_channels]);
            }
        }
        Ok(Conv2dSpec {
            in_channels: self.in_channels,
            out_channels: 4 * self.out_channels,
            kernel: window,
            stride: 1,
            padding: Padding::Zero,
            weights: conv_weights,
            requant: Requant {
                bias: self.requant.bias.repeat(4),
                shift: self.requant.shift.repeat(4),
                activation: self.requant.activation,
            },
            gate: None,
            input_max: self.input_max,
            input_q: self.input_q,
            output_q: self.output_q,
        })
    }
}

impl ConvPixelShuffle {
    /// A transposed convolution of stride 2.
    pub fn transposed(spec: &TransposedConv2dSpec) -> Result<ConvPixelShuffle> {
        ConvPixelShuffle::new(&spec.to_conv()?, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{
        Values, activation, assert_layer, assert_threads, cases, counted,
    };
    use super::*;
    use proptest::prelude::*;

    fn spec(values: &mut Values, channels: (usize, usize), kernel: usize) -> TransposedConv2dSpec {
        let window = kernel * kernel * channels.0;
        TransposedConv2dSpec {
            in_channels: channels.0,
            out_channels: channels.1,
            kernel,
            weights: values.words(window * channels.1, 60_000 / window),
            requant: values.requant(channels.1, activation(kernel)),
            input_max: 32_768,
            input_q: QFormat::INTEGER,
            output_q: QFormat::INTEGER,
        }
    }

    /// The definition: every input is spread over the outputs.
    fn naive(spec: &TransposedConv2dSpec, shape: Shape, input: &[i16]) -> Vec<i16> {
        let (height, width) = (2 * shape.height, 2 * shape.width);
        let padding = (spec.kernel - 1) / 2;
        let mut sums = vec![0i32; height * width * spec.out_channels];
        for i in 0..shape.height {
            for j in 0..shape.width {
                for tap in 0..spec.kernel * spec.kernel {
                    let y = (2 * i + tap / spec.kernel).wrapping_sub(padding);
                    let x = (2 * j + tap % spec.kernel).wrapping_sub(padding);
                    if y >= height || x >= width {
                        continue;
                    }
                    for o in 0..spec.out_channels {
                        for c in 0..spec.in_channels {
                            let weight = spec.weights
                                [(o * spec.kernel * spec.kernel + tap) * spec.in_channels + c];
                            let value = input[(i * shape.width + j) * spec.in_channels + c];
                            sums[(y * width + x) * spec.out_channels + o] +=
                                i32::from(weight) * i32::from(value);
                        }
                    }
                }
            }
        }
        sums.iter()
            .enumerate()
            .map(|(i, &sum)| spec.requant.apply(i % spec.out_channels, sum))
            .collect()
    }

    proptest! {
        #![proptest_config(cases(60))]

        fn every_level_computes_the_formula_cases(
            seed: u64,
            (height, width) in (1usize..7, 1usize..9),
            channels in (1usize..20, 1usize..20),
            kernel in 2usize..6,
        ) {
            let mut values = Values::new(seed);
            let spec = spec(&mut values, channels, kernel);
            let shape = Shape::new(height, width, channels.0).unwrap();
            let input = values.extreme_words(shape.checked_len().unwrap());
            let layer = ConvPixelShuffle::transposed(&spec).unwrap();
            assert_layer(&layer, shape, &input, &naive(&spec, shape, &input));
        }
    }

    #[test]
    fn every_level_computes_the_formula() {
        counted(
            "transposed convolution",
            every_level_computes_the_formula_cases,
        );
    }

    #[test]
    #[cfg_attr(miri, ignore = "too large")]
    fn threads_change_nothing() {
        let mut values = Values::new(4);
        let spec = spec(&mut values, (24, 12), 5);
        let shape = Shape::new(40, 50, 24).unwrap();
        let input = values.extreme_words(shape.checked_len().unwrap());
        assert_threads(&ConvPixelShuffle::transposed(&spec).unwrap(), shape, &input);
    }

    #[test]
    fn impossible_descriptions_are_refused() {
        let good = spec(&mut Values::new(1), (2, 3), 4);
        assert!(ConvPixelShuffle::transposed(&good).is_ok());
        let refused = |change: &dyn Fn(&mut TransposedConv2dSpec)| {
            let mut spec = good.clone();
            change(&mut spec);
            ConvPixelShuffle::transposed(&spec).is_err()
        };
        assert!(refused(&|spec| spec.kernel = 6));
        assert!(refused(&|spec| spec.kernel = usize::MAX));
        assert!(refused(&|spec| {
            spec.in_channels = 0;
            spec.weights.clear();
        }));
        assert!(refused(&|spec| spec.out_channels = 4));
        assert!(refused(&|spec| spec.requant.bias.truncate(2)));
        assert!(ConvPixelShuffle::new(&good.to_conv().unwrap(), 3).is_err());
    }
}
