//! Structure of the samples of a channel within a block: silence and other
//! constants, copies of other channels, common divisors and offsets, and
//! sparse sets of values.
//!
//! Each channel's samples `x` become levels `y` with `x = offset + step * y`;
//! `step` is the greatest common divisor of all differences, so that unused
//! low bits, gain factors and constant offsets all vanish. Where only some of
//! the levels between the lowest and the highest occur, the set of those that
//! do may be sent, and only they can be coded ([`LevelSet`]).

use super::bytes::{read_signed, write_signed};
use rcodec_core::{Cursor, Error, Result, write_varint};
use rcodec_entropy::{AdaptiveBit, BitCoder, BitModel, CostEstimator};

/// The widest range of levels for which a set may be sent.
const MAX_SET_SPAN: u64 = 1 << 18;

/// How a channel is coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChannelPlan {
    /// Every sample has this value.
    Constant(i32),
    /// The same as an earlier channel.
    Copy(usize),
    /// Predicted and coded.
    Coded(CodedPlan),
}

/// Parameters of a coded channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodedPlan {
    /// Samples are `offset + step * level`.
    pub(crate) step: u32,
    /// Below `step`.
    pub(crate) offset: u32,
    /// The lowest level.
    pub(crate) min: i32,
    /// The highest level.
    pub(crate) max: i32,
    /// Whether the set of levels is sent.
    pub(crate) sparse: bool,
    /// An earlier coded channel that helps to predict.
    pub(crate) reference: Option<usize>,
    /// Filter history is levels divided by two to this power.
    pub(crate) history_shift: i32,
}

const KIND_CONSTANT: u8 = 0;
const KIND_COPY: u8 = 1;
const KIND_CODED: u8 = 2;
const KIND_MASK: u8 = 3;
const FLAG_STEP: u8 = 4;
const FLAG_SPARSE: u8 = 8;
const FLAG_REFERENCE: u8 = 16;

/// The least and the greatest value of samples of `bits` bits.
pub(crate) fn sample_range(bits: u8) -> (i64, i64) {
    (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl CodedPlan {
    /// Finds step, offset and range of samples that are not all equal, and
    /// turns them into levels.
    pub(crate) fn analyse(samples: &mut [i32]) -> CodedPlan {
        let first = samples.first().copied().unwrap_or(0);
        let mut step = 0;
        for &sample in samples.iter() {
            step = gcd(sample.abs_diff(first), step);
            if step == 1 {
                break;
            }
        }
        let step = step.max(1);
        let offset = i64::from(first).rem_euclid(i64::from(step)) as u32;
        if step > 1 {
            for sample in samples.iter_mut() {
                let level = (i64::from(*sample) - i64::from(offset)) / i64::from(step);
                *sample = level as i32;
            }
        }
        let min = samples.iter().copied().min().unwrap_or(0);
        let max = samples.iter().copied().max().unwrap_or(0);
        let sparse = is_set_worth_sending(samples, min, max);
        let peak = min.unsigned_abs().max(max.unsigned_abs());
        CodedPlan {
            step,
            offset,
            min,
            max,
            sparse,
            reference: None,
            history_shift: (32 - peak.leading_zeros()) as i32 - HISTORY_BITS,
        }
    }

    /// The sample of a level.
    #[inline(always)]
    pub(crate) fn sample(&self, level: i32) -> i32 {
        (i64::from(self.offset) + i64::from(self.step) * i64::from(level)) as i32
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut kind = KIND_CODED;
        if self.step != 1 {
            kind |= FLAG_STEP;
        }
        if self.sparse {
            kind |= FLAG_SPARSE;
        }
        if self.reference.is_some() {
            kind |= FLAG_REFERENCE;
        }
        out.push(kind);
        if self.step != 1 {
            write_varint(out, u64::from(self.step));
            write_varint(out, u64::from(self.offset));
        }
        write_signed(out, i64::from(self.min));
        write_varint(out, self.max.abs_diff(self.min).into());
        write_signed(out, i64::from(self.history_shift));
        if let Some(reference) = self.reference {
            write_varint(out, reference as u64);
        }
    }

    fn read(
        reader: &mut Cursor,
        kind: u8,
        bits: u8,
        frames: u64,
        earlier: &[ChannelPlan],
    ) -> Result<CodedPlan> {
        let at = reader.at();
        let (lowest, highest) = sample_range(bits);
        let (mut step, mut offset) = (1, 0);
        if kind & FLAG_STEP != 0 {
            step = reader.varint_in(2..=u64::from(u32::MAX), "step of samples")?;
            offset = reader.varint_in(0..=step - 1, "offset of samples")?;
        }
        let min = read_signed(reader)?;
        let span = reader.varint_in(1..=u64::from(u32::MAX), "range of samples")?;
        let max = min.checked_add(span as i64);
        let in_range = |level: i64| {
            let sample = i128::from(offset) + i128::from(step) * i128::from(level);
            sample >= i128::from(lowest) && sample <= i128::from(highest)
        };
        let Some(max) = max.filter(|&max| in_range(min) && in_range(max)) else {
            return Err(Error::malformed(at, "samples beyond the sample format"));
        };
        let sparse = kind & FLAG_SPARSE != 0;
        if sparse && span >= set_span_limit(frames) {
            return Err(Error::malformed(at, "set of too many levels"));
        }
        let at = reader.at();
        let history_shift = read_signed(reader)?;
        if !HISTORY_SHIFTS.contains(&history_shift) {
            return Err(Error::malformed(at, "scale of filter history"));
        }
        let mut reference = None;
        if kind & FLAG_REFERENCE != 0 {
            let at = reader.at();
            let channel = usize::try_from(reader.varint()?).ok();
            reference = channel.filter(|&c| matches!(earlier.get(c), Some(ChannelPlan::Coded(_))));
            if reference.is_none() {
                return Err(Error::malformed(
                    at,
                    "reference to a channel that is not coded",
                ));
            }
        }
        Ok(CodedPlan {
            step: step as u32,
            offset: offset as u32,
            // In range, as the samples are (step >= 1).
            min: min as i32,
            max: max as i32,
            sparse,
            reference,
            history_shift: history_shift as i32,
        })
    }
}

/// Peaks take this many bits (sign not counted) of the filter's history.
const HISTORY_BITS: i32 = 15;
const HISTORY_SHIFTS: std::ops::RangeInclusive<i64> = -14..=17;

impl ChannelPlan {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            ChannelPlan::Constant(value) => {
                out.push(KIND_CONSTANT);
                write_signed(out, i64::from(*value));
            }
            ChannelPlan::Copy(channel) => {
                out.push(KIND_COPY);
                write_varint(out, *channel as u64);
            }
            ChannelPlan::Coded(plan) => plan.write(out),
        }
    }

    /// Reads the plan of a channel, given those of the channels before it.
    pub(crate) fn read(
        reader: &mut Cursor,
        bits: u8,
        frames: u64,
        earlier: &[ChannelPlan],
    ) -> Result<ChannelPlan> {
        let at = reader.at();
        let kind = reader.byte()?;
        let flags = FLAG_STEP | FLAG_SPARSE | FLAG_REFERENCE;
        match kind & KIND_MASK {
            KIND_CONSTANT if kind == KIND_CONSTANT => {
                let (lowest, highest) = sample_range(bits);
                let value = read_signed(reader)?;
                if value < lowest || value > highest {
                    return Err(Error::malformed(at, "sample beyond the sample format"));
                }
                Ok(ChannelPlan::Constant(value as i32))
            }
            KIND_COPY if kind == KIND_COPY => {
                let channel = reader.varint()?;
                if channel >= earlier.len() as u64 {
                    return Err(Error::malformed(
                        at,
                        "copy of a channel that is not earlier",
                    ));
                }
                Ok(ChannelPlan::Copy(channel as usize))
            }
            KIND_CODED if kind & !flags == KIND_CODED => {
                CodedPlan::read(reader, kind, bits, frames, earlier).map(ChannelPlan::Coded)
            }
            _ => Err(Error::malformed(at, "kind of channel")),
        }
    }
}

/// Sets are sent only where they are not far larger than the block, which
/// bounds the work that a few hostile bytes can ask for.
fn set_span_limit(frames: u64) -> u64 {
    MAX_SET_SPAN.min(frames.saturating_mul(16))
}

/// Whether sending the set of levels is worth its bytes.
fn is_set_worth_sending(levels: &[i32], min: i32, max: i32) -> bool {
    let span = u64::from(max.abs_diff(min));
    if span < 2 || span >= set_span_limit(levels.len() as u64) {
        return false;
    }
    let mut counts = vec![0u32; span as usize + 1];
    for &level in levels {
        counts[level.abs_diff(min) as usize] += 1;
    }
    let used: Vec<usize> = (0..counts.len()).filter(|&i| counts[i] > 0).collect();
    if used.len() as u64 * 8 > span * 7 {
        return false;
    }
    // A sample saves the logarithm of the distance between levels around it.
    const REACH: usize = 8;
    let saved_bits: f64 = used
        .iter()
        .enumerate()
        .map(|(rank, &level)| {
            let from = rank.saturating_sub(REACH);
            let to = (rank + REACH).min(used.len() - 1);
            let distance = (used[to] - used[from]) as f64 / (to - from).max(1) as f64;
            f64::from(counts[level]) * distance.log2()
        })
        .sum();
    let set = LevelSet::from_levels(levels, min, max);
    let mut cost = CostEstimator::new();
    // An estimator does not fail.
    let _ = LevelSet::code(&mut cost, min, max, Some(&set));
    let cost_bits = cost.bytes() as f64 * 8.0;
    saved_bits > 1.2 * cost_bits + levels.len() as f64 / 32.0
}

/// The levels that may occur, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LevelSet {
    min: i32,
    /// For each level from `min` on, how many levels of the set are below it.
    below: Vec<u32>,
    levels: Vec<i32>,
}

impl LevelSet {
    /// The set of the levels that occur.
    pub(crate) fn from_levels(levels: &[i32], min: i32, max: i32) -> LevelSet {
        let mut used = vec![false; max.abs_diff(min) as usize + 1];
        for &level in levels {
            used[level.abs_diff(min) as usize] = true;
        }
        LevelSet::from_used(min, &used)
    }

    fn from_used(min: i32, used: &[bool]) -> LevelSet {
        let mut set = LevelSet {
            min,
            below: Vec::new(),
            levels: Vec::new(),
        };
        for (i, &used) in used.iter().enumerate() {
            set.below.push(set.levels.len() as u32);
            if used {
                set.levels.push(min.wrapping_add(i as i32));
            }
        }
        set
    }

    /// Codes a set that contains `min` and `max`. Decoders pass `None`.
    pub(crate) fn code<C: BitCoder>(
        coder: &mut C,
        min: i32,
        max: i32,
        set: Option<&LevelSet>,
    ) -> Result<LevelSet> {
        const CONTEXT_BITS: u32 = 10;
        let mut models = vec![AdaptiveBit::<4>::default(); 1 << CONTEXT_BITS];
        let span = max.abs_diff(min) as usize;
        let mut used = vec![false; span + 1];
        used[0] = true;
        used[span] = true;
        let mut context = 1usize;
        for (i, used) in used.iter_mut().enumerate().take(span).skip(1) {
            let bit = set.is_some_and(|set| set.below[i + 1] > set.below[i]);
            *used = models[context].code(coder, bit)?;
            context = (context << 1 | usize::from(*used)) & ((1 << CONTEXT_BITS) - 1);
        }
        Ok(LevelSet::from_used(min, &used))
    }

    /// The number of levels.
    pub(crate) fn len(&self) -> usize {
        self.levels.len()
    }

    /// The rank of a level of the set; of others, the number of levels below.
    #[inline(always)]
    pub(crate) fn rank(&self, level: i32) -> usize {
        self.below[level.wrapping_sub(self.min) as u32 as usize] as usize
    }

    /// The level of a rank below [`len`](Self::len).
    #[inline(always)]
    pub(crate) fn level(&self, rank: usize) -> i32 {
        self.levels[rank]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_and_offsets_vanish() {
        let samples = [-21, 7, 35, 63, -49];
        let mut levels = samples;
        let plan = CodedPlan::analyse(&mut levels);
        assert_eq!((plan.step, plan.offset), (28, 7));
        assert_eq!(levels, [-1, 0, 1, 2, -2]);
        assert_eq!(levels.map(|level| plan.sample(level)), samples);
    }

    #[test]
    fn the_widest_range_fits() {
        let samples = [i32::MIN, i32::MAX, 0];
        let mut levels = samples;
        let plan = CodedPlan::analyse(&mut levels);
        assert_eq!((plan.step, plan.min, plan.max), (1, i32::MIN, i32::MAX));
        let samples = [i32::MIN, i32::MAX];
        let mut levels = samples;
        let plan = CodedPlan::analyse(&mut levels);
        assert_eq!(plan.step, u32::MAX);
        assert_eq!(levels.map(|level| plan.sample(level)), samples);
    }

    #[test]
    fn plans_come_back() {
        let coded = ChannelPlan::Coded(CodedPlan {
            step: 3,
            offset: 2,
            min: -100,
            max: 120,
            sparse: true,
            reference: None,
            history_shift: -7,
        });
        let mut with_reference = coded.clone();
        if let ChannelPlan::Coded(plan) = &mut with_reference {
            plan.reference = Some(0);
            plan.sparse = false;
            plan.step = 1;
            plan.offset = 0;
        }
        let plans = [
            coded,
            with_reference,
            ChannelPlan::Copy(1),
            ChannelPlan::Constant(-32768),
        ];
        let mut bytes = Vec::new();
        plans.iter().for_each(|plan| plan.write(&mut bytes));
        let mut reader = Cursor::new(&bytes, 0);
        let mut read = Vec::new();
        for _ in &plans {
            let plan = ChannelPlan::read(&mut reader, 16, 1000, &read).unwrap();
            read.push(plan);
        }
        assert_eq!(read, plans);
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn regular_gaps_are_found() {
        // Three of four levels, as a gain of 4/3 leaves them.
        let levels: Vec<i32> = (0..4000)
            .map(|i| (f64::from(i) * 0.05).sin() * 300.0)
            .map(|x| x as i32 * 4 / 3)
            .collect();
        let plan = CodedPlan::analyse(&mut levels.clone());
        assert!(plan.sparse);
        let set = LevelSet::from_levels(&levels, plan.min, plan.max);
        for &level in &levels {
            assert_eq!(set.level(set.rank(level)), level);
        }
    }
}
