//! The codec `image-lossless`: `crates/rcodec-image/FORMAT.md`. Sections are
//! named in brackets.

mod common;
mod fast;
mod graphics;
mod photo;
mod two_colours;

use crate::bytes::Bytes;
use crate::coding::{Coder, RangeDecoder};
use crate::container::{Image, Stream};
use crate::error::{Result, malformed};
use crate::limit;
use common::bitlen;

/// The samples of one channel, row by row.
type Plane = Vec<i32>;

/// A group of rows [2].
#[derive(Clone, Copy, Debug)]
struct Group {
    width: usize,
    rows: usize,
    channels: usize,
    bits: u32,
}

impl Group {
    fn pixels(&self) -> usize {
        self.width * self.rows
    }
}

/// Decodes a picture: its samples, row by row, channels interleaved.
pub fn decode(image: &Image, stream: &Stream) -> Result<Vec<u16>> {
    let mut parameters = Bytes(&stream.parameters);
    if parameters.u8()? != 0 {
        return malformed("an unknown variant");
    }
    let rows_of_group = parameters.varint_within(1, u64::from(u32::MAX))?;
    parameters.finish()?;
    let (width, height) = (u64::from(image.width), u64::from(image.height));
    let channels = image.channels();
    limit(width.saturating_mul(height).saturating_mul(channels as u64))?;
    if height.div_ceil(rows_of_group) != stream.blocks.len() as u64 {
        return malformed("another number of groups");
    }
    let mut samples = Vec::new();
    for (k, payload) in (0..).zip(&stream.blocks) {
        let group = Group {
            width: width as usize,
            rows: rows_of_group.min(height - k * rows_of_group) as usize,
            channels,
            bits: image.bits,
        };
        let planes = decode_group(group, payload)?;
        for at in 0..group.pixels() {
            samples.extend(planes.iter().map(|plane| plane[at] as u16));
        }
    }
    Ok(samples)
}

fn decode_group(group: Group, payload: &[u8]) -> Result<Vec<Plane>> {
    let mut bytes = Bytes(payload);
    let (maps, mut planes) = match bytes.u8()? {
        0 => return stored(group, bytes.rest()),
        1 => photo::decode(group, bytes, false)?,
        2 => graphics::decode(group, bytes.rest())?,
        3 => fast::decode(group, bytes)?,
        4 => photo::decode(group, bytes, true)?,
        _ => return malformed("an unknown mode"),
    };
    for (plane, map) in planes.iter_mut().zip(&maps) {
        for sample in plane {
            *sample = map.value(*sample);
        }
    }
    Ok(planes)
}

/// Samples as they are [2.1].
fn stored(group: Group, payload: &[u8]) -> Result<Vec<Plane>> {
    let bits = group.bits as usize;
    let all = group.pixels() * group.channels * bits;
    if payload.len() != all.div_ceil(8) {
        return malformed("stored samples of another length");
    }
    let bit = |at: usize| i32::from(payload[at / 8] >> (7 - at % 8) & 1);
    let sample = |at: usize| (0..bits).fold(0, |v, i| 2 * v + bit(at * bits + i));
    let first = |c| c * group.pixels();
    Ok((0..group.channels)
        .map(|c| (first(c)..first(c + 1)).map(sample).collect())
        .collect())
}

/// What values the ranks of a channel stand for [2.2].
#[derive(Clone, Debug)]
enum ValueMap {
    Same { top: i32 },
    Values(Vec<i32>),
}

impl ValueMap {
    fn top(&self) -> i32 {
        match self {
            Self::Same { top } => *top,
            Self::Values(values) => values.len() as i32 - 1,
        }
    }

    fn value(&self, rank: i32) -> i32 {
        match self {
            Self::Same { .. } => rank,
            Self::Values(values) => values[rank as usize],
        }
    }

    fn read(coder: &mut RangeDecoder<'_>, bits: u32) -> Result<Self> {
        match coder.raw(2)? {
            0 => Ok(Self::Same {
                top: (1 << bits) - 1,
            }),
            1 => Ok(Self::Values(vec![coder.raw(bits)? as i32])),
            2 => {
                let mut p = [32768_u32; 4];
                let mut history = 0;
                let mut values = Vec::new();
                for v in 0..1 << bits {
                    let used = coder.bit(p[history])?;
                    let p = &mut p[history];
                    if used {
                        *p += (65536 - *p) >> 4;
                        values.push(v);
                    } else {
                        *p -= *p >> 4;
                    }
                    *p = (*p).clamp(64, 65472);
                    history = (2 * history + usize::from(used)) % 4;
                }
                if values.is_empty() {
                    return malformed("a channel without values");
                }
                Ok(Self::Values(values))
            }
            _ => malformed("an unknown kind of value map"),
        }
    }

    /// The maps of all channels of a group.
    fn read_all(coder: &mut RangeDecoder<'_>, group: Group) -> Result<Vec<Self>> {
        (0..group.channels)
            .map(|_| Self::read(coder, group.bits))
            .collect()
    }
}

/// The order in which channels are coded [5.1].
fn order(channels: usize) -> &'static [usize] {
    match channels {
        1 => &[0],
        2 => &[1, 0],
        3 => &[1, 0, 2],
        _ => &[3, 1, 0, 2],
    }
}

/// The head, which stands behind its length [4.1], [6.1].
fn head<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8]> {
    let length = bytes.varint_within(0, u64::from(u32::MAX))?;
    bytes.take(length)
}

/// The lengths of all streams but the last, and the streams.
fn streams<'a>(bytes: &mut Bytes<'a>, count: usize) -> Result<Vec<&'a [u8]>> {
    if count == 0 {
        bytes.finish()?;
        return Ok(Vec::new());
    }
    let mut lengths = Vec::new();
    for _ in 1..count {
        lengths.push(bytes.varint_within(0, u64::from(u32::MAX))?);
    }
    let mut streams = Vec::new();
    for length in lengths {
        streams.push(bytes.take(length)?);
    }
    streams.push(bytes.rest());
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    /// Decodes one of the page's examples [7], of 8 bits, and compares.
    fn example(payload: &str, size: [usize; 2], channels: &[fn(i32, i32) -> i32]) {
        let group = Group {
            width: size[0],
            rows: size[1],
            channels: channels.len(),
            bits: 8,
        };
        let planes = decode_group(group, &hex(payload)).unwrap();
        for (plane, sample) in planes.iter().zip(channels) {
            for (at, &decoded) in plane.iter().enumerate() {
                let (x, y) = ((at % group.width) as i32, (at / group.width) as i32);
                assert_eq!(decoded, sample(x, y), "({x}, {y})");
            }
        }
    }

    #[test]
    fn the_examples_of_the_page_decode() {
        let slope: fn(i32, i32) -> i32 = |x, y| 10 + 9 * x + 5 * y + x * y % 3;
        let fast = "
            03 0c 0e 53 e4 1e e8 44 17 9d 85 a0 1d 2b 18 d0 8b 4f 29 e7 bb
            9f 3f fb c9 81 15 fe ed 9d 4b 33 e0 33 54 da e4 6f 05 20 a2 10";
        let normal = "
            01 00 be 08 9b d7 61 90 ec bb 72 cd 52 ce 97 e7 d4 d8 95 b3 7e
            72 ee d2 0c 65 fd fc 97";
        let large = "
            04 00 bd 0a d8 3c c9 1a 37 8d ac 39 43 03 3b 4f 05 cf 5b 99 24
            82 f5 25 28 8b b1 f7 a9 a0 0e c5 cd 13 8b";
        for payload in [fast, normal, large] {
            example(payload, [10, 6], &[slope]);
        }
        let colours = "
            01 00 14 14 be 08 8c fc 23 5a 84 5a 6d e7 16 1d 7d 7f 82 c7 a6
            7d 5f c9 99 37 54 a6 d1 7b 95 28 17 7f 26 2c 90 6f 1d bd 7f e2
            65 db 2c d9 3a 14 b9 02 b4 ef 54 e4 bf 38 ef 8f 46 31 9d 7a ae
            80 d1 88 5c 62 c9 7d 1f 46 26 51";
        example(
            colours,
            [12, 4],
            &[
                |x, y| 20 * x + y,
                |x, y| 18 * x + 2 * y + 7,
                |x, y| 200 - 15 * x + x * x * y % 5,
            ],
        );
        for payload in ["02 9f ff ed 28 9a e7 a1 06", "04 04 9f ff ed 27 8a 79"] {
            example(payload, [33, 31], &[|x, y| (x + y) % 2 * 255]);
        }
        let three = "
            02 9f ff ea 15 2c 2e 7f 78 42 46 e5 33 a7 13 95 60 95 f6 d4 38
            30 d2 95 3f c9 31 0b";
        example(three, [20, 12], &[|x, y| 100 * ((x * x + y) / 3 % 3)]);
    }
}
