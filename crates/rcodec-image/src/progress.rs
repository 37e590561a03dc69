//! Progress over the rows of groups that are coded side by side.

use rcodec_core::{Progress, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the samples of a picture that are coded, from all threads.
pub(crate) struct PictureProgress<'a> {
    progress: &'a dyn Progress,
    done: AtomicU64,
    total: u64,
}

impl<'a> PictureProgress<'a> {
    pub(crate) fn new(progress: &'a dyn Progress, total: u64) -> Self {
        PictureProgress {
            progress,
            done: AtomicU64::new(0),
            total,
        }
    }

    /// The part of one group of so many samples.
    pub(crate) fn group(&self, samples: u64) -> GroupProgress<'_> {
        GroupProgress {
            picture: self,
            left: samples,
        }
    }
}

/// What a group still has to report.
pub(crate) struct GroupProgress<'a> {
    picture: &'a PictureProgress<'a>,
    left: u64,
}

impl<'a> GroupProgress<'a> {
    /// Lets another thread report so many of the samples, at most what is
    /// left.
    pub(crate) fn part(&mut self, samples: u64) -> GroupProgress<'a> {
        let samples = samples.min(self.left);
        self.left -= samples;
        GroupProgress {
            picture: self.picture,
            left: samples,
        }
    }

    /// Reports that so many more samples are coded, at most what is left.
    ///
    /// # Errors
    /// [`Cancelled`](rcodec_core::Error::Cancelled).
    pub(crate) fn add(&mut self, samples: u64) -> Result<()> {
        let samples = samples.min(self.left);
        self.left -= samples;
        let picture = self.picture;
        let done = picture.done.fetch_add(samples, Ordering::Relaxed) + samples;
        picture.progress.check(done, Some(picture.total))
    }

    /// Reports what is left, of which nobody told.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) fn finish(mut self) -> Result<()> {
        self.add(self.left)
    }
}
