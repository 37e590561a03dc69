//! Collects frames into blocks and has them encoded.

use super::block::{Layout, Method, encode_block};
use super::jobs::{JobQueue, jobs_at_once};
use rcodec_core::{
    BlockSink, EncodeContext, Encoder, Error, Media, Reservation, Result, SampleFormat,
    write_varint,
};

/// Samples of a block take about this many bytes while it is encoded: as they
/// came, as planes and levels, and as payload.
const BYTES_PER_SAMPLE: u64 = 16;

/// The encoder of `audio-lossless`.
pub(crate) struct BlockEncoder<'a> {
    layout: Layout,
    method: Method,
    context: EncodeContext<'a>,
    /// Samples of the block that is not complete yet.
    samples: Vec<i32>,
    jobs: JobQueue<Vec<u8>>,
    jobs_at_once: usize,
    samples_done: u64,
    /// Memory of the blocks, charged with the first samples.
    reservation: Option<Reservation>,
}

impl<'a> BlockEncoder<'a> {
    pub(crate) fn new(layout: Layout, method: Method, context: EncodeContext<'a>) -> Self {
        let block_bytes = (layout.block_frames * layout.channels) as u64 * BYTES_PER_SAMPLE;
        BlockEncoder {
            layout,
            method,
            context,
            samples: Vec::new(),
            jobs: JobQueue::new(),
            jobs_at_once: jobs_at_once(block_bytes),
            samples_done: 0,
            reservation: None,
        }
    }

    fn block_samples(&self) -> usize {
        self.layout.block_frames * self.layout.channels
    }

    fn check(&self, samples: &[i32]) -> Result<()> {
        if !samples.len().is_multiple_of(self.layout.channels) {
            return Err(Error::parameter("a unit of sound that ends within a frame"));
        }
        if let SampleFormat::Int { bits } = self.layout.format {
            let unused_bits = 32 - u32::from(bits);
            if samples
                .iter()
                .any(|&s| s << unused_bits >> unused_bits != s)
            {
                return Err(Error::parameter(format!(
                    "samples of more than {bits} bits"
                )));
            }
        }
        Ok(())
    }

    /// Starts to encode the collected samples, and writes what must be out of
    /// the way first.
    fn start_block(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        while self.jobs.len() >= self.jobs_at_once {
            self.write_next(sink)?;
        }
        let samples = std::mem::take(&mut self.samples);
        let (layout, method) = (self.layout, self.method);
        self.jobs
            .start(move || encode_block(&samples, &layout, method));
        Ok(())
    }

    fn write_next(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        match self.jobs.next() {
            Some(payload) => sink.write_block(&payload),
            None => Ok(()),
        }
    }
}

impl Encoder for BlockEncoder<'_> {
    fn params(&self) -> Vec<u8> {
        let mut params = Vec::new();
        write_varint(&mut params, self.layout.block_frames as u64);
        params
    }

    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()> {
        let Media::Audio(unit) = unit else {
            return Err(Error::parameter("audio-lossless takes sound only"));
        };
        self.check(&unit.samples)?;
        if self.reservation.is_none() {
            let bytes = self.block_samples() as u64 * BYTES_PER_SAMPLE;
            let reserved = self
                .context
                .budget
                .reserve(bytes * self.jobs_at_once as u64)?;
            self.reservation = Some(reserved);
        }
        let mut rest = unit.samples.as_slice();
        while !rest.is_empty() {
            let room = self.block_samples() - self.samples.len();
            let (taken, left) = rest.split_at(room.min(rest.len()));
            self.samples.extend_from_slice(taken);
            rest = left;
            if self.samples.len() == self.block_samples() {
                self.start_block(sink)?;
            }
            self.samples_done += taken.len() as u64;
            self.context.progress.check(self.samples_done, None)?;
        }
        while let Some(payload) = self.jobs.try_next() {
            sink.write_block(&payload)?;
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        if !self.samples.is_empty() {
            self.start_block(sink)?;
        }
        while self.jobs.len() > 0 {
            self.write_next(sink)?;
        }
        self.reservation = None;
        Ok(())
    }
}
