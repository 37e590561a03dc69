//! Strips in, blocks out.

use crate::lossless::group::{GroupShape, encode_group};
use crate::lossless::params::Params;
use crate::lossless::plane::Planes;
use crate::progress::PictureProgress;
use rayon::prelude::*;
use rcodec_core::{
    BlockSink, EncodeContext, Encoder, Error, ImageHeader, ImageStrip, Media, Reservation, Result,
    Samples,
};

/// A group that waits to be coded, with the memory it will take.
struct Waiting {
    samples: Samples,
    _memory: Reservation,
}

/// Collects rows into groups, and groups until there is one for every thread.
pub(crate) struct GroupEncoder<'a> {
    shape: GroupShape,
    params: Params,
    context: EncodeContext<'a>,
    height: u32,
    /// Rows of a frame, if the picture consists of an animation's frames.
    frame_rows: Option<u32>,
    progress: PictureProgress<'a>,
    /// Samples of the group that is not complete yet.
    partial: Samples,
    rows_taken: u64,
    waiting: Vec<Waiting>,
}

impl<'a> GroupEncoder<'a> {
    pub(crate) fn new(
        shape: GroupShape,
        header: &ImageHeader,
        params: Params,
        frame_rows: Option<u32>,
        context: EncodeContext<'a>,
    ) -> Self {
        GroupEncoder {
            shape,
            params,
            progress: PictureProgress::new(context.progress, header.total_samples()),
            context,
            height: header.height,
            frame_rows,
            partial: Samples::empty_for(header.bits),
            rows_taken: 0,
            waiting: Vec::new(),
        }
    }

    /// Samples of the group that is being collected when it is complete.
    fn group_samples(&self) -> Result<usize> {
        let index = self.groups_taken();
        let rows = self.params.rows_of(index, self.height) as usize;
        rows.checked_mul(self.shape.row_samples())
            .ok_or(Error::Limit("memory"))
    }

    /// Number of groups that are complete.
    fn groups_taken(&self) -> u64 {
        let rows_partial = (self.partial.len() / self.shape.row_samples()) as u64;
        (self.rows_taken - rows_partial) / u64::from(self.params.group_rows)
    }

    /// Checks a strip against the picture's shape.
    fn check(&self, strip: &ImageStrip) -> Result<()> {
        let rows_left = u64::from(self.height) - self.rows_taken;
        if strip.rows == 0 || u64::from(strip.rows) > rows_left {
            return Err(Error::parameter("strip has rows beyond the picture"));
        }
        let samples = (strip.rows as usize).checked_mul(self.shape.row_samples());
        if samples != Some(strip.samples.len()) {
            return Err(Error::parameter("strip does not have the picture's width"));
        }
        let fits = match (&strip.samples, self.shape.bits) {
            (Samples::U8(v), bits @ 1..=8) => bits == 8 || v.iter().all(|&s| s >> bits == 0),
            (Samples::U16(v), bits @ 9..=16) => bits == 16 || v.iter().all(|&s| s >> bits == 0),
            _ => return Err(Error::parameter("strip has samples of the wrong type")),
        };
        if !fits {
            return Err(Error::parameter("a sample has more bits than the header"));
        }
        Ok(())
    }

    /// Codes the waiting groups side by side and writes them in order.
    fn flush(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        let shape = self.shape;
        let effort = self.context.effort;
        let frame_rows = self.frame_rows;
        let waiting = std::mem::take(&mut self.waiting);
        let progress = &self.progress;
        let payloads: Vec<Result<Vec<u8>>> = waiting
            .into_par_iter()
            .map(|group| {
                let planes = Planes::from_interleaved(
                    &group.samples,
                    shape.width,
                    shape.bits,
                    shape.channels,
                );
                let progress = progress.group(group.samples.len() as u64);
                drop(group.samples); // the planes are what is needed
                encode_group(&planes, shape, effort, frame_rows, progress)
            })
            .collect();
        for payload in payloads {
            sink.write_block(&payload?)?;
        }
        Ok(())
    }

    /// Moves as many of `samples` (all of one strip, from `taken` on) into the
    /// group as it lacks, and says how many.
    fn take(&mut self, samples: &Samples, taken: usize) -> Result<usize> {
        let lacking = self.group_samples()? - self.partial.len();
        let count = lacking.min(samples.len() - taken);
        match (&mut self.partial, samples) {
            (Samples::U8(to), Samples::U8(from)) => to.extend(&from[taken..taken + count]),
            (Samples::U16(to), Samples::U16(from)) => to.extend(&from[taken..taken + count]),
            _ => return Err(Error::parameter("strip has samples of the wrong type")),
        }
        Ok(count)
    }
}

impl Encoder for GroupEncoder<'_> {
    fn params(&self) -> Vec<u8> {
        self.params.to_bytes()
    }

    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()> {
        let Media::Image(strip) = unit else {
            return Err(Error::parameter("image-lossless takes strips of a picture"));
        };
        self.check(&strip)?;
        let mut taken = 0;
        while taken < strip.samples.len() {
            let group_samples = self.group_samples()?;
            let count = self.take(&strip.samples, taken)?;
            taken += count;
            self.rows_taken += (count / self.shape.row_samples()) as u64;
            if self.partial.len() < group_samples {
                break;
            }
            let memory = self
                .context
                .budget
                .reserve(self.shape.encode_bytes(group_samples as u64))?;
            let empty = Samples::empty_for(self.shape.bits);
            self.waiting.push(Waiting {
                samples: std::mem::replace(&mut self.partial, empty),
                _memory: memory,
            });
            if self.waiting.len() >= rayon::current_num_threads() {
                self.flush(sink)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        if self.rows_taken != u64::from(self.height) {
            return Err(Error::parameter("the picture lacks rows"));
        }
        self.flush(sink)
    }
}
