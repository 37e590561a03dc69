//! For tuning and training: whole signals through the codec with all its
//! parameters open. Not part of the stable interface.

pub use super::net::{HIDDEN, INPUTS, OUTPUTS};
use super::net::{MAX_BIAS, MAX_WEIGHT};
use super::params::Params;
pub use super::spectrum::LevelTrace;
use super::spectrum::Models;
use super::stream::{FrameDecoder, FrameEncoder};
use super::tuning::Tuning;
use rcodec_core::Result;
use rcodec_entropy::{CostEstimator, RangeBitDecoder, RangeBitEncoder};

/// Gives a parameter by its name, if it is to be other than usual.
pub type Overrides<'a> = &'a dyn Fn(&str) -> Option<f64>;

fn params(rate: u32, given: Overrides<'_>) -> (Params, Tuning) {
    let int = |name: &str, usual: i32| given(name).map_or(usual, |x| x as i32);
    let byte = |name: &str, usual: u8| given(name).map_or(usual, |x| x as u8);
    let float = |name: &str, usual: f32| given(name).map_or(usual, |x| x as f32);
    let mut params = Params::new(rate, int("MS", 21) as u32);
    let (rule, fill) = (&mut params.rule, &mut params.fill);
    rule.slope_q8 = int("SLOPE", rule.slope_q8);
    rule.fall = int("FALL", rule.fall);
    rule.rise = int("RISE", rule.rise);
    fill.low_q6 = byte("FILL_LOW", fill.low_q6);
    fill.high_q6 = byte("FILL_HIGH", fill.high_q6);
    fill.shrink_q6[0] = byte("SHRINK1", fill.shrink_q6[0]);
    fill.shrink_q6[1] = byte("SHRINK2", fill.shrink_q6[1]);
    let usual = Tuning::default();
    let tuning = Tuning {
        round_first: float("ROUND1", usual.round_first),
        round: float("ROUND", usual.round),
        angle_bits: float("ANGLE_BITS", usual.angle_bits as f32).into(),
        forward_fall: float("FORWARD", usual.forward_fall),
        echo_from: float("ECHO_FROM", usual.echo_from),
        echo_weight: float("ECHO_WEIGHT", usual.echo_weight),
        block_bits: float("BLOCK_BITS", usual.block_bits),
        band_bits: float("BAND_BITS", usual.band_bits),
        level_bits: float("LEVEL_BITS", usual.level_bits),
    };
    (params, tuning)
}

/// Encodes 16-bit samples with a fixed quantiser and key frames every so many;
/// gives the bytes and the decoded samples.
///
/// # Errors
/// None that can be foreseen.
pub fn round_trip(
    samples: &[i16],
    rate: u32,
    channels: usize,
    (quantiser, key): (i32, usize),
    given: Overrides<'_>,
) -> Result<(usize, Vec<i16>)> {
    let (params, tuning) = params(rate, given);
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

/// The bytes of groups of `key` frames with a fixed quantiser; of the same
/// coefficients without the network; and of the same when each kind of decision
/// (energies, angles, active bands, levels) has a single table of adaptive
/// contexts, of which the numbers are given, in place of the mixture. All begin
/// with what training left.
///
/// # Errors
/// None that can be foreseen.
pub fn with_plain_contexts(
    samples: &[i16],
    rate: u32,
    channels: usize,
    (quantiser, key): (i32, usize),
    tables: &[[usize; 4]],
    given: Overrides<'_>,
) -> Result<Vec<usize>> {
    let (params, tuning) = params(rate, given);
    let frames = (samples.len() / channels + params.frame / 2).div_ceil(params.frame);
    let mut padded: Vec<i64> = samples.iter().map(|&s| i64::from(s) << 5).collect();
    padded.resize((frames + 3) * params.frame * channels, 0);
    let code = |(models, network): (Models, bool)| -> Result<usize> {
        let mut encoder = FrameEncoder::new(params, tuning, rate, channels);
        if !network {
            encoder.coder().spectrum.leave_out_network();
        }
        encoder.push(&padded);
        let mut bytes = 0;
        for first in (0..frames).step_by(key) {
            let mut coder = RangeBitEncoder::new();
            encoder.reset();
            encoder.coder().spectrum.take_models(models.clone());
            for _ in 0..key.min(frames - first) {
                encoder.encode(&mut coder, quantiser)?;
            }
            bytes += coder.finish().len() + 4;
        }
        Ok(bytes)
    };
    let plain = tables
        .iter()
        .map(|&tables| (Models::prior().clone().alone(tables), false));
    [true, false]
        .map(|network| (Models::prior().clone(), network))
        .into_iter()
        .chain(plain)
        .map(code)
        .collect()
}

/// What the network of levels saw of groups of 128 frames, with a fixed
/// quantiser, of the first pair of channels.
///
/// # Errors
/// None that can be foreseen.
pub fn trace_levels(
    samples: &[i16],
    rate: u32,
    channels: usize,
    quantiser: i32,
) -> Result<Vec<LevelTrace>> {
    let (params, tuning) = params(rate, &|_| None);
    let frames = (samples.len() / channels + params.frame / 2).div_ceil(params.frame);
    let mut padded: Vec<i64> = samples.iter().map(|&s| i64::from(s) << 5).collect();
    padded.resize((frames + 3) * params.frame * channels, 0);
    let mut encoder = FrameEncoder::new(params, tuning, rate, channels);
    encoder.push(&padded);
    encoder.coder().spectrum.traced();
    for i in 0..frames {
        if i % 128 == 0 {
            encoder.reset();
        }
        encoder.encode(&mut CostEstimator::new(), quantiser)?;
    }
    Ok(encoder.coder().spectrum.traced())
}

/// A network of levels as the format has it (`levels.bin`), of weights of the
/// first layer by unit, its biases, weights of the last by decision, its biases.
///
/// # Panics
/// If there are more or fewer.
pub fn level_net(weights: &[f32]) -> Vec<u8> {
    assert_eq!(weights.len(), LEVEL_NET_WEIGHTS);
    let (first, rest) = weights.split_at(HIDDEN * INPUTS);
    let (first_bias, rest) = rest.split_at(HIDDEN);
    let (last, last_bias) = rest.split_at(HIDDEN * OUTPUTS);
    let fixed = |x: f32, q: i32, most: i32| {
        let value = (f64::from(x) * f64::from(1 << q)).round() as i32;
        value.clamp(-most, most)
    };
    let mut bytes = Vec::new();
    for (weights, biases, q) in [(first, first_bias, 14), (last, last_bias, 18)] {
        for &weight in weights {
            let weight = fixed(weight, 10, MAX_WEIGHT.into()) as i16;
            bytes.extend(weight.to_le_bytes());
        }
        for &bias in biases {
            bytes.extend(fixed(bias, q, MAX_BIAS).to_le_bytes());
        }
    }
    bytes
}

/// Weights and biases of a network of levels.
pub const LEVEL_NET_WEIGHTS: usize = HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1);

/// Lets models learn from many sounds (rate, channels, samples), at several
/// quantisers, and gives the prior.
///
/// # Errors
/// None that can be foreseen.
pub fn train(
    sounds: &[(u32, usize, Vec<i16>)],
    quantisers: &[i32],
    given: Overrides<'_>,
) -> Result<Vec<u8>> {
    let mut spectrum = None;
    for &quantiser in quantisers {
        for (rate, channels, samples) in sounds {
            let (params, tuning) = params(*rate, given);
            let mut encoder = FrameEncoder::new(params, tuning, *rate, *channels);
            if let Some(learned) = spectrum.take() {
                encoder.coder().spectrum.take_models(learned);
            }
            let frames = samples.len() / channels / params.frame;
            let mut padded: Vec<i64> = samples.iter().map(|&s| i64::from(s) << 5).collect();
            padded.resize((frames + 4) * params.frame * channels, 0);
            encoder.push(&padded);
            let mut coder = CostEstimator::new();
            for _ in 0..frames {
                encoder.encode(&mut coder, quantiser)?;
            }
            spectrum = Some(encoder.coder().spectrum.models().clone());
        }
    }
    Ok(spectrum.map(|s| s.to_prior()).unwrap_or_default())
}
