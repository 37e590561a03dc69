//! From band energies to the quantiser's steps: the allocation of bits, which
//! the decoder works out by itself.

use super::layout::Bands;
use super::spectrum::ANGLES;
use super::trig::{Turn, exp2_16, log2_q4};

/// How steps follow from energies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepRule {
    /// Of an octave of energy, how much the step follows: 1/256.
    pub(crate) slope_q8: i32,
    /// How much a louder band below masks: the fall per band, 1/16 octaves.
    pub(crate) fall: i32,
    /// The same of a louder band above.
    pub(crate) rise: i32,
}

/// Energies of which steps are the quantiser itself: 2^(44/4), or 64 of 16
/// bits.
const PIVOT: i32 = 4 * 44;

/// The largest step: 2^26.
const MAX_STEP: i32 = 16 * 26;

impl StepRule {
    /// The steps of a channel's bands, 1/16 octaves.
    pub(crate) fn steps(&self, bands: &Bands, energies: &[i32], quantiser: i32) -> Vec<i32> {
        let mut masks: Vec<i32> = energies.iter().map(|e| 4 * e).collect();
        for b in 1..masks.len() {
            masks[b] = masks[b].max(masks[b - 1] - self.fall);
        }
        for b in (1..masks.len()).rev() {
            masks[b - 1] = masks[b - 1].max(masks[b] - self.rise);
        }
        debug_assert_eq!(bands.count(), energies.len());
        masks
            .iter()
            .map(|mask| {
                let step = quantiser + (((mask - PIVOT) * self.slope_q8) >> 8);
                step.clamp(0, MAX_STEP)
            })
            .collect()
    }
}

/// Fractional bits of the shares of noise that a pair's channels may have.
const SHARE_Q: i32 = 46;
/// Steps farther apart than this, 1/16 octaves, count as so far: the smaller
/// share is 2^-42.5.
const MAX_SHARE: i32 = 340;

/// Squares of cosine and sine of the angles, Q15.
fn squares_q15(angle: usize) -> (i64, i64) {
    let (cos, sin) = Turn::ratio(angle as u64, 2 * ANGLES as u64).cos_sin_q30();
    ((cos * cos) >> 45, (sin * sin) >> 45)
}

/// The steps of both channels of a pair. The noise of either goes to the left
/// and to the right by its angle, and must be right for both.
pub(crate) fn stereo_steps(
    rule: &StepRule,
    bands: &Bands,
    energies: [&Vec<i32>; 2],
    angles: &[usize],
    quantiser: i32,
) -> Vec<Vec<i32>> {
    let count = bands.count();
    let (mut left, mut right) = (vec![0; count], vec![0; count]);
    for b in 0..count {
        let (c, s) = squares_q15(angles[b]);
        let power = |e: i32| if e == 0 { 0 } else { exp2_16(8 * e, 4) };
        let (first, second) = (power(energies[0][b]), power(energies[1][b]));
        let mix = |c: i64, s: i64| {
            let sum = i128::from(first) * i128::from(c) + i128::from(second) * i128::from(s);
            // A quarter of the logarithm of the power in Q4, in 1/4 octaves.
            log2_q4((sum >> 15) as u64 >> 4) / 8
        };
        left[b] = mix(c, s).max(0);
        right[b] = mix(s, c).max(0);
    }
    let left = rule.steps(bands, &left, quantiser);
    let right = rule.steps(bands, &right, quantiser);
    let mut steps = vec![vec![0; count]; 2];
    for b in 0..count {
        let (c, s) = squares_q15(angles[b]);
        // The smaller one as 1: step = small - log2(sum of shares) / 2. If all
        // is left, the right step may be smaller by ten octaves, and the share
        // of the left must not vanish beside it.
        let small = left[b].min(right[b]);
        let share = |step: i32| exp2_16(-2 * (step - small).min(MAX_SHARE), SHARE_Q);
        let (l, r) = (share(left[b]), share(right[b]));
        let mix = |c: i64, s: i64| {
            let sum = (l * c + r * s).max(1) as u64;
            let step = small + (16 * (SHARE_Q + 15) - log2_q4(sum)) / 2;
            step.min(MAX_STEP)
        };
        steps[0][b] = mix(c, s);
        steps[1][b] = mix(s, c);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;

    fn rule(slope_q8: i32) -> StepRule {
        StepRule {
            slope_q8,
            fall: 1000,
            rise: 1000,
        }
    }

    #[test]
    fn no_step_of_a_pair_is_larger_than_the_largest() {
        let layout = Layout::new(4096, 1);
        let bands = &layout.bands[0];
        let energies = [&vec![108; bands.count()], &vec![0; bands.count()]];
        let mut largest = 0;
        for quantiser in 0..512 {
            let angles = vec![0; bands.count()];
            let steps = stereo_steps(&rule(256), bands, energies, &angles, quantiser);
            largest = steps.iter().flatten().fold(largest, |a, &b| a.max(b));
        }
        assert_eq!(largest, MAX_STEP);
    }

    #[test]
    fn what_is_in_one_channel_alone_has_the_steps_of_a_single_channel() {
        let layout = Layout::new(1024, 48_000);
        let bands = &layout.bands[0];
        let loud: Vec<i32> = (0..bands.count()).map(|b| 40 + b as i32 * 2).collect();
        let silent = vec![0; bands.count()];
        for slope_q8 in [85, 128] {
            let single = rule(slope_q8).steps(bands, &loud, 200);
            // Left alone, and right alone.
            for angle in [0, ANGLES / 2] {
                let angles = vec![angle; bands.count()];
                let pair = stereo_steps(&rule(slope_q8), bands, [&loud, &silent], &angles, 200);
                for (found, exact) in pair[0].iter().zip(&single) {
                    assert!((found - exact).abs() <= 2, "{slope_q8}: {found} {exact}");
                }
            }
        }
    }
}
