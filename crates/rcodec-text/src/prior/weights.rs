//! What a model has learned about predicting, packed: the values of histories,
//! the weights of mixers, the corrections of the last stage.

use super::numbers::{read_numbers, write_numbers};
use crate::cm::Learned;
use crate::cm::apm::Apm;
use crate::cm::state::STATES;
use rcodec_core::{Cursor, Error, Result};
use rcodec_entropy::logistic::{Mixer, squash, stretch};
use rcodec_entropy::{AdaptiveBit, BitModel, CountedBit};
use std::sync::OnceLock;

/// Distance of two probabilities that are told apart: 1/16 in the logistic
/// domain.
const STEP_Q8: i32 = 16;
/// Bits of a weight below its Q12 that are not kept.
const WEIGHT_SHIFT: u32 = 6;

/// A context of a map that has seen fewer bits at every point is not kept.
const MIN_COUNT: u32 = 20;

/// A list of numbers that is written, or read.
trait Numbers {
    /// Takes the next list of `count` numbers: what was packed, or `values`
    /// themselves, which a reader does not ask for.
    fn list(&mut self, count: usize, values: impl FnOnce() -> Vec<i32>) -> Result<Vec<i32>>;
    /// Whether lists come from a file.
    const READS: bool;
}

struct Writer(Vec<u8>);

impl Numbers for Writer {
    fn list(&mut self, _: usize, values: impl FnOnce() -> Vec<i32>) -> Result<Vec<i32>> {
        let values = values();
        write_numbers(&mut self.0, &values)?;
        Ok(values)
    }
    const READS: bool = false;
}

/// Lists as they were unpacked.
pub(super) type Lists = Vec<Vec<i32>>;

/// Reads, and keeps what it read.
struct Reader<'a> {
    cursor: Cursor<'a>,
    lists: Lists,
}

impl Numbers for Reader<'_> {
    fn list(&mut self, count: usize, _: impl FnOnce() -> Vec<i32>) -> Result<Vec<i32>> {
        let values = read_numbers(&mut self.cursor, count)?;
        self.lists.push(values.clone());
        Ok(values)
    }
    const READS: bool = true;
}

/// Gives what was kept.
struct Kept<'a>(std::slice::Iter<'a, Vec<i32>>);

impl Numbers for Kept<'_> {
    fn list(&mut self, count: usize, _: impl FnOnce() -> Vec<i32>) -> Result<Vec<i32>> {
        match self.0.next() {
            Some(values) if values.len() == count => Ok(values.clone()),
            _ => Err(Error::malformed(0, "weights of another class")),
        }
    }
    const READS: bool = true;
}

/// Packs what a model has learned.
///
/// # Errors
/// None but for memory.
pub(super) fn pack<const N: usize, const P: usize, const WIDE: bool>(
    learned: Learned<'_, N, P, WIDE>,
) -> Result<Vec<u8>> {
    let mut writer = Writer(Vec::new());
    code(learned, 0, &mut writer)?;
    Ok(writer.0)
}

/// Gives a fresh model what another has learned; its weight sets begin to
/// learn at `primed_rate_q16`. What is unpacked is kept in `lists` for the next
/// model of the class: of many small texts, each has a model.
///
/// # Errors
/// [`Error::Malformed`](rcodec_core::Error::Malformed) and
/// [`Error::Truncated`](rcodec_core::Error::Truncated).
pub(super) fn unpack<const N: usize, const P: usize, const WIDE: bool>(
    primed_rate_q16: u32,
    learned: Learned<'_, N, P, WIDE>,
    packed: &[u8],
    lists: &OnceLock<Lists>,
) -> Result<()> {
    if let Some(lists) = lists.get() {
        return code(learned, primed_rate_q16, &mut Kept(lists.iter()));
    }
    let mut reader = Reader {
        cursor: Cursor::new(packed, 0),
        lists: Vec::new(),
    };
    code(learned, primed_rate_q16, &mut reader)?;
    let end = reader.cursor;
    end.expect_end("bytes after the weights of a prior")?;
    // Another thread may have been first, with the same lists.
    let _ = lists.set(reader.lists);
    Ok(())
}

/// Both directions: the order of the lists.
fn code<const N: usize, const P: usize, const WIDE: bool, L: Numbers>(
    learned: Learned<'_, N, P, WIDE>,
    primed_rate_q16: u32,
    lists: &mut L,
) -> Result<()> {
    let mut bits = Vec::new();
    for map in learned.state_maps {
        for origin in map.as_chunks_mut::<256>().0 {
            let guesses = &STATES.guess_q16[..STATES.count];
            bits.extend(origin.iter_mut().zip(guesses.iter().map(|&g| u32::from(g))));
        }
    }
    let runs = learned.run_maps.iter_mut().flatten();
    let trusts = learned.trusts.into_iter().flatten();
    bits.extend(runs.chain(trusts).map(|bit| (bit, 1 << 15)));
    code_counted(lists, bits)?;
    code_order0(lists, learned.order0)?;
    for mixer in learned.mixers {
        code_mixer(lists, mixer, primed_rate_q16)?;
    }
    for mixer in &mut learned.refiner.second {
        code_mixer(lists, mixer, primed_rate_q16 / 2)?;
    }
    for map in learned.refiner.kept_maps() {
        code_apm(lists, map)?;
    }
    Ok(())
}

/// A count as a power of two.
fn log_of(count: u32) -> i32 {
    (count + 1).ilog2() as i32
}

fn count_of(log: i32) -> u32 {
    (1 << log.clamp(0, 10)) - 1
}

/// A probability as its distance from a guess, in steps.
fn distance(p_q16: u32, guess_q16: u32) -> i32 {
    let steps = |p| (stretch(p) + (1 << 14) + STEP_Q8 / 2) / STEP_Q8;
    steps(p_q16) - steps(guess_q16)
}

fn moved(guess_q16: u32, steps: i32) -> u32 {
    if steps == 0 {
        return guess_q16;
    }
    squash(stretch(guess_q16) + STEP_Q8 * steps.clamp(-2000, 2000))
}

fn code_counted<L: Numbers>(lists: &mut L, bits: Vec<(&mut CountedBit<1023>, u32)>) -> Result<()> {
    let steps = bits
        .iter()
        .map(|(bit, guess)| distance(bit.p1_q16(), *guess));
    let steps = lists.list(bits.len(), || steps.collect())?;
    let counts = bits.iter().map(|(bit, _)| log_of(bit.count()));
    let counts = lists.list(bits.len(), || counts.collect())?;
    if L::READS {
        for ((bit, guess), (steps, count)) in bits.into_iter().zip(steps.iter().zip(counts)) {
            // Not so sure that the content at hand could not teach it better.
            let count = count_of(count).min(MAX_COUNT);
            *bit = CountedBit::with_p1_q16(moved(guess, *steps), count);
        }
    }
    Ok(())
}

/// The most that the count of something that a prior brings says.
const MAX_COUNT: u32 = 255;

fn code_order0<L: Numbers>(lists: &mut L, bits: &mut [AdaptiveBit<5>; 256]) -> Result<()> {
    let steps = bits.iter().map(|bit| distance(bit.p1_q16(), 1 << 15));
    let steps = lists.list(256, || steps.collect())?;
    if L::READS {
        for (bit, steps) in bits.iter_mut().zip(steps) {
            *bit = AdaptiveBit::with_p1_q16(moved(1 << 15, steps));
        }
    }
    Ok(())
}

fn coarse(weight_q12: i16) -> i32 {
    (i32::from(weight_q12) + (1 << (WEIGHT_SHIFT - 1))) >> WEIGHT_SHIFT
}

/// Sets that have learned enough, the mean of their weights, and how they
/// differ from it. Sets that have not take the mean.
fn code_mixer<const N: usize, L: Numbers>(
    lists: &mut L,
    mixer: &mut Mixer<N>,
    primed_rate_q16: u32,
) -> Result<()> {
    // A set that never learned has the highest rate.
    let fresh_rate = (0..mixer.sets()).map(|set| mixer.rate_q16(set)).max();
    let fresh_rate_q16 = fresh_rate.unwrap_or(0);
    let has_learned = |set| mixer.rate_q16(set) + fresh_rate_q16 / 8 < fresh_rate_q16;
    let learned = (0..mixer.sets()).map(|set| i32::from(has_learned(set)));
    let learned = lists.list(mixer.sets(), || learned.collect())?;
    let sets: Vec<usize> = (0..mixer.sets()).filter(|&set| learned[set] != 0).collect();
    let mut mean = vec![0i64; N];
    for &set in &sets {
        for (mean, &weight) in mean.iter_mut().zip(mixer.weights_q12(set)) {
            *mean += i64::from(coarse(weight));
        }
    }
    let count = sets.len().max(1) as i64;
    let mean = lists.list(N, || mean.iter().map(|&sum| (sum / count) as i32).collect())?;
    let differences = sets.iter().flat_map(|&set| {
        let weights = mixer.weights_q12(set).iter();
        weights.zip(&mean).map(|(&w, mean)| coarse(w) - mean)
    });
    let differences = lists.list(N * sets.len(), || differences.collect())?;
    if L::READS && !sets.is_empty() {
        let whole = |coarse: i32| {
            let weight = coarse.clamp(-1 << 16, 1 << 16) << WEIGHT_SHIFT;
            weight.clamp(i16::MIN.into(), i16::MAX.into()) as i16
        };
        let of_mean: [i16; N] = std::array::from_fn(|i| whole(mean[i]));
        for set in 0..mixer.sets() {
            mixer.set_weights(set, &of_mean, fresh_rate_q16);
        }
        for (&set, differences) in sets.iter().zip(differences.chunks_exact(N)) {
            let weights = std::array::from_fn(|i| whole(mean[i].saturating_add(differences[i])));
            mixer.set_weights(set, &weights, primed_rate_q16);
        }
    }
    Ok(())
}

/// Contexts that have learned, and their points.
fn code_apm<const P: usize, L: Numbers>(lists: &mut L, apm: &mut Apm<P>) -> Result<()> {
    let fresh = apm.fresh();
    // A fresh map has none.
    let contexts = if L::READS { 0 } else { apm.contexts() };
    let rows: Vec<_> = (0..contexts)
        .filter_map(|context| Some((context, apm.row(context)?)))
        .filter(|(_, row)| row.iter().any(|point| point.count() >= MIN_COUNT))
        .collect();
    let learned = lists.list(apm.contexts(), || {
        let mut learned = vec![0; apm.contexts()];
        rows.iter().for_each(|&(context, _)| learned[context] = 1);
        learned
    })?;
    let points = P * learned.iter().filter(|&&learned| learned != 0).count();
    let learned_points = || rows.iter().flat_map(|(_, row)| row.iter().zip(&fresh));
    let distances = learned_points().map(|(bit, guess)| distance(bit.p1_q16(), guess.p1_q16()));
    let steps = lists.list(points, || distances.collect())?;
    let logs = learned_points().map(|(bit, _)| log_of(bit.count()));
    let counts = lists.list(points, || logs.collect())?;
    if L::READS {
        let mut pairs = steps.iter().zip(counts);
        for (context, _) in learned.iter().enumerate().filter(|&(_, &l)| l != 0) {
            let row = std::array::from_fn(|j| {
                let (steps, count) = pairs.next().unwrap_or((&0, 0));
                let guess_q16 = fresh[j].p1_q16();
                CountedBit::with_p1_q16(moved(guess_q16, *steps), count_of(count).min(MAX_COUNT))
            });
            apm.set_row(context, &row);
        }
    }
    Ok(())
}
