//! Numerical predictions of a channel, for pixels of colours that were not
//! there before: gradients, antialiasing, photographs within graphics.

use super::packing::Packing;
use super::surroundings::Near;
use crate::lossless::logistic::{mass_between_q30, quarter_log2, signed_tail_q30};
use crate::lossless::photo::ols::{Ols, OlsParams};
use rcodec_fixed::Engine;

/// How many predictions there are.
pub(crate) const EXPERTS: usize = 4;

/// Features of the least-squares experts.
const LARGE: usize = 24;
const SMALL: usize = 12;

/// Classes of the activity around a sample.
const CLASSES: usize = 64;

/// A logistic of scale s has mean absolute error 1.386 s, so
/// `z = distance / (0.72 mean)`: 2^36 / 0.72 * 4, to be divided by `mean_q12`.
const INVERSE_SCALE_Q36: i64 = 381_774_870_756;

/// Mean absolute error of one expert in one class.
#[derive(Clone, Copy)]
struct MeanError {
    mean_q12: u32,
    count: u32,
}

/// The experts of one channel.
pub(crate) struct ChannelExperts {
    channel: usize,
    max_q6: i32,
    large: Ols<LARGE, 32>,
    small: Ols<SMALL, 16>,
    features: [i32; LARGE],
    base: i32,
    mu_q6: [i32; EXPERTS],
    means: Vec<[MeanError; CLASSES]>,
    class: usize,
}

/// What the experts expect of one sample.
pub(crate) struct Expectation {
    mu_q6: [i32; EXPERTS],
    inverse_scale: [i64; EXPERTS],
    scale: usize,
}

impl Expectation {
    /// The best expectation, rounded.
    #[inline(always)]
    pub(crate) fn centre(&self) -> i32 {
        (self.mu_q6[0] + 32) >> 6
    }

    /// Class of the expected error, below 32.
    #[inline(always)]
    pub(crate) fn scale(&self) -> usize {
        self.scale
    }

    /// Tails at the boundary below a value.
    #[inline(always)]
    pub(crate) fn tails(&self, value: i32) -> [i32; EXPERTS] {
        let boundary_q6 = (i64::from(value) << 6) - 32;
        std::array::from_fn(|e| {
            let distance = boundary_q6 - i64::from(self.mu_q6[e]);
            signed_tail_q30((distance * self.inverse_scale[e]) >> 24)
        })
    }

    /// Masses below and above the middle of an interval.
    #[inline(always)]
    pub(crate) fn halves(
        &self,
        ends: &([i32; EXPERTS], [i32; EXPERTS]),
        middle: &[i32; EXPERTS],
    ) -> [(u32, u32); EXPERTS] {
        std::array::from_fn(|e| {
            (
                mass_between_q30(ends.0[e], middle[e]),
                mass_between_q30(middle[e], ends.1[e]),
            )
        })
    }
}

impl ChannelExperts {
    /// The experts of a channel (in coding order).
    pub(crate) fn new(packing: &Packing, channel: usize, engine: Engine) -> Self {
        let bits = packing.fields[channel].0;
        let large = OlsParams {
            keep: 0.98,
            ridge: 8.0,
            blocks_per_solve: 2,
        };
        let small = OlsParams {
            keep: 0.74,
            ridge: 8.0,
            blocks_per_solve: 2,
        };
        let fresh = std::array::from_fn(|class| MeanError {
            mean_q12: (1 << 12) + (64 << (class / 4)).min(1 << 20),
            count: 0,
        });
        ChannelExperts {
            channel,
            max_q6: (((1i64 << bits) - 1) << 6) as i32,
            large: Ols::new(large, bits as u8, engine),
            small: Ols::new(small, bits as u8, engine),
            features: [0; LARGE],
            base: 0,
            mu_q6: [0; EXPERTS],
            means: vec![fresh; EXPERTS],
            class: 0,
        }
    }

    /// Expects something of the sample whose earlier channels are `coded`.
    pub(crate) fn predict(
        &mut self,
        packing: &Packing,
        near: &Near,
        coded: u32,
        error: i32,
    ) -> Expectation {
        let c = self.channel;
        let own: [i32; 14] = std::array::from_fn(|i| packing.get(near[i], c));
        let [w, n, nw, ne, ww, nn] = [own[0], own[1], own[2], own[3], own[4], own[5]];
        self.base = w;
        self.features = [0; LARGE];
        // Own neighbours and those of the two channels before, in turn.
        let mut next = 0;
        let mut push = |value: i32| {
            if next < LARGE {
                self.features[next] = value;
                next += 1;
            }
        };
        [n - w, nw - w, ne - w].into_iter().for_each(&mut push);
        for before in (0..c).rev().take(2) {
            let get = |symbol: u32| packing.get(symbol, before);
            let left = get(near[0]);
            push(get(coded) - left);
            push(get(near[1]) - left);
        }
        [ww - w, nn - w].into_iter().for_each(&mut push);
        for before in (0..c).rev().take(2) {
            let get = |symbol: u32| packing.get(symbol, before);
            let left = get(near[0]);
            [near[2], near[3], near[5]]
                .into_iter()
                .for_each(|symbol| push(get(symbol) - left));
        }
        own[6..].iter().for_each(|&value| push(value - w));
        let gradient = (w + n - nw).clamp(w.min(n), w.max(n));
        let crossed = if c == 0 {
            (3 * gradient + ((w + ne) >> 1) + 2) >> 2
        } else {
            let before = |s: u32| packing.get(s, c - 1);
            let now = before(coded);
            ((w + now - before(near[0])) + (n + now - before(near[1]))) >> 1
        };
        let small: &[i32; SMALL] = self.features.first_chunk().unwrap_or(&[0; SMALL]);
        let base_q6 = i64::from(w) << 6;
        let clamp = |q6: i64| q6.clamp(0, i64::from(self.max_q6)) as i32;
        self.mu_q6 = [
            clamp(base_q6 + self.large.predict_q6(&self.features)),
            clamp(base_q6 + self.small.predict_q6(small)),
            clamp(i64::from(gradient) << 6),
            clamp(i64::from(crossed) << 6),
        ];
        let activity = (w - nw).unsigned_abs()
            + (n - nw).unsigned_abs()
            + (n - ne).unsigned_abs()
            + (w - ww).unsigned_abs()
            + 4 * error.unsigned_abs()
            + self.mu_q6[0].abs_diff(self.mu_q6[3]) / 32;
        self.class = quarter_log2(2 * activity + 2).min(CLASSES - 1);
        let mut inverse_scale = [0; EXPERTS];
        for (slot, means) in inverse_scale.iter_mut().zip(&self.means) {
            *slot = INVERSE_SCALE_Q36 / i64::from(means[self.class].mean_q12.max(64));
        }
        Expectation {
            mu_q6: self.mu_q6,
            inverse_scale,
            scale: (quarter_log2(self.means[0][self.class].mean_q12 >> 6) / 2).min(31),
        }
    }

    /// Learns what the sample was.
    pub(crate) fn update(&mut self, value: i32) {
        let value_q6 = value << 6;
        for (means, &mu) in self.means.iter_mut().zip(&self.mu_q6) {
            let error = value_q6.abs_diff(mu);
            let mean = &mut means[self.class];
            mean.count += u32::from(mean.count < 250);
            let step =
                ((i64::from(error) << 6) - i64::from(mean.mean_q12)) / i64::from(mean.count + 4);
            mean.mean_q12 = (i64::from(mean.mean_q12) + step) as u32;
        }
        let target = value - self.base;
        let small: &[i32; SMALL] = self.features.first_chunk().unwrap_or(&[0; SMALL]);
        self.small.update(small, target);
        self.large.update(&self.features, target);
    }
}
