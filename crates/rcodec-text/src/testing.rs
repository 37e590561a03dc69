//! Content and blocks in memory for the tests.

use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, DecodeContext, EncodeContext, Error, Media,
    MediaHeader, Result, StreamHeader,
};
use std::collections::VecDeque;

/// Bytes without any order (xorshift64*).
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Something like a text: words of a small vocabulary in random order.
pub(crate) fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "the ", "codec ", "of ", "bytes ", "and ", "a ", "window ", "is ", "longer ", "than ",
        "piece", ", ", "however ", ".\n", "frame ", "match ",
    ];
    let choices = noise(len / 2 + 1, 77);
    let words = choices
        .iter()
        .flat_map(|c| WORDS[usize::from(c & 15)].bytes());
    words.take(len).collect()
}

/// A stream as an encoder made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) params: Vec<u8>,
    pub(crate) blocks: Vec<Vec<u8>>,
}

impl BlockSink for Encoded {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.blocks.push(payload.to_vec());
        Ok(())
    }
}

/// Blocks as a file would give them, each a thousand bytes after the last.
pub(crate) struct Source {
    blocks: VecDeque<Vec<u8>>,
    budget: Budget,
    at: u64,
}

impl BlockSource for Source {
    fn next_block(&mut self) -> Result<Option<Block>> {
        let Some(payload) = self.blocks.pop_front() else {
            return Ok(None);
        };
        self.at += 1000;
        Ok(Some(Block {
            reservation: self.budget.reserve(payload.len() as u64)?,
            payload,
            at: self.at,
        }))
    }
}

/// Encodes `units` in that order.
pub(crate) fn encode_units<'b>(
    codec: &dyn Codec,
    units: impl IntoIterator<Item = &'b [u8]>,
    context: EncodeContext<'_>,
) -> Result<Encoded> {
    let mut encoder = codec.encoder(&MediaHeader::Bytes, context)?;
    let mut encoded = Encoded {
        params: encoder.params(),
        blocks: Vec::new(),
    };
    for unit in units {
        encoder.write(Media::Bytes(unit.to_vec()), &mut encoded)?;
    }
    encoder.finish(&mut encoded)?;
    Ok(encoded)
}

/// Encodes `content` as one unit.
pub(crate) fn encode(
    codec: &dyn Codec,
    content: &[u8],
    context: EncodeContext<'_>,
) -> Result<Encoded> {
    encode_units(codec, [content], context)
}

/// Decodes, checking what every decoder owes: short units, and memory given
/// back. Returns what came out, and the error if there was one.
pub(crate) fn decode_some(
    codec: &dyn Codec,
    encoded: &Encoded,
    context: DecodeContext<'_>,
) -> (Vec<u8>, Result<()>) {
    let header = StreamHeader {
        version: 1,
        codec: codec.info().id,
        media: MediaHeader::Bytes,
        params: encoded.params.clone(),
        models: Vec::new(),
    };
    let budget = context.budget.clone();
    let mut source = Source {
        blocks: encoded.blocks.iter().cloned().collect(),
        budget: budget.clone(),
        at: 0,
    };
    let mut content = Vec::new();
    let result = codec.decoder(&header, context).and_then(|mut decoder| {
        while let Some(unit) = decoder.next_unit(&mut source)? {
            let Media::Bytes(bytes) = unit else {
                return Err(Error::unsupported("not bytes"));
            };
            assert!(bytes.len() <= 1 << 20);
            assert!(budget.used_bytes() <= budget.limits().max_alloc_bytes);
            content.extend(bytes);
        }
        Ok(())
    });
    assert_eq!(budget.used_bytes(), 0);
    (content, result)
}

/// Decodes all of it.
pub(crate) fn decode(
    codec: &dyn Codec,
    encoded: &Encoded,
    context: DecodeContext<'_>,
) -> Result<Vec<u8>> {
    let (content, result) = decode_some(codec, encoded, context);
    result.map(|()| content)
}

/// A rayon pool.
pub(crate) fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
}
