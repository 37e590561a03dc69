//! A sample as a sequence of yes-or-no decisions: is it the centre, which side
//! is it on, how far is it, and where in that step.

use super::experts::Distribution;
use super::node::{NodeModels, Selection};
use super::seen::{ValueSet, contains};
use crate::lossless::logistic::{
    ln_q8, mass_above_q30, mass_below_q30, mass_between_q30, signed_tail_q30,
};
use rcodec_core::Result;
use rcodec_entropy::BitCoder;

pub(crate) const NODE_CENTRE: usize = 0;
pub(crate) const NODE_SIDE: usize = 1;
const NODE_STEP: usize = 2;
/// Steps with models of their own on each side.
pub(crate) const STEPS: usize = 14;
const NODE_HALF: usize = NODE_STEP + 2 * STEPS;

/// Signed tails of every expert at one point.
pub(crate) type Tails<const E: usize> = [i32; E];

/// The decisions for one sample.
pub(crate) struct Tree<'a, const E: usize> {
    dist: &'a Distribution<E>,
    max: i32,
    /// Width of the first steps: 2 to this.
    width_log2: u32,
    selection: &'a Selection,
    /// Values that it is known not to be.
    excluded: Option<ValueSet>,
}

impl<'a, const E: usize> Tree<'a, E> {
    /// The tree for samples of `0..=max`.
    pub(crate) fn new(dist: &'a Distribution<E>, selection: &'a Selection, max: i32) -> Self {
        // The mean error is 2^(step / 4) in Q6: steps of a third of it or so.
        let octave = (dist.scale_step / 4) as u32;
        Tree {
            dist,
            max,
            width_log2: octave.saturating_sub(7),
            selection,
            excluded: None,
        }
    }

    /// The same, when it is known which values do not come.
    pub(crate) fn excluding(self, set: ValueSet) -> Self {
        Tree {
            excluded: Some(set),
            ..self
        }
    }

    #[inline(always)]
    fn is_excluded(&self, value: i32) -> bool {
        self.excluded.is_some_and(|set| contains(&set, value))
    }

    /// The value at a distance.
    #[inline(always)]
    fn at<const ABOVE: bool>(&self, distance: i32) -> i32 {
        if ABOVE {
            self.dist.centre + distance
        } else {
            self.dist.centre - distance
        }
    }

    /// Codes `value`, or decodes it.
    #[inline]
    pub(crate) fn code<C: BitCoder, const N: usize, const M: usize>(
        &self,
        coder: &mut C,
        models: &mut NodeModels<E, N, M>,
        value: i32,
    ) -> Result<i32> {
        let centre = self.dist.centre;
        let low = self.tails(centre);
        let high = self.tails(centre + 1);
        let odds = each(|e| {
            let mass = mass_between_q30(low[e], high[e]);
            ln_q8(mass) - ln_q8((1 << 30) - mass.min((1 << 30) - 1))
        });
        let known = self.is_excluded(centre);
        if !known && models.code(coder, self.selection, value == centre, NODE_CENTRE, &odds)? {
            return Ok(centre);
        }
        let above = if centre == 0 {
            true
        } else if centre == self.max {
            false
        } else {
            let odds = each(|e| ln_q8(mass_above_q30(high[e])) - ln_q8(mass_below_q30(low[e])));
            models.code(coder, self.selection, value > centre, NODE_SIDE, &odds)?
        };
        if above {
            let distance = self.distance::<C, N, M, true>(coder, models, high, value - centre)?;
            Ok(centre + distance)
        } else {
            let distance = self.distance::<C, N, M, false>(coder, models, low, centre - value)?;
            Ok(centre - distance)
        }
    }

    /// Tails at the boundary below integer `point`.
    #[inline(always)]
    pub(crate) fn tails(&self, point: i32) -> Tails<E> {
        let boundary_q6 = (i64::from(point) << 6) - 32;
        each(|e| {
            let distance = boundary_q6 - i64::from(self.dist.mu_q6[e]);
            signed_tail_q30((distance * self.dist.inverse_scale[e]) >> 24)
        })
    }

    /// Tails at the boundary `distance` steps away from the centre's far side.
    #[inline(always)]
    fn tails_at<const ABOVE: bool>(&self, distance: i32) -> Tails<E> {
        if ABOVE {
            self.tails(self.dist.centre + distance)
        } else {
            self.tails(self.dist.centre + 1 - distance)
        }
    }

    /// Codes a distance of at least 1 on one side. `near` are the tails at
    /// distance 1.
    fn distance<C: BitCoder, const N: usize, const M: usize, const ABOVE: bool>(
        &self,
        coder: &mut C,
        models: &mut NodeModels<E, N, M>,
        mut near: Tails<E>,
        distance: i32,
    ) -> Result<i32> {
        let most = if ABOVE {
            self.max - self.dist.centre
        } else {
            self.dist.centre
        };
        let mut from = 1;
        let mut step = 0;
        loop {
            let doublings = if step < 8 { 0 } else { (step as u32 - 6) / 2 };
            let width = 1i32 << (self.width_log2 + doublings).min(16);
            let to = from + width;
            if to > most {
                return self.within::<C, N, M, ABOVE>(coder, models, from, most + 1, distance);
            }
            let far = self.tails_at::<ABOVE>(to);
            let odds = each(|e| {
                if ABOVE {
                    ln_q8(mass_above_q30(far[e])) - ln_q8(mass_between_q30(near[e], far[e]))
                } else {
                    ln_q8(mass_below_q30(far[e])) - ln_q8(mass_between_q30(far[e], near[e]))
                }
            });
            let node = step_node::<ABOVE>(step.min(STEPS - 1));
            let known = width == 1 && self.is_excluded(self.at::<ABOVE>(from));
            if !known && !models.code(coder, self.selection, distance >= to, node, &odds)? {
                return self.within::<C, N, M, ABOVE>(coder, models, from, to, distance);
            }
            near = far;
            from = to;
            step += 1;
        }
    }

    /// Codes which of `from..to` the distance is.
    fn within<C: BitCoder, const N: usize, const M: usize, const ABOVE: bool>(
        &self,
        coder: &mut C,
        models: &mut NodeModels<E, N, M>,
        mut from: i32,
        mut to: i32,
        distance: i32,
    ) -> Result<i32> {
        while to - from > 1 {
            let middle = from + (to - from + 1) / 2;
            let near = self.tails_at::<ABOVE>(from);
            let split = self.tails_at::<ABOVE>(middle);
            let far = self.tails_at::<ABOVE>(to);
            let odds = each(|e| {
                if ABOVE {
                    ln_q8(mass_between_q30(split[e], far[e]))
                        - ln_q8(mass_between_q30(near[e], split[e]))
                } else {
                    ln_q8(mass_between_q30(far[e], split[e]))
                        - ln_q8(mass_between_q30(split[e], near[e]))
                }
            });
            let node = NODE_HALF + usize::from(to - from > 2);
            if models.code(coder, self.selection, distance >= middle, node, &odds)? {
                from = middle;
            } else {
                to = middle;
            }
        }
        Ok(from)
    }
}

#[inline(always)]
pub(crate) fn each<const E: usize>(f: impl Fn(usize) -> i32) -> [i32; E] {
    std::array::from_fn(f)
}

/// The node of a step, for distances above or below the centre.
#[inline(always)]
pub(crate) fn step_node<const ABOVE: bool>(step: usize) -> usize {
    NODE_STEP + if ABOVE { step } else { STEPS + step }
}
