//! Depthwise convolution: every channel by itself.
//!
//! The inputs under one column of the window are interleaved in vertical
//! pairs, so that one multiply-add of pairs serves two taps. At stride 1 each
//! column is loaded once and added to all the outputs whose windows it is in.

use super::sink::Clip;
use crate::requant::Activation;
use crate::residual::Residual;
use crate::simd::{Isa, Kernel, LANES_I16};

/// Outputs whose inputs stay in the first-level cache while the channels pass
/// by.
const POSITIONS_PER_PASS: usize = 32;

/// A run of outputs of one row; windows have `TAPS` rows and columns, and
/// `PAIRS` is half of `TAPS`, rounded up.
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
        assert!(PAIRS == TAPS.div_ceil(2));
        let reach = ((positions - 1) * self.stride + TAPS) * self.channels;
        assert!(self.rows.iter().all(|row| row.len() >= reach));
        assert!(self.weights.len() >= TAPS * TAPS * self.channels);
        let mut first = 0;
        while first < positions {
            let end = positions.min(first + POSITIONS_PER_PASS);
            let mut channel = 0;
            while channel + LANES_I16 <= self.channels {
                self.run::<I, true>(isa, first, end, channel);
                channel += LANES_I16;
            }
            if channel < self.channels {
                self.run::<I, false>(isa, first, end, channel);
            }
            first = end;
        }
    }
}

/// Two vectors of pairs, or of sums, in split order.
type Split<V> = (V, V);

impl<const TAPS: usize, const PAIRS: usize> Depthwise<'_, TAPS, PAIRS> {
    /// Outputs `first..end` of 32 channels from `channel` on, or (`!FULL`) of
    /// the last few.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn run<I: Isa, const FULL: bool>(&mut self, isa: I, first: usize, end: usize, channel: usize) {
        let channels = self.channels;
        let width = if FULL { LANES_I16 } else { channels - channel };
        let clip = Clip::new(isa, self.activation);
        let start = isa.load32_split(&self.start[channel..channel + width]);
        let shift = isa.load32_split(&self.shift[channel..channel + width]);
        let zero = isa.splat16(0);
        let mut weights = [[(zero, zero); PAIRS]; TAPS];
        for column in 0..TAPS {
            let tap = |row: usize| {
                let at = (row * TAPS + column) * channels + channel;
                isa.load16(&self.weights[at..at + width])
            };
            for pair in 0..PAIRS {
                let below = 2 * pair + 1;
                let below = if below < TAPS { tap(below) } else { zero };
                weights[column][pair] = isa.interleave(tap(2 * pair), below);
            }
        }
        let finish = Finish {
            clip,
            shift,
            channel,
            width,
        };
        if self.stride != 1 {
            for position in first..end {
                let mut sums = start;
                for column in 0..TAPS {
                    // SAFETY: a column of an output's window; `call` has
                    // asserted that the rows reach it.
                    let x = unsafe {
                        self.column::<I, FULL>(isa, position * self.stride + column, channel)
                    };
                    sums = dot(isa, sums, &x, &weights[column]);
                }
                finish.store(isa, sums, position, channels, &self.residual, self.out);
            }
            return;
        }
        // `sums[t]` belongs to output `column - (TAPS - 1) + t`.
        let mut sums = [start; TAPS];
        for column in first..end + TAPS - 1 {
            // SAFETY: as above.
            let x = unsafe { self.column::<I, FULL>(isa, column, channel) };
            for t in 0..TAPS {
                sums[t] = dot(isa, sums[t], &x, &weights[TAPS - 1 - t]);
            }
            if column + 1 >= first + TAPS {
                let position = column + 1 - TAPS;
                finish.store(isa, sums[0], position, channels, &self.residual, self.out);
            }
            for t in 1..TAPS {
                sums[t - 1] = sums[t];
            }
            sums[TAPS - 1] = start;
        }
    }

    /// The inputs under a column, in vertical pairs.
    ///
    /// # Safety
    /// The rows have the column, and 32 channels (or, if `!FULL`, at least
    /// one) from `channel` on.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn column<I: Isa, const FULL: bool>(
        &self,
        isa: I,
        column: usize,
        channel: usize,
    ) -> [Split<I::I16>; PAIRS] {
        let at = column * self.channels + channel;
        let width = if FULL {
            LANES_I16
        } else {
            self.channels - channel
        };
        let zero = isa.splat16(0);
        let mut x = [(zero, zero); PAIRS];
        for pair in 0..PAIRS {
            // SAFETY: the caller's promise.
            let (above, below) = unsafe {
                let above = self.rows[2 * pair].get_unchecked(at..at + width);
                let below = match self.rows.get(2 * pair + 1) {
                    Some(row) => isa.load16(row.get_unchecked(at..at + width)),
                    None => zero,
                };
                (isa.load16(above), below)
            };
            x[pair] = isa.interleave(above, below);
        }
        x
    }
}

/// Adds the products of one column.
#[inline(always)]
fn dot<I: Isa, const PAIRS: usize>(
    isa: I,
    mut sums: Split<I::I32>,
    x: &[Split<I::I16>; PAIRS],
    weights: &[Split<I::I16>; PAIRS],
) -> Split<I::I32> {
    for (x, w) in x.iter().zip(weights) {
        sums.0 = isa.dot16(sums.0, x.0, w.0);
        sums.1 = isa.dot16(sums.1, x.1, w.1);
    }
    sums
}

/// What is done with the sums of a run.
struct Finish<I: Isa> {
    clip: Clip<I>,
    shift: Split<I::I32>,
    channel: usize,
    width: usize,
}

impl<I: Isa> Finish<I> {
    /// Requantises the sums of a position and stores them.
    #[inline(always)]
    fn store(
        &self,
        isa: I,
        sums: Split<I::I32>,
        position: usize,
        channels: usize,
        residual: &Residual<'_>,
        out: &mut [i16],
    ) {
        let sums = (
            isa.srav32(sums.0, self.shift.0),
            isa.srav32(sums.1, self.shift.1),
        );
        let mut y = self.clip.apply(isa, isa.narrow_split(sums));
        let at = position * channels + self.channel;
        let out = &mut out[at..at + self.width];
        match residual {
            Residual::None => {}
            Residual::Add(values) => {
                y = isa.add_sat16(y, isa.load16(&values[at..at + self.width]));
            }
            Residual::Accumulate => y = isa.add_sat16(y, isa.load16(out)),
        }
        isa.store16(y, out);
    }
}
