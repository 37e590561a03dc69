//! Cutting pictures into strips.

use crate::source::Units;
use rcodec_core::{Budget, ImageHeader, ImageStrip, Media, Metadata, Reservation, Result, Samples};

/// Bytes of samples in one strip, about (at least one row).
const STRIP_BYTES: u64 = 1 << 20;

/// Bytes that hold one sample in memory.
pub(crate) fn sample_bytes(bits: u8) -> u64 {
    if bits <= 8 { 1 } else { 2 }
}

/// Bytes of all samples in memory.
pub(crate) fn total_bytes(header: &ImageHeader) -> u64 {
    header
        .total_samples()
        .saturating_mul(sample_bytes(header.bits))
}

/// How many rows a strip of the picture has.
pub(crate) fn rows_per_strip(header: &ImageHeader) -> u32 {
    let row_bytes = header.row_samples() as u64 * sample_bytes(header.bits);
    (STRIP_BYTES / row_bytes.max(1)).clamp(1, u64::from(header.height.max(1))) as u32
}

/// A decoded picture in memory, given strip by strip.
pub(crate) struct Picture {
    pub(crate) header: ImageHeader,
    pub(crate) samples: Samples,
    /// The memory of `samples`, charged.
    _held: Reservation,
}

impl Picture {
    /// Room for the samples of `header`, charged; empty as yet.
    pub(crate) fn reserve(header: &ImageHeader, budget: &Budget) -> Result<Self> {
        let held = budget.reserve(total_bytes(header))?;
        Ok(Picture {
            header: header.clone(),
            samples: Samples::empty_for(header.bits),
            _held: held,
        })
    }

    pub(crate) fn into_units(self, tail: Metadata) -> Box<dyn Units> {
        Box::new(PictureUnits {
            picture: self,
            next_row: 0,
            tail: Some(tail),
        })
    }
}

struct PictureUnits {
    picture: Picture,
    next_row: u32,
    tail: Option<Metadata>,
}

impl Units for PictureUnits {
    fn next_unit(&mut self, tail: &mut Metadata) -> Result<Option<Media>> {
        let header = &self.picture.header;
        let rows = rows_per_strip(header).min(header.height - self.next_row);
        if rows == 0 {
            tail.items
                .extend(self.tail.take().unwrap_or_default().items);
            return Ok(None);
        }
        let begin = self.next_row as usize * header.row_samples();
        let end = begin + rows as usize * header.row_samples();
        self.next_row += rows;
        let samples = match &self.picture.samples {
            Samples::U8(samples) => Samples::U8(samples[begin..end].to_vec()),
            Samples::U16(samples) => Samples::U16(samples[begin..end].to_vec()),
        };
        Ok(Some(Media::Image(ImageStrip { rows, samples })))
    }
}
