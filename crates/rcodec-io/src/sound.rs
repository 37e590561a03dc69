//! Compressed sound, decoded through `symphonia` on request.
//!
//! FLAC becomes integers of its own width, each as it was (their number and
//! MD5 checksum are checked). MP3, Vorbis and AAC decode to floating point,
//! which is rounded to 16 bits as players do; packets that cannot be decoded
//! are left out, as players do too. MP3 and Vorbis begin and end with the very
//! samples that were encoded; AAC comes with its encoder's delay before and
//! padding behind. Tags, pictures and chapters are kept ([`tags`](crate::tags)),
//! but what comes back is a WAV: that is why it has to be asked for.

use crate::input::{Input, Whole};
use crate::probe::SourceKind;
use crate::source::{Attempt, Opened, Units};
use crate::tags::Collected;
use rcodec_core::{
    AudioBlock, AudioHeader, Budget, Error, Media, MediaHeader, Metadata, MetadataKey, Result,
    SampleFormat,
};
use std::io::{self, Cursor};
use std::sync::Arc;
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as TheirError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;

/// Frames in one unit, about.
const UNIT_FRAMES: usize = 1 << 16;

/// Why sound cannot be given as samples.
type Reason = String;

/// Opens compressed sound.
pub(crate) fn open(mut input: Input, kind: SourceKind, budget: &Budget) -> Result<Attempt> {
    let Some(whole) = input.take_whole(budget)? else {
        return Ok(Attempt::bytes(input, "it needs more memory than allowed"));
    };
    let whole = Arc::new(whole);
    match try_open(&whole, kind == SourceKind::Flac, budget) {
        Ok(opened) => Ok(Attempt::Media(opened)),
        Err(why) => {
            let bytes = match Arc::try_unwrap(whole) {
                Ok(whole) => whole.bytes,
                Err(shared) => shared.bytes.clone(),
            };
            input.put_back(bytes);
            Ok(Attempt::bytes(input, why))
        }
    }
}

fn try_open(whole: &Arc<Whole>, exact: bool, budget: &Budget) -> Result<Opened, Reason> {
    // Once through, to see that all of it can be decoded.
    let mut units = SoundUnits::new(whole, exact)?;
    let rate = units.decoder.codec_params().sample_rate;
    let mut collected = Collected::default();
    collected.add(units.format.as_mut(), rate);
    let mut samples = 0u64;
    loop {
        let block = units.next_block()?;
        if block.is_empty() {
            break;
        }
        samples += block.len() as u64;
        budget
            .check_samples(samples)
            .map_err(|_| "it has more samples than allowed")?;
    }
    if units.decoder.finalize().verify_ok == Some(false) {
        return Err("its samples do not match their checksum".to_owned());
    }
    let header = units.header.ok_or("it holds no samples")?;
    let frames = samples / u64::from(header.channels);
    if exact && units.declared_frames != Some(frames) {
        // Damaged frames are passed over by the reader without a word.
        return Err("it does not have the samples it should".to_owned());
    }
    let mut metadata = Metadata::default();
    metadata.push(MetadataKey::SOURCE_FORMAT, *b"wav");
    // Those that stand behind the sound, too.
    collected.add(units.format.as_mut(), rate);
    collected.write(&mut metadata);
    Ok(Opened {
        header: MediaHeader::Audio(header),
        metadata,
        units: Box::new(SoundUnits::new(whole, exact)?),
    })
}

/// The file, shared between the first and the second pass.
struct Shared(Arc<Whole>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

struct SoundUnits {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    exact: bool,
    declared_frames: Option<u64>,
    /// Known from the first packet on.
    header: Option<AudioHeader>,
    ended: bool,
}

impl SoundUnits {
    fn new(whole: &Arc<Whole>, exact: bool) -> Result<Self, Reason> {
        let file = Box::new(Cursor::new(Shared(Arc::clone(whole))));
        let stream = MediaSourceStream::new(file, Default::default());
        let format = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, Default::default(), Default::default())
            .map_err(reason)?;
        let track = format
            .first_track_known_codec(TrackType::Audio)
            .ok_or("there is no sound in it")?;
        let params = track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio())
            .ok_or("there is no sound in it")?;
        let options = AudioDecoderOptions::default().verify(exact);
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &options)
            .map_err(reason)?;
        Ok(SoundUnits {
            track: track.id,
            declared_frames: track.num_frames,
            decoder,
            format,
            exact,
            header: None,
            ended: false,
        })
    }

    /// The samples of the next packets; none at the end.
    fn next_block(&mut self) -> Result<Vec<i32>, Reason> {
        let mut block = Vec::new();
        while !self.ended {
            let channels = self.header.as_ref().map_or(1, |header| header.channels);
            if block.len() / usize::from(channels) >= UNIT_FRAMES {
                break;
            }
            let Some(packet) = self.format.next_packet().map_err(reason)? else {
                self.ended = true;
                break;
            };
            if packet.track_id != self.track {
                continue;
            }
            let bits = self.decoder.codec_params().bits_per_sample;
            match self.decoder.decode(&packet) {
                Ok(decoded) => {
                    let header = append(&decoded, bits, self.exact, &mut block)?;
                    if *self.header.get_or_insert(header.clone()) != header {
                        return Err("its format changes on the way".to_owned());
                    }
                }
                Err(TheirError::DecodeError(_)) if !self.exact => {}
                Err(error) => return Err(reason(error)),
            }
        }
        Ok(block)
    }
}

/// Appends decoded samples, interleaved; gives their format.
fn append(
    decoded: &GenericAudioBufferRef,
    bits: Option<u32>,
    exact: bool,
    block: &mut Vec<i32>,
) -> Result<AudioHeader, Reason> {
    let spec = decoded.spec();
    let format = match (decoded, bits) {
        (GenericAudioBufferRef::S32(_), Some(bits @ 1..=32)) if exact => {
            let mut samples: Vec<i32> = Vec::new();
            decoded.copy_to_vec_interleaved(&mut samples);
            // They stand at the upper end.
            block.extend(samples.iter().map(|sample| sample >> (32 - bits)));
            SampleFormat::Int { bits: bits as u8 }
        }
        _ if exact => return Err("its samples are of an unusual kind".to_owned()),
        _ => {
            let mut samples: Vec<f32> = Vec::new();
            decoded.copy_to_vec_interleaved(&mut samples);
            let round = |sample: &f32| (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i32;
            block.extend(samples.iter().map(round));
            SampleFormat::Int { bits: 16 }
        }
    };
    let channels = u16::try_from(spec.channels().count()).unwrap_or(0);
    if channels == 0 || spec.rate() == 0 {
        return Err("it has no channels or no sample rate".to_owned());
    }
    Ok(AudioHeader {
        sample_rate: spec.rate(),
        channels,
        format,
    })
}

impl Units for SoundUnits {
    fn next_unit(&mut self, _tail: &mut Metadata) -> Result<Option<Media>> {
        // All of it has been decoded once, so this cannot fail.
        let samples = self
            .next_block()
            .map_err(|why| Error::Io(io::Error::other(why)))?;
        Ok((!samples.is_empty()).then_some(Media::Audio(AudioBlock { samples })))
    }
}

fn reason(error: TheirError) -> Reason {
    format!("it cannot be decoded ({error})")
}
