//! In which order what is computed, and in which memory.
//!
//! A value lives from its node to the last node that takes it; then another
//! may have its memory. A residual sum is made in the memory of what is added,
//! if nobody needs that any more: a trunk of residual blocks stays in place.

use crate::graph::{Graph, Node, Op};
use std::collections::BTreeMap;

/// Where a value is while the graph runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The tensor that the caller gave as this input.
    Input(usize),
    /// This slot of the scratch memory.
    Slot(usize),
}

/// One layer to run: a node, or a convolution and the shuffle after it.
#[derive(Clone, Debug)]
pub(super) struct Step<'g> {
    /// The node that computes; of a convolution with a shuffle the former.
    pub(super) node: &'g Node,
    /// Index of the value it gives.
    pub(super) value: usize,
    /// Index of the value it takes.
    pub(super) input: usize,
    /// Index of the value it adds.
    pub(super) add: Option<usize>,
    /// Index of the value it multiplies by.
    pub(super) by: Option<usize>,
    /// The shuffle that follows in the same pass.
    pub(super) shuffle: Option<usize>,
}

/// Where a step finds and leaves its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) input: Place,
    pub(super) add: Option<Place>,
    pub(super) by: Option<Place>,
    pub(super) out: usize,
    /// Whether `out` holds what is added.
    pub(super) in_place: bool,
}

/// The steps of a graph that has been checked, and the indices of its outputs.
pub(super) fn steps(graph: &Graph) -> (Vec<Step<'_>>, Vec<usize>) {
    let mut index = BTreeMap::new();
    let names = graph.inputs.iter().map(|input| &input.name);
    for (i, name) in names
        .chain(graph.nodes.iter().map(|node| &node.name))
        .enumerate()
    {
        index.insert(name.as_str(), i);
    }
    let at = |name: &str| index[name];
    let outputs: Vec<usize> = graph
        .outputs
        .iter()
        .map(|output| at(&output.value))
        .collect();
    let mut steps: Vec<Step<'_>> = graph
        .nodes
        .iter()
        .map(|node| Step {
            node,
            value: at(&node.name),
            input: at(&node.input),
            add: node.add.as_deref().map(at),
            by: match &node.op {
                Op::Multiply { by } => Some(at(by)),
                _ => None,
            },
            shuffle: None,
        })
        .collect();
    merge_shuffles(&mut steps, &outputs);
    (steps, outputs)
}

/// Lets convolutions of stride 1 shuffle in the same pass, where the shuffle
/// is the only one to take their value.
fn merge_shuffles(steps: &mut Vec<Step<'_>>, outputs: &[usize]) {
    let mut uses: BTreeMap<usize, usize> = BTreeMap::new();
    for step in steps.iter() {
        for value in [Some(step.input), step.add, step.by].into_iter().flatten() {
            *uses.entry(value).or_default() += 1;
        }
    }
    for &output in outputs {
        *uses.entry(output).or_default() += 1;
    }
    let by_value: BTreeMap<usize, usize> = steps
        .iter()
        .enumerate()
        .map(|(i, step)| (step.value, i))
        .collect();
    let mut merged = Vec::new();
    for i in 0..steps.len() {
        let Op::PixelShuffle { factor } = steps[i].node.op else {
            continue;
        };
        let Some(&before) = by_value.get(&steps[i].input) else {
            continue;
        };
        let conv = &steps[before];
        let is_plain = matches!(conv.node.op, Op::Conv { stride: 1, .. }) && conv.add.is_none();
        if is_plain && uses[&conv.value] == 1 {
            let (node, input) = (conv.node, conv.input);
            steps[i].node = node;
            steps[i].input = input;
            steps[i].shuffle = Some(usize::from(factor));
            merged.push(before);
        }
    }
    let mut i = 0;
    steps.retain(|_| {
        i += 1;
        !merged.contains(&(i - 1))
    });
}

/// Gives every value a place; also how many slots there are, and where each
/// output ends up.
pub(super) fn places(
    steps: &[Step<'_>],
    inputs: usize,
    outputs: &[usize],
) -> (Vec<Places>, usize, Vec<usize>) {
    let mut last_use: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, step) in steps.iter().enumerate() {
        for value in [Some(step.value), Some(step.input), step.add, step.by] {
            value.map(|value| last_use.insert(value, i));
        }
    }
    for &output in outputs {
        last_use.insert(output, usize::MAX);
    }
    let mut slot_of: BTreeMap<usize, usize> = BTreeMap::new();
    let mut free: Vec<usize> = Vec::new();
    let mut slots = 0;
    let mut all = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let place = |value: usize| match slot_of.get(&value) {
            Some(&slot) => Place::Slot(slot),
            None => Place::Input(value),
        };
        let (mut input, mut add) = (step.input, step.add);
        let dies = |value: usize| value >= inputs && last_use[&value] == i;
        // A sum has no order: the operand that may be overwritten is the one
        // that stays in place.
        if let (Op::Add, Some(other)) = (&step.node.op, add)
            && dies(input)
            && !dies(other)
        {
            (input, add) = (other, Some(input));
        }
        let in_place = add.filter(|&value| {
            dies(value) && value != input && Some(value) != step.by && can_accumulate(step)
        });
        let out = match in_place {
            Some(value) => slot_of[&value],
            None => free.pop().unwrap_or_else(|| {
                slots += 1;
                slots - 1
            }),
        };
        all.push(Places {
            input: place(input),
            add: add.map(place),
            by: step.by.map(place),
            out,
            in_place: in_place.is_some(),
        });
        let mut taken: Vec<usize> = [Some(step.input), step.add, step.by]
            .into_iter()
            .flatten()
            .filter(|&value| dies(value) && Some(value) != in_place)
            .collect();
        taken.sort_unstable();
        taken.dedup();
        free.extend(taken.iter().map(|value| slot_of[value]));
        slot_of.insert(step.value, out);
        if last_use[&step.value] == i {
            free.push(out);
        }
    }
    let outputs = outputs.iter().map(|output| slot_of[output]).collect();
    (all, slots, outputs)
}

/// Whether the layer can add its outputs to what is there.
fn can_accumulate(step: &Step<'_>) -> bool {
    !matches!(
        step.node.op,
        Op::MinGru { .. } | Op::Gru { .. } | Op::Multiply { .. } | Op::Activate { .. }
    )
}
