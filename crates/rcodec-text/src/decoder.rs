//! The decoder of [`Text`](crate::Text): reads as many blocks ahead as the
//! current rayon pool has threads and the budget allows, and decodes them side
//! by side; units come out in order.

use crate::block::{self, Models};
use crate::payload::{self, Form};
use crate::prior::Prior;
use rayon::prelude::*;
use rcodec_core::{
    Block, BlockSource, Budget, DecodeContext, Decoder, Error, Media, PieceBuffer, Progress,
    Reservation, Result, UNIT_BYTES,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct TextDecoder<'a> {
    budget: Budget,
    progress: &'a dyn Progress,
    /// The models that the header names.
    models: Models,
    /// Contents decoded and not yet given out, in order, and how decoding
    /// them ended.
    ready: VecDeque<Result<PieceBuffer>>,
    /// How much of the first of them has been given.
    given_of_first: usize,
    /// A block read that did not fit beside others.
    waiting: Option<Block>,
    /// Why no more blocks are read, once that is so: the end, or an error.
    ended: Option<Result<()>>,
    /// Content of the blocks read so far, in bytes.
    promised: u64,
    /// How much of it will be asked for at most.
    wanted: u64,
    /// Work of the blocks read so far.
    work: u64,
    done: AtomicU64,
    /// The memory of the unit given last: in use until the next call.
    held: Option<Reservation>,
}

impl<'a> TextDecoder<'a> {
    pub(crate) fn new(context: DecodeContext<'a>, models: Models) -> Self {
        TextDecoder {
            models,
            budget: context.budget,
            progress: context.progress,
            ready: VecDeque::new(),
            given_of_first: 0,
            waiting: None,
            ended: None,
            promised: 0,
            wanted: u64::MAX,
            work: 0,
            done: AtomicU64::new(0),
            held: None,
        }
    }

    /// Reads as many blocks as can be decoded side by side.
    fn read_ahead(&mut self, source: &mut dyn BlockSource) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut needed = 0;
        let mut promised = self.promised;
        while self.ended.is_none()
            && blocks.len() < rayon::current_num_threads()
            && promised < self.wanted
        {
            let next = match self.waiting.take() {
                Some(block) => Ok(Some(block)),
                None => source.next_block(),
            };
            match next {
                Ok(Some(block)) => {
                    needed += needed_bytes(&block, &self.models);
                    let limit = self.budget.limits().max_alloc_bytes / 2;
                    if !blocks.is_empty() && self.budget.used_bytes().saturating_add(needed) > limit
                    {
                        self.waiting = Some(block);
                        break;
                    }
                    promised += payload::parse(&block.payload).map_or(0, |form| form.bytes());
                    blocks.push(block);
                }
                Ok(None) => self.ended = Some(Ok(())),
                Err(e) => self.ended = Some(Err(e)),
            }
        }
        blocks
    }

    /// Decodes blocks; what comes after one that fails is dropped.
    fn decode(&mut self, blocks: Vec<Block>) {
        let mut affordable = Vec::new();
        for block in &blocks {
            let wanted = self.wanted.saturating_sub(self.promised);
            let checked = payload::parse(&block.payload)
                .and_then(|form| self.promise(&form).map(|()| (form, wanted)))
                .map_err(|e| e.offset_by(block.at));
            affordable.push(checked);
        }
        let tick = |bytes| {
            let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.progress.check(done, None)
        };
        let (budget, models) = (&self.budget, &self.models);
        let contents: Vec<Result<PieceBuffer>> = affordable
            .into_par_iter()
            .zip(&blocks)
            .map(|(checked, block)| {
                let (form, wanted) = checked?;
                let content = block::decompress(form, wanted, models, budget, &tick);
                content.map_err(|e| e.offset_by(block.at))
            })
            .collect();
        self.ready.extend(contents);
    }

    /// Checks what a block says will come out against the limits.
    fn promise(&mut self, form: &Form<'_>) -> Result<()> {
        let work = match form {
            Form::Stored(_) => 0,
            Form::Modelled { head, .. } => {
                let llm = self.models.adviser(head.class)?;
                block::work(head, llm.as_deref())
            }
        };
        self.promised = self.promised.saturating_add(form.bytes());
        self.budget.check_samples(self.promised)?;
        self.work = self.work.saturating_add(work);
        if self.work > self.budget.limits().max_work {
            return Err(Error::Limit("work"));
        }
        Ok(())
    }

    /// The next unit of the first content that is ready; `None` if it is
    /// used up.
    fn next_of_first(&mut self) -> Result<Option<Media>> {
        let Some(Ok(first)) = self.ready.front() else {
            return Ok(None);
        };
        let rest = &first.bytes()[self.given_of_first..];
        if rest.is_empty() {
            return Ok(None);
        }
        let count = rest.len().min(UNIT_BYTES);
        let reservation = self.budget.reserve(count as u64)?;
        let unit = rest[..count].to_vec();
        self.given_of_first += count;
        self.held = Some(reservation);
        Ok(Some(Media::Bytes(unit)))
    }
}

/// The memory that decoding a block takes, as far as it says.
fn needed_bytes(block: &Block, models: &Models) -> u64 {
    match payload::parse(&block.payload) {
        Ok(Form::Stored(content)) => content.len() as u64,
        Ok(Form::Modelled { head, .. }) => {
            let prior = if head.snapshot == 0 { 0 } else { Prior::BYTES };
            let llm = models.adviser(head.class).ok().flatten();
            block::model_bytes(&head, llm.as_deref()) + prior + head.content_bytes as u64
        }
        Err(_) => 0,
    }
}

impl Decoder for TextDecoder<'_> {
    fn stop_after(&mut self, samples: u64) {
        self.wanted = samples;
    }

    fn next_unit(&mut self, source: &mut dyn BlockSource) -> Result<Option<Media>> {
        self.held = None;
        loop {
            if let Some(unit) = self.next_of_first()? {
                return Ok(Some(unit));
            }
            self.given_of_first = 0;
            if let Some(Err(e)) = self.ready.pop_front() {
                self.ready.clear();
                self.waiting = None;
                self.ended = Some(Ok(()));
                return Err(e);
            }
            if self.ready.is_empty() {
                let blocks = self.read_ahead(source);
                if blocks.is_empty() {
                    // An error is given once; what follows is the end.
                    return self.ended.replace(Ok(())).unwrap_or(Ok(())).map(|()| None);
                }
                self.decode(blocks);
            }
        }
    }
}
