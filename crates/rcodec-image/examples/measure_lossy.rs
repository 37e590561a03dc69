//! Measures a model on pictures: bits, error and time of each quality, with
//! latents rounded to the nearest symbols or by rate and distortion:
//!
//! ```text
//! cargo run --release -p rcodec-image --example measure_lossy -- MODEL QUALITIES nearest|search FILE...
//! ```
//!
//! `QUALITIES` are steps of 0 to 63, by commas. Pictures are cut to multiples
//! of 64.

use rcodec_core::{Budget, Limits};
use rcodec_fixed::Engine;
use rcodec_image::lossy::{Coded, IntegerCodec};
use rcodec_model::Model;
use std::error::Error;
use std::time::Instant;

/// Width, height and samples of a picture, cut.
fn read(file: &str) -> Result<([usize; 2], Vec<u8>), Box<dyn Error>> {
    let picture = image::open(file)?.to_rgb8();
    let sides = [picture.width(), picture.height()].map(|side| side / 64 * 64);
    let cut = image::imageops::crop_imm(&picture, 0, 0, sides[0], sides[1]).to_image();
    Ok((sides.map(|side| side as usize), cut.into_raw()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, qualities, rounding, files @ ..] = &arguments[..] else {
        return Err("MODEL QUALITIES nearest|search FILE...".into());
    };
    let budget = Budget::new(Limits::default());
    let model = Model::read(&std::fs::read(model)?, &budget)?;
    let mut codec = IntegerCodec::new(&model, Engine::new(), &budget)?;
    if rounding == "search" {
        codec.optimise_rounding();
    }
    println!("file,quality,pixels,bits_y,bits_z,mse,seconds");
    for quality in qualities.split(',') {
        let quality = quality.parse()?;
        for file in files {
            let (sides, rgb) = read(file)?;
            let start = Instant::now();
            let coded = codec.measure(&rgb, sides, quality)?;
            let seconds = start.elapsed().as_secs_f64();
            let errors = coded.rgb.iter().zip(&rgb);
            let sum: f64 = errors
                .map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2))
                .sum();
            let (mse, pixels) = (sum / rgb.len() as f64, sides[0] * sides[1]);
            let Coded { bits_y, bits_z, .. } = coded;
            println!("{file},{quality},{pixels},{bits_y:.0},{bits_z:.0},{mse:.4},{seconds:.2}");
        }
    }
    Ok(())
}
