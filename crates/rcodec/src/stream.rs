//! Codec and container together: a whole `.rcd` stream, unit by unit.

use crate::registry;
use rcodec_bitstream::{
    ContainerReader, ContainerWriter, ContentHasher, FORMAT_VERSION, Form, Latency, Summary,
};
use rcodec_core::{
    Block, BlockSource, Codec, CodecId, DecodeContext, Decoder, EncodeContext, Encoder, Error,
    Media, MediaHeader, Metadata, Result, StreamHeader,
};
use std::io::{BufRead, Seek, Write};

/// Encodes one stream to `out`, unit by unit.
pub struct StreamEncoder<'a, W: Write> {
    encoder: Box<dyn Encoder + 'a>,
    container: ContainerWriter<W>,
    content: ContentHasher,
    media: MediaHeader,
    lossy: bool,
}

/// What an encoder made.
#[derive(Debug)]
pub struct Encoded<W> {
    /// The output, flushed.
    pub out: W,
    /// Bytes written to it.
    pub bytes: u64,
    /// Samples (bytes, for bytes) taken.
    pub samples: u64,
    /// The codec of the stream: the one asked for, or `store` for bytes that it
    /// would have kept as they are, and with more framing.
    pub codec: CodecId,
}

impl<'a, W: Write> StreamEncoder<'a, W> {
    /// Begins a stream; nothing is written yet.
    ///
    /// # Errors
    /// What the codec says of the header and the context.
    pub fn new(
        codec: &dyn Codec,
        media: &MediaHeader,
        metadata: Metadata,
        context: EncodeContext<'a>,
        latency: Latency,
        out: W,
    ) -> Result<Self> {
        let info = codec.info();
        if info.media != media.kind() {
            return Err(Error::parameter(format!(
                "the codec {} does not encode this kind of media",
                info.name
            )));
        }
        let encoder = codec.encoder(media, context)?;
        let header = StreamHeader {
            version: FORMAT_VERSION,
            codec: info.id,
            media: media.clone(),
            params: encoder.params(),
            models: encoder.models(),
        };
        // Only if this build can read what comes of it.
        let stored_mark = registry::codec(CodecId::STORE).ok();
        let stored_mark = stored_mark.and_then(|_| codec.stored_mark());
        Ok(StreamEncoder {
            encoder,
            container: ContainerWriter::new(out, header, metadata, latency)?
                .with_stored_mark(stored_mark),
            content: ContentHasher::new(),
            media: media.clone(),
            lossy: info.lossy,
        })
    }

    /// Takes the next unit.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the unit is not of the header's media.
    pub fn write(&mut self, unit: Media) -> Result<()> {
        check_unit(&self.media, &unit)?;
        if !self.lossy {
            self.content.update(&unit);
        }
        self.encoder.write(unit, &mut self.container)?;
        self.take_decoded();
        Ok(())
    }

    /// Writes what was taken so far, for a reader of a live stream; see
    /// [`Encoder::flush`].
    pub fn flush(&mut self) -> Result<()> {
        self.encoder.flush(&mut self.container)?;
        self.take_decoded();
        self.container.flush()
    }

    /// The content's checksum is that of what comes back.
    fn take_decoded(&mut self) {
        while let Some(unit) = self.encoder.next_decoded() {
            self.content.update(&unit);
        }
    }

    /// Ends the stream; `tail` is the metadata that stood behind the samples.
    pub fn finish(mut self, tail: &Metadata) -> Result<Encoded<W>> {
        self.encoder.finish(&mut self.container)?;
        self.take_decoded();
        let content = self.content.digest();
        let written = self.container.finish(content, tail)?;
        Ok(Encoded {
            out: written.out,
            bytes: written.bytes,
            samples: content.samples,
            codec: written.codec,
        })
    }
}

fn check_unit(media: &MediaHeader, unit: &Media) -> Result<()> {
    let fits = match (media, unit) {
        (MediaHeader::Image(header), Media::Image(strip)) => {
            let samples = u64::from(strip.rows) * header.row_samples() as u64;
            samples == strip.samples.len() as u64 && samples > 0
        }
        (MediaHeader::Audio(header), Media::Audio(block)) => block
            .samples
            .len()
            .is_multiple_of(usize::from(header.channels)),
        (MediaHeader::Bytes, Media::Bytes(_)) => true,
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(Error::parameter(
            "a unit that does not fit the media header",
        ))
    }
}

/// Decodes one stream, unit by unit. The content's checksum is compared when
/// the last unit has been given, in [`finish`](Self::finish).
pub struct StreamDecoder<'a, R: BufRead> {
    decoder: Box<dyn Decoder + 'a>,
    container: ContainerReader<R>,
    content: ContentHasher,
    done: bool,
}

impl<'a, R: BufRead> StreamDecoder<'a, R> {
    /// Reads the header and chooses the codec.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this build lacks the codec,
    /// [`Error::ModelMissing`] if a model is not installed, and whatever the
    /// bytes deserve.
    pub fn open(src: R, context: DecodeContext<'a>) -> Result<Self> {
        let container = ContainerReader::open(src, context.budget.clone())?;
        if let MediaHeader::Image(image) = &container.header().media {
            let pixels = u64::from(image.width) * u64::from(image.height);
            if pixels > context.budget.limits().max_pixels {
                return Err(Error::Limit("pixels of a picture"));
            }
        }
        let decoder =
            registry::codec(container.header().codec)?.decoder(container.header(), context)?;
        Ok(StreamDecoder {
            decoder,
            container,
            content: ContentHasher::new(),
            done: false,
        })
    }

    /// The stream's header.
    pub fn header(&self) -> &StreamHeader {
        self.container.header()
    }

    /// The metadata that stood before the samples.
    pub fn metadata(&self) -> &Metadata {
        self.container.metadata()
    }

    /// The container's form.
    pub fn form(&self) -> Form {
        self.container.form()
    }

    /// Samples (bytes, for bytes) given so far.
    pub fn samples(&self) -> u64 {
        self.content.samples()
    }

    /// Says that no more than so many samples will be asked for; see
    /// [`Decoder::stop_after`].
    pub fn stop_after(&mut self, samples: u64) {
        self.decoder.stop_after(samples);
    }

    /// The next unit, or `None` after the last.
    pub fn next_unit(&mut self) -> Result<Option<Media>> {
        let unit = self.decoder.next_unit(&mut self.container)?;
        match &unit {
            Some(unit) => self.content.update(unit),
            None => self.done = true,
        }
        Ok(unit)
    }

    /// Decodes what has not been asked for yet, and checks that the whole
    /// content is what was encoded and that the stream ends there.
    pub fn finish(mut self) -> Result<Summary> {
        while !self.done {
            self.next_unit()?;
        }
        self.container.finish(Some(self.content.digest()))
    }
}

impl<R: BufRead + Seek> StreamDecoder<'_, R> {
    /// Steps over up to `count` blocks without reading them, for codecs whose
    /// blocks decode by themselves; gives back how many there were. To be
    /// called before the first unit is asked for; the content's checksum can
    /// then no longer be compared.
    ///
    /// # Errors
    /// What the heads of the blocks deserve.
    pub fn skip_blocks(&mut self, count: u64) -> Result<u64> {
        self.container.skip_blocks(count)
    }

    /// The same, as long as `is_passed` says so of the first bytes of a
    /// block's payload, and its length.
    ///
    /// # Errors
    /// What the heads of the blocks deserve, and those of `is_passed`.
    pub fn skip_blocks_while(
        &mut self,
        is_passed: impl FnMut(&[u8], u64) -> Result<bool>,
    ) -> Result<u64> {
        self.container.skip_blocks_while(is_passed)
    }

    /// How many bytes come out of the first block of a stream of bytes that has
    /// several, which it decodes for that; otherwise as
    /// [`skip_blocks`](Self::skip_blocks). Of the codec `zstd` all blocks but the
    /// last have that length.
    ///
    /// # Errors
    /// As decoding that block.
    pub fn first_block_bytes(&self, context: DecodeContext<'_>) -> Result<Option<u64>> {
        let Some(block) = self.container.first_block()? else {
            return Ok(None);
        };
        let header = self.header();
        let mut decoder = registry::codec(header.codec)?.decoder(header, context)?;
        let mut source = OneBlock(Some(block));
        let mut bytes = 0;
        while let Some(unit) = decoder.next_unit(&mut source)? {
            bytes += unit.into_bytes()?.len() as u64;
        }
        Ok(Some(bytes))
    }

    /// Steps over up to `count` stored bytes of open length; gives back how
    /// many there were, 0 in other forms. Otherwise as
    /// [`skip_blocks`](Self::skip_blocks).
    ///
    /// # Errors
    /// What the end of the file deserves.
    pub fn skip_stored(&mut self, count: u64) -> Result<u64> {
        self.container.skip_stored(count)
    }
}

struct OneBlock(Option<Block>);

impl BlockSource for OneBlock {
    fn next_block(&mut self) -> Result<Option<Block>> {
        Ok(self.0.take())
    }
}

/// A decoded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The file's header.
    pub header: StreamHeader,
    /// The metadata that stood before the samples.
    pub metadata: Metadata,
    /// The units, in order.
    pub units: Vec<Media>,
    /// The metadata that stood behind the samples.
    pub tail: Metadata,
}

/// Encodes units into a file in memory, without metadata.
pub fn encode(
    codec: &dyn Codec,
    media: &MediaHeader,
    units: impl IntoIterator<Item = Media>,
    context: EncodeContext<'_>,
) -> Result<Vec<u8>> {
    let mut encoder = StreamEncoder::new(
        codec,
        media,
        Metadata::default(),
        context,
        Latency::Smallest,
        Vec::new(),
    )?;
    for unit in units {
        encoder.write(unit)?;
    }
    Ok(encoder.finish(&Metadata::default())?.out)
}

/// Decodes a file in memory.
pub fn decode(file: &[u8], context: DecodeContext<'_>) -> Result<Decoded> {
    let mut decoder = StreamDecoder::open(file, context)?;
    let mut decoded = Decoded {
        header: decoder.header().clone(),
        metadata: decoder.metadata().clone(),
        units: Vec::new(),
        tail: Metadata::default(),
    };
    while let Some(unit) = decoder.next_unit()? {
        decoded.units.push(unit);
    }
    decoded.tail = decoder.finish()?.tail;
    Ok(decoded)
}
