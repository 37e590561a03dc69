//! A sample as a sequence of yes-or-no decisions: is it the centre, which side
//! is it on, how far is it, and where in that step.

use super::experts::Distribution;
use super::node::{NodeModels, Question, Selection};
use super::seen::{ValueSet, contains};
use crate::lossless::logistic::{ln_q8, mass_above_q30, mass_between_q30, signed_tail_q30};
use rcodec_core::Result;
use rcodec_entropy::BitCoder;

pub(crate) const NODE_CENTRE: usize = 0;
pub(crate) const NODE_SIDE: usize = 1;
const NODE_STEP: usize = 2;
/// Steps with models of their own on each side.
pub(crate) const STEPS: usize = 14;
const NODE_HALF: usize = NODE_STEP + 2 * STEPS;

/// Beyond all distances.
pub(crate) const FAR: i32 = 1 << 20;

/// Signed tails of every expert at one point.
pub(crate) type Tails<const E: usize> = [i32; E];

/// What is to be decided next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Centre,
    Side,
    Step,
    Within,
}

/// The decisions for one sample.
pub(crate) struct Tree<'a, const E: usize> {
    dist: &'a Distribution<E>,
    max: i32,
    /// Width of the first steps: 2 to this.
    width_log2: u32,
}

impl<'a, const E: usize> Tree<'a, E> {
    /// The tree for samples of `0..=max`.
    #[inline(always)]
    pub(crate) fn new(dist: &'a Distribution<E>, max: i32) -> Self {
        // The mean error is 2^(step / 4) in Q6: steps of a third of it or so.
        let octave = (dist.scale_step / 4) as u32;
        Tree {
            dist,
            max,
            width_log2: octave.saturating_sub(7),
        }
    }

    /// Tails at the boundary below integer `point`.
    #[inline(always)]
    pub(crate) fn tails(&self, point: i32) -> Tails<E> {
        let boundary_q6 = (point << 6) - 32;
        each(|e| {
            let distance = i64::from(boundary_q6 - self.dist.mu_q6[e]);
            signed_tail_q30((distance * i64::from(self.dist.inverse_scale[e])) >> 20)
        })
    }

    /// Tails at the near boundary of a distance on one side, mirrored for the
    /// side below so that the farther mass is always above.
    #[inline(always)]
    fn tails_at(&self, sign: i32, distance: i32) -> Tails<E> {
        let point = if sign > 0 {
            self.dist.centre + distance
        } else {
            self.dist.centre + 1 - distance
        };
        let tails = self.tails(point);
        each(|e| sign * tails[e])
    }

    /// Codes `value`, or decodes it; `excluded` are values that it cannot be.
    #[inline(always)]
    pub(crate) fn code<C: BitCoder, const N: usize, const M: usize>(
        &self,
        coder: &mut C,
        models: &mut NodeModels<E, N, M>,
        selection: &Selection,
        excluded: Option<&ValueSet>,
        value: i32,
    ) -> Result<i32> {
        let centre = self.dist.centre;
        let is_excluded = |value: i32| excluded.is_some_and(|set| contains(set, value));
        let low = self.tails(centre);
        let high = self.tails(centre + 1);
        let mut phase = if is_excluded(centre) {
            Phase::Side
        } else {
            Phase::Centre
        };
        let (mut sign, mut most) = (1, self.max - centre);
        let (mut from, mut to, mut split) = (1, FAR, 1);
        let (mut near, mut middle, mut far) = (high, high, high);
        let mut step = 0;
        loop {
            let (node, odds);
            match phase {
                Phase::Centre => {
                    node = NODE_CENTRE;
                    (from, split, to) = (0, 1, FAR);
                    odds = each(|e| {
                        let mass = mass_between_q30(low[e], high[e]);
                        ln_q8(mass) - ln_q8((1 << 30) - mass.min((1 << 30) - 1))
                    });
                }
                Phase::Side => {
                    node = NODE_SIDE;
                    (from, split, to) = (-FAR, 1, FAR);
                    odds =
                        each(|e| ln_q8(mass_above_q30(high[e])) - ln_q8(mass_above_q30(-low[e])));
                }
                Phase::Step => {
                    let doublings = if step < 8 { 0 } else { (step as u32 - 6) / 2 };
                    let width = 1i32 << (self.width_log2 + doublings).min(16);
                    split = from + width;
                    to = FAR;
                    if split > most {
                        to = most + 1;
                        phase = Phase::Within;
                        if to - from <= 1 {
                            return Ok(centre + sign * from);
                        }
                        far = self.tails_at(sign, to);
                        split = from + (to - from + 1) / 2;
                        middle = self.tails_at(sign, split);
                        continue;
                    }
                    far = self.tails_at(sign, split);
                    if width == 1 && is_excluded(centre + sign * from) {
                        near = far;
                        from = split;
                        step += 1;
                        continue;
                    }
                    node = step_node(sign > 0, step.min(STEPS - 1));
                    odds = each(|e| {
                        ln_q8(mass_above_q30(far[e])) - ln_q8(mass_between_q30(near[e], far[e]))
                    });
                }
                Phase::Within => {
                    node = NODE_HALF + usize::from(to - from > 2);
                    odds = each(|e| {
                        ln_q8(mass_between_q30(middle[e], far[e]))
                            - ln_q8(mass_between_q30(near[e], middle[e]))
                    });
                }
            }
            let distance = sign * (value - centre);
            let bit = match phase {
                Phase::Centre => value == centre,
                _ => distance >= split,
            };
            let question = Question {
                node,
                reference: centre,
                sign,
                from,
                split,
                to,
            };
            let forced = phase == Phase::Side && (centre == 0 || centre == self.max);
            let bit = if forced {
                centre == 0
            } else {
                models.code(coder, selection, bit, &question, &odds)?
            };
            match phase {
                Phase::Centre => {
                    if bit {
                        return Ok(centre);
                    }
                    phase = Phase::Side;
                }
                Phase::Side => {
                    phase = Phase::Step;
                    from = 1;
                    if bit {
                        near = high;
                    } else {
                        (sign, most) = (-1, centre);
                        near = each(|e| -low[e]);
                    }
                }
                Phase::Step => {
                    if bit {
                        near = far;
                        from = split;
                        step += 1;
                        continue;
                    }
                    to = split;
                    phase = Phase::Within;
                    if to - from <= 1 {
                        return Ok(centre + sign * from);
                    }
                    split = from + (to - from + 1) / 2;
                    middle = self.tails_at(sign, split);
                }
                Phase::Within => {
                    if bit {
                        from = split;
                        near = middle;
                    } else {
                        to = split;
                        far = middle;
                    }
                    if to - from <= 1 {
                        return Ok(centre + sign * from);
                    }
                    split = from + (to - from + 1) / 2;
                    middle = self.tails_at(sign, split);
                }
            }
        }
    }
}

/// One number for each expert: `array::from_fn`, but always inlined.
#[inline(always)]
pub(crate) fn each<const E: usize>(f: impl Fn(usize) -> i32) -> [i32; E] {
    let mut all = [0; E];
    let mut e = 0;
    while e < E {
        all[e] = f(e);
        e += 1;
    }
    all
}

/// The node of a step, for distances above or below the centre.
#[inline(always)]
pub(crate) fn step_node(above: bool, step: usize) -> usize {
    NODE_STEP + 2 * step + usize::from(!above)
}
