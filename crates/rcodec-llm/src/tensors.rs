//! Tensors in safetensors files: one file, or several with an index.
//!
//! A file is the length of a header (8 bytes), the header in JSON, and the
//! numbers. Whole files are never held in memory: rows are read where they
//! stand.

use crate::float::{Float, FloatType};
use rcodec_core::{Budget, Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

const MOST_HEADER_BYTES: u64 = 64 << 20;
const MOST_FILES: usize = 1024;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

struct Place {
    file: usize,
    /// From the beginning of the file.
    at: u64,
    float_type: FloatType,
    shape: Vec<u64>,
}

/// A file, on disk or in memory.
trait Source: Read + Seek {}
impl<S: Read + Seek> Source for S {}

/// All tensors of some files, by name.
pub(crate) struct Tensors {
    files: Vec<Box<dyn Source>>,
    places: BTreeMap<String, Place>,
    unread: BTreeSet<String>,
    hasher: blake3::Hasher,
}

impl Tensors {
    /// Reads the headers.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a file is not what it should be, [`Error::Io`].
    pub(crate) fn open(folder: &Path, budget: &Budget) -> Result<Tensors> {
        let mut files: Vec<(String, Box<dyn Source>)> = Vec::new();
        for path in paths(folder, budget)? {
            let name = path.display().to_string();
            let file = File::open(&path);
            let file = file.map_err(|error| Error::Parameter(format!("{name}: {error}")))?;
            files.push((name, Box::new(file)));
        }
        Self::new(files, budget)
    }

    /// Reads the header of one file in memory.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is not what it should be.
    pub(crate) fn of_bytes(file: Vec<u8>, budget: &Budget) -> Result<Tensors> {
        let file: Box<dyn Source> = Box::new(Cursor::new(file));
        Self::new(vec![("the model's tensors".to_owned(), file)], budget)
    }

    fn new(files: Vec<(String, Box<dyn Source>)>, budget: &Budget) -> Result<Tensors> {
        let mut tensors = Tensors {
            files: Vec::new(),
            places: BTreeMap::new(),
            unread: BTreeSet::new(),
            hasher: blake3::Hasher::new(),
        };
        for (name, file) in files {
            tensors.add(&name, file, budget)?;
        }
        tensors.unread = tensors.places.keys().cloned().collect();
        Ok(tensors)
    }

    fn add(&mut self, name: &str, mut file: Box<dyn Source>, budget: &Budget) -> Result<()> {
        let bad = |what: &str| Error::Parameter(format!("{name}: {what}"));
        let len = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(|_| bad("too short"))?;
        let header_bytes = u64::from_le_bytes(head);
        if header_bytes > MOST_HEADER_BYTES || header_bytes + 8 > len {
            return Err(bad("a header longer than the file"));
        }
        // Text, and what becomes of it.
        let _reservation = budget.reserve(8 * header_bytes)?;
        let mut header = Vec::new();
        file.by_ref().take(header_bytes).read_to_end(&mut header)?;
        let header: BTreeMap<String, Value> =
            serde_json::from_slice(&header).map_err(|error| bad(&error.to_string()))?;
        let data_at = 8 + header_bytes;
        for (name, value) in header {
            if name == "__metadata__" {
                continue;
            }
            let entry: Entry =
                serde_json::from_value(value).map_err(|error| bad(&error.to_string()))?;
            let Ok(float_type) = FloatType::from_name(&entry.dtype) else {
                // Masks and the like; an error if they are asked for.
                continue;
            };
            let numbers = entry.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
            let bytes = numbers.and_then(|n| n.checked_mul(float_type.bytes() as u64));
            let [start, end] = entry.data_offsets;
            let fits = end <= len - data_at && end.checked_sub(start) == bytes;
            if !fits || bytes == Some(0) {
                return Err(bad("a tensor that is not where the header says"));
            }
            let place = Place {
                file: self.files.len(),
                at: data_at + start,
                float_type,
                shape: entry.shape,
            };
            if self.places.insert(name, place).is_some() {
                return Err(bad("a tensor that stands in another file, too"));
            }
        }
        self.files.push(file);
        Ok(())
    }

    /// Whether there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The numbers of a vector.
    pub(crate) fn vector(&mut self, name: &str, len: usize) -> Result<Vec<Float>> {
        let mut row = Vec::new();
        self.rows(name, &[len], |next| next(0, &mut row))?;
        Ok(row)
    }

    /// Lends a function that reads the rows of a matrix, in order.
    pub(crate) fn matrix<T>(
        &mut self,
        name: &str,
        (rows, columns): (usize, usize),
        read: impl FnOnce(&mut dyn FnMut(usize, &mut Vec<Float>) -> Result<()>) -> Result<T>,
    ) -> Result<T> {
        self.rows(name, &[rows, columns], read)
    }

    fn rows<T>(
        &mut self,
        name: &str,
        shape: &[usize],
        read: impl FnOnce(&mut dyn FnMut(usize, &mut Vec<Float>) -> Result<()>) -> Result<T>,
    ) -> Result<T> {
        let bad = |what: &str| Error::Parameter(format!("the model's tensor {name}: {what}"));
        let place = self.places.get(name).ok_or_else(|| bad("missing"))?;
        if !place
            .shape
            .iter()
            .copied()
            .eq(shape.iter().map(|&d| d as u64))
        {
            return Err(bad("of another shape than config.json says"));
        }
        self.unread.remove(name);
        let hasher = &mut self.hasher;
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&[place.float_type as u8, shape.len() as u8]);
        for &size in shape {
            hasher.update(&(size as u64).to_le_bytes());
        }
        let columns = shape.last().copied().unwrap_or(1);
        let float_type = place.float_type;
        let file = &mut self.files[place.file];
        file.seek(SeekFrom::Start(place.at))?;
        let mut bytes = vec![0; columns * float_type.bytes()];
        read(&mut |_, row| {
            file.read_exact(&mut bytes)?;
            hasher.update(&bytes);
            float_type.read(&bytes, row).map_err(|_| bad("not finite"))
        })
    }

    /// Fails if a tensor was not asked for, unless it may be passed over; gives
    /// the hash of all that were.
    pub(crate) fn finish(self, may_ignore: impl Fn(&str) -> bool) -> Result<blake3::Hash> {
        match self.unread.iter().find(|name| !may_ignore(name)) {
            Some(name) => Err(Error::unsupported(format!(
                "a model with a tensor {name}: its architecture is not known"
            ))),
            None => Ok(self.hasher.finalize()),
        }
    }
}

/// The files of a folder with tensors.
fn paths(folder: &Path, budget: &Budget) -> Result<Vec<PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(vec![folder.join("model.safetensors")]);
    }
    let bad = |what: String| Error::Parameter(format!("{}: {what}", index.display()));
    let json = read_small(&index, budget)?;
    let json: Value = serde_json::from_slice(&json).map_err(|error| bad(error.to_string()))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| bad("without weight_map".to_owned()))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    // Files of the folder only.
    let is_plain = |name: &&str| {
        let mut parts = Path::new(name).components();
        matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none()
    };
    if names.len() > MOST_FILES || !names.iter().all(is_plain) {
        return Err(bad("names of files that cannot be".to_owned()));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// A whole JSON file, if it is not too large.
pub(crate) fn read_small(path: &Path, budget: &Budget) -> Result<Vec<u8>> {
    let named = |error| Error::Parameter(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(named)?;
    let len = fs::metadata(path)?.len();
    if len > MOST_HEADER_BYTES {
        return Err(Error::Limit("bytes of a model's JSON file"));
    }
    let _reservation = budget.reserve(len)?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
