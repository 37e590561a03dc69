//! Two-dimensional convolution over all channels.

use super::{Layer, Padding, Residual, check_channels, check_lengths};
use crate::engine::{Engine, with_scratch};
use crate::kernel::gemm::{Gemm, Product};
use crate::kernel::pack::{Packed, Words};
use crate::kernel::sink::{Requantize, RequantizeGated};
use crate::requant::{
    Activation, MAX_SHIFT, Range, Requant, check_input_max, output_range, rounding, sum_bound,
};
use crate::simd::LANES_I32;
use crate::tensor::{QFormat, Shape};
use rcodec_core::{Error, Result};

/// Positions of a 1x1 convolution that one thread takes at once.
const POINTWISE_CHUNK: usize = 192;
/// Outputs of a row whose window is copied at once.
const TILE_WIDTH: usize = 48;
/// The widest kernel; wider ones have no use and would let a hostile model
/// ask for huge windows.
const MAX_KERNEL: usize = 15;

/// The product of two halves of the channels: value `c` of the output is
/// `sat16((a[c] · b[c] + round) >> shift)`, `a` being the first half of the
/// outputs after the layer's activation and `b` the second half after
/// `activation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Right shift of the products, 0 to 15: the gates' fractional bits.
    pub shift: u8,
    /// The gates' activation.
    pub activation: Activation,
}

impl Gate {
    /// The product: the definition the kernels agree with.
    pub fn apply(&self, value: i16, gate: i16) -> i16 {
        let shift = u32::from(self.shift);
        let product = i32::from(value) * i32::from(gate) + rounding(shift);
        (product >> shift).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// The products that are possible.
    pub(crate) fn range(&self, values: Range, gates: Range) -> Range {
        let corners = [
            self.apply(values.lo, gates.lo),
            self.apply(values.lo, gates.hi),
            self.apply(values.hi, gates.lo),
            self.apply(values.hi, gates.hi),
        ];
        Range {
            lo: corners.iter().copied().min().unwrap_or(i16::MIN),
            hi: corners.iter().copied().max().unwrap_or(i16::MAX),
        }
    }
}

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
    out_channels: usize,
    kernel: usize,
    stride: usize,
    padding: Padding,
    weights: Packed<Words>,
    start: Vec<i32>,
    shift: Vec<i32>,
    activation: Activation,
    gate: Option<Gate>,
    range: Range,
    input_q: QFormat,
    output_q: QFormat,
}

/// The output whose sums slot `slot` of the packed weights holds: with a gate,
/// blocks of 16 values and their gates alternate. `None` is a slot of padding.
pub(crate) fn slot_output(slot: usize, outputs: usize, gated: bool) -> Option<usize> {
    if !gated {
        return (slot < outputs).then_some(slot);
    }
    let (block, lane) = (slot / LANES_I32, slot % LANES_I32);
    let value = block / 2 * LANES_I32 + lane;
    (value < outputs / 2).then_some(value + block % 2 * (outputs / 2))
}

/// Slots of the packed weights.
pub(crate) fn slot_count(outputs: usize, gated: bool) -> usize {
    if gated {
        (outputs / 2).div_ceil(LANES_I32) * 2 * LANES_I32
    } else {
        outputs.div_ceil(LANES_I32) * LANES_I32
    }
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
        if let Some(gate) = self.gate {
            gate.activation.check()?;
            if gate.shift > 15 || !self.out_channels.is_multiple_of(2) {
                return Err(Error::Parameter(format!(
                    "gate of shift {} over {} channels",
                    gate.shift, self.out_channels
                )));
            }
        }
        Ok(())
    }

    /// The activation of output `out`.
    fn activation(&self, out: usize) -> Activation {
        match self.gate {
            Some(gate) if out >= self.out_channels / 2 => gate.activation,
            _ => self.requant.activation,
        }
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
                    self.requant.shift[out].min(MAX_SHIFT),
                )
            })
            .collect()
    }

    /// The outputs that are possible.
    fn range(&self, bounds: &[u32]) -> Range {
        let ranges: Vec<Range> = bounds
            .iter()
            .enumerate()
            .map(|(out, &bound)| output_range(bound, self.requant.shift[out], self.activation(out)))
            .collect();
        let union = |ranges: &mut dyn Iterator<Item = Range>| {
            ranges.reduce(Range::union).unwrap_or(Range::FULL)
        };
        match self.gate {
            None => union(&mut ranges.into_iter()),
            Some(gate) => {
                let (values, gates) = ranges.split_at(self.out_channels / 2);
                union(&mut values.iter().zip(gates).map(|(&v, &g)| gate.range(v, g)))
            }
        }
    }
}

impl Conv2d {
    /// Checks the description, proves that no sum overflows, and packs the
    /// weights.
    pub fn new(spec: &Conv2dSpec) -> Result<Conv2d> {
        let bounds = spec.sum_bounds()?;
        let gated = spec.gate.is_some();
        let slots = slot_count(spec.out_channels, gated);
        let output_of = |slot| slot_output(slot, spec.out_channels, gated);
        // Channels are padded to pairs, so that every pixel begins a group.
        let channels = spec.in_channels.next_multiple_of(2);
        let weights = Packed::new(
            slots,
            spec.kernel * spec.kernel * channels,
            |slot, input| {
                let (tap, channel) = (input / channels, input % channels);
                match output_of(slot) {
                    Some(out) if channel < spec.in_channels => {
                        spec.weights[out * spec.window() + tap * spec.in_channels + channel]
                    }
                    _ => 0,
                }
            },
        );
        let per_slot = |value: &dyn Fn(usize) -> i32| -> Vec<i32> {
            (0..slots)
                .map(|slot| output_of(slot).map_or(0, value))
                .collect()
        };
        Ok(Conv2d {
            in_channels: spec.in_channels,
            out_channels: spec.out_channels >> u32::from(gated),
            kernel: spec.kernel,
            stride: spec.stride,
            padding: spec.padding,
            weights,
            start: per_slot(&|out| spec.requant.start(out)),
            shift: per_slot(&|out| i32::from(spec.requant.shift[out])),
            activation: spec.requant.activation,
            gate: spec.gate,
            range: spec.range(&bounds),
            input_q: spec.input_q,
            output_q: spec.output_q,
        })
    }

    /// Channels with the one that pads them to pairs.
    fn padded_channels(&self) -> usize {
        self.in_channels.next_multiple_of(2)
    }

    /// Outputs `first..` of a matrix product, to `out`.
    fn product(
        &self,
        engine: &Engine,
        product: Product<'_, Words>,
        residual: crate::kernel::sink::Residual<'_>,
        out: &mut [i16],
    ) {
        let shift = &self.shift;
        let (width, activation) = (self.out_channels, self.activation);
        match self.gate {
            None => engine.simd().run(Gemm {
                product,
                sink: Requantize {
                    shift,
                    activation,
                    residual,
                    width,
                    out,
                },
            }),
            Some(gate) => engine.simd().run(Gemm {
                product,
                sink: RequantizeGated {
                    shift,
                    activation,
                    gate_activation: gate.activation,
                    gate_shift: u32::from(gate.shift),
                    residual,
                    width,
                    out,
                },
            }),
        }
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
        let chunk_len = POINTWISE_CHUNK * self.out_channels;
        engine.split(out, chunk_len, work, |i, out| {
            let first = i * POINTWISE_CHUNK;
            let positions = out.len() / self.out_channels;
            let input = &input[first * self.in_channels..][..positions * self.in_channels];
            let residual = residual.part(i * chunk_len, out.len());
            let channels = self.padded_channels();
            let matrix = |rows: &[i16], out: &mut [i16]| {
                let product =
                    Product::new(&self.weights, &self.start, rows, positions, channels, &[0]);
                self.product(engine, product, residual, out);
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
        let row_len = out_width * self.out_channels;
        engine.split(out, row_len, work, |row, out| {
            for (tile, out) in out.chunks_mut(TILE_WIDTH * self.out_channels).enumerate() {
                let column = tile * TILE_WIDTH;
                let start = row * row_len + column * self.out_channels;
                let residual = residual.part(start, out.len());
                self.run_tile(engine, shape, input, (row, column), residual, out);
            }
        });
    }

    /// The outputs of one tile, from output row and column `at` on.
    fn run_tile(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        at: (usize, usize),
        residual: crate::kernel::sink::Residual<'_>,
        out: &mut [i16],
    ) {
        let channels = self.padded_channels();
        let positions = out.len() / self.out_channels;
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
            let product = Product::new(
                &self.weights,
                &self.start,
                window,
                positions,
                self.stride * channels,
                &segments[..self.kernel],
            );
            self.product(engine, product, residual, out);
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
        Shape::new(height, input.width.div_ceil(self.stride), self.out_channels)
    }

    fn output_range(&self) -> Range {
        self.range
    }

    fn work(&self, input: Shape) -> u64 {
        let outputs = self.out_channels << u32::from(self.gate.is_some());
        let window = self.kernel * self.kernel * self.in_channels * outputs;
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
