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
        1 => photo::decode(group, bytes, photo::NORMAL)?,
        2 => graphics::decode(group, bytes.rest(), references.as_ref())?,
        3 => fast::decode(group, bytes)?,
        4 => photo::decode(group, bytes, photo::LARGE)?,
        9 => photo::decode(group, bytes, photo::LEARNED)?,
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
        let frames: fn(i32, i32) -> i32 = |x, y| match x == y {
            true => 255,
            false => (13 * (x + 2 * (y / 6)) + 29 * (y % 6)) * 40503 % 65536 / 256,
        };
        let normal = "
            05 06 00 06 06 04 1b 96 04 82 c3 e0 24 e7 7d 25 4f 4a 4c 71 21 e8
            01 6d 82 c3 56 f1 bd 51 19 e8 ac 32 75 86 6a 8f 98 fb 59 30 98 88
            63 dc 93 fe bf 28 58 43 54 11 b2 fd c6 1d 8f 5a 5e 5f b1 e8 c1 8b
            d1 3e 02 e0 05 64 01 dd 0b 07 ec dc 8c 93 ee 8b f2 a4 cf b3 1d 14
            39 3f e5 73 df 4d e7 c4 a6 c2 76 5f a2 20 0e 53 2d db b1 b8 c1 f7
            ce 06 a0 d0 25 d4 3f 0e 1e 05 47 22 5e 76 7f 3f 53 cf 9c 2b 72 f7
            10 cd ce 15 3e ff 9f c5 8c eb 8c 56 b9 20 a9 34 45 f8 10 24 83 fc
            53 a4 cf f7 4b c5 c1";
        let fast = "
            07 06 00 06 06 04 32 96 04 82 c3 e0 24 e7 7d 25 4f 4a 4c 71 21 e8
            01 6d 82 c3 56 f1 bd 51 19 e8 ac 4b 02 8a ae 97 1d f9 b9 52 71 30
            a6 b9 73 df 62 06 d5 2a 16 f4 e9 8d a4 75 ce 27 d2 63 b3 0b b7 1a
            cc 1b 9c 9d 73 8a 40 08 61 e0 91 39 92 b6 18 64 c0 8e 5d f7 76 90
            d3 91 c7 2f f5 17 f4 13 ae 52 ee 9a 87 90 46 8e 1b 3e 58 b5 b1 3c
            71 5e c1 0d 8e f7 a3 ca b9 52 d5 9e 1c 7f d1 8e 2a df 24 30 f5 52
            06 38 6c fc e4 74 9a 8f 6f 12 d7 7e 61 4b b5 9c f0 21 7f 79 f6 65
            b6 fc d1 fd c0 b2 09 49 ae ac 61 ab 2f fa 34 99 3e ff 1c f6 01 fa
            02 a0 82 d8 bd 94 7b 31 6a 0a 88 b7 8e c0 35 25 78 2b c7 54 68 7a
            f0 60 29 04";
        let large = "
            08 06 00 06 06 04 1b 96 04 82 c3 e0 24 e7 7d 25 4f 4a 4c 71 21 e8
            01 6d 82 c3 56 f1 bd 51 19 e8 ac 32 76 ee 85 03 ae ee f6 15 27 dc
            f1 c1 e9 80 95 51 7f b3 e2 97 0e a1 08 7c 1a 11 aa 00 71 bb dc f6
            da fe 03 a3 9e 9d ed 4e 30 9c 28 71 d2 bd 80 e6 60 9a 9e 64 71 ae
            e2 e3 cf 3a a9 3e 3a f9 90 92 ac 5c bc 74 38 d7 74 20 b1 d9 8a 7d
            67 69 6c 8e 43 9c 8b cd 25 7b d2 9c d6 a3 73 97 f7 18 0a dd a1 a2
            16 4c de 85 48 8d 03 85 7a 64 fe 7d f6 db 4c 4c e8 90 28 64";
        let graphics = "
            06 06 00 06 06 04 96 04 82 c3 e0 24 e7 7d 25 4f 4a 4c 71 21 e8 01
            6d 82 c3 56 f1 bd 51 19 e8 ac 81 c9 33 1a 1e 9b 24 ef 20 11 c6 d4
            35 85 3e e6 9e e1 08 9e 3a 25 ae 21 ce b3 93 7f b0 c4 4e 27 64 f6
            45 3b da 7a 80 16 59 0a c6 f0 a6 d8 c7 bb d0 52 06 d3 31 79 1e 95
            dd 1c ff 8a 2a 81 5b 68 33 2b e2 db e4 20 f3 49 58 3b 8d 46 e6 7e
            5f 84 94 3e a9 ac 09 75 b0 ec f0 0c 71 94 8b dd 45 a1 6f 36 3e 43
            5b 9c d2 68 3d 95 d8 9a e3 70 93 d7 9a 03 39 39 e8 01 59 7e a6 be
            6d c2 2c d0 e4 25 e9 68 51 1b 4d 65 a6 19 b7 41 ae e6 e4 67 f4 89
            35 87 b3 0b 8d 4c ce 3a e8 79 1b b9 35 08 66 ff 09 ad ef 4c 93 39
            11 b1 0c 7e 3d 2e f3 0e 51 0c 3a aa 11 df 10 61 d1 67 ce 70 5e 80
            48 56 14 3b 07 2a fe 53 15 aa 13 b0 f0 76 16 2f c0 f3 1f 33 d8 d4
            a8 5c 81";
        for payload in [normal, fast, large, graphics] {
            example(payload, [20, 12], &[frames]);
        }
    }
}
