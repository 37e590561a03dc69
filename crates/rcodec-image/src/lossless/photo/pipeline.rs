//! Channels side by side: each one codes a row as soon as the channel before
//! it is a row further.

use rcodec_core::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows that a channel codes before others have a turn.
const ROWS_PER_TURN: usize = 16;

/// A coded row of a channel, for those after it.
#[derive(Debug)]
pub(crate) struct Row {
    /// The samples.
    pub(crate) values: Vec<u16>,
    /// What the channel's expectation missed them by.
    pub(crate) residuals: Vec<i32>,
    /// The same row of the channel before this one.
    pub(crate) before: Option<Arc<Row>>,
}

/// One channel at work.
pub(crate) trait Stage: Send {
    /// Takes the next row of the channel before.
    fn accept(&mut self, row: Arc<Row>);

    /// Codes a row; `None` if rows of the channel before are missing, or all
    /// is done.
    fn step(&mut self) -> Result<Option<Arc<Row>>>;
}

/// Rows on their way to a stage.
struct Inbox {
    rows: VecDeque<Arc<Row>>,
    /// Whether the stage has a turn now or will have one.
    awake: bool,
}

struct Slot<S> {
    stage: Mutex<S>,
    inbox: Mutex<Inbox>,
    error: Mutex<Option<Error>>,
}

/// A lock that does not mind a panic elsewhere: that panic is passed on when
/// the scope ends.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs all stages to their ends on the threads of the current pool and gives
/// them back.
///
/// # Errors
/// That of the first stage that failed, in their order.
pub(crate) fn run<S: Stage>(stages: Vec<S>) -> Result<Vec<S>> {
    let slots: Vec<Slot<S>> = stages
        .into_iter()
        .map(|stage| Slot {
            stage: Mutex::new(stage),
            inbox: Mutex::new(Inbox {
                rows: VecDeque::new(),
                awake: false,
            }),
            error: Mutex::new(None),
        })
        .collect();
    if let Some(first) = slots.first() {
        lock(&first.inbox).awake = true;
        rayon::scope_fifo(|scope| scope.spawn_fifo(|scope| turn(scope, &slots, 0)));
    }
    let mut stages = Vec::new();
    for slot in slots {
        if let Some(error) = lock(&slot.error).take() {
            return Err(error);
        }
        stages.push(
            slot.stage
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
    Ok(stages)
}

/// Lets a stage code a few rows.
fn turn<'s, S: Stage>(scope: &rayon::ScopeFifo<'s>, slots: &'s [Slot<S>], index: usize) {
    let slot = &slots[index];
    let mut stage = lock(&slot.stage);
    for _ in 0..ROWS_PER_TURN {
        let arrived = std::mem::take(&mut lock(&slot.inbox).rows);
        let any = !arrived.is_empty();
        for row in arrived {
            stage.accept(row);
        }
        match stage.step() {
            Ok(Some(row)) => {
                let Some(next) = slots.get(index + 1) else {
                    continue;
                };
                let mut inbox = lock(&next.inbox);
                inbox.rows.push_back(row);
                if !inbox.awake {
                    inbox.awake = true;
                    scope.spawn_fifo(move |scope| turn(scope, slots, index + 1));
                }
            }
            Ok(None) => {
                let mut inbox = lock(&slot.inbox);
                if inbox.rows.is_empty() && !any {
                    inbox.awake = false;
                    return;
                }
            }
            Err(error) => {
                *lock(&slot.error) = Some(error);
                return; // stays awake: nobody wakes it again
            }
        }
    }
    drop(stage);
    scope.spawn_fifo(move |scope| turn(scope, slots, index));
}
