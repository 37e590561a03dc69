//! Compressed sizes of small made media are written down in
//! `benches/pinned-sizes.csv`, so that every change of ratio shows in review.
//!
//! After a change that is meant:
//! `RCODEC_WRITE_PINNED=1 cargo test -p rcodec-tests --test pinned_sizes`.

use rcodec::{Codec, Effort, EncodeContext, Rate};
use rcodec_tests::{Sample, all_samples};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const EFFORTS: [u8; 3] = [1, 5, 9];
const QUALITIES: [u8; 2] = [30, 75];
const HEADING: &str = "sample,codec,effort,quality,bytes";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/pinned-sizes.csv")
}

fn size(sample: &Sample, codec: &dyn Codec, effort: u8, rate: Rate) -> Option<usize> {
    let context = EncodeContext {
        effort: Effort::new(effort).unwrap(),
        rate,
        ..EncodeContext::default()
    };
    // Lossy codecs do not take every kind of sample.
    match sample.encode(codec, context) {
        Ok(file) => Some(file.len()),
        Err(_) if codec.info().lossy => None,
        Err(e) => panic!("{} {}: {e}", sample.name, codec.info().name),
    }
}

/// Lines without their sizes, to sizes; a quality of 0 is lossless.
fn sizes() -> BTreeMap<String, usize> {
    let mut sizes = BTreeMap::new();
    for sample in all_samples() {
        let kind = sample.header.kind();
        for codec in rcodec::CODECS.iter().filter(|c| c.info().media == kind) {
            let info = codec.info();
            let qualities: &[u8] = if info.lossy { &QUALITIES } else { &[0] };
            for effort in EFFORTS {
                for &quality in qualities {
                    let rate = match quality {
                        0 => Rate::Lossless,
                        quality => Rate::Quality(f32::from(quality)),
                    };
                    if let Some(bytes) = size(&sample, *codec, effort, rate) {
                        let line = format!("{},{},{effort},{quality}", sample.name, info.name);
                        sizes.insert(line, bytes);
                    }
                }
            }
        }
    }
    sizes
}

fn pinned() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(path()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADING));
    lines
        .map(|line| {
            let (key, bytes) = line.rsplit_once(',').unwrap();
            (key.to_string(), bytes.parse().unwrap())
        })
        .collect()
}

#[test]
fn sizes_are_those_written_down() {
    let sizes = sizes();
    if std::env::var_os("RCODEC_WRITE_PINNED").is_some() {
        let lines = sizes.iter().map(|(key, bytes)| format!("{key},{bytes}\n"));
        fs::write(path(), format!("{HEADING}\n{}", lines.collect::<String>())).unwrap();
        return;
    }
    let pinned = pinned();
    let mut differences = Vec::new();
    for (key, bytes) in &sizes {
        match pinned.get(key) {
            Some(was) if was == bytes => {}
            Some(was) => differences.push(format!("{key}: {bytes} bytes, pinned {was}")),
            None => differences.push(format!("{key}: {bytes} bytes, not pinned")),
        }
    }
    let gone = pinned.keys().filter(|key| !sizes.contains_key(*key));
    differences.extend(gone.map(|key| format!("{key}: pinned, but there is no such case")));
    assert!(
        differences.is_empty(),
        "sizes changed (RCODEC_WRITE_PINNED=1 writes them down):\n{}",
        differences.join("\n")
    );
}
