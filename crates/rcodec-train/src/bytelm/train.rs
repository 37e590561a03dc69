//! The training loop.

use super::contexts::{COUNT, Contexts};
use super::data::{Piece, cost};
use super::network::{Batch, Param, Shape, losses};
use crate::nn::ops::{Adam, AdamStep, Kernels, TrainBackend, adamw};
use crate::random::{Purpose, Random};
use burn::backend::Autodiff;
use burn::tensor::{Int, Tensor, TensorData};
use rcodec_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Share of the steps in which the rate rises.
const WARM_UP: f64 = 0.02;
const BETAS: [f32; 2] = [0.9, 0.98];
const CLIP_NORM: f32 = 1.0;
const EMA: f32 = 0.995;
/// Bytes of held-out pieces that are looked at, from their beginnings, and how
/// many of each kind.
const HELD_OUT_BYTES: usize = 1024;
const HELD_OUT_PIECES: usize = 32;
/// The last checkpoint in an output folder.
const CHECKPOINT: &str = "bytelm.ckpt";

/// What a run is made with: it belongs to the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The network.
    pub shape: Shape,
    /// Steps in all: the learning rate falls to zero by then.
    pub steps: u64,
    /// Stretches of text in a step, and their length in bytes.
    pub batch: usize,
    /// Bytes in a stretch.
    pub length: usize,
    /// The highest learning rate.
    pub rate: f32,
    /// What the cost of the network alone counts for.
    pub alone: f32,
    /// For weights and batches.
    pub seed: u64,
}

/// What a run is told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Folder for the checkpoint and `validation.csv`.
    pub out: PathBuf,
    /// Go on from the checkpoint.
    pub resume: bool,
    /// Stop with a checkpoint after this long.
    pub time: Duration,
    /// Stop with a checkpoint after this step.
    pub until: Option<u64>,
    /// How often to validate and to write a checkpoint.
    pub checkpoint_every: Duration,
}

/// A checkpoint: the recipe, how far it is, and the optimiser's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How the run was begun.
    pub recipe: Recipe,
    /// Steps done.
    pub step: u64,
    /// Seconds that they took.
    pub seconds: f64,
    /// Weights, the optimiser's means, and averaged weights.
    pub state: Adam<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    recipe: Recipe,
    step: u64,
    seconds: f64,
}

impl Checkpoint {
    /// Before the first step.
    pub fn begin(recipe: Recipe) -> Checkpoint {
        let weights = recipe.shape.initial(recipe.seed);
        let zeros = vec![0.0; weights.len()];
        let state = Adam {
            mean: zeros.clone(),
            square: zeros,
            ema: weights.clone(),
            weights,
        };
        Checkpoint {
            recipe,
            step: 0,
            seconds: 0.0,
            state,
        }
    }

    /// Reads the checkpoint of a folder.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Parameter`] for a file that is none.
    pub fn read(folder: &Path) -> Result<Checkpoint> {
        let file = fs::read(folder.join(CHECKPOINT))?;
        let read = || {
            let (len, rest) = file.split_first_chunk()?;
            let (head, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            let head: Head = serde_json::from_slice(head).ok()?;
            let params = head.recipe.shape.params();
            let len = params.last().map_or(0, |param| param.range().end);
            let values = rest.as_chunks().0.iter().map(|&v| f32::from_le_bytes(v));
            let values: Vec<f32> = values.collect();
            let mut parts = values.chunks_exact(len).map(<[f32]>::to_vec);
            let mut next = || parts.next();
            Some(Checkpoint {
                recipe: head.recipe,
                step: head.step,
                seconds: head.seconds,
                state: Adam {
                    weights: next()?,
                    mean: next()?,
                    square: next()?,
                    ema: next()?,
                },
            })
        };
        read().ok_or_else(|| Error::parameter("a checkpoint of another form"))
    }

    /// Writes it, in place of the one that is there.
    fn write(&self, folder: &Path) -> Result<()> {
        let head = Head {
            recipe: self.recipe.clone(),
            step: self.step,
            seconds: self.seconds,
        };
        let json = |error: serde_json::Error| Error::Parameter(error.to_string());
        let head = serde_json::to_vec(&head).map_err(json)?;
        let mut file = (head.len() as u32).to_le_bytes().to_vec();
        file.extend(head);
        let state = &self.state;
        for part in [&state.weights, &state.mean, &state.square, &state.ema] {
            file.extend(part.iter().flat_map(|value| value.to_le_bytes()));
        }
        let (new, path) = (folder.join("bytelm.new"), folder.join(CHECKPOINT));
        fs::write(&new, file)?;
        Ok(fs::rename(new, path)?)
    }
}

struct Run<B: Kernels + TrainBackend> {
    recipe: Recipe,
    params: Vec<Param>,
    step: u64,
    adam: Adam<Tensor<B, 1>>,
    decays: Tensor<B, 1>,
    device: B::Device,
}

/// Trains until the steps are done or the time is up; gives the checkpoint that
/// was written last.
///
/// # Errors
/// [`Error::Parameter`] if there is too little text or training diverges;
/// [`Error::Io`].
pub fn train_bytelm<B: Kernels + TrainBackend>(
    pieces: &[Piece],
    recipe: Recipe,
    options: &RunOptions,
    device: B::Device,
) -> Result<Checkpoint> {
    fs::create_dir_all(&options.out)?;
    let mut last = match options.resume {
        true => Checkpoint::read(&options.out)?,
        false => Checkpoint::begin(recipe),
    };
    let (held_out, train): (Vec<&Piece>, Vec<&Piece>) =
        pieces.iter().partition(|piece| piece.held_out);
    let enough = |piece: &&Piece| piece.bytes.len() >= last.recipe.length;
    let train: Vec<&Piece> = train.into_iter().filter(enough).collect();
    let bytes: usize = train.iter().map(|piece| piece.bytes.len()).sum();
    if train.is_empty() || held_out.is_empty() {
        return Err(Error::parameter("too little text"));
    }
    let mut run = Run::<B>::new(&last, device);
    println!(
        "{} weights, {} multiply-adds a byte, {bytes} bytes to train on, step {} of {}",
        last.state.weights.len(),
        last.recipe.shape.work(),
        run.step,
        last.recipe.steps,
    );
    let (started, before) = (Instant::now(), last.seconds);
    let (mut saved, mut gain) = (Instant::now(), None);
    loop {
        let end = options.until.unwrap_or(u64::MAX).min(run.recipe.steps);
        let done = run.step >= end || started.elapsed() >= options.time;
        if done || saved.elapsed() >= options.checkpoint_every {
            saved = Instant::now();
            last = Checkpoint {
                recipe: run.recipe.clone(),
                step: run.step,
                seconds: before + started.elapsed().as_secs_f64(),
                state: run.state()?,
            };
            last.write(&options.out)?;
            run.validate(&held_out, &options.out, last.seconds)?;
        }
        if done {
            return Ok(last);
        }
        let [with, without] = run.train_step(&train)?;
        let now = 1.0 - with / without;
        let mean = gain.map_or(now, |gain: f64| gain + 0.02 * (now - gain));
        gain = Some(mean);
        if run.step.is_multiple_of(50) {
            println!(
                "step {} at {:.0} s: {with:.4} for {without:.4} bits a byte, gain {:.3}%",
                run.step,
                before + started.elapsed().as_secs_f64(),
                100.0 * mean
            );
        }
    }
}

impl<B: Kernels + TrainBackend> Run<B> {
    fn new(checkpoint: &Checkpoint, device: B::Device) -> Run<B> {
        let params = checkpoint.recipe.shape.params();
        let decays = params.iter().flat_map(|param| {
            let decays = match param.name {
                "table" => 0.0,
                name if name.ends_with("bias") => 0.0,
                _ => 1.0f32,
            };
            std::iter::repeat_n(decays, param.range().len())
        });
        let decays: Vec<f32> = decays.collect();
        let upload = |values: &[f32]| Tensor::<B, 1>::from_data(TensorData::from(values), &device);
        let state = &checkpoint.state;
        Run {
            adam: Adam {
                weights: upload(&state.weights),
                mean: upload(&state.mean),
                square: upload(&state.square),
                ema: upload(&state.ema),
            },
            decays: upload(&decays),
            recipe: checkpoint.recipe.clone(),
            step: checkpoint.step,
            params,
            device,
        }
    }

    fn state(&self) -> Result<Adam<Vec<f32>>> {
        let download = |tensor: &Tensor<B, 1>| {
            let values = tensor.to_data().to_vec::<f32>();
            values.map_err(|error| Error::Parameter(format!("weights: {error:?}")))
        };
        Ok(Adam {
            weights: download(&self.adam.weights)?,
            mean: download(&self.adam.mean)?,
            square: download(&self.adam.square)?,
            ema: download(&self.adam.ema)?,
        })
    }

    fn leaves<T: TrainBackend<Device = B::Device>>(
        &self,
        weights: &Tensor<B, 1>,
        leaf: impl Fn(Tensor<B, 2>) -> Tensor<T, 2>,
    ) -> Vec<Tensor<T, 2>> {
        let slice = |param: &Param| weights.clone().slice([param.range()]).reshape(param.shape);
        self.params.iter().map(|param| leaf(slice(param))).collect()
    }

    /// One step; gives its cost of a byte with and without the network.
    fn train_step(&mut self, pieces: &[&Piece]) -> Result<[f64; 2]> {
        let recipe = &self.recipe;
        let mut random = Random::at(recipe.seed, Purpose::Samples, self.step);
        let stretches = (0..recipe.batch).map(|_| stretch(pieces, recipe.length, &mut random));
        let stretches: Vec<_> = stretches.collect();
        let (batch, without) = batch::<Autodiff<B>>(&recipe.shape, &stretches, &self.device);
        let leaves = self.leaves(&self.adam.weights, |leaf| {
            Tensor::<Autodiff<B>, 2>::from_inner(leaf).require_grad()
        });
        let [loss, alone] = losses(&leaves, &batch);
        let value = f64::from(scalar(loss.clone().inner()));
        let loss = match recipe.alone > 0.0 {
            true => loss + alone * recipe.alone,
            false => loss,
        };
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
        let part = self.step as f64 / recipe.steps as f64;
        let falling = 0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos());
        let rate = recipe.rate * ((part / WARM_UP).min(1.0) * falling).max(0.01) as f32;
        let count = self.step as i32 + 1;
        let step = AdamStep {
            grad_scale: (CLIP_NORM / norm.max(1e-20)).min(1.0),
            beta1: BETAS[0],
            beta2: BETAS[1],
            rate: rate / (1.0 - BETAS[0].powi(count)),
            square_scale: 1.0 / (1.0 - BETAS[1].powi(count)).sqrt(),
            weight_decay: rate * 0.02,
            ema_decay: EMA.min((1.0 + count as f32) / (10.0 + count as f32)),
        };
        self.adam = adamw(self.adam.clone(), grad, self.decays.clone(), &step);
        self.step += 1;
        Ok([value, without])
    }

    /// What the averaged weights gain on held-out pieces, by kind; appended to
    /// `validation.csv`.
    fn validate(&self, held_out: &[&Piece], out: &Path, seconds: f64) -> Result<()> {
        let leaves = self.leaves(&self.adam.ema, |leaf| leaf);
        let mut kinds: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
        for piece in held_out {
            if piece.bytes.len() >= HELD_OUT_BYTES {
                kinds.entry(&piece.kind).or_default().push(piece);
            }
        }
        let path = out.join("validation.csv");
        let is_new = !path.exists();
        let mut csv = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        if is_new {
            writeln!(
                csv,
                "step,seconds,kind,core_bits,bits,gain_percent,alone_bits"
            )?;
        }
        for (kind, pieces) in kinds {
            let every = pieces.len().div_ceil(HELD_OUT_PIECES);
            let stretches = pieces.iter().step_by(every).map(|piece| {
                let core = &piece.core_q8[..HELD_OUT_BYTES];
                (&[][..], &piece.bytes[..HELD_OUT_BYTES], core)
            });
            let stretches: Vec<_> = stretches.collect();
            let (batch, without) = batch::<B>(&self.recipe.shape, &stretches, &self.device);
            let [with, alone] = losses(&leaves, &batch).map(|loss| f64::from(scalar(loss)));
            let gain = 100.0 * (1.0 - with / without);
            println!(
                "held out: {kind} {with:.4} for {without:.4} bits a byte, gain {gain:.2}%, \
                 alone {alone:.4}"
            );
            let step = self.step;
            writeln!(
                csv,
                "{step},{seconds:.0},{kind},{without:.4},{with:.4},{gain:.3},{alone:.4}"
            )?;
        }
        Ok(())
    }
}

/// What stands before a stretch of text, the stretch, and what the core says.
type Stretch<'p> = (&'p [u8], &'p [u8], &'p [[i16; 8]]);

/// A random stretch, any as likely as any other: pieces' beginnings are few, and
/// would soon be known by heart.
fn stretch<'p>(pieces: &[&'p Piece], length: usize, random: &mut Random) -> Stretch<'p> {
    let places = |piece: &Piece| (piece.bytes.len() + 1).saturating_sub(length);
    let mut at = random.below(pieces.iter().map(|piece| places(piece)).sum());
    let mut chosen = pieces[0];
    for &piece in pieces {
        chosen = piece;
        if at < places(piece) {
            break;
        }
        at -= places(piece);
    }
    let range = at..at + length;
    (
        &chosen.bytes[..at],
        &chosen.bytes[range.clone()],
        &chosen.core_q8[range],
    )
}

/// A batch of stretches of one length, and the core's cost of a byte.
fn batch<B: TrainBackend>(
    shape: &Shape,
    stretches: &[Stretch<'_>],
    device: &B::Device,
) -> (Batch<B>, f64) {
    let steps = stretches.iter().map(|s| s.1.len()).min().unwrap_or(0);
    let count = stretches.len();
    let rows = steps * count;
    let mut ids = vec![0i32; rows * COUNT];
    let (mut nodes, mut signs, mut core) = (
        vec![0i32; rows * 8],
        vec![0f32; rows * 8],
        vec![0f32; rows * 8],
    );
    let mut bits = 0.0;
    for (i, &(before, bytes, predicted)) in stretches.iter().enumerate() {
        let mut contexts = Contexts::new(shape.words_bits);
        let known = before.len().saturating_sub(256);
        before[known..]
            .iter()
            .for_each(|&byte| contexts.advance(byte));
        bits += cost(&bytes[..steps], predicted);
        for (step, (&byte, predicted)) in bytes.iter().zip(predicted).take(steps).enumerate() {
            let row = step * count + i;
            for (to, id) in ids[row * COUNT..].iter_mut().zip(contexts.ids()) {
                *to = id as i32;
            }
            for (bit, &x_q8) in predicted.iter().enumerate() {
                let at = row * 8 + bit;
                nodes[at] = (256 | i32::from(byte)) >> (8 - bit);
                signs[at] = if byte >> (7 - bit) & 1 == 1 {
                    1.0
                } else {
                    -1.0
                };
                core[at] = signs[at] * f32::from(x_q8) / 256.0;
            }
            contexts.advance(byte);
        }
    }
    let floats = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [rows, 8]), device);
    let batch = Batch {
        steps,
        ids: Tensor::from_data(TensorData::new(ids, [rows * COUNT]), device),
        nodes: Tensor::<B, 2, Int>::from_data(TensorData::new(nodes, [rows, 8]), device),
        core: floats(core),
        signs: floats(signs),
    };
    (batch, bits / rows as f64)
}

fn scalar<B: burn::tensor::backend::Backend>(tensor: Tensor<B, 1>) -> f32 {
    let values = tensor.into_data().to_vec::<f32>().unwrap_or_default();
    values.first().copied().unwrap_or(f32::NAN)
}
