//! Coders and models: `crates/rcodec-entropy/FORMAT.md`. Sections are named in
//! brackets.

use crate::error::{Error, Result, malformed};
use std::sync::LazyLock;

// Coders [2] to [4].

/// What both coders do for their user.
pub trait Coder {
    /// The quantile of the next decision, 0 to 65535.
    fn quantile(&mut self) -> Result<u32>;

    /// Takes the interval in which that quantile lies.
    fn take(&mut self, left: u32, width: u32) -> Result<()>;

    /// A bit that is 1 with the probability `p1` of 65536.
    fn bit(&mut self, p1: u32) -> Result<bool> {
        let p1 = p1.clamp(1, 65535);
        let one = self.quantile()? < p1;
        if one {
            self.take(0, p1)?;
        } else {
            self.take(p1, 65536 - p1)?;
        }
        Ok(one)
    }

    /// A raw number of `n` bits, at most 64.
    fn raw(&mut self, n: u32) -> Result<u64> {
        if n > 32 {
            let upper = self.raw(n - 32)?;
            return Ok((upper << 32) | self.raw(32)?);
        }
        if n > 16 {
            let upper = self.raw(n - 16)?;
            return Ok((upper << 16) | self.raw(16)?);
        }
        if n == 0 {
            return Ok(0);
        }
        let v = self.quantile()? >> (16 - n);
        self.take(v << (16 - n), 1 << (16 - n))?;
        Ok(u64::from(v))
    }

    /// A symbol of a table.
    fn symbol(&mut self, table: &Cdf) -> Result<usize> {
        let q = self.quantile()?;
        let s = table.sums.partition_point(|&c| c <= q) - 1;
        self.take(table.sums[s], table.sums[s + 1] - table.sums[s])?;
        Ok(s)
    }
}

/// The range decoder [3].
#[derive(Clone, Debug)]
pub struct RangeDecoder<'a> {
    payload: &'a [u8],
    lower: u64,
    range: u64,
    point: u64,
    /// Words read so far.
    words: usize,
    scale: u64,
}

impl<'a> RangeDecoder<'a> {
    /// Begins to decode a payload.
    pub fn new(payload: &'a [u8]) -> Result<Self> {
        let mut coder = Self {
            payload,
            lower: 0,
            range: u64::MAX,
            point: 0,
            words: 0,
            scale: 0,
        };
        coder.point = (coder.word()? << 32) | coder.word()?;
        Ok(coder)
    }

    fn word(&mut self) -> Result<u64> {
        let k = self.words;
        if k >= self.payload.len().div_ceil(4) + 2 {
            return malformed("the range coder's payload is cut");
        }
        self.words += 1;
        let byte = |i: usize| u64::from(self.payload.get(4 * k + i).copied().unwrap_or(0));
        Ok(byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3))
    }

    /// Checks, after the last decision, that the payload ends here.
    pub fn finish(self) -> Result<()> {
        let lower = u128::from(self.lower);
        for z in [64, 56, 48, 40, 32] {
            let unit = 1_u128 << z;
            let p = lower.div_ceil(unit) * unit;
            if p < lower + u128::from(self.range) {
                let f = p as u64;
                let n = if f == 0 {
                    0
                } else {
                    8 - f.trailing_zeros() as usize / 8
                };
                if self.point == f && self.payload.len() == 4 * (self.words - 2) + n {
                    return Ok(());
                }
                break;
            }
        }
        malformed("the range coder's payload does not end where it should")
    }
}

impl Coder for RangeDecoder<'_> {
    fn quantile(&mut self) -> Result<u32> {
        self.scale = self.range >> 16;
        let q = self.point.wrapping_sub(self.lower) / self.scale;
        if q >= 65536 {
            return malformed("the range coder's point lies outside");
        }
        Ok(q as u32)
    }

    fn take(&mut self, left: u32, width: u32) -> Result<()> {
        self.lower = self.lower.wrapping_add(self.scale * u64::from(left));
        self.range = self.scale * u64::from(width);
        if self.range < 1 << 32 {
            self.lower <<= 32;
            self.range <<= 32;
            self.point = (self.point << 32) | self.word()?;
        }
        Ok(())
    }
}

/// The ANS decoder [4].
#[derive(Clone, Debug)]
pub struct AnsDecoder<'a> {
    /// The words that are left; the last is taken next.
    words: &'a [u8],
    state: u64,
}

impl<'a> AnsDecoder<'a> {
    /// Begins to decode a payload.
    pub fn new(payload: &'a [u8]) -> Result<Self> {
        let len = payload.len();
        if payload.last() == Some(&0) {
            return malformed("the ANS coder's state ends with a zero");
        }
        let n = if len < 5 { len } else { 5 + (len - 5) % 4 };
        let (words, state) = payload.split_at(len - n);
        let state = state.iter().rev().fold(0, |s, &b| s << 8 | u64::from(b));
        Ok(Self { words, state })
    }

    /// Checks, after the last decision, that the payload ends here.
    pub fn finish(self) -> Result<()> {
        if self.words.is_empty() && self.state == 0 {
            Ok(())
        } else {
            malformed("the ANS coder's payload does not end where it should")
        }
    }
}

impl Coder for AnsDecoder<'_> {
    fn quantile(&mut self) -> Result<u32> {
        Ok((self.state % 65536) as u32)
    }

    fn take(&mut self, left: u32, width: u32) -> Result<()> {
        let q = self.state % 65536;
        self.state = (self.state >> 16) * u64::from(width) + (q - u64::from(left));
        if self.state < 1 << 32
            && let Some((rest, word)) = self.words.split_last_chunk::<4>()
        {
            self.state = self.state << 32 | u64::from(u32::from_le_bytes(*word));
            self.words = rest;
        }
        Ok(())
    }
}

// Tables [5].

/// A table of symbols, by its cumulative sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cdf {
    sums: Vec<u32>,
}

impl Cdf {
    /// The table of these frequencies.
    pub fn from_frequencies(frequencies: &[u64]) -> Self {
        let n = frequencies.len() as u64;
        let total: u64 = frequencies.iter().sum();
        let mut below = 0;
        let mut sums = vec![0];
        for (i, f) in (1..).zip(frequencies) {
            below += f;
            let even = i * (65536 - n) / n;
            let share = (below * (65536 - n)).checked_div(total).unwrap_or(even);
            sums.push((share + i) as u32);
        }
        Self { sums }
    }

    /// The table with these cumulative sums, if they are those of a table.
    pub fn from_sums(sums: Vec<u32>) -> Result<Self> {
        let fits = sums.len() >= 2
            && sums[0] == 0
            && sums[sums.len() - 1] == 65536
            && sums.windows(2).all(|pair| pair[0] < pair[1]);
        if !fits {
            return malformed("these are no cumulative sums");
        }
        Ok(Self { sums })
    }

    /// The number of symbols.
    pub fn symbols(&self) -> usize {
        self.sums.len() - 1
    }
}

// Adaptive bits [6].

/// A probability that moves by a fixed share.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveBit {
    p1: u32,
    rate: u32,
}

impl AdaptiveBit {
    /// An even start, with this rate.
    pub fn new(rate: u32) -> Self {
        Self { p1: 32768, rate }
    }

    /// With another start.
    pub fn with_p1(rate: u32, p1: u32) -> Self {
        let p1 = p1.clamp(1, 65535);
        Self { p1, rate }
    }

    /// The probability of 1.
    pub fn p1(&self) -> u32 {
        self.p1
    }

    /// Learns the bit that came.
    pub fn learn(&mut self, bit: bool) {
        let p1 = i64::from(self.p1);
        let round = 1 << (self.rate - 1);
        let target = i64::from(bit) * 65536;
        self.p1 = (p1 + ((target - p1 + round) >> self.rate)) as u32;
    }

    /// Decodes a bit and learns it.
    pub fn decode(&mut self, coder: &mut impl Coder) -> Result<bool> {
        let bit = coder.bit(self.p1())?;
        self.learn(bit);
        Ok(bit)
    }
}

/// A probability that moves by a share of one through the number of bits seen,
/// as far as a limit, which the user names with every bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedBit {
    /// Probability of 1 in units of 2^-22.
    pub p_q22: u32,
    /// Bits seen, up to the limit.
    pub count: u32,
}

impl Default for CountedBit {
    fn default() -> Self {
        Self {
            p_q22: 1 << 21,
            count: 0,
        }
    }
}

impl CountedBit {
    /// Begins with `p1` and a count, which the user keeps within its limit.
    pub fn with_p1(p1: u32, count: u32) -> Self {
        let p_q22 = p1.clamp(1, 65535) << 6;
        Self { p_q22, count }
    }

    /// The probability of 1.
    pub fn p1(&self) -> u32 {
        (self.p_q22 >> 6).max(1)
    }

    /// Learns the bit that came.
    pub fn learn(&mut self, bit: bool, limit: u32) {
        let rate_q16 = i64::from(131_072 / (2 * self.count + 3));
        let p = i64::from(self.p_q22);
        let target = i64::from(bit) << 22;
        self.p_q22 = (p + (((target - p) * rate_q16 + 32768) >> 16)) as u32;
        if self.count < limit {
            self.count += 1;
        }
    }

    /// Decodes a bit and learns it.
    pub fn decode(&mut self, coder: &mut impl Coder, limit: u32) -> Result<bool> {
        let bit = coder.bit(self.p1())?;
        self.learn(bit, limit);
        Ok(bit)
    }
}

/// The mean of a quick and a slow probability.
#[derive(Clone, Copy, Debug)]
pub struct TwoRateBit {
    fast: AdaptiveBit,
    slow: AdaptiveBit,
}

impl TwoRateBit {
    /// An even start, with these rates.
    pub fn new(fast: u32, slow: u32) -> Self {
        Self {
            fast: AdaptiveBit::new(fast),
            slow: AdaptiveBit::new(slow),
        }
    }

    /// The probability of 1.
    pub fn p1(&self) -> u32 {
        (self.fast.p1() + self.slow.p1()) >> 1
    }

    /// Learns the bit that came.
    pub fn learn(&mut self, bit: bool) {
        self.fast.learn(bit);
        self.slow.learn(bit);
    }

    /// Decodes a bit and learns it.
    pub fn decode(&mut self, coder: &mut impl Coder) -> Result<bool> {
        let bit = coder.bit(self.p1())?;
        self.learn(bit);
        Ok(bit)
    }
}

/// A symbol of some bits, the highest first, each with a model of its own.
#[derive(Clone, Debug)]
pub struct BitTree {
    bits: u32,
    limit: u32,
    models: Vec<CountedBit>,
}

impl BitTree {
    /// A tree with 2^`bits` leaves of counted bits with this limit.
    pub fn new(bits: u32, limit: u32) -> Self {
        Self {
            bits,
            limit,
            models: vec![CountedBit::default(); 1 << bits],
        }
    }

    /// Decodes a symbol and learns it.
    pub fn decode(&mut self, coder: &mut impl Coder) -> Result<u32> {
        let mut node = 1;
        for _ in 0..self.bits {
            let bit = self.models[node].decode(coder, self.limit)?;
            node = 2 * node + usize::from(bit);
        }
        Ok((node - (1 << self.bits)) as u32)
    }
}

// Integers of any size [7].

/// 0, 1, 2, 3, 4 … to 0, -1, 1, -2, 2 …
pub fn unzigzag(u: u64) -> i64 {
    (u >> 1) as i64 ^ -((u & 1) as i64)
}

/// What an Exp-Golomb class adds to the number within it.
fn class_start(class: u32, order: u32) -> u128 {
    ((1_u128 << class) - 1) << order
}

fn fit64(value: u128) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::Malformed("an integer leaves 64 bits".to_string()))
}

fn next_class(class: u32, order: u32) -> Result<u32> {
    if class + 1 + order > 64 {
        return malformed("an integer leaves 64 bits");
    }
    Ok(class + 1)
}

/// The Exp-Golomb code with raw bits.
pub fn exp_golomb(coder: &mut impl Coder, order: u32) -> Result<u64> {
    let mut class = 0;
    while coder.bit(32768)? {
        class = next_class(class, order)?;
    }
    fit64(class_start(class, order) + u128::from(coder.raw(class + order)?))
}

/// The adaptive Exp-Golomb code.
#[derive(Clone, Debug)]
pub struct AdaptiveExpGolomb {
    order: u32,
    greater: [CountedBit; 65],
    second: [CountedBit; 65],
}

impl AdaptiveExpGolomb {
    const LIMIT: u32 = 255;

    /// Of this order, fresh.
    pub fn new(order: u32) -> Self {
        Self {
            order,
            greater: [CountedBit::default(); 65],
            second: [CountedBit::default(); 65],
        }
    }

    /// Decodes a number and learns it.
    pub fn decode(&mut self, coder: &mut impl Coder) -> Result<u64> {
        let mut class = 0;
        while self.greater[class as usize].decode(coder, Self::LIMIT)? {
            class = next_class(class, self.order)?;
        }
        if class == 0 {
            return coder.raw(self.order);
        }
        let r = class + self.order - 1;
        let high = self.second[class as usize].decode(coder, Self::LIMIT)?;
        let start = class_start(class, self.order) + (u128::from(high) << r);
        fit64(start + u128::from(coder.raw(r)?))
    }

    /// Decodes a signed number and learns it.
    pub fn decode_signed(&mut self, coder: &mut impl Coder) -> Result<i64> {
        Ok(unzigzag(self.decode(coder)?))
    }
}

// Parametric tables [8].

/// A family of distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Laplace distributions.
    Laplace,
    /// Logistic distributions.
    Logistic,
    /// Gaussian distributions.
    Gaussian,
}

/// 2^-x in Q62 for x in Q32.
fn exp2_neg(x: u64) -> u64 {
    static ROOTS: LazyLock<[u64; 32]> = LazyLock::new(|| {
        let mut last = 1_u64 << 62;
        std::array::from_fn(|_| {
            last = (u128::from(last) << 63).isqrt() as u64;
            last
        })
    });
    if x >> 32 > 62 {
        return 0;
    }
    let mut v = 1_u64 << 63;
    for (i, &root) in ROOTS.iter().enumerate() {
        if x >> (31 - i) & 1 == 1 {
            v = ((u128::from(v) * u128::from(root)) >> 63) as u64;
        }
    }
    v >> 1 >> (x >> 32)
}

/// e^-x in Q62 for x in Q32.
fn exp_neg(x: u64) -> u64 {
    let x = (u128::from(x) * 6_196_328_019) >> 32;
    exp2_neg(u64::try_from(x).unwrap_or(u64::MAX))
}

fn scale_q16(step: u32) -> u64 {
    (exp2_neg(u64::from(63 - step) * 626_139_733) + (1 << 39)) >> 40
}

fn gaussian_tail(r: u64) -> u64 {
    static POINTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
        let density = |z: u64| u128::from(exp_neg((z * z) << 13));
        let mut sums = vec![0_u128; 2305];
        for i in (0..2304).rev() {
            let z = 2 * i as u64;
            sums[i] = sums[i + 1] + density(z) + 4 * density(z + 1) + density(z + 2);
        }
        let point = |s: &u128| (((s << 40) / sums[0]) << 21) as u64;
        sums.iter().map(point).collect()
    });
    let (i, f) = ((r >> 24) as usize, r % (1 << 24));
    if i >= 2304 {
        return 0;
    }
    let fall = u128::from(POINTS[i] - POINTS[i + 1]) * u128::from(f);
    POINTS[i] - (fall >> 24) as u64
}

impl Family {
    /// What lies beyond `r` scales, Q62 for Q32.
    fn tail(self, r: u64) -> u64 {
        match self {
            Self::Laplace => exp_neg(r) >> 1,
            Self::Logistic => {
                let o = u128::from(exp_neg(r));
                ((o << 62) / ((1 << 62) + o)) as u64
            }
            Self::Gaussian => gaussian_tail(r),
        }
    }

    /// The probability of values below x, Q62.
    fn below(self, x_q16: i64, scale_q16: u64) -> u64 {
        let r = (u128::from(x_q16.unsigned_abs()) << 32) / u128::from(scale_q16);
        let tail = self.tail(u64::try_from(r).unwrap_or(u64::MAX));
        if x_q16 < 0 { tail } else { (1 << 62) - tail }
    }

    fn width(self) -> u64 {
        match self {
            Self::Laplace => 133,
            Self::Logistic => 144,
            Self::Gaussian => 59,
        }
    }
}

/// Tables of a family for 64 scales and some means.
#[derive(Clone, Debug)]
pub struct ParametricTables {
    means: usize,
    /// Reach and table, by scale step, then mean.
    tables: Vec<(i64, Cdf)>,
}

impl ParametricTables {
    /// The tables of a family with `means` means in each unit.
    pub fn new(family: Family, means: usize) -> Self {
        let mut tables = Vec::new();
        for step in 0..64 {
            let scale = scale_q16(step);
            let reach = (((scale * family.width()) >> 20) as i64 + 2).min(1023);
            let n = 2 * reach + 2;
            for m in 0..means {
                let mean_q16 = (65536 * m / means) as i64;
                let at = |v: i64| family.below(v * 65536 - 32768 - mean_q16, scale);
                let first = at(-reach);
                let mut sums: Vec<u32> = (0..n)
                    .map(|i| {
                        let share = u128::from(at(i - reach) - first) * (65536 - n) as u128;
                        (share >> 62) as u32 + i as u32
                    })
                    .collect();
                sums.push(65536);
                tables.push((reach, Cdf { sums }));
            }
        }
        Self { means, tables }
    }

    fn entry(&self, step: usize, mean: usize) -> &(i64, Cdf) {
        &self.tables[step.min(63) * self.means + mean.min(self.means - 1)]
    }

    /// The table of a scale step and a mean.
    pub fn table(&self, step: usize, mean: usize) -> &Cdf {
        &self.entry(step, mean).1
    }

    /// Decodes a value with the table of a scale step and a mean; `beyond` codes
    /// those outside of it.
    pub fn value(
        &self,
        coder: &mut impl Coder,
        step: usize,
        mean: usize,
        beyond: &mut AdaptiveExpGolomb,
    ) -> Result<i32> {
        let (reach, table) = self.entry(step, mean);
        let y = coder.symbol(table)? as i64;
        let value = if y < 2 * reach + 1 {
            Some(y - reach)
        } else {
            let b = beyond.decode_signed(coder)?;
            if b >= 0 {
                b.checked_add(reach + 1)
            } else {
                b.checked_sub(*reach)
            }
        };
        match value.and_then(|v| i32::try_from(v).ok()) {
            Some(value) => Ok(value),
            None => malformed("a value leaves 32 bits"),
        }
    }
}

// The logistic domain [9].

/// The largest number of the logistic domain.
pub const LOGISTIC_MAX: i32 = 2815;

const LOGISTIC_STEP: u128 = 4_593_706_758_521_714_574;

/// The probability of 1 for a number of the logistic domain.
pub fn squash(x: i32) -> u32 {
    static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let mut odds = 1_u128 << 62;
        let mut table = Vec::new();
        for _ in 0..=LOGISTIC_MAX {
            let d = (1 << 62) + odds;
            table.push((((1_u128 << 79) + d) / (2 * d)).min(65535) as u32);
            odds = (odds * LOGISTIC_STEP) >> 62;
        }
        table
    });
    let p = TABLE[x.unsigned_abs().min(LOGISTIC_MAX as u32) as usize];
    if x < 0 { 65536 - p } else { p }
}

/// The number of the logistic domain for a probability of 1, 0 to 65536.
pub fn stretch(p1: u32) -> i32 {
    static TABLE: LazyLock<Vec<i32>> = LazyLock::new(|| {
        let mut half = vec![4_602_687_609_541_841_169_u128];
        for x in 0..LOGISTIC_MAX as usize - 1 {
            half.push((half[x] * LOGISTIC_STEP) >> 62);
        }
        let entry = |low: u128| {
            let p = if low < 2048 {
                2 * low
            } else {
                (32 * (low >> 4) + 15).min(65536)
            };
            // `half` falls, so those that are too large come first.
            half.partition_point(|h| p << 62 < h * (131_072 - p)) as i32
        };
        (0..=32768).map(entry).collect()
    });
    let x = TABLE[p1.min(65536 - p1) as usize];
    if p1 < 32768 { -x } else { x }
}

// Mixers [10].

/// How fast a mixer's sets learn: from `first` to `last` (Q16), by `shift`.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The rate that a set begins with.
    pub first: i32,
    /// The rate that it falls to.
    pub last: i32,
    /// How fast it falls.
    pub shift: u32,
}

impl Rate {
    /// A rate falling from `first` to `last`.
    pub fn falling(first: i32, last: i32, shift: u32) -> Self {
        Self { first, last, shift }
    }

    /// A constant rate.
    pub fn constant(rate: i32) -> Self {
        Self::falling(rate, rate, 0)
    }
}

/// Sums predictions by learned weights.
#[derive(Clone, Debug)]
pub struct Mixer {
    /// Upper halves of the weights, Q12, set by set.
    high: Vec<i32>,
    /// Lower halves.
    low: Vec<i32>,
    /// The rate of each set.
    rate_q26: Vec<i32>,
    last_q26: i32,
    shift: u32,
    // What the last mix was made of.
    inputs: Vec<i32>,
    set: usize,
    p1: u32,
}

impl Mixer {
    /// A mixer of so many inputs and sets; all weights begin as `weight_q16`.
    pub fn new(inputs: usize, sets: usize, weight_q16: i32, rate: Rate) -> Self {
        let weight = weight_q16.clamp(-524_288, 524_287) * 4096;
        Self {
            high: vec![weight >> 16; inputs * sets],
            low: vec![weight & 65535; inputs * sets],
            rate_q26: vec![rate.first << 10; sets],
            last_q26: rate.last << 10,
            shift: rate.shift,
            inputs: vec![0; inputs],
            set: 0,
            p1: 32768,
        }
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// The number of sets.
    pub fn sets(&self) -> usize {
        self.rate_q26.len()
    }

    /// The weights (Q12) and the rate (Q16) of a set, both rounded down.
    pub fn learned(&self, set: usize) -> (Vec<i16>, i32) {
        let n = self.inputs.len();
        let weights = self.high[set * n..][..n].iter().map(|&w| w as i16);
        (weights.collect(), self.rate_q26[set] >> 10)
    }

    /// Gives a set learned weights and a rate.
    pub fn give(&mut self, set: usize, weights_q12: &[i16], rate_q16: i32) {
        self.set_weights(set, weights_q12);
        self.set_rate(set, rate_q16);
    }

    /// Gives a set learned weights.
    pub fn set_weights(&mut self, set: usize, weights_q12: &[i16]) {
        let n = self.inputs.len();
        for (i, &w) in weights_q12.iter().enumerate().take(n) {
            self.high[set * n + i] = i32::from(w);
            self.low[set * n + i] = 32768;
        }
    }

    /// Gives a set a learned rate to begin with.
    pub fn set_rate(&mut self, set: usize, rate_q16: i32) {
        self.rate_q26[set] = rate_q16 << 10;
    }

    /// Mixes inputs, those that are not given being 0, with the weights of a
    /// context. The answer is in the logistic domain; its probability is
    /// [`Self::p1`].
    pub fn mix(&mut self, inputs: &[i32], context: usize) -> i32 {
        let n = self.inputs.len();
        self.set = context.min(self.rate_q26.len() - 1);
        self.inputs.fill(0);
        for (kept, x) in self.inputs.iter_mut().zip(inputs) {
            *kept = (*x).clamp(-LOGISTIC_MAX, LOGISTIC_MAX);
        }
        let weights = &self.high[self.set * n..][..n];
        let sum = weights
            .iter()
            .zip(&self.inputs)
            .fold(0_i32, |sum, (w, x)| sum.wrapping_add(w * x));
        let y = (sum.wrapping_add(2048) >> 12).clamp(-LOGISTIC_MAX, LOGISTIC_MAX);
        self.p1 = squash(y);
        y
    }

    /// The probability of 1 of the last mix.
    pub fn p1(&self) -> u32 {
        self.p1
    }

    /// Learns the bit that came.
    pub fn learn(&mut self, bit: bool) {
        let rate = &mut self.rate_q26[self.set];
        let error = i64::from(bit) * 65536 - i64::from(self.p1);
        let step = ((error * i64::from(*rate >> 10) + 2048) >> 12) as i32;
        *rate -= (*rate - self.last_q26) >> self.shift;
        let first = self.set * self.inputs.len();
        for (i, x) in self.inputs.iter().enumerate() {
            let delta = x * step;
            let (high, low) = (&mut self.high[first + i], &mut self.low[first + i]);
            let t = *low + (delta & 65535);
            *low = t & 65535;
            *high = (*high + (delta >> 16) + (t >> 16)).clamp(-32768, 32767);
        }
    }
}

/// Mixers over the same inputs, and one over their answers.
#[derive(Clone, Debug)]
pub struct MixerStack {
    first: Vec<Mixer>,
    second: Mixer,
}

impl MixerStack {
    /// A stack of mixers of `inputs` inputs and as many sets as `sets` says.
    pub fn new(
        inputs: usize,
        sets: &[usize],
        weight_q16: i32,
        rate: Rate,
        second_sets: usize,
        second_rate: Rate,
    ) -> Self {
        let share = 65536 / sets.len() as i32;
        let mixer = |&sets| Mixer::new(inputs, sets, weight_q16, rate);
        Self {
            first: sets.iter().map(mixer).collect(),
            second: Mixer::new(8, second_sets, share, second_rate),
        }
    }

    /// A mixer of the first layer.
    pub fn layer(&mut self, k: usize) -> &mut Mixer {
        &mut self.first[k]
    }

    /// The mixer of the answers.
    pub fn last(&mut self) -> &mut Mixer {
        &mut self.second
    }

    /// Mixes inputs with a context for each mixer of the first layer and one for
    /// the second.
    pub fn mix(&mut self, inputs: &[i32], contexts: &[usize], second: usize) -> i32 {
        let mut answers = [0; 8];
        for ((mixer, context), answer) in self.first.iter_mut().zip(contexts).zip(&mut answers) {
            *answer = mixer.mix(inputs, *context);
        }
        self.second.mix(&answers, second)
    }

    /// The probability of 1 of the last mix.
    pub fn p1(&self) -> u32 {
        self.second.p1()
    }

    /// Learns the bit that came.
    pub fn learn(&mut self, bit: bool) {
        for mixer in &mut self.first {
            mixer.learn(bit);
        }
        self.second.learn(bit);
    }
}

// Adaptive probability maps [11].

/// Refines a probability by what came of such ones before.
#[derive(Clone, Debug)]
pub struct Apm {
    points: Vec<CountedBit>,
    limit: u32,
    /// The lower of the two points that the last refinement lay between.
    point: usize,
}

impl Apm {
    /// A map of so many contexts.
    pub fn new(contexts: usize, limit: u32) -> Self {
        let point = |j| CountedBit {
            p_q22: squash((j - 16) * 176) << 6,
            count: limit.min(6),
        };
        Self {
            points: (0..contexts).flat_map(|_| (0..33).map(point)).collect(),
            limit,
            point: 0,
        }
    }

    /// The probability of 1 for a number of the logistic domain.
    pub fn refine(&mut self, x: i32, context: usize) -> u32 {
        let context = context.min(self.points.len() / 33 - 1);
        let a = (x + 2816).clamp(0, 5631) as u32;
        let (j, w) = (a / 176, a % 176);
        self.point = 33 * context + j as usize;
        let low = self.points[self.point].p_q22;
        let high = self.points[self.point + 1].p_q22;
        (((low * (176 - w) + high * w) / 176) >> 6).max(1)
    }

    /// Learns the bit that came.
    pub fn learn(&mut self, bit: bool) {
        self.points[self.point].learn(bit, self.limit);
        self.points[self.point + 1].learn(bit, self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The five decisions of the worked examples [12].
    fn example(coder: &mut impl Coder) {
        let table = Cdf::from_frequencies(&[3, 1, 0]);
        assert_eq!(table.sums, [0, 49150, 65535, 65536]);
        assert!(coder.bit(60000).unwrap());
        assert!(!coder.bit(60000).unwrap());
        assert_eq!(coder.raw(3).unwrap(), 5);
        assert_eq!(coder.symbol(&table).unwrap(), 2);
        assert_eq!(coder.raw(20).unwrap(), 0x12345);
    }

    #[test]
    fn the_worked_examples_decode() {
        let mut range = RangeDecoder::new(&[0xe5, 0x6c, 0xe6, 0xb3, 0x81, 0xc3]).unwrap();
        example(&mut range);
        range.finish().unwrap();
        let mut ans = AnsDecoder::new(&[0xbf, 0x43, 0xaf, 0xac, 0xd6]).unwrap();
        example(&mut ans);
        ans.finish().unwrap();
    }

    #[test]
    fn the_logistic_domain_has_the_values_of_the_page() {
        for (x, p) in [
            (0, 32768),
            (1, 32832),
            (256, 47911),
            (1000, 64244),
            (2815, 65535),
            (-256, 17625),
        ] {
            assert_eq!(squash(x), p, "{x}");
        }
        for (p, x) in [
            (1, -2815),
            (100, -1660),
            (2047, -879),
            (2048, -878),
            (20000, -210),
            (32767, 0),
            (32768, 0),
            (65535, 2815),
        ] {
            assert_eq!(stretch(p), x, "{p}");
        }
    }

    #[test]
    fn parametric_tables_are_tables() {
        assert_eq!(scale_q16(0), 7209);
        assert_eq!(scale_q16(63), 1 << 22);
        for family in [Family::Laplace, Family::Logistic, Family::Gaussian] {
            let tables = ParametricTables::new(family, 2);
            for step in 0..64 {
                for mean in 0..2 {
                    Cdf::from_sums(tables.table(step, mean).sums.clone()).unwrap();
                }
            }
        }
    }
}
