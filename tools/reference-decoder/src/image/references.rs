//! What rows refer to [2.3].

use super::{Group, Plane, ValueMap};
use crate::bytes::Bytes;
use crate::error::{Result, malformed};

/// What the rows of a group refer to: `back` and `right` of each, by row.
#[derive(Clone, Debug)]
pub(super) struct References(Vec<(usize, i64)>);

impl References {
    pub(super) fn read(bytes: &mut Bytes<'_>, group: Group) -> Result<Self> {
        let mut rows = Vec::new();
        while rows.len() < group.rows {
            let known = rows.len();
            let count = bytes.varint_within(1, (group.rows - known) as u64)?;
            let back = bytes.varint_within(0, known as u64)?;
            if back == 1 {
                return malformed("rows refer to the one above");
            }
            let mut right = 0;
            if back > 0 {
                let zigzag = bytes.varint_within(0, u64::from(u32::MAX))? as i64;
                right = if zigzag % 2 == 0 {
                    zigzag / 2
                } else {
                    -(zigzag + 1) / 2
                };
            }
            if right.unsigned_abs() >= group.width as u64 {
                return malformed("columns refer to what is not there");
            }
            rows.extend((0..count).map(|_| (back as usize, right)));
        }
        Ok(Self(rows))
    }

    /// The column and row that a pixel refers to, if there are such.
    pub(super) fn of(&self, group: Group, x: usize, y: usize) -> Option<(usize, usize)> {
        let (back, right) = self.0[y];
        let column = (x as i64 + right).clamp(0, group.width as i64 - 1);
        (back > 0).then(|| (column as usize, y - back))
    }

    /// Turns differences into ranks.
    pub(super) fn undo(&self, group: Group, maps: &[ValueMap], planes: &mut [Plane]) {
        for (plane, map) in planes.iter_mut().zip(maps) {
            let values = map.top() + 1;
            for at in 0..group.pixels() {
                let (x, y) = (at % group.width, at / group.width);
                if let Some((column, row)) = self.of(group, x, y) {
                    let u = plane[row * group.width + column];
                    plane[at] = (plane[at] + u - values / 2).rem_euclid(values);
                }
            }
        }
    }
}
