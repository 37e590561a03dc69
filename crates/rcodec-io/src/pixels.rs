//! Writing picture formats through the `image` crate, which wants the whole
//! picture at once.

use crate::convert::Conversion;
use crate::decoded;
use crate::profile::Profiles;
use crate::strips::{StripCheck, total_bytes};
use crate::writer::{OutputFormat, Sink, Writer};
use image::codecs::{bmp, jpeg, qoi, tiff, webp};
use image::{ExtendedColorType, ImageEncoder, ImageError};
use rcodec_core::{
    Budget, ColorType, Error, ImageHeader, Media, Metadata, MetadataKey, Reservation, Result,
    Samples,
};
use std::io::Cursor;

/// What a format can hold: colour types in order of preference, and whether
/// 16 bits per sample.
fn abilities(format: OutputFormat) -> (&'static [ColorType], bool) {
    use ColorType::{Gray, GrayAlpha, Rgb, Rgba};
    match format {
        // Alpha is taken on trust here; the pixels are looked at in the end.
        OutputFormat::Jpeg { .. } => (&[Gray, GrayAlpha, Rgb, Rgba], false),
        OutputFormat::Webp => (&[Gray, GrayAlpha, Rgb, Rgba], false),
        OutputFormat::Tiff => (&[Gray, Rgb, Rgba], true),
        OutputFormat::Bmp => (&[Gray, Rgb, Rgba], false),
        _ => (&[Rgb, Rgba], false),
    }
}

/// Collects a picture and writes it at the end.
pub(crate) struct PixelWriter<'a> {
    format: OutputFormat,
    sink: Sink<'a>,
    metadata: Metadata,
    conversion: Conversion,
    strips: StripCheck,
    /// Converted samples in native byte order.
    bytes: Vec<u8>,
    held: Vec<Reservation>,
    budget: Budget,
}

impl<'a> PixelWriter<'a> {
    pub(crate) fn new(
        format: OutputFormat,
        header: &ImageHeader,
        metadata: &Metadata,
        sink: Sink<'a>,
        budget: &Budget,
    ) -> Result<Self> {
        let (colors, sixteen) = abilities(format);
        let nothing = Metadata::default();
        let name = format.extension().unwrap_or_default().to_ascii_uppercase();
        let conversion = Conversion::to_one_of(
            header,
            &Profiles::new(metadata, &nothing),
            colors,
            sixteen,
            &name,
        )?;
        let most_side = match format {
            OutputFormat::Jpeg { .. } => 65_535,
            OutputFormat::Webp => 16_384,
            _ => i32::MAX as u32,
        };
        if header.width.max(header.height) > most_side {
            return Err(Error::unsupported(format!(
                "{name} cannot hold {} x {} pixels",
                header.width, header.height
            )));
        }
        Ok(PixelWriter {
            format,
            sink,
            metadata: metadata.clone(),
            strips: StripCheck::new(header),
            held: vec![budget.reserve(total_bytes(&conversion.to))?],
            conversion,
            bytes: Vec::new(),
            budget: budget.clone(),
        })
    }

    /// For JPEG: leaves out an alpha channel that says nothing.
    fn drop_opaque_alpha(&mut self) -> Result<()> {
        let to = &mut self.conversion.to;
        let channels = to.color.channels();
        let color = match to.color {
            ColorType::GrayAlpha => ColorType::Gray,
            ColorType::Rgba => ColorType::Rgb,
            _ => return Ok(()),
        };
        let pixels = self.bytes.chunks_exact(channels);
        if pixels.clone().any(|pixel| pixel[channels - 1] != 255) {
            return Err(Error::unsupported("JPEG cannot hold transparency"));
        }
        self.bytes = pixels
            .flat_map(|pixel| &pixel[..channels - 1])
            .copied()
            .collect();
        to.color = color;
        Ok(())
    }

    fn encode(&mut self, tail: &Metadata) -> Result<Vec<u8>> {
        let to = &self.conversion.to;
        let color = match (to.color, to.bits) {
            (ColorType::Gray, 8) => ExtendedColorType::L8,
            (ColorType::Gray, _) => ExtendedColorType::L16,
            (ColorType::GrayAlpha, _) => ExtendedColorType::La8,
            (ColorType::Rgb, 8) => ExtendedColorType::Rgb8,
            (ColorType::Rgb, _) => ExtendedColorType::Rgb16,
            (_, 8) => ExtendedColorType::Rgba8,
            _ => ExtendedColorType::Rgba16,
        };
        let same = self.metadata.get_str(MetadataKey::SOURCE_FORMAT) == self.format.extension();
        let private: Vec<&[u8]> = self
            .metadata
            .items
            .iter()
            .filter(|item| same && item.key == MetadataKey::FORMAT_PRIVATE)
            .map(|item| &item.value[..])
            .collect();
        let nothing = Metadata::default();
        let profiles = if private.is_empty() {
            Profiles::new(&self.metadata, tail)
        } else {
            Profiles::new(&nothing, &nothing) // they are in the private items
        };
        let shape = (to.width, to.height, color);
        let mut file = Cursor::new(Vec::new());
        let bytes = &self.bytes;
        match self.format {
            OutputFormat::Jpeg { quality } => {
                let encoder = jpeg::JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100));
                run(encoder, bytes, shape, &profiles)
            }
            OutputFormat::Webp => run(
                webp::WebPEncoder::new_lossless(&mut file),
                bytes,
                shape,
                &profiles,
            ),
            OutputFormat::Tiff => run(tiff::TiffEncoder::new(&mut file), bytes, shape, &profiles),
            OutputFormat::Bmp => run(bmp::BmpEncoder::new(&mut file), bytes, shape, &profiles),
            _ => run(qoi::QoiEncoder::new(&mut file), bytes, shape, &profiles),
        }
        .map_err(from_image)?;
        let mut file = file.into_inner();
        match (self.format, &private[..]) {
            (OutputFormat::Webp, [before, behind]) => {
                file = decoded::wrap_webp(&file, before, behind);
            }
            (OutputFormat::Qoi, [[color_space]]) => file[13] = *color_space,
            _ => {}
        }
        Ok(file)
    }
}

/// Encodes with the profiles that the format can hold.
fn run<E: ImageEncoder>(
    mut encoder: E,
    bytes: &[u8],
    (width, height, color): (u32, u32, ExtendedColorType),
    profiles: &Profiles,
) -> image::ImageResult<()> {
    // A format without room for a profile loses it; the pixels are the same.
    if let Some(icc) = profiles.icc() {
        let _ = encoder.set_icc_profile(icc);
    }
    if let Some(exif) = profiles.exif() {
        let _ = encoder.set_exif_metadata(exif);
    }
    encoder.write_image(bytes, width, height, color)
}

impl Writer for PixelWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        let strip = self.strips.accept(unit)?;
        match self.conversion.apply(strip.samples)? {
            Samples::U8(samples) => self.bytes.extend_from_slice(&samples),
            Samples::U16(samples) => self
                .bytes
                .extend(samples.iter().flat_map(|sample| sample.to_ne_bytes())),
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, tail: &Metadata) -> Result<()> {
        self.strips.finish()?;
        // The encoded file is hardly ever longer than the samples.
        self.held
            .push(self.budget.reserve(self.bytes.len() as u64)?);
        if matches!(self.format, OutputFormat::Jpeg { .. }) {
            self.drop_opaque_alpha()?;
        }
        let file = self.encode(tail)?;
        self.sink.write_all(&file)?;
        Ok(self.sink.flush()?)
    }
}

fn from_image(error: ImageError) -> Error {
    match error {
        ImageError::IoError(error) => Error::Io(error),
        ImageError::Limits(_) => Error::Limit("memory"),
        error => Error::unsupported(error.to_string()),
    }
}
