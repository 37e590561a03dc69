//! Blocks in, strips out.

use crate::lossless::group::{GroupShape, decode_group};
use crate::lossless::params::Params;
use crate::progress::PictureProgress;
use rayon::prelude::*;
use rcodec_core::{
    Block, BlockSource, DecodeContext, Decoder, Error, ImageHeader, ImageStrip, Media, Reservation,
    Result,
};
use std::collections::VecDeque;

/// Decodes as many groups side by side as there are threads.
pub(crate) struct GroupDecoder<'a> {
    shape: GroupShape,
    params: Params,
    context: DecodeContext<'a>,
    height: u32,
    progress: PictureProgress<'a>,
    groups_read: u64,
    /// Where the file ended, as far as it has been read.
    read_to: u64,
    ready: VecDeque<(ImageStrip, Reservation)>,
    finished: bool,
}

impl<'a> GroupDecoder<'a> {
    pub(crate) fn new(
        shape: GroupShape,
        header: &ImageHeader,
        params: Params,
        context: DecodeContext<'a>,
    ) -> Self {
        GroupDecoder {
            shape,
            params,
            progress: PictureProgress::new(context.progress, header.total_samples()),
            context,
            height: header.height,
            groups_read: 0,
            read_to: 0,
            ready: VecDeque::new(),
            finished: false,
        }
    }

    /// Reads the next block, with the rows of its group; `None` after the
    /// last group.
    fn next_group(&mut self, source: &mut dyn BlockSource) -> Result<Option<(Block, u32)>> {
        let rows = self.params.rows_of(self.groups_read, self.height);
        if rows == 0 {
            if let Some(block) = source.next_block()? {
                return Err(Error::malformed(
                    block.at,
                    "there is a block after the last row",
                ));
            }
            return Ok(None);
        }
        let block = source
            .next_block()?
            .ok_or(Error::Truncated { at: self.read_to })?;
        self.read_to = block.at + block.payload.len() as u64;
        self.groups_read += 1;
        Ok(Some((block, rows)))
    }

    /// Reads and decodes the next groups, one for every thread.
    fn refill(&mut self, source: &mut dyn BlockSource) -> Result<()> {
        let mut batch = Vec::new();
        while batch.len() < rayon::current_num_threads() {
            match self.next_group(source)? {
                Some(group) => batch.push(group),
                None => {
                    self.finished = true;
                    break;
                }
            }
        }
        let shape = self.shape;
        let budget = &self.context.budget;
        let progress = &self.progress;
        let strips: Vec<Result<(ImageStrip, Reservation)>> = batch
            .into_par_iter()
            .map(|(block, rows)| {
                let samples = decode_group(&block.payload, shape, rows, budget, progress)
                    .map_err(|e| e.offset_by(block.at))?;
                let memory = budget.reserve(shape.sample_bytes(samples.len() as u64))?;
                Ok((ImageStrip { rows, samples }, memory))
            })
            .collect();
        for strip in strips {
            self.ready.push_back(strip?);
        }
        Ok(())
    }
}

impl Decoder for GroupDecoder<'_> {
    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>> {
        if self.ready.is_empty() && !self.finished {
            self.refill(source)?;
        }
        let Some((strip, _memory)) = self.ready.pop_front() else {
            return Ok(None);
        };
        Ok(Some(Media::Image(strip)))
    }
}
