//! A progress bar for work that takes over half a second, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SHOW_AFTER: Duration = Duration::from_millis(500);

/// Counts the bytes read of one file.
pub(crate) struct FileProgress {
    name: String,
    visible: bool,
    started: Instant,
    read_bytes: AtomicU64,
    total_bytes: AtomicU64,
    bar: Mutex<Option<ProgressBar>>,
}

impl FileProgress {
    pub(crate) fn new(path: &Path, quiet: bool) -> Arc<Self> {
        Arc::new(FileProgress {
            name: path.display().to_string(),
            visible: !quiet && io::stderr().is_terminal(),
            started: Instant::now(),
            read_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            bar: Mutex::new(None),
        })
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        let read = self.read_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if !self.visible || self.started.elapsed() < SHOW_AFTER {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        bar.get_or_insert_with(|| self.new_bar()).set_position(read);
    }

    fn new_bar(&self) -> ProgressBar {
        let total = self.total_bytes.load(Ordering::Relaxed);
        let (bar, template) = if total > 0 {
            (
                ProgressBar::new(total),
                "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            )
        } else {
            (ProgressBar::new_spinner(), "{msg} {bytes} {bytes_per_sec}")
        };
        let style = ProgressStyle::with_template(template).expect("a valid template");
        bar.set_style(style);
        bar.set_message(self.name.clone());
        bar
    }
}

impl Drop for FileProgress {
    fn drop(&mut self) {
        if let Ok(Some(bar)) = self.bar.get_mut().map(Option::take) {
            bar.finish_and_clear();
        }
    }
}

/// A reader that tells a [`FileProgress`] what was taken from it.
pub(crate) struct CountingReader<R> {
    inner: R,
    progress: Arc<FileProgress>,
}

impl<R: BufRead> CountingReader<R> {
    pub(crate) fn new(inner: R, progress: Arc<FileProgress>) -> Self {
        CountingReader { inner, progress }
    }
}

impl<R: BufRead> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for CountingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
        self.progress.add(bytes as u64);
    }
}
