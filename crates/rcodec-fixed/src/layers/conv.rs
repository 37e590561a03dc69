//! Two-dimensional convolution over all channels.

use super::affine::{Affine, Gate};
use super::{Layer, Padding, Residual, check_channels, check_lengths};
use crate::engine::{Engine, with_scratch};
use crate::kernel::pack::Words;
use crate::requant::{Range, Requant, check_input_max, sum_bound};
use crate::tensor::{QFormat, Shape};
use rcodec_core::{Error, Result};

/// Positions of a 1x1 convolution that one thread takes at once.
const POINTWISE_CHUNK: usize = 192;
/// Outputs of a row whose window is copied at once.
const TILE_WIDTH: usize = 48;
/// The widest kernel; wider ones have no use and would let a hostile model
/// ask for huge windows.
const MAX_KERNEL: usize = 15;

/// Description of a [`Conv2d`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2dSpec {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the sums; with a gate, twice those of the output.
    pub out_channels: usize,
    /// Width and height of the window: odd, up to 15.
    pub kernel: usize,
    /// 1 or 2: positions from one window to the next, both ways. An output has
    /// `ceil(len / stride)` positions, and the window of output `i` is centred
    /// on input `i · stride`.
    pub stride: usize,
    /// What the windows see outside.
    pub padding: Padding,
    /// `[out][row][column][in]`.
    pub weights: Vec<i16>,
    /// Biases, shifts and activation of the `out_channels` sums.
    pub requant: Requant,
    /// Whether, and how, one half of the outputs multiplies the other.
    pub gate: Option<Gate>,
    /// The largest magnitude of an input, 1 to 32768: what the proof that no
    /// sum overflows takes for granted.
    pub input_max: u32,
    /// Scale of the input.
    pub input_q: QFormat,
    /// Scale of the output.
    pub output_q: QFormat,
}

/// Convolution of 1x1, 3x3, 5x5 …, stride 1 or 2, over all channels, with
/// bias, requantisation, activation, and an optional gate.
#[derive(Clone, Debug)]
pub struct Conv2d {
    in_channels: usize,
    kernel: usize,
    stride: usize,
    padding: Padding,
    affine: Affine<Words>,
    input_q: QFormat,
    output_q: QFormat,
}

impl Conv2dSpec {
    /// Weights of one output.
    fn window(&self) -> usize {
        self.kernel * self.kernel * self.in_channels
    }

    /// Checks everything but the bounds of the sums.
    fn check(&self) -> Result<()> {
        let shape_is_possible = self.in_channels > 0
            && self.out_channels > 0
            && self.kernel % 2 == 1
            && self.kernel <= MAX_KERNEL
            && (1..=2).contains(&self.stride);
        if !shape_is_possible {
            return Err(Error::Parameter(format!(
                "convolution of {} to {} channels, kernel {}, stride {}",
                self.in_channels, self.out_channels, self.kernel, self.stride
            )));
        }
        let weights = self
            .in_channels
            .checked_mul(self.kernel * self.kernel)
            .and_then(|window| window.checked_mul(self.out_channels));
        if weights != Some(self.weights.len()) {
            return Err(Error::Parameter(format!(
                "{} weights for a {}x{} convolution of {} to {} channels",
                self.weights.len(),
                self.kernel,
                self.kernel,
                self.in_channels,
                self.out_channels
            )));
        }
        check_input_max(self.input_max)?;
        self.requant.check(self.out_channels)?;
        self.gate
            .map_or(Ok(()), |gate| gate.check(self.out_channels))
    }

    /// The bound of each output's sums: `Σ|w| · input_max + |bias| + round`,
    /// below 2³¹ or an error. What the exporter reports.
    pub fn sum_bounds(&self) -> Result<Vec<u32>> {
        self.check()?;
        (0..self.out_channels)
            .map(|out| {
                let window = self.window();
                let weights = &self.weights[out * window..(out + 1) * window];
                sum_bound(
                    weights.iter().copied(),
                    self.input_max,
                    self.requant.bias[out],
                    self.requant.shift[out],
                )
            })
            .collect()
    }
}

impl Conv2d {
    /// Checks the description, proves that no sum overflows, and packs the
    /// weights.
    pub fn new(spec: &Conv2dSpec) -> Result<Conv2d> {
        let bounds = spec.sum_bounds()?;
        // Channels are padded to pairs, so that every pixel begins a group.
        let channels = spec.in_channels.next_multiple_of(2);
        let affine = Affine::new(
            (spec.out_channels, spec.kernel * spec.kernel * channels),
            |out, input| {
                let (tap, channel) = (input / channels, input % channels);
                if channel >= spec.in_channels {
                    return 0;
                }
                spec.weights[out * spec.window() + tap * spec.in_channels + channel]
            },
            &spec.requant,
            spec.gate,
            &bounds,
        );
        Ok(Conv2d {
            in_channels: spec.in_channels,
            kernel: spec.kernel,
            stride: spec.stride,
            padding: spec.padding,
            affine,
            input_q: spec.input_q,
            output_q: spec.output_q,
        })
    }

    /// Channels of the output.
    fn out_channels(&self) -> usize {
        self.affine.width()
    }

    /// Channels with the one that pads them to pairs.
    fn padded_channels(&self) -> usize {
        self.in_channels.next_multiple_of(2)
    }

    /// 1x1, stride 1: positions are rows of one matrix.
    fn run_pointwise(
        &self,
        engine: &Engine,
        input: &[i16],
        residual: &Residual<'_>,
        out: &mut [i16],
        work: u64,
    ) {
        let chunk_len = POINTWISE_CHUNK * self.out_channels();
        engine.split(out, chunk_len, work, |i, out| {
            let first = i * POINTWISE_CHUNK;
            let positions = out.len() / self.out_channels();
            let input = &input[first * self.in_channels..][..positions * self.in_channels];
            let residual = residual.part(i * chunk_len, out.len());
            let channels = self.padded_channels();
            let matrix = |rows: &[i16], out: &mut [i16]| {
                let (rows, start) = ((rows, channels, &[0][..]), self.affine.start());
                self.affine.run(engine, rows, start, residual, out);
            };
            if channels == self.in_channels {
                return matrix(input, out);
            }
            with_scratch(positions * channels, |rows| {
                copy_pixels(input, self.in_channels, rows, channels);
                matrix(rows, out);
            });
        });
    }

    /// Any window: per row and tile, the rows under the windows are copied
    /// with their padding, and the windows are segments of them.
    fn run_windows(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        residual: &Residual<'_>,
        out: &mut [i16],
        work: u64,
    ) {
        let out_width = shape.width.div_ceil(self.stride);
        let row_len = out_width * self.out_channels();
        engine.split(out, row_len, work, |row, out| {
            for (tile, out) in out.chunks_mut(TILE_WIDTH * self.out_channels()).enumerate() {
                let column = tile * TILE_WIDTH;
                let start = row * row_len + column * self.out_channels();
                let residual = residual.part(start, out.len());
                self.run_tile(engine, shape, input, (row, column), residual, out);
            }
        });
    }

    /// One output row on this thread; `out` is that row, the arguments have
    /// been checked.
    pub(crate) fn run_row(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        row: usize,
        out: &mut [i16],
    ) {
        if self.kernel == 1 && self.stride == 1 {
            let row_len = shape.width * self.in_channels;
            let input = &input[row * row_len..][..row_len];
            return self.run_pointwise(engine, input, &Residual::None, out, 0);
        }
        for (tile, out) in out.chunks_mut(TILE_WIDTH * self.out_channels()).enumerate() {
            let at = (row, tile * TILE_WIDTH);
            self.run_tile(engine, shape, input, at, Residual::None, out);
        }
    }

    /// The outputs of one tile, from output row and column `at` on.
    fn run_tile(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        at: (usize, usize),
        residual: Residual<'_>,
        out: &mut [i16],
    ) {
        let channels = self.padded_channels();
        let positions = out.len() / self.out_channels();
        let columns = (positions - 1) * self.stride + self.kernel;
        let reach = (self.kernel / 2) as isize;
        let first_column = (at.1 * self.stride) as isize - reach;
        let segment = columns * channels;
        with_scratch(self.kernel * segment, |window| {
            for (tap, line) in window.chunks_exact_mut(segment).enumerate() {
                let row = (at.0 * self.stride + tap) as isize - reach;
                match self.padding.index(row, shape.height) {
                    Some(row) => {
                        let row_len = shape.width * shape.channels;
                        let source = &input[row * row_len..][..row_len];
                        self.copy_row(source, first_column, line);
                    }
                    None => line.fill(0),
                }
            }
            let mut segments = [0; MAX_KERNEL];
            for (tap, start) in segments[..self.kernel].iter_mut().enumerate() {
                *start = tap * segment;
            }
            let rows = (&*window, self.stride * channels, &segments[..self.kernel]);
            self.affine
                .run(engine, rows, self.affine.start(), residual, out);
        });
    }

    /// Fills `line` with the pixels of a row from `first` on, padding beyond
    /// its ends.
    fn copy_row(&self, source: &[i16], first: isize, line: &mut [i16]) {
        let channels = self.padded_channels();
        let width = source.len() / self.in_channels;
        let columns = line.len() / channels;
        let inside = (-first).clamp(0, columns as isize) as usize;
        let end = (width as isize - first).clamp(inside as isize, columns as isize) as usize;
        let from = (first + inside as isize) as usize * self.in_channels;
        let source_part = &source[from..from + (end - inside) * self.in_channels];
        copy_pixels(
            source_part,
            self.in_channels,
            &mut line[inside * channels..end * channels],
            channels,
        );
        for column in (0..inside).chain(end..columns) {
            let pixel = &mut line[column * channels..][..channels];
            match self.padding.index(first + column as isize, width) {
                Some(x) => {
                    let source = &source[x * self.in_channels..][..self.in_channels];
                    copy_pixels(source, self.in_channels, pixel, channels);
                }
                None => pixel.fill(0),
            }
        }
    }
}

/// Copies pixels of `channels` values to pixels of `padded` ones, zeros after
/// them.
fn copy_pixels(source: &[i16], channels: usize, target: &mut [i16], padded: usize) {
    if channels == padded {
        target.copy_from_slice(source);
        return;
    }
    let pixels = source.chunks_exact(channels);
    for (from, to) in pixels.zip(target.chunks_exact_mut(padded)) {
        to[..channels].copy_from_slice(from);
        to[channels..].fill(0);
    }
}

impl Layer for Conv2d {
    fn input_q(&self) -> QFormat {
        self.input_q
    }

    fn output_q(&self) -> QFormat {
        self.output_q
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        check_channels(input, self.in_channels)?;
        let height = input.height.div_ceil(self.stride);
        Shape::new(
            height,
            input.width.div_ceil(self.stride),
            self.out_channels(),
        )
    }

    fn output_range(&self) -> Range {
        self.affine.range()
    }

    fn work(&self, input: Shape) -> u64 {
        (input.height.div_ceil(self.stride) as u64)
            .saturating_mul(input.width.div_ceil(self.stride) as u64)
            .saturating_mul(self.affine.work())
    }

    fn run(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()> {
        check_lengths(shape, input, self.output_shape(shape)?, out)?;
        residual.check(out.len())?;
        let work = self.work(shape);
        if self.kernel == 1 && self.stride == 1 {
            self.run_pointwise(engine, input, &residual, out, work);
        } else {
            self.run_windows(engine, shape, input, &residual, out, work);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
