//! Tensors of `i16` in height, width, channel order, with their scale.

use rcodec_core::{Budget, Error, Reservation, Result};

/// The scale of fixed-point numbers: an integer `n` stands for `n · 2^-bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QFormat(u8);

impl QFormat {
    /// Integers as they are.
    pub const INTEGER: QFormat = QFormat(0);

    /// A format of `bits` fractional bits, 0 to 31.
    pub fn new(bits: u8) -> Result<QFormat> {
        if bits > 31 {
            return Err(Error::Parameter(format!("Q-format of {bits} bits")));
        }
        Ok(QFormat(bits))
    }

    /// Fractional bits.
    pub fn bits(self) -> u8 {
        self.0
    }
}

/// The extents of a tensor. Values are stored row by row, the channels of a
/// position side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Positions of a row.
    pub width: usize,
    /// Values of a position.
    pub channels: usize,
}

impl Shape {
    /// A shape whose number of values fits in memory.
    pub fn new(height: usize, width: usize, channels: usize) -> Result<Shape> {
        let shape = Shape {
            height,
            width,
            channels,
        };
        shape.checked_len()?;
        Ok(shape)
    }

    /// Number of values, or an error if memory cannot hold so many.
    pub fn checked_len(&self) -> Result<usize> {
        self.height
            .checked_mul(self.width)
            .and_then(|positions| positions.checked_mul(self.channels))
            .filter(|&values| values <= (isize::MAX / 16) as usize)
            .ok_or(Error::Limit("tensor size"))
    }

    /// Number of values, `u64::MAX` if it is more: for estimates of work.
    pub(crate) fn saturating_len(&self) -> u64 {
        (self.height as u64)
            .saturating_mul(self.width as u64)
            .saturating_mul(self.channels as u64)
    }
}

/// A tensor: values, extents, and the scale of the values.
#[derive(Debug)]
pub struct Tensor {
    shape: Shape,
    q: QFormat,
    values: Vec<i16>,
    /// What the memory was charged to, if to anything.
    reservation: Option<Reservation>,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(shape: Shape, q: QFormat) -> Result<Tensor> {
        let len = shape.checked_len()?;
        let mut values = Vec::new();
        values
            .try_reserve_exact(len)
            .map_err(|_| Error::Limit("memory"))?;
        values.resize(len, 0);
        Ok(Tensor {
            shape,
            q,
            values,
            reservation: None,
        })
    }

    /// A tensor of zeros whose memory is charged to `budget` as long as it
    /// lives.
    pub fn zeros_within(shape: Shape, q: QFormat, budget: &Budget) -> Result<Tensor> {
        let (values, reservation) = budget.filled(0, shape.checked_len()? as u64)?;
        Ok(Tensor {
            shape,
            q,
            values,
            reservation: Some(reservation),
        })
    }

    /// A tensor of the given values.
    pub fn from_values(shape: Shape, q: QFormat, values: Vec<i16>) -> Result<Tensor> {
        if values.len() != shape.checked_len()? {
            return Err(Error::Parameter(format!(
                "{} values for a tensor of {shape:?}",
                values.len()
            )));
        }
        Ok(Tensor {
            shape,
            q,
            values,
            reservation: None,
        })
    }

    /// Its extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The scale of its values.
    pub fn q(&self) -> QFormat {
        self.q
    }

    /// The values, `[row][position][channel]`.
    pub fn values(&self) -> &[i16] {
        &self.values
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> &mut [i16] {
        &mut self.values
    }

    /// The values alone.
    pub fn into_values(self) -> Vec<i16> {
        self.values
    }

    /// The channels of one position.
    ///
    /// # Panics
    /// If the position is outside the tensor.
    pub fn at(&self, row: usize, column: usize) -> &[i16] {
        assert!(column < self.shape.width);
        let start = (row * self.shape.width + column) * self.shape.channels;
        &self.values[start..start + self.shape.channels]
    }

    /// Gives the tensor another shape and scale, keeping its memory; the
    /// values are unspecified afterwards. A tensor that was made within a
    /// budget cannot grow.
    pub fn reshape(&mut self, shape: Shape, q: QFormat) -> Result<()> {
        let len = shape.checked_len()?;
        if len > self.values.len() {
            let more = len - self.values.len();
            if self.reservation.is_some() && len > self.values.capacity() {
                return Err(Error::Limit("memory"));
            }
            self.values
                .try_reserve_exact(more)
                .map_err(|_| Error::Limit("memory"))?;
        }
        self.values.resize(len, 0);
        self.shape = shape;
        self.q = q;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Limits;

    #[test]
    fn impossible_shapes_are_errors() {
        assert!(Shape::new(usize::MAX, 2, 1).is_err());
        assert!(Shape::new(1 << 40, 1 << 22, 1).is_err());
        assert!(QFormat::new(32).is_err());
        let shape = Shape::new(2, 3, 4).unwrap();
        assert!(Tensor::from_values(shape, QFormat::INTEGER, vec![0; 23]).is_err());
    }

    #[test]
    fn memory_is_charged_and_given_back() {
        let budget = Budget::new(Limits {
            max_alloc_bytes: 100,
            ..Limits::default()
        });
        let shape = Shape::new(5, 5, 2).unwrap();
        let mut tensor = Tensor::zeros_within(shape, QFormat::INTEGER, &budget).unwrap();
        assert_eq!(budget.used_bytes(), 100);
        let larger = Shape::new(5, 5, 3).unwrap();
        assert!(tensor.reshape(larger, QFormat::INTEGER).is_err());
        let smaller = Shape::new(5, 5, 1).unwrap();
        tensor.reshape(smaller, QFormat::INTEGER).unwrap();
        assert_eq!(tensor.values().len(), 25);
        drop(tensor);
        assert_eq!(budget.used_bytes(), 0);
    }
}
