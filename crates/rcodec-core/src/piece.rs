//! Content collected before it is encoded or given out.

use crate::budget::{Budget, Reservation};
use crate::error::{Error, Result};

/// The longest unit of bytes that a decoder gives, in bytes.
pub const UNIT_BYTES: usize = 1 << 20;

/// A buffer that grows by doubling up to a limit, charged to the budget before
/// it grows.
#[derive(Debug)]
pub struct PieceBuffer {
    bytes: Vec<u8>,
    limit_bytes: usize,
    reservation: Option<Reservation>,
}

impl PieceBuffer {
    /// An empty buffer for up to `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        PieceBuffer {
            bytes: Vec::new(),
            limit_bytes,
            reservation: None,
        }
    }

    /// The bytes collected.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= self.limit_bytes
    }

    /// Appends a byte; the caller keeps to the limit.
    ///
    /// # Errors
    /// [`Error::Limit`] if the budget has no room for a larger buffer.
    #[inline(always)]
    pub fn push(&mut self, byte: u8, budget: &Budget) -> Result<()> {
        if self.bytes.len() == self.bytes.capacity() {
            self.make_room(1, budget)?;
        }
        self.bytes.push(byte);
        Ok(())
    }

    /// Moves as many bytes as fit from the front of `input` to the buffer.
    /// On an error nothing has moved.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn take_from(&mut self, input: &mut &[u8], budget: &Budget) -> Result<()> {
        let count = input.len().min(self.limit_bytes - self.bytes.len());
        self.make_room(count, budget)?;
        let (taken, rest) = input.split_at(count);
        self.bytes.extend_from_slice(taken);
        *input = rest;
        Ok(())
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    #[cold]
    fn make_room(&mut self, count: usize, budget: &Budget) -> Result<()> {
        let needed = self.bytes.len() + count;
        if needed > self.bytes.capacity() {
            let grown = needed.next_power_of_two().max(4096);
            let grown = grown.min(self.limit_bytes).max(needed);
            let reservation = budget.reserve(grown as u64)?;
            self.bytes
                .try_reserve_exact(grown - self.bytes.len())
                .map_err(|_| Error::Limit("memory"))?;
            self.reservation = Some(reservation);
        }
        Ok(())
    }
}
