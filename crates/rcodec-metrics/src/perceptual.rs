//! Metrics of other people's making: SSIMULACRA2 and Butteraugli, through
//! their crates.

use crate::picture::{Rgb8, check_same_size};
use rcodec_core::{Error, Result};

/// SSIMULACRA2 of `distorted` against `original`, both sRGB: 100 is equal, 90
/// hardly to be told from the original, 70 high quality, 50 medium, 30 low;
/// negative for what is worse.
///
/// # Errors
/// [`Error::Parameter`] for different sizes, or a side under 8 pixels.
#[cfg(feature = "ssimulacra2")]
pub fn ssimulacra2(original: &Rgb8, distorted: &Rgb8) -> Result<f64> {
    use ssimulacra2::{ColorPrimaries, Rgb, TransferCharacteristic, compute_frame_ssimulacra2};
    check_same_size(original, distorted)?;
    let convert = |picture: &Rgb8| {
        let pixels = picture
            .pixels()
            .map(|rgb| rgb.map(|s| f32::from(s) / 255.0))
            .collect();
        Rgb::new(
            pixels,
            picture.width(),
            picture.height(),
            TransferCharacteristic::SRGB,
            ColorPrimaries::BT709,
        )
        .map_err(|e| Error::parameter(format!("SSIMULACRA2: {e}")))
    };
    compute_frame_ssimulacra2(convert(original)?, convert(distorted)?)
        .map_err(|e| Error::parameter(format!("SSIMULACRA2: {e}")))
}

/// Butteraugli's distances: 0 is equal, 1 just noticeable, smaller is better.
#[cfg(feature = "butteraugli")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Butteraugli {
    /// The greatest distance anywhere in the picture.
    pub max: f64,
    /// The 3-norm over the picture, which follows overall quality better.
    pub norm3: f64,
}

/// Butteraugli of `distorted` against `original`, both sRGB, at the default
/// 80 cd/m² of intensity.
///
/// # Errors
/// [`Error::Parameter`] for different sizes, or a side under 8 pixels.
#[cfg(feature = "butteraugli")]
pub fn butteraugli(original: &Rgb8, distorted: &Rgb8) -> Result<Butteraugli> {
    use butteraugli::{ButteraugliParams, Img, RGB8};
    check_same_size(original, distorted)?;
    let convert = |picture: &Rgb8| {
        let pixels = picture.pixels().map(|[r, g, b]| RGB8::new(r, g, b));
        Img::new(
            pixels.collect::<Vec<_>>(),
            picture.width(),
            picture.height(),
        )
    };
    let (original, distorted) = (convert(original), convert(distorted));
    let params = ButteraugliParams::default();
    let result = butteraugli::butteraugli(original.as_ref(), distorted.as_ref(), &params)
        .map_err(|e| Error::parameter(format!("Butteraugli: {e}")))?;
    Ok(Butteraugli {
        max: result.score,
        norm3: result.pnorm_3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_pictures_are_refused() {
        let a = Rgb8::new(7, 9, vec![0; 7 * 9 * 3]).unwrap();
        #[cfg(feature = "ssimulacra2")]
        assert!(ssimulacra2(&a, &a).is_err());
        #[cfg(feature = "butteraugli")]
        assert!(butteraugli(&a, &a).is_err());
    }
}
