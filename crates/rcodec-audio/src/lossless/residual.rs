//! Coding of residuals: adaptive binary decisions, mixed in the logistic
//! domain.
//!
//! A magnitude is coded as its bucket (two an octave), by a walk from the
//! bucket where its median is expected: up while it is larger, or down while
//! it is smaller. Each step is a binary decision; what a Laplace distribution
//! says for several running means of the magnitudes, and what counters in
//! several contexts have seen, goes through a mixer ([`DecisionMixer`]). Then
//! come the sign, the upper two bits within the bucket, each modelled, and the
//! rest as it is.

use super::decision_mixer::DecisionMixer;
use super::learned::SIGN_Q12;
use super::learning::{FIRST_SIGN, LearnedWeights};
use super::neuron::{Neuron, Rate};
use super::predictor::ESTIMATES;
use super::residual_tables::{
    BUCKETS, Decision, LEVELS, LaplaceTables, bucket_bounds, bucket_of, level_index,
};
use rcodec_core::Result;
use rcodec_entropy::logistic::{squash, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit, code_raw_u64};

/// What is known of a residual besides those before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResidualContext {
    /// Running mean of the reference channel's magnitudes around the present
    /// frame, relative to its slow mean: steps of the logarithmic scale.
    pub(crate) reference_excess: i32,
    /// By how much predictions of single stages exceed the rounded one, in
    /// units of the residual, Q8.
    pub(crate) offsets_q8: [i32; ESTIMATES],
    /// Whether residuals below or above zero are possible.
    pub(crate) can_fall: bool,
    pub(crate) can_rise: bool,
}

/// Running means of magnitudes, Q16, by their rates.
#[derive(Clone, Copy, Debug)]
struct Levels {
    /// Halves with every sample.
    last: i64,
    fast: i64,
    medium: i64,
    slow: i64,
}

impl Levels {
    #[inline(always)]
    fn update(&mut self, magnitude: u64) {
        let value = (magnitude as i64) << 16;
        self.last += (value - self.last) >> 1;
        self.fast += ((value - self.fast) * 5) >> 5;
        self.medium += (value - self.medium) >> 5;
        self.slow += (value - self.slow) >> 8;
    }
}

type Counter = CountedBit<255>;

/// Counters by decision, a context, and the bucket relative to the context's
/// scale.
#[derive(Clone)]
struct CounterTable {
    counters: Vec<Counter>,
    contexts: usize,
}

/// Above this place on the scale (four steps an octave), contexts of different
/// loudness share their counters.
const SHARED_FROM: usize = 40;
const SCALES: usize = SHARED_FROM + 2;
const RELATIVE_BUCKETS: usize = 32;

/// A scale (four steps an octave) below [`SCALES`], and by how many buckets
/// the buckets move down with it.
#[inline(always)]
fn shared_scale(scale: usize) -> (usize, usize) {
    let octave_halves = scale.saturating_sub(SHARED_FROM) / 2;
    (scale - 2 * octave_halves, octave_halves)
}

impl CounterTable {
    #[inline(always)]
    fn index(&self, decision: Decision, context: usize, bucket: usize) -> usize {
        (decision as usize * self.contexts + context) * RELATIVE_BUCKETS
            + bucket.min(RELATIVE_BUCKETS - 1)
    }

    /// A table whose counters begin as the Laplace distribution of the level
    /// that `level_of` gives for each context.
    fn new(contexts: usize, level_of: impl Fn(usize) -> usize) -> Self {
        let tables = LaplaceTables::shared();
        let mut counters = Vec::new();
        for decision in [Decision::First, Decision::Up, Decision::Down] {
            for context in 0..contexts {
                let level = level_of(context);
                for bucket in 0..RELATIVE_BUCKETS {
                    let logit_q8 = tables.logit_q8(decision, level, bucket);
                    let p1_q16 = squash(logit_q8.into());
                    counters.push(Counter::with_p1_q16(p1_q16, 6));
                }
            }
        }
        CounterTable { counters, contexts }
    }
}

/// The most running means whose Laplace distribution is asked.
pub(crate) const MAX_LAPLACE: usize = 5;
/// The most counter tables.
pub(crate) const MAX_TABLES: usize = 8;
/// Inputs of the sign's mixer.
pub(crate) const SIGN_INPUTS: usize = 16;
/// Weight sets of the sign's mixer, by loudness: two octaves each.
pub(crate) const SIGN_SETS: usize = 8;
/// Differences of levels, in half octaves, that contexts tell apart.
pub(crate) const EXCESSES: usize = 13;
/// Scales with two steps an octave.
const COARSE_SCALES: usize = SCALES / 2;
/// Distances from the start bucket that contexts tell apart.
pub(crate) const DISTANCES: usize = 10;

/// A difference of places on the scale as a context.
#[inline(always)]
fn excess_context(excess: i32) -> usize {
    ((excess + 2 + 4 * (EXCESSES as i32 / 2)) >> 2).clamp(0, EXCESSES as i32 - 1) as usize
}

/// Codes the residuals of one channel.
#[derive(Clone)]
pub(crate) struct ResidualCoder<M> {
    laplace: &'static LaplaceTables,
    levels: Levels,
    /// The last two magnitudes, as places on the scale.
    last_levels: [usize; 2],
    tables: Vec<CounterTable>,
    mixer: M,
    sign: SignCoder,
    upper_bit: Vec<Counter>,
    lower_bit: Vec<Counter>,
}

/// What the contexts of one sample's walk have in common.
struct Walk {
    start: usize,
    /// Places on the scale of the Laplace inputs.
    laplace_levels: [usize; MAX_LAPLACE],
    /// For each table its context and the shift of buckets.
    contexts: [(usize, usize); MAX_TABLES],
    /// Contexts that select weights beside the distance.
    mixer_contexts: [usize; 2],
}

impl<M: DecisionMixer> ResidualCoder<M> {
    pub(crate) fn new(mixer: M) -> Self {
        let fine = CounterTable::new(SCALES, |scale| 2 * scale);
        let coarse = CounterTable::new(COARSE_SCALES * EXCESSES, |context| {
            let excess = (context % EXCESSES) as i32 - EXCESSES as i32 / 2;
            let level = (context / EXCESSES) as i32 * 4 + 2 * excess;
            level.clamp(0, 2 * SCALES as i32) as usize
        });
        let mut tables = vec![fine; 2];
        tables.resize(M::TABLES, coarse);
        let level = 32 << 16;
        ResidualCoder {
            laplace: LaplaceTables::shared(),
            levels: Levels {
                last: level,
                fast: level,
                medium: level,
                slow: level,
            },
            last_levels: [level_index(level); 2],
            tables,
            mixer,
            sign: SignCoder::new(),
            upper_bit: vec![Counter::with_p1_q16(31000, 20); 64],
            lower_bit: vec![Counter::with_p1_q16(31800, 20); 128],
        }
    }

    /// As [`DecisionMixer::learned`], of all mixers.
    pub(crate) fn learned(&self) -> Vec<LearnedWeights> {
        let mut learned = self.mixer.learned();
        let sign = &self.sign.mixer;
        learned.extend((0..SIGN_SETS).map(|set| sign.learned(set, FIRST_SIGN + set)));
        learned
    }

    /// Codes a residual with a magnitude below 2^34 and returns it.
    #[inline(always)]
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        residual: i64,
        context: &ResidualContext,
    ) -> Result<i64> {
        let magnitude = residual.unsigned_abs();
        let walk = self.begin_walk(context);
        let bucket = self.code_bucket(coder, bucket_of(magnitude), &walk)?;
        let (low, bits) = bucket_bounds(bucket);
        let mut negative = false;
        if bucket > 0 {
            negative = match (context.can_fall, context.can_rise) {
                (true, false) => true,
                (false, true) => false,
                _ if !M::SIGNS => coder.code_bit(residual < 0, 1 << 15)?,
                _ => self
                    .sign
                    .code(coder, residual < 0, low, self.levels.medium, context)?,
            };
        }
        let magnitude =
            low + self.code_within(coder, magnitude.wrapping_sub(low), bits, bucket, &walk)?;
        self.levels.update(magnitude);
        let level = level_index((magnitude as i64) << 16);
        self.last_levels = [level, self.last_levels[0]];
        self.sign.update_history(bucket > 0, negative);
        Ok(if negative {
            -(magnitude as i64)
        } else {
            magnitude as i64
        })
    }

    /// The contexts of the next sample.
    #[inline(always)]
    fn begin_walk(&self, context: &ResidualContext) -> Walk {
        let last = level_index(self.levels.last);
        let fast = level_index(self.levels.fast);
        let medium = level_index(self.levels.medium);
        let slow = level_index(self.levels.slow);
        let blend = level_index((self.levels.fast + self.levels.medium) >> 1);
        let by_reference = slow as i32 + context.reference_excess;
        let by_reference = by_reference.clamp(0, LEVELS as i32 - 1) as usize;
        let excess = |level: usize, over: usize| excess_context(level as i32 - over as i32);
        let fast_excess = excess(fast, slow);
        let reference_excess = excess(by_reference, slow);
        let last_excess = excess(last, blend);
        let (fine_fast, fast_shift) = shared_scale(fast / 2);
        let (fine_medium, medium_shift) = shared_scale(medium / 2);
        let coarse = |level: usize, excess: usize| {
            let (scale, shift) = shared_scale(level / 2);
            (scale / 2 * EXCESSES + excess, shift)
        };
        let mut walk = Walk {
            start: self.laplace.start(blend),
            laplace_levels: [fast, medium, by_reference, slow, blend],
            contexts: [(0, 0); MAX_TABLES],
            mixer_contexts: [0, reference_excess],
        };
        walk.contexts[0] = (fine_fast, fast_shift);
        walk.contexts[1] = (fine_medium, medium_shift);
        walk.contexts[2] = coarse(slow, fast_excess);
        walk.contexts[3] = coarse(blend, (last_excess + reference_excess) / 2);
        if M::TABLES > 4 {
            // Where the stages disagree, the residual is likely to be large.
            let spread_q8 = context.offsets_q8[0].abs_diff(context.offsets_q8[1]);
            let spread_excess = excess(level_index(i64::from(spread_q8) << 8), medium);
            let half_excess = |level: usize| excess_context((level as i32 - medium as i32) / 2);
            walk.contexts[4] = coarse(medium, spread_excess);
            walk.contexts[5] = coarse(fast, reference_excess);
            walk.contexts[6] = coarse(medium, half_excess(self.last_levels[0]));
            walk.contexts[7] = coarse(medium, half_excess(self.last_levels[1]));
            walk.mixer_contexts[0] = spread_excess;
        }
        walk
    }

    /// Walks to the bucket.
    #[inline(always)]
    fn code_bucket<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bucket: usize,
        walk: &Walk,
    ) -> Result<usize> {
        let mut at = walk.start;
        if self.decide(coder, bucket >= at, Decision::First, at, walk)? {
            while at + 1 < BUCKETS && self.decide(coder, bucket > at, Decision::Up, at + 1, walk)? {
                at += 1;
            }
            return Ok(at);
        }
        at -= 1;
        while at > 0 && !self.decide(coder, bucket >= at, Decision::Down, at, walk)? {
            at -= 1;
        }
        Ok(at)
    }

    /// Codes whether the bucket is at least `at`.
    #[inline(always)]
    fn decide<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        decision: Decision,
        at: usize,
        walk: &Walk,
    ) -> Result<bool> {
        let mut laplace_q8 = [0; MAX_LAPLACE];
        for (i, &level) in walk.laplace_levels.iter().enumerate().take(M::LAPLACE) {
            laplace_q8[i] = self.laplace.logit_q8(decision, level, at).into();
        }
        let mut indices = [0; MAX_TABLES];
        let mut tables_q8 = [0; MAX_TABLES];
        for (i, table) in self.tables.iter().enumerate().take(M::TABLES) {
            let (context, shift) = walk.contexts[i];
            indices[i] = table.index(decision, context, at.saturating_sub(shift));
            let p1_q16 = table.counters[indices[i]].p1_q16();
            tables_q8[i] = self.laplace.coarse_stretch(p1_q16).into();
        }
        let distance = at.abs_diff(walk.start).min(DISTANCES - 1);
        let first = decision as usize;
        let contexts = [
            first * DISTANCES + distance,
            first * EXCESSES + walk.mixer_contexts[0],
            first * EXCESSES + walk.mixer_contexts[1],
        ];
        let p1_q16 = self.mixer.mix(laplace_q8, tables_q8, contexts);
        let bit = coder.code_bit(bit, p1_q16)?;
        self.mixer.update(bit);
        for (i, table) in self.tables.iter_mut().enumerate().take(M::TABLES) {
            table.counters[indices[i]].update(bit);
        }
        Ok(bit)
    }

    /// Codes the offset of a magnitude within its bucket, `bits` bits long.
    #[inline(always)]
    fn code_within<C: BitCoder>(
        &mut self,
        coder: &mut C,
        offset: u64,
        bits: u32,
        bucket: usize,
        walk: &Walk,
    ) -> Result<u64> {
        if bits == 0 {
            return Ok(0);
        }
        let place = (bucket + 16).saturating_sub(walk.start).min(31) + 32 * usize::from(bits == 1);
        let upper = self.upper_bit[place].code(coder, offset >> (bits - 1) & 1 == 1)?;
        if bits == 1 {
            return Ok(u64::from(upper));
        }
        let place = (bucket + 16).saturating_sub(walk.start).min(31) + 32 * usize::from(bits == 2);
        let lower = &mut self.lower_bit[2 * place + usize::from(upper)];
        let lower = lower.code(coder, offset >> (bits - 2) & 1 == 1)?;
        let rest = code_raw_u64(coder, offset, bits - 2)?;
        Ok(u64::from(upper) << (bits - 1) | u64::from(lower) << (bits - 2) | rest)
    }
}

/// Codes signs, from where the stages' predictions lie and from the signs
/// before.
#[derive(Clone)]
struct SignCoder {
    mixer: Neuron<SIGN_INPUTS>,
    by_history: Vec<Counter>,
    by_magnitude: Vec<Counter>,
    /// The last signs, two bits each: 0 none, 1 positive, 2 negative.
    history: usize,
}

impl SignCoder {
    fn new() -> Self {
        let rate = Rate {
            first_q16: 300,
            last_q16: 30,
            decay: 10,
        };
        let mut mixer = Neuron::new(SIGN_SETS, 0, rate);
        for (set, weights) in SIGN_Q12.iter().enumerate() {
            mixer.set_weights(set, weights);
        }
        SignCoder {
            mixer,
            by_history: vec![Counter::default(); 256],
            by_magnitude: vec![Counter::default(); 64],
            history: 0,
        }
    }

    #[inline(always)]
    fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        negative: bool,
        magnitude: u64,
        mean_q16: i64,
        context: &ResidualContext,
    ) -> Result<bool> {
        let mut inputs = [0; SIGN_INPUTS];
        // Under a Laplace distribution of scale s around an offset d, the
        // odds of +m to -m are e^(2 min(d, m) / s).
        let scale_q8 = (mean_q16 >> 8) + 64;
        let per_offset_q16 = (512 << 16) / scale_q8;
        let magnitude_q8 = (magnitude << 8).min(1 << 30) as i64;
        for (i, &offset_q8) in context.offsets_q8.iter().enumerate() {
            let offset = i64::from(offset_q8).clamp(-magnitude_q8, magnitude_q8);
            let logit_q8 = (-offset * per_offset_q16) >> 16;
            inputs[i] = logit_q8.clamp(-2000, 2000) as i32;
        }
        let by_history = self.history & 0xff;
        let fraction = ((context.offsets_q8[0] + 128) >> 4).clamp(0, 15) as usize;
        let by_magnitude = fraction | (magnitude.min(4) as usize - 1) << 4;
        inputs[ESTIMATES] = stretch(self.by_history[by_history].p1_q16());
        inputs[ESTIMATES + 1] = stretch(self.by_magnitude[by_magnitude].p1_q16());
        let set = level_index(mean_q16) / 16;
        self.mixer.mix(inputs, set.min(SIGN_SETS - 1));
        let bit = coder.code_bit(negative, self.mixer.p1_q16())?;
        self.mixer.update(bit);
        self.by_history[by_history].update(bit);
        self.by_magnitude[by_magnitude].update(bit);
        Ok(bit)
    }

    #[inline(always)]
    fn update_history(&mut self, any: bool, negative: bool) {
        self.history = self.history << 2 | usize::from(any) << usize::from(negative);
    }
}
