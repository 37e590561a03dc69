//! What each part of a class is worth: payload bytes of files without a prior,
//! with one part silenced after the other, as CSV. The part is still computed, so
//! times do not say what it costs; instruction counts do.
//!
//! `cargo run --release -p rcodec-text --features ablation --example ablate_text -- EFFORT FILE…`

use rcodec_core::{BlockSink, Codec, Effort, EncodeContext, Media, MediaHeader, Result};
use rcodec_text::Text;
use std::process::Command;

/// Counts bytes.
struct Count(usize);

impl BlockSink for Count {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        self.0 += payload.len();
        Ok(())
    }
}

fn payload_bytes(file: &str, effort: u8) -> Result<usize> {
    let options = [("prior".to_owned(), 0)];
    let context = EncodeContext {
        // 9 would ask the language model.
        effort: Effort::new(effort.min(8))?,
        options: &options,
        ..EncodeContext::default()
    };
    let mut count = Count(0);
    let mut encoder = Text.encoder(&MediaHeader::Bytes, context)?;
    encoder.write(Media::Bytes(std::fs::read(file)?), &mut count)?;
    encoder.finish(&mut count)?;
    Ok(count.0)
}

const STANDARD: [&str; 11] = [
    "order2",
    "order3",
    "order4",
    "order6",
    "word",
    "word_pair",
    "indirect",
    "above",
    "shape",
    "nesting",
    "line_start",
];
const FULL: [&str; 28] = [
    "order1",
    "order2",
    "order3",
    "order4",
    "order6",
    "word",
    "word_pair",
    "order5",
    "indirect",
    "above",
    "sparse23",
    "nesting",
    "line_start",
    "word_skip",
    "above_last",
    "order8",
    "word_triple",
    "sparse234",
    "masked",
    "field",
    "shape",
    "expected",
    "shape_word",
    "word_before",
    "line_column",
    "indirect1",
    "nesting_word",
    "word_above",
];
const MIXERS: [&str; 14] = [
    "match and orders known",
    "bits and the byte above",
    "classes of two bytes",
    "place",
    "byte 1",
    "byte 2",
    "expected byte",
    "word",
    "column",
    "byte 3",
    "bytes 1 and 2",
    "shape",
    "word length and byte 1",
    "bits known",
];
const MAPS: [&str; 6] = [
    "order 1",
    "order 3",
    "match",
    "order 2",
    "word",
    "expected byte",
];

/// Name and number of every part.
fn parts(is_full: bool) -> Vec<(String, String)> {
    let contexts = if is_full { &FULL[..] } else { &STANDARD[..] };
    let count = contexts.len();
    let mut parts = vec![("all".to_owned(), String::new())];
    for (i, context) in contexts.iter().enumerate() {
        let run = if is_full {
            format!(",input:{}", count + i)
        } else {
            String::new()
        };
        parts.push((format!("context {context}"), format!("input:{i}{run}")));
    }
    let list = |from: usize, count: usize| {
        let inputs: Vec<String> = (from..from + count).map(|i| format!("input:{i}")).collect();
        inputs.join(",")
    };
    if is_full {
        parts.push(("all runs".to_owned(), list(28, 28)));
        for (i, shortest) in [5, 8, 16].iter().enumerate() {
            parts.push((format!("match {shortest}"), list(56 + 2 * i, 2)));
        }
        parts.push(("all matches".to_owned(), list(56, 6)));
        parts.push(("order0".to_owned(), list(62, 1)));
        parts.push(("direct probabilities".to_owned(), list(64, 4)));
    } else {
        parts.push(("match 6".to_owned(), list(11, 2)));
        parts.push(("order0".to_owned(), list(13, 1)));
    }
    let mixers = if is_full { 14 } else { 4 };
    for (i, mixer) in MIXERS.iter().enumerate().take(mixers) {
        parts.push((format!("mixer by {mixer}"), format!("mixer:{i}")));
    }
    let maps = if is_full { 6 } else { 2 };
    for (i, map) in MAPS.iter().enumerate().take(maps) {
        parts.push((format!("map by {map}"), format!("map:{i}")));
    }
    let all: Vec<String> = (0..maps).map(|i| format!("map:{i}")).collect();
    parts.push(("all maps".to_owned(), all.join(",")));
    parts
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [effort, files @ ..] = &args[..] else {
        println!("EFFORT FILE…");
        return Ok(());
    };
    let effort: u8 = effort.parse().unwrap_or(5);
    // One part: this program, started by itself.
    if std::env::var_os("RCODEC_TEXT_WITHOUT").is_some() {
        for file in files {
            println!("{}", payload_bytes(file, effort)?);
        }
        return Ok(());
    }
    let names = files.iter().map(|f| f.rsplit('/').next().unwrap_or(f));
    let names: Vec<&str> = names.collect();
    println!("effort,part,total_bytes,percent,{}", names.join(","));
    let mut all_bytes = 0;
    for (name, without) in parts(effort > 6) {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(&args).env("RCODEC_TEXT_WITHOUT", without);
        let output = String::from_utf8_lossy(&command.output()?.stdout).into_owned();
        let bytes: Vec<usize> = output.lines().filter_map(|l| l.parse().ok()).collect();
        let total: usize = bytes.iter().sum();
        all_bytes = if name == "all" { total } else { all_bytes };
        let percent = 100.0 * (total as f64 / all_bytes.max(1) as f64 - 1.0);
        let by_file: Vec<String> = bytes.iter().map(usize::to_string).collect();
        println!("{effort},{name},{total},{percent:.2},{}", by_file.join(","));
    }
    Ok(())
}
