//! A model as a folder in the layout of Hugging Face.

use super::network::LlamaConfig;
use super::tokens::Corpus;
use rcodec_core::{Error, Result};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use std::fs;
use std::path::Path;

/// Writes `config.json`, `tokenizer.json` and `model.safetensors` (bfloat16).
pub(super) fn export(
    folder: &Path,
    config: &LlamaConfig,
    corpus: &Corpus,
    weights: &[f32],
) -> Result<()> {
    fs::create_dir_all(folder)?;
    let json = |error: serde_json::Error| Error::Parameter(format!("config.json: {error}"));
    let mut value = serde_json::to_value(config).map_err(json)?;
    let more = serde_json::json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "rope_scaling": null,
        "tie_word_embeddings": true,
        "torch_dtype": "bfloat16",
        "bos_token_id": corpus.begin(),
        "eos_token_id": corpus.begin(),
    });
    if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
        value.extend(more.clone());
    }
    let text = serde_json::to_string_pretty(&value).map_err(json)?;
    fs::write(folder.join("config.json"), text + "\n")?;
    let tokenizer = corpus.tokenizer.save(folder.join("tokenizer.json"), false);
    tokenizer.map_err(|e| Error::Parameter(format!("tokenizer.json: {e}")))?;

    let params = config.params();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = params
        .iter()
        .map(|param| {
            let shape = match param.is_norm() {
                true => vec![param.shape[1]],
                false => param.shape.to_vec(),
            };
            let values = &weights[param.range()];
            let bytes = values.iter().flat_map(|&w| bf16(w).to_le_bytes());
            (param.name.clone(), shape, bytes.collect())
        })
        .collect();
    let failed = |error| Error::Parameter(format!("model.safetensors: {error}"));
    let views = tensors.iter().map(|(name, shape, bytes)| {
        TensorView::new(Dtype::BF16, shape.clone(), bytes).map(|view| (name.clone(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(failed)?;
    serialize_to_file(views, None, &folder.join("model.safetensors")).map_err(failed)
}

/// The nearest bfloat16, ties to even.
fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (rounded >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::bf16;

    #[test]
    fn rounding_is_to_the_nearest_even() {
        for (value, expected) in [
            (1.0, 0x3f80),
            (-2.0, 0xc000),
            (f32::from_bits(0x3f80_8000), 0x3f80),
            (f32::from_bits(0x3f80_8001), 0x3f81),
            (f32::from_bits(0x3f81_8000), 0x3f82),
        ] {
            assert_eq!(bf16(value), expected, "{value}");
        }
    }
}
