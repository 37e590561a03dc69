//! The codec `zstd`, section 7.1 of `crates/rcodec-bitstream/FORMAT.md`, and
//! packed metadata: what stands around Zstandard's blocks. The blocks are
//! RFC 8878's, which a library decodes.

use crate::bytes::Bytes;
use crate::error::{Error, Result, malformed};
use crate::limit;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A block that stands alone has at most this much on either side.
const LONE: usize = 128 << 10;

/// The library refuses larger windows. As it keeps all of a frame until it is
/// collected, a smaller window in the header changes nothing.
const LARGEST_WINDOW: u8 = 26;

/// Unpacks a frame without its magic bytes, which gives `length` bytes.
pub fn frame(frame: &[u8], length: u64) -> Result<Vec<u8>> {
    limit(length)?;
    let content = unpack(&[&MAGIC, frame].concat())?;
    if content.len() as u64 != length {
        return malformed("packed metadata is of another length");
    }
    Ok(content)
}

/// Decodes the payload of one data block of the codec `zstd`.
pub fn block(payload: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Bytes(payload);
    match bytes.u8()? {
        first if first & 3 != 1 => lone(payload),
        1 => Ok(bytes.rest().to_vec()),
        5 => lone(bytes.rest()),
        first @ 41..=121 => {
            let header = frame_header(first / 4);
            unpack(&[&MAGIC[..], &header, bytes.rest()].concat())
        }
        _ => malformed("an unknown first byte"),
    }
}

/// All pieces are equally long, but the last, which may be shorter.
pub fn check_lengths(lengths: &[usize]) -> Result<()> {
    let Some((last, others)) = lengths.split_last() else {
        return Ok(());
    };
    let full = others.first().unwrap_or(last);
    if others.iter().any(|length| length != full) || last > full {
        return malformed("pieces of several lengths");
    }
    Ok(())
}

/// Unpacks one Compressed_Block that stands alone.
fn lone(content: &[u8]) -> Result<Vec<u8>> {
    if content.len() > LONE {
        return malformed("a lone block is too long");
    }
    // Last_Block, Block_Type 2, Block_Size.
    let head = (1 | 2 << 1 | content.len() << 3).to_le_bytes();
    let content = unpack(&[&MAGIC, &frame_header(17)[..], &head[..3], content].concat())?;
    if content.len() > LONE {
        return malformed("a lone block gives too much");
    }
    Ok(content)
}

/// A Frame_Header of a Frame_Header_Descriptor without any flag, and the
/// Window_Descriptor of a window of 2^`log` bytes.
fn frame_header(log: u8) -> [u8; 2] {
    [0, (log.min(LARGEST_WINDOW) - 10) << 3]
}

fn unpack(frame: &[u8]) -> Result<Vec<u8>> {
    let error = |e: &dyn std::fmt::Display| Error::Malformed(format!("Zstandard: {e}"));
    let mut rest = frame;
    let mut decoder = FrameDecoder::new();
    decoder.reset(&mut rest).map_err(|e| error(&e))?;
    decoder
        .decode_blocks(&mut rest, BlockDecodingStrategy::All)
        .map_err(|e| error(&e))?;
    let content = decoder.collect().unwrap_or_default();
    limit(content.len() as u64)?;
    Bytes(rest).finish()?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_page_decode() {
        assert_eq!(block(&[0x01, 0x61]).unwrap(), b"a");
        let thousand = [0x08, 0x61, 0x01, 0x00, 0xe4, 0x2b, 0x20, 0x04];
        assert_eq!(block(&thousand).unwrap(), [b'a'; 1000]);
    }
}
