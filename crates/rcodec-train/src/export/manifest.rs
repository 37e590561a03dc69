//! The list of released models, `models/MANIFEST.toml`: which file is which
//! model, how it was trained, and what was measured.

use rcodec_core::{Error, Result};
use rcodec_model::Record;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// What the file begins with.
const HEADER: &str = "\
# The released models; `rcodec-train export --manifest` writes this file.
# `blake3` is of the file, the hashes under `record` are explained in
# rcodec-model. Losses are bits/pixel + lambda * squared error, on pictures held
# out from training: of burn's floats, of burn by the integer rules, and of the
# exported model.

";

/// All models, in the order of their files' names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models.
    #[serde(default)]
    pub models: Vec<Entry>,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// With the beginning of its id, as in `image-lossy-s1-9f3c`.
    pub name: String,
    /// In the folder of the list.
    pub file: String,
    /// Length of the file.
    pub bytes: usize,
    /// Hash of the file, hexadecimal.
    pub blake3: String,
    /// How it came to be.
    pub record: Record,
    /// What it does on held-out pictures.
    #[serde(default)]
    pub validation: Vec<Loss>,
}

/// Means over held-out pictures at one quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Quality step, 0 to 63.
    pub quality: usize,
    /// Bits per pixel of the exported model.
    pub bpp: f64,
    /// Its PSNR in dB.
    pub psnr_db: f64,
    /// Before quantisation.
    pub loss_float: f64,
    /// After it.
    pub loss_quantized: f64,
    /// After export.
    pub loss_exported: f64,
}

impl Manifest {
    /// Reads a list; a file that is not there is an empty one.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a file that is no list of models.
    pub fn read(path: &Path) -> Result<Manifest> {
        if !path.exists() {
            return Ok(Manifest::default());
        }
        let text = fs::read_to_string(path)?;
        toml::from_str(&text)
            .map_err(|error| Error::Parameter(format!("{}: {error}", path.display())))
    }

    /// Puts an entry in, in place of the one with the same file.
    pub fn enter(&mut self, entry: Entry) {
        self.models.retain(|other| other.file != entry.file);
        self.models.push(entry);
        self.models.sort_by(|a, b| a.file.cmp(&b.file));
    }

    /// Writes the list.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text =
            toml::to_string_pretty(self).map_err(|error| Error::Parameter(error.to_string()))?;
        Ok(fs::write(path, HEADER.to_owned() + &text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, bytes: usize) -> Entry {
        Entry {
            name: "image-lossy-s1-0000".to_owned(),
            file: file.to_owned(),
            bytes,
            blake3: String::new(),
            record: Record::default(),
            validation: vec![Loss {
                quality: 4,
                bpp: 0.25,
                psnr_db: 30.0,
                loss_float: 1.0,
                loss_quantized: 1.01,
                loss_exported: 1.01,
            }],
        }
    }

    #[test]
    fn entries_are_replaced_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("MANIFEST.toml");
        let mut list = Manifest::read(&path).unwrap();
        assert!(list.models.is_empty());
        for (file, bytes) in [("b.rcm", 1), ("a.rcm", 2), ("b.rcm", 3)] {
            list.enter(entry(file, bytes));
        }
        list.write(&path).unwrap();
        let read = Manifest::read(&path).unwrap();
        assert_eq!(read, list);
        let sizes: Vec<usize> = read.models.iter().map(|model| model.bytes).collect();
        assert_eq!(sizes, [2, 3]);
        fs::write(&path, "models = 3").unwrap();
        assert!(Manifest::read(&path).is_err());
    }
}
