//! Probability tables: integers that sum to 2^16.

use rcodec_core::{Error, Result};

/// The number of bits of probabilities: they sum to `1 << PRECISION`.
pub const PRECISION: u32 = 16;

/// The most symbols a table may have.
pub const MAX_SYMBOLS: usize = 4096;

/// The lookup table has one entry for 2^6 quantiles.
const LOOKUP_BITS: u32 = 10;

/// A cumulative distribution over the symbols `0..len`: every symbol has a
/// probability of at least 1 of 65536, and they sum to 65536.
///
/// Decoding a symbol takes one look into a table of 1024 entries and a short
/// scan. Tables with at most 256 symbols decode fastest.
#[derive(Clone, PartialEq, Eq)]
pub struct Cdf {
    /// `cumulative[s]..cumulative[s + 1]` are the quantiles of symbol `s`.
    cumulative: Box<[u32]>,
    /// For each group of 64 quantiles, the symbol of the first one, divided by
    /// `2^lookup_shift` (rounded down).
    lookup: Box<[u8; 1 << LOOKUP_BITS]>,
    lookup_shift: u32,
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
        let lookup_shift = (len - 1).checked_ilog2().map_or(0, |b| b.saturating_sub(7));
        let mut lookup = Box::new([0; 1 << LOOKUP_BITS]);
        let mut symbol = 0;
        for (group, entry) in lookup.iter_mut().enumerate() {
            let quantile = (group as u32) << (PRECISION - LOOKUP_BITS);
            while cumulative[symbol + 1] <= quantile {
                symbol += 1;
            }
            *entry = (symbol >> lookup_shift) as u8;
        }
        Ok(Cdf {
            cumulative: cumulative.into(),
            lookup,
            lookup_shift,
        })
    }

    /// The number of symbols.
    pub fn len(&self) -> usize {
        self.cumulative.len() - 1
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

    /// The cumulative sums, from 0 to 65536.
    pub fn cumulative(&self) -> &[u32] {
        &self.cumulative
    }

    /// Begin and size of a symbol's quantiles.
    #[inline(always)]
    pub(crate) fn span(&self, symbol: u32) -> Option<(u32, u32)> {
        let symbol = symbol as usize;
        let right = *self.cumulative.get(symbol.checked_add(1)?)?;
        let left = *self.cumulative.get(symbol)?;
        Some((left, right - left))
    }

    /// The symbol of a quantile, with begin and size of its quantiles.
    #[inline(always)]
    pub(crate) fn lookup(&self, quantile: u32) -> (u32, u32, u32) {
        let quantile = quantile & 0xffff;
        let group = (quantile >> (PRECISION - LOOKUP_BITS)) as usize;
        let mut symbol = usize::from(self.lookup[group]) << self.lookup_shift;
        let mut left = self.cumulative[symbol];
        let mut right = self.cumulative[symbol + 1];
        while right <= quantile {
            symbol += 1;
            left = right;
            right = self.cumulative[symbol + 1];
        }
        (symbol as u32, left, right - left)
    }
}

impl std::fmt::Debug for Cdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cdf").field(&self.cumulative).finish()
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
