//! `decode --from --to`: some of the samples of a sound.

use crate::exit::Failure;
use crate::inputs::Input;
use rcodec::{
    AudioBlock, CodecId, DecodeContext, LossySeek, Media, MediaHeader, Metadata, MetadataKey,
    StreamDecoder,
};
use std::io::{BufRead, Seek};

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

/// Which frames are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: Option<Time>,
    pub(crate) to: Option<Time>,
}

/// Gives the units of a range of frames.
pub(crate) struct RangeReader<'a, R: BufRead> {
    decoder: StreamDecoder<'a, R>,
    channels: u64,
    /// The frame at which the next decoded unit begins.
    at: u64,
    from: u64,
    to: u64,
    frames: u64,
}

impl<'a, R: BufRead + Seek> RangeReader<'a, R> {
    /// Steps over the blocks before the range without reading them.
    pub(crate) fn seek(
        reader: R,
        context: DecodeContext<'a>,
        wanted: Wanted,
    ) -> Result<Self, Failure> {
        let mut range = Self::read(reader, context, wanted)?;
        let header = range.decoder.header();
        match header.codec {
            CodecId::AUDIO_LOSSLESS => {
                let block_frames = rcodec::block_frames(header)?;
                let skipped = range.decoder.skip_blocks(range.from / block_frames)?;
                range.at = skipped * block_frames;
            }
            CodecId::AUDIO_LOSSY => {
                let mut way = LossySeek::new(header, range.from)?;
                range.decoder.skip_blocks_while(|start| way.passes(start))?;
                range.at = way.begin();
            }
            _ => {}
        }
        Ok(range)
    }
}

impl<'a, R: BufRead> RangeReader<'a, R> {
    /// Decodes from the beginning: for input that cannot be sought in.
    pub(crate) fn read(
        reader: R,
        context: DecodeContext<'a>,
        wanted: Wanted,
    ) -> Result<Self, Failure> {
        let decoder = StreamDecoder::open(reader, context)?;
        let MediaHeader::Audio(audio) = &decoder.header().media else {
            return Err(Failure::usage("only sound has times (--from, --to)"));
        };
        let (channels, rate) = (u64::from(audio.channels), audio.sample_rate);
        let from = wanted.from.map_or(0, |time| time.frame(rate));
        let to = wanted.to.map_or(u64::MAX, |time| time.frame(rate));
        if from >= to {
            return Err(Failure::usage("--to is not behind --from"));
        }
        Ok(RangeReader {
            decoder,
            channels,
            at: 0,
            from,
            to,
            frames: 0,
        })
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
        self.frames * self.channels
    }

    /// The next unit of the range.
    pub(crate) fn next_unit(&mut self) -> Result<Option<Media>, Failure> {
        while self.at < self.to {
            let Some(Media::Audio(unit)) = self.decoder.next_unit()? else {
                break;
            };
            let frames = unit.samples.len() as u64 / self.channels;
            let begin = self.from.clamp(self.at, self.at + frames) - self.at;
            let end = self.to.clamp(self.at, self.at + frames) - self.at;
            self.at += frames;
            if begin < end {
                self.frames += end - begin;
                let range = (begin * self.channels) as usize..(end * self.channels) as usize;
                let samples = unit.samples[range].to_vec();
                return Ok(Some(Media::Audio(AudioBlock { samples })));
            }
        }
        if self.frames == 0 {
            return Err(Failure::usage("the sound ends before --from"));
        }
        Ok(None)
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
    fn times_name_frames() {
        assert_eq!(Time(0).frame(44_100), 0);
        assert_eq!(Time(1).frame(44_100), 1);
        assert_eq!(parse_time("0.5").unwrap().frame(44_100), 22_050);
        assert_eq!(Time(u64::MAX).frame(u32::MAX), u64::MAX);
    }
}
