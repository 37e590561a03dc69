//! Lossless images.
//!
//! A picture is cut into groups of whole rows, about a megapixel each. Every
//! group is one block of the file, coded without looking at the others, so
//! that groups encode and decode side by side in bounded memory.
//!
//! ```text
//! strips ─▶ groups ─▶ planes ─┬▶ constant ─┐
//!                             ├▶ graphics  ├▶ the smallest ─▶ block
//!                             ├▶ photo     │
//!                             ├▶ fast      │
//!                             └▶ stored  ──┘
//! ```
//!
//! What decodes is integer arithmetic throughout, but for the least-squares
//! solver of the photo mode, which is IEEE double precision in a fixed order
//! of `+ - * /` and `sqrt`: every machine decodes the same bits.

mod ablation;
mod bitbuf;
mod bytes;
mod choice;
mod codec;
mod color;
mod decode;
mod encode;
pub mod expert;
mod fast;
mod graphics;
pub(crate) mod group;
mod logistic;
mod params;
mod photo;
pub(crate) mod plane;
mod references;
mod values;

pub use codec::ImageLossless;
