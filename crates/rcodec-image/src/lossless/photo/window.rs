//! The samples around the one to be coded, copied out of the planes row by
//! row: one check for a row instead of one for every sample.

use super::field::Field;

/// Rows of the sample's own channel: its own, and three above.
const OWN_ROWS: usize = 4;
/// Columns of a row: from four to the left on. To the right of the sample, its
/// own row has nothing that means anything.
const OWN_COLUMNS: usize = 16;
const OWN_LEFT: usize = 4;

/// Rows of a channel before: from two above to one below.
const GUIDE_ROWS: usize = 4;
const GUIDE_ABOVE: usize = 2;
/// Columns: from two to the left on.
const GUIDE_COLUMNS: usize = 8;
const GUIDE_LEFT: usize = 2;

/// Samples of the own channel, then of each guide.
const OWN_LEN: usize = OWN_ROWS * OWN_COLUMNS;
const GUIDE_LEN: usize = GUIDE_ROWS * GUIDE_COLUMNS;
const LEN: usize = OWN_LEN + 2 * GUIDE_LEN;

/// A place in a window, below [`LEN`].
pub(crate) type Place = u8;

/// What is around a sample in its channel and in the two coded before.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    values: [i32; LEN],
}

impl Window {
    /// Zeros.
    pub(crate) fn new() -> Self {
        Window { values: [0; LEN] }
    }

    /// A place in the own channel (`before` is 0) or in one of the two before
    /// it, by columns to the right and rows down.
    pub(crate) const fn place(before: usize, dx: isize, dy: isize) -> Place {
        let at = if before == 0 {
            let row = (OWN_ROWS as isize - 1 + dy) as usize;
            row * OWN_COLUMNS + (OWN_LEFT as isize + dx) as usize
        } else {
            let row = (GUIDE_ABOVE as isize + dy) as usize;
            let at = row * GUIDE_COLUMNS + (GUIDE_LEFT as isize + dx) as usize;
            OWN_LEN + (before - 1) * GUIDE_LEN + at
        };
        assert!(at < LEN);
        at as Place
    }

    /// Moves to the sample at `base` of the field's plane `position`.
    #[inline(always)]
    pub(crate) fn load(&mut self, field: &Field, base: usize, position: usize) {
        let (own, guides) = self.values.split_at_mut(OWN_LEN);
        let top = base - (OWN_ROWS - 1) * field.stride - OWN_LEFT;
        load_rows::<OWN_COLUMNS>(field, top, own);
        for (before, guide) in guides.chunks_exact_mut(GUIDE_LEN).enumerate() {
            if before < position {
                let base = base - (before + 1) * field.plane;
                let top = base - GUIDE_ABOVE * field.stride - GUIDE_LEFT;
                load_rows::<GUIDE_COLUMNS>(field, top, guide);
            }
        }
    }

    /// The sample at a place.
    #[inline(always)]
    pub(crate) fn at(&self, place: Place) -> i32 {
        self.values[usize::from(place) & (LEN - 1)]
    }
}

/// Copies the first columns of the rows from `top` on.
#[inline(always)]
fn load_rows<const C: usize>(field: &Field, top: usize, to: &mut [i32]) {
    for (row, to) in to.chunks_exact_mut(C).enumerate() {
        let from = field.samples.get(top + row * field.stride..);
        if let Some(from) = from.and_then(|from| from.first_chunk::<C>()) {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = i32::from(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_field() {
        let (width, rows) = (5, 3);
        let mut field = Field::new(width, rows, &[0; 3]);
        for (i, sample) in field.samples.iter_mut().enumerate() {
            *sample = i as u16;
        }
        let mut window = Window::new();
        for y in 0..rows {
            for x in 0..width {
                let base = field.row(2, y) + x;
                window.load(&field, base, 2);
                let check = |before: usize, dx: isize, dy: isize| {
                    let offset = dy * field.stride as isize + dx;
                    let at = (base - before * field.plane).wrapping_add_signed(offset);
                    let got = window.at(Window::place(before, dx, dy));
                    assert_eq!(got, at as i32, "{before} {dx} {dy}");
                };
                for dy in -3..=0 {
                    (-4..=4).for_each(|dx| check(0, dx, dy));
                }
                for dy in -2..=1 {
                    (-2..=2).for_each(|dx| check(1, dx, dy));
                    (-2..=2).for_each(|dx| check(2, dx, dy));
                }
            }
        }
    }
}
