//! Instruction counts by valgrind's callgrind, and comparing them with those
//! that were written down.

use crate::Case;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

const HEADING: &str = "case,encode_instructions,decode_instructions";
const COMPILER: &str = "# ";

/// A count differs if it does so by more than this share: hash maps and the
/// allocator move counts a little from run to run.
pub const TOLERANCE: f64 = 0.02;

/// Instructions of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// To encode.
    pub encode: u64,
    /// To decode.
    pub decode: u64,
}

/// The counts of several cases, and what compiled them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What `rustc --version` says: another compiler gives other counts.
    pub compiler: String,
    /// By the case's name.
    pub cases: BTreeMap<String, Count>,
}

impl Counts {
    /// Nothing counted yet, for the compiler at hand.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let output = Command::new("rustc").arg("--version").output()?;
        Ok(Counts {
            compiler: String::from_utf8(output.stdout)?.trim().to_string(),
            cases: BTreeMap::new(),
        })
    }

    /// Reads what [`to_csv`](Self::to_csv) wrote.
    ///
    /// # Errors
    /// The line that is not as it should be.
    pub fn from_csv(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut lines = text.lines();
        let compiler = lines.next().and_then(|line| line.strip_prefix(COMPILER));
        let compiler = compiler.ok_or("the first line names no compiler")?;
        if lines.next() != Some(HEADING) {
            return Err(format!("the second line is not `{HEADING}`").into());
        }
        let mut cases = BTreeMap::new();
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let [case, encode, decode] = fields[..] else {
                return Err(format!("not three fields: {line}").into());
            };
            let count = Count {
                encode: encode.parse()?,
                decode: decode.parse()?,
            };
            cases.insert(case.to_string(), count);
        }
        Ok(Counts {
            compiler: compiler.to_string(),
            cases,
        })
    }

    /// A line for the compiler, a heading, a line for each case.
    pub fn to_csv(&self) -> String {
        let mut csv = format!("{COMPILER}{}\n{HEADING}\n", self.compiler);
        for (case, count) in &self.cases {
            csv += &format!("{case},{},{}\n", count.encode, count.decode);
        }
        csv
    }

    /// A line for each count of `self` that is not, within [`TOLERANCE`], what
    /// `written` says.
    pub fn differences(&self, written: &Counts) -> Vec<String> {
        let mut lines = Vec::new();
        for (case, now) in &self.cases {
            let Some(was) = written.cases.get(case) else {
                lines.push(format!("{case}: not written down"));
                continue;
            };
            for (step, now, was) in [
                ("encode", now.encode, was.encode),
                ("decode", now.decode, was.decode),
            ] {
                let change = now as f64 / was.max(1) as f64 - 1.0;
                if change.abs() > TOLERANCE {
                    let percent = change * 100.0;
                    lines.push(format!("{case}: {step} {now}, {percent:+.1}% on {was}"));
                }
            }
        }
        lines
    }
}

/// Whether valgrind can be run.
pub fn is_possible() -> bool {
    let mut command = Command::new("valgrind");
    command.arg("--version").stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Counts the instructions of one case. `program` is the binary `instructions`,
/// which is run with none, one and both of the steps: the differences count, so
/// that making the input does not.
///
/// # Errors
/// If valgrind cannot be run, or the case fails.
pub fn count(program: &Path, case: &Case) -> Result<Count, Box<dyn Error>> {
    let mut totals = [0u64; 3];
    for (steps, total) in totals.iter_mut().enumerate() {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
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
        *total = collected.ok_or_else(|| format!("valgrind printed no count:\n{text}"))?;
    }
    let [made, encoded, decoded] = totals;
    Ok(Count {
        encode: encoded.saturating_sub(made),
        decode: decoded.saturating_sub(encoded),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(cases: &[(&str, u64, u64)]) -> Counts {
        let cases = cases.iter().map(|&(name, encode, decode)| {
            let count = Count { encode, decode };
            (name.to_string(), count)
        });
        Counts {
            compiler: "rustc 1.0.0".into(),
            cases: cases.collect(),
        }
    }

    #[test]
    fn csv_comes_back() {
        let counts = counts(&[("a/b/e1", 12, 34), ("a/b/e5-q30", 0, u64::MAX)]);
        assert_eq!(Counts::from_csv(&counts.to_csv()).unwrap(), counts);
        assert!(Counts::from_csv("").is_err());
        assert!(Counts::from_csv(&format!("# x\n{HEADING}\na,1\n")).is_err());
        assert!(Counts::from_csv(&format!("# x\n{HEADING}\na,1,no\n")).is_err());
    }

    #[test]
    fn only_what_differs_is_named() {
        let written = counts(&[("a", 1000, 1000), ("b", 1000, 1000)]);
        let now = counts(&[("a", 1015, 985), ("b", 1000, 900), ("c", 1, 1)]);
        assert_eq!(
            now.differences(&written),
            ["b: decode 900, -10.0% on 1000", "c: not written down"]
        );
    }
}
