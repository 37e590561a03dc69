//! Counts instructions with valgrind's callgrind:
//!
//! ```text
//! cargo run --release -p rcodec-benches --bin instructions [PART-OF-A-NAME]
//! cargo run --release -p rcodec-benches --bin instructions -- --check CSV [PART-OF-A-NAME]
//! ```
//!
//! The first prints CSV, the second compares with such CSV (the release's is
//! `benches/instructions.csv`) and fails where a count changed by more than
//! two percent.

use rcodec_benches::counts::{Counts, count};
use rcodec_benches::{Case, cases};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["run", steps, name] => run(steps, name),
        ["--check", file] => check(Path::new(file), ""),
        ["--check", file, part] => check(Path::new(file), part),
        [] => print(""),
        [part] if !part.starts_with('-') => print(part),
        _ => Err("usage: instructions [--check CSV] [PART-OF-A-NAME]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The first so many of: make the input, encode, decode.
fn run(steps: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let case = cases()
        .into_iter()
        .find(|case| case.name() == name)
        .ok_or("there is no such case")?;
    let steps: u32 = steps.parse()?;
    if steps >= 1 {
        let file = case.encode()?;
        if steps >= 2 {
            std::hint::black_box(case.decode(&file)?);
        }
        std::hint::black_box(file);
    }
    Ok(())
}

fn print(part: &str) -> Result<(), Box<dyn Error>> {
    print!("{}", count_all(part)?.to_csv());
    Ok(())
}

fn check(file: &Path, part: &str) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let written = Counts::from_csv(&text)?;
    let now = count_all(part)?;
    if now.compiler != written.compiler {
        eprintln!("compiled by {}, not {}", now.compiler, written.compiler);
    }
    let differences = now.differences(&written);
    println!(
        "{} cases, {} differences",
        now.cases.len(),
        differences.len()
    );
    if differences.is_empty() {
        return Ok(());
    }
    Err(differences.join("\n").into())
}

fn count_all(part: &str) -> Result<Counts, Box<dyn Error>> {
    let mut counts = Counts::new()?;
    let program = std::env::current_exe()?;
    for case in cases().iter().filter(|case| case.name().contains(part)) {
        if let Err(why) = Case::encode(case) {
            eprintln!("{}: left out: {why}", case.name());
            continue;
        }
        counts.cases.insert(case.name(), count(&program, case)?);
    }
    Ok(counts)
}
