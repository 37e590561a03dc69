//! Dictionaries: bytes that encoder and decoder know beforehand, so that even
//! a short input finds matches.

use rcodec_core::{Error, Result};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// Which dictionary a stream was encoded with: the XXH3-64 (seed 0) of the
/// dictionary's bytes. In a stream's parameters it stands as 8 bytes, big end
/// first, which is how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DictionaryId(pub u64);

impl DictionaryId {
    /// The id of a dictionary.
    pub fn of(dictionary: &[u8]) -> Self {
        DictionaryId(xxh3_64(dictionary))
    }

    /// Reads a stream's parameters: none for no dictionary, else 8 bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::Truncated`] with offsets in `params`.
    pub(crate) fn from_params(params: &[u8]) -> Result<Option<Self>> {
        match params.len() {
            0 => Ok(None),
            1..8 => Err(Error::Truncated {
                at: params.len() as u64,
            }),
            8 => {
                let id = params.iter().fold(0, |id, &b| id << 8 | u64::from(b));
                Ok(Some(DictionaryId(id)))
            }
            _ => Err(Error::malformed(8, "bytes after the dictionary id")),
        }
    }

    /// The parameters that name this dictionary.
    pub(crate) fn to_params(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}

impl fmt::Display for DictionaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Checks that the caller has the dictionary that the stream asks for. A
/// dictionary that the stream does not need is no error: it stays unused.
///
/// # Errors
/// [`Error::Parameter`] that names the dictionary needed.
pub(crate) fn select(needed: Option<DictionaryId>, given: &[u8]) -> Result<&[u8]> {
    let Some(needed) = needed else {
        return Ok(&[]);
    };
    if given.is_empty() {
        return Err(Error::parameter(format!(
            "the stream needs the dictionary {needed}, and none was given"
        )));
    }
    let id = DictionaryId::of(given);
    if id != needed {
        return Err(Error::parameter(format!(
            "the stream needs the dictionary {needed}, but {id} was given"
        )));
    }
    Ok(given)
}

/// Makes a dictionary of at most `max_bytes` from samples of what is to be
/// compressed (Zstandard's `fastcover` trainer). Some hundreds of samples, a
/// hundred times the dictionary's size in all, are right; a usual size is
/// 110 KiB. Any other bytes can serve as a dictionary too: a typical input.
///
/// # Errors
/// [`Error::Parameter`] if the samples are too few or too short.
pub fn train_dictionary(samples: &[Vec<u8>], max_bytes: usize) -> Result<Vec<u8>> {
    const MIN_BYTES: usize = 256;
    if max_bytes < MIN_BYTES {
        return Err(Error::parameter(format!(
            "a dictionary has at least {MIN_BYTES} bytes, not {max_bytes}"
        )));
    }
    let total_bytes: usize = samples.iter().map(Vec::len).sum();
    zstd::dict::from_samples(samples, max_bytes).map_err(|e| {
        Error::parameter(format!(
            "no dictionary comes out of {} samples of {total_bytes} bytes in all ({e}): \
             give more of them",
            samples.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_they_are_printed() {
        let id = DictionaryId::of(b"dictionary");
        let params = id.to_params();
        let hex: String = params.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, id.to_string());
        assert_eq!(DictionaryId::from_params(&params).unwrap(), Some(id));
    }

    #[test]
    fn parameters_have_no_or_eight_bytes() {
        assert_eq!(DictionaryId::from_params(&[]).unwrap(), None);
        let short = DictionaryId::from_params(&[1; 7]);
        assert!(matches!(short, Err(Error::Truncated { at: 7 })));
        let long = DictionaryId::from_params(&[1; 9]);
        assert!(matches!(long, Err(Error::Malformed { at: 8, .. })));
    }

    #[test]
    fn training_without_samples_is_an_error() {
        assert!(matches!(
            train_dictionary(&[], 1000),
            Err(Error::Parameter(_))
        ));
        assert!(matches!(
            train_dictionary(&[vec![1], vec![]], 1000),
            Err(Error::Parameter(_))
        ));
        let samples = vec![b"some sample of text".to_vec(); 100];
        assert!(matches!(
            train_dictionary(&samples, 10),
            Err(Error::Parameter(_))
        ));
    }
}
