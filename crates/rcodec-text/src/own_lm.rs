//! The shipped language model: a small one of the Llama family, trained by
//! `rcodec-train llm`, in a model file like any other. Where it knows the
//! language it tells the mixers what comes next; it takes a hundred
//! microseconds a byte, so it is asked for small texts only.
//!
//! A model file of the family `text-lm` has three packed tensors: `config`,
//! `tokenizer` and `tensors`, the files of a folder as `rcodec-llm` loads it.

use rcodec_core::{Budget, Error, ModelId, Result};
use rcodec_llm::Model as LanguageModel;
use rcodec_model::registry::Registry;
use rcodec_model::{Model as ModelFile, ModelData, ModelTensor, Record, TensorData};
use std::sync::{Arc, Mutex, PoisonError};

/// The family of the model files.
const FAMILY: &str = "text-lm";
/// Names of the tensors.
const PARTS: [&str; 3] = ["config", "tokenizer", "tensors"];

/// The shipped model: text-lm-small1-8d30.
const SHIPPED: ModelId = ModelId([0x8d, 0x30, 0x86, 0x9a, 0x62, 0xc1, 0xba, 0x3d]);

/// Longer contents are not advised by the shipped model.
pub(crate) const MOST_BYTES: usize = 32 << 10;

/// Loaded once for a process; the content follows from the id alone. The lock
/// is not held while it is loaded.
static LOADED: Mutex<Option<Arc<LanguageModel>>> = Mutex::new(None);

/// The shipped model.
///
/// # Errors
/// [`Error::ModelMissing`] if it is not in reach, and those of loading it.
pub(crate) fn shipped() -> Result<Arc<LanguageModel>> {
    let loaded = || LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = loaded().clone() {
        return Ok(model);
    }
    // The program's own, and of known size: not charged to anybody's budget.
    let budget = Budget::new(rcodec_core::Limits::default());
    let file = Registry::from_env().load(SHIPPED, &budget)?;
    let model = Arc::new(of_file(&file, &budget)?);
    Ok(loaded().insert(model).clone())
}

fn of_file(file: &ModelFile, budget: &Budget) -> Result<LanguageModel> {
    let part = |name| match file.data().tensors.get(name).map(|tensor| &tensor.data) {
        Some(TensorData::Packed(bytes)) if file.record().family == FAMILY => Ok(bytes),
        _ => Err(Error::unsupported(format!(
            "the model {} is not a language model",
            file.name()
        ))),
    };
    let [config, tokenizer, tensors] = PARTS.map(part);
    LanguageModel::from_parts(config?, tokenizer?, tensors?.clone(), budget)
}

/// A model file of the three files of a folder: `config.json`,
/// `tokenizer.json` and `model.safetensors`.
///
/// # Errors
/// Those of a language model that does not load.
pub fn pack_language_model(files: [Vec<u8>; 3], record: Record) -> Result<ModelData> {
    let budget = Budget::new(rcodec_core::Limits::unlimited());
    let [config, tokenizer, tensors] = &files;
    LanguageModel::from_parts(config, tokenizer, tensors.clone(), &budget)?;
    let mut data = ModelData {
        record: Record {
            family: FAMILY.to_owned(),
            ..record
        },
        ..ModelData::default()
    };
    for (name, bytes) in PARTS.into_iter().zip(files) {
        let dims = [bytes.len()];
        let tensor = ModelTensor::new(name, &dims, TensorData::Packed(bytes))?;
        data.tensors.insert(tensor)?;
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Text;
    use crate::testing::{decode, encode};
    use rcodec_core::{DecodeContext, EncodeContext};

    const ENGLISH: &str = "The committee met again in the evening, and although nobody had \
        expected much of it, the discussion went on until well after midnight. It was the \
        treasurer who first said what many of them had been thinking: that the money which \
        the town had set aside for the new bridge would not be enough, and that another \
        winter would pass before the first stone could be laid. Some of the older members \
        remembered the flood, and how the people on the other side of the river had been \
        cut off for eleven days. They spoke of it quietly, as one speaks of the dead.";

    #[test]
    fn small_english_texts_are_advised_at_the_highest_effort() {
        let at = |effort, options: &[(String, i64)]| {
            let context = EncodeContext {
                effort: rcodec_core::Effort::new(effort).unwrap(),
                options,
                ..EncodeContext::default()
            };
            encode(&Text, ENGLISH.as_bytes(), context).unwrap()
        };
        let advised = at(9, &[]);
        let alone = at(8, &[]);
        assert_eq!((advised.blocks[0][0] & 7, alone.blocks[0][0] & 7), (4, 2));
        let bytes = |e: &crate::testing::Encoded| e.blocks[0].len();
        assert!(
            100 * bytes(&advised) < 97 * bytes(&alone),
            "{} {}",
            bytes(&advised),
            bytes(&alone)
        );
        let content = decode(&Text, &advised, DecodeContext::default()).unwrap();
        assert_eq!(content, ENGLISH.as_bytes());
        // Without priors there is no advice either.
        let plain = at(9, &[("prior".to_owned(), 0)]);
        assert_eq!(plain.blocks[0][0], 2);
    }

    #[test]
    fn files_that_are_no_model_are_not_packed() {
        let files = || [b"{}".to_vec(), b"{}".to_vec(), vec![0; 100]];
        assert!(pack_language_model(files(), Record::default()).is_err());
    }
}
