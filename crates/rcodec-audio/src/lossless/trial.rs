//! Which of several presets suits a block: each predicts three excerpts.
//!
//! The residuals are not coded; their cost is estimated from their mean
//! magnitudes. Half of what the best choice would gain remains, for a sixth
//! of the time that coding the block takes.

use super::predictor::{Plane, Predictor};
use super::preset::Preset;
use super::structure::{ChannelPlan, CodedPlan};
use rcodec_fixed::{Engine, Work};
use std::ops::Range;

/// Excerpts, from the middles of as many parts of the block.
const EXCERPTS: usize = 3;
/// The share of a block that an excerpt is, and how many frames at least.
const SHARE: usize = 60;
const MIN_FRAMES: usize = 1 << 13;
/// Of an excerpt, the share in which predictors only learn.
const UNCOUNTED_SHARE: usize = 8;
/// Frames over which a mean magnitude is taken.
const SPAN: usize = 32;
/// What is added to it: small residuals are rounded away.
const FLOOR: f64 = 1.0;

/// The number of the preset whose predictions of the excerpts cost least; the
/// first one for blocks that are too short for that.
pub(crate) fn choose(numbers: &[u8], planes: &[Plane], plans: &[ChannelPlan]) -> Option<u8> {
    let frames = planes.first().map_or(0, |plane| plane.samples().len());
    if frames < 4 * MIN_FRAMES {
        return numbers.first().copied();
    }
    let count = (frames / SHARE).max(MIN_FRAMES);
    let middles = (0..EXCERPTS).map(|part| frames * (2 * part + 1) / (2 * EXCERPTS));
    let firsts: Vec<usize> = middles.map(|middle| middle - count / 2).collect();
    let cost = |&number: &u8| {
        let preset = Preset::by_number(number)?;
        let mut bits = 0.0;
        for (plan, own) in plans.iter().zip(planes) {
            let ChannelPlan::Coded(plan) = plan else {
                continue;
            };
            let reference = plan.reference.map(|other| &planes[other]);
            for &first in &firsts {
                bits += Engine::new().run_wide(Trial {
                    predictor: Predictor::new(&preset, reference.is_some(), plan.history_shift),
                    own,
                    reference,
                    plan,
                    frames: first..first + count,
                });
            }
        }
        Some((bits, number))
    };
    let costs = numbers.iter().filter_map(cost);
    let best = costs.min_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, number)| number)
}

/// The prediction of an excerpt of a channel.
struct Trial<'a> {
    predictor: Predictor,
    own: &'a Plane,
    reference: Option<&'a Plane>,
    plan: &'a CodedPlan,
    frames: Range<usize>,
}

impl Work for Trial<'_> {
    /// About the bits that the residuals cost, but for a constant for each.
    type Output = f64;

    #[inline(always)]
    fn run(mut self) -> f64 {
        let (min_q8, max_q8) = (i64::from(self.plan.min) << 8, i64::from(self.plan.max) << 8);
        let counted_from = self.frames.start + self.frames.len() / UNCOUNTED_SHARE;
        let (mut bits, mut sum_q8, mut summed) = (0.0, 0, 0);
        for frame in self.frames {
            let prediction = self.predictor.predict(self.own, self.reference, frame);
            let sample = self.own.get(frame);
            let predicted_q8 = prediction.value_q8.clamp(min_q8, max_q8);
            self.predictor.update(sample);
            if frame < counted_from {
                continue;
            }
            sum_q8 += predicted_q8.abs_diff(i64::from(sample) << 8);
            summed += 1;
            if summed == SPAN {
                let mean = sum_q8 as f64 / (256 * SPAN) as f64;
                bits += SPAN as f64 * (mean + FLOOR).log2();
                (sum_q8, summed) = (0, 0);
            }
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise through a resonance that stays, or moves every few thousand
    /// frames.
    fn resonance(moves: bool) -> Plane {
        let mut plane = Plane::new(40_000);
        let mut seed = 3u32;
        let (mut a, mut b) = (0.0, 0.0);
        for frame in 0..plane.samples().len() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(seed >> 16) / 256.0 - 128.0;
            let angle = match (moves, frame / 1_000 % 2) {
                (true, 1) => 1.1,
                _ => 0.3,
            };
            let next = 1.98 * f64::cos(angle) * a - 0.98 * b + noise;
            (b, a) = (a, next);
            plane.set(frame, next as i32);
        }
        plane
    }

    fn chosen(plane: Plane) -> Option<u8> {
        let mut levels = plane.samples().to_vec();
        let plan = CodedPlan::analyse(&mut levels);
        assert_eq!(plan.step, 1);
        choose(&[3, 8, 10], &[plane], &[ChannelPlan::Coded(plan)])
    }

    #[test]
    fn memory_suits_the_sound() {
        assert_eq!(chosen(resonance(false)), Some(8));
        assert_eq!(chosen(resonance(true)), Some(10));
    }

    #[test]
    fn short_blocks_are_not_tried() {
        let plan = CodedPlan::analyse(&mut [1, 5, 2]);
        let plans = [ChannelPlan::Coded(plan)];
        assert_eq!(choose(&[8, 3], &[Plane::new(3)], &plans), Some(8));
        assert_eq!(choose(&[], &[], &[]), None);
    }
}
