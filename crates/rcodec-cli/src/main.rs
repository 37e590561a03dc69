//! The program `rcodec`: a thin front end to the `rcodec` library.

mod args;
#[cfg(feature = "bench")]
mod bench;
mod decode;
mod dict;
mod encode;
mod exit;
mod inputs;
mod inspect;
mod limits;
mod live;
mod models;
mod output;
mod pending;
mod progress;
mod range;
mod recover;
mod report;
mod stream;

use args::{Args, Command};
use clap::{CommandFactory, Parser};
use exit::{Failure, Outcome};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    pending::remove_temporary_files_on_interrupt();
    match run(args) {
        Ok(outcome) => outcome.code(),
        Err(failure) => {
            failure.print(None);
            failure.code()
        }
    }
}

fn run(args: Args) -> Result<Outcome, Failure> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global()
            .map_err(|e| Failure::usage(e.to_string()))?;
    }
    match args.command {
        Command::Encode(args) => encode::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Verify(args) => decode::verify(&args),
        Command::Info(args) => inspect::info(&args),
        Command::Codecs(args) => inspect::codecs(&args),
        #[cfg(feature = "bench")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "bench")]
        Command::BenchChild => bench::serve(),
        Command::Models(args) => models::run(&args),
        Command::Dict { command } => dict::run(&command),
        Command::Stream { command } => stream::run(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "rcodec", &mut script);
            print(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page)?;
            print(&page)
        }
    }
}

fn print(bytes: &[u8]) -> Result<Outcome, Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(Outcome::default())
}
