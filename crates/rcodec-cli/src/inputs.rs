//! From the paths of the command line to single files.

use crate::args::Inputs;
use crate::exit::{Failure, Outcome};
use crate::progress::{CountingReader, FileProgress};
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use walkdir::WalkDir;

/// The extension of our files.
pub(crate) const EXTENSION: &str = "rcd";

pub(crate) const READ_BUFFER_BYTES: usize = 256 << 10;

/// One file to work on.
#[derive(Debug)]
pub(crate) struct Input {
    /// Its path; `-` is standard input.
    pub(crate) path: PathBuf,
    /// Where it goes below the output folder: its name, or its path within the
    /// folder it was found in.
    pub(crate) relative: PathBuf,
}

impl Input {
    pub(crate) fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// Opens the input for reading, counted by `progress`.
    pub(crate) fn open(&self, progress: &Arc<FileProgress>) -> io::Result<Box<dyn BufRead + Send>> {
        let progress = Arc::clone(progress);
        if self.is_stdin() {
            let stdin = BufReader::with_capacity(READ_BUFFER_BYTES, io::stdin());
            return Ok(Box::new(CountingReader::new(stdin, progress)));
        }
        let file = File::open(&self.path)?;
        progress.set_total(file.metadata()?.len());
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, file);
        Ok(Box::new(CountingReader::new(reader, progress)))
    }

    /// The file's times and permissions; none for standard input.
    pub(crate) fn attributes(&self) -> io::Result<Option<Metadata>> {
        if self.is_stdin() {
            Ok(None)
        } else {
            fs::metadata(&self.path).map(Some)
        }
    }
}

/// Which files a walk through a folder takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Select {
    /// All but `.rcd` files: to encode.
    NotOurs,
    /// Only `.rcd` files: to decode and inspect.
    Ours,
    /// All files.
    All,
}

impl Select {
    fn takes(self, path: &Path) -> bool {
        let ours = path.extension().is_some_and(|e| e == EXTENSION);
        match self {
            Select::NotOurs => !ours,
            Select::Ours => ours,
            Select::All => true,
        }
    }
}

/// Expands folders; what cannot be read becomes a failure of its own.
pub(crate) fn expand(
    paths: &[PathBuf],
    recursive: bool,
    select: Select,
) -> Vec<Result<Input, (PathBuf, Failure)>> {
    let mut files = Vec::new();
    for path in paths {
        if path != Path::new("-") && path.is_dir() {
            if recursive {
                walk(path, select, &mut files);
            } else {
                let failure = Failure::usage("is a folder (-r goes into folders)");
                files.push(Err((path.clone(), failure)));
            }
        } else {
            let relative = path.file_name().map_or_else(|| path.clone(), PathBuf::from);
            files.push(Ok(Input {
                path: path.clone(),
                relative,
            }));
        }
    }
    files
}

fn walk(folder: &Path, select: Select, files: &mut Vec<Result<Input, (PathBuf, Failure)>>) {
    for entry in WalkDir::new(folder).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.file_type().is_file() && select.takes(entry.path()) => {
                let within = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                files.push(Ok(Input {
                    relative: within.to_path_buf(),
                    path: entry.into_path(),
                }));
            }
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                files.push(Err((path, Failure::from(io::Error::from(error)))));
            }
        }
    }
}

/// How many files are worked on at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtOnce {
    /// One, in order: what they give is in order.
    One,
    /// As many as there are threads.
    Many,
}

/// Runs `work` on every file; one that fails does not stop the others.
pub(crate) fn for_each(
    inputs: &Inputs,
    select: Select,
    at_once: AtOnce,
    work: impl Fn(&Input) -> Result<(), Failure> + Sync,
) -> Outcome {
    let files = expand(&inputs.inputs, inputs.recursive, select);
    let threads = match at_once {
        AtOnce::One => 1,
        AtOnce::Many => rayon::current_num_threads().min(files.len()),
    };
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Outcome::default());
    // Threads of their own, since those of rayon take up other files while they
    // wait for a part of one, and so any number of files.
    let take_files = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (path, result) = match file {
                Ok(input) => (&input.path, work(input)),
                Err((path, failure)) => (path, Err(failure.clone())),
            };
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(()) => outcome.add_done(),
                Err(failure) => {
                    failure.print(Some(path));
                    if inputs.json {
                        println!("{}", failure.json(path));
                    }
                    outcome.add_failed(path, &failure);
                }
            }
        }
    };
    if threads <= 1 {
        take_files();
    } else {
        thread::scope(|scope| {
            (0..threads).for_each(|_| drop(scope.spawn(take_files)));
        });
    }
    let outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.print_summary();
    outcome
}
