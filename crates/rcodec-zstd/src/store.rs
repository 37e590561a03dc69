//! The codec `store`: bytes as they are.

use crate::units::{Tally, Unit};
use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, CodecId, DecodeContext, Decoder, EncodeContext,
    Encoder, Error, Info, Media, MediaHeader, MediaKind, PieceBuffer, Progress, Result,
    StreamHeader, UNIT_BYTES,
};

/// Bytes in a block, but for the last: as many as the container's compact form
/// takes with a length; behind a full one it goes on with an open length.
const BLOCK_BYTES: usize = 16 << 20;

/// Keeps bytes as they are: a block's payload is up to 16 MiB of the content.
/// For input that nothing makes smaller. No parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Store;

impl Codec for Store {
    fn info(&self) -> &'static Info {
        const INFO: Info = Info {
            id: CodecId::STORE,
            name: "store",
            summary: "any bytes, as they are, with checksums",
            media: MediaKind::Bytes,
            lossy: false,
        };
        &INFO
    }

    fn encoder<'a>(
        &self,
        header: &MediaHeader,
        context: EncodeContext<'a>,
    ) -> Result<Box<dyn Encoder + 'a>> {
        self.info().expect_media(header)?;
        self.info().expect_lossless(&context)?;
        self.info().expect_no_options(&context)?;
        self.info().expect_no_dictionary(context.dictionary)?;
        Ok(Box::new(StoreEncoder {
            piece: PieceBuffer::new(BLOCK_BYTES),
            taken: 0,
            progress: context.progress,
            budget: context.budget,
        }))
    }

    fn decoder<'a>(
        &self,
        header: &StreamHeader,
        context: DecodeContext<'a>,
    ) -> Result<Box<dyn Decoder + 'a>> {
        self.info().expect_media(&header.media)?;
        self.info().expect_no_models(header)?;
        if !header.params.is_empty() {
            return Err(Error::malformed(0, "the codec store has no parameters"));
        }
        Ok(Box::new(StoreDecoder {
            tally: Tally::new(&context),
            block: None,
        }))
    }
}

struct StoreEncoder<'a> {
    piece: PieceBuffer,
    taken: u64,
    progress: &'a dyn Progress,
    budget: Budget,
}

impl Encoder for StoreEncoder<'_> {
    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()> {
        let bytes = unit.into_bytes()?;
        let mut input = bytes.as_slice();
        while !input.is_empty() {
            self.piece.take_from(&mut input, &self.budget)?;
            if self.piece.is_full() {
                sink.write_block(self.piece.bytes())?;
                self.piece.clear();
            }
        }
        self.taken += bytes.len() as u64;
        self.progress.check(self.taken, None)
    }

    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        if !self.piece.bytes().is_empty() {
            sink.write_block(self.piece.bytes())?;
            self.piece.clear();
        }
        Ok(())
    }
}

struct StoreDecoder<'a> {
    tally: Tally<'a>,
    /// The block being given out, and how much of it is.
    block: Option<(Block, usize)>,
}

impl Decoder for StoreDecoder<'_> {
    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>> {
        self.tally.release();
        loop {
            let (block, given) = match self.block.take() {
                Some(current) => current,
                None => match source.next_block()? {
                    Some(block) => (block, 0),
                    None => return Ok(None),
                },
            };
            let rest = &block.payload[given..];
            if rest.is_empty() {
                continue;
            }
            // A block that is one unit becomes it without a copy.
            if given == 0 && rest.len() <= UNIT_BYTES {
                let unit = Unit {
                    bytes: block.payload,
                    reservation: block.reservation,
                };
                return self.tally.give(unit).map(Some);
            }
            let count = rest.len().min(UNIT_BYTES);
            let unit = Unit {
                reservation: self.tally.budget().reserve(count as u64)?,
                bytes: rest[..count].to_vec(),
            };
            self.block = Some((block, given + count));
            return self.tally.give(unit).map(Some);
        }
    }
}
