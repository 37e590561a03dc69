//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! A checkpoint is a folder `checkpoint-<step>` with `state.json` and one file
//! of little-endian numbers for each vector. It is written under another name
//! and renamed when complete; hashes tell a damaged one.
//!
//! Compact checkpoints, for machines to which little can be carried, keep all
//! but the weights in 16 bits; a run goes on from them, but not with the very
//! same numbers.

use crate::nn::ops::Adam;
use crate::recipe::Recipe;
use rcodec_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Checkpoints that are kept.
const KEPT: usize = 2;
/// The vectors' files, in the order of [`Adam`]'s fields.
const FILES: [&str; 4] = ["weights", "mean", "square", "ema"];

/// How vectors are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Everything as `f32`.
    #[default]
    Exact,
    /// Weights as `f32`, the optimiser's means and the difference of averaged
    /// weights from weights as `bfloat16`.
    Compact,
}

impl Storage {
    /// The extension of a vector's file, which says what its numbers are.
    fn extension(self, index: usize) -> &'static str {
        match self {
            Storage::Compact if index > 0 => "bf16",
            _ => "f32",
        }
    }
}

/// What is known of a run besides the vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Hours of training, all slices together.
    pub hours: f64,
    /// `cpu` or `cuda`, and what burn calls it.
    pub device: String,
    /// Hash of the training data's file hashes.
    pub data_hash: String,
    /// Steps that were skipped because of infinities.
    pub skipped: u64,
    /// Times the run went back to a checkpoint.
    pub rollbacks: u64,
    /// The latest validation: `(quality, bpp, psnr_db)`.
    pub validation: Vec<(usize, f64, f64)>,
}

/// `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    recipe: Recipe,
    /// Of the layout of weights.
    fingerprint: String,
    progress: Progress,
    #[serde(default)]
    storage: Storage,
    /// BLAKE3 of each vector's file.
    hashes: Vec<String>,
}

/// A run at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it was started with.
    pub recipe: Recipe,
    /// Of the layout of weights.
    pub fingerprint: String,
    /// How far it is.
    pub progress: Progress,
    /// Weights and optimiser.
    pub adam: Adam<Vec<f32>>,
}

impl Checkpoint {
    /// Writes `checkpoint-<step>` into `folder`, which is made if it is not
    /// there, and removes all but the latest few.
    pub fn write(&self, folder: &Path, storage: Storage) -> Result<PathBuf> {
        let name = format!("checkpoint-{:09}", self.progress.step);
        let unfinished = folder.join(format!(".{name}.tmp"));
        fs::create_dir_all(folder)?;
        // Runs that were killed while they wrote one leave it.
        for left in entries(folder, ".checkpoint-")? {
            fs::remove_dir_all(left)?;
        }
        fs::create_dir_all(&unfinished)?;
        let mut hashes = Vec::new();
        for (i, bytes) in self.vectors(storage).into_iter().enumerate() {
            hashes.push(blake3::hash(&bytes).to_hex().to_string());
            write_synced(&unfinished.join(file_name(i, storage)), &bytes)?;
        }
        let state = State {
            recipe: self.recipe.clone(),
            fingerprint: self.fingerprint.clone(),
            progress: self.progress.clone(),
            storage,
            hashes,
        };
        let json = serde_json::to_vec_pretty(&state).map_err(|error| Error::Io(error.into()))?;
        write_synced(&unfinished.join("state.json"), &json)?;
        let finished = folder.join(name);
        if finished.exists() {
            fs::remove_dir_all(&finished)?;
        }
        fs::rename(&unfinished, &finished)?;
        let checkpoints = list(folder)?;
        for old in checkpoints.iter().rev().skip(KEPT) {
            fs::remove_dir_all(old)?;
        }
        Ok(finished)
    }

    /// The files' bytes.
    fn vectors(&self, storage: Storage) -> [Vec<u8>; 4] {
        let adam = &self.adam;
        let exact = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        match storage {
            Storage::Exact => {
                [&adam.weights, &adam.mean, &adam.square, &adam.ema].map(|v| exact(v))
            }
            Storage::Compact => {
                let ema = adam.ema.iter().zip(&adam.weights);
                let ema: Vec<f32> = ema.map(|(ema, weight)| ema - weight).collect();
                let [mean, square, ema] = [&adam.mean, &adam.square, &ema].map(|v| to_bf16(v));
                [exact(&adam.weights), mean, square, ema]
            }
        }
    }

    /// Reads a checkpoint's folder.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Parameter`] for one that is damaged or that
    /// no run can go on from.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let wrong = |what: &str| Error::Parameter(format!("{}: {what}", path.display()));
        let json = fs::read(path.join("state.json"))?;
        let state: State =
            serde_json::from_slice(&json).map_err(|error| wrong(&error.to_string()))?;
        state
            .recipe
            .check()
            .map_err(|error| wrong(&error.to_string()))?;
        let mut vectors = Vec::new();
        for (i, hash) in state.hashes.iter().enumerate().take(FILES.len()) {
            let bytes = fs::read(path.join(file_name(i, state.storage)))?;
            if blake3::hash(&bytes).to_hex().as_str() != hash {
                return Err(wrong("damaged checkpoint"));
            }
            vectors.push(numbers(&bytes, state.storage.extension(i)));
        }
        let [weights, mean, square, mut ema]: [Vec<f32>; 4] = vectors
            .try_into()
            .map_err(|_| wrong("incomplete checkpoint"))?;
        let len = weights.len();
        if [&mean, &square, &ema]
            .iter()
            .any(|vector| vector.len() != len)
        {
            return Err(wrong("vectors of different lengths"));
        }
        let all = weights.iter().chain(&mean).chain(&square).chain(&ema);
        if !all.clone().all(|value| value.is_finite()) {
            return Err(wrong("numbers that are not finite"));
        }
        if state.storage == Storage::Compact {
            for (ema, weight) in ema.iter_mut().zip(&weights) {
                *ema += weight;
            }
        }
        Ok(Checkpoint {
            recipe: state.recipe,
            fingerprint: state.fingerprint,
            progress: state.progress,
            adam: Adam {
                weights,
                mean,
                square,
                ema,
            },
        })
    }

    /// The latest checkpoint in `folder` that can be read, or `folder` itself
    /// if it is one.
    pub fn latest(folder: &Path) -> Result<Option<Checkpoint>> {
        if folder.join("state.json").exists() {
            return Checkpoint::read(folder).map(Some);
        }
        for path in list(folder)?.iter().rev() {
            match Checkpoint::read(path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => eprintln!("passed over: {error}"),
            }
        }
        Ok(None)
    }
}

fn file_name(index: usize, storage: Storage) -> String {
    format!("{}.{}", FILES[index], storage.extension(index))
}

/// The upper halves of `f32`, rounded to nearest.
fn to_bf16(values: &[f32]) -> Vec<u8> {
    let half = |value: &f32| {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        ((rounded >> 16) as u16).to_le_bytes()
    };
    values.iter().flat_map(half).collect()
}

/// Numbers of a file with that extension.
fn numbers(bytes: &[u8], extension: &str) -> Vec<f32> {
    if extension == "bf16" {
        let halves = bytes.chunks_exact(2);
        let bits = halves.map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
        return bits.map(f32::from_bits).collect();
    }
    let values = bytes.chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// The checkpoints of a folder, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    entries(folder, "checkpoint-")
}

/// What is in a folder and has a name that begins so, sorted.
fn entries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(prefix)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Writes a file and waits until it is on the device.
fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::tiny;

    fn checkpoint(step: u64) -> Checkpoint {
        Checkpoint {
            recipe: tiny(),
            fingerprint: "f".to_owned(),
            progress: Progress {
                step,
                hours: 0.1,
                device: "cpu".to_owned(),
                data_hash: String::new(),
                skipped: 0,
                rollbacks: 0,
                validation: vec![(8, 0.5, 30.25)],
            },
            adam: Adam {
                weights: vec![1.0, -0.0],
                mean: vec![f32::MIN_POSITIVE, 3.0],
                square: vec![0.1, 0.2],
                ema: vec![9.0, 8.0],
            },
        }
    }

    #[test]
    fn checkpoints_come_back_and_damaged_ones_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Checkpoint::latest(folder.path()).unwrap().is_none());
        let left = folder.path().join(".checkpoint-000000030.tmp");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("weights.f32"), [0; 8]).unwrap();
        assert!(Checkpoint::latest(folder.path()).unwrap().is_none());
        for step in [50, 100, 1000] {
            checkpoint(step)
                .write(folder.path(), Storage::Exact)
                .unwrap();
        }
        assert_eq!(list(folder.path()).unwrap().len(), KEPT);
        assert!(!left.exists());
        let latest = || Checkpoint::latest(folder.path()).unwrap().unwrap();
        assert_eq!(latest(), checkpoint(1000));
        let newest = folder.path().join("checkpoint-000001000");
        fs::write(newest.join("ema.f32"), [0; 8]).unwrap();
        assert_eq!(latest(), checkpoint(100));
        assert!(Checkpoint::read(&newest).is_err());
    }

    #[test]
    fn compact_checkpoints_are_close_and_keep_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        let written = checkpoint(7);
        written.write(folder.path(), Storage::Compact).unwrap();
        let read = Checkpoint::latest(folder.path()).unwrap().unwrap();
        assert_eq!(read.adam.weights, written.adam.weights);
        for (read, written) in [
            (read.adam.mean, written.adam.mean),
            (read.adam.square, written.adam.square),
            (read.adam.ema, written.adam.ema),
        ] {
            for (read, written) in read.iter().zip(&written) {
                assert!(
                    (read - written).abs() <= 0.01 * written.abs(),
                    "{read} {written}"
                );
            }
        }
    }

    #[test]
    fn hostile_checkpoints_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(7).write(folder.path(), Storage::Exact).unwrap();
        let path = folder.path().join("checkpoint-000000007");
        let good = fs::read_to_string(path.join("state.json")).unwrap();
        assert!(Checkpoint::read(&path).is_ok());
        let state = |from: &str, to: &str| {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good, "{from}");
            fs::write(path.join("state.json"), changed).unwrap();
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            fs::write(path.join("state.json"), &good).unwrap();
            error
        };
        // Sizes that no machine has, and numbers that no run can go on from.
        for (from, to) in [
            ("\"c1\": 24", "\"c1\": 999999999999"),
            ("\"n1\": 1", "\"n1\": 4000000000"),
            ("\"crop\": 64", "\"crop\": 6400000000"),
            ("\"batch\": 2", "\"batch\": 0"),
            ("\"anchors\": 4", "\"anchors\": 0"),
            ("\"step\": 7", "\"step\": -7"),
            ("\"hashes\": [", "\"hashes\": [ \"00\","),
            ("\"storage\": \"exact\"", "\"storage\": \"compact\""),
            ("{", "["),
        ] {
            assert!(!state(from, to).is_empty());
        }
        fs::write(path.join("state.json"), &good[..good.len() / 2]).unwrap();
        assert!(Checkpoint::read(&path).is_err());
        fs::write(path.join("state.json"), [0xff; 9]).unwrap();
        assert!(Checkpoint::read(&path).is_err());

        // Vectors that fit their hashes and nothing else.
        let rewritten = |index: usize, bytes: &[u8]| {
            let mut state: State = serde_json::from_str(&good).unwrap();
            state.hashes[index] = blake3::hash(bytes).to_hex().to_string();
            fs::write(path.join(file_name(index, Storage::Exact)), bytes).unwrap();
            let json = serde_json::to_vec(&state).unwrap();
            fs::write(path.join("state.json"), json).unwrap();
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            checkpoint(7).write(folder.path(), Storage::Exact).unwrap();
            error
        };
        assert!(rewritten(1, &[0; 12]).contains("different lengths"));
        assert!(rewritten(2, &[]).contains("different lengths"));
        let nan = f32::NAN.to_le_bytes();
        assert!(rewritten(3, &[nan, nan].concat()).contains("not finite"));
    }
}
