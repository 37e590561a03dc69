//! `rcodec-train llm`: trains a small language model of the Llama family.

use super::prior::files_of;
use crate::llm::{Corpus, LlamaConfig, LlmOptions, train_llm};
use clap::Args;
use rcodec_core::{Error, Result};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Trains a small language model for `rcodec encode --model DIR`, in the layout
/// of Hugging Face.
#[derive(Debug, Args)]
pub(super) struct LlmArgs {
    /// Folder of texts; the folders in it are read, too. The end of each is
    /// held out for validation.
    #[arg(long)]
    data: PathBuf,
    /// The folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Minutes to train.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Tokens in the vocabulary.
    #[arg(long, default_value_t = 1024)]
    vocabulary: usize,
    /// Width of the residual stream, a multiple of 64.
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// Blocks.
    #[arg(long, default_value_t = 3)]
    layers: usize,
    /// Tokens in a sequence.
    #[arg(long, default_value_t = 128)]
    context: usize,
    /// Sequences in a batch.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 4e-3)]
    rate: f32,
    /// For weights and batches.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Trains and writes a model.
pub(super) fn llm(args: &LlmArgs) -> Result<()> {
    if args.width == 0 || !args.width.is_multiple_of(64) || args.context < 8 {
        return Err(Error::parameter(
            "the width is a multiple of 64, the context at least 8",
        ));
    }
    let texts = files_of(&args.data)?.into_iter().map(fs::read);
    let texts: Vec<Vec<u8>> = texts.collect::<Result<_, _>>()?;
    let corpus = Corpus::new(&texts, args.vocabulary, None)?;
    let options = LlmOptions {
        config: LlamaConfig {
            vocab_size: args.vocabulary,
            hidden_size: args.width,
            num_hidden_layers: args.layers,
            num_attention_heads: args.width / 32,
            num_key_value_heads: args.width / 64,
            head_dim: 32,
            intermediate_size: args.width * 11 / 4,
            max_position_embeddings: args.context,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
        },
        out: args.out.clone(),
        batch: args.batch,
        rate: args.rate,
        time: Duration::try_from_secs_f64(args.minutes * 60.0)
            .map_err(|error| Error::Parameter(format!("{} minutes: {error}", args.minutes)))?,
        seed: args.seed,
    };
    run(&corpus, &options)
}

#[cfg(feature = "flex")]
fn run(corpus: &Corpus, options: &LlmOptions) -> Result<()> {
    train_llm::<burn::backend::Flex>(corpus, options, Default::default())
}

#[cfg(all(feature = "ndarray", not(feature = "flex")))]
fn run(corpus: &Corpus, options: &LlmOptions) -> Result<()> {
    train_llm::<burn::backend::NdArray>(corpus, options, Default::default())
}

#[cfg(not(any(feature = "flex", feature = "ndarray")))]
fn run(_corpus: &Corpus, _options: &LlmOptions) -> Result<()> {
    Err(Error::unsupported("this build has no CPU backend"))
}
