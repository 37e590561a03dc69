//! Which values a channel has: a picture that was brightened, converted from
//! fewer bits or drawn with few colours leaves gaps. Coders see ranks, without
//! the gaps.

use crate::lossless::logistic::quarter_log2;
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, RangeBitEncoder};

/// The values that occur in a channel, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueMap {
    /// The values, or `None` if there are no gaps worth the map.
    values: Option<Vec<u16>>,
    /// The largest rank.
    max_rank: u16,
}

/// How a map is written.
const KIND_ALL: u32 = 0;
const KIND_CONSTANT: u32 = 1;
const KIND_LIST: u32 = 2;

impl ValueMap {
    /// A map to decode into.
    pub(crate) fn empty() -> Self {
        ValueMap {
            values: None,
            max_rank: 0,
        }
    }

    /// The map of a plane.
    pub(crate) fn of(plane: &[u16], bits: u8) -> Self {
        let all = 1usize << bits;
        let mut used = vec![false; all];
        for &sample in plane {
            if let Some(slot) = used.get_mut(usize::from(sample)) {
                *slot = true;
            }
        }
        let values: Vec<u16> = (0..all).filter(|&v| used[v]).map(|v| v as u16).collect();
        let worth = values.len() == 1 || is_worth(&values, plane.len(), bits);
        if worth {
            ValueMap {
                max_rank: (values.len() - 1) as u16,
                values: Some(values),
            }
        } else {
            ValueMap {
                values: None,
                max_rank: (all - 1) as u16,
            }
        }
    }

    /// Writes the map, or reads it if `coder` decodes.
    pub(crate) fn code<C: BitCoder>(self, coder: &mut C, bits: u8) -> Result<Self> {
        let width = u32::from(bits);
        let kind = match &self.values {
            None => KIND_ALL,
            Some(values) if values.len() == 1 => KIND_CONSTANT,
            Some(_) => KIND_LIST,
        };
        match coder.code_raw(kind, 2)? {
            KIND_ALL => Ok(ValueMap {
                values: None,
                max_rank: ((1u32 << width) - 1) as u16,
            }),
            KIND_CONSTANT => {
                let value = self.values.as_ref().map_or(0, |v| u32::from(v[0]));
                let value = coder.code_raw(value, width)? as u16;
                Ok(ValueMap {
                    values: Some(vec![value]),
                    max_rank: 0,
                })
            }
            KIND_LIST => self.code_list(coder, width),
            _ => Err(Error::malformed(
                coder.position(),
                "unknown kind of value map",
            )),
        }
    }

    /// One adaptive bit for every possible value.
    fn code_list<C: BitCoder>(self, coder: &mut C, width: u32) -> Result<Self> {
        let given = self.values.unwrap_or_default();
        let mut next = given.iter().peekable();
        let mut values = Vec::new();
        let mut gaps = Gaps::new();
        for value in 0..=(1u32 << width) - 1 {
            let used = next.next_if(|&&v| u32::from(v) == value).is_some();
            if gaps.code(coder, used)? {
                values.push(value as u16);
            }
        }
        if values.is_empty() {
            return Err(Error::malformed(
                coder.position(),
                "a channel without values",
            ));
        }
        Ok(ValueMap {
            max_rank: (values.len() - 1) as u16,
            values: Some(values),
        })
    }

    /// The largest rank that occurs.
    pub(crate) fn max_rank(&self) -> u16 {
        self.max_rank
    }

    /// Replaces values by ranks.
    pub(crate) fn to_ranks(&self, plane: &mut [u16]) {
        let Some(values) = &self.values else { return };
        let mut ranks = vec![0u16; 1 << 16];
        for (rank, &value) in values.iter().enumerate() {
            ranks[usize::from(value)] = rank as u16;
        }
        for sample in plane {
            *sample = ranks[usize::from(*sample)];
        }
    }

    /// Replaces ranks (at most [`max_rank`](Self::max_rank)) by values.
    pub(crate) fn to_values(&self, plane: &mut [u16]) {
        let Some(values) = &self.values else { return };
        for sample in plane {
            let rank = usize::from(*sample).min(values.len() - 1);
            *sample = values[rank];
        }
    }
}

/// Whether a map pays for itself in `samples` samples. Ranks must stay
/// meaningful as brightness: a few unused values at the ends are no reason,
/// nor is it one that a small picture cannot have them all.
fn is_worth(values: &[u16], samples: usize, bits: u8) -> bool {
    let all = 1usize << bits;
    if values.len() * 8 > all * 7 || samples < 64 {
        return false;
    }
    if bits <= 8 {
        return samples >= all / 4;
    }
    let map = ValueMap {
        values: Some(values.to_vec()),
        max_rank: 0,
    };
    let mut coder = RangeBitEncoder::new();
    let coded = map.code_list(&mut coder, u32::from(bits));
    let cost_bits = coded.map_or(usize::MAX, |_| 8 * coder.finish().len());
    // Coders find out half of it by themselves.
    let gain_bits = samples / 8 * quarter_log2((all / values.len()) as u32);
    cost_bits < gain_bits
}

/// Classes of how far a value is from where the last gap would put it.
const OFFSETS: usize = 9;

/// Octaves of gaps.
const OCTAVES: usize = 17;

/// Models of which values are used: those of data with fewer bits stand at
/// equal distances, those of a tone curve at distances that change slowly.
struct Gaps {
    /// By the octave of the last gap, whether the one before was as long, and
    /// where that gap would put the next value.
    p_q16: Vec<[u32; OFFSETS]>,
    /// Distance of the last two used values, and of the two before.
    gap: i32,
    gap_before: i32,
    /// Distance of the next value from the last used one.
    distance: i32,
}

impl Gaps {
    fn new() -> Self {
        Gaps {
            p_q16: vec![[32_768; OFFSETS]; 2 * OCTAVES],
            gap: 1,
            gap_before: 1,
            distance: 1,
        }
    }

    /// Codes whether the next value is used.
    fn code<C: BitCoder>(&mut self, coder: &mut C, used: bool) -> Result<bool> {
        let steady = usize::from(self.gap == self.gap_before);
        let offset = (self.distance - self.gap).clamp(-4, 4) + 4;
        let p = &mut self.p_q16[2 * self.gap.ilog2() as usize + steady][offset as usize];
        let used = coder.code_bit(used, *p)?;
        if used {
            *p += (65_536 - *p) >> 4;
            self.gap_before = self.gap;
            self.gap = self.distance;
            self.distance = 1;
        } else {
            *p -= *p >> 4;
            self.distance += 1;
        }
        *p = (*p).clamp(16, 65_520);
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};

    /// Bytes of a plane's map.
    fn map_bytes(plane: &[u16], bits: u8) -> usize {
        let mut encoder = RangeBitEncoder::new();
        ValueMap::of(plane, bits).code(&mut encoder, bits).unwrap();
        encoder.finish().len()
    }

    /// Data of 12 bits in 16, as they are, shifted, repeated and by a tone
    /// curve.
    #[test]
    fn sparse_maps_are_small() {
        let of = |f: &dyn Fn(u32) -> u32| -> Vec<u16> {
            (0..16_384).map(|n| f(n % 4096) as u16).collect()
        };
        let shifted = of(&|v| v << 4);
        let repeated = of(&|v| v << 4 | v >> 8);
        let curved = of(&|v| (f64::from(v) / 4095.0).sqrt().mul_add(65_535.0, 0.5) as u32);
        assert_eq!(round_trip(&shifted, 16).max_rank(), 4095);
        assert_eq!(round_trip(&repeated, 16).max_rank(), 4095);
        assert_eq!(round_trip(&curved, 16).max_rank(), 4095);
        let sizes = [&shifted, &repeated, &curved].map(|plane| map_bytes(plane, 16));
        assert!(
            sizes[0] < 60 && sizes[1] < 300 && sizes[2] < 1500,
            "{sizes:?}"
        );
        // Too few samples for all values are no sparse set.
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16
        };
        let small: Vec<u16> = (0..4000).map(|_| noise()).collect();
        assert_eq!(round_trip(&small, 16).max_rank(), u16::MAX);
    }

    fn round_trip(plane: &[u16], bits: u8) -> ValueMap {
        let mut encoder = RangeBitEncoder::new();
        let map = ValueMap::of(plane, bits).code(&mut encoder, bits).unwrap();
        let bytes = encoder.finish();
        let mut decoder = RangeBitDecoder::new(&bytes);
        assert_eq!(ValueMap::empty().code(&mut decoder, bits).unwrap(), map);
        decoder.finish().unwrap();
        let mut ranks = plane.to_vec();
        map.to_ranks(&mut ranks);
        assert!(ranks.iter().all(|&r| r <= map.max_rank()));
        map.to_values(&mut ranks);
        assert_eq!(ranks, plane);
        map
    }

    #[test]
    fn maps_round_trip() {
        assert_eq!(round_trip(&[7; 9], 4).max_rank(), 0);
        let sparse: Vec<u16> = (0..70_000u32).map(|n| (n * 16 % 65_536) as u16).collect();
        assert_eq!(round_trip(&sparse, 16).max_rank(), 4095);
        let dense: Vec<u16> = (0..300).map(|n| n % 256).collect();
        assert_eq!(round_trip(&dense, 8).max_rank(), 255);
    }
}
