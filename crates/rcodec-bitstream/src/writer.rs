//! Writes a container, in the shorter of its two forms.

use crate::content::ContentDigest;
use crate::wire::{
    FIRST_BLOCK, MAGIC, MAX_COMPACT_BYTES, OPEN_LENGTH, SHORT_CHECK_BELOW, block, block_check,
    block_head_check, compact_check,
};
use crate::{header, metadata};
use rcodec_core::{
    BlockSink, CodecId, Error, MAX_BLOCK_BYTES, Metadata, Result, StreamHeader, write_varint,
};
use std::io::Write;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Metadata items are gathered into blocks of about this size.
const METADATA_BLOCK_BYTES: usize = 1 << 20;

/// The longest payload with a mark that the compact form frames with 15 bytes: its
/// length fits three.
const SHORT_STORED_BYTES: usize = (1 << 21) - 1;

/// Whether the first block may wait for the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Hold the first block back until it is known whether the compact form
    /// will do.
    Smallest,
    /// Write every block at once, always in the block form.
    Live,
}

/// Writes one `.rcd` stream.
///
/// The bytes go to `out` as blocks come; nothing is written before the first
/// block (with [`Latency::Smallest`], before the second).
pub struct ContainerWriter<W: Write> {
    out: W,
    header: StreamHeader,
    metadata: Metadata,
    state: State,
    latency: Latency,
    /// What payloads begin with whose rest is the content as it is.
    stored_mark: Option<u8>,
    next_block: u64,
    bytes_written: u64,
}

/// A stream that has been written.
#[derive(Debug)]
pub struct Written<W> {
    /// The output, flushed.
    pub out: W,
    /// Bytes of the stream.
    pub bytes: u64,
    /// The codec of the stream: that of the header, or `store`
    /// ([`ContainerWriter::with_stored_mark`]).
    pub codec: CodecId,
}

enum State {
    /// Nothing written; perhaps blocks held back: one, or some that are content
    /// as it is.
    Undecided(Vec<Vec<u8>>),
    /// The block form has begun.
    Blocks,
    /// The compact form with an open length has begun: the hash of the file so
    /// far.
    Open(Box<Xxh3>),
}

impl<W: Write> ContainerWriter<W> {
    /// Begins a stream; writes nothing yet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a header that the format cannot hold.
    pub fn new(out: W, header: StreamHeader, metadata: Metadata, latency: Latency) -> Result<Self> {
        header::write_fields(&mut Vec::new(), &header, !metadata.is_empty())?;
        Ok(ContainerWriter {
            out,
            header,
            metadata,
            state: State::Undecided(Vec::new()),
            latency,
            stored_mark: None,
            next_block: FIRST_BLOCK,
            bytes_written: 0,
        })
    }

    /// Says what payloads of this codec of bytes begin with whose rest is the
    /// content as it is ([`Codec::stored_mark`](rcodec_core::Codec::stored_mark)).
    /// If there are no other ones, and framing them would take more than 16
    /// bytes, the stream becomes one of the codec `store`: that holds for up to
    /// 16 MiB, which are held back until it is known.
    pub fn with_stored_mark(mut self, mark: Option<u8>) -> Self {
        self.stored_mark = mark;
        self
    }

    /// Bytes written to the output so far.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Gives what is written to whoever reads the output. A block that is held
    /// back ([`Latency::Smallest`]) is not written yet.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    /// Writes what is held back, the tail metadata and the end of the stream;
    /// flushes and returns the output.
    pub fn finish(mut self, content: ContentDigest, tail: &Metadata) -> Result<Written<W>> {
        match std::mem::replace(&mut self.state, State::Blocks) {
            State::Undecided(held) if tail.is_empty() && self.latency == Latency::Smallest => {
                let payload = self.one_payload(held);
                if !self.write_compact(&payload, content)? {
                    self.begin_blocks()?;
                    self.data_block(&payload)?;
                    self.end(content)?;
                }
            }
            State::Undecided(held) => {
                self.begin_blocks()?;
                for payload in held {
                    self.data_block(&payload)?;
                }
                self.metadata_blocks(tail)?;
                self.end(content)?;
            }
            State::Blocks => {
                self.metadata_blocks(tail)?;
                self.end(content)?;
            }
            State::Open(_) if !tail.is_empty() => {
                return Err(Error::parameter("stored bytes have no tail metadata"));
            }
            State::Open(file) => {
                self.put(&compact_check(file.digest(), content.hash).to_le_bytes())?;
            }
        }
        self.out.flush()?;
        Ok(Written {
            out: self.out,
            bytes: self.bytes_written,
            codec: self.header.codec,
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.bytes_written += bytes.len() as u64;
        Ok(())
    }

    /// Writes the whole stream compactly, if it is short enough.
    fn write_compact(&mut self, payload: &[u8], content: ContentDigest) -> Result<bool> {
        let with_metadata = !self.metadata.is_empty();
        let mut body = Vec::new();
        header::write_fields(&mut body, &self.header, with_metadata)?;
        if with_metadata {
            let list = metadata::write(&self.metadata)?;
            write_varint(&mut body, list.len() as u64);
            body.extend(list);
        }
        body.extend_from_slice(payload);
        if body.len() > MAX_COMPACT_BYTES {
            return Ok(false);
        }
        let mut file = MAGIC.to_vec();
        file.push(header::lead_byte(&self.header, false, with_metadata));
        write_varint(&mut file, body.len() as u64);
        file.extend_from_slice(&body);
        let check = compact_check(xxh3_64(&file), content.hash).to_le_bytes();
        let check_len = if (body.len() as u64) < SHORT_CHECK_BELOW {
            4
        } else {
            8
        };
        file.extend_from_slice(&check[..check_len]);
        self.put(&file)?;
        Ok(true)
    }

    /// Whether a payload is the content as it is, with a mark before it.
    fn is_marked(&self, payload: &[u8]) -> bool {
        self.stored_mark.is_some() && payload.first() == self.stored_mark.as_ref()
    }

    /// Whether a block can be held back behind those that are.
    fn may_hold(&self, held: &[Vec<u8>], payload: &[u8]) -> bool {
        if self.latency == Latency::Live {
            return false;
        }
        let all = || held.iter().map(Vec::as_slice).chain([payload]);
        // Less their marks, these are one body of the compact form.
        let content_bytes: usize = all().map(|payload| payload.len() - 1).sum();
        let is_stored = content_bytes <= MAX_COMPACT_BYTES && all().all(|p| self.is_marked(p));
        is_stored || held.is_empty() && payload.len() <= MAX_COMPACT_BYTES
    }

    /// The blocks held back as one payload: the only one, or, where that takes
    /// fewer bytes, the content, which makes this a stream of the codec
    /// `store`.
    fn one_payload(&mut self, mut held: Vec<Vec<u8>>) -> Vec<u8> {
        if held.len() < 2 {
            let payload = held.pop().unwrap_or_default();
            if !self.is_marked(&payload) || payload.len() <= SHORT_STORED_BYTES {
                return payload;
            }
            held.push(payload);
        }
        self.header.codec = CodecId::STORE;
        self.header.params.clear();
        self.header.models.clear();
        let contents = held.iter().flat_map(|payload| payload.get(1..));
        contents.collect::<Vec<_>>().concat()
    }

    /// Whether stored bytes go on behind a first block of `held_back` bytes, as
    /// many as the compact form holds with a length.
    fn may_open(&self, held_back: usize) -> bool {
        held_back == MAX_COMPACT_BYTES
            && self.header.codec == CodecId::STORE
            && self.header.params.is_empty()
            && self.header.models.is_empty()
            && self.metadata.is_empty()
    }

    fn begin_open(&mut self) -> Result<()> {
        let mut start = MAGIC.to_vec();
        start.push(header::lead_byte(&self.header, false, false));
        write_varint(&mut start, OPEN_LENGTH);
        self.state = State::Open(Box::new(Xxh3::new()));
        self.open_bytes(&start)
    }

    fn open_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if let State::Open(file) = &mut self.state {
            file.update(bytes);
        }
        self.put(bytes)
    }

    fn begin_blocks(&mut self) -> Result<()> {
        let mut start = MAGIC.to_vec();
        start.push(header::lead_byte(&self.header, true, false));
        self.put(&start)?;
        let mut fields = Vec::new();
        header::write_fields(&mut fields, &self.header, false)?;
        self.block(block::HEADER, &fields)?;
        let metadata = std::mem::take(&mut self.metadata);
        self.metadata_blocks(&metadata)?;
        self.state = State::Blocks;
        Ok(())
    }

    fn metadata_blocks(&mut self, metadata: &Metadata) -> Result<()> {
        let mut list = Metadata::default();
        let mut list_bytes = 0;
        for item in &metadata.items {
            if item.value.len() > MAX_BLOCK_BYTES / 2 {
                return Err(Error::parameter("a metadata item of more than 512 MiB"));
            }
            if !list.is_empty() && list_bytes + item.value.len() > METADATA_BLOCK_BYTES {
                let payload = metadata::write(&std::mem::take(&mut list))?;
                self.block(block::METADATA, &payload)?;
                list_bytes = 0;
            }
            list_bytes += item.value.len();
            list.items.push(item.clone());
        }
        if !list.is_empty() {
            self.block(block::METADATA, &metadata::write(&list)?)?;
        }
        Ok(())
    }

    fn data_block(&mut self, payload: &[u8]) -> Result<()> {
        if payload.is_empty() {
            return Ok(());
        }
        self.block(block::DATA, payload)?;
        if self.latency == Latency::Live {
            self.out.flush()?;
        }
        Ok(())
    }

    fn end(&mut self, content: ContentDigest) -> Result<()> {
        let mut payload = Vec::new();
        write_varint(&mut payload, content.samples);
        payload.extend_from_slice(&content.hash.to_le_bytes());
        self.block(block::END, &payload)
    }

    fn block(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        let mut head = vec![kind];
        write_varint(&mut head, self.next_block);
        write_varint(&mut head, payload.len() as u64);
        let lead_byte = header::lead_byte(&self.header, true, false);
        let check = block_head_check(lead_byte, &head);
        head.extend_from_slice(&check.to_le_bytes());
        let mut hash = block_check(lead_byte);
        hash.update(&head);
        hash.update(payload);
        self.put(&head)?;
        self.put(payload)?;
        self.put(&hash.digest().to_le_bytes())?;
        self.next_block += 1;
        Ok(())
    }
}

impl<W: Write> BlockSink for ContainerWriter<W> {
    fn write_block(&mut self, payload: &[u8]) -> Result<()> {
        if payload.is_empty() || payload.len() > MAX_BLOCK_BYTES {
            return Err(Error::parameter("a block of 0 bytes or of more than 1 GiB"));
        }
        match &mut self.state {
            State::Undecided(held) => {
                let mut held = std::mem::take(held);
                if self.may_hold(&held, payload) {
                    held.push(payload.to_vec());
                    self.state = State::Undecided(held);
                    return Ok(());
                }
                if let [first] = &held[..]
                    && self.may_open(first.len())
                {
                    self.begin_open()?;
                    self.open_bytes(first)?;
                    return self.open_bytes(payload);
                }
                self.begin_blocks()?;
                for first in held {
                    self.data_block(&first)?;
                }
                self.data_block(payload)
            }
            State::Blocks => self.data_block(payload),
            State::Open(_) => self.open_bytes(payload),
        }
    }
}
