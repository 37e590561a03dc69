//! The rules of every kind of node.

use super::affine::{Order, RequantView, activation_of, check_sums, gate_of, gate_range};
use super::value::{Weights, words_of};
use super::{
    Fault, GraphInfo, MAX_CHANNELS, MAX_STRIDE, MAX_VARIANTS, MAX_WORK_PER_SAMPLE, ValueInfo,
    check_name, work_divisor,
};
use crate::graph::{Gate, GraphKind, Input, Node, Op, Requant, Selector, Table};
use crate::model::Tensors;
use rcodec_fixed::Range;
use std::collections::BTreeMap;

/// What a node may refer to besides tensors: the values before it, selectors.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    kind: GraphKind,
    selectors: BTreeMap<String, u32>,
    names: BTreeMap<String, usize>,
    values: Vec<ValueInfo>,
    work_q16: u128,
}

/// What a node gives: its value, and the work for one position of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeInfo {
    pub(crate) value: ValueInfo,
    pub(crate) work: u64,
}

impl Scope {
    pub(crate) fn new(kind: GraphKind, selectors: &[Selector]) -> Result<Scope, Fault> {
        let mut by_name = BTreeMap::new();
        for selector in selectors {
            check_name(&selector.name)?;
            let is_new = by_name
                .insert(selector.name.clone(), selector.count)
                .is_none();
            if !is_new || !(1..=MAX_VARIANTS).contains(&selector.count) {
                return Err(Fault::new("impossible selector").within(&selector.name));
            }
        }
        Ok(Scope {
            kind,
            selectors: by_name,
            names: BTreeMap::new(),
            values: Vec::new(),
            work_q16: 0,
        })
    }

    /// The index of a value.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The value of that name.
    pub(crate) fn value(&self, name: &str) -> Result<ValueInfo, Fault> {
        let index = self.index(name);
        index
            .map(|index| self.values[index])
            .ok_or(Fault::new("a value that is not known before"))
    }

    /// The values so far.
    pub(crate) fn values(&self) -> &[ValueInfo] {
        &self.values
    }

    fn add(&mut self, name: &str, info: ValueInfo) -> Result<(), Fault> {
        check_name(name)?;
        if self
            .names
            .insert(name.to_owned(), self.values.len())
            .is_some()
        {
            return Err(Fault::new("two values of one name"));
        }
        self.values.push(info);
        Ok(())
    }

    /// Adds an input.
    pub(crate) fn add_input(&mut self, input: &Input) -> Result<(), Fault> {
        let info = ValueInfo::of_input(input)?;
        self.add(&input.name, info)
    }

    /// Adds a node that has been checked.
    pub(crate) fn add_node(&mut self, node: &Node, info: NodeInfo) -> Result<(), Fault> {
        self.add(&node.name, info.value)?;
        let divisor = work_divisor(self.kind, info.value.stride);
        self.work_q16 += (u128::from(info.work) << 16).div_ceil(divisor);
        if self.work_q16 >> 16 > u128::from(MAX_WORK_PER_SAMPLE) {
            return Err(Fault::limit("work of a model"));
        }
        Ok(())
    }

    /// What is known of the whole.
    pub(crate) fn into_info(self) -> GraphInfo {
        GraphInfo {
            values: self.values,
            work_q16: u64::try_from(self.work_q16).unwrap_or(u64::MAX),
        }
    }
}

/// Checks a node, and gives its value; `reads` is how many elements of tensors
/// may be read, and what is left of them afterwards.
pub(crate) fn check_node(
    scope: &Scope,
    node: &Node,
    tensors: &Tensors,
    reads: &mut u64,
) -> Result<NodeInfo, Fault> {
    let input = scope.value(&node.input)?;
    let mut rules = Rules {
        scope,
        tensors,
        input,
        q: node.q,
        reads,
    };
    let mut info = rules.check_op(&node.op)?;
    let value = &mut info.value;
    if !(1..=MAX_CHANNELS).contains(&value.channels) || !(1..=MAX_STRIDE).contains(&value.stride) {
        return Err(Fault::new("impossible number of channels or stride"));
    }
    if node.q > 31 {
        return Err(Fault::new("impossible scale"));
    }
    match &node.add {
        Some(name) => {
            let add = scope.value(name)?;
            let fits = (add.channels, add.q, add.stride) == (value.channels, value.q, value.stride);
            if !fits {
                return Err(Fault::new("what is added has another shape or scale"));
            }
            value.range = value.range.plus(add.range);
        }
        None if node.op == Op::Add => return Err(Fault::new("a sum of one value")),
        None => {}
    }
    Ok(info)
}

struct Rules<'r, 'm> {
    scope: &'r Scope,
    tensors: &'m Tensors,
    input: ValueInfo,
    q: u8,
    reads: &'r mut u64,
}

impl<'m> Rules<'_, 'm> {
    fn check_op(&mut self, op: &Op) -> Result<NodeInfo, Fault> {
        match op {
            Op::Conv {
                stride,
                weights,
                requant,
                gate,
                ..
            } => self.conv(*stride, weights, requant, *gate),
            Op::Depthwise {
                stride,
                weights,
                requant,
                ..
            } => self.depthwise(*stride, weights, requant),
            Op::TransposedConv { weights, requant } => self.transposed(weights, requant),
            Op::CausalConv {
                dilation,
                weights,
                requant,
                gate,
            } => self.causal(*dilation, weights, requant, *gate),
            Op::Dense {
                weights,
                narrow,
                requant,
                gate,
            } => self.dense(weights, *narrow, requant, *gate),
            Op::MinGru { .. } | Op::Gru { .. } => self.recurrent(op),
            Op::Gain {
                selector,
                gains,
                requant,
            } => self.gain(selector.as_deref(), gains, requant),
            Op::GateHalves { activation, gate } => {
                let (activation, gate) = (activation_of(*activation)?, gate_of(*gate)?);
                if !self.input.channels.is_multiple_of(2) {
                    return Err(Fault::new("a gate over an odd number of channels"));
                }
                let values = apply(activation, self.input.range);
                let range = gate_range(&gate, values, apply(gate.activation, self.input.range));
                self.same_scale(self.input.channels / 2, range)
            }
            Op::Multiply { by } => self.multiply(by),
            Op::Activate { activation } => {
                let range = apply(activation_of(*activation)?, self.input.range);
                self.same_scale(self.input.channels, range)
            }
            Op::Lookup { table } => {
                let range = self.table(table)?;
                // An interpolation is two multiply-adds.
                let work = 2 * u64::from(self.input.channels);
                Ok(self.info(self.input.channels, range, self.input.stride, work))
            }
            Op::Add => self.same_scale(self.input.channels, self.input.range),
            Op::PixelShuffle { factor } => self.shuffle(*factor),
            Op::PixelUnshuffle { factor } => self.unshuffle(*factor),
        }
    }

    fn info(&self, channels: u32, range: Range, stride: u32, work: u64) -> NodeInfo {
        NodeInfo {
            value: ValueInfo {
                channels,
                q: self.q,
                range,
                stride,
            },
            work,
        }
    }

    /// A value of the input's scale, computed value by value.
    fn same_scale(&self, channels: u32, range: Range) -> Result<NodeInfo, Fault> {
        if self.q != self.input.q {
            return Err(Fault::new("a layer that cannot change the scale"));
        }
        Ok(self.info(channels, range, self.input.stride, u64::from(channels)))
    }

    /// Counts elements that are read.
    fn read(&mut self, elements: usize) -> Result<(), Fault> {
        *self.reads = self
            .reads
            .checked_sub(elements as u64)
            .ok_or(Fault::limit("tensors are read too often"))?;
        Ok(())
    }

    fn weights(&mut self, name: &str) -> Result<Weights<'m>, Fault> {
        let weights = Weights::of(self.tensors, name)?;
        self.read(weights.len())?;
        Ok(weights)
    }

    fn requant(&mut self, requant: &Requant, dims: &[u32]) -> Result<RequantView<'m>, Fault> {
        let view = RequantView::of(self.tensors, requant, dims)?;
        self.read(view.len())?;
        Ok(view)
    }

    fn only(&self, kinds: &[GraphKind]) -> Result<(), Fault> {
        if !kinds.contains(&self.scope.kind) {
            return Err(Fault::new("a layer that this kind of graph cannot have"));
        }
        Ok(())
    }

    fn downsampled(&self, stride: u8) -> Result<u32, Fault> {
        if !(1..=2).contains(&stride) {
            return Err(Fault::new("impossible stride"));
        }
        // At most 2 * 2^12.
        Ok(self.input.stride * u32::from(stride))
    }

    /// Sums over whole windows: `[out][window …][in]`.
    fn sums(
        &mut self,
        weights: &Weights<'m>,
        requant: &Requant,
        gate: Option<Gate>,
        input_max: u32,
    ) -> Result<(u32, Range), Fault> {
        let outputs = weights.dims[0];
        let requant = self.requant(requant, &[outputs])?;
        let order = (outputs as usize, Order::OutputFirst);
        check_sums(weights, order, &requant, gate, input_max)
    }

    fn conv(
        &mut self,
        stride: u8,
        weights: &str,
        requant: &Requant,
        gate: Option<Gate>,
    ) -> Result<NodeInfo, Fault> {
        self.only(&[GraphKind::Spatial])?;
        let weights = self.weights(weights)?;
        let &[_, height, width, inputs] = weights.dims else {
            return Err(Fault::new("weights of a convolution have four extents"));
        };
        if height != width || height % 2 == 0 || height > 15 || inputs != self.input.channels {
            return Err(Fault::new("weights that do not fit the convolution"));
        }
        let stride = self.downsampled(stride)?;
        let (channels, range) = self.sums(&weights, requant, gate, self.input.max_abs())?;
        Ok(self.info(channels, range, stride, weights.len() as u64))
    }

    fn depthwise(
        &mut self,
        stride: u8,
        weights: &str,
        requant: &Requant,
    ) -> Result<NodeInfo, Fault> {
        self.only(&[GraphKind::Spatial])?;
        let weights = self.weights(weights)?;
        let channels = self.input.channels;
        if !matches!(weights.dims, &[3, 3, c] | &[5, 5, c] if c == channels) {
            return Err(Fault::new("weights that do not fit the convolution"));
        }
        let stride = self.downsampled(stride)?;
        let requant = self.requant(requant, &[channels])?;
        let order = (channels as usize, Order::OutputLast);
        let (_, range) = check_sums(&weights, order, &requant, None, self.input.max_abs())?;
        Ok(self.info(channels, range, stride, weights.len() as u64))
    }

    fn transposed(&mut self, weights: &str, requant: &Requant) -> Result<NodeInfo, Fault> {
        self.only(&[GraphKind::Spatial])?;
        let weights = self.weights(weights)?;
        let &[outputs, height, width, inputs] = weights.dims else {
            return Err(Fault::new("weights of a convolution have four extents"));
        };
        let fits = height == width && (2..=5).contains(&height) && inputs == self.input.channels;
        if !fits || !self.input.stride.is_multiple_of(2) {
            return Err(Fault::new("weights that do not fit the convolution"));
        }
        // The bound of all taps is one of each phase's.
        let (_, range) = self.sums(&weights, requant, None, self.input.max_abs())?;
        // It runs as a convolution of 1x1 or 3x3 to four times the channels,
        // a quarter of it for each output position.
        let taps = if height == 2 { 1 } else { 9 };
        let work = u64::from(outputs) * u64::from(inputs) * taps;
        Ok(self.info(outputs, range, self.input.stride / 2, work))
    }

    fn causal(
        &mut self,
        dilation: u32,
        weights: &str,
        requant: &Requant,
        gate: Option<Gate>,
    ) -> Result<NodeInfo, Fault> {
        self.only(&[GraphKind::Frames])?;
        let weights = self.weights(weights)?;
        let &[_, taps, inputs] = weights.dims else {
            return Err(Fault::new(
                "weights of a causal convolution have three extents",
            ));
        };
        let is_possible = (1..=64).contains(&taps) && (1..=1 << 16).contains(&dilation);
        if !is_possible || inputs != self.input.channels {
            return Err(Fault::new("weights that do not fit the convolution"));
        }
        let (channels, range) = self.sums(&weights, requant, gate, self.input.max_abs())?;
        Ok(self.info(channels, range, self.input.stride, weights.len() as u64))
    }

    /// A matrix `[out][inputs]`; `i8` if and only if inputs are narrowed.
    fn matrix(
        &mut self,
        weights: &str,
        (inputs, narrow): (u32, Option<u8>),
        requant: &Requant,
        gate: Option<Gate>,
    ) -> Result<(u32, Range, u64), Fault> {
        let weights = self.weights(weights)?;
        if !matches!(weights.dims, &[_, columns] if columns == inputs) {
            return Err(Fault::new("weights that do not fit the matrix"));
        }
        if narrow.is_some() != weights.bytes().is_some() || narrow.is_some_and(|shift| shift > 8) {
            return Err(Fault::new(
                "weights of 8 bits, and only those, take narrowed inputs",
            ));
        }
        let input_max = if narrow.is_some() {
            128
        } else {
            self.input.max_abs()
        };
        let (channels, range) = self.sums(&weights, requant, gate, input_max)?;
        Ok((channels, range, weights.len() as u64))
    }

    fn dense(
        &mut self,
        weights: &str,
        narrow: Option<u8>,
        requant: &Requant,
        gate: Option<Gate>,
    ) -> Result<NodeInfo, Fault> {
        let inputs = self.input.channels;
        let (channels, range, work) = self.matrix(weights, (inputs, narrow), requant, gate)?;
        Ok(self.info(channels, range, self.input.stride, work))
    }

    fn recurrent(&mut self, op: &Op) -> Result<NodeInfo, Fault> {
        self.only(&[GraphKind::Streams, GraphKind::Frames])?;
        let inputs = self.input.channels;
        let (width, is_whole, candidates, guard, work) = match op {
            Op::MinGru {
                narrow,
                weights,
                requant,
                update,
                candidate,
                guard,
            } => {
                plain(requant)?;
                let narrow = (inputs, Some(*narrow));
                let (sums, range, work) = self.matrix(weights, narrow, requant, None)?;
                self.table(update)?;
                let candidates = match candidate {
                    Some(table) => self.table(table)?,
                    None => range,
                };
                (sums / 2, sums % 2 == 0, candidates, *guard, work)
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
                plain(requant)?;
                plain(hidden_requant)?;
                let narrow = (inputs, Some(*narrow));
                let (sums, _, work) = self.matrix(weights, narrow, requant, None)?;
                let hidden = (sums / 3, Some(*hidden_narrow));
                let (again, _, more) = self.matrix(hidden_weights, hidden, hidden_requant, None)?;
                self.table(gate)?;
                let is_whole = sums % 3 == 0 && again == sums;
                let candidates = self.table(candidate)?;
                (sums / 3, is_whole, candidates, *guard, work + more)
            }
            _ => return Err(Fault::new("not a recurrent cell")),
        };
        if guard > 13 || width == 0 || !is_whole {
            return Err(Fault::new("impossible recurrent cell"));
        }
        // States begin at zero and stay between zero and the candidates.
        let range = candidates.union(Range { lo: 0, hi: 0 });
        Ok(self.info(width, range, self.input.stride, work))
    }

    /// Checks a table and gives its range.
    fn table(&mut self, table: &Table) -> Result<Range, Fault> {
        let (dims, values) = words_of(self.tensors, &table.values)?;
        self.read(values.len())?;
        let index_bits = values.len().checked_sub(1).and_then(usize::checked_ilog2);
        let is_possible = dims.len() == 1
            && (3..=15).contains(&table.range_bits)
            && index_bits.is_some_and(|bits| {
                values.len() == (1 << bits) + 1
                    && (4..=12).contains(&bits)
                    && bits <= u32::from(table.range_bits) + 1
            });
        if !is_possible {
            return Err(Fault::new("impossible table"));
        }
        let range = values
            .iter()
            .map(|&value| Range {
                lo: value,
                hi: value,
            })
            .reduce(Range::union);
        Ok(range.unwrap_or(Range::FULL))
    }

    fn gain(
        &mut self,
        selector: Option<&str>,
        gains: &str,
        requant: &Requant,
    ) -> Result<NodeInfo, Fault> {
        let variants = match selector {
            None => 1,
            Some(name) => {
                let count = self.scope.selectors.get(name);
                *count.ok_or(Fault::new("there is no such selector"))?
            }
        };
        let channels = self.input.channels;
        let weights = self.weights(gains)?;
        if weights.bytes().is_some() || weights.dims != [variants, channels] {
            return Err(Fault::new("not one gain for each variant and channel"));
        }
        let requant = self.requant(requant, &[variants, channels])?;
        let order = (weights.len(), Order::OutputFirst);
        let (_, range) = check_sums(&weights, order, &requant, None, self.input.max_abs())?;
        Ok(self.info(channels, range, self.input.stride, u64::from(channels)))
    }

    fn multiply(&mut self, by: &str) -> Result<NodeInfo, Fault> {
        let by = self.scope.value(by)?;
        if (by.channels, by.stride) != (self.input.channels, self.input.stride) || by.q > 15 {
            return Err(Fault::new(
                "factors of different shape, or the second above Q15",
            ));
        }
        let gate = rcodec_fixed::Gate {
            shift: by.q,
            activation: rcodec_fixed::Activation::Identity,
        };
        let range = gate_range(&gate, self.input.range, by.range);
        self.same_scale(self.input.channels, range)
    }

    fn shuffle(&mut self, factor: u8) -> Result<NodeInfo, Fault> {
        self.only(&[GraphKind::Spatial])?;
        let (square, factor) = (u32::from(factor).pow(2), u32::from(factor));
        if !(1..=64).contains(&factor)
            || !self.input.channels.is_multiple_of(square)
            || !self.input.stride.is_multiple_of(factor)
        {
            return Err(Fault::new(
                "a shuffle that does not divide channels and stride",
            ));
        }
        let mut info = self.same_scale(self.input.channels / square, self.input.range)?;
        info.value.stride = self.input.stride / factor;
        Ok(info)
    }

    fn unshuffle(&mut self, factor: u8) -> Result<NodeInfo, Fault> {
        self.only(&[GraphKind::Spatial])?;
        let factor = u32::from(factor);
        if !(1..=64).contains(&factor) {
            return Err(Fault::new("impossible shuffle"));
        }
        // At most 2^16 * 2^12 channels: check_node refuses them.
        let channels = self.input.channels * factor * factor;
        let mut info = self.same_scale(channels, self.input.range)?;
        info.value.stride = self.input.stride * factor;
        Ok(info)
    }
}

/// The image of a range.
fn apply(activation: rcodec_fixed::Activation, range: Range) -> Range {
    Range {
        lo: activation.apply(range.lo),
        hi: activation.apply(range.hi),
    }
}

/// Fails if there is an activation where there can be none.
fn plain(requant: &Requant) -> Result<(), Fault> {
    if !requant.activation.is_identity() {
        return Err(Fault::new("an activation where tables follow"));
    }
    Ok(())
}
