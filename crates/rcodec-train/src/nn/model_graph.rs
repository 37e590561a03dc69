//! Any graph of a model file, run by burn by the integer rules.
//!
//! Training describes its networks in [`graph`](crate::graph), of which the
//! exporter makes model files. This is the way back: every operation that a
//! model file can hold, recurrent cells, causal convolutions and tables among
//! them, as differentiable tensors. Values and weights are numbers that stand
//! for the file's integers, in its units. In `f64` the outputs are those of
//! `rcodec-model`'s engine, integer for integer. In `f32`, where only what has
//! more than 24 bits is off, by a unit, gradients flow through every rounding
//! as if it were not there: a model's weights can be trained on under the very
//! rules that it is run by, and be written back.
//!
//! ```text
//! Model ──▶ ModelGraph ── run, gradients, set_weights ──▶ ModelData ──▶ checks, file
//! ```

use super::forward::{shuffle, unshuffle};
use super::ops::{self, TrainBackend, Window};
use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{DType, Int, Tensor, TensorData};
use rcodec_core::{Error, Result};
use rcodec_model::graph::{Activation, Gate, Graph, Node, Op, Padding, Requant, Table};
use rcodec_model::{Model, ModelData, ModelTensor, TensorData as Elements, Tensors};
use std::collections::BTreeMap;

/// A graph of a model with weights that can change.
///
/// Inputs and outputs are `[image][row][column][channel]`. For graphs over
/// time they are `[stream][1][time][channel]`, from silence on: streams in
/// lockstep are the images here.
#[derive(Clone, Debug)]
pub struct ModelGraph<'m, B: TrainBackend> {
    graph: &'m Graph,
    data: &'m ModelData,
    /// Weights, gains and biases by their tensors' names, not rounded.
    weights: BTreeMap<&'m str, Tensor<B, 1>>,
    device: B::Device,
    dtype: DType,
}

impl<'m, B: TrainBackend> ModelGraph<'m, B> {
    /// The graph `name` with the weights of the model.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no such graph.
    pub fn new(
        model: &'m Model,
        name: &str,
        (device, dtype): (&B::Device, DType),
    ) -> Result<ModelGraph<'m, B>> {
        let (graph, data) = (model.graph(name)?.0, model.data());
        let mut weights = BTreeMap::new();
        for name in graph.nodes.iter().flat_map(|node| trained(&node.op)) {
            let values: Vec<f64> = elements(&data.tensors, name)?.collect();
            let len = values.len();
            let values = TensorData::new(values, [len]);
            weights.insert(name, Tensor::from_data(values, (device, dtype)));
        }
        Ok(ModelGraph {
            graph,
            data,
            weights,
            device: device.clone(),
            dtype,
        })
    }

    /// Weights, gains and biases: flat tensors in the order of the file's, by
    /// their names.
    pub fn weights(&self) -> &BTreeMap<&'m str, Tensor<B, 1>> {
        &self.weights
    }

    /// Other weights, a tensor for each name of [`ModelGraph::weights`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of values than there are.
    pub fn set_weights(&mut self, name: &str, values: Tensor<B, 1>) -> Result<()> {
        match self.weights.get_mut(name) {
            Some(weights) if weights.dims() == values.dims() => *weights = values,
            _ => return Err(Error::Parameter(format!("{name}: other weights"))),
        }
        Ok(())
    }

    /// The model with this graph's weights, rounded. [`ModelData::build`]
    /// checks it: weights may have grown too large for 32-bit sums.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are no `f64` to be had of a tensor.
    pub fn to_data(&self) -> Result<ModelData> {
        let mut tensors = Tensors::default();
        for tensor in self.data.tensors.iter() {
            let mut tensor: ModelTensor = tensor.clone();
            if self.weights.contains_key(tensor.info.name.as_str()) {
                let values = self.rounded(&tensor.info.name)?.into_data();
                let values = values.convert::<f64>().to_vec::<f64>();
                let values = values.map_err(|error| Error::Parameter(format!("{error:?}")))?;
                tensor.data = match tensor.data {
                    Elements::I8(_) => Elements::I8(values.iter().map(|&v| v as i8).collect()),
                    Elements::I16(_) => Elements::I16(values.iter().map(|&v| v as i16).collect()),
                    _ => Elements::I32(values.iter().map(|&v| v as i32).collect()),
                };
            }
            tensors.insert(tensor)?;
        }
        Ok(ModelData {
            tensors,
            ..self.data.clone()
        })
    }

    /// Computes the graph's outputs; `variants` chooses for each selector.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of inputs or variants.
    pub fn run(&self, inputs: &[Tensor<B, 4>], variants: &[usize]) -> Result<Vec<Tensor<B, 4>>> {
        let graph = self.graph;
        if inputs.len() != graph.inputs.len() || variants.len() != graph.selectors.len() {
            return Err(Error::Parameter(format!("{}: other inputs", graph.name)));
        }
        let mut values: BTreeMap<&str, (Tensor<B, 4>, u8)> = BTreeMap::new();
        for (input, value) in graph.inputs.iter().zip(inputs) {
            values.insert(&input.name, (value.clone(), input.q));
        }
        let known = |values: &BTreeMap<&str, (Tensor<B, 4>, u8)>, name: &str| {
            let value = values.get(name).cloned();
            value.ok_or_else(|| Error::Parameter(format!("{name}: not known")))
        };
        for node in &graph.nodes {
            let (x, _) = known(&values, &node.input)?;
            let y = match &node.op {
                Op::Multiply { by } => {
                    let (by, q) = known(&values, by)?;
                    product(x, by, q)
                }
                _ => self.node(node, x, variants)?,
            };
            let y = match &node.add {
                Some(add) => sat16(y + known(&values, add)?.0),
                None => y,
            };
            values.insert(&node.name, (y, node.q));
        }
        let outputs = graph.outputs.iter();
        outputs
            .map(|output| Ok(known(&values, &output.value)?.0))
            .collect()
    }

    fn node(&self, node: &Node, x: Tensor<B, 4>, variants: &[usize]) -> Result<Tensor<B, 4>> {
        Ok(match &node.op {
            Op::Conv {
                stride,
                padding,
                weights,
                requant,
                gate,
            } => {
                let kernel = self.dims(weights)?[1];
                let x = windows(x, (kernel, usize::from(*stride)), *padding);
                self.matrix(x, weights, (requant, *gate))?
            }
            Op::Depthwise {
                stride,
                padding,
                weights,
                requant,
            } => {
                let (kernel, channels) = (self.dims(weights)?[0], x.dims()[3]);
                let x = windows(x, (kernel, usize::from(*stride)), *padding);
                let [n, h, w, _] = x.dims();
                let taps = kernel * kernel;
                let weights: Tensor<B, 3> = self.rounded(weights)?.reshape([1, taps, channels]);
                let x: Tensor<B, 3> = x.reshape([n * h * w, taps, channels]);
                let sums = (x * weights).sum_dim(1).reshape([n, h, w, channels]);
                self.requantize(sums, (requant, None), 0)?
            }
            Op::TransposedConv { weights, requant } => {
                let sums = self.transposed(x, weights)?;
                self.requantize(sums, (requant, None), 0)?
            }
            Op::CausalConv {
                dilation,
                weights,
                requant,
                gate,
            } => {
                let taps = self.dims(weights)?[1];
                let x = history(x, taps, *dilation as usize);
                self.matrix(x, weights, (requant, *gate))?
            }
            Op::Dense {
                weights,
                narrow,
                requant,
                gate,
            } => {
                let x = narrow.map_or(x.clone(), |shift| narrowed(x, shift));
                self.matrix(x, weights, (requant, *gate))?
            }
            Op::MinGru { .. } | Op::Gru { .. } => self.recurrent(&node.op, x)?,
            Op::Gain {
                selector,
                gains,
                requant,
            } => {
                let names = self.graph.selectors.iter();
                let index = selector.as_ref().and_then(|selector| {
                    let mut names = names.map(|selector| &selector.name);
                    names.position(|name| name == selector)
                });
                let variant = index.map_or(0, |index| variants[index]);
                let channels = x.dims()[3];
                let gains = row(self.rounded(gains)?, variant, channels);
                self.requantize(x * gains, (requant, None), variant)?
            }
            Op::GateHalves { activation, gate } => gated(x, *activation, *gate),
            Op::Activate { activation } => activated(x, *activation),
            Op::Lookup { table } => self.lookup(x, table)?,
            Op::Add | Op::Multiply { .. } => x,
            Op::PixelShuffle { factor } => shuffle(x, usize::from(*factor)),
            Op::PixelUnshuffle { factor } => unshuffle(completed(x, *factor), usize::from(*factor)),
        })
    }

    /// `[out][…]` times every position's values.
    fn matrix(
        &self,
        x: Tensor<B, 4>,
        weights: &str,
        after: (&Requant, Option<Gate>),
    ) -> Result<Tensor<B, 4>> {
        let [n, h, w, inputs] = x.dims();
        let outputs = self.dims(weights)?[0];
        let weights: Tensor<B, 2> = self.rounded(weights)?.reshape([outputs, inputs]);
        let x: Tensor<B, 2> = x.reshape([n * h * w, inputs]);
        let sums = x.matmul(weights.transpose()).reshape([n, h, w, outputs]);
        self.requantize(sums, after, 0)
    }

    fn transposed(&self, x: Tensor<B, 4>, weights: &str) -> Result<Tensor<B, 4>> {
        let dims = self.dims(weights)?;
        let (outputs, kernel, inputs) = (dims[0], dims[1], dims[3]);
        let weights: Tensor<B, 4> = self
            .rounded(weights)?
            .reshape([outputs, kernel, kernel, inputs]);
        // What doubles height and width exactly.
        let padding = (kernel - 1) / 2;
        let options = ConvTransposeOptions::new(
            [2, 2],
            [padding; 2],
            [2 + 2 * padding - kernel; 2],
            [1, 1],
            1,
        );
        let x = x.permute([0, 3, 1, 2]);
        let sums = conv_transpose2d(x, weights.permute([3, 0, 1, 2]), None, options);
        Ok(sums.permute([0, 2, 3, 1]))
    }

    /// `activation(sat16((sum + bias + round) >> shift))`, and the gate; of
    /// gains the biases and shifts of a variant.
    fn requantize(
        &self,
        mut sums: Tensor<B, 4>,
        (requant, gate): (&Requant, Option<Gate>),
        variant: usize,
    ) -> Result<Tensor<B, 4>> {
        let channels = sums.dims()[3];
        if let Some(bias) = &requant.bias {
            sums = sums + row(self.rounded(bias)?, variant, channels);
        }
        let shifts = elements(&self.data.tensors, &requant.shift)?;
        let shifts = shifts.skip(variant * channels).take(channels);
        let scales: Vec<f64> = shifts.map(|shift| 2f64.powi(-(shift as i32))).collect();
        let scales = TensorData::new(scales, [1, 1, 1, channels]);
        let scales = Tensor::<B, 4>::from_data(scales, (&self.device, self.dtype));
        let y = sat16(rounded(sums * scales));
        Ok(match gate {
            Some(gate) => gated(y, requant.activation, gate),
            None => activated(y, requant.activation),
        })
    }

    /// A function by its table.
    fn lookup(&self, x: Tensor<B, 4>, table: &Table) -> Result<Tensor<B, 4>> {
        let values: Vec<f64> = elements(&self.data.tensors, &table.values)?.collect();
        let intervals = values.len() - 1;
        let half = f64::from(1u32 << table.range_bits);
        let values = TensorData::new(values, [intervals + 1]);
        let values = Tensor::<B, 1>::from_data(values, (&self.device, self.dtype));
        let dims = x.dims();
        let x: Tensor<B, 1> = x.reshape([dims.iter().product::<usize>()]);
        let index = x.clamp(-half, half - 1.0).add_scalar(half);
        let position = index * (intervals as f64 / (2.0 * half));
        let entry = position.clone().floor().detach();
        let index: Tensor<B, 1, Int> = entry.clone().int();
        let low = values.clone().select(0, index.clone());
        let high = values.select(0, index.add_scalar(1));
        let between = low.clone() + (high - low.clone()) * (position - entry);
        let y = match table.interpolate {
            true => rounded(between),
            false => through(between, low),
        };
        Ok(y.reshape(dims))
    }

    /// A recurrent cell over the columns, from a state of zero on.
    fn recurrent(&self, op: &Op, x: Tensor<B, 4>) -> Result<Tensor<B, 4>> {
        let [n, _, time, inputs] = x.dims();
        let mut state: Option<Tensor<B, 4>> = None;
        let mut outputs: Vec<Tensor<B, 4>> = Vec::with_capacity(time);
        for t in 0..time {
            let x = x.clone().slice([0..n, 0..1, t..t + 1, 0..inputs]);
            let (update, candidate, guard) = match op {
                Op::MinGru {
                    narrow,
                    weights,
                    requant,
                    update,
                    candidate,
                    guard,
                } => {
                    let sums = self.matrix(narrowed(x, *narrow), weights, (requant, None))?;
                    let mut parts = sums.chunk(2, 3).into_iter();
                    let (Some(a), Some(g)) = (parts.next(), parts.next()) else {
                        return Err(Error::parameter("a minGRU without candidates"));
                    };
                    let candidate = match candidate {
                        Some(table) => self.lookup(g, table)?,
                        None => g,
                    };
                    (self.lookup(a, update)?, candidate, *guard)
                }
                _ => self.gru_step(op, x, outputs.last())?,
            };
            let scale = f64::from(1u32 << guard);
            let last = state.unwrap_or_else(|| candidate.zeros_like());
            let distance = candidate * scale - last.clone();
            let step = rounded(update.clamp_min(0.0) * distance * 2f64.powi(-15));
            let next = last + step;
            outputs.push(sat16(rounded(next.clone() * scale.recip())));
            state = Some(next);
        }
        Ok(Tensor::cat(outputs, 2))
    }

    /// Update gate, candidate and guard bits of a GRU's step after `last`.
    fn gru_step(
        &self,
        op: &Op,
        x: Tensor<B, 4>,
        last: Option<&Tensor<B, 4>>,
    ) -> Result<(Tensor<B, 4>, Tensor<B, 4>, u8)> {
        let Op::Gru {
            narrow,
            weights,
            requant,
            hidden_narrow,
            hidden_weights,
            hidden_requant,
            gate,
            candidate,
            guard,
        } = op
        else {
            return Err(Error::parameter("no recurrent cell"));
        };
        let n = x.dims()[0];
        let width = self.dims(hidden_weights)?[1];
        let a = self.matrix(narrowed(x, *narrow), weights, (requant, None))?;
        let last = match last {
            Some(last) => last.clone(),
            None => Tensor::zeros([n, 1, 1, width], (&self.device, self.dtype)),
        };
        let last = narrowed(last, *hidden_narrow);
        let b = self.matrix(last, hidden_weights, (hidden_requant, None))?;
        let part = |sums: &Tensor<B, 4>, i: usize| {
            let channels = i * width..(i + 1) * width;
            sums.clone().slice([0..n, 0..1, 0..1, channels])
        };
        let update = self.lookup(sat16(part(&a, 0) + part(&b, 0)), gate)?;
        let reset = self.lookup(sat16(part(&a, 1) + part(&b, 1)), gate)?;
        let sum = part(&a, 2) + product(part(&b, 2), reset, 15);
        Ok((update, self.lookup(sat16(sum), candidate)?, *guard))
    }

    /// Weights as the integers that they become in a file.
    fn rounded(&self, name: &str) -> Result<Tensor<B, 1>> {
        let weights = self.weights.get(name);
        let weights = weights.ok_or_else(|| Error::Parameter(format!("{name}: no weights")))?;
        let exact = weights.clone().round();
        let exact = match self.data.tensors.get(name).map(|tensor| &tensor.data) {
            Some(Elements::I8(_)) => exact.clamp(-127.0, 127.0),
            Some(Elements::I16(_)) => exact.clamp(-32767.0, 32767.0),
            _ => exact,
        };
        Ok(through(weights.clone(), exact))
    }

    fn dims(&self, name: &str) -> Result<Vec<usize>> {
        let tensor = self.data.tensors.get(name);
        let tensor = tensor.ok_or_else(|| Error::Parameter(format!("{name}: no such tensor")))?;
        Ok(tensor.info.dims.iter().map(|&dim| dim as usize).collect())
    }
}

/// Names of the tensors that training changes.
fn trained(op: &Op) -> Vec<&str> {
    let (weights, requants) = match op {
        Op::Conv {
            weights, requant, ..
        }
        | Op::Depthwise {
            weights, requant, ..
        }
        | Op::TransposedConv { weights, requant }
        | Op::CausalConv {
            weights, requant, ..
        }
        | Op::Dense {
            weights, requant, ..
        }
        | Op::MinGru {
            weights, requant, ..
        }
        | Op::Gain {
            gains: weights,
            requant,
            ..
        } => (vec![weights], vec![requant]),
        Op::Gru {
            weights,
            requant,
            hidden_weights,
            hidden_requant,
            ..
        } => (vec![weights, hidden_weights], vec![requant, hidden_requant]),
        Op::GateHalves { .. }
        | Op::Multiply { .. }
        | Op::Activate { .. }
        | Op::Lookup { .. }
        | Op::Add
        | Op::PixelShuffle { .. }
        | Op::PixelUnshuffle { .. } => (Vec::new(), Vec::new()),
    };
    let biases = requants
        .into_iter()
        .filter_map(|requant| requant.bias.as_ref());
    weights
        .into_iter()
        .chain(biases)
        .map(String::as_str)
        .collect()
}

/// The elements of a tensor of numbers.
fn elements<'t>(tensors: &'t Tensors, name: &str) -> Result<Box<dyn Iterator<Item = f64> + 't>> {
    match tensors.get(name).map(|tensor| &tensor.data) {
        Some(Elements::I8(values)) => Ok(Box::new(values.iter().map(|&v| v.into()))),
        Some(Elements::I16(values)) => Ok(Box::new(values.iter().map(|&v| v.into()))),
        Some(Elements::I32(values)) => Ok(Box::new(values.iter().map(|&v| v.into()))),
        Some(Elements::U8(values)) => Ok(Box::new(values.iter().map(|&v| v.into()))),
        _ => Err(Error::Parameter(format!("{name}: no numbers"))),
    }
}

/// `exact`, with the gradient of `x`.
fn through<B: TrainBackend, const D: usize>(x: Tensor<B, D>, exact: Tensor<B, D>) -> Tensor<B, D> {
    x.clone() + (exact - x).detach()
}

/// Rounded to integers, halves upwards.
fn rounded<B: TrainBackend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let exact = x.clone().add_scalar(0.5).floor();
    through(x, exact)
}

fn sat16<B: TrainBackend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    x.clamp(-32768.0, 32767.0)
}

/// `sat8((x + round) >> shift)`.
fn narrowed<B: TrainBackend>(x: Tensor<B, 4>, shift: u8) -> Tensor<B, 4> {
    rounded(x * 2f64.powi(-i32::from(shift))).clamp(-128.0, 127.0)
}

/// `sat16((a · b + round) >> shift)`.
fn product<B: TrainBackend>(a: Tensor<B, 4>, b: Tensor<B, 4>, shift: u8) -> Tensor<B, 4> {
    sat16(rounded(a * b * 2f64.powi(-i32::from(shift))))
}

fn activated<B: TrainBackend>(x: Tensor<B, 4>, activation: Activation) -> Tensor<B, 4> {
    match activation {
        Activation::Identity => x,
        Activation::Clip { lo, hi } => x.clamp(f64::from(lo), f64::from(hi)),
        Activation::LeakyRelu { shift, hi } => {
            let leak = x.clone() * 2f64.powi(-i32::from(shift));
            let leak = through(leak.clone(), leak.floor());
            x.max_pair(leak).clamp_max(f64::from(hi))
        }
    }
}

/// The product of the halves of the channels.
fn gated<B: TrainBackend>(x: Tensor<B, 4>, activation: Activation, gate: Gate) -> Tensor<B, 4> {
    let [n, h, w, channels] = x.dims();
    let half = channels / 2;
    let values = x.clone().slice([0..n, 0..h, 0..w, 0..half]);
    let gates = x.slice([0..n, 0..h, 0..w, half..channels]);
    let gates = activated(gates, gate.activation);
    product(activated(values, activation), gates, gate.shift)
}

/// Row `row` of `[…][len]`, for every position.
fn row<B: TrainBackend>(values: Tensor<B, 1>, row: usize, len: usize) -> Tensor<B, 4> {
    values.narrow(0, row * len, len).reshape([1, 1, 1, len])
}

/// The windows of a convolution: `[n][h'][w'][kernel · kernel · c]`.
fn windows<B: TrainBackend>(
    x: Tensor<B, 4>,
    (kernel, stride): (usize, usize),
    padding: Padding,
) -> Tensor<B, 4> {
    match padding {
        _ if (kernel, stride) == (1, 1) => x,
        // No window leaves the picture.
        Padding::Zero if kernel == 1 => windows(x, (kernel, stride), Padding::Replicate),
        Padding::Replicate => ops::unfold(x, Window { kernel, stride }),
        Padding::Zero => {
            let reach = kernel / 2;
            let [_, h, w, _] = x.dims();
            let x = framed(framed(x, 1, reach), 2, reach);
            // Of all windows those that are centred on inputs.
            let x = ops::unfold(x, Window { kernel, stride: 1 });
            every(every(x, 1, (reach, h, stride)), 2, (reach, w, stride))
        }
    }
}

/// With `reach` zeros at both ends of a dimension.
fn framed<B: TrainBackend>(x: Tensor<B, 4>, dim: usize, reach: usize) -> Tensor<B, 4> {
    let mut dims = x.dims();
    dims[dim] = reach;
    let zeros = Tensor::zeros(dims, (&x.device(), x.dtype()));
    Tensor::cat(vec![zeros.clone(), x, zeros], dim)
}

/// Positions `first`, `first + stride`, … of `len` of a dimension.
fn every<B: TrainBackend>(
    x: Tensor<B, 4>,
    dim: usize,
    (first, len, stride): (usize, usize, usize),
) -> Tensor<B, 4> {
    picked(x, dim, (0..len).step_by(stride).map(|i| first + i))
}

/// Some positions of a dimension.
fn picked<B: TrainBackend>(
    x: Tensor<B, 4>,
    dim: usize,
    positions: impl Iterator<Item = usize>,
) -> Tensor<B, 4> {
    let positions: Vec<i32> = positions.map(|at| at as i32).collect();
    let len = positions.len();
    let positions = TensorData::new(positions, [len]);
    let positions = Tensor::<B, 1, Int>::from_data(positions, &x.device());
    x.select(dim, positions)
}

/// Last rows and columns repeated up to multiples of `factor`.
fn completed<B: TrainBackend>(x: Tensor<B, 4>, factor: u8) -> Tensor<B, 4> {
    let factor = usize::from(factor);
    let [_, h, w, _] = x.dims();
    let rows = |len: usize| (0..len.next_multiple_of(factor)).map(move |i| i.min(len - 1));
    picked(picked(x, 1, rows(h)), 2, rows(w))
}

/// For each column, those `dilation` apart that end with it, the oldest first,
/// zeros before the beginning: `[n][1][time][taps · c]`.
fn history<B: TrainBackend>(x: Tensor<B, 4>, taps: usize, dilation: usize) -> Tensor<B, 4> {
    let [n, h, time, c] = x.dims();
    let taps = (0..taps).rev().map(|tap| {
        let back = (tap * dilation).min(time);
        if back == 0 {
            return x.clone();
        }
        let zeros = Tensor::zeros([n, h, back, c], (&x.device(), x.dtype()));
        if back == time {
            return zeros;
        }
        let kept = x.clone().slice([0..n, 0..h, 0..time - back, 0..c]);
        Tensor::cat(vec![zeros, kept], 2)
    });
    Tensor::cat(taps.collect(), 3)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
