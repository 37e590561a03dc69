//! Reads a container of either form and trusts nothing in it.

use crate::content::ContentDigest;
use crate::wire::{
    FIRST_BLOCK, FORMAT_VERSION, MAGIC, MAX_COMPACT_BYTES, OPEN_LENGTH, SHORT_CHECK_BELOW, block,
    block_check, block_head_check, compact_check, lead,
};
use crate::{header, metadata};
use rcodec_core::{
    Block, BlockSource, Budget, CodecId, Cursor, Error, MAX_BLOCK_BYTES, MAX_VARINT_BYTES,
    Metadata, Reservation, Result, StreamHeader, VarintParser,
};
use std::io::{self, BufRead, Read, Seek};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A body of open length is given in blocks of this size.
const SLICE_BYTES: u64 = 1 << 20;

/// The two forms of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One payload, one check.
    Compact,
    /// Blocks, each with a check.
    Blocks,
}

/// What a complete, verified stream held.
#[derive(Debug)]
pub struct Summary {
    /// Length of the whole stream in bytes.
    pub bytes: u64,
    /// Number of data blocks; 1 for a body of open length.
    pub data_blocks: u64,
    /// Metadata behind the samples.
    pub tail: Metadata,
    /// The stored digest: the content's length is known in the block form
    /// only, and its hash is not stored as such in the compact form.
    pub samples: Option<u64>,
}

/// Reads one `.rcd` stream.
///
/// [`open`](Self::open) reads the header and the metadata before the samples;
/// [`BlockSource::next_block`] then gives the data blocks, and
/// [`finish`](Self::finish) checks the content and the end of the stream.
pub struct ContainerReader<R: BufRead> {
    src: Source<R>,
    budget: Budget,
    header: StreamHeader,
    metadata: Metadata,
    tail: Metadata,
    metadata_memory: Vec<Reservation>,
    state: State,
    data_blocks: u64,
}

enum State {
    Compact(Compact),
    Open(Open),
    Blocks {
        /// The number of the next block.
        number: u64,
        /// A block already read while looking for metadata, or while skipping
        /// data.
        pending: Option<RawBlock>,
        end: Option<End>,
    },
}

struct Compact {
    /// All bytes of the file before the check.
    file: Vec<u8>,
    /// Where the payload begins in `file`.
    payload_at: usize,
    check: Vec<u8>,
    given: bool,
    _memory: Reservation,
}

/// The compact form with an open length.
struct Open {
    /// Of the file so far.
    file_hash: Box<Xxh3>,
    /// Bytes of the body so far.
    body_len: u64,
    /// Bytes read already: the next of the body, or the check.
    ahead: Vec<u8>,
    ended: bool,
}

struct RawBlock {
    kind: u8,
    payload: Vec<u8>,
    at: u64,
    memory: Reservation,
}

struct End {
    samples: u64,
    hash: u64,
    at: u64,
}

impl<R: BufRead> ContainerReader<R> {
    /// Reads the header and the metadata that stands before the samples.
    ///
    /// # Errors
    /// [`Error::Malformed`] at byte 0 if `src` is no `.rcd` stream,
    /// [`Error::Unsupported`] for a later version of the format, and whatever
    /// the header deserves.
    pub fn open(src: R, budget: Budget) -> Result<Self> {
        let mut src = Source {
            inner: src,
            at: 0,
            lead_byte: 0,
        };
        for expected in MAGIC {
            match src.byte()? {
                Some(byte) if byte == expected => {}
                None if src.at == 0 => return Err(Error::Truncated { at: 0 }),
                _ => {
                    return Err(Error::malformed(
                        0,
                        "not an rcodec file (the magic number is missing)",
                    ));
                }
            }
        }
        let lead_byte = src.expect_byte()?;
        src.lead_byte = lead_byte;
        let version = lead_byte >> lead::VERSION_SHIFT;
        if version != FORMAT_VERSION {
            return Err(Error::unsupported(format!(
                "format version {version} (this program reads version {FORMAT_VERSION})"
            )));
        }
        if lead_byte & lead::BLOCK_FORM == 0 {
            Self::open_compact(src, lead_byte, budget)
        } else {
            Self::open_blocks(src, lead_byte, budget)
        }
    }

    fn open_compact(mut src: Source<R>, lead_byte: u8, budget: Budget) -> Result<Self> {
        let mut file = MAGIC.to_vec();
        file.push(lead_byte);
        let len_at = src.at;
        let len = src.varint(&mut file)?;
        if len == OPEN_LENGTH {
            return Self::open_stored(src, &file, budget);
        }
        if len > MAX_COMPACT_BYTES as u64 {
            return Err(Error::malformed(len_at, "length of a compact stream"));
        }
        let memory = budget.reserve(len)?;
        let body_at = file.len();
        src.read_exactly(len, &mut file)?;
        let mut check = Vec::new();
        src.read_exactly(if len < SHORT_CHECK_BELOW { 4 } else { 8 }, &mut check)?;

        let mut cursor = Cursor::new(&file[body_at..], body_at as u64);
        let (header, with_metadata) = header::parse_fields(lead_byte, &mut cursor)?;
        let mut metadata = Metadata::default();
        let mut metadata_memory = Vec::new();
        if with_metadata {
            let len = cursor.varint()?;
            let at = cursor.at();
            let list = cursor.take(len)?;
            metadata_memory.push(metadata::parse(list, at, &budget, &mut metadata)?);
        }
        let payload_at = cursor.at() as usize;
        let compact = Compact {
            file,
            payload_at,
            check,
            given: false,
            _memory: memory,
        };
        Ok(ContainerReader {
            metadata,
            metadata_memory,
            ..Self::behind_header(src, budget, header, State::Compact(compact))
        })
    }

    /// Goes on behind an open length; `start` is the file so far.
    fn open_stored(src: Source<R>, start: &[u8], budget: Budget) -> Result<Self> {
        let (header, _) = header::parse_fields(src.lead_byte, &mut Cursor::new(&[], src.at))?;
        if header.codec != CodecId::STORE {
            return Err(Error::malformed(4, "an open length of what is not stored"));
        }
        let mut file_hash = Box::new(Xxh3::new());
        file_hash.update(start);
        let open = Open {
            file_hash,
            body_len: 0,
            ahead: Vec::new(),
            ended: false,
        };
        Ok(Self::behind_header(src, budget, header, State::Open(open)))
    }

    fn open_blocks(mut src: Source<R>, lead_byte: u8, budget: Budget) -> Result<Self> {
        let first = src.block(FIRST_BLOCK, &budget)?;
        if first.kind != block::HEADER {
            return Err(Error::malformed(first.at, "the first block is no header"));
        }
        let mut cursor = Cursor::new(&first.payload, first.at);
        // In the block form the extension bit speaks of the header block.
        let (header, with_metadata) = header::parse_fields(lead_byte, &mut cursor)?;
        if with_metadata {
            return Err(Error::malformed(first.at, "metadata inside a header block"));
        }
        cursor.expect_end("bytes behind the header's fields")?;
        let state = State::Blocks {
            number: FIRST_BLOCK + 1,
            pending: None,
            end: None,
        };
        let mut reader = Self::behind_header(src, budget, header, state);
        let pending = reader.next_raw()?;
        if let State::Blocks { pending: slot, .. } = &mut reader.state {
            *slot = pending;
        }
        reader.metadata = std::mem::take(&mut reader.tail);
        Ok(reader)
    }

    /// A reader that knows the header and nothing else.
    fn behind_header(
        src: Source<R>,
        budget: Budget,
        header: StreamHeader,
        state: State,
    ) -> ContainerReader<R> {
        ContainerReader {
            src,
            budget,
            header,
            metadata: Metadata::default(),
            tail: Metadata::default(),
            metadata_memory: Vec::new(),
            state,
            data_blocks: 0,
        }
    }

    /// The stream's header.
    pub fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// The metadata before the samples.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The form of the stream.
    pub fn form(&self) -> Form {
        match self.state {
            State::Compact(_) | State::Open(_) => Form::Compact,
            State::Blocks { .. } => Form::Blocks,
        }
    }

    /// The account that blocks are charged to.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Checks the decoded content, that no data was left unread, and that the
    /// stream ends where it should. Without `content` (the samples were not
    /// decoded) the rest of the blocks is read and checked, and only the
    /// content's own checksum is not.
    pub fn finish(mut self, content: Option<ContentDigest>) -> Result<Summary> {
        while let Some(block) = self.next_block()? {
            if content.is_some() {
                return Err(Error::malformed(block.at, "data behind the last sample"));
            }
        }
        let mut samples = None;
        match &self.state {
            State::Compact(compact) => {
                if let Some(content) = content {
                    let check = compact_check(xxh3_64(&compact.file), content.hash).to_le_bytes();
                    if compact.check[..] != check[..compact.check.len()] {
                        return Err(Error::Checksum {
                            block: 0,
                            at: compact.file.len() as u64,
                        });
                    }
                }
            }
            State::Open(open) => {
                let file_hash = open.file_hash.digest();
                let check = |c: ContentDigest| compact_check(file_hash, c.hash).to_le_bytes();
                if content.is_some_and(|content| open.ahead != check(content)) {
                    return Err(Error::Checksum {
                        block: 0,
                        at: self.src.at - open.ahead.len() as u64,
                    });
                }
            }
            State::Blocks { end, .. } => {
                let end = end.as_ref().expect("the last block was read");
                samples = Some(end.samples);
                if content.is_some_and(|c| c.samples != end.samples || c.hash != end.hash) {
                    return Err(Error::Checksum {
                        block: 0,
                        at: end.at,
                    });
                }
            }
        }
        if self.src.byte()?.is_some() {
            return Err(Error::malformed(
                self.src.at - 1,
                "bytes behind the end of the stream",
            ));
        }
        Ok(Summary {
            bytes: self.src.at,
            data_blocks: self.data_blocks,
            tail: self.tail,
            samples,
        })
    }

    /// The next data block of the block form; metadata on the way goes to
    /// `tail`, and the end block is kept.
    fn next_raw(&mut self) -> Result<Option<RawBlock>> {
        let State::Blocks {
            number,
            pending,
            end,
        } = &mut self.state
        else {
            return Ok(None);
        };
        while end.is_none() {
            let raw = match pending.take() {
                Some(raw) => raw,
                None => {
                    *number += 1;
                    self.src.block(*number - 1, &self.budget)?
                }
            };
            match raw.kind {
                block::DATA if raw.payload.is_empty() => {
                    return Err(Error::malformed(raw.at, "an empty data block"));
                }
                block::DATA if self.data_blocks > 0 && !self.tail.is_empty() => {
                    return Err(Error::malformed(raw.at, "data behind the tail metadata"));
                }
                block::DATA => return Ok(Some(raw)),
                block::METADATA => {
                    let memory =
                        metadata::parse(&raw.payload, raw.at, &self.budget, &mut self.tail)?;
                    self.metadata_memory.push(memory);
                }
                block::END => {
                    let mut cursor = Cursor::new(&raw.payload, raw.at);
                    let samples = cursor.varint()?;
                    let at = cursor.at();
                    let hash = cursor.u64_le()?;
                    cursor.expect_end("bytes behind the end block's fields")?;
                    *end = Some(End { samples, hash, at });
                }
                kind if kind & block::SKIPPABLE != 0 => {}
                block::HEADER => return Err(Error::malformed(raw.at, "a second header")),
                _ => return Err(Error::unsupported("a block type of a later version")),
            }
        }
        Ok(None)
    }
}

impl<R: BufRead + Seek> ContainerReader<R> {
    /// Bytes of a payload that [`skip_blocks_while`](Self::skip_blocks_while)
    /// shows.
    pub const PREFIX: usize = 16;

    /// Steps over data blocks of the block form without reading them; of each,
    /// only the head is read and checked (the first one has been read when the
    /// stream was opened). Gives back how many there were, at most `count`.
    ///
    /// # Errors
    /// As [`BlockSource::next_block`], for the heads.
    pub fn skip_blocks(&mut self, count: u64) -> Result<u64> {
        let mut left = count;
        self.skip_blocks_while(|_| {
            let wanted = left > 0;
            left = left.saturating_sub(1);
            Ok(wanted)
        })
    }

    /// The same, as long as `is_passed` says so of the first bytes of the
    /// payload: [`PREFIX`](Self::PREFIX) of them, or all, which are not
    /// checked.
    ///
    /// # Errors
    /// As [`BlockSource::next_block`], for the heads; and those of `is_passed`.
    pub fn skip_blocks_while(
        &mut self,
        mut is_passed: impl FnMut(&[u8]) -> Result<bool>,
    ) -> Result<u64> {
        let State::Blocks {
            number,
            pending,
            end,
        } = &mut self.state
        else {
            return Ok(0);
        };
        let mut skipped = 0;
        while end.is_none() {
            if let Some(raw) = pending {
                let prefix = &raw.payload[..raw.payload.len().min(Self::PREFIX)];
                if raw.kind != block::DATA || !is_passed(prefix)? {
                    break;
                }
                *pending = None;
                skipped += 1;
                continue;
            }
            let begin = self.src.at;
            let head = self.src.head(*number)?;
            if head.kind != block::DATA {
                *number += 1;
                let raw = self.src.body(head, *number - 1, &self.budget)?;
                if raw.kind & block::SKIPPABLE != 0 {
                    continue;
                }
                *pending = Some(raw);
                break;
            }
            let length = head.len.min(Self::PREFIX as u64);
            let mut prefix = Vec::new();
            self.src.read_exactly(length, &mut prefix)?;
            if !is_passed(&prefix)? {
                let back = self.src.at - begin;
                self.src.inner.seek_relative(-(back as i64))?;
                self.src.at = begin;
                break;
            }
            *number += 1;
            let rest = head.len - length + 8;
            self.src.inner.seek_relative(rest as i64)?;
            self.src.at += rest;
            skipped += 1;
        }
        self.data_blocks += skipped;
        Ok(skipped)
    }
}

impl<R: BufRead> BlockSource for ContainerReader<R> {
    fn next_block(&mut self) -> Result<Option<Block>> {
        if let State::Open(open) = &mut self.state {
            let block = open.next_block(&mut self.src, &self.budget)?;
            self.data_blocks = 1;
            return Ok(block);
        }
        if let State::Compact(compact) = &mut self.state {
            let payload = &compact.file[compact.payload_at..];
            if compact.given || payload.is_empty() {
                return Ok(None);
            }
            compact.given = true;
            self.data_blocks = 1;
            return Ok(Some(Block {
                payload: payload.to_vec(),
                at: compact.payload_at as u64,
                reservation: self.budget.reserve(payload.len() as u64)?,
            }));
        }
        let Some(raw) = self.next_raw()? else {
            return Ok(None);
        };
        self.data_blocks += 1;
        Ok(Some(Block {
            payload: raw.payload,
            at: raw.at,
            reservation: raw.memory,
        }))
    }
}

impl Open {
    /// The next piece of the body. The last eight bytes of what was read may
    /// be the check, and stay back.
    fn next_block<R: BufRead>(
        &mut self,
        src: &mut Source<R>,
        budget: &Budget,
    ) -> Result<Option<Block>> {
        if self.ended {
            return Ok(None);
        }
        let reservation = budget.reserve(SLICE_BYTES)?;
        let at = src.at - self.ahead.len() as u64;
        let mut payload = std::mem::take(&mut self.ahead);
        src.read_up_to(SLICE_BYTES + 8 - payload.len() as u64, &mut payload)?;
        self.ended = (payload.len() as u64) < SLICE_BYTES + 8;
        let given = payload.len().saturating_sub(8);
        self.ahead = payload.split_off(given);
        self.file_hash.update(&payload);
        self.body_len += given as u64;
        if self.ended && self.body_len <= MAX_COMPACT_BYTES as u64 {
            return Err(Error::Truncated { at: src.at });
        }
        Ok((given > 0).then_some(Block {
            payload,
            at,
            reservation,
        }))
    }
}

/// A reader that counts, and tells truncation from failure.
struct Source<R> {
    inner: R,
    at: u64,
    lead_byte: u8,
}

impl<R: BufRead> Source<R> {
    fn byte(&mut self) -> Result<Option<u8>> {
        loop {
            match self.inner.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(buffer) => {
                    let byte = buffer[0];
                    self.inner.consume(1);
                    self.at += 1;
                    return Ok(Some(byte));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn expect_byte(&mut self) -> Result<u8> {
        self.byte()?.ok_or(Error::Truncated { at: self.at })
    }

    /// Reads a varint and appends its bytes to `copy`.
    fn varint(&mut self, copy: &mut Vec<u8>) -> Result<u64> {
        let mut parser = VarintParser::default();
        for _ in 0..MAX_VARINT_BYTES {
            let byte = self.expect_byte()?;
            copy.push(byte);
            match parser.push(byte) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(what) => return Err(Error::malformed(self.at - 1, what)),
            }
        }
        unreachable!("the parser ends within the longest varint")
    }

    /// Appends `count` bytes to `out`, which grows only with what is there.
    fn read_exactly(&mut self, count: u64, out: &mut Vec<u8>) -> Result<()> {
        if self.read_up_to(count, out)? < count {
            return Err(Error::Truncated { at: self.at });
        }
        Ok(())
    }

    /// As [`read_exactly`](Self::read_exactly), but the input may end; returns
    /// how much there was.
    fn read_up_to(&mut self, count: u64, out: &mut Vec<u8>) -> Result<u64> {
        let read = (&mut self.inner).take(count).read_to_end(out)? as u64;
        self.at += read;
        Ok(read)
    }

    /// Reads block `number` and verifies its checks.
    fn block(&mut self, number: u64, budget: &Budget) -> Result<RawBlock> {
        let head = self.head(number)?;
        self.body(head, number, budget)
    }

    /// Reads the head of block `number` and verifies its check.
    fn head(&mut self, number: u64) -> Result<Head> {
        let start = self.at;
        let mut bytes = vec![self.expect_byte()?];
        let kind = bytes[0];
        let stored_number = self.varint(&mut bytes)?;
        let len = self.varint(&mut bytes)?;
        let expected = block_head_check(self.lead_byte, &bytes).to_le_bytes();
        let head_len = bytes.len();
        self.read_exactly(2, &mut bytes)?;
        if bytes[head_len..] != expected {
            return Err(Error::Checksum {
                block: number,
                at: start,
            });
        }
        if stored_number != number {
            return Err(Error::malformed(start, "blocks out of order"));
        }
        if len > MAX_BLOCK_BYTES as u64 {
            return Err(Error::malformed(start, "a block of more than 1 GiB"));
        }
        Ok(Head {
            kind,
            len,
            bytes,
            start,
        })
    }

    /// Reads what follows the head of block `number`, and verifies the check.
    fn body(&mut self, head: Head, number: u64, budget: &Budget) -> Result<RawBlock> {
        let memory = budget.reserve(head.len)?;
        let at = self.at;
        // The head stays in front of the payload for the checksum.
        let mut bytes = head.bytes;
        let head_len = bytes.len();
        self.read_exactly(head.len, &mut bytes)?;
        let mut check = Vec::new();
        self.read_exactly(8, &mut check)?;
        let mut hash = block_check(self.lead_byte);
        hash.update(&bytes);
        if check != hash.digest().to_le_bytes() {
            return Err(Error::Checksum {
                block: number,
                at: head.start,
            });
        }
        bytes.drain(..head_len);
        Ok(RawBlock {
            kind: head.kind,
            payload: bytes,
            at,
            memory,
        })
    }
}

/// The head of a block.
struct Head {
    kind: u8,
    /// Bytes of the payload.
    len: u64,
    /// As it stands in the file, with its check.
    bytes: Vec<u8>,
    /// Where the block begins.
    start: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentHasher;
    use rcodec_core::write_varint;
    use rcodec_core::{Limits, Media};

    fn append_block(file: &mut Vec<u8>, kind: u8, number: u64, len: u64, payload: &[u8]) {
        let lead_byte = file[3];
        let mut block = vec![kind];
        write_varint(&mut block, number);
        write_varint(&mut block, len);
        let check = block_head_check(lead_byte, &block);
        block.extend_from_slice(&check.to_le_bytes());
        block.extend_from_slice(payload);
        let mut hash = block_check(lead_byte);
        hash.update(&block);
        block.extend_from_slice(&hash.digest().to_le_bytes());
        file.extend(block);
    }

    /// A `store` stream in the block form with one unknown block of `kind`.
    fn with_unknown_block(kind: u8) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.push(FORMAT_VERSION << lead::VERSION_SHIFT | lead::BLOCK_FORM);
        append_block(&mut file, block::HEADER, 1, 0, &[]);
        append_block(&mut file, kind, 2, 3, b"new");
        append_block(&mut file, block::DATA, 3, 5, b"hello");
        let mut content = ContentHasher::new();
        content.update(&Media::Bytes(b"hello".to_vec()));
        let mut end = vec![5];
        end.extend_from_slice(&content.digest().hash.to_le_bytes());
        append_block(&mut file, block::END, 4, 9, &end);
        file
    }

    fn read(file: &[u8], limits: Limits) -> Result<Vec<u8>> {
        let mut reader = ContainerReader::open(file, Budget::new(limits))?;
        let mut content = ContentHasher::new();
        let mut bytes = Vec::new();
        while let Some(block) = reader.next_block()? {
            content.update(&Media::Bytes(block.payload.clone()));
            bytes.extend(block.payload);
        }
        reader.finish(Some(content.digest()))?;
        Ok(bytes)
    }

    #[test]
    fn unknown_blocks_are_skipped_only_if_marked() {
        let skippable = with_unknown_block(block::SKIPPABLE | 9);
        assert_eq!(read(&skippable, Limits::default()).unwrap(), b"hello");
        let required = with_unknown_block(9);
        assert!(matches!(
            read(&required, Limits::default()),
            Err(Error::Unsupported(_))
        ));
    }

    #[test]
    fn a_promised_gigabyte_is_not_allocated() {
        let mut file = MAGIC.to_vec();
        file.push(FORMAT_VERSION << lead::VERSION_SHIFT | lead::BLOCK_FORM);
        append_block(&mut file, block::HEADER, 1, 0, &[]);
        append_block(&mut file, block::DATA, 2, 1 << 30, b"short");
        let small = Limits {
            max_alloc_bytes: 1 << 20,
            ..Limits::default()
        };
        assert!(matches!(read(&file, small), Err(Error::Limit(_))));
        // With the memory allowed, only what is there is read.
        assert!(matches!(
            read(&file, Limits::default()),
            Err(Error::Truncated { .. })
        ));
        let mut file = file[..4].to_vec();
        append_block(&mut file, block::HEADER, 1, 1 << 40, &[]);
        assert!(matches!(
            read(&file, Limits::default()),
            Err(Error::Malformed { at: 4, .. })
        ));
    }
}
