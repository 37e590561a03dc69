//! Learning what lossless coding begins with: the tables in `learned.rs`.

use super::block::{Layout, Method, learn_block};
use super::decision_mixer::KINDS;
use super::learned::{BELOW_Q16, NARROW_Q12, SIGN_Q12, WIDE_Q12};
use super::linear::{CONTEXTS, KNOTS, KNOTS_Q4};
use super::residual::SIGN_SETS;
use rcodec_core::{AudioHeader, Effort, Error, Result, SampleFormat};
use std::fmt;

/// What one weight set of a mixer had learned at the end of a block.
pub(crate) struct LearnedWeights {
    /// A row of the tables in `learned.rs`, counted through `NARROW_Q12`,
    /// `WIDE_Q12` and `SIGN_Q12` in this order.
    pub(crate) row: usize,
    pub(crate) weights_q12: Vec<i16>,
    /// How quickly it still learned, Q16.
    pub(crate) rate_q16: u32,
}

/// The first row of each table.
pub(crate) const FIRST_NARROW: usize = 0;
pub(crate) const FIRST_WIDE: usize = FIRST_NARROW + KINDS;
pub(crate) const FIRST_SIGN: usize = FIRST_WIDE + 3 * KINDS;
const ROWS: usize = FIRST_SIGN + SIGN_SETS;

/// Weight sets that still learn quicker than this, Q16, have seen too little.
const SETTLED_Q16: u32 = 160;
/// The same of the sign's.
const SETTLED_SIGN_Q16: u32 = 60;

/// Residuals count if they are expected to have this magnitude, Q16: then
/// they are as good as continuous.
const CONTINUOUS_Q16: u64 = 24 << 16;

/// What blocks showed.
#[derive(Debug)]
pub(crate) struct Notes {
    /// Residuals of linear prediction, by context and magnitude in multiples
    /// of the expected one.
    counts: [[u64; KNOTS]; CONTEXTS],
    /// By row, how many weight sets, and the sum of their weights.
    sums: Vec<(i64, Vec<i64>)>,
}

impl Notes {
    /// Notes a residual of linear prediction.
    pub(crate) fn residual(&mut self, residual: i64, mean_q16: u64, context: usize) {
        if mean_q16 > CONTINUOUS_Q16 {
            let at_q4 = (u128::from(residual.unsigned_abs()) << 20) / u128::from(mean_q16);
            let knot = KNOTS_Q4.iter().rposition(|&k| u128::from(k) <= at_q4);
            self.counts[context][knot.unwrap_or(0)] += 1;
        }
    }

    /// Notes what mixers had learned.
    pub(crate) fn weights(&mut self, learned: Vec<LearnedWeights>) {
        for set in learned {
            let settled_q16 = if set.row < FIRST_SIGN {
                SETTLED_Q16
            } else {
                SETTLED_SIGN_Q16
            };
            if set.rate_q16 < settled_q16 {
                let (count, sum) = &mut self.sums[set.row];
                *count += 1;
                sum.resize(set.weights_q12.len(), 0);
                for (sum, weight) in sum.iter_mut().zip(set.weights_q12) {
                    *sum += i64::from(weight);
                }
            }
        }
    }
}

/// Learns from sounds what `audio-lossless` begins with: the distribution of
/// residuals at effort 1, and first weights of the mixers of the others.
///
/// Its [`Display`](fmt::Display) is the source of
/// `crates/rcodec-audio/src/lossless/learned.rs`. A program built with other
/// tables than those that wrote a file cannot read it.
#[derive(Debug)]
pub struct LosslessLearner {
    notes: Notes,
}

impl Default for LosslessLearner {
    fn default() -> Self {
        LosslessLearner::new()
    }
}

impl LosslessLearner {
    /// A learner that has heard nothing; its tables are those of this build.
    pub fn new() -> Self {
        LosslessLearner {
            notes: Notes {
                counts: [[0; KNOTS]; CONTEXTS],
                sums: vec![(0, Vec::new()); ROWS],
            },
        }
    }

    /// Encodes a sound (interleaved samples) as efforts 1, 3, 5 and 9 do, and
    /// notes what that shows. Takes as long as they do together.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are no channels or samples, or a sample
    /// does not fit the format.
    pub fn listen(&mut self, header: &AudioHeader, samples: &[i32]) -> Result<()> {
        let channels = usize::from(header.channels);
        if channels == 0 || samples.is_empty() || !samples.len().is_multiple_of(channels) {
            return Err(Error::parameter("sound without whole frames"));
        }
        if let SampleFormat::Int { bits } = header.format {
            let unused = 32 - u32::from(bits);
            if samples.iter().any(|&s| s << unused >> unused != s) {
                return Err(Error::Parameter(format!(
                    "samples of more than {bits} bits"
                )));
            }
        }
        let samples_per_second = u64::from(header.sample_rate) * u64::from(header.channels);
        for effort in [1, 3, 5, 9] {
            let effort = Effort::new(effort)?;
            let layout = Layout {
                channels,
                format: header.format,
                block_frames: super::default_block_frames(header, effort) as usize,
            };
            let method = Method::for_effort(effort, samples_per_second);
            for block in samples.chunks(layout.block_frames * channels) {
                learn_block(block, &layout, method, &mut self.notes);
            }
        }
        Ok(())
    }

    /// How many of the 6 distributions and of the weight sets these sounds
    /// taught; the others stay as they are in this build.
    pub fn taught(&self) -> (usize, usize) {
        let counts = self.notes.counts.iter();
        let distributions = counts.filter(|counts| enough(counts)).count();
        let sums = self.notes.sums.iter();
        (distributions, sums.filter(|(count, _)| *count > 0).count())
    }

    /// By context: P(|residual| < knot), Q16.
    fn below_q16(&self, context: usize) -> [u32; KNOTS] {
        let counts = &self.notes.counts[context];
        if !enough(counts) {
            return BELOW_Q16[context];
        }
        let total = counts.iter().sum::<u64>() + KNOTS as u64;
        let mut below = 0;
        counts.map(|count| {
            let at = below * 65536 / total;
            below += count + 1;
            at as u32
        })
    }

    fn row<const N: usize>(&self, row: usize, built_in: &[i16; N]) -> [i16; N] {
        let (count, sum) = &self.notes.sums[row];
        let mut weights = *built_in;
        if *count > 0 {
            for (weight, sum) in weights.iter_mut().zip(sum) {
                *weight = (sum / count) as i16;
            }
        }
        weights
    }
}

/// Whether a distribution has seen enough to replace the one there is.
fn enough(counts: &[u64; KNOTS]) -> bool {
    counts.iter().sum::<u64>() >= 10_000
}

impl fmt::Display for LosslessLearner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "//! What lossless coding begins with, learned by `rcodec-train sound`, which
//! prints this file.

use super::decision_mixer::KINDS;
use super::linear::{{CONTEXTS, KNOTS}};
use super::residual::{{SIGN_INPUTS, SIGN_SETS}};

/// Residuals of linear prediction, by context: P(|residual| < knot), Q16.
#[rustfmt::skip]
pub(crate) const BELOW_Q16: [[u32; KNOTS]; CONTEXTS] = ["
        )?;
        for context in 0..CONTEXTS {
            writeln!(f, "    {:?},", self.below_q16(context))?;
        }
        writeln!(
            f,
            "];

/// First weights of the narrow mixer by kind of decision, Q12.
#[rustfmt::skip]
pub(crate) const NARROW_Q12: [[i16; 8]; KINDS] = ["
        )?;
        for (kind, weights) in NARROW_Q12.iter().enumerate() {
            writeln!(f, "    {:?},", self.row(FIRST_NARROW + kind, weights))?;
        }
        writeln!(
            f,
            "];

/// First weights of the wide mixer by selection and kind of decision, Q12.
#[rustfmt::skip]
pub(crate) const WIDE_Q12: [[[i16; 16]; KINDS]; 3] = ["
        )?;
        for (selection, rows) in WIDE_Q12.iter().enumerate() {
            writeln!(f, "    [")?;
            for (kind, weights) in rows.iter().enumerate() {
                let row = FIRST_WIDE + selection * KINDS + kind;
                writeln!(f, "        {:?},", self.row(row, weights))?;
            }
            writeln!(f, "    ],")?;
        }
        writeln!(
            f,
            "];

/// First weights of the sign's mixer by loudness, Q12.
#[rustfmt::skip]
pub(crate) const SIGN_Q12: [[i16; SIGN_INPUTS]; SIGN_SETS] = ["
        )?;
        for (set, weights) in SIGN_Q12.iter().enumerate() {
            writeln!(f, "    {:?},", self.row(FIRST_SIGN + set, weights))?;
        }
        writeln!(f, "];")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: AudioHeader = AudioHeader {
        sample_rate: 44_100,
        channels: 2,
        format: SampleFormat::Int { bits: 16 },
    };

    /// A tone with noise on two channels.
    fn sound(frames: usize) -> Vec<i32> {
        let mut seed = 5u32;
        let mut noise = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 20) as i32 % 801 - 400
        };
        let tone = |i: usize| (f64::from(i as u32) * 0.03).sin() * 8000.0;
        (0..2 * frames)
            .map(|i| tone(i / 2) as i32 + noise() + noise())
            .collect()
    }

    #[test]
    fn a_learner_that_heard_nothing_prints_what_there_is() {
        let source = LosslessLearner::new().to_string();
        assert_eq!(source, include_str!("learned.rs"));
    }

    #[test]
    fn sounds_teach() {
        let mut learner = LosslessLearner::new();
        assert_eq!(learner.taught(), (0, 0));
        learner.listen(&HEADER, &sound(20_000)).unwrap();
        let (distributions, weights) = learner.taught();
        assert!(distributions >= 1 && weights >= 3);
        // The sum of two even distributions: few residuals beyond twice the
        // mean magnitude, none beyond four times.
        let context = (0..CONTEXTS).find(|&c| enough(&learner.notes.counts[c]));
        let below = learner.below_q16(context.unwrap());
        assert!(below.is_sorted());
        assert_eq!(below[0], 0);
        let at = |multiple: u32| KNOTS_Q4.iter().position(|&k| k >= 16 * multiple);
        assert!(below[at(4).unwrap()] > 65_300, "{below:?}");
    }

    #[test]
    fn what_is_not_sound_is_refused() {
        let mut learner = LosslessLearner::new();
        assert!(learner.listen(&HEADER, &[]).is_err());
        assert!(learner.listen(&HEADER, &[1]).is_err());
        assert!(learner.listen(&HEADER, &[1, 1 << 20]).is_err());
    }
}
