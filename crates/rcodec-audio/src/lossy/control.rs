//! Which quantiser a frame gets.

use super::frame::MAX_QUANTISER;
use rcodec_core::{Error, Rate, Result};

/// Over so many seconds a bit rate is kept on average.
const WINDOW_SECONDS: f64 = 1.5;
/// Quantiser steps that halve the bits, about.
const STEPS_PER_HALVING: f64 = 26.0;
/// The quantiser at 32,000 bits per second and channel.
const AT_32K: f64 = 208.0;

/// Keeps a quality or a bit rate.
#[derive(Clone, Debug)]
pub(crate) struct RateControl {
    quantiser: f64,
    /// Bits of a frame, if a rate is to be kept.
    frame_bits: Option<f64>,
    window_bits: f64,
    /// Bits used above the average.
    debt: f64,
    frame_seconds: f64,
}

impl RateControl {
    /// # Errors
    /// [`Error::Parameter`] for qualities and rates out of range.
    pub(crate) fn new(rate: Rate, frame_seconds: f64, channels: usize) -> Result<Self> {
        let (quantiser, frame_bits, window_bits) = match rate {
            Rate::Quality(quality) if (1.0..=100.0).contains(&quality) => {
                let quality = f64::from(quality);
                // The last quarter goes to where no one hears a difference.
                let fine = 1.2 * (quality - 75.0).max(0.0);
                (260.0 - quality - fine, None, 0.0)
            }
            Rate::Quality(_) => return Err(Error::parameter("a quality is 1 to 100")),
            Rate::TargetBitrate(rate) if rate >= 1000 => {
                let rate = f64::from(rate);
                let halvings = (32_000.0 * channels as f64 / rate).log2();
                let bits = rate * frame_seconds;
                (
                    AT_32K + STEPS_PER_HALVING * halvings,
                    Some(bits),
                    rate * WINDOW_SECONDS,
                )
            }
            Rate::TargetBitrate(_) => {
                return Err(Error::parameter("bit rates begin at 1000 bits per second"));
            }
            _ => {
                return Err(Error::unsupported(
                    "audio-lossy takes a quality or a bit rate",
                ));
            }
        };
        Ok(RateControl {
            quantiser,
            frame_bits,
            window_bits,
            debt: 0.0,
            frame_seconds,
        })
    }

    /// Bits that a frame should take, if a rate is to be kept.
    pub(crate) fn frame_bits(&self) -> Option<f64> {
        self.frame_bits
    }

    /// The quantiser of the next frame.
    pub(crate) fn quantiser(&self) -> i32 {
        let proportional = match self.frame_bits {
            Some(_) => 16.0 * self.debt / self.window_bits,
            None => 0.0,
        };
        ((self.quantiser + proportional).round() as i32).clamp(0, MAX_QUANTISER)
    }

    /// Begins with another quantiser.
    pub(crate) fn set_quantiser(&mut self, quantiser: i32) {
        self.quantiser = quantiser.into();
    }

    /// Counts the bits of a frame.
    pub(crate) fn count(&mut self, bits: f64) {
        if let Some(frame_bits) = self.frame_bits {
            // What silence leaves is not hoarded.
            self.debt = (self.debt + bits - frame_bits).max(-self.window_bits);
            let share = (self.debt / self.window_bits).clamp(-1.0, 4.0);
            let bound = f64::from(MAX_QUANTISER);
            self.quantiser = (self.quantiser + 4.0 * self.frame_seconds * share).clamp(0.0, bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_rate_is_kept() {
        let mut control = RateControl::new(Rate::TargetBitrate(64_000), 0.02, 2).unwrap();
        let (mut used, mut frames) = (0.0, 0.0);
        for i in 0..3000 {
            // A source that needs more than expected, and changes.
            let hard = if i / 500 % 2 == 0 { 2600.0 } else { 1500.0 };
            let bits = hard * ((208.0 - f64::from(control.quantiser())) / 26.0).exp2();
            control.count(bits);
            used += bits;
            frames += 1.0;
        }
        let rate = used / frames / 0.02;
        assert!((rate / 64_000.0 - 1.0).abs() < 0.03, "{rate}");
    }

    #[test]
    fn rates_out_of_range() {
        for rate in [
            Rate::Lossless,
            Rate::Quality(0.0),
            Rate::Quality(f32::NAN),
            Rate::TargetBitrate(10),
        ] {
            assert!(RateControl::new(rate, 0.02, 1).is_err());
        }
    }
}
