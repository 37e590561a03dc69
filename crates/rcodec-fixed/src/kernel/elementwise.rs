//! Passes over values that need no neighbours.

use super::sink::{Clip, gate};
use crate::requant::{Activation, rounding};
use crate::simd::{Isa, Kernel, LANES_I16};

/// Runs `$body` for every vector of `$len` values, `$lanes` being the range of
/// its values: 32 of them, which the compiler sees, and once the rest. (A
/// closure would be compiled without the level's instructions.)
macro_rules! for_each_vector {
    ($len:expr, $lanes:ident, $body:block) => {
        let len = $len;
        let mut at = 0;
        while at + LANES_I16 <= len {
            let $lanes = at..at + LANES_I16;
            $body
            at += LANES_I16;
        }
        if at < len {
            let $lanes = at..len;
            $body
        }
    };
}

/// `out = sat16(out + x)`.
pub(crate) struct AddAssign<'a> {
    pub(crate) x: &'a [i16],
    pub(crate) out: &'a mut [i16],
}

impl Kernel for AddAssign<'_> {
    type Output = ();
    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        for_each_vector!(self.out.len(), lanes, {
            let x = isa.load16(&self.x[lanes.clone()]);
            let out = &mut self.out[lanes];
            isa.store16(isa.add_sat16(isa.load16(out), x), out);
        });
    }
}

/// `out = sat16((a · b + round) >> shift)`, each value through its own
/// activation first.
pub(crate) struct Multiply<'a> {
    pub(crate) a: &'a [i16],
    pub(crate) b: &'a [i16],
    pub(crate) activations: (Activation, Activation),
    pub(crate) shift: u32,
    pub(crate) out: &'a mut [i16],
}

impl Kernel for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        let clip_a = Clip::new(isa, self.activations.0);
        let clip_b = Clip::new(isa, self.activations.1);
        for_each_vector!(self.out.len(), lanes, {
            let a = clip_a.apply(isa, isa.load16(&self.a[lanes.clone()]));
            let b = clip_b.apply(isa, isa.load16(&self.b[lanes.clone()]));
            isa.store16(gate(isa, a, b, self.shift), &mut self.out[lanes]);
        });
    }
}

/// `values = activation(values)`.
pub(crate) struct Activate<'a> {
    pub(crate) activation: Activation,
    pub(crate) values: &'a mut [i16],
}

impl Kernel for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        let clip = Clip::new(isa, self.activation);
        for_each_vector!(self.values.len(), lanes, {
            let values = &mut self.values[lanes];
            isa.store16(clip.apply(isa, isa.load16(values)), values);
        });
    }
}

/// `out = sat8((x + round) >> shift)`, `shift` at most 8 (so that a saturated
/// sum gives what the full one would).
pub(crate) struct Narrow<'a> {
    pub(crate) x: &'a [i16],
    pub(crate) shift: u32,
    pub(crate) out: &'a mut [i8],
}

impl Kernel for Narrow<'_> {
    type Output = ();
    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        let round = isa.splat16(rounding(self.shift) as i16);
        for_each_vector!(self.out.len(), lanes, {
            let sum = isa.add_sat16(isa.load16(&self.x[lanes.clone()]), round);
            isa.store8(isa.sra16(sum, self.shift), &mut self.out[lanes]);
        });
    }
}

/// A table over `-2^range_bits..2^range_bits`, read between its entries.
pub(crate) struct Lookup<'a> {
    pub(crate) x: &'a [i16],
    /// Entry `i` in the low half, entry `i + 1` in the high half; `2^(range_bits
    /// + 1 - fraction_bits)` of them.
    pub(crate) pairs: &'a [i32],
    pub(crate) range_bits: u32,
    /// Bits of the index that lie between two entries.
    pub(crate) fraction_bits: u32,
    pub(crate) interpolate: bool,
    pub(crate) out: &'a mut [i16],
}

impl Kernel for Lookup<'_> {
    type Output = ();
    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        let half = 1i32 << self.range_bits;
        assert_eq!(self.pairs.len(), (2 * half as usize) >> self.fraction_bits);
        let (lo, hi) = (isa.splat16(-half as i16), isa.splat16((half - 1) as i16));
        for_each_vector!(self.out.len(), lanes, {
            let x = isa.load16(&self.x[lanes.clone()]);
            let x = isa.widen(isa.min16(isa.max16(x, lo), hi));
            // SAFETY: both vectors are in `-half..half`.
            let y = unsafe { (self.entries(isa, x.0), self.entries(isa, x.1)) };
            isa.store16(isa.narrow(y.0, y.1), &mut self.out[lanes]);
        });
    }
}

impl Lookup<'_> {
    /// The table's values at `x`.
    ///
    /// # Safety
    /// All lanes are in `-2^range_bits..2^range_bits`, and the table has the
    /// entries for them (asserted in `call`).
    #[inline(always)]
    unsafe fn entries<I: Isa>(&self, isa: I, x: I::I32) -> I::I32 {
        let shift = self.fraction_bits;
        let index = isa.add32(x, isa.splat32(1 << self.range_bits));
        // SAFETY: `index < 2^(range_bits + 1)`, and shifted by `fraction_bits`
        // it is below the number of pairs.
        let pair = isa.halves(unsafe { isa.gather32(self.pairs, isa.sra32(index, shift)) });
        if !self.interpolate {
            let low_half = isa.halves(isa.splat32(1));
            return isa.dot16(isa.splat32(0), pair, low_half);
        }
        // (1 - f)·t[i] + f·t[i + 1], as a dot product of pairs.
        let fraction = isa.and32(index, isa.splat32((1 << shift) - 1));
        let rest = isa.sub32(isa.splat32(1 << shift), fraction);
        let weights = isa.halves(isa.add32(rest, isa.shl32(fraction, 16)));
        isa.sra32(
            isa.dot16(isa.splat32(rounding(shift)), pair, weights),
            shift,
        )
    }
}

/// `h += (z · ((g << guard) - h) + round) >> 15`, exactly, and `out =
/// sat16((h + round) >> guard)`.
pub(crate) struct Recur<'a> {
    /// Q15, negative values count as 0.
    pub(crate) update: &'a [i16],
    pub(crate) candidate: &'a [i16],
    /// In `-2^(15 + guard)..=2^(15 + guard)`.
    pub(crate) state: &'a mut [i32],
    pub(crate) guard: u32,
    pub(crate) out: &'a mut [i16],
}

impl Kernel for Recur<'_> {
    type Output = ();
    #[inline(always)]
    fn call<I: Isa>(self, isa: I) {
        for_each_vector!(self.out.len(), lanes, {
            let z = isa.max16(isa.load16(&self.update[lanes.clone()]), isa.splat16(0));
            let z = isa.widen(z);
            let g = isa.widen(isa.load16(&self.candidate[lanes.clone()]));
            let state = &mut self.state[lanes.clone()];
            let middle = state.len().min(LANES_I16 / 2);
            let (state_lo, state_hi) = state.split_at_mut(middle);
            let lo = step(isa, z.0, g.0, isa.load32(state_lo), self.guard);
            let hi = step(isa, z.1, g.1, isa.load32(state_hi), self.guard);
            isa.store32(lo, state_lo);
            isa.store32(hi, state_hi);
            let round = isa.splat32(rounding(self.guard));
            let lo = isa.sra32(isa.add32(lo, round), self.guard);
            let hi = isa.sra32(isa.add32(hi, round), self.guard);
            isa.store16(isa.narrow(lo, hi), &mut self.out[lanes]);
        });
    }
}

/// The new state. With `d` the distance to the candidate, `z · d` needs 45
/// bits; it is computed as `z · (d >> 15)`, whose low 15 bits the shift would
/// only move, and the shifted `z · (d mod 2^15)`.
#[inline(always)]
fn step<I: Isa>(isa: I, z: I::I32, g: I::I32, h: I::I32, guard: u32) -> I::I32 {
    let d = isa.sub32(isa.shl32(g, guard), h);
    let z = isa.halves(z);
    let low = isa.halves(isa.and32(d, isa.splat32(0x7fff)));
    let high = isa.halves(isa.sra32(d, 15));
    let low_part = isa.sra32(isa.dot16(isa.splat32(1 << 14), z, low), 15);
    isa.add32(h, isa.dot16(low_part, z, high))
}
