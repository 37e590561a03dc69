//! The pass over the samples of one channel, in either direction.

use super::decision_mixer::DecisionMixer;
use super::learning::Notes;
use super::predictor::{Plane, Predictor};
use super::reference::Magnitudes;
use super::residual::{ResidualCoder, ResidualContext};
use super::structure::LevelSet;
use rcodec_core::{Error, Result};
use rcodec_entropy::BitCoder;
use rcodec_fixed::Work;

/// Everything that a pass needs but the mixer.
pub(crate) struct ChannelPass<'a, C> {
    pub(crate) coder: &'a mut C,
    pub(crate) places: Places<'a>,
    pub(crate) predictor: Predictor,
    /// The levels of the channel; a decoder fills them in.
    pub(crate) own: &'a mut Plane,
    pub(crate) reference: Option<&'a Plane>,
    pub(crate) reference_magnitudes: Option<&'a Magnitudes>,
    /// Where to note the magnitudes of the residuals.
    pub(crate) magnitudes: Option<&'a mut Magnitudes>,
    pub(crate) frames: usize,
    /// Where to note what was learned.
    pub(crate) notes: Option<&'a mut Notes>,
}

impl<'a, C: BitCoder> ChannelPass<'a, C> {
    /// The pass with a mixer of the residual coder.
    pub(crate) fn with<M: DecisionMixer>(self, mixer: M) -> MixedPass<'a, C, M> {
        MixedPass {
            pass: self,
            residuals: ResidualCoder::new(mixer),
        }
    }
}

/// A [`ChannelPass`] with its residual coder.
pub(crate) struct MixedPass<'a, C, M> {
    pass: ChannelPass<'a, C>,
    residuals: ResidualCoder<M>,
}

impl<C: BitCoder, M: DecisionMixer> Work for MixedPass<'_, C, M> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(mut self) -> Result<()> {
        let ChannelPass {
            coder,
            places,
            mut predictor,
            own,
            reference,
            mut magnitudes,
            ..
        } = self.pass;
        for frame in 0..self.pass.frames {
            let prediction = predictor.predict(own, reference, frame);
            let place = places.nearest(prediction.value_q8);
            let context = ResidualContext {
                reference_excess: self
                    .pass
                    .reference_magnitudes
                    .map_or(0, |m| m.excess(frame)),
                offsets_q8: prediction
                    .estimates_q8
                    .map(|estimate| place.offset_q8(estimate)),
                can_fall: place.index > 0,
                can_rise: place.index < places.last(),
            };
            // A decoder does not know the level yet; what this computes from
            // the zero in its place is not looked at.
            let residual = places.index_of(own.get(frame)) - place.index;
            let residual = self.residuals.code(coder, residual, &context)?;
            let Some(level) = places.level(place.index + residual) else {
                return Err(Error::malformed(coder.position(), "sample out of range"));
            };
            own.set(frame, level);
            predictor.update(level);
            if let Some(magnitudes) = &mut magnitudes {
                magnitudes.push(residual.unsigned_abs());
            }
        }
        if let Some(notes) = self.pass.notes {
            notes.weights(self.residuals.learned());
        }
        Ok(())
    }
}

/// The levels that can occur, numbered from the lowest.
pub(crate) struct Places<'a> {
    min: i32,
    max: i32,
    set: Option<&'a LevelSet>,
}

/// A level near a prediction.
struct Place {
    index: i64,
    level_q8: i64,
    /// Distance of levels around it.
    distance: i64,
}

impl Place {
    /// By how much a prediction lies above this place, in places, Q8.
    #[inline(always)]
    fn offset_q8(&self, prediction_q8: i64) -> i32 {
        let mut offset = prediction_q8 - self.level_q8;
        if self.distance != 1 {
            offset /= self.distance;
        }
        offset.clamp(-(1 << 30), 1 << 30) as i32
    }
}

impl<'a> Places<'a> {
    pub(crate) fn new(min: i32, max: i32, set: Option<&'a LevelSet>) -> Self {
        Places { min, max, set }
    }

    /// Number of the highest level.
    #[inline(always)]
    fn last(&self) -> i64 {
        match self.set {
            Some(set) => set.len() as i64 - 1,
            None => i64::from(self.max) - i64::from(self.min),
        }
    }

    /// The level nearest to a prediction.
    #[inline(always)]
    fn nearest(&self, prediction_q8: i64) -> Place {
        let (min, max) = (i64::from(self.min), i64::from(self.max));
        let level = ((prediction_q8 + 128) >> 8).clamp(min, max);
        let Some(set) = self.set else {
            return Place {
                index: level - min,
                level_q8: level << 8,
                distance: 1,
            };
        };
        let above = set.rank(level as i32);
        let above_q8 = i64::from(set.level(above)) << 8;
        if above == 0 {
            return Place {
                index: 0,
                level_q8: above_q8,
                distance: 1,
            };
        }
        let below_q8 = i64::from(set.level(above - 1)) << 8;
        let distance = (above_q8 - below_q8) >> 8;
        if prediction_q8 - below_q8 < above_q8 - prediction_q8 {
            Place {
                index: above as i64 - 1,
                level_q8: below_q8,
                distance,
            }
        } else {
            Place {
                index: above as i64,
                level_q8: above_q8,
                distance,
            }
        }
    }

    /// The number of the level nearest to a prediction in whole samples.
    #[inline(always)]
    pub(crate) fn nearest_whole(&self, prediction: i64) -> i64 {
        let (min, max) = (i64::from(self.min), i64::from(self.max));
        let level = prediction.clamp(min, max);
        match self.set {
            None => level - min,
            Some(_) => self.nearest(level << 8).index,
        }
    }

    /// The number of a level that can occur; of others (a decoder does not
    /// know the level yet), any.
    #[inline(always)]
    pub(crate) fn index_of(&self, level: i32) -> i64 {
        match self.set {
            Some(set) => set.rank(level.clamp(self.min, self.max)) as i64,
            None => i64::from(level) - i64::from(self.min),
        }
    }

    /// The level of a number, if there is one.
    #[inline(always)]
    pub(crate) fn level(&self, index: i64) -> Option<i32> {
        if index < 0 || index > self.last() {
            return None;
        }
        Some(match self.set {
            Some(set) => set.level(index as usize),
            None => (i64::from(self.min) + index) as i32,
        })
    }
}
