//! Samples without a file format around them.

use crate::pcm::Pcm;
use crate::writer::{Sink, Writer};
use rcodec_core::{Error, Media, MediaHeader, Metadata, Result, Samples};

/// Writes samples little endian in whole bytes.
pub(crate) struct RawWriter<'a> {
    sink: Sink<'a>,
    pcm: Option<Pcm>,
}

impl<'a> RawWriter<'a> {
    pub(crate) fn new(header: &MediaHeader, sink: Sink<'a>) -> Result<Self> {
        Ok(RawWriter {
            sink,
            pcm: match header {
                MediaHeader::Audio(audio) => Some(Pcm::packed(audio.format)),
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

    fn finish(mut self: Box<Self>, _tail: &Metadata) -> Result<()> {
        Ok(self.sink.flush()?)
    }
}
