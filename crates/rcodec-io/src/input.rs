//! The reader behind a source: bytes can be looked at and put back, so that a
//! file that turns out not to be what it seemed is still there whole.

use rcodec_core::{Budget, Reservation, Result};
use std::io::{BufRead, Read};

/// How much is read at once when a whole file is taken into memory.
const READ_BYTES: usize = 1 << 20;

/// A reader with bytes put back in front of it.
pub(crate) struct Input {
    /// Bytes to give before those of `reader`; `at` of them are given already.
    pending: Vec<u8>,
    at: usize,
    reader: Box<dyn BufRead + Send>,
}

/// A whole file in memory.
pub(crate) struct Whole {
    pub(crate) bytes: Vec<u8>,
    /// The memory of `bytes`, charged.
    pub(crate) held: Vec<Reservation>,
}

impl Input {
    pub(crate) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Input {
            pending: Vec::new(),
            at: 0,
            reader,
        }
    }

    /// The next `count` bytes (fewer only at the end of the input), without
    /// taking them.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        let have = self.pending.len() - self.at;
        if have < count {
            self.reader
                .by_ref()
                .take((count - have) as u64)
                .read_to_end(&mut self.pending)?;
        }
        let end = self.pending.len().min(self.at + count);
        Ok(&self.pending[self.at..end])
    }

    /// Appends the next `count` bytes (fewer only at the end of the input) to
    /// `buffer`; returns how many there were. How the reader splits its reads
    /// makes no difference.
    pub(crate) fn take_into(&mut self, buffer: &mut Vec<u8>, count: usize) -> Result<usize> {
        let from_pending = count.min(self.pending.len() - self.at);
        buffer.extend_from_slice(&self.pending[self.at..self.at + from_pending]);
        self.at += from_pending;
        if self.at == self.pending.len() && self.at > 0 {
            self.pending = Vec::new();
            self.at = 0;
        }
        let mut taken = from_pending;
        if taken < count {
            buffer.reserve((count - taken).min(READ_BYTES));
            taken += self
                .reader
                .by_ref()
                .take((count - taken) as u64)
                .read_to_end(buffer)?;
        }
        Ok(taken)
    }

    /// Puts bytes back in front of all others.
    pub(crate) fn put_back(&mut self, mut bytes: Vec<u8>) {
        if self.at < self.pending.len() {
            bytes.extend_from_slice(&self.pending[self.at..]);
        }
        self.pending = bytes;
        self.at = 0;
    }

    /// Takes everything up to the end, charged to `budget`. If the budget does
    /// not allow that, nothing is taken and the answer is `None`.
    pub(crate) fn take_whole(&mut self, budget: &Budget) -> Result<Option<Whole>> {
        let mut whole = Whole {
            bytes: Vec::new(),
            held: Vec::new(),
        };
        loop {
            let Ok(reservation) = budget.reserve(READ_BYTES as u64) else {
                self.put_back(whole.bytes);
                return Ok(None);
            };
            whole.held.push(reservation);
            if self.take_into(&mut whole.bytes, READ_BYTES)? < READ_BYTES {
                return Ok(Some(whole));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Limits;
    use std::io::Cursor;

    #[test]
    fn bytes_come_back_in_order() {
        let data: Vec<u8> = (0..100).collect();
        let mut input = Input::new(Box::new(Cursor::new(data.clone())));
        assert_eq!(input.peek(10).unwrap(), &data[..10]);
        assert_eq!(input.peek(200).unwrap(), &data[..]);
        let mut out = Vec::new();
        assert_eq!(input.take_into(&mut out, 30).unwrap(), 30);
        input.put_back(out);
        let mut out = Vec::new();
        assert_eq!(input.take_into(&mut out, 1000).unwrap(), 100);
        assert_eq!(out, data);
        assert!(input.peek(1).unwrap().is_empty());
    }

    #[test]
    fn a_file_beyond_the_budget_is_put_back() {
        let data = vec![7u8; 5 << 20];
        let budget = Budget::new(Limits {
            max_alloc_bytes: 3 << 20,
            ..Limits::default()
        });
        let mut input = Input::new(Box::new(Cursor::new(data.clone())));
        input.peek(4096).unwrap();
        assert!(input.take_whole(&budget).unwrap().is_none());
        assert_eq!(budget.used_bytes(), 0);
        let mut out = Vec::new();
        input.take_into(&mut out, usize::MAX).unwrap();
        assert_eq!(out, data);
    }
}
