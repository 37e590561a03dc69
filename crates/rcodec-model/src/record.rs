//! What is known of a model besides its numbers: what it is called and how it
//! came to be.

use rcodec_core::ModelId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and training record of a model. Nothing in it changes what the model
/// computes, but all of it is part of the model's hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The codec it is for: `image-lossy`.
    pub family: String,
    /// Which of its models: `s`, `l`.
    pub variant: String,
    /// Counted from 1.
    pub version: u32,
    /// Hash of the recipe, hexadecimal.
    pub recipe_hash: String,
    /// Hash of the manifest of the training data, hexadecimal.
    pub data_hash: String,
    /// Training steps.
    pub steps: u64,
    /// Hours of training on `device`.
    pub hours: f64,
    /// What it was trained on.
    pub device: String,
    /// Validation figures of the float network, by name and unit
    /// (`bpp`, `psnr_db`, …).
    pub validation_float: BTreeMap<String, f64>,
    /// The same of the exported integers.
    pub validation_integer: BTreeMap<String, f64>,
    /// Licences of the training data, and of the model.
    pub licence: String,
    /// Anything else.
    pub notes: String,
}

impl Record {
    /// The model's name: family, variant, version, and the first two bytes of
    /// its id, as in `image-lossy-s1-9f3c`.
    pub fn model_name(&self, id: ModelId) -> String {
        format!("{}-{:02x}{:02x}", self.short_name(), id.0[0], id.0[1])
    }

    /// The name without the hash: `image-lossy-s1`.
    pub fn short_name(&self) -> String {
        format!("{}-{}{}", self.family, self.variant, self.version)
    }
}
