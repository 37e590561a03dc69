//! Lists of integers, packed: a table of frequencies, then one symbol for
//! each.

use rcodec_core::{Cursor, Error, Result, write_varint};
use rcodec_entropy::{AnsDecoder, AnsEncoder, BitCoder, Cdf};

/// Magnitudes that have a symbol of their own.
const MOST: i32 = 127;
/// Symbols: a larger magnitude, then -127 to 127.
const SYMBOLS: usize = 2 * MOST as usize + 2;
/// Bits of the numbers that have no symbol.
const ESCAPE_BITS: u32 = 18;

/// Writes a table's probabilities.
pub(super) fn write_cdf(packed: &mut Vec<u8>, cdf: &Cdf) {
    for symbol in 0..cdf.len() as u32 {
        write_varint(packed, u64::from(cdf.probability(symbol)));
    }
}

/// Reads the probabilities of a table of so many symbols.
pub(super) fn read_cdf(cursor: &mut Cursor<'_>, symbols: usize) -> Result<Cdf> {
    let at = cursor.at();
    let mut cumulative = vec![0u32];
    let mut sum = 0u32;
    for _ in 0..symbols {
        let probability = cursor.varint()?.min(1 << 16) as u32;
        sum = sum.saturating_add(probability);
        cumulative.push(sum);
    }
    Cdf::from_cumulative(&cumulative).map_err(|_| Error::malformed(at, "a table of a prior"))
}

/// The table of what occurs.
pub(super) fn cdf_of(frequencies: &[u32]) -> Result<Cdf> {
    Cdf::from_frequencies(frequencies)
}

fn symbol_of(value: i32) -> u32 {
    if value.abs() <= MOST {
        (value + MOST + 1) as u32
    } else {
        0
    }
}

/// Appends numbers of at most 17 bits and a sign.
///
/// # Errors
/// None for such numbers.
pub(super) fn write_numbers(packed: &mut Vec<u8>, values: &[i32]) -> Result<()> {
    let mut frequencies = [0u32; SYMBOLS];
    for &value in values {
        frequencies[symbol_of(value) as usize] += 1;
    }
    let cdf = cdf_of(&frequencies)?;
    let mut coder = AnsEncoder::new();
    for &value in values {
        let symbol = coder.code_cdf(symbol_of(value), &cdf)?;
        if symbol == 0 {
            coder.code_raw((value + (1 << (ESCAPE_BITS - 1))) as u32, ESCAPE_BITS)?;
        }
    }
    let coded = coder.finish();
    write_cdf(packed, &cdf);
    write_varint(packed, coded.len() as u64);
    packed.extend_from_slice(&coded);
    Ok(())
}

/// Reads `count` numbers.
///
/// # Errors
/// [`Error::Malformed`] and [`Error::Truncated`].
pub(super) fn read_numbers(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i32>> {
    let cdf = read_cdf(cursor, SYMBOLS)?;
    let len = cursor.varint()?;
    let at = cursor.at();
    let mut coder = AnsDecoder::new(cursor.take(len)?).map_err(|e| e.offset_by(at))?;
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| Error::Limit("memory"))?;
    for _ in 0..count {
        let symbol = coder.code_cdf(0, &cdf)? as i32;
        values.push(if symbol == 0 {
            coder.code_raw(0, ESCAPE_BITS)? as i32 - (1 << (ESCAPE_BITS - 1))
        } else {
            symbol - MOST - 1
        });
    }
    coder.finish().map_err(|e| e.offset_by(at))?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec(prop_oneof![-3..3, -70_000..70_000], 0..200)) {
            let mut packed = Vec::new();
            write_numbers(&mut packed, &values).unwrap();
            let mut cursor = Cursor::new(&packed, 0);
            prop_assert_eq!(read_numbers(&mut cursor, values.len()).unwrap(), values);
            prop_assert!(cursor.rest().is_empty());
        }

        #[test]
        fn any_bytes_are_numbers_or_an_error(packed in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read_numbers(&mut Cursor::new(&packed, 0), 100);
        }
    }
}
