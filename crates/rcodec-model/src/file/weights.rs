//! The elements of tensors as bits.
//!
//! Trained weights are close to noise: what can be saved is what is known of
//! their size. The size of a weight is foretold from those before it in its
//! row (an output's weights share a scale) and in its column (an input's do,
//! too), and its magnitude coded by a tree of adaptive bits that belongs to
//! the foretold size. Signs and low bits are stored as they are.

use crate::tensor::{ElementType, TensorData};
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, BitModel, BitTree, CountedBit, code_raw_u64};

/// The bit lengths that a magnitude of an `i32` can have: 0 to 31.
const LENGTHS: usize = 32;
/// Foretold sizes: two for each power of two.
const SIZES: usize = 64;

/// A learned bit; the limit suits sources that do not change.
type Bit = CountedBit<1023>;

/// What a stream of elements learns; tensors that share a stream share it.
pub(super) struct ElementModel {
    lengths: Vec<BitTree<Bit, LENGTHS>>,
    /// First bit below the leading one, by foretold size and length.
    second: Vec<[Bit; LENGTHS]>,
    /// The next bit, by length and the bit before.
    third: [[Bit; 2]; LENGTHS],
    /// Whether a tensor is stored as differences.
    is_delta: Bit,
    /// Averages of magnitudes by column, Q8.
    columns_q8: Vec<u32>,
}

/// An average of magnitudes that learns quickly at first, Q8.
#[derive(Clone, Copy, Default)]
struct RowAverage {
    value_q8: u32,
    count: u32,
}

impl RowAverage {
    fn add(&mut self, magnitude: u32) {
        let shift = (self.count + 1).ilog2().min(5);
        self.value_q8 = moved_q8(self.value_q8, magnitude, shift);
        self.count += 1;
    }
}

/// The average moved towards a magnitude by `2^-shift`; magnitudes count as
/// at most 2^22.
fn moved_q8(average_q8: u32, magnitude: u32, shift: u32) -> u32 {
    let target_q8 = magnitude.min(1 << 22) << 8;
    average_q8 - (average_q8 >> shift) + (target_q8 >> shift)
}

/// Two classes for each power of two.
fn size_class(row_q8: u32, column_q8: u32) -> usize {
    // At most 2^31: each is at most 2^30.
    let sum = row_q8 + column_q8 + 1;
    let exponent = sum.ilog2();
    let half = if exponent == 0 {
        0
    } else {
        sum >> (exponent - 1) & 1
    };
    ((2 * exponent + half) as usize).min(SIZES - 1)
}

impl ElementModel {
    pub(super) fn new() -> ElementModel {
        ElementModel {
            lengths: vec![BitTree::new(); SIZES],
            second: vec![[Bit::default(); LENGTHS]; SIZES],
            third: [[Bit::default(); 2]; LENGTHS],
            is_delta: Bit::default(),
            columns_q8: Vec::new(),
        }
    }

    /// Codes the elements of a tensor whose rows have `row_len`. When
    /// decoding, `data` is empty and gets `len` elements; its memory has been
    /// charged.
    pub(super) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        (len, row_len): (usize, usize),
        data: &mut TensorData,
    ) -> Result<()> {
        let sizes = (len, row_len);
        match data {
            TensorData::I8(values) => self.code_values(coder, sizes, values, ElementType::I8),
            TensorData::I16(values) => self.code_values(coder, sizes, values, ElementType::I16),
            TensorData::I32(values) => self.code_values(coder, sizes, values, ElementType::I32),
            TensorData::U8(values) => self.code_values(coder, sizes, values, ElementType::U8),
            TensorData::Cdf(values) => self.code_values(coder, sizes, values, ElementType::Cdf),
        }
    }

    fn code_values<C: BitCoder, T>(
        &mut self,
        coder: &mut C,
        (len, row_len): (usize, usize),
        values: &mut Vec<T>,
        element: ElementType,
    ) -> Result<()>
    where
        T: Copy + Into<i64> + TryFrom<i64>,
    {
        if C::DECODES {
            values
                .try_reserve_exact(len)
                .map_err(|_| Error::Limit("memory"))?;
        }
        let is_delta = !C::DECODES && is_smoother_as_differences(values);
        let is_delta = self.is_delta.code(coder, is_delta)?;
        let has_sign = is_delta || !matches!(element, ElementType::U8 | ElementType::Cdf);
        self.columns_q8.clear();
        self.columns_q8.resize(row_len.min(len), 0);
        let mut row = RowAverage::default();
        let mut last = 0i64;
        let mut column = 0;
        for i in 0..len {
            if column == row_len {
                column = 0;
                // The next output's scale is another.
                row.count = 0;
            }
            let base = if is_delta { last } else { 0 };
            let value = if C::DECODES { 0 } else { values[i].into() };
            let class = size_class(row.value_q8, self.columns_q8[column]);
            let residual = self.code_residual(coder, value - base, class, has_sign)?;
            let magnitude = residual.unsigned_abs() as u32;
            row.add(magnitude);
            let average = &mut self.columns_q8[column];
            *average = moved_q8(*average, magnitude, 3);
            column += 1;
            last = base + residual;
            if C::DECODES {
                let value = T::try_from(last);
                let outside = Error::malformed(coder.position(), "element outside its type");
                values.push(value.map_err(|_| outside)?);
            }
        }
        Ok(())
    }

    /// Codes a number of at most 31 bits and its sign.
    fn code_residual<C: BitCoder>(
        &mut self,
        coder: &mut C,
        residual: i64,
        class: usize,
        has_sign: bool,
    ) -> Result<i64> {
        let magnitude = residual.unsigned_abs();
        let length = u64::BITS - magnitude.leading_zeros();
        let length = self.lengths[class].code(coder, length)?;
        if length == 0 {
            return Ok(0);
        }
        let mut decoded = 1u64;
        let mut rest = length - 1;
        if rest > 0 {
            rest -= 1;
            let second = &mut self.second[class][length as usize];
            let second = second.code(coder, magnitude >> rest & 1 != 0)?;
            decoded = decoded << 1 | u64::from(second);
            if rest > 0 {
                rest -= 1;
                let third = &mut self.third[length as usize][usize::from(second)];
                let third = third.code(coder, magnitude >> rest & 1 != 0)?;
                decoded = decoded << 1 | u64::from(third);
            }
        }
        // The sign goes with the low bits.
        let raw = (magnitude & ((1 << rest) - 1)) << 1 | u64::from(residual < 0);
        let is_negative = if has_sign {
            let raw = code_raw_u64(coder, raw, rest + 1)?;
            decoded = decoded << rest | raw >> 1;
            raw & 1 != 0
        } else {
            decoded = decoded << rest | code_raw_u64(coder, raw >> 1, rest)?;
            false
        };
        let decoded = decoded as i64;
        Ok(if is_negative { -decoded } else { decoded })
    }
}

/// Whether differences from one element to the next are smaller, in bits.
fn is_smoother_as_differences<T: Copy + Into<i64>>(values: &[T]) -> bool {
    let bits = |value: i64| u64::from(u64::BITS - value.unsigned_abs().leading_zeros());
    let mut last = 0i64;
    let (mut plain, mut differences) = (0u64, 0u64);
    for &value in values {
        let value = value.into();
        plain += bits(value);
        differences += bits(value - last);
        last = value;
    }
    differences < plain
}

/// Whether an element can be stored: differences of 16 bits fit in 17, 32-bit
/// elements must leave room for theirs.
pub(super) fn is_storable(data: &TensorData) -> bool {
    match data {
        TensorData::I32(values) => values.iter().all(|value| value.unsigned_abs() < 1 << 30),
        _ => true,
    }
}
