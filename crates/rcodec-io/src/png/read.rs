//! Reading PNG.

use super::chunks::{Layout, split_kept, usual_palette_place};
use super::flags;
use crate::input::{Input, Whole};
use crate::source::{Attempt, Opened, Units};
use crate::strips::{Picture, rows_per_strip, total_bytes, unpack};
use rcodec_core::{
    Budget, Error, ImageHeader, ImageStrip, Media, MediaHeader, Metadata, MetadataKey, Reservation,
    Result, Samples,
};
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// Pictures whose samples take at most this much are decoded once and kept;
/// larger ones are decoded a first time only to see that they are whole.
const KEEP_BYTES: u64 = 32 << 20;

/// Why a PNG cannot be given as pixels.
pub(super) type Reason = String;

/// Opens a PNG file.
pub(crate) fn open(input: Input, budget: &Budget) -> Result<Attempt> {
    open_with(input, budget, try_open)
}

/// Opens a file that is read whole.
pub(super) fn open_with(
    mut input: Input,
    budget: &Budget,
    try_open: fn(&Arc<Whole>, &Budget) -> Result<Opened, Reason>,
) -> Result<Attempt> {
    let Some(whole) = input.take_whole(budget)? else {
        return Ok(Attempt::bytes(input, "it needs more memory than allowed"));
    };
    let whole = Arc::new(whole);
    match try_open(&whole, budget) {
        Ok(opened) => Ok(Attempt::Media(opened)),
        Err(why) => {
            // Whoever shared the file is gone with the failed attempt.
            let bytes = match Arc::try_unwrap(whole) {
                Ok(whole) => whole.bytes,
                Err(shared) => shared.bytes.clone(),
            };
            input.put_back(bytes);
            Ok(Attempt::bytes(input, why))
        }
    }
}

fn try_open(whole: &Arc<Whole>, budget: &Budget) -> Result<Opened, Reason> {
    let layout = Layout::parse(&whole.bytes)?;
    let header = &layout.header;
    budget
        .check_samples(header.total_samples())
        .map_err(|_| "it has more samples than allowed")?;
    let (metadata, tail) = describe(&layout, &whole.bytes)?;
    let units = if layout.interlaced || total_bytes(header) <= KEEP_BYTES {
        let mut picture = Picture::reserve(header, budget).map_err(|e| e.to_string())?;
        read_all(whole, &layout, &mut picture.samples, budget)?;
        picture.into_units(tail)
    } else {
        Rows::new(whole, &layout, budget)?.check_all()?;
        Box::new(PngUnits {
            rows: Rows::new(whole, &layout, budget)?,
            rows_per_strip: rows_per_strip(header),
            left_rows: header.height,
            tail: Some(tail),
        })
    };
    Ok(Opened {
        header: MediaHeader::Image(layout.header),
        metadata,
        units,
    })
}

/// Appends all samples of a file.
pub(super) fn read_all(
    whole: &Arc<Whole>,
    layout: &Layout,
    samples: &mut Samples,
    budget: &Budget,
) -> Result<(), Reason> {
    let mut rows = Rows::new(whole, layout, budget)?;
    if layout.interlaced {
        return rows.read_interlaced(samples, budget);
    }
    while rows.append_row(samples)? {}
    Ok(())
}

/// The metadata before and behind the pixels.
pub(super) fn describe(layout: &Layout, file: &[u8]) -> Result<(Metadata, Metadata), Reason> {
    let (mut metadata, mut tail) = (Metadata::default(), Metadata::default());
    metadata.push(MetadataKey::SOURCE_FORMAT, *b"png");
    let mut private = vec![0u8];
    if layout.interlaced {
        private[0] |= flags::INTERLACED;
    }
    let indexed = !layout.header.palette.is_empty();
    if indexed && layout.palette_place != usual_palette_place(&split_kept(&layout.before)?) {
        let place = u8::try_from(layout.palette_place)
            .map_err(|_| "its palette stands behind too many chunks")?;
        private[0] |= flags::PALETTE_PLACE;
        private.push(place);
    }
    if private[0] != 0 {
        metadata.push(MetadataKey::FORMAT_PRIVATE, private);
    }
    if !layout.before.is_empty() {
        metadata.push(MetadataKey::PNG_CHUNKS, layout.before.as_slice());
    }
    if !layout.behind.is_empty() {
        tail.push(MetadataKey::PNG_CHUNKS, layout.behind.as_slice());
    }
    if !layout.trailing.is_empty() {
        tail.push(MetadataKey::FORMAT_PRIVATE, &file[layout.trailing.clone()]);
    }
    Ok((metadata, tail))
}

/// Gives the rows of a large PNG as they are decoded.
struct PngUnits {
    rows: Rows,
    rows_per_strip: u32,
    left_rows: u32,
    tail: Option<Metadata>,
}

impl Units for PngUnits {
    fn next_unit(&mut self, tail: &mut Metadata) -> Result<Option<Media>> {
        let rows = self.rows_per_strip.min(self.left_rows);
        if rows == 0 {
            tail.items
                .extend(self.tail.take().unwrap_or_default().items);
            return Ok(None);
        }
        self.left_rows -= rows;
        let mut samples = Samples::empty_for(self.rows.bits);
        for _ in 0..rows {
            // All rows have been decoded once, so this cannot fail.
            let more = self.rows.append_row(&mut samples);
            if !more.map_err(|why| Error::Io(io::Error::other(why)))? {
                return Err(Error::Io(io::Error::other("a row went missing")));
            }
        }
        Ok(Some(Media::Image(ImageStrip { rows, samples })))
    }
}

/// Decodes rows.
struct Rows {
    reader: png::Reader<Essential>,
    bits: u8,
    row_samples: usize,
    /// One row as it stands in the file.
    packed: Vec<u8>,
    _held: Reservation,
}

impl Rows {
    fn new(whole: &Arc<Whole>, layout: &Layout, budget: &Budget) -> Result<Self, Reason> {
        let header = &layout.header;
        let row_bytes = row_bytes(header);
        // The decoder holds a few rows and its inflater's window.
        let held = row_bytes
            .checked_mul(6)
            .and_then(|bytes| budget.reserve(bytes + (1 << 20)).ok())
            .ok_or("its rows need more memory than allowed")?;
        let mut options = png::DecodeOptions::default();
        options.set_ignore_crc(true); // checked already
        options.set_ignore_adler32(false);
        let mut decoder = png::Decoder::new_with_options(Essential::new(whole, layout), options);
        decoder.set_transformations(png::Transformations::IDENTITY);
        decoder.set_limits(png::Limits {
            bytes: usize::try_from(held.bytes()).unwrap_or(usize::MAX),
        });
        let reader = decoder.read_info().map_err(damaged)?;
        Ok(Rows {
            reader,
            bits: header.bits,
            row_samples: header.row_samples(),
            packed: vec![0; row_bytes as usize],
            _held: held,
        })
    }

    /// Decodes the next row to the end of `samples`; `false` if there is none
    /// and the file is sound up to its end.
    fn append_row(&mut self, samples: &mut Samples) -> Result<bool, Reason> {
        if self
            .reader
            .read_row(&mut self.packed)
            .map_err(damaged)?
            .is_none()
        {
            self.reader.finish().map_err(damaged)?;
            return Ok(false);
        }
        unpack_row(&self.packed, self.bits, self.row_samples, samples);
        Ok(true)
    }

    /// Decodes everything and keeps nothing.
    fn check_all(&mut self) -> Result<(), Reason> {
        while self
            .reader
            .read_row(&mut self.packed)
            .map_err(damaged)?
            .is_some()
        {}
        self.reader.finish().map_err(damaged)
    }

    /// Decodes an interlaced picture.
    fn read_interlaced(&mut self, samples: &mut Samples, budget: &Budget) -> Result<(), Reason> {
        let size = self.reader.output_buffer_size().ok_or("it is too large")?;
        let (mut packed, _held) = budget.filled(0u8, size as u64).map_err(|e| e.to_string())?;
        self.reader.next_frame(&mut packed).map_err(damaged)?;
        self.reader.finish().map_err(damaged)?;
        for row in packed.chunks_exact(self.packed.len()) {
            unpack_row(row, self.bits, self.row_samples, samples);
        }
        Ok(())
    }
}

fn damaged(error: png::DecodingError) -> Reason {
    match error {
        png::DecodingError::LimitsExceeded => "it needs more memory than allowed".to_owned(),
        error => format!("the PNG is damaged ({error})"),
    }
}

/// Bytes of one row in the file, its filter's byte left out.
pub(super) fn row_bytes(header: &ImageHeader) -> u64 {
    (header.row_samples() as u64 * u64::from(header.bits)).div_ceil(8)
}

/// Appends the samples of one row.
fn unpack_row(packed: &[u8], bits: u8, row_samples: usize, samples: &mut Samples) {
    match samples {
        Samples::U16(samples) => samples.extend(
            packed
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]])),
        ),
        Samples::U8(samples) => unpack(packed, bits, row_samples, samples),
    }
}

/// A PNG file without the chunks that its pixels do not need, so that no odd
/// text or profile can stop their decoder or make it inflate something huge.
struct Essential {
    whole: Arc<Whole>,
    pieces: Vec<Range<usize>>,
    piece: usize,
}

impl Essential {
    /// What follows the pieces: an IEND chunk.
    const END: &'static [u8] = b"\0\0\0\0IEND\xAE\x42\x60\x82";

    fn new(whole: &Arc<Whole>, layout: &Layout) -> Self {
        let mut pieces = layout.essential.clone();
        pieces.push(0..Self::END.len());
        Essential {
            whole: Arc::clone(whole),
            pieces,
            piece: 0,
        }
    }
}

impl BufRead for Essential {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece + 1 < self.pieces.len() && self.pieces[self.piece].is_empty() {
            self.piece += 1;
        }
        let range = self.pieces[self.piece].clone();
        let bytes = if self.piece + 1 < self.pieces.len() {
            &self.whole.bytes
        } else {
            Self::END
        };
        Ok(&bytes[range])
    }

    fn consume(&mut self, count: usize) {
        self.pieces[self.piece].start += count;
    }
}

impl Read for Essential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl Seek for Essential {
    /// The decoder asks for the trait, but reads a still picture in order.
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
