//! Uncompressed pictures, byte for byte: BMP, binary PNM and PAM, TIFF.
//!
//! Such a file is a *head*, rows of pixels that are all laid out alike, and a
//! *tail*. Head and tail are kept as they are, with a few bytes that say how the
//! rows are laid out ([`Layout`]); so the very file comes back, tags, comments
//! and thumbnails included. Each row is checked for this when the file is
//! opened: it must be what writing its samples gives.
//!
//! [`MetadataKey::FORMAT_PRIVATE`] holds the shape (bits less one, and colour
//! type times 16), the layout's flags, its filler byte if there is one, and the
//! head; in the tail metadata, the tail.

mod bmp;
mod pnm;
mod tiff;

use crate::input::{Input, Whole};
use crate::probe::SourceKind;
use crate::source::{Attempt, Opened, Units};
use crate::strips::{StripCheck, pack, rows_per_strip, unpack};
use crate::writer::{Sink, Writer};
use rcodec_core::{
    Budget, ColorType, ImageHeader, ImageStrip, Media, MediaHeader, Metadata, MetadataKey,
    Reservation, Result, Samples,
};
use std::ops::Range;

/// The longest head or tail that is kept.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// How rows are laid out in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Blue comes first.
    bgr: bool,
    /// The last row comes first.
    bottom_up: bool,
    /// A stored zero is the largest sample.
    inverted: bool,
    /// 16-bit samples are big endian.
    big_endian: bool,
    /// Rows are padded with zeros to whole 32-bit words.
    aligned: bool,
    /// Samples below 8 bits take a byte each.
    loose: bool,
    /// This byte follows each RGB pixel.
    filler: Option<u8>,
    /// The palette, four bytes a colour with blue first and zero last, ends the
    /// head and is left out of what is kept of it.
    palette_cut: bool,
}

impl Layout {
    fn to_bytes(self) -> Vec<u8> {
        let flags = [
            self.bgr,
            self.bottom_up,
            self.inverted,
            self.big_endian,
            self.aligned,
            self.loose,
            self.filler.is_some(),
            self.palette_cut,
        ];
        let byte = |sum, (i, &flag): (usize, &bool)| sum | u8::from(flag) << i;
        let mut bytes = vec![flags.iter().enumerate().fold(0, byte)];
        bytes.extend(self.filler);
        bytes
    }

    /// Undoes [`to_bytes`](Self::to_bytes); also gives what follows.
    fn from_bytes(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&flags, mut rest) = bytes.split_first()?;
        let has = |i: u32| flags >> i & 1 == 1;
        let mut filler = None;
        if has(6) {
            let (&byte, after) = rest.split_first()?;
            (filler, rest) = (Some(byte), after);
        }
        let layout = Layout {
            bgr: has(0),
            bottom_up: has(1),
            inverted: has(2),
            big_endian: has(3),
            aligned: has(4),
            loose: has(5),
            filler,
            palette_cut: has(7),
        };
        Some((layout, rest))
    }

    /// Whether rows of such pictures can be laid out like this at all.
    fn suits(&self, header: &ImageHeader) -> bool {
        (!self.bgr || matches!(header.color, ColorType::Rgb | ColorType::Rgba))
            && (self.filler.is_none() || header.color == ColorType::Rgb && header.bits == 8)
            && (self.loose || matches!(header.bits, 1 | 2 | 4 | 8..=16))
    }

    /// Length of a stored row; `None` if that is absurd.
    fn row_bytes(&self, header: &ImageHeader) -> Option<usize> {
        let stored_bits = match header.bits {
            9.. => 16,
            _ if self.loose => 8,
            bits => u64::from(bits),
        };
        let mut samples = header.row_samples() as u64;
        if self.filler.is_some() {
            samples += u64::from(header.width);
        }
        let bytes = samples.checked_mul(stored_bits)?.div_ceil(8);
        let bytes = if self.aligned {
            bytes.next_multiple_of(4)
        } else {
            bytes
        };
        usize::try_from(bytes).ok().filter(|&bytes| bytes < 1 << 40)
    }

    /// Appends a row as it is stored.
    fn write_row(&self, header: &ImageHeader, samples: RowRef, bytes: &mut Vec<u8>) {
        let begin = bytes.len();
        let most = ((1u32 << header.bits) - 1) as u16;
        let channels = header.color.channels();
        match samples {
            RowRef::U16(samples) => {
                for pixel in samples.chunks_exact(channels) {
                    for i in 0..channels {
                        let mut value = pixel[self.source_channel(i)];
                        if self.inverted {
                            value = most - value;
                        }
                        bytes.extend(if self.big_endian {
                            value.to_be_bytes()
                        } else {
                            value.to_le_bytes()
                        });
                    }
                }
            }
            RowRef::U8(samples) => {
                let plain = !self.bgr && !self.inverted && self.filler.is_none();
                let mut changed = Vec::new();
                if !plain {
                    for pixel in samples.chunks_exact(channels) {
                        for i in 0..channels {
                            let value = pixel[self.source_channel(i)];
                            changed.push(if self.inverted {
                                most as u8 - value
                            } else {
                                value
                            });
                        }
                        changed.extend(self.filler);
                    }
                }
                let stored = if plain { samples } else { &changed };
                pack(stored, if self.loose { 8 } else { header.bits }, bytes);
            }
        }
        if self.aligned {
            bytes.resize(begin + (bytes.len() - begin).next_multiple_of(4), 0);
        }
    }

    fn source_channel(&self, i: usize) -> usize {
        if self.bgr && i < 3 { 2 - i } else { i }
    }

    /// Appends the samples of a stored row of [`row_bytes`](Self::row_bytes);
    /// `false` if there is one that has too many bits.
    fn read_row(&self, header: &ImageHeader, bytes: &[u8], samples: &mut Samples) -> bool {
        let most = ((1u32 << header.bits) - 1) as u16;
        let channels = header.color.channels();
        let count = header.row_samples();
        match samples {
            Samples::U16(samples) => {
                let begin = samples.len();
                samples.extend(bytes.chunks_exact(2).take(count).map(|pair| {
                    let pair = [pair[0], pair[1]];
                    if self.big_endian {
                        u16::from_be_bytes(pair)
                    } else {
                        u16::from_le_bytes(pair)
                    }
                }));
                let row = &mut samples[begin..];
                if row.iter().any(|&sample| sample > most) {
                    return false;
                }
                if self.inverted {
                    row.iter_mut().for_each(|sample| *sample = most - *sample);
                }
                if self.bgr {
                    row.chunks_exact_mut(channels)
                        .for_each(|pixel| pixel.swap(0, 2));
                }
            }
            Samples::U8(samples) => {
                let begin = samples.len();
                if self.filler.is_some() {
                    samples.extend(bytes.chunks_exact(4).flat_map(|pixel| &pixel[..3]));
                    samples.truncate(begin + count);
                } else {
                    let bits = if self.loose { 8 } else { header.bits };
                    unpack(bytes, bits, count, samples);
                    samples.truncate(begin + count); // the padding
                }
                let row = &mut samples[begin..];
                if row.iter().any(|&sample| u16::from(sample) > most) {
                    return false;
                }
                if self.inverted {
                    row.iter_mut()
                        .for_each(|sample| *sample = most as u8 - *sample);
                }
                if self.bgr {
                    row.chunks_exact_mut(channels)
                        .for_each(|pixel| pixel.swap(0, 2));
                }
            }
        }
        true
    }
}

/// One row of samples.
#[derive(Clone, Copy)]
enum RowRef<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
}

impl<'a> RowRef<'a> {
    fn of(samples: &'a Samples, row: usize, row_samples: usize) -> Self {
        let range = row * row_samples..(row + 1) * row_samples;
        match samples {
            Samples::U8(samples) => RowRef::U8(&samples[range]),
            Samples::U16(samples) => RowRef::U16(&samples[range]),
        }
    }
}

/// A file as such a picture.
pub(crate) struct Raster {
    header: ImageHeader,
    layout: Layout,
    /// Where the rows stand.
    data: Range<usize>,
}

/// The palette as the end of a BMP's head has it.
fn palette_bytes(header: &ImageHeader) -> Vec<u8> {
    let colors = header.palette.iter();
    colors
        .flat_map(|color| [color[2], color[1], color[0], 0])
        .collect()
}

/// Opens a BMP, PNM or TIFF file, unless it is one that is not uncompressed.
pub(crate) fn open(mut input: Input, kind: SourceKind, budget: &Budget) -> Result<Attempt> {
    let Some(whole) = input.take_whole(budget)? else {
        return Ok(Attempt::bytes(input, "it needs more memory than allowed"));
    };
    let parsed = match kind {
        SourceKind::Bmp => bmp::parse(&whole.bytes),
        SourceKind::Pnm => pnm::parse(&whole.bytes),
        _ => tiff::parse(&whole.bytes),
    };
    let checked = parsed.and_then(|raster| {
        check(&raster, &whole.bytes, budget)?;
        Ok(raster)
    });
    match checked {
        Ok(raster) => Ok(Attempt::Media(raster.into_opened(whole, kind))),
        Err(why) => {
            input.put_back(whole.bytes);
            Ok(Attempt::bytes(input, why))
        }
    }
}

/// Whether every row comes back as it is.
fn check(raster: &Raster, file: &[u8], budget: &Budget) -> Result<(), &'static str> {
    let (header, layout) = (&raster.header, &raster.layout);
    let row_bytes = layout.row_bytes(header).filter(|_| layout.suits(header));
    let row_bytes = row_bytes.ok_or("its rows are of no known layout")?;
    let rows = file.get(raster.data.clone()).ok_or("it is cut off")?;
    if Some(rows.len()) != row_bytes.checked_mul(header.height as usize) {
        return Err("its length does not suit its dimensions");
    }
    if raster.data.start.max(file.len() - raster.data.end) > MAX_KEPT_BYTES {
        return Err("it holds much beside the picture");
    }
    let _held = budget
        .reserve(row_bytes as u64 * 3)
        .map_err(|_| "its rows need more memory than allowed")?;
    budget
        .check_samples(header.total_samples())
        .map_err(|_| "it has more samples than allowed")?;
    let mut samples = Samples::empty_for(header.bits);
    let mut again = Vec::new();
    for row in rows.chunks_exact(row_bytes) {
        match &mut samples {
            Samples::U8(samples) => samples.clear(),
            Samples::U16(samples) => samples.clear(),
        }
        again.clear();
        if !layout.read_row(header, row, &mut samples) {
            return Err("it has samples beyond its range");
        }
        layout.write_row(
            header,
            RowRef::of(&samples, 0, header.row_samples()),
            &mut again,
        );
        if again != row {
            return Err("it has pixels in its padding");
        }
    }
    Ok(())
}

/// The name of the format, as in [`MetadataKey::SOURCE_FORMAT`].
fn format_name(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Bmp => "bmp",
        SourceKind::Pnm => "pnm",
        _ => "tiff",
    }
}

/// Bits and colour type in a byte, to know one's own head again.
fn shape(header: &ImageHeader) -> u8 {
    let color = match header.color {
        ColorType::Gray => 0,
        ColorType::GrayAlpha => 1,
        ColorType::Rgb => 2,
        ColorType::Rgba => 3,
        ColorType::Indexed => 4,
    };
    (header.bits - 1) | color << 4
}

impl Raster {
    fn into_opened(mut self, whole: Whole, kind: SourceKind) -> Opened {
        let file = &whole.bytes;
        let mut head = &file[..self.data.start];
        let palette = palette_bytes(&self.header);
        if let Some(rest) = head.strip_suffix(&palette[..])
            && !palette.is_empty()
        {
            self.layout.palette_cut = true;
            head = rest;
        }
        let mut private = vec![shape(&self.header)];
        private.extend(self.layout.to_bytes());
        private.extend_from_slice(head);
        let mut metadata = Metadata::default();
        metadata.push(MetadataKey::SOURCE_FORMAT, format_name(kind));
        metadata.push(MetadataKey::FORMAT_PRIVATE, private);
        let mut tail = Metadata::default();
        if self.data.end < file.len() {
            tail.push(MetadataKey::FORMAT_PRIVATE, &file[self.data.end..]);
        }
        Opened {
            header: MediaHeader::Image(self.header.clone()),
            metadata,
            units: Box::new(RasterUnits {
                raster: self,
                whole,
                next_row: 0,
                tail: Some(tail),
            }),
        }
    }
}

struct RasterUnits {
    raster: Raster,
    whole: Whole,
    next_row: u32,
    tail: Option<Metadata>,
}

impl Units for RasterUnits {
    fn next_unit(&mut self, tail: &mut Metadata) -> Result<Option<Media>> {
        let Raster {
            header,
            layout,
            data,
        } = &self.raster;
        let rows = rows_per_strip(header).min(header.height - self.next_row);
        if rows == 0 {
            tail.items
                .extend(self.tail.take().unwrap_or_default().items);
            return Ok(None);
        }
        let stored = &self.whole.bytes[data.clone()];
        let row_bytes = stored.len() / header.height as usize;
        let mut samples = Samples::empty_for(header.bits);
        for row in self.next_row..self.next_row + rows {
            let row = if layout.bottom_up {
                header.height - 1 - row
            } else {
                row
            };
            let begin = row as usize * row_bytes;
            layout.read_row(header, &stored[begin..begin + row_bytes], &mut samples);
        }
        self.next_row += rows;
        Ok(Some(Media::Image(ImageStrip { rows, samples })))
    }
}

/// Writes such a file again.
pub(crate) struct RasterWriter<'a> {
    sink: Sink<'a>,
    header: ImageHeader,
    layout: Layout,
    strips: StripCheck,
    /// All rows from the top, if the file has them from the bottom.
    kept: Vec<u8>,
    row_bytes: usize,
    _held: Option<Reservation>,
}

impl<'a> RasterWriter<'a> {
    /// A writer for what a picture's metadata say of the file it was read
    /// from; gives the sink back if that does not suit the picture.
    pub(crate) fn new(
        header: &ImageHeader,
        metadata: &Metadata,
        mut sink: Sink<'a>,
        budget: &Budget,
    ) -> Result<Result<Self, Sink<'a>>> {
        let private = metadata.get(MetadataKey::FORMAT_PRIVATE).unwrap_or(&[]);
        let parsed = private
            .split_first()
            .filter(|&(&byte, _)| byte == shape(header))
            .and_then(|(_, rest)| Layout::from_bytes(rest))
            .filter(|(layout, _)| layout.suits(header))
            .and_then(|(layout, head)| Some((layout, head, layout.row_bytes(header)?)));
        let Some((layout, head, row_bytes)) = parsed else {
            return Ok(Err(sink));
        };
        let held = if layout.bottom_up {
            let bytes = (row_bytes as u64).saturating_mul(u64::from(header.height));
            Some(budget.reserve(bytes)?)
        } else {
            None
        };
        sink.write_all(head)?;
        if layout.palette_cut {
            sink.write_all(&palette_bytes(header))?;
        }
        Ok(Ok(RasterWriter {
            sink,
            header: header.clone(),
            layout,
            strips: StripCheck::new(header),
            kept: Vec::new(),
            row_bytes,
            _held: held,
        }))
    }
}

impl Writer for RasterWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        let strip = self.strips.accept(unit)?;
        let row_samples = self.header.row_samples();
        for row in 0..strip.rows as usize {
            let row = RowRef::of(&strip.samples, row, row_samples);
            self.layout.write_row(&self.header, row, &mut self.kept);
        }
        if !self.layout.bottom_up {
            self.sink.write_all(&self.kept)?;
            self.kept.clear();
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, tail: &Metadata) -> Result<()> {
        self.strips.finish()?;
        for row in self.kept.rchunks_exact(self.row_bytes) {
            self.sink.write_all(row)?;
        }
        if let Some(tail) = tail.get(MetadataKey::FORMAT_PRIVATE) {
            self.sink.write_all(tail)?;
        }
        Ok(self.sink.flush()?)
    }
}
