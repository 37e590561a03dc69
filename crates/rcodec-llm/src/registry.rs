//! The models that this process has loaded: what encoders and decoders find by
//! their ids.

use crate::model::Model;
use rcodec_core::{Budget, Error, Limits, ModelId, Result};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

static LOADED: Mutex<Vec<Arc<Model>>> = Mutex::new(Vec::new());

/// Loads a folder ([`Model::load`]) and keeps the model for this process.
///
/// # Errors
/// Those of [`Model::load`].
pub fn add_folder(folder: &Path, limits: Limits) -> Result<ModelId> {
    let model = Model::load(folder, &Budget::new(limits))?;
    Ok(add(Arc::new(model)))
}

/// Keeps a model for this process.
pub fn add(model: Arc<Model>) -> ModelId {
    let id = model.id();
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|other| other.id() != id);
    loaded.push(model);
    id
}

/// The model of that id.
///
/// # Errors
/// [`Error::ModelMissing`].
pub fn find(id: ModelId) -> Result<Arc<Model>> {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = loaded.iter().find(|model| model.id() == id);
    found.cloned().ok_or(Error::ModelMissing(id))
}

/// Whether there is a model of that id.
pub fn has(id: ModelId) -> bool {
    find(id).is_ok()
}
