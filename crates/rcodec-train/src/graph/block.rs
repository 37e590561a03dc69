//! The block of all networks: mixing in space, then gated mixing of channels.

use super::{Activation, Builder, ConvOptions, Init, Value};

/// Where the hidden values of a block are clipped.
const HIDDEN_MAX: f32 = 16.0;
/// Fractional bits of hidden values.
const HIDDEN_Q: u8 = 9;
/// The last layer of a branch begins this much smaller than usual, so that a
/// network begins close to its linear part.
const BRANCH_SCALE: f32 = 0.01;

/// `B(C)`, in the input's format:
///
/// ```text
/// x ─┬─ 1x1 ─ clipped ReLU ─ depthwise 3x3 ─ 1x1 ─(+)─┬─ 1x1 to 2C ─ gate ─ 1x1 ─(+)─
///    └─────────────────────────────────────────────┘  └───────────────────────┘
/// ```
pub fn block(b: &mut Builder<'_>, name: &str, x: Value, q: u8) -> Value {
    let channels = b.channels(x);
    let relu = ConvOptions {
        activation: Activation::Clip {
            lo: 0.0,
            hi: HIDDEN_MAX,
        },
        ..ConvOptions::default()
    };
    let add = |residual| ConvOptions {
        residual: Some(residual),
        ..ConvOptions::default()
    };
    let layer = |part: &str| format!("{name}.{part}");
    let fan_in = |gain: f32| Init::Normal(gain / (channels as f32).sqrt());
    let hidden = (channels, HIDDEN_Q);
    let a = b.conv(&layer("expand"), x, hidden, relu, fan_in(1.4));
    let d = b.depthwise(&layer("depthwise"), a, HIDDEN_Q, depthwise_init(channels));
    let project = fan_in(BRANCH_SCALE);
    let x = b.conv(&layer("project"), d, (channels, q), add(x), project);
    let g = b.gated(&layer("gate"), x, hidden);
    let mix = fan_in(BRANCH_SCALE);
    b.conv(&layer("mix"), g, (channels, q), add(x), mix)
}

/// The centre, and noise around it.
fn depthwise_init(channels: usize) -> Init {
    let center = (0..9 * channels).map(|i| if i / channels == 4 { 0.7 } else { 0.0 });
    Init::Noisy(center.collect(), 0.2)
}
