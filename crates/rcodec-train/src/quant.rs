//! Which integers stand for the weights: the rules that fake quantisation in
//! training and the exporter share.
//!
//! A weight of output channel `c` becomes `round(w · 2^s[c])` with the largest
//! `s[c]` for which no sum can leave 32 bits:
//! `Σ|w| · max|x| + |bias| + half < 2^31`, every weight fits in 16 bits, and
//! the requantisation shift `q(in) + s − q(out)` is within 0 to 30. Ties round
//! to even.

use crate::codec::QUALITIES;
use crate::graph::{GATE_SHIFT, Graph, Layout, NetworkConfig, Node, Op, Param};
use rcodec_core::{Error, Result};

/// The largest requantisation shift.
const MAX_SHIFT: i32 = 30;
/// The most fractional bits of a weight.
const MAX_BITS: i32 = 24;

/// The integers of a convolution, depthwise or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffineIntegers {
    /// In the order of the parameter: `[row][column][in][out]`.
    pub weights: Vec<i16>,
    /// One for each sum, in the sums' scale.
    pub bias: Vec<i32>,
    /// Right shift of each sum.
    pub shift: Vec<u8>,
    /// Fractional bits of each sum's weights.
    pub bits: Vec<u8>,
}

/// The integers of a quality gain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GainIntegers {
    /// `[quality][channel]`.
    pub gain: Vec<i16>,
    /// `[quality][channel]`.
    pub bias: Vec<i32>,
    /// `[quality][channel]`.
    pub shift: Vec<u8>,
    /// Fractional bits of the gains, `[quality][channel]`.
    pub bits: Vec<u8>,
}

/// The integers of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeIntegers {
    /// The node has no weights.
    None,
    /// [`Op::Conv`] and [`Op::Depthwise`].
    Affine(AffineIntegers),
    /// [`Op::QualityGain`].
    Gain(GainIntegers),
}

/// The integers of all nodes of a graph.
///
/// `margin` of 1 gives the largest scales; training uses a little more, so
/// that weights may grow until scales are chosen anew.
pub fn graph_integers(
    graph: &Graph,
    layout: &Layout,
    config: &NetworkConfig,
    values: &[f32],
    margin: f64,
) -> Result<Vec<NodeIntegers>> {
    graph
        .nodes
        .iter()
        .map(|node| {
            let q = |input: &crate::graph::Value| graph.node(*input).q;
            let max_abs = |input: &crate::graph::Value| graph.node(*input).max_abs;
            match &node.op {
                Op::Conv {
                    input,
                    weight,
                    bias,
                    gated,
                    ..
                } => {
                    let sums = node.channels << u32::from(*gated);
                    let q_out = |out: usize| match out < node.channels {
                        true => node.q,
                        false => GATE_SHIFT,
                    };
                    let scaling = Scaling {
                        q_in: q(input),
                        max_abs: max_abs(input),
                        margin,
                    };
                    let (weight, bias) = slices(layout, values, *weight, *bias);
                    affine(node, &scaling, sums, q_out, weight, bias)
                }
                Op::Depthwise {
                    input,
                    weight,
                    bias,
                } => {
                    let scaling = Scaling {
                        q_in: q(input),
                        max_abs: max_abs(input),
                        margin,
                    };
                    let (weight, bias) = slices(layout, values, *weight, *bias);
                    affine(node, &scaling, node.channels, |_| node.q, weight, bias)
                }
                Op::QualityGain {
                    input,
                    log_gain,
                    bias,
                    ..
                } => {
                    let scaling = Scaling {
                        q_in: q(input),
                        max_abs: max_abs(input),
                        margin,
                    };
                    let log_gain = layout.slice(*log_gain, values);
                    let bias = bias.map(|bias| layout.slice(bias, values));
                    gains(node, &scaling, config, log_gain, bias)
                }
                _ => Ok(NodeIntegers::None),
            }
        })
        .collect()
}

fn slices<'v>(
    layout: &Layout,
    values: &'v [f32],
    weight: Param,
    bias: Param,
) -> (&'v [f32], &'v [f32]) {
    (layout.slice(weight, values), layout.slice(bias, values))
}

/// What limits the scale of weights.
struct Scaling {
    q_in: u8,
    max_abs: u32,
    margin: f64,
}

impl Scaling {
    /// The largest number of fractional bits for these weights and this bias.
    fn bits<'w>(
        &self,
        weights: impl Iterator<Item = &'w f32> + Clone,
        bias: f32,
        q_out: u8,
    ) -> Option<u8> {
        let (q_in, q_out) = (i32::from(self.q_in), i32::from(q_out));
        let most = MAX_BITS.min(MAX_SHIFT + q_out - q_in);
        let least = (q_out - q_in).max(0);
        (least..=most)
            .rev()
            .find(|&bits| {
                let shift = bits + q_in - q_out;
                let mut sum = 0.0;
                for &weight in weights.clone() {
                    let magnitude = scaled(weight, bits).abs() * self.margin;
                    if magnitude > f64::from(i16::MAX) {
                        return false;
                    }
                    sum += magnitude;
                }
                let bias = scaled(bias, bits + q_in).abs() * self.margin;
                let half = f64::from((1u32 << shift) >> 1);
                // Model files hold biases below 2^30.
                bias < f64::from(1u32 << 30)
                    && sum * f64::from(self.max_abs) + bias + half < f64::from(1u32 << 31)
            })
            .map(|bits| bits as u8)
    }

    fn shift(&self, bits: u8, q_out: u8) -> u8 {
        bits + self.q_in - q_out
    }
}

/// `round(value · 2^bits)`, exactly.
fn scaled(value: f32, bits: i32) -> f64 {
    (f64::from(value) * 2f64.powi(bits)).round_ties_even()
}

/// Integers of `weights`, `[input][sums]`.
fn affine(
    node: &Node,
    scaling: &Scaling,
    sums: usize,
    q_out: impl Fn(usize) -> u8,
    weights: &[f32],
    bias: &[f32],
) -> Result<NodeIntegers> {
    let mut integers = AffineIntegers {
        weights: vec![0; weights.len()],
        bias: Vec::new(),
        shift: Vec::new(),
        bits: Vec::new(),
    };
    for out in 0..sums {
        let column = weights[out..].iter().step_by(sums);
        let bits = scaling
            .bits(column.clone(), bias[out], q_out(out))
            .ok_or_else(|| too_large(node, out))?;
        for (i, &weight) in column.enumerate() {
            integers.weights[i * sums + out] = scaled(weight, i32::from(bits)) as i16;
        }
        let bias_bits = i32::from(bits + scaling.q_in);
        integers.bias.push(scaled(bias[out], bias_bits) as i32);
        integers.shift.push(scaling.shift(bits, q_out(out)));
        integers.bits.push(bits);
    }
    Ok(NodeIntegers::Affine(integers))
}

/// Integers of gains at every quality step.
fn gains(
    node: &Node,
    scaling: &Scaling,
    config: &NetworkConfig,
    log_gain: &[f32],
    bias: Option<&[f32]>,
) -> Result<NodeIntegers> {
    let mut integers = GainIntegers {
        gain: Vec::new(),
        bias: Vec::new(),
        shift: Vec::new(),
        bits: Vec::new(),
    };
    for quality in 0..QUALITIES {
        let weights = config.anchor_weights(quality);
        for channel in 0..node.channels {
            let at_quality = |table: &[f32]| -> f32 {
                let column = table[channel..].iter().step_by(node.channels);
                column
                    .zip(&weights)
                    .map(|(value, weight)| value * weight)
                    .sum()
            };
            let gain = at_quality(log_gain).exp();
            let bias = bias.map_or(0.0, at_quality);
            let bits = scaling
                .bits([gain].iter(), bias, node.q)
                .ok_or_else(|| too_large(node, channel))?;
            integers.gain.push(scaled(gain, i32::from(bits)) as i16);
            let bias_bits = i32::from(bits + scaling.q_in);
            integers.bias.push(scaled(bias, bias_bits) as i32);
            integers.shift.push(scaling.shift(bits, node.q));
            integers.bits.push(bits);
        }
    }
    Ok(NodeIntegers::Gain(integers))
}

fn too_large(node: &Node, channel: usize) -> Error {
    Error::Parameter(format!(
        "{}: the weights of channel {channel} are too large for 32-bit sums",
        node.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::lossy::LossyGraphs;
    use crate::recipe::tests::tiny_network;

    #[test]
    fn first_weights_fit_with_bits_to_spare() {
        let graphs = LossyGraphs::new(&tiny_network());
        let values = graphs.layout.initial(3);
        for graph in graphs.all() {
            let nodes =
                graph_integers(graph, &graphs.layout, &graphs.config, &values, 1.0).unwrap();
            for (node, integers) in graph.nodes.iter().zip(nodes) {
                if let NodeIntegers::Affine(affine) = integers {
                    let least = affine.bits.iter().min().unwrap();
                    assert!(*least >= 9, "{}: {least} bits", node.name);
                }
            }
        }
    }

    #[test]
    fn huge_weights_are_refused() {
        let graphs = LossyGraphs::new(&tiny_network());
        let mut values = graphs.layout.initial(3);
        values[5] = 1e6;
        let error = graph_integers(
            &graphs.analysis,
            &graphs.layout,
            &graphs.config,
            &values,
            1.0,
        );
        assert!(error.unwrap_err().to_string().contains("analysis.stem"));
    }
}
