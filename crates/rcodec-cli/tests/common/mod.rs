//! What the tests of the program share.

use assert_cmd::Command;
use std::fs;
use std::path::PathBuf;
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
