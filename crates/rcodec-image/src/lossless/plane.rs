//! Samples of a group, one plane per channel.

use rcodec_core::Samples;

/// The channels of a group of rows, each its own plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    /// Pixels in a row.
    pub(crate) width: usize,
    /// Number of rows.
    pub(crate) rows: usize,
    /// Bits per sample, 1-16.
    pub(crate) bits: u8,
    /// `width * rows` samples per channel, row by row.
    pub(crate) channels: Vec<Vec<u16>>,
}

impl Planes {
    /// Planes full of zeros.
    pub(crate) fn zeroed(width: usize, rows: usize, bits: u8, channels: usize) -> Self {
        Planes {
            width,
            rows,
            bits,
            channels: vec![vec![0; width * rows]; channels],
        }
    }

    /// Separates interleaved samples.
    pub(crate) fn from_interleaved(
        samples: &Samples,
        width: usize,
        bits: u8,
        channels: usize,
    ) -> Self {
        let planes = |channel: usize| match samples {
            Samples::U8(v) => v[channel..]
                .iter()
                .step_by(channels)
                .map(|&s| u16::from(s))
                .collect(),
            Samples::U16(v) => v[channel..].iter().step_by(channels).copied().collect(),
        };
        Planes {
            width,
            rows: samples.len() / channels / width,
            bits,
            channels: (0..channels).map(planes).collect::<Vec<Vec<u16>>>(),
        }
    }

    /// Interleaves the channels again.
    pub(crate) fn to_interleaved(&self) -> Samples {
        let count = self.width * self.rows * self.channels.len();
        let channels = self.channels.len();
        if self.bits <= 8 {
            let mut samples = vec![0u8; count];
            for (channel, plane) in self.channels.iter().enumerate() {
                let slots = samples[channel..].iter_mut().step_by(channels);
                for (slot, &sample) in slots.zip(plane) {
                    *slot = sample as u8;
                }
            }
            Samples::U8(samples)
        } else {
            let mut samples = vec![0u16; count];
            for (channel, plane) in self.channels.iter().enumerate() {
                let slots = samples[channel..].iter_mut().step_by(channels);
                for (slot, &sample) in slots.zip(plane) {
                    *slot = sample;
                }
            }
            Samples::U16(samples)
        }
    }

    /// Pixels in the group.
    pub(crate) fn pixels(&self) -> usize {
        self.width * self.rows
    }
}
