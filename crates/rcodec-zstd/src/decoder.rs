//! The decoder of [`Zstd`](crate::Zstd): reads as many blocks ahead as the
//! current rayon pool has threads and decodes them side by side, as far as the
//! budget allows; units come out in order.

use crate::decompress::{Contexts, Decompressor};
use crate::dictionary::{self, DictionaryId};
use crate::units::{Tally, Unit};
use rayon::prelude::*;
use rcodec_core::{Block, BlockSource, Budget, DecodeContext, Decoder, Error, Media, Result};
use std::collections::VecDeque;

/// What a block may decode ahead, in bytes, if its window is no larger.
const MIN_AHEAD_BYTES: u64 = 8 << 20;

/// Blocks with larger windows are not decoded before their turn.
const MAX_AHEAD_WINDOW_BYTES: u64 = 64 << 20;

pub(crate) struct ZstdDecoder<'a> {
    tally: Tally<'a>,
    contexts: Contexts<'a>,
    /// The blocks read and not yet given out, in order.
    queue: VecDeque<Pending>,
    lengths: Lengths,
    /// Why no more blocks are read, once that is so: the end, or an error.
    ended: Option<Result<()>>,
}

/// A block on its way.
struct Pending {
    /// Where its payload begins in the file.
    at: u64,
    decompressor: Decompressor,
    units: VecDeque<Unit>,
    /// How decoding ended, once it has.
    ended: Option<Result<()>>,
}

impl<'a> ZstdDecoder<'a> {
    pub(crate) fn new(params: &[u8], context: DecodeContext<'a>) -> Result<Self> {
        let needed = DictionaryId::from_params(params)?;
        let dictionary = dictionary::select(needed, context.dictionary)?;
        Ok(ZstdDecoder {
            contexts: Contexts::new(dictionary, &context.budget)?,
            tally: Tally::new(&context),
            queue: VecDeque::new(),
            lengths: Lengths::default(),
            ended: None,
        })
    }

    /// Reads blocks until as many wait as can be decoded side by side.
    fn read_ahead(&mut self, source: &mut dyn BlockSource) {
        while self.ended.is_none()
            && (self.queue.is_empty()
                || self.queue.len() < rayon::current_num_threads()
                    && has_memory_to_spare(self.tally.budget()))
        {
            let with_place = |block: Block| Ok((block.at, Decompressor::new(block)?));
            let next = source
                .next_block()
                .and_then(|block| block.map(with_place).transpose());
            match next {
                Ok(Some((at, decompressor))) => self.queue.push_back(Pending {
                    at,
                    decompressor,
                    units: VecDeque::new(),
                    ended: None,
                }),
                Ok(None) => self.ended = Some(Ok(())),
                Err(e) => self.ended = Some(Err(e)),
            }
        }
    }

    /// Decodes something of the first block, and of others if there are.
    fn advance(&mut self) {
        let contexts = &self.contexts;
        let pending = self.queue.make_contiguous();
        if let [only] = pending {
            // No other block to decode beside it: nothing need wait.
            only.decode_one(contexts);
            return;
        }
        pending
            .par_iter_mut()
            .enumerate()
            .for_each(|(place, pending)| pending.decode_ahead(contexts, place == 0));
    }
}

/// Sees to it that all blocks but the last hold equally many bytes, and the last
/// one no more: so a reader that seeks knows where a byte stands.
#[derive(Default)]
struct Lengths {
    /// Of the first block, once it has ended.
    first: Option<u64>,
    /// Of the block being given, so far.
    current: u64,
    /// Whether there was a shorter one: the last.
    was_last: bool,
}

impl Lengths {
    fn add(&mut self, bytes: usize) {
        self.current += bytes as u64;
    }

    fn end_block(&mut self, at: u64) -> Result<()> {
        let bytes = std::mem::take(&mut self.current);
        let first = *self.first.get_or_insert(bytes);
        if self.was_last || bytes > first {
            return Err(Error::malformed(at, "zstd blocks of several lengths"));
        }
        self.was_last = bytes < first;
        Ok(())
    }
}

impl Pending {
    fn decode_one(&mut self, contexts: &Contexts<'_>) {
        match self.decompressor.next_unit(contexts) {
            Ok(Some(unit)) => self.units.push_back(unit),
            Ok(None) => self.ended = Some(Ok(())),
            Err(e) => self.ended = Some(Err(e)),
        }
    }

    fn decode_ahead(&mut self, contexts: &Contexts<'_>, is_first: bool) {
        let window_bytes = self.decompressor.window_bytes();
        if window_bytes > MAX_AHEAD_WINDOW_BYTES && !is_first {
            return;
        }
        let ahead_bytes = window_bytes.clamp(MIN_AHEAD_BYTES, MAX_AHEAD_WINDOW_BYTES);
        let mut ready_bytes: u64 = self.units.iter().map(|unit| unit.bytes.len() as u64).sum();
        while self.ended.is_none()
            && ready_bytes < ahead_bytes
            && (is_first || has_memory_to_spare(contexts.budget()))
        {
            self.decode_one(contexts);
            ready_bytes += self.units.back().map_or(0, |unit| unit.bytes.len() as u64);
            let is_short_of_memory = matches!(self.ended, Some(Err(Error::Limit(_))));
            // There may be enough memory when the blocks before are done.
            if is_short_of_memory && (!is_first || !self.units.is_empty()) {
                self.ended = None;
                return;
            }
        }
    }
}

impl Decoder for ZstdDecoder<'_> {
    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>> {
        self.tally.release();
        loop {
            let Some(first) = self.queue.front_mut() else {
                self.read_ahead(source);
                if self.queue.is_empty() {
                    // An error is given once; what follows is the end.
                    return self.ended.replace(Ok(())).unwrap_or(Ok(())).map(|()| None);
                }
                continue;
            };
            if let Some(unit) = first.units.pop_front() {
                self.lengths.add(unit.bytes.len());
                return self.tally.give(unit).map(Some);
            }
            let at = first.at;
            match first
                .ended
                .take()
                .map(|ended| ended.and_then(|()| self.lengths.end_block(at)))
            {
                Some(Ok(())) => {
                    self.queue.pop_front();
                }
                Some(Err(e)) => {
                    self.queue.clear();
                    self.ended = Some(Ok(()));
                    return Err(e);
                }
                None => {
                    self.read_ahead(source);
                    self.advance();
                }
            }
        }
    }
}

/// Whether reading ahead leaves most of the budget to the blocks before.
fn has_memory_to_spare(budget: &Budget) -> bool {
    budget.used_bytes() < budget.limits().max_alloc_bytes / 4
}
