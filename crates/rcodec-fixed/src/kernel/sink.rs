//! What becomes of the sums of a matrix kernel: requantisation and whatever
//! is fused with it.

use super::gemm::{Sink, TileSums};
use super::pack::PANEL;
use crate::requant::Activation;
use crate::residual::Residual;
use crate::simd::{Isa, LANES_I16, LANES_I32};

/// The activation function's parameters in every lane: `y = clamp(max(x, x >>
/// leak), lo, hi)`. No leak is a shift by 0.
#[derive(Clone, Copy)]
pub(crate) struct Clip<I: Isa> {
    leak_shift: u32,
    lo: I::I16,
    hi: I::I16,
}

impl<I: Isa> Clip<I> {
    #[inline(always)]
    pub(crate) fn new(isa: I, activation: Activation) -> Self {
        let (lo, hi) = activation.limits();
        Clip {
            leak_shift: u32::from(activation.leak_shift()),
            lo: isa.splat16(lo),
            hi: isa.splat16(hi),
        }
    }

    #[inline(always)]
    pub(crate) fn apply(&self, isa: I, x: I::I16) -> I::I16 {
        let leaky = isa.max16(x, isa.sra16(x, self.leak_shift));
        isa.min16(isa.max16(leaky, self.lo), self.hi)
    }
}

/// `sat16((a · b + round) >> shift)`, `round` being half of `1 << shift`.
#[inline(always)]
pub(crate) fn gate<I: Isa>(isa: I, a: I::I16, b: I::I16, shift: u32) -> I::I16 {
    let zero = isa.splat16(0);
    let round = isa.splat32((1 << shift) >> 1);
    let (a_lo, a_hi) = isa.interleave(a, zero);
    let (b_lo, b_hi) = isa.interleave(b, zero);
    let lo = isa.sra32(isa.dot16(round, a_lo, b_lo), shift);
    let hi = isa.sra32(isa.dot16(round, a_hi, b_hi), shift);
    isa.narrow_split((lo, hi))
}

/// `i16` outputs: shift, saturate, activation, residual.
pub(crate) struct Requantize<'a> {
    /// Right shift of every slot.
    pub(crate) shift: &'a [i32],
    pub(crate) activation: Activation,
    pub(crate) residual: Residual<'a>,
    /// Outputs of one row.
    pub(crate) width: usize,
    pub(crate) out: &'a mut [i16],
}

impl Sink for Requantize<'_> {
    #[inline(always)]
    fn emit<I: Isa>(
        &mut self,
        isa: I,
        row: usize,
        rows: usize,
        slot: usize,
        slots: usize,
        sums: &TileSums,
    ) {
        let clip = Clip::new(isa, self.activation);
        let mut done = 0;
        while done < slots {
            let (first, zero) = (slot + done, isa.splat32(0));
            let width = LANES_I16.min(self.width - first);
            let both = slots - done >= LANES_I16;
            let shift_lo = isa.load32(&self.shift[first..][..LANES_I32]);
            let shift_hi = if both {
                isa.load32(&self.shift[first + LANES_I32..][..LANES_I32])
            } else {
                zero
            };
            for i in 0..rows {
                let sums = &sums[i * PANEL + done..];
                let lo = isa.srav32(isa.load32(&sums[..LANES_I32]), shift_lo);
                let hi = if both {
                    isa.srav32(isa.load32(&sums[LANES_I32..][..LANES_I32]), shift_hi)
                } else {
                    zero
                };
                let mut y = clip.apply(isa, isa.narrow(lo, hi));
                let at = (row + i) * self.width + first;
                let out = &mut self.out[at..at + width];
                match &self.residual {
                    Residual::None => {}
                    Residual::Add(values) => {
                        y = isa.add_sat16(y, isa.load16(&values[at..at + width]));
                    }
                    Residual::Accumulate => y = isa.add_sat16(y, isa.load16(out)),
                }
                isa.store16(y, out);
            }
            done += LANES_I16;
        }
    }
}

/// `i16` outputs that are products of two halves. Blocks alternate: 16 values,
/// then the 16 gates they are multiplied by.
pub(crate) struct RequantizeGated<'a> {
    /// Right shift of every slot.
    pub(crate) shift: &'a [i32],
    /// Of the values.
    pub(crate) activation: Activation,
    /// Of the gates.
    pub(crate) gate_activation: Activation,
    pub(crate) gate_shift: u32,
    pub(crate) residual: Residual<'a>,
    /// Outputs of one row: half of the sums.
    pub(crate) width: usize,
    pub(crate) out: &'a mut [i16],
}

impl Sink for RequantizeGated<'_> {
    #[inline(always)]
    fn emit<I: Isa>(
        &mut self,
        isa: I,
        row: usize,
        rows: usize,
        slot: usize,
        slots: usize,
        sums: &TileSums,
    ) {
        let clip = Clip::new(isa, self.activation);
        let gate_clip = Clip::new(isa, self.gate_activation);
        let first = slot / 2;
        let width = (slots / 2).min(self.width - first);
        let shifts = &self.shift[slot..slot + slots];
        let mut shift = [isa.splat32(0); 4];
        for (block, shift) in shift.iter_mut().enumerate() {
            *shift = load_block(isa, shifts, block);
        }
        for i in 0..rows {
            let sums = &sums[i * PANEL..][..slots];
            let mut y = shift;
            for (block, y) in y.iter_mut().enumerate() {
                *y = isa.srav32(load_block(isa, sums, block), *y);
            }
            let value = isa.narrow(y[0], y[2]);
            let gates = isa.narrow(y[1], y[3]);
            let mut y = gate(
                isa,
                clip.apply(isa, value),
                gate_clip.apply(isa, gates),
                self.gate_shift,
            );
            let at = (row + i) * self.width + first;
            let out = &mut self.out[at..at + width];
            match &self.residual {
                Residual::None => {}
                Residual::Add(values) => {
                    y = isa.add_sat16(y, isa.load16(&values[at..at + width]));
                }
                Residual::Accumulate => y = isa.add_sat16(y, isa.load16(out)),
            }
            isa.store16(y, out);
        }
    }
}

/// Block `block` of a panel's values, zeros if the panel has not so many.
#[inline(always)]
fn load_block<I: Isa>(isa: I, values: &[i32], block: usize) -> I::I32 {
    match values.get(block * LANES_I32..(block + 1) * LANES_I32) {
        Some(values) => isa.load32(values),
        None => isa.splat32(0),
    }
}

/// The sums as they are.
pub(crate) struct Store32<'a> {
    /// Outputs of one row.
    pub(crate) width: usize,
    pub(crate) out: &'a mut [i32],
}

impl Sink for Store32<'_> {
    #[inline(always)]
    fn emit<I: Isa>(
        &mut self,
        isa: I,
        row: usize,
        rows: usize,
        slot: usize,
        slots: usize,
        sums: &TileSums,
    ) {
        for i in 0..rows {
            let mut done = 0;
            while done < slots {
                let width = LANES_I32.min(self.width - slot - done);
                let at = (row + i) * self.width + slot + done;
                let sum = isa.load32(&sums[i * PANEL + done..][..LANES_I32]);
                isa.store32(sum, &mut self.out[at..at + width]);
                done += LANES_I32;
            }
        }
    }
}
