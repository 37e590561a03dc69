//! The network of `audio-lossy` that corrects what the mixture of adaptive
//! contexts says of levels: from sounds to the file of the format.
//!
//! ```text
//! what is known of a level (24 inputs) ─ matrix ─ leaky ReLU ─▶ 32 units
//! logit of a decision = the mixture's + w[decision] · units
//! ```
//!
//! Trained by likelihood on what the codec's own models said of the levels of
//! training sounds, each coded with several quantisers.

use crate::nn::ops::{Adam, AdamStep, Kernels, TrainBackend, adamw};
use crate::random::{Purpose, Random};
use burn::backend::Autodiff;
use burn::tensor::activation::softplus;
use burn::tensor::{Tensor, TensorData};
use rcodec_audio::lossy::experiment::{
    HIDDEN, INPUTS, LEVEL_NET_WEIGHTS, LevelTrace, OUTPUTS, trace_levels,
};
use rcodec_core::{Error, Result};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Share of the steps in which the rate rises.
const WARM_UP: f64 = 0.03;
const BETAS: [f32; 2] = [0.9, 0.999];
const EMA: f32 = 0.998;
/// Of hidden units below 0: as the codec shifts by three.
const LEAK: f64 = 0.125;
/// Samples by which the second sound of a mixture is late on the other side.
const LATE: usize = 20;

/// A sound of 16 bits.
#[derive(Clone, Debug)]
pub struct Sound {
    /// Frames per second.
    pub rate: u32,
    /// 1 or 2.
    pub channels: usize,
    /// Interleaved.
    pub samples: Vec<i16>,
}

impl Sound {
    fn mono(&self) -> impl Iterator<Item = f32> {
        self.samples
            .chunks_exact(self.channels)
            .map(|frame| frame.iter().map(|&s| f32::from(s)).sum::<f32>() / frame.len() as f32)
    }
}

/// Two sounds at once in two channels, one more to the left, one more to the
/// right: single channels teach nothing of pairs.
pub fn mixture(a: &Sound, b: &Sound) -> Sound {
    let (a_samples, b_samples): (Vec<f32>, Vec<f32>) = (a.mono().collect(), b.mono().collect());
    let late = |x: &[f32], i: usize| i.checked_sub(LATE).map_or(0.0, |i| x[i]);
    let length = a_samples.len().min(b_samples.len());
    let pair = |i: usize| {
        let left = 0.7 * a_samples[i] + 0.3 * late(&b_samples, i);
        let right = 0.3 * late(&a_samples, i) + 0.7 * b_samples[i];
        [left as i16, right as i16]
    };
    Sound {
        rate: a.rate,
        channels: 2,
        samples: (0..length).flat_map(pair).collect(),
    }
}

/// What the codec's models said of all sounds with all quantisers.
///
/// # Errors
/// None that can be foreseen.
pub fn trace(sounds: &[Sound], quantisers: &[i32]) -> Result<Vec<LevelTrace>> {
    let mut all = Vec::new();
    for sound in sounds {
        for &quantiser in quantisers {
            let (rate, channels) = (sound.rate, sound.channels);
            all.extend(trace_levels(&sound.samples, rate, channels, quantiser)?);
        }
    }
    Ok(all)
}

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct LevelRecipe {
    /// Steps in all: the learning rate falls to zero by then.
    pub steps: u64,
    /// Levels in a step.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f32,
    /// For weights and batches.
    pub seed: u64,
    /// Stop after this long.
    pub time: Duration,
}

/// Where the weights of the four tensors are, and their shapes.
fn places() -> [(Range<usize>, [usize; 2]); 4] {
    let mut start = 0;
    [
        [HIDDEN, INPUTS],
        [1, HIDDEN],
        [OUTPUTS, HIDDEN],
        [1, OUTPUTS],
    ]
    .map(|shape| {
        let range = start..start + shape[0] * shape[1];
        start = range.end;
        (range, shape)
    })
}

struct Batch<B: TrainBackend> {
    inputs: Tensor<B, 2>,
    mixed: Tensor<B, 2>,
    /// 1 for a decision that was yes, -1 for no, 0 for one that was not made.
    signs: Tensor<B, 2>,
    made: Tensor<B, 2>,
}

fn batch<'t, B: TrainBackend>(
    traces: impl Iterator<Item = &'t LevelTrace>,
    device: &B::Device,
) -> Batch<B> {
    let (mut inputs, mut mixed) = (Vec::new(), Vec::new());
    let (mut signs, mut made) = (Vec::new(), Vec::new());
    for trace in traces {
        inputs.extend(trace.inputs_q4.map(|x| f32::from(x) / 16.0));
        mixed.extend(trace.mixed_q8.map(|x| f32::from(x) / 256.0));
        for decision in 0..OUTPUTS {
            let magnitude = usize::from(trace.magnitude);
            let was_made = decision <= magnitude;
            made.push(if was_made { 1.0f32 } else { 0.0 });
            signs.push(match (was_made, decision < magnitude) {
                (false, _) => 0.0f32,
                (_, true) => 1.0,
                (_, false) => -1.0,
            });
        }
    }
    let rows = inputs.len() / INPUTS;
    let tensor = |values: Vec<f32>, columns: usize| {
        Tensor::<B, 2>::from_data(TensorData::new(values, [rows, columns]), device)
    };
    Batch {
        inputs: tensor(inputs, INPUTS),
        mixed: tensor(mixed, OUTPUTS),
        signs: tensor(signs, OUTPUTS),
        made: tensor(made, OUTPUTS),
    }
}

/// The mean cost of a level in bits, without its sign.
fn cost<B: TrainBackend>(weights: &[Tensor<B, 2>], batch: &Batch<B>) -> Tensor<B, 1> {
    let project = |x: Tensor<B, 2>, at: usize| {
        x.matmul(weights[at].clone().transpose()) + weights[at + 1].clone()
    };
    let sums = project(batch.inputs.clone(), 0);
    let hidden = sums.clone().clamp_min(0.0) + sums.clamp_max(0.0) * LEAK;
    let logits = project(hidden, 2) + batch.mixed.clone();
    let wrong = softplus((logits * batch.signs.clone()).neg(), 1.0) * batch.made.clone();
    let rows = batch.inputs.dims()[0];
    wrong.sum() / (rows as f64 * std::f64::consts::LN_2)
}

/// Trains on traces; gives the averaged weights, for
/// [`level_net`](rcodec_audio::lossy::experiment::level_net).
///
/// # Errors
/// [`Error::Parameter`] without traces, or if training diverges.
pub fn train_levels<B: Kernels + TrainBackend>(
    traces: &[LevelTrace],
    recipe: &LevelRecipe,
    device: B::Device,
) -> Result<Vec<f32>> {
    if traces.is_empty() {
        return Err(Error::parameter("no sound"));
    }
    let places = places();
    let mut random = Random::at(recipe.seed, Purpose::Weights, 0);
    let mut begin = vec![0.0f32; LEVEL_NET_WEIGHTS];
    for weight in &mut begin[places[0].0.clone()] {
        *weight = random.normal() * (INPUTS as f32).powf(-0.5);
    }
    let upload = |values: &[f32]| Tensor::<B, 1>::from_data(TensorData::from(values), &device);
    let zeros = vec![0.0; begin.len()];
    let mut adam = Adam {
        weights: upload(&begin),
        mean: upload(&zeros),
        square: upload(&zeros),
        ema: upload(&begin),
    };
    let (started, mut shown) = (Instant::now(), None);
    for step in 0..recipe.steps {
        let mut random = Random::at(recipe.seed, Purpose::Samples, step);
        let chosen = (0..recipe.batch).map(|_| &traces[random.below(traces.len())]);
        let batch = batch::<Autodiff<B>>(chosen, &device);
        let leaves: Vec<_> = places
            .iter()
            .map(|(range, shape)| {
                let slice = adam.weights.clone().slice([range.clone()]).reshape(*shape);
                Tensor::<Autodiff<B>, 2>::from_inner(slice).require_grad()
            })
            .collect();
        let loss = cost(&leaves, &batch);
        let value = f64::from(scalar(loss.clone().inner())?);
        let mut grads = loss.backward();
        let flat = leaves.iter().map(|leaf| {
            let grad = leaf.grad_remove(&mut grads);
            let grad = grad.unwrap_or_else(|| leaf.clone().inner().zeros_like());
            let [rows, columns] = leaf.dims();
            grad.reshape([rows * columns])
        });
        let grad: Tensor<B, 1> = Tensor::cat(flat.collect(), 0);
        adam = adamw(adam, grad, upload(&zeros), &adam_step(recipe, step));
        let mean = shown.map_or(value, |mean: f64| mean + 0.01 * (value - mean));
        shown = Some(mean);
        let seconds = started.elapsed().as_secs_f64();
        if (step + 1).is_multiple_of(200) {
            println!(
                "step {} at {seconds:.0} s: {mean:.4} bits a level",
                step + 1
            );
        }
        if started.elapsed() > recipe.time {
            break;
        }
    }
    let weights = adam.ema.into_data().to_vec::<f32>();
    weights.map_err(|error| Error::Parameter(format!("weights: {error:?}")))
}

fn adam_step(recipe: &LevelRecipe, step: u64) -> AdamStep {
    let part = step as f64 / recipe.steps as f64;
    let falling = 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
    let rate = recipe.rate * ((part / WARM_UP).min(1.0) * falling).max(0.005) as f32;
    let count = step as i32 + 1;
    AdamStep {
        grad_scale: 1.0,
        beta1: BETAS[0],
        beta2: BETAS[1],
        rate: rate / (1.0 - BETAS[0].powi(count)),
        square_scale: 1.0 / (1.0 - BETAS[1].powi(count)).sqrt(),
        weight_decay: 0.0,
        ema_decay: EMA.min((1.0 + count as f32) / (10.0 + count as f32)),
    }
}

fn scalar<B: burn::tensor::backend::Backend>(tensor: Tensor<B, 1>) -> Result<f32> {
    let values = tensor.into_data().to_vec::<f32>().unwrap_or_default();
    match values.first() {
        Some(value) if value.is_finite() => Ok(*value),
        _ => Err(Error::parameter("training diverged")),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn what_an_input_tells_is_learned() {
        let trace = |i: usize| LevelTrace {
            inputs_q4: std::array::from_fn(|j| match j {
                3 => 32 - 64 * (i % 2) as i16,
                _ => (i * (7 + j) % 65) as i16 - 32,
            }),
            mixed_q8: [0; OUTPUTS],
            magnitude: 1 - (i % 2) as u8,
        };
        let traces: Vec<LevelTrace> = (0..500).map(trace).collect();
        let recipe = LevelRecipe {
            steps: 300,
            batch: 64,
            rate: 1e-2,
            seed: 1,
            time: Duration::from_secs(60),
        };
        let device = Default::default();
        let weights = train_levels::<Flex>(&traces, &recipe, device).unwrap();
        let bits = |weights: &[f32]| {
            let tensors = places().map(|(range, shape)| {
                let values = TensorData::new(weights[range].to_vec(), shape);
                Tensor::<Flex, 2>::from_data(values, &device)
            });
            scalar(cost(&tensors, &batch(traces.iter(), &device))).unwrap()
        };
        // A bit for each, and for one of two levels another.
        assert!((bits(&vec![0.0; LEVEL_NET_WEIGHTS]) - 1.5).abs() < 1e-3);
        assert!(bits(&weights) < 0.2, "{}", bits(&weights));
        assert!(train_levels::<Flex>(&[], &recipe, device).is_err());
    }

    #[test]
    fn a_mixture_has_both_sounds_on_both_sides() {
        let sound = |value: i16, length: usize| Sound {
            rate: 8000,
            channels: 1,
            samples: vec![value; length],
        };
        let both = mixture(&sound(1000, 50), &sound(-2000, 40));
        assert_eq!((both.channels, both.samples.len()), (2, 80));
        assert_eq!(both.samples[..2], [700, -1400]);
        assert_eq!(both.samples[2 * LATE..][..2], [100, -1100]);
    }
}
