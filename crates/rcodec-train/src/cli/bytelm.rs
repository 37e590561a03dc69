//! `rcodec-train trace` and `bytelm`: the byte network of `text`.

use super::Device;
use super::export::enter;
use super::prior::files_of;
use crate::bytelm::{
    ByteNet, Checkpoint, Costs, Piece, Recipe, RunOptions, Shape, Streams, measure, quantise, read,
    trace_kind, trace_whole, train_bytelm,
};
use clap::Args;
use cpu_time::ProcessTime;
use rcodec_core::{Budget, Error, Limits, Result};
use rcodec_fixed::Engine;
use rcodec_model::{Model, Record};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes over which the network's speed is measured.
const SPEED_BYTES: usize = 40_000;

/// Writes what the core of `text` says of each bit of some texts: what
/// `bytelm` trains on. Takes about 40 s a megabyte of one core, and 16 bytes a
/// byte.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// Folder with a folder for each kind of text; each kind has at least two
    /// texts.
    #[arg(long)]
    data: PathBuf,
    /// Folder for a trace of each kind.
    #[arg(long)]
    out: PathBuf,
    /// Bytes to take of a text, at most, evenly spread.
    #[arg(long, default_value_t = 1_500_000)]
    most: usize,
    /// Parts of a kind, each traced with a prior of the others: the more, the
    /// more the priors know, and the longer it takes.
    #[arg(long, default_value_t = 4)]
    parts: usize,
    /// Trace every text whole, with this prior (a model file), which has not
    /// seen it: for `bytelm-measure`, or beside the others for validation.
    #[arg(long)]
    prior: Option<PathBuf>,
}

/// Turns a checkpoint's averaged weights into an integer model file.
#[derive(Debug, Args)]
pub(super) struct ExportByteLmArgs {
    /// Folder of the checkpoint.
    #[arg(long)]
    checkpoint: PathBuf,
    /// The model file to write.
    #[arg(long)]
    out: PathBuf,
    /// What the model is called.
    #[arg(long, default_value = "own")]
    variant: String,
    /// Its version.
    #[arg(long, default_value_t = 1)]
    version: u32,
    /// What it was trained on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Licences of the texts.
    #[arg(long, default_value = "")]
    licence: String,
    /// Enter the model into this list of models (MANIFEST.toml).
    #[arg(long)]
    manifest: Option<PathBuf>,
}

/// Runs an exported network over traces, in integers: what the core costs, and
/// what with the network, for the sizes that the traced texts have.
#[derive(Debug, Args)]
pub(super) struct MeasureByteLmArgs {
    /// The model file.
    #[arg(long)]
    model: PathBuf,
    /// Folder of traces.
    #[arg(long)]
    data: PathBuf,
    /// How quickly the head learns on, in 1/65536.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Factor of what the network adds, in 1/256.
    #[arg(long, default_value_t = 256)]
    gain: i32,
    /// Pieces of a kind that are looked at, at most.
    #[arg(long, default_value_t = usize::MAX)]
    pieces: usize,
}

/// Trains the byte network of `text` on traces; `validation.csv` in the output
/// folder says what held-out pieces gain.
#[derive(Debug, Args)]
pub(super) struct ByteLmArgs {
    /// Folder of traces.
    #[arg(long)]
    data: PathBuf,
    /// Folder for the checkpoint and validation.csv.
    #[arg(long)]
    out: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Go on from the checkpoint in the output folder, with the recipe that it
    /// was begun with.
    #[arg(long)]
    resume: bool,
    /// Stop after about this many minutes, with a checkpoint.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Stop after this step, with a checkpoint.
    #[arg(long)]
    until: Option<u64>,
    /// Minutes between checkpoints.
    #[arg(long, default_value_t = 5.0)]
    checkpoint_minutes: f64,
    /// Steps in all: the learning rate falls to zero by then.
    #[arg(long, default_value_t = 20_000)]
    steps: u64,
    /// Width of the rows that are added up.
    #[arg(long, default_value_t = 256)]
    width: usize,
    /// Units of a recurrent layer.
    #[arg(long, default_value_t = 256)]
    units: usize,
    /// Features that the head sees.
    #[arg(long, default_value_t = 256)]
    features: usize,
    /// Rows of each hashed context, as a power of two.
    #[arg(long, default_value_t = 13)]
    words_bits: u32,
    /// Stretches of text in a step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Bytes in a stretch.
    #[arg(long, default_value_t = 256)]
    length: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 3e-3)]
    rate: f32,
    /// What the cost of the network alone, without the core, counts for.
    #[arg(long, default_value_t = 0.5)]
    alone: f32,
    /// For weights and batches.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Traces all kinds.
pub(super) fn trace(args: &TraceArgs) -> Result<()> {
    fs::create_dir_all(&args.out)?;
    for kind in entries(&args.data)? {
        let texts = files_of(&kind)?.into_iter().map(fs::read);
        let texts: Vec<Vec<u8>> = texts.collect::<Result<_, _>>()?;
        let name = kind.file_name().unwrap_or_default().to_string_lossy();
        let new = args.out.join(format!("{name}.new"));
        println!("{name}");
        match &args.prior {
            None => trace_kind(&texts, args.parts, args.most, &new)?,
            Some(prior) => trace_whole(&texts, &model(prior)?, &new)?,
        }
        fs::rename(new, args.out.join(format!("{name}.trace")))?;
    }
    Ok(())
}

/// A model file.
fn model(path: &Path) -> Result<Model> {
    Model::read(&fs::read(path)?, &Budget::new(Limits::default()))
}

/// Exports.
pub(super) fn export_bytelm(args: &ExportByteLmArgs) -> Result<()> {
    let checkpoint = Checkpoint::read(&args.checkpoint)?;
    let record = Record {
        variant: args.variant.clone(),
        version: args.version,
        device: args.device.clone(),
        licence: args.licence.clone(),
        notes: format!("rcodec-train bytelm, {:?}", checkpoint.recipe),
        ..Record::default()
    };
    let (model, file) = quantise(&checkpoint, record)?.build()?;
    ByteNet::from_model(&model)?;
    fs::write(&args.out, &file)?;
    println!("{}: {} bytes", model.name(), file.len());
    match &args.manifest {
        Some(manifest) => enter(manifest, &args.out, (&model, &file), None),
        None => Ok(()),
    }
}

/// Measures, piece by piece.
pub(super) fn measure_bytelm(args: &MeasureByteLmArgs) -> Result<()> {
    let net = ByteNet::from_model(&model(&args.model)?)?;
    let pieces = traces(&args.data)?;
    println!("kind,pieces,bytes,core_bytes,network_bytes,adaptive_bytes,gain,adaptive_gain,kb_s");
    let mut kinds: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
    for piece in pieces.iter().filter(|piece| piece.held_out) {
        kinds.entry(&piece.kind).or_default().push(piece);
    }
    let mut all = Costs::default();
    let (mut count, mut time) = (0, Duration::ZERO);
    for (kind, pieces) in kinds {
        let pieces = &pieces[..pieces.len().min(args.pieces)];
        let start = ProcessTime::now();
        let mut costs = Costs::default();
        for piece in pieces {
            costs.add(&measure(&net, piece, args.rate, args.gain)?);
        }
        let taken = start.elapsed();
        show(kind, pieces.len(), &costs, taken);
        all.add(&costs);
        (count, time) = (count + pieces.len(), time + taken);
    }
    show("all", count, &all, time);
    let sample = pieces.iter().flat_map(|piece| &piece.bytes).copied();
    let sample: Vec<u8> = sample.take(SPEED_BYTES).collect();
    println!("streams,network_kb_s");
    for streams in [1, 2, 4, 8] {
        println!("{streams},{:.0}", speed(&net, &sample, streams)?);
    }
    Ok(())
}

/// Kilobytes a second of one core that the network alone reads in so many
/// streams in lockstep.
fn speed(net: &ByteNet, sample: &[u8], count: usize) -> Result<f64> {
    let budget = Budget::new(Limits::default());
    let mut streams = Streams::new(net, Engine::new(), count, &budget)?;
    let start = ProcessTime::now();
    for bytes in sample.chunks_exact(count) {
        streams.advance(bytes)?;
    }
    let bytes = sample.len() / count * count;
    Ok(bytes as f64 / 1000.0 / start.elapsed().as_secs_f64())
}

fn show(kind: &str, pieces: usize, costs: &Costs, time: Duration) {
    let bytes = |bits: f64| bits / 8.0;
    let gain = |bits: f64| 100.0 * (1.0 - bits / costs.core);
    println!(
        "{kind},{pieces},{},{:.0},{:.0},{:.0},{:.2}%,{:.2}%,{:.0}",
        costs.bytes,
        bytes(costs.core),
        bytes(costs.fixed),
        bytes(costs.adaptive),
        gain(costs.fixed),
        gain(costs.adaptive),
        costs.bytes as f64 / 1000.0 / time.as_secs_f64()
    );
}

/// All pieces of a folder's traces.
fn traces(folder: &Path) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for path in entries(folder)? {
        if path.extension().is_some_and(|e| e == "trace") {
            pieces.extend(read(&path)?);
        }
    }
    Ok(pieces)
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    entries.sort();
    Ok(entries)
}

/// Trains.
pub(super) fn bytelm(args: &ByteLmArgs) -> Result<()> {
    let is_odd = |n: usize| n == 0 || !n.is_multiple_of(16) || n > 4096;
    if is_odd(args.width) || is_odd(args.units) || is_odd(args.features) {
        return Err(Error::parameter("widths are multiples of 16, up to 4096"));
    }
    if !(1..=20).contains(&args.words_bits) || args.batch == 0 || args.length < 8 {
        return Err(Error::parameter(
            "hashed contexts have 2 to 2^20 rows, stretches at least 8 bytes",
        ));
    }
    let pieces = traces(&args.data)?;
    let recipe = Recipe {
        shape: Shape {
            width: args.width,
            units: args.units,
            features: args.features,
            words_bits: args.words_bits,
        },
        steps: args.steps.max(1),
        batch: args.batch,
        length: args.length,
        rate: args.rate,
        alone: args.alone,
        seed: args.seed,
    };
    let minutes = |minutes: f64| {
        Duration::try_from_secs_f64(minutes * 60.0)
            .map_err(|error| Error::Parameter(format!("{minutes} minutes: {error}")))
    };
    let options = RunOptions {
        out: args.out.clone(),
        resume: args.resume,
        time: minutes(args.minutes)?,
        checkpoint_every: minutes(args.checkpoint_minutes)?,
        until: args.until,
    };
    match args.device {
        Device::Cpu => on_cpu(&pieces, recipe, &options),
        Device::Cuda => on_cuda(&pieces, recipe, &options),
    }
}

#[cfg(feature = "flex")]
fn on_cpu(pieces: &[Piece], recipe: Recipe, options: &RunOptions) -> Result<()> {
    train_bytelm::<burn::backend::Flex>(pieces, recipe, options, Default::default()).map(drop)
}

#[cfg(all(feature = "ndarray", not(feature = "flex")))]
fn on_cpu(pieces: &[Piece], recipe: Recipe, options: &RunOptions) -> Result<()> {
    train_bytelm::<burn::backend::NdArray>(pieces, recipe, options, Default::default()).map(drop)
}

#[cfg(not(any(feature = "flex", feature = "ndarray")))]
fn on_cpu(_pieces: &[Piece], _recipe: Recipe, _options: &RunOptions) -> Result<()> {
    Err(Error::unsupported("this build has no CPU backend"))
}

#[cfg(feature = "cuda")]
fn on_cuda(pieces: &[Piece], recipe: Recipe, options: &RunOptions) -> Result<()> {
    let device = super::cuda_device()?;
    train_bytelm::<burn::backend::Cuda>(pieces, recipe, options, device).map(drop)
}

#[cfg(not(feature = "cuda"))]
fn on_cuda(_pieces: &[Piece], _recipe: Recipe, _options: &RunOptions) -> Result<()> {
    Err(Error::unsupported(
        "this build has no CUDA; build it with --features cuda",
    ))
}
