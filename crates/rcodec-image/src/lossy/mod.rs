//! Lossy images: a learned transform, a hyperprior and a context model, all in
//! integers.
//!
//! A picture is cut into bands of whole rows; every band is one block of the
//! file, whose latents are coded without looking at the others. Analysis and
//! synthesis look over a band's edges, by [`HALO_ROWS`] rows, so that the edges
//! do not show; a decoder gives the rows of a band when it has the latents of
//! the next.
//!
//! This page says what a model file of the family `image-lossy` holds and how
//! the coded latents follow from its graphs: what encoder, decoder and training
//! have to agree on.
//!
//! # Graphs
//!
//! One position of `y` stands for 16x16 samples, one of `z` for 64x64; pictures
//! are padded to multiples of 64 first. All tensors are
//! `[row][column][channel]`.
//!
//! | graph | inputs | outputs |
//! |---|---|---|
//! | `analysis` | `x`: Y, Co, Cg in Q13 ([`ycocg_q13`]) | `y` in Q6 |
//! | `hyper_analysis` | `y` | `z` in Q6 |
//! | `hyper_synthesis` | `ẑ` in Q6 | features in Q9, at the positions of `y` |
//! | `entry0` | features | context of step 0 |
//! | `entry1` … `entry3` | features, `ŷ` so far (Q6, 0 where unknown) | context of that step |
//! | `trunk` | context | means in Q6; scale indices in Q8 of 16 indices |
//! | `synthesis` | `ŷ` in Q6 | Y, Co, Cg in Q13 |
//!
//! A graph with quality gains has the selector `quality`, 0 to 63.
//!
//! # Symbols
//!
//! With a mean `m` in Q6 the value `v` is coded as `s = (v − m + 32) >> 6`, and
//! decoded as `64 s + m`, saturated to 16 bits ([`symbol_of`], [`value_of`]).
//! The tables are the 64 Gaussian ones of
//! [`rcodec_entropy::ParametricTables`] with one mean; the table's index is
//! `(n + 8) >> 4` of a scale `n` ([`scale_index`]). What a table does not reach
//! goes to an adaptive Exp-Golomb code of order 2: one for `z`, one for `y`.
//! Symbols of `y` whose scale is neither very small nor large are binary
//! decisions instead, whose probabilities the tables only begin: adaptive maps
//! and mixers correct them by what came before in the band.
//!
//! # Order
//!
//! 1. `z`, position by position, channels innermost. Means and table indices
//!    are the tensors `z.mean` (Q6) and `z.scale`, `[quality][channel]`.
//! 2. `y` in four steps. The channels are four groups, the positions four
//!    phases of squares of 2x2; in each step every phase has one group
//!    ([`step_of`]). Step `k` runs `entry{k}` and `trunk` on everything known,
//!    then codes its latents, position by position, channels innermost.

mod codec;
mod decode;
mod encode;
mod networks;
mod params;
mod reconstruct;
mod rounding;
mod samples;
mod symbols;

pub use codec::ImageLossy;
pub use networks::{Coded, IntegerCodec};
pub use samples::{rgb8, ycocg_q13};

/// What the record of a model file calls the family.
pub const FAMILY: &str = "image-lossy";
/// Rows of the neighbouring bands that the synthesis of a band looks at, where
/// there are so many.
pub const HALO_ROWS: usize = 128;
/// Sides of the part of a picture that one hyper latent stands for.
pub const HYPER_FACTOR: usize = 64;
/// The same for a latent.
pub const LATENT_FACTOR: usize = 16;
/// Fractional bits of the network's input and output.
pub const SAMPLE_Q: u8 = 13;
/// Fractional bits of `y`, `z`, means and `ŷ`: a quantisation step is 64.
pub const LATENT_Q: u8 = 6;
/// Fractional bits of the trunk's scales, in units of 16 indices.
pub const SCALE_Q: u8 = 8;
/// From [`SCALE_Q`] to indices of tables: 16 indices are one unit.
pub const SCALE_SHIFT: u8 = SCALE_Q - 4;
/// Steps in which latents are coded.
pub const STEPS: usize = 4;
/// Quality steps of every model.
pub const QUALITIES: usize = 64;
/// Order of the first escape codes.
pub const ESCAPE_ORDER: u32 = 2;

/// The step that codes a latent.
///
/// In step 0 every phase of a square has one group of channels, in step 1 the
/// diagonally opposite one, then the other two: each step decodes a quarter of
/// every neighbourhood.
pub fn step_of(row: usize, column: usize, channel: usize, channels: usize) -> usize {
    let phase = row % 2 * 2 + column % 2;
    let group = channel * STEPS / channels;
    // Step 1 is the diagonal neighbour: phase 3.
    [0, 3, 2, 1][phase ^ group]
}

/// The symbol of a value around a mean, both in [`LATENT_Q`].
pub fn symbol_of(value: i16, mean: i16) -> i32 {
    let half = 1 << (LATENT_Q - 1);
    (i32::from(value) - i32::from(mean) + half) >> LATENT_Q
}

/// What the decoder makes of a symbol, whatever the symbol is.
pub fn value_of(symbol: i32, mean: i16) -> i16 {
    let value = (i64::from(symbol) << LATENT_Q) + i64::from(mean);
    value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
}

/// The table's index for a scale in [`SCALE_Q`], 0 to 63.
pub fn scale_index(scale: i16) -> usize {
    let half = 1 << (SCALE_SHIFT - 1);
    let index = (i32::from(scale.max(0)) + half) >> SCALE_SHIFT;
    (index as usize).min(rcodec_entropy::SCALES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_decodes_a_quarter_of_each_square() {
        for channels in [4, 8, 12, 192] {
            let mut counts = [0; STEPS];
            for i in 0..4 * channels {
                let position = i / channels;
                counts[step_of(position / 2, position % 2, i % channels, channels)] += 1;
            }
            assert_eq!(counts, [channels; STEPS]);
        }
    }

    #[test]
    fn values_are_decoded_to_half_a_step_and_extremes_saturate() {
        for value in (-32768i32..=32767).step_by(7) {
            let decoded = value_of(symbol_of(value as i16, -77), -77);
            assert!((i32::from(decoded) - value).abs() <= 32, "{value}");
        }
        assert_eq!(value_of(i32::MAX, 5), i16::MAX);
        assert_eq!(value_of(i32::MIN, -5), i16::MIN);
        assert_eq!(scale_index(-3), 0);
        assert_eq!(scale_index(i16::MAX), 63);
        assert_eq!((scale_index(7), scale_index(8)), (0, 1));
    }
}
