//! The mode graphics [5].

mod candidates;
mod escape;
mod experts;
mod symbols;

use super::references::References;
use super::{Group, Plane, ValueMap, bitlen, order, two_colours};
use crate::coding::{Coder, RangeDecoder};
use crate::error::{Result, malformed};
use symbols::Symbols;

pub(super) use candidates::input_of;
pub(super) use symbols::SameRow;

pub(super) fn decode(
    group: Group,
    payload: &[u8],
    references: Option<&References>,
) -> Result<(Vec<ValueMap>, Vec<Plane>)> {
    let mut coder = RangeDecoder::new(payload)?;
    let maps = ValueMap::read_all(&mut coder, group)?;
    let alphabet = Alphabet::read(&mut coder, &maps)?;
    let symbols = match alphabet.palette.as_ref().map(Vec::len) {
        Some(1) => vec![0; group.pixels()],
        Some(2) if references.is_none() => two_colours::decode(&mut coder, group)?,
        _ => Symbols::new(group, &alphabet, references).decode(&mut coder)?,
    };
    coder.finish()?;
    let mut planes = vec![Vec::new(); group.channels];
    for symbol in symbols {
        for (c, rank) in alphabet.ranks(symbol)?.into_iter().enumerate() {
            if rank > maps[c].top() {
                return malformed("a rank beyond the largest one");
            }
            planes[c].push(rank);
        }
    }
    Ok((maps, planes))
}

/// What symbols stand for [5.1].
#[derive(Clone, Debug)]
struct Alphabet {
    /// Each colour's ranks, by number of channel.
    palette: Option<Vec<Vec<i32>>>,
    /// The bits of each field of a symbol.
    fields: Vec<u32>,
}

impl Alphabet {
    fn read(coder: &mut RangeDecoder<'_>, maps: &[ValueMap]) -> Result<Self> {
        let bits: Vec<u32> = maps.iter().map(|map| bitlen(map.top() as u32)).collect();
        if coder.raw(1)? == 0 {
            let fields: Vec<u32> = order(maps.len()).iter().map(|&c| bits[c]).collect();
            if fields.iter().sum::<u32>() > 32 {
                return malformed("symbols of too many bits");
            }
            return Ok(Self {
                palette: None,
                fields,
            });
        }
        let mut palette = Vec::new();
        for _ in 0..=coder.raw(8)? {
            let mut ranks = Vec::new();
            for (map, &bits) in maps.iter().zip(&bits) {
                let rank = coder.raw(bits)? as i32;
                if rank > map.top() {
                    return malformed("a rank beyond the largest one");
                }
                ranks.push(rank);
            }
            palette.push(ranks);
        }
        Ok(Self {
            fields: vec![bitlen(palette.len() as u32 - 1)],
            palette: Some(palette),
        })
    }

    /// Field `i` of a symbol.
    fn get(&self, symbol: u32, i: usize) -> i32 {
        let below: u32 = self.fields[i + 1..].iter().sum();
        ((u64::from(symbol) >> below) & ((1 << self.fields[i]) - 1)) as i32
    }

    fn ranks(&self, symbol: u32) -> Result<Vec<i32>> {
        if let Some(palette) = &self.palette {
            return match palette.get(symbol as usize) {
                Some(ranks) => Ok(ranks.clone()),
                None => malformed("a symbol beyond the palette"),
            };
        }
        let mut ranks = vec![0; self.fields.len()];
        for (i, &c) in order(ranks.len()).iter().enumerate() {
            ranks[c] = self.get(symbol, i);
        }
        Ok(ranks)
    }
}
