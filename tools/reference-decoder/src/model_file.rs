//! Files of models (`crates/rcodec-model/MODEL-FORMAT.md`), as far as they hold
//! packed tensors only.

use serde_json::Value;
use std::fs;
use std::path::PathBuf;

use crate::bytes::Bytes;
use crate::coding::{CountedBit, RangeDecoder};
use crate::error::{Error, Result, malformed, not_covered};

/// A folder of models.
pub struct Models {
    folder: PathBuf,
}

impl Default for Models {
    /// Those that the suite comes with.
    fn default() -> Models {
        Models::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models"))
    }
}

impl Models {
    /// Those of the files `*.rcm` in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Models {
        Models {
            folder: folder.into(),
        }
    }

    /// The model with this id.
    pub fn find(&self, id: Id) -> Result<ModelFile> {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "rcm")
                && let Ok(bytes) = fs::read(&path)
                && bytes.get(4..12) == Some(&id[..])
            {
                return ModelFile::read(&bytes);
            }
        }
        let id = u64::from_be_bytes(id);
        Err(Error::NotCovered(format!(
            "{} has no model {id:016x}",
            self.folder.display()
        )))
    }
}

/// What names a model: the first bytes of the hash of its file.
pub type Id = [u8; 8];

/// What a file of packed tensors holds.
pub struct ModelFile {
    /// The family of models that it belongs to.
    pub family: String,
    /// Whether it has networks.
    pub has_graphs: bool,
    /// The names and bytes of its tensors.
    pub packed: Vec<(String, Vec<u8>)>,
}

impl ModelFile {
    fn read(file: &[u8]) -> Result<ModelFile> {
        let mut bytes = Bytes(file);
        if bytes.take(4)? != [0xF7, 0x6D, 0x1A, 1] {
            return malformed("this is no model file of version 1");
        }
        let hash = bytes.take(32)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&file[..4]).update(bytes.0);
        if hasher.finalize().as_bytes() != hash {
            return malformed("the hash of a model file");
        }
        let length = bytes.varint_within(0, 1 << 24)?;
        let coded = part(&mut bytes)?;
        if length > 256 * (coded.len() as u64 + 16) {
            return malformed("the length of a manifest");
        }
        let Ok(manifest) = serde_json::from_slice::<Value>(&manifest(coded, length as usize)?)
        else {
            return malformed("a manifest that is no JSON");
        };
        let list = |of: &Value, name| of[name].as_array().cloned().unwrap_or_default();
        let text = |of: &Value, name| of[name].as_str().unwrap_or_default().to_owned();
        // Where all tensors are packed, there are no tables of elements.
        let mut packed: Vec<(String, Vec<u8>)> = Vec::new();
        for tensor in list(&manifest, "tensors") {
            if text(&tensor, "element") != "packed" {
                return not_covered("a model with tensors that are not packed");
            }
            let dims = list(&tensor, "dims");
            let size: Option<i64> = dims.iter().map(Value::as_i64).product();
            let content = part(&mut bytes)?;
            if size != Some(content.len() as i64) {
                return malformed("the size of a tensor");
            }
            packed.push((text(&tensor, "name"), content.to_vec()));
        }
        bytes.finish()?;
        if !packed.is_sorted_by(|a, b| a.0 < b.0) {
            return malformed("the order of tensors");
        }
        Ok(ModelFile {
            family: text(&manifest["record"], "family"),
            has_graphs: !list(&manifest, "graphs").is_empty(),
            packed,
        })
    }
}

/// A length and as many bytes.
fn part<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8]> {
    let length = bytes.varint()?;
    bytes.take(length)
}

/// The limit of the manifest's counters.
const LIMIT: u32 = 255;

/// The manifest's bytes, of which there are `length`.
fn manifest(coded: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut coder = RangeDecoder::new(coded)?;
    let mut right = [CountedBit::default(); 16];
    let mut tree = vec![CountedBit::default(); 256 * 256];
    let mut table = vec![0; 1 << 14];
    let mut bytes: Vec<u8> = Vec::new();
    let (mut b, mut w, mut m) = (0usize, 0u32, 0usize);
    for i in 0..length {
        let s = (w.wrapping_mul(0x9E37_79B1) >> 18) as usize;
        let place = table[s];
        table[s] = i;
        if place > 0 && right[m].decode(&mut coder, LIMIT)? {
            m = (m + 1).min(15);
            b = usize::from(bytes[place]);
        } else {
            m = 0;
            let mut node = 1;
            for _ in 0..8 {
                node = 2 * node + usize::from(tree[256 * b + node].decode(&mut coder, LIMIT)?);
            }
            b = node % 256;
        }
        bytes.push(b as u8);
        w = w << 8 | b as u32;
    }
    coder.finish()?;
    Ok(bytes)
}
