//! What stands in a block: section 7.1 of FORMAT.md.
//!
//! A payload is one piece of the content and decodes alone. Terms in capitals
//! are those of RFC 8878. The stream's parameters are empty, or the 8 bytes of
//! a [`DictionaryId`](crate::DictionaryId).
//!
//! ```text
//! payload = ""                        ; no content
//!         | Block_Content             ; its first byte is not a marker
//!         | marker rest
//! marker  = a byte whose low two bits are 01; its upper six bits are `form`
//! form  0 : rest is the content as it is
//! form  1 : rest is a Block_Content (of any first byte)
//! form 10…30 : rest is Data_Block*, the last of them marked by Last_Block,
//!           of a frame whose Window_Size is 2^form bytes
//! ```
//!
//! `Block_Content` is that of one Compressed_Block, the only one of its frame,
//! with a Window_Size of 128 KiB. It begins with the header of the literals,
//! whose low two bits give their kind; 01 (all literals the same byte) is the
//! rarest, and makes room for the marker. So a text of up to 128 KiB costs no
//! byte of framing here: the three bytes of the Block_Header, the
//! Frame_Header_Descriptor and the Window_Descriptor are all implied.
//!
//! Where a dictionary is used, each piece begins with its tables and repeat
//! offsets and may refer to its content, as RFC 8878 section 5 has it; other
//! bytes than a formatted dictionary serve as content only.

use rcodec_core::{Error, Result};

/// The longest content of one block of Zstandard, in bytes.
pub(crate) const MAX_ZSTD_BLOCK_BYTES: usize = 128 << 10;

/// Window of a lone block, as a power of two.
const LONE_BLOCK_WINDOW_LOG: u32 = 17;

/// Windows that a payload can ask for, as powers of two.
pub(crate) const WINDOW_LOGS: std::ops::RangeInclusive<u32> = 10..=30;

const MARKER: u8 = 0b01;
const FORM_RAW: u8 = 0;
const FORM_LONE_BLOCK: u8 = 1;

/// Bytes of Frame_Header_Descriptor and Window_Descriptor.
const FRAME_HEADER_BYTES: usize = 2;
/// Bytes of Block_Header.
const BLOCK_HEADER_BYTES: usize = 3;
/// Block_Type of a Compressed_Block.
const COMPRESSED_BLOCK: u32 = 2;

/// The first byte of a payload that is the content as it is.
pub(crate) const STORED: u8 = marker(FORM_RAW);

const fn marker(form: u8) -> u8 {
    form << 2 | MARKER
}

fn is_marker(byte: u8) -> bool {
    byte & 0b11 == MARKER
}

/// Window_Descriptor of a window of 2^`window_log` bytes.
fn window_descriptor(window_log: u32) -> u8 {
    ((window_log - 10) << 3) as u8
}

/// A payload, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The content begins at byte `start` of the payload.
    Raw {
        /// 1, or 0 for the empty payload.
        start: usize,
    },
    /// A frame: `head`, then the payload from byte `start`.
    Frame {
        /// The bytes that the payload leaves out.
        head: FrameHead,
        /// Where the payload goes on.
        start: usize,
        /// Window, as a power of two: what the decoder must remember.
        window_log: u32,
        /// The longest content that can come out, if that is known.
        max_content_bytes: Option<usize>,
    },
}

/// The beginning of a frame without magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    bytes: [u8; FRAME_HEADER_BYTES + BLOCK_HEADER_BYTES],
    len: usize,
}

impl FrameHead {
    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn of_frame(window_log: u32) -> Self {
        FrameHead {
            bytes: [0, window_descriptor(window_log), 0, 0, 0],
            len: FRAME_HEADER_BYTES,
        }
    }

    fn of_lone_block(content_bytes: usize) -> Self {
        // Last_Block, Block_Type, Block_Size: little end first.
        let [b0, b1, b2, _] =
            (1 | COMPRESSED_BLOCK << 1 | (content_bytes as u32) << 3).to_le_bytes();
        FrameHead {
            bytes: [0, window_descriptor(LONE_BLOCK_WINDOW_LOG), b0, b1, b2],
            len: FRAME_HEADER_BYTES + BLOCK_HEADER_BYTES,
        }
    }
}

/// Understands a payload.
///
/// # Errors
/// [`Error::Malformed`] and [`Error::Truncated`] with offsets in the payload;
/// [`Error::Limit`] for windows that are not allowed.
pub(crate) fn parse(payload: &[u8]) -> Result<Form> {
    let Some(&first) = payload.first() else {
        return Ok(Form::Raw { start: 0 });
    };
    if !is_marker(first) {
        return lone_block(payload, 0);
    }
    match first >> 2 {
        FORM_RAW => Ok(Form::Raw { start: 1 }),
        FORM_LONE_BLOCK => lone_block(payload, 1),
        form if WINDOW_LOGS.contains(&form.into()) => Ok(Form::Frame {
            head: FrameHead::of_frame(form.into()),
            start: 1,
            window_log: form.into(),
            max_content_bytes: None,
        }),
        31.. => Err(Error::Limit("zstd window of 2 GiB or more")),
        _ => Err(Error::malformed(0, "unknown form of a zstd payload")),
    }
}

fn lone_block(payload: &[u8], start: usize) -> Result<Form> {
    let content_bytes = payload.len() - start;
    if content_bytes == 0 {
        return Err(Error::Truncated { at: start as u64 });
    }
    if content_bytes > MAX_ZSTD_BLOCK_BYTES {
        return Err(Error::malformed(
            (start + MAX_ZSTD_BLOCK_BYTES) as u64,
            "lone zstd block of more than 128 KiB",
        ));
    }
    Ok(Form::Frame {
        head: FrameHead::of_lone_block(content_bytes),
        start,
        window_log: LONE_BLOCK_WINDOW_LOG,
        max_content_bytes: Some(MAX_ZSTD_BLOCK_BYTES),
    })
}

/// The payload of `content` as it is.
pub(crate) fn raw(content: &[u8]) -> Vec<u8> {
    let mut payload = vec![marker(FORM_RAW)];
    payload.reserve_exact(content.len());
    payload.extend_from_slice(content);
    payload
}

/// Turns a frame without magic number, checksum, dictionary id and content
/// size, in place, into a payload: the bytes of `frame` from the index
/// returned. `None` if the frame is not of that kind.
pub(crate) fn pack(frame: &mut [u8]) -> Option<usize> {
    let &[descriptor, window, b0, b1, b2, ..] = &*frame else {
        return None;
    };
    let window_log = u32::from(window >> 3) + 10;
    if descriptor != 0 || window & 0b111 != 0 || !WINDOW_LOGS.contains(&window_log) {
        return None;
    }
    let content_at = FRAME_HEADER_BYTES + BLOCK_HEADER_BYTES;
    let header = u32::from_le_bytes([b0, b1, b2, 0]);
    let is_lone = header & 1 == 1
        && header >> 1 & 0b11 == COMPRESSED_BLOCK
        && (header >> 3) as usize == frame.len() - content_at;
    if !is_lone {
        frame[FRAME_HEADER_BYTES - 1] = marker(window_log as u8);
        return Some(FRAME_HEADER_BYTES - 1);
    }
    if is_marker(*frame.get(content_at)?) {
        frame[content_at - 1] = marker(FORM_LONE_BLOCK);
        return Some(content_at - 1);
    }
    Some(content_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_block_loses_its_five_bytes() {
        // Last compressed block of three bytes.
        let mut frame = [0, 0, 1 | 2 << 1 | 3 << 3, 0, 0, 0x00, 7, 8];
        let start = pack(&mut frame).unwrap();
        assert_eq!(&frame[start..], [0x00, 7, 8]);
        let Form::Frame { head, start, .. } = parse(&frame[start..]).unwrap() else {
            panic!("not a frame");
        };
        assert_eq!(head.as_slice(), [0, 7 << 3, 1 | 2 << 1 | 3 << 3, 0, 0]);
        assert_eq!(start, 0);
    }

    #[test]
    fn a_block_that_begins_like_a_marker_gets_one() {
        let mut frame = [0, 0, 1 | 2 << 1 | 2 << 3, 0, 0, 0b1001, 7];
        let start = pack(&mut frame).unwrap();
        assert_eq!(&frame[start..], [0b101, 0b1001, 7]);
        assert!(matches!(
            parse(&frame[start..]),
            Ok(Form::Frame {
                start: 1,
                window_log: 17,
                ..
            })
        ));
    }

    #[test]
    fn several_blocks_keep_their_headers() {
        let mut frame = [0, 13 << 3, 0, 0, 0, 1, 0, 0];
        let start = pack(&mut frame).unwrap();
        assert_eq!(&frame[start..], [23 << 2 | 1, 0, 0, 0, 1, 0, 0]);
        let Ok(Form::Frame {
            head, window_log, ..
        }) = parse(&frame[start..])
        else {
            panic!("not a frame");
        };
        assert_eq!((head.as_slice(), window_log), (&[0, 13 << 3][..], 23));
    }

    #[test]
    fn other_frames_are_not_packed() {
        assert_eq!(pack(&mut [4, 0, 1, 0, 0]), None, "checksum");
        assert_eq!(pack(&mut [0x20, 0, 1, 0, 0]), None, "single segment");
        assert_eq!(pack(&mut [0, 3, 1, 0, 0]), None, "odd window");
        assert_eq!(pack(&mut [0, 21 << 3, 1, 0, 0]), None, "window of 2 GiB");
        assert_eq!(pack(&mut [0, 0]), None, "no block");
    }

    #[test]
    fn bad_payloads_are_named() {
        assert!(matches!(parse(&[]), Ok(Form::Raw { start: 0 })));
        assert!(matches!(parse(&[0b101]), Err(Error::Truncated { at: 1 })));
        assert!(matches!(
            parse(&[2 << 2 | 1]),
            Err(Error::Malformed { at: 0, .. })
        ));
        assert!(matches!(parse(&[31 << 2 | 1]), Err(Error::Limit(_))));
        assert!(matches!(
            parse(&vec![0; MAX_ZSTD_BLOCK_BYTES + 1]),
            Err(Error::Malformed { at: 131_072, .. })
        ));
    }
}
