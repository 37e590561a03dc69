//! What an exported model costs and how good its pictures are.

use crate::codec::IntegerCodec;
use crate::data::{Collection, center};
use crate::recipe::ValidationConfig;
use crate::train::Figures;
use rcodec_core::Result;

/// What validation in training computes, by the exported model.
pub fn validate_integer(
    codec: &mut IntegerCodec,
    rd_lambda: impl Fn(usize) -> f64,
    (pictures, config): (&Collection, &ValidationConfig),
) -> Result<Vec<Figures>> {
    let size = config.crop;
    let mut all: Vec<Figures> = Vec::new();
    for &quality in &config.qualities {
        let mut figures = Figures {
            quality,
            ..Figures::default()
        };
        let mut used = 0.0;
        let decodable = (0..pictures.len()).filter_map(|index| pictures.picture(index));
        for picture in decodable.take(config.pictures) {
            let rgb = center(picture, size);
            let coded = codec.measure(&rgb, [size, size], quality)?;
            let errors = rgb.iter().zip(&coded.rgb);
            let squares: f64 = errors.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
            let pixels = (size * size) as f64;
            figures.add(
                (coded.bits_y / pixels, coded.bits_z / pixels),
                squares / rgb.len() as f64,
                rd_lambda(quality),
            );
            used += 1.0;
        }
        figures.divide(used);
        all.push(figures);
    }
    Ok(all)
}
