//! Rate and quality on the held-out pictures.

use super::gradient::Trainer;
use crate::data::{Collection, SAMPLE_UNIT, center, to_real};
use crate::graph::lossy::LossyGraphs;
use crate::lossy::{Masks, Rounding, forward};
use crate::nn::{Network, Qualities, Scales};
use crate::recipe::ValidationConfig;
use burn::tensor::{DType, Tensor, TensorData};
use rcodec_core::Result;

/// Means over pictures at one quality.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Quality step.
    pub quality: usize,
    /// Bits of the latents per pixel.
    pub bpp_y: f64,
    /// Bits of the hyper latents per pixel.
    pub bpp_z: f64,
    /// Of 8-bit RGB samples, mean of the pictures' decibels.
    pub psnr_db: f64,
    /// MS-SSIM as `−10 log10(1 − s)`, mean of the pictures' decibels; 0 where
    /// it is not measured.
    pub ms_ssim_db: f64,
    /// `bits/pixel + λ · squared error`.
    pub loss: f64,
}

impl Figures {
    /// Adds a picture: bits per pixel of latents and hyper latents, squared
    /// error.
    pub(crate) fn add(&mut self, (bpp_y, bpp_z): (f64, f64), mse: f64, rd_lambda: f64) {
        self.bpp_y += bpp_y;
        self.bpp_z += bpp_z;
        self.psnr_db += 10.0 * (255.0 * 255.0 / mse.max(1e-3)).log10();
        self.loss += bpp_y + bpp_z + rd_lambda * mse;
    }

    /// From sums over `pictures` to means.
    pub(crate) fn divide(&mut self, pictures: f64) {
        for sum in [
            &mut self.bpp_y,
            &mut self.bpp_z,
            &mut self.psnr_db,
            &mut self.ms_ssim_db,
            &mut self.loss,
        ] {
            *sum /= pictures;
        }
    }

    /// Bits per pixel in all.
    pub fn bpp(&self) -> f64 {
        self.bpp_y + self.bpp_z
    }
}

/// Codes the middle of held-out pictures at every quality, with hard rounding;
/// by the integer rules if `quantized`.
pub fn validate<B: Trainer>(
    graphs: &LossyGraphs,
    weights: &[f32],
    quantized: bool,
    (pictures, config): (&Collection, &ValidationConfig),
    device: &B::Device,
) -> Result<Vec<Figures>> {
    let on = (device, DType::F32);
    let scales = Scales::<B>::new(
        &graphs.all(),
        &graphs.layout,
        &graphs.config,
        weights,
        1.0,
        on,
    );
    let scales = if quantized { Some(scales?) } else { None };
    let flat = Tensor::<B, 1>::from_data(TensorData::from(weights), device);
    let params = graphs.layout.params.iter();
    let leaves = params.map(|spec| flat.clone().slice([spec.range()]));
    let network = Network::new(&graphs.layout, leaves.collect(), scales.as_ref());
    let count = config.qualities.len();
    let size = config.crop;
    let masks = Masks::new(graphs, [count, size, size], on);
    let qualities = Qualities::new(&config.qualities, &graphs.config, on);
    let mut figures: Vec<Figures> = config
        .qualities
        .iter()
        .map(|&quality| Figures {
            quality,
            ..Figures::default()
        })
        .collect();
    let mut used = 0.0;
    for index in 0..pictures.len() {
        if used >= config.pictures as f64 {
            break;
        }
        let Some(picture) = pictures.picture(index) else {
            continue;
        };
        let rgb = center(picture, size);
        let x: Vec<f32> = to_real(&rgb).collect();
        let x = TensorData::new(x, [1, size, size, 3]);
        let x = Tensor::<B, 4>::from_data(x, device).repeat_dim(0, count);
        let outcome = forward(
            graphs,
            &network,
            &qualities,
            &masks,
            x,
            (&Rounding::Hard, true),
        );
        let vector = |t: Tensor<B, 1>| t.into_data().to_vec::<f32>().unwrap_or_default();
        let (y, z) = (vector(outcome.bits_y), vector(outcome.bits_z));
        let similarity = outcome.ms_ssim.map(vector).unwrap_or_default();
        let x_hat: Vec<f32> = outcome.x_hat.into_data().to_vec().unwrap_or_default();
        let pixels = (size * size) as f64;
        for (i, figures) in figures.iter_mut().enumerate() {
            let decoded = &x_hat[i * size * size * 3..(i + 1) * size * size * 3];
            let mse = squared_error(&rgb, decoded);
            let (bpp_y, bpp_z) = (f64::from(y[i]) / pixels, f64::from(z[i]) / pixels);
            let lambda = f64::from(graphs.config.rd_lambda(figures.quality as f32));
            figures.add((bpp_y, bpp_z), mse, lambda);
            let distance = 1.0 - f64::from(similarity.get(i).copied().unwrap_or(0.0));
            figures.ms_ssim_db += -10.0 * distance.max(1e-6).log10();
        }
        used += 1.0;
    }
    for figures in &mut figures {
        figures.divide(used);
    }
    Ok(figures)
}

/// Mean squared error of 8-bit samples, decoded ones rounded and clipped.
fn squared_error(rgb: &[u8], decoded: &[f32]) -> f64 {
    let mut sum = 0.0;
    for (rgb, decoded) in rgb.chunks_exact(3).zip(decoded.chunks_exact(3)) {
        let [y, co, cg] = [decoded[0], decoded[1], decoded[2]].map(|v| v * SAMPLE_UNIT);
        let back = [y - cg + co, y + cg, y - cg - co];
        for (sample, back) in rgb.iter().zip(back) {
            let back = (back + 128.5).floor().clamp(0.0, 255.0);
            sum += f64::from(back - f32::from(*sample)).powi(2);
        }
    }
    sum / rgb.len() as f64
}
