//! A frame of one or two channels: how it is cut into blocks, and the blocks.

use super::layout::{Layout, MAX_SPLITS};
use super::params::Params;
use super::spectrum::{Block, SpectrumCoder};
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, BitModel, CountedBit, code_exp_golomb_signed};

/// The quantiser of a frame is 0 to this.
pub(crate) const MAX_QUANTISER: i32 = 511;

/// A frame of one or two channels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// How often the frame was halved for each block, in order of time.
    pub(crate) splits: Vec<u8>,
    /// How often the frame was halved for the overlap with the next frame.
    pub(crate) overlap: u8,
    /// 1/16 octaves.
    pub(crate) quantiser: i32,
    /// As many as splits.
    pub(crate) blocks: Vec<Block>,
}

/// Codes frames of one or two channels, in either direction.
#[derive(Clone, Debug)]
pub(crate) struct FrameCoder {
    pub(crate) spectrum: SpectrumCoder,
    /// Quantiser of the last frame.
    quantiser: Option<i32>,
    same_quantiser: CountedBit<60>,
    /// By depth, and whether the last frame was cut.
    halve: [[CountedBit<60>; 2]; 3],
    shorter: [CountedBit<60>; 4],
    was_halved: bool,
}

impl FrameCoder {
    pub(crate) fn new(channels: usize) -> Self {
        let likely = |p1_q16| CountedBit::with_p1_q16(p1_q16, 8);
        FrameCoder {
            spectrum: SpectrumCoder::new(channels),
            quantiser: None,
            same_quantiser: likely(60_000),
            halve: [
                [likely(6000), likely(30_000)],
                [likely(32_000); 2],
                [likely(32_000); 2],
            ],
            shorter: [likely(3000), likely(20_000), likely(32_000), likely(32_000)],
            was_halved: false,
        }
    }

    /// Forgets everything: a key frame follows.
    pub(crate) fn reset(&mut self) {
        let mut fresh = Self::new(0);
        self.spectrum.reset();
        std::mem::swap(&mut fresh.spectrum, &mut self.spectrum);
        *self = fresh;
    }

    /// Codes a frame; `quantise` fills in the levels of a block whose envelope
    /// and steps are known (encoders only).
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        frame: &mut Frame,
        layout: &Layout,
        params: &Params,
        mut quantise: impl FnMut(usize, &mut Block),
    ) -> Result<()> {
        self.code_quantiser(coder, frame)?;
        let wanted = std::mem::take(&mut frame.splits);
        let mut rest = wanted.as_slice();
        self.code_splits(coder, &mut rest, 0, &mut frame.splits)?;
        self.was_halved = frame.splits.len() > 1;
        self.code_overlap(coder, frame)?;
        frame.blocks.resize(frame.splits.len(), Block::default());
        for (i, block) in frame.blocks.iter_mut().enumerate() {
            block.split = frame.splits[i].into();
            block.quantiser = frame.quantiser;
            self.spectrum
                .code_envelope(coder, block, layout, &params.rule)?;
            quantise(i, block);
            self.spectrum.code_levels(coder, block, layout)?;
        }
        Ok(())
    }

    fn code_quantiser<C: BitCoder>(&mut self, coder: &mut C, frame: &mut Frame) -> Result<()> {
        frame.quantiser = match self.quantiser {
            None => coder.code_raw(frame.quantiser as u32, 9)? as i32,
            Some(last) => {
                if self.same_quantiser.code(coder, frame.quantiser == last)? {
                    last
                } else {
                    let change = i64::from(frame.quantiser - last);
                    let change = code_exp_golomb_signed(coder, change, 1)?;
                    let quantiser = i64::from(last).saturating_add(change);
                    match i32::try_from(quantiser) {
                        Ok(q @ 0..=MAX_QUANTISER) => q,
                        _ => return Err(Error::malformed(coder.position(), "quantiser")),
                    }
                }
            }
        };
        self.quantiser = Some(frame.quantiser);
        Ok(())
    }

    fn code_splits<C: BitCoder>(
        &mut self,
        coder: &mut C,
        wanted: &mut &[u8],
        depth: u8,
        splits: &mut Vec<u8>,
    ) -> Result<()> {
        let next = wanted.first().copied().unwrap_or(0);
        if u32::from(depth) < MAX_SPLITS {
            let model = &mut self.halve[usize::from(depth)][usize::from(self.was_halved)];
            if model.code(coder, next > depth)? {
                self.code_splits(coder, wanted, depth + 1, splits)?;
                return self.code_splits(coder, wanted, depth + 1, splits);
            }
        }
        *wanted = wanted.get(1..).unwrap_or(&[]);
        splits.push(depth);
        Ok(())
    }

    fn code_overlap<C: BitCoder>(&mut self, coder: &mut C, frame: &mut Frame) -> Result<()> {
        let mut overlap = frame.splits.last().copied().unwrap_or(0);
        while u32::from(overlap) < MAX_SPLITS
            && self.shorter[usize::from(overlap)].code(coder, frame.overlap > overlap)?
        {
            overlap += 1;
        }
        frame.overlap = overlap;
        Ok(())
    }
}
