//! The elements of tensors as symbols.
//!
//! Trained weights are close to noise: what can be saved is what is known of
//! their size. The size of a weight is foretold from those before it in its
//! row (an output's weights share a scale) and in its column (an input's do,
//! too), and the length of its magnitude with the bit below the leading one
//! coded as a symbol by the table of the foretold size. Signs and the other bits
//! are stored as they are. The tables are the file's own: one ANS symbol for
//! each element loads a model several times as fast as adaptive bits did.

use crate::tensor::{ElementType, TensorData};
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, Cdf};

/// Foretold sizes: two for each power of two.
const SIZES: usize = 64;
/// Symbols of magnitudes below 2^31.
const SYMBOLS: usize = 62;
/// Bits of a frequency in the file.
const FREQUENCY_BITS: u32 = 12;
/// Bits of the length of a frequency: 0 to 12.
const FREQUENCY_LEN_BITS: u32 = 4;
/// Bits of a number of symbols.
const SYMBOLS_BITS: u32 = 6;

/// How often each symbol occurs, by foretold size.
pub(super) struct Counts(Vec<[u32; SYMBOLS]>);

/// The tables of a file: for each foretold size one, if it occurs.
#[derive(Default)]
pub(super) struct Tables(Vec<Option<Cdf>>);

impl Counts {
    pub(super) fn new() -> Counts {
        Counts(vec![[0; SYMBOLS]; SIZES])
    }

    pub(super) fn add(&mut self, other: &Counts) {
        for (sums, counts) in self.0.iter_mut().zip(&other.0) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(*count);
            }
        }
    }
}

impl Tables {
    /// Writes the tables for these counts, or reads those that were written.
    ///
    /// # Errors
    /// The coder's.
    pub(super) fn code<C: BitCoder>(coder: &mut C, counts: &Counts) -> Result<Tables> {
        let table = |counts: &[u32; SYMBOLS]| Self::code_table(coder, counts);
        counts
            .0
            .iter()
            .map(table)
            .collect::<Result<_>>()
            .map(Tables)
    }

    fn code_table<C: BitCoder>(coder: &mut C, counts: &[u32; SYMBOLS]) -> Result<Option<Cdf>> {
        let len = SYMBOLS - counts.iter().rev().take_while(|&&count| count == 0).count();
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let len = coder.code_raw(len as u32, SYMBOLS_BITS)? as usize;
        if len > SYMBOLS {
            return Err(Error::malformed(
                coder.position(),
                "a table of too many symbols",
            ));
        }
        let mut frequencies = [0; SYMBOLS];
        for (frequency, &count) in frequencies[..len].iter_mut().zip(counts) {
            let largest = (1u64 << FREQUENCY_BITS) - 1;
            // Rare is not never.
            let scaled = (u64::from(count) * largest).div_ceil(u64::from(most)) as u32;
            let bits = coder.code_raw(u32::BITS - scaled.leading_zeros(), FREQUENCY_LEN_BITS)?;
            if bits > FREQUENCY_BITS {
                return Err(Error::malformed(
                    coder.position(),
                    "a frequency of too many bits",
                ));
            }
            if let Some(below) = bits.checked_sub(1) {
                let rest = coder.code_raw(scaled & ((1 << below) - 1), below)?;
                *frequency = 1 << below | rest;
            }
        }
        if len == 0 {
            return Ok(None);
        }
        Cdf::from_frequencies(&frequencies[..len]).map(Some)
    }
}

/// Where the parts of elements go to, or come from.
pub(super) trait ElementCoder {
    /// Whether elements come from it.
    const DECODES: bool;

    /// A symbol of the foretold size and, as many as the symbol says, the bits
    /// that are stored as they are: `raw_bits(symbol)` of them.
    fn code(
        &mut self,
        size: usize,
        symbol: u32,
        raw: u32,
        raw_bits: impl Fn(u32) -> u32,
    ) -> Result<(u32, u32)>;

    /// A bit for a whole tensor.
    fn code_flag(&mut self, flag: bool) -> Result<bool>;

    /// Where errors are.
    fn position(&self) -> u64;
}

/// The first pass of an encoder.
impl ElementCoder for Counts {
    const DECODES: bool = false;

    fn code(
        &mut self,
        size: usize,
        symbol: u32,
        raw: u32,
        _: impl Fn(u32) -> u32,
    ) -> Result<(u32, u32)> {
        let count = &mut self.0[size][symbol as usize];
        *count = count.saturating_add(1);
        Ok((symbol, raw))
    }

    fn code_flag(&mut self, flag: bool) -> Result<bool> {
        Ok(flag)
    }

    fn position(&self) -> u64 {
        0
    }
}

/// A coder and the tables.
pub(super) struct Coder<'t, C> {
    pub(super) coder: C,
    pub(super) tables: &'t Tables,
}

impl<C: BitCoder> ElementCoder for Coder<'_, C> {
    const DECODES: bool = C::DECODES;

    #[inline(always)]
    fn code(
        &mut self,
        size: usize,
        symbol: u32,
        raw: u32,
        raw_bits: impl Fn(u32) -> u32,
    ) -> Result<(u32, u32)> {
        let Some(Some(table)) = self.tables.0.get(size) else {
            return Err(Error::malformed(
                self.position(),
                "an element without a table",
            ));
        };
        let symbol = self.coder.code_cdf(symbol, table)?;
        let raw = self.coder.code_raw(raw, raw_bits(symbol))?;
        Ok((symbol, raw))
    }

    fn code_flag(&mut self, flag: bool) -> Result<bool> {
        Ok(self.coder.code_raw(u32::from(flag), 1)? != 0)
    }

    fn position(&self) -> u64 {
        self.coder.position()
    }
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

/// Codes the elements of a tensor whose rows have `row_len`. When decoding,
/// `data` is empty and gets `len` elements; its memory has been charged.
pub(super) fn code<C: ElementCoder>(
    coder: &mut C,
    sizes: (usize, usize),
    data: &mut TensorData,
) -> Result<()> {
    match data {
        TensorData::I8(values) => code_values(coder, sizes, values, ElementType::I8),
        TensorData::I16(values) => code_values(coder, sizes, values, ElementType::I16),
        TensorData::I32(values) => code_values(coder, sizes, values, ElementType::I32),
        TensorData::U8(values) => code_values(coder, sizes, values, ElementType::U8),
        TensorData::Cdf(values) => code_values(coder, sizes, values, ElementType::Cdf),
        // A stream of its own, not coded here.
        TensorData::Packed(_) => Err(Error::parameter("packed bytes among other tensors")),
    }
}

fn code_values<C: ElementCoder, T>(
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
    let is_delta = coder.code_flag(!C::DECODES && is_smoother_as_differences(values))?;
    let has_sign = is_delta || !matches!(element, ElementType::U8 | ElementType::Cdf);
    let mut columns_q8 = vec![0; row_len.min(len)];
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
        let average = &mut columns_q8[column];
        let size = size_class(row.value_q8, *average);
        let residual = code_residual(coder, value - base, size, has_sign)?;
        let magnitude = residual.unsigned_abs() as u32;
        row.add(magnitude);
        *average = moved_q8(*average, magnitude, 3);
        column += 1;
        last = base + residual;
        if C::DECODES {
            let value = T::try_from(last);
            let outside = |_| Error::malformed(coder.position(), "element outside its type");
            values.push(value.map_err(outside)?);
        }
    }
    Ok(())
}

/// Codes a number of at most 31 bits and its sign.
#[inline(always)]
fn code_residual<C: ElementCoder>(
    coder: &mut C,
    residual: i64,
    size: usize,
    has_sign: bool,
) -> Result<i64> {
    let magnitude = residual.unsigned_abs() as u32;
    let (symbol, below) = match u32::BITS - magnitude.leading_zeros() {
        length @ (0 | 1) => (length, 0),
        length => {
            let below = length - 2;
            (2 * (length - 1) + (magnitude >> below & 1), below)
        }
    };
    // The sign goes below the low bits: at most 30 in all.
    let low = magnitude & ((1 << below) - 1);
    let raw = if has_sign {
        low << 1 | u32::from(residual < 0)
    } else {
        low
    };
    let raw_bits = |symbol: u32| {
        let below = (symbol / 2).saturating_sub(1);
        below + u32::from(has_sign && symbol > 0)
    };
    let (symbol, raw) = coder.code(size, symbol, raw, raw_bits)?;
    let leading = match symbol {
        0 | 1 => symbol,
        _ => (2 | symbol & 1) << (symbol / 2 - 1),
    };
    if has_sign {
        let magnitude = i64::from(leading | raw >> 1);
        Ok(if raw & 1 != 0 { -magnitude } else { magnitude })
    } else {
        Ok(i64::from(leading | raw))
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
