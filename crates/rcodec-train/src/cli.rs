//! The command line.

use crate::codec::IntegerCodec;
use crate::data::Collection;
use crate::export::{model_data, parse_name, validate_integer};
use crate::graph::lossy::LossyGraphs;
use crate::recipe::{Recipe, ValidationConfig};
use crate::train::{Checkpoint, Figures, Options, Storage, train, validate};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rcodec_core::{Budget, Error, Limits, Result};
use rcodec_fixed::Engine;
use rcodec_model::Record;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Trains the networks of rcodec and exports them as integer models.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: Option<TrainArgs>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turns a checkpoint's averaged weights into an integer model file.
    Export {
        /// A checkpoint's folder, or the folder of a run: its latest one.
        checkpoint: PathBuf,
        /// The model file to write.
        #[arg(long)]
        out: PathBuf,
        /// Folder of pictures: measures the model, before and after, on those
        /// held out, and keeps the figures in the file.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Licences of the training data and of the model, for the record.
        #[arg(long, default_value = "")]
        licence: String,
    },
    /// Shows what a recipe makes: weights and multiply-adds of each part.
    Describe {
        /// The recipe.
        recipe: PathBuf,
    },
}

#[derive(Debug, Args)]
struct TrainArgs {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// Folder of pictures; a tenth of them is held out for validation.
    #[arg(long)]
    data: PathBuf,
    /// Folder for checkpoints and validation.csv.
    #[arg(long)]
    out: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Go on from the latest checkpoint in the output folder.
    #[arg(long)]
    resume: bool,
    /// Stop after about this many minutes, with a checkpoint.
    #[arg(long)]
    minutes: Option<f64>,
    /// Stop after this step, with a checkpoint.
    #[arg(long)]
    until: Option<u64>,
    /// Minutes between checkpoints.
    #[arg(long, default_value_t = 5.0)]
    checkpoint_minutes: f64,
    /// Write checkpoints of 2.5 instead of 4 numbers for each weight; a run
    /// goes on from them, but not with the very same numbers.
    #[arg(long)]
    compact_checkpoints: bool,
    /// Steps in all, in place of the recipe's.
    #[arg(long)]
    steps: Option<u64>,
    /// Threads that share a batch; all CPUs if not given, 1 on a GPU.
    #[arg(long)]
    workers: Option<usize>,
    /// Threads that prepare batches.
    #[arg(long)]
    loaders: Option<usize>,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Device {
    /// This machine's CPU.
    Cpu,
    /// The first NVIDIA GPU; needs a build with the feature `cuda`.
    Cuda,
}

/// Parses the arguments and does what they say.
pub fn run() -> Result<()> {
    let cli = Cli::parse();
    match (cli.command, cli.train) {
        (Some(Command::Describe { recipe }), _) => describe(&Recipe::read(&recipe)?),
        (
            Some(Command::Export {
                checkpoint,
                out,
                data,
                licence,
            }),
            _,
        ) => export(&checkpoint, &out, data.as_deref(), licence),
        (None, Some(args)) => run_training(&args),
        (None, None) => Err(Error::parameter("a recipe or a command is needed")),
    }
}

fn run_training(args: &TrainArgs) -> Result<()> {
    let mut recipe = Recipe::read(&args.recipe)?;
    recipe.optimizer.steps = args.steps.unwrap_or(recipe.optimizer.steps);
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let minutes = |minutes: f64| {
        Duration::try_from_secs_f64(minutes * 60.0)
            .map_err(|error| Error::Parameter(format!("{minutes} minutes: {error}")))
    };
    let (workers, loaders) = match args.device {
        Device::Cpu => (cpus, 1),
        Device::Cuda => (1, cpus.saturating_sub(2).max(1)),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .map_err(|error| Error::Parameter(error.to_string()))?;
    let options = Options {
        data: args.data.clone(),
        out: args.out.clone(),
        resume: args.resume,
        time: args.minutes.map(minutes).transpose()?,
        until: args.until,
        checkpoint_every: minutes(args.checkpoint_minutes)?,
        storage: match args.compact_checkpoints {
            true => Storage::Compact,
            false => Storage::Exact,
        },
        workers: args.workers.unwrap_or(workers),
        loaders: args.loaders.unwrap_or(loaders),
        device_name: format!("{:?}", args.device).to_lowercase(),
        stop,
    };
    match args.device {
        Device::Cpu => train_on_cpu(&recipe, options),
        Device::Cuda => train_on_cuda(&recipe, options),
    }
}

#[cfg(feature = "flex")]
fn train_on_cpu(recipe: &Recipe, options: Options) -> Result<()> {
    use burn::backend::Flex;
    train::<Flex>(recipe, options, Default::default()).map(drop)
}

#[cfg(all(feature = "ndarray", not(feature = "flex")))]
fn train_on_cpu(recipe: &Recipe, options: Options) -> Result<()> {
    use burn::backend::NdArray;
    train::<NdArray>(recipe, options, Default::default()).map(drop)
}

#[cfg(not(any(feature = "flex", feature = "ndarray")))]
fn train_on_cpu(_recipe: &Recipe, _options: Options) -> Result<()> {
    Err(Error::unsupported("this build has no CPU backend"))
}

#[cfg(feature = "cuda")]
fn train_on_cuda(recipe: &Recipe, options: Options) -> Result<()> {
    use burn::backend::Cuda;
    train::<Cuda>(recipe, options, Default::default()).map(drop)
}

#[cfg(not(feature = "cuda"))]
fn train_on_cuda(_recipe: &Recipe, _options: Options) -> Result<()> {
    Err(Error::unsupported(
        "this build has no CUDA; build it with --features cuda",
    ))
}

/// Weights and work of each graph.
fn describe(recipe: &Recipe) -> Result<()> {
    let graphs = LossyGraphs::new(&recipe.network);
    let layout = &graphs.layout;
    println!("{}: {} weights", recipe.name, layout.len());
    for graph in graphs.all() {
        let prefix = format!("{}.", graph.name);
        let own = layout.params.iter().filter(|p| p.name.starts_with(&prefix));
        println!(
            "  {:16} {:9} weights  {:9.0} MAC for each input position",
            graph.name,
            own.map(|p| p.len()).sum::<usize>(),
            graph.work_per_position(),
        );
    }
    let (encoder, decoder) = graphs.work_per_pixel();
    println!("  encode {encoder:.0}, decode {decoder:.0} MAC/pixel");
    Ok(())
}

/// Writes the model file of a checkpoint.
fn export(checkpoint: &Path, out: &Path, data: Option<&Path>, licence: String) -> Result<()> {
    let found = Checkpoint::latest(checkpoint)?;
    let checkpoint = found
        .ok_or_else(|| Error::Parameter(format!("{}: no checkpoint", checkpoint.display())))?;
    let recipe = &checkpoint.recipe;
    let graphs = LossyGraphs::new(&recipe.network);
    if graphs.layout.fingerprint() != checkpoint.fingerprint {
        return Err(Error::parameter(
            "a checkpoint of another version's network",
        ));
    }
    let mut record = record(&checkpoint, licence)?;
    if let Some(data) = data {
        let (_, held_out) = Collection::open(data)?;
        let on = (&held_out, &recipe.validation);
        let (model, _) = model_data(&graphs, &checkpoint.adam.ema, record.clone())?.build()?;
        let mut codec =
            IntegerCodec::new(&model, Engine::new(), &Budget::new(Limits::unlimited()))?;
        let rd_lambda = |quality: usize| f64::from(recipe.network.rd_lambda(quality as f32));
        let integer = validate_integer(&mut codec, rd_lambda, on)?;
        let float = validate_on_cpu(&graphs, &checkpoint.adam.ema, on)?;
        for (float, integer) in float.iter().zip(&integer) {
            println!(
                "quality {:2}: float {:.4} bpp {:.3} dB, integer {:.4} bpp {:.3} dB, loss {:+.2}%",
                float.quality,
                float.bpp(),
                float.psnr_db,
                integer.bpp(),
                integer.psnr_db,
                100.0 * (integer.loss / float.loss - 1.0),
            );
        }
        record.validation_float = figures(&float);
        record.validation_integer = figures(&integer);
    }
    let data = model_data(&graphs, &checkpoint.adam.ema, record)?;
    let (model, file) = data.build()?;
    std::fs::write(out, &file)?;
    println!(
        "{}: {} bytes, {} weights, step {}",
        model.name(),
        file.len(),
        graphs.layout.len(),
        checkpoint.progress.step
    );
    Ok(())
}

/// How a checkpoint came to be.
fn record(checkpoint: &Checkpoint, licence: String) -> Result<Record> {
    let (family, variant, version) = parse_name(&checkpoint.recipe.name);
    let recipe =
        toml::to_string(&checkpoint.recipe).map_err(|error| Error::Parameter(error.to_string()))?;
    Ok(Record {
        family,
        variant,
        version,
        recipe_hash: blake3::hash(recipe.as_bytes()).to_hex().to_string(),
        data_hash: checkpoint.progress.data_hash.clone(),
        steps: checkpoint.progress.step,
        hours: checkpoint.progress.hours,
        device: checkpoint.progress.device.clone(),
        licence,
        ..Record::default()
    })
}

/// Figures by name and unit.
fn figures(all: &[Figures]) -> BTreeMap<String, f64> {
    let entries = all.iter().flat_map(|f| {
        let at = |name: &str| format!("{name}_quality{}", f.quality);
        [(at("bpp"), f.bpp()), (at("psnr_db"), f.psnr_db)]
    });
    entries.collect()
}

#[cfg(feature = "flex")]
fn validate_on_cpu(
    graphs: &LossyGraphs,
    weights: &[f32],
    on: (&Collection, &ValidationConfig),
) -> Result<Vec<Figures>> {
    validate::<burn::backend::Flex>(graphs, weights, false, on, &Default::default())
}

#[cfg(not(feature = "flex"))]
fn validate_on_cpu(
    _graphs: &LossyGraphs,
    _weights: &[f32],
    _on: (&Collection, &ValidationConfig),
) -> Result<Vec<Figures>> {
    Err(Error::unsupported("measuring needs the feature flex"))
}
