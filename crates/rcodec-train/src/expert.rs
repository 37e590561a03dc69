//! The learned expert of lossless photographs: a small network for each number
//! of colours known, trained on what the codec itself sees.
//!
//! ```text
//! pictures ─ made smaller ─▶ the codec's own models ─▶ examples (inputs, error, unit)
//! examples ─▶ 86 ─ 64 ─ 32 ─▶ mean, log2 of the scale ─▶ bits of the sample ─▶ AdamW
//! averaged weights ─▶ Q12 ─▶ the file that the codec holds
//! ```
//!
//! What is minimised are the bits of a sample under the network's own logistic
//! distribution, cut at half a sample on both sides.

use crate::data::Collection;
use crate::nn::ops::{Adam, AdamStep, Kernels, TrainBackend, adamw};
use crate::random::{Purpose, Random};
use burn::backend::Autodiff;
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};
use rcodec_core::{ColorType, Error, ImageHeader, Result, Samples};
use rcodec_image::expert::{Example, FloatLayer, INPUTS, UNITS, examples};
use std::ops::Range;

const BETAS: [f32; 2] = [0.9, 0.99];
const EMA: f32 = 0.99;
const CLIP_NORM: f32 = 1.0;
/// Steps in which the rate rises.
const WARM_UP: f64 = 100.0;
/// Activations of the integer network end here.
const ACTIVATION_MAX: f32 = 4095.0 / 256.0;
/// Errors farther off than so many units count as these: they are few, and would
/// move everything.
const FAR: f32 = 60.0;
/// Octaves by which a scale may be smaller or larger than the blend's.
const OCTAVES: Range<f32> = -6.0..4.0;

/// How a network is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Steps in all: the learning rate falls to zero by then.
    pub steps: u64,
    /// Examples in a step.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f32,
    /// For weights and batches.
    pub seed: u64,
}

/// A picture made smaller by a whole factor, by the mean of squares of so many
/// samples: what JPEG left of its grid goes with it.
///
/// `None` if nothing is left.
fn reduce(width: usize, rgb: &[u8], factor: usize) -> Option<(ImageHeader, Samples)> {
    let (columns, rows) = (width / factor, rgb.len() / (3 * width) / factor);
    let area = (factor * factor) as u32;
    let mut samples = Vec::with_capacity(3 * columns * rows);
    for y in 0..rows {
        for x in 0..3 * columns {
            let (column, colour) = (x / 3 * factor, x % 3);
            let square = (0..factor * factor).map(|i| {
                let at = (y * factor + i / factor) * width + column + i % factor;
                u32::from(rgb[3 * at + colour])
            });
            samples.push(((square.sum::<u32>() + area / 2) / area) as u8);
        }
    }
    let header = ImageHeader {
        width: columns as u32,
        height: rows as u32,
        color: ColorType::Rgb,
        bits: 8,
        palette: Vec::new(),
    };
    (!samples.is_empty()).then_some((header, Samples::U8(samples)))
}

/// Examples from pictures that are made smaller by `factor`: one sample in
/// `one_in`, by the number of colours known.
///
/// # Errors
/// Those of the codec.
pub fn gather(pictures: &Collection, factor: usize, one_in: u32) -> Result<[Vec<Example>; 3]> {
    let mut all = <[Vec<Example>; 3]>::default();
    for picture in (0..pictures.len()).filter_map(|i| pictures.picture(i)) {
        let Some((header, samples)) = reduce(picture.width, &picture.rgb, factor.max(1)) else {
            continue;
        };
        for (all, some) in all.iter_mut().zip(examples(&header, &samples, one_in)?) {
            all.extend(some);
        }
    }
    Ok(all)
}

/// A tensor's place in the flat vector of weights.
#[derive(Clone, Debug)]
struct Param {
    start: usize,
    shape: [usize; 2],
}

impl Param {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape[0] * self.shape[1]
    }
}

/// Weights and biases of each layer, one after the other.
fn params() -> Vec<Param> {
    let mut start = 0;
    let mut params = Vec::new();
    for (i, &outputs) in UNITS.iter().enumerate() {
        let inputs = if i == 0 { INPUTS } else { UNITS[i - 1] };
        for shape in [[outputs, inputs], [1, outputs]] {
            let param = Param { start, shape };
            start = param.range().end;
            params.push(param);
        }
    }
    params
}

/// Weights to begin with; the last layer says little.
fn initial(seed: u64) -> Vec<f32> {
    let mut weights = Vec::new();
    for (i, param) in params().into_iter().enumerate() {
        let mut random = Random::at(seed, Purpose::Weights, i as u64);
        let size = match i {
            0 | 2 => (2.0 / param.shape[1] as f32).sqrt(),
            4 => 0.05 * (2.0 / param.shape[1] as f32).sqrt(),
            _ => 0.0,
        };
        weights.extend(param.range().map(|_| size * random.normal()));
    }
    weights
}

/// Examples that are computed together.
struct Batch<B: TrainBackend> {
    inputs: Tensor<B, 2>,
    /// Where the sample is, and half its width, in units of the blend's scale.
    distance: Tensor<B, 2>,
    half: Tensor<B, 2>,
}

impl<B: TrainBackend> Batch<B> {
    fn new<'e>(examples: impl Iterator<Item = &'e Example>, device: &B::Device) -> Self {
        let (mut inputs, mut distance, mut half) = (Vec::new(), Vec::new(), Vec::new());
        for example in examples {
            inputs.extend(example.inputs.map(|input| f32::from(input) / 256.0));
            let unit_q6 = (1u32 << 28) as f32 / example.inverse as f32;
            distance.push((example.missed_q6 as f32 / unit_q6).clamp(-FAR, FAR));
            half.push(32.0 / unit_q6);
        }
        let rows = half.len();
        let tensor = |values: Vec<f32>, columns| {
            Tensor::from_data(TensorData::new(values, [rows, columns]), device)
        };
        Batch {
            inputs: tensor(inputs, INPUTS),
            distance: tensor(distance, 1),
            half: tensor(half, 1),
        }
    }
}

/// `ln(1 + e^x)`, for any `x`.
fn softplus<B: TrainBackend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    relu(x.clone()) + (x.abs().neg().exp() + 1.0).log()
}

/// Mean bits of a sample under the network's distribution.
fn bits<B: TrainBackend>(weights: &[Tensor<B, 2>], batch: &Batch<B>) -> Tensor<B, 1> {
    let layer = |x: Tensor<B, 2>, i: usize| {
        x.matmul(weights[i].clone().transpose()) + weights[i + 1].clone()
    };
    let first = layer(batch.inputs.clone(), 0).clamp(0.0, ACTIVATION_MAX);
    let second = layer(first, 2).clamp(0.0, ACTIVATION_MAX);
    let output = layer(second, 4);
    let rows = output.dims()[0];
    let mean = output.clone().slice([0..rows, 0..1]);
    let octaves = output.slice([0..rows, 1..2]);
    let octaves = octaves.clamp(OCTAVES.start, OCTAVES.end);
    let inverse = (octaves * -std::f32::consts::LN_2).exp();
    let (centre, half) = (batch.distance.clone() - mean, batch.half.clone());
    let low = (centre.clone() - half.clone()) * inverse.clone();
    let high = (centre + half.clone()) * inverse.clone();
    // F(high) - F(low) = F(high) · F(-low) · (1 - e^(low - high)).
    let inside = (half * inverse * -2.0).exp().neg() + 1.0;
    let nats = softplus(high.neg()) + softplus(low) - inside.clamp_min(1e-9).log();
    nats.mean() / std::f64::consts::LN_2
}

fn scalar<B: burn::tensor::backend::Backend>(tensor: Tensor<B, 1>) -> f64 {
    let values = tensor.into_data().to_vec::<f32>().unwrap_or_default();
    f64::from(values.first().copied().unwrap_or(f32::NAN))
}

/// A network in training.
struct Run<B: Kernels + TrainBackend> {
    recipe: Recipe,
    params: Vec<Param>,
    adam: Adam<Tensor<B, 1>>,
    decays: Tensor<B, 1>,
    device: B::Device,
}

/// A trained network, and what held-out examples cost with it, in bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The averaged weights.
    pub layers: [FloatLayer; 3],
    /// Mean bits of a held-out example under the blend alone.
    pub blend_bits: f64,
    /// And with the network, in floats.
    pub bits: f64,
}

/// Trains the network of one number of colours.
///
/// # Errors
/// [`Error::Parameter`] if there are no examples or training diverges.
pub fn train<B: Kernels + TrainBackend>(
    examples: &[Example],
    held_out: &[Example],
    recipe: &Recipe,
    device: B::Device,
) -> Result<Trained> {
    if examples.is_empty() || held_out.is_empty() || recipe.batch == 0 {
        return Err(Error::parameter("too few samples to learn from"));
    }
    let mut run = Run::<B>::new(recipe.clone(), device);
    let mut mean = None;
    for step in 0..recipe.steps {
        let now = run.step(step, examples)?;
        let bits = mean.map_or(now, |bits: f64| bits + 0.01 * (now - bits));
        mean = Some(bits);
        if (step + 1).is_multiple_of(500) {
            println!("step {}: {bits:.4} bits a sample", step + 1);
        }
    }
    let weights = run.adam.ema.to_data().to_vec::<f32>();
    let weights = weights.map_err(|error| Error::Parameter(format!("weights: {error:?}")))?;
    let layer = |i: usize| FloatLayer {
        weights: weights[run.params[2 * i].range()].to_vec(),
        bias: weights[run.params[2 * i + 1].range()].to_vec(),
    };
    Ok(Trained {
        layers: [0, 1, 2].map(layer),
        blend_bits: cost(held_out, &vec![[0.0; 2]; held_out.len()]),
        bits: run.measure(held_out),
    })
}

/// Mean bits of examples with these outputs of a network: the mean in units, and
/// the binary logarithm of the scale.
pub fn cost(examples: &[Example], outputs: &[[f64; 2]]) -> f64 {
    let bits = examples.iter().zip(outputs).map(|(example, [mean, log])| {
        let unit_q6 = f64::from(1u32 << 28) / f64::from(example.inverse);
        let scale = log.exp2();
        let centre = f64::from(example.missed_q6) / unit_q6 - mean;
        let half = 32.0 / unit_q6;
        let (low, high) = ((centre - half) / scale, (centre + half) / scale);
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let nats = softplus(-high) + softplus(low) - (-(-2.0 * half / scale).exp_m1()).ln();
        nats / std::f64::consts::LN_2
    });
    bits.sum::<f64>() / examples.len().max(1) as f64
}

impl<B: Kernels + TrainBackend> Run<B> {
    fn new(recipe: Recipe, device: B::Device) -> Self {
        let upload = |values: &[f32]| Tensor::<B, 1>::from_data(TensorData::from(values), &device);
        let weights = initial(recipe.seed);
        let zeros = vec![0.0; weights.len()];
        Run {
            adam: Adam {
                weights: upload(&weights),
                mean: upload(&zeros),
                square: upload(&zeros),
                ema: upload(&weights),
            },
            decays: upload(&zeros),
            params: params(),
            recipe,
            device,
        }
    }

    fn leaves<T: TrainBackend<Device = B::Device>>(
        &self,
        weights: &Tensor<B, 1>,
        leaf: impl Fn(Tensor<B, 2>) -> Tensor<T, 2>,
    ) -> Vec<Tensor<T, 2>> {
        let slice = |param: &Param| weights.clone().slice([param.range()]).reshape(param.shape);
        self.params.iter().map(|param| leaf(slice(param))).collect()
    }

    /// One step; gives the bits of a sample before it.
    fn step(&mut self, step: u64, examples: &[Example]) -> Result<f64> {
        let mut random = Random::at(self.recipe.seed, Purpose::Samples, step);
        let chosen = (0..self.recipe.batch).map(|_| &examples[random.below(examples.len())]);
        let batch = Batch::<Autodiff<B>>::new(chosen, &self.device);
        let leaves = self.leaves(&self.adam.weights, |leaf| {
            Tensor::<Autodiff<B>, 2>::from_inner(leaf).require_grad()
        });
        let loss = bits(&leaves, &batch);
        let value = scalar(loss.clone().inner());
        let mut grads = loss.backward();
        let flat = leaves.iter().map(|leaf| {
            let grad = leaf.grad_remove(&mut grads);
            let grad = grad.unwrap_or_else(|| leaf.clone().inner().zeros_like());
            grad.reshape([leaf.dims()[0] * leaf.dims()[1]])
        });
        let grad: Tensor<B, 1> = Tensor::cat(flat.collect(), 0);
        let norm = scalar((grad.clone() * grad.clone()).sum()).sqrt() as f32;
        if !norm.is_finite() {
            return Err(Error::parameter("training diverged"));
        }
        let part = step as f64 / self.recipe.steps as f64;
        let falling = 0.5 * (1.0 + (std::f64::consts::PI * part).cos()) + 0.01;
        let rate = self.recipe.rate * ((step as f64 / WARM_UP).min(1.0) * falling) as f32;
        let count = i32::try_from(step + 1).unwrap_or(i32::MAX);
        let step = AdamStep {
            grad_scale: (CLIP_NORM / norm.max(1e-20)).min(1.0),
            beta1: BETAS[0],
            beta2: BETAS[1],
            rate: rate / (1.0 - BETAS[0].powi(count)),
            square_scale: 1.0 / (1.0 - BETAS[1].powi(count)).sqrt(),
            weight_decay: 0.0,
            ema_decay: EMA.min((1.0 + count as f32) / (10.0 + count as f32)),
        };
        self.adam = adamw(self.adam.clone(), grad, self.decays.clone(), &step);
        Ok(value)
    }

    /// Mean bits of held-out examples with the averaged weights.
    fn measure(&self, held_out: &[Example]) -> f64 {
        let leaves = self.leaves(&self.adam.ema, |leaf| leaf);
        let sums = held_out.chunks(4096).map(|chunk| {
            let batch = Batch::<B>::new(chunk.iter(), &self.device);
            scalar(bits(&leaves, &batch)) * chunk.len() as f64
        });
        sums.sum::<f64>() / held_out.len() as f64
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::data::Picture;
    use burn::backend::Flex;
    use rcodec_image::expert::{outputs, quantise};

    /// A picture of smooth waves under noise that is the larger the brighter it
    /// is: less than half of the samples' bits can be foreseen.
    fn picture(seed: u64) -> Picture {
        let mut random = Random::at(seed, Purpose::Checks, 0);
        let (width, height) = (96, 80);
        let mut rgb = Vec::new();
        for i in 0..width * height {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            let phase = seed as f32;
            let wave = 90.0 + 50.0 * (x / 9.0 + phase).sin() + 40.0 * (y / 7.0 - phase).cos();
            for colour in 0..3 {
                let noise = random.normal() * (1.0 + wave.max(0.0) / 20.0);
                rgb.push((wave + 10.0 * colour as f32 + noise).clamp(0.0, 255.0) as u8);
            }
        }
        Picture { width, height, rgb }
    }

    #[test]
    fn a_network_learns_and_keeps_what_it_knows_in_integers() {
        let pictures =
            |from: u64, to: u64| Collection::from_pictures((from..to).map(picture).collect());
        let train_on = gather(&pictures(0, 6), 1, 2).unwrap();
        let held_out = gather(&pictures(6, 8), 1, 2).unwrap();
        let recipe = Recipe {
            steps: 300,
            batch: 256,
            rate: 3e-3,
            seed: 1,
        };
        let trained: Vec<Trained> = (0..3)
            .map(|colours| {
                let (train_on, held_out) = (&train_on[colours], &held_out[colours]);
                train::<Flex>(train_on, held_out, &recipe, Default::default()).unwrap()
            })
            .collect();
        let layers = trained.iter().map(|trained| trained.layers.clone());
        let layers: Vec<[FloatLayer; 3]> = layers.collect();
        let file = quantise(layers.first_chunk().unwrap()).unwrap();
        for (colours, trained) in trained.iter().enumerate() {
            let held_out = &held_out[colours];
            assert!(trained.bits < trained.blend_bits - 0.01, "{trained:?}");
            let inputs: Vec<_> = held_out.iter().map(|example| example.inputs).collect();
            let found = outputs(&file, colours, &inputs).unwrap();
            let found = found.iter().map(|v| v.map(|v| f64::from(v) / 1024.0));
            let found: Vec<[f64; 2]> = found.collect();
            let integer = cost(held_out, &found);
            assert!(
                (integer - trained.bits).abs() < 0.005,
                "{integer} {}",
                trained.bits
            );
        }
        let nothing = train::<Flex>(&[], &[], &recipe, Default::default());
        assert!(nothing.is_err());
    }

    #[test]
    fn pictures_are_made_smaller_by_means() {
        let rgb: Vec<u8> = (0..5 * 3 * 3).map(|i| i as u8).collect();
        let (header, samples) = reduce(5, &rgb, 2).unwrap();
        assert_eq!((header.width, header.height), (2, 1));
        // Of 0, 3, 15 and 18; of 6, 9, 21 and 24.
        assert_eq!(samples, Samples::U8(vec![9, 10, 11, 15, 16, 17]));
        assert!(reduce(5, &rgb, 4).is_none());
    }
}
