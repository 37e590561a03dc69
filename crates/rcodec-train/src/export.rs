//! From trained weights to an integer model file.
//!
//! Nothing is decided here: the integers are those of [`quant`](crate::quant),
//! by which fake quantisation rounds, and the graph is the one burn ran. What
//! is written is read again and checked by `rcodec-model`, which proves once
//! more that no sum can overflow.
//!
//! What the file holds is described in [`codec`](crate::codec).

#[cfg(feature = "flex")]
pub mod equality;
pub mod manifest;
mod measure;

pub use measure::validate_integer;

use crate::codec::{LATENT_Q, QUALITIES, SCALE_SHIFT, STEPS};
use crate::graph::lossy::LossyGraphs;
use crate::graph::{
    Activation, GATE_MAX, GATE_SHIFT, Graph, INDICES_PER_UNIT, Op, Param, Value, clip_bounds,
};
use crate::quant::{AffineIntegers, GainIntegers, NodeIntegers, graph_integers};
use rcodec_core::{Error, Result};
use rcodec_entropy::SCALES;
use rcodec_model::graph as model;
use rcodec_model::{ModelData, ModelTensor, Record, TensorData};

/// Family, variant and version of a recipe's name, as in `image-lossy-s1`; a
/// name without a number is version 1.
pub fn parse_name(name: &str) -> (String, String, u32) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, version) = name.split_at(name.len() - digits);
    let (family, variant) = stem.rsplit_once('-').unwrap_or((stem, ""));
    let version = version.parse().unwrap_or(1);
    (family.to_owned(), variant.to_owned(), version)
}

/// The selector of quality gains.
const QUALITY: &str = "quality";

/// A trained model as integers.
///
/// # Errors
/// [`Error::Parameter`] if weights are too large for 32-bit sums.
pub fn model_data(graphs: &LossyGraphs, values: &[f32], record: Record) -> Result<ModelData> {
    let mut data = ModelData {
        record,
        ..ModelData::default()
    };
    for (name, value) in [
        ("latent_q", u64::from(LATENT_Q)),
        ("scale_shift", u64::from(SCALE_SHIFT)),
        ("scales", SCALES as u64),
        ("steps", STEPS as u64),
        ("qualities", QUALITIES as u64),
        ("latents", graphs.config.latents as u64),
        ("hyper_latents", graphs.config.hyper_latents as u64),
        (
            "lambda_min_q24",
            (f64::from(graphs.config.lambda_min) * f64::from(1 << 24)) as u64,
        ),
        (
            "lambda_max_q24",
            (f64::from(graphs.config.lambda_max) * f64::from(1 << 24)) as u64,
        ),
    ] {
        data.parameters.insert(name.to_owned(), value as i64);
    }
    for (graph, stride) in graphs.all().into_iter().zip(graphs.strides()) {
        let integers = graph_integers(graph, &graphs.layout, &graphs.config, values, 1.0)?;
        let mut exporter = Exporter {
            graph,
            data: &mut data,
        };
        let exported = exporter.export(stride, integers)?;
        data.graphs.push(exported);
    }
    hyper_prior(graphs, values, &mut data)?;
    Ok(data)
}

/// Means and scales of the hyper latents at every quality.
fn hyper_prior(graphs: &LossyGraphs, values: &[f32], data: &mut ModelData) -> Result<()> {
    let channels = graphs.config.hyper_latents;
    let dims = [QUALITIES, channels];
    let (mut means, mut scales) = (Vec::new(), Vec::new());
    for quality in 0..QUALITIES {
        let weights = graphs.config.anchor_weights(quality);
        for channel in 0..channels {
            let at = |param: Param| -> f32 {
                let table = graphs.layout.slice(param, values);
                let column = table[channel..].iter().step_by(channels);
                column.zip(&weights).map(|(v, w)| v * w).sum()
            };
            let unit = f32::from(1u16 << LATENT_Q);
            let mean = (at(graphs.z_mean) * unit + 0.5).floor();
            let scale = (at(graphs.z_scale) * INDICES_PER_UNIT + 0.5).floor();
            means.push(mean as i16);
            scales.push(scale.clamp(0.0, (SCALES - 1) as f32) as u8);
        }
    }
    insert(data, "z.mean", &dims, TensorData::I16(means))?;
    insert(data, "z.scale", &dims, TensorData::U8(scales))
}

fn insert(data: &mut ModelData, name: &str, dims: &[usize], values: TensorData) -> Result<()> {
    data.tensors.insert(ModelTensor::new(name, dims, values)?)
}

/// One graph on its way.
struct Exporter<'a> {
    graph: &'a Graph,
    data: &'a mut ModelData,
}

impl Exporter<'_> {
    fn export(&mut self, stride: u32, integers: Vec<NodeIntegers>) -> Result<model::Graph> {
        let mut exported = model::Graph {
            name: self.graph.name.clone(),
            kind: model::GraphKind::Spatial,
            inputs: Vec::new(),
            selectors: Vec::new(),
            nodes: Vec::new(),
            outputs: Vec::new(),
        };
        for (i, integers) in integers.into_iter().enumerate() {
            let node = &self.graph.nodes[i];
            if node.op == Op::Input {
                exported.inputs.push(model::Input {
                    name: self.name(Value(i)),
                    channels: size(node.channels)?,
                    q: node.q,
                    max: node.max_abs,
                    stride,
                });
                continue;
            }
            if matches!(node.op, Op::QualityGain { .. }) && exported.selectors.is_empty() {
                exported.selectors.push(model::Selector {
                    name: QUALITY.to_owned(),
                    count: QUALITIES as u32,
                });
            }
            exported.nodes.push(self.node(i, integers)?);
        }
        let outputs = self.graph.outputs.iter().map(|&value| model::Output {
            name: self.name(value),
            value: self.name(value),
        });
        exported.outputs = outputs.collect();
        Ok(exported)
    }

    /// A value's name within the graph.
    fn name(&self, value: Value) -> String {
        let name = &self.graph.node(value).name;
        let prefix = self.graph.name.len() + 1;
        name[prefix..].to_owned()
    }

    fn node(&mut self, index: usize, integers: NodeIntegers) -> Result<model::Node> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let (input, add, op) = match (&node.op, integers) {
            (Op::Unshuffle { input, factor }, _) => {
                let factor = size(*factor)? as u8;
                (*input, None, model::Op::PixelUnshuffle { factor })
            }
            (Op::Shuffle { input, factor }, _) => {
                let factor = size(*factor)? as u8;
                (*input, None, model::Op::PixelShuffle { factor })
            }
            (
                Op::Conv {
                    input,
                    kernel,
                    stride,
                    activation,
                    gated,
                    residual,
                    ..
                },
                NodeIntegers::Affine(affine),
            ) => {
                let inputs = graph.node(*input).channels;
                let requant = self.requant(index, &affine, *activation)?;
                let weights = self.weights(index, &affine, [*kernel, *kernel, inputs])?;
                let op = model::Op::Conv {
                    stride: *stride as u8,
                    padding: model::Padding::Replicate,
                    weights,
                    requant,
                    gate: gated.then(gate),
                };
                (*input, *residual, op)
            }
            (Op::Depthwise { input, .. }, NodeIntegers::Affine(affine)) => {
                let requant = self.requant(index, &affine, Activation::Identity)?;
                let dims = [3, 3, node.channels];
                let weights = TensorData::I16(affine.weights);
                let op = model::Op::Depthwise {
                    stride: 1,
                    padding: model::Padding::Replicate,
                    weights: self.tensor(index, "weight", &dims, weights)?,
                    requant,
                };
                (*input, None, op)
            }
            (
                Op::QualityGain {
                    input, activation, ..
                },
                NodeIntegers::Gain(gain),
            ) => (*input, None, self.gain(index, gain, *activation)?),
            _ => {
                return Err(Error::Parameter(format!("{}: no integers", node.name)));
            }
        };
        Ok(model::Node {
            name: self.name(Value(index)),
            op,
            input: self.name(input),
            add: add.map(|value| self.name(value)),
            q: node.q,
        })
    }

    /// Weights `[row][column][in][out]` as `[out][row][column][in]`.
    fn weights(
        &mut self,
        index: usize,
        affine: &AffineIntegers,
        window: [usize; 3],
    ) -> Result<String> {
        let outputs = affine.shift.len();
        let inputs = affine.weights.len() / outputs;
        let weights = (0..outputs)
            .flat_map(|out| (0..inputs).map(move |input| affine.weights[input * outputs + out]));
        let weights = TensorData::I16(weights.collect());
        let dims = [outputs, window[0], window[1], window[2]];
        self.tensor(index, "weight", &dims, weights)
    }

    fn requant(
        &mut self,
        index: usize,
        affine: &AffineIntegers,
        activation: Activation,
    ) -> Result<model::Requant> {
        let dims = [affine.shift.len()];
        let bias = TensorData::I32(affine.bias.clone());
        let shift = TensorData::U8(affine.shift.clone());
        Ok(model::Requant {
            bias: Some(self.tensor(index, "bias", &dims, bias)?),
            shift: self.tensor(index, "shift", &dims, shift)?,
            activation: clip(activation, self.graph.nodes[index].q),
        })
    }

    fn gain(
        &mut self,
        index: usize,
        gain: GainIntegers,
        activation: Activation,
    ) -> Result<model::Op> {
        let node = &self.graph.nodes[index];
        let dims = [QUALITIES, node.channels];
        let activation = clip(activation, node.q);
        Ok(model::Op::Gain {
            selector: Some(QUALITY.to_owned()),
            gains: self.tensor(index, "gain", &dims, TensorData::I16(gain.gain))?,
            requant: model::Requant {
                bias: Some(self.tensor(index, "bias", &dims, TensorData::I32(gain.bias))?),
                shift: self.tensor(index, "shift", &dims, TensorData::U8(gain.shift))?,
                activation,
            },
        })
    }

    /// Adds a tensor of a node and gives its name.
    fn tensor(
        &mut self,
        index: usize,
        part: &str,
        dims: &[usize],
        values: TensorData,
    ) -> Result<String> {
        let name = format!("{}.{part}", self.graph.nodes[index].name);
        insert(self.data, &name, dims, values)?;
        Ok(name)
    }
}

impl LossyGraphs {
    /// Samples from one position of each graph's inputs to the next, in the
    /// order of [`LossyGraphs::all`].
    fn strides(&self) -> Vec<u32> {
        let entries = std::iter::repeat_n(16, self.entries.len());
        [1, 16, 16, 64, 16].into_iter().chain(entries).collect()
    }
}

fn gate() -> model::Gate {
    let clip_gates = Activation::Clip {
        lo: 0.0,
        hi: GATE_MAX,
    };
    model::Gate {
        shift: GATE_SHIFT,
        activation: clip(clip_gates, GATE_SHIFT),
    }
}

fn clip(activation: Activation, q: u8) -> model::Activation {
    match activation {
        Activation::Identity => model::Activation::Identity,
        Activation::Clip { .. } => {
            let (lo, hi) = clip_bounds(activation, q);
            model::Activation::Clip { lo, hi }
        }
    }
}

fn size(size: usize) -> Result<u32> {
    u32::try_from(size).map_err(|_| Error::Limit("size of a network"))
}

#[cfg(all(test, feature = "flex"))]
mod tests;
