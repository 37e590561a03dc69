//! Errors that say who is at fault: the device, the file, the caller, or the
//! limits the caller set.

use crate::codec::ModelId;
use std::fmt;
use std::io;

/// The result of everything in rcodec that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
///
/// Offsets count bytes from the start of the `.rcd` stream. A codec that only
/// sees the payload of a block reports offsets within it; the container adds
/// the block's position ([`Error::offset_by`]).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The device, pipe or file system failed.
    Io(io::Error),
    /// The bytes are not what the format allows; `what` names the rule broken.
    Malformed {
        /// Offset of the offending byte.
        at: u64,
        /// The rule that was broken.
        what: &'static str,
    },
    /// The input ends before it should.
    Truncated {
        /// Offset at which more bytes were expected.
        at: u64,
    },
    /// A block's bytes do not match their checksum, or (block 0) the decoded
    /// content does not match the checksum of the whole.
    Checksum {
        /// Number of the block, counted from 1 in the order of the file; 0
        /// stands for the whole content.
        block: u64,
        /// Offset at which the block begins (for 0: of the stored checksum).
        at: u64,
    },
    /// A valid request or file that this build cannot serve.
    Unsupported(String),
    /// The file needs a learned model that is not installed.
    ModelMissing(ModelId),
    /// The caller's [`Limits`](crate::Limits) forbid going on.
    Limit(&'static str),
    /// The caller's parameters make no sense.
    Parameter(String),
    /// [`Progress::update`](crate::Progress::update) asked to stop.
    Cancelled,
}

impl Error {
    /// Shorthand for [`Error::Malformed`].
    pub fn malformed(at: u64, what: &'static str) -> Self {
        Error::Malformed { at, what }
    }

    /// Shorthand for [`Error::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> Self {
        Error::Unsupported(what.into())
    }

    /// Shorthand for [`Error::Parameter`].
    pub fn parameter(what: impl Into<String>) -> Self {
        Error::Parameter(what.into())
    }

    /// Moves the offsets inside the error by `base`: from a position within a
    /// payload to one within the file.
    #[must_use]
    pub fn offset_by(self, base: u64) -> Self {
        match self {
            Error::Malformed { at, what } => Error::Malformed {
                at: at.saturating_add(base),
                what,
            },
            Error::Truncated { at } => Error::Truncated {
                at: at.saturating_add(base),
            },
            other => other,
        }
    }

    /// Whether the input's bytes are at fault (and not the caller, the limits
    /// or the device).
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Error::Malformed { .. } | Error::Truncated { .. } | Error::Checksum { .. }
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(e) => write!(f, "{e}"),
            Error::Malformed { at, what } => write!(f, "malformed input at byte {at}: {what}"),
            Error::Truncated { at } => write!(f, "truncated: the input ends at byte {at}"),
            Error::Checksum { block: 0, at } => write!(
                f,
                "checksum mismatch: the decoded content is not what was encoded (checksum at byte {at})"
            ),
            Error::Checksum { block, at } => {
                write!(f, "checksum mismatch in block {block} at byte {at}")
            }
            Error::Unsupported(what) => write!(f, "unsupported: {what}"),
            Error::ModelMissing(id) => write!(f, "the model {id} is not installed"),
            Error::Limit(what) => write!(f, "limit exceeded: {what}"),
            Error::Parameter(what) => write!(f, "{what}"),
            Error::Cancelled => write!(f, "cancelled"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Error::Io(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_move_into_the_file() {
        let moved = Error::malformed(3, "x").offset_by(100);
        assert!(matches!(moved, Error::Malformed { at: 103, what: "x" }));
        let moved = Error::Truncated { at: u64::MAX }.offset_by(1);
        assert!(matches!(moved, Error::Truncated { at: u64::MAX }));
    }

    #[test]
    fn messages_name_the_place() {
        let text = Error::Checksum { block: 7, at: 99 }.to_string();
        assert!(text.contains("block 7") && text.contains("byte 99"));
    }
}
