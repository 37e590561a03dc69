//! Depthwise convolution: every channel by itself.

use super::{Layer, Padding, Residual, check_channels, check_lengths};
use crate::engine::{Engine, with_scratch};
use crate::kernel::depthwise::Depthwise;
use crate::requant::{Activation, Range, Requant, check_input_max, output_range, sum_bound};
use crate::tensor::{QFormat, Shape};
use rcodec_core::{Error, Result};

/// Description of a [`DepthwiseConv2d`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthwiseConv2dSpec {
    /// Channels of input and output.
    pub channels: usize,
    /// Width and height of the window: 3 or 5.
    pub kernel: usize,
    /// 1 or 2, as in [`Conv2dSpec`](super::Conv2dSpec).
    pub stride: usize,
    /// What the windows see outside.
    pub padding: Padding,
    /// `[row][column][channel]`.
    pub weights: Vec<i16>,
    /// Biases, shifts and activation.
    pub requant: Requant,
    /// The largest magnitude of an input, 1 to 32768.
    pub input_max: u32,
    /// Scale of the input.
    pub input_q: QFormat,
    /// Scale of the output.
    pub output_q: QFormat,
}

/// Depthwise convolution of 3x3 or 5x5, stride 1 or 2, with bias,
/// requantisation and activation.
#[derive(Clone, Debug)]
pub struct DepthwiseConv2d {
    channels: usize,
    kernel: usize,
    stride: usize,
    padding: Padding,
    weights: Vec<i16>,
    start: Vec<i32>,
    shift: Vec<i32>,
    activation: Activation,
    range: Range,
    input_q: QFormat,
    output_q: QFormat,
}

impl DepthwiseConv2dSpec {
    /// The bound of each channel's sums, below 2³¹ or an error; as
    /// [`Conv2dSpec::sum_bounds`](super::Conv2dSpec::sum_bounds).
    pub fn sum_bounds(&self) -> Result<Vec<u32>> {
        let shape_is_possible = self.channels > 0
            && matches!(self.kernel, 3 | 5)
            && (1..=2).contains(&self.stride)
            && self.channels.checked_mul(self.kernel * self.kernel) == Some(self.weights.len());
        if !shape_is_possible {
            return Err(Error::Parameter(format!(
                "depthwise convolution of {} channels, kernel {}, stride {}, {} weights",
                self.channels,
                self.kernel,
                self.stride,
                self.weights.len()
            )));
        }
        check_input_max(self.input_max)?;
        self.requant.check(self.channels)?;
        (0..self.channels)
            .map(|channel| {
                let taps = self.weights[channel..].iter().step_by(self.channels);
                sum_bound(
                    taps.copied(),
                    self.input_max,
                    self.requant.bias[channel],
                    self.requant.shift[channel],
                )
            })
            .collect()
    }
}

impl DepthwiseConv2d {
    /// Checks the description and proves that no sum overflows.
    pub fn new(spec: &DepthwiseConv2dSpec) -> Result<DepthwiseConv2d> {
        let bounds = spec.sum_bounds()?;
        let requant = &spec.requant;
        let range = bounds
            .iter()
            .zip(&requant.shift)
            .map(|(&bound, &shift)| output_range(bound, shift, requant.activation))
            .reduce(Range::union)
            .unwrap_or(Range::FULL);
        Ok(DepthwiseConv2d {
            channels: spec.channels,
            kernel: spec.kernel,
            stride: spec.stride,
            padding: spec.padding,
            weights: spec.weights.clone(),
            start: (0..spec.channels).map(|c| requant.start(c)).collect(),
            shift: requant.shift.iter().map(|&s| i32::from(s)).collect(),
            activation: requant.activation,
            range,
            input_q: spec.input_q,
            output_q: spec.output_q,
        })
    }

    /// One output row, by windows of `TAPS` columns; `PAIRS` as in
    /// [`Depthwise`].
    fn run_row<const TAPS: usize, const PAIRS: usize>(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        row: usize,
        residual: &Residual<'_>,
        out: &mut [i16],
    ) {
        let (channels, width, stride) = (self.channels, shape.width, self.stride);
        let reach = TAPS / 2;
        let out_width = width.div_ceil(stride);
        let row_start = row * out.len();
        let source: [Option<&[i16]>; TAPS] = std::array::from_fn(|tap| {
            let y = (row * stride + tap) as isize - reach as isize;
            let y = self.padding.index(y, shape.height)?;
            Some(&input[y * width * channels..][..width * channels])
        });
        // Outputs `inner` have their whole window between the row's ends.
        let inner_start = reach.div_ceil(stride).min(out_width);
        let inner_end = if width + reach >= TAPS {
            ((width + reach - TAPS) / stride + 1).clamp(inner_start, out_width)
        } else {
            inner_start
        };
        let run = |rows: [&[i16]; TAPS], first: usize, out: &mut [i16]| {
            engine.simd().run(Depthwise::<TAPS, PAIRS> {
                rows,
                stride,
                channels,
                weights: &self.weights,
                start: &self.start,
                shift: &self.shift,
                activation: self.activation,
                residual: residual.part(row_start + first * channels, out.len()),
                out,
            });
        };
        let line_len = TAPS * channels;
        with_scratch(TAPS * line_len, |window| {
            for column in (0..inner_start).chain(inner_end..out_width) {
                for (line, source) in window.chunks_exact_mut(line_len).zip(source) {
                    for (tap, pixel) in line.chunks_exact_mut(channels).enumerate() {
                        let x = (column * stride + tap) as isize - reach as isize;
                        match (source, self.padding.index(x, width)) {
                            (Some(source), Some(x)) => {
                                pixel.copy_from_slice(&source[x * channels..][..channels]);
                            }
                            _ => pixel.fill(0),
                        }
                    }
                }
                let rows = std::array::from_fn(|tap| &window[tap * line_len..][..line_len]);
                run(rows, column, &mut out[column * channels..][..channels]);
            }
        });
        if inner_start < inner_end {
            let out = &mut out[inner_start * channels..inner_end * channels];
            let from = (inner_start * stride - reach) * channels;
            if source.iter().all(Option::is_some) {
                let rows = source.map(|source| &source.unwrap_or_default()[from..]);
                return run(rows, inner_start, out);
            }
            let zeros_len = ((inner_end - inner_start - 1) * stride + TAPS) * channels;
            with_scratch(zeros_len, |zeros| {
                zeros.fill(0);
                let zeros = &*zeros;
                let rows = source.map(|source| source.map_or(zeros, |source| &source[from..]));
                run(rows, inner_start, out);
            });
        }
    }
}

impl Layer for DepthwiseConv2d {
    fn input_q(&self) -> QFormat {
        self.input_q
    }

    fn output_q(&self) -> QFormat {
        self.output_q
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        check_channels(input, self.channels)?;
        let height = input.height.div_ceil(self.stride);
        Shape::new(height, input.width.div_ceil(self.stride), self.channels)
    }

    fn output_range(&self) -> Range {
        self.range
    }

    fn work(&self, input: Shape) -> u64 {
        let window = self.kernel * self.kernel * self.channels;
        (input.height.div_ceil(self.stride) as u64)
            .saturating_mul(input.width.div_ceil(self.stride) as u64)
            .saturating_mul(window as u64)
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
        engine.split(out, row_len, self.work(shape), |row, out| {
            if self.kernel == 3 {
                self.run_row::<3, 2>(engine, shape, input, row, &residual, out);
            } else {
                self.run_row::<5, 3>(engine, shape, input, row, &residual, out);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
#[path = "depthwise_tests.rs"]
mod tests;
