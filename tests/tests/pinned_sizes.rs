//! Compressed sizes of small made media are written down in
//! `benches/pinned-sizes.csv`, so that every change of ratio shows in review.
//!
//! After a change that is meant:
//! `RCODEC_WRITE_PINNED=1 cargo test -p rcodec-tests --test pinned_sizes`.

use rcodec::{Effort, EncodeContext};
use rcodec_tests::{all_samples, lossless_codecs_for};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const EFFORTS: [u8; 3] = [1, 5, 9];
const HEADING: &str = "sample,codec,effort,bytes";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/pinned-sizes.csv")
}

/// Lines without their sizes, to sizes. Only lossless codecs: a lossy one takes
/// the learned models that happen to be installed.
fn sizes() -> BTreeMap<String, usize> {
    let mut sizes = BTreeMap::new();
    for sample in all_samples() {
        for codec in lossless_codecs_for(&sample) {
            for effort in EFFORTS {
                let context = EncodeContext {
                    effort: Effort::new(effort).unwrap(),
                    ..EncodeContext::default()
                };
                let file = sample.encode(codec, context).unwrap();
                let line = format!("{},{},{effort}", sample.name, codec.info().name);
                sizes.insert(line, file.len());
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
