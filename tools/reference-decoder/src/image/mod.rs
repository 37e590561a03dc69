//! The codec `image-lossless`: `crates/rcodec-image/FORMAT.md`. Sections are
//! named in brackets.

mod common;
mod fast;
mod graphics;
mod photo;
mod references;
mod two_colours;

use crate::bytes::Bytes;
use crate::coding::{Coder, RangeDecoder};
use crate::container::{Image, Stream};
use crate::error::{Result, malformed};
use crate::limit;
use common::bitlen;
use references::References;

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
    let mut mode = bytes.u8()?;
    let mut references = None;
    if (5..=8).contains(&mode) {
        references = Some(References::read(&mut bytes, group)?);
        mode -= 4;
    }
    let (maps, mut planes) = match mode {
        0 => return stored(group, bytes.rest()),
        1 => photo::decode(group, bytes, false)?,
        2 => graphics::decode(group, bytes.rest(), references.as_ref())?,
        3 => fast::decode(group, bytes)?,
        4 => photo::decode(group, bytes, true)?,
        _ => return malformed("an unknown mode"),
    };
    if let Some(references) = references.filter(|_| mode != 2) {
        references.undo(group, &maps, &mut planes);
    }
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
            2 => Self::list(coder, bits),
            _ => malformed("an unknown kind of value map"),
        }
    }

    /// The list of the values that are used, by their gaps.
    fn list(coder: &mut RangeDecoder<'_>, bits: u32) -> Result<Self> {
        // By the last gap's logarithm, whether it was as the one before, and
        // how far the distance is from it.
        let mut p = [[[32768_u32; 9]; 2]; 17];
        let (mut gap, mut before, mut distance) = (1_i32, 1, 1);
        let mut values = Vec::new();
        for v in 0..1 << bits {
            let off = (distance - gap).clamp(-4, 4) + 4;
            let p = &mut p[gap.ilog2() as usize][usize::from(gap == before)][off as usize];
            if coder.bit(*p)? {
                *p += (65536 - *p) >> 4;
                values.push(v);
                (before, gap, distance) = (gap, distance, 1);
            } else {
                *p -= *p >> 4;
                distance += 1;
            }
            *p = (*p).clamp(16, 65520);
        }
        if values.is_empty() {
            return malformed("a channel without values");
        }
        Ok(Self::Values(values))
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
            01 00 be 01 cb 74 91 41 13 b0 db 99 5e 8f 1d c6 24 39 72 90 f7
            f6 ba 5c 9d e6 fa fa 06 25 7a";
        let large = "
            04 00 bd 0a d8 4a 69 4d 19 3a 1a 3d ca fe c5 8a e7 1b 86 35 4e
            d2 f9 0f 4d ae 85 06 6c 6f 56 7f a1 02";
        for payload in [fast, normal, large] {
            example(payload, [10, 6], &[slope]);
        }
        let colours = "
            01 00 15 15 be 01 b7 9b b2 75 96 e5 f8 6e 5e 57 1e b8 93 d4 6b
            f0 c0 15 b6 98 b7 11 1d a8 a0 e4 6d e9 82 c3 c4 29 8e ac fb 31
            2d 15 e3 d5 2c 0f e0 08 77 74 dc 85 94 9e bd ae 25 9b bf 80 fc
            b8 23 ab aa aa 08 bf 14 88 3e 92 ca e7";
        example(
            colours,
            [12, 4],
            &[
                |x, y| 20 * x + y,
                |x, y| 18 * x + 2 * y + 7,
                |x, y| 200 - 15 * x + x * x * y % 5,
            ],
        );
        for payload in ["02 9f ff f5 fc 1a 67 e1 11", "04 04 9f ff f5 fc 8a 93"] {
            example(payload, [33, 31], &[|x, y| (x + y) % 2 * 255]);
        }
        let three = "
            02 9f ff f5 7d a0 2a 74 05 ae d7 dd 05 59 54 5b a9 d7 0a 0b 9d
            fd d6 b6 f7 7f 36 dd dc 36";
        example(three, [20, 12], &[|x, y| 100 * ((x * x + y) / 3 % 3)]);
    }
}
