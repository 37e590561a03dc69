//! Decodes the conformance streams, `tests/golden/*.rcd`, and compares what
//! comes out with `tests/conformance/expected.csv`.
//!
//! ```text
//! rcodec-conformance STREAMS EXPECTED.csv           compares
//! rcodec-conformance --list STREAMS > EXPECTED.csv  what this machine gives
//! ```
//!
//! It needs no more than a file system, so that it runs wherever the codecs do:
//! `tools/conformance.sh` runs it at every SIMD level, on several numbers of
//! threads, on aarch64 and on wasm32. Another decoder of the
//! format can be held against the same list.

use rcodec::{DecodeContext, Media, MediaHeader, Result, SampleFormat, Samples};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

/// The first line of the list.
const COLUMNS: &str = "stream,media,samples,blake3";

/// What a stream holds: media, number of samples, and the first 16 bytes of
/// their BLAKE3 hash as hexadecimal digits. Samples stand in order, bytes and
/// those of up to 8 bits as one byte each, other pictures' as two, sound's as
/// four; little endian.
fn described(file: &[u8]) -> Result<String> {
    let decoded = rcodec::decode(file, DecodeContext::default())?;
    let mut hasher = blake3::Hasher::new();
    let mut samples = 0;
    for unit in &decoded.units {
        let bytes: Vec<u8> = match unit {
            Media::Bytes(bytes) => bytes.clone(),
            Media::Audio(block) => block.samples.iter().flat_map(|s| s.to_le_bytes()).collect(),
            Media::Image(strip) => match &strip.samples {
                Samples::U8(samples) => samples.clone(),
                Samples::U16(samples) => samples.iter().flat_map(|s| s.to_le_bytes()).collect(),
            },
            _ => Vec::new(),
        };
        samples += match unit {
            Media::Audio(_) => bytes.len() / 4,
            Media::Image(strip) => strip.samples.len(),
            _ => bytes.len(),
        };
        hasher.update(&bytes);
    }
    let media = match &decoded.header.media {
        MediaHeader::Bytes => "bytes".to_string(),
        MediaHeader::Image(image) => {
            let (width, height, bits) = (image.width, image.height, image.bits);
            format!("{:?} {bits} bit {width}x{height}", image.color)
        }
        MediaHeader::Audio(audio) => {
            let (rate, channels) = (audio.sample_rate, audio.channels);
            let bits = audio.format.bits();
            let kind = match audio.format {
                SampleFormat::Float32 => "float",
                SampleFormat::Int { .. } => "bit",
            };
            format!("{bits} {kind} {rate} Hz x{channels}")
        }
        _ => "unknown".to_string(),
    };
    let hash = hasher.finalize().to_hex();
    Ok(format!("{media},{samples},{}", &hash[..32]))
}

/// The lines of the list, by stream; streams that do not decode say why.
fn listed(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut lines = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rcd") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let line = described(&fs::read(&path)?).unwrap_or_else(|e| e.to_string());
            lines.insert(name.into_owned(), line);
        }
    }
    Ok(lines)
}

fn expected(list: &str) -> BTreeMap<String, String> {
    let lines = list.lines().skip(1);
    let split = lines.filter_map(|line| line.split_once(','));
    split.map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

/// Compares; the number of differences.
fn compare(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) -> usize {
    let mut names: Vec<_> = found.keys().chain(expected.keys()).collect();
    names.sort();
    names.dedup();
    names.retain(|&name| found.get(name) != expected.get(name));
    for name in &names {
        println!(
            "{name}: {:?}, not {:?}",
            found.get(*name),
            expected.get(*name)
        );
    }
    names.len()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match &arguments[..] {
        [list, folder] if list == "--list" => listed(Path::new(folder)).map(|lines| {
            println!("{COLUMNS}");
            lines
                .iter()
                .for_each(|(name, line)| println!("{name},{line}"));
            0
        }),
        [folder, list] => listed(Path::new(folder)).and_then(|found| {
            let differences = compare(&found, &expected(&fs::read_to_string(list)?));
            let (streams, threads) = (found.len(), rayon::current_num_threads());
            println!("{streams} streams, {differences} differences, {threads} threads");
            Ok(differences)
        }),
        _ => Err(io::Error::other(
            "usage: rcodec-conformance [--list] STREAMS [EXPECTED.csv]",
        )),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `RCODEC_WRITE_GOLDEN=1` writes the list anew.
    #[test]
    fn streams_decode_to_what_is_expected() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = listed(&here.join("../golden")).unwrap();
        let list = here.join("expected.csv");
        if env::var_os("RCODEC_WRITE_GOLDEN").is_some() {
            let lines = found.iter().map(|(name, line)| format!("{name},{line}\n"));
            fs::write(&list, format!("{COLUMNS}\n{}", lines.collect::<String>())).unwrap();
        }
        let expected = expected(&fs::read_to_string(list).unwrap());
        assert!(expected.len() > 100);
        assert_eq!(compare(&found, &expected), 0);
    }

    #[test]
    fn differences_are_counted() {
        let list = |text: &str| expected(&format!("{COLUMNS}\n{text}"));
        let (a, b) = (list("a,1\nb,2\nc,3"), list("b,2\nc,4\nd,5"));
        assert_eq!(compare(&a, &b), 3);
        assert_eq!(compare(&a, &a), 0);
    }
}
