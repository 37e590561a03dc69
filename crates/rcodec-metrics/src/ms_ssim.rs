//! Multi-scale structural similarity: Wang, Simoncelli, Bovik, «Multiscale
//! structural similarity for image quality assessment», 2003, with the
//! parameters of the authors' own program: an 11x11 Gaussian window of
//! standard deviation 1.5, only where it fits in the picture; K1 = 0.01, K2 =
//! 0.03; between scales a mean of 2x2, the last row or column of an odd size
//! taken twice.

use crate::picture::{Rgb8, check_same_size};
use rcodec_core::{Error, Result};

/// The exponents of the five scales, finest first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
const TAPS: usize = 11;
const SIGMA: f64 = 1.5;
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// The shortest side that has five scales: 161 pixels, the coarsest of which is
/// as large as the window.
pub const MS_SSIM_MIN_SIDE: usize = (TAPS - 1) * 16 + 1;

/// One channel at one scale.
struct Plane {
    width: usize,
    height: usize,
    samples: Vec<f32>,
}

/// MS-SSIM of each of R, G and B, averaged: what CompressAI and the papers on
/// learned codecs report.
///
/// # Errors
/// [`Error::Parameter`] for different sizes, or a side under
/// [`MS_SSIM_MIN_SIDE`].
pub fn ms_ssim_rgb(a: &Rgb8, b: &Rgb8) -> Result<f64> {
    check(a, b)?;
    let sum: f64 = (0..3)
        .map(|c| ms_ssim(plane(a, a.channel(c)), plane(b, b.channel(c))))
        .sum();
    Ok(sum / 3.0)
}

/// MS-SSIM of the luma (BT.601 weights, full range, not rounded).
///
/// # Errors
/// As [`ms_ssim_rgb`].
pub fn ms_ssim_y(a: &Rgb8, b: &Rgb8) -> Result<f64> {
    check(a, b)?;
    Ok(ms_ssim(plane(a, a.luma()), plane(b, b.luma())))
}

/// MS-SSIM on a scale where steps are even: `-10 log10(1 - value)` dB.
pub fn ms_ssim_db(value: f64) -> f64 {
    -10.0 * (1.0 - value).log10()
}

fn check(a: &Rgb8, b: &Rgb8) -> Result<()> {
    check_same_size(a, b)?;
    if a.width().min(a.height()) < MS_SSIM_MIN_SIDE {
        return Err(Error::parameter(format!(
            "MS-SSIM needs {MS_SSIM_MIN_SIDE} pixels on each side"
        )));
    }
    Ok(())
}

fn plane(picture: &Rgb8, samples: Vec<f32>) -> Plane {
    Plane {
        width: picture.width(),
        height: picture.height(),
        samples,
    }
}

fn ms_ssim(mut a: Plane, mut b: Plane) -> f64 {
    let mut product = 1.0;
    for (scale, weight) in WEIGHTS.iter().enumerate() {
        if scale > 0 {
            a = halved(&a);
            b = halved(&b);
        }
        let (luminance, contrast) = similarity(&a, &b);
        let last = scale + 1 == WEIGHTS.len();
        // Means can be negative for pictures that have nothing in common; a
        // power of that is none.
        let value: f64 = if last { luminance } else { contrast };
        product *= value.max(0.0).powf(*weight);
    }
    product
}

/// The means of SSIM and of its contrast and structure part.
fn similarity(a: &Plane, b: &Plane) -> (f64, f64) {
    let product =
        |x: &[f32], y: &[f32]| -> Vec<f32> { x.iter().zip(y).map(|(x, y)| x * y).collect() };
    let (width, height) = (a.width, a.height);
    let blur = |samples: &[f32]| blurred(samples, width, height);
    let mean_a = blur(&a.samples);
    let mean_b = blur(&b.samples);
    let square_a = blur(&product(&a.samples, &a.samples));
    let square_b = blur(&product(&b.samples, &b.samples));
    let cross = blur(&product(&a.samples, &b.samples));
    let (mut ssim, mut contrast) = (0.0, 0.0);
    for i in 0..mean_a.len() {
        let (ma, mb) = (mean_a[i], mean_b[i]);
        let covariance = cross[i] - ma * mb;
        let variances = square_a[i] - ma * ma + square_b[i] - mb * mb;
        let structure = (2.0 * covariance + C2) / (variances + C2);
        contrast += structure;
        ssim += structure * (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1);
    }
    let count = mean_a.len() as f64;
    (ssim / count, contrast / count)
}

fn window() -> [f64; TAPS] {
    let centre = (TAPS / 2) as f64;
    let mut taps = [0.0; TAPS];
    for (i, tap) in taps.iter_mut().enumerate() {
        let distance = i as f64 - centre;
        *tap = (-distance * distance / (2.0 * SIGMA * SIGMA)).exp();
    }
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

/// The samples under the window, where it fits: `(width - 10) * (height - 10)`
/// of them.
fn blurred(samples: &[f32], width: usize, height: usize) -> Vec<f64> {
    let taps = window();
    let out_width = width - (TAPS - 1);
    let out_height = height - (TAPS - 1);
    let mut rows = Vec::with_capacity(out_width * height);
    for row in samples.chunks_exact(width) {
        for x in 0..out_width {
            let under = &row[x..x + TAPS];
            let sum: f64 = under
                .iter()
                .zip(&taps)
                .map(|(&s, t)| f64::from(s) * t)
                .sum();
            rows.push(sum);
        }
    }
    let mut out = vec![0.0; out_width * out_height];
    for (y, line) in out.chunks_exact_mut(out_width).enumerate() {
        for (i, tap) in taps.iter().enumerate() {
            let source = &rows[(y + i) * out_width..][..out_width];
            for (sum, sample) in line.iter_mut().zip(source) {
                *sum += sample * tap;
            }
        }
    }
    out
}

/// Means of 2x2.
fn halved(plane: &Plane) -> Plane {
    let (width, height) = (plane.width.div_ceil(2), plane.height.div_ceil(2));
    let mut samples = Vec::with_capacity(width * height);
    for y in 0..height {
        let upper = &plane.samples[2 * y * plane.width..][..plane.width];
        let second = (2 * y + 1).min(plane.height - 1);
        let lower = &plane.samples[second * plane.width..][..plane.width];
        for x in 0..width {
            let right = (2 * x + 1).min(plane.width - 1);
            samples.push((upper[2 * x] + upper[right] + lower[2 * x] + lower[right]) / 4.0);
        }
    }
    Plane {
        width,
        height,
        samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_like_itself() {
        let samples = (0..161 * 170 * 3u64).map(|i| (i * i % 251) as u8).collect();
        let a = Rgb8::new(161, 170, samples).unwrap();
        assert!((ms_ssim_rgb(&a, &a).unwrap() - 1.0).abs() < 1e-12);
        assert!((ms_ssim_y(&a, &a).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn small_pictures_are_refused() {
        let a = Rgb8::new(160, 170, vec![0; 160 * 170 * 3]).unwrap();
        assert!(ms_ssim_rgb(&a, &a).is_err());
    }

    #[test]
    fn a_negative_has_no_similarity() {
        let samples: Vec<u8> = (0..200 * 200 * 3u64).map(|i| (i * i % 251) as u8).collect();
        let negative = samples.iter().map(|s| 255 - s).collect();
        let a = Rgb8::new(200, 200, samples).unwrap();
        let b = Rgb8::new(200, 200, negative).unwrap();
        assert!(ms_ssim_rgb(&a, &b).unwrap() < 0.01);
    }

    #[test]
    fn ten_times_closer_is_ten_db() {
        assert!((ms_ssim_db(0.99) - 20.0).abs() < 1e-9);
        assert!((ms_ssim_db(0.9) - 10.0).abs() < 1e-9);
    }
}
