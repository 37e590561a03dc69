//! Writing animated PNG: each frame is written as a PNG of its own, and its
//! data are taken out of that.

use super::SIGNATURE;
use super::animation::{Animation, frame_control};
use super::chunks::{chunk_bytes, read_chunk};
use super::write::PngWriter;
use crate::strips::StripCheck;
use crate::writer::{Sink, Writer};
use rcodec_core::{
    Budget, Error, ImageHeader, ImageStrip, Media, Metadata, MetadataKey, Reservation, Result,
    Samples,
};

/// Writes the default image as it comes, and keeps the frames behind it,
/// compressed, until that is complete.
pub(crate) struct AnimationWriter<'a> {
    still: PngWriter<'a>,
    canvas: ImageHeader,
    animation: Animation,
    strips: StripCheck,
    /// Rows of the default image that are still to come.
    default_rows: u32,
    /// Samples of the frame that is not complete yet, and which it is of the
    /// later ones.
    partial: Samples,
    next: usize,
    sequence: u32,
    chunks: Vec<u8>,
    budget: Budget,
    held: Vec<Reservation>,
}

impl<'a> AnimationWriter<'a> {
    /// A writer of the picture of [`Animation`].
    pub(crate) fn new(
        header: &ImageHeader,
        animation: Animation,
        metadata: &Metadata,
        sink: Sink<'a>,
        budget: &Budget,
    ) -> Result<Self> {
        let rows = u64::from(header.height).checked_sub(animation.later_rows());
        let height = rows.and_then(|rows| u32::try_from(rows).ok());
        let Some(height) = height.filter(|&height| height > 0) else {
            return Err(Error::malformed(
                0,
                "the frames have more rows than there are",
            ));
        };
        let canvas = ImageHeader {
            height,
            ..header.clone()
        };
        animation
            .check(canvas.width, canvas.height)
            .map_err(|why| Error::malformed(0, why))?;
        let (chunks, sequence) = animation.head_chunks();
        let metadata = still_metadata(metadata, &chunks);
        Ok(AnimationWriter {
            still: PngWriter::new(&canvas, &metadata, sink, budget)?,
            strips: StripCheck::new(header),
            default_rows: height,
            partial: Samples::empty_for(header.bits),
            canvas,
            animation,
            next: 0,
            sequence,
            chunks: Vec::new(),
            budget: budget.clone(),
            held: Vec::new(),
        })
    }

    /// Takes a row of a frame behind the default image.
    fn take_row(&mut self, samples: &Samples, row: usize) -> Result<()> {
        let Some(frame) = self.animation.later().get(self.next) else {
            return Err(Error::parameter("a row beyond the last frame"));
        };
        let channels = self.canvas.color.channels();
        let first = row * self.canvas.row_samples() + frame.left() as usize * channels;
        let count = frame.width() as usize * channels;
        let all = count as u64 * u64::from(frame.height());
        if self.partial.is_empty() {
            let bytes = if self.canvas.bits <= 8 { 1 } else { 2 };
            self.held
                .push(self.budget.reserve(all.saturating_mul(bytes))?);
        }
        match (samples, &mut self.partial) {
            (Samples::U8(from), Samples::U8(to)) => to.extend(&from[first..first + count]),
            (Samples::U16(from), Samples::U16(to)) => to.extend(&from[first..first + count]),
            _ => return Err(Error::parameter("samples of the wrong width")),
        }
        if self.partial.len() as u64 == all {
            self.end_frame()?;
        }
        Ok(())
    }

    /// Compresses the frame that is complete.
    fn end_frame(&mut self) -> Result<()> {
        let frame = &self.animation.later()[self.next];
        let header = ImageHeader {
            width: frame.width(),
            height: frame.height(),
            ..self.canvas.clone()
        };
        let empty = Samples::empty_for(header.bits);
        let samples = std::mem::replace(&mut self.partial, empty);
        let mut file = Vec::new();
        let sink = Sink::Stream(Box::new(&mut file));
        let nothing = Metadata::default();
        let mut writer = Box::new(PngWriter::new(&header, &nothing, sink, &self.budget)?);
        writer.write(Media::Image(ImageStrip {
            rows: header.height,
            samples,
        }))?;
        writer.finish(&nothing)?;
        self.held.pop();
        self.chunks.extend(frame_control(frame, self.sequence));
        self.sequence += 1;
        let before = self.chunks.len();
        let mut at = SIGNATURE.len();
        while at < file.len() {
            let chunk = read_chunk(&file, at).map_err(|why| Error::malformed(0, why))?;
            at = chunk.whole.end;
            if &chunk.name == b"IDAT" {
                let data = [&self.sequence.to_be_bytes()[..], &file[chunk.data]].concat();
                self.chunks.extend(chunk_bytes(b"fdAT", &data));
                self.sequence += 1;
            }
        }
        let kept = (self.chunks.len() - before) as u64;
        self.held.push(self.budget.reserve(kept)?);
        self.next += 1;
        Ok(())
    }
}

/// Metadata of the default image: the animation's chunks stand last before its
/// data.
fn still_metadata(metadata: &Metadata, chunks: &[u8]) -> Metadata {
    let mut still = Metadata::default();
    still.push(MetadataKey::SOURCE_FORMAT, *b"png");
    let kept = metadata.get(MetadataKey::PNG_CHUNKS).unwrap_or(&[]);
    still.push(MetadataKey::PNG_CHUNKS, [kept, chunks].concat());
    if let Some(private) = metadata.get(MetadataKey::FORMAT_PRIVATE) {
        still.push(MetadataKey::FORMAT_PRIVATE, private);
    }
    still
}

impl Writer for AnimationWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        let strip = self.strips.accept(unit)?;
        let own = strip.rows.min(self.default_rows);
        if own > 0 {
            let count = own as usize * self.canvas.row_samples();
            let samples = match &strip.samples {
                Samples::U8(samples) => Samples::U8(samples[..count].to_vec()),
                Samples::U16(samples) => Samples::U16(samples[..count].to_vec()),
            };
            self.still
                .write(Media::Image(ImageStrip { rows: own, samples }))?;
            self.default_rows -= own;
        }
        for row in own..strip.rows {
            self.take_row(&strip.samples, row as usize)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, tail: &Metadata) -> Result<()> {
        self.strips.finish()?;
        let behind = tail.get(MetadataKey::PNG_CHUNKS).unwrap_or(&[]);
        let mut all = Metadata::default();
        all.push(MetadataKey::PNG_CHUNKS, [&self.chunks[..], behind].concat());
        if let Some(trailing) = tail.get(MetadataKey::FORMAT_PRIVATE) {
            all.push(MetadataKey::FORMAT_PRIVATE, trailing);
        }
        Box::new(self.still).finish(&all)
    }
}
