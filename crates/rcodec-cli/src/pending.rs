//! How a file gets under its name: whole, or not at all.

use crate::exit::{Failure, INTERRUPTED};
use filetime::FileTime;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::{Builder, NamedTempFile};

/// Temporary files to remove when the process is interrupted.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn temporary_files() -> MutexGuard<'static, Vec<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes Ctrl-C (and a termination request) end the process at once, without
/// a half-written file left behind.
pub(crate) fn remove_temporary_files_on_interrupt() {
    let installed = ctrlc::set_handler(|| {
        // Held to the end: no new file can appear.
        let files = temporary_files();
        for file in files.iter() {
            let _ = fs::remove_file(file);
        }
        std::process::exit(i32::from(INTERRUPTED));
    });
    if let Err(error) = installed {
        eprintln!("rcodec: interrupts leave temporary files behind: {error}");
    }
}

/// A file that appears under its name only when it is complete.
pub(crate) struct PendingFile {
    temporary: Temporary,
    target: PathBuf,
    force: bool,
}

enum Temporary {
    /// Without a name: nothing is left even of a killed process.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// On file systems that have no such files.
    Named(NamedTempFile),
}

impl PendingFile {
    /// Begins a file in the folder of `target`, which is made if need be.
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
        if target.file_name().is_none() {
            return Err(Failure::usage("the output has no file name"));
        }
        let folder = folder_of(target);
        let in_folder = |e: io::Error| Failure::from(e).about(folder.display());
        fs::create_dir_all(folder).map_err(in_folder)?;
        Ok(PendingFile {
            temporary: temporary_for(target).map_err(in_folder)?,
            target: target.to_path_buf(),
            force,
        })
    }

    fn file(&self) -> &File {
        match &self.temporary {
            #[cfg(target_os = "linux")]
            Temporary::Unnamed(file) => file,
            Temporary::Named(file) => file.as_file(),
        }
    }

    /// Writes to the file; to be flushed by the caller.
    pub(crate) fn writer(&self) -> BufWriter<&File> {
        BufWriter::with_capacity(256 << 10, self.file())
    }

    /// A second handle, for reading from the start.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        match &self.temporary {
            #[cfg(target_os = "linux")]
            Temporary::Unnamed(file) => File::open(unnamed::path(file)),
            Temporary::Named(file) => file.reopen(),
        }
    }

    /// Gives the file its name, after its bytes are on the disk; times and
    /// permissions are those of the source.
    pub(crate) fn commit(self, attributes: Option<&Metadata>) -> Result<(), Failure> {
        let file = self.file();
        if let Some(attributes) = attributes {
            file.set_permissions(attributes.permissions())?;
            let modified = FileTime::from_last_modification_time(attributes);
            filetime::set_file_handle_times(file, None, Some(modified))?;
        }
        file.sync_all()?;
        let target = &self.target;
        let named = match self.temporary {
            #[cfg(target_os = "linux")]
            Temporary::Unnamed(file) if self.force => unnamed::replace(&file, target),
            #[cfg(target_os = "linux")]
            Temporary::Unnamed(file) => unnamed::link(&file, target),
            Temporary::Named(file) => rename(file, target, self.force),
        };
        named.map_err(|error| Failure::from(error).about(target.display()))?;
        sync_folder(target)
    }
}

/// Removes the source of a result that is on the disk, if it is still the file
/// that was read: as it was before reading began.
///
/// # Errors
/// If it is not, or cannot be removed.
pub(crate) fn remove_source(source: &Path, before: Option<&Metadata>) -> Result<(), Failure> {
    let now = fs::metadata(source)?;
    let is_same = before.is_some_and(|before| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            if (before.dev(), before.ino()) != (now.dev(), now.ino()) {
                return false;
            }
        }
        before.len() == now.len() && before.modified().ok() == now.modified().ok()
    });
    if !is_same {
        return Err(Failure::target("changed since it was read, and so stays"));
    }
    Ok(fs::remove_file(source)?)
}

/// The folder a path is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn temporary_for(target: &Path) -> io::Result<Temporary> {
    #[cfg(target_os = "linux")]
    if let Some(file) = unnamed::create(folder_of(target)) {
        return Ok(Temporary::Unnamed(file));
    }
    let prefix = prefix_for(target);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut files = temporary_files();
    let temporary = builder.tempfile_in(folder_of(target))?;
    files.push(temporary.path().to_path_buf());
    Ok(Temporary::Named(temporary))
}

/// How temporary names for a target begin.
fn prefix_for(target: &Path) -> OsString {
    let name = target.file_name().unwrap_or(OsStr::new(""));
    let mut prefix = OsString::from(".");
    // A long name with more added could be too long for the file system.
    if name.len() <= 200 {
        prefix.push(name);
    }
    prefix.push(".");
    prefix
}

/// Gives a file that has a temporary name its own.
fn rename(file: NamedTempFile, target: &Path, force: bool) -> io::Result<()> {
    let path = file.path().to_path_buf();
    let renamed = if force {
        file.persist(target)
    } else {
        file.persist_noclobber(target)
    };
    temporary_files().retain(|file| *file != path);
    renamed.map(drop).map_err(|error| error.error)
}

/// Makes a name durable, where folders can be synced.
fn sync_folder(target: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    File::open(folder_of(target))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = target;
    Ok(())
}

/// Files without a name (`O_TMPFILE`).
#[cfg(target_os = "linux")]
mod unnamed {
    use super::{folder_of, prefix_for};
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::{Path, PathBuf};

    /// A file in a folder, or `None` where they cannot be had, or cannot be
    /// given a name later.
    pub(super) fn create(folder: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = open(folder, flags, Mode::from_raw_mode(0o666)).ok()?;
        let file = File::from(file);
        path(&file).symlink_metadata().ok()?;
        Some(file)
    }

    /// A path to the file for this process.
    pub(super) fn path(file: &File) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// Gives the file a name, if nothing has it.
    pub(super) fn link(file: &File, target: &Path) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_FOLLOW;
        Ok(linkat(CWD, path(file), CWD, target, flags)?)
    }

    /// Gives the file a name, in place of what has it now.
    pub(super) fn replace(file: &File, target: &Path) -> io::Result<()> {
        let named = tempfile::Builder::new()
            .prefix(&prefix_for(target))
            .suffix(".tmp")
            .make_in(folder_of(target), |path| link(file, path))?;
        named.persist(target).map(drop).map_err(|error| error.error)
    }
}
