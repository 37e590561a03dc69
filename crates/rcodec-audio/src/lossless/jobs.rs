//! Jobs that run side by side and are collected in order.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// A queue of running jobs.
///
/// Jobs run in the current rayon pool. Waiting for one lends the waiting
/// thread to the pool, so that a pool of a single thread that waits for itself
/// still gets on.
pub(crate) struct JobQueue<T> {
    running: VecDeque<Receiver<T>>,
}

impl<T: Send + 'static> JobQueue<T> {
    pub(crate) fn new() -> Self {
        JobQueue {
            running: VecDeque::new(),
        }
    }

    /// Jobs that were started and not collected.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Starts a job.
    pub(crate) fn start(&mut self, job: impl FnOnce() -> T + Send + 'static) {
        let (sender, receiver) = channel();
        self.running.push_back(receiver);
        rayon::spawn(move || {
            // Nobody listens any more if the queue was dropped.
            let _ = sender.send(job());
        });
    }

    /// The result of the oldest job if it has finished.
    pub(crate) fn try_next(&mut self) -> Option<T> {
        let result = self.running.front()?.try_recv().ok()?;
        self.running.pop_front();
        Some(result)
    }

    /// Waits for the oldest job; `None` if there is none.
    pub(crate) fn next(&mut self) -> Option<T> {
        let receiver = self.running.pop_front()?;
        loop {
            match receiver.try_recv() {
                Ok(result) => return Some(result),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => match rayon::yield_now() {
                    Some(rayon::Yield::Executed) => {}
                    Some(rayon::Yield::Idle) => std::thread::yield_now(),
                    None => return receiver.recv().ok(),
                },
            }
        }
    }
}

/// How many jobs of `job_bytes` bytes to run at once.
pub(crate) fn jobs_at_once(job_bytes: u64) -> usize {
    const MEMORY_BYTES: u64 = 64 << 20;
    let by_memory = (MEMORY_BYTES / job_bytes.max(1)).max(1);
    rayon::current_num_threads()
        .min(usize::try_from(by_memory).unwrap_or(1))
        .max(1)
}
