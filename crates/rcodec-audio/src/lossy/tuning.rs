//! What the encoder's choices go by: numbers found on training material.

/// Weights of the encoder's choices; none of them is in the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Added before rounding down, for magnitudes below 1 step and above.
    pub(crate) round_first: f32,
    pub(crate) round: f32,
    /// Bits that a new angle may cost before the old one is kept.
    pub(crate) angle_bits: f64,
    /// By how much a mask falls in an eighth of a frame, 1/4 octaves.
    pub(crate) forward_fall: f32,
    /// How far noise may rise over the quietest moment of a block, 1/4
    /// octaves, and how much what is above counts.
    pub(crate) echo_from: f32,
    pub(crate) echo_weight: f32,
    /// Bits of a block and of each of its bands for what is not levels.
    pub(crate) block_bits: f32,
    pub(crate) band_bits: f32,
    /// Bits of levels, of what their logarithms say.
    pub(crate) level_bits: f32,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            round_first: 0.46,
            round: 0.5,
            angle_bits: 12.0,
            forward_fall: 2.0,
            echo_from: 4.0,
            echo_weight: 2.0,
            block_bits: 4.0,
            band_bits: 0.0,
            level_bits: 1.0,
        }
    }
}
