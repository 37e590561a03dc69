//! The codec `audio-lossless`.
//!
//! ```text
//! Encoder ─ frames ─▶ blocks of a fixed number of frames ─▶ encode_block ─▶ BlockSink
//!                       │ structure: constants, copies, steps, sets of levels
//!                       │ per channel: Predictor ─ residual ─▶ ResidualCoder
//! ```
//!
//! The stream's parameters are one varint, the frames of a block. Blocks are
//! described in [`block`]. Blocks are encoded and decoded side by side in the
//! current rayon pool; neither the number of threads nor how the samples were
//! handed over changes a byte.

mod block;
pub(crate) mod bytes;
mod channel;
mod decision_mixer;
mod decoder;
mod encoder;
mod float;
mod jobs;
mod learned;
mod learning;
mod least_squares;
mod linear;
mod neuron;
mod nlms;
mod normal_equations;
mod packing;
mod predictor;
mod preset;
mod reference;
mod residual;
mod residual_tables;
mod stages;
mod structure;
mod trial;

pub use learning::LosslessLearner;

use block::{Layout, Method};
use rcodec_core::{
    AudioHeader, Codec, CodecId, Cursor, DecodeContext, Decoder, Effort, EncodeContext, Encoder,
    Error, Info, MediaHeader, MediaKind, Result, SampleFormat, StreamHeader,
};

/// The most samples (frames × channels) of a block, which bounds memory.
/// Streams with more channels than that have one frame in a block.
const MAX_BLOCK_SAMPLES: u64 = 1 << 21;

/// Length of a block unless the options say otherwise: what adapts needs time
/// to do so (10 seconds make a block 0.3% smaller than 5, 20 another 0.14%),
/// what is sent does not.
fn block_seconds(effort: Effort) -> u64 {
    match effort.get() {
        ..4 => 5,
        4..9 => 10,
        _ => 20,
    }
}

/// Lossless sound: least squares and cascaded adaptive filters in integers,
/// context mixing of the residuals (codec `audio-lossless`).
///
/// Options of the encoder: `block_frames`, the frames of a block (each decodes
/// by itself; five seconds by default at efforts 1–3, twenty at effort 9, ten
/// at others).
///
/// # Errors
///
/// Besides what [`Codec`] says: [`Error::Parameter`] for headers without
/// channels, with a rate of 0 or with sample sizes other than 1–32 bits, and
/// for units whose samples do not fit the header.
#[derive(Clone, Copy, Debug, Default)]
pub struct AudioLossless;

static INFO: Info = Info {
    id: CodecId::AUDIO_LOSSLESS,
    name: "audio-lossless",
    summary: "lossless sound: adaptive prediction and context mixing",
    media: MediaKind::Audio,
    lossy: false,
};

impl Codec for AudioLossless {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn encoder<'a>(
        &self,
        header: &MediaHeader,
        context: EncodeContext<'a>,
    ) -> Result<Box<dyn Encoder + 'a>> {
        let header = audio_header(header)?;
        INFO.expect_lossless(&context)?;
        INFO.expect_no_dictionary(context.dictionary)?;
        let mut block_frames = default_block_frames(header, context.effort);
        for (name, value) in context.options {
            match name.as_str() {
                "block_frames" => block_frames = checked_block_frames(*value, header)?,
                _ => return Err(Error::parameter(format!("unknown option {name}"))),
            }
        }
        let layout = Layout {
            channels: usize::from(header.channels),
            format: header.format,
            block_frames: block_frames as usize,
        };
        let samples_per_second = u64::from(header.sample_rate) * u64::from(header.channels);
        let method = Method::for_effort(context.effort, samples_per_second);
        Ok(Box::new(encoder::BlockEncoder::new(
            layout, method, context,
        )))
    }

    fn decoder<'a>(
        &self,
        header: &StreamHeader,
        context: DecodeContext<'a>,
    ) -> Result<Box<dyn Decoder + 'a>> {
        let audio = audio_header(&header.media)?;
        INFO.expect_no_models(header)?;
        let block_frames = block_frames(header)?;
        let layout = Layout {
            channels: usize::from(audio.channels),
            format: audio.format,
            block_frames: block_frames as usize,
        };
        Ok(Box::new(decoder::BlockDecoder::new(layout, context)))
    }
}

/// The frames of every data block of a stream of this codec but the last one,
/// which has what is left. Every block decodes by itself.
///
/// # Errors
/// [`Error::Malformed`] with offsets within the parameters, and
/// [`Error::Parameter`] for what is no sound.
pub fn block_frames(header: &StreamHeader) -> Result<u64> {
    let audio = audio_header(&header.media)?;
    let mut reader = Cursor::new(&header.params, 0);
    let block_frames = reader.varint_in(1..=u64::from(u32::MAX), "frames of a block")?;
    if !reader.rest().is_empty() {
        return Err(Error::malformed(reader.at(), "bytes behind the parameters"));
    }
    if block_frames > max_block_frames(audio) {
        return Err(Error::malformed(0, "frames of a block"));
    }
    Ok(block_frames)
}

/// The header of a sound stream that this codec can take.
fn audio_header(header: &MediaHeader) -> Result<&AudioHeader> {
    let MediaHeader::Audio(header) = header else {
        return Err(Error::parameter("audio-lossless takes sound only"));
    };
    if header.channels == 0 || header.sample_rate == 0 {
        return Err(Error::parameter("sound without channels or rate"));
    }
    match header.format {
        SampleFormat::Int { bits: 1..=32 } | SampleFormat::Float32 => Ok(header),
        SampleFormat::Int { bits } => Err(Error::parameter(format!(
            "samples of {bits} bits, not 1..32"
        ))),
    }
}

fn max_block_frames(header: &AudioHeader) -> u64 {
    (MAX_BLOCK_SAMPLES / u64::from(header.channels)).max(1)
}

fn default_block_frames(header: &AudioHeader, effort: Effort) -> u64 {
    (u64::from(header.sample_rate) * block_seconds(effort)).min(max_block_frames(header))
}

fn checked_block_frames(value: i64, header: &AudioHeader) -> Result<u64> {
    let max = max_block_frames(header);
    match u64::try_from(value) {
        Ok(frames) if (1..=max).contains(&frames) => Ok(frames),
        _ => Err(Error::parameter(format!(
            "block_frames {value} is not in 1..{max}"
        ))),
    }
}
