//! The learned expert: a small network that sees what the other experts see
//! and where they have been wrong, and gives an expectation and a scale.
//!
//! ```text
//! neighbours, experts ─ less the blend, in units of its scale ─┐
//! errors here and in channels before ──────────────────────────┼▶ 64 ─▶ 32 ─▶ μ, log σ
//! logarithms of energies, level, phase ────────────────────────┘
//! ```
//!
//! Weights are integers with 12 fraction bits, activations have eight. There is
//! a network for each number of colours that are known at the place.

use super::experts::{ERROR_PAD, GUIDE, MU_Q, OWN, inverse_scale_of};
use super::window::{Place, Window};
use crate::lossless::logistic::quarter_log2;
use rcodec_core::{Error, Result};
use rcodec_fixed::{Activation, Engine, Requant, WordChain, WordMatrix, WordMatrixSpec};
use std::sync::OnceLock;

/// Inputs of a network; the last is always 0.
pub const INPUTS: usize = 86;

/// Inputs that are distances, in units of the scale: they come first.
const DISTANCES: usize = 75;

/// Distances at work on, for vector code.
const DISTANCE_LANES: usize = 80;

/// Units of the layers; the last has the mean and the scale.
pub const UNITS: [usize; 3] = [64, 32, 2];

/// Fraction bits of weights, of inputs and activations, and of outputs.
const WEIGHT_Q: u32 = 12;
const ACTIVATION_Q: u32 = 8;
const OUTPUT_Q: u32 = 10;

/// The largest magnitude of an input, and the largest activation.
const INPUT_MAX: i32 = 2048;
const ACTIVATION_MAX: i16 = 4095;

/// The networks for no, one and two colours that are known, each as its three
/// layers: weights by output and input, then a bias for each output, of 16 and
/// 32 bits, little-endian. `photo-expert.toml` says where they come from.
static WEIGHTS: &[u8] = include_bytes!("photo-expert.bin");

/// Experts whose opinions the network sees.
const OPINIONS: usize = 5;

/// One network.
#[derive(Debug)]
pub(crate) struct Network(WordChain);

/// A network for each number of colours known: none, one, two.
#[derive(Debug)]
pub(crate) struct Networks(pub(crate) [Network; 3]);

impl Networks {
    /// Those of the format.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this build has none.
    pub(crate) fn get() -> Result<&'static Networks> {
        static NETWORKS: OnceLock<Option<Networks>> = OnceLock::new();
        let networks = NETWORKS.get_or_init(|| Networks::read(WEIGHTS).ok());
        let missing = || Error::unsupported("this build has no networks for photographs");
        networks.as_ref().ok_or_else(missing)
    }

    /// Reads networks.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Malformed`], and [`Error::Parameter`] for
    /// weights whose sums could overflow.
    pub(crate) fn read(bytes: &[u8]) -> Result<Networks> {
        let mut rest = bytes;
        let mut network = || Ok::<_, Error>(Network(read_layers(&mut rest)?));
        let networks = Networks([network()?, network()?, network()?]);
        match rest {
            [] => Ok(networks),
            _ => Err(Error::malformed(
                (bytes.len() - rest.len()) as u64,
                "bytes after the networks",
            )),
        }
    }
}

/// Layers of floats, by output and input, and a bias for each output.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatLayer {
    /// A row for each output.
    pub weights: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
}

/// The file of networks of floats, for no, one and two colours known.
///
/// Inputs and activations have eight fraction bits, the mean eight and the
/// binary logarithm of the scale ten more than the unit.
///
/// # Errors
/// [`Error::Truncated`] and [`Error::Malformed`] for layers of other sizes,
/// [`Error::Parameter`] for weights whose sums could overflow.
pub fn quantise(networks: &[[FloatLayer; 3]; 3]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for layer in networks.as_flattened() {
        let unit = f32::from(1u16 << WEIGHT_Q);
        for weight in &layer.weights {
            bytes.extend(((weight * unit).round() as i16).to_le_bytes());
        }
        let unit = unit * f32::from(1u16 << ACTIVATION_Q);
        for bias in &layer.bias {
            bytes.extend(((bias * unit).round() as i32).to_le_bytes());
        }
    }
    Networks::read(&bytes)?;
    Ok(bytes)
}

/// A sample that a network may learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// What the network sees, Q8.
    pub inputs: [i16; INPUTS],
    /// What the blend that it begins with missed, Q6 of a sample.
    pub missed_q6: i32,
    /// The unit of distances: one is `2^28 / inverse`, Q6 of a sample.
    pub inverse: i32,
}

/// Examples on their way.
#[derive(Debug)]
struct Trace {
    one_in: u64,
    samples: u64,
    examples: Vec<Example>,
}

impl Trace {
    /// Takes one sample in so many, spread evenly, but by chance.
    fn take(&mut self, example: impl FnOnce() -> Example) {
        self.samples += 1;
        let hash = self.samples.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if (hash * self.one_in) >> 32 == 0 {
            self.examples.push(example());
        }
    }
}

/// Takes a network's layers off the front of `bytes`.
fn read_layers(bytes: &mut &[u8]) -> Result<WordChain> {
    let mut layer = |i: usize| {
        let inputs = if i == 0 { INPUTS } else { UNITS[i - 1] };
        let outputs = UNITS[i];
        let is_last = i + 1 == UNITS.len();
        let mut take = |len: usize| {
            let (taken, rest) = bytes
                .split_at_checked(len)
                .ok_or(Error::Truncated { at: 0 })?;
            *bytes = rest;
            Ok::<_, Error>(taken)
        };
        let weights = take(2 * inputs * outputs)?.as_chunks().0;
        let bias = take(4 * outputs)?.as_chunks().0;
        let shift = if is_last {
            WEIGHT_Q + ACTIVATION_Q - OUTPUT_Q
        } else {
            WEIGHT_Q
        };
        WordMatrix::new(&WordMatrixSpec {
            inputs,
            outputs,
            weights: weights.iter().map(|&w| i16::from_le_bytes(w)).collect(),
            requant: Requant {
                bias: bias.iter().map(|&b| i32::from_le_bytes(b)).collect(),
                shift: vec![shift as u8; outputs],
                activation: if is_last {
                    Activation::Identity
                } else {
                    Activation::relu(ACTIVATION_MAX)
                },
            },
            gate: None,
            input_max: if i == 0 {
                INPUT_MAX as u32
            } else {
                ACTIVATION_MAX as u32
            },
        })
    };
    WordChain::new(vec![layer(0)?, layer(1)?, layer(2)?])
}

impl Network {
    /// What it makes of the inputs.
    ///
    /// # Errors
    /// None: the lengths are those of the layers.
    #[inline(always)]
    pub(crate) fn apply(&self, engine: &Engine, inputs: &[i16; INPUTS]) -> Result<[i16; 2]> {
        let mut outputs = [0; UNITS[2]];
        self.0.apply(engine, inputs, &mut outputs)?;
        Ok(outputs)
    }
}

/// The unit in which distances are measured: the scale that the blend has.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    /// As in a distribution: `z_q8 = (distance_q6 * this) >> 20`.
    inverse: i32,
    /// Its highest 14 bits, and the shift that belongs to them and to dropped
    /// bits of distances.
    mantissa: i32,
    shift: u32,
}

impl Unit {
    /// The unit for a mean error, where `drop` bits of distances are dropped.
    #[inline(always)]
    fn of(mean_q12: u32, drop: u32) -> Unit {
        let inverse = inverse_scale_of(mean_q12.max(1024 << drop));
        let excess = 18u32.saturating_sub(inverse.leading_zeros());
        Unit {
            inverse,
            mantissa: inverse >> excess,
            // The smallest mean keeps this at 5 or more.
            shift: 20u32.saturating_sub(excess + drop),
        }
    }
}

/// What the network is told of a sample.
pub(crate) struct Known<'a> {
    pub(crate) window: &'a Window,
    /// Column and row.
    pub(crate) x: usize,
    pub(crate) y: usize,
    /// What the experts expect, Q6.
    pub(crate) opinions_q6: &'a [i32; OPINIONS],
    /// Their local error energies.
    pub(crate) energies: &'a [u32; OPINIONS],
    /// What they expect, blended, its energy, and the step and mean of its
    /// error.
    pub(crate) blend_q6: i32,
    pub(crate) blend_energy: u32,
    pub(crate) step: usize,
    pub(crate) mean_q12: u32,
    /// What colours before were missed by, around here.
    pub(crate) around: &'a [i32; AROUND],
}

/// Errors of the colours before that the network sees.
pub(crate) const AROUND: usize = 6;

/// The expert at work on one channel.
pub(crate) struct Learned {
    network: &'static Network,
    engine: Engine,
    /// Colours known.
    colours: usize,
    /// Bits dropped from distances so that products stay below 2^31.
    drop: u32,
    max_q6: i32,
    inputs: [i16; INPUTS],
    /// What the blend missed, Q6: three rows in turn, two columns of border.
    missed_q6: [Vec<i32>; 3],
    blend_q6: i32,
    unit: Unit,
    trace: Option<Trace>,
}

/// The places of an own neighbour: the one to the left, and those of least
/// squares.
static OWN_PLACES: [Place; OWN.len() + 1] = {
    let mut places = [Window::place(0, -1, 0); OWN.len() + 1];
    let mut i = 0;
    while i < OWN.len() {
        places[i + 1] = Window::place(0, OWN[i].0, OWN[i].1);
        i += 1;
    }
    places
};

/// The places in the colours before: those of least squares without the place
/// itself, and the one to the left.
static GUIDE_PLACES: [[Place; GUIDE.len()]; 2] = {
    let mut places = [[0; GUIDE.len()]; 2];
    let mut before = 1;
    while before <= 2 {
        let mut i = 1;
        while i < GUIDE.len() {
            places[before - 1][i - 1] = Window::place(before, GUIDE[i].0, GUIDE[i].1);
            i += 1;
        }
        places[before - 1][i - 1] = Window::place(before, -1, 0);
        before += 1;
    }
    places
};

impl Learned {
    /// The expert for a channel with samples of `0..=max`, of which `colours`
    /// (not more than two count) are coded before.
    pub(crate) fn new(
        networks: &'static Networks,
        colours: usize,
        max: u16,
        width: usize,
        engine: Engine,
    ) -> Self {
        let colours = colours.min(2);
        let bits = 16 - max.leading_zeros();
        Learned {
            network: &networks.0[colours],
            engine,
            colours,
            drop: bits.saturating_sub(10),
            max_q6: i32::from(max) << MU_Q,
            inputs: [0; INPUTS],
            missed_q6: std::array::from_fn(|_| vec![0; width + 2 * ERROR_PAD]),
            blend_q6: 0,
            unit: Unit::default(),
            trace: None,
        }
    }

    /// Keeps one sample in so many as an example.
    pub(crate) fn keep(&mut self, one_in: u32) {
        self.trace = Some(Trace {
            one_in: u64::from(one_in),
            samples: 0,
            examples: Vec::new(),
        });
    }

    /// The number of colours known, and what was kept.
    pub(crate) fn into_examples(self) -> (usize, Vec<Example>) {
        let examples = self.trace.map_or(Vec::new(), |trace| trace.examples);
        (self.colours, examples)
    }

    /// The errors of the colours before around column `x`, whose rows are
    /// given, the nearest channel's first.
    #[inline(always)]
    pub(crate) fn around(&self, before: [&[i32]; 2], x: usize) -> [i32; AROUND] {
        let near = |row: &[i32], at: usize| row.get(at).copied().unwrap_or(0);
        let left = x.saturating_sub(1);
        let right = |row: &[i32]| (x + 1).min(row.len().saturating_sub(1));
        let [one, two] = before;
        match self.colours {
            0 => [0; AROUND],
            1 => [
                near(one, x),
                0,
                near(one, left),
                near(one, right(one)),
                0,
                0,
            ],
            _ => [
                near(one, x),
                near(two, x),
                near(one, left),
                near(one, right(one)),
                near(two, left),
                near(two, right(two)),
            ],
        }
    }

    /// What it expects, Q6, and the reciprocal of its scale.
    ///
    /// # Errors
    /// None.
    #[inline(always)]
    pub(crate) fn predict(&mut self, known: &Known<'_>) -> Result<(i32, i32)> {
        let unit = Unit::of(known.mean_q12, self.drop);
        self.unit = unit;
        self.blend_q6 = known.blend_q6;
        self.gather(known, unit);
        let [mean, log] = self.network.apply(&self.engine, &self.inputs)?;
        Ok(self.outputs(unit, mean, log))
    }

    /// Sets the inputs.
    #[inline(always)]
    fn gather(&mut self, known: &Known<'_>, unit: Unit) {
        let mu = known.blend_q6;
        let mut distances = [0; DISTANCE_LANES];
        let mut at = 0;
        for &place in &OWN_PLACES {
            distances[at] = (known.window.at(place) << MU_Q) - mu;
            at += 1;
        }
        for (before, places) in GUIDE_PLACES.iter().enumerate() {
            if before < self.colours {
                let here = known.window.at(Window::place(before + 1, 0, 0));
                for (slot, &place) in distances[at..].iter_mut().zip(places) {
                    *slot = (known.window.at(place) - here) << MU_Q;
                }
            }
            at += GUIDE.len();
        }
        for &opinion in known.opinions_q6 {
            distances[at] = opinion - mu;
            at += 1;
        }
        let x = known.x + ERROR_PAD;
        let here = &self.missed_q6[known.y % 3];
        let above = &self.missed_q6[(known.y + 2) % 3];
        let above2 = &self.missed_q6[(known.y + 1) % 3];
        for missed in [
            here[x - 1],
            above[x],
            above[x - 1],
            above[x + 1],
            here[x - 2],
            above2[x],
        ] {
            distances[at] = missed;
            at += 1;
        }
        for &missed in known.around {
            distances[at] = missed << MU_Q;
            at += 1;
        }
        let (mantissa, shift, drop) = (unit.mantissa, unit.shift, self.drop);
        for distance in &mut distances {
            let dropped = (*distance >> drop).clamp(-65_535, 65_535);
            let z_q8 = ((dropped * mantissa) >> shift).clamp(-8192, 8192);
            // Far away counts less.
            *distance = z_q8.clamp(-1024, 1024) + (z_q8 >> 3);
        }
        for (input, &distance) in self.inputs.iter_mut().zip(&distances[..DISTANCES]) {
            *input = distance as i16;
        }
        let others = self.others(known);
        self.inputs[DISTANCES..].copy_from_slice(&others);
    }

    /// The inputs that are not distances.
    #[inline(always)]
    fn others(&self, known: &Known<'_>) -> [i16; INPUTS - DISTANCES] {
        let log = |energy: u32| quarter_log2(energy + 24) as i32;
        let base = log(known.blend_energy);
        let mut others = [0; INPUTS - DISTANCES];
        for (slot, &energy) in others.iter_mut().zip(known.energies) {
            *slot = (64 * (log(energy) - base)).clamp(-2048, 2047) as i16;
        }
        let mean = known.mean_q12.max(1024 << self.drop);
        let level = (known.blend_q6 as u32 * 512) / self.max_q6 as u32;
        others[5] = 16 * quarter_log2(mean) as i16 - 640;
        others[6] = 16 * known.step as i16 - 400;
        others[7] = level as i16 - 256;
        others[8] = 256 * (known.x & 1) as i16;
        others[9] = 256 * (known.y & 1) as i16;
        others
    }

    /// The expectation and the reciprocal of the scale that outputs stand for.
    #[inline(always)]
    fn outputs(&self, unit: Unit, mean: i16, log: i16) -> (i32, i32) {
        let distance_q6 = (i64::from(mean) << 18) / i64::from(unit.inverse.max(1));
        let mu = i64::from(self.blend_q6) + distance_q6;
        let steps = (-i32::from(log)).clamp(-4096, 6143) >> 4;
        let scaled = (i64::from(unit.inverse) * EXP2_Q15[(steps & 63) as usize]) >> 15;
        let inverse = (scaled << 8) >> (8 - (steps >> 6));
        let mu = mu.clamp(0, i64::from(self.max_q6)) as i32;
        (mu, inverse.clamp(16, 1 << 30) as i32)
    }

    /// Learns what the sample was: what the blend missed it by.
    #[inline(always)]
    pub(crate) fn update(&mut self, value_q6: i32, x: usize, y: usize) {
        let missed = value_q6 - self.blend_q6;
        if let Some(trace) = &mut self.trace {
            trace.take(|| Example {
                inputs: self.inputs,
                missed_q6: missed,
                inverse: self.unit.inverse,
            });
        }
        let row = &mut self.missed_q6[y % 3];
        row[x + ERROR_PAD] = missed;
        if x + 2 * ERROR_PAD + 1 == row.len() {
            row[x + ERROR_PAD + 1..].fill(missed);
        }
    }
}

/// 2^(i / 64) in Q15, rounded down.
static EXP2_Q15: [i64; 64] = {
    let mut table = [0; 64];
    let mut power: u128 = 1 << 62;
    let mut i = 0;
    while i < 64 {
        table[i] = (power >> 47) as i64;
        power = (power * 4_661_903_986_662_671_290) >> 62;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcodec_fixed::Level;

    /// A layer as the format's page has it.
    fn layer(bytes: &mut &[u8], inputs: &[i64], outputs: usize, last: bool) -> Vec<i64> {
        let weights = bytes.split_off(..2 * inputs.len() * outputs).unwrap();
        let bias = bytes.split_off(..4 * outputs).unwrap();
        let weight = |at: usize| i64::from(i16::from_le_bytes([weights[at], weights[at + 1]]));
        let output = |o: usize| {
            let products =
                (0..inputs.len()).map(|i| inputs[i] * weight(2 * (o * inputs.len() + i)));
            let sum = products.sum::<i64>() + i64::from(i32::from_le_bytes(bias.as_chunks().0[o]));
            if last {
                ((sum + 512) >> 10).clamp(-32_768, 32_767)
            } else {
                ((sum + 2048) >> 12).clamp(0, 4095)
            }
        };
        (0..outputs).map(output).collect()
    }

    #[test]
    fn networks_are_those_of_the_page_at_every_level() {
        let networks = Networks::get().unwrap();
        let mut at = WEIGHTS;
        for network in &networks.0 {
            let bytes = at;
            for seed in 0..40u32 {
                let inputs: [i16; INPUTS] = std::array::from_fn(|i| {
                    let hash = (seed * 1000 + i as u32).wrapping_mul(0x9e37_79b1) >> 16;
                    match seed {
                        0 => 2048,
                        1 => -2048,
                        2..20 => (hash % 4097) as i16 - 2048,
                        _ => (hash % 401) as i16 - 200,
                    }
                });
                at = bytes;
                let wide: Vec<i64> = inputs.iter().map(|&v| i64::from(v)).collect();
                let first = layer(&mut at, &wide, 64, false);
                let second = layer(&mut at, &first, 32, false);
                let expected = layer(&mut at, &second, 2, true);
                for level in Level::available() {
                    let engine = Engine::at(level).unwrap();
                    let found = network.apply(&engine, &inputs).unwrap().map(i64::from);
                    assert_eq!(found[..], expected[..], "{level:?} {seed}");
                }
            }
        }
        assert!(at.is_empty());
    }

    #[test]
    fn other_weights_are_refused() {
        assert!(Networks::read(WEIGHTS).is_ok());
        let short = Networks::read(&WEIGHTS[..WEIGHTS.len() - 1]);
        assert!(matches!(short, Err(Error::Truncated { .. })));
        let long = Networks::read(&[WEIGHTS, &[0]].concat());
        assert!(matches!(long, Err(Error::Malformed { .. })));
        // Sums of such weights could pass 2^31.
        let large = Networks::read(&vec![0x7f; WEIGHTS.len()]);
        assert!(matches!(large, Err(Error::Parameter(_))));
    }

    #[test]
    fn scales_are_powers_of_two() {
        for (i, &found) in EXP2_Q15.iter().enumerate() {
            let expected = (i as f64 / 64.0).exp2() * 32_768.0;
            assert_eq!(found, expected as i64, "{i}");
        }
    }

    proptest! {
        /// Whatever is known, inputs stay within their bounds (sums are proved
        /// for these), and what comes out is a sample and a scale.
        #[test]
        fn inputs_are_bounded(
            max in 1u16..,
            colours in 0usize..3,
            samples in proptest::collection::vec(any::<u16>(), 12),
            opinions in any::<[u32; 6]>(),
            energies in any::<[u32; 6]>(),
            mean_q12 in 1u32..=1 << 28,
            around in proptest::array::uniform6(-65_535i32..=65_535),
            place in 0usize..8,
        ) {
            let networks = Networks::get().unwrap();
            let engine = Engine::new();
            let mut learned = Learned::new(networks, colours, max, 8, engine);
            let most = u32::from(max) << MU_Q;
            let mut field = super::super::field::Field::new(8, 9, &[max; 3]);
            for (i, slot) in field.samples.iter_mut().enumerate() {
                *slot = samples[i * 7 % 12];
            }
            let mut window = Window::new();
            window.load(&field, field.row(2, 4) + place, 2);
            let opinions = opinions.map(|opinion| (opinion % (most + 1)) as i32);
            let energies = energies.map(|energy| energy >> 5);
            for y in 0..3 {
                for x in 0..8 {
                    let known = Known {
                        window: &window,
                        x,
                        y,
                        opinions_q6: opinions.first_chunk().unwrap(),
                        energies: energies.first_chunk().unwrap(),
                        blend_q6: opinions[5],
                        blend_energy: energies[5],
                        step: (mean_q12 % 96) as usize,
                        mean_q12,
                        around: &around,
                    };
                    let (mu_q6, inverse) = learned.predict(&known).unwrap();
                    prop_assert!((0..=most as i32).contains(&mu_q6));
                    prop_assert!((16..=1 << 30).contains(&inverse));
                    for &input in &learned.inputs {
                        prop_assert!(i32::from(input).abs() <= INPUT_MAX, "{input}");
                    }
                    let value = samples[(x + y) % 12] % max;
                    learned.update(i32::from(value) << MU_Q, x, y);
                }
            }
        }
    }
}
