//! Bits of latents under Gaussian models.

use crate::graph::{SCALE_MIN, log_scale_step};
use crate::nn::ops::TrainBackend;
use burn::tensor::Tensor;

/// Probability that goes to escape codes near 0; it falls with the square of
/// the distance, about as an Exp-Golomb code does, and so gives outliers a
/// gradient.
const ESCAPE: f64 = 1.0 / 32768.0;

/// Bits of each image: the cost of the unit interval around each residual
/// under a Gaussian of mean 0 and of the scale with that index.
pub(super) fn bits<B: TrainBackend>(residual: Tensor<B, 4>, index: Tensor<B, 4>) -> Tensor<B, 1> {
    let [n, ..] = residual.dims();
    let log_scale = index * f64::from(log_scale_step()) + f64::from(SCALE_MIN).ln();
    // 1 / (σ √2)
    let inverse = (-log_scale).exp() * std::f64::consts::FRAC_1_SQRT_2;
    let distance = residual.abs();
    let upper = ((-distance.clone()).add_scalar(0.5) * inverse.clone()).erf();
    let lower = ((-distance.clone()).sub_scalar(0.5) * inverse).erf();
    let escape = distance.powi_scalar(2).add_scalar(1.0).recip() * ESCAPE;
    let probability = (upper - lower) * 0.5 + escape;
    let bits = probability.log() * -std::f64::consts::LOG2_E;
    let len = bits.shape().num_elements() / n;
    let per_image: Tensor<B, 2> = bits.reshape([n, len]);
    per_image.sum_dim(1).reshape([n])
}
