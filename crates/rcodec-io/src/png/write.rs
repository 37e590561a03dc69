//! Writing PNG.

use super::chunks::{split_kept, transparency_of, usual_palette_place};
use super::flags;
use super::read::row_bytes;
use crate::profile::{Profiles, XMP_KEYWORD};
use crate::strips::{StripCheck, pack};
use crate::writer::{Sink, Writer};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rcodec_core::{
    Budget, ColorType, Error, ImageHeader, Media, Metadata, MetadataKey, Reservation, Result,
    Samples,
};
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

/// Bytes of one IDAT chunk.
const IDAT_BYTES: usize = 64 << 10;

/// Length of the IEND chunk, the last that the encoder writes.
const IEND_BYTES: usize = 12;

/// Writes PNG row by row, not interlaced, deflated fast.
///
/// The `png` crate's stream writer makes the IDAT chunks. It writes to a
/// buffer that is emptied into the sink from time to time: so the sink's errors
/// are not lost in its destructor, and chunks can be written before IEND.
pub(crate) struct PngWriter<'a> {
    sink: Sink<'a>,
    encoder: Option<png::StreamWriter<'static, Spool>>,
    spool: Spool,
    header: ImageHeader,
    strips: StripCheck,
    packed: Vec<u8>,
    /// Whether the metadata's private items are ours.
    is_png: bool,
    _held: Reservation,
}

impl<'a> PngWriter<'a> {
    pub(crate) fn new(
        header: &ImageHeader,
        metadata: &Metadata,
        sink: Sink<'a>,
        budget: &Budget,
    ) -> Result<Self> {
        let (color, depth) = png_type(header)?;
        let row_bytes = row_bytes(header);
        let too_large = || {
            Error::unsupported(format!(
                "PNG cannot hold {} x {} pixels",
                header.width, header.height
            ))
        };
        let most = i32::MAX as u32;
        if header.width == 0 || header.height == 0 || header.width > most || header.height > most {
            return Err(too_large());
        }
        row_bytes
            .checked_mul(u64::from(header.height))
            .filter(|&bytes| bytes < i64::MAX as u64)
            .ok_or_else(too_large)?;
        // Three rows in the encoder, one here, and the strip's IDATs.
        let held = budget.reserve(row_bytes.saturating_mul(5).saturating_add(2 << 20))?;
        let spool = Spool::default();
        let mut encoder = png::Encoder::new(spool.clone(), header.width, header.height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if header.color == ColorType::Indexed || header.bits < 8 {
            encoder.set_filter(png::Filter::NoFilter);
            encoder.set_deflate_compression(png::DeflateCompression::Level(4));
        } else {
            // 13 MP/s on photos and within a few percent of zlib's default;
            // the crate's Fast is four times as fast and 8-20% larger.
            encoder.set_filter(png::Filter::Adaptive);
            encoder.set_deflate_compression(png::DeflateCompression::Level(2));
        }
        let mut encoder = encoder.write_header().map_err(from_png)?;
        let is_png = metadata.get_str(MetadataKey::SOURCE_FORMAT) == Some("png");
        write_kept(&mut encoder, header, metadata, is_png)?;
        let mut writer = PngWriter {
            sink,
            encoder: Some(
                encoder
                    .into_stream_writer_with_size(IDAT_BYTES)
                    .map_err(from_png)?,
            ),
            spool,
            header: header.clone(),
            strips: StripCheck::new(header),
            packed: Vec::new(),
            is_png,
            _held: held,
        };
        writer.drain(0)?;
        Ok(writer)
    }

    /// Moves what has been encoded to the sink, but for the last `keep` bytes.
    fn drain(&mut self, keep: usize) -> Result<()> {
        let mut spool = self.spool.0.borrow_mut();
        let end = spool.len().saturating_sub(keep);
        self.sink.write_all(&spool[..end])?;
        spool.drain(..end);
        Ok(())
    }
}

impl Writer for PngWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        let strip = self.strips.accept(unit)?;
        let row_samples = self.header.row_samples();
        let encoder = self
            .encoder
            .as_mut()
            .ok_or_else(|| Error::parameter("the picture is finished"))?;
        for row in 0..strip.rows as usize {
            let range = row * row_samples..(row + 1) * row_samples;
            self.packed.clear();
            match &strip.samples {
                Samples::U8(samples) if self.header.bits <= 8 => {
                    pack(&samples[range], self.header.bits, &mut self.packed);
                }
                Samples::U16(samples) if self.header.bits > 8 => {
                    let bytes = samples[range].iter().flat_map(|s| s.to_be_bytes());
                    self.packed.extend(bytes);
                }
                _ => return Err(Error::parameter("samples of the wrong width")),
            }
            encoder.write_all(&self.packed)?;
            if self.spool.0.borrow().len() >= 1 << 20 {
                self.sink.write_all(&self.spool.0.borrow())?;
                self.spool.0.borrow_mut().clear();
            }
        }
        self.drain(0)
    }

    fn finish(mut self: Box<Self>, tail: &Metadata) -> Result<()> {
        self.strips.finish()?;
        if let Some(encoder) = self.encoder.take() {
            encoder.finish().map_err(from_png)?;
        }
        self.drain(IEND_BYTES)?;
        if let Some(kept) = tail.get(MetadataKey::PNG_CHUNKS) {
            split_kept(kept).map_err(|why| Error::malformed(0, why))?;
            self.sink.write_all(kept)?;
        }
        self.drain(0)?;
        let trailing = tail.get(MetadataKey::FORMAT_PRIVATE);
        if let Some(trailing) = trailing.filter(|_| self.is_png) {
            self.sink.write_all(trailing)?;
        }
        Ok(self.sink.flush()?)
    }
}

/// Writes the chunks before IDAT.
fn write_kept(
    encoder: &mut png::Writer<Spool>,
    header: &ImageHeader,
    metadata: &Metadata,
    is_png: bool,
) -> Result<()> {
    let kept = metadata.get(MetadataKey::PNG_CHUNKS).unwrap_or(&[]);
    let chunks = split_kept(kept).map_err(|why| Error::malformed(0, why))?;
    let mut palette_place = usual_palette_place(&chunks);
    if is_png && let Some(private) = metadata.get(MetadataKey::FORMAT_PRIVATE) {
        match *private {
            [flags] if flags & flags::PALETTE_PLACE == 0 => {}
            [flags, place] if flags & flags::PALETTE_PLACE != 0 => palette_place = place.into(),
            _ => return Err(Error::malformed(0, "the PNG parameters make no sense")),
        }
    }
    if kept.is_empty() {
        write_profiles(encoder, metadata)?;
    }
    let indexed = header.color == ColorType::Indexed;
    for (i, chunk) in chunks.iter().enumerate() {
        if indexed && i == palette_place {
            write_palette(encoder, header, &chunks)?;
        }
        let data = &kept[chunk.data.clone()];
        encoder
            .write_chunk(png::chunk::ChunkType(chunk.name), data)
            .map_err(from_png)?;
    }
    if indexed && palette_place >= chunks.len() {
        write_palette(encoder, header, &chunks)?;
    }
    Ok(())
}

/// Chunks for the profiles of a source that was not a PNG.
fn write_profiles(encoder: &mut png::Writer<Spool>, metadata: &Metadata) -> Result<()> {
    let nothing = Metadata::default();
    let profiles = Profiles::new(metadata, &nothing);
    if let Some(icc) = profiles.icc() {
        let mut deflater = ZlibEncoder::new(b"ICC\0\0".to_vec(), Compression::default());
        deflater.write_all(&icc)?;
        encoder
            .write_chunk(png::chunk::iCCP, &deflater.finish()?)
            .map_err(from_png)?;
    }
    if let Some(exif) = profiles.exif() {
        encoder
            .write_chunk(png::chunk::eXIf, &exif)
            .map_err(from_png)?;
    }
    if let Some(xmp) = profiles.xmp() {
        let chunk = [XMP_KEYWORD, b"\0\0\0\0\0", &xmp].concat();
        encoder
            .write_chunk(png::chunk::iTXt, &chunk)
            .map_err(from_png)?;
    }
    Ok(())
}

/// PLTE, and tRNS unless there is one among the kept chunks.
fn write_palette(
    encoder: &mut png::Writer<Spool>,
    header: &ImageHeader,
    kept: &[super::chunks::Chunk],
) -> Result<()> {
    let colors: Vec<u8> = header
        .palette
        .iter()
        .flat_map(|c| [c[0], c[1], c[2]])
        .collect();
    encoder
        .write_chunk(png::chunk::PLTE, &colors)
        .map_err(from_png)?;
    let alphas = transparency_of(&header.palette);
    if !alphas.is_empty() && kept.iter().all(|chunk| &chunk.name != b"tRNS") {
        encoder
            .write_chunk(png::chunk::tRNS, &alphas)
            .map_err(from_png)?;
    }
    Ok(())
}

/// The colour type and depth that hold the picture exactly.
fn png_type(header: &ImageHeader) -> Result<(png::ColorType, png::BitDepth)> {
    let color = match header.color {
        ColorType::Gray => png::ColorType::Grayscale,
        ColorType::GrayAlpha => png::ColorType::GrayscaleAlpha,
        ColorType::Rgb => png::ColorType::Rgb,
        ColorType::Rgba => png::ColorType::Rgba,
        ColorType::Indexed => png::ColorType::Indexed,
    };
    let small_ok = matches!(header.color, ColorType::Gray | ColorType::Indexed);
    let depth = match header.bits {
        1 if small_ok => png::BitDepth::One,
        2 if small_ok => png::BitDepth::Two,
        4 if small_ok => png::BitDepth::Four,
        8 => png::BitDepth::Eight,
        16 if header.color != ColorType::Indexed => png::BitDepth::Sixteen,
        bits => {
            return Err(Error::unsupported(format!(
                "PNG cannot hold {:?} samples of {bits} bits",
                header.color
            )));
        }
    };
    let fits = (1..=1usize << header.bits.min(8)).contains(&header.palette.len());
    if header.color == ColorType::Indexed && !fits {
        return Err(Error::unsupported(format!(
            "PNG cannot hold a palette of {} colours at {} bits",
            header.palette.len(),
            header.bits
        )));
    }
    Ok((color, depth))
}

fn from_png(error: png::EncodingError) -> Error {
    match error {
        png::EncodingError::IoError(error) => Error::Io(error),
        png::EncodingError::LimitsExceeded => Error::Limit("memory"),
        error => Error::unsupported(format!("PNG: {error}")),
    }
}

/// Where the encoder writes to; clones share the bytes.
#[derive(Clone, Default)]
struct Spool(Rc<RefCell<Vec<u8>>>);

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
