//! Nodes as layers of `rcodec-fixed`, weights packed.

use super::plan::Step;
use crate::check::{Fault, RequantView, Weights, words_of};
use crate::graph::{Gate, Graph, Op, Requant, Table};
use crate::model::Tensors;
use rcodec_core::{Budget, Error, Reservation, Result};
use rcodec_fixed as fixed;
use rcodec_fixed::{Layer, QFormat, Shape};

/// What computes a step.
pub(super) enum Compiled {
    /// A layer without memory.
    Layer(Box<dyn Layer>),
    /// One gain layer for each variant, and the index of the selector.
    Gains(Vec<fixed::Gain>, Option<usize>),
    /// An `i8` matrix, and the shift that narrows its inputs.
    Bytes(fixed::ByteMatrix, u8),
    /// An `i16` matrix.
    Words(fixed::WordMatrix),
    /// A convolution over time.
    Causal(fixed::CausalConv1d),
    /// A cell, and the shift that narrows its inputs.
    MinGru(fixed::MinGruCell, u8),
    /// A cell, and the shift that narrows its inputs.
    Gru(fixed::GruCell, u8),
    /// The product with another value of so many fractional bits.
    Multiply(u8),
    /// An activation.
    Activate(fixed::Activation),
    /// A sum.
    Add,
}

/// What a step works with: its tensors and scales.
pub(super) struct Compiler<'m> {
    pub(super) graph: &'m Graph,
    pub(super) tensors: &'m Tensors,
    pub(super) budget: &'m Budget,
    /// The bound of the input.
    pub(super) input_max: u32,
    /// Channels of the input.
    pub(super) channels: usize,
    /// Scales of input, output, and second factor.
    pub(super) q: (u8, u8, Option<u8>),
    /// What packed weights take.
    pub(super) reservations: Vec<Reservation>,
}

/// What has been checked cannot be at fault; if it is, it is our mistake, and
/// an error nevertheless.
fn checked<T>(result: Result<T, Fault>) -> Result<T> {
    result.map_err(Error::from)
}

impl<'m> Compiler<'m> {
    /// The layer of a step.
    pub(super) fn compile(&mut self, step: &Step<'_>) -> Result<Compiled> {
        let scales = (QFormat::new(self.q.0)?, QFormat::new(self.q.1)?);
        let layer: Box<dyn Layer> = match &step.node.op {
            Op::Conv { .. } => return self.conv(&step.node.op, step.shuffle, scales),
            Op::Depthwise {
                stride,
                padding,
                weights,
                requant,
            } => {
                let weights = self.weights(weights)?;
                let spec = fixed::DepthwiseConv2dSpec {
                    channels: self.channels,
                    kernel: weights.dims[0] as usize,
                    stride: usize::from(*stride),
                    padding: (*padding).into(),
                    requant: self.requant(requant, &weights.dims[2..])?.all(),
                    weights: self.words(weights, (1, weights.len()), false)?,
                    input_max: self.input_max,
                    input_q: scales.0,
                    output_q: scales.1,
                };
                Box::new(fixed::DepthwiseConv2d::new(&spec)?)
            }
            Op::TransposedConv { weights, requant } => {
                let weights = self.weights(weights)?;
                let (outputs, inputs) = (weights.dims[0] as usize, weights.dims[3] as usize);
                let spec = fixed::TransposedConv2dSpec {
                    in_channels: inputs,
                    out_channels: outputs,
                    kernel: weights.dims[1] as usize,
                    requant: self.requant(requant, &weights.dims[..1])?.all(),
                    weights: self.words(weights, (8 * outputs, 9 * inputs), false)?,
                    input_max: self.input_max,
                    input_q: scales.0,
                    output_q: scales.1,
                };
                Box::new(fixed::ConvPixelShuffle::transposed(&spec)?)
            }
            Op::GateHalves { activation, gate } => {
                let gate = fixed::Gate::from(*gate);
                Box::new(fixed::GateHalves::new(
                    gate,
                    (*activation).into(),
                    scales.1,
                )?)
            }
            Op::Lookup { table } => Box::new(self.table(table, scales)?),
            Op::PixelShuffle { factor } => {
                Box::new(fixed::PixelShuffle::new(usize::from(*factor), scales.1)?)
            }
            Op::PixelUnshuffle { factor } => {
                Box::new(fixed::PixelUnshuffle::new(usize::from(*factor), scales.1)?)
            }
            Op::Gain { .. } => return self.gains(&step.node.op, scales),
            Op::Dense { .. } => return self.dense(&step.node.op),
            Op::CausalConv { .. } => return self.causal(&step.node.op, scales),
            Op::MinGru { .. } | Op::Gru { .. } => return self.cell(&step.node.op, scales.1),
            Op::Multiply { .. } => return Ok(Compiled::Multiply(self.q.2.unwrap_or(0))),
            Op::Activate { activation } => return Ok(Compiled::Activate((*activation).into())),
            Op::Add => return Ok(Compiled::Add),
        };
        Ok(Compiled::Layer(layer))
    }

    fn weights(&self, name: &str) -> Result<Weights<'m>> {
        checked(Weights::of(self.tensors, name))
    }

    fn requant(&self, requant: &Requant, dims: &[u32]) -> Result<RequantView<'m>> {
        checked(RequantView::of(self.tensors, requant, dims))
    }

    /// Charges what a matrix of so many outputs and inputs takes when it is
    /// packed, and what its description takes beside it.
    fn charge(&mut self, (outputs, inputs): (usize, usize), is_gated: bool) -> Result<()> {
        let slots = match is_gated {
            false => outputs.next_multiple_of(16),
            true => 2 * (outputs / 2).next_multiple_of(16),
        };
        let words = (slots as u64).checked_mul(inputs as u64 + 16);
        let bytes = words.and_then(|words| words.checked_mul(4));
        let bytes = bytes.ok_or(Error::Limit("memory"))?;
        self.reservations.push(self.budget.reserve(bytes)?);
        Ok(())
    }

    /// The weights widened, after [`Compiler::charge`].
    fn words(
        &mut self,
        weights: Weights<'_>,
        sizes: (usize, usize),
        is_gated: bool,
    ) -> Result<Vec<i16>> {
        self.charge(sizes, is_gated)?;
        Ok(weights.to_words())
    }

    fn conv(
        &mut self,
        op: &Op,
        shuffle: Option<usize>,
        (input_q, output_q): (QFormat, QFormat),
    ) -> Result<Compiled> {
        let Op::Conv {
            stride,
            padding,
            weights,
            requant,
            gate,
        } = op
        else {
            return Err(not_of_its_kind());
        };
        let weights = self.weights(weights)?;
        let (outputs, kernel) = (weights.dims[0] as usize, weights.dims[1] as usize);
        let window = kernel * kernel * self.channels.next_multiple_of(2);
        let spec = fixed::Conv2dSpec {
            in_channels: self.channels,
            out_channels: outputs,
            kernel,
            stride: usize::from(*stride),
            padding: (*padding).into(),
            requant: self.requant(requant, &weights.dims[..1])?.all(),
            weights: self.words(weights, (outputs, window), gate.is_some())?,
            gate: gate.map(Gate::into),
            input_max: self.input_max,
            input_q,
            output_q,
        };
        Ok(Compiled::Layer(match shuffle {
            None => Box::new(fixed::Conv2d::new(&spec)?),
            Some(factor) => Box::new(fixed::ConvPixelShuffle::new(&spec, factor)?),
        }))
    }

    fn gains(&mut self, op: &Op, scales: (QFormat, QFormat)) -> Result<Compiled> {
        let Op::Gain {
            selector,
            gains,
            requant,
        } = op
        else {
            return Err(not_of_its_kind());
        };
        let (dims, gains) = checked(words_of(self.tensors, gains))?;
        let requant = self.requant(requant, dims)?;
        self.charge((gains.len(), 1), false)?;
        let rows: Result<Vec<fixed::Gain>> = gains
            .chunks_exact(self.channels)
            .enumerate()
            .map(|(row, gains)| {
                let requant = requant.part(row * self.channels, self.channels);
                fixed::Gain::new(gains, &requant, self.input_max, scales)
            })
            .collect();
        let selectors = &self.graph.selectors;
        let selector = selector
            .as_ref()
            .and_then(|name| selectors.iter().position(|selector| selector.name == *name));
        Ok(Compiled::Gains(rows?, selector))
    }

    fn byte_matrix(
        &mut self,
        weights: &str,
        requant: &Requant,
        gate: Option<Gate>,
    ) -> Result<fixed::ByteMatrix> {
        let weights = self.weights(weights)?;
        let (outputs, inputs) = (weights.dims[0] as usize, weights.dims[1] as usize);
        self.charge((outputs, inputs.next_multiple_of(4)), gate.is_some())?;
        fixed::ByteMatrix::new(&fixed::ByteMatrixSpec {
            inputs,
            outputs,
            weights: weights.bytes().ok_or_else(not_of_its_kind)?.to_vec(),
            requant: self.requant(requant, &weights.dims[..1])?.all(),
            gate: gate.map(Gate::into),
        })
    }

    fn dense(&mut self, op: &Op) -> Result<Compiled> {
        let Op::Dense {
            weights,
            narrow,
            requant,
            gate,
        } = op
        else {
            return Err(not_of_its_kind());
        };
        if let Some(narrow) = *narrow {
            let matrix = self.byte_matrix(weights, requant, *gate)?;
            return Ok(Compiled::Bytes(matrix, narrow));
        }
        let weights = self.weights(weights)?;
        let (outputs, inputs) = (weights.dims[0] as usize, weights.dims[1] as usize);
        let matrix = fixed::WordMatrix::new(&fixed::WordMatrixSpec {
            inputs,
            outputs,
            requant: self.requant(requant, &weights.dims[..1])?.all(),
            weights: self.words(
                weights,
                (outputs, inputs.next_multiple_of(2)),
                gate.is_some(),
            )?,
            gate: gate.map(Gate::into),
            input_max: self.input_max,
        })?;
        Ok(Compiled::Words(matrix))
    }

    fn causal(&mut self, op: &Op, (input_q, output_q): (QFormat, QFormat)) -> Result<Compiled> {
        let Op::CausalConv {
            dilation,
            weights,
            requant,
            gate,
        } = op
        else {
            return Err(not_of_its_kind());
        };
        let weights = self.weights(weights)?;
        let (outputs, kernel) = (weights.dims[0] as usize, weights.dims[1] as usize);
        let window = kernel * self.channels.next_multiple_of(2);
        let conv = fixed::CausalConv1d::new(&fixed::CausalConv1dSpec {
            in_channels: self.channels,
            out_channels: outputs,
            kernel,
            dilation: *dilation as usize,
            requant: self.requant(requant, &weights.dims[..1])?.all(),
            weights: self.words(weights, (outputs, window), gate.is_some())?,
            gate: gate.map(Gate::into),
            input_max: self.input_max,
            input_q,
            output_q,
        })?;
        Ok(Compiled::Causal(conv))
    }

    fn cell(&mut self, op: &Op, output_q: QFormat) -> Result<Compiled> {
        let q15 = QFormat::new(15)?;
        // The scale of arguments is the tables' own affair.
        let gates = (QFormat::INTEGER, q15);
        let values = (QFormat::INTEGER, output_q);
        match op {
            Op::MinGru {
                narrow,
                weights,
                requant,
                update,
                candidate,
                guard,
            } => {
                let matrix = self.byte_matrix(weights, requant, None)?;
                let update = self.table(update, gates)?;
                let candidate = match candidate {
                    Some(table) => Some(self.table(table, values)?),
                    None => None,
                };
                let recurrence = fixed::GatedRecurrence::new(*guard)?;
                let cell = fixed::MinGruCell::new(matrix, update, candidate, recurrence)?;
                Ok(Compiled::MinGru(cell, *narrow))
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
                let matrix = self.byte_matrix(weights, requant, None)?;
                let hidden = self.byte_matrix(hidden_weights, hidden_requant, None)?;
                let tables = (self.table(gate, gates)?, self.table(candidate, values)?);
                let recurrence = fixed::GatedRecurrence::new(*guard)?;
                let matrices = (matrix, hidden);
                let cell = fixed::GruCell::new(matrices, tables, recurrence, *hidden_narrow)?;
                Ok(Compiled::Gru(cell, *narrow))
            }
            _ => Err(not_of_its_kind()),
        }
    }

    fn table(&mut self, table: &Table, scales: (QFormat, QFormat)) -> Result<fixed::Table> {
        let (_, values) = checked(words_of(self.tensors, &table.values))?;
        self.reservations
            .push(self.budget.reserve(6 * values.len() as u64)?);
        fixed::Table::new(&fixed::TableSpec {
            range_bits: table.range_bits,
            index_bits: values.len().ilog2() as u8,
            interpolate: table.interpolate,
            values: values.to_vec(),
            input_q: scales.0,
            output_q: scales.1,
        })
    }
}

impl Compiled {
    /// The shape of what comes out.
    pub(super) fn output_shape(&self, input: Shape) -> Result<Shape> {
        let wide = |channels: usize| Shape::new(input.height, input.width, channels);
        match self {
            Compiled::Layer(layer) => layer.output_shape(input),
            Compiled::Bytes(matrix, _) => wide(matrix.outputs()),
            Compiled::Words(matrix) => wide(matrix.outputs()),
            Compiled::Causal(conv) => wide(conv.out_channels()),
            Compiled::MinGru(cell, _) => wide(cell.width()),
            Compiled::Gru(cell, _) => wide(cell.width()),
            Compiled::Gains(..) | Compiled::Multiply(_) | Compiled::Activate(_) | Compiled::Add => {
                Ok(input)
            }
        }
    }

    /// Multiply-adds for an input of that shape.
    pub(super) fn work(&self, input: Shape) -> u64 {
        let positions = (input.height as u64).saturating_mul(input.width as u64);
        let per_position = match self {
            Compiled::Layer(layer) => return layer.work(input),
            Compiled::Bytes(matrix, _) => matrix.work(),
            Compiled::Words(matrix) => matrix.work(),
            Compiled::Causal(conv) => conv.work(),
            Compiled::MinGru(cell, _) => cell.work(),
            Compiled::Gru(cell, _) => cell.work(),
            Compiled::Gains(..) | Compiled::Multiply(_) | Compiled::Activate(_) | Compiled::Add => {
                input.channels as u64
            }
        };
        positions.saturating_mul(per_position)
    }

    /// Bytes that inputs are narrowed to, for each position.
    pub(super) fn narrowed(&self) -> usize {
        match self {
            Compiled::Bytes(matrix, _) => matrix.inputs(),
            Compiled::MinGru(cell, _) => cell.inputs(),
            Compiled::Gru(cell, _) => cell.inputs(),
            _ => 0,
        }
    }
}

fn not_of_its_kind() -> Error {
    Error::parameter("a node that is not what it was checked to be")
}
