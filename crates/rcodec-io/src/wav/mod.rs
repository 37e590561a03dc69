//! RIFF WAVE, Wave64, AIFF and AIFF-C, byte for byte.
//!
//! Such a file is taken as three runs of bytes: a *head* up to the first sample,
//! the *samples*, and a *tail*. Head and tail are kept as they are, so the file
//! comes back whatever its chunks, lengths and padding say; they only decide
//! how the run in the middle is best understood. That is why lengths that lie,
//! that were never filled in, or that are cut off need no special care:
//!
//! - up to the declared length (if it is not 0) everything is samples;
//! - what follows is the tail if it is at most [`MAX_TAIL_BYTES`] long, and
//!   otherwise more samples;
//! - a partial frame at the end belongs to the tail.
//!
//! Memory is constant; only the head ([`MAX_HEAD_BYTES`] at most) and the tail
//! are held.

mod head;
mod other;
mod read;
mod write;

pub(crate) use head::Container;
pub(crate) use read::open;
pub(crate) use write::WavWriter;

/// The longest run before the samples that is kept as a head; a file with a
/// longer one is given as bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 1 << 20;

/// The longest run behind the declared samples that is kept as a tail.
pub(crate) const MAX_TAIL_BYTES: usize = 1 << 20;
