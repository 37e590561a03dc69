//! Targets: where a file goes, and how it gets there whole or not at all.

use crate::args::Outputs;
use crate::exit::{Failure, INTERRUPTED};
use crate::inputs::Input;
use filetime::FileTime;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::NamedTempFile;

/// Temporary files to remove when the process is interrupted.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Makes Ctrl-C (and a termination request) end the process at once, without
/// a half-written file left behind.
pub(crate) fn remove_temporary_files_on_interrupt() {
    let installed = ctrlc::set_handler(|| {
        if let Ok(files) = TEMPORARY.lock() {
            for file in files.iter() {
                let _ = fs::remove_file(file);
            }
            // The lock is held to the end: no new file can appear.
            std::process::exit(i32::from(INTERRUPTED));
        }
        std::process::exit(i32::from(INTERRUPTED));
    });
    if let Err(error) = installed {
        eprintln!("rcodec: interrupts leave temporary files behind: {error}");
    }
}

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

/// A file that appears under its name only when it is complete.
pub(crate) struct PendingFile {
    temporary: NamedTempFile,
    target: PathBuf,
    force: bool,
}

impl PendingFile {
    /// Begins a file beside `target`, whose folder is made if need be.
    pub(crate) fn create(target: &Path, force: bool) -> Result<Self, Failure> {
        if !force && target.symlink_metadata().is_ok() {
            return Err(Failure::target(format!(
                "{} exists (--force overwrites)",
                target.display()
            )));
        }
        if target.is_dir() {
            return Err(Failure::target(format!("{} is a folder", target.display())));
        }
        let name = target
            .file_name()
            .ok_or_else(|| Failure::usage("the output has no file name"))?;
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let in_folder = |e: io::Error| Failure::from(e).about(folder.display());
        fs::create_dir_all(folder).map_err(in_folder)?;
        // A long name with more added could be too long for the file system.
        let mut prefix = std::ffi::OsString::from(".");
        if name.len() <= 200 {
            prefix.push(name);
        }
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut files = TEMPORARY.lock().unwrap_or_else(|e| e.into_inner());
        let temporary = builder.tempfile_in(folder).map_err(in_folder)?;
        files.push(temporary.path().to_path_buf());
        Ok(PendingFile {
            temporary,
            target: target.to_path_buf(),
            force,
        })
    }

    /// Writes to the file; to be flushed by the caller.
    pub(crate) fn writer(&self) -> BufWriter<&File> {
        BufWriter::with_capacity(256 << 10, self.temporary.as_file())
    }

    /// A second handle, for reading from the start.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        self.temporary.reopen()
    }

    /// Gives the file its name, after its bytes are on the disk; times and
    /// permissions are those of the source.
    pub(crate) fn commit(self, attributes: Option<&Metadata>) -> Result<(), Failure> {
        let file = self.temporary.as_file();
        if let Some(attributes) = attributes {
            file.set_permissions(attributes.permissions())?;
            let modified = FileTime::from_last_modification_time(attributes);
            filetime::set_file_handle_times(file, None, Some(modified))?;
        }
        file.sync_all()?;
        let path = self.temporary.path().to_path_buf();
        let target = &self.target;
        let persisted = if self.force {
            self.temporary.persist(target)
        } else {
            self.temporary.persist_noclobber(target)
        };
        forget(&path);
        persisted.map_err(|e| Failure::from(e.error).about(target.display()))?;
        sync_folder(target)
    }
}

/// Takes a path off the list of files to remove.
fn forget(path: &Path) {
    let mut files = TEMPORARY.lock().unwrap_or_else(|e| e.into_inner());
    files.retain(|file| file != path);
}

/// Makes a rename durable, where folders can be synced.
fn sync_folder(target: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = target;
    Ok(())
}
