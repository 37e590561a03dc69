//! Loss and gradients of a batch, on one or several threads.

use crate::codec::{HYPER_FACTOR, LATENT_FACTOR};
use crate::data::Batch;
use crate::graph::lossy::LossyGraphs;
use crate::lossy::{Masks, Rounding, forward};
use crate::nn::ops::{Kernels, TrainBackend};
use crate::nn::{Network, Qualities, Scales};
use crate::recipe::{Precision, Recipe};
use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, TensorData};
use rcodec_core::{Error, Result};
use std::thread;

/// Squared error that counts as much as the whole range of MS-SSIM.
const MS_SSIM_SCALE: f32 = 1000.0;

/// Means over a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub loss: f32,
    /// Bits of the latents per pixel.
    pub bpp_y: f32,
    /// Bits of the hyper latents per pixel.
    pub bpp_z: f32,
    /// Squared error of 8-bit samples.
    pub mse: f32,
}

/// A backend to train on: without history, gradients come from `Autodiff` of
/// it.
pub trait Trainer: Kernels + TrainBackend {}

impl<B: Kernels + TrainBackend> Trainer for B {}

/// What every step needs.
pub struct Engine<B: Trainer> {
    graphs: LossyGraphs,
    recipe: Recipe,
    device: B::Device,
    /// Threads that share a batch.
    workers: usize,
    /// For each worker, those of its part of the batch.
    masks: Vec<Masks<Autodiff<B>>>,
}

/// Random numbers that an image of `size * size` needs.
pub fn noise_len(graphs: &LossyGraphs, size: usize) -> usize {
    let (y, z) = noise_parts(graphs, size);
    y + z
}

fn noise_parts(graphs: &LossyGraphs, size: usize) -> (usize, usize) {
    let (latent, hyper) = (size / LATENT_FACTOR, size / HYPER_FACTOR);
    (
        latent * latent * graphs.config.latents,
        hyper * hyper * graphs.config.hyper_latents,
    )
}

impl<B: Trainer> Engine<B> {
    /// For a recipe; at most one worker for each image of a batch.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the backend lacks the recipe's precision.
    pub fn new(recipe: &Recipe, device: B::Device, workers: usize) -> Result<Engine<B>> {
        if recipe.optimizer.precision == Precision::Bf16 && !B::supports_dtype(&device, DType::BF16)
        {
            return Err(Error::unsupported(
                "this backend has no bf16: take precision = \"f32\"",
            ));
        }
        let graphs = LossyGraphs::new(&recipe.network);
        let workers = workers.clamp(1, recipe.data.batch);
        let size = recipe.data.crop;
        let masks = parts(recipe.data.batch, workers)
            .map(|part| Masks::new(&graphs, [part.len(), size, size], (&device, DType::F32)))
            .collect();
        Ok(Engine {
            graphs,
            recipe: recipe.clone(),
            device,
            workers,
            masks,
        })
    }

    /// The network.
    pub fn graphs(&self) -> &LossyGraphs {
        &self.graphs
    }

    /// Where it runs.
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// Loss and flat gradient of a batch.
    pub fn gradient(
        &self,
        weights: &Tensor<B, 1>,
        scales: Option<&Scales<Autodiff<B>>>,
        batch: &Batch,
    ) -> (Losses, Tensor<B, 1>) {
        let images = batch.quality.len();
        let work: Vec<_> = parts(images, self.workers).zip(&self.masks).collect();
        let part = |(part, masks): &(std::ops::Range<usize>, &Masks<Autodiff<B>>)| {
            self.part(weights, scales, batch, part.clone(), masks)
        };
        let mut results: Vec<_> = match &work[..] {
            [one] => vec![part(one)],
            several => thread::scope(|scope| {
                let part = &part;
                let threads: Vec<_> = several
                    .iter()
                    .map(|work| scope.spawn(move || part(work)))
                    .collect();
                let results = threads.into_iter().map(|thread| thread.join());
                results
                    .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            }),
        };
        // Always in the order of the parts: sums do not depend on timing.
        let (mut losses, mut gradient) = results.remove(0);
        for (more, grad) in results {
            losses.loss += more.loss;
            losses.bpp_y += more.bpp_y;
            losses.bpp_z += more.bpp_z;
            losses.mse += more.mse;
            gradient = gradient + grad;
        }
        (losses, gradient)
    }

    /// The share of some images in loss and gradient.
    fn part(
        &self,
        weights: &Tensor<B, 1>,
        scales: Option<&Scales<Autodiff<B>>>,
        batch: &Batch,
        images: std::ops::Range<usize>,
        masks: &Masks<Autodiff<B>>,
    ) -> (Losses, Tensor<B, 1>) {
        let layout = &self.graphs.layout;
        let leaves: Vec<Tensor<Autodiff<B>, 1>> = layout
            .params
            .iter()
            .map(|spec| Tensor::from_inner(weights.clone().slice([spec.range()])).require_grad())
            .collect();
        let network = Network::new(layout, leaves.clone(), scales);
        let network = match self.recipe.optimizer.precision {
            Precision::F32 => network,
            Precision::Bf16 => network.with_products_of(DType::BF16),
        };
        let qualities = &batch.quality[images.clone()];
        let on = (&self.device, DType::F32);
        let share = self.recipe.optimizer.ms_ssim_share;
        let (x, rounding) = self.inputs(batch, images.clone());
        let outcome = forward(
            &self.graphs,
            &network,
            &Qualities::new(qualities, &self.graphs.config, on),
            masks,
            x,
            (&rounding, share > 0.0),
        );
        let pixels = (self.recipe.data.crop * self.recipe.data.crop) as f32;
        let count = batch.quality.len() as f32;
        let (rate_weights, mse_weights) = self.loss_weights(qualities, pixels * count, count);
        let bits = outcome.bits_y.clone() + outcome.bits_z.clone();
        let mut error = outcome.mse.clone() * (1.0 - share);
        if let Some(ms_ssim) = outcome.ms_ssim {
            error = error + (ms_ssim.neg().add_scalar(1.0)) * (share * MS_SSIM_SCALE);
        }
        let loss = (bits * rate_weights + error * mse_weights).sum();
        let means = [
            loss.clone(),
            outcome.bits_y.sum() / (pixels * count),
            outcome.bits_z.sum() / (pixels * count),
            outcome.mse.sum() / count,
        ];
        let means: Tensor<Autodiff<B>, 1> = Tensor::cat(means.to_vec(), 0);
        let mut grads = loss.backward();
        let flat: Vec<Tensor<B, 1>> = leaves
            .iter()
            .map(|leaf| {
                leaf.grad_remove(&mut grads)
                    .unwrap_or_else(|| leaf.clone().inner().zeros_like())
            })
            .collect();
        let means = means.into_data().to_vec::<f32>().unwrap_or_default();
        let mean = |i: usize| means.get(i).copied().unwrap_or(f32::NAN);
        let losses = Losses {
            loss: mean(0),
            bpp_y: mean(1),
            bpp_z: mean(2),
            mse: mean(3),
        };
        (losses, Tensor::cat(flat, 0))
    }

    /// Samples and noise of some images.
    fn inputs(
        &self,
        batch: &Batch,
        images: std::ops::Range<usize>,
    ) -> (Tensor<Autodiff<B>, 4>, Rounding<Autodiff<B>>) {
        let (n, size) = (images.len(), self.recipe.data.crop);
        let per_image = size * size * 3;
        let x = batch.images[images.start * per_image..images.end * per_image].to_vec();
        let (y_len, z_len) = noise_parts(&self.graphs, size);
        let (mut y, mut z) = (Vec::new(), Vec::new());
        for image in images {
            let noise = &batch.noise[image * (y_len + z_len)..][..y_len + z_len];
            y.extend_from_slice(&noise[..y_len]);
            z.extend_from_slice(&noise[y_len..]);
        }
        let tensor = |values: Vec<f32>, side: usize, channels: usize| {
            let data = TensorData::new(values, [n, side, side, channels]);
            Tensor::<Autodiff<B>, 4>::from_data(data, &self.device)
        };
        let config = &self.graphs.config;
        let rounding = Rounding::Noise {
            y: tensor(y, size / LATENT_FACTOR, config.latents),
            z: tensor(z, size / HYPER_FACTOR, config.hyper_latents),
        };
        (tensor(x, size, 3), rounding)
    }

    /// Weights of bits and of squared errors: `(bits/pixel + λ·mse) · λ^-e`,
    /// relative to the middle quality.
    fn loss_weights(
        &self,
        qualities: &[usize],
        pixels: f32,
        count: f32,
    ) -> (Tensor<Autodiff<B>, 1>, Tensor<Autodiff<B>, 1>) {
        let config = &self.graphs.config;
        let middle = config.rd_lambda((crate::codec::QUALITIES - 1) as f32 / 2.0);
        let exponent = -self.recipe.optimizer.lambda_exponent;
        let (mut rate, mut mse) = (Vec::new(), Vec::new());
        for &quality in qualities {
            let lambda = config.rd_lambda(quality as f32);
            let weight = (lambda / middle).powf(exponent);
            rate.push(weight / pixels);
            mse.push(weight * lambda / count);
        }
        let tensor = |values: Vec<f32>| {
            let len = values.len();
            Tensor::<Autodiff<B>, 1>::from_data(TensorData::new(values, [len]), &self.device)
        };
        (tensor(rate), tensor(mse))
    }
}

/// `0..len` in `count` parts.
fn parts(len: usize, count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..count).map(move |i| i * len / count..(i + 1) * len / count)
}
