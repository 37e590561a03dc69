//! Is a model what it says? Everything that running it relies on is proven
//! here, from the graphs and tensors alone:
//!
//! * names are given once and exist where they are used, earlier than they are
//!   used (so there are no cycles);
//! * extents of tensors, channels, Q-formats and strides agree along the graph;
//! * no sum can leave 32 bits: `Σ|w| · max|x| + |bias| + round < 2³¹` for every
//!   output, `max|x|` being propagated from the inputs' bounds through every
//!   layer;
//! * shifts, activations and tables are possible, probabilities sum to 2¹⁶;
//! * the work for one sample of the medium is finite and allowed.
//!
//! The exporter's builder asks the same functions, node by node.

mod affine;
mod node;
mod value;

pub(crate) use affine::RequantView;
pub(crate) use node::{Scope, check_node};
pub(crate) use value::{Weights, words_of};

use crate::graph::{FULL_SCALE, Graph, GraphKind, Input};
use crate::model::{ModelData, Tensors};
use crate::tensor::{ElementType, ModelTensor, TensorData};
use rcodec_core::{Error, Limits};
use rcodec_entropy::{MAX_SYMBOLS, PRECISION};
use rcodec_fixed::Range;
use std::collections::BTreeSet;

/// The most graphs of a model.
pub const MAX_GRAPHS: usize = 256;
/// The most nodes of all graphs of a model.
pub const MAX_NODES: usize = 1 << 13;
/// The most inputs, outputs or selectors of a graph.
pub const MAX_PORTS: usize = 64;
/// The most variants of a selector.
pub const MAX_VARIANTS: u32 = 4096;
/// The most tensors of a model.
pub const MAX_TENSORS: usize = 1 << 15;
/// The most channels of a value.
pub const MAX_CHANNELS: u32 = 1 << 16;
/// The largest stride of a value.
pub const MAX_STRIDE: u32 = 1 << 12;
/// The longest name.
pub const MAX_NAME_BYTES: usize = 96;
/// The most multiply-adds for one sample of the medium, per graph: beyond
/// this, no limit of a caller can be meant.
pub const MAX_WORK_PER_SAMPLE: u64 = 1 << 36;

/// What is wrong, and where in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Graph and node, or tensor.
    pub place: String,
    /// What is wrong.
    pub what: &'static str,
    /// Whether the model is possible and only a limit forbids it.
    pub is_limit: bool,
}

impl Fault {
    pub(crate) fn new(what: &'static str) -> Fault {
        Fault {
            place: String::new(),
            what,
            is_limit: false,
        }
    }

    pub(crate) fn limit(what: &'static str) -> Fault {
        Fault {
            is_limit: true,
            ..Fault::new(what)
        }
    }

    /// The same fault, `place` being where it lies.
    pub(crate) fn within(mut self, place: &str) -> Fault {
        self.place = match self.place.as_str() {
            "" => place.to_owned(),
            inner => format!("{place}: {inner}"),
        };
        self
    }
}

/// The exporter's fault: its caller's parameters make no model.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        if fault.is_limit {
            Error::Limit(fault.what)
        } else {
            Error::Parameter(format!("{}: {}", fault.place, fault.what))
        }
    }
}

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueInfo {
    /// Values of a position.
    pub channels: u32,
    /// Fractional bits.
    pub q: u8,
    /// The values that are possible.
    pub range: Range,
    /// Samples of the medium from one position to the next.
    pub stride: u32,
}

impl ValueInfo {
    /// What is known of an input.
    pub(crate) fn of_input(input: &Input) -> Result<ValueInfo, Fault> {
        if !(1..=MAX_CHANNELS).contains(&input.channels) {
            return Err(Fault::new("impossible number of channels"));
        }
        if !(1..=MAX_STRIDE).contains(&input.stride) {
            return Err(Fault::new("impossible stride"));
        }
        if !(1..=FULL_SCALE).contains(&input.max) || input.q > 31 {
            return Err(Fault::new("impossible scale or bound"));
        }
        let hi = input.max.min(i16::MAX as u32) as i16;
        let lo = if input.max == FULL_SCALE {
            i16::MIN
        } else {
            -hi
        };
        Ok(ValueInfo {
            channels: input.channels,
            q: input.q,
            range: Range { lo, hi },
            stride: input.stride,
        })
    }

    /// The bound that the next layer's proof takes: at least 1.
    pub fn max_abs(&self) -> u32 {
        self.range.max_abs().max(1)
    }
}

/// What is known of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphInfo {
    /// The inputs, then the nodes.
    pub values: Vec<ValueInfo>,
    /// Multiply-adds for 2¹⁶ samples of the medium (pixels of a channel each
    /// counting once: a pixel is one sample here).
    pub work_q16: u64,
}

impl GraphInfo {
    /// Multiply-adds for one sample of the medium.
    pub fn work_per_sample(&self) -> f64 {
        self.work_q16 as f64 / 65536.0
    }
}

/// Checks everything.
pub(crate) fn check_model(data: &ModelData, limits: &Limits) -> Result<Vec<GraphInfo>, Fault> {
    let node_count: usize = data.graphs.iter().map(|graph| graph.nodes.len()).sum();
    if data.graphs.len() > MAX_GRAPHS || node_count > MAX_NODES {
        return Err(Fault::limit("graphs and nodes of a model"));
    }
    if data.tensors.len() > MAX_TENSORS {
        return Err(Fault::limit("tensors of a model"));
    }
    for tensor in data.tensors.iter() {
        check_tensor(tensor).map_err(|fault| fault.within(&tensor.info.name))?;
    }
    for name in data.parameters.keys() {
        check_name(name)?;
    }
    let mut names = BTreeSet::new();
    // A tensor may be read by several nodes; how often, all in all, is bounded
    // so that a small file cannot mean endless reading and packing.
    let mut reads = 8 * data.tensors.elements() + (1 << 20);
    let mut infos = Vec::new();
    for graph in &data.graphs {
        check_name(&graph.name)?;
        let info = if names.insert(&graph.name) {
            check_graph(graph, &data.tensors, &mut reads)
        } else {
            Err(Fault::new("two graphs of one name"))
        };
        let info = info.map_err(|fault| fault.within(&graph.name))?;
        if info.work_q16 >> 16 > limits.max_work {
            return Err(Fault::limit("work of a model").within(&graph.name));
        }
        infos.push(info);
    }
    Ok(infos)
}

/// Fails unless the name is one.
pub(crate) fn check_name(name: &str) -> Result<(), Fault> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_fine) {
        return Err(Fault::new("impossible name"));
    }
    Ok(())
}

/// Checks what a tensor's element type promises.
pub(crate) fn check_tensor(tensor: &ModelTensor) -> Result<(), Fault> {
    let info = &tensor.info;
    check_name(&info.name)?;
    check_dims(&info.dims)?;
    if info.element != tensor.data.element()
        || info.elements().ok() != Some(tensor.data.len() as u64)
    {
        return Err(Fault::new("elements that do not fit the extents"));
    }
    match &tensor.data {
        TensorData::I8(values) if values.contains(&i8::MIN) => Err(Fault::new("weight of -128")),
        TensorData::Cdf(values) => {
            let symbols = info.dims.last().map_or(1, |&dim| dim as usize);
            values.chunks_exact(symbols).try_for_each(check_cdf)
        }
        _ => Ok(()),
    }
}

/// Fails unless there are 1 to 4 extents, none of them zero.
pub(crate) fn check_dims(dims: &[u32]) -> Result<(), Fault> {
    if !(1..=4).contains(&dims.len()) || dims.contains(&0) {
        return Err(Fault::new("impossible extents"));
    }
    Ok(())
}

/// Fails unless a row is a probability table followed by zeros.
fn check_cdf(row: &[u16]) -> Result<(), Fault> {
    let symbols = row.iter().take_while(|&&p| p > 0).count();
    let sum: u32 = row.iter().map(|&p| u32::from(p)).sum();
    let has_zeros_behind = row[symbols..].iter().all(|&p| p == 0);
    if !(2..=MAX_SYMBOLS).contains(&symbols) || !has_zeros_behind || sum != 1 << PRECISION {
        return Err(Fault::new("impossible probability table"));
    }
    Ok(())
}

/// Checks one graph; `reads` is how many elements of tensors its nodes may
/// read, and is what is left of them afterwards.
pub(crate) fn check_graph(
    graph: &Graph,
    tensors: &Tensors,
    reads: &mut u64,
) -> Result<GraphInfo, Fault> {
    let ports = [
        graph.inputs.len(),
        graph.outputs.len(),
        graph.selectors.len(),
    ];
    if ports.iter().any(|&count| count > MAX_PORTS) {
        return Err(Fault::limit("inputs, outputs and selectors of a graph"));
    }
    if graph.inputs.is_empty() || graph.outputs.is_empty() {
        return Err(Fault::new("no inputs or no outputs"));
    }
    let mut scope = Scope::new(graph.kind, &graph.selectors)?;
    for input in &graph.inputs {
        scope
            .add_input(input)
            .map_err(|fault| fault.within(&input.name))?;
    }
    for node in &graph.nodes {
        let info =
            check_node(&scope, node, tensors, reads).map_err(|fault| fault.within(&node.name))?;
        scope
            .add_node(node, info)
            .map_err(|fault| fault.within(&node.name))?;
    }
    let mut names = BTreeSet::new();
    for output in &graph.outputs {
        check_name(&output.name)?;
        scope
            .value(&output.value)
            .map_err(|fault| fault.within(&output.name))?;
        if graph.inputs.iter().any(|input| input.name == output.value) {
            return Err(Fault::new("an output is an input").within(&output.name));
        }
        if !names.insert(&output.name) {
            return Err(Fault::new("two outputs of one name").within(&output.name));
        }
    }
    Ok(scope.into_info())
}

/// Positions of a value that one sample of the medium costs: `1 / divisor`.
pub(crate) fn work_divisor(kind: GraphKind, stride: u32) -> u128 {
    let stride = u128::from(stride);
    match kind {
        GraphKind::Spatial => stride * stride,
        GraphKind::Streams | GraphKind::Frames => stride,
    }
}

/// Whether a tensor's elements are weights.
pub(crate) fn is_weight(element: ElementType) -> bool {
    matches!(element, ElementType::I8 | ElementType::I16)
}

#[cfg(test)]
mod tests;
