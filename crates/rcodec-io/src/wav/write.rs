//! Writing WAV.

use super::head::{Container, HeadParser, Step, build, lengthen};
use crate::pcm::Pcm;
use crate::tags::wav_chunks;
use crate::writer::{Sink, Writer};
use rcodec_core::{AudioHeader, Error, Media, Metadata, MetadataKey, Result};

/// Writes WAV: with the head it was read with, or with a new one. In a stream,
/// a new head says 0xFFFFFFFF for the lengths that are not known, as is the
/// custom; in a file they are filled in at the end.
pub(crate) struct WavWriter<'a> {
    sink: Sink<'a>,
    audio: AudioHeader,
    pcm: Pcm,
    /// For a new head: where it stands in the file, and its length.
    new_head: Option<(u64, u64)>,
    /// For a new head: chunks between the format and the samples.
    chunks: Vec<u8>,
    data_bytes: u64,
    buffer: Vec<u8>,
}

impl<'a> WavWriter<'a> {
    /// # Errors
    /// [`Error::Unsupported`] for a container other than WAV without the head
    /// that it was read with.
    pub(crate) fn new(
        audio: &AudioHeader,
        container: Container,
        metadata: &Metadata,
        mut sink: Sink<'a>,
    ) -> Result<Self> {
        if audio.channels == 0 || !(1..=32).contains(&audio.format.bits()) {
            return Err(Error::parameter("sound without channels or bits"));
        }
        let kept = kept_head(audio, container, metadata)?;
        let mut pcm = Pcm::wav(audio.format);
        let chunks = wav_chunks(metadata);
        let new_head = if let Some((head, as_kept)) = kept {
            sink.write_all(&head)?;
            pcm = as_kept;
            None
        } else if container != Container::Wav {
            let name = container.name();
            return Err(Error::unsupported(format!(
                "only what was read from a file of format {name} is written as one"
            )));
        } else {
            let at = sink.position()?;
            let head = insert(build(audio, u32::MAX, u32::MAX)?, &chunks);
            sink.write_all(&head)?;
            Some((at, head.len() as u64))
        };
        Ok(WavWriter {
            sink,
            audio: audio.clone(),
            pcm,
            new_head,
            chunks,
            data_bytes: 0,
            buffer: Vec::new(),
        })
    }
}

/// A head with chunks before the one of the samples, whose own head is its end.
fn insert(mut head: Vec<u8>, chunks: &[u8]) -> Vec<u8> {
    let at = head.len() - 8;
    head.splice(at..at, chunks.iter().copied());
    head
}

/// The head the sound was read with, if it still suits: a lossy codec may have
/// changed the rate or the width of samples.
fn kept_head(
    audio: &AudioHeader,
    container: Container,
    metadata: &Metadata,
) -> Result<Option<(Vec<u8>, Pcm)>> {
    if metadata.get_str(MetadataKey::SOURCE_FORMAT) != Some(container.name()) {
        return Ok(None);
    }
    if let Some(head) = metadata.get(MetadataKey::AUDIO_HEAD) {
        return Ok(match HeadParser::new(container).step(head) {
            Step::Done(parsed) if parsed.audio == *audio && parsed.bytes == head.len() => {
                Some((head.to_vec(), parsed.pcm))
            }
            _ => None,
        });
    }
    match metadata.get(MetadataKey::FORMAT_PRIVATE) {
        Some(short) if container == Container::Wav => {
            Ok(Some((lengthen(audio, short)?, Pcm::wav(audio.format))))
        }
        _ => Ok(None),
    }
}

impl Writer for WavWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        let Media::Audio(block) = unit else {
            return Err(Error::parameter("sound got a unit of something else"));
        };
        self.buffer.clear();
        self.pcm.write(&block.samples, &mut self.buffer)?;
        self.sink.write_all(&self.buffer)?;
        self.data_bytes += self.buffer.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>, tail: &Metadata) -> Result<()> {
        if let Some((at, head_bytes)) = self.new_head {
            let padding = self.data_bytes & 1;
            if padding == 1 {
                self.sink.write_all(&[0])?;
            }
            let riff_bytes = u32::try_from(head_bytes - 8 + self.data_bytes + padding);
            if let (Ok(data_bytes), Ok(riff_bytes)) = (u32::try_from(self.data_bytes), riff_bytes) {
                let head = insert(build(&self.audio, data_bytes, riff_bytes)?, &self.chunks);
                self.sink.patch(at, &head)?;
            }
        } else if let Some(bytes) = tail.get(MetadataKey::AUDIO_TAIL) {
            self.sink.write_all(bytes)?;
        }
        Ok(self.sink.flush()?)
    }
}
