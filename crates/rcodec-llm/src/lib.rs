//! Language models of the Llama family, run in integers, and what they foretell
//! of the next byte: the user's own LLM for the codec `text`.
//!
//! ```text
//! folder ─ config.json ──────┐
//!        ─ tokenizer.json ───┤ load, quantise ─▶ Model ─▶ Session: token ─▶ weight of every token
//!        ─ *.safetensors ────┘                     │                             │
//!                                              Vocabulary ───────▶ Predictor: byte ─▶ weight of every byte
//! ```
//!
//! A decoder must compute the very numbers that the encoder had, so there is no
//! float between a model's file and a prediction: weights are read by their
//! bits and rounded to 8 bits by integer rules, activations are fixed point,
//! and everything that is not a sum of products (norms, softmax, SiLU, rotary
//! angles) is integer arithmetic with tables that are themselves computed in
//! integers. Instruction set and number of threads change nothing.
//!
//! Text is not split into tokens before it is coded. The [`Predictor`] follows
//! all segmentations that the model finds likely, byte by byte along the
//! vocabulary, so that any bytes can be coded, and no tokenizer has to be
//! imitated.
//!
//! | architecture | `model_type` | what is special |
//! |---|---|---|
//! | Llama 2 and 3, SmolLM2, TinyLlama | `llama` | RoPE scaling `llama3` and `linear` |
//! | Mistral | `mistral` | without sliding window |
//! | Qwen 2 and 2.5 | `qwen2` | biases of queries, keys, values |
//! | Qwen 3 | `qwen3` | norms of queries and keys |
//!
//! Which biases and norms there are follows from the tensors in the file; a
//! tensor that no part of the network would use is an error.

mod attention;
mod config;
mod fixed;
mod float;
mod matrix;
mod model;
mod norm;
mod predictor;
pub mod registry;
mod rope;
mod session;
mod tensors;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use model::Model;
pub use predictor::Predictor;
pub use rcodec_fixed::{Engine, Level};
pub use session::Session;
pub use vocabulary::Vocabulary;

/// The version of the rules in this crate: how weights are quantised, how the
/// network is computed, how bytes are predicted. Part of what a model's id is
/// the hash of, so that a file never meets other rules.
pub const RULES: u8 = 1;
