//! Samples without a file format around them.

use crate::input::Input;
use crate::pcm::Pcm;
use crate::source::{Opened, Units};
use crate::writer::{Sink, Writer};
use rcodec_core::{
    AudioBlock, AudioHeader, Error, Media, MediaHeader, Metadata, MetadataKey, Result,
    SampleFormat, Samples,
};

/// What the name of the source format is for raw sound.
const NAME: &str = "raw";
/// Bits of the byte that says how raw samples stood in their file.
const FLAG_UNSIGNED: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;

/// Sound without a header: what has to be known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSound {
    /// Frames per second, at least 1.
    pub sample_rate: u32,
    /// Channels, at least 1.
    pub channels: u16,
    /// Sample format, of whole bytes.
    pub format: SampleFormat,
    /// Whether zero stands in the middle of the range (8-bit samples only).
    pub unsigned: bool,
    /// Whether the highest byte comes first.
    pub big_endian: bool,
}

impl RawSound {
    /// Reads `RATE,CHANNELS,FORMAT`, such as `48000,2,s16le`. Formats are `s8`,
    /// `u8`, and `s16`, `s24`, `s32` and `f32` with `le` or `be` behind them.
    pub fn parse(text: &str) -> Option<RawSound> {
        let mut parts = text.split(',');
        let sample_rate = parts.next()?.parse().ok().filter(|&rate| rate > 0)?;
        let channels = parts.next()?.parse().ok().filter(|&count| count > 0)?;
        let name = parts.next()?;
        if parts.next().is_some() {
            return None;
        }
        let (kind, big_endian) = match name.strip_suffix("be") {
            Some(kind) => (kind, true),
            None => (name.strip_suffix("le").unwrap_or(name), false),
        };
        let bits = match (kind, kind == name) {
            ("s8" | "u8", true) => 8,
            ("s16", false) => 16,
            ("s24", false) => 24,
            ("s32" | "f32", false) => 32,
            _ => return None,
        };
        Some(RawSound {
            sample_rate,
            channels,
            format: match kind {
                "f32" => SampleFormat::Float32,
                _ => SampleFormat::Int { bits },
            },
            unsigned: kind == "u8",
            big_endian,
        })
    }

    fn pcm(&self) -> Pcm {
        Pcm {
            unsigned: self.unsigned,
            big_endian: self.big_endian,
            ..Pcm::packed(self.format)
        }
    }
}

/// Takes all of an input as samples; part of a frame at its end is kept as it
/// is.
pub(crate) fn open(input: Input, sound: &RawSound) -> Opened {
    let mut metadata = Metadata::default();
    metadata.push(MetadataKey::SOURCE_FORMAT, NAME.as_bytes());
    let mut flags = 0;
    if sound.unsigned {
        flags |= FLAG_UNSIGNED;
    }
    if sound.big_endian {
        flags |= FLAG_BIG_ENDIAN;
    }
    if flags != 0 {
        metadata.push(MetadataKey::FORMAT_PRIVATE, [flags]);
    }
    let pcm = sound.pcm();
    Opened {
        header: MediaHeader::Audio(AudioHeader {
            sample_rate: sound.sample_rate,
            channels: sound.channels,
            format: sound.format,
        }),
        metadata,
        units: Box::new(RawUnits {
            input,
            pcm,
            frame_bytes: pcm.bytes * usize::from(sound.channels),
        }),
    }
}

struct RawUnits {
    input: Input,
    pcm: Pcm,
    frame_bytes: usize,
}

impl Units for RawUnits {
    fn next_unit(&mut self, tail: &mut Metadata) -> Result<Option<Media>> {
        const UNIT_BYTES: usize = 1 << 18;
        let wanted = self.frame_bytes * (UNIT_BYTES / self.frame_bytes).max(1);
        let mut bytes = Vec::new();
        self.input.take_into(&mut bytes, wanted)?;
        let rest = bytes.split_off(bytes.len() - bytes.len() % self.frame_bytes);
        if !rest.is_empty() {
            tail.push(MetadataKey::AUDIO_TAIL, rest);
        }
        let samples = self.pcm.read(&bytes);
        Ok((!samples.is_empty()).then_some(Media::Audio(AudioBlock { samples })))
    }
}

/// How samples are written: as they stood in a raw file they were read from,
/// else little endian and signed.
fn pcm_for(audio: &AudioHeader, metadata: &Metadata) -> Pcm {
    let mut pcm = Pcm::packed(audio.format);
    if metadata.get_str(MetadataKey::SOURCE_FORMAT) == Some(NAME)
        && let Some(&[flags]) = metadata.get(MetadataKey::FORMAT_PRIVATE)
    {
        pcm.unsigned = flags & FLAG_UNSIGNED != 0;
        pcm.big_endian = flags & FLAG_BIG_ENDIAN != 0;
    }
    pcm
}

/// Writes samples in whole bytes.
pub(crate) struct RawWriter<'a> {
    sink: Sink<'a>,
    pcm: Option<Pcm>,
    /// Whether this is the form in which the sound was read.
    restores: bool,
}

impl<'a> RawWriter<'a> {
    pub(crate) fn new(header: &MediaHeader, metadata: &Metadata, sink: Sink<'a>) -> Result<Self> {
        Ok(RawWriter {
            sink,
            restores: metadata.get_str(MetadataKey::SOURCE_FORMAT) == Some(NAME),
            pcm: match header {
                MediaHeader::Audio(audio) => Some(pcm_for(audio, metadata)),
                _ => None,
            },
        })
    }
}

impl Writer for RawWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        match (unit, self.pcm) {
            (Media::Audio(block), Some(pcm)) => {
                let mut bytes = Vec::with_capacity(block.samples.len() * pcm.bytes);
                pcm.write(&block.samples, &mut bytes)?;
                self.sink.write_all(&bytes)?;
            }
            (Media::Image(strip), None) => match strip.samples {
                Samples::U8(samples) => self.sink.write_all(&samples)?,
                Samples::U16(samples) => {
                    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
                    self.sink.write_all(&bytes)?;
                }
            },
            _ => return Err(Error::parameter("the unit does not fit the header")),
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, tail: &Metadata) -> Result<()> {
        if let Some(rest) = tail.get(MetadataKey::AUDIO_TAIL).filter(|_| self.restores) {
            self.sink.write_all(rest)?;
        }
        Ok(self.sink.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read() {
        let sound = RawSound::parse("44100,2,s24be").unwrap();
        assert_eq!((sound.sample_rate, sound.channels), (44_100, 2));
        assert_eq!(sound.format, SampleFormat::Int { bits: 24 });
        assert!(sound.big_endian && !sound.unsigned);
        assert!(RawSound::parse("8000,1,u8").unwrap().unsigned);
        assert_eq!(
            RawSound::parse("8000,1,f32le").unwrap().format,
            SampleFormat::Float32
        );
        for bad in [
            "", "8000", "8000,1", "0,1,u8", "1,0,u8", "1,1,u8le", "1,1,s16", "1,1,u8,1",
        ] {
            assert!(RawSound::parse(bad).is_none(), "{bad}");
        }
    }
}
