//! What convolutions and matrix products share: packed weights, biases and
//! shifts in the order of the packed outputs, and what becomes of the sums.

use crate::engine::Engine;
use crate::kernel::gemm::{Gemm, Product};
use crate::kernel::pack::{Operand, Packed};
use crate::kernel::sink::{Requantize, RequantizeGated, Store32};
use crate::requant::{Activation, Range, Requant, output_range, rounding};
use crate::residual::Residual;
use crate::simd::LANES_I32;
use rcodec_core::{Error, Result};

/// The product of two halves of a layer's sums: output `c` is
/// `sat16((a[c] · b[c] + round) >> shift)`, `a` being the first half after the
/// layer's activation and `b` the second half after `activation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Right shift of the products, 0 to 15: the gates' fractional bits.
    pub shift: u8,
    /// The gates' activation.
    pub activation: Activation,
}

impl Gate {
    /// The product: the definition the kernels agree with.
    pub fn apply(&self, value: i16, gate: i16) -> i16 {
        let shift = u32::from(self.shift);
        let product = i32::from(value) * i32::from(gate) + rounding(shift);
        (product >> shift).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// The products that are possible.
    pub(crate) fn range(&self, values: Range, gates: Range) -> Range {
        let corners = [
            self.apply(values.lo, gates.lo),
            self.apply(values.lo, gates.hi),
            self.apply(values.hi, gates.lo),
            self.apply(values.hi, gates.hi),
        ];
        Range {
            lo: corners.into_iter().fold(i16::MAX, i16::min),
            hi: corners.into_iter().fold(i16::MIN, i16::max),
        }
    }

    /// Fails if the shift or the activation is impossible, or `outputs` has no
    /// halves.
    pub(crate) fn check(&self, outputs: usize) -> Result<()> {
        self.activation.check()?;
        if self.shift > 15 || !outputs.is_multiple_of(2) {
            return Err(Error::Parameter(format!(
                "gate of shift {} over {outputs} channels",
                self.shift
            )));
        }
        Ok(())
    }
}

/// Packed weights and the stage after them.
#[derive(Clone, Debug)]
pub(crate) struct Affine<O: Operand> {
    weights: Packed<O>,
    /// What the sums of each slot start at: bias and rounding.
    start: Vec<i32>,
    /// Right shift of each slot.
    shift: Vec<i32>,
    activation: Activation,
    gate: Option<Gate>,
    /// Outputs of a row: with a gate, half of the sums.
    width: usize,
    range: Range,
}

impl<O: Operand> Affine<O> {
    /// Packs `outputs` rows of `inputs` weights, `weight(output, input)`.
    /// `requant` and `gate` have been checked, and `bounds` are the proven
    /// bounds of each output's sums.
    pub(crate) fn new(
        (outputs, inputs): (usize, usize),
        weight: impl Fn(usize, usize) -> O::Elem,
        requant: &Requant,
        gate: Option<Gate>,
        bounds: &[u32],
    ) -> Affine<O> {
        let gated = gate.is_some();
        let slots = slot_count(outputs, gated);
        let output_of = |slot| slot_output(slot, outputs, gated);
        let weights = Packed::new(slots, inputs, |slot, input| {
            output_of(slot).map_or_else(O::Elem::default, |output| weight(output, input))
        });
        let per_slot = |value: &dyn Fn(usize) -> i32| -> Vec<i32> {
            (0..slots)
                .map(|slot| output_of(slot).map_or(0, value))
                .collect()
        };
        Affine {
            weights,
            start: per_slot(&|output| requant.start(output)),
            shift: per_slot(&|output| i32::from(requant.shift[output])),
            activation: requant.activation,
            gate,
            width: outputs >> u32::from(gated),
            range: range(requant, gate, bounds),
        }
    }

    /// Outputs of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The outputs that are possible.
    pub(crate) fn range(&self) -> Range {
        self.range
    }

    /// Multiply-adds of a row.
    pub(crate) fn work(&self) -> u64 {
        let sums = self.width << u32::from(self.gate.is_some());
        (self.weights.groups() * O::GROUP * sums) as u64
    }

    /// For each slot a value of its output, zeros for padding.
    pub(crate) fn per_slot(&self, value: impl Fn(usize) -> i32) -> Vec<i32> {
        let gated = self.gate.is_some();
        let outputs = self.width << u32::from(gated);
        (0..self.start.len())
            .map(|slot| slot_output(slot, outputs, gated).map_or(0, &value))
            .collect()
    }

    /// Whether one half of the sums multiplies the other.
    pub(crate) fn is_gated(&self) -> bool {
        self.gate.is_some()
    }

    /// What the sums start at.
    pub(crate) fn start(&self) -> &[i32] {
        &self.start
    }

    /// The product of rows of activations; see [`Product::new`].
    #[inline(always)]
    pub(crate) fn product<'a>(
        &'a self,
        (activations, row_stride, segments): (&'a [O::Elem], usize, &'a [usize]),
        start: &'a [i32],
        rows: usize,
    ) -> Product<'a, O> {
        let weights = &self.weights;
        Product::new(weights, start, activations, rows, row_stride, segments)
    }

    /// What becomes of sums without a gate.
    #[inline(always)]
    pub(crate) fn requantize<'a>(
        &'a self,
        residual: Residual<'a>,
        out: &'a mut [i16],
    ) -> Requantize<'a> {
        Requantize {
            shift: &self.shift,
            activation: self.activation,
            residual,
            width: self.width,
            out,
        }
    }

    /// Rows of `activations` to rows of `out`; see [`Product::new`].
    pub(crate) fn run(
        &self,
        engine: &Engine,
        rows: (&[O::Elem], usize, &[usize]),
        start: &[i32],
        residual: Residual<'_>,
        out: &mut [i16],
    ) {
        let product = self.product(rows, start, out.len() / self.width);
        let (shift, width, activation) = (&self.shift[..], self.width, self.activation);
        match self.gate {
            None => engine.simd().run(Gemm {
                product,
                sink: self.requantize(residual, out),
            }),
            Some(gate) => engine.simd().run(Gemm {
                product,
                sink: RequantizeGated {
                    shift,
                    activation,
                    gate_activation: gate.activation,
                    gate_shift: u32::from(gate.shift),
                    residual,
                    width,
                    out,
                },
            }),
        }
    }

    /// The sums themselves; only without a gate.
    pub(crate) fn run_sums(
        &self,
        engine: &Engine,
        activations: &[O::Elem],
        row_stride: usize,
        start: &[i32],
        out: &mut [i32],
    ) {
        let rows = out.len() / self.width;
        let product = Product::new(&self.weights, start, activations, rows, row_stride, &[0]);
        let width = self.width;
        engine.simd().run(Gemm {
            product,
            sink: Store32 { width, out },
        });
    }
}

/// The output whose sums slot `slot` of the packed weights holds: with a gate,
/// blocks of 16 values and their gates alternate. `None` is a slot of padding.
fn slot_output(slot: usize, outputs: usize, gated: bool) -> Option<usize> {
    if !gated {
        return (slot < outputs).then_some(slot);
    }
    let (block, lane) = (slot / LANES_I32, slot % LANES_I32);
    let value = block / 2 * LANES_I32 + lane;
    (value < outputs / 2).then_some(value + block % 2 * (outputs / 2))
}

/// Slots of the packed weights.
fn slot_count(outputs: usize, gated: bool) -> usize {
    if gated {
        (outputs / 2).div_ceil(LANES_I32) * 2 * LANES_I32
    } else {
        outputs.div_ceil(LANES_I32) * LANES_I32
    }
}

/// The outputs that are possible, given each sum's bound.
fn range(requant: &Requant, gate: Option<Gate>, bounds: &[u32]) -> Range {
    let half = bounds.len() / 2;
    let output = |output: usize| {
        let activation = match gate {
            Some(gate) if output >= half => gate.activation,
            _ => requant.activation,
        };
        output_range(bounds[output], requant.shift[output], activation)
    };
    let ranges: Vec<Range> = match gate {
        None => (0..bounds.len()).map(output).collect(),
        Some(gate) => (0..half)
            .map(|value| gate.range(output(value), output(value + half)))
            .collect(),
    };
    ranges
        .into_iter()
        .reduce(Range::union)
        .unwrap_or(Range::FULL)
}
