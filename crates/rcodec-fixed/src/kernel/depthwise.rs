//! Depthwise convolution: every channel by itself.
//!
//! Taps are taken in pairs: two input vectors are interleaved, and one
//! multiply-add of pairs serves both.

use super::sink::Clip;
use crate::requant::Activation;
use crate::residual::Residual;
use crate::simd::{Isa, Kernel, LANES_I16};

/// Outputs whose inputs stay in the first-level cache while the channels pass
/// by.
const POSITIONS_PER_PASS: usize = 32;

/// A run of outputs of one row; `TAPS` rows of `TAPS` taps, `PAIRS` being half
/// of the taps, rounded up.
pub(crate) struct Depthwise<'a, const TAPS: usize, const PAIRS: usize> {
    /// The input rows of the window, each beginning at the first output's
    /// leftmost tap.
    pub(crate) rows: [&'a [i16]; TAPS],
    pub(crate) stride: usize,
    pub(crate) channels: usize,
    /// `[tap row][tap column][channel]`.
    pub(crate) weights: &'a [i16],
    /// What the sums of each channel start at.
    pub(crate) start: &'a [i32],
    /// Right shift of each channel.
    pub(crate) shift: &'a [i32],
    pub(crate) activation: Activation,
    pub(crate) residual: Residual<'a>,
    /// `[position][channel]`.
    pub(crate) out: &'a mut [i16],
}

impl<const TAPS: usize, const PAIRS: usize> Kernel for Depthwise<'_, TAPS, PAIRS> {
    type Output = ();

    #[inline(always)]
    fn call<I: Isa>(mut self, isa: I) {
        let positions = self.out.len() / self.channels;
        if positions == 0 {
            return;
        }
        assert!(TAPS * TAPS <= 2 * PAIRS);
        let reach = ((positions - 1) * self.stride + TAPS) * self.channels;
        assert!(self.rows.iter().all(|row| row.len() >= reach));
        assert!(self.weights.len() >= TAPS * TAPS * self.channels);
        let mut first = 0;
        while first < positions {
            let end = positions.min(first + POSITIONS_PER_PASS);
            let mut channel = 0;
            while channel < self.channels {
                self.run(isa, first, end, channel);
                channel += LANES_I16;
            }
            first = end;
        }
    }
}

impl<const TAPS: usize, const PAIRS: usize> Depthwise<'_, TAPS, PAIRS> {
    /// Outputs `first..end`, up to 32 channels from `channel`.
    #[inline(always)]
    fn run<I: Isa>(&mut self, isa: I, first: usize, end: usize, channel: usize) {
        let channels = self.channels;
        let width = LANES_I16.min(channels - channel);
        let zero = isa.splat16(0);
        let clip = Clip::new(isa, self.activation);
        let start = isa.load32_split(&self.start[channel..channel + width]);
        let shift = isa.load32_split(&self.shift[channel..channel + width]);
        let mut weights = [(zero, zero); PAIRS];
        for (pair, weights) in weights.iter_mut().enumerate() {
            let tap = |tap: usize| &self.weights[tap * channels + channel..][..width];
            let a = isa.load16(tap(2 * pair));
            let b = if 2 * pair + 1 < TAPS * TAPS {
                isa.load16(tap(2 * pair + 1))
            } else {
                zero
            };
            *weights = isa.interleave(a, b);
        }
        for position in first..end {
            let (mut lo, mut hi) = start;
            for (pair, weights) in weights.iter().enumerate() {
                // SAFETY: `position < positions` and the tap is one of
                // `TAPS * TAPS`: `call` has asserted that the rows reach the
                // last tap of the last position.
                let (a, b) = unsafe {
                    let a = self.tap(position, 2 * pair, channel, width);
                    let b = if 2 * pair + 1 < TAPS * TAPS {
                        isa.load16(self.tap(position, 2 * pair + 1, channel, width))
                    } else {
                        zero
                    };
                    (isa.load16(a), b)
                };
                let x = isa.interleave(a, b);
                lo = isa.dot16(lo, x.0, weights.0);
                hi = isa.dot16(hi, x.1, weights.1);
            }
            let sums = (isa.srav32(lo, shift.0), isa.srav32(hi, shift.1));
            let mut y = clip.apply(isa, isa.narrow_split(sums));
            let at = position * channels + channel;
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

    /// `width` channels under a tap.
    ///
    /// # Safety
    /// `position` is one of the outputs, `tap < TAPS * TAPS` and `channel +
    /// width <= channels`; `call` has asserted the rows' reach.
    #[inline(always)]
    unsafe fn tap(&self, position: usize, tap: usize, channel: usize, width: usize) -> &[i16] {
        let column = position * self.stride + tap % TAPS;
        let at = column * self.channels + channel;
        // SAFETY: `at + width <= ((positions - 1) * stride + TAPS) * channels`.
        unsafe { self.rows[tap / TAPS].get_unchecked(at..at + width) }
    }
}
