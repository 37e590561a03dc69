//! Metrics of sound: signal-to-noise ratios and the distance of log-mel
//! spectra. All take one channel at a time, samples in any unit (full scale is
//! 1 for the log-mel distance), and compare sample by sample: the signals must
//! be aligned and as long as each other.

use crate::fft::fft;
use rcodec_core::{Error, Result};

fn check(original: &[f32], distorted: &[f32]) -> Result<()> {
    if original.len() != distorted.len() || original.is_empty() {
        return Err(Error::parameter(format!(
            "sounds of {} and {} samples cannot be compared",
            original.len(),
            distorted.len()
        )));
    }
    Ok(())
}

fn energies(original: &[f32], distorted: &[f32]) -> (f64, f64) {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (&x, &y) in original.iter().zip(distorted) {
        let (x, y) = (f64::from(x), f64::from(y));
        signal += x * x;
        noise += (x - y) * (x - y);
    }
    (signal, noise)
}

/// Signal-to-noise ratio in dB; infinite for equal signals.
///
/// # Errors
/// [`Error::Parameter`] for different lengths or none.
pub fn snr_db(original: &[f32], distorted: &[f32]) -> Result<f64> {
    check(original, distorted)?;
    let (signal, noise) = energies(original, distorted);
    if noise == 0.0 {
        return Ok(f64::INFINITY);
    }
    Ok(10.0 * (signal / noise).log10())
}

/// Segmental signal-to-noise ratio in dB: the mean over frames of 30 ms, each
/// held within -10 and 35 dB; frames of digital silence are left out (Hansen
/// and Pellom 1998).
///
/// # Errors
/// As [`snr_db`].
pub fn segmental_snr_db(original: &[f32], distorted: &[f32], sample_rate: u32) -> Result<f64> {
    check(original, distorted)?;
    let frame = (sample_rate as usize * 30 / 1000).max(1);
    let (mut sum, mut frames) = (0.0, 0usize);
    for (x, y) in original.chunks(frame).zip(distorted.chunks(frame)) {
        let (signal, noise) = energies(x, y);
        if signal > 0.0 {
            sum += (10.0 * (signal / noise).log10()).clamp(-10.0, 35.0);
            frames += 1;
        }
    }
    if frames == 0 {
        return Ok(f64::INFINITY);
    }
    Ok(sum / frames as f64)
}

const FFT_SIZE: usize = 2048;
const HOP: usize = 512;
const BANDS: usize = 80;
/// Below this power of a band (full scale 1) nothing is heard: -100 dB.
const FLOOR: f64 = 1e-10;

/// Mean absolute difference of log10 mel spectra: windows of 2048 samples
/// (Hann), a hop of 512, 80 bands of Slaney's scale from 0 to half the sample
/// rate, power, floor at 1e-10.
///
/// # Errors
/// As [`snr_db`].
pub fn log_mel_distance(original: &[f32], distorted: &[f32], sample_rate: u32) -> Result<f64> {
    check(original, distorted)?;
    let filters = mel_filters(sample_rate);
    let window: Vec<f64> = (0..FFT_SIZE)
        .map(|i| {
            let turns = i as f64 / FFT_SIZE as f64;
            0.5 - 0.5 * (2.0 * std::f64::consts::PI * turns).cos()
        })
        .collect();
    let frames = original.len().saturating_sub(FFT_SIZE).div_ceil(HOP) + 1;
    let mut sum = 0.0;
    for frame in 0..frames {
        let bands = two_spectra(original, distorted, frame * HOP, &window);
        for filter in &filters {
            let [a, b] = bands.each_ref().map(|power| filter.apply(power));
            sum += (a.max(FLOOR).log10() - b.max(FLOOR).log10()).abs();
        }
    }
    Ok(sum / (frames * BANDS) as f64)
}

/// The power spectra of both signals from one complex transform.
fn two_spectra(x: &[f32], y: &[f32], at: usize, window: &[f64]) -> [Vec<f64>; 2] {
    let load = |signal: &[f32]| -> Vec<f64> {
        let samples = signal.iter().skip(at).map(|&s| f64::from(s));
        let padded = samples.chain(std::iter::repeat(0.0));
        padded.zip(window).map(|(s, w)| s * w).collect()
    };
    let (mut re, mut im) = (load(x), load(y));
    fft(&mut re, &mut im);
    let mut powers = [Vec::new(), Vec::new()];
    // Windows sum to half their length: a sine of full scale has power 1/4.
    let scale = 4.0 / (FFT_SIZE * FFT_SIZE) as f64;
    for k in 0..=FFT_SIZE / 2 {
        let mirror = (FFT_SIZE - k) % FFT_SIZE;
        let even = (re[k] + re[mirror], im[k] - im[mirror]);
        let odd = (im[k] + im[mirror], re[mirror] - re[k]);
        for (power, (r, i)) in powers.iter_mut().zip([even, odd]) {
            power.push((r * r + i * i) / 4.0 * scale);
        }
    }
    powers
}

/// A triangle over some bins of the spectrum, of area 1.
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

impl Filter {
    fn apply(&self, power: &[f64]) -> f64 {
        let under = power[self.first..].iter().zip(&self.weights);
        under.map(|(p, w)| p * w).sum()
    }
}

fn mel_filters(sample_rate: u32) -> Vec<Filter> {
    let nyquist = f64::from(sample_rate) / 2.0;
    let top = hz_to_mel(nyquist);
    let edges: Vec<f64> = (0..BANDS + 2)
        .map(|i| mel_to_hz(top * i as f64 / (BANDS + 1) as f64))
        .collect();
    let bin_hz = f64::from(sample_rate) / FFT_SIZE as f64;
    edges
        .windows(3)
        .map(|edge| {
            let first = (edge[0] / bin_hz).floor() as usize;
            let last = ((edge[2] / bin_hz).ceil() as usize).min(FFT_SIZE / 2);
            let mut weights: Vec<f64> = (first..=last)
                .map(|bin| {
                    let hz = bin as f64 * bin_hz;
                    let rise = (hz - edge[0]) / (edge[1] - edge[0]);
                    let fall = (edge[2] - hz) / (edge[2] - edge[1]);
                    rise.min(fall).max(0.0)
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            if sum > 0.0 {
                weights.iter_mut().for_each(|w| *w /= sum);
            } else {
                // Narrower than a bin: the nearest one.
                let nearest = ((edge[1] / bin_hz).round() as usize).clamp(first, last);
                weights[nearest - first] = 1.0;
            }
            Filter { first, weights }
        })
        .collect()
}

/// Slaney's mel scale: linear up to 1 kHz, logarithmic above.
fn hz_to_mel(hz: f64) -> f64 {
    if hz < 1000.0 {
        hz * 3.0 / 200.0
    } else {
        15.0 + (hz / 1000.0).ln() * 27.0 / 6.4f64.ln()
    }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < 15.0 {
        mel * 200.0 / 3.0
    } else {
        1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, amplitude: f64, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|i| {
                let angle = 2.0 * std::f64::consts::PI * hz * i as f64 / 48_000.0;
                (amplitude * angle.sin()) as f32
            })
            .collect()
    }

    #[test]
    fn a_tenth_of_noise_is_20_db() {
        let x = sine(1000.0, 0.5, 48_000);
        let y: Vec<f32> = x.iter().map(|s| s * 1.1).collect();
        assert!((snr_db(&x, &y).unwrap() - 20.0).abs() < 1e-4);
        assert!((segmental_snr_db(&x, &y, 48_000).unwrap() - 20.0).abs() < 1e-4);
        assert_eq!(snr_db(&x, &x).unwrap(), f64::INFINITY);
        assert_eq!(segmental_snr_db(&x, &x, 48_000).unwrap(), 35.0);
    }

    #[test]
    fn silent_frames_do_not_count() {
        let mut x = sine(1000.0, 0.5, 14_400);
        let mut y: Vec<f32> = x.iter().map(|s| s * 1.1).collect();
        x.extend([0.0; 14_400]);
        y.extend([0.1; 14_400]);
        assert!((segmental_snr_db(&x, &y, 48_000).unwrap() - 20.0).abs() < 1e-3);
    }

    #[test]
    fn ten_times_the_power_is_one_decade_where_there_is_sound() {
        // Noise over all bands, so that the floor hides nothing.
        let mut state = 1u32;
        let x: Vec<f32> = (0..48_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (f64::from(state >> 8) / f64::from(1u32 << 24) - 0.5) as f32
            })
            .collect();
        let y: Vec<f32> = x.iter().map(|s| s * 10f32.sqrt()).collect();
        let distance = log_mel_distance(&x, &y, 48_000).unwrap();
        assert!((distance - 1.0).abs() < 1e-5, "{distance}");
        // Both spectra come of one transform: equal up to rounding.
        assert!(log_mel_distance(&x, &x, 48_000).unwrap() < 1e-12);
    }

    #[test]
    fn short_and_unequal_sounds() {
        assert!(log_mel_distance(&[0.5], &[0.25], 8000).is_ok());
        assert!(log_mel_distance(&[], &[], 8000).is_err());
        assert!(snr_db(&[1.0], &[1.0, 2.0]).is_err());
    }
}
