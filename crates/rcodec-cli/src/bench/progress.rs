//! How far a run is: a bar on a terminal, a line a minute elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines in a log.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Shows how many measurements are done, and which one is under way.
pub(super) struct Progress {
    bar: ProgressBar,
    /// When the last line was printed, where lines are wanted.
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    pub(super) fn new(quiet: bool, tasks: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if quiet || !terminal {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(tasks as u64), target);
        let style = ProgressStyle::with_template("{wide_msg} {pos}/{len} {elapsed} (eta {eta})");
        Progress {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            last_line: (!quiet && !terminal).then(|| Mutex::new(Instant::now())),
        }
    }

    /// What is under way.
    pub(super) fn set_message(&self, message: String) {
        if let Some(last) = &self.last_line
            && let Ok(mut last) = last.lock()
            && last.elapsed() >= LINE_EVERY
        {
            *last = Instant::now();
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("{done}/{all} {message}");
        }
        self.bar.set_message(message);
    }

    /// One more is done.
    pub(super) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
