//! Padded planes: neighbours beyond the border exist.

/// Columns added on each side.
pub(crate) const PAD: usize = 4;

/// Rows added on top.
pub(crate) const PAD_ROWS: usize = 3;

/// What one channel sees: the planes of the channels that are coded before
/// it, and last its own, padded, in one buffer. The earlier planes are a row
/// ahead.
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
}

impl Field {
    /// A field whose planes begin as `fill`.
    pub(crate) fn new(width: usize, rows: usize, fill: &[u16]) -> Self {
        let stride = width + 2 * PAD;
        let plane = stride * (rows + PAD_ROWS + 1);
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
        }
    }

    /// Index of the first pixel of row `y` in a plane.
    pub(crate) fn row(&self, plane: usize, y: usize) -> usize {
        plane * self.plane + (y + PAD_ROWS) * self.stride + PAD
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
