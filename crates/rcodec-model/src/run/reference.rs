//! Graphs by their formulas: slow, without plans, packing or SIMD. What the
//! real thing is compared with.

use crate::graph::{Activation, Gate, Graph, Op, Padding, Requant, Table};
use crate::model::Tensors;
use crate::tensor::TensorData;
use rcodec_fixed::Tensor;
use std::collections::BTreeMap;

/// A value: rows, columns, channels, elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) data: Vec<i64>,
}

impl Grid {
    pub(super) fn of(tensor: &Tensor) -> Grid {
        Grid {
            height: tensor.shape().height,
            width: tensor.shape().width,
            channels: tensor.shape().channels,
            data: tensor.values().iter().map(|&v| i64::from(v)).collect(),
        }
    }

    pub(super) fn values(&self) -> Vec<i16> {
        self.data.iter().map(|&v| v as i16).collect()
    }

    fn make(
        (height, width, channels): (usize, usize, usize),
        f: impl Fn(usize, usize, usize) -> i64,
    ) -> Grid {
        let at = |i: usize| f(i / channels / width, i / channels % width, i % channels);
        let data = (0..height * width * channels).map(at).collect();
        Grid {
            height,
            width,
            channels,
            data,
        }
    }

    fn at(&self, row: usize, column: usize, channel: usize) -> i64 {
        self.data[(row * self.width + column) * self.channels + channel]
    }

    fn padded(&self, row: i64, column: i64, channel: usize, padding: Padding) -> i64 {
        let (height, width) = (self.height as i64, self.width as i64);
        let is_inside = (0..height).contains(&row) && (0..width).contains(&column);
        if !is_inside && padding == Padding::Zero {
            return 0;
        }
        let (row, column) = (row.clamp(0, height - 1), column.clamp(0, width - 1));
        self.at(row as usize, column as usize, channel)
    }
}

fn sat16(v: i64) -> i64 {
    v.clamp(-32768, 32767)
}

fn shifted(v: i64, shift: i64) -> i64 {
    (v + ((1 << shift) >> 1)) >> shift
}

fn activated(activation: Activation, y: i64) -> i64 {
    match activation {
        Activation::Identity => y,
        Activation::Clip { lo, hi } => y.clamp(i64::from(lo), i64::from(hi)),
        Activation::LeakyRelu { shift, hi } => y.max(y >> shift).min(i64::from(hi)),
    }
}

fn product(a: i64, b: i64, shift: i64) -> i64 {
    sat16(shifted(a * b, shift))
}

struct Layers<'m>(&'m Tensors);

impl Layers<'_> {
    fn elements(&self, name: &str) -> Vec<i64> {
        match &self.0.get(name).unwrap().data {
            TensorData::I8(v) => v.iter().map(|&v| v.into()).collect(),
            TensorData::I16(v) => v.iter().map(|&v| v.into()).collect(),
            TensorData::I32(v) => v.iter().map(|&v| v.into()).collect(),
            TensorData::U8(v) => v.iter().map(|&v| v.into()).collect(),
            TensorData::Cdf(v) => v.iter().map(|&v| v.into()).collect(),
            TensorData::Packed(v) => v.iter().map(|&v| v.into()).collect(),
        }
    }

    fn dims(&self, name: &str) -> Vec<usize> {
        let dims = &self.0.get(name).unwrap().info.dims;
        dims.iter().map(|&dim| dim as usize).collect()
    }

    /// From sums, channel by channel (of `row * channels` on in gains).
    fn requantized(&self, sums: Grid, requant: &Requant, gate: Option<Gate>, row: usize) -> Grid {
        let shift = self.elements(&requant.shift);
        let bias = requant.bias.as_ref().map(|name| self.elements(name));
        let y = |i: usize, j: usize, c: usize, activation: Activation| {
            let index = row * sums.channels + c;
            let sum = sums.at(i, j, c) + bias.as_ref().map_or(0, |bias| bias[index]);
            assert!(i32::try_from(sum).is_ok(), "a sum leaves 32 bits");
            activated(activation, sat16(shifted(sum, shift[index])))
        };
        let size = (sums.height, sums.width, sums.channels);
        match gate {
            None => Grid::make(size, |i, j, c| y(i, j, c, requant.activation)),
            Some(gate) => {
                let half = sums.channels / 2;
                Grid::make((size.0, size.1, half), |i, j, c| {
                    let gate_value = y(i, j, c + half, gate.activation);
                    product(
                        y(i, j, c, requant.activation),
                        gate_value,
                        gate.shift.into(),
                    )
                })
            }
        }
    }

    fn table(&self, table: &Table, x: i64) -> i64 {
        let values = self.elements(&table.values);
        let half = 1i64 << table.range_bits;
        let index = x.clamp(-half, half - 1) + half;
        let step = 2 * half / (values.len() as i64 - 1);
        let (entry, fraction) = ((index / step) as usize, index % step);
        if !table.interpolate {
            return values[entry];
        }
        let sum = values[entry] * (step - fraction) + values[entry + 1] * fraction;
        shifted(sum, i64::from(step.ilog2()))
    }

    /// `[out][in]` times every position.
    fn matrix(&self, x: &Grid, weights: &str, requant: &Requant, gate: Option<Gate>) -> Grid {
        let outputs = self.dims(weights)[0];
        let weights = self.elements(weights);
        let sums = Grid::make((x.height, x.width, outputs), |i, j, o| {
            (0..x.channels)
                .map(|c| weights[o * x.channels + c] * x.at(i, j, c))
                .sum()
        });
        self.requantized(sums, requant, gate, 0)
    }

    fn op(&self, op: &Op, x: &Grid, by: Option<&Grid>, variant: usize) -> Grid {
        let size = (x.height, x.width, x.channels);
        match op {
            Op::Conv {
                stride,
                padding,
                weights,
                requant,
                gate,
            } => {
                let dims = self.dims(weights);
                let weights = self.elements(weights);
                let (kernel, stride) = (dims[1], usize::from(*stride));
                let reach = (kernel / 2) as i64;
                let out = (x.height.div_ceil(stride), x.width.div_ceil(stride), dims[0]);
                let sums = Grid::make(out, |i, j, o| {
                    let taps = (0..kernel * kernel * x.channels).map(|t| {
                        let (tap, c) = (t / x.channels, t % x.channels);
                        let row = (i * stride + tap / kernel) as i64 - reach;
                        let column = (j * stride + tap % kernel) as i64 - reach;
                        let weight = weights[o * kernel * kernel * x.channels + t];
                        weight * x.padded(row, column, c, *padding)
                    });
                    taps.sum()
                });
                self.requantized(sums, requant, *gate, 0)
            }
            Op::Depthwise {
                stride,
                padding,
                weights,
                requant,
            } => {
                let kernel = self.dims(weights)[0];
                let weights = self.elements(weights);
                let stride = usize::from(*stride);
                let reach = (kernel / 2) as i64;
                let out = (
                    x.height.div_ceil(stride),
                    x.width.div_ceil(stride),
                    x.channels,
                );
                let sums = Grid::make(out, |i, j, c| {
                    let taps = (0..kernel * kernel).map(|tap| {
                        let row = (i * stride + tap / kernel) as i64 - reach;
                        let column = (j * stride + tap % kernel) as i64 - reach;
                        weights[tap * x.channels + c] * x.padded(row, column, c, *padding)
                    });
                    taps.sum()
                });
                self.requantized(sums, requant, None, 0)
            }
            Op::TransposedConv { weights, requant } => {
                let dims = self.dims(weights);
                let weights = self.elements(weights);
                let (outputs, kernel, padding) = (dims[0], dims[1], (dims[1] - 1) / 2);
                let sums = Grid::make((2 * x.height, 2 * x.width, outputs), |i, j, o| {
                    let mut sum = 0;
                    for tap in 0..kernel * kernel {
                        let row = (i + padding).checked_sub(tap / kernel);
                        let column = (j + padding).checked_sub(tap % kernel);
                        let (Some(row), Some(column)) = (row, column) else {
                            continue;
                        };
                        if row % 2 == 1 || column % 2 == 1 {
                            continue;
                        }
                        let (row, column) = (row / 2, column / 2);
                        if row >= x.height || column >= x.width {
                            continue;
                        }
                        for c in 0..x.channels {
                            let weight = weights[(o * kernel * kernel + tap) * x.channels + c];
                            sum += weight * x.at(row, column, c);
                        }
                    }
                    sum
                });
                self.requantized(sums, requant, None, 0)
            }
            Op::CausalConv {
                dilation,
                weights,
                requant,
                gate,
            } => {
                let dims = self.dims(weights);
                let weights = self.elements(weights);
                let sums = Grid::make((1, x.width, dims[0]), |_, t, o| {
                    let taps = (0..dims[1] * x.channels).map(|i| {
                        let (tap, c) = (i / x.channels, i % x.channels);
                        let back = *dilation as usize * (dims[1] - 1 - tap);
                        let value = t.checked_sub(back).map_or(0, |t| x.at(0, t, c));
                        weights[o * dims[1] * x.channels + i] * value
                    });
                    taps.sum()
                });
                self.requantized(sums, requant, *gate, 0)
            }
            Op::Dense {
                weights,
                narrow,
                requant,
                gate,
            } => match narrow {
                Some(shift) => self.matrix(&narrowed(x, *shift), weights, requant, *gate),
                None => self.matrix(x, weights, requant, *gate),
            },
            Op::MinGru { .. } | Op::Gru { .. } => self.recurrent(op, x),
            Op::Gain { gains, requant, .. } => {
                let gains = self.elements(gains);
                let row = variant * x.channels;
                let products = Grid::make(size, |i, j, c| gains[row + c] * x.at(i, j, c));
                self.requantized(products, requant, None, variant)
            }
            Op::GateHalves { activation, gate } => {
                let half = x.channels / 2;
                Grid::make((x.height, x.width, half), |i, j, c| {
                    let value = activated(*activation, x.at(i, j, c));
                    let gate_value = activated(gate.activation, x.at(i, j, c + half));
                    product(value, gate_value, gate.shift.into())
                })
            }
            Op::Multiply { .. } => {
                // The shift is the second factor's scale: it comes as variant.
                let by = by.unwrap();
                Grid::make(size, |i, j, c| {
                    product(x.at(i, j, c), by.at(i, j, c), variant as i64)
                })
            }
            Op::Activate { activation } => {
                Grid::make(size, |i, j, c| activated(*activation, x.at(i, j, c)))
            }
            Op::Lookup { table } => Grid::make(size, |i, j, c| self.table(table, x.at(i, j, c))),
            Op::Add => x.clone(),
            Op::PixelShuffle { factor } => {
                let f = usize::from(*factor);
                let channels = x.channels / (f * f);
                Grid::make((x.height * f, x.width * f, channels), |i, j, c| {
                    x.at(i / f, j / f, (i % f * f + j % f) * channels + c)
                })
            }
            Op::PixelUnshuffle { factor } => {
                let f = usize::from(*factor);
                let out = (
                    x.height.div_ceil(f),
                    x.width.div_ceil(f),
                    x.channels * f * f,
                );
                Grid::make(out, |i, j, c| {
                    let (square, channel) = (c / x.channels, c % x.channels);
                    let (row, column) = (i * f + square / f, j * f + square % f);
                    x.padded(row as i64, column as i64, channel, Padding::Replicate)
                })
            }
        }
    }

    /// One stream, position after position.
    fn recurrent(&self, op: &Op, x: &Grid) -> Grid {
        let mut data = Vec::new();
        let mut states: Vec<i64> = Vec::new();
        let mut last: Vec<i64> = Vec::new();
        for t in 0..x.width {
            let input = Grid::make((1, 1, x.channels), |_, _, c| x.at(0, t, c));
            let (updates, candidates, guard) = match op {
                Op::MinGru {
                    narrow,
                    weights,
                    requant,
                    update,
                    candidate,
                    guard,
                } => {
                    let sums = self
                        .matrix(&narrowed(&input, *narrow), weights, requant, None)
                        .data;
                    let (arguments, candidates) = sums.split_at(sums.len() / 2);
                    let updates: Vec<i64> =
                        arguments.iter().map(|&a| self.table(update, a)).collect();
                    let candidates: Vec<i64> = match candidate {
                        Some(table) => candidates.iter().map(|&a| self.table(table, a)).collect(),
                        None => candidates.to_vec(),
                    };
                    (updates, candidates, *guard)
                }
                Op::Gru {
                    narrow,
                    weights,
                    requant,
                    hidden_narrow,
                    hidden_weights,
                    hidden_requant,
                    gate,
                    candidate,
                    guard,
                } => {
                    let a = self
                        .matrix(&narrowed(&input, *narrow), weights, requant, None)
                        .data;
                    let width = a.len() / 3;
                    last.resize(width, 0);
                    let hidden = Grid::make((1, 1, width), |_, _, c| last[c]);
                    let hidden = narrowed(&hidden, *hidden_narrow);
                    let b = self
                        .matrix(&hidden, hidden_weights, hidden_requant, None)
                        .data;
                    let gates: Vec<i64> = (0..2 * width)
                        .map(|i| self.table(gate, sat16(a[i] + b[i])))
                        .collect();
                    let candidates = (0..width)
                        .map(|i| {
                            let reset = product(b[2 * width + i], gates[width + i], 15);
                            self.table(candidate, sat16(a[2 * width + i] + reset))
                        })
                        .collect();
                    (gates[..width].to_vec(), candidates, *guard)
                }
                _ => unreachable!("a cell"),
            };
            states.resize(updates.len(), 0);
            for (state, (update, candidate)) in
                states.iter_mut().zip(updates.iter().zip(&candidates))
            {
                let distance = (candidate << guard) - *state;
                *state += (update.max(&0) * distance + (1 << 14)) >> 15;
            }
            last = states
                .iter()
                .map(|&state| sat16(shifted(state, guard.into())))
                .collect();
            data.extend(&last);
        }
        let channels = states.len();
        Grid {
            height: 1,
            width: x.width,
            channels,
            data,
        }
    }
}

fn narrowed(x: &Grid, shift: u8) -> Grid {
    let mut x = x.clone();
    for v in &mut x.data {
        *v = shifted(*v, shift.into()).clamp(-128, 127);
    }
    x
}

/// The outputs of a graph; recurrent ones take the positions as the time of
/// one stream.
pub(super) fn evaluate(
    graph: &Graph,
    tensors: &Tensors,
    inputs: &[Grid],
    selectors: &[usize],
) -> Vec<Grid> {
    let mut values: BTreeMap<&str, (Grid, u8)> = BTreeMap::new();
    for (input, grid) in graph.inputs.iter().zip(inputs) {
        values.insert(&input.name, (grid.clone(), input.q));
    }
    for node in &graph.nodes {
        let (by, variant) = match &node.op {
            Op::Multiply { by } => {
                let (grid, q) = &values[by.as_str()];
                (Some(grid), usize::from(*q))
            }
            Op::Gain {
                selector: Some(name),
                ..
            } => {
                let index = graph
                    .selectors
                    .iter()
                    .position(|s| s.name == *name)
                    .unwrap();
                (None, selectors[index])
            }
            _ => (None, 0),
        };
        let mut out = Layers(tensors).op(&node.op, &values[node.input.as_str()].0, by, variant);
        if let Some(add) = &node.add {
            for (v, add) in out.data.iter_mut().zip(&values[add.as_str()].0.data) {
                *v = sat16(*v + add);
            }
        }
        values.insert(&node.name, (out, node.q));
    }
    let outputs = graph.outputs.iter();
    outputs
        .map(|output| values[output.value.as_str()].0.clone())
        .collect()
}
