//! The encoder of [`Text`](crate::Text): cuts the input into pieces and has as
//! many compressed side by side as the current rayon pool has threads and the
//! budget allows.

use crate::block;
use crate::payload::Head;
use crate::prior::OWN_NUMBER;
use crate::settings::{Priors, Settings};
use rayon::prelude::*;
use rcodec_core::{
    BlockSink, Budget, EncodeContext, Encoder, Media, ModelId, PieceBuffer, Progress, Result,
};
use rcodec_llm::Model as LanguageModel;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct TextEncoder<'a> {
    settings: Settings,
    /// What advises the models.
    llm: Option<Arc<LanguageModel>>,
    progress: &'a dyn Progress,
    budget: Budget,
    /// Pieces not yet compressed; only the last may be short.
    pieces: Vec<PieceBuffer>,
    /// Bytes compressed.
    done: AtomicU64,
}

impl<'a> TextEncoder<'a> {
    pub(crate) fn new(context: EncodeContext<'a>) -> Result<Self> {
        let settings = Settings::new(context.effort, context.options, context.model)?;
        Ok(TextEncoder {
            llm: settings.llm.map(rcodec_llm::registry::find).transpose()?,
            settings,
            progress: context.progress,
            budget: context.budget,
            pieces: Vec::new(),
            done: AtomicU64::new(0),
        })
    }

    /// The memory that compressing a piece takes beside it, in bytes.
    fn cost(&self, piece_bytes: usize) -> u64 {
        let class = self.settings.class;
        let head = Head {
            class,
            snapshot: 0,
            table_bits: self.settings.table_bits(piece_bytes),
            content_bytes: piece_bytes,
        };
        block::model_bytes(&head, self.llm.as_deref())
            + block::prior_bytes(class, piece_bytes)
            + piece_bytes as u64
    }

    /// Whether one more piece is to be collected before the others are
    /// compressed.
    fn has_room_for_another(&self) -> bool {
        let count = self.pieces.len() + 1;
        let piece_bytes = self.settings.piece_bytes;
        let needed = piece_bytes as u64 + self.cost(piece_bytes) * count as u64;
        count <= rayon::current_num_threads() && self.budget.reserve(needed).is_ok()
    }

    /// Compresses all the pieces collected and writes them.
    fn write_pieces(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        let mut rest = self.pieces.as_slice();
        while !rest.is_empty() {
            let mut count = rest.len();
            while count > 1 {
                let needed = rest[..count]
                    .iter()
                    .map(|p| self.cost(p.bytes().len()))
                    .sum();
                if self.budget.reserve(needed).is_ok() {
                    break;
                }
                count /= 2;
            }
            let (now, later) = rest.split_at(count);
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

    fn compress(&self, piece: &PieceBuffer) -> Result<Vec<u8>> {
        let tick = |bytes| {
            let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.progress.check(done, None)
        };
        // Room for the payload.
        let _reservation = self.budget.reserve(piece.bytes().len() as u64)?;
        let llm = self.llm.as_ref();
        block::compress(piece.bytes(), &self.settings, llm, &self.budget, &tick)
    }
}

impl Encoder for TextEncoder<'_> {
    fn models(&self) -> Vec<ModelId> {
        let prior = match self.settings.priors {
            Priors::One {
                number: OWN_NUMBER,
                id,
            } => Some(id),
            _ => None,
        };
        prior.into_iter().chain(self.settings.llm).collect()
    }

    fn write(&mut self, unit: Media, sink: &mut dyn BlockSink) -> Result<()> {
        let bytes = unit.into_bytes()?;
        let mut input = bytes.as_slice();
        while !input.is_empty() {
            if self.pieces.last().is_none_or(PieceBuffer::is_full) {
                self.pieces
                    .push(PieceBuffer::new(self.settings.piece_bytes));
            }
            if let Some(piece) = self.pieces.last_mut() {
                piece.take_from(&mut input, &self.budget)?;
                if piece.is_full() && !self.has_room_for_another() {
                    self.write_pieces(sink)?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        self.write_pieces(sink)
    }

    fn finish(&mut self, sink: &mut dyn BlockSink) -> Result<()> {
        self.write_pieces(sink)
    }
}
