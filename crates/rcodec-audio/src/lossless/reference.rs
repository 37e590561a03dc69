//! Reference channels: which earlier channel helps to predict a channel, and
//! what its residuals tell of those at the same time.

use super::predictor::Plane;
use super::residual_tables::level_index;
use super::structure::ChannelPlan;

/// Channels looked at as references: the nearest ones before.
const CANDIDATES: usize = 8;
/// At most this many frames are compared.
const COMPARED_FRAMES: usize = 1 << 14;

/// The earlier coded channel whose changes go most with those of a channel.
pub(crate) fn choose_reference(
    plans: &[ChannelPlan],
    earlier: &[Plane],
    levels: &[i32],
) -> Option<usize> {
    let coded = |&channel: &usize| matches!(plans[channel], ChannelPlan::Coded(_));
    let candidates: Vec<usize> = (0..plans.len())
        .rev()
        .filter(coded)
        .take(CANDIDATES)
        .collect();
    if candidates.len() < 2 {
        return candidates.first().copied();
    }
    let likeness = |&channel: &usize| {
        let other = earlier[channel].samples();
        let (mut both, mut one) = (0.0, 1.0);
        for i in 1..levels.len().min(COMPARED_FRAMES) {
            let x = f64::from(levels[i]) - f64::from(levels[i - 1]);
            let y = f64::from(other[i]) - f64::from(other[i - 1]);
            both += x * y;
            one += y * y;
        }
        both * both / one
    };
    candidates
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// Magnitudes of a channel's residuals, for the channels that refer to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Magnitudes {
    /// Per frame: magnitudes around it against their slow mean, in steps of
    /// the logarithmic scale, once [`push`](Self::push) has gone far enough.
    excess: Vec<i8>,
    recent: [u64; 5],
    slow_q16: i64,
    frames: usize,
}

impl Magnitudes {
    pub(crate) fn new(frames: usize) -> Self {
        Magnitudes {
            excess: Vec::new(),
            recent: [0; 5],
            slow_q16: 32 << 16,
            frames,
        }
    }

    /// Appends the magnitude of the next frame.
    #[inline(always)]
    pub(crate) fn push(&mut self, magnitude: u64) {
        self.recent.rotate_left(1);
        self.recent[4] = magnitude;
        let [a, b, c, d, e] = self.recent;
        // Centred two frames ago.
        let around_q16 = ((a + 2 * b + 4 * c + 2 * d + e) << 16) as i64 / 10;
        let excess = level_index(around_q16) as i32 - level_index(self.slow_q16) as i32;
        if self.excess.len() < self.frames {
            self.excess.push(excess.clamp(-128, 127) as i8);
        }
        self.slow_q16 += (((magnitude as i64) << 16) - self.slow_q16) >> 8;
    }

    /// The excess around a frame.
    #[inline(always)]
    pub(crate) fn excess(&self, frame: usize) -> i32 {
        self.excess.get(frame + 2).copied().unwrap_or(0).into()
    }
}
