//! From a folder of pictures to batches of training samples.
//!
//! ```text
//! folder ─ Collection::open ─▶ train ──┐ held out (a tenth, by content hash)
//!                                      ▼
//!      Random::at(seed, step) ─▶ crop, flip, scale down ─▶ Batches (threads, bounded queue) ─▶ step
//! ```

mod collection;
mod crop;
mod loader;

pub use collection::{Collection, Picture};
pub use crop::{CropOptions, center, random_crop};
pub use loader::{Batch, Batches, Source, to_real};

/// Real units of a sample: `(v − 128) / SAMPLE_UNIT`.
pub const SAMPLE_UNIT: f32 = 64.0;
/// Fractional bits of the network's input and output.
pub const SAMPLE_Q: u8 = 13;

/// An 8-bit RGB sample as Y, Co and Cg in [`SAMPLE_Q`]: exact in integers,
/// within ±2 in real units.
///
/// ```text
/// Y = (R + 2G + B) / 4 − 128     Co = (R − B) / 2     Cg = (2G − R − B) / 4
/// ```
pub fn ycocg_q13(rgb: [u8; 3]) -> [i16; 3] {
    let [r, g, b] = rgb.map(i32::from);
    // One level is 2^13 / 64 = 128.
    let y = (r + 2 * g + b) * 32 - 128 * 128;
    let co = (r - b) * 64;
    let cg = (2 * g - r - b) * 32;
    [y as i16, co as i16, cg as i16]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back() {
        for rgb in [
            [0u8, 0, 0],
            [255, 255, 255],
            [255, 0, 0],
            [0, 255, 0],
            [3, 200, 77],
        ] {
            let [y, co, cg] = ycocg_q13(rgb).map(|v| f32::from(v) / 128.0);
            let back = [y - cg + co, y + cg, y - cg - co].map(|v| v + 128.0);
            assert_eq!(back, rgb.map(f32::from));
        }
    }
}
