//! Secondary estimation.

use super::squash;
use crate::adaptive::counted_update;

/// Interpolation points, evenly spaced over the logistic domain.
const POINTS: usize = 33;
/// Distance of two points, Q8: 32 of them make 5632.
const STEP_Q8: u32 = 176;

/// An adaptive probability map (PAQ's APM, also called SSE): what a prediction
/// was really worth, in each context.
///
/// For each context it keeps the observed probability at 33 points of the
/// logistic domain and interpolates; the two points around a prediction learn
/// from the bit. Put it behind a mixer, and average its answer with the
/// mixer's, since it starts out knowing nothing about its contexts.
#[derive(Debug, Clone)]
pub struct Apm {
    /// Probability in the upper 22 bits, count in the lower 10.
    points: Vec<[u32; POINTS]>,
    context: usize,
    low_point: usize,
    limit: u32,
}

impl Apm {
    /// A map of `contexts` (at least 1) that begins as the identity. A point
    /// moves by 1/n of the error at its n-th bit, until n has reached `limit`
    /// (1..=1023).
    pub fn new(contexts: usize, limit: u32) -> Self {
        let mut row = [0; POINTS];
        for (j, point) in row.iter_mut().enumerate() {
            let x_q8 = (j as i32 - 16) * STEP_Q8 as i32;
            // The identity counts as a few observations.
            *point = squash(x_q8) << 16 | 6.min(limit);
        }
        Apm {
            points: vec![row; contexts.max(1)],
            context: 0,
            low_point: 0,
            limit: limit.clamp(1, 1023),
        }
    }

    /// The refined probability, in 1..=65535 of 65536, of a prediction in the
    /// logistic domain, Q8, in a context (beyond the last: the last).
    #[inline(always)]
    pub fn refine(&mut self, x_q8: i32, context: usize) -> u32 {
        let position = (x_q8 + 2816).clamp(0, 5631) as u32;
        let low_point = (position / STEP_Q8) as usize;
        let weight = position % STEP_Q8;
        self.context = context.min(self.points.len() - 1);
        self.low_point = low_point;
        let row = &self.points[self.context];
        let (low, high) = (row[low_point] >> 10, row[low_point + 1] >> 10);
        // 22 bits times 176 stay below 2^30.
        let p_q22 = (low * (STEP_Q8 - weight) + high * weight) / STEP_Q8;
        (p_q22 >> 6).max(1)
    }

    /// Learns the bit that came after the last [`refine`](Self::refine).
    #[inline(always)]
    pub fn update(&mut self, bit: bool) {
        let row = &mut self.points[self.context];
        for point in &mut row[self.low_point..self.low_point + 2] {
            *point = counted_update(*point, bit, self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::{STRETCH_MAX_Q8, stretch};

    #[test]
    fn a_new_map_changes_little() {
        let mut apm = Apm::new(2, 255);
        for x_q8 in -STRETCH_MAX_Q8..=STRETCH_MAX_Q8 {
            // A chord of the logistic function between two points.
            let refined = apm.refine(x_q8, 1);
            assert!(refined.abs_diff(squash(x_q8)) < 400, "{x_q8}: {refined}");
        }
        assert!((1..=65535).contains(&apm.refine(i32::MIN / 2, 0)));
        assert!((1..=65535).contains(&apm.refine(i32::MAX / 2, 9)));
    }

    #[test]
    fn a_map_learns_what_predictions_are_worth() {
        let mut apm = Apm::new(2, 255);
        // Said to be 60%, true 9 times of 10 in context 1, never in context 0.
        let x_q8 = stretch(39_322);
        for i in 0..2000 {
            apm.refine(x_q8, 1);
            apm.update(i % 10 != 0);
            apm.refine(x_q8, 0);
            apm.update(false);
        }
        assert!(apm.refine(x_q8, 1).abs_diff(58_982) < 1500);
        assert!(apm.refine(x_q8, 0) < 100);
        // Other predictions keep what they were.
        assert_eq!(apm.refine(-2000, 1), Apm::new(1, 255).refine(-2000, 0));
    }
}
