//! The codec's entry points.

use crate::lossless::decode::GroupDecoder;
use crate::lossless::encode::GroupEncoder;
use crate::lossless::group::GroupShape;
use crate::lossless::params::{Options, Params};
use rcodec_core::{
    Codec, CodecId, DecodeContext, Decoder, EncodeContext, Encoder, Error, ImageHeader, Info,
    MediaHeader, MediaKind, Result, StreamHeader,
};

/// Lossless pictures of every [`ImageHeader`]; see the crate's page.
///
/// Options of the encoder: `group_rows`, the rows of a group (each decodes by
/// itself; at most, and by default, 1.25 megapixels, or 0.26 at efforts 1–3).
/// Groups of fewer rows take more bytes in all, but less is lost when one is
/// damaged. `frame_rows`: the picture holds the frames of an animation below
/// one another, most of them of so many rows; groups hold several frames then,
/// and frames refer to those before them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageLossless;

static INFO: Info = Info {
    id: CodecId::IMAGE_LOSSLESS,
    name: "image-lossless",
    summary: "lossless pictures: prediction and context mixing, 1-16 bits",
    media: MediaKind::Image,
    lossy: false,
};

/// The image header within `media`, if it makes sense.
fn image_header(media: &MediaHeader) -> Result<&ImageHeader, &'static str> {
    let MediaHeader::Image(header) = media else {
        return Err("image-lossless takes pictures only");
    };
    if header.width == 0 || header.height == 0 {
        return Err("a picture has at least one pixel");
    }
    if !(1..=16).contains(&header.bits) {
        return Err("a sample has 1-16 bits");
    }
    Ok(header)
}

impl Codec for ImageLossless {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn encoder<'a>(
        &self,
        header: &MediaHeader,
        context: EncodeContext<'a>,
    ) -> Result<Box<dyn Encoder + 'a>> {
        let header = image_header(header).map_err(Error::parameter)?;
        self.info().expect_lossless(&context)?;
        self.info().expect_no_dictionary(context.dictionary)?;
        context.budget.check_samples(header.total_samples())?;
        let shape = GroupShape::of(header)?;
        let options = Options::parse(context.options)?;
        let params = Params::choose(header, context.effort, &options)?;
        Ok(Box::new(GroupEncoder::new(
            shape,
            header,
            params,
            options.frame_rows,
            context,
        )))
    }

    fn decoder<'a>(
        &self,
        header: &StreamHeader,
        context: DecodeContext<'a>,
    ) -> Result<Box<dyn Decoder + 'a>> {
        if header.codec != CodecId::IMAGE_LOSSLESS {
            return Err(Error::parameter("the stream is of another codec"));
        }
        let image = image_header(&header.media).map_err(|what| Error::malformed(0, what))?;
        self.info().expect_no_models(header)?;
        context.budget.check_samples(image.total_samples())?;
        let params = Params::parse(&header.params)?;
        let shape = GroupShape::of(image)?;
        Ok(Box::new(GroupDecoder::new(shape, image, params, context)))
    }
}
