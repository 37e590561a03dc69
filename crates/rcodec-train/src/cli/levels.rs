//! `rcodec-train levels`: the network of lossy sound.

use super::prior::files_of;
use super::sound::read;
use crate::levels::{LevelRecipe, Sound, mixture, trace, train_levels};
use clap::Args;
use rcodec_audio::lossy::experiment::{LevelTrace, level_net};
use rcodec_core::{Error, Result, SampleFormat};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Trains the network that corrects what the codec `audio-lossy` expects of
/// levels on one's own sounds.
#[derive(Debug, Args)]
pub(super) struct LevelsArgs {
    /// Folder of sounds (WAV, AIFF, FLAC; one or two channels, 16 bits); the
    /// folders in it are read, too, and other files are passed over.
    #[arg(long)]
    data: PathBuf,
    /// The network to write: in a checkout of rcodec,
    /// crates/rcodec-audio/src/lossy/levels.bin. Programs built with it read and
    /// write a format of their own.
    #[arg(long, default_value = "levels.bin")]
    out: PathBuf,
    /// Quantisers with which each sound is coded; 26 more halve the bits.
    #[arg(long, value_delimiter = ',', default_value = "180,206,232")]
    quantisers: Vec<i32>,
    /// Steps in all.
    #[arg(long, default_value_t = 6000)]
    steps: u64,
    /// Levels in a step.
    #[arg(long, default_value_t = 2048)]
    batch: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 4e-3)]
    rate: f32,
    /// For weights and batches.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after about this many minutes.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
}

/// Traces, trains and writes.
pub(super) fn levels(args: &LevelsArgs) -> Result<()> {
    let mut sounds = Vec::new();
    for path in files_of(&args.data)? {
        sounds.extend(sound(&path)?);
    }
    let mixtures: Vec<Sound> = sounds
        .iter()
        .zip(sounds.iter().cycle().skip(3))
        .filter(|(a, b)| a.rate == b.rate)
        .map(|(a, b)| mixture(a, b))
        .collect();
    let own = sounds.len();
    sounds.extend(mixtures);
    let traces = trace(&sounds, &args.quantisers)?;
    println!(
        "{own} sounds and {} mixtures of two, {} levels",
        sounds.len() - own,
        traces.len()
    );
    let recipe = LevelRecipe {
        steps: args.steps.max(1),
        batch: args.batch.max(1),
        rate: args.rate,
        seed: args.seed,
        time: Duration::try_from_secs_f64(args.minutes * 60.0)
            .map_err(|error| Error::Parameter(error.to_string()))?,
    };
    fs::write(&args.out, level_net(&on_cpu(&traces, &recipe)?))?;
    println!("{} written", args.out.display());
    Ok(())
}

/// The sound of a file, if it is one that the network can learn from.
fn sound(path: &Path) -> Result<Option<Sound>> {
    let Some((header, samples)) = read(path)? else {
        return Ok(None);
    };
    let fits = header.format == SampleFormat::Int { bits: 16 } && header.channels <= 2;
    Ok(fits.then(|| Sound {
        rate: header.sample_rate,
        channels: header.channels.into(),
        samples: samples.iter().map(|&s| s as i16).collect(),
    }))
}

#[cfg(feature = "flex")]
fn on_cpu(traces: &[LevelTrace], recipe: &LevelRecipe) -> Result<Vec<f32>> {
    train_levels::<burn::backend::Flex>(traces, recipe, Default::default())
}

#[cfg(all(feature = "ndarray", not(feature = "flex")))]
fn on_cpu(traces: &[LevelTrace], recipe: &LevelRecipe) -> Result<Vec<f32>> {
    train_levels::<burn::backend::NdArray>(traces, recipe, Default::default())
}

#[cfg(not(any(feature = "flex", feature = "ndarray")))]
fn on_cpu(_traces: &[LevelTrace], _recipe: &LevelRecipe) -> Result<Vec<f32>> {
    Err(Error::unsupported("this build has no CPU backend"))
}
