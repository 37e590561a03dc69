//! Probability tables: integers that sum to 2^16.

use rcodec_core::{Error, Result};

/// The number of bits of probabilities: they sum to `1 << PRECISION`.
pub const PRECISION: u32 = 16;

/// The most symbols a table may have.
pub const MAX_SYMBOLS: usize = 4096;

/// The lookup table has one entry for 2^8 quantiles. More entries make fewer
/// steps, but 64 tables and more are to stay in the first-level cache: 8 bits
/// were faster than 9 and 10.
const LOOKUP_BITS: u32 = 8;

/// A cumulative distribution over the symbols `0..len`: every symbol has a
/// probability of at least 1 of 65536, and they sum to 65536.
///
/// Decoding a symbol takes one look into a table of 256 entries and a short
/// scan. A table takes 512 bytes and 4 for each symbol.
#[derive(Clone, PartialEq, Eq)]
pub struct Cdf {
    /// For each symbol its first quantile in the low half, and their number
    /// less 1 in the high half.
    spans: Box<[u32]>,
    /// For each group of 256 quantiles, the symbol of the first one.
    lookup: Box<[u16; 1 << LOOKUP_BITS]>,
}

impl Cdf {
    /// A table from any frequencies, scaled to sum to 65536. Symbols that
    /// never occurred get the smallest probability.
    ///
    /// The same integers give the same table on every machine.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] for no symbols, more than [`MAX_SYMBOLS`], or
    /// frequencies that sum to more than 2^40.
    pub fn from_frequencies(frequencies: &[u32]) -> Result<Cdf> {
        let len = frequencies.len();
        check_len(len)?;
        let sum: u64 = frequencies.iter().map(|&f| u64::from(f)).sum();
        if sum > 1 << 40 {
            return Err(Error::parameter("frequencies sum to more than 2^40"));
        }
        // Every symbol gets 1, the rest is shared out in proportion; rounding
        // the cumulative sums makes it add up.
        let free = 65536 - len as u64;
        let mut below = 0u64;
        let mut cumulative = Vec::with_capacity(len + 1);
        cumulative.push(0);
        for (i, &frequency) in frequencies.iter().enumerate() {
            below += u64::from(frequency);
            let (part, whole) = if sum == 0 {
                (i as u64 + 1, len as u64)
            } else {
                (below, sum)
            };
            cumulative.push((part * free / whole) as u32 + i as u32 + 1);
        }
        Cdf::from_cumulative(&cumulative)
    }

    /// A table from its cumulative sums: `0`, the sum of the first symbol, of
    /// the first two, ..., `65536`.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless the sums begin with 0, end with 65536, and
    /// grow by at least 1 each, with at most [`MAX_SYMBOLS`] symbols. A decoder
    /// that reads tables from a file turns this into the error at its place.
    pub fn from_cumulative(cumulative: &[u32]) -> Result<Cdf> {
        let len = cumulative.len().saturating_sub(1);
        check_len(len)?;
        if cumulative[0] != 0 || cumulative[len] != 1 << PRECISION {
            return Err(Error::parameter("a table must run from 0 to 65536"));
        }
        if cumulative.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::parameter("a table's sums must grow"));
        }
        let mut lookup = Box::new([0; 1 << LOOKUP_BITS]);
        let mut symbol = 0;
        for (group, entry) in lookup.iter_mut().enumerate() {
            let quantile = (group as u32) << (PRECISION - LOOKUP_BITS);
            while cumulative[symbol + 1] <= quantile {
                symbol += 1;
            }
            *entry = symbol as u16;
        }
        Ok(Cdf {
            spans: cumulative
                .windows(2)
                .map(|pair| pair[0] | (pair[1] - pair[0] - 1) << 16)
                .collect(),
            lookup,
        })
    }

    /// The number of symbols.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Never true: a table has at least one symbol.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The probability of a symbol of 65536; 0 for one that is not in the
    /// table.
    pub fn probability(&self, symbol: u32) -> u32 {
        self.span(symbol).map_or(0, |(_, probability)| probability)
    }

    /// The cumulative sums, from 0 to 65536: one more than there are symbols.
    pub fn cumulative(&self) -> impl Iterator<Item = u32> + '_ {
        let ends = self
            .spans
            .iter()
            .map(|span| (span & 0xffff) + (span >> 16) + 1);
        std::iter::once(0).chain(ends)
    }

    /// Begin and size of a symbol's quantiles.
    #[inline(always)]
    pub(crate) fn span(&self, symbol: u32) -> Option<(u32, u32)> {
        let span = *self.spans.get(symbol as usize)?;
        Some((span & 0xffff, (span >> 16) + 1))
    }

    /// The symbol of a quantile, with begin and size of its quantiles.
    #[inline(always)]
    pub(crate) fn lookup(&self, quantile: u32) -> (u32, u32, u32) {
        let quantile = quantile & 0xffff;
        let group = (quantile >> (PRECISION - LOOKUP_BITS)) as usize;
        let mut symbol = usize::from(self.lookup[group]);
        let mut span = self.spans[symbol];
        while quantile - (span & 0xffff) > span >> 16 {
            symbol += 1;
            span = self.spans[symbol];
        }
        (symbol as u32, span & 0xffff, (span >> 16) + 1)
    }
}

impl std::fmt::Debug for Cdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cdf ")?;
        f.debug_list().entries(self.cumulative()).finish()
    }
}

fn check_len(len: usize) -> Result<()> {
    if len == 0 || len > MAX_SYMBOLS {
        return Err(Error::parameter(format!(
            "a table has 1 to {MAX_SYMBOLS} symbols, not {len}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_that_are_no_distribution_are_refused() {
        for sums in [
            &[][..],
            &[0],
            &[65536],
            &[0, 65535],
            &[1, 65536],
            &[0, 5, 5, 65536],
            &[0, 9, 5, 65536],
            &[0, 70_000, 65536],
            &[0, 65536, 65536],
        ] {
            assert!(Cdf::from_cumulative(sums).is_err(), "{sums:?}");
        }
        let mut many: Vec<u32> = (0..=MAX_SYMBOLS as u32).collect();
        many.push(65536);
        assert!(Cdf::from_cumulative(&many).is_err());
        many.remove(1);
        assert_eq!(Cdf::from_cumulative(&many).unwrap().len(), MAX_SYMBOLS);
    }

    #[test]
    fn frequencies_that_make_no_table_are_refused() {
        assert!(Cdf::from_frequencies(&[]).is_err());
        assert!(Cdf::from_frequencies(&[1; MAX_SYMBOLS + 1]).is_err());
        assert!(Cdf::from_frequencies(&[u32::MAX; 257]).is_err());
        assert!(Cdf::from_frequencies(&[u32::MAX; 256]).is_ok());
    }

    #[test]
    fn frequencies_become_probabilities() {
        let cdf = Cdf::from_frequencies(&[3, 0, 1]).unwrap();
        assert_eq!(
            cdf.cumulative().collect::<Vec<_>>(),
            [0, 49150, 49151, 65536]
        );
        assert_eq!(cdf.probability(1), 1);
        assert_eq!(cdf.probability(3), 0);
        let even = Cdf::from_frequencies(&[0; 4]).unwrap();
        assert_eq!(even.probability(2), 16384);
        let one = Cdf::from_frequencies(&[7]).unwrap();
        assert_eq!(one.lookup(65535), (0, 0, 65536));
    }

    proptest! {
        #[test]
        fn each_quantile_belongs_to_its_symbol(
            frequencies in prop::collection::vec(
                prop_oneof![Just(0), 0..100u32, any::<u32>()], 1..=200)
        ) {
            let cdf = Cdf::from_frequencies(&frequencies).unwrap();
            prop_assert_eq!(cdf.len(), frequencies.len());
            let sums: Vec<u32> = cdf.cumulative().collect();
            prop_assert_eq!(&Cdf::from_cumulative(&sums).unwrap(), &cdf);
            for symbol in 0..cdf.len() {
                let (left, right) = (sums[symbol], sums[symbol + 1]);
                let expected = (symbol as u32, left, right - left);
                prop_assert_eq!(cdf.span(symbol as u32), Some((left, right - left)));
                prop_assert_eq!(cdf.lookup(left), expected);
                prop_assert_eq!(cdf.lookup(right - 1), expected);
                prop_assert_eq!(cdf.lookup((left + right) / 2), expected);
            }
            prop_assert_eq!(cdf.span(cdf.len() as u32), None);
        }
    }
}
