//! Activation functions as tables.

use super::{Layer, Residual, check_lengths};
use crate::engine::Engine;
use crate::kernel::elementwise::Lookup;
use crate::requant::{Range, rounding};
use crate::tensor::{QFormat, Shape};
use rcodec_core::{Error, Result};

/// Values that one thread takes at once.
const CHUNK: usize = 1 << 13;

/// Description of a [`Table`]: a function of values clamped to
/// `-2^range_bits..2^range_bits`, given at `2^index_bits` equidistant points
/// and at the end of the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// The domain is `-2^range_bits..2^range_bits`; 3 to 15.
    pub range_bits: u8,
    /// Logarithm of the number of intervals: 4 to 12, and at most
    /// `range_bits + 1`.
    pub index_bits: u8,
    /// Whether values between two entries are interpolated (with rounding), or
    /// take the lower entry.
    pub interpolate: bool,
    /// The function at `-2^range_bits + i · 2^(range_bits + 1 - index_bits)`,
    /// `2^index_bits + 1` entries. The last one is only interpolated towards.
    pub values: Vec<i16>,
    /// Scale of the input.
    pub input_q: QFormat,
    /// Scale of the output.
    pub output_q: QFormat,
}

/// A function of one value, read from a table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Each entry with its successor in the high half.
    pairs: Vec<i32>,
    range_bits: u32,
    fraction_bits: u32,
    interpolate: bool,
    range: Range,
    input_q: QFormat,
    output_q: QFormat,
}

impl TableSpec {
    /// The function: the definition the kernels agree with.
    pub fn apply(&self, x: i16) -> i16 {
        let half = 1i32 << self.range_bits;
        let shift = u32::from(self.range_bits + 1 - self.index_bits);
        let index = i32::from(x).clamp(-half, half - 1) + half;
        let entry = (index >> shift) as usize;
        let low = i32::from(self.values[entry]);
        if !self.interpolate {
            return low as i16;
        }
        let high = i32::from(self.values[entry + 1]);
        let fraction = index & ((1 << shift) - 1);
        let sum = low * ((1 << shift) - fraction) + high * fraction;
        ((sum + rounding(shift)) >> shift) as i16
    }
}

impl Table {
    /// Checks the description.
    pub fn new(spec: &TableSpec) -> Result<Table> {
        let is_possible = (3..=15).contains(&spec.range_bits)
            && (4..=12).contains(&spec.index_bits)
            && spec.index_bits <= spec.range_bits + 1
            && spec.values.len() == (1 << spec.index_bits) + 1;
        if !is_possible {
            return Err(Error::Parameter(format!(
                "table of {} entries, {} index bits, {} range bits",
                spec.values.len(),
                spec.index_bits,
                spec.range_bits
            )));
        }
        let pairs = spec
            .values
            .windows(2)
            .map(|pair| i32::from(pair[0] as u16) | i32::from(pair[1]) << 16)
            .collect();
        let range = spec
            .values
            .iter()
            .map(|&value| Range {
                lo: value,
                hi: value,
            })
            .reduce(Range::union);
        Ok(Table {
            pairs,
            range_bits: u32::from(spec.range_bits),
            fraction_bits: u32::from(spec.range_bits + 1 - spec.index_bits),
            interpolate: spec.interpolate,
            range: range.unwrap_or(Range::FULL),
            input_q: spec.input_q,
            output_q: spec.output_q,
        })
    }

    /// The function of `x`, value by value; both have the same length.
    pub fn apply(&self, engine: &Engine, x: &[i16], out: &mut [i16]) -> Result<()> {
        if x.len() != out.len() {
            return Err(Error::Parameter(format!(
                "{} values to {}",
                x.len(),
                out.len()
            )));
        }
        self.lookup(engine, x, out);
        Ok(())
    }

    /// As [`Table::apply`], the lengths being known to agree.
    pub(crate) fn lookup(&self, engine: &Engine, x: &[i16], out: &mut [i16]) {
        engine.simd().run(Lookup {
            x,
            pairs: &self.pairs,
            range_bits: self.range_bits,
            fraction_bits: self.fraction_bits,
            interpolate: self.interpolate,
            out,
        });
    }
}

impl Layer for Table {
    fn input_q(&self) -> QFormat {
        self.input_q
    }

    fn output_q(&self) -> QFormat {
        self.output_q
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        input.checked_len()?;
        Ok(input)
    }

    fn output_range(&self) -> Range {
        self.range
    }

    fn work(&self, input: Shape) -> u64 {
        // An interpolation is two multiply-adds.
        input.saturating_len().saturating_mul(2)
    }

    fn run(
        &self,
        engine: &Engine,
        shape: Shape,
        input: &[i16],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()> {
        check_lengths(shape, input, shape, out)?;
        residual.check(out.len())?;
        engine.split(out, CHUNK, self.work(shape), |i, out| {
            let input = &input[i * CHUNK..][..out.len()];
            let residual = residual.part(i * CHUNK, out.len());
            residual.add_to(engine, out, |out| self.lookup(engine, input, out));
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{
        Values, assert_layer, assert_threads, cases, counted, engines, tame,
    };
    use super::*;
    use proptest::prelude::*;

    fn spec(values: &mut Values, range_bits: u8, index_bits: u8, interpolate: bool) -> TableSpec {
        TableSpec {
            range_bits,
            index_bits,
            interpolate,
            values: values.extreme_words((1 << index_bits) + 1),
            input_q: QFormat::INTEGER,
            output_q: QFormat::INTEGER,
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too large")]
    fn every_value_on_every_level() {
        let mut values = Values::new(1);
        for (range_bits, index_bits) in [(15, 12), (15, 8), (15, 4), (11, 12), (12, 8), (3, 4)] {
            for interpolate in [false, true] {
                let spec = spec(&mut values, range_bits, index_bits, interpolate);
                let table = Table::new(&spec).unwrap();
                let input: Vec<i16> = (i16::MIN..=i16::MAX).collect();
                let expected: Vec<i16> = input.iter().map(|&x| spec.apply(x)).collect();
                let shape = Shape::new(16, 128, 32).unwrap();
                assert_layer(&table, shape, &input, &expected);
                for engine in engines() {
                    let mut out = [0; 45];
                    table.apply(&engine, &input[7..52], &mut out).unwrap();
                    assert_eq!(out, expected[7..52]);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        fn any_shape_on_every_level_cases(
            seed: u64,
            (height, width, channels) in (1usize..9, 1usize..9, 1usize..80),
            (range_bits, index_bits) in (3u8..16, 4u8..13),
            interpolate: bool,
        ) {
            let (height, width) = (tame(height, 2), tame(width, 3));
            let mut values = Values::new(seed);
            let spec = spec(&mut values, range_bits, index_bits.min(range_bits + 1), interpolate);
            let input = values.extreme_words(height * width * channels);
            let expected: Vec<i16> = input.iter().map(|&x| spec.apply(x)).collect();
            let table = Table::new(&spec).unwrap();
            assert_layer(&table, Shape::new(height, width, channels).unwrap(), &input, &expected);
        }
    }

    #[test]
    fn any_shape_on_every_level() {
        counted("tables", any_shape_on_every_level_cases);
    }

    #[test]
    #[cfg_attr(miri, ignore = "too large")]
    fn threads_change_nothing() {
        let mut values = Values::new(5);
        let table = Table::new(&spec(&mut values, 15, 8, true)).unwrap();
        let shape = Shape::new(120, 100, 96).unwrap();
        assert_threads(&table, shape, &values.extreme_words(120 * 100 * 96));
    }

    #[test]
    fn impossible_tables_are_refused() {
        let good = spec(&mut Values::new(2), 15, 8, true);
        assert!(Table::new(&good).is_ok());
        for (range_bits, index_bits) in [(16, 8), (2, 8), (15, 13), (15, 3), (5, 7)] {
            let bad = TableSpec {
                range_bits,
                index_bits,
                ..spec(&mut Values::new(2), 15, index_bits, true)
            };
            assert!(Table::new(&bad).is_err());
        }
        let short = TableSpec {
            values: good.values[1..].to_vec(),
            ..good
        };
        assert!(Table::new(&short).is_err());
    }
}
