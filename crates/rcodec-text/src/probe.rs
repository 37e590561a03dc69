//! Is there anything to be gained at all? Modelling noise would take as long
//! as modelling text.

use std::borrow::Cow;
use std::collections::HashSet;

/// Content shorter than this is modelled without a look.
const MIN_PROBED_BYTES: usize = 128 << 10;
/// The sample: so many stretches of so many bytes, evenly spread.
const STRETCHES: usize = 8;
const STRETCH_BYTES: usize = 8 << 10;

/// One in so many strings of eight bytes is looked at when searching for
/// repeats.
const REPEAT_SHARE: u64 = 64;

/// A sample of `content` to be modelled in its place, if it is long.
pub(crate) fn sample(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() < MIN_PROBED_BYTES {
        return None;
    }
    let last_start = content.len() - STRETCH_BYTES;
    let starts = (0..STRETCHES).map(|i| last_start / (STRETCHES - 1) * i);
    Some(
        starts
            .flat_map(|start| &content[start..start + STRETCH_BYTES])
            .copied()
            .collect(),
    )
}

/// A small sample of `content` of at most `most` bytes, or all of it: its
/// beginning and its middle.
pub(crate) fn small_sample(content: &[u8], most: usize) -> Cow<'_, [u8]> {
    if content.len() <= most {
        return Cow::Borrowed(content);
    }
    let (begin, middle) = (&content[..most / 2], content.len() / 2);
    let middle = &content[middle..(middle + most / 2).min(content.len())];
    Cow::Owned([begin, middle].concat())
}

/// Whether some bytes are so much more frequent than others that there must be
/// something to gain: two bytes are the same four times as often as of noise.
pub(crate) fn is_uneven(sample: &[u8]) -> bool {
    let mut counts = [0u64; 256];
    sample
        .iter()
        .for_each(|&byte| counts[usize::from(byte)] += 1);
    let pairs: u64 = counts.iter().map(|count| count * count).sum();
    let all = sample.len() as u64;
    pairs * 64 > all * all
}

/// Whether long strings come again, which a sample cannot show: more than one
/// in a hundred of those looked at.
pub(crate) fn has_repeats(content: &[u8]) -> bool {
    let mut seen = HashSet::new();
    let (mut looked_at, mut again) = (0usize, 0usize);
    for string in content.windows(8) {
        let string = string
            .iter()
            .fold(0, |all, &byte| all << 8 | u64::from(byte));
        let hash = string.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if hash.is_multiple_of(REPEAT_SHARE) {
            looked_at += 1;
            again += usize::from(!seen.insert(string));
        }
    }
    again * 100 > looked_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, text};

    #[test]
    fn repeats_are_found() {
        assert!(!has_repeats(&noise(1 << 20, 1)));
        assert!(has_repeats(&noise(1 << 19, 1).repeat(2)));
        assert!(has_repeats(&text(1 << 18)));
        assert!(is_uneven(&text(1 << 12)) && !is_uneven(&noise(1 << 12, 1)));
        assert!(sample(&noise(1000, 1)).is_none());
        assert_eq!(sample(&noise(1 << 18, 1)).unwrap().len(), 64 << 10);
    }
}
