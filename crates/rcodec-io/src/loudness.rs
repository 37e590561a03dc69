//! Loudness after EBU R128 and ITU-R BS.1770, through the `ebur128` crate.

use ebur128::{EbuR128, Mode};
use rcodec_core::{AudioHeader, SampleFormat};

/// The level that ReplayGain 2 brings sound to, in LUFS.
const REPLAY_GAIN_LUFS: f64 = -18.0;

/// Measures the loudness of a sound while it passes by, in bounded memory.
pub struct LoudnessMeter {
    meter: EbuR128,
    format: SampleFormat,
    channels: u32,
    scaled: Vec<f32>,
}

impl LoudnessMeter {
    /// A meter for sound of this kind; `None` if there is no measure for its
    /// rate or its number of channels (more than 64).
    pub fn new(header: &AudioHeader) -> Option<Self> {
        let channels = u32::from(header.channels);
        let mode = Mode::I | Mode::LRA | Mode::TRUE_PEAK | Mode::HISTOGRAM;
        let meter = EbuR128::new(channels, header.sample_rate, mode).ok()?;
        Some(LoudnessMeter {
            meter,
            format: header.format,
            channels,
            scaled: Vec::new(),
        })
    }

    /// Takes the next samples, interleaved, whole frames.
    pub fn add(&mut self, samples: &[i32]) {
        let scale = (-f32::from(self.format.bits() - 1)).exp2();
        self.scaled.clear();
        self.scaled.extend(samples.iter().map(|&sample| {
            let value = match self.format {
                SampleFormat::Float32 => f32::from_bits(sample as u32),
                SampleFormat::Int { .. } => sample as f32 * scale,
            };
            if value.is_finite() { value } else { 0.0 }
        }));
        // It fails for frames that are not whole alone.
        let _ = self.meter.add_frames_f32(&self.scaled);
    }

    /// The value of [`MetadataKey::LOUDNESS`]: `NAME=value`, joined by NUL.
    /// What cannot be said of the sound (the loudness of silence) is left out.
    ///
    /// [`MetadataKey::LOUDNESS`]: rcodec_core::MetadataKey::LOUDNESS
    pub fn finish(self) -> String {
        let mut lines = Vec::new();
        let loudness = self.meter.loudness_global().ok().filter(|x| x.is_finite());
        if let Some(lufs) = loudness {
            lines.push(format!("INTEGRATED_LUFS={lufs:.2}"));
        }
        if let Ok(range) = self.meter.loudness_range() {
            lines.push(format!("RANGE_LU={range:.2}"));
        }
        let peaks = (0..self.channels).filter_map(|channel| self.meter.true_peak(channel).ok());
        let peak = peaks.fold(0.0, f64::max);
        if peak > 0.0 {
            lines.push(format!("TRUE_PEAK_DBTP={:.2}", 20.0 * peak.log10()));
        }
        if let Some(lufs) = loudness {
            let gain = REPLAY_GAIN_LUFS - lufs;
            lines.push(format!("REPLAYGAIN_TRACK_GAIN={gain:.2} dB"));
            lines.push(format!("REPLAYGAIN_TRACK_PEAK={peak:.6}"));
        }
        lines.join("\0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(format: SampleFormat) -> AudioHeader {
        AudioHeader {
            sample_rate: 48_000,
            channels: 2,
            format,
        }
    }

    /// EBU Tech 3341, test 1: a stereo sine of 1 kHz at −23 dBFS has −23 LUFS.
    #[test]
    fn a_sine_has_the_loudness_it_should() {
        let mut meter = LoudnessMeter::new(&header(SampleFormat::Int { bits: 16 })).unwrap();
        let amplitude = 32768.0 * 10f64.powf(-23.0 / 20.0);
        for second in 0..20 {
            let samples: Vec<i32> = (0..96_000)
                .map(|i| {
                    let t = f64::from(second * 48_000 + i / 2) / 48_000.0;
                    (amplitude * (t * 1000.0 * std::f64::consts::TAU).sin()).round() as i32
                })
                .collect();
            meter.add(&samples);
        }
        let text = meter.finish();
        let value = |name: &str| -> f64 {
            let line = text.split('\0').find_map(|line| line.strip_prefix(name));
            line.unwrap().trim_end_matches(" dB").parse().unwrap()
        };
        assert!((value("INTEGRATED_LUFS=") + 23.0).abs() < 0.1, "{text:?}");
        assert!((value("TRUE_PEAK_DBTP=") + 23.0).abs() < 0.1, "{text:?}");
        assert!(
            (value("REPLAYGAIN_TRACK_GAIN=") - 5.0).abs() < 0.1,
            "{text:?}"
        );
    }

    #[test]
    fn silence_and_strange_floats_have_no_loudness() {
        let mut meter = LoudnessMeter::new(&header(SampleFormat::Float32)).unwrap();
        meter.add(&[f32::NAN.to_bits() as i32; 96_000]);
        assert!(!meter.finish().contains("LUFS"));
    }
}
