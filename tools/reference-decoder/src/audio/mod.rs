//! The codec `audio-lossless`: `crates/rcodec-audio/FORMAT.md`. Sections are
//! named in brackets.

mod adaptive;
mod learned;
mod linear;
mod regression;
mod residual;

use crate::bytes::Bytes;
use crate::coding::{AdaptiveBit, AnsDecoder, Coder, RangeDecoder, unzigzag};
use crate::container::{Audio, Stream};
use crate::error::{Result, malformed};
use crate::limit;

/// Decodes a sound: its samples, interleaved.
pub fn decode(audio: &Audio, stream: &Stream) -> Result<Vec<i32>> {
    let mut parameters = Bytes(&stream.parameters);
    let most = ((1 << 21) / audio.channels as u64).max(1);
    let frames_of_block = parameters.varint_within(1, most)?;
    parameters.finish()?;
    let mut samples = Vec::new();
    for (k, payload) in stream.blocks.iter().enumerate() {
        let channels = decode_block(audio, frames_of_block, payload)?;
        let frames = channels[0].len();
        if frames as u64 != frames_of_block && k + 1 < stream.blocks.len() {
            return malformed("a short block before the last one");
        }
        limit((samples.len() + frames * audio.channels) as u64)?;
        for t in 0..frames {
            samples.extend(channels.iter().map(|channel| channel[t]));
        }
    }
    Ok(samples)
}

/// The samples of a block [1], channel by channel.
fn decode_block(audio: &Audio, frames_of_block: u64, payload: &[u8]) -> Result<Vec<Vec<i32>>> {
    let mut bytes = Bytes(payload);
    let first = bytes.u8()?;
    let mode = first & 3;
    if first > 7 || mode == 3 {
        return malformed("an unknown mode");
    }
    let mut frames = frames_of_block;
    if first & 4 != 0 {
        frames = bytes.varint_within(1, frames_of_block)?;
    }
    let frames = frames as usize;
    if mode == 0 {
        return verbatim(audio, frames, bytes.rest());
    }
    let mut preset = 0;
    if mode == 1 {
        preset = bytes.u8()?;
        if !(1..=11).contains(&preset) {
            return malformed("an unknown preset");
        }
    }
    let form = Form::read(audio, &mut bytes)?;
    let mut plans: Vec<Plan> = Vec::new();
    for _ in 0..audio.channels {
        let plan = Plan::read(&mut bytes, audio, frames, &plans)?;
        plans.push(plan);
    }
    let payload = bytes.rest();
    let levels = if mode == 1 {
        let mut coder = RangeDecoder::new(payload)?;
        let levels = adaptive::decode(&mut coder, preset, frames, &plans)?;
        coder.finish()?;
        levels
    } else {
        let mut coder = AnsDecoder::new(payload)?;
        let levels = linear::decode(&mut coder, frames, &plans)?;
        coder.finish()?;
        levels
    };
    let mut channels: Vec<Vec<i32>> = Vec::new();
    for (plan, levels) in plans.iter().zip(levels) {
        let samples: Vec<i64> = match plan {
            Plan::Constant(v) => vec![*v; frames],
            Plan::Copy(c) => {
                channels.push(channels[*c].clone());
                continue;
            }
            Plan::Coded(coded) => levels.iter().map(|y| coded.sample(*y)).collect(),
        };
        let samples: Result<Vec<i32>> = samples.iter().map(|&i| form.sample(i)).collect();
        channels.push(samples?);
    }
    Ok(channels)
}

/// Samples as they are [1].
fn verbatim(audio: &Audio, frames: usize, payload: &[u8]) -> Result<Vec<Vec<i32>>> {
    let bits = audio.bits as usize;
    if payload.len() != (frames * audio.channels * bits).div_ceil(8) {
        return malformed("samples as they are, of another length");
    }
    let bit = |at: usize| u32::from(payload[at / 8] >> (at % 8) & 1);
    let sample = |at: usize| {
        let pattern = (0..bits).fold(0, |v, i| v | bit(at * bits + i) << i);
        // The highest bit is the sign.
        (pattern << (32 - bits)) as i32 >> (32 - bits)
    };
    Ok((0..audio.channels)
        .map(|c| {
            (0..frames)
                .map(|t| sample(t * audio.channels + c))
                .collect()
        })
        .collect())
}

/// A varint with a zigzag number.
fn signed_varint(bytes: &mut Bytes<'_>) -> Result<i64> {
    Ok(unzigzag(bytes.varint()?))
}

fn signed_within(bytes: &mut Bytes<'_>, least: i64, most: i64) -> Result<i64> {
    let value = signed_varint(bytes)?;
    if value < least || value > most {
        return malformed("a number is out of bounds");
    }
    Ok(value)
}

/// How the integers of a block are samples [2].
#[derive(Clone, Copy, Debug)]
enum Form {
    Integers,
    OrderedFloats,
    ScaledFloats(i64),
}

impl Form {
    fn read(audio: &Audio, bytes: &mut Bytes<'_>) -> Result<Self> {
        if !audio.float {
            return Ok(Self::Integers);
        }
        match bytes.u8()? {
            0 => Ok(Self::OrderedFloats),
            1 => Ok(Self::ScaledFloats(signed_within(bytes, -149, 127)?)),
            _ => malformed("an unknown form of floats"),
        }
    }

    fn sample(self, i: i64) -> Result<i32> {
        match self {
            Self::Integers => Ok(i as i32),
            Self::OrderedFloats if i >= 0 => Ok(i as i32),
            Self::OrderedFloats => Ok(i as i32 ^ 0x7fff_ffff),
            Self::ScaledFloats(e) => scaled(i, e),
        }
    }
}

/// The pattern of the single-precision number i · 2^e.
fn scaled(i: i64, e: i64) -> Result<i32> {
    if i == 0 {
        return Ok(0);
    }
    let zeros = i.trailing_zeros();
    let (m, e) = (i.unsigned_abs() >> zeros, e + i64::from(zeros));
    let length = 64 - i64::from(m.leading_zeros());
    // The exponent of the highest bit.
    let top = e + length - 1;
    if length > 24 || top > 127 {
        return malformed("no single-precision number");
    }
    let pattern = if top < -126 {
        m << (e + 149)
    } else {
        let mantissa = (m << (24 - length)) & ((1 << 23) - 1);
        ((top + 127) as u64) << 23 | mantissa
    };
    let sign = u32::from(i < 0) << 31;
    Ok((sign | pattern as u32) as i32)
}

/// What a channel is [3].
#[derive(Clone, Debug)]
enum Plan {
    Constant(i64),
    Copy(usize),
    Coded(Coded),
}

/// How the levels of a channel are coded.
#[derive(Clone, Debug)]
struct Coded {
    step: i64,
    offset: i64,
    min: i64,
    max: i64,
    history_shift: i64,
    has_set: bool,
    reference: Option<usize>,
}

impl Coded {
    fn sample(&self, y: i64) -> i64 {
        self.offset + self.step * y
    }
}

impl Plan {
    fn read(bytes: &mut Bytes<'_>, audio: &Audio, frames: usize, before: &[Self]) -> Result<Self> {
        let half = 1_i64 << (audio.bits - 1);
        match bytes.u8()? {
            0 => Ok(Self::Constant(signed_within(bytes, -half, half - 1)?)),
            1 => {
                let c = bytes.varint()?;
                if c >= before.len() as u64 {
                    return malformed("a copy of a later channel");
                }
                Ok(Self::Copy(c as usize))
            }
            byte if byte & !28 == 2 => {
                let (mut step, mut offset) = (1, 0);
                if byte & 4 != 0 {
                    step = bytes.varint_within(2, u64::from(u32::MAX))? as i64;
                    offset = bytes.varint_within(0, step as u64 - 1)? as i64;
                }
                let min = signed_within(bytes, -1 << 33, 1 << 33)?;
                let span = bytes.varint_within(1, u64::from(u32::MAX))? as i64;
                let has_set = byte & 8 != 0;
                if has_set && span >= (1 << 18).min(16 * frames as i64) {
                    return malformed("a set of too many levels");
                }
                let history_shift = signed_within(bytes, -14, 17)?;
                let mut reference = None;
                if byte & 16 != 0 {
                    let c = bytes.varint()?;
                    let channel = usize::try_from(c)
                        .ok()
                        .filter(|&c| matches!(before.get(c), Some(Self::Coded(_))));
                    if channel.is_none() {
                        return malformed("a reference that is not coded before");
                    }
                    reference = channel;
                }
                let coded = Coded {
                    step,
                    offset,
                    min,
                    max: min + span,
                    history_shift,
                    has_set,
                    reference,
                };
                let range = i128::from(-half)..i128::from(half);
                let fits = [min, min + span].iter().all(|&y| {
                    range.contains(&(i128::from(offset) + i128::from(step) * i128::from(y)))
                });
                if !fits {
                    return malformed("levels outside of the range of samples");
                }
                Ok(Self::Coded(coded))
            }
            _ => malformed("an unknown plan"),
        }
    }
}

/// The levels that can occur, by place [5].
#[derive(Clone, Debug)]
struct Places {
    min: i64,
    max: i64,
    /// The levels, where a set was sent.
    set: Option<Vec<i64>>,
}

impl Places {
    /// Reads the set of levels, if there is one [4].
    fn read(coder: &mut impl Coder, plan: &Coded) -> Result<Self> {
        let (min, max) = (plan.min, plan.max);
        let mut set = None;
        if plan.has_set {
            let mut models = [AdaptiveBit::new(4); 1024];
            let mut context = 1;
            let mut levels = vec![min];
            for y in min + 1..max {
                let bit = models[context].decode(coder)?;
                if bit {
                    levels.push(y);
                }
                context = (2 * context + usize::from(bit)) % 1024;
            }
            levels.push(max);
            set = Some(levels);
        }
        Ok(Self { min, max, set })
    }

    fn last(&self) -> i64 {
        match &self.set {
            None => self.max - self.min,
            Some(levels) => levels.len() as i64 - 1,
        }
    }

    /// The level at a place.
    fn level(&self, place: i64) -> Result<i64> {
        if place < 0 || place > self.last() {
            return malformed("a residual beyond the levels");
        }
        Ok(match &self.set {
            None => self.min + place,
            Some(levels) => levels[place as usize],
        })
    }

    /// The place nearest to a prediction in Q8, and the distance.
    fn nearest(&self, p: i64) -> (i64, i64) {
        let y = ((p + 128) >> 8).clamp(self.min, self.max);
        let Some(levels) = &self.set else {
            return (y - self.min, 1);
        };
        let k = levels.partition_point(|&level| level < y);
        if k == 0 {
            return (0, 1);
        }
        let (below, above) = (levels[k - 1], levels[k]);
        let nearer_below = p - 256 * below < 256 * above - p;
        (k as i64 - i64::from(nearer_below), above - below)
    }
}

/// A channel's level at a frame, which may lie outside of the block.
fn level_at(levels: &[i64], t: i64) -> i64 {
    usize::try_from(t)
        .ok()
        .and_then(|t| levels.get(t).copied())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    #[test]
    fn the_examples_of_the_page_decode() {
        let audio = Audio {
            rate: 48000,
            channels: 1,
            bits: 16,
            float: false,
        };
        let linear = "
            06 18 02 d0 0f 48 07
            4c ca 75 12 c1 a3 ae 3b 97 81 51 1d b9 25 da c2 97 8f 31 73 04";
        let adaptive = "
            05 18 01 02 d0 0f 48 07
            ff ed d0 64 61 e3 53 6e 2b 44 ae 83 81 0f 10 e9 3d 4d 90";
        let samples = [
            1000, 1001, 1000, 1002, 1004, 1006, 1009, 1009, 1012, 1018, 1020, 1026, 1032, 1037,
            1043, 1045, 1046, 1049, 1055, 1058, 1060, 1066, 1072, 1071,
        ];
        for payload in [linear, adaptive] {
            let decoded = decode_block(&audio, 40000, &hex(payload)).unwrap();
            assert_eq!(decoded, [samples]);
        }
    }

    #[test]
    fn scaled_floats_have_the_patterns_of_floats() {
        for (i, e) in [
            (1, 0),
            (-3, -2),
            (1, -149),
            (0xff_ffff, 104),
            (0x1_0000, -149),
        ] {
            let float = i as f64 * 2_f64.powi(e);
            let pattern = (float as f32).to_bits() as i32;
            assert_eq!(scaled(i, i64::from(e)), Ok(pattern), "{i} {e}");
        }
        assert!(scaled(0x1ff_ffff, 0).is_err());
        assert!(scaled(1 << 24, 104).is_err());
    }
}
