//! Padded planes: neighbours beyond the border exist.

/// Columns added on each side.
pub(crate) const PAD: usize = 4;

/// Rows added on top.
pub(crate) const PAD_ROWS: usize = 3;

/// Rows that are kept, beside those on top and one below.
const KEPT_ROWS: usize = 64;

/// Bytes of a column of four planes.
pub(crate) const COLUMN_BYTES: u64 = 8 * (KEPT_ROWS + PAD_ROWS + 1) as u64;

/// What one channel sees: the last rows of the planes of the channels that are
/// coded before it, and of its own, which stands last, padded, in one buffer.
/// The earlier planes are a row ahead.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Samples from one row to the next.
    pub(crate) stride: usize,
    /// Samples from one plane to the next.
    pub(crate) plane: usize,
    /// The samples.
    pub(crate) samples: Vec<u16>,
    width: usize,
    rows: usize,
    /// Rows that are kept, and the first of them.
    kept: usize,
    first: usize,
}

impl Field {
    /// A field whose planes begin as `fill`.
    pub(crate) fn new(width: usize, rows: usize, fill: &[u16]) -> Self {
        let stride = width + 2 * PAD;
        let kept = rows.min(KEPT_ROWS);
        let plane = stride * (kept + PAD_ROWS + 1);
        let mut samples = vec![0; plane * fill.len()];
        for (samples, &value) in samples.chunks_exact_mut(plane).zip(fill) {
            samples[..stride * PAD_ROWS].fill(value);
        }
        Field {
            stride,
            plane,
            samples,
            width,
            rows,
            kept,
            first: 0,
        }
    }

    /// Makes room for row `y`, which comes next, and for the one below it.
    pub(crate) fn advance(&mut self, y: usize) {
        if y - self.first < self.kept {
            return;
        }
        let from = self.kept * self.stride;
        for plane in self.samples.chunks_exact_mut(self.plane) {
            plane.copy_within(from.., 0);
        }
        self.first = y;
    }

    /// Index of the first pixel of row `y`, which is kept, in a plane.
    pub(crate) fn row(&self, plane: usize, y: usize) -> usize {
        plane * self.plane + (y - self.first + PAD_ROWS) * self.stride + PAD
    }

    /// Fills the left border of row `y` with what is above its first pixel.
    pub(crate) fn begin_row(&mut self, plane: usize, y: usize) {
        let at = self.row(plane, y);
        let above = self.samples[at - self.stride];
        self.samples[at - PAD..at].fill(above);
    }

    /// Fills the right border of row `y` with its last pixel; the first row is
    /// copied upwards, the last one downwards.
    pub(crate) fn end_row(&mut self, plane: usize, y: usize) {
        let at = self.row(plane, y);
        let end = at + self.width;
        let last = self.samples[end - 1];
        self.samples[end..end + PAD].fill(last);
        if y == 0 {
            for up in 1..=PAD_ROWS {
                let to = at - PAD - up * self.stride;
                self.samples.copy_within(at - PAD..end + PAD, to);
            }
        }
        if y + 1 == self.rows {
            let to = at - PAD + self.stride;
            self.samples.copy_within(at - PAD..end + PAD, to);
        }
    }

    /// Sets a whole row.
    pub(crate) fn put_row(&mut self, plane: usize, y: usize, values: &[u16]) {
        self.begin_row(plane, y);
        let at = self.row(plane, y);
        self.samples[at..at + self.width].copy_from_slice(values);
        self.end_row(plane, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_around_stay_when_others_go() {
        let (width, rows) = (3, 3 * KEPT_ROWS + 5);
        let value = |plane: usize, y: usize| [(1000 * plane + y) as u16; 3];
        let mut field = Field::new(width, rows, &[7, 8]);
        field.put_row(0, 0, &value(0, 0));
        for y in 0..rows {
            field.advance(y);
            if y + 1 < rows {
                field.put_row(0, y + 1, &value(0, y + 1));
            }
            field.put_row(1, y, &value(1, y));
            for plane in [0, 1] {
                for dy in -3..=1 {
                    // Own rows below are not known; the first and the last
                    // row are repeated.
                    if plane == 1 && dy == 1 && y + 1 < rows {
                        continue;
                    }
                    let there = y.saturating_add_signed(dy).min(rows - 1);
                    let at = field.row(plane, y);
                    let at = at.wrapping_add_signed(dy * field.stride as isize);
                    assert_eq!(
                        field.samples[at],
                        value(plane, there)[0],
                        "{plane} {y} {dy}"
                    );
                    assert_eq!(field.samples[at + width + PAD - 1], field.samples[at]);
                }
            }
        }
    }
}
