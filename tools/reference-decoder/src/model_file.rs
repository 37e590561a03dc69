//! Files of models (`crates/rcodec-model/MODEL-FORMAT.md`), as far as they hold
//! packed tensors only.

use std::fs;
use std::path::PathBuf;

use crate::coding::{CountedBit, RangeDecoder};
use crate::json::{self, Value};
use crate::{Error, Result, varint};

/// A folder of models.
pub struct Models {
    folder: PathBuf,
}

impl Models {
    /// Those of the files `*.rcm` in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Models {
        Models { folder: folder.into() }
    }

    /// The model with this id.
    pub(crate) fn find(&self, id: [u8; 8]) -> Result<ModelFile> {
        let entries = fs::read_dir(&self.folder)
            .map_err(|e| Error::from(format!("{}: {e}", self.folder.display())))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "rcm") {
                let bytes =
                    fs::read(&path).map_err(|e| Error::from(format!("{}: {e}", path.display())))?;
                if bytes.get(4..12) == Some(&id[..]) {
                    return ModelFile::read(&bytes);
                }
            }
        }
        let id: String = id.iter().map(|b| format!("{b:02x}")).collect();
        Err(Error::from(format!("no model {id} in {}", self.folder.display())))
    }
}

/// An id as the pages write it.
pub(crate) fn id_of_hex(hex: &str) -> [u8; 8] {
    u64::from_str_radix(hex, 16).expect("sixteen hexadecimal digits").to_be_bytes()
}

/// What a file of packed tensors holds.
pub(crate) struct ModelFile {
    pub(crate) family: String,
    pub(crate) has_graphs: bool,
    /// Names and contents.
    pub(crate) packed: Vec<(String, Vec<u8>)>,
}

impl ModelFile {
    fn read(bytes: &[u8]) -> Result<ModelFile> {
        if bytes.len() < 36 || bytes[..4] != [0xF7, 0x6D, 0x1A, 1] {
            return Err("model: not a file of version 1".into());
        }
        let mut hash = blake3::Hasher::new();
        hash.update(&bytes[..4]);
        hash.update(&bytes[36..]);
        if hash.finalize().as_bytes()[..] != bytes[4..36] {
            return Err("model: its hash is not that of its bytes".into());
        }
        let mut rest = &bytes[36..];
        let length = varint(&mut rest)?;
        let coded = part(&mut rest)?;
        if length > 1 << 24 || length > 256 * (coded.len() as u64 + 16) {
            return Err("model: length of the manifest".into());
        }
        let manifest = json::parse(&manifest(coded, length as usize)?)?;
        let family = manifest.get("record").and_then(|r| r.get("family"));
        let mut file = ModelFile {
            family: family.and_then(Value::text).unwrap_or_default().to_owned(),
            has_graphs: manifest.get("graphs").is_some_and(|g| !g.items().is_empty()),
            packed: Vec::new(),
        };
        // With nothing but packed tensors there are no tables of elements.
        for tensor in manifest.get("tensors").map_or(&[][..], Value::items) {
            let text = |name| tensor.get(name).and_then(Value::text);
            if text("element") != Some("packed") {
                return Err("model: tensors that are not packed are not covered".into());
            }
            let dims = tensor.get("dims").map_or(&[][..], Value::items);
            let size = dims.iter().map(Value::number).product::<Option<i64>>();
            let content = part(&mut rest)?.to_vec();
            if size != Some(content.len() as i64) {
                return Err("model: size of a tensor".into());
            }
            file.packed.push((text("name").unwrap_or_default().to_owned(), content));
        }
        if !rest.is_empty() || !file.packed.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("model: malformed".into());
        }
        Ok(file)
    }
}

/// A length and as many bytes.
fn part<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).unwrap_or(usize::MAX);
    let (part, rest) = bytes.split_at_checked(length).ok_or(Error::from("model: cut"))?;
    *bytes = rest;
    Ok(part)
}

/// The limit of the manifest's counters.
const LIMIT: u32 = 255;

/// The manifest's bytes, of which there are `length`.
fn manifest(coded: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut coder = RangeDecoder::new(coded)?;
    let mut right = vec![CountedBit::new(32768, 0); 16];
    let mut tree = vec![CountedBit::new(32768, 0); 256 * 256];
    let mut table = vec![0; 1 << 14];
    let mut bytes: Vec<u8> = Vec::new();
    let (mut b, mut w, mut m) = (0usize, 0u32, 0usize);
    let mut decode = |model: &mut CountedBit| -> Result<bool> {
        let bit = coder.bit(model.p1())?;
        model.update(bit, LIMIT);
        Ok(bit)
    };
    for i in 0..length {
        let s = (w.wrapping_mul(0x9E37_79B1) >> 18) as usize;
        let place = table[s];
        table[s] = i;
        if place > 0 && decode(&mut right[m])? {
            m = (m + 1).min(15);
            b = usize::from(bytes[place]);
        } else {
            m = 0;
            let mut node = 1;
            for _ in 0..8 {
                node = 2 * node + usize::from(decode(&mut tree[256 * b + node])?);
            }
            b = node % 256;
        }
        bytes.push(b as u8);
        w = w << 8 | b as u32;
    }
    coder.finish()?;
    Ok(bytes)
}
