//! The network, in floats.
//!
//! ```text
//! rows of a table, added up ─ tanh ─▶ x ─▶ minGRU ─▶ h1 ─▶ minGRU (of x, h1) ─▶ h2
//! m = tanh(W (x, h1, h2))     a bit's logit = core's + w[node] · m
//! ```
//!
//! A minGRU (Feng and others, "Were RNNs all we needed?", 2024) has gates that
//! do not depend on its state, so training is a scan. The head has weights for
//! each of the 255 places in the tree of a byte's bits. It adds to what the core
//! says of the bit: training begins at the core's own loss, and whatever is
//! learned is what the core does not know.

use super::contexts::{COUNT, Contexts};
use crate::nn::ops::{TrainBackend, embed, recur};
use crate::random::{Purpose, Random};
use burn::tensor::activation::{sigmoid, softplus, tanh};
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The shape of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Width of a row of the table.
    pub width: usize,
    /// Units of a recurrent layer.
    pub units: usize,
    /// Features that the head sees.
    pub features: usize,
    /// Rows of each hashed context, as a power of two.
    pub words_bits: u32,
}

/// A tensor's place in the flat vector of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name in checkpoints and model files.
    pub name: &'static str,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Where it begins.
    pub start: usize,
}

impl Param {
    /// Its place.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape[0] * self.shape[1]
    }
}

/// Places of tensors in [`Shape::params`].
mod at {
    pub(super) const TABLE: usize = 0;
    pub(super) const FIRST: usize = 1;
    pub(super) const SECOND: usize = 3;
    pub(super) const FEATURES: usize = 5;
    pub(super) const HEAD: usize = 7;
    pub(super) const ALONE: usize = 9;
}

impl Shape {
    /// All weights, in their order: matrices of `[output][input]`, each with a
    /// row of biases.
    pub fn params(&self) -> Vec<Param> {
        let (d, h, m) = (self.width, self.units, self.features);
        let shapes = [
            ("table", [Contexts::rows(self.words_bits), d]),
            ("first.weight", [2 * h, d]),
            ("first.bias", [1, 2 * h]),
            ("second.weight", [2 * h, d + h]),
            ("second.bias", [1, 2 * h]),
            ("features.weight", [m, d + 2 * h]),
            ("features.bias", [1, m]),
            ("head.weight", [256, m]),
            ("head.bias", [1, 256]),
            ("alone.weight", [256, m]),
            ("alone.bias", [1, 256]),
        ];
        let mut start = 0;
        let place = |(name, shape)| {
            let param = Param { name, shape, start };
            start = param.range().end;
            param
        };
        shapes.into_iter().map(place).collect()
    }

    /// Multiply-adds of a byte: those of the matrices, and of eight rows of the
    /// head.
    pub fn work(&self) -> usize {
        let params = self.params();
        let len = |i: usize| params[i].range().len();
        len(at::FIRST) + len(at::SECOND) + len(at::FEATURES) + 8 * self.features
    }

    /// Weights to begin with. The head has none: the network says nothing yet.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut weights = Vec::new();
        for (i, param) in self.params().into_iter().enumerate() {
            let mut random = Random::at(seed, Purpose::Weights, i as u64);
            let h = self.units;
            for at in 0..param.range().len() {
                weights.push(match param.name {
                    "table" => random.normal() * (COUNT as f32).powf(-0.5) * 0.7,
                    // Gates whose memories are 2 to 200 bytes.
                    "first.bias" | "second.bias" if at < h => -(0.7 + 4.6 * at as f32 / h as f32),
                    "head.weight" | "alone.weight" => 0.0,
                    name if name.ends_with("bias") => 0.0,
                    _ => random.normal() * (param.shape[1] as f32).powf(-0.5),
                });
            }
        }
        weights
    }
}

/// Stretches of texts that are computed together; all lists go by bytes: the
/// first of all stretches, then the second of all.
pub(super) struct Batch<B: TrainBackend> {
    /// Bytes of each stretch.
    pub(super) steps: usize,
    /// Rows of the table: [`COUNT`] for each byte.
    pub(super) ids: Tensor<B, 1, Int>,
    /// Places in the tree of bits: eight for each byte.
    pub(super) nodes: Tensor<B, 2, Int>,
    /// What the core says of these bits; with the sign of the bit that came.
    pub(super) core: Tensor<B, 2>,
    /// 1 for a bit that was one, -1 for a zero.
    pub(super) signs: Tensor<B, 2>,
}

/// Mean costs of a byte, in bits: of core and network together, and of the
/// network alone, by a head of its own.
///
/// What the core does not know is little, and hard to learn from; the other loss
/// has much to say about what a language is like. It is for training only.
pub(super) fn losses<B: TrainBackend>(
    weights: &[Tensor<B, 2>],
    batch: &Batch<B>,
) -> [Tensor<B, 1>; 2] {
    let bytes = batch.nodes.dims()[0];
    let table = weights[at::TABLE].clone();
    let x = tanh(embed(table, batch.ids.clone(), COUNT));
    let h1 = layer(x.clone(), &weights[at::FIRST..], batch.steps);
    let both = Tensor::cat(vec![x.clone(), h1.clone()], 1);
    let h2 = layer(both.clone(), &weights[at::SECOND..], batch.steps);
    let all = Tensor::cat(vec![both, h2], 1);
    let m = tanh(project(all, &weights[at::FEATURES..]));
    let margin = |head: usize| {
        let logits = project(m.clone(), &weights[head..]);
        logits.gather(1, batch.nodes.clone()) * batch.signs.clone()
    };
    let bits = |margin: Tensor<B, 2>| {
        softplus(margin.neg(), 1.0).sum() / (bytes as f64 * std::f64::consts::LN_2)
    };
    [
        bits(margin(at::HEAD) + batch.core.clone()),
        bits(margin(at::ALONE)),
    ]
}

/// A minGRU.
fn layer<B: TrainBackend>(x: Tensor<B, 2>, weights: &[Tensor<B, 2>], steps: usize) -> Tensor<B, 2> {
    let sums = project(x, weights);
    let [rows, columns] = sums.dims();
    let half = columns / 2;
    let update = sigmoid(sums.clone().slice([0..rows, 0..half]));
    let candidate = tanh(sums.slice([0..rows, half..columns]));
    recur(update, candidate, steps)
}

/// `x` times a matrix, and its biases.
fn project<B: TrainBackend>(x: Tensor<B, 2>, weights: &[Tensor<B, 2>]) -> Tensor<B, 2> {
    x.matmul(weights[0].clone().transpose()) + weights[1].clone()
}
