//! Residuals as tokens with tables that are known before they are decoded.
//!
//! A token is coded by ANS with one of a few tables, which the activity around
//! the sample selects; what it leaves open follows as plain bits in a stream
//! of their own.

use crate::lossless::logistic::ln_q8;
use rcodec_core::{Error, Result};
use rcodec_entropy::{
    AnsDecoder, AnsEncoder, BitCoder, BitTree, Cdf, CountedBit, unzigzag, zigzag,
};

/// Classes of activity.
pub(super) const CLASSES: usize = 24;

/// Folded residuals below this have a token of their own; others share four
/// to the octave.
const DIRECT: u32 = 16;

/// Tokens there are: folded residuals up to 2^21.
const TOKENS: usize = 84;

/// How many classes share a table, as shifts; all, at last.
const SHIFTS: [u32; 4] = [0, 1, 2, 5];

/// Frequencies in a file sum to about this.
const TOTAL: u64 = 4096;

/// Bits of a frequency that are written below its highest.
const MANTISSA_BITS: u32 = 2;

/// The token of a folded residual, what it leaves open, and how many bits
/// that has.
#[inline(always)]
fn token_of(folded: u32) -> (u32, u32, u32) {
    if folded < DIRECT {
        return (folded, 0, 0);
    }
    let bits = folded.ilog2() - 2;
    let token = DIRECT + 4 * (bits - 2) + (folded >> bits & 3);
    (token, folded & ((1 << bits) - 1), bits)
}

/// For every token its smallest folded residual, and how many bits follow.
static BASES: [(u32, u32); TOKENS] = {
    let mut bases = [(0, 0); TOKENS];
    let mut token = 0;
    while token < TOKENS {
        bases[token] = if (token as u32) < DIRECT {
            (token as u32, 0)
        } else {
            let bits = (token as u32 - DIRECT) / 4 + 2;
            ((4 | (token as u32 & 3)) << bits, bits)
        };
        token += 1;
    }
    bases
};

/// Where the residuals of one channel go, or come from.
pub(super) trait Residuals {
    /// Codes a residual, of a class of activity; a decoder does not look at
    /// it.
    fn code(&mut self, class: usize, residual: i32) -> i32;
}

/// Collects tokens and counts them.
pub(super) struct Recorder {
    /// Class and token of every residual.
    records: Vec<(u8, u8)>,
    counts: Vec<[u32; TOKENS]>,
    bits: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Recorder {
            records: Vec::new(),
            counts: vec![[0; TOKENS]; CLASSES],
            bits: Vec::new(),
            pending: 0,
            pending_bits: 0,
        }
    }

    /// Writes the tables to `head`, and gives the tokens' and the plain bits'
    /// streams.
    pub(super) fn finish<C: BitCoder>(mut self, head: &mut C) -> Result<[Vec<u8>; 2]> {
        let number = self.cheapest_sharing();
        head.code_raw(number as u32, 2)?;
        let tables = code_tables(head, SHIFTS[number], &self.counts)?;
        let mut tokens = AnsEncoder::new();
        for &(class, token) in &self.records {
            let table = &tables[usize::from(class) >> SHIFTS[number]];
            tokens.code_cdf(u32::from(token), table)?;
        }
        if self.pending_bits > 0 {
            self.bits.push(self.pending as u8);
        }
        Ok([tokens.finish(), self.bits])
    }

    /// The index into [`SHIFTS`] of what takes least, tables included.
    fn cheapest_sharing(&self) -> usize {
        let cost = |number: &usize| {
            let tables = merged(&self.counts, SHIFTS[*number]);
            tables.iter().map(cost_q8).sum::<u64>()
        };
        (0..SHIFTS.len()).min_by_key(cost).unwrap_or(0)
    }
}

impl Residuals for Recorder {
    #[inline(always)]
    fn code(&mut self, class: usize, residual: i32) -> i32 {
        let (token, rest, bits) = token_of(zigzag(i64::from(residual)) as u32);
        self.records.push((class as u8, token as u8));
        self.counts[class][token as usize] += 1;
        self.pending |= u64::from(rest) << self.pending_bits;
        self.pending_bits += bits;
        while self.pending_bits >= 8 {
            self.bits.push(self.pending as u8);
            self.pending >>= 8;
            self.pending_bits -= 8;
        }
        residual
    }
}

/// Counts of classes that share tables, together.
fn merged(counts: &[[u32; TOKENS]], shift: u32) -> Vec<[u32; TOKENS]> {
    let mut tables = vec![[0; TOKENS]; ((CLASSES - 1) >> shift) + 1];
    for (class, counts) in counts.iter().enumerate() {
        for (sum, count) in tables[class >> shift].iter_mut().zip(counts) {
            *sum += count;
        }
    }
    tables
}

/// About what a table and its tokens take, in nats of Q8.
fn cost_q8(counts: &[u32; TOKENS]) -> u64 {
    let total: u32 = counts.iter().sum();
    let tokens = counts.iter().filter(|&&count| count > 0);
    // A frequency takes six bits or so.
    tokens
        .map(|&count| u64::from(count) * (ln_q8(total) - ln_q8(count)).max(0) as u64 + 6 * 177)
        .sum()
}

/// Codes the frequencies of a table as bit lengths and their highest bits.
fn code_tables<C: BitCoder>(
    coder: &mut C,
    shift: u32,
    counts: &[[u32; TOKENS]],
) -> Result<Vec<Cdf>> {
    let mut lengths: Vec<BitTree<CountedBit<60>, 16>> = vec![BitTree::new(); 16];
    let mut tables = Vec::new();
    for counts in merged(counts, shift) {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if coder.code_raw(u32::from(total > 0), 1)? == 0 {
            tables.push(Cdf::from_frequencies(&[1])?);
            continue;
        }
        let used = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        let last = coder.code_raw(used as u32, 7)? as usize;
        if last >= TOKENS {
            return Err(Error::malformed(coder.position(), "a table is too long"));
        }
        let mut frequencies = [0; TOKENS];
        let mut before = 0;
        for (slot, &count) in frequencies[..=last].iter_mut().zip(&counts) {
            let frequency = (u64::from(count) * TOTAL / total.max(1)) as u32;
            let rounded = rounded(frequency.max(u32::from(count > 0)));
            let length = lengths[before].code(coder, 32 - rounded.leading_zeros())?;
            before = length as usize;
            *slot = code_mantissa(coder, rounded, length)?;
        }
        tables.push(Cdf::from_frequencies(&frequencies[..=last])?);
    }
    Ok(tables)
}

/// A frequency to as many bits as are written.
fn rounded(frequency: u32) -> u32 {
    let length = 32 - frequency.leading_zeros();
    let dropped = length.saturating_sub(MANTISSA_BITS + 1);
    ((frequency + (1 << dropped >> 1)) >> dropped) << dropped
}

/// Codes what the length leaves open of a frequency.
fn code_mantissa<C: BitCoder>(coder: &mut C, frequency: u32, length: u32) -> Result<u32> {
    if length < 2 {
        return Ok(length);
    }
    let kept = (length - 1).min(MANTISSA_BITS);
    let dropped = length - 1 - kept;
    let mantissa = coder.code_raw(frequency >> dropped & ((1 << kept) - 1), kept)?;
    Ok((1 << kept | mantissa) << dropped)
}

/// The tables of one channel.
pub(super) struct Tables {
    tables: Vec<Cdf>,
    /// Classes that share one.
    shift: u32,
}

impl Tables {
    /// Reads what [`Recorder::finish`] wrote to the head.
    pub(super) fn read<C: BitCoder>(head: &mut C) -> Result<Self> {
        let shift = SHIFTS[head.code_raw(0, 2)? as usize & 3];
        let tables = code_tables(head, shift, &[[0; TOKENS]; CLASSES])?;
        Ok(Tables { tables, shift })
    }
}

/// Gives residuals back.
pub(super) struct Player<'a> {
    tables: Tables,
    tokens: AnsDecoder<'a>,
    /// Plain bits, and eight bytes more.
    bits: Vec<u8>,
    at_bit: usize,
}

impl<'a> Player<'a> {
    /// The residuals of one channel from its streams.
    pub(super) fn new(tables: Tables, tokens: &'a [u8], bits: &[u8]) -> Result<Self> {
        let mut padded = bits.to_vec();
        padded.extend([0; 8]);
        Ok(Player {
            tables,
            tokens: AnsDecoder::new(tokens)?,
            bits: padded,
            at_bit: 0,
        })
    }

    /// Checks that everything was taken.
    pub(super) fn finish(self) -> Result<()> {
        let bytes = self.bits.len() - 8;
        if self.at_bit.div_ceil(8) != bytes {
            return Err(Error::malformed(0, "plain bits do not end here"));
        }
        self.tokens.finish()
    }
}

impl Residuals for Player<'_> {
    #[inline(always)]
    fn code(&mut self, class: usize, _: i32) -> i32 {
        let table = &self.tables.tables[class >> self.tables.shift];
        // An ANS decoder takes any bytes for tokens.
        let token = self.tokens.code_cdf(0, table).unwrap_or(0);
        let (base, bits) = BASES[(token as usize).min(TOKENS - 1)];
        let byte = (self.at_bit / 8).min(self.bits.len() - 8);
        let window = self.bits[byte..].first_chunk::<8>();
        let window = window.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let rest = (window >> (self.at_bit % 8)) as u32 & ((1 << bits) - 1);
        self.at_bit += bits as usize;
        unzigzag(u64::from(base + rest)) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};

    #[test]
    fn tokens_cover_all_residuals() {
        for folded in 0..1 << 21 {
            let (token, rest, bits) = token_of(folded);
            let (base, base_bits) = BASES[token as usize];
            assert_eq!((base + rest, base_bits), (folded, bits));
            assert!(rest >> bits == 0);
        }
    }

    #[test]
    fn residuals_come_back() {
        for count in [0usize, 1, 7, 5000] {
            let residual = |n: usize| {
                let noise = (n as u32).wrapping_mul(2_654_435_761);
                (noise as i32) >> (12 + noise % 19)
            };
            let mut recorder = Recorder::new();
            for n in 0..count {
                recorder.code(n % CLASSES, residual(n));
            }
            let mut head = RangeBitEncoder::new();
            let [tokens, bits] = recorder.finish(&mut head).unwrap();
            let head = head.finish();
            let tables = Tables::read(&mut RangeBitDecoder::new(&head)).unwrap();
            let mut player = Player::new(tables, &tokens, &bits).unwrap();
            for n in 0..count {
                assert_eq!(player.code(n % CLASSES, 0), residual(n));
            }
            player.finish().unwrap();
        }
    }
}
