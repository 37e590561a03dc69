//! Sizes and limits on the command line.

use crate::args::LimitArgs;
use crate::exit::Failure;
use rcodec::{Budget, Limits, ModelId};
use rcodec_model::file::peek_id;
use rcodec_model::registry;
use std::path::Path;

/// Parses `512M`: a number and a power of 1024 (K, M, G, T).
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        unit => return Err(format!("unknown unit {unit:?}")),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number".to_string())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too large".to_string())
}

impl LimitArgs {
    /// A fresh account under these limits.
    pub(crate) fn budget(&self) -> Budget {
        let default = Limits::default();
        Budget::new(Limits {
            max_alloc_bytes: self.max_memory.unwrap_or(default.max_alloc_bytes),
            max_samples: self.max_samples.unwrap_or(default.max_samples),
            max_pixels: self.max_pixels.unwrap_or(default.max_pixels),
            ..default
        })
    }
}

/// The bytes of a dictionary file; none without a file.
pub(crate) fn load_dictionary(path: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match path {
        None => Ok(Vec::new()),
        Some(path) => std::fs::read(path)
            .map_err(|e| Failure::from(e).about(format!("dictionary {}", path.display()))),
    }
}

/// Makes a prior's file known to the codecs; its id.
pub(crate) fn add_prior(path: Option<&Path>) -> Result<Option<ModelId>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let about = |failure: Failure| failure.about(format!("prior {}", path.display()));
    let file = std::fs::read(path).map_err(|e| about(e.into()))?;
    let id = peek_id(&file).map_err(|e| about(e.into()))?;
    registry::add_path(path.to_owned());
    Ok(Some(id))
}

/// Loads a language model's folder and makes it known to the codecs; its id.
pub(crate) fn add_language_model(path: Option<&Path>) -> Result<Option<ModelId>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    // The user's own file: only the machine limits it.
    let id = rcodec::add_language_model(path, Limits::unlimited());
    id.map(Some)
        .map_err(|e| Failure::from(e).about(format!("model {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("7"), Ok(7));
        assert_eq!(parse_size("112K"), Ok(112 << 10));
        assert_eq!(parse_size("4GiB"), Ok(4 << 30));
        for bad in ["", "K", "-1", "1X", "99999999999T"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
