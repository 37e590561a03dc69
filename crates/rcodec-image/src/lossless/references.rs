//! Rows that are like others far above them: where a picture consists of the
//! frames of an animation, below one another, those of the frame before.
//!
//! A group is a list of segments, each some rows that refer to the rows a
//! certain distance above, shifted sideways. The photo modes and the fast one
//! code the differences from what is referred to, modulo the number of values;
//! the graphics mode has it as a candidate and as a context.

mod find;

use crate::lossless::bytes::{put_varint, take_varint};
use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use rcodec_core::{Error, Result};

pub(crate) use find::find;

/// The row above cannot be referred to: what is below it is not known yet.
const BACK_MIN: usize = 2;

/// Some rows, and where those stand that they refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Rows, at least 1.
    pub(crate) rows: usize,
    /// How many rows above, at least 2; 0 if nothing is referred to.
    pub(crate) back: usize,
    /// How many columns to the right.
    pub(crate) right: isize,
}

/// What the rows of a group refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    segments: Vec<Segment>,
}

impl References {
    /// Appends rows; those that refer to the same distance become one segment.
    fn push(&mut self, segment: Segment) {
        match self.segments.last_mut() {
            Some(last) if (last.back, last.right) == (segment.back, segment.right) => {
                last.rows += segment.rows;
            }
            _ => self.segments.push(segment),
        }
    }

    /// Rows that refer to others.
    pub(crate) fn rows(&self) -> usize {
        let some = self.segments.iter().filter(|segment| segment.back > 0);
        some.map(|segment| segment.rows).sum()
    }

    /// For every row its segment's `back` and `right`.
    pub(crate) fn by_row(&self) -> impl Iterator<Item = (usize, isize)> {
        let rows = self.segments.iter();
        rows.flat_map(|s| std::iter::repeat_n((s.back, s.right), s.rows))
    }

    /// Appends the segments to a payload.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        for segment in &self.segments {
            put_varint(bytes, segment.rows);
            put_varint(bytes, segment.back);
            if segment.back > 0 {
                let zigzag = (segment.right << 1) ^ (segment.right >> (isize::BITS - 1));
                put_varint(bytes, zigzag as usize);
            }
        }
    }

    /// The most memory that the segments take which `read` finds in so many
    /// bytes, as long as their list grows.
    pub(crate) fn most_bytes(bytes: usize, rows: u32) -> u64 {
        // A segment has two bytes at least, and a row.
        let segments = (bytes as u64 / 2).min(u64::from(rows));
        segments * 2 * size_of::<Segment>() as u64
    }

    /// Reads the segments of a group of so many rows.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Malformed`] with offsets within
    /// `bytes`.
    pub(crate) fn read(bytes: &[u8], at: &mut usize, width: usize, rows: usize) -> Result<Self> {
        let mut references = References::default();
        let mut first = 0;
        while first < rows {
            let start = *at as u64;
            let wrong = |what| Error::malformed(start, what);
            let rows_here = take_varint(bytes, at)?;
            if rows_here == 0 || rows_here > rows - first {
                return Err(wrong("rows that the group does not have"));
            }
            let back = take_varint(bytes, at)?;
            if back > first || (1..BACK_MIN).contains(&back) {
                return Err(wrong("rows refer to what is not known"));
            }
            let zigzag = if back > 0 { take_varint(bytes, at)? } else { 0 };
            let right = (zigzag >> 1) as isize ^ -((zigzag & 1) as isize);
            if right.unsigned_abs() >= width {
                return Err(wrong("columns refer to what is not there"));
            }
            references.segments.push(Segment {
                rows: rows_here,
                back,
                right,
            });
            first += rows_here;
        }
        Ok(references)
    }

    /// Turns the ranks into their differences from what they refer to.
    pub(crate) fn to_differences(&self, planes: &mut Planes, maps: &[ValueMap]) {
        let rows: Vec<(usize, isize)> = self.by_row().collect();
        for (plane, map) in planes.channels.iter_mut().zip(maps) {
            let modulus = i32::from(map.max_rank()) + 1;
            let half = modulus / 2;
            for (y, &(back, right)) in rows.iter().enumerate().rev() {
                let (above, here) = parts(plane, planes.width, y, back);
                shifted(above, here, right, |here, there| {
                    let difference = i32::from(*here) - i32::from(there) + half;
                    *here = difference.rem_euclid(modulus) as u16;
                });
            }
        }
    }

    /// Undoes [`to_differences`](Self::to_differences).
    pub(crate) fn to_ranks(&self, planes: &mut Planes, maps: &[ValueMap]) {
        for (plane, map) in planes.channels.iter_mut().zip(maps) {
            let modulus = i32::from(map.max_rank()) + 1;
            let half = modulus / 2;
            for (y, (back, right)) in self.by_row().enumerate() {
                let (above, here) = parts(plane, planes.width, y, back);
                shifted(above, here, right, |here, there| {
                    let rank = i32::from(*here) + i32::from(there) - half;
                    *here = rank.rem_euclid(modulus) as u16;
                });
            }
        }
    }
}

/// Row `y`, and the one `back` above it; nothing if that is 0.
fn parts(plane: &mut [u16], width: usize, y: usize, back: usize) -> (&[u16], &mut [u16]) {
    let (before, from_here) = plane.split_at_mut(y * width);
    if back == 0 {
        return (&[], &mut []);
    }
    let above = &before[(y - back) * width..(y - back + 1) * width];
    (above, &mut from_here[..width])
}

/// Calls `each` with the samples of a row and those that they refer to.
fn shifted(above: &[u16], here: &mut [u16], right: isize, mut each: impl FnMut(&mut u16, u16)) {
    let last = here.len().saturating_sub(1);
    for (x, slot) in here.iter_mut().enumerate() {
        each(slot, above[column(x, right, last)]);
    }
}

/// The column that column `x` refers to.
#[inline(always)]
pub(crate) fn column(x: usize, right: isize, last: usize) -> usize {
    x.saturating_add_signed(right).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(segments: &[(usize, usize, isize)]) -> References {
        let segments = segments.iter();
        References {
            segments: segments
                .map(|&(rows, back, right)| Segment { rows, back, right })
                .collect(),
        }
    }

    #[test]
    fn segments_come_back() {
        for references in [
            list(&[(9, 0, 0)]),
            list(&[(4, 0, 0), (3, 4, 0), (1, 2, -6), (1, 8, 6)]),
        ] {
            let mut bytes = vec![1, 2];
            references.write(&mut bytes);
            let mut at = 2;
            let found = References::read(&bytes, &mut at, 7, 9).unwrap();
            assert_eq!(found, references);
            assert_eq!(at, bytes.len());
            for length in 2..bytes.len() {
                let found = References::read(&bytes[..length], &mut 2, 7, 9);
                assert!(matches!(found, Err(Error::Truncated { .. })), "{length}");
            }
        }
    }

    #[test]
    fn segments_that_make_no_sense_are_refused() {
        for bytes in [
            &[0, 0][..],         // no rows
            &[10, 0],            // too many
            &[4, 0, 6, 0],       // too many in all
            &[9, 1, 0],          // before the first row
            &[4, 0, 5, 1, 0],    // the row above
            &[4, 0, 5, 5, 0],    // before the first row
            &[4, 0, 5, 4, 14],   // beside the picture
            &[4, 0, 5, 4, 13],   // on the other side
            &[4, 0, 0x85, 0x00], // overlong
        ] {
            let found = References::read(bytes, &mut 0, 7, 9);
            assert!(matches!(found, Err(Error::Malformed { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn differences_are_undone() {
        let mut planes = Planes::zeroed(7, 9, 8, 2);
        for (c, plane) in planes.channels.iter_mut().enumerate() {
            for (at, sample) in plane.iter_mut().enumerate() {
                *sample = (at * at / 3 + c) as u16 % (5 + 100 * c as u16);
            }
        }
        let maps: Vec<ValueMap> = planes.channels.iter().map(|p| ValueMap::of(p, 8)).collect();
        let mut ranks = planes.clone();
        for (plane, map) in ranks.channels.iter_mut().zip(&maps) {
            map.to_ranks(plane);
        }
        let references = list(&[(4, 0, 0), (3, 4, -2), (2, 2, 6)]);
        let mut coded = ranks.clone();
        references.to_differences(&mut coded, &maps);
        assert_ne!(coded, ranks);
        for (plane, map) in coded.channels.iter().zip(&maps) {
            assert!(plane.iter().all(|&rank| rank <= map.max_rank()));
        }
        references.to_ranks(&mut coded, &maps);
        assert_eq!(coded, ranks);
    }
}
