//! The encoder's search for the predictors of a section. Only what it finds is
//! sent, so nothing here needs to be exact.

use super::super::normal_equations::NormalEquations;
use super::super::predictor::{MARGIN, Plane};
use super::{MAX_COEFFICIENT, MAX_OWN, MAX_SPLIT, Predictor, REFERENCE_TAPS, SECTION, SHAPES};

/// Regressors stand in the order in which shapes take them: this many own ones
/// come before those of the reference.
const OWN_FIRST: usize = 4;

/// The data of one of the smallest parts, or of several of them.
struct Data {
    equations: NormalEquations,
    /// Sum of squares of the targets, weighted.
    energy: f64,
    frames: usize,
}

/// Predictors and their cost in bits.
struct Choice {
    predictors: Vec<Predictor>,
    bits: f64,
}

pub(super) struct Analysis {
    parts: Vec<Data>,
    has_reference: bool,
}

impl Analysis {
    #[inline(always)]
    pub(super) fn new(signals: &Signals, start: usize, frames: usize) -> Analysis {
        let part = SECTION >> MAX_SPLIT;
        let parts = (start..start + frames)
            .step_by(part)
            .map(|from| Data::gather(signals, from, (start + frames).min(from + part)))
            .collect();
        Analysis {
            parts,
            has_reference: signals.reference.is_some(),
        }
    }

    /// The cheapest predictors for one of the ways to split.
    #[inline(always)]
    pub(super) fn predictors(self) -> Vec<Predictor> {
        let mut parts = self.parts;
        let mut best: Option<Choice> = None;
        for split in (0..=MAX_SPLIT).rev() {
            let mut choice = Choice {
                predictors: Vec::new(),
                bits: 0.0,
            };
            for data in &mut parts {
                let (predictor, bits) = data.predictor(self.has_reference);
                choice.predictors.push(predictor);
                choice.bits += bits;
            }
            choice.predictors.resize(1 << split, Predictor::default());
            if best.as_ref().is_none_or(|best| choice.bits < best.bits) {
                best = Some(choice);
            }
            let mut merged: Vec<Data> = Vec::new();
            for (i, data) in parts.into_iter().enumerate() {
                match merged.last_mut() {
                    Some(last) if i % 2 == 1 => last.add(&data),
                    _ => merged.push(data),
                }
            }
            parts = merged;
        }
        best.map(|best| best.predictors).unwrap_or_default()
    }
}

impl Data {
    /// The data of frames `start..end`.
    ///
    /// Sums of products of two signals at lags `i + 1` and `j + 1` are those at
    /// lags `i` and `j` but for the ends, so only the first of each diagonal is
    /// summed up.
    #[inline(always)]
    fn gather(signals: &Signals, start: usize, end: usize) -> Data {
        const OWN_LAGS: usize = MAX_OWN + 1;
        let own = Signal {
            values: &signals.own,
            start: start + MARGIN,
            frames: end - start,
        };
        let has_reference = signals.reference.is_some();
        let order = MAX_OWN + if has_reference { REFERENCE_TAPS } else { 0 };
        let mut equations = NormalEquations::new(order);
        // The place of a lag among the regressors; the target stands last.
        let place = |lag: usize| match lag {
            0 => order,
            lag if lag <= OWN_FIRST || !has_reference => lag - 1,
            lag => lag - 1 + REFERENCE_TAPS,
        };
        let mut first = [0.0; 40];
        own.products(&own, 0, &mut first);
        let energy = first[0];
        for (distance, &sum) in first.iter().enumerate().take(OWN_LAGS) {
            let mut sum = sum;
            for lag in 0..OWN_LAGS - distance {
                equations.set(place(lag), place(lag + distance), sum);
                sum += own.step(lag, &own, lag + distance);
            }
        }
        if let Some(reference) = &signals.reference {
            let ahead = REFERENCE_TAPS / 2 - 1;
            // Its lag 0 is the newest of its samples.
            let reference = Signal {
                values: reference,
                start: start + MARGIN + ahead,
                frames: end - start,
            };
            let reference_place = |lag: usize| OWN_FIRST + REFERENCE_TAPS - 1 - lag;
            let mut first = [0.0; 8];
            reference.products(&reference, 0, &mut first);
            for (distance, &sum) in first.iter().enumerate() {
                let mut sum = sum;
                for lag in 0..REFERENCE_TAPS - distance {
                    equations.set(reference_place(lag), reference_place(lag + distance), sum);
                    sum += reference.step(lag, &reference, lag + distance);
                }
            }
            // Own lag 0 with all of the reference.
            let mut first = [0.0; 8];
            own.products(&reference, 0, &mut first);
            for (distance, &sum) in first.iter().enumerate() {
                let mut sum = sum;
                for lag in 0..REFERENCE_TAPS - distance {
                    equations.set(place(lag), reference_place(lag + distance), sum);
                    sum += own.step(lag, &reference, lag + distance);
                }
            }
            // The reference's lag 0 with own lags from 1 on.
            let mut first = [0.0; 40];
            reference.products(&own, 0, &mut first);
            for (distance, &sum) in first.iter().enumerate().take(OWN_LAGS).skip(1) {
                let mut sum = sum;
                for lag in 0..REFERENCE_TAPS.min(OWN_LAGS - distance) {
                    equations.set(reference_place(lag), place(lag + distance), sum);
                    sum += reference.step(lag, &own, lag + distance);
                }
            }
        }
        Data {
            equations,
            energy,
            frames: end - start,
        }
    }

    fn add(&mut self, other: &Data) {
        self.equations.add(&other.equations);
        self.energy += other.energy;
        self.frames += other.frames;
    }

    /// The cheapest predictor and its cost in bits.
    #[inline(always)]
    fn predictor(&mut self, has_reference: bool) -> (Predictor, f64) {
        let n = self.frames as f64;
        let power = self.energy / n + 1e-9;
        let bits_for = |left: f64| 0.5 * n * (left / n + 0.1).log2();
        let mut best = (Predictor::default(), bits_for(self.energy));
        if self.energy == 0.0 || !self.equations.factorise(1e-9 * self.energy + 1e-3) {
            return best;
        }
        let mut left = self.energy;
        let mut taken = 0;
        let mut chosen = None;
        for (shape, &(own, with_reference)) in SHAPES.iter().enumerate().skip(1) {
            if !has_reference && with_reference && own == 4 {
                continue;
            }
            let count = own
                + if has_reference && with_reference {
                    REFERENCE_TAPS
                } else {
                    0
                };
            while taken < count {
                left -= self.equations.gain(taken);
                taken += 1;
            }
            let left = left.max(1e-6 * self.energy);
            // The step at which rounding costs what the coefficients' bits do.
            let step_bits = 0.5 * (n * power / (6.0 * (left / n + 0.08))).log2();
            let shift = step_bits.ceil().clamp(1.0, 15.0);
            let bits = bits_for(left) + count as f64 * (shift - 1.0) + 4.0;
            if bits < best.1 {
                best.1 = bits;
                chosen = Some((shape, shift as u32, count));
            }
        }
        if let Some((shape, shift, count)) = chosen {
            best.0 = self.quantised(shape, shift, count);
        }
        best
    }

    #[inline(always)]
    fn quantised(&self, shape: usize, shift: u32, count: usize) -> Predictor {
        let mut weights = vec![0.0; self.equations.stride()];
        self.equations.solve(count, &mut weights);
        let (own, _) = SHAPES[shape];
        let reference = count - own;
        let scale = f64::from(1u32 << shift);
        let tap = |regressor: usize| {
            let value = (weights[regressor] * scale).round() as i64;
            value.clamp(1 - MAX_COEFFICIENT, MAX_COEFFICIENT - 1)
        };
        let own = (0..own).map(|i| {
            if i < OWN_FIRST || reference == 0 {
                tap(i)
            } else {
                tap(i + REFERENCE_TAPS)
            }
        });
        let mut taps: Vec<i64> = own.collect();
        taps.extend((0..reference).map(|i| tap(OWN_FIRST + i)));
        Predictor { shape, shift, taps }
    }
}

/// The samples of a channel and of its reference with margins.
pub(super) struct Signals {
    own: Vec<f64>,
    reference: Option<Vec<f64>>,
}

impl Signals {
    pub(super) fn new(own: &Plane, reference: Option<&Plane>) -> Signals {
        let convert = |plane: &Plane| {
            let samples = plane.with_margins().iter();
            samples.map(|&x| f64::from(x)).collect()
        };
        Signals {
            own: convert(own),
            reference: reference.map(convert),
        }
    }
}

/// Some frames of a signal, and those before them.
struct Signal<'a> {
    values: &'a [f64],
    start: usize,
    frames: usize,
}

impl Signal<'_> {
    /// For each lag from `first` on the sum of products of this signal with
    /// the other one, which lags behind; a multiple of eight of them.
    #[inline(always)]
    fn products(&self, other: &Signal, first: usize, sums: &mut [f64]) {
        const LANES: usize = 8;
        for (block, sums) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let lag = first + block * LANES;
            let values = &self.values[self.start..][..self.frames];
            // From the largest of these lags on.
            let lagging = &other.values[other.start - lag - (LANES - 1)..];
            let lagging = &lagging[..self.frames + LANES - 1];
            let mut lanes = [[0.0; LANES]; LANES];
            let chunks = values.as_chunks::<LANES>();
            for (i, chunk) in chunks.0.iter().enumerate() {
                for (q, lanes) in lanes.iter_mut().enumerate() {
                    let other = &lagging[i * LANES + (LANES - 1 - q)..][..LANES];
                    for lane in 0..LANES {
                        lanes[lane] += chunk[lane] * other[lane];
                    }
                }
            }
            let done = values.len() - chunks.1.len();
            for (q, (sum, lanes)) in sums.iter_mut().zip(&lanes).enumerate() {
                *sum = lanes.iter().sum();
                let other = &lagging[done + (LANES - 1 - q)..];
                for (x, y) in chunks.1.iter().zip(other) {
                    *sum += x * y;
                }
            }
        }
    }

    /// What has to be added to the sum of products at two lags for the one at
    /// the next two.
    #[inline(always)]
    fn step(&self, lag: usize, other: &Signal, other_lag: usize) -> f64 {
        let at = |signal: &Signal, frame: usize, lag: usize| signal.values[frame - 1 - lag];
        let (end, other_end) = (self.start + self.frames, other.start + self.frames);
        at(self, self.start, lag) * at(other, other.start, other_lag)
            - at(self, end, lag) * at(other, other_end, other_lag)
    }
}
