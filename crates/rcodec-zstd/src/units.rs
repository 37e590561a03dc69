//! What both codecs share: units of bytes in and out.

use rcodec_core::{
    Budget, DecodeContext, EncodeContext, Error, Media, MediaHeader, Progress, Rate, Reservation,
    Result,
};

/// The longest unit a decoder gives, in bytes.
pub(crate) const UNIT_BYTES: usize = 1 << 20;

/// Fails unless the stream holds bytes.
pub(crate) fn expect_bytes(header: &MediaHeader) -> Result<()> {
    match header {
        MediaHeader::Bytes => Ok(()),
        _ => Err(Error::unsupported("this codec takes bytes only")),
    }
}

/// Fails unless the rate is lossless.
pub(crate) fn expect_lossless(context: &EncodeContext<'_>) -> Result<()> {
    match context.rate {
        Rate::Lossless => Ok(()),
        _ => Err(Error::parameter(
            "bytes can only be encoded without loss: no quality or target rate",
        )),
    }
}

/// The bytes of a unit.
pub(crate) fn bytes_of(unit: Media) -> Result<Vec<u8>> {
    match unit {
        Media::Bytes(bytes) => Ok(bytes),
        _ => Err(Error::parameter("the unit is not bytes")),
    }
}

/// A buffer that grows by doubling up to a limit, charged to the budget before
/// it grows.
pub(crate) struct PieceBuffer {
    bytes: Vec<u8>,
    limit_bytes: usize,
    reservation: Option<Reservation>,
}

impl PieceBuffer {
    /// An empty buffer for up to `limit_bytes`.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        PieceBuffer {
            bytes: Vec::new(),
            limit_bytes,
            reservation: None,
        }
    }

    /// The bytes collected.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() == self.limit_bytes
    }

    /// Moves as many bytes as fit from the front of `input` to the buffer.
    /// On an error nothing has moved.
    pub(crate) fn take_from(&mut self, input: &mut &[u8], budget: &Budget) -> Result<()> {
        let count = input.len().min(self.limit_bytes - self.bytes.len());
        let needed = self.bytes.len() + count;
        if needed > self.bytes.capacity() {
            let grown = needed.next_power_of_two().min(self.limit_bytes).max(needed);
            let reservation = budget.reserve(grown as u64)?;
            self.bytes
                .try_reserve_exact(grown - self.bytes.len())
                .map_err(|_| Error::Limit("memory"))?;
            self.reservation = Some(reservation);
        }
        let (taken, rest) = input.split_at(count);
        self.bytes.extend_from_slice(taken);
        *input = rest;
        Ok(())
    }

    /// Empties the buffer and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }
}

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
