//! Small language models of the Llama family, for use with
//! `rcodec encode --model DIR`: a byte-level BPE vocabulary, the network, its
//! training, and a folder as Hugging Face lays them out.
//!
//! ```text
//! texts ─▶ tokens: vocabulary, ids ─▶ train (network) ─▶ export: config.json,
//!                                                       tokenizer.json, model.safetensors
//! ```
//!
//! Models of this size (a few hundred thousand weights) learn little of a
//! language; they show that the whole way works, and what it costs.

mod export;
mod network;
mod tokens;
mod train;

pub use network::LlamaConfig;
pub use tokens::Corpus;
pub use train::{LlmOptions, train_llm};
