//! Units of bytes as both decoders give them.

use rcodec_core::{Budget, DecodeContext, Media, Progress, Reservation, Result};

/// A decoded unit with the memory it occupies, charged.
pub(crate) struct Unit {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reservation: Reservation,
}

/// Counts what a decoder gives and asks limits and progress about it.
pub(crate) struct Tally<'a> {
    budget: Budget,
    progress: &'a dyn Progress,
    given: u64,
    /// The memory of the unit given last: it is in use until the next call.
    held: Option<Reservation>,
}

impl<'a> Tally<'a> {
    /// Nothing given yet.
    pub(crate) fn new(context: &DecodeContext<'a>) -> Self {
        Tally {
            budget: context.budget.clone(),
            progress: context.progress,
            given: 0,
            held: None,
        }
    }

    /// The memory account.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Gives back the memory of the last unit, which the caller is done with.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// Counts `unit` and hands it out.
    pub(crate) fn give(&mut self, unit: Unit) -> Result<Media> {
        self.given = self.given.saturating_add(unit.bytes.len() as u64);
        self.budget.check_samples(self.given)?;
        self.progress.check(self.given, None)?;
        self.held = Some(unit.reservation);
        Ok(Media::Bytes(unit.bytes))
    }
}
