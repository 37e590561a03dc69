//! The container: `crates/rcodec-bitstream/FORMAT.md`. Sections are named in
//! brackets.

use crate::bytes::Bytes;
use crate::error::{Result, malformed};
use crate::zstandard;
use std::fmt;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A file's stream: what its header says, and the payloads.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The number of the codec.
    pub codec: u64,
    /// What the samples are.
    pub media: Media,
    /// The codec's parameters; empty if there are none.
    pub parameters: Vec<u8>,
    /// First bytes of the hashes of the learned models that decoding needs.
    pub models: Vec<[u8; 8]>,
    /// Metadata, the tail included: keys and values.
    pub metadata: Vec<(u64, Vec<u8>)>,
    /// The payloads of the data blocks.
    pub blocks: Vec<Vec<u8>>,
    end: End,
}

/// What the decoded samples are checked with.
#[derive(Clone, Copy, Debug)]
enum End {
    Compact { seed: u64, check: u64, mask: u64 },
    Blocks { samples: u64, hash: u64 },
}

/// What the samples are [4].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// Bytes.
    Bytes,
    /// A picture.
    Image(Image),
    /// A sound.
    Audio(Audio),
}

/// The shape of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 0 gray, 1 gray and alpha, 2 RGB, 3 RGB and alpha, 4 indexed.
    pub color: u8,
    /// Bits of a sample.
    pub bits: u32,
    /// The colours of an indexed picture, with alpha.
    pub palette: Vec<[u8; 4]>,
}

impl Image {
    /// The number of interleaved channels.
    pub fn channels(&self) -> usize {
        [1, 2, 3, 4, 1][usize::from(self.color)]
    }
}

/// The shape of a sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Frames per second.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: usize,
    /// Bits of a sample.
    pub bits: u32,
    /// Whether samples are the bit patterns of floats.
    pub float: bool,
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => write!(f, "bytes"),
            Self::Image(image) => {
                let names = ["Gray", "GrayAlpha", "Rgb", "Rgba", "Indexed"];
                let name = names[usize::from(image.color)];
                let (bits, width, height) = (image.bits, image.width, image.height);
                write!(f, "{name} {bits} bit {width}x{height}")
            }
            Self::Audio(audio) => {
                let kind = if audio.float { "float" } else { "bit" };
                let (bits, rate, channels) = (audio.bits, audio.rate, audio.channels);
                write!(f, "{bits} {kind} {rate} Hz x{channels}")
            }
        }
    }
}

/// Reads a whole file, and checks all of it but the samples.
pub fn read(file: &[u8]) -> Result<Stream> {
    let mut bytes = Bytes(file);
    if bytes.take(3)? != [0xf7, 0x72, 0x1a] {
        return malformed("this is no .rcd file");
    }
    let lead = bytes.u8()?;
    if lead >> 6 != 1 {
        return malformed("another version of the format");
    }
    if lead & 0x20 == 0 {
        read_compact(file, lead, bytes)
    } else {
        read_blocks(lead, bytes)
    }
}

/// The compact form [2].
fn read_compact(file: &[u8], lead: u8, mut bytes: Bytes<'_>) -> Result<Stream> {
    const ENDLESS: u64 = (1 << 28) - 1;
    let length = bytes.varint()?;
    let body = if length == ENDLESS {
        let length = (bytes.0.len() as u64).saturating_sub(8);
        if lead & 0x1f != 0 || length <= 1 << 24 {
            return malformed("a body of this length states it");
        }
        bytes.take(length)?
    } else if length <= 1 << 24 {
        bytes.take(length)?
    } else {
        return malformed("the body is too long");
    };
    let checked = &file[..file.len() - bytes.0.len()];
    let short = body.len() < 65536;
    let check = bytes.number(if short { 4 } else { 8 })?;
    bytes.finish()?;
    let mut body = Bytes(body);
    let (flags, mut stream) = read_header(lead, &mut body)?;
    if flags & 4 != 0 {
        let length = body.varint()?;
        stream.metadata = read_metadata(body.take(length)?)?;
    }
    let payload = body.rest();
    if !payload.is_empty() {
        stream.blocks.push(payload.to_vec());
    }
    stream.end = End::Compact {
        seed: xxh3_64(checked),
        check,
        mask: if short { 0xffff_ffff } else { u64::MAX },
    };
    Ok(stream)
}

/// The block form [3].
fn read_blocks(lead: u8, mut bytes: Bytes<'_>) -> Result<Stream> {
    let mut stream = None;
    let mut tail = false;
    for number in 1.. {
        let start = bytes.0;
        let kind = bytes.u8()?;
        if bytes.varint()? != number {
            return malformed("a block is missing");
        }
        let length = bytes.varint_within(0, 1 << 30)?;
        let head = &start[..start.len() - bytes.0.len()];
        if bytes.number(2)? != xxh3_64_with_seed(head, u64::from(lead)) & 0xffff {
            return malformed("the check of a block's head fails");
        }
        let payload = bytes.take(length)?;
        let block = &start[..start.len() - bytes.0.len()];
        if bytes.number(8)? != xxh3_64_with_seed(block, u64::from(lead)) {
            return malformed("the check of a block fails");
        }
        let mut rest = Bytes(payload);
        let Some(stream) = &mut stream else {
            if kind != 1 {
                return malformed("the first block is no header");
            }
            let (flags, header) = read_header(lead, &mut rest)?;
            rest.finish()?;
            if flags & 4 != 0 {
                return malformed("metadata in the header of the block form");
            }
            stream = Some(header);
            continue;
        };
        match kind {
            2 => {
                tail = !stream.blocks.is_empty();
                stream.metadata.extend(read_metadata(payload)?);
            }
            3 if tail || payload.is_empty() => {
                return malformed("a data block in the tail, or without data");
            }
            3 => stream.blocks.push(payload.to_vec()),
            4 => {
                let samples = rest.varint()?;
                let hash = rest.number(8)?;
                rest.finish()?;
                bytes.finish()?;
                stream.end = End::Blocks { samples, hash };
                return Ok(stream.clone());
            }
            0x80.. => {}
            _ => return malformed("a block of an unknown type"),
        }
    }
    malformed("the end block is missing")
}

/// The header fields [4]; gives the flags as well.
fn read_header(lead: u8, bytes: &mut Bytes<'_>) -> Result<(u8, Stream)> {
    let mut flags = 0;
    if lead & 0x10 != 0 {
        flags = bytes.u8()?;
        if flags == 0 || flags > 7 {
            return malformed("unknown flags");
        }
    }
    let codec = match u64::from(lead & 15) {
        15 => bytes.varint_within(15, u64::MAX)?,
        codec => codec,
    };
    let kind = match codec {
        0 | 1 | 4 => 0,
        2 | 5 => 1,
        3 | 6 => 2,
        _ => bytes.u8()?,
    };
    let media = match kind {
        0 => Media::Bytes,
        1 => Media::Image(read_image(bytes)?),
        2 => Media::Audio(read_audio(bytes)?),
        _ => return malformed("an unknown kind of samples"),
    };
    let mut parameters = Vec::new();
    if flags & 1 != 0 {
        let length = bytes.varint_within(1, 65536)?;
        parameters = bytes.take(length)?.to_vec();
    }
    let mut models = Vec::new();
    if flags & 2 != 0 {
        for _ in 0..bytes.varint_within(1, 16)? {
            models.push(bytes.number(8)?.to_le_bytes());
        }
    }
    let stream = Stream {
        codec,
        media,
        parameters,
        models,
        metadata: Vec::new(),
        blocks: Vec::new(),
        end: End::Blocks {
            samples: 0,
            hash: 0,
        },
    };
    Ok((flags, stream))
}

fn read_image(bytes: &mut Bytes<'_>) -> Result<Image> {
    let width = bytes.varint_within(1, u64::from(u32::MAX))? as u32;
    let height = bytes.varint_within(1, u64::from(u32::MAX))? as u32;
    let format = bytes.u8()?;
    let (color, bits) = (format >> 4, u32::from(format & 15) + 1);
    if color > 4 || color == 4 && bits > 8 {
        return malformed("an unknown format of pixels");
    }
    let mut palette = Vec::new();
    if color == 4 {
        let colors = bytes.varint_within(1, 256)?;
        let alphas = bytes.varint_within(0, colors)?;
        for _ in 0..colors {
            let rgb = bytes.take(3)?;
            palette.push([rgb[0], rgb[1], rgb[2], 255]);
        }
        let alphas = bytes.take(alphas)?;
        if alphas.last() == Some(&255) {
            return malformed("an alpha value that need not be there");
        }
        for (color, &alpha) in palette.iter_mut().zip(alphas) {
            color[3] = alpha;
        }
    }
    Ok(Image {
        width,
        height,
        color,
        bits,
        palette,
    })
}

fn read_audio(bytes: &mut Bytes<'_>) -> Result<Audio> {
    let rate = bytes.varint_within(1, u64::from(u32::MAX))? as u32;
    let channels = bytes.varint_within(1, 65535)? as usize;
    let (bits, float) = match bytes.u8()? {
        bits @ 1..=32 => (u32::from(bits), false),
        0xa0 => (32, true),
        _ => return malformed("an unknown format of sound"),
    };
    Ok(Audio {
        rate,
        channels,
        bits,
        float,
    })
}

/// A metadata list [5].
fn read_metadata(list: &[u8]) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut bytes = Bytes(list);
    let unpacked;
    match bytes.u8()? {
        0 => {}
        1 => {
            let length = bytes.varint()?;
            unpacked = zstandard::frame(bytes.rest(), length)?;
            bytes = Bytes(&unpacked);
        }
        _ => return malformed("an unknown method of metadata"),
    }
    let mut items = Vec::new();
    while !bytes.0.is_empty() {
        let key = bytes.varint()?;
        let length = bytes.varint()?;
        items.push((key, bytes.take(length)?.to_vec()));
    }
    Ok(items)
}

impl Stream {
    /// Checks the samples, given their number and the bytes that the content hash
    /// is of [6]; gives the hash.
    pub fn verify(&self, samples: u64, content: &[u8]) -> Result<u64> {
        let hash = xxh3_64(content);
        let fits = match self.end {
            End::Compact { seed, check, mask } => {
                xxh3_64_with_seed(&hash.to_le_bytes(), seed) & mask == check
            }
            End::Blocks {
                samples: stated,
                hash: stated_hash,
            } => samples == stated && hash == stated_hash,
        };
        if fits {
            Ok(hash)
        } else {
            malformed("the check of the samples fails")
        }
    }
}

#[cfg(test)]
mod tests {

    use crate::tests::hex;

    const COMPACT: &str = "f7 72 1a 40 06 68 65 6c 6c 6f 0a 43 7f 57 0c";
    const BLOCKS: &str = "f7 72 1a 60 01 01 00 8d be 9e 26 67 9e d1 32 f1 a7
        03 02 06 31 54 68 65 6c 6c 6f 0a 03 56 a5 28 a1 7d f5 3b
        04 03 09 fa 1e 06 2a 46 a2 ab 9a 81 fc 99 9c 71 2c 5e 7b 3f 5b 9a";

    #[test]
    fn the_worked_examples_decode() {
        for file in [COMPACT, BLOCKS].map(hex) {
            assert_eq!(crate::decode(&file).unwrap().content, b"hello\n");
        }
    }

    #[test]
    fn damage_is_found() {
        for file in [COMPACT, BLOCKS].map(hex) {
            for at in 0..file.len() {
                let mut damaged = file.clone();
                damaged[at] ^= 1;
                assert!(crate::decode(&damaged).is_err(), "byte {at}");
                assert!(crate::decode(&file[..at]).is_err(), "cut to {at}");
            }
        }
    }
}
