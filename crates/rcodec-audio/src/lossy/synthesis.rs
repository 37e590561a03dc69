//! From coefficients to samples.

use super::frame::Frame;
use super::layout::{Layout, MAX_SPLITS};
use super::params::Params;
use super::reconstruct::{Noise, reconstruct};
use super::transform::{Dct4, Overlap};

/// Transforms and overlaps of all lengths of a stream's blocks.
#[derive(Debug)]
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
}

impl Synthesis {
    pub(crate) fn new(channels: usize, frame: usize) -> Self {
        Synthesis {
            buffers: vec![vec![0; 2 * frame]; channels],
            noise: Noise::new(),
            overlap: 0,
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
        let length = layout.frame;
        let mut at = length;
        for block in &frame.blocks {
            let coefficients = reconstruct(block, layout, &params.fill, &mut self.noise);
            let size = length >> block.split;
            for (buffer, coefficients) in self.buffers.iter_mut().zip(coefficients) {
                let region = &mut buffer[at..at + size];
                region.copy_from_slice(&coefficients);
                transforms.dcts[block.split].run(region);
            }
            at += size;
        }
        let first = frame.splits.first().copied().unwrap_or(0);
        let boundary = transforms
            .overlaps
            .get(usize::from(self.overlap.max(first)));
        let mut out = Vec::new();
        for buffer in &mut self.buffers {
            if let Some(overlap) = boundary {
                overlap.unfold(buffer, length);
            }
            let mut at = length;
            for pair in frame.splits.windows(2) {
                at += length >> pair[0];
                transforms.overlaps[usize::from(pair[0].max(pair[1]))].unfold(buffer, at);
            }
            out.push(buffer[length / 2..length / 2 + length].to_vec());
            buffer.copy_within(length.., 0);
        }
        self.overlap = frame.overlap;
        out
    }
}
