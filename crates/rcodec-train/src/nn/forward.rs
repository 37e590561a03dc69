//! A graph, run by burn.

use super::ops::{self, Columns, Finish, TrainBackend, Window};
use crate::graph::{
    Activation, GATE_MAX, GATE_SHIFT, Graph, Layout, NetworkConfig, Op, Param, Value, clip_bounds,
};
use crate::quant::{NodeIntegers, graph_integers};
use burn::tensor::{DType, Tensor, TensorData};
use rcodec_core::Result;
use std::collections::HashMap;

/// The quality steps of a batch's images.
#[derive(Clone, Debug)]
pub struct Qualities<B: TrainBackend> {
    /// Weights of the anchors, `[image][anchor]`.
    weights: Tensor<B, 2>,
    steps: Vec<usize>,
}

impl<B: TrainBackend> Qualities<B> {
    /// For images of these quality steps.
    pub fn new(
        steps: &[usize],
        config: &NetworkConfig,
        (device, dtype): (&B::Device, DType),
    ) -> Self {
        let weights: Vec<f32> = steps
            .iter()
            .flat_map(|&step| config.anchor_weights(step))
            .collect();
        let data = TensorData::new(weights, [steps.len(), config.anchors]);
        Qualities {
            weights: Tensor::<B, 2>::from_data(data, device).cast(dtype),
            steps: steps.to_vec(),
        }
    }

    /// A table `[anchor · channel]` interpolated: `[image][channel]`.
    pub fn interpolate(&self, table: Tensor<B, 1>) -> Tensor<B, 2> {
        let [_, anchors] = self.weights.dims();
        let channels = table.dims()[0] / anchors;
        self.weights
            .clone()
            .matmul(table.reshape([anchors, channels]))
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.steps.len()
    }
}

/// `[image][channel]` for every position: `[image · positions][channel]`.
pub fn spread<B: TrainBackend>(per_image: Tensor<B, 2>, positions: usize) -> Tensor<B, 2> {
    let [images, channels] = per_image.dims();
    let spread: Tensor<B, 3> = per_image.reshape([images, 1, channels]);
    spread
        .repeat_dim(1, positions)
        .reshape([images * positions, channels])
}

/// Scales of fake quantisation, on the device.
#[derive(Clone, Debug)]
pub struct Scales<B: TrainBackend> {
    /// For weights and biases: `2^bits` of each output.
    by_param: HashMap<usize, Tensor<B, 1>>,
    /// For gains: the exact values of the integers, `[quality][channel]`.
    gains: HashMap<usize, (usize, Vec<f32>)>,
}

impl<B: TrainBackend> Scales<B> {
    /// The scales that [`graph_integers`] chooses for all `graphs`.
    pub fn new(
        graphs: &[&Graph],
        layout: &Layout,
        config: &NetworkConfig,
        values: &[f32],
        margin: f64,
        (device, dtype): (&B::Device, DType),
    ) -> Result<Scales<B>> {
        let mut scales = Scales {
            by_param: HashMap::new(),
            gains: HashMap::new(),
        };
        let power = |bits: &u8| 2f32.powi(i32::from(*bits));
        let tensor = |powers: Vec<f32>| {
            let len = powers.len();
            Tensor::<B, 1>::from_data(TensorData::new(powers, [len]), device).cast(dtype)
        };
        for graph in graphs {
            let integers = graph_integers(graph, layout, config, values, margin)?;
            for (node, integers) in graph.nodes.iter().zip(&integers) {
                match (&node.op, integers) {
                    (
                        Op::Conv {
                            input,
                            weight,
                            bias,
                            ..
                        }
                        | Op::Depthwise {
                            input,
                            weight,
                            bias,
                        },
                        NodeIntegers::Affine(affine),
                    ) => {
                        let powers: Vec<f32> = affine.bits.iter().map(power).collect();
                        let q_in = power(&graph.node(*input).q);
                        let of_bias = powers.iter().map(|p| p * q_in).collect();
                        scales.by_param.insert(weight.0, tensor(powers));
                        scales.by_param.insert(bias.0, tensor(of_bias));
                    }
                    (
                        Op::QualityGain {
                            input,
                            log_gain,
                            bias,
                            ..
                        },
                        NodeIntegers::Gain(gain),
                    ) => {
                        let exact = |n: f32, bits: &u8| n / power(bits);
                        let gains = gain.gain.iter().map(|&n| f32::from(n));
                        let gains = gains.zip(&gain.bits).map(|(n, bits)| exact(n, bits));
                        scales
                            .gains
                            .insert(log_gain.0, (node.channels, gains.collect()));
                        if let Some(bias) = bias {
                            let q_in = power(&graph.node(*input).q);
                            let biases = gain.bias.iter().map(|&n| n as f32 / q_in);
                            let biases = biases.zip(&gain.bits).map(|(n, bits)| exact(n, bits));
                            scales
                                .gains
                                .insert(bias.0, (node.channels, biases.collect()));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(scales)
    }
}

/// Weights ready to run graphs with.
pub struct Network<'a, B: TrainBackend> {
    layout: &'a Layout,
    /// One for each parameter, rounded if scales are given.
    weights: Vec<Tensor<B, 1>>,
    scales: Option<&'a Scales<B>>,
    /// What matrix products multiply, if not what is given.
    product_type: Option<DType>,
}

impl<'a, B: TrainBackend> Network<'a, B> {
    /// `weights` is one flat tensor for each parameter of the layout. With
    /// `scales` everything runs by the integer rules.
    pub fn new(
        layout: &'a Layout,
        weights: Vec<Tensor<B, 1>>,
        scales: Option<&'a Scales<B>>,
    ) -> Network<'a, B> {
        let rounded = |(i, weight): (usize, Tensor<B, 1>)| {
            let scale = scales.and_then(|scales| scales.by_param.get(&i));
            match scale {
                Some(scale) => round_weights(weight, scale.clone()),
                None => weight,
            }
        };
        let weights = weights.into_iter().enumerate().map(rounded).collect();
        Network {
            layout,
            weights,
            scales,
            product_type: None,
        }
    }

    /// With matrix products of values rounded to `dtype`: mixed precision.
    /// The integer rules take no notice of it.
    #[must_use]
    pub fn with_products_of(mut self, dtype: DType) -> Network<'a, B> {
        self.product_type = Some(dtype).filter(|_| self.scales.is_none());
        self
    }

    /// Whether the integer rules apply.
    pub fn is_quantized(&self) -> bool {
        self.scales.is_some()
    }

    /// A parameter as a flat tensor.
    pub fn param(&self, param: Param) -> Tensor<B, 1> {
        self.weights[param.0].clone()
    }

    /// Computes a graph's outputs.
    pub fn run(
        &self,
        graph: &Graph,
        inputs: &[Tensor<B, 4>],
        qualities: &Qualities<B>,
    ) -> Vec<Tensor<B, 4>> {
        let mut given = inputs.iter();
        let mut values: Vec<Tensor<B, 4>> = Vec::with_capacity(graph.nodes.len());
        for (i, node) in graph.nodes.iter().enumerate() {
            let get = |value: &Value| values[value.0].clone();
            let finish = |activation| self.finish(activation, node.q);
            let value = match &node.op {
                Op::Input => match given.next() {
                    Some(input) => input.clone(),
                    None => panic!("{}: input {i} is missing", graph.name),
                },
                Op::Unshuffle { input, factor } => unshuffle(get(input), *factor),
                Op::Shuffle { input, factor } => shuffle(get(input), *factor),
                Op::Conv {
                    input,
                    kernel,
                    stride,
                    weight,
                    bias,
                    activation,
                    gated,
                    residual,
                } => {
                    let window = Window {
                        kernel: *kernel,
                        stride: *stride,
                    };
                    let columns = Columns {
                        values: finish(*activation),
                        gates: gated.then(|| self.gates()),
                    };
                    let x = self.conv(get(input), window, (*weight, *bias), columns);
                    let x = if *gated {
                        map_rows(x, |x| ops::gate(x, finish(Activation::Identity)))
                    } else {
                        x
                    };
                    match residual {
                        Some(residual) => self.add(x, get(residual), node.q),
                        None => x,
                    }
                }
                Op::Depthwise {
                    input,
                    weight,
                    bias,
                } => {
                    let columns = Columns {
                        values: finish(Activation::Identity),
                        gates: None,
                    };
                    let weight = self.param(*weight).reshape([9, node.channels]);
                    let sums = ops::depthwise(get(input), weight);
                    map_rows(sums, |x| ops::finish(x, self.param(*bias), columns))
                }
                Op::QualityGain {
                    input,
                    log_gain,
                    bias,
                    activation,
                } => {
                    let params = (*log_gain, *bias);
                    self.gain(get(input), params, finish(*activation), qualities)
                }
            };
            values.push(value);
        }
        graph
            .outputs
            .iter()
            .map(|output| values[output.0].clone())
            .collect()
    }

    /// Rounding and clipping to a format.
    pub fn finish(&self, activation: Activation, q: u8) -> Finish {
        let unit = f64::from(1u32 << q);
        let (lo, hi) = clip_bounds(activation, q);
        Finish {
            lo: f64::from(lo) / unit,
            hi: f64::from(hi) / unit,
            unit: self.is_quantized().then_some(unit),
        }
    }

    fn gates(&self) -> Finish {
        let clip = Activation::Clip {
            lo: 0.0,
            hi: GATE_MAX,
        };
        self.finish(clip, GATE_SHIFT)
    }

    fn conv(
        &self,
        x: Tensor<B, 4>,
        window: Window,
        (weight, bias): (Param, Param),
        columns: Columns,
    ) -> Tensor<B, 4> {
        let windows = match window {
            Window {
                kernel: 1,
                stride: 1,
            } => x,
            window => ops::unfold(x, window),
        };
        let shape = &self.layout.spec(weight).shape;
        let weight = self.param(weight).reshape([shape[0], shape[1]]);
        let bias = self.param(bias);
        map_rows(windows, |x| {
            let sums = match self.product_type {
                None => x.matmul(weight),
                Some(dtype) => {
                    let full = x.dtype();
                    x.cast(dtype).matmul(weight.cast(dtype)).cast(full)
                }
            };
            ops::finish(sums, bias, columns)
        })
    }

    /// A residual sum, which saturates.
    fn add(&self, x: Tensor<B, 4>, residual: Tensor<B, 4>, q: u8) -> Tensor<B, 4> {
        let sum = x + residual;
        if !self.is_quantized() {
            return sum;
        }
        let finish = self.finish(Activation::Identity, q);
        sum.clamp(finish.lo, finish.hi)
    }

    fn gain(
        &self,
        x: Tensor<B, 4>,
        (log_gain, bias): (Param, Option<Param>),
        finish: Finish,
        qualities: &Qualities<B>,
    ) -> Tensor<B, 4> {
        let [n, h, w, c] = x.dims();
        let gain = qualities.interpolate(self.param(log_gain)).exp();
        let gain = self.exact(log_gain, gain, qualities);
        let x: Tensor<B, 2> = x.reshape([n * h * w, c]);
        let device = x.device();
        let dtype = x.dtype();
        let mut sums = x * spread(gain, h * w);
        if let Some(param) = bias {
            let bias = qualities.interpolate(self.param(param));
            let bias = self.exact(param, bias, qualities);
            sums = sums + spread(bias, h * w);
        }
        let columns = Columns {
            values: finish,
            gates: None,
        };
        let zeros = Tensor::zeros([c], (&device, dtype));
        ops::finish(sums, zeros, columns).reshape([n, h, w, c])
    }

    /// Quantised: the value of the integers, with the gradient of `value`.
    fn exact(&self, param: Param, value: Tensor<B, 2>, qualities: &Qualities<B>) -> Tensor<B, 2> {
        let Some((channels, table)) = self.scales.and_then(|s| s.gains.get(&param.0)) else {
            return value;
        };
        let rows = qualities.steps.iter();
        let exact: Vec<f32> = rows
            .flat_map(|step| &table[step * channels..(step + 1) * channels])
            .copied()
            .collect();
        let data = TensorData::new(exact, [qualities.images(), *channels]);
        let exact = Tensor::<B, 2>::from_data(data, &value.device()).cast(value.dtype());
        value.clone() + (exact - value).detach()
    }
}

/// Rounds weights `[…][output]` to multiples of `1 / scale`, ties to even,
/// with the gradient of the identity.
fn round_weights<B: TrainBackend>(weight: Tensor<B, 1>, scale: Tensor<B, 1>) -> Tensor<B, 1> {
    let (len, outputs) = (weight.dims()[0], scale.dims()[0]);
    let rows: Tensor<B, 2> = weight.reshape([len / outputs, outputs]);
    let scale: Tensor<B, 2> = scale.unsqueeze();
    let rounded = (rows.clone() * scale.clone()).round() / scale;
    let rounded = rows.clone() + (rounded - rows).detach();
    rounded.reshape([len])
}

/// Applies a function of `[position][channel]`.
fn map_rows<B: TrainBackend>(
    x: Tensor<B, 4>,
    f: impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>,
) -> Tensor<B, 4> {
    let [n, h, w, c] = x.dims();
    let y = f(x.reshape([n * h * w, c]));
    let [_, channels] = y.dims();
    y.reshape([n, h, w, channels])
}

/// Squares of `f * f` positions as channels; `f` divides height and width.
pub(super) fn unshuffle<B: TrainBackend>(x: Tensor<B, 4>, f: usize) -> Tensor<B, 4> {
    let [n, h, w, c] = x.dims();
    let x: Tensor<B, 6> = x.reshape([n, h / f, f, w / f, f, c]);
    x.permute([0, 1, 3, 2, 4, 5])
        .reshape([n, h / f, w / f, f * f * c])
}

/// The inverse of [`unshuffle`].
pub(super) fn shuffle<B: TrainBackend>(x: Tensor<B, 4>, f: usize) -> Tensor<B, 4> {
    let [n, h, w, c] = x.dims();
    let channels = c / (f * f);
    let x: Tensor<B, 6> = x.reshape([n, h, w, f, f, channels]);
    x.permute([0, 1, 3, 2, 4, 5])
        .reshape([n, h * f, w * f, channels])
}
