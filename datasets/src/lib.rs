//! Synthetic media for tests, benchmarks and the README's first command: made
//! by integer arithmetic, so that they are the same on every machine, and so
//! that nobody's pictures need to be shipped.
//!
//! They are stand-ins for kinds of media (photographs, graphics, music, text),
//! good for round trips and for noticing that a compressed size changed. What
//! a codec gains is measured on real data.

mod audio;
mod image;
mod random;
mod text;

pub use audio::{music, white_noise};
pub use image::{
    Picture, checkerboard, dithered, gradient, landscape, noise, pixel_art, screen, wallpaper,
};
pub use random::Random;
pub use text::{json_lines, prose};
