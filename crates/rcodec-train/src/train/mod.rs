//! The training loop.

mod checkpoint;
mod gradient;
mod log;
mod schedule;
mod speed;
mod validate;

pub use checkpoint::{Checkpoint, Progress, Storage};
pub use gradient::{Engine, Losses, Trainer, noise_len};
pub use speed::{Speed, speed};
pub use validate::{Figures, validate};

use crate::codec::QUALITIES;
use crate::data::{Batches, Collection, CropOptions, Source};
use crate::graph::Layout;
use crate::nn::Scales;
use crate::nn::ops::{Adam, adamw};
use crate::recipe::Recipe;
use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, TensorData};
use log::{Curve, Display};
use rcodec_core::{Error, Result};
use schedule::{adam_step, learning_rate};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Steps between choices of the integer scales. With them a run stops and
/// writes checkpoints only at multiples, so that it goes on with the same.
const SLICE: u64 = 50;
/// Room for weights to grow between those choices.
const SCALE_MARGIN: f64 = 1.1;
/// Steps without a finite gradient, one after the other, before the run goes
/// back to its last checkpoint.
const MAX_SKIPPED: u64 = 10;

/// Times a run goes back to the same checkpoint before it gives up.
const MAX_ROLLBACKS: u64 = 5;

/// What a run is told besides its recipe.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where pictures are.
    pub data: PathBuf,
    /// Where checkpoints and curves go.
    pub out: PathBuf,
    /// Go on from the latest checkpoint in `out`.
    pub resume: bool,
    /// Stop after about this long.
    pub time: Option<Duration>,
    /// Stop after this step.
    pub until: Option<u64>,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// How they are stored.
    pub storage: Storage,
    /// Threads that share a batch.
    pub workers: usize,
    /// Threads that prepare batches.
    pub loaders: usize,
    /// For the record.
    pub device_name: String,
    /// Set from outside to stop, with a checkpoint.
    pub stop: Arc<AtomicBool>,
}

/// A run in progress.
struct Run<B: Trainer> {
    recipe: Recipe,
    options: Options,
    engine: Engine<B>,
    adam: Adam<Tensor<B, 1>>,
    decays: Tensor<B, 1>,
    scales: Option<Scales<Autodiff<B>>>,
    progress: Progress,
    train: Arc<Collection>,
    held_out: Collection,
    started: Instant,
    hours_before: f64,
}

/// Trains by a recipe until its last step or until time is up. Gives the last
/// checkpoint, which has also been written.
pub fn train<B: Trainer>(
    recipe: &Recipe,
    options: Options,
    device: B::Device,
) -> Result<Checkpoint> {
    let mut run = Run::<B>::start(recipe, options, device)?;
    run.run()
}

impl<B: Trainer> Run<B> {
    fn start(recipe: &Recipe, options: Options, device: B::Device) -> Result<Run<B>> {
        let (train, held_out) = Collection::open(&options.data)?;
        if train.is_empty() {
            return Err(Error::Parameter(format!(
                "{}: no pictures",
                options.data.display()
            )));
        }
        std::fs::create_dir_all(&options.out)?;
        let engine = Engine::<B>::new(recipe, device, options.workers)?;
        let layout = &engine.graphs().layout;
        let found = Checkpoint::latest(&options.out)?;
        let checkpoint = match found {
            Some(found) if options.resume => checked(found, recipe, layout)?,
            Some(_) => {
                return Err(Error::Parameter(format!(
                    "{} holds a run already: --resume, or another --out",
                    options.out.display()
                )));
            }
            None => first(recipe, layout, &options),
        };
        let adam = upload(&checkpoint.adam, engine.device());
        let decays = layout.decay_mask();
        let decays = Tensor::from_data(TensorData::from(&decays[..]), engine.device());
        let mut progress = checkpoint.progress;
        progress.device.clone_from(&options.device_name);
        progress.data_hash = train.content_hash();
        Ok(Run {
            recipe: recipe.clone(),
            decays,
            engine,
            adam,
            scales: None,
            hours_before: progress.hours,
            progress,
            train: Arc::new(train),
            held_out,
            started: Instant::now(),
            options,
        })
    }

    /// Runs to the end of the recipe or of the time.
    fn run(&mut self) -> Result<Checkpoint> {
        let last = self.recipe.optimizer.steps;
        let last = self.options.until.unwrap_or(last).min(last);
        let curve = Curve::open(&self.options.out)?;
        let mut display = Display::new(last);
        let mut batches = self.batches();
        let (mut skipped, mut rollbacks) = (0, 0);
        let mut saved = Instant::now();
        display.note(&self.greeting());
        while self.progress.step < last {
            let began = Instant::now();
            if self.progress.step.is_multiple_of(SLICE) {
                self.choose_scales()?;
            }
            let batch = batches.next_batch()?;
            let (losses, is_finite) = self.step(&batch)?;
            skipped = if is_finite { 0 } else { skipped + 1 };
            if skipped > MAX_SKIPPED {
                if rollbacks >= MAX_ROLLBACKS {
                    return Err(Error::parameter(
                        "losses and gradients are not finite, again and again: \
                         try a lower learning_rate",
                    ));
                }
                self.roll_back()?;
                rollbacks += 1;
                display.note(&format!("went back to step {}", self.progress.step));
                batches = self.batches();
                skipped = 0;
                continue;
            }
            let rate = learning_rate(&self.recipe.optimizer, self.progress.step);
            self.progress.step += 1;
            display.step(self.progress.step, losses, rate, began.elapsed());
            let step = self.progress.step;
            if step.is_multiple_of(self.recipe.validation.every) || step == last {
                self.validate(&curve, &display)?;
            }
            // Integer scales are those of the last multiple.
            if self.scales.is_none() || step.is_multiple_of(SLICE) {
                if self.is_time_up() || self.options.stop.load(Ordering::Relaxed) {
                    break;
                }
                if saved.elapsed() >= self.options.checkpoint_every {
                    self.checkpoint()?
                        .write(&self.options.out, self.options.storage)?;
                    (saved, rollbacks) = (Instant::now(), 0);
                }
            }
        }
        let checkpoint = self.checkpoint()?;
        let path = checkpoint.write(&self.options.out, self.options.storage)?;
        display.note(&format!("wrote {}", path.display()));
        Ok(checkpoint)
    }

    fn greeting(&self) -> String {
        let (encoder, decoder) = self.engine.graphs().work_per_pixel();
        format!(
            "{}: {} weights, {:.1} kMAC/pixel to encode, {:.1} to decode; {} pictures, {} held out; from step {}",
            self.recipe.name,
            self.engine.graphs().layout.len(),
            encoder / 1e3,
            decoder / 1e3,
            self.train.len(),
            self.held_out.len(),
            self.progress.step,
        )
    }

    /// Loader threads for the steps from this one on.
    fn batches(&self) -> Batches {
        let (recipe, data) = (&self.recipe, &self.recipe.data);
        let source = Source {
            pictures: Arc::clone(&self.train),
            crop: CropOptions {
                size: data.crop,
                min_scale: data.min_scale,
                unscaled_share: data.unscaled_share,
            },
            batch: data.batch,
            qualities: QUALITIES,
            noise: noise_len(self.engine.graphs(), data.crop),
            // After a rollback other crops come.
            seed: recipe.seed ^ (self.progress.rollbacks << 32),
        };
        Batches::start(source, self.progress.step, self.options.loaders)
    }

    /// One step of the optimiser, unless the gradient is not finite.
    fn step(&mut self, batch: &crate::data::Batch) -> Result<(Losses, bool)> {
        let scales = self.scales.as_ref();
        let (losses, gradient) = self.engine.gradient(&self.adam.weights, scales, batch);
        let norm = gradient.clone().powi_scalar(2).sum().sqrt();
        let norm: f32 = norm.into_data().to_vec::<f32>().unwrap_or_default()[0];
        if !norm.is_finite() || !losses.loss.is_finite() {
            self.progress.skipped += 1;
            return Ok((losses, false));
        }
        let step = adam_step(&self.recipe.optimizer, self.progress.step, norm);
        // Moved out, so that it is updated in place.
        let adam = std::mem::replace(&mut self.adam, all_alike(&self.decays));
        self.adam = adamw(adam, gradient, self.decays.clone(), &step);
        Ok((losses, true))
    }

    /// In the last part of a run, the scales of integers.
    fn choose_scales(&mut self) -> Result<()> {
        if self.progress.step < self.recipe.quantized_from() {
            return Ok(());
        }
        let graphs = self.engine.graphs();
        self.scales = Some(Scales::new(
            &graphs.all(),
            &graphs.layout,
            &graphs.config,
            &values(&self.adam.weights)?,
            SCALE_MARGIN,
            (self.engine.device(), DType::F32),
        )?);
        Ok(())
    }

    fn validate(&mut self, curve: &Curve, display: &Display) -> Result<()> {
        if self.held_out.is_empty() || self.recipe.validation.qualities.is_empty() {
            return Ok(());
        }
        let quantized = self.scales.is_some();
        let all = validate::<B>(
            self.engine.graphs(),
            &values(&self.adam.ema)?,
            quantized,
            (&self.held_out, &self.recipe.validation),
            self.engine.device(),
        )?;
        curve.append(self.progress.step, self.hours(), quantized, &all)?;
        let summary = all
            .iter()
            .map(|f| format!("q{} {:.3} bpp {:.2} dB", f.quality, f.bpp(), f.psnr_db));
        let summary: Vec<String> = summary.collect();
        let loss = all.iter().map(|f| f.loss).sum::<f64>() / all.len() as f64;
        display.note(&format!(
            "step {} held out: {}; mean loss {loss:.4}",
            self.progress.step,
            summary.join(", ")
        ));
        let rows = all.iter().map(|f| (f.quality, f.bpp(), f.psnr_db));
        self.progress.validation = rows.collect();
        Ok(())
    }

    /// Hours of training in all.
    fn hours(&self) -> f64 {
        self.hours_before + self.started.elapsed().as_secs_f64() / 3600.0
    }

    fn is_time_up(&self) -> bool {
        let elapsed = self.started.elapsed();
        self.options.time.is_some_and(|time| elapsed >= time)
    }

    /// The run as it stands.
    fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            recipe: self.recipe.clone(),
            fingerprint: self.engine.graphs().layout.fingerprint(),
            progress: Progress {
                hours: self.hours(),
                ..self.progress.clone()
            },
            adam: Adam {
                weights: values(&self.adam.weights)?,
                mean: values(&self.adam.mean)?,
                square: values(&self.adam.square)?,
                ema: values(&self.adam.ema)?,
            },
        })
    }

    /// Back to the last checkpoint, or to the beginning.
    fn roll_back(&mut self) -> Result<()> {
        let layout = &self.engine.graphs().layout;
        let checkpoint = match Checkpoint::latest(&self.options.out)? {
            Some(found) => found,
            None => first(&self.recipe, layout, &self.options),
        };
        self.adam = upload(&checkpoint.adam, self.engine.device());
        self.progress.step = checkpoint.progress.step;
        self.progress.rollbacks += 1;
        self.scales = None;
        Ok(())
    }
}

/// One tensor in every place.
fn all_alike<T: Clone>(tensor: &T) -> Adam<T> {
    Adam {
        weights: tensor.clone(),
        mean: tensor.clone(),
        square: tensor.clone(),
        ema: tensor.clone(),
    }
}

/// Vectors on a device.
fn upload<B: burn::tensor::backend::Backend>(
    adam: &Adam<Vec<f32>>,
    device: &B::Device,
) -> Adam<Tensor<B, 1>> {
    let tensor = |values: &Vec<f32>| Tensor::from_data(TensorData::from(&values[..]), device);
    Adam {
        weights: tensor(&adam.weights),
        mean: tensor(&adam.mean),
        square: tensor(&adam.square),
        ema: tensor(&adam.ema),
    }
}

/// The beginning of a run.
fn first(recipe: &Recipe, layout: &Layout, options: &Options) -> Checkpoint {
    let weights = layout.initial(recipe.seed);
    let zeros = vec![0.0; weights.len()];
    Checkpoint {
        recipe: recipe.clone(),
        fingerprint: layout.fingerprint(),
        progress: Progress {
            step: 0,
            hours: 0.0,
            device: options.device_name.clone(),
            data_hash: String::new(),
            skipped: 0,
            rollbacks: 0,
            validation: Vec::new(),
        },
        adam: Adam {
            ema: weights.clone(),
            weights,
            mean: zeros.clone(),
            square: zeros,
        },
    }
}

/// A checkpoint of the same network; steps, rates and data may have changed.
fn checked(checkpoint: Checkpoint, recipe: &Recipe, layout: &Layout) -> Result<Checkpoint> {
    let is_same = checkpoint.fingerprint == layout.fingerprint()
        && checkpoint.adam.weights.len() == layout.len()
        && checkpoint.recipe.network == recipe.network;
    if is_same {
        Ok(checkpoint)
    } else {
        Err(Error::parameter("the checkpoint is of another network"))
    }
}

/// A tensor's values.
fn values<B: burn::tensor::backend::Backend>(tensor: &Tensor<B, 1>) -> Result<Vec<f32>> {
    let values = tensor.to_data().to_vec();
    values.map_err(|error| Error::Parameter(format!("weights that are not f32: {error:?}")))
}

#[cfg(all(test, feature = "flex"))]
mod tests;
