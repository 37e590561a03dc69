//! The graphs of the lossy image codec.
//!
//! ```text
//!  x ──▶ analysis (g_a) ──▶ y ──▶ hyper_analysis (h_a) ──▶ z ─ round ─▶ ẑ
//!                           │                                          │
//!                           │                          hyper_synthesis (h_s)
//!                           │    ┌──────────────────────── features ───┘
//!                           ▼    ▼
//!                     4 x [ entry k, trunk ] ─▶ means, scales
//!                           │    ▲ ŷ of the steps before
//!                           ▼    │
//!             ŷ = round(y − mean) + mean ──▶ synthesis (g_s) ──▶ x̂
//! ```
//!
//! Analysis and synthesis begin as what is known to be good: a 16x16 block
//! transform (DCT 8x8 followed by Haar 2x2 on its coefficients) that keeps the
//! coefficients of lowest frequency; the blocks begin close to the identity.

use super::params::Layout;
use super::prior::{BlockTransform, select};
use super::{Activation, Builder, ConvOptions, Graph, Init, NetworkConfig, block};
use crate::codec::{LATENT_Q, SAMPLE_Q, SCALE_Q, STEPS};

/// Fractional bits at 1/8, within ±32.
pub const Q1: u8 = 10;
/// Fractional bits at 1/16, within ±64.
pub const Q2: u8 = 9;
/// Fractional bits of the networks of the prior.
pub const PRIOR_Q: u8 = 9;
/// Noise of weights that begin at given values.
const NOISE: f32 = 0.001;

/// All graphs of a model, and the layout of their weights.
#[derive(Clone, Debug, PartialEq)]
pub struct LossyGraphs {
    /// `g_a`: samples to `y`.
    pub analysis: Graph,
    /// `g_s`: `ŷ` to samples.
    pub synthesis: Graph,
    /// `h_a`: `y` to `z`.
    pub hyper_analysis: Graph,
    /// `h_s`: `ẑ` to features at 1/16.
    pub hyper_synthesis: Graph,
    /// For each step: features, and from the second on what is known of `ŷ`,
    /// to the trunk's input.
    pub entries: Vec<Graph>,
    /// To means and scale indices.
    pub trunk: Graph,
    /// Means of `z`, `[anchor][channel]`.
    pub z_mean: super::Param,
    /// Scale indices of `z` by [`INDICES_PER_UNIT`](super::config::INDICES_PER_UNIT),
    /// `[anchor][channel]`.
    pub z_scale: super::Param,
    /// Of all weights.
    pub layout: Layout,
    /// The sizes.
    pub config: NetworkConfig,
}

impl LossyGraphs {
    /// The graphs of a configuration that has been checked.
    pub fn new(config: &NetworkConfig) -> LossyGraphs {
        let mut layout = Layout::default();
        let transform = BlockTransform::new(config.c1, config.c2, config.latents);
        let analysis = analysis(&mut layout, config, &transform);
        let synthesis = synthesis(&mut layout, config, &transform);
        let hyper_analysis = hyper_analysis(&mut layout, config);
        let hyper_synthesis = hyper_synthesis(&mut layout, config);
        let entries = (0..STEPS)
            .map(|step| entry(&mut layout, config, step))
            .collect();
        let trunk = trunk(&mut layout, config, &transform);
        let shape = [config.anchors, config.hyper_latents];
        let mut z_param = |name: &str, value| {
            layout.add(format!("z.{name}"), &shape, Init::Constant(value), false)
        };
        let z_mean = z_param("mean", 0.0);
        // Index 24: a scale of 1.2.
        let z_scale = z_param("scale", 1.5);
        LossyGraphs {
            analysis,
            synthesis,
            hyper_analysis,
            hyper_synthesis,
            entries,
            trunk,
            z_mean,
            z_scale,
            layout,
            config: config.clone(),
        }
    }

    /// Multiply-adds per pixel of `(encoder, decoder)`; the encoder runs the
    /// prior too, but not the synthesis.
    pub fn work_per_pixel(&self) -> (f64, f64) {
        let prior = self.hyper_synthesis.work_per_position() / 4096.0
            + (self.entries.iter().map(Graph::work_per_position)).sum::<f64>() / 256.0
            + STEPS as f64 * self.trunk.work_per_position() / 256.0;
        let hyper_analysis = self.hyper_analysis.work_per_position() / 256.0;
        let encoder = self.analysis.work_per_position() + hyper_analysis + prior;
        (encoder, self.synthesis.work_per_position() / 256.0 + prior)
    }

    /// Every graph once.
    pub fn all(&self) -> Vec<&Graph> {
        let mut all = vec![
            &self.analysis,
            &self.synthesis,
            &self.hyper_analysis,
            &self.hyper_synthesis,
            &self.trunk,
        ];
        all.extend(&self.entries);
        all
    }
}

fn analysis(layout: &mut Layout, config: &NetworkConfig, transform: &BlockTransform) -> Graph {
    let b = &mut Builder::new("analysis", layout, config);
    let x = b.input("x", 3, SAMPLE_Q, 1 << 14);
    let x = b.unshuffle("blocks", x, 8);
    let dct = Init::Noisy(transform.forward_8(), NOISE);
    let mut x = b.conv("stem", x, (config.c1, Q1), ConvOptions::default(), dct);
    for i in 0..config.n1 {
        x = block(b, &format!("block8.{i}"), x, Q1);
    }
    let down = ConvOptions {
        kernel: 3,
        stride: 2,
        ..ConvOptions::default()
    };
    let haar = Init::Noisy(transform.forward_haar(), NOISE);
    let x = b.conv("down", x, (config.c2, Q2), down, haar);
    let mut x = b.quality_gain("feature_gain", x, Q2, 0.0, None, Activation::Identity);
    for i in 0..config.n2 {
        x = block(b, &format!("block16.{i}"), x, Q2);
    }
    let head = Init::Noisy(select(config.c2, config.latents), NOISE);
    let y = b.conv(
        "head",
        x,
        (config.latents, Q2),
        ConvOptions::default(),
        head,
    );
    let y = b.quality_gain("latent_gain", y, LATENT_Q, 1.0, None, Activation::Identity);
    b.finish(&[y])
}

fn synthesis(layout: &mut Layout, config: &NetworkConfig, transform: &BlockTransform) -> Graph {
    let b = &mut Builder::new("synthesis", layout, config);
    let y = b.input("y_hat", config.latents, LATENT_Q, 1 << 15);
    let y = b.quality_gain("latent_gain", y, Q2, -1.0, None, Activation::Identity);
    let head = Init::Noisy(select(config.latents, config.c2), NOISE);
    let x = b.conv("head", y, (config.c2, Q2), ConvOptions::default(), head);
    let mut x = b.quality_gain("feature_gain", x, Q2, 0.0, None, Activation::Identity);
    for i in 0..config.n2 {
        x = block(b, &format!("block16.{i}"), x, Q2);
    }
    let haar = Init::Noisy(transform.inverse_haar(), NOISE);
    let x = b.conv("up", x, (4 * config.c1, Q1), ConvOptions::default(), haar);
    let mut x = b.shuffle("spread", x, 2);
    for i in 0..config.n1 {
        x = block(b, &format!("block8.{i}"), x, Q1);
    }
    let samples = ConvOptions {
        activation: Activation::Clip {
            lo: -3.99,
            hi: 3.99,
        },
        ..ConvOptions::default()
    };
    let dct = Init::Noisy(transform.inverse_8(), NOISE);
    let x = b.conv("stem", x, (192, SAMPLE_Q), samples, dct);
    let x = b.shuffle("blocks", x, 8);
    b.finish(&[x])
}

/// Hidden layers of the hyper networks.
fn relu() -> Activation {
    Activation::Clip { lo: 0.0, hi: 32.0 }
}

fn he(fan_in: usize, gain: f32) -> Init {
    Init::Normal(gain / (fan_in as f32).sqrt())
}

fn hyper_analysis(layout: &mut Layout, config: &NetworkConfig) -> Graph {
    let b = &mut Builder::new("hyper_analysis", layout, config);
    let y = b.input("y", config.latents, LATENT_Q, 1 << 15);
    let x = b.quality_gain("latent_gain", y, PRIOR_Q, -1.0, None, Activation::Identity);
    let down = ConvOptions {
        kernel: 3,
        stride: 2,
        activation: relu(),
        ..ConvOptions::default()
    };
    let hidden = (config.hyper_channels, PRIOR_Q);
    let x = b.conv("down32", x, hidden, down, he(9 * config.latents, 1.4));
    let down = ConvOptions {
        activation: Activation::Identity,
        ..down
    };
    let init = he(9 * config.hyper_channels, 2.0);
    let z = b.conv("down64", x, (config.hyper_latents, LATENT_Q), down, init);
    b.finish(&[z])
}

fn hyper_synthesis(layout: &mut Layout, config: &NetworkConfig) -> Graph {
    let b = &mut Builder::new("hyper_synthesis", layout, config);
    let z = b.input("z_hat", config.hyper_latents, LATENT_Q, 1 << 15);
    let up = ConvOptions {
        activation: relu(),
        ..ConvOptions::default()
    };
    let hidden = (4 * config.hyper_channels, PRIOR_Q);
    let x = b.conv("up32", z, hidden, up, he(config.hyper_latents, 0.7));
    let x = b.shuffle("spread32", x, 2);
    let x = block(b, "block32", x, PRIOR_Q);
    let features = (4 * config.context_channels, PRIOR_Q);
    let init = he(config.hyper_channels, 0.7);
    let x = b.conv("up16", x, features, ConvOptions::default(), init);
    let x = b.shuffle("spread16", x, 2);
    let x = b.quality_gain("quality", x, PRIOR_Q, 0.0, Some(0.1), Activation::Identity);
    let x = block(b, "block16", x, PRIOR_Q);
    b.finish(&[x])
}

fn entry(layout: &mut Layout, config: &NetworkConfig, step: usize) -> Graph {
    let b = &mut Builder::new(&format!("entry{step}"), layout, config);
    let channels = config.context_channels;
    let features = b.input("features", channels, PRIOR_Q, 1 << 15);
    let init = he(channels, 0.7);
    let out = (channels, PRIOR_Q);
    let x = b.conv("features_in", features, out, ConvOptions::default(), init);
    if step == 0 {
        return b.finish(&[x]);
    }
    let y = b.input("y_hat", config.latents, LATENT_Q, 1 << 15);
    let y = b.quality_gain("latent_gain", y, PRIOR_Q, -1.0, None, Activation::Identity);
    let add = ConvOptions {
        residual: Some(x),
        ..ConvOptions::default()
    };
    let x = b.conv("latents_in", y, out, add, he(config.latents, 0.7));
    b.finish(&[x])
}

fn trunk(layout: &mut Layout, config: &NetworkConfig, transform: &BlockTransform) -> Graph {
    let b = &mut Builder::new("trunk", layout, config);
    let mut x = b.input("x", config.context_channels, PRIOR_Q, 1 << 15);
    for i in 0..config.context_blocks {
        x = block(b, &format!("block16.{i}"), x, PRIOR_Q);
    }
    let latents = config.latents;
    let small = || he(config.context_channels, 0.05);
    let plain = ConvOptions::default();
    let mean = b.conv("mean", x, (latents, PRIOR_Q), plain, small());
    let mean = b.quality_gain("mean_gain", mean, LATENT_Q, 1.0, None, Activation::Identity);
    let scale = b.conv("scale", x, (latents, SCALE_Q), plain, small());
    let indices = super::config::INDICES_PER_UNIT;
    let bias = Some(1.0 / (super::config::log_scale_step() * indices));
    let clip = Activation::Clip {
        lo: 0.0,
        hi: (rcodec_entropy::SCALES - 1) as f32 / indices,
    };
    let scale = b.quality_gain("scale_gain", scale, SCALE_Q, 0.0, bias, clip);
    b.set_init("scale.bias", Init::Values(transform.log_std_indices()));
    b.finish(&[mean, scale])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::tiny_network;

    #[test]
    fn graphs_are_well_formed() {
        let graphs = LossyGraphs::new(&tiny_network());
        for graph in graphs.all() {
            assert!(!graph.outputs.is_empty());
            for node in &graph.nodes {
                assert!(
                    node.channels > 0 && node.max_abs <= 1 << 15,
                    "{}",
                    node.name
                );
            }
        }
        let names: std::collections::HashSet<_> =
            graphs.layout.params.iter().map(|p| &p.name).collect();
        assert_eq!(names.len(), graphs.layout.params.len());
        assert_eq!(graphs.layout.initial(1).len(), graphs.layout.len());
    }
}
