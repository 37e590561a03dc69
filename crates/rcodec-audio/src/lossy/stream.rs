//! Frames of all channels: groups of one or two channels side by side.

use super::analysis::{Analysed, Analysis, quantise};
use super::frame::{Frame, FrameCoder};
use super::layout::Layout;
use super::params::Params;
use super::synthesis::{Synthesis, Transforms};
use super::tuning::Tuning;
use rcodec_core::Result;
use rcodec_entropy::BitCoder;

/// How many channels go into each element: pairs, and a last single one.
pub(crate) fn elements(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels.div_ceil(2)).map(move |i| (channels - 2 * i).min(2))
}

/// Decodes frames of all channels.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    pub(crate) params: Params,
    layout: Layout,
    transforms: Transforms,
    elements: Vec<(FrameCoder, Synthesis)>,
}

impl FrameDecoder {
    pub(crate) fn new(params: Params, sample_rate: u32, channels: usize) -> Self {
        let elements = elements(channels)
            .map(|n| (FrameCoder::new(n), Synthesis::new(n, params.frame)))
            .collect();
        FrameDecoder {
            params,
            layout: Layout::new(params.frame, sample_rate),
            transforms: Transforms::new(params.frame),
            elements,
        }
    }

    /// A key frame follows.
    pub(crate) fn reset(&mut self) {
        for (coder, synthesis) in &mut self.elements {
            coder.reset();
            synthesis.reset_noise();
        }
    }

    /// Decodes what a frame says.
    pub(crate) fn parse<C: BitCoder>(&mut self, coder: &mut C) -> Result<Vec<Frame>> {
        let mut parsed = Vec::new();
        for (frames, _) in &mut self.elements {
            let mut frame = Frame::default();
            frames.code(coder, &mut frame, &self.layout, &self.params, |_, _| {})?;
            parsed.push(frame);
        }
        Ok(parsed)
    }

    /// The samples of each channel from half a frame before the frame's begin
    /// to its middle, full scale 2^20.
    pub(crate) fn synthesise(&mut self, frames: &[Frame]) -> Vec<Vec<i64>> {
        let mut out = Vec::new();
        for ((_, synthesis), frame) in self.elements.iter_mut().zip(frames) {
            out.extend(synthesis.push(frame, &self.layout, &self.params, &mut self.transforms));
        }
        out
    }

    /// Samples in place of a lost frame.
    pub(crate) fn conceal(&mut self) -> Vec<Vec<i64>> {
        let mut out = Vec::new();
        for (_, synthesis) in &mut self.elements {
            out.extend(synthesis.conceal(&self.layout, &mut self.transforms));
        }
        out
    }

    /// Decodes a frame; gives its samples.
    pub(crate) fn decode<C: BitCoder>(&mut self, coder: &mut C) -> Result<Vec<Vec<i64>>> {
        let frames = self.parse(coder)?;
        Ok(self.synthesise(&frames))
    }
}

/// Encodes frames of all channels.
#[derive(Clone, Debug)]
pub(crate) struct FrameEncoder {
    pub(crate) params: Params,
    pub(crate) tuning: Tuning,
    layout: Layout,
    transforms: Transforms,
    elements: Vec<(FrameCoder, Analysis)>,
}

impl FrameEncoder {
    pub(crate) fn new(params: Params, tuning: Tuning, sample_rate: u32, channels: usize) -> Self {
        let elements = elements(channels)
            .map(|n| (FrameCoder::new(n), Analysis::new(n, params.frame)))
            .collect();
        FrameEncoder {
            params,
            tuning,
            layout: Layout::new(params.frame, sample_rate),
            transforms: Transforms::new(params.frame),
            elements,
        }
    }

    /// A key frame follows.
    pub(crate) fn reset(&mut self) {
        for (coder, _) in &mut self.elements {
            coder.reset();
        }
    }

    /// Takes interleaved samples, full scale 2^20.
    pub(crate) fn push(&mut self, samples: &[i64]) {
        let channels: usize = self.elements.iter().map(|(_, a)| a.channels()).sum();
        let mut first = 0;
        for (_, analysis) in &mut self.elements {
            for channel in 0..analysis.channels() {
                let own = samples.iter().skip(first).step_by(channels);
                analysis.push(channel, own.copied());
                first += 1;
            }
        }
    }

    /// Samples of a channel at hand behind the beginning of the next frame.
    pub(crate) fn available(&self) -> usize {
        let first = self.elements.first();
        first.map_or(0, |(_, a)| a.available(self.params.frame))
    }

    /// Has the next frame and those behind it be of one block each.
    pub(crate) fn keep_frame_whole(&mut self) {
        self.tuning.block_bits = f32::MAX / 1e6;
        for (_, analysis) in &mut self.elements {
            analysis.forget_splits();
        }
    }

    /// Codes the next frame.
    pub(crate) fn encode<C: BitCoder>(&mut self, coder: &mut C, quantiser: i32) -> Result<()> {
        for (frames, analysis) in &mut self.elements {
            let Analysed {
                mut frame,
                coefficients,
            } = analysis.next(
                &self.layout,
                &self.params,
                &self.tuning,
                &mut self.transforms,
                quantiser,
            );
            let (layout, tuning) = (&self.layout, &self.tuning);
            frames.code(coder, &mut frame, layout, &self.params, |i, block| {
                quantise(block, &coefficients[i], layout, tuning);
            })?;
        }
        Ok(())
    }

    /// The models of the first element, for training.
    pub(crate) fn coder(&mut self) -> &mut FrameCoder {
        &mut self.elements[0].0
    }
}
