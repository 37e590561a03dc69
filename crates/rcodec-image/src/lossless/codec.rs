//! The codec's entry points.

use crate::lossless::decode::GroupDecoder;
use crate::lossless::encode::GroupEncoder;
use crate::lossless::group::GroupShape;
use crate::lossless::params::Params;
use rcodec_core::{
    Codec, CodecId, DecodeContext, Decoder, EncodeContext, Encoder, Error, ImageHeader, Info,
    MediaHeader, MediaKind, Rate, Result, StreamHeader,
};

/// Lossless pictures of every [`ImageHeader`]; see the crate's page.
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

/// The option `frame_rows`: the picture consists of the frames of an animation
/// below one another, which are mostly so high.
fn frame_rows(options: &[(String, i64)]) -> Result<Option<u32>> {
    let mut found = None;
    for (name, value) in options {
        if name != "frame_rows" {
            return Err(Error::parameter(format!(
                "image-lossless has no option {name:?}"
            )));
        }
        let rows = u32::try_from(*value).ok().filter(|&rows| rows > 0);
        found = Some(rows.ok_or_else(|| Error::parameter("a frame has at least one row"))?);
    }
    Ok(found)
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
        if context.rate != Rate::Lossless {
            return Err(Error::parameter("image-lossless has no quality setting"));
        }
        let frame_rows = frame_rows(context.options)?;
        context.budget.check_samples(header.total_samples())?;
        let shape = GroupShape::of(header)?;
        Ok(Box::new(GroupEncoder::new(
            shape,
            header,
            Params::choose(header, context.effort, frame_rows),
            frame_rows,
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
        context.budget.check_samples(image.total_samples())?;
        let params = Params::parse(&header.params)?;
        let shape = GroupShape::of(image)?;
        Ok(Box::new(GroupDecoder::new(shape, image, params, context)))
    }
}
