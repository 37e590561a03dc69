//! A progress bar for work that takes over half a second, on a terminal only.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rcodec::{Flow, Progress};
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

const SHOW_AFTER: Duration = Duration::from_millis(500);

/// The bars of all files that are worked on.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints where no bar stands.
pub(crate) fn print_beside_bars(print: impl FnOnce()) {
    BARS.suspend(print);
}

/// Shows how far the work on one file has come: in samples where the codec
/// knows their number, else in bytes read.
pub(crate) struct FileProgress {
    name: String,
    visible: bool,
    started: Instant,
    read_bytes: AtomicU64,
    total_bytes: AtomicU64,
    bar: Mutex<Option<Bar>>,
}

/// A bar on the terminal.
struct Bar {
    bar: ProgressBar,
    in_samples: bool,
}

impl FileProgress {
    pub(crate) fn new(path: &Path, quiet: bool) -> Arc<Self> {
        Self::named(path.display().to_string(), quiet)
    }

    /// For the check of what was written.
    pub(crate) fn of_verification(path: &Path, quiet: bool) -> Arc<Self> {
        Self::named(format!("{}: verifying", path.display()), quiet)
    }

    fn named(name: String, quiet: bool) -> Arc<Self> {
        Arc::new(FileProgress {
            name,
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

    /// Takes the bar off the terminal.
    pub(crate) fn clear(&self) {
        if let Ok(Some(shown)) = self.bar.lock().map(|mut bar| bar.take()) {
            shown.bar.finish_and_clear();
        }
    }

    fn add(&self, bytes: u64) {
        let read = self.read_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total = self.total_bytes.load(Ordering::Relaxed);
        self.show(read, (total > 0).then_some(total), false);
    }

    /// Moves the bar. Samples, once a codec has told of them, go before bytes.
    fn show(&self, done: u64, total: Option<u64>, in_samples: bool) {
        if !self.visible || self.started.elapsed() < SHOW_AFTER {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        if bar
            .as_ref()
            .is_some_and(|shown| in_samples && !shown.in_samples)
        {
            *bar = None;
        }
        let shown = bar.get_or_insert_with(|| Bar {
            bar: self.new_bar(total, in_samples),
            in_samples,
        });
        if shown.in_samples == in_samples {
            shown.bar.set_position(done);
        }
    }

    fn new_bar(&self, total: Option<u64>, in_samples: bool) -> ProgressBar {
        let (bar, template) = match total {
            Some(total) if in_samples => {
                (ProgressBar::new(total), "{msg} {wide_bar} {percent}% {eta}")
            }
            Some(total) => (
                ProgressBar::new(total),
                "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ),
            None => (ProgressBar::new_spinner(), "{msg} {bytes} {bytes_per_sec}"),
        };
        let style = ProgressStyle::with_template(template).expect("a valid template");
        bar.set_style(style);
        bar.set_message(self.name.clone());
        BARS.add(bar)
    }
}

impl Progress for FileProgress {
    fn update(&self, done: u64, total: Option<u64>) -> Flow {
        if total.is_some() {
            self.show(done, total, true);
        }
        Flow::Continue
    }
}

impl Drop for FileProgress {
    fn drop(&mut self) {
        self.clear();
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
