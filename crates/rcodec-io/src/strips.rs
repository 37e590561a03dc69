//! Cutting pictures into strips.

use crate::source::Units;
use rcodec_core::{
    Budget, Error, ImageHeader, ImageStrip, Media, Metadata, Reservation, Result, Samples,
};

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

/// Sees to it that the strips given to a writer make up the picture.
pub(crate) struct StripCheck {
    bits: u8,
    row_samples: usize,
    left_rows: u32,
}

impl StripCheck {
    pub(crate) fn new(header: &ImageHeader) -> Self {
        StripCheck {
            bits: header.bits,
            row_samples: header.row_samples(),
            left_rows: header.height,
        }
    }

    /// The next strip, if `unit` is one.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it does not fit the picture.
    pub(crate) fn accept(&mut self, unit: Media) -> Result<ImageStrip> {
        let Media::Image(strip) = unit else {
            return Err(Error::parameter("a picture got a unit of something else"));
        };
        let samples = u64::from(strip.rows) * self.row_samples as u64;
        if strip.rows > self.left_rows || strip.samples.len() as u64 != samples {
            return Err(Error::parameter("a strip does not fit the picture"));
        }
        let most = match &strip.samples {
            Samples::U8(_) if self.bits > 8 => None,
            Samples::U16(_) if self.bits <= 8 => None,
            Samples::U8(samples) => Some(samples.iter().fold(0, |all, &s| all | u32::from(s))),
            Samples::U16(samples) => Some(samples.iter().fold(0, |all, &s| all | u32::from(s))),
        };
        if most.is_none_or(|most| most >> self.bits != 0) {
            return Err(Error::parameter(format!(
                "the samples of a strip do not have {} bits",
                self.bits
            )));
        }
        self.left_rows -= strip.rows;
        Ok(strip)
    }

    /// # Errors
    /// [`Error::Parameter`] if rows are missing.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.left_rows > 0 {
            return Err(Error::parameter(format!(
                "{} rows of the picture are missing",
                self.left_rows
            )));
        }
        Ok(())
    }
}

/// Packs one row of samples of 1, 2, 4 or 8 bits into bytes, the first sample
/// at the upper end.
pub(crate) fn pack(samples: &[u8], bits: u8, packed: &mut Vec<u8>) {
    if bits == 8 {
        packed.extend_from_slice(samples);
        return;
    }
    for group in samples.chunks(usize::from(8 / bits)) {
        let mut byte = 0u8;
        for (i, &sample) in group.iter().enumerate() {
            byte |= sample << (8 - bits as usize * (i + 1));
        }
        packed.push(byte);
    }
}

/// Undoes [`pack`]: appends `count` samples.
pub(crate) fn unpack(packed: &[u8], bits: u8, count: usize, samples: &mut Vec<u8>) {
    if bits == 8 {
        samples.extend_from_slice(packed);
        return;
    }
    let end = samples.len() + count;
    let mask = (1u8 << bits) - 1;
    for &byte in packed {
        let mut left_bits = 8;
        while left_bits > 0 {
            left_bits -= bits;
            samples.push(byte >> left_bits & mask);
        }
    }
    samples.truncate(end); // the unused bits of the last byte
}
