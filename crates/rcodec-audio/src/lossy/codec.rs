//! The codec's entry points: groups of frames in the blocks of a file.

use super::control::RateControl;
use super::packet::interleaved;
use super::params::Params;
use super::samples::{check_header, to_internal};
use super::stream::{FrameDecoder, FrameEncoder};
use super::tuning::Tuning;
use rcodec_core::{
    AudioBlock, AudioHeader, Block, BlockSink, BlockSource, Codec, CodecId, Cursor, DecodeContext,
    Decoder, EncodeContext, Encoder, Error, Info, Media, MediaHeader, MediaKind, Reservation,
    Result, SampleFormat, StreamHeader, write_varint,
};
use rcodec_entropy::{CostEstimator, RangeBitDecoder, RangeBitEncoder};
use std::collections::VecDeque;

/// Lossy sound; see [the module's page](super).
///
/// Takes [`Rate::Quality`](rcodec_core::Rate::Quality) and
/// [`Rate::TargetBitrate`](rcodec_core::Rate::TargetBitrate), integers of 1–32
/// bits and floats, up to 256 channels, any sample rate. No options.
#[derive(Clone, Copy, Debug, Default)]
pub struct AudioLossy;

static INFO: Info = Info {
    id: CodecId::AUDIO_LOSSY,
    name: "audio-lossy",
    summary: "lossy sound: adaptive transform, context mixing, from 8 kbit/s on",
    media: MediaKind::Audio,
    lossy: true,
};

/// Milliseconds of a frame, about; of speech, whose voices change more slowly
/// than music's attacks, longer ones.
fn frame_milliseconds(sample_rate: u32) -> u32 {
    if sample_rate <= 24_000 { 40 } else { 21 }
}

/// Seconds of a group of frames, which is a block of the file, about.
const GROUP_SECONDS: f64 = 2.7;
/// The most frames of a group.
const MAX_GROUP: u64 = 1024;
/// The most samples of a group.
const MAX_GROUP_SAMPLES: u64 = 1 << 24;
/// Frames over which the first quantiser of a bit rate is sought.
const SEARCH_FRAMES: usize = 48;
/// Bytes that a channel takes in encoder or decoder.
const CHANNEL_BYTES: u64 = 1 << 20;

fn audio_header(media: &MediaHeader) -> Result<&AudioHeader> {
    let MediaHeader::Audio(header) = media else {
        return Err(Error::parameter("audio-lossy takes sound only"));
    };
    check_header(header)?;
    Ok(header)
}

impl Codec for AudioLossy {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn encoder<'a>(
        &self,
        header: &MediaHeader,
        context: EncodeContext<'a>,
    ) -> Result<Box<dyn Encoder + 'a>> {
        let header = audio_header(header)?;
        INFO.expect_no_options(&context)?;
        INFO.expect_no_dictionary(context.dictionary)?;
        let params = Params::new(header.sample_rate, frame_milliseconds(header.sample_rate));
        let channels = usize::from(header.channels);
        let seconds = params.frame as f64 / f64::from(header.sample_rate);
        let group = (GROUP_SECONDS / seconds).round() as u64;
        let most = MAX_GROUP_SAMPLES / (params.frame * channels) as u64;
        let reservation = context
            .budget
            .reserve(2 * CHANNEL_BYTES * u64::from(header.channels))?;
        Ok(Box::new(GroupEncoder {
            control: RateControl::new(context.rate, seconds, channels)?,
            frames: FrameEncoder::new(params, Tuning::default(), header.sample_rate, channels),
            decoder: FrameDecoder::new(params, header.sample_rate, channels),
            format: header.format,
            channels,
            group: group.clamp(1, MAX_GROUP.min(most).max(1)),
            coder: RangeBitEncoder::new(),
            in_group: 0,
            searched: false,
            taken: 0,
            given: 0,
            decoded: VecDeque::new(),
            decoded_frames: 0,
            context,
            _reservation: reservation,
        }))
    }

    fn decoder<'a>(
        &self,
        header: &StreamHeader,
        context: DecodeContext<'a>,
    ) -> Result<Box<dyn Decoder + 'a>> {
        let audio = audio_header(&header.media)?;
        INFO.expect_no_models(header)?;
        let params = Params::parse(&header.params)?;
        let channels = usize::from(audio.channels);
        let reservation = context
            .budget
            .reserve(CHANNEL_BYTES * u64::from(audio.channels))?;
        Ok(Box::new(GroupDecoder {
            frames: FrameDecoder::new(params, audio.sample_rate, channels),
            format: audio.format,
            channels,
            skip: params.frame / 2,
            samples: 0,
            ended: false,
            context,
            _reservation: reservation,
        }))
    }
}

/// Finds its way to a frame of a file of this codec, by the first bytes of the
/// blocks. Groups of frames decode by themselves but for the overlap with the
/// one before, so decoding begins a frame earlier.
#[derive(Clone, Copy, Debug)]
pub struct LossySeek {
    /// Samples of a frame.
    frame: u64,
    wanted: u64,
    /// Samples of each channel in the groups that were passed.
    passed: u64,
}

impl LossySeek {
    /// The way to a sample of each channel.
    ///
    /// # Errors
    /// As [`Codec::decoder`].
    pub fn new(header: &StreamHeader, wanted: u64) -> Result<Self> {
        audio_header(&header.media)?;
        Ok(LossySeek {
            frame: Params::parse(&header.params)?.frame as u64,
            wanted,
            passed: 0,
        })
    }

    /// Whether the block with this payload, of which the first bytes are
    /// enough, is not needed.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::Truncated`], with offsets within the
    /// payload.
    pub fn passes(&mut self, payload: &[u8]) -> Result<bool> {
        let mut reader = Cursor::new(payload, 0);
        let (count, dropped) = group_head(&mut reader, self.frame)?;
        let after = self.passed.saturating_add(count * self.frame);
        // What comes out of the last group ends so far before its frames do.
        let is_needed = match dropped {
            0 => after.saturating_add(self.frame) > self.wanted,
            _ => after.saturating_sub(self.frame / 2 + dropped) > self.wanted,
        };
        if !is_needed {
            self.passed = after;
        }
        Ok(!is_needed)
    }

    /// The sample with which decoding begins behind the blocks passed.
    pub fn begin(&self) -> u64 {
        self.passed
    }
}

/// How many frames a group has, and how many samples to drop at its end.
fn group_head(reader: &mut Cursor, frame: u64) -> Result<(u64, u64)> {
    let count = reader.varint_in(1..=MAX_GROUP + 1, "frames of a group")?;
    let dropped = reader.varint_in(0..=count * frame, "samples to drop")?;
    Ok((count, dropped))
}

struct GroupEncoder<'a> {
    control: RateControl,
    frames: FrameEncoder,
    decoder: FrameDecoder,
    format: SampleFormat,
    channels: usize,
    /// Frames of a group.
    group: u64,
    coder: RangeBitEncoder,
    in_group: u64,
    searched: bool,
    /// Samples of each channel.
    taken: u64,
    /// Frames coded.
    given: u64,
    decoded: VecDeque<Media>,
    /// Samples of each channel that a decoder has given.
    decoded_frames: u64,
    context: EncodeContext<'a>,
    _reservation: Reservation,
}

impl GroupEncoder<'_> {
    fn frame(&self) -> usize {
        self.frames.params.frame
    }

    /// Codes the next frame; ends the group with it if it is full, or cut.
    fn code_frame(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        if !self.searched {
            self.searched = true;
            self.search_quantiser()?;
        }
        if self.in_group == 0 {
            self.frames.reset();
        }
        let before = self.coder_bytes();
        let quantiser = self.control.quantiser();
        self.frames.encode(&mut self.coder, quantiser)?;
        self.in_group += 1;
        self.given += 1;
        self.control
            .count(8.0 * (self.coder_bytes() - before) as f64);
        if self.in_group == self.group {
            self.end_group(0, sink)?;
        }
        Ok(())
    }

    fn coder_bytes(&self) -> u64 {
        use rcodec_entropy::BitCoder;
        self.coder.position()
    }

    /// Finds the quantiser that the first frames need for the bit rate.
    fn search_quantiser(&mut self) -> Result<()> {
        let Some(frame_bits) = self.control.frame_bits() else {
            return Ok(());
        };
        let frame = self.frame();
        let count = (self.frames.available() / frame).saturating_sub(1);
        let count = count.min(SEARCH_FRAMES);
        let mut quantiser = f64::from(self.control.quantiser());
        for _ in 0..3 {
            let mut frames = self.frames.clone();
            let mut cost = CostEstimator::new();
            for _ in 0..count {
                frames.encode(&mut cost, quantiser as i32)?;
            }
            let bits = (cost.bits_q24() >> 24) as f64 + 1.0;
            let halvings = (bits / (frame_bits * count.max(1) as f64)).log2();
            quantiser = (quantiser + 24.0 * halvings).clamp(100.0, 330.0).round();
        }
        self.control.set_quantiser(quantiser as i32);
        Ok(())
    }

    /// Writes the group, of whose samples the last `dropped` are not given.
    fn end_group(&mut self, dropped: u64, sink: &mut dyn BlockSink) -> Result<()> {
        if self.in_group == 0 {
            return Ok(());
        }
        let coded = std::mem::take(&mut self.coder).finish();
        let mut payload = Vec::new();
        write_varint(&mut payload, self.in_group);
        write_varint(&mut payload, dropped);
        payload.extend_from_slice(&coded);
        sink.write_block(&payload)?;
        let first = self.decoded_frames == 0;
        let skip = if first { self.frame() / 2 } else { 0 };
        let samples = decode_group(
            &mut self.decoder,
            &coded,
            (self.in_group, skip as u64, dropped),
            self.format,
        )?;
        self.decoded_frames += samples.len() as u64;
        self.decoded.push_back(Media::Audio(AudioBlock { samples }));
        self.in_group = 0;
        Ok(())
    }
}

impl Encoder for GroupEncoder<'_> {
    fn params(&self) -> Vec<u8> {
        self.frames.params.to_bytes()
    }

    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()> {
        let Media::Audio(unit) = unit else {
            return Err(Error::parameter("audio-lossy takes sound only"));
        };
        if !unit.samples.len().is_multiple_of(self.channels) {
            return Err(Error::parameter("a unit of sound that ends within a frame"));
        }
        for part in unit.samples.chunks(self.frame() * self.channels) {
            let samples: Vec<i64> = part.iter().map(|&s| to_internal(s, self.format)).collect();
            self.frames.push(&samples);
            self.taken += (part.len() / self.channels) as u64;
            let ahead = match self.searched || self.control.frame_bits().is_none() {
                true => 2,
                false => SEARCH_FRAMES + 1,
            };
            if self.frames.available() >= ahead * self.frame() {
                while self.frames.available() >= 2 * self.frame() {
                    self.code_frame(sink)?;
                }
            }
            let done = self.taken.saturating_mul(self.channels as u64);
            self.context.progress.check(done, None)?;
        }
        Ok(())
    }

    fn flush(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        self.end_group(0, sink)
    }

    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        if self.taken == 0 {
            return Ok(());
        }
        let length = self.frame() as u64;
        let needed = (self.taken + length / 2).div_ceil(length);
        let end = (needed - self.given + 1) * length;
        let missing = end.saturating_sub(self.frames.available() as u64) as usize;
        self.frames.push(&vec![0; missing * self.channels]);
        let dropped = needed * length - length / 2 - self.taken;
        while self.given + 1 < needed {
            self.code_frame(sink)?;
        }
        // The last group says what to drop: it must not end before.
        self.group = MAX_GROUP + 1;
        self.code_frame(sink)?;
        self.end_group(dropped, sink)
    }

    fn next_decoded(&mut self) -> Option<Media> {
        self.decoded.pop_front()
    }
}

/// The samples of a group of `count` frames; `skip` samples of each channel at
/// the begin and `dropped` at the end are left out.
fn decode_group(
    frames: &mut FrameDecoder,
    coded: &[u8],
    (count, skip, dropped): (u64, u64, u64),
    format: SampleFormat,
) -> Result<Vec<i32>> {
    let mut coder = RangeBitDecoder::new(coded);
    frames.reset();
    let mut samples = Vec::new();
    let length = frames.params.frame as u64;
    for i in 0..count {
        let planes = frames.decode(&mut coder)?;
        let begin = skip.saturating_sub(i * length).min(length);
        let end = (count * length - dropped)
            .saturating_sub(i * length)
            .min(length);
        let planes: Vec<Vec<i64>> = planes
            .iter()
            .map(|plane| {
                let kept = plane.get(begin as usize..end as usize);
                kept.unwrap_or(&[]).to_vec()
            })
            .collect();
        samples.append(&mut interleaved(&planes, format));
    }
    coder.finish()?;
    Ok(samples)
}

struct GroupDecoder<'a> {
    frames: FrameDecoder,
    format: SampleFormat,
    channels: usize,
    /// Samples of each channel to be left out before the next.
    skip: usize,
    samples: u64,
    /// Whether there was a group that leaves out samples at its end.
    ended: bool,
    context: DecodeContext<'a>,
    _reservation: Reservation,
}

impl GroupDecoder<'_> {
    fn decode(&mut self, block: &Block) -> Result<Vec<i32>> {
        let mut reader = Cursor::new(&block.payload, 0);
        let (count, dropped) = group_head(&mut reader, self.frames.params.frame as u64)?;
        let length = count * self.frames.params.frame as u64;
        let samples = length * self.channels as u64;
        if samples > 2 * MAX_GROUP_SAMPLES {
            return Err(Error::malformed(0, "frames of a group"));
        }
        if self.ended || dropped + self.skip as u64 > length {
            return Err(Error::malformed(0, "samples to drop"));
        }
        self.ended = dropped > 0;
        let _memory = self.context.budget.reserve(4 * samples)?;
        self.context
            .budget
            .check_samples(self.samples.saturating_add(samples))?;
        let skip = std::mem::take(&mut self.skip) as u64;
        let what = (count, skip, dropped);
        let at = reader.at();
        let samples = decode_group(&mut self.frames, reader.rest(), what, self.format)
            .map_err(|e| e.offset_by(at))?;
        Ok(samples)
    }
}

impl Decoder for GroupDecoder<'_> {
    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>> {
        let Some(block) = source.next_block()? else {
            return Ok(None);
        };
        let samples = self.decode(&block).map_err(|e| e.offset_by(block.at))?;
        self.samples = self.samples.saturating_add(samples.len() as u64);
        self.context.progress.check(self.samples, None)?;
        Ok(Some(Media::Audio(AudioBlock { samples })))
    }
}
