//! What stands before the samples of a WAV file.

use super::other::{step_aiff, step_wave64};
use crate::pcm::Pcm;
use rcodec_core::{AudioHeader, Cursor, Error, Result, SampleFormat, write_varint};

/// Length of the shortest complete head: RIFF, a 16-byte `fmt ` and `data`.
pub(crate) const CANONICAL_BYTES: usize = 44;

/// What the head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) audio: AudioHeader,
    /// How the samples stand in the file.
    pub(crate) pcm: Pcm,
    /// Length of the head: where the samples begin.
    pub(crate) bytes: usize,
    /// Declared length of the samples in bytes; 0 if unknown.
    pub(crate) data_bytes: u64,
    /// Whether a length of 0 means that there are no samples.
    pub(crate) empty: bool,
}

/// The containers whose files are head, samples and tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// RIFF, RF64, BW64.
    Wav,
    /// Sony Wave64.
    Wave64,
    /// AIFF and AIFF-C.
    Aiff,
}

impl Container {
    /// The name as [`MetadataKey::SOURCE_FORMAT`](rcodec_core::MetadataKey)
    /// has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Container::Wav => "wav",
            Container::Wave64 => "w64",
            Container::Aiff => "aiff",
        }
    }
}

/// How far the reading of a head has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The head's first so many bytes are needed.
    Need(usize),
    /// The head is complete.
    Done(Head),
    /// The file is not one whose samples we can represent, and why.
    Reject(&'static str),
}

/// Reads a head chunk by chunk as its bytes become available.
pub(crate) struct HeadParser {
    container: Container,
    /// Where the next chunk begins; 0 before the RIFF header.
    at: usize,
    audio: Option<AudioHeader>,
    /// `ds64`'s length of the samples.
    long_data_bytes: Option<u64>,
}

impl HeadParser {
    pub(crate) fn new(container: Container) -> Self {
        HeadParser {
            container,
            at: 0,
            audio: None,
            long_data_bytes: None,
        }
    }

    /// Goes as far as `bytes`, all of the file that is there so far, allows.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        match self.container {
            Container::Wav => {}
            Container::Wave64 => return step_wave64(bytes),
            Container::Aiff => return step_aiff(bytes),
        }
        if self.at == 0 {
            self.at = 12;
        }
        loop {
            let at = self.at;
            let Some(header) = bytes.get(at..at + 8) else {
                return Step::Need(at + 8);
            };
            let size = le32(&header[4..]);
            if &header[..4] == b"data" {
                return self.finish(at + 8, size);
            }
            let end = (at + 8).saturating_add(size as usize);
            let kept = matches!(&header[..4], b"fmt " | b"ds64");
            if kept {
                let Some(body) = bytes.get(at + 8..end) else {
                    return Step::Need(end);
                };
                match &header[..4] {
                    b"fmt " => match parse_format(body) {
                        Ok(audio) => self.audio = Some(audio),
                        Err(why) => return Step::Reject(why),
                    },
                    _ => self.long_data_bytes = body.get(8..16).map(le64),
                }
            }
            // Chunks are padded to even lengths.
            self.at = end.saturating_add(size as usize & 1);
        }
    }

    fn finish(&self, bytes: usize, size: u32) -> Step {
        let Some(audio) = self.audio.clone() else {
            return Step::Reject("no format before the samples");
        };
        Step::Done(Head {
            pcm: Pcm::wav(audio.format),
            audio,
            bytes,
            empty: false,
            data_bytes: match (size, self.long_data_bytes) {
                (u32::MAX, Some(long)) => long,
                (u32::MAX, None) => 0,
                (size, _) => u64::from(size),
            },
        })
    }
}

fn le16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn le64(bytes: &[u8]) -> u64 {
    u64::from(le32(bytes)) | u64::from(le32(&bytes[4..])) << 32
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;

/// What follows the two bytes of the format tag in the GUIDs of
/// WAVE_FORMAT_EXTENSIBLE.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// Reads the body of a `fmt ` chunk. The samples are taken as wide as the
/// bytes they stand in, so that each of their bits is kept, also those that
/// the declared bits per sample leave out.
pub(super) fn parse_format(body: &[u8]) -> std::result::Result<AudioHeader, &'static str> {
    if body.len() < 16 {
        return Err("the format chunk is too short");
    }
    let channels = le16(&body[2..]);
    let sample_rate = le32(&body[4..]);
    let frame_bytes = le16(&body[12..]);
    let bits = le16(&body[14..]);
    let mut tag = le16(body);
    if tag == EXTENSIBLE {
        match body.get(24..40) {
            Some(guid) if guid[2..] == GUID_TAIL => tag = le16(guid),
            _ => return Err("an extensible format of an unknown kind"),
        }
    }
    if channels == 0 || sample_rate == 0 {
        return Err("no channels or no sample rate");
    }
    if !frame_bytes.is_multiple_of(channels) {
        return Err("frames of an odd length");
    }
    let format = match (tag, frame_bytes / channels, bits) {
        (PCM, sample_bytes @ 1..=4, bits) if (1..=sample_bytes * 8).contains(&bits) => {
            SampleFormat::Int {
                bits: sample_bytes as u8 * 8,
            }
        }
        (FLOAT, 4, 32) => SampleFormat::Float32,
        (PCM | FLOAT, ..) => return Err("samples of an unusual width"),
        _ => return Err("samples that are not plain PCM"),
    };
    Ok(AudioHeader {
        sample_rate,
        channels,
        format,
    })
}

/// The head of a new file: 44 bytes, or 68 with WAVE_FORMAT_EXTENSIBLE where
/// the samples do not fill whole bytes or the channels are more than two.
///
/// # Errors
/// [`Error::Unsupported`] if a frame is longer than the format can say.
pub(crate) fn build(audio: &AudioHeader, data_bytes: u32, riff_bytes: u32) -> Result<Vec<u8>> {
    let bits = audio.format.bits();
    let sample_bytes = u16::from(bits).div_ceil(8);
    let frame_bytes = sample_bytes.checked_mul(audio.channels).ok_or_else(|| {
        Error::unsupported(format!("WAV cannot hold {} channels", audio.channels))
    })?;
    let tag = match audio.format {
        SampleFormat::Int { .. } => PCM,
        SampleFormat::Float32 => FLOAT,
    };
    let extensible = !bits.is_multiple_of(8) || audio.channels > 2;
    let mut head = Vec::with_capacity(CANONICAL_BYTES + 24);
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&riff_bytes.to_le_bytes());
    head.extend_from_slice(b"WAVEfmt ");
    head.extend_from_slice(&(if extensible { 40u32 } else { 16 }).to_le_bytes());
    head.extend_from_slice(&(if extensible { EXTENSIBLE } else { tag }).to_le_bytes());
    head.extend_from_slice(&audio.channels.to_le_bytes());
    head.extend_from_slice(&audio.sample_rate.to_le_bytes());
    let bytes_per_second = audio.sample_rate.wrapping_mul(u32::from(frame_bytes));
    head.extend_from_slice(&bytes_per_second.to_le_bytes());
    head.extend_from_slice(&frame_bytes.to_le_bytes());
    head.extend_from_slice(&(sample_bytes * 8).to_le_bytes());
    if extensible {
        head.extend_from_slice(&22u16.to_le_bytes());
        head.extend_from_slice(&u16::from(bits).to_le_bytes());
        head.extend_from_slice(&usual_speakers(audio.channels).to_le_bytes());
        head.extend_from_slice(&tag.to_le_bytes());
        head.extend_from_slice(&GUID_TAIL);
    }
    head.extend_from_slice(b"data");
    head.extend_from_slice(&data_bytes.to_le_bytes());
    Ok(head)
}

/// The speaker mask that FLAC, Vorbis and WAV agree on for a number of
/// channels; 0 where they do not.
fn usual_speakers(channels: u16) -> u32 {
    match channels {
        1 => 0x4,
        2 => 0x3,
        3 => 0x7,
        4 => 0x33,
        5 => 0x37,
        6 => 0x3F,
        7 => 0x70F,
        8 => 0x63F,
        _ => 0,
    }
}

/// The plain 44-byte head in a few bytes: whether the RIFF length follows from
/// the samples' length, and the length(s) as varints. `None` if `head` is not
/// exactly what [`build`] makes of them.
pub(crate) fn shorten(audio: &AudioHeader, head: &[u8]) -> Option<Vec<u8>> {
    if head.len() != CANONICAL_BYTES {
        return None;
    }
    let riff_bytes = le32(&head[4..]);
    let data_bytes = le32(&head[40..]);
    if build(audio, data_bytes, riff_bytes).ok()? != head {
        return None;
    }
    let implied = riff_bytes == data_bytes.wrapping_add(36);
    let mut short = vec![if implied { 1 } else { 2 }];
    write_varint(&mut short, data_bytes.into());
    if !implied {
        write_varint(&mut short, riff_bytes.into());
    }
    Some(short)
}

/// Undoes [`shorten`].
///
/// # Errors
/// [`Error::Malformed`] with offsets in `short`.
pub(crate) fn lengthen(audio: &AudioHeader, short: &[u8]) -> Result<Vec<u8>> {
    const WRONG: &str = "the WAV parameters make no sense";
    let mut cursor = Cursor::new(short, 0);
    let size = |cursor: &mut Cursor| -> Result<u32> {
        Ok(cursor.varint_in(0..=u32::MAX.into(), WRONG)? as u32)
    };
    let kind = cursor.byte()?;
    let data_bytes = size(&mut cursor)?;
    let riff_bytes = match kind {
        1 => data_bytes.wrapping_add(36),
        2 => size(&mut cursor)?,
        _ => return Err(Error::malformed(0, WRONG)),
    };
    cursor.expect_end(WRONG)?;
    build(audio, data_bytes, riff_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(channels: u16, format: SampleFormat) -> AudioHeader {
        AudioHeader {
            sample_rate: 48_000,
            channels,
            format,
        }
    }

    #[test]
    fn a_plain_head_is_short() {
        for format in [
            SampleFormat::Int { bits: 8 },
            SampleFormat::Int { bits: 24 },
            SampleFormat::Float32,
        ] {
            let audio = audio(2, format);
            for (data, riff, most) in [(1000, 1036, 3), (0, 0, 3), (u32::MAX, u32::MAX, 11)] {
                let head = build(&audio, data, riff).unwrap();
                assert_eq!(head.len(), CANONICAL_BYTES);
                let short = shorten(&audio, &head).unwrap();
                assert!(short.len() <= most);
                assert_eq!(lengthen(&audio, &short).unwrap(), head);
            }
        }
    }

    #[test]
    fn other_heads_stay_long() {
        let audio = audio(2, SampleFormat::Int { bits: 16 });
        let mut head = build(&audio, 8, 44).unwrap();
        head[28] ^= 1; // bytes per second
        assert!(shorten(&audio, &head).is_none());
    }

    #[test]
    fn bad_parameters_are_refused() {
        let audio = audio(1, SampleFormat::Int { bits: 16 });
        for short in [
            &[][..],
            &[3, 0],
            &[1],
            &[1, 0, 0],
            &[2, 0],
            &[1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0],
        ] {
            assert!(lengthen(&audio, short).is_err(), "{short:?}");
        }
    }

    #[test]
    fn heads_are_read_as_written() {
        for (channels, format) in [
            (1, SampleFormat::Int { bits: 16 }),
            (2, SampleFormat::Float32),
            (6, SampleFormat::Int { bits: 24 }),
        ] {
            let audio = audio(channels, format);
            let head = build(&audio, 96, 132).unwrap();
            let step = HeadParser::new(Container::Wav).step(&head);
            let expected = Head {
                pcm: Pcm::wav(audio.format),
                audio,
                bytes: head.len(),
                data_bytes: 96,
                empty: false,
            };
            assert_eq!(step, Step::Done(expected));
        }
    }
}
