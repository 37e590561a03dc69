//! Targets: where a file goes.

use crate::args::Outputs;
use crate::exit::Failure;
use crate::inputs::{AtOnce, Input};
use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the result for one input goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    File(PathBuf),
}

impl Outputs {
    /// The target for `input`, whose default path (beside it) is `beside` and
    /// whose path in an output folder is `within`.
    pub(crate) fn target(
        &self,
        input: &Input,
        several: bool,
        rename: impl Fn(&Path) -> Result<PathBuf, Failure>,
    ) -> Result<Target, Failure> {
        let Some(output) = &self.output else {
            return if input.is_stdin() {
                Ok(Target::Stdout)
            } else {
                Ok(Target::File(rename(&input.path)?))
            };
        };
        if output == Path::new("-") {
            return Ok(Target::Stdout);
        }
        if several || output.is_dir() {
            if input.is_stdin() {
                return Err(Failure::usage("standard input has no name in a folder"));
            }
            return Ok(Target::File(output.join(rename(&input.relative)?)));
        }
        Ok(Target::File(output.clone()))
    }

    /// Results on standard output come in order.
    pub(crate) fn at_once(&self) -> AtOnce {
        match &self.output {
            Some(output) if output == Path::new("-") => AtOnce::One,
            _ => AtOnce::Many,
        }
    }

    /// Checks the options against the inputs.
    pub(crate) fn check(&self, inputs: &[PathBuf]) -> Result<(), Failure> {
        let to_stdout = self.output.as_deref() == Some(Path::new("-"));
        let from_stdin = inputs.iter().any(|path| path == Path::new("-"));
        if self.remove_source && (to_stdout || from_stdin) {
            return Err(Failure::usage(
                "--remove-source needs a source and a target that are files",
            ));
        }
        Ok(())
    }
}

/// The targets of a run, so that no result takes another's place.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<HashSet<PathBuf>>);

impl Targets {
    /// # Errors
    /// If the target is another input's.
    pub(crate) fn claim(&self, target: &Target) -> Result<(), Failure> {
        let Target::File(path) = target else {
            return Ok(());
        };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.insert(path.clone()) {
            return Ok(());
        }
        Err(Failure::target(format!(
            "{} is the result of another input",
            path.display()
        )))
    }
}

/// Whether several results may come from these inputs, so that the output is a
/// folder.
pub(crate) fn several(inputs: &[PathBuf]) -> bool {
    inputs.len() > 1 || inputs.iter().any(|path| path.is_dir())
}

/// Refuses to write binary data to a terminal.
pub(crate) fn check_stdout(force: bool) -> Result<(), Failure> {
    if io::stdout().is_terminal() && !force {
        return Err(Failure::usage(
            "standard output is a terminal (use -o FILE, a pipe, or --force)",
        ));
    }
    Ok(())
}
