//! Linear prediction with coefficients that are sent: the fast way to code a
//! block.
//!
//! ```text
//! per channel: sections of 8192 frames, each split into 1, 2, 4, 8 or 16 parts
//!   per section  the logarithm of the number of parts    3 bits
//!   per part     number of a shape (own and reference taps) 3 bits
//!                fraction bits of the coefficients       4 bits, if there are any
//!                coefficients, own from the newest sample backwards, then those
//!                of the reference from the oldest on      frozen tables
//!                residuals                               frozen tables
//! ```
//!
//! A prediction is the rounded sum of products of coefficients with the last
//! samples of the channel and with samples of its reference channel around the
//! present one, limited to the range of the channel. All of it goes through
//! one ANS coder.

mod analysis;
mod coder;
mod tables;

use super::channel::Places;
use super::predictor::Plane;
use analysis::{Analysis, Signals};
use coder::{Coefficients, Residuals};
use rcodec_core::{Error, Result};
use rcodec_entropy::BitCoder;
use rcodec_fixed::Work;
pub(crate) use tables::{CONTEXTS, KNOTS, KNOTS_Q4};

/// The most taps on the channel itself.
pub(crate) const MAX_OWN: usize = 32;
/// Taps on the reference channel, half of them before the present sample.
const REFERENCE_TAPS: usize = 8;
pub(crate) const MAX_TAPS: usize = MAX_OWN + REFERENCE_TAPS;

/// Frames of a section.
const SECTION: usize = 8192;
/// Sections are split into at most two to the power of this many parts.
const MAX_SPLIT: u32 = 4;
/// Coefficients have magnitudes below this, so that no sum overflows.
const MAX_COEFFICIENT: i64 = 1 << 20;

/// Numbers of own taps, and whether there are taps on the reference, if the
/// channel has one.
const SHAPES: [(usize, bool); 8] = [
    (0, false),
    (2, false),
    (4, false),
    (4, true),
    (8, true),
    (16, true),
    (24, true),
    (32, true),
];

/// The predictor of a part.
#[derive(Clone, Debug, Default)]
struct Predictor {
    shape: usize,
    /// Fraction bits of the coefficients.
    shift: u32,
    /// Own taps from the newest sample backwards, then reference taps from the
    /// oldest sample on.
    taps: Vec<i64>,
}

/// Everything that the pass over a channel needs.
pub(crate) struct LinearPass<'a, C, L> {
    pub(crate) coder: &'a mut C,
    pub(crate) places: Places<'a>,
    /// The levels of the channel; a decoder fills them in.
    pub(crate) own: &'a mut Plane,
    pub(crate) reference: Option<&'a Plane>,
    pub(crate) frames: usize,
    /// Who is told of the residuals.
    pub(crate) listener: L,
}

/// Hears of the residuals that are coded.
pub(crate) trait Listener {
    /// A residual, the magnitude that was expected (Q16), and the context.
    fn residual(&mut self, residual: i64, mean_q16: u64, context: usize);
}

/// Nobody.
impl Listener for () {
    #[inline(always)]
    fn residual(&mut self, _: i64, _: u64, _: usize) {}
}

impl Listener for &mut super::learning::Notes {
    fn residual(&mut self, residual: i64, mean_q16: u64, context: usize) {
        super::learning::Notes::residual(self, residual, mean_q16, context);
    }
}

impl<C: BitCoder, L: Listener> Work for LinearPass<'_, C, L> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(mut self) -> Result<()> {
        let mut residuals = Residuals::new();
        let mut coefficients = Coefficients::new();
        let signals = (!C::DECODES).then(|| Signals::new(self.own, self.reference));
        for start in (0..self.frames).step_by(SECTION) {
            let frames = SECTION.min(self.frames - start);
            let analyse = |signals| Analysis::new(signals, start, frames).predictors();
            let predictors = signals.as_ref().map(analyse).unwrap_or_default();
            let split = self.coder.code_raw(predictors.len().max(1).ilog2(), 3)?;
            if split > MAX_SPLIT {
                return Err(Error::malformed(
                    self.coder.position(),
                    "split of a section",
                ));
            }
            let part = SECTION >> split;
            let mut at = 0;
            for index in 0..1 << split {
                let known = predictors.get(index);
                let predictor = self.code_predictor(&mut coefficients, known)?;
                let end = frames.min(at + part);
                self.code_part(&predictor, &mut residuals, start + at..start + end)?;
                at = end;
            }
        }
        Ok(())
    }
}

impl<'a, C: BitCoder, L: Listener> LinearPass<'a, C, L> {
    /// The pass with a listener.
    pub(crate) fn with<M>(self, listener: M) -> LinearPass<'a, C, M> {
        LinearPass {
            coder: self.coder,
            places: self.places,
            own: self.own,
            reference: self.reference,
            frames: self.frames,
            listener,
        }
    }

    fn code_predictor(
        &mut self,
        coefficients: &mut Coefficients,
        known: Option<&Predictor>,
    ) -> Result<Predictor> {
        let coder = &mut *self.coder;
        let shape = coder.code_raw(known.map_or(0, |p| p.shape as u32), 3)? as usize;
        let (own, with_reference) = SHAPES[shape];
        let mut predictor = Predictor {
            shape,
            ..Predictor::default()
        };
        if own == 0 {
            return Ok(predictor);
        }
        predictor.shift = coder.code_raw(known.map_or(0, |p| p.shift), 4)?;
        let reference = if with_reference && self.reference.is_some() {
            REFERENCE_TAPS
        } else {
            0
        };
        for i in 0..own + reference {
            let tap = if i < own { i } else { MAX_OWN + i - own };
            let value = known.map_or(0, |p| p.taps[i]);
            let value = coefficients.code(coder, tap, value, predictor.shift)?;
            if value.abs() >= MAX_COEFFICIENT {
                return Err(Error::malformed(
                    coder.position(),
                    "coefficient out of range",
                ));
            }
            predictor.taps.push(value);
        }
        Ok(predictor)
    }

    #[inline(always)]
    fn code_part(
        &mut self,
        predictor: &Predictor,
        residuals: &mut Residuals,
        frames: std::ops::Range<usize>,
    ) -> Result<()> {
        let (own_taps, _) = SHAPES[predictor.shape];
        let (own, reference) = predictor.taps.split_at(own_taps);
        let mut own_window = [0i32; MAX_OWN];
        for (i, &tap) in own.iter().enumerate() {
            own_window[MAX_OWN - 1 - i] = tap as i32;
        }
        let mut reference_window = [0i32; REFERENCE_TAPS];
        for (to, &tap) in reference_window.iter_mut().zip(reference) {
            *to = tap as i32;
        }
        match (own_taps.next_multiple_of(8), reference.is_empty()) {
            (0, _) => self.code_samples::<0, 0>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (8, true) => self.code_samples::<8, 0>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (16, true) => self.code_samples::<16, 0>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (24, true) => self.code_samples::<24, 0>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (_, true) => self.code_samples::<32, 0>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (8, false) => self.code_samples::<8, 8>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (16, false) => self.code_samples::<16, 8>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (24, false) => self.code_samples::<24, 8>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
            (_, false) => self.code_samples::<32, 8>(
                predictor,
                &own_window,
                &reference_window,
                residuals,
                frames,
            ),
        }
    }

    #[inline(always)]
    fn code_samples<const OWN: usize, const REFERENCE: usize>(
        &mut self,
        predictor: &Predictor,
        own_window: &[i32; MAX_OWN],
        reference_window: &[i32; REFERENCE_TAPS],
        residuals: &mut Residuals,
        frames: std::ops::Range<usize>,
    ) -> Result<()> {
        let own_window = &own_window[MAX_OWN - OWN..];
        let reference_window = &reference_window[..REFERENCE];
        let shift = predictor.shift;
        let rounding = (1i64 << shift) >> 1;
        for frame in frames {
            let past = self.own.window(frame as isize - OWN as isize, OWN);
            let mut sum = rounding;
            for (&x, &tap) in past.iter().zip(own_window) {
                sum += i64::from(x) * i64::from(tap);
            }
            if let Some(plane) = self.reference {
                let around = frame as isize - (REFERENCE / 2) as isize;
                let around = plane.window(around, REFERENCE);
                for (&x, &tap) in around.iter().zip(reference_window) {
                    sum += i64::from(x) * i64::from(tap);
                }
            }
            let place = self.places.nearest_whole(sum >> shift);
            let residual = self.places.index_of(self.own.get(frame)) - place;
            let (mean_q16, context) = residuals.expected();
            let residual = residuals.code(self.coder, residual)?;
            self.listener.residual(residual, mean_q16, context);
            let Some(level) = self.places.level(place.wrapping_add(residual)) else {
                return Err(Error::malformed(
                    self.coder.position(),
                    "sample out of range",
                ));
            };
            self.own.set(frame, level);
        }
        Ok(())
    }
}
