//! Any file as bytes.

use crate::input::Input;
use crate::source::{Opened, Units};
use crate::writer::{Sink, Writer};
use rcodec_core::{Error, Media, MediaHeader, Metadata, Result};

/// Bytes in one unit.
const UNIT_BYTES: usize = 256 << 10;

/// Gives an input as pieces of [`UNIT_BYTES`].
pub(crate) struct ByteUnits {
    input: Input,
}

impl ByteUnits {
    pub(crate) fn open(input: Input) -> Opened {
        Opened {
            header: MediaHeader::Bytes,
            metadata: Metadata::default(),
            units: Box::new(ByteUnits { input }),
        }
    }
}

impl Units for ByteUnits {
    fn next_unit(&mut self, _tail: &mut Metadata) -> Result<Option<Media>> {
        let mut piece = Vec::new();
        let taken = self.input.take_into(&mut piece, UNIT_BYTES)?;
        Ok((taken > 0).then_some(Media::Bytes(piece)))
    }
}

/// Writes bytes as they are.
pub(crate) struct ByteWriter<'a> {
    pub(crate) sink: Sink<'a>,
}

impl Writer for ByteWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        let Media::Bytes(bytes) = unit else {
            return Err(Error::parameter("a stream of bytes got something else"));
        };
        Ok(self.sink.write_all(&bytes)?)
    }

    fn finish(mut self: Box<Self>, _tail: &Metadata) -> Result<()> {
        Ok(self.sink.flush()?)
    }
}
