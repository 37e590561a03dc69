//! The pictures of a folder, decoded once and kept in memory.

use rcodec_core::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Pixels above which a picture is scaled down by whole factors when it is
/// loaded: it bounds memory, and takes a camera's or JPEG's grid away.
const MAX_PIXELS: u64 = 3 << 20;

/// 8-bit RGB samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[row][column][colour]`.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Decodes a file's content; alpha is dropped, gray repeated, 16 bits
    /// become 8.
    pub fn decode(content: &[u8]) -> Result<Picture> {
        let decoded = image::load_from_memory(content)
            .map_err(|error| Error::Unsupported(error.to_string()))?
            .into_rgb8();
        let pixels = u64::from(decoded.width()) * u64::from(decoded.height());
        let factor = (1..).find(|f| pixels / (f * f) <= MAX_PIXELS).unwrap_or(1) as u32;
        let decoded = if factor > 1 {
            let (width, height) = (decoded.width() / factor, decoded.height() / factor);
            image::imageops::thumbnail(&decoded, width.max(1), height.max(1))
        } else {
            decoded
        };
        Ok(Picture {
            width: decoded.width() as usize,
            height: decoded.height() as usize,
            rgb: decoded.into_raw(),
        })
    }
}

/// One file: where it is, and its picture once somebody asked for it.
#[derive(Debug)]
struct Entry {
    /// Of the file's content.
    hash: [u8; 32],
    path: PathBuf,
    picture: OnceLock<Option<Picture>>,
}

/// Pictures to train on, or those held out from training.
#[derive(Debug, Default)]
pub struct Collection {
    entries: Vec<Entry>,
}

impl Collection {
    /// All pictures under `folder` as `(to train on, held out)`. A file is
    /// held out if the first byte of its content's BLAKE3 hash says so: always
    /// the same tenth, whatever else is in the folder. Files of other kinds
    /// are passed over.
    pub fn open(folder: &Path) -> Result<(Collection, Collection)> {
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(folder).follow_links(true) {
            let entry = entry.map_err(|error| Error::Io(error.into()))?;
            if entry.file_type().is_file() && is_picture(entry.path()) {
                let hash = blake3::hash(&fs::read(entry.path())?);
                files.push((*hash.as_bytes(), entry.into_path()));
            }
        }
        // By content: neither names nor copies change what is trained.
        files.sort();
        files.dedup_by_key(|file| file.0);
        let (mut train, mut held_out) = (Collection::default(), Collection::default());
        for (hash, path) in files {
            let part = if is_held_out(&hash) {
                &mut held_out
            } else {
                &mut train
            };
            let picture = OnceLock::new();
            part.entries.push(Entry {
                hash,
                path,
                picture,
            });
        }
        Ok((train, held_out))
    }

    /// Pictures in memory, for tests and synthetic data.
    pub fn from_pictures(pictures: Vec<Picture>) -> Collection {
        let entries = pictures
            .into_iter()
            .map(|picture| Entry {
                hash: *blake3::hash(&picture.rgb).as_bytes(),
                path: PathBuf::new(),
                picture: OnceLock::from(Some(picture)),
            })
            .collect();
        Collection { entries }
    }

    /// Hash of the files' hashes, hexadecimal: what was trained on.
    pub fn content_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for entry in &self.entries {
            hasher.update(&entry.hash);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The picture of file `index`; `None` if it cannot be decoded (said once).
    pub fn picture(&self, index: usize) -> Option<&Picture> {
        let entry = &self.entries[index];
        let load = || {
            let content = fs::read(&entry.path).map_err(Error::Io);
            match content.and_then(|content| Picture::decode(&content)) {
                Ok(picture) => Some(picture),
                Err(error) => {
                    eprintln!("{}: left out: {error}", entry.path.display());
                    None
                }
            }
        };
        entry.picture.get_or_init(load).as_ref()
    }
}

/// Whether a file is for validation: a tenth of all.
fn is_held_out(hash: &[u8; 32]) -> bool {
    hash[0] < 26
}

/// Whether the name says that it is a picture that can be read.
fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        let known = [
            "png", "jpg", "jpeg", "webp", "ppm", "pnm", "tif", "tiff", "bmp", "qoi",
        ];
        known.contains(&extension.to_ascii_lowercase().as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tenth_is_held_out() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..60u8 {
            let pixels = vec![i; 3 * 4];
            let file = folder.path().join(format!("{i}.png"));
            image::save_buffer(&file, &pixels, 2, 2, image::ColorType::Rgb8).unwrap();
        }
        fs::copy(folder.path().join("1.png"), folder.path().join("copy.png")).unwrap();
        fs::write(folder.path().join("broken.png"), b"no picture").unwrap();
        fs::write(folder.path().join("notes.txt"), b"nothing").unwrap();
        let (train, held_out) = Collection::open(folder.path()).unwrap();
        assert_eq!(train.len() + held_out.len(), 61);
        assert!((2..=12).contains(&held_out.len()), "{}", held_out.len());
        let broken = |part: &Collection| {
            (0..part.len())
                .filter(|&i| part.picture(i).is_none())
                .count()
        };
        assert_eq!(broken(&train) + broken(&held_out), 1);
    }
}
