//! How good and how small: what `rcodec bench` and the training report.
//!
//! | for | metric | function |
//! |---|---|---|
//! | pictures | PSNR over RGB, or of the luma | [`psnr_rgb`], [`psnr_y`] |
//! | | MS-SSIM (Wang, Simoncelli, Bovik 2003) | [`ms_ssim_rgb`], [`ms_ssim_y`] |
//! | | SSIMULACRA2 2.1 (crate `ssimulacra2`) | `ssimulacra2` |
//! | | Butteraugli (crate `butteraugli`) | `butteraugli` |
//! | sound | SNR, segmental SNR, log-mel distance | [`snr_db`], [`segmental_snr_db`], [`log_mel_distance`] |
//! | | ViSQOL, PESQ, Zimtohrli, as Python packages where installed | [`python`] |
//! | rates | bits per pixel, sample or byte | [`bits_per_unit`] |
//! | curves | Bjøntegaard's delta rate and delta quality | [`bd_rate_percent`], [`bd_quality`] |
//!
//! Which to believe: PSNR for codecs made for squared error only, SSIMULACRA2
//! and Butteraugli for what people see, MS-SSIM to compare with published
//! curves. All of them compare 8-bit RGB pictures of the same size.
//!
//! Everything is in floating point: metrics measure, they never decode.

mod bd;
mod fft;
mod ms_ssim;
#[cfg(any(feature = "butteraugli", feature = "ssimulacra2"))]
mod perceptual;
mod picture;
mod psnr;
pub mod python;
mod sound;

pub use bd::{Interpolation, RdPoint, bd_quality, bd_rate_percent};
pub use ms_ssim::{MS_SSIM_MIN_SIDE, ms_ssim_db, ms_ssim_rgb, ms_ssim_y};
#[cfg(feature = "ssimulacra2")]
pub use perceptual::ssimulacra2;
#[cfg(feature = "butteraugli")]
pub use perceptual::{Butteraugli, butteraugli};
pub use picture::Rgb8;
pub use psnr::{mse_rgb, psnr_from_mse, psnr_rgb, psnr_y};
pub use sound::{log_mel_distance, segmental_snr_db, snr_db};

/// Bits per unit: per pixel, per sample, or per byte, whatever `units` counts.
/// Of no units there is no rate.
pub fn bits_per_unit(encoded_bytes: u64, units: u64) -> Option<f64> {
    (units > 0).then(|| encoded_bytes as f64 * 8.0 / units as f64)
}

#[cfg(test)]
mod test_pictures;

#[cfg(test)]
mod tests {
    use super::bits_per_unit;

    #[test]
    fn rates_are_bits_per_unit() {
        assert_eq!(bits_per_unit(3, 8), Some(3.0));
        assert_eq!(bits_per_unit(3, 0), None);
    }
}
