//! Finds what is left of a damaged stream.
//!
//! A block's head carries a check of its own, and its number. So a block whose
//! payload is damaged is stepped over, and behind a damaged head the next block
//! is found by trying every byte: a head whose check fits and whose block's
//! check fits is no accident. Numbers then tell which blocks are missing, and
//! the place of those that stand elsewhere.

use crate::wire::{FIRST_BLOCK, FORMAT_VERSION, MAGIC, block, block_check, block_head_check, lead};
use crate::{header, metadata};
use rcodec_core::{
    Budget, Cursor, Error, MAX_BLOCK_BYTES, Metadata, Reservation, Result, StreamHeader,
};
use std::ops::Range;

/// A piece of a damaged stream, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The payload of a data block that is as it was, by its place in the file.
    Intact(Range<usize>),
    /// So many blocks are missing or damaged; `at` is where the damage begins.
    Lost {
        /// How many.
        blocks: u64,
        /// Offset in the file.
        at: u64,
    },
}

/// What is left of a stream in the block form.
#[derive(Debug)]
pub struct Salvaged {
    /// The header, without which there is nothing.
    pub header: StreamHeader,
    /// The metadata before the samples, as far as it is left.
    pub metadata: Metadata,
    /// The metadata behind the samples, as far as it is left.
    pub tail: Metadata,
    /// Data blocks, and the gaps between them. Lost metadata blocks cannot be
    /// told from data: they may be part of a gap before the first intact block.
    /// Behind the last block of a stream without an end nothing is known to be
    /// missing.
    pub pieces: Vec<Piece>,
    /// The number of samples, if the end of the stream is left.
    pub samples: Option<u64>,
    _memory: Vec<Reservation>,
}

/// A block whose head fits its check.
struct Found {
    kind: u8,
    number: u64,
    payload: Range<usize>,
    intact: bool,
}

/// Bytes that may be hashed in vain, for each byte of a file: heads that fit by
/// accident are rare, but someone might make many that overlap.
const HASHED_IN_VAIN: u64 = 8;

/// A file that is searched for blocks.
struct Search<'a> {
    file: &'a [u8],
    lead_byte: u8,
    /// How many more bytes may be hashed in vain.
    patience: u64,
}

impl<'a> Search<'a> {
    fn new(file: &'a [u8], lead_byte: u8) -> Self {
        Search {
            file,
            lead_byte,
            patience: HASHED_IN_VAIN * file.len() as u64,
        }
    }

    /// The block that begins at `at`, if a head does.
    ///
    /// # Errors
    /// [`Error::Limit`] if too many of them were no blocks.
    fn block_at(&mut self, at: usize) -> Result<Option<Found>> {
        let found = block_at(self.file, at, self.lead_byte);
        if let Some(found) = found.as_ref().filter(|found| !found.intact) {
            // What ends behind the file was not hashed.
            let hashed = match self.file.get(at..found.payload.end) {
                Some(block) => block.len() as u64,
                None => 0,
            };
            self.patience = self
                .patience
                .checked_sub(hashed)
                .ok_or(Error::Limit("work"))?;
        }
        Ok(found)
    }
}

fn block_at(file: &[u8], at: usize, lead_byte: u8) -> Option<Found> {
    let kind = *file.get(at)?;
    if !matches!(
        kind,
        block::HEADER | block::METADATA | block::DATA | block::END
    ) && kind & block::SKIPPABLE == 0
    {
        return None;
    }
    let mut cursor = Cursor::new(file.get(at + 1..)?, at as u64 + 1);
    let number = cursor.varint().ok()?;
    let len = cursor.varint().ok()?;
    let head_end = cursor.at() as usize;
    let check = file.get(head_end..head_end + 2)?;
    if len > MAX_BLOCK_BYTES as u64
        || check != block_head_check(lead_byte, &file[at..head_end]).to_le_bytes()
    {
        return None;
    }
    let payload = head_end + 2..head_end + 2 + len as usize;
    let check = file.get(payload.end..payload.end + 8);
    let intact = check.is_some_and(|check| {
        let mut hash = block_check(lead_byte);
        hash.update(&file[at..payload.end]);
        check == hash.digest().to_le_bytes()
    });
    Some(Found {
        kind,
        number,
        payload,
        intact,
    })
}

/// Goes through a damaged stream of which all bytes are at hand.
///
/// # Errors
/// [`Error::Unsupported`] for the compact form, which has no blocks;
/// otherwise only what makes the header unreadable, and [`Error::Limit`].
pub fn salvage(file: &[u8], budget: &Budget) -> Result<Salvaged> {
    let lead_byte = match file {
        [a, b, c, lead_byte, ..] if [*a, *b, *c] == MAGIC => *lead_byte,
        _ => {
            return Err(Error::malformed(
                0,
                "not an rcodec file (the magic number is missing)",
            ));
        }
    };
    if lead_byte >> lead::VERSION_SHIFT != FORMAT_VERSION {
        return Err(Error::unsupported("a format version of a later program"));
    }
    if lead_byte & lead::BLOCK_FORM == 0 {
        return Err(Error::unsupported(
            "a file of a single block: nothing of it can be saved",
        ));
    }
    let start = MAGIC.len() + 1;
    let mut search = Search::new(file, lead_byte);
    let first = search
        .block_at(start)?
        .filter(|found| found.intact && found.kind == block::HEADER && found.number == FIRST_BLOCK)
        .ok_or(Error::Checksum {
            block: FIRST_BLOCK,
            at: start as u64,
        })?;
    let mut cursor = Cursor::new(&file[first.payload.clone()], first.payload.start as u64);
    let (header, _) = header::parse_fields(lead_byte, &mut cursor)?;
    let mut salvaged = Salvaged {
        header,
        metadata: Metadata::default(),
        tail: Metadata::default(),
        pieces: Vec::new(),
        samples: None,
        _memory: Vec::new(),
    };
    salvaged.gather(search, first.payload.end + 8, budget)?;
    Ok(salvaged)
}

impl Search<'_> {
    /// The intact blocks from `at` on, wherever they have got to, and the first
    /// byte behind the last of them.
    fn intact_blocks(&mut self, mut at: usize) -> Result<(Vec<Found>, usize)> {
        let mut blocks = Vec::new();
        let mut end = at;
        while at < self.file.len() {
            let Some(found) = self.block_at(at)? else {
                at += 1;
                continue;
            };
            let behind = found.payload.end + 8;
            if found.intact {
                blocks.push(found);
                (at, end) = (behind, behind);
                continue;
            }
            // The head of a damaged block says where the next one should be.
            let next = self.block_at(behind)?;
            let follows = next.is_some_and(|next| next.number.checked_sub(1) == Some(found.number));
            at = if follows { behind } else { at + 1 };
        }
        Ok((blocks, end))
    }
}

impl Salvaged {
    /// Puts the blocks from `start` on in the order of their numbers.
    fn gather(&mut self, mut search: Search<'_>, start: usize, budget: &Budget) -> Result<()> {
        let (mut blocks, end) = search.intact_blocks(start)?;
        blocks.sort_by_key(|found| found.number);
        blocks.dedup_by_key(|found| found.number);
        let mut next_number = FIRST_BLOCK + 1;
        let mut at = start;
        let mut any_data = false;
        for found in blocks {
            let Some(lost) = found.number.checked_sub(next_number) else {
                continue;
            };
            if lost > 0 {
                let at = at as u64;
                self.pieces.push(Piece::Lost { blocks: lost, at });
            }
            next_number = found.number.saturating_add(1);
            at = found.payload.end + 8;
            let payload = &search.file[found.payload.clone()];
            let payload_at = found.payload.start as u64;
            match found.kind {
                block::DATA => {
                    any_data = true;
                    self.pieces.push(Piece::Intact(found.payload));
                }
                block::METADATA => {
                    let list = if any_data {
                        &mut self.tail
                    } else {
                        &mut self.metadata
                    };
                    let memory = metadata::parse(payload, payload_at, budget, list)?;
                    self._memory.push(memory);
                }
                block::END => {
                    self.samples = Cursor::new(payload, payload_at).varint().ok();
                    return Ok(());
                }
                _ => {}
            }
        }
        if end < search.file.len() {
            // At least one: what is here is no block.
            let at = end as u64;
            self.pieces.push(Piece::Lost { blocks: 1, at });
        }
        Ok(())
    }
}
