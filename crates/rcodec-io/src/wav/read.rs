//! Reading WAV.

use super::head::{Container, Head, HeadParser, Step, shorten};
use super::{MAX_HEAD_BYTES, MAX_TAIL_BYTES};
use crate::input::Input;
use crate::pcm::Pcm;
use crate::source::{Attempt, Opened, Units};
use rcodec_core::{AudioBlock, Media, MediaHeader, Metadata, MetadataKey, Result};

/// Frames in one unit, unless those of many channels would take too much.
const UNIT_FRAMES: usize = 1 << 16;

/// Bytes of samples in one unit at most (but at least one frame).
const UNIT_BYTES: usize = 1 << 20;

/// Reads the head of a file.
pub(crate) fn open(mut input: Input, container: Container) -> Result<Attempt> {
    let mut parser = HeadParser::new(container);
    let mut wanted = crate::probe::PROBE_BYTES;
    let head = loop {
        let bytes = input.peek(wanted)?;
        match parser.step(bytes) {
            Step::Done(head) => break head,
            Step::Reject(why) => return Ok(Attempt::bytes(input, why)),
            Step::Need(count) if bytes.len() < wanted => {
                debug_assert!(count > bytes.len());
                return Ok(Attempt::bytes(input, "the file ends before its samples"));
            }
            Step::Need(count) if count > MAX_HEAD_BYTES => {
                return Ok(Attempt::bytes(input, "too much stands before the samples"));
            }
            // Some room, so that many small chunks need few reads.
            Step::Need(count) => wanted = count.max(wanted * 2).min(MAX_HEAD_BYTES),
        }
    };
    let mut head_bytes = Vec::new();
    input.take_into(&mut head_bytes, head.bytes)?;
    let mut metadata = Metadata::default();
    metadata.push(MetadataKey::SOURCE_FORMAT, container.name().as_bytes());
    match shorten(&head.audio, &head_bytes) {
        Some(short) if container == Container::Wav => {
            metadata.push(MetadataKey::FORMAT_PRIVATE, short)
        }
        _ => metadata.push(MetadataKey::AUDIO_HEAD, head_bytes),
    }
    let units = WavUnits::new(input, &head);
    Ok(Attempt::Media(Opened {
        header: MediaHeader::Audio(head.audio),
        metadata,
        units: Box::new(units),
    }))
}

/// Gives the samples of a WAV file.
struct WavUnits {
    input: Input,
    pcm: Pcm,
    frame_bytes: usize,
    unit_bytes: usize,
    /// Bytes of samples up to the declared end; `None` if everything is
    /// samples.
    left_bytes: Option<u64>,
}

impl WavUnits {
    fn new(input: Input, head: &Head) -> Self {
        let pcm = head.pcm;
        let frame_bytes = pcm.bytes * usize::from(head.audio.channels);
        WavUnits {
            input,
            pcm,
            frame_bytes,
            unit_bytes: frame_bytes * (UNIT_BYTES / frame_bytes).clamp(1, UNIT_FRAMES),
            left_bytes: (head.data_bytes > 0 || head.empty).then_some(head.data_bytes),
        }
    }

    /// Takes the bytes of up to one unit from before the declared end; looks
    /// behind it when it is reached.
    fn take_unit(&mut self, tail: &mut Metadata) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(left_bytes) = &mut self.left_bytes {
            let whole_frames = *left_bytes - *left_bytes % self.frame_bytes as u64;
            let count = whole_frames.min(self.unit_bytes as u64);
            *left_bytes -= self.input.take_into(&mut bytes, count as usize)? as u64;
            if count > 0 {
                return Ok(bytes);
            }
            self.input.take_into(&mut bytes, MAX_TAIL_BYTES + 1)?;
            if bytes.len() <= MAX_TAIL_BYTES {
                push_tail(tail, &bytes);
                return Ok(Vec::new());
            }
            self.input.put_back(std::mem::take(&mut bytes));
            self.left_bytes = None;
        }
        self.input.take_into(&mut bytes, self.unit_bytes)?;
        Ok(bytes)
    }
}

fn push_tail(tail: &mut Metadata, bytes: &[u8]) {
    if !bytes.is_empty() {
        tail.push(MetadataKey::AUDIO_TAIL, bytes);
    }
}

impl Units for WavUnits {
    fn next_unit(&mut self, tail: &mut Metadata) -> Result<Option<Media>> {
        let mut bytes = self.take_unit(tail)?;
        let whole_frames = bytes.len() - bytes.len() % self.frame_bytes;
        push_tail(tail, &bytes[whole_frames..]);
        bytes.truncate(whole_frames);
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Media::Audio(AudioBlock {
            samples: self.pcm.read(&bytes),
        })))
    }
}
