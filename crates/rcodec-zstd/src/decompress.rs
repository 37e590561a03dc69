//! One payload to its content, in units of bounded length.

use crate::payload::{self, Form, FrameHead};
use crate::units::Unit;
use crate::zstd_error;
use rcodec_core::{Block, Budget, Error, Reservation, Result, UNIT_BYTES};
use std::sync::{Mutex, PoisonError};
use zstd::zstd_safe::{DCtx, DParameter, FrameFormat, InBuffer, OutBuffer};

/// Bytes given to Zstandard at a time: errors are located that exactly.
const INPUT_STEP_BYTES: usize = 64 << 10;

/// What a context takes beside its window and dictionary: tables, a block of
/// input, two of output, with something to spare.
const CONTEXT_BYTES: u64 = 640 << 10;

/// The tables of a dictionary, in bytes.
const DICTIONARY_TABLE_BYTES: u64 = 32 << 10;

/// A decompression context with the memory it occupies.
struct Context {
    zstd: DCtx<'static>,
    /// The largest window it has had; that memory it keeps.
    window_bytes: u64,
    reservations: Vec<Reservation>,
}

impl Context {
    fn new(dictionary: &[u8], budget: &Budget) -> Result<Self> {
        let mut reserved_bytes = CONTEXT_BYTES;
        if !dictionary.is_empty() {
            reserved_bytes += dictionary.len() as u64 + DICTIONARY_TABLE_BYTES;
        }
        let reservations = vec![budget.reserve(reserved_bytes)?];
        let mut zstd = DCtx::try_create().ok_or(Error::Limit("memory"))?;
        for parameter in [
            DParameter::Format(FrameFormat::Magicless),
            DParameter::WindowLogMax(*payload::WINDOW_LOGS.end()),
        ] {
            zstd.set_parameter(parameter)
                .map_err(zstd_error::encoding)?;
        }
        if !dictionary.is_empty() {
            zstd.load_dictionary(dictionary)
                .map_err(zstd_error::dictionary)?;
        }
        Ok(Context {
            zstd,
            window_bytes: 0,
            reservations,
        })
    }

    /// Charges a window before a frame asks for it.
    fn allow_window(&mut self, window_log: u32, budget: &Budget) -> Result<()> {
        let window_bytes = 1u64 << window_log;
        if window_bytes > self.window_bytes {
            let more = budget.reserve(window_bytes - self.window_bytes)?;
            self.reservations.push(more);
            self.window_bytes = window_bytes;
        }
        Ok(())
    }
}

/// Where decompressors get their contexts from and leave them.
pub(crate) struct Contexts<'a> {
    dictionary: &'a [u8],
    budget: Budget,
    idle: Mutex<Vec<Context>>,
}

impl<'a> Contexts<'a> {
    /// No contexts yet. `dictionary` is empty for none.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the dictionary is damaged.
    pub(crate) fn new(dictionary: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut idle = Vec::new();
        if !dictionary.is_empty() {
            idle.push(Context::new(dictionary, budget)?);
        }
        Ok(Contexts {
            dictionary,
            budget: budget.clone(),
            idle: Mutex::new(idle),
        })
    }

    /// The memory account.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    fn acquire(&self, window_log: u32) -> Result<Context> {
        // The guard must be gone before the slow part.
        let idle = self.lock().pop();
        let mut context = match idle {
            Some(context) => context,
            None => Context::new(self.dictionary, &self.budget)?,
        };
        context.allow_window(window_log, &self.budget)?;
        Ok(context)
    }

    fn release(&self, context: Context) {
        self.lock().push(context);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Context>> {
        // A vector is whole at any time, so poison means nothing.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decodes a block, unit by unit.
pub(crate) struct Decompressor {
    block: Block,
    /// The next byte of the payload.
    position: usize,
    state: State,
}

enum State {
    Raw,
    /// A frame not yet begun.
    Ready {
        head: FrameHead,
        window_log: u32,
        unit_bytes: usize,
    },
    /// A frame in the middle.
    Running {
        context: Context,
        unit_bytes: usize,
    },
    Done,
}

impl Decompressor {
    /// Begins a block.
    pub(crate) fn new(block: Block) -> Result<Self> {
        let form = payload::parse(&block.payload).map_err(|e| e.offset_by(block.at))?;
        let (position, state) = match form {
            Form::Raw { start } => (start, State::Raw),
            Form::Frame {
                head,
                start,
                window_log,
                max_content_bytes,
            } => {
                let unit_bytes = max_content_bytes.unwrap_or(UNIT_BYTES).min(UNIT_BYTES);
                let state = State::Ready {
                    head,
                    window_log,
                    unit_bytes,
                };
                (start, state)
            }
        };
        Ok(Decompressor {
            block,
            position,
            state,
        })
    }

    /// Bytes that the block makes the decoder remember: its window.
    pub(crate) fn window_bytes(&self) -> u64 {
        match &self.state {
            State::Ready { window_log, .. } => 1 << window_log,
            State::Running { context, .. } => context.window_bytes,
            State::Raw | State::Done => 0,
        }
    }

    /// The next unit, never empty; `None` after the last. After an
    /// [`Error::Limit`] a call may follow when there is more memory, after
    /// other errors none.
    pub(crate) fn next_unit(&mut self, contexts: &Contexts<'_>) -> Result<Option<Unit>> {
        if let State::Ready {
            head,
            window_log,
            unit_bytes,
        } = self.state
        {
            let mut context = contexts.acquire(window_log)?;
            self.begin(&mut context, head)?;
            self.state = State::Running {
                context,
                unit_bytes,
            };
        }
        match self.state {
            State::Raw => self.next_raw(&contexts.budget),
            State::Running { unit_bytes, .. } => self.next_decoded(contexts, unit_bytes),
            State::Ready { .. } | State::Done => Ok(None),
        }
    }

    /// Gives Zstandard the beginning of the frame, which the payload leaves
    /// out. Nothing comes of it yet.
    fn begin(&self, context: &mut Context, head: FrameHead) -> Result<()> {
        let mut nothing: [u8; 0] = [];
        let mut output = OutBuffer::around(&mut nothing[..]);
        let mut input = InBuffer::around(head.as_slice());
        while input.pos() < head.as_slice().len() {
            let before = input.pos();
            context
                .zstd
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| zstd_error::decoding(code, self.at()))?;
            if input.pos() == before {
                return Err(Error::malformed(
                    self.at(),
                    "zstd frame that does not begin",
                ));
            }
        }
        Ok(())
    }

    fn next_raw(&mut self, budget: &Budget) -> Result<Option<Unit>> {
        let rest = &self.block.payload[self.position..];
        if rest.is_empty() {
            self.state = State::Done;
            return Ok(None);
        }
        let count = rest.len().min(UNIT_BYTES);
        let unit = Unit {
            reservation: budget.reserve(count as u64)?,
            bytes: rest[..count].to_vec(),
        };
        self.position += count;
        Ok(Some(unit))
    }

    fn next_decoded(&mut self, contexts: &Contexts<'_>, unit_bytes: usize) -> Result<Option<Unit>> {
        let reservation = contexts.budget.reserve(unit_bytes as u64)?;
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(unit_bytes)
            .map_err(|_| Error::Limit("memory"))?;
        let is_finished = self.fill(&mut bytes)?;
        if is_finished
            && let State::Running { context, .. } = std::mem::replace(&mut self.state, State::Done)
        {
            contexts.release(context);
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() < unit_bytes / 2 {
            bytes.shrink_to_fit();
        }
        Ok(Some(Unit { bytes, reservation }))
    }

    /// Decodes until `bytes` is full or the frame at its end; says whether it
    /// is at its end.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        let block_at = self.block.at;
        let payload = &self.block.payload;
        let State::Running { context, .. } = &mut self.state else {
            return Ok(true);
        };
        let mut output = OutBuffer::around(bytes);
        loop {
            let step_end = payload.len().min(self.position + INPUT_STEP_BYTES);
            let mut input = InBuffer::around(&payload[self.position..step_end]);
            let hint = context
                .zstd
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| zstd_error::decoding(code, block_at + self.position as u64))?;
            self.position += input.pos();
            let at = block_at + self.position as u64;
            // Zero says that the frame is at its end and all of it is out.
            if hint == 0 {
                if self.position < payload.len() {
                    return Err(Error::malformed(
                        at,
                        "bytes after the end of the zstd frame",
                    ));
                }
                return Ok(true);
            }
            if output.pos() == output.capacity() {
                return Ok(false);
            }
            // There was room for more, so there was no more to come.
            if self.position == payload.len() {
                return Err(Error::Truncated { at });
            }
        }
    }

    /// Where the next byte of the payload stands in the file.
    fn at(&self) -> u64 {
        self.block.at + self.position as u64
    }
}
