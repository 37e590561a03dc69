//! Where models are found: in the program itself, in the folders that
//! `RCODEC_MODELS` names, in the platform's data folder; in this order.
//!
//! A registry is a list of places, nothing more: it holds no models, and looks
//! at the folders anew each time it is asked.

use crate::file::{EXTENSION, HEAD_BYTES, Summary, peek_id, peek_summary, read_summary};
use crate::model::Model;
use rcodec_core::{Budget, Error, ModelId, Reservation, Result};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The environment variable with folders of models, separated as in `PATH`.
pub const VARIABLE: &str = "RCODEC_MODELS";

/// The released models: files as they are in `models/`. A static, so that a
/// program holds them once.
#[cfg(feature = "embedded")]
pub static EMBEDDED: &[&[u8]] = &[
    include_bytes!("../../../models/image-lossy-example.rcm"),
    include_bytes!("../../../models/text-code.rcm"),
    include_bytes!("../../../models/text-data.rcm"),
    include_bytes!("../../../models/text-lm.rcm"),
    include_bytes!("../../../models/text-prose.rcm"),
];
/// Without the feature `embedded` there are none.
#[cfg(not(feature = "embedded"))]
pub static EMBEDDED: &[&[u8]] = &[];

/// The most files of a folder that are looked at.
const MAX_FILES: usize = 4096;

/// Folders that a program added.
static ADDED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Adds a folder in which [`Registry::from_env`] looks first, in this process:
/// for programs that keep models with their own data.
pub fn add_folder(folder: PathBuf) {
    let mut added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    added.push(folder);
}

/// Files that a program added.
static ADDED_FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Adds a model's file, which [`Registry::from_env`] knows before all folders,
/// in this process: for models that the user names.
pub fn add_path(file: PathBuf) {
    let mut added = ADDED_FILES.lock().unwrap_or_else(PoisonError::into_inner);
    added.push(file);
}

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the program.
    Embedded,
    /// In a file.
    File(PathBuf),
}

/// A model that was found, or what looked like one.
#[derive(Debug)]
pub struct Entry {
    /// Where.
    pub source: Source,
    /// What it says of itself, or why it cannot be read.
    pub summary: Result<Summary>,
}

/// Places to look for models.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    embedded: Vec<Cow<'static, [u8]>>,
    /// Files named one by one.
    paths: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// A file's bytes and what was charged for them.
struct FileBytes {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl Registry {
    /// The embedded models, those of [`add_path`] and [`add_folder`], the folders of
    /// `RCODEC_MODELS`, and the platform's data folder.
    pub fn from_env() -> Registry {
        let added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folders = added.clone();
        // Without the variable nothing is split, which wasm32 has no way to do.
        if let Some(named) = env::var_os(VARIABLE) {
            let named = env::split_paths(&named);
            folders.extend(named.filter(|folder| !folder.as_os_str().is_empty()));
        }
        folders.extend(data_folder());
        let paths = ADDED_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        Registry {
            paths: paths.clone(),
            embedded: EMBEDDED.iter().map(|&file| Cow::Borrowed(file)).collect(),
            folders,
        }
    }

    /// The embedded models and the given folders, in that order.
    pub fn with_folders(folders: Vec<PathBuf>) -> Registry {
        Registry {
            paths: Vec::new(),
            embedded: EMBEDDED.iter().map(|&file| Cow::Borrowed(file)).collect(),
            folders,
        }
    }

    /// Adds a model file that is in memory already, before all others.
    pub fn add_file(&mut self, file: Vec<u8>) {
        self.embedded.insert(0, Cow::Owned(file));
    }

    /// The folders that are looked at, in order; not all of them need exist.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Every model file, those that cannot be read included. Their hashes are
    /// checked, their graphs not: for that, [`Registry::load`] them.
    pub fn list(&self, budget: &Budget) -> Vec<Entry> {
        let embedded = self.embedded.iter().map(|file| Entry {
            source: Source::Embedded,
            summary: read_summary(file, budget),
        });
        let files = self.files().map(|path| Entry {
            summary: read_file(&path, budget).and_then(|file| read_summary(&file.bytes, budget)),
            source: Source::File(path),
        });
        embedded.chain(files).collect()
    }

    /// Loads and checks the model of that id: what decoders call. A file with
    /// this id that proves damaged is passed over if there is another.
    ///
    /// # Errors
    /// [`Error::ModelMissing`] if there is none; what is wrong with it if
    /// there is one that cannot be used.
    pub fn load(&self, id: ModelId, budget: &Budget) -> Result<Model> {
        let mut fault = Error::ModelMissing(id);
        for file in &self.embedded {
            if peek_id(file).is_ok_and(|found| found == id) {
                match Model::read(file, budget) {
                    Ok(model) => return Ok(model),
                    Err(error) => fault = error,
                }
            }
        }
        for path in self.files() {
            // Only the head of a file is read to see whether it is the one.
            if !peek_file(&path).is_ok_and(|found| found == id) {
                continue;
            }
            match open(&path, budget) {
                Ok(model) => return Ok(model),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// Whether there is a file that says it is the model of that id. Only heads
    /// of files are read; [`Registry::load`] checks the rest.
    pub fn has(&self, id: ModelId) -> bool {
        let mut embedded = self.embedded.iter();
        embedded.any(|file| peek_id(file).is_ok_and(|found| found == id))
            || self
                .files()
                .any(|path| peek_file(&path).is_ok_and(|found| found == id))
    }

    /// The id of the model of that name: `image-lossy-s1-9f3c`, or
    /// `image-lossy-s1` if that says enough, or all 16 digits of the id. What
    /// encoders call.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no model, or models of several ids, have the
    /// name.
    pub fn find(&self, name: &str, budget: &Budget) -> Result<ModelId> {
        let mut found: Vec<Summary> = self
            .list(budget)
            .into_iter()
            .filter_map(|entry| entry.summary.ok())
            .filter(|summary| is_called(summary, name))
            .collect();
        found.sort_by_key(|summary| summary.id);
        found.dedup_by_key(|summary| summary.id);
        match &found[..] {
            [one] => Ok(one.id),
            [] => Err(Error::Parameter(format!("there is no model {name}"))),
            several => {
                let names: Vec<String> = several
                    .iter()
                    .map(|summary| {
                        format!("{} ({})", summary.record.model_name(summary.id), summary.id)
                    })
                    .collect();
                Err(Error::Parameter(format!(
                    "{name} may be {}",
                    names.join(" or ")
                )))
            }
        }
    }

    /// An encoder's choice when nobody asked for another: of the first of these
    /// variants of a family of which there are models, the one of the highest
    /// version. Its hash has not been compared: [`Registry::load`] does that.
    pub fn best(&self, family: &str, variants: &[&str], budget: &Budget) -> Option<Summary> {
        let rank = |summary: &Summary| {
            let is_variant = |variant: &&str| **variant == summary.record.variant;
            let place = variants.iter().position(is_variant)?;
            Some((Reverse(place), summary.record.version))
        };
        let embedded = self.embedded.iter().map(|file| peek_summary(file, budget));
        let files = self.files().map(|path| {
            let file = read_file(&path, budget)?;
            peek_summary(&file.bytes, budget)
        });
        embedded
            .chain(files)
            .filter_map(Result::ok)
            .filter(|summary| summary.record.family == family && rank(summary).is_some())
            // Among equals the first place wins.
            .reduce(|best, next| {
                if rank(&next) > rank(&best) {
                    next
                } else {
                    best
                }
            })
    }

    /// Files named one by one, then those with a model's extension, folder
    /// after folder, by name.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let in_folders = self.folders.iter().flat_map(|folder| files_of(folder));
        self.paths.iter().cloned().chain(in_folders)
    }
}

/// The model files of a folder; none if it cannot be read.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == EXTENSION)
        })
        .take(MAX_FILES)
        .collect();
    files.sort();
    files
}

fn is_called(summary: &Summary, name: &str) -> bool {
    summary.record.model_name(summary.id) == name
        || summary.record.short_name() == name
        || summary.id.to_string() == name
}

fn peek_file(path: &Path) -> Result<ModelId> {
    let mut head = Vec::new();
    File::open(path)?
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    peek_id(&head)
}

/// Reads and checks the model file at `path`, wherever that is.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, and those of [`Model::read`].
pub fn open(path: &Path, budget: &Budget) -> Result<Model> {
    let file = read_file(path, budget)?;
    Model::read(&file.bytes, budget)
}

/// Reads a whole file, if it is not larger than a model may be.
fn read_file(path: &Path, budget: &Budget) -> Result<FileBytes> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > budget.limits().max_model_bytes {
        return Err(Error::Limit("bytes of a model"));
    }
    let reservation = budget.reserve(len)?;
    let mut bytes = Vec::new();
    // What a file grows by meanwhile is not read.
    file.take(len).read_to_end(&mut bytes)?;
    Ok(FileBytes {
        bytes,
        _reservation: reservation,
    })
}

/// The folder for models that the platform means for programs' data.
fn data_folder() -> Option<PathBuf> {
    let folder = |variable: &str, tail: &[&str]| -> Option<PathBuf> {
        let base: OsString = env::var_os(variable).filter(|value| !value.is_empty())?;
        let mut path = PathBuf::from(base);
        path.extend(tail);
        Some(path)
    };
    if cfg!(windows) {
        folder("LOCALAPPDATA", &["rcodec", "models"])
    } else if cfg!(target_os = "macos") {
        folder(
            "HOME",
            &["Library", "Application Support", "rcodec", "models"],
        )
    } else {
        folder("XDG_DATA_HOME", &["rcodec", "models"])
            .or_else(|| folder("HOME", &[".local", "share", "rcodec", "models"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::tiny_model;
    use rcodec_core::Limits;

    fn budget() -> Budget {
        Budget::new(Limits::default())
    }

    #[test]
    fn models_are_found_by_id_and_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let (first, file) = tiny_model(1).build().unwrap();
        fs::write(other.path().join("any-name.rcm"), file).unwrap();
        let mut second = tiny_model(2);
        second.record.version = 2;
        let (second, file) = second.build().unwrap();
        fs::write(folder.path().join("b.rcm"), &file).unwrap();
        fs::write(folder.path().join("c.rcm"), &file[..file.len() - 1]).unwrap();
        fs::write(folder.path().join("notes.txt"), "not a model").unwrap();
        let missing = folder.path().join("nowhere");
        let registry = Registry::with_folders(vec![
            missing,
            folder.path().to_owned(),
            other.path().to_owned(),
        ]);

        assert_eq!(
            registry.load(first.id(), &budget()).unwrap().id(),
            first.id()
        );
        assert_eq!(
            registry.load(second.id(), &budget()).unwrap().id(),
            second.id()
        );
        let absent = ModelId([7; 8]);
        assert!(matches!(
            registry.load(absent, &budget()),
            Err(Error::ModelMissing(id)) if id == absent
        ));
        for name in [
            first.name(),
            "image-lossy-s1".to_owned(),
            first.id().to_string(),
        ] {
            assert_eq!(registry.find(&name, &budget()).unwrap(), first.id());
        }
        assert!(registry.find("image-lossy-s3", &budget()).is_err());
        let best = registry.best("image-lossy", &["l", "s"], &budget());
        assert_eq!(best.unwrap().id, second.id());
        assert!(registry.best("image-lossy", &["l"], &budget()).is_none());

        let list = registry.list(&budget());
        assert_eq!(list.len(), EMBEDDED.len() + 3);
        let broken: Vec<_> = list.iter().filter(|entry| entry.summary.is_err()).collect();
        assert_eq!(broken.len(), 1);
        assert!(matches!(&broken[0].source, Source::File(path) if path.ends_with("c.rcm")));
    }

    #[test]
    fn a_damaged_file_is_passed_over_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let (model, file) = tiny_model(1).build().unwrap();
        let mut damaged = file.clone();
        damaged[HEAD_BYTES + 100] ^= 1;
        fs::write(folder.path().join("a.rcm"), &damaged).unwrap();
        let registry = Registry::with_folders(vec![folder.path().to_owned()]);
        let result = registry.load(model.id(), &budget());
        assert!(matches!(result, Err(Error::Checksum { .. })));
        fs::write(folder.path().join("b.rcm"), &file).unwrap();
        assert!(registry.load(model.id(), &budget()).is_ok());
        let mut registry = Registry::default();
        registry.add_file(file);
        assert!(registry.load(model.id(), &budget()).is_ok());
    }

    #[test]
    fn two_models_of_one_name_must_be_told_apart() {
        let mut registry = Registry::default();
        let ids: Vec<ModelId> = [1, 2]
            .map(|seed| {
                let (model, file) = tiny_model(seed).build().unwrap();
                registry.add_file(file);
                model.id()
            })
            .to_vec();
        let error = registry
            .find("image-lossy-s1", &budget())
            .unwrap_err()
            .to_string();
        assert!(
            ids.iter().all(|id| error.contains(&id.to_string())),
            "{error}"
        );
        assert_eq!(
            registry.find(&ids[0].to_string(), &budget()).unwrap(),
            ids[0]
        );
    }

    #[test]
    fn every_embedded_model_is_sound() {
        for file in EMBEDDED {
            Model::read(file, &budget()).unwrap();
        }
    }

    #[test]
    fn large_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (model, file) = tiny_model(1).build().unwrap();
        fs::write(folder.path().join("a.rcm"), &file).unwrap();
        let limits = Limits {
            max_model_bytes: file.len() as u64 - 1,
            ..Limits::default()
        };
        let registry = Registry::with_folders(vec![folder.path().to_owned()]);
        let result = registry.load(model.id(), &Budget::new(limits));
        assert!(matches!(result, Err(Error::Limit(_))));
    }
}
