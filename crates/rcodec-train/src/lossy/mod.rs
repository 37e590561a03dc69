//! The lossy image model in burn: rate and distortion of a batch.

mod ms_ssim;
mod rate;

use crate::codec::{LATENT_FACTOR, LATENT_Q, STEPS, step_of};
use crate::graph::lossy::LossyGraphs;
use crate::graph::{Activation, INDICES_PER_UNIT};
use crate::nn::ops::{self, Columns, Finish, TrainBackend};
use crate::nn::{Network, Qualities, spread};
use burn::tensor::{DType, Tensor, TensorData};
use rate::bits;
use rcodec_entropy::SCALES;

/// How values are quantised to compute the rate.
#[derive(Clone, Debug)]
pub enum Rounding<B: TrainBackend> {
    /// Uniform noise in `[−½, ½)` for `y` and `z` in training.
    Noise {
        /// Of the latents' shape.
        y: Tensor<B, 4>,
        /// Of the hyper latents' shape.
        z: Tensor<B, 4>,
    },
    /// As a codec does.
    Hard,
}

/// What a batch costs and how far off it is.
#[derive(Clone, Debug)]
pub struct Outcome<B: TrainBackend> {
    /// Bits of the latents of each image.
    pub bits_y: Tensor<B, 1>,
    /// Bits of the hyper latents of each image.
    pub bits_z: Tensor<B, 1>,
    /// Mean squared error of each image, in 8-bit RGB samples.
    pub mse: Tensor<B, 1>,
    /// MS-SSIM of each image, if it was asked for.
    pub ms_ssim: Option<Tensor<B, 1>>,
    /// The decoded latents, `[image][row][column][channel]`.
    pub y_hat: Tensor<B, 4>,
    /// The decoded samples, `[image][row][column][Y, Co, Cg]`, not clipped.
    pub x_hat: Tensor<B, 4>,
}

/// Which latents each step decodes: 1 where it does, for latents
/// `[row][column][channel]`; see [`step_of`].
pub fn step_masks(height: usize, width: usize, channels: usize) -> [Vec<f32>; STEPS] {
    std::array::from_fn(|step| {
        (0..height * width * channels)
            .map(|i| {
                let (channel, position) = (i % channels, i / channels);
                let (row, column) = (position / width, position % width);
                f32::from(step_of(row, column, channel, channels) == step)
            })
            .collect()
    })
}

/// Constants of one shape of batch, on the device.
#[derive(Clone, Debug)]
pub struct Masks<B: TrainBackend> {
    steps: Vec<Tensor<B, 4>>,
}

impl<B: TrainBackend> Masks<B> {
    /// For `images` pictures of `height * width` samples.
    pub fn new(
        graphs: &LossyGraphs,
        [images, height, width]: [usize; 3],
        (device, dtype): (&B::Device, DType),
    ) -> Masks<B> {
        let (h, w, c) = (
            height / LATENT_FACTOR,
            width / LATENT_FACTOR,
            graphs.config.latents,
        );
        let steps = step_masks(h, w, c)
            .into_iter()
            .map(|mask| {
                let data = TensorData::new(mask, [1, h, w, c]);
                let mask = Tensor::<B, 4>::from_data(data, device).cast(dtype);
                mask.repeat_dim(0, images)
            })
            .collect();
        Masks { steps }
    }
}

/// Codes a batch, and computes MS-SSIM too if `with_ms_ssim`: `x` is `[image][row][column][3]`, sides multiples of 64.
pub fn forward<B: TrainBackend>(
    graphs: &LossyGraphs,
    network: &Network<'_, B>,
    qualities: &Qualities<B>,
    masks: &Masks<B>,
    x: Tensor<B, 4>,
    (rounding, with_ms_ssim): (&Rounding<B>, bool),
) -> Outcome<B> {
    let run = |graph, inputs: &[Tensor<B, 4>]| network.run(graph, inputs, qualities);
    let first = |mut outputs: Vec<Tensor<B, 4>>| outputs.swap_remove(0);
    let y = first(run(&graphs.analysis, std::slice::from_ref(&x)));
    let z = first(run(&graphs.hyper_analysis, std::slice::from_ref(&y)));
    let (z_hat, bits_z) = code_z(graphs, network, qualities, z, rounding);
    let features = first(run(&graphs.hyper_synthesis, &[z_hat]));

    let latent = network.finish(Activation::Identity, LATENT_Q);
    let mut means = y.zeros_like();
    let mut scales = y.zeros_like();
    let mut y_hat = y.zeros_like();
    for (entry, mask) in graphs.entries.iter().zip(&masks.steps) {
        let inputs = [features.clone(), y_hat.clone()];
        let inputs = &inputs[..entry.inputs().len()];
        let mut params = run(&graphs.trunk, &[first(run(entry, inputs))]);
        let (scale, mean) = (params.remove(1), params.remove(0));
        let mean = mean * mask.clone();
        scales = scales + scale * mask.clone();
        y_hat = y_hat + decoded(y.clone() * mask.clone(), mean.clone(), latent);
        means = means + mean;
    }
    let x_hat = first(run(&graphs.synthesis, std::slice::from_ref(&y_hat)));
    let residual = match rounding {
        Rounding::Noise { y: noise, .. } => y + noise.clone() - means,
        Rounding::Hard => y_hat.clone() - means,
    };
    Outcome {
        y_hat,
        bits_y: bits(residual, indices(network, scales)),
        bits_z,
        ms_ssim: with_ms_ssim.then(|| ms_ssim::ms_ssim(x.clone(), x_hat.clone())),
        mse: mse(x, x_hat.clone()),
        x_hat,
    }
}

/// Hyper latents as the decoder has them, and their bits.
fn code_z<B: TrainBackend>(
    graphs: &LossyGraphs,
    network: &Network<'_, B>,
    qualities: &Qualities<B>,
    z: Tensor<B, 4>,
    rounding: &Rounding<B>,
) -> (Tensor<B, 4>, Tensor<B, 1>) {
    let dims @ [_, h, w, _] = z.dims();
    let at_quality = |param| {
        let table = qualities.interpolate(network.param(param));
        spread(table, h * w).reshape(dims)
    };
    let latent = network.finish(Activation::Identity, LATENT_Q);
    let mean = finish_map(at_quality(graphs.z_mean), latent);
    let scale = at_quality(graphs.z_scale);
    let z_hat = decoded(z.clone(), mean.clone(), latent);
    let residual = match rounding {
        Rounding::Noise { z: noise, .. } => z + noise.clone() - mean,
        Rounding::Hard => z_hat.clone() - mean,
    };
    (z_hat, bits(residual, indices(network, scale)))
}

/// `round(y − mean) + mean`, saturating, with the gradient of the identity.
fn decoded<B: TrainBackend>(y: Tensor<B, 4>, mean: Tensor<B, 4>, latent: Finish) -> Tensor<B, 4> {
    let symbols = (y.clone() - mean.clone()).add_scalar(0.5).floor();
    let y_hat = (symbols + mean).clamp(latent.lo, latent.hi);
    y.clone() + (y_hat - y).detach()
}

/// Scale indices, 0 to 63, from the network's scale output.
fn indices<B: TrainBackend>(network: &Network<'_, B>, scale: Tensor<B, 4>) -> Tensor<B, 4> {
    let per_unit = f64::from(INDICES_PER_UNIT);
    let finish = Finish {
        lo: 0.0,
        hi: (SCALES - 1) as f64 / per_unit,
        unit: network.is_quantized().then_some(per_unit),
    };
    finish_map(scale, finish) * per_unit
}

/// [`Finish`] of every value.
fn finish_map<B: TrainBackend>(x: Tensor<B, 4>, finish: Finish) -> Tensor<B, 4> {
    let dims @ [n, h, w, c] = x.dims();
    let zeros = Tensor::zeros([c], (&x.device(), x.dtype()));
    let columns = Columns {
        values: finish,
        gates: None,
    };
    ops::finish(x.reshape([n * h * w, c]), zeros, columns).reshape(dims)
}

/// Mean squared error of each image in 8-bit RGB samples. With errors `y`,
/// `co`, `cg`: `R = y − cg + co`, `G = y + cg`, `B = y − cg − co`.
fn mse<B: TrainBackend>(x: Tensor<B, 4>, x_hat: Tensor<B, 4>) -> Tensor<B, 1> {
    let [n, h, w, _] = x.dims();
    let error: Tensor<B, 3> = (x_hat - x).reshape([n, h * w, 3]);
    let part = |i: usize| -> Tensor<B, 2> {
        error
            .clone()
            .slice([0..n, 0..h * w, i..i + 1])
            .reshape([n, h * w])
    };
    let (y, co, cg) = (part(0), part(1), part(2));
    let squares =
        y.clone().powi_scalar(2) * 3.0 + co.powi_scalar(2) * 2.0 + cg.clone().powi_scalar(2) * 3.0
            - y * cg * 2.0;
    let unit = crate::data::SAMPLE_UNIT;
    let sum: Tensor<B, 1> = squares.mean_dim(1).reshape([n]);
    sum * (unit * unit / 3.0)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
