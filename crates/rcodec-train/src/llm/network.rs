//! The network: pre-norm blocks of rotary grouped-query attention and gated
//! SiLU (Touvron and others, "LLaMA", 2023), in floats, as `transformers`
//! computes it.

use crate::random::{Purpose, Random};
use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use serde::Serialize;
use std::ops::Range;

/// The shape of a network, by the names of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LlamaConfig {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values; divides the heads of queries.
    pub num_key_value_heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Width between the matrices of a feed-forward layer.
    pub intermediate_size: usize,
    /// Tokens that the network was trained to see at once.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Keeps norms finite.
    pub rms_norm_eps: f64,
}

/// A weight tensor's place in the flat vector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Param {
    /// As in the model file.
    pub(super) name: String,
    /// Rows and columns; one row for a norm's.
    pub(super) shape: [usize; 2],
    pub(super) start: usize,
}

impl Param {
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape[0] * self.shape[1]
    }

    pub(super) fn is_norm(&self) -> bool {
        self.name.ends_with("norm.weight")
    }
}

impl LlamaConfig {
    /// All weights, in the order in which [`Network`] takes them.
    pub(super) fn params(&self) -> Vec<Param> {
        let h = self.hidden_size;
        let q = self.num_attention_heads * self.head_dim;
        let kv = self.num_key_value_heads * self.head_dim;
        let inner = self.intermediate_size;
        let mut shapes = vec![("embed_tokens".to_owned(), [self.vocab_size, h])];
        for layer in 0..self.num_hidden_layers {
            for (name, shape) in [
                ("input_layernorm", [1, h]),
                ("self_attn.q_proj", [q, h]),
                ("self_attn.k_proj", [kv, h]),
                ("self_attn.v_proj", [kv, h]),
                ("self_attn.o_proj", [h, q]),
                ("post_attention_layernorm", [1, h]),
                ("mlp.gate_proj", [inner, h]),
                ("mlp.up_proj", [inner, h]),
                ("mlp.down_proj", [h, inner]),
            ] {
                shapes.push((format!("layers.{layer}.{name}"), shape));
            }
        }
        shapes.push(("norm".to_owned(), [1, h]));
        let mut start = 0;
        let place = |(name, shape): (String, [usize; 2])| {
            let param = Param {
                name: format!("model.{name}.weight"),
                shape,
                start,
            };
            start = param.range().end;
            param
        };
        shapes.into_iter().map(place).collect()
    }

    /// Initial weights: norms 1, others normal, the outputs of blocks smaller.
    pub(super) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut weights = Vec::new();
        for (i, param) in self.params().into_iter().enumerate() {
            let mut random = Random::at(seed, Purpose::Weights, i as u64);
            let is_output = param.name.contains("o_proj") || param.name.contains("down_proj");
            let mut deviation = if i == 0 {
                0.05
            } else {
                (param.shape[1] as f32).powf(-0.5)
            };
            if is_output {
                deviation /= (2.0 * self.num_hidden_layers as f32).sqrt();
            }
            let is_norm = param.is_norm();
            weights.extend(param.range().map(|_| match is_norm {
                true => 1.0,
                false => deviation * random.normal(),
            }));
        }
        weights
    }
}

/// The network on a device, for sequences of one length.
pub(super) struct Network<B: Backend> {
    config: LlamaConfig,
    /// Cosines and sines, `[1][1][position][head_dim / 2]`.
    rotary: [Tensor<B, 4>; 2],
    /// A large negative number where a position must not look.
    mask: Tensor<B, 4>,
}

impl<B: Backend> Network<B> {
    pub(super) fn new(config: &LlamaConfig, length: usize, device: &B::Device) -> Network<B> {
        let half = config.head_dim / 2;
        let angle = |at: usize| {
            let (position, i) = (at / half, at % half);
            let exponent = -2.0 * i as f64 / config.head_dim as f64;
            position as f64 * config.rope_theta.powf(exponent)
        };
        let table = |values: Vec<f32>, shape: [usize; 4]| {
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let rotary = [f64::cos, f64::sin].map(|f| {
            let values = (0..length * half).map(|at| f(angle(at)) as f32);
            table(values.collect(), [1, 1, length, half])
        });
        let mask = (0..length * length).map(|at| match at % length > at / length {
            true => -1e9,
            false => 0.0,
        });
        Network {
            config: config.clone(),
            rotary,
            mask: table(mask.collect(), [1, 1, length, length]),
        }
    }

    /// Mean cross-entropy in nats of `ids[..][1..]`, each predicted from those
    /// before it.
    pub(super) fn loss(&self, weights: &[Tensor<B, 2>], ids: Tensor<B, 2, Int>) -> Tensor<B, 1> {
        let [rows, len] = ids.dims();
        let input = ids.clone().slice([0..rows, 0..len - 1]);
        let target = ids.slice([0..rows, 1..len]).reshape([rows * (len - 1), 1]);
        let logits = self.logits(weights, input);
        log_softmax(logits, 1).gather(1, target).mean().neg()
    }

    /// `[sequence · position][token]`.
    fn logits(&self, weights: &[Tensor<B, 2>], ids: Tensor<B, 2, Int>) -> Tensor<B, 2> {
        let [rows, len] = ids.dims();
        let embedding = &weights[0];
        let mut x = embedding.clone().select(0, ids.reshape([rows * len]));
        for layer in weights[1..].chunks_exact(9) {
            let normed = self.norm(x.clone(), &layer[0]);
            x = x + self.attention(normed, &layer[1..5], rows);
            let normed = self.norm(x.clone(), &layer[5]);
            let gate = silu(project(normed.clone(), &layer[6]));
            let up = project(normed, &layer[7]);
            x = x + project(gate * up, &layer[8]);
        }
        let last = &weights[weights.len() - 1];
        project(self.norm(x, last), embedding)
    }

    fn norm(&self, x: Tensor<B, 2>, weight: &Tensor<B, 2>) -> Tensor<B, 2> {
        let square = (x.clone() * x.clone()).mean_dim(1);
        let scale = square.add_scalar(self.config.rms_norm_eps).sqrt().recip();
        x * scale * weight.clone()
    }

    fn attention(&self, x: Tensor<B, 2>, weights: &[Tensor<B, 2>], rows: usize) -> Tensor<B, 2> {
        let config = &self.config;
        let len = x.dims()[0] / rows;
        let (heads, kv_heads, width) = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        );
        let split = |x: Tensor<B, 2>, heads: usize| -> Tensor<B, 4> {
            x.reshape([rows, len, heads, width]).swap_dims(1, 2)
        };
        let repeat = |x: Tensor<B, 4>| -> Tensor<B, 4> {
            let group = heads / kv_heads;
            let x: Tensor<B, 5> = x.unsqueeze_dim(2);
            x.repeat_dim(2, group).reshape([rows, heads, len, width])
        };
        let q = self.rotate(split(project(x.clone(), &weights[0]), heads));
        let k = repeat(self.rotate(split(project(x.clone(), &weights[1]), kv_heads)));
        let v = repeat(split(project(x, &weights[2]), kv_heads));
        let scores = q.matmul(k.swap_dims(2, 3)) * (width as f64).powf(-0.5);
        let mixed = softmax(scores + self.mask.clone(), 3).matmul(v);
        let joined = mixed.swap_dims(1, 2).reshape([rows * len, heads * width]);
        project(joined, &weights[3])
    }

    /// Turns pairs half a head apart by their position's angles.
    fn rotate(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let half = self.config.head_dim / 2;
        let first = x.clone().narrow(3, 0, half);
        let second = x.narrow(3, half, half);
        let [cos, sin] = self.rotary.clone();
        let turned = [
            first.clone() * cos.clone() - second.clone() * sin.clone(),
            second * cos + first * sin,
        ];
        Tensor::cat(turned.to_vec(), 3)
    }
}

/// `x` times a matrix of `[output][input]`.
fn project<B: Backend>(x: Tensor<B, 2>, weight: &Tensor<B, 2>) -> Tensor<B, 2> {
    x.matmul(weight.clone().transpose())
}
