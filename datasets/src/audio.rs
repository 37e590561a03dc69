//! Sounds.

use crate::random::Random;

/// A decaying oscillator: a damped second-order resonator in fixed point, so
/// that no library's sine is needed.
struct Resonator {
    y1: i64,
    y2: i64,
    /// Q30: 2 r cos w.
    a1: i64,
    /// Q30: -r^2.
    a2: i64,
}

impl Resonator {
    /// `two_cos_q30` is 2 cos of the angle per frame, in Q30.
    fn new(two_cos_q30: i64) -> Self {
        const R_Q30: i64 = (1 << 30) - 40_000;
        Resonator {
            y1: 0,
            y2: 0,
            a1: (two_cos_q30 * R_Q30) >> 30,
            a2: -((R_Q30 * R_Q30) >> 30),
        }
    }

    fn next(&mut self, strike: i64) -> i64 {
        let y = ((self.a1 * self.y1 + self.a2 * self.y2) >> 30) + strike;
        self.y2 = self.y1;
        self.y1 = y;
        y
    }
}

/// 2 cos(2 pi f / 48000) in Q30 for a pentatonic scale from 220 Hz.
const TWO_COS_Q30: [i64; 6] = [
    2_146_593_233,
    2_146_361_831,
    2_146_070_286,
    2_145_484_876,
    2_144_965_552,
    2_143_922_726,
];

/// Plucked notes on `channels` channels of 16 bits, interleaved, with a quiet
/// noise floor; meant for 48 kHz.
pub fn music(frames: usize, channels: usize, seed: u64) -> Vec<i32> {
    let mut random = Random::new(seed);
    let mut strings: Vec<Resonator> = TWO_COS_Q30.iter().map(|&c| Resonator::new(c)).collect();
    let mut samples = Vec::new();
    for frame in 0..frames {
        let struck = frame
            .is_multiple_of(6000)
            .then(|| random.below(strings.len() as u32) as usize);
        let strike = 40 + i64::from(random.below(60));
        let tones: Vec<i64> = strings
            .iter_mut()
            .enumerate()
            .map(|(i, string)| string.next(if struck == Some(i) { strike << 8 } else { 0 }))
            .collect();
        for channel in 0..channels {
            let mix: i64 = tones
                .iter()
                .enumerate()
                .map(|(i, tone)| tone * (8 - (i + channel) as i64 % 5))
                .sum();
            let floor = i64::from(random.below(7)) - 3;
            samples.push(((mix >> 14) + floor).clamp(-32768, 32767) as i32);
        }
    }
    samples
}

/// Full-scale white noise of `bits` bits.
pub fn white_noise(samples: usize, bits: u32, seed: u64) -> Vec<i32> {
    let mut random = Random::new(seed);
    (0..samples)
        .map(|_| (random.next_u32() as i32) >> (32 - bits))
        .collect()
}
