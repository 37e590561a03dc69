//! The search for rows that are like others.

use super::{BACK_MIN, References, Segment};
use crate::lossless::plane::Planes;
use std::collections::HashMap;

/// Rows that are decided on together.
const CHUNK: usize = 4;

/// Columns and rows of the blocks that are looked for.
const BLOCK: (usize, usize) = (8, 4);

/// Slots of the table of blocks: 2 to this.
const SLOT_BITS: u32 = 16;

/// How many of the most frequent displacements are tried everywhere, and how
/// many of a chunk's own within it.
const COMMON: usize = 8;
const OWN: usize = 3;

/// What a change costs, in pixels.
const CHANGE: usize = 8;

/// A distance in rows (up) and columns (to the right).
type Displacement = (usize, isize);

/// The rows that others are like, where frames of `frame_rows` rows stand below
/// one another; `None` if there are hardly any.
pub(crate) fn find(planes: &Planes, frame_rows: usize) -> Option<References> {
    let pixels = identities(planes);
    let votes = vote(&pixels, planes.width);
    let mut all: HashMap<Displacement, usize> = HashMap::new();
    for (displacement, count) in votes.iter().flatten() {
        *all.entry(*displacement).or_default() += count;
    }
    let mut common = most_frequent(all, COMMON);
    common.push((frame_rows, 0));
    let mut references = References::default();
    let mut before = None;
    for (chunk, own) in votes.into_iter().enumerate() {
        let first = chunk * CHUNK;
        let rows = CHUNK.min(planes.rows - first);
        let mut tried = most_frequent(own, OWN);
        tried.extend(&common);
        tried.extend(before);
        tried.retain(|&(back, _)| (BACK_MIN..=first).contains(&back));
        let scored = tried.into_iter().map(|displacement| {
            let count = alike(&pixels, planes.width, first, rows, displacement);
            let same = before == Some(displacement);
            (count + if same { CHANGE } else { 0 }, displacement)
        });
        let best = scored.max_by_key(|&(score, (back, right))| {
            (score, std::cmp::Reverse((right.unsigned_abs(), back)))
        });
        let worth = best.filter(|&(score, _)| {
            2 * score >= rows * planes.width
                || score > plain(&pixels, planes.width, first, rows) + CHANGE
        });
        before = worth.map(|(_, displacement)| displacement);
        let (back, right) = before.unwrap_or_default();
        references.push(Segment { rows, back, right });
    }
    (references.rows() > 0).then_some(references)
}

/// A number for every pixel, hardly ever the same for different ones.
fn identities(planes: &Planes) -> Vec<u32> {
    let mut pixels = vec![0u32; planes.pixels()];
    for plane in &planes.channels {
        for (slot, &sample) in pixels.iter_mut().zip(plane) {
            *slot = (slot.rotate_left(13) ^ u32::from(sample)).wrapping_mul(0x9e37_79b1);
        }
    }
    pixels
}

/// For every chunk how often its blocks stood somewhere before, by
/// displacement.
fn vote(pixels: &[u32], width: usize) -> Vec<HashMap<Displacement, usize>> {
    let rows = pixels.len() / width;
    let mut votes = vec![HashMap::new(); rows.div_ceil(CHUNK)];
    let mut seen = vec![(0u32, 0u32, 0u32); 1 << SLOT_BITS];
    let (columns, height) = BLOCK;
    for y in 0..(rows + 1).saturating_sub(height) {
        for x in 0..(width + 1).saturating_sub(columns) {
            let corner = pixels[y * width + x];
            // One pixel value in 16, the same wherever it stands, where an
            // edge begins.
            if corner.wrapping_mul(0x2c1b_3c6d) >> 28 != 0 || corner == pixels[y * width + x + 1] {
                continue;
            }
            let block = (0..height).flat_map(|dy| {
                let from = (y + dy) * width + x;
                &pixels[from..from + columns]
            });
            let hash = block.fold(0u32, |hash, &pixel| {
                (hash.rotate_left(5) ^ pixel).wrapping_mul(0x85eb_ca77)
            });
            let slot = &mut seen[(hash.wrapping_mul(0x9e37_79b1) >> (32 - SLOT_BITS)) as usize];
            let (check, old_x, old_y) = *slot;
            if check == hash {
                let back = y - old_y as usize;
                let right = old_x as isize - x as isize;
                *votes[y / CHUNK].entry((back, right)).or_default() += 1;
            }
            *slot = (hash, x as u32, y as u32);
        }
    }
    votes
}

/// The displacements with the most votes.
fn most_frequent(votes: HashMap<Displacement, usize>, count: usize) -> Vec<Displacement> {
    let mut votes: Vec<(usize, Displacement)> = votes
        .into_iter()
        .filter(|((back, _), votes)| *back >= BACK_MIN && *votes > 1)
        .map(|(displacement, votes)| (votes, displacement))
        .collect();
    votes.sort_unstable_by(|a, b| b.cmp(a));
    votes.truncate(count);
    votes
        .into_iter()
        .map(|(_, displacement)| displacement)
        .collect()
}

/// Pixels of some rows that are as those at a displacement.
fn alike(
    pixels: &[u32],
    width: usize,
    first: usize,
    rows: usize,
    (back, right): Displacement,
) -> usize {
    let shift = right.unsigned_abs();
    let mut count = 0;
    for y in first..first + rows {
        let here = &pixels[y * width..(y + 1) * width];
        let there = &pixels[(y - back) * width..(y - back + 1) * width];
        // Beside the shifted picture stands its outermost column.
        let (here, there, edge) = if right >= 0 {
            (here, &there[shift..], there[width - 1])
        } else {
            (&here[shift..], there, there[0])
        };
        count += here.iter().zip(there).filter(|(a, b)| a == b).count();
        let beside = if right >= 0 {
            &pixels[(y + 1) * width - shift..(y + 1) * width]
        } else {
            &pixels[y * width..y * width + shift]
        };
        count += beside.iter().filter(|&&pixel| pixel == edge).count();
    }
    count
}

/// Pixels of some rows that are as the one to the left or above.
fn plain(pixels: &[u32], width: usize, first: usize, rows: usize) -> usize {
    let from = first * width;
    (from..from + rows * width)
        .filter(|&at| {
            let same = |back: usize| at >= back && pixels[at] == pixels[at - back];
            same(1) || same(width)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise in blocks, shifted.
    fn sample(x: usize, y: usize) -> u16 {
        let h = (x as u32 / 2).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
        ((h ^ h >> 15).wrapping_mul(0x2c1b_3c6d) >> 24) as u16
    }

    #[test]
    fn displacements_are_found() {
        // Three frames: the second as the first, the third moved.
        let (width, rows) = (64, 40);
        let mut planes = Planes::zeroed(width, 3 * rows, 8, 1);
        for y in 0..3 * rows {
            for x in 0..width {
                planes.channels[0][y * width + x] = match y / rows {
                    0 | 1 => sample(x, y % rows),
                    _ => sample(x + 6, y % rows + 4),
                };
            }
        }
        let found = find(&planes, rows).unwrap();
        let by_row: Vec<_> = found.by_row().collect();
        assert_eq!(by_row.len(), 3 * rows);
        assert!(by_row[..rows].iter().all(|&(back, _)| back == 0));
        assert!(by_row[rows..2 * rows].iter().all(|&d| d == (rows, 0)));
        let moved = by_row[2 * rows..].iter();
        assert!(moved.filter(|&&d| d == (rows - 4, 6)).count() >= rows - 8);
    }

    #[test]
    fn noise_refers_to_nothing() {
        let mut planes = Planes::zeroed(64, 80, 8, 1);
        for (at, slot) in planes.channels[0].iter_mut().enumerate() {
            *slot = sample(2 * at, at / 7);
        }
        assert_eq!(find(&planes, 40), None);
    }

    #[test]
    fn small_groups_have_no_blocks() {
        for (width, rows) in [(1, 1), (7, 3), (8, 3), (3, 90)] {
            let planes = Planes::zeroed(width, rows, 8, 3);
            let found = find(&planes, 2);
            let rows_found = found.map_or(0, |f| f.by_row().count());
            assert!(rows_found == 0 || rows_found == rows);
        }
    }
}
