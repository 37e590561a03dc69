//! The encoder of [`Zstd`](crate::Zstd): cuts the input into pieces and has
//! as many compressed side by side as the current rayon pool has threads.

use crate::compress::{Compressor, SPARE_BYTES};
use crate::dictionary::DictionaryId;
use crate::settings::Settings;
use rayon::prelude::*;
use rcodec_core::{
    BlockSink, Budget, EncodeContext, Encoder, Media, PieceBuffer, Progress, Reservation, Result,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct ZstdEncoder<'a> {
    settings: Settings,
    dictionary: &'a [u8],
    progress: &'a dyn Progress,
    budget: Budget,
    /// Pieces not yet compressed; only the last may be short.
    pieces: Vec<PieceBuffer>,
    /// Compressors at rest.
    compressors: Mutex<Vec<Compressor>>,
    /// Bytes of the pieces that have been compressed.
    compressed: AtomicU64,
}

impl<'a> ZstdEncoder<'a> {
    pub(crate) fn new(context: EncodeContext<'a>) -> Result<Self> {
        let settings = Settings::new(context.effort, context.options)?;
        // A damaged dictionary is reported before anything is written.
        let mut compressors = Vec::new();
        if !context.dictionary.is_empty() {
            compressors.push(Compressor::new(settings, context.dictionary)?);
        }
        Ok(ZstdEncoder {
            settings,
            dictionary: context.dictionary,
            progress: context.progress,
            budget: context.budget,
            pieces: Vec::new(),
            compressors: Mutex::new(compressors),
            compressed: AtomicU64::new(0),
        })
    }

    /// Moves bytes from `input` to the last piece.
    fn collect(&mut self, input: &mut &[u8]) -> Result<()> {
        if self.pieces.last().is_none_or(PieceBuffer::is_full) {
            self.pieces
                .push(PieceBuffer::new(self.settings.piece_bytes));
        }
        match self.pieces.last_mut() {
            Some(piece) => piece.take_from(input, &self.budget),
            None => Ok(()),
        }
    }

    fn all_full(&self) -> bool {
        self.pieces.last().is_some_and(PieceBuffer::is_full)
    }

    /// Whether one more piece is to be collected before the others are
    /// compressed: there is a thread for it, and memory for it and for all of
    /// them to be compressed at a time.
    fn has_room_for_another(&self) -> bool {
        let count = self.pieces.len() + 1;
        let piece_bytes = self.settings.piece_bytes;
        let needed = piece_bytes as u64 + self.cost(piece_bytes) * count as u64;
        count <= rayon::current_num_threads() && self.budget.reserve(needed).is_ok()
    }

    /// The memory that compressing a piece takes beside the piece, in bytes.
    fn cost(&self, piece_bytes: usize) -> u64 {
        let dictionary_bytes = 4 * self.dictionary.len();
        self.settings
            .for_piece(piece_bytes)
            .context_bytes(piece_bytes)
            + (piece_bytes + SPARE_BYTES + dictionary_bytes) as u64
    }

    /// Compresses all the pieces collected and writes them.
    fn flush(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        let mut rest = self.pieces.as_slice();
        while !rest.is_empty() {
            let (count, _reservation) = self.affordable(rest)?;
            let (now, later) = rest.split_at(count);
            // Written in the order of the pieces.
            let payloads: Vec<Result<Vec<u8>>> =
                now.par_iter().map(|piece| self.compress(piece)).collect();
            for payload in payloads {
                sink.write_block(&payload?)?;
            }
            rest = later;
        }
        self.pieces.clear();
        Ok(())
    }

    /// How many of `pieces` the budget allows to compress at a time, and the
    /// memory for it.
    fn affordable(&self, pieces: &[PieceBuffer]) -> Result<(usize, Reservation)> {
        let mut count = pieces.len();
        loop {
            let needed = pieces[..count]
                .iter()
                .map(|piece| self.cost(piece.bytes().len()))
                .sum();
            match self.budget.reserve(needed) {
                Ok(reservation) => return Ok((count, reservation)),
                Err(e) if count == 1 => return Err(e),
                Err(_) => count /= 2,
            }
        }
    }

    fn compress(&self, piece: &PieceBuffer) -> Result<Vec<u8>> {
        let done = self.compressed.load(Ordering::Relaxed);
        self.progress.check(done, None)?;
        let settings = self.settings.for_piece(piece.bytes().len());
        let payload = if settings == self.settings {
            self.with_compressor(|compressor| compressor.compress(piece.bytes()))?
        } else {
            // There is one such piece at most: the last.
            Compressor::new(settings, self.dictionary)?.compress(piece.bytes())?
        };
        let piece_bytes = piece.bytes().len() as u64;
        let done = self.compressed.fetch_add(piece_bytes, Ordering::Relaxed) + piece_bytes;
        self.progress.check(done, None)?;
        Ok(payload)
    }

    /// Lends a compressor at rest, or a new one.
    fn with_compressor<T>(&self, f: impl FnOnce(&mut Compressor) -> Result<T>) -> Result<T> {
        // The lock must be free again before the slow part.
        let idle = self.idle_compressors().pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => Compressor::new(self.settings, self.dictionary)?,
        };
        let result = f(&mut compressor)?;
        self.idle_compressors().push(compressor);
        Ok(result)
    }

    fn idle_compressors(&self) -> MutexGuard<'_, Vec<Compressor>> {
        // A vector is whole at any time, so poison means nothing.
        self.compressors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Encoder for ZstdEncoder<'_> {
    fn params(&self) -> Vec<u8> {
        if self.dictionary.is_empty() {
            Vec::new()
        } else {
            DictionaryId::of(self.dictionary).to_params()
        }
    }

    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()> {
        let bytes = unit.into_bytes()?;
        let mut input = bytes.as_slice();
        while !input.is_empty() {
            self.collect(&mut input)?;
            if self.all_full() && !self.has_room_for_another() {
                self.flush(sink)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        self.flush(sink)
    }
}
