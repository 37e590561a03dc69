//! Which values a channel has: a picture that was brightened, converted from
//! fewer bits or drawn with few colours leaves gaps. Coders see ranks, without
//! the gaps.

use rcodec_core::{Error, Result};
use rcodec_entropy::BitCoder;

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
        // A map has to pay for itself, and ranks must stay meaningful as
        // brightness: a few unused values at the ends are no reason.
        let worth = values.len() == 1 || values.len() * 8 <= all * 7 && plane.len() >= all / 4;
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
        // By whether the last two values were used.
        let mut p_q16 = [32_768u32; 4];
        let mut history = 0usize;
        for value in 0..=(1u32 << width) - 1 {
            let used = next.next_if(|&&v| u32::from(v) == value).is_some();
            let used = coder.code_bit(used, p_q16[history])?;
            let p = &mut p_q16[history];
            if used {
                values.push(value as u16);
                *p += (65_536 - *p) >> 4;
            } else {
                *p -= *p >> 4;
            }
            *p = (*p).clamp(64, 65_472);
            history = (history << 1 | usize::from(used)) & 3;
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};

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
