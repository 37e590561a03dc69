//! The colours of a picture of few.

use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use rcodec_core::{Error, Result};
use rcodec_entropy::BitCoder;
use std::collections::HashMap;

/// The most colours of a palette.
pub(crate) const MAX_COLOURS: usize = 256;

/// A pixel: its ranks in the channels' value maps.
pub(crate) type Colour = [u16; 4];

/// The colours of the planes by brightness, if there are few enough.
pub(crate) fn find_colours(planes: &Planes) -> Option<Vec<Colour>> {
    let mut found = HashMap::new();
    let mut last = None;
    for at in 0..planes.pixels() {
        let colour = colour_at(planes, at);
        if last != Some(colour) {
            found.insert(colour, ());
            if found.len() > MAX_COLOURS {
                return None;
            }
            last = Some(colour);
        }
    }
    let mut colours: Vec<Colour> = found.into_keys().collect();
    colours.sort_unstable_by_key(|c| (c.iter().map(|&v| u32::from(v)).sum::<u32>(), *c));
    Some(colours)
}

/// The colour of a pixel.
pub(crate) fn colour_at(planes: &Planes, at: usize) -> Colour {
    let mut colour = [0; 4];
    for (slot, plane) in colour.iter_mut().zip(&planes.channels) {
        *slot = plane[at];
    }
    colour
}

/// Codes the palette: its size, then every colour's ranks.
pub(crate) fn code_colours<C: BitCoder>(
    coder: &mut C,
    colours: &[Colour],
    maps: &[ValueMap],
) -> Result<Vec<Colour>> {
    let count = coder.code_raw(colours.len().saturating_sub(1) as u32, 8)? as usize + 1;
    let mut coded = Vec::new();
    for i in 0..count {
        let given = colours.get(i).copied().unwrap_or_default();
        let mut colour = [0; 4];
        for ((slot, value), map) in colour.iter_mut().zip(given).zip(maps) {
            let bits = 16 - map.max_rank().leading_zeros();
            *slot = coder.code_raw(u32::from(value), bits)? as u16;
            if *slot > map.max_rank() {
                return Err(Error::malformed(
                    coder.position(),
                    "a palette colour is not among the channel's values",
                ));
            }
        }
        coded.push(colour);
    }
    Ok(coded)
}
