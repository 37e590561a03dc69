//! From levels to coefficients: dequantisation, noise where nothing was coded,
//! stereo.

use super::layout::Layout;
use super::params::Fill;
use super::spectrum::{ANGLES, Block};
use super::transform::MAX_COEFFICIENT;
use super::trig::{Turn, exp2_16};

/// The noise that fills up bands: a linear congruential generator.
#[derive(Clone, Debug)]
pub(crate) struct Noise(u32);

impl Noise {
    pub(crate) fn new() -> Self {
        Noise(1)
    }

    /// A coin.
    pub(crate) fn sign(&mut self) -> bool {
        self.next() < 0
    }

    /// The next number, within ±2^15.
    #[inline(always)]
    fn next(&mut self) -> i64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from((self.0 >> 16) as i16)
    }
}

/// The rms of [`Noise`]: 2^15 / sqrt(3), 32-bit fraction inverted: Q30 / rms.
const INVERSE_RMS_Q30: i64 = 56_756;

/// The coefficients of all channels of a block, in the scale of samples.
pub(crate) fn reconstruct(
    block: &Block,
    layout: &Layout,
    fill: &Fill,
    noise: &mut Noise,
) -> Vec<Vec<i64>> {
    let bands = &layout.bands[block.split];
    let mut channels: Vec<Vec<i64>> = (0..block.levels.len())
        .map(|channel| {
            let mut out = vec![0; layout.frame >> block.split];
            for band in 0..bands.count() {
                let range = bands.range(band);
                reconstruct_band(
                    &block.levels[channel][range.clone()],
                    block.energies[channel][band],
                    block.steps[channel][band],
                    fill,
                    noise,
                    &mut out[range],
                );
            }
            out
        })
        .collect();
    if let [first, second] = &mut channels[..] {
        for band in 0..bands.count() {
            let turn = Turn::ratio(block.angles[band] as u64, 2 * ANGLES as u64);
            let (cos, sin) = turn.cos_sin_q30();
            let range = bands.range(band);
            let pairs = first[range.clone()].iter_mut().zip(&mut second[range]);
            for (x, y) in pairs {
                let (a, b) = (*x, *y);
                *x = limited((a * cos - b * sin + (1 << 29)) >> 30);
                *y = limited((a * sin + b * cos + (1 << 29)) >> 30);
            }
        }
    }
    channels
}

fn limited(value: i64) -> i64 {
    value.clamp(-MAX_COEFFICIENT, MAX_COEFFICIENT)
}

fn reconstruct_band(
    levels: &[i32],
    energy: i32,
    step: i32,
    fill: &Fill,
    noise: &mut Noise,
    out: &mut [i64],
) {
    if energy == 0 && levels.iter().all(|&l| l == 0) {
        return;
    }
    let step_q8 = exp2_16(step, 8);
    let (mut zeros, mut coded) = (0u64, 0u64);
    for (out, &level) in out.iter_mut().zip(levels) {
        if level == 0 {
            zeros += 1;
            continue;
        }
        let shrink = fill.shrink_q6[usize::from(level.abs() > 1)];
        let magnitude_q6 = i64::from(level.abs()) * 64 - i64::from(shrink);
        let magnitude = limited((magnitude_q6 * step_q8 + (1 << 13)) >> 14);
        coded = coded.saturating_add((magnitude * magnitude) as u64);
        *out = if level < 0 { -magnitude } else { magnitude };
    }
    if zeros == 0 {
        return;
    }
    let count = levels.len() as u64;
    // Of the whole band, Q8.
    let total_q8 = exp2_16(8 * energy, 8) as u64;
    let total_q8 = u128::from(total_q8) * u128::from(count);
    if zeros == count {
        let all: Vec<i64> = levels.iter().map(|_| noise.next()).collect();
        let sum: u64 = all.iter().map(|&n| (n * n) as u64).sum();
        let gain_q16 = ((total_q8 << 24) / u128::from(sum.max(1))).isqrt() as i64;
        for (out, n) in out.iter_mut().zip(all) {
            *out = limited((n * gain_q16.min(1 << 46) + (1 << 15)) >> 16);
        }
        return;
    }
    let rest_q8 = total_q8.saturating_sub(u128::from(coded) << 8) / u128::from(zeros);
    let bound_q8 = |share_q6: u8| (i64::from(share_q6) * step_q8) >> 6;
    // The root of Q8 is Q4.
    let rms_q8 = ((rest_q8.isqrt() as i64) << 4).clamp(
        bound_q8(fill.low_q6),
        bound_q8(fill.high_q6.max(fill.low_q6)),
    );
    let gain_q16 = ((rms_q8.min(1 << 35) * INVERSE_RMS_Q30) >> 15) >> 7;
    for (out, &level) in out.iter_mut().zip(levels) {
        if level == 0 {
            *out = limited((noise.next() * gain_q16 + (1 << 15)) >> 16);
        }
    }
}
