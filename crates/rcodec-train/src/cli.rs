//! The command line.

mod bytelm;
mod expert;
mod export;
mod levels;
mod llm;
mod prior;
mod sound;

use crate::graph::lossy::LossyGraphs;
use crate::recipe::Recipe;
use crate::train::{Options, Speed, Storage, train};
use bytelm::{
    ByteLmArgs, ExportByteLmArgs, MeasureByteLmArgs, TraceArgs, bytelm, export_bytelm,
    measure_bytelm, trace,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use expert::{ExpertArgs, expert};
use export::{ExportArgs, export};
use levels::{LevelsArgs, levels};
use llm::{LlmArgs, llm};
use prior::{PriorArgs, prior};
use rcodec_core::{Error, Result};
use sound::{SoundArgs, sound};
use std::path::PathBuf;
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
    Export(ExportArgs),
    /// Makes a prior for the codec `text` from a folder of texts.
    Prior(PriorArgs),
    /// Learns the tables that lossless coding of sound begins with.
    Sound(SoundArgs),
    /// Trains the network of levels of lossy sound.
    Levels(LevelsArgs),
    /// Trains the learned expert of lossless coding of photographs.
    Expert(ExpertArgs),
    /// Trains a small language model of the Llama family.
    Llm(LlmArgs),
    /// Writes what the core of `text` says of texts, for training `bytelm`.
    Trace(TraceArgs),
    /// Trains the byte network of `text`.
    #[command(name = "bytelm")]
    ByteLm(ByteLmArgs),
    /// Exports the byte network.
    #[command(name = "bytelm-export")]
    ExportByteLm(ExportByteLmArgs),
    /// Measures an exported byte network on traces.
    #[command(name = "bytelm-measure")]
    MeasureByteLm(MeasureByteLmArgs),
    /// Times training steps of a recipe on every backend of this build, on
    /// made-up pictures.
    Speed {
        /// The recipe.
        recipe: PathBuf,
        /// Steps on each backend.
        #[arg(long, default_value_t = 10)]
        steps: u64,
        /// Threads that share a batch.
        #[arg(long, default_value_t = 1)]
        workers: usize,
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
            Some(Command::Speed {
                recipe,
                steps,
                workers,
            }),
            _,
        ) => speeds(&Recipe::read(&recipe)?, (workers, steps)),
        (Some(Command::Export(args)), _) => export(&args),
        (Some(Command::Prior(args)), _) => prior(&args),
        (Some(Command::Levels(args)), _) => levels(&args),
        (Some(Command::Expert(args)), _) => expert(&args),
        (Some(Command::Llm(args)), _) => llm(&args),
        (Some(Command::Trace(args)), _) => trace(&args),
        (Some(Command::ByteLm(args)), _) => bytelm(&args),
        (Some(Command::ExportByteLm(args)), _) => export_bytelm(&args),
        (Some(Command::MeasureByteLm(args)), _) => measure_bytelm(&args),
        (Some(Command::Sound(args)), _) => sound(&args),
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
    train::<burn::backend::Cuda>(recipe, options, cuda_device()?).map(drop)
}

/// The first GPU, if it can be used.
#[cfg(feature = "cuda")]
fn cuda_device() -> Result<burn::backend::cuda::CudaDevice> {
    use burn::backend::Cuda;
    let device = Default::default();
    // The driver's absence is a panic in burn; here it is an error. The first
    // kernel also shows whether nvrtc and its headers are there.
    let probe = || {
        let ones = burn::tensor::Tensor::<Cuda, 1>::ones([2], &device);
        (ones.clone() + ones).into_data().to_vec::<f32>().ok()
    };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(probe));
    std::panic::set_hook(hook);
    if !matches!(&found, Ok(Some(sum)) if sum == &[2.0, 2.0]) {
        return Err(Error::unsupported(
            "no NVIDIA GPU that can be used: training there needs libcuda (the driver), \
             libnvrtc and CUDA's headers; --device cpu works everywhere",
        ));
    }
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn train_on_cuda(_recipe: &Recipe, _options: Options) -> Result<()> {
    Err(Error::unsupported(
        "this build has no CUDA; build it with --features cuda",
    ))
}

/// Times steps on every backend of this build.
fn speeds(recipe: &Recipe, options: (usize, u64)) -> Result<()> {
    let show = |name: &str, speed: Result<Speed>| -> Result<()> {
        let Speed {
            wall_ms,
            cpu_ms,
            loss,
        } = speed?;
        println!("{name:8} {wall_ms:8.1} ms/step  {cpu_ms:8.1} ms of CPU  loss {loss:.5}");
        Ok(())
    };
    #[cfg(feature = "flex")]
    show(
        "flex",
        crate::train::speed::<burn::backend::Flex>(recipe, Default::default(), options),
    )?;
    #[cfg(feature = "ndarray")]
    show(
        "ndarray",
        crate::train::speed::<burn::backend::NdArray>(recipe, Default::default(), options),
    )?;
    #[cfg(feature = "cuda")]
    match cuda_device() {
        Ok(device) => show(
            "cuda",
            crate::train::speed::<burn::backend::Cuda>(recipe, device, options),
        )?,
        Err(error) => println!("cuda     {error}"),
    }
    let _ = (recipe, options, show);
    Ok(())
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
