//! Running a graph: layers of `rcodec-fixed` with packed weights, and the
//! memory they work in.
//!
//! A [`Network`] never changes and may be shared by threads; each of them has
//! its own [`Scratch`]. Results depend on neither the CPU level nor the number
//! of threads, because no layer's do.
//!
//! ```no_run
//! # fn main() -> rcodec_core::Result<()> {
//! use rcodec_core::{Budget, Limits};
//! use rcodec_fixed::{Engine, QFormat, Shape, Tensor};
//! use rcodec_model::{Model, run::Network};
//!
//! let budget = Budget::new(Limits::default());
//! let model = Model::read(&std::fs::read("model.rcm")?, &budget)?;
//! let synthesis = Network::new(&model, "synthesis", &budget)?;
//! let latents = Tensor::zeros(Shape::new(16, 16, 128)?, QFormat::new(6)?)?;
//! let mut scratch = synthesis.scratch(1, &budget)?;
//! let quality = 40;
//! let outputs = synthesis.run(&Engine::new(), &[&latents], &[quality], &mut scratch)?;
//! let picture = outputs.get(0);
//! # let _ = picture;
//! # Ok(())
//! # }
//! ```

mod layer;
mod plan;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use crate::check::ValueInfo;
use crate::graph::{GraphKind, Input, Output, Selector};
use crate::model::Model;
use layer::{Compiled, Compiler};
use plan::{Place, Places};
use rcodec_core::{Budget, Error, Reservation, Result};
use rcodec_fixed::{
    CausalState, Engine, GruState, MinGruState, QFormat, Residual, Shape, Tensor, layers,
};

/// A graph of a checked model, ready to run.
pub struct Network {
    kind: GraphKind,
    inputs: Vec<Input>,
    selectors: Vec<Selector>,
    outputs: Vec<Output>,
    /// What is known of the inputs.
    input_infos: Vec<ValueInfo>,
    steps: Vec<CompiledStep>,
    slots: usize,
    output_slots: Vec<usize>,
    _reservations: Vec<Reservation>,
}

/// A layer, the scale of its output, and where its values are.
struct CompiledStep {
    layer: Compiled,
    q: QFormat,
    places: Places,
}

/// What a [`Network`] works in, and what its recurrent layers remember.
pub struct Scratch {
    slots: Vec<Slot>,
    memories: Vec<Memory>,
    streams: usize,
    /// Narrowed inputs.
    bytes: Vec<i8>,
    bytes_reservation: Option<Reservation>,
    budget: Budget,
}

/// Memory that values take in turn.
#[derive(Default)]
struct Slot {
    tensor: Option<Tensor>,
    /// Values that fit.
    capacity: usize,
}

/// What a step remembers.
enum Memory {
    None,
    Causal(CausalState),
    MinGru(MinGruState),
    Gru(GruState),
}

/// What came out of a run.
pub struct Outputs<'s> {
    network: &'s Network,
    slots: &'s [Slot],
}

impl Network {
    /// Makes the layers of a graph; their packed weights are charged to
    /// `budget` as long as the network lives.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no such graph,
    /// [`Error::Limit`] if the budget does not allow it.
    pub fn new(model: &Model, graph: &str, budget: &Budget) -> Result<Network> {
        let (graph, info) = model.graph(graph)?;
        let (steps, outputs) = plan::steps(graph);
        let (places, slots, output_slots) = plan::places(&steps, graph.inputs.len(), &outputs);
        let mut compiled = Vec::new();
        let mut reservations = Vec::new();
        for (step, places) in steps.iter().zip(places) {
            let (input, output) = (&info.values[step.input], &info.values[step.value]);
            let mut compiler = Compiler {
                graph,
                tensors: &model.data().tensors,
                budget,
                input_max: input.max_abs(),
                channels: input.channels as usize,
                q: (input.q, output.q, step.by.map(|by| info.values[by].q)),
                reservations: Vec::new(),
            };
            compiled.push(CompiledStep {
                layer: compiler.compile(step)?,
                q: QFormat::new(output.q)?,
                places,
            });
            reservations.append(&mut compiler.reservations);
        }
        Ok(Network {
            kind: graph.kind,
            inputs: graph.inputs.clone(),
            selectors: graph.selectors.clone(),
            outputs: graph.outputs.clone(),
            input_infos: info.values[..graph.inputs.len()].to_vec(),
            steps: compiled,
            slots,
            output_slots,
            _reservations: reservations,
        })
    }

    /// The inputs, in the order in which [`Network::run`] takes them.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The selectors, in the order in which [`Network::run`] takes them.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// The outputs, in the order in which [`Outputs::get`] gives them.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Multiply-adds of a run with inputs of those shapes.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes do not fit.
    pub fn work(&self, inputs: &[Shape]) -> Result<u64> {
        let shapes = self.shapes(inputs)?;
        Ok(self.total_work(&shapes))
    }

    /// Shapes of the outputs for inputs of those shapes.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes do not fit.
    pub fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let shapes = self.shapes(inputs)?;
        let shape = |&slot: &usize| {
            let step = self.steps.iter().rposition(|step| step.places.out == slot);
            step.map_or(Shape::new(0, 0, 0), |step| Ok(shapes[step].1))
        };
        self.output_slots.iter().map(shape).collect()
    }

    /// Memory to run in, for `streams` streams in lockstep (1 but for
    /// [`GraphKind::Streams`]), what is remembered set to zero. Everything is
    /// charged to `budget`.
    ///
    /// # Errors
    /// [`Error::Limit`] if the budget does not allow it.
    pub fn scratch(&self, streams: usize, budget: &Budget) -> Result<Scratch> {
        if streams != 1 && self.kind != GraphKind::Streams {
            return Err(Error::parameter("streams of a graph that has none"));
        }
        let memory = |step: &CompiledStep| {
            Ok(match &step.layer {
                Compiled::Causal(conv) => Memory::Causal(conv.state(budget)?),
                Compiled::MinGru(cell, _) => Memory::MinGru(cell.state(streams, budget)?),
                Compiled::Gru(cell, _) => Memory::Gru(cell.state(streams, budget)?),
                _ => Memory::None,
            })
        };
        Ok(Scratch {
            slots: (0..self.slots).map(|_| Slot::default()).collect(),
            memories: self.steps.iter().map(memory).collect::<Result<_>>()?,
            streams,
            bytes: Vec::new(),
            bytes_reservation: None,
            budget: budget.clone(),
        })
    }

    /// Runs the graph: one tensor for each input, one choice for each
    /// selector. `scratch` must be this network's.
    ///
    /// # Errors
    /// [`Error::Parameter`] if number, shapes, scales or bounds of what is
    /// given are not those of the graph; [`Error::Limit`] if memory or work go
    /// beyond the scratch memory's budget.
    pub fn run<'s>(
        &'s self,
        engine: &Engine,
        inputs: &[&Tensor],
        selectors: &[usize],
        scratch: &'s mut Scratch,
    ) -> Result<Outputs<'s>> {
        self.check_inputs(inputs, selectors, scratch)?;
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape()).collect();
        let shapes = self.shapes(&shapes)?;
        if self.total_work(&shapes) > scratch.budget.limits().max_work {
            return Err(Error::Limit("work"));
        }
        scratch.make_room(self, &shapes)?;
        for (i, (step, &(input, output))) in self.steps.iter().zip(&shapes).enumerate() {
            let slot = &mut scratch.slots[step.places.out];
            let mut out = slot.take(output, step.q, step.places.in_place, &scratch.budget)?;
            let run = Run {
                engine,
                kind: self.kind,
                inputs,
                slots: &scratch.slots,
                bytes: &mut scratch.bytes,
                selectors,
            };
            let result = run.step(step, &mut scratch.memories[i], input, &mut out);
            scratch.slots[step.places.out].tensor = Some(out);
            result?;
        }
        Ok(Outputs {
            network: self,
            slots: &scratch.slots,
        })
    }

    fn check_inputs(
        &self,
        inputs: &[&Tensor],
        selectors: &[usize],
        scratch: &Scratch,
    ) -> Result<()> {
        if inputs.len() != self.inputs.len() || selectors.len() != self.selectors.len() {
            return Err(Error::Parameter(format!(
                "{} inputs and {} selectors for a graph of {} and {}",
                inputs.len(),
                selectors.len(),
                self.inputs.len(),
                self.selectors.len()
            )));
        }
        if scratch.slots.len() != self.slots || scratch.memories.len() != self.steps.len() {
            return Err(Error::parameter("scratch memory of another network"));
        }
        for (selector, &choice) in self.selectors.iter().zip(selectors) {
            if choice >= selector.count as usize {
                return Err(Error::Parameter(format!(
                    "{} {choice} of {}",
                    selector.name, selector.count
                )));
            }
        }
        for (input, tensor) in self.inputs.iter().zip(inputs) {
            let values = tensor.values().iter();
            let is_small = input.max >= 1 << 15
                || values.fold(0, |max, v| v.unsigned_abs().max(max)) as u32 <= input.max;
            if tensor.q().bits() != input.q || !is_small {
                return Err(Error::Parameter(format!(
                    "input {}: Q{} up to {} is expected",
                    input.name, input.q, input.max
                )));
            }
            let (shape, is_line) = (tensor.shape(), tensor.shape().height == 1);
            let fits = match self.kind {
                GraphKind::Spatial => true,
                GraphKind::Streams => is_line && shape.width == scratch.streams,
                GraphKind::Frames => is_line,
            };
            if !fits {
                return Err(Error::Parameter(format!("input {}: {shape:?}", input.name)));
            }
        }
        Ok(())
    }

    fn total_work(&self, shapes: &[(Shape, Shape)]) -> u64 {
        let work = self.steps.iter().zip(shapes);
        work.fold(0u64, |sum, (step, &(input, _))| {
            sum.saturating_add(step.layer.work(input))
        })
    }

    /// For each step the shapes of its input and output.
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<(Shape, Shape)>> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::parameter("not one shape for each input"));
        }
        for (info, shape) in self.input_infos.iter().zip(inputs) {
            if shape.channels != info.channels as usize || shape.height * shape.width == 0 {
                return Err(Error::Parameter(format!(
                    "input of {shape:?} where {} channels are expected",
                    info.channels
                )));
            }
        }
        let mut slots = vec![Shape::new(0, 0, 0)?; self.slots];
        let mut shapes = Vec::new();
        for step in &self.steps {
            let at = |place: Place| match place {
                Place::Input(index) => inputs[index],
                Place::Slot(slot) => slots[slot],
            };
            let input = at(step.places.input);
            let output = step.layer.output_shape(input)?;
            let differs = |place: Option<Place>, from: Shape| place.is_some_and(|p| at(p) != from);
            if differs(step.places.add, output) || differs(step.places.by, input) {
                return Err(Error::Parameter(format!(
                    "values of different shape meet: {output:?}"
                )));
            }
            slots[step.places.out] = output;
            shapes.push((input, output));
        }
        Ok(shapes)
    }
}

impl Scratch {
    /// Sets what is remembered to zero: the beginning of another stream.
    ///
    /// # Errors
    /// As [`Network::scratch`].
    pub fn reset(&mut self, network: &Network) -> Result<()> {
        *self = network.scratch(self.streams, &self.budget)?;
        Ok(())
    }

    /// Room for the narrowed inputs of every step.
    fn make_room(&mut self, network: &Network, shapes: &[(Shape, Shape)]) -> Result<()> {
        let mut needed = 0;
        for (step, (input, _)) in network.steps.iter().zip(shapes) {
            if step.layer.narrowed() > 0 {
                needed = needed.max(input.checked_len()?);
            }
        }
        if needed > self.bytes.len() {
            self.bytes = Vec::new();
            self.bytes_reservation = None;
            let (bytes, reservation) = self.budget.filled(0i8, needed as u64)?;
            self.bytes = bytes;
            self.bytes_reservation = Some(reservation);
        }
        Ok(())
    }
}

impl Slot {
    /// Takes the tensor out, in the shape and scale of its next value; what it
    /// holds stays if `keep`.
    fn take(&mut self, shape: Shape, q: QFormat, keep: bool, budget: &Budget) -> Result<Tensor> {
        let len = shape.checked_len()?;
        if let Some(mut tensor) = self.tensor.take()
            && len <= self.capacity
        {
            if !keep {
                tensor.reshape(shape, q)?;
            }
            return Ok(tensor);
        }
        // What was there before has been given back.
        self.capacity = 0;
        let tensor = Tensor::zeros_within(shape, q, budget)?;
        self.capacity = len;
        Ok(tensor)
    }
}

/// What a step runs with.
struct Run<'r> {
    engine: &'r Engine,
    kind: GraphKind,
    inputs: &'r [&'r Tensor],
    slots: &'r [Slot],
    bytes: &'r mut Vec<i8>,
    selectors: &'r [usize],
}

impl<'r> Run<'r> {
    /// The values at a place. The one that is being written has been taken
    /// out, and no step reads it but as what it adds to.
    fn values(&self, place: Place) -> Result<&'r [i16]> {
        match place {
            Place::Input(index) => Ok(self.inputs[index].values()),
            Place::Slot(slot) => self.slots[slot]
                .tensor
                .as_ref()
                .map(Tensor::values)
                .ok_or_else(|| Error::parameter("a value that was not computed")),
        }
    }

    fn step(
        self,
        step: &CompiledStep,
        memory: &mut Memory,
        shape: Shape,
        out: &mut Tensor,
    ) -> Result<()> {
        let (engine, places) = (self.engine, &step.places);
        let input = self.values(places.input)?;
        let residual = match places.add {
            _ if places.in_place => Residual::Accumulate,
            Some(place) => Residual::Add(self.values(place)?),
            None => Residual::None,
        };
        let out = out.values_mut();
        match (&step.layer, memory) {
            (Compiled::Layer(layer), _) => layer.run(engine, shape, input, residual, out),
            (Compiled::Gains(rows, selector), _) => {
                let row = selector.map_or(0, |selector| self.selectors[selector]);
                rcodec_fixed::Layer::run(&rows[row], engine, shape, input, residual, out)
            }
            (Compiled::Bytes(matrix, narrow), _) => {
                let bytes = &mut self.bytes[..input.len()];
                layers::narrow(engine, input, *narrow, bytes)?;
                matrix.apply(engine, bytes, residual, out)
            }
            (Compiled::Words(matrix), _) => matrix.apply(engine, input, residual, out),
            (Compiled::Causal(conv), Memory::Causal(state)) => {
                conv.process(engine, state, input, residual, out)
            }
            (Compiled::MinGru(cell, narrow), Memory::MinGru(state)) => {
                let bytes = &mut self.bytes[..input.len()];
                layers::narrow(engine, input, *narrow, bytes)?;
                let (inputs, outputs) = self.kind.per_call((cell.inputs(), cell.width()), shape);
                let calls = bytes
                    .chunks_exact(inputs)
                    .zip(out.chunks_exact_mut(outputs));
                for (bytes, out) in calls {
                    cell.step(engine, state, bytes, out)?;
                }
                add(engine, residual, out)
            }
            (Compiled::Gru(cell, narrow), Memory::Gru(state)) => {
                let bytes = &mut self.bytes[..input.len()];
                layers::narrow(engine, input, *narrow, bytes)?;
                let (inputs, outputs) = self.kind.per_call((cell.inputs(), cell.width()), shape);
                let calls = bytes
                    .chunks_exact(inputs)
                    .zip(out.chunks_exact_mut(outputs));
                for (bytes, out) in calls {
                    cell.step(engine, state, bytes, out)?;
                }
                add(engine, residual, out)
            }
            (Compiled::Multiply(shift), _) => {
                let by = places.by.map_or(Ok(input), |place| self.values(place))?;
                layers::multiply(engine, input, by, *shift, out)?;
                add(engine, residual, out)
            }
            (Compiled::Activate(activation), _) => {
                out.copy_from_slice(input);
                layers::activate(engine, *activation, out)?;
                add(engine, residual, out)
            }
            (Compiled::Add, _) => match residual {
                Residual::Accumulate => layers::add_assign(engine, input, out),
                _ => {
                    out.copy_from_slice(input);
                    add(engine, residual, out)
                }
            },
            _ => Err(Error::parameter("scratch memory of another network")),
        }
    }
}

impl GraphKind {
    /// Values that a recurrent cell takes and gives in one call: all streams
    /// at once, or one frame after the other.
    fn per_call(self, (inputs, outputs): (usize, usize), shape: Shape) -> (usize, usize) {
        let streams = if self == GraphKind::Streams {
            shape.width
        } else {
            1
        };
        (inputs * streams, outputs * streams)
    }
}

/// Adds what has not been added yet.
fn add(engine: &Engine, residual: Residual<'_>, out: &mut [i16]) -> Result<()> {
    match residual {
        Residual::Add(values) => layers::add_assign(engine, values, out),
        _ => Ok(()),
    }
}

impl<'s> Outputs<'s> {
    /// Output `index`, in the order of [`Network::outputs`].
    ///
    /// # Panics
    /// If there is none of that index.
    pub fn get(&self, index: usize) -> &'s Tensor {
        let slot = &self.slots[self.network.output_slots[index]];
        slot.tensor.as_ref().expect("a run leaves its outputs")
    }

    /// The output of that name, if there is one.
    pub fn by_name(&self, name: &str) -> Option<&'s Tensor> {
        let index = self
            .network
            .outputs
            .iter()
            .position(|output| output.name == name);
        index.map(|index| self.get(index))
    }
}

/// Runs a graph of a hostile model on some inputs; what comes out is no
/// matter, but nothing may panic.
#[cfg(test)]
pub(crate) fn run_something(model: &Model, graph: &str, budget: &Budget) {
    let Ok(network) = Network::new(model, graph, budget) else {
        return;
    };
    let Ok(mut scratch) = network.scratch(1, budget) else {
        return;
    };
    let width = if network.kind == GraphKind::Streams {
        1
    } else {
        3
    };
    let tensors: Vec<Tensor> = network
        .inputs()
        .iter()
        .map(|input| {
            let shape = Shape::new(1, width, input.channels as usize).unwrap();
            let len = shape.checked_len().unwrap();
            let max = input.max.min(i16::MAX as u32) as i16;
            let values = (0..len)
                .map(|i| if i % 2 == 0 { max } else { -max })
                .collect();
            Tensor::from_values(shape, QFormat::new(input.q).unwrap(), values).unwrap()
        })
        .collect();
    let inputs: Vec<&Tensor> = tensors.iter().collect();
    let selectors = vec![0; network.selectors().len()];
    let _ = network.run(&Engine::new(), &inputs, &selectors, &mut scratch);
}
