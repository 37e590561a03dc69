//! A model's folder, loaded.

use crate::RULES;
use crate::config::{Config, Number, RopeScaling};
use crate::fixed::Q;
use crate::matrix::{Embedding, Matrix};
use crate::norm::Norm;
use crate::rope::Rope;
use crate::tensors::{Tensors, read_small};
use crate::vocabulary::Vocabulary;
use rcodec_core::{Budget, ModelId, Result};
use std::path::Path;

/// A block of the network.
pub(crate) struct Layer {
    pub(crate) input_norm: Norm,
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    pub(crate) query_norm: Option<Norm>,
    pub(crate) key_norm: Option<Norm>,
    pub(crate) output: Matrix,
    pub(crate) inner_norm: Norm,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

/// A language model, quantised.
pub struct Model {
    id: ModelId,
    pub(crate) config: Config,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) rope: Rope,
    pub(crate) embedding: Embedding,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Norm,
    pub(crate) head: Matrix,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a folder with `config.json`, `tokenizer.json` and
    /// `model.safetensors` (or several such files and their index). What is
    /// kept is charged to the budget.
    ///
    /// # Errors
    /// [`Error::Parameter`](rcodec_core::Error::Parameter) and
    /// [`Error::Io`](rcodec_core::Error::Io) for what cannot be read,
    /// [`Error::Unsupported`](rcodec_core::Error::Unsupported) for other
    /// architectures, [`Error::Limit`](rcodec_core::Error::Limit).
    pub fn load(folder: &Path, budget: &Budget) -> Result<Model> {
        let config = Config::parse(&read_small(&folder.join("config.json"), budget)?)?;
        let tokenizer = folder.join("tokenizer.json");
        // Parsed, it takes several times its size.
        let length = std::fs::metadata(&tokenizer).map_or(0, |m| m.len());
        let _parsing = budget.reserve(length.saturating_mul(8))?;
        let vocabulary = Vocabulary::parse(&read_small(&tokenizer, budget)?, config.vocabulary)?;
        let tensors = Tensors::open(folder, budget)?;
        Self::assemble(config, vocabulary, tensors, budget)
    }

    /// The model of such a folder whose three files are in memory.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn from_parts(
        config: &[u8],
        tokenizer: &[u8],
        tensors: Vec<u8>,
        budget: &Budget,
    ) -> Result<Model> {
        let config = Config::parse(config)?;
        let _parsing = budget.reserve((tokenizer.len() as u64).saturating_mul(8))?;
        let vocabulary = Vocabulary::parse(tokenizer, config.vocabulary)?;
        let tensors = Tensors::of_bytes(tensors, budget)?;
        Self::assemble(config, vocabulary, tensors, budget)
    }

    fn assemble(
        config: Config,
        vocabulary: Vocabulary,
        tensors: Tensors,
        budget: &Budget,
    ) -> Result<Model> {
        let mut parts = Parts {
            tensors,
            config: &config,
            budget,
        };
        let (width, tokens) = (config.width, config.vocabulary);
        let embedding = "model.embed_tokens.weight";
        let head = match parts.tensors.has("lm_head.weight") {
            true => "lm_head.weight",
            false => embedding,
        };
        let head = parts.matrix(head, (tokens, width))?;
        let embedding = parts.tensors.matrix(embedding, (tokens, width), |next| {
            Embedding::new((tokens, width), budget, next)
        })?;
        let mut layers = Vec::new();
        for index in 0..config.layers {
            layers.push(parts.layer(index)?);
        }
        let norm = parts.norm("model.norm", width)?;
        let hash = parts
            .tensors
            .finish(|name| name.ends_with("rotary_emb.inv_freq"))?;
        Ok(Model {
            id: id_of(&config, &vocabulary, &hash),
            rope: Rope::new(&config),
            config,
            vocabulary,
            embedding,
            layers,
            norm,
            head,
        })
    }

    /// The first eight bytes of the BLAKE3 hash of everything that decides what
    /// the model says: rules, shape, vocabulary, weights.
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Multiply-adds for a token.
    pub fn work(&self) -> u64 {
        let layers = self.layers.iter().flat_map(|layer| {
            [
                &layer.query,
                &layer.key,
                &layer.value,
                &layer.output,
                &layer.gate,
                &layer.up,
                &layer.down,
            ]
        });
        layers.map(Matrix::work).sum::<u64>() + self.head.work()
    }
}

/// What parts of a model are made from.
struct Parts<'a> {
    tensors: Tensors,
    config: &'a Config,
    budget: &'a Budget,
}

impl Parts<'_> {
    fn matrix(&mut self, name: &str, shape: (usize, usize)) -> Result<Matrix> {
        let budget = self.budget;
        self.tensors
            .matrix(name, shape, |next| Matrix::new(shape, budget, next))
    }

    /// A matrix, and its bias if there is one.
    fn linear(&mut self, name: &str, shape: (usize, usize)) -> Result<Matrix> {
        let mut matrix = self.matrix(&format!("{name}.weight"), shape)?;
        let bias = format!("{name}.bias");
        if self.tensors.has(&bias) {
            let bias = self.tensors.vector(&bias, shape.0)?;
            matrix.bias = bias.iter().map(|b| b.to_fixed(Q)).collect();
        }
        Ok(matrix)
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<Norm> {
        let weight = self.tensors.vector(&format!("{name}.weight"), width)?;
        Ok(Norm::new(&weight, self.config.epsilon))
    }

    fn optional_norm(&mut self, name: &str, width: usize) -> Result<Option<Norm>> {
        match self.tensors.has(&format!("{name}.weight")) {
            true => self.norm(name, width).map(Some),
            false => Ok(None),
        }
    }

    fn layer(&mut self, index: usize) -> Result<Layer> {
        let config = self.config;
        let (width, inner, head) = (config.width, config.inner_width, config.head_width);
        let queries = config.heads * head;
        let keys = config.kv_heads * head;
        let at = format!("model.layers.{index}");
        let attention = format!("{at}.self_attn");
        let mlp = format!("{at}.mlp");
        Ok(Layer {
            input_norm: self.norm(&format!("{at}.input_layernorm"), width)?,
            query: self.linear(&format!("{attention}.q_proj"), (queries, width))?,
            key: self.linear(&format!("{attention}.k_proj"), (keys, width))?,
            value: self.linear(&format!("{attention}.v_proj"), (keys, width))?,
            query_norm: self.optional_norm(&format!("{attention}.q_norm"), head)?,
            key_norm: self.optional_norm(&format!("{attention}.k_norm"), head)?,
            output: self.linear(&format!("{attention}.o_proj"), (width, queries))?,
            inner_norm: self.norm(&format!("{at}.post_attention_layernorm"), width)?,
            gate: self.linear(&format!("{mlp}.gate_proj"), (inner, width))?,
            up: self.linear(&format!("{mlp}.up_proj"), (inner, width))?,
            down: self.linear(&format!("{mlp}.down_proj"), (width, inner))?,
        })
    }
}

fn id_of(config: &Config, vocabulary: &Vocabulary, tensors: &blake3::Hash) -> ModelId {
    let mut hasher = blake3::Hasher::new();
    let mut add = |number: u64| {
        hasher.update(&number.to_le_bytes());
    };
    add(u64::from(RULES));
    for size in [
        config.vocabulary,
        config.width,
        config.layers,
        config.heads,
        config.kv_heads,
        config.head_width,
        config.inner_width,
        config.positions,
        config.first_token as usize,
    ] {
        add(size as u64);
    }
    let mut add_number = |number: Number| {
        add(number.mantissa);
        add(number.exponent as u64);
    };
    add_number(config.epsilon);
    add_number(config.rope_base);
    match config.rope_scaling {
        RopeScaling::None => add(0),
        RopeScaling::Linear { factor } => {
            add_number(factor);
            add(1);
        }
        RopeScaling::Llama3 {
            factor,
            low,
            high,
            original_positions,
        } => {
            [factor, low, high].into_iter().for_each(add_number);
            add(u64::from(original_positions));
            add(2);
        }
    }
    vocabulary.hash(&mut hasher);
    hasher.update(tensors.as_bytes());
    let mut id = [0; 8];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    ModelId(id)
}
