//! Padded planes: neighbours beyond the border exist.

/// Columns added on each side.
pub(crate) const PAD: usize = 4;

/// Rows added on top.
pub(crate) const PAD_ROWS: usize = 3;

/// All channels of a group, padded, in one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Samples from one row to the next.
    pub(crate) stride: usize,
    /// Samples from one channel to the next.
    pub(crate) plane: usize,
    /// The samples.
    pub(crate) samples: Vec<u16>,
    width: usize,
}

impl Field {
    /// A field whose channels begin as `fill`.
    pub(crate) fn new(width: usize, rows: usize, fill: &[u16]) -> Self {
        let stride = width + 2 * PAD;
        let plane = stride * (rows + PAD_ROWS);
        let mut samples = vec![0; plane * fill.len()];
        for (channel, &value) in samples.chunks_exact_mut(plane).zip(fill) {
            channel[..stride * PAD_ROWS].fill(value);
        }
        Field {
            stride,
            plane,
            samples,
            width,
        }
    }

    /// Index of the first pixel of row `y` in channel 0.
    pub(crate) fn row(&self, y: usize) -> usize {
        (y + PAD_ROWS) * self.stride + PAD
    }

    /// Fills the left border of row `y` with what is above its first pixel.
    pub(crate) fn begin_row(&mut self, y: usize, channels: usize) {
        for channel in 0..channels {
            let at = channel * self.plane + self.row(y);
            let above = self.samples[at - self.stride];
            self.samples[at - PAD..at].fill(above);
        }
    }

    /// Fills the right border of row `y` with its last pixel; the first row is
    /// copied upwards.
    pub(crate) fn end_row(&mut self, y: usize, channels: usize) {
        for channel in 0..channels {
            let at = channel * self.plane + self.row(y);
            let end = at + self.width;
            let last = self.samples[end - 1];
            self.samples[end..end + PAD].fill(last);
            if y == 0 {
                for up in 1..=PAD_ROWS {
                    let to = at - PAD - up * self.stride;
                    self.samples.copy_within(at - PAD..end + PAD, to);
                }
            }
        }
    }
}
