//! Progress reports and cancellation.

use crate::error::{Error, Result};

/// What the receiver of a progress report wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop as soon as possible with [`Error::Cancelled`].
    Cancel,
}

/// Receives progress reports, possibly from several threads.
pub trait Progress: Sync {
    /// `done` of `total` units are finished; the unit is the caller's (bytes
    /// for byte streams, samples for images and audio).
    fn update(&self, done: u64, total: Option<u64>) -> Flow;

    /// Like [`update`](Self::update), with cancellation as an error.
    fn check(&self, done: u64, total: Option<u64>) -> Result<()> {
        match self.update(done, total) {
            Flow::Continue => Ok(()),
            Flow::Cancel => Err(Error::Cancelled),
        }
    }
}

/// Ignores progress and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn update(&self, _done: u64, _total: Option<u64>) -> Flow {
        Flow::Continue
    }
}
