//! What the tests of the program share.

#![allow(dead_code, reason = "not every test file uses all of it")]

use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The program.
pub(crate) fn rcodec() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rcodec"))
}

/// A mono WAV file of 16 bits with the lengths it says.
pub(crate) fn wav(samples: &[i32]) -> Vec<u8> {
    let data_bytes = samples.len() as u32 * 2;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data_bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(48_000u32.to_le_bytes());
    file.extend(96_000u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(data_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|&s| (s as i16).to_le_bytes()));
    file
}

/// A folder with one file in it.
pub(crate) fn folder_with(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The picture in the repository.
pub(crate) fn sample_png() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples/landscape.png")
}

/// Some prose.
pub(crate) fn prose() -> Vec<u8> {
    rcodec_datasets::prose(20_000, 3).into_bytes()
}

/// The pixels of a PNG as `rcodec` itself reads them.
pub(crate) fn pixels(path: &Path) -> Vec<u8> {
    let output = rcodec()
        .args(["encode", "-e1", "-o", "-"])
        .arg(path)
        .output()
        .unwrap();
    let raw = rcodec()
        .args(["decode", "--format", "raw", "-"])
        .write_stdin(output.stdout)
        .output()
        .unwrap();
    assert!(raw.status.success());
    raw.stdout
}
