//! Instructions of some quick cases are written down in
//! `benches/instructions-tests.csv`, as the test profile compiles them, so that
//! a codec that became slower shows in review, on a busy machine too.
//!
//! After a change that is meant: `RCODEC_WRITE_PINNED=1 cargo test -p
//! rcodec-benches --test instructions`.

use rcodec_benches::counts::{Counts, count, is_possible};
use rcodec_benches::{Case, cases};
use std::fs;
use std::path::{Path, PathBuf};

/// What takes a second or two under valgrind; the others cost minutes.
fn is_quick(case: &Case) -> bool {
    let slow = ["text", "image-lossy"].contains(&case.codec.info().name);
    case.effort == 1 && !slow
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions-tests.csv")
}

#[test]
fn counts_are_those_written_down() {
    if !is_possible() || cfg!(not(target_arch = "x86_64")) {
        eprintln!("skipped: there is no valgrind, or this is no x86-64");
        return;
    }
    let mut now = Counts::new().unwrap();
    let writes = std::env::var_os("RCODEC_WRITE_PINNED").is_some();
    let written = Counts::from_csv(&fs::read_to_string(path()).unwrap_or_default());
    if !writes && written.as_ref().unwrap().compiler != now.compiler {
        eprintln!("skipped: written down with another compiler");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_instructions"));
    for case in cases().iter().filter(|case| is_quick(case)) {
        let count = count(program, case).unwrap();
        now.cases.insert(case.name(), count);
    }
    if writes {
        fs::write(path(), now.to_csv()).unwrap();
        return;
    }
    let differences = now.differences(&written.unwrap());
    assert!(
        differences.is_empty(),
        "counts changed (RCODEC_WRITE_PINNED=1 writes them down):\n{}",
        differences.join("\n")
    );
}
