//! What each part of a class is worth, and what it costs: payload bytes of files
//! without a prior, with one part left out after the other, as CSV; and what that
//! saves in time, in percent of the whole.
//!
//! `cargo run --release -p rcodec-text --features ablation --example ablate_text -- EFFORT FILE…`
//!
//! Contexts (but for their hashes), match models, and direct probabilities are
//! left out for good. Mixers and maps have no say, but are computed, of maps all
//! but learning: what they cost is not shown. With `-i` before EFFORT, time is
//! instructions as `valgrind --tool=callgrind` counts them for the first file, which
//! no load disturbs (a file of some KB will do); else CPU time, of all files.

use cpu_time::ProcessTime;
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
    let mut parts = vec![("all".to_owned(), String::new())];
    for (i, context) in contexts.iter().enumerate() {
        parts.push((format!("context {context}"), format!("context:{i}")));
    }
    let list = |from: usize, count: usize| {
        let inputs: Vec<String> = (from..from + count).map(|i| format!("input:{i}")).collect();
        inputs.join(",")
    };
    if is_full {
        parts.push(("all runs".to_owned(), list(28, 28)));
        for (i, shortest) in [5, 8, 16].iter().enumerate() {
            parts.push((format!("match {shortest}"), format!("match:{i}")));
        }
        parts.push((
            "all matches".to_owned(),
            "match:0,match:1,match:2".to_owned(),
        ));
        parts.push(("order0".to_owned(), list(62, 1)));
        parts.push(("direct probabilities".to_owned(), "direct:0".to_owned()));
    } else {
        parts.push(("match 6".to_owned(), "match:0".to_owned()));
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

/// What one run says.
#[derive(Default)]
struct Run {
    bytes: Vec<usize>,
    /// Instructions, or microseconds.
    time: f64,
}

/// Runs this program by itself, with a part left out.
fn run(without: &str, effort: &str, files: &[String], counts: bool) -> Result<Run> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command.arg(effort).args(files);
    command.env("RCODEC_TEXT_WITHOUT", without);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<usize> = text.lines().filter_map(|l| l.parse().ok()).collect();
    let (&microseconds, bytes) = numbers.split_last().unwrap_or((&0, &[]));
    let mut run = Run {
        bytes: bytes.to_vec(),
        time: microseconds as f64,
    };
    if counts && let Some(first) = files.first() {
        let mut counted = Command::new("valgrind");
        counted.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        counted.arg(&program).args([effort, first]);
        counted.env("RCODEC_TEXT_WITHOUT", without);
        let report = String::from_utf8_lossy(&counted.output()?.stderr).into_owned();
        let count = report.lines().find_map(|l| l.split_once("Collected : "));
        run.time = count
            .and_then(|(_, n)| n.trim().parse().ok())
            .unwrap_or(0.0);
    }
    Ok(run)
}

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let counts = args.first().is_some_and(|arg| arg == "-i");
    if counts {
        args.remove(0);
    }
    let [effort, files @ ..] = &args[..] else {
        println!("[-i] EFFORT FILE…");
        return Ok(());
    };
    let number: u8 = effort.parse().unwrap_or(5);
    // One part: this program, started by itself.
    if std::env::var_os("RCODEC_TEXT_WITHOUT").is_some() {
        let start = ProcessTime::now();
        for file in files {
            println!("{}", payload_bytes(file, number)?);
        }
        println!("{}", start.elapsed().as_micros());
        return Ok(());
    }
    let names = files.iter().map(|f| f.rsplit('/').next().unwrap_or(f));
    let names: Vec<&str> = names.collect();
    println!(
        "effort,part,total_bytes,percent,time_percent,{}",
        names.join(",")
    );
    let change = |now: f64, all: f64| 100.0 * (now / all.max(1.0) - 1.0);
    let mut all = (0.0, 0.0);
    for (name, without) in parts(number > 6) {
        let run = run(&without, effort, files, counts)?;
        let total: usize = run.bytes.iter().sum();
        if name == "all" {
            all = (total as f64, run.time);
        }
        let (percent, time) = (change(total as f64, all.0), change(run.time, all.1));
        let by_file: Vec<String> = run.bytes.iter().map(usize::to_string).collect();
        println!(
            "{effort},{name},{total},{percent:.2},{time:.2},{}",
            by_file.join(",")
        );
    }
    Ok(())
}
