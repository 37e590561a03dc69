//! `decode --from --to`: some of the samples of a sound, or of the bytes.

use crate::exit::Failure;
use crate::inputs::Input;
use crate::limits::parse_size;
use rcodec::{
    AudioBlock, CodecId, DecodeContext, LossySeek, Media, MediaHeader, MediaKind, Metadata,
    MetadataKey, NoProgress, StreamDecoder,
};
use std::io::{BufRead, Seek};
use std::ops::Range;

const NANOSECONDS: u64 = 1_000_000_000;

/// A time from the beginning, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(u64);

impl Time {
    /// The first frame that does not begin before this time.
    fn frame(self, sample_rate: u32) -> u64 {
        let frames = u128::from(self.0) * u128::from(sample_rate);
        u64::try_from(frames.div_ceil(u128::from(NANOSECONDS))).unwrap_or(u64::MAX)
    }
}

/// `[[H:]M:]S[.fraction]`; fractions to a billionth of a second.
pub(crate) fn parse_time(text: &str) -> Result<Time, String> {
    let bad = || format!("{text:?} is no time such as 1:02:03.5 or 75");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > 9 || !digits(fraction) {
        return Err(bad());
    }
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
    let parts: Vec<&str> = whole.split(':').collect();
    if parts.len() > 3 {
        return Err(bad());
    }
    let mut seconds = 0u64;
    for (i, part) in parts.iter().enumerate() {
        let value: u64 = part.parse().map_err(|_| bad())?;
        if !digits(part) || (i > 0 && value >= 60) {
            return Err(bad());
        }
        seconds = seconds
            .checked_mul(60)
            .and_then(|seconds| seconds.checked_add(value))
            .ok_or_else(bad)?;
    }
    let nanoseconds = seconds.checked_mul(NANOSECONDS);
    let time = nanoseconds.and_then(|time| time.checked_add(fraction));
    time.map(Time).ok_or_else(bad)
}

/// Where a part begins or ends: a time, an offset in bytes, or what may be
/// either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    time: Option<Time>,
    offset: Option<u64>,
}

/// A time, or an offset such as `1000000` or `64K`.
pub(crate) fn parse_position(text: &str) -> Result<Position, String> {
    let offset = || parse_size(text).ok();
    let position = Position {
        time: parse_time(text).ok(),
        offset: text
            .starts_with(|c: char| c.is_ascii_digit())
            .then(offset)
            .flatten(),
    };
    match position {
        Position {
            time: None,
            offset: None,
        } => Err(format!(
            "{text:?} is no time such as 1:02:03.5 or 75, and no offset such as 1000000 or 64K"
        )),
        _ => Ok(position),
    }
}

/// Which part is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: Option<Position>,
    pub(crate) to: Option<Position>,
}

impl Wanted {
    /// The range in frames of a sound, or in bytes.
    fn range(&self, media: &MediaHeader) -> Result<Range<u64>, Failure> {
        let place = |position: Position| match media {
            MediaHeader::Audio(audio) => position
                .time
                .map(|time| time.frame(audio.sample_rate))
                .ok_or_else(|| Failure::usage("sound has times (--from 1:02.5), not sizes")),
            MediaHeader::Bytes => position
                .offset
                .ok_or_else(|| Failure::usage("bytes have offsets (--from 1000000), not times")),
            _ => Err(Failure::usage(
                "only sound and bytes have parts (--from, --to)",
            )),
        };
        let from = self.from.map_or(Ok(0), place)?;
        let to = self.to.map_or(Ok(u64::MAX), place)?;
        // No bytes are a part of bytes; no sound is no file.
        if from > to || from == to && media.kind() != MediaKind::Bytes {
            return Err(Failure::usage("--to is not behind --from"));
        }
        Ok(from..to)
    }
}

/// Gives the units of a range of frames or bytes.
pub(crate) struct RangeReader<'a, R: BufRead> {
    decoder: StreamDecoder<'a, R>,
    /// Samples of a frame; 1 of bytes.
    channels: u64,
    /// The frame at which the next decoded unit begins.
    at: u64,
    wanted: Range<u64>,
    /// Frames given so far.
    given: u64,
}

impl<'a, R: BufRead + Seek> RangeReader<'a, R> {
    /// Steps over the blocks before the range without reading them.
    pub(crate) fn seek(
        reader: R,
        context: DecodeContext<'a>,
        wanted: Wanted,
    ) -> Result<Self, Failure> {
        let for_one_block = DecodeContext {
            budget: context.budget.clone(),
            progress: &NoProgress,
            ..context
        };
        let mut range = Self::open(reader, context, wanted)?;
        let header = range.decoder.header();
        let from = range.wanted.start;
        match header.codec {
            CodecId::AUDIO_LOSSLESS => {
                let block_frames = rcodec::block_frames(header)?;
                let skipped = range.decoder.skip_blocks(from / block_frames)?;
                range.at = skipped * block_frames;
            }
            CodecId::AUDIO_LOSSY => {
                let mut way = LossySeek::new(header, from)?;
                range
                    .decoder
                    .skip_blocks_while(|start, _| way.passes(start))?;
                range.at = way.begin();
            }
            CodecId::STORE => {
                range.at = range.decoder.skip_stored(from)?;
                range.skip_contents(|_, payload_bytes| Ok(payload_bytes))?;
            }
            CodecId::TEXT => range.skip_contents(rcodec::content_bytes)?,
            // Its payloads do not say how long their contents are. The last one
            // may be short, and is not stepped over if the range begins there.
            CodecId::ZSTD if from > 0 => {
                if let Some(bytes) = range.decoder.first_block_bytes(for_one_block)? {
                    let skipped = range.decoder.skip_blocks((from - 1) / bytes.max(1))?;
                    range.at = skipped * bytes;
                }
            }
            _ => {}
        }
        range.stop_behind();
        Ok(range)
    }

    /// Steps over blocks whose content ends before the range begins, given what
    /// tells its length by the beginning of a payload and the payload's length.
    fn skip_contents(
        &mut self,
        content_bytes: impl Fn(&[u8], u64) -> rcodec::Result<u64>,
    ) -> Result<(), Failure> {
        let (at, from) = (&mut self.at, self.wanted.start);
        self.decoder.skip_blocks_while(|start, payload_bytes| {
            let end = at.saturating_add(content_bytes(start, payload_bytes)?);
            let is_before = end <= from;
            if is_before {
                *at = end;
            }
            Ok(is_before)
        })?;
        Ok(())
    }
}

impl<'a, R: BufRead> RangeReader<'a, R> {
    /// Decodes from the beginning: for input that cannot be sought in.
    pub(crate) fn read(
        reader: R,
        context: DecodeContext<'a>,
        wanted: Wanted,
    ) -> Result<Self, Failure> {
        let mut range = Self::open(reader, context, wanted)?;
        range.stop_behind();
        Ok(range)
    }

    fn open(reader: R, context: DecodeContext<'a>, wanted: Wanted) -> Result<Self, Failure> {
        let decoder = StreamDecoder::open(reader, context)?;
        let media = &decoder.header().media;
        let wanted = wanted.range(media)?;
        let channels = match media {
            MediaHeader::Audio(audio) => u64::from(audio.channels),
            _ => 1,
        };
        Ok(RangeReader {
            decoder,
            channels,
            at: 0,
            wanted,
            given: 0,
        })
    }

    /// Says that nothing behind the range will be asked for.
    fn stop_behind(&mut self) {
        let frames = self.wanted.end.saturating_sub(self.at);
        self.decoder
            .stop_after(frames.saturating_mul(self.channels));
    }

    pub(crate) fn decoder(&self) -> &StreamDecoder<'a, R> {
        &self.decoder
    }

    /// The metadata that still holds for a part: not the bytes of the source
    /// file around the samples.
    pub(crate) fn metadata(&self) -> Metadata {
        without_file(self.decoder.metadata())
    }

    /// Samples given so far.
    pub(crate) fn samples(&self) -> u64 {
        self.given * self.channels
    }

    /// The next unit of the range.
    pub(crate) fn next_unit(&mut self) -> Result<Option<Media>, Failure> {
        while self.at < self.wanted.end {
            let Some(unit) = self.decoder.next_unit()? else {
                break;
            };
            let samples = match &unit {
                Media::Audio(block) => block.samples.len(),
                Media::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            let frames = samples as u64 / self.channels;
            let begin = self.wanted.start.clamp(self.at, self.at + frames) - self.at;
            let end = self.wanted.end.clamp(self.at, self.at + frames) - self.at;
            self.at += frames;
            if begin < end {
                self.given += end - begin;
                let kept = (begin * self.channels) as usize..(end * self.channels) as usize;
                return Ok(Some(part_of(unit, kept)));
            }
        }
        // Bytes may end where the range begins.
        let is_missing = match self.decoder.header().media {
            MediaHeader::Bytes => self.at < self.wanted.start,
            _ => self.given == 0,
        };
        if is_missing {
            return Err(Failure::usage("the content ends before --from"));
        }
        Ok(None)
    }
}

/// Some of the samples of a unit.
fn part_of(unit: Media, kept: Range<usize>) -> Media {
    match unit {
        Media::Audio(block) => Media::Audio(AudioBlock {
            samples: block.samples[kept].to_vec(),
        }),
        Media::Bytes(bytes) => Media::Bytes(bytes[kept].to_vec()),
        image => image,
    }
}

/// Metadata without what describes the source file as a whole.
pub(crate) fn without_file(metadata: &Metadata) -> Metadata {
    let mut kept = metadata.clone();
    kept.items.retain(|item| {
        !matches!(
            item.key,
            MetadataKey::SOURCE_FORMAT
                | MetadataKey::AUDIO_HEAD
                | MetadataKey::AUDIO_TAIL
                | MetadataKey::FORMAT_PRIVATE
        )
    });
    kept
}

/// Whether a range is wanted, and where the input can be sought in.
pub(crate) fn seekable(input: &Input) -> std::io::Result<Option<std::fs::File>> {
    if input.is_stdin() {
        return Ok(None);
    }
    let file = std::fs::File::open(&input.path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let time = |text| parse_time(text).map(|time| time.0);
        assert_eq!(time("1:02:03"), Ok(3_723 * NANOSECONDS));
        assert_eq!(time("90"), Ok(90 * NANOSECONDS));
        assert_eq!(time("100:00.25"), Ok(6_000_250_000_000));
        assert_eq!(time("0.000000001"), Ok(1));
        for bad in [
            "",
            ":",
            "1:",
            "1:60",
            "1:2:3:4",
            "-1",
            "1.",
            "x",
            "1.0000000001",
            "+1",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn positions_are_times_or_offsets() {
        let of = |text| parse_position(text).map(|p| (p.time.is_some(), p.offset));
        assert_eq!(of("75"), Ok((true, Some(75))));
        assert_eq!(of("1:15"), Ok((true, None)));
        assert_eq!(of("64K"), Ok((false, Some(65_536))));
        for bad in ["", "K", "+1", "-1", "x", "1:60", "99999999999T"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_name_frames() {
        assert_eq!(Time(0).frame(44_100), 0);
        assert_eq!(Time(1).frame(44_100), 1);
        assert_eq!(parse_time("0.5").unwrap().frame(44_100), 22_050);
        assert_eq!(Time(u64::MAX).frame(u32::MAX), u64::MAX);
    }
}
