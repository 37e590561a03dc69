//! Decoding what is left of damaged sound.

use crate::registry;
use rcodec_bitstream::{Piece, Salvaged, salvage};
use rcodec_core::{
    AudioBlock, Block, BlockSource, Budget, CodecId, DecodeContext, Error, Media, MediaHeader,
    Metadata, NoProgress, Result, StreamHeader,
};
use std::ops::Range;

/// Frames that were lost and stand as silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The first frame.
    pub from: u64,
    /// How many.
    pub frames: u64,
    /// Offset in the file at which the damage begins.
    pub at: u64,
}

/// What a damaged file gives: sound with silence where blocks are lost.
#[derive(Debug)]
pub struct Recovery<'a> {
    file: &'a [u8],
    salvaged: Salvaged,
    budget: Budget,
    channels: u64,
    block_frames: u64,
    /// The pieces that are still to come, last first.
    pieces: Vec<Piece>,
    /// Frames of the whole stream, if its end is left.
    total_frames: Option<u64>,
    frames: u64,
    /// Frames of a gap that are still to be given.
    silence_left: u64,
    silences: Vec<Silence>,
}

/// Gives one block.
struct Once(Option<Block>);

impl BlockSource for Once {
    fn next_block(&mut self) -> Result<Option<Block>> {
        Ok(self.0.take())
    }
}

impl<'a> Recovery<'a> {
    /// Looks through a file of which all bytes are at hand.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for anything but `audio-lossless` in blocks, and
    /// what a damaged header deserves: without it nothing can be decoded.
    pub fn open(file: &'a [u8], budget: Budget) -> Result<Self> {
        let mut salvaged = salvage(file, &budget)?;
        let header = &salvaged.header;
        let MediaHeader::Audio(audio) = &header.media else {
            return Err(Error::unsupported("only sound can be recovered"));
        };
        if header.codec != CodecId::AUDIO_LOSSLESS {
            return Err(Error::unsupported("only lossless sound can be recovered"));
        }
        let channels = u64::from(audio.channels);
        let block_frames = rcodec_audio::block_frames(header)?;
        let total_frames = salvaged.samples.map(|samples| samples / channels);
        let mut pieces = std::mem::take(&mut salvaged.pieces);
        if let Some(total) = total_frames {
            limit_first_gap(&mut pieces, total.div_ceil(block_frames));
        }
        pieces.reverse();
        Ok(Recovery {
            file,
            salvaged,
            budget,
            channels,
            block_frames,
            pieces,
            total_frames,
            frames: 0,
            silence_left: 0,
            silences: Vec::new(),
        })
    }

    /// The stream's header.
    pub fn header(&self) -> &StreamHeader {
        &self.salvaged.header
    }

    /// The metadata before the samples, as far as it is left.
    pub fn metadata(&self) -> &Metadata {
        &self.salvaged.metadata
    }

    /// The metadata behind the samples, as far as it is left.
    pub fn tail(&self) -> &Metadata {
        &self.salvaged.tail
    }

    /// What was lost, as far as the stream has been gone through.
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// Whether the end of the stream is missing: nobody knows what else there
    /// was.
    pub fn is_cut(&self) -> bool {
        self.total_frames.is_none()
    }

    /// Frames given so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The next unit, or `None` after the last.
    ///
    /// # Errors
    /// [`Error::Limit`] only.
    pub fn next_unit(&mut self) -> Result<Option<Media>> {
        loop {
            if self.silence_left > 0 {
                let frames = self.silence_left.min(self.block_frames);
                self.silence_left -= frames;
                self.frames += frames;
                let samples = vec![0; (frames * self.channels) as usize];
                return Ok(Some(Media::Audio(AudioBlock { samples })));
            }
            match self.pieces.pop() {
                None => return Ok(None),
                Some(Piece::Lost { blocks, at }) => {
                    self.lose(blocks.saturating_mul(self.block_frames), at)?;
                }
                Some(Piece::Intact(range)) => {
                    let expected = self.expected_frames();
                    let at = range.start as u64;
                    match self.decode(range) {
                        Ok(samples)
                            if expected
                                .is_none_or(|e| samples.len() as u64 == e * self.channels) =>
                        {
                            self.frames += samples.len() as u64 / self.channels;
                            self.budget
                                .check_samples(self.frames.saturating_mul(self.channels))?;
                            return Ok(Some(Media::Audio(AudioBlock { samples })));
                        }
                        Err(error @ Error::Limit(_)) => return Err(error),
                        _ => self.lose(expected.unwrap_or(self.block_frames), at)?,
                    }
                }
            }
        }
    }

    /// Frames of the next block, if that is known: of the last one before a
    /// missing end it is not.
    fn expected_frames(&self) -> Option<u64> {
        match self.total_frames {
            Some(total) => Some(self.block_frames.min(total.saturating_sub(self.frames))),
            None => (!self.pieces.is_empty()).then_some(self.block_frames),
        }
    }

    fn lose(&mut self, frames: u64, at: u64) -> Result<()> {
        let left = self
            .total_frames
            .map(|total| total.saturating_sub(self.frames));
        let frames = left.map_or(frames, |left| left.min(frames));
        let end = self.frames.saturating_add(frames);
        self.budget
            .check_samples(end.saturating_mul(self.channels))?;
        if frames > 0 {
            self.silences.push(Silence {
                from: self.frames,
                frames,
                at,
            });
        }
        self.silence_left = frames;
        Ok(())
    }

    fn decode(&self, range: Range<usize>) -> Result<Vec<i32>> {
        let at = range.start as u64;
        let payload = self.file.get(range).unwrap_or(&[]).to_vec();
        let reservation = self.budget.reserve(payload.len() as u64)?;
        let context = DecodeContext {
            threads: 1,
            dictionary: &[],
            progress: &NoProgress,
            budget: self.budget.clone(),
        };
        let header = &self.salvaged.header;
        let mut decoder = registry::codec(header.codec)?.decoder(header, context)?;
        let mut source = Once(Some(Block {
            payload,
            at,
            reservation,
        }));
        match decoder.next_unit(&mut source)? {
            Some(Media::Audio(unit)) => Ok(unit.samples),
            _ => Ok(Vec::new()),
        }
    }
}

/// Lost blocks before the first that is left may have been metadata: there
/// cannot be more data blocks than the samples need.
fn limit_first_gap(pieces: &mut [Piece], data_blocks: u64) {
    let all: u64 = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Intact(_) => 1,
            Piece::Lost { blocks, .. } => *blocks,
        })
        .fold(0, u64::saturating_add);
    if let Some(Piece::Lost { blocks, .. }) = pieces.first_mut() {
        *blocks = blocks.saturating_sub(all.saturating_sub(data_blocks));
    }
}
