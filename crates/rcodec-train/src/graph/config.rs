//! The sizes of a lossy image network.

use crate::codec::QUALITIES;
use rcodec_core::{Error, Result};
use rcodec_entropy::SCALES;
use serde::{Deserialize, Serialize};

/// The smallest scale.
pub const SCALE_MIN: f32 = 0.11;
/// The largest scale.
pub const SCALE_MAX: f32 = 64.0;
/// Scale indices for one real unit of the network's scale output.
pub const INDICES_PER_UNIT: f32 = 16.0;

/// The sizes of a network (`[network]` of a recipe).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels at 1/8.
    pub c1: usize,
    /// Blocks at 1/8.
    pub n1: usize,
    /// Channels at 1/16.
    pub c2: usize,
    /// Blocks at 1/16.
    pub n2: usize,
    /// Channels of the latents `y` (M), at 1/16.
    pub latents: usize,
    /// Channels of the hyper latents `z`, at 1/64.
    pub hyper_latents: usize,
    /// Channels of the hyper networks at 1/32.
    pub hyper_channels: usize,
    /// Channels of the context network.
    pub context_channels: usize,
    /// Blocks of the context network.
    pub context_blocks: usize,
    /// Quality steps at which gains are learned; between them they are
    /// interpolated.
    pub anchors: usize,
    /// Weight of the squared error (of 8-bit samples) at the lowest quality.
    pub lambda_min: f32,
    /// At the highest quality.
    pub lambda_max: f32,
}

impl NetworkConfig {
    /// Fails if the sizes make no network.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            self.c1,
            self.c2,
            self.latents,
            self.hyper_latents,
            self.hyper_channels,
            self.context_channels,
        ];
        if sizes.iter().any(|size| !(1..=4096).contains(size)) || !self.latents.is_multiple_of(4) {
            return Err(Error::parameter(
                "network: channels are 1 to 4096, latents a multiple of 4",
            ));
        }
        if [self.n1, self.n2, self.context_blocks]
            .iter()
            .any(|blocks| *blocks > 64)
        {
            return Err(Error::parameter("network: blocks are up to 64"));
        }
        if !(2..=QUALITIES).contains(&self.anchors) {
            return Err(Error::parameter("network: anchors are 2 to 64"));
        }
        let lambdas_rise = 0.0 < self.lambda_min && self.lambda_min < self.lambda_max;
        if !lambdas_rise || !self.lambda_max.is_finite() {
            return Err(Error::parameter("network: 0 < lambda_min < lambda_max"));
        }
        Ok(())
    }

    /// The weight of the squared error at a quality step: log-spaced.
    pub fn rd_lambda(&self, quality: f32) -> f32 {
        let t = quality / (QUALITIES - 1) as f32;
        self.lambda_min * (self.lambda_max / self.lambda_min).powf(t)
    }

    /// Logarithms of the latents' first gains at the anchors: one quantisation
    /// step then has the size that is best for an orthonormal transform at
    /// high rate, `Δ² = 6 / (λ ln 2)`.
    pub fn log_gain_anchors(&self) -> Vec<f32> {
        (0..self.anchors)
            .map(|anchor| {
                let quality = anchor as f32 * (QUALITIES - 1) as f32 / (self.anchors - 1) as f32;
                let step = (6.0 / (self.rd_lambda(quality) * std::f32::consts::LN_2)).sqrt();
                (crate::data::SAMPLE_UNIT / step).ln()
            })
            .collect()
    }

    /// The weights of the anchors at a quality step: linear interpolation.
    pub fn anchor_weights(&self, quality: usize) -> Vec<f32> {
        let at = quality as f32 * (self.anchors - 1) as f32 / (QUALITIES - 1) as f32;
        (0..self.anchors)
            .map(|anchor| (1.0 - (at - anchor as f32).abs()).max(0.0))
            .collect()
    }
}

/// The logarithm of the ratio of neighbouring scales.
pub fn log_scale_step() -> f32 {
    (SCALE_MAX / SCALE_MIN).ln() / (SCALES - 1) as f32
}
