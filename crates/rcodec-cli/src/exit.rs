//! Failures and exit codes.

use crate::progress::print_beside_bars;
use rcodec::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

const SOME_FAILED: u8 = 1;
const USAGE: u8 = 2;
const BAD_INPUT: u8 = 3;
const LIMIT: u8 = 4;
const IO: u8 = 5;
const UNSUPPORTED: u8 = 6;
const LOST: u8 = 7;
/// As shells report a process ended by SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command, or the work on one file, failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A wrong use of the program.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure {
            code: USAGE,
            message: message.into(),
        }
    }

    /// A target that cannot be written.
    pub(crate) fn target(message: impl Into<String>) -> Self {
        Failure {
            code: IO,
            message: message.into(),
        }
    }

    /// A target that is written, but with silence for what was lost.
    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Failure {
            code: LOST,
            message: message.into(),
        }
    }

    /// Puts `what` in front of the message.
    #[must_use]
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        Failure {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }

    /// Prints the failure, with the file it is about, to standard error.
    pub(crate) fn print(&self, file: Option<&Path>) {
        print_beside_bars(|| match file {
            Some(file) => eprintln!("rcodec: {}: {}", file.display(), self.message),
            None => eprintln!("rcodec: {}", self.message),
        });
    }

    /// The failure as the report of a file.
    pub(crate) fn json(&self, file: &Path) -> serde_json::Value {
        serde_json::json!({
            "input": file.display().to_string(),
            "error": self.message,
            "exit_code": self.code,
        })
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Malformed { .. } | Error::Truncated { .. } | Error::Checksum { .. } => BAD_INPUT,
            Error::Limit(_) => LIMIT,
            Error::Unsupported(_) | Error::ModelMissing(_) => UNSUPPORTED,
            Error::Parameter(_) => USAGE,
            Error::Cancelled => INTERRUPTED,
            _ => IO,
        };
        Failure {
            code,
            message: error.to_string(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::from(Error::Io(error))
    }
}

/// How the work on several files ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    done: usize,
    failed: Vec<(String, u8)>,
}

impl Outcome {
    pub(crate) fn add_done(&mut self) {
        self.done += 1;
    }

    pub(crate) fn add_failed(&mut self, file: &Path, failure: &Failure) {
        self.failed.push((file.display().to_string(), failure.code));
    }

    /// Names the failed ones of several files on standard error.
    pub(crate) fn print_summary(&self) {
        let total = self.done + self.failed.len();
        if total > 1 && !self.failed.is_empty() {
            let names: Vec<&str> = self.failed.iter().map(|(name, _)| name.as_str()).collect();
            eprintln!(
                "rcodec: {} of {total} files failed: {}",
                self.failed.len(),
                names.join(", ")
            );
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        match (self.done + self.failed.len(), self.failed.first()) {
            (_, None) => ExitCode::SUCCESS,
            (1, Some((_, code))) => ExitCode::from(*code),
            _ => ExitCode::from(SOME_FAILED),
        }
    }
}
