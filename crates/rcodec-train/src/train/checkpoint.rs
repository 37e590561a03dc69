//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! A checkpoint is a folder `checkpoint-<step>` with `state.json` and one file
//! of little-endian `f32` for each vector. It is written under another name
//! and renamed when complete; hashes tell a damaged one.

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
const FILES: [&str; 4] = ["weights.f32", "mean.f32", "square.f32", "ema.f32"];

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
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let name = format!("checkpoint-{:09}", self.progress.step);
        let unfinished = folder.join(format!(".{name}.tmp"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        let adam = &self.adam;
        let mut hashes = Vec::new();
        for (file, values) in FILES
            .iter()
            .zip([&adam.weights, &adam.mean, &adam.square, &adam.ema])
        {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            hashes.push(blake3::hash(&bytes).to_hex().to_string());
            write_synced(&unfinished.join(file), &bytes)?;
        }
        let state = State {
            recipe: self.recipe.clone(),
            fingerprint: self.fingerprint.clone(),
            progress: self.progress.clone(),
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

    /// Reads a checkpoint's folder.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let wrong = |what: &str| Error::Parameter(format!("{}: {what}", path.display()));
        let json = fs::read(path.join("state.json"))?;
        let state: State =
            serde_json::from_slice(&json).map_err(|error| wrong(&error.to_string()))?;
        let mut vectors = Vec::new();
        for (file, hash) in FILES.iter().zip(&state.hashes) {
            let bytes = fs::read(path.join(file))?;
            if blake3::hash(&bytes).to_hex().as_str() != hash {
                return Err(wrong("damaged checkpoint"));
            }
            let values = bytes.chunks_exact(4);
            let values: Vec<f32> = values
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            vectors.push(values);
        }
        let [weights, mean, square, ema]: [Vec<f32>; 4] = vectors
            .try_into()
            .map_err(|_| wrong("incomplete checkpoint"))?;
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

/// The checkpoints of a folder, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("checkpoint-")) {
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
        for step in [50, 100, 1000] {
            checkpoint(step).write(folder.path()).unwrap();
        }
        assert_eq!(list(folder.path()).unwrap().len(), KEPT);
        let latest = || Checkpoint::latest(folder.path()).unwrap().unwrap();
        assert_eq!(latest(), checkpoint(1000));
        let newest = folder.path().join("checkpoint-000001000");
        fs::write(newest.join("ema.f32"), [0; 8]).unwrap();
        assert_eq!(latest(), checkpoint(100));
        assert!(Checkpoint::read(&newest).is_err());
    }
}
