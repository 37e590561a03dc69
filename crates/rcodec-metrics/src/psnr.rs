//! Peak signal-to-noise ratio of 8-bit pictures.

use crate::picture::{Rgb8, check_same_size};
use rcodec_core::Result;

const PEAK: f64 = 255.0;

/// Mean squared error over all three channels.
///
/// # Errors
/// [`Error::Parameter`](rcodec_core::Error::Parameter) for pictures of
/// different sizes.
pub fn mse_rgb(a: &Rgb8, b: &Rgb8) -> Result<f64> {
    check_same_size(a, b)?;
    let pairs = a.samples().iter().zip(b.samples());
    let sum: u64 = pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    Ok(sum as f64 / a.samples().len() as f64)
}

/// `10 log10(255² / mse)` in dB; infinite for equal pictures. Means over a set
/// of pictures are taken of the dB values, as the published curves do.
pub fn psnr_from_mse(mse: f64) -> f64 {
    10.0 * (PEAK * PEAK / mse).log10()
}

/// PSNR over all three channels in dB, as CompressAI and most papers on learned
/// codecs report it.
///
/// # Errors
/// As [`mse_rgb`].
pub fn psnr_rgb(a: &Rgb8, b: &Rgb8) -> Result<f64> {
    Ok(psnr_from_mse(mse_rgb(a, b)?))
}

/// PSNR of the luma (BT.601 weights, full range, not rounded) in dB.
///
/// # Errors
/// As [`mse_rgb`].
pub fn psnr_y(a: &Rgb8, b: &Rgb8) -> Result<f64> {
    check_same_size(a, b)?;
    let sum: f64 = a
        .pixels()
        .zip(b.pixels())
        .map(|(a, b)| {
            let difference = |i: usize| f64::from(a[i]) - f64::from(b[i]);
            let luma = 0.299 * difference(0) + 0.587 * difference(1) + 0.114 * difference(2);
            luma * luma
        })
        .sum();
    Ok(psnr_from_mse(sum / a.pixels().len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_one_is_48_13_db() {
        let a = Rgb8::new(4, 2, vec![10; 24]).unwrap();
        let b = Rgb8::new(4, 2, vec![11; 24]).unwrap();
        assert!((psnr_rgb(&a, &b).unwrap() - 48.130_803_6).abs() < 1e-6);
        assert!((psnr_y(&a, &b).unwrap() - 48.130_803_6).abs() < 1e-6);
        assert_eq!(psnr_rgb(&a, &a).unwrap(), f64::INFINITY);
    }

    #[test]
    fn other_sizes_are_refused() {
        let a = Rgb8::new(4, 2, vec![10; 24]).unwrap();
        let b = Rgb8::new(2, 4, vec![10; 24]).unwrap();
        assert!(psnr_rgb(&a, &b).is_err());
        assert!(psnr_y(&a, &b).is_err());
    }
}
