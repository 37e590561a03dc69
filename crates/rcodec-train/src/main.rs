//! The program `rcodec-train`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match rcodec_train::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rcodec-train: {error}");
            ExitCode::FAILURE
        }
    }
}
