//! Multi-scale structural similarity (Wang, Simoncelli and Bovik, 2003), of
//! RGB samples, as a loss.

use crate::data::SAMPLE_UNIT;
use crate::nn::ops::TrainBackend;
use burn::tensor::{Tensor, TensorData};

/// Exponents of the scales, the finest first.
const EXPONENTS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Side of the Gaussian window.
const WINDOW: usize = 11;
/// Its standard deviation.
const SIGMA: f32 = 1.5;
/// Stabilise the quotients, for samples from 0 to 1.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;
/// The least contrast and structure of an image; below it there is no gradient.
const FLOOR: f64 = 1e-4;

/// MS-SSIM of each image, `[image][row][column][Y, Co, Cg]`, over as many of
/// the five scales as fit.
pub(super) fn ms_ssim<B: TrainBackend>(x: Tensor<B, 4>, y: Tensor<B, 4>) -> Tensor<B, 1> {
    let [images, height, width, _] = x.dims();
    let scales = (0..EXPONENTS.len())
        .take_while(|scale| height.min(width) >> scale >= WINDOW)
        .count()
        .max(1);
    let total: f32 = EXPONENTS[..scales].iter().sum();
    let (mut x, mut y) = (planes(x), planes(y));
    let mut product: Option<Tensor<B, 1>> = None;
    for (scale, exponent) in EXPONENTS.iter().enumerate().take(scales) {
        let (similarity, contrast) = ssim(&x, &y);
        let factor = if scale + 1 == scales {
            similarity
        } else {
            contrast
        };
        // Mean over the three colours of each image.
        let factor: Tensor<B, 2> = factor.reshape([3, images]);
        let factor: Tensor<B, 1> = factor.mean_dim(0).reshape([images]);
        let factor = factor.clamp_min(FLOOR).log() * (exponent / total);
        product = Some(match product {
            Some(product) => product + factor,
            None => factor,
        });
        if scale + 1 < scales {
            (x, y) = (halve(x), halve(y));
        }
    }
    match product {
        Some(product) => product.exp(),
        None => Tensor::ones([images], &x.device()),
    }
}

/// `[colour · image][row][column]`, R, G and B from 0 to 1.
fn planes<B: TrainBackend>(x: Tensor<B, 4>) -> Tensor<B, 3> {
    let [n, h, w, _] = x.dims();
    let part = |i: usize| -> Tensor<B, 3> {
        x.clone()
            .slice([0..n, 0..h, 0..w, i..i + 1])
            .reshape([n, h, w])
    };
    let (luma, co, cg) = (part(0), part(1), part(2));
    let base = luma.clone() - cg.clone();
    let rgb = vec![base.clone() + co.clone(), luma + cg, base - co];
    (Tensor::cat(rgb, 0) * (SAMPLE_UNIT / 255.0)).add_scalar(128.0 / 255.0)
}

/// Means over each plane of similarity and of its contrast and structure part.
fn ssim<B: TrainBackend>(x: &Tensor<B, 3>, y: &Tensor<B, 3>) -> (Tensor<B, 1>, Tensor<B, 1>) {
    let [planes, h, w] = x.dims();
    let rows = window_matrix::<B>(h, &x.device());
    let columns = window_matrix::<B>(w, &x.device()).transpose();
    let (rows, columns) = (rows.unsqueeze::<3>(), columns.unsqueeze::<3>());
    let blur = |t: Tensor<B, 3>| rows.clone().matmul(t).matmul(columns.clone());
    let (mean_x, mean_y) = (blur(x.clone()), blur(y.clone()));
    let square_x = mean_x.clone().powi_scalar(2);
    let square_y = mean_y.clone().powi_scalar(2);
    let product = mean_x * mean_y;
    let variances = blur(x.clone().powi_scalar(2) + y.clone().powi_scalar(2))
        - square_x.clone()
        - square_y.clone();
    let covariance = blur(x.clone() * y.clone()) - product.clone();
    let contrast = (covariance * 2.0).add_scalar(C2) / variances.add_scalar(C2);
    let luminance = (product * 2.0).add_scalar(C1) / (square_x + square_y).add_scalar(C1);
    let mean = |t: Tensor<B, 3>| -> Tensor<B, 1> {
        let [_, h, w] = t.dims();
        let flat: Tensor<B, 2> = t.reshape([planes, h * w]);
        flat.mean_dim(1).reshape([planes])
    };
    (mean(luminance * contrast.clone()), mean(contrast))
}

/// `[len − 10][len]`: multiplied from the left, it blurs columns by a Gaussian.
fn window_matrix<B: TrainBackend>(len: usize, device: &B::Device) -> Tensor<B, 2> {
    let center = (WINDOW / 2) as f32;
    let gaussian = |tap: usize| (-(tap as f32 - center).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let sum: f32 = (0..WINDOW).map(gaussian).sum();
    let outputs = (len + 1).saturating_sub(WINDOW).max(1);
    let mut matrix = vec![0.0f32; outputs * len];
    for (output, row) in matrix.chunks_exact_mut(len).enumerate() {
        for (tap, weight) in row[output..].iter_mut().take(WINDOW).enumerate() {
            *weight = gaussian(tap) / sum;
        }
    }
    Tensor::from_data(TensorData::new(matrix, [outputs, len]), device)
}

/// Means of squares of 2x2.
fn halve<B: TrainBackend>(x: Tensor<B, 3>) -> Tensor<B, 3> {
    let [n, h, w] = x.dims();
    let (half_h, half_w) = (h / 2, w / 2);
    let x = x.slice([0..n, 0..half_h * 2, 0..half_w * 2]);
    let rows: Tensor<B, 4> = x.reshape([n, half_h, 2, half_w * 2]);
    let rows: Tensor<B, 4> = rows.mean_dim(2).reshape([n, half_h, half_w, 2]);
    rows.mean_dim(3).reshape([n, half_h, half_w])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::random::{Purpose, Random};
    use burn::backend::Flex;

    fn image(noise: f32) -> Tensor<Flex, 4> {
        let mut random = Random::at(3, Purpose::Checks, 0);
        let values: Vec<f32> = (0..96 * 96 * 3)
            .map(|i| {
                let (x, y) = (i / 3 % 96, i / 288);
                let wave = (x as f32 * 0.3).sin() + (y as f32 * 0.2).cos();
                0.5 * wave + noise * random.normal()
            })
            .collect();
        Tensor::from_data(TensorData::new(values, [1, 96, 96, 3]), &Default::default())
    }

    #[test]
    fn it_is_one_for_equal_images_and_falls_with_noise() {
        let similarity = |a, b| ms_ssim::<Flex>(a, b).into_scalar();
        assert!((similarity(image(0.0), image(0.0)) - 1.0).abs() < 1e-5);
        let little = similarity(image(0.0), image(0.05));
        let much = similarity(image(0.0), image(0.3));
        assert!(
            0.9 < little && little < 0.9999 && much < little - 0.01,
            "{little} {much}"
        );
    }
}
