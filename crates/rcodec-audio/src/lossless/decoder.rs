//! Has blocks decoded and hands out their samples in order.

use super::block::{Charged, Layout, decode_block};
use super::jobs::{JobQueue, jobs_at_once};
use rcodec_core::{AudioBlock, Block, BlockSource, DecodeContext, Decoder, Media, Result};
use std::time::{Duration, Instant};

/// Bytes per sample while a block is decoded: samples, planes, magnitudes and
/// payload.
const BYTES_PER_SAMPLE: u64 = 20;

/// A block that comes within this time does not come from a live source.
const READ_AHEAD_PATIENCE: Duration = Duration::from_millis(50);

/// The decoder of `audio-lossless`.
///
/// The first block is handed out before a second one is asked for. While the
/// source has blocks at hand, several are decoded side by side; from a source
/// that makes the decoder wait, none is read ahead, so that a live stream is
/// heard as soon as it can be.
pub(crate) struct BlockDecoder<'a> {
    layout: Layout,
    context: DecodeContext<'a>,
    jobs: JobQueue<Result<Charged>>,
    jobs_at_once: usize,
    /// How many blocks may be in work now.
    window: usize,
    ended: bool,
    samples_done: u64,
}

impl<'a> BlockDecoder<'a> {
    pub(crate) fn new(layout: Layout, context: DecodeContext<'a>) -> Self {
        let block_bytes = (layout.block_frames * layout.channels) as u64 * BYTES_PER_SAMPLE;
        BlockDecoder {
            layout,
            context,
            jobs: JobQueue::new(),
            jobs_at_once: jobs_at_once(block_bytes),
            window: 1,
            ended: false,
            samples_done: 0,
        }
    }

    /// Reads a block and starts to decode it.
    fn start_next(&mut self, source: &mut dyn BlockSource) -> Result<()> {
        let begun = Instant::now();
        let Some(block) = source.next_block()? else {
            self.ended = true;
            return Ok(());
        };
        if begun.elapsed() > READ_AHEAD_PATIENCE {
            self.window = 1;
        }
        let (layout, budget) = (self.layout, self.context.budget.clone());
        self.jobs.start(move || {
            let Block {
                payload,
                at,
                reservation,
            } = block;
            let samples = decode_block(&payload, &layout, &budget);
            drop(reservation);
            samples.map_err(|error| error.offset_by(at))
        });
        Ok(())
    }
}

impl Decoder for BlockDecoder<'_> {
    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>> {
        while !self.ended && self.jobs.len() < self.window {
            self.start_next(source)?;
        }
        self.window = (self.window + 1).min(self.jobs_at_once);
        let Some(decoded) = self.jobs.next() else {
            return Ok(None);
        };
        // Blocks that wait are charged; what is handed out is the caller's.
        let (samples, _reservation) = decoded.inspect_err(|_| self.ended = true)?;
        self.samples_done = self.samples_done.saturating_add(samples.len() as u64);
        self.context.budget.check_samples(self.samples_done)?;
        self.context.progress.check(self.samples_done, None)?;
        Ok(Some(Media::Audio(AudioBlock { samples })))
    }
}
