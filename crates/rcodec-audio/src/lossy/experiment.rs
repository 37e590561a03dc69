//! Whole signals through the codec with all parameters open.

use super::params::Params;
use super::stream::{FrameDecoder, FrameEncoder};
use super::tuning::Tuning;
use rcodec_core::Result;
use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};

/// Reads a parameter from the environment.
fn var<T: std::str::FromStr>(name: &str, default: T) -> T {
    let value = std::env::var(name).ok();
    value.and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn params(rate: u32) -> (Params, Tuning) {
    let mut params = Params::new(rate, var("MS", 21));
    params.frame = var("FRAME", params.frame);
    params.rule.slope_q8 = var("SLOPE", params.rule.slope_q8);
    params.rule.fall = var("FALL", params.rule.fall);
    params.rule.rise = var("RISE", params.rule.rise);
    params.fill.low_q6 = var("FILL_LOW", params.fill.low_q6);
    params.fill.high_q6 = var("FILL_HIGH", params.fill.high_q6);
    params.fill.shrink_q6[0] = var("SHRINK1", params.fill.shrink_q6[0]);
    params.fill.shrink_q6[1] = var("SHRINK2", params.fill.shrink_q6[1]);
    let d = Tuning::default();
    let tuning = Tuning {
        round_first: var("ROUND1", d.round_first),
        round: var("ROUND", d.round),
        angle_bits: var("ANGLE_BITS", d.angle_bits),
        forward_fall: var("FORWARD", d.forward_fall),
        echo_from: var("ECHO_FROM", d.echo_from),
        echo_weight: var("ECHO_WEIGHT", d.echo_weight),
        block_bits: var("BLOCK_BITS", d.block_bits),
        band_bits: var("BAND_BITS", d.band_bits),
        level_bits: var("LEVEL_BITS", d.level_bits),
    };
    (params, tuning)
}

/// Encodes 16-bit samples with a fixed quantiser and key frames every so many;
/// gives the bytes and the decoded samples.
pub fn round_trip(
    samples: &[i16],
    rate: u32,
    channels: usize,
    quantiser: i32,
    key: usize,
) -> Result<(usize, Vec<i16>)> {
    let (params, tuning) = params(rate);
    let mut encoder = FrameEncoder::new(params, tuning, rate, channels);
    let mut decoder = FrameDecoder::new(params, rate, channels);
    let length = samples.len() / channels;
    let frames = (length + params.frame / 2).div_ceil(params.frame);
    let mut padded: Vec<i64> = samples.iter().map(|&s| i64::from(s) << 5).collect();
    padded.resize((frames + 3) * params.frame * channels, 0);
    encoder.push(&padded);
    let mut bytes = 0;
    let mut out = Vec::new();
    for first in (0..frames).step_by(key) {
        let mut coder = RangeBitEncoder::new();
        encoder.reset();
        let count = key.min(frames - first);
        for _ in 0..count {
            encoder.encode(&mut coder, quantiser)?;
        }
        let payload = coder.finish();
        bytes += payload.len() + 4;
        let mut coder = RangeBitDecoder::new(&payload);
        decoder.reset();
        for _ in 0..count {
            let planes = decoder.decode(&mut coder)?;
            for i in 0..params.frame {
                for plane in &planes {
                    let sample = (plane[i] + 16) >> 5;
                    out.push(sample.clamp(-32768, 32767) as i16);
                }
            }
        }
        coder.finish()?;
    }
    let skip = params.frame / 2 * channels;
    Ok((bytes, out[skip..skip + samples.len()].to_vec()))
}

/// Lets models learn from many sounds (rate, channels, samples), at several
/// quantisers, and gives the prior.
pub fn train(sounds: &[(u32, usize, Vec<i16>)], quantisers: &[i32]) -> Result<Vec<u8>> {
    let mut spectrum = None;
    for &quantiser in quantisers {
        for (rate, channels, samples) in sounds {
            let (params, tuning) = params(*rate);
            let mut encoder = FrameEncoder::new(params, tuning, *rate, *channels);
            if let Some(learned) = spectrum.take() {
                encoder.coder().spectrum.take_models(learned);
            }
            let frames = samples.len() / channels / params.frame;
            let mut padded: Vec<i64> = samples.iter().map(|&s| i64::from(s) << 5).collect();
            padded.resize((frames + 4) * params.frame * channels, 0);
            encoder.push(&padded);
            let mut coder = rcodec_entropy::CostEstimator::new();
            for _ in 0..frames {
                encoder.encode(&mut coder, quantiser)?;
            }
            eprintln!("{quantiser} {} bytes", coder.bytes());
            spectrum = Some(encoder.coder().spectrum.models().clone());
        }
    }
    Ok(spectrum.map(|s| s.to_prior()).unwrap_or_default())
}
