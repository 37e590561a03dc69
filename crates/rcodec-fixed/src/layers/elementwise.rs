//! Sums, products, gains, activations and narrowing, value by value.

use super::{Layer, Residual, check_channels, check_lengths};
use crate::engine::Engine;
use crate::kernel::depthwise::Depthwise;
use crate::kernel::elementwise::{Activate, AddAssign, Multiply, Narrow};
use crate::layers::Gate;
use crate::requant::{Activation, Range, Requant, check_input_max, output_range, sum_bound};
use crate::tensor::{QFormat, Shape};
use rcodec_core::{Error, Result};

/// Values that one thread takes at once.
const CHUNK: usize = 1 << 14;

/// Fails unless both have the same length.
fn check_equal(a: usize, b: usize) -> Result<()> {
    if a != b {
        return Err(Error::Parameter(format!("{a} values meet {b}")));
    }
    Ok(())
}

/// `sum = sat16(sum + x)`.
pub fn add_assign(engine: &Engine, x: &[i16], sum: &mut [i16]) -> Result<()> {
    check_equal(x.len(), sum.len())?;
    let work = sum.len() as u64;
    engine.split(sum, CHUNK, work, |i, out| {
        let x = &x[i * CHUNK..][..out.len()];
        engine.simd().run(AddAssign { x, out });
    });
    Ok(())
}

/// `out = sat16((a · b + round) >> shift)`: a product whose second factor has
/// `shift` fractional bits, 0 to 15.
pub fn multiply(engine: &Engine, a: &[i16], b: &[i16], shift: u8, out: &mut [i16]) -> Result<()> {
    check_equal(a.len(), out.len())?;
    check_equal(b.len(), out.len())?;
    if shift > 15 {
        return Err(Error::Parameter(format!("product shift of {shift}")));
    }
    let work = out.len() as u64;
    engine.split(out, CHUNK, work, |i, out| {
        engine.simd().run(Multiply {
            a: &a[i * CHUNK..][..out.len()],
            b: &b[i * CHUNK..][..out.len()],
            activations: (Activation::Identity, Activation::Identity),
            shift: u32::from(shift),
            out,
        });
    });
    Ok(())
}

/// `values = activation(values)`.
pub fn activate(engine: &Engine, activation: Activation, values: &mut [i16]) -> Result<()> {
    activation.check()?;
    let work = values.len() as u64;
    engine.split(values, CHUNK, work, |_, values| {
        engine.simd().run(Activate { activation, values });
    });
    Ok(())
}

/// `out = sat8((x + round) >> shift)`: 16-bit values as the 8-bit inputs of a
/// [`ByteMatrix`](super::ByteMatrix). `shift` is 0 to 8.
pub fn narrow(engine: &Engine, x: &[i16], shift: u8, out: &mut [i8]) -> Result<()> {
    check_equal(x.len(), out.len())?;
    if shift > 8 {
        return Err(Error::Parameter(format!("narrowing shift of {shift}")));
    }
    let (shift, work) = (u32::from(shift), out.len() as u64);
    engine.split(out, CHUNK, work, |i, out| {
        let x = &x[i * CHUNK..][..out.len()];
        engine.simd().run(Narrow { x, shift, out });
    });
    Ok(())
}

/// One gain, bias and shift for each channel: `y[c] = activation(sat16((x[c] ·
/// gain[c] + bias[c] + round) >> shift[c]))`.
#[derive(Clone, Debug)]
pub struct Gain {
    gain: Vec<i16>,
    start: Vec<i32>,
    shift: Vec<i32>,
    activation: Activation,
    range: Range,
    input_q: QFormat,
    output_q: QFormat,
}

impl Gain {
    /// Checks the gains, one for each channel, and proves that no product
    /// overflows for inputs up to `input_max`.
    pub fn new(
        gain: &[i16],
        requant: &Requant,
        input_max: u32,
        (input_q, output_q): (QFormat, QFormat),
    ) -> Result<Gain> {
        if gain.is_empty() {
            return Err(Error::parameter("gains of no channels"));
        }
        check_input_max(input_max)?;
        requant.check(gain.len())?;
        let mut range: Option<Range> = None;
        for (channel, &gain) in gain.iter().enumerate() {
            let (bias, shift) = (requant.bias[channel], requant.shift[channel]);
            let bound = sum_bound(std::iter::once(gain), input_max, bias, shift)?;
            let outputs = output_range(bound, shift, requant.activation);
            range = Some(range.map_or(outputs, |range| range.union(outputs)));
        }
        Ok(Gain {
            gain: gain.to_vec(),
            start: (0..gain.len()).map(|c| requant.start(c)).collect(),
            shift: requant.shift.iter().map(|&s| i32::from(s)).collect(),
            activation: requant.activation,
            range: range.unwrap_or(Range::FULL),
            input_q,
            output_q,
        })
    }
}

impl Layer for Gain {
    fn input_q(&self) -> QFormat {
        self.input_q
    }

    fn output_q(&self) -> QFormat {
        self.output_q
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        check_channels(input, self.gain.len())?;
        input.checked_len()?;
        Ok(input)
    }

    fn output_range(&self) -> Range {
        self.range
    }

    fn work(&self, input: Shape) -> u64 {
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
        check_lengths(shape, input, self.output_shape(shape)?, out)?;
        residual.check(out.len())?;
        let channels = self.gain.len();
        let chunk = CHUNK.div_ceil(channels) * channels;
        engine.split(out, chunk, self.work(shape), |i, out| {
            // A gain is a depthwise convolution of one tap.
            engine.simd().run(Depthwise::<1, 1> {
                rows: [&input[i * chunk..][..out.len()]],
                stride: 1,
                channels,
                weights: &self.gain,
                start: &self.start,
                shift: &self.shift,
                activation: self.activation,
                residual: residual.part(i * chunk, out.len()),
                out,
            });
        });
        Ok(())
    }
}

/// The product of the two halves of the channels, as a layer of its own; where
/// it follows a convolution, the convolution's own [`Gate`] is faster.
#[derive(Clone, Copy, Debug)]
pub struct GateHalves {
    gate: Gate,
    activation: Activation,
    q: QFormat,
}

impl GateHalves {
    /// `activation` is applied to the first half, the gate's own to the
    /// second. Input and output have the scale `q`; the gates have
    /// `gate.shift` fractional bits.
    pub fn new(gate: Gate, activation: Activation, q: QFormat) -> Result<GateHalves> {
        gate.check(2)?;
        activation.check()?;
        Ok(GateHalves {
            gate,
            activation,
            q,
        })
    }
}

impl Layer for GateHalves {
    fn input_q(&self) -> QFormat {
        self.q
    }

    fn output_q(&self) -> QFormat {
        self.q
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        if !input.channels.is_multiple_of(2) || input.channels == 0 {
            return Err(Error::Parameter(format!(
                "no halves of {} channels",
                input.channels
            )));
        }
        Shape::new(input.height, input.width, input.channels / 2)
    }

    fn output_range(&self) -> Range {
        let range = |activation: Activation| {
            let (lo, hi) = (activation.apply(i16::MIN), activation.apply(i16::MAX));
            Range { lo, hi }
        };
        self.gate
            .range(range(self.activation), range(self.gate.activation))
    }

    fn work(&self, input: Shape) -> u64 {
        input.saturating_len() / 2
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
        let half = output.channels;
        let chunk = CHUNK.div_ceil(half) * half;
        engine.split(out, chunk, self.work(shape), |i, out| {
            let residual = residual.part(i * chunk, out.len());
            let input = input[i * chunk * 2..].chunks_exact(2 * half);
            for (k, (input, out)) in input.zip(out.chunks_exact_mut(half)).enumerate() {
                let multiply = |out: &mut [i16]| {
                    engine.simd().run(Multiply {
                        a: &input[..half],
                        b: &input[half..],
                        activations: (self.activation, self.gate.activation),
                        shift: u32::from(self.gate.shift),
                        out,
                    });
                };
                residual.part(k * half, half).add_to(engine, out, multiply);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
#[path = "elementwise_tests.rs"]
mod tests;
