//! Puts models together, every node checked as it is added.

use super::Quantized;
use crate::check::{Fault, GraphInfo, MAX_NODES, Scope, ValueInfo, check_node, check_tensor};
use crate::graph::{
    Activation, Gate, Graph, GraphKind, Input, Node, Op, Output, Padding, Requant, Selector,
};
use crate::model::ModelData;
use crate::tensor::{ModelTensor, TensorData};
use rcodec_core::{Error, Result};

/// A value of the graph that is being built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value(usize);

/// Puts a [`ModelData`] together.
#[derive(Clone, Debug, Default)]
pub struct ModelBuilder {
    /// What has been put together.
    pub data: ModelData,
}

/// What a layer does besides its weights.
#[derive(Clone, Copy, Debug)]
pub struct LayerOptions {
    /// Fractional bits of the output; [`Scales::output_q`](super::Scales) is
    /// the same number.
    pub q: u8,
    /// What follows the sums.
    pub activation: Activation,
    /// Whether the second half of the outputs multiplies the first.
    pub gate: Option<Gate>,
    /// What is added in the end.
    pub add: Option<Value>,
    /// Of convolutions, 1 or 2.
    pub stride: u8,
    /// Of convolutions.
    pub padding: Padding,
}

impl LayerOptions {
    /// A plain layer with outputs of `q` fractional bits: stride 1, edges
    /// replicated.
    pub fn new(q: u8) -> LayerOptions {
        LayerOptions {
            q,
            activation: Activation::Identity,
            gate: None,
            add: None,
            stride: 1,
            padding: Padding::Replicate,
        }
    }
}

/// Builds one graph; tensors go into the model as `graph.node.part`.
#[derive(Debug)]
pub struct GraphBuilder<'m> {
    data: &'m mut ModelData,
    graph: Graph,
    scope: Scope,
}

impl ModelBuilder {
    /// An empty model.
    pub fn new() -> ModelBuilder {
        ModelBuilder::default()
    }

    /// Begins a graph; [`GraphBuilder::finish`] adds it to the model.
    ///
    /// # Errors
    /// [`Error::Parameter`] for selectors that are impossible.
    pub fn graph(
        &mut self,
        name: &str,
        kind: GraphKind,
        selectors: &[(&str, u32)],
    ) -> Result<GraphBuilder<'_>> {
        let selectors: Vec<Selector> = selectors
            .iter()
            .map(|&(name, count)| Selector {
                name: name.to_owned(),
                count,
            })
            .collect();
        let scope = Scope::new(kind, &selectors).map_err(|fault| fault.within(name))?;
        let graph = Graph {
            name: name.to_owned(),
            kind,
            inputs: Vec::new(),
            selectors,
            nodes: Vec::new(),
            outputs: Vec::new(),
        };
        Ok(GraphBuilder {
            data: &mut self.data,
            graph,
            scope,
        })
    }

    /// Adds a tensor that codecs use directly: probability tables, embeddings.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is not what its type promises, or there is
    /// one of its name.
    pub fn tensor(&mut self, tensor: ModelTensor) -> Result<()> {
        insert(&mut self.data, tensor)
    }
}

fn insert(data: &mut ModelData, tensor: ModelTensor) -> Result<()> {
    check_tensor(&tensor).map_err(|fault| fault.within(&tensor.info.name))?;
    data.tensors.insert(tensor)
}

impl GraphBuilder<'_> {
    /// An input of `channels` channels, magnitudes up to `max`; `stride` as in
    /// [`Input::stride`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for what the checks refuse.
    pub fn input(
        &mut self,
        name: &str,
        channels: usize,
        (q, max): (u8, u32),
        stride: u32,
    ) -> Result<Value> {
        let input = Input {
            name: name.to_owned(),
            channels: u32::try_from(channels).map_err(|_| Error::Limit("channels"))?,
            q,
            max,
            stride,
        };
        self.scope
            .add_input(&input)
            .map_err(|fault| self.place(fault, name))?;
        if !self.graph.nodes.is_empty() {
            return Err(Error::parameter("inputs come before nodes"));
        }
        self.graph.inputs.push(input);
        Ok(Value(self.graph.inputs.len() - 1))
    }

    /// Adds a node; its tensors must be in the model. What the other methods
    /// come down to.
    ///
    /// # Errors
    /// [`Error::Parameter`] says what the checks refuse: the same as when the
    /// file is read.
    pub fn node(&mut self, node: Node) -> Result<Value> {
        if self.graph.nodes.len() >= MAX_NODES {
            return Err(Error::Limit("nodes of a graph"));
        }
        let mut reads = u64::MAX;
        check_node(&self.scope, &node, &self.data.tensors, &mut reads)
            .and_then(|info| self.scope.add_node(&node, info))
            .map_err(|fault| self.place(fault, &node.name))?;
        self.graph.nodes.push(node);
        Ok(Value(self.graph.inputs.len() + self.graph.nodes.len() - 1))
    }

    /// What is known of a value: channels, scale, range.
    pub fn info(&self, value: Value) -> ValueInfo {
        self.scope.values()[value.0]
    }

    /// The bound of a value that
    /// [`Scales::input_max`](super::Scales::input_max) wants.
    pub fn max_abs(&self, value: Value) -> u32 {
        self.info(value).max_abs()
    }

    /// A convolution over all channels, `kernel` by `kernel`; weights are
    /// `[out][row][column][in]`.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn conv(
        &mut self,
        name: &str,
        input: Value,
        kernel: usize,
        weights: &Quantized,
        options: LayerOptions,
    ) -> Result<Value> {
        let channels = self.info(input).channels as usize;
        let dims = [weights.shift.len(), kernel, kernel, channels];
        let (weights, requant) = self.affine(name, &dims, weights, options.activation)?;
        let op = Op::Conv {
            stride: options.stride,
            padding: options.padding,
            weights,
            requant,
            gate: options.gate,
        };
        self.push(name, op, input, options)
    }

    /// A convolution of each channel by itself. Weights are quantised as
    /// `[channel][row][column]`, so that each channel has its scale; they are
    /// stored as `[row][column][channel]`.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn depthwise(
        &mut self,
        name: &str,
        input: Value,
        kernel: usize,
        weights: &Quantized,
        options: LayerOptions,
    ) -> Result<Value> {
        let (channels, taps) = (weights.shift.len(), kernel * kernel);
        if weights.weights.len() != channels * taps {
            return Err(Error::Parameter(format!(
                "{name}: weights of another kernel"
            )));
        }
        let stored = Quantized {
            weights: (0..taps * channels)
                .map(|i| weights.weights[i % channels * taps + i / channels])
                .collect(),
            ..weights.clone()
        };
        let dims = [kernel, kernel, channels];
        let (weights, requant) = self.affine(name, &dims, &stored, options.activation)?;
        let op = Op::Depthwise {
            stride: options.stride,
            padding: options.padding,
            weights,
            requant,
        };
        self.push(name, op, input, options)
    }

    /// A matrix `[out][in]`; with `narrow`, weights have 8 bits.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn dense(
        &mut self,
        name: &str,
        input: Value,
        narrow: Option<u8>,
        weights: &Quantized,
        options: LayerOptions,
    ) -> Result<Value> {
        let dims = [weights.shift.len(), self.info(input).channels as usize];
        let (tensor, requant) = match narrow {
            None => self.affine(name, &dims, weights, options.activation)?,
            Some(_) => self.byte_affine(name, &dims, weights, options.activation)?,
        };
        let op = Op::Dense {
            weights: tensor,
            narrow,
            requant,
            gate: options.gate,
        };
        self.push(name, op, input, options)
    }

    /// Gains `[variant][channel]`, quantised as rows of one weight. Without a
    /// selector there is one variant.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn gain(
        &mut self,
        name: &str,
        input: Value,
        selector: Option<&str>,
        gains: &Quantized,
        options: LayerOptions,
    ) -> Result<Value> {
        let channels = self.info(input).channels as usize;
        let dims = [gains.shift.len() / channels.max(1), channels];
        let (gains, requant) = self.rows(name, &dims, &dims, gains, options.activation)?;
        let op = Op::Gain {
            selector: selector.map(str::to_owned),
            gains,
            requant,
        };
        self.push(name, op, input, options)
    }

    /// Depth to space.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn shuffle(&mut self, name: &str, input: Value, factor: u8) -> Result<Value> {
        let options = LayerOptions::new(self.info(input).q);
        self.push(name, Op::PixelShuffle { factor }, input, options)
    }

    /// Space to depth.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn unshuffle(&mut self, name: &str, input: Value, factor: u8) -> Result<Value> {
        let options = LayerOptions::new(self.info(input).q);
        self.push(name, Op::PixelUnshuffle { factor }, input, options)
    }

    /// Any operation whose tensors are in the model (or that has none); of
    /// the options only `q` and `add` count.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn push(
        &mut self,
        name: &str,
        op: Op,
        input: Value,
        options: LayerOptions,
    ) -> Result<Value> {
        self.node(Node {
            name: name.to_owned(),
            op,
            input: self.name_of(input).to_owned(),
            add: options.add.map(|value| self.name_of(value).to_owned()),
            q: options.q,
        })
    }

    /// Adds weights, biases and shifts of a layer (`graph.name.weights`, …)
    /// and gives what a node needs to refer to them: for layers that have no
    /// method here.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the numbers do not fit the extents.
    pub fn affine(
        &mut self,
        name: &str,
        dims: &[usize],
        weights: &Quantized,
        activation: Activation,
    ) -> Result<(String, Requant)> {
        self.rows(name, dims, &[weights.shift.len()], weights, activation)
    }

    /// As [`GraphBuilder::affine`], weights of 8 bits.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a weight has more, and as there.
    pub fn byte_affine(
        &mut self,
        name: &str,
        dims: &[usize],
        weights: &Quantized,
        activation: Activation,
    ) -> Result<(String, Requant)> {
        let bytes: Option<Vec<i8>> = weights
            .weights
            .iter()
            .map(|&weight| i8::try_from(weight).ok())
            .collect();
        let bytes = bytes.ok_or_else(|| Error::Parameter(format!("{name}: more than 8 bits")))?;
        let tensor = self.tensor(name, "weights", dims, TensorData::I8(bytes))?;
        let requant = self.requant(name, &[weights.shift.len()], weights, activation)?;
        Ok((tensor, requant))
    }

    fn rows(
        &mut self,
        name: &str,
        dims: &[usize],
        row_dims: &[usize],
        weights: &Quantized,
        activation: Activation,
    ) -> Result<(String, Requant)> {
        let data = TensorData::I16(weights.weights.clone());
        let tensor = self.tensor(name, "weights", dims, data)?;
        Ok((tensor, self.requant(name, row_dims, weights, activation)?))
    }

    fn requant(
        &mut self,
        name: &str,
        dims: &[usize],
        weights: &Quantized,
        activation: Activation,
    ) -> Result<Requant> {
        let bias = match weights.bias.iter().any(|&bias| bias != 0) {
            true => Some(self.tensor(name, "bias", dims, TensorData::I32(weights.bias.clone()))?),
            false => None,
        };
        let shift = TensorData::U8(weights.shift.clone());
        Ok(Requant {
            bias,
            shift: self.tensor(name, "shift", dims, shift)?,
            activation,
        })
    }

    /// Adds a tensor of this graph and gives its name, `graph.name.part`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is not what its type promises.
    pub fn tensor(
        &mut self,
        name: &str,
        part: &str,
        dims: &[usize],
        data: TensorData,
    ) -> Result<String> {
        let full = format!("{}.{name}.{part}", self.graph.name);
        insert(self.data, ModelTensor::new(&full, dims, data)?)?;
        Ok(full)
    }

    /// Ends the graph: `(name, value)` for each output. Gives what is known of
    /// it, ranges and work among them.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are no outputs, or one is an input.
    pub fn finish(mut self, outputs: &[(&str, Value)]) -> Result<GraphInfo> {
        self.graph.outputs = outputs
            .iter()
            .map(|&(name, value)| Output {
                name: name.to_owned(),
                value: self.name_of(value).to_owned(),
            })
            .collect();
        let mut reads = u64::MAX;
        let info = crate::check::check_graph(&self.graph, &self.data.tensors, &mut reads)
            .map_err(|fault| fault.within(&self.graph.name))?;
        self.data.graphs.push(self.graph);
        Ok(info)
    }

    fn name_of(&self, value: Value) -> &str {
        let inputs = &self.graph.inputs;
        match inputs.get(value.0) {
            Some(input) => &input.name,
            None => &self.graph.nodes[value.0 - inputs.len()].name,
        }
    }

    fn place(&self, fault: Fault, node: &str) -> Error {
        fault.within(node).within(&self.graph.name).into()
    }
}
