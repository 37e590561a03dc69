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
    next_block: u64,
    bytes_written: u64,
}

enum State {
    /// Nothing written; perhaps one block held back.
    Undecided(Option<Vec<u8>>),
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
            state: State::Undecided(None),
            latency,
            next_block: FIRST_BLOCK,
            bytes_written: 0,
        })
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
    /// flushes and returns the output and the length of the whole stream.
    pub fn finish(mut self, content: ContentDigest, tail: &Metadata) -> Result<(W, u64)> {
        match std::mem::replace(&mut self.state, State::Blocks) {
            State::Undecided(payload) if tail.is_empty() && self.latency == Latency::Smallest => {
                let payload = payload.unwrap_or_default();
                if !self.write_compact(&payload, content)? {
                    self.begin_blocks()?;
                    self.data_block(&payload)?;
                    self.end(content)?;
                }
            }
            State::Undecided(payload) => {
                self.begin_blocks()?;
                if let Some(payload) = payload {
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
        Ok((self.out, self.bytes_written))
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
            State::Undecided(None)
                if self.latency == Latency::Smallest && payload.len() <= MAX_COMPACT_BYTES =>
            {
                self.state = State::Undecided(Some(payload.to_vec()));
                Ok(())
            }
            State::Undecided(held_back) => match held_back.take() {
                Some(first) if self.may_open(first.len()) => {
                    self.begin_open()?;
                    self.open_bytes(&first)?;
                    self.open_bytes(payload)
                }
                held_back => {
                    self.begin_blocks()?;
                    if let Some(first) = held_back {
                        self.data_block(&first)?;
                    }
                    self.data_block(payload)
                }
            },
            State::Blocks => self.data_block(payload),
            State::Open(_) => self.open_bytes(payload),
        }
    }
}
