//! The training loop.

use super::export::export;
use super::network::{LlamaConfig, Network, Param};
use super::tokens::Corpus;
use crate::nn::ops::{Adam, AdamStep, Kernels, adamw};
use crate::random::{Purpose, Random};
use burn::backend::Autodiff;
use burn::tensor::{Int, Tensor, TensorData};
use rcodec_core::{Error, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Sequences that validation looks at.
const HELD_OUT_ROWS: usize = 64;
/// Share of the steps in which the rate rises.
const WARM_UP: f64 = 0.02;
const BETAS: [f32; 2] = [0.9, 0.98];
const CLIP_NORM: f32 = 1.0;

/// What a run is told.
#[derive(Clone, Debug)]
pub struct LlmOptions {
    /// The network.
    pub config: LlamaConfig,
    /// Where the model goes.
    pub out: PathBuf,
    /// Sequences in a batch; their length is the network's context.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f32,
    /// How long to train: the learning rate falls to zero by then.
    pub time: Duration,
    /// For weights and batches.
    pub seed: u64,
}

struct Run<B: Kernels> {
    options: LlmOptions,
    params: Vec<Param>,
    network: Network<Autodiff<B>>,
    adam: Adam<Tensor<B, 1>>,
    decays: Tensor<B, 1>,
    device: B::Device,
}

/// Trains a model and writes it, every few minutes and at the end.
///
/// # Errors
/// [`Error::Parameter`] if there is too little text; [`Error::Io`].
pub fn train_llm<B: Kernels>(
    corpus: &Corpus,
    options: &LlmOptions,
    device: B::Device,
) -> Result<()> {
    if corpus.is_empty() || options.config.max_position_embeddings > 4096 {
        return Err(Error::parameter("too little text, or too long sequences"));
    }
    let mut run = Run::<B>::new(options, device);
    println!(
        "{} weights, {} tokens to train on",
        run.weights()?.len(),
        corpus.len()
    );
    let started = Instant::now();
    let (mut saved, mut mean, mut step) = (Instant::now(), 0.0, 0u64);
    while started.elapsed() < options.time {
        let part = started.elapsed().as_secs_f64() / options.time.as_secs_f64();
        let loss = run.step(corpus, step, part)?;
        mean = if step == 0 {
            loss
        } else {
            mean * 0.98 + loss * 0.02
        };
        step += 1;
        if step.is_multiple_of(50) {
            println!(
                "step {step} at {:.0} s: {mean:.4} nats a token",
                started.elapsed().as_secs_f64()
            );
        }
        if saved.elapsed() > Duration::from_secs(300) {
            saved = Instant::now();
            run.save(corpus)?;
        }
    }
    run.save(corpus)
}

impl<B: Kernels> Run<B> {
    fn new(options: &LlmOptions, device: B::Device) -> Run<B> {
        let config = &options.config;
        let params = config.params();
        let weights = config.initial(options.seed);
        let decays = params.iter().flat_map(|param| {
            let decays = if param.is_norm() { 0.0 } else { 1.0f32 };
            std::iter::repeat_n(decays, param.range().len())
        });
        let decays: Vec<f32> = decays.collect();
        let upload = |values: &[f32]| Tensor::<B, 1>::from_data(TensorData::from(values), &device);
        let zeros = upload(&vec![0.0; weights.len()]);
        Run {
            network: Network::new(config, config.max_position_embeddings, &device),
            adam: Adam {
                weights: upload(&weights),
                mean: zeros.clone(),
                square: zeros,
                ema: upload(&weights),
            },
            decays: upload(&decays),
            options: options.clone(),
            params,
            device,
        }
    }

    fn leaves(&self, weights: &Tensor<B, 1>) -> Vec<Tensor<Autodiff<B>, 2>> {
        let leaf = |param: &Param| {
            let slice = weights.clone().slice([param.range()]).reshape(param.shape);
            Tensor::from_inner(slice)
        };
        self.params.iter().map(leaf).collect()
    }

    fn ids(&self, ids: Vec<i32>) -> Tensor<Autodiff<B>, 2, Int> {
        let length = self.options.config.max_position_embeddings + 1;
        let shape = [ids.len() / length, length];
        Tensor::from_data(TensorData::new(ids, shape), &self.device)
    }

    /// One step, `part` of the time having passed; gives the loss.
    fn step(&mut self, corpus: &Corpus, step: u64, part: f64) -> Result<f64> {
        let length = self.options.config.max_position_embeddings + 1;
        let mut random = Random::at(self.options.seed, Purpose::Samples, step);
        let ids = self.ids(corpus.batch(self.options.batch, length, &mut random));
        let leaves = self.leaves(&self.adam.weights);
        let leaves: Vec<_> = leaves.into_iter().map(Tensor::require_grad).collect();
        let loss = self.network.loss(&leaves, ids);
        let value = f64::from(scalar(loss.clone().inner()));
        let mut grads = loss.backward();
        let flat = leaves.iter().map(|leaf| {
            let grad = leaf.grad_remove(&mut grads);
            let grad = grad.unwrap_or_else(|| leaf.clone().inner().zeros_like());
            let len = leaf.dims()[0] * leaf.dims()[1];
            grad.reshape([len])
        });
        let grad: Tensor<B, 1> = Tensor::cat(flat.collect(), 0);
        let norm = scalar((grad.clone() * grad.clone()).sum()).sqrt();
        if !norm.is_finite() {
            return Err(Error::parameter("training diverged"));
        }
        let shape =
            (part / WARM_UP).min(1.0) * 0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos());
        let rate = self.options.rate * shape.max(0.01) as f32;
        let count = step as i32 + 1;
        let adam_step = AdamStep {
            grad_scale: (CLIP_NORM / norm.max(1e-20)).min(1.0),
            beta1: BETAS[0],
            beta2: BETAS[1],
            rate: rate / (1.0 - BETAS[0].powi(count)),
            square_scale: 1.0 / (1.0 - BETAS[1].powi(count)).sqrt(),
            weight_decay: rate * 0.05,
            ema_decay: 0.99f32.min((1.0 + step as f32) / (10.0 + step as f32)),
        };
        let adam = self.adam.clone();
        self.adam = adamw(adam, grad, self.decays.clone(), &adam_step);
        Ok(value)
    }

    fn weights(&self) -> Result<Vec<f32>> {
        let values = self.adam.ema.to_data().to_vec();
        values.map_err(|error| Error::Parameter(format!("weights that are not f32: {error:?}")))
    }

    /// Validates and writes the averaged weights.
    fn save(&self, corpus: &Corpus) -> Result<()> {
        let length = self.options.config.max_position_embeddings + 1;
        let (rows, tokens) = corpus.held_out(length, HELD_OUT_ROWS);
        let leaves = self.leaves(&self.adam.ema);
        let mut sum = 0.0;
        for row in &rows {
            let loss = self.network.loss(&leaves, self.ids(row.clone()));
            sum += f64::from(scalar(loss.inner()));
        }
        let nats = sum / rows.len().max(1) as f64;
        let bytes_per_token = corpus.held_out_bytes as f64 / tokens.max(1) as f64;
        println!(
            "held out: {nats:.4} nats a token, {:.4} bits a byte",
            nats / std::f64::consts::LN_2 / bytes_per_token
        );
        let weights = self.weights()?;
        export(&self.options.out, &self.options.config, corpus, &weights)
    }
}

fn scalar<B: burn::tensor::backend::Backend>(tensor: Tensor<B, 1>) -> f32 {
    let values = tensor.into_data().to_vec::<f32>().unwrap_or_default();
    values.first().copied().unwrap_or(f32::NAN)
}
