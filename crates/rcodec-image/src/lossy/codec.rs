//! The codec's entry points.

use super::decode::BandDecoder;
use super::encode::BandEncoder;
use super::params::Params;
use super::{FAMILY, HYPER_FACTOR, IntegerCodec, QUALITIES};
use rcodec_core::{
    Budget, Codec, CodecId, ColorType, DecodeContext, Decoder, EncodeContext, Encoder, Error,
    ImageHeader, Info, MediaHeader, MediaKind, ModelId, Rate, Result, StreamHeader,
};
use rcodec_fixed::Engine;
use rcodec_model::Model;
use rcodec_model::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};

/// Lossy pictures by a learned transform; see [the module's page](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageLossy;

static INFO: Info = Info {
    id: CodecId::IMAGE_LOSSY,
    name: "image-lossy",
    summary: "lossy pictures: learned transform and entropy model, 8-16 bits",
    media: MediaKind::Image,
    lossy: true,
};

/// Variants of models, best first: what an encoder takes unless told.
const VARIANTS: [&str; 3] = ["l", "s", "example"];

/// Bytes for each pixel of a band besides what the networks charge.
const BYTES_PER_PIXEL: u64 = 32;

/// The image header within `media`, if this codec takes it.
fn image_header(media: &MediaHeader) -> Result<&ImageHeader, &'static str> {
    let MediaHeader::Image(header) = media else {
        return Err("image-lossy takes pictures only");
    };
    if header.width == 0 || header.height == 0 {
        return Err("a picture has at least one pixel");
    }
    if header.color == ColorType::Indexed || !(8..=16).contains(&header.bits) {
        return Err("image-lossy takes pictures of 8 to 16 bits without a palette");
    }
    Ok(header)
}

/// The step of the model for a quality of 1 to 100.
fn quality_step(rate: Rate) -> Result<u8> {
    let Rate::Quality(quality) = rate else {
        return Err(Error::unsupported(
            "image-lossy takes a quality, no other rate",
        ));
    };
    if !(1.0..=100.0).contains(&quality) {
        return Err(Error::parameter("a quality is 1 to 100"));
    }
    let step = (quality - 1.0) / 99.0 * (QUALITIES - 1) as f32;
    Ok(step.round() as u8)
}

/// The least effort whose latents are rounded by rate and distortion.
const LEAST_SEARCH_EFFORT: u8 = 4;

/// Sizes of a picture's parts in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// Pixels in a row.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// The width in whole squares of [`HYPER_FACTOR`].
    pub(super) padded_width: usize,
    /// Rows of every band but the last.
    pub(super) band_rows: usize,
}

impl Geometry {
    /// # Errors
    /// [`Error::Limit`] for pictures too wide for this machine.
    fn of(header: &ImageHeader, params: Params) -> Result<Self> {
        let size = |size: u32| usize::try_from(size).map_err(|_| Error::Limit("memory"));
        let width = size(header.width)?;
        let padded_width = width.checked_next_multiple_of(HYPER_FACTOR);
        Ok(Geometry {
            width,
            height: size(header.height)?,
            padded_width: padded_width.ok_or(Error::Limit("memory"))?,
            band_rows: params.band_rows(),
        })
    }

    /// Rows of a band that begins at a row, without and with what fills up the
    /// last one to whole squares.
    pub(super) fn rows_at(&self, first: usize) -> (usize, usize) {
        let rows = self.height.saturating_sub(first).min(self.band_rows);
        (rows, rows.next_multiple_of(HYPER_FACTOR))
    }

    /// About what a band of so many rows takes besides the networks' memory.
    pub(super) fn band_bytes(&self, rows: usize) -> u64 {
        (self.padded_width as u64)
            .saturating_mul(rows as u64)
            .saturating_mul(BYTES_PER_PIXEL)
    }
}

/// The model an encoder takes: of the best variant there is, the latest.
fn choose_model(budget: &Budget) -> Result<ModelId> {
    let best = Registry::from_env().best(FAMILY, &VARIANTS, budget);
    best.map(|summary| summary.id).ok_or_else(|| {
        Error::unsupported("there is no model for image-lossy (`rcodec models` lists them)")
    })
}

/// The model that was used last, for the next picture.
static LAST_USED: Mutex<Option<Arc<Model>>> = Mutex::new(None);

/// The model of that id, from its file or as it was used last. Its memory is
/// nobody's in particular; `budget` limits what the file may claim.
fn load_model(id: ModelId, budget: &Budget) -> Result<Arc<Model>> {
    let last_used = || LAST_USED.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = last_used().clone();
    if let Some(model) = kept.filter(|model| model.id() == id) {
        return Ok(model);
    }
    // Not under the lock: loading is work for rayon's threads, and one that
    // waits for a part of it may take up another picture, which would wait for
    // the lock.
    let limits = Budget::new(budget.limits().clone());
    let model = Arc::new(Registry::from_env().load(id, &limits)?);
    Ok(last_used().insert(model).clone())
}

fn load(id: ModelId, budget: &Budget) -> Result<IntegerCodec> {
    let model = load_model(id, budget)?;
    if model.data().record.family != FAMILY {
        return Err(Error::unsupported("a model of another family"));
    }
    IntegerCodec::new(&model, Engine::new(), budget)
}

impl Codec for ImageLossy {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn encoder<'a>(
        &self,
        header: &MediaHeader,
        context: EncodeContext<'a>,
    ) -> Result<Box<dyn Encoder + 'a>> {
        let header = image_header(header).map_err(Error::unsupported)?;
        self.info().expect_no_options(&context)?;
        self.info().expect_no_dictionary(context.dictionary)?;
        context.budget.check_samples(header.total_samples())?;
        let params = Params::choose(header, quality_step(context.rate)?);
        let geometry = Geometry::of(header, params)?;
        let model = match context.model {
            Some(model) => model,
            None => choose_model(&context.budget)?,
        };
        let mut networks = load(model, &context.budget)?;
        if context.effort.get() >= LEAST_SEARCH_EFFORT {
            networks.optimise_rounding();
        }
        Ok(Box::new(BandEncoder::new(
            header,
            params,
            geometry,
            (model, networks),
            context,
        )))
    }

    fn decoder<'a>(
        &self,
        header: &StreamHeader,
        context: DecodeContext<'a>,
    ) -> Result<Box<dyn Decoder + 'a>> {
        if header.codec != CodecId::IMAGE_LOSSY {
            return Err(Error::parameter("the stream is of another codec"));
        }
        let image = image_header(&header.media).map_err(|what| Error::malformed(0, what))?;
        context.budget.check_samples(image.total_samples())?;
        let params = Params::parse(&header.params)?;
        let geometry = Geometry::of(image, params)?;
        let [model] = header.models[..] else {
            return Err(Error::malformed(0, "a lossy picture names one model"));
        };
        let networks = load(model, &context.budget)?;
        Ok(Box::new(BandDecoder::new(
            image, params, geometry, networks, context,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_cover_all_steps() {
        assert_eq!(quality_step(Rate::Quality(1.0)).unwrap(), 0);
        assert_eq!(quality_step(Rate::Quality(100.0)).unwrap(), 63);
        assert!(quality_step(Rate::Quality(0.0)).is_err());
        assert!(quality_step(Rate::Quality(f32::NAN)).is_err());
        assert!(quality_step(Rate::Lossless).is_err());
        let steps: std::collections::BTreeSet<u8> = (1..=100u8)
            .map(|quality| quality_step(Rate::Quality(quality.into())).unwrap())
            .collect();
        assert_eq!(steps.len(), QUALITIES);
    }
}
