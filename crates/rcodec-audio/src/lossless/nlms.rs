//! Stage B: normalised LMS filters in integers.
//!
//! Each filter predicts what the stages before it left over, from its own
//! history of the same. History is `i16`; weights are `i32` in Q24 with an
//! `i16` shadow in Q14 for the dot product, which compilers turn into 16-bit
//! multiply-adds. The step is divided by the power of the history, in which
//! recent samples count more: by segments of taps that double in length.

/// First taps of the segments; the first two are equally long.
const SEGMENT_STARTS: [usize; 9] = [0, 16, 32, 64, 128, 256, 512, 1024, 2048];

/// Mean of `(1 + tap)^-0.8` over each segment, Q16.
const SEGMENT_WEIGHTS_Q16: [i64; 8] = [17703, 5209, 3018, 1741, 1002, 576, 331, 190];

/// Samples between moves of the history to the start of its buffer.
const HISTORY_SLACK: usize = 4096;

/// The weights of long filters, which change little from one sample to the
/// next, are brought up to date once for so many samples.
const BATCH: usize = 4;
/// Bits that gains leave free, so that [`BATCH`] products fit 32 bits.
const SPARE_BITS: u32 = 17 + BATCH.ilog2();
const MAX_GAIN_Q40: i32 = 1 << (31 - BATCH.ilog2());
/// The shortest of them.
const LONG_TAPS: usize = 128;

/// Shape of one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NlmsShape {
    /// Number of taps: 16 or a power of two up to 2048.
    pub(crate) taps: usize,
    /// Step size `mu`, Q32.
    pub(crate) mu_q32: i64,
}

/// A normalised LMS filter.
pub(crate) struct Nlms {
    taps: usize,
    /// `mu` times the sum of the segments' weights, Q32.
    step_q32: i64,
    /// The last `taps + 1` values end at `end`, newest last.
    history: Vec<i16>,
    end: usize,
    weights_q24: Vec<i32>,
    shadow_q14: Vec<i16>,
    /// Sum of squares of each segment's history.
    powers: [i64; 8],
    segments: usize,
    /// Samples between two changes of the weights: 1 or [`BATCH`].
    batch: usize,
    /// Gains of the samples since the last change, Q40.
    gains_q40: [i32; BATCH],
    pending: usize,
}

/// `sum(a * b)`, modulo 2^32.
#[inline(always)]
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).fold(0i32, |sum, (&x, &y)| {
        sum.wrapping_add(i32::from(x) * i32::from(y))
    })
}

impl Nlms {
    pub(crate) fn new(shape: NlmsShape) -> Self {
        let taps = shape.taps;
        let segments = SEGMENT_STARTS
            .iter()
            .position(|&s| s >= taps)
            .unwrap_or(8)
            .max(1);
        let weight_sum_q16: i64 = (0..segments)
            .map(|s| {
                let end = SEGMENT_STARTS[s + 1].min(taps);
                SEGMENT_WEIGHTS_Q16[s] * (end - SEGMENT_STARTS[s]) as i64
            })
            .sum();
        Nlms {
            taps,
            step_q32: (shape.mu_q32 * weight_sum_q16) >> 16,
            history: vec![0; taps + BATCH + HISTORY_SLACK],
            end: taps + BATCH,
            weights_q24: vec![0; taps],
            shadow_q14: vec![0; taps],
            powers: [0; 8],
            segments,
            batch: if taps >= LONG_TAPS { BATCH } else { 1 },
            gains_q40: [0; BATCH],
            pending: 0,
        }
    }

    /// The prediction in history units, Q14.
    #[inline(always)]
    pub(crate) fn predict_q14(&self) -> i32 {
        dot(
            &self.history[self.end - self.taps..self.end],
            &self.shadow_q14,
        )
    }

    /// Adapts the weights to the prediction's error (history units, Q8) and
    /// appends `value` to the history.
    #[inline(always)]
    pub(crate) fn update(&mut self, error_q8: i64, value: i16) {
        self.adapt(error_q8.clamp(-(1 << 26), 1 << 26));
        self.push(value);
    }

    #[inline(always)]
    fn adapt(&mut self, error_q8: i64) {
        let power_q16: i64 = self
            .powers
            .iter()
            .zip(SEGMENT_WEIGHTS_Q16)
            .take(self.segments)
            .map(|(power, weight)| power * weight)
            .sum();
        let gain_q40 = error_q8 * self.step_q32 / ((power_q16 >> 16) + 1);
        let gain_q40 = gain_q40.clamp(-0x7fff_ffff, 0x7fff_ffff) as i32;
        if self.batch == 1 {
            self.adapt_once(gain_q40);
            return;
        }
        self.gains_q40[self.pending] = gain_q40.clamp(1 - MAX_GAIN_Q40, MAX_GAIN_Q40 - 1);
        self.pending += 1;
        if self.pending == BATCH {
            self.pending = 0;
            self.adapt_batch();
        }
    }

    #[inline(always)]
    fn adapt_once(&mut self, gain_q40: i32) {
        if gain_q40 == 0 {
            return;
        }
        let history = &self.history[self.end - self.taps..self.end];
        let shift = shift_of(gain_q40.unsigned_abs(), 17);
        adapt_weights(
            &mut self.weights_q24,
            &mut self.shadow_q14,
            history,
            (gain_q40 >> shift) as i16,
            16 - shift,
        );
    }

    /// The changes that the last [`BATCH`] samples ask for, at once.
    #[inline(always)]
    fn adapt_batch(&mut self) {
        let most = self.gains_q40.map(i32::unsigned_abs);
        let most = most.into_iter().fold(0, |most, gain| most | gain);
        if most == 0 {
            return;
        }
        let shift = shift_of(most, SPARE_BITS);
        let first = self.end + 1 - self.taps - BATCH;
        adapt_weights_batch(
            &mut self.weights_q24,
            &mut self.shadow_q14,
            std::array::from_fn(|i| &self.history[first + i..][..self.taps]),
            self.gains_q40.map(|gain| (gain >> shift) as i16),
            16 - shift,
        );
    }

    #[inline(always)]
    fn push(&mut self, value: i16) {
        if self.end == self.history.len() {
            let kept = self.taps + BATCH;
            self.history.copy_within(self.end - kept.., 0);
            self.end = kept;
        }
        self.history[self.end] = value;
        self.end += 1;
        let square = |index: usize| i64::from(self.history[index]).pow(2);
        let mut entering = square(self.end - 1);
        for segment in 0..self.segments {
            let last = SEGMENT_STARTS[segment + 1].min(self.taps);
            let leaving = if last < self.end {
                square(self.end - 1 - last)
            } else {
                0
            };
            self.powers[segment] += entering - leaving;
            entering = leaving;
        }
    }
}

/// The shift that leaves `32 - spare` bits of a magnitude, at most 16.
#[inline(always)]
fn shift_of(magnitude: u32, spare: u32) -> u32 {
    spare.saturating_sub(magnitude.leading_zeros())
}

/// As [`adapt_weights`] for the sum of [`BATCH`] products.
#[inline(always)]
fn adapt_weights_batch(
    weights_q24: &mut [i32],
    shadow_q14: &mut [i16],
    histories: [&[i16]; BATCH],
    gains: [i16; BATCH],
    shift: u32,
) {
    let gains = gains.map(i32::from);
    let shift = shift & 31;
    let rounding = (1 << shift) >> 1;
    let taps = weights_q24.len();
    let shadow_q14 = &mut shadow_q14[..taps];
    let histories = histories.map(|history| &history[..taps]);
    for i in 0..taps {
        let mut sum = rounding;
        for (history, gain) in histories.iter().zip(gains) {
            sum += i32::from(history[i]) * gain;
        }
        let weight = weights_q24[i].wrapping_add(sum >> shift);
        weights_q24[i] = weight;
        shadow_q14[i] = (weight.wrapping_add(1 << 9) >> 10).clamp(-32768, 32767) as i16;
    }
}

/// `weights += (history * gain) >> shift`, rounded, and the shadow with it.
/// `shift` is at most 16.
#[inline(always)]
fn adapt_weights(
    weights_q24: &mut [i32],
    shadow_q14: &mut [i16],
    history: &[i16],
    gain: i16,
    shift: u32,
) {
    let gain = i32::from(gain);
    let shift = shift & 31;
    let rounding = (1 << shift) >> 1;
    for ((weight, shadow), &x) in weights_q24.iter_mut().zip(shadow_q14).zip(history) {
        let step = (i32::from(x) * gain + rounding) >> shift;
        *weight = weight.wrapping_add(step);
        *shadow = (weight.wrapping_add(1 << 9) >> 10).clamp(-32768, 32767) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a tone's energy a filter leaves, in thousandths.
    fn left_of_a_tone(taps: usize, mu_millionths: i64) -> i64 {
        let mut filter = Nlms::new(NlmsShape {
            taps,
            mu_q32: (mu_millionths << 32) / 1_000_000,
        });
        let (mut all, mut left) = (0, 0);
        // More than the slack of the history.
        for i in 0..3 * HISTORY_SLACK {
            let value = (f64::from(i as u32) * 0.3).sin() * 8000.0;
            let value = value as i16;
            let error_q14 = (i64::from(value) << 14) - i64::from(filter.predict_q14());
            filter.update(error_q14 >> 6, value);
            if i > 2 * HISTORY_SLACK {
                all += i64::from(value).pow(2);
                left += (error_q14 >> 14).pow(2);
            }
        }
        1000 * left / all
    }

    #[test]
    fn short_and_long_filters_learn_a_tone() {
        for (taps, mu_millionths) in [(16, 2000), (32, 2000), (128, 400), (512, 300)] {
            let left = left_of_a_tone(taps, mu_millionths);
            assert!(left < 20, "{taps} taps leave {left} thousandths");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for taps in [16, 128, 2048] {
            let mut filter = Nlms::new(NlmsShape {
                taps,
                mu_q32: 1 << 24,
            });
            for i in 0..3000 {
                let value = if i % 3 == 0 { i16::MIN } else { i16::MAX };
                filter.update(if i % 2 == 0 { i64::MAX } else { i64::MIN }, value);
            }
            filter.predict_q14();
        }
    }
}
