//! The proof for layers that multiply, add and shift.

use super::Fault;
use super::value::{Weights, tensor_of};
use crate::graph::{Activation, Gate, Requant};
use crate::model::Tensors;
use crate::tensor::TensorData;
use rcodec_fixed::{MAX_SHIFT, Range, sum_bound};

/// Biases and shifts of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequantView<'t> {
    bias: Option<&'t [i32]>,
    shift: &'t [u8],
    activation: rcodec_fixed::Activation,
}

impl<'t> RequantView<'t> {
    /// Looks the tensors up and fails unless both have the extents `dims`, the
    /// shifts are possible, and so is the activation.
    pub(crate) fn of(
        tensors: &'t Tensors,
        requant: &Requant,
        dims: &[u32],
    ) -> Result<RequantView<'t>, Fault> {
        let shift = tensor_of(tensors, &requant.shift)?;
        let TensorData::U8(shift_values) = &shift.data else {
            return Err(Fault::new("shifts that are not unsigned bytes"));
        };
        if shift.info.dims != dims {
            return Err(Fault::new("not one shift for each output"));
        }
        if shift_values.iter().any(|&shift| shift > MAX_SHIFT) {
            return Err(Fault::new("a shift above 30"));
        }
        let bias = match &requant.bias {
            None => None,
            Some(name) => {
                let bias = tensor_of(tensors, name)?;
                let TensorData::I32(values) = &bias.data else {
                    return Err(Fault::new("biases that are not of 32 bits"));
                };
                if bias.info.dims != dims {
                    return Err(Fault::new("not one bias for each output"));
                }
                Some(&values[..])
            }
        };
        Ok(RequantView {
            bias,
            shift: shift_values,
            activation: activation_of(requant.activation)?,
        })
    }

    /// Elements read.
    pub(crate) fn len(&self) -> usize {
        self.shift.len() + self.bias.map_or(0, <[i32]>::len)
    }

    /// The part that belongs to outputs `start..start + len`, in the form that
    /// layers take.
    pub(crate) fn part(&self, start: usize, len: usize) -> rcodec_fixed::Requant {
        rcodec_fixed::Requant {
            bias: self
                .bias
                .map_or_else(|| vec![0; len], |bias| bias[start..start + len].to_vec()),
            shift: self.shift[start..start + len].to_vec(),
            activation: self.activation,
        }
    }

    /// All of it.
    pub(crate) fn all(&self) -> rcodec_fixed::Requant {
        self.part(0, self.shift.len())
    }

    /// The outputs that are possible for sums of `weights` with inputs up to
    /// `input_max`, or a fault if a sum may leave 32 bits.
    fn output_range(
        &self,
        output: usize,
        weights: impl Iterator<Item = i16>,
        input_max: u32,
        activation: rcodec_fixed::Activation,
    ) -> Result<Range, Fault> {
        let bias = self.bias.map_or(0, |bias| bias[output]);
        let shift = self.shift[output];
        let bound = sum_bound(weights, input_max, bias, shift)
            .map_err(|_| Fault::new("a sum may leave 32 bits"))?;
        let clamp = |v: i64| v.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
        Ok(Range {
            lo: activation.apply(clamp(-i64::from(bound) >> shift)),
            hi: activation.apply(clamp(i64::from(bound) >> shift)),
        })
    }
}

/// The activation in the form that layers take, if it is possible.
pub(crate) fn activation_of(activation: Activation) -> Result<rcodec_fixed::Activation, Fault> {
    let activation = rcodec_fixed::Activation::from(activation);
    activation
        .check()
        .map_err(|_| Fault::new("impossible activation"))?;
    Ok(activation)
}

/// The gate in the form that layers take, if it is possible.
pub(crate) fn gate_of(gate: Gate) -> Result<rcodec_fixed::Gate, Fault> {
    activation_of(gate.activation)?;
    if gate.shift > 15 {
        return Err(Fault::new("a gate's shift above 15"));
    }
    Ok(gate.into())
}

/// The products that are possible.
pub(crate) fn gate_range(gate: &rcodec_fixed::Gate, values: Range, gates: Range) -> Range {
    let corners = [
        gate.apply(values.lo, gates.lo),
        gate.apply(values.lo, gates.hi),
        gate.apply(values.hi, gates.lo),
        gate.apply(values.hi, gates.hi),
    ];
    Range {
        lo: corners.into_iter().fold(i16::MAX, i16::min),
        hi: corners.into_iter().fold(i16::MIN, i16::max),
    }
}

/// How the weights of an output lie in their tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `[out][…]`: side by side.
    OutputFirst,
    /// `[…][out]`.
    OutputLast,
}

/// Proves the sums of all of `outputs` and gives the layer's channels and
/// range.
pub(crate) fn check_sums(
    weights: &Weights<'_>,
    (outputs, order): (usize, Order),
    requant: &RequantView<'_>,
    gate: Option<Gate>,
    input_max: u32,
) -> Result<(u32, Range), Fault> {
    let gate = gate.map(gate_of).transpose()?;
    if gate.is_some() && !outputs.is_multiple_of(2) {
        return Err(Fault::new("a gate over an odd number of channels"));
    }
    let window = weights.len() / outputs;
    let range = |output: usize, activation| {
        let part = match order {
            Order::OutputFirst => weights.part(output * window, (output + 1) * window, 1),
            Order::OutputLast => weights.part(output, weights.len(), outputs),
        };
        requant.output_range(output, part, input_max, activation)
    };
    let channels = match gate {
        None => outputs,
        Some(_) => outputs / 2,
    };
    let mut all: Option<Range> = None;
    for channel in 0..channels {
        let values = range(channel, requant.activation)?;
        let values = match &gate {
            None => values,
            Some(gate) => gate_range(gate, values, range(channel + channels, gate.activation)?),
        };
        all = Some(all.map_or(values, |all| all.union(values)));
    }
    // `outputs` comes from a tensor's extent: it fits.
    Ok((channels as u32, all.unwrap_or(Range::FULL)))
}
