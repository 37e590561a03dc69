//! The elements of tensors as bits.
//!
//! Trained weights are close to noise: what can be saved is what is known of
//! their size. The size of a weight is foretold from those before it in its
//! row (an output's weights share a scale) and in its column (an input's do,
//! too), and the bit length of its magnitude coded by adaptive steps up or
//! down from the foretold one. Signs and low bits are stored as they are.

use crate::tensor::{ElementType, TensorData};
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};

/// The bit lengths that a magnitude of an `i32` can have: 0 to 31.
const LENGTHS: usize = 32;
/// Foretold sizes: two for each power of two.
const SIZES: usize = 64;

/// A learned bit; the limit suits sources that do not change.
type Bit = CountedBit<1023>;

/// What a stream of elements learns; tensors that share a stream share it.
pub(super) struct ElementModel {
    /// Whether the length is more than the index, by foretold size; asked from
    /// the foretold length upwards.
    longer: Vec<[Bit; LENGTHS]>,
    /// Whether it is less than the index; asked downwards.
    shorter: Vec<[Bit; LENGTHS]>,
    /// First bit below the leading one, by foretold size and length.
    second: Vec<[Bit; LENGTHS]>,
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
            longer: vec![[Bit::default(); LENGTHS]; SIZES],
            shorter: vec![[Bit::default(); LENGTHS]; SIZES],
            second: vec![[Bit::default(); LENGTHS]; SIZES],
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
            // A stream of its own, not coded here.
            TensorData::Packed(_) => Err(Error::parameter("packed bytes among other tensors")),
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
    #[inline(always)]
    fn code_residual<C: BitCoder>(
        &mut self,
        coder: &mut C,
        residual: i64,
        class: usize,
        has_sign: bool,
    ) -> Result<i64> {
        let magnitude = residual.unsigned_abs();
        let length = (u64::BITS - magnitude.leading_zeros()) as usize;
        let length = self.code_length(coder, length, class)?;
        if length == 0 {
            return Ok(0);
        }
        let mut decoded = 1;
        let mut rest = length as u32 - 1;
        if rest > 0 {
            rest -= 1;
            let second = &mut self.second[class][length];
            let second = second.code(coder, magnitude >> rest & 1 != 0)?;
            decoded = 2 + i64::from(second);
        }
        // The sign goes below the low bits: at most 30 in all.
        let low = (magnitude & ((1 << rest) - 1)) as u32;
        if !has_sign {
            return Ok(decoded << rest | i64::from(coder.code_raw(low, rest)?));
        }
        let raw = coder.code_raw(low << 1 | u32::from(residual < 0), rest + 1)?;
        let decoded = decoded << rest | i64::from(raw >> 1);
        Ok(if raw & 1 != 0 { -decoded } else { decoded })
    }

    /// Codes a bit length, 0 to 31, in steps from the foretold one.
    #[inline(always)]
    fn code_length<C: BitCoder>(
        &mut self,
        coder: &mut C,
        wanted: usize,
        class: usize,
    ) -> Result<usize> {
        // Half of the class is the logarithm of twice the average in Q8.
        let foretold = (class / 2).saturating_sub(8).min(LENGTHS - 2);
        let mut length = foretold;
        while length < LENGTHS - 1 && self.longer[class][length].code(coder, wanted > length)? {
            length += 1;
        }
        if length > foretold {
            return Ok(length);
        }
        while length > 0 && self.shorter[class][length].code(coder, wanted < length)? {
            length -= 1;
        }
        Ok(length)
    }
}

/// Whether differences from one element to the next are smaller, in bits, and
/// fit in 31.
fn is_smoother_as_differences<T: Copy + Into<i64>>(values: &[T]) -> bool {
    let bits = |value: i64| u64::from(u64::BITS - value.unsigned_abs().leading_zeros());
    let mut last = 0i64;
    let (mut plain, mut differences) = (0u64, 0u64);
    for &value in values {
        let value = value.into();
        if value.unsigned_abs() >= 1 << 30 {
            return false;
        }
        plain += bits(value);
        differences += bits(value - last);
        last = value;
    }
    differences < plain
}

/// Whether the magnitudes of all elements have at most 31 bits.
pub(super) fn is_storable(data: &TensorData) -> bool {
    match data {
        TensorData::I32(values) => !values.contains(&i32::MIN),
        _ => true,
    }
}
