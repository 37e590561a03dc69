//! Gated recurrent cells with integer states.
//!
//! All of them end in the same step, an interpolation between the state and a
//! candidate that cannot leave the range of the candidates:
//!
//! ```text
//! h' = h + (z · ((g << guard) - h) + 2^14) >> 15        z in Q15, 0 ≤ z < 1
//! y  = sat16((h' + 2^guard / 2) >> guard)
//! ```
//!
//! The state has `guard` bits more than the candidate, so that a gate of
//! `2^-guard` still moves it: a memory as long as that.

use super::matrix::ByteMatrix;
use super::table::Table;
use crate::engine::Engine;
use crate::kernel::elementwise::{AddAssign, Multiply, Narrow, Recur};
use crate::requant::Activation;
use crate::residual::Residual;
use rcodec_core::{Budget, Error, Reservation, Result};

/// The most guard bits: the distance between state and candidate stays below
/// 2³⁰.
const MAX_GUARD_BITS: u8 = 13;

/// The step above, for any number of independent states.
#[derive(Clone, Copy, Debug)]
pub struct GatedRecurrence {
    guard: u32,
}

impl GatedRecurrence {
    /// A recurrence whose states have `guard_bits` more bits than the
    /// candidates, 0 to 13.
    pub fn new(guard_bits: u8) -> Result<GatedRecurrence> {
        if guard_bits > MAX_GUARD_BITS {
            return Err(Error::Parameter(format!("{guard_bits} guard bits")));
        }
        Ok(GatedRecurrence {
            guard: u32::from(guard_bits),
        })
    }

    /// The new state: the definition the kernels agree with. A negative
    /// `update` counts as 0.
    pub fn next_state(&self, update_q15: i16, candidate: i16, state: i32) -> i32 {
        let distance = (i64::from(candidate) << self.guard) - i64::from(state);
        let step = (i64::from(update_q15.max(0)) * distance + (1 << 14)) >> 15;
        state + step as i32
    }

    /// The output for a state.
    pub fn output(&self, state: i32) -> i16 {
        let rounded = (state + ((1 << self.guard) >> 1)) >> self.guard;
        rounded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// One step: `state` moves towards `candidate` by `update` (Q15), and `out`
    /// is the new output. All have the same length; `state` comes from zeros
    /// by earlier steps.
    pub fn step(
        &self,
        engine: &Engine,
        update_q15: &[i16],
        candidate: &[i16],
        state: &mut [i32],
        out: &mut [i16],
    ) -> Result<()> {
        let len = out.len();
        if update_q15.len() != len || candidate.len() != len || state.len() != len {
            return Err(Error::Parameter(format!(
                "{} gates, {} candidates, {} states and {len} outputs",
                update_q15.len(),
                candidate.len(),
                state.len()
            )));
        }
        engine.simd().run(Recur {
            update: update_q15,
            candidate,
            state,
            guard: self.guard,
            out,
        });
        Ok(())
    }
}

/// A vector of zeros, charged to `budget`.
fn zeros<T: Clone + Default>(
    budget: &Budget,
    len: usize,
    reservations: &mut Vec<Reservation>,
) -> Result<Vec<T>> {
    let (values, reservation) = budget.filled(T::default(), len as u64)?;
    reservations.push(reservation);
    Ok(values)
}

/// Room for `streams · width`.
fn total(streams: usize, width: usize) -> Result<usize> {
    streams.checked_mul(width).ok_or(Error::Limit("memory"))
}

/// The minimal gated recurrent unit (minGRU; Feng et al., «Were RNNs all we
/// needed?», 2024): gate and candidate depend on the input alone.
///
/// ```text
/// (a, g) = W x        z = update_table(a)        h' = h + z · (g - h)
/// ```
#[derive(Clone, Debug)]
pub struct MinGruCell {
    input: ByteMatrix,
    update: Table,
    candidate: Option<Table>,
    recurrence: GatedRecurrence,
}

/// The states of a [`MinGruCell`] for streams that run in lockstep, and its
/// working memory.
#[derive(Debug)]
pub struct MinGruState {
    states: Vec<i32>,
    sums: Vec<i16>,
    gate: Vec<i16>,
    candidate: Vec<i16>,
    streams: usize,
    _reservations: Vec<Reservation>,
}

impl MinGruCell {
    /// A cell whose `input` matrix gives the gates' arguments and then the
    /// candidates, an even number in all. `update` maps the arguments to Q15;
    /// `candidate`, if there is one, the candidates.
    pub fn new(
        input: ByteMatrix,
        update: Table,
        candidate: Option<Table>,
        recurrence: GatedRecurrence,
    ) -> Result<MinGruCell> {
        if !input.outputs().is_multiple_of(2) {
            return Err(Error::parameter("a minGRU of an odd number of sums"));
        }
        Ok(MinGruCell {
            input,
            update,
            candidate,
            recurrence,
        })
    }

    /// Length of an input vector.
    pub fn inputs(&self) -> usize {
        self.input.inputs()
    }

    /// States, and outputs, of one stream.
    pub fn width(&self) -> usize {
        self.input.outputs() / 2
    }

    /// Multiply-adds of a step of one stream.
    pub fn work(&self) -> u64 {
        self.input.work()
    }

    /// States of zero for `streams` streams.
    pub fn state(&self, streams: usize, budget: &Budget) -> Result<MinGruState> {
        let len = total(streams, self.width())?;
        let mut reservations = Vec::new();
        Ok(MinGruState {
            states: zeros(budget, len, &mut reservations)?,
            sums: zeros(
                budget,
                total(streams, self.input.outputs())?,
                &mut reservations,
            )?,
            gate: zeros(budget, self.width(), &mut reservations)?,
            candidate: zeros(budget, self.width(), &mut reservations)?,
            streams,
            _reservations: reservations,
        })
    }

    /// One step of all streams: `input` holds one vector for each, `out` gets
    /// as many. `state` must be one of this cell's.
    pub fn step(
        &self,
        engine: &Engine,
        state: &mut MinGruState,
        input: &[i8],
        out: &mut [i16],
    ) -> Result<()> {
        let width = self.width();
        let lengths_agree = state.states.len() == out.len()
            && state.gate.len() == width
            && out.len() == state.streams * width
            && state.sums.len() == 2 * out.len();
        if !lengths_agree {
            return Err(Error::Parameter(format!(
                "{} states for {} outputs of a minGRU",
                state.states.len(),
                out.len()
            )));
        }
        self.input
            .apply(engine, input, Residual::None, &mut state.sums)?;
        let streams = state
            .sums
            .chunks_exact(2 * width)
            .zip(state.states.chunks_exact_mut(width))
            .zip(out.chunks_exact_mut(width));
        for ((sums, states), out) in streams {
            let (arguments, candidates) = sums.split_at(width);
            self.update.lookup(engine, arguments, &mut state.gate);
            let candidates = match &self.candidate {
                None => candidates,
                Some(table) => {
                    table.lookup(engine, candidates, &mut state.candidate);
                    &state.candidate
                }
            };
            self.recurrence
                .step(engine, &state.gate, candidates, states, out)?;
        }
        Ok(())
    }
}

/// The gated recurrent unit (Cho et al., 2014), with the reset gate applied to
/// the recurrent sums, as cuDNN, PyTorch and burn have it.
///
/// ```text
/// (a_z, a_r, a_n) = W x        (b_z, b_r, b_n) = U narrow(h)
/// z = gate_table(a_z + b_z)    r = gate_table(a_r + b_r)
/// n = candidate_table(a_n + (r · b_n) >> 15)
/// h' = h + z · (n - h)
/// ```
///
/// (`z` is one minus PyTorch's: an exporter negates its weights and biases.)
#[derive(Clone, Debug)]
pub struct GruCell {
    input: ByteMatrix,
    hidden: ByteMatrix,
    gate: Table,
    candidate: Table,
    recurrence: GatedRecurrence,
    narrow_shift: u32,
}

/// The states of a [`GruCell`] for streams that run in lockstep, and its
/// working memory.
#[derive(Debug)]
pub struct GruState {
    states: Vec<i32>,
    hidden: Vec<i8>,
    input_sums: Vec<i16>,
    hidden_sums: Vec<i16>,
    values: Vec<i16>,
    streams: usize,
    _reservations: Vec<Reservation>,
}

impl GruCell {
    /// A cell of `input` and `hidden` matrices, both of `3 · width` outputs of
    /// the same scale, in the order z, r, n. `gate` maps to Q15, `candidate`
    /// is usually the hyperbolic tangent; outputs are narrowed to 8 bits by
    /// `narrow_shift` (0 to 8) for the hidden matrix.
    pub fn new(
        (input, hidden): (ByteMatrix, ByteMatrix),
        (gate, candidate): (Table, Table),
        recurrence: GatedRecurrence,
        narrow_shift: u8,
    ) -> Result<GruCell> {
        let width = hidden.inputs();
        let fits = width.checked_mul(3) == Some(hidden.outputs())
            && input.outputs() == hidden.outputs()
            && narrow_shift <= 8;
        if !fits {
            return Err(Error::Parameter(format!(
                "a GRU of {} and {} sums for {width} states, narrowed by {narrow_shift}",
                input.outputs(),
                hidden.outputs()
            )));
        }
        Ok(GruCell {
            input,
            hidden,
            gate,
            candidate,
            recurrence,
            narrow_shift: u32::from(narrow_shift),
        })
    }

    /// Length of an input vector.
    pub fn inputs(&self) -> usize {
        self.input.inputs()
    }

    /// States, and outputs, of one stream.
    pub fn width(&self) -> usize {
        self.hidden.inputs()
    }

    /// Multiply-adds of a step of one stream.
    pub fn work(&self) -> u64 {
        self.input.work() + self.hidden.work()
    }

    /// States of zero for `streams` streams.
    pub fn state(&self, streams: usize, budget: &Budget) -> Result<GruState> {
        let len = total(streams, self.width())?;
        let sums = total(len, 3)?;
        let mut reservations = Vec::new();
        Ok(GruState {
            states: zeros(budget, len, &mut reservations)?,
            hidden: zeros(budget, len, &mut reservations)?,
            input_sums: zeros(budget, sums, &mut reservations)?,
            hidden_sums: zeros(budget, sums, &mut reservations)?,
            values: zeros(budget, 2 * self.width(), &mut reservations)?,
            streams,
            _reservations: reservations,
        })
    }

    /// One step of all streams: `input` holds one vector for each, `out` gets
    /// as many. `state` must be one of this cell's.
    pub fn step(
        &self,
        engine: &Engine,
        state: &mut GruState,
        input: &[i8],
        out: &mut [i16],
    ) -> Result<()> {
        let width = self.width();
        let lengths_agree = state.states.len() == out.len()
            && out.len() == state.streams * width
            && state.values.len() == 2 * width
            && state.input_sums.len() == 3 * out.len();
        if !lengths_agree {
            return Err(Error::Parameter(format!(
                "{} states for {} outputs of a GRU",
                state.states.len(),
                out.len()
            )));
        }
        let none = Residual::None;
        self.input
            .apply(engine, input, none, &mut state.input_sums)?;
        self.hidden
            .apply(engine, &state.hidden, none, &mut state.hidden_sums)?;
        let (gates, candidate) = state.values.split_at_mut(width);
        let streams = state
            .input_sums
            .chunks_exact_mut(3 * width)
            .zip(state.hidden_sums.chunks_exact(3 * width))
            .zip(state.states.chunks_exact_mut(width))
            .zip(out.chunks_exact_mut(width));
        for (((input, hidden), states), out) in streams {
            let simd = engine.simd();
            simd.run(AddAssign {
                x: &hidden[..2 * width],
                out: &mut input[..2 * width],
            });
            let (arguments, input_n) = input.split_at_mut(2 * width);
            self.gate.lookup(engine, &arguments[width..], gates);
            simd.run(Multiply {
                a: &hidden[2 * width..],
                b: gates,
                activations: (Activation::Identity, Activation::Identity),
                shift: 15,
                out: candidate,
            });
            simd.run(AddAssign {
                x: candidate,
                out: input_n,
            });
            self.candidate.lookup(engine, input_n, candidate);
            self.gate.lookup(engine, &arguments[..width], gates);
            self.recurrence
                .step(engine, gates, candidate, states, out)?;
        }
        engine.simd().run(Narrow {
            x: out,
            shift: self.narrow_shift,
            out: &mut state.hidden,
        });
        Ok(())
    }
}

#[cfg(test)]
#[path = "recurrent_tests.rs"]
mod tests;
