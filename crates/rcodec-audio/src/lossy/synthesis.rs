//! From coefficients to samples.

use super::frame::Frame;
use super::layout::{Layout, MAX_SPLITS};
use super::params::Params;
use super::reconstruct::{Noise, reconstruct};
use super::transform::{Dct4, Overlap};

/// Transforms and overlaps of all lengths of a stream's blocks.
#[derive(Clone, Debug)]
pub(crate) struct Transforms {
    /// By how often the frame was halved.
    pub(crate) dcts: Vec<Dct4>,
    pub(crate) overlaps: Vec<Overlap>,
}

impl Transforms {
    pub(crate) fn new(frame: usize) -> Self {
        let sizes = || (0..=MAX_SPLITS).map(|s| frame >> s);
        Transforms {
            dcts: sizes().map(Dct4::new).collect(),
            overlaps: sizes().map(Overlap::new).collect(),
        }
    }
}

/// Makes samples of the frames of one or two channels.
#[derive(Debug)]
pub(crate) struct Synthesis {
    /// By channel: the last frame, whose end waits for its neighbour, and room
    /// for the next.
    buffers: Vec<Vec<i64>>,
    noise: Noise,
    /// The overlap that the last frame asked for.
    overlap: u8,
    /// The coefficients of the last block, for concealment: how often the frame
    /// was halved, and by channel.
    last: (usize, Vec<Vec<i64>>),
}

impl Synthesis {
    pub(crate) fn new(channels: usize, frame: usize) -> Self {
        Synthesis {
            buffers: vec![vec![0; 2 * frame]; channels],
            noise: Noise::new(),
            overlap: 0,
            last: (0, vec![Vec::new(); channels]),
        }
    }

    /// Starts the noise anew: a key frame follows.
    pub(crate) fn reset_noise(&mut self) {
        self.noise = Noise::new();
    }

    /// Takes a frame; gives for each channel the samples from half a frame
    /// before it to its middle, full scale being 2^20.
    pub(crate) fn push(
        &mut self,
        frame: &Frame,
        layout: &Layout,
        params: &Params,
        transforms: &mut Transforms,
    ) -> Vec<Vec<i64>> {
        let mut spectra = Vec::new();
        for block in &frame.blocks {
            let coefficients = reconstruct(block, layout, &params.fill, &mut self.noise);
            spectra.push((block.split, coefficients));
        }
        let out = self.transform(&spectra, layout, transforms);
        self.overlap = frame.overlap;
        if let Some(last) = spectra.pop() {
            self.last = last;
        }
        out
    }

    /// Samples in place of a lost frame: the last block again and again, with
    /// other signs and ever softer.
    pub(crate) fn conceal(
        &mut self,
        layout: &Layout,
        transforms: &mut Transforms,
    ) -> Vec<Vec<i64>> {
        let (split, channels) = &mut self.last;
        let mut spectra = Vec::new();
        for _ in 0..1 << *split {
            for channel in channels.iter_mut() {
                channel.resize(layout.frame >> *split, 0);
                for x in channel.iter_mut() {
                    let signed = if self.noise.sign() { -*x } else { *x };
                    *x = signed - signed / (3 << *split);
                }
            }
            spectra.push((*split, channels.clone()));
        }
        let overlap = *split as u8;
        let out = self.transform(&spectra, layout, transforms);
        self.overlap = overlap;
        out
    }

    /// Coefficients of the blocks of a frame to samples.
    fn transform(
        &mut self,
        spectra: &[(usize, Vec<Vec<i64>>)],
        layout: &Layout,
        transforms: &mut Transforms,
    ) -> Vec<Vec<i64>> {
        let length = layout.frame;
        let mut at = length;
        for (split, coefficients) in spectra {
            let size = length >> split;
            for (buffer, coefficients) in self.buffers.iter_mut().zip(coefficients) {
                let region = &mut buffer[at..at + size];
                region.copy_from_slice(coefficients);
                transforms.dcts[*split].run(region);
            }
            at += size;
        }
        let first = spectra.first().map_or(0, |(split, _)| *split);
        let boundary = transforms.overlaps.get(first.max(self.overlap.into()));
        let mut out = Vec::new();
        for buffer in &mut self.buffers {
            if let Some(overlap) = boundary {
                overlap.unfold(buffer, length);
            }
            let mut at = length;
            for pair in spectra.windows(2) {
                at += length >> pair[0].0;
                transforms.overlaps[pair[0].0.max(pair[1].0)].unfold(buffer, at);
            }
            out.push(buffer[length / 2..length / 2 + length].to_vec());
            buffer.copy_within(length.., 0);
        }
        out
    }
}
