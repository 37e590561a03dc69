//! Why a file does not decode.

use std::fmt;

/// Why a file does not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not what the pages describe.
    Malformed(String),
    /// The pages describe it, or leave it to others, but this decoder does not
    /// have it.
    NotCovered(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::NotCovered(what) => write!(f, "not covered: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// What decoding gives.
pub type Result<T> = std::result::Result<T, Error>;

/// An error about malformed bytes, as a result.
pub fn malformed<T>(what: &str) -> Result<T> {
    Err(Error::Malformed(what.to_string()))
}

/// An error about what this decoder does not have, as a result.
pub fn not_covered<T>(what: &str) -> Result<T> {
    Err(Error::NotCovered(what.to_string()))
}
