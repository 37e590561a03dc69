//! Counts instructions with valgrind's callgrind:
//!
//! ```text
//! cargo run --release -p rcodec-benches --bin instructions [PART-OF-A-NAME]
//! ```
//!
//! prints CSV: case, instructions to encode, instructions to decode. Each is
//! the difference of two runs of this program, with and without the step, so
//! that making the input does not count.

use rcodec_benches::{Case, cases};
use std::error::Error;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["run", steps, name] => run(steps, name),
        [] => count_all(""),
        [part] => count_all(part),
        _ => Err("usage: instructions [PART-OF-A-NAME]".into()),
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

fn count_all(part: &str) -> Result<(), Box<dyn Error>> {
    println!("case,encode_instructions,decode_instructions");
    for case in cases().iter().filter(|case| case.name().contains(part)) {
        if let Err(why) = case.encode() {
            eprintln!("{}: left out: {why}", case.name());
            continue;
        }
        let [made, encoded, decoded] = count(case)?;
        println!(
            "{},{},{}",
            case.name(),
            encoded.saturating_sub(made),
            decoded.saturating_sub(encoded)
        );
    }
    Ok(())
}

fn count(case: &Case) -> Result<[u64; 3], Box<dyn Error>> {
    let mut counts = [0; 3];
    for (steps, count) in counts.iter_mut().enumerate() {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["run", &steps.to_string(), &case.name()])
            // Levels that valgrind does not know are not used.
            .env("RCODEC_CPU", "avx2")
            .env("RAYON_NUM_THREADS", "1")
            .output()
            .map_err(|e| format!("valgrind: {e}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let collected = text
            .lines()
            .find_map(|line| line.split("Collected :").nth(1))
            .and_then(|number| number.trim().parse().ok());
        *count = collected.ok_or_else(|| format!("valgrind printed no count:\n{text}"))?;
    }
    Ok(counts)
}
