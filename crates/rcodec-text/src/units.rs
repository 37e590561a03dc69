//! Units of bytes in and out.

use rcodec_core::{Budget, EncodeContext, Error, Media, MediaHeader, Rate, Reservation, Result};

/// The longest unit a decoder gives, in bytes.
pub(crate) const UNIT_BYTES: usize = 1 << 20;

/// Fails unless the stream holds bytes.
pub(crate) fn expect_bytes(header: &MediaHeader) -> Result<()> {
    match header {
        MediaHeader::Bytes => Ok(()),
        _ => Err(Error::unsupported("the codec text takes bytes only")),
    }
}

/// Fails for what the encoder does not do.
pub(crate) fn expect_lossless(context: &EncodeContext<'_>) -> Result<()> {
    if context.rate != Rate::Lossless {
        return Err(Error::parameter(
            "bytes can only be encoded without loss: no quality or target rate",
        ));
    }
    if !context.dictionary.is_empty() {
        return Err(Error::parameter("the codec text takes no dictionary"));
    }
    Ok(())
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
        self.bytes.len() >= self.limit_bytes
    }

    /// Appends a byte; the caller keeps to the limit.
    #[inline(always)]
    pub(crate) fn push(&mut self, byte: u8, budget: &Budget) -> Result<()> {
        if self.bytes.len() == self.bytes.capacity() {
            self.make_room(1, budget)?;
        }
        self.bytes.push(byte);
        Ok(())
    }

    /// Moves as many bytes as fit from the front of `input` to the buffer.
    /// On an error nothing has moved.
    pub(crate) fn take_from(&mut self, input: &mut &[u8], budget: &Budget) -> Result<()> {
        let count = input.len().min(self.limit_bytes - self.bytes.len());
        self.make_room(count, budget)?;
        let (taken, rest) = input.split_at(count);
        self.bytes.extend_from_slice(taken);
        *input = rest;
        Ok(())
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
