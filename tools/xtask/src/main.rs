//! Checks of the workspace itself, run as `cargo xtask <task>`.
//!
//! | task | what it asserts |
//! |---|---|
//! | `check-deps` | crates depend on lower layers only ([`layers`]), and only one may contain `unsafe` code |

mod graph;
mod layers;
mod rules;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask check-deps";

fn main() -> ExitCode {
    let tasks: Vec<String> = std::env::args().skip(1).collect();
    match tasks.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check-deps"] => check_deps(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn check_deps() -> ExitCode {
    let graph = match graph::Graph::of_workspace() {
        Ok(graph) => graph,
        Err(e) => {
            eprintln!("check-deps: {e}");
            return ExitCode::FAILURE;
        }
    };
    let violations = rules::check(&graph, layers::LAYERS);
    for violation in &violations {
        eprintln!("check-deps: {violation}");
    }
    if violations.is_empty() {
        println!(
            "check-deps: {} crates, {} edges between them, all downwards",
            graph.crates.len(),
            graph.inner_edges()
        );
        ExitCode::SUCCESS
    } else {
        eprintln!(
            "check-deps: {} violations of the table in tools/xtask/src/layers.rs",
            violations.len()
        );
        ExitCode::FAILURE
    }
}
