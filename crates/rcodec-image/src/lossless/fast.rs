//! The fast mode: one predictor per sample, and residuals in adaptive trees
//! chosen by the local activity.

use crate::lossless::color::ColorTransform;
use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use crate::progress::GroupProgress;
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, BitModel, BitTree, CountedBit, unzigzag, zigzag};

/// Classes of local activity.
const ACTIVITIES: usize = 24;

/// Residuals below this have a token of their own; others share tokens by
/// their highest bits.
const DIRECT: u32 = 16;

/// One tree of residual tokens.
type Tokens = BitTree<CountedBit<120>, 64>;

/// Bits below the two highest of a large residual: the upper ones are
/// modelled by position.
const EXTRA_BITS: usize = 20;

/// The models of one channel.
struct ChannelModel {
    tokens: Vec<Tokens>,
    extra: Vec<CountedBit<255>>,
    /// Samples so far in the row, and the row above, with a border.
    row: Vec<i32>,
    above: Vec<i32>,
    /// Absolute residuals of the row and of the one above.
    errors: Vec<u32>,
    errors_above: Vec<u32>,
    bias: Vec<(i32, i32)>,
}

/// No sample is larger after a transform.
const VALUE_MAX: u32 = 1 << 17;

/// Column of the first sample within the rows of [`ChannelModel`].
const BORDER: usize = 2;

impl ChannelModel {
    fn new(width: usize) -> Self {
        let len = width + 2 * BORDER;
        ChannelModel {
            tokens: vec![Tokens::new(); ACTIVITIES],
            extra: vec![Default::default(); 64 * EXTRA_BITS],
            row: vec![0; len],
            above: vec![0; len],
            errors: vec![0; len],
            errors_above: vec![0; len],
            bias: vec![(0, 0); ACTIVITIES * 27],
        }
    }

    fn begin_row(&mut self) {
        std::mem::swap(&mut self.row, &mut self.above);
        std::mem::swap(&mut self.errors, &mut self.errors_above);
        let end = self.above.len() - BORDER;
        let last = self.above[end - 1];
        self.above[end..].fill(last);
        let first = self.above[BORDER];
        self.above[..BORDER].fill(first);
        self.row[..BORDER].fill(first);
        self.errors_above[end] = self.errors_above[end - 1];
    }

    /// Codes the sample in column `x`; `crossed` is the activity of the
    /// channels before it.
    #[inline(always)]
    fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        x: usize,
        value: i32,
        crossed: u32,
    ) -> Result<(i32, u32)> {
        let at = x + BORDER;
        let (w, ww) = (self.row[at - 1], self.row[at - 2]);
        let (n, nw, ne) = (self.above[at], self.above[at - 1], self.above[at + 1]);
        let activity = self.errors[at - 1] * 2
            + self.errors_above[at] * 2
            + self.errors_above[at + 1]
            + self.errors_above[at - 1]
            + (w - ww).unsigned_abs()
            + (n - ne).unsigned_abs()
            + crossed * 2;
        let class = activity_class(activity);
        // Gradient clamped to its neighbours, half of the upper slope beyond.
        let gradient = w + n - nw;
        let clamped = gradient.clamp(w.min(n), w.max(n));
        let predicted = (3 * clamped + ((w + ne + 1) >> 1) + 2) >> 2;
        let texture = 9 * sign(n - nw) + 3 * sign(w - nw) + sign(ne - n);
        let bias = &mut self.bias[class * 27 + texture as usize];
        let predicted = predicted + bias.0 / (bias.1 + 1);
        let residual = code_residual(
            coder,
            &mut self.tokens[class],
            &mut self.extra,
            value.wrapping_sub(predicted),
        )?;
        bias.0 += residual;
        bias.1 += 1;
        if bias.1 >= 64 {
            bias.0 /= 2;
            bias.1 /= 2;
        }
        let value = predicted + residual;
        if value.unsigned_abs() > VALUE_MAX {
            return Err(Error::malformed(
                coder.position(),
                "a sample is out of range",
            ));
        }
        self.row[at] = value;
        self.errors[at] = residual.unsigned_abs();
        Ok((value, residual.unsigned_abs()))
    }
}

/// 0, 1 or 2 for negative, zero, positive.
#[inline(always)]
fn sign(value: i32) -> i32 {
    value.signum() + 1
}

#[inline(always)]
fn activity_class(activity: u32) -> usize {
    // Two classes to the octave.
    let value = activity + 1;
    let whole = value.ilog2();
    let half = (value << 1 >> whole) & 1;
    ((2 * whole + half) as usize).min(ACTIVITIES - 1)
}

/// Codes a residual: a token, then what the token leaves open.
#[inline(always)]
fn code_residual<C: BitCoder>(
    coder: &mut C,
    tokens: &mut Tokens,
    extra: &mut [CountedBit<255>],
    residual: i32,
) -> Result<i32> {
    let folded = zigzag(i64::from(residual)) as u32;
    let (token, extra_bits) = token_of(folded);
    let token = tokens.code(coder, token)?;
    if token < DIRECT {
        return Ok(unzigzag(u64::from(token)) as i32);
    }
    let (base, bits) = base_of(token);
    if bits as usize > EXTRA_BITS {
        return Err(Error::malformed(
            coder.position(),
            "a residual is too large",
        ));
    }
    let mut rest = 0;
    for position in (0..bits).rev() {
        let bit = extra_bits >> position & 1 != 0;
        let bit = if position + 2 >= bits {
            let model = &mut extra[token as usize * EXTRA_BITS + position as usize];
            model.code(coder, bit)?
        } else {
            coder.code_raw(u32::from(bit), 1)? != 0
        };
        rest = rest << 1 | u32::from(bit);
    }
    Ok(unzigzag(u64::from(base + rest)) as i32)
}

/// The token of a folded residual, and the bits below it.
#[inline(always)]
fn token_of(folded: u32) -> (u32, u32) {
    if folded < DIRECT {
        return (folded, 0);
    }
    let whole = folded.ilog2();
    let token = DIRECT + 2 * (whole - 4) + (folded >> (whole - 1) & 1);
    (token.min(63), folded & ((1 << (whole - 1)) - 1))
}

/// The smallest residual of a token, and how many bits follow.
#[inline(always)]
fn base_of(token: u32) -> (u32, u32) {
    let whole = (token - DIRECT) / 2 + 4;
    let bits = whole - 1;
    ((2 | (token & 1)) << bits.min(29), bits)
}

/// Which transform gives the smallest differences on a few rows.
fn choose_transform(planes: &Planes) -> ColorTransform {
    if planes.channels.len() < 3 {
        return ColorTransform::None;
    }
    let mut cost = [0u64; 3];
    let step = planes.rows.div_ceil(64);
    for y in (0..planes.rows).step_by(step) {
        let row = y * planes.width;
        for at in row + 1..row + planes.width {
            let rgb = |at: usize| std::array::from_fn(|c| i32::from(planes.channels[c][at]));
            for (cost, transform) in cost.iter_mut().zip(ColorTransform::ALL) {
                let (a, b) = (transform.forward(rgb(at - 1)), transform.forward(rgb(at)));
                *cost += (0..3).map(|c| u64::from(a[c].abs_diff(b[c]))).sum::<u64>();
            }
        }
    }
    let best = (0..3).min_by_key(|&i| cost[i]).unwrap_or(0);
    ColorTransform::ALL[best]
}

/// Codes the planes, or decodes into them.
///
/// # Errors
/// Those of `coder` and `progress`, and [`Error::Malformed`] for samples out of range.
pub(crate) fn code<C: BitCoder>(
    coder: &mut C,
    planes: &mut Planes,
    maps: &[ValueMap],
    progress: &mut GroupProgress<'_>,
) -> Result<()> {
    let chosen = if C::DECODES {
        0
    } else {
        choose_transform(planes).number()
    };
    let transform = ColorTransform::from_number(coder.code_raw(chosen, 2)?, coder.position())?;
    let channels = planes.channels.len();
    let mut models: Vec<ChannelModel> = (0..channels)
        .map(|_| ChannelModel::new(planes.width))
        .collect();
    let tops: Vec<i32> = maps.iter().map(|map| i32::from(map.max_rank())).collect();
    for y in 0..planes.rows {
        for model in &mut models {
            model.begin_row();
        }
        for x in 0..planes.width {
            code_pixel(coder, planes, &mut models, &tops, transform, (x, y))?;
        }
        progress.add((planes.width * channels) as u64)?;
    }
    Ok(())
}

/// Codes one pixel.
#[inline(always)]
fn code_pixel<C: BitCoder>(
    coder: &mut C,
    planes: &mut Planes,
    models: &mut [ChannelModel],
    tops: &[i32],
    transform: ColorTransform,
    (x, y): (usize, usize),
) -> Result<()> {
    let at = y * planes.width + x;
    let channels = planes.channels.len();
    let mut samples = [0i32; 4];
    for (sample, plane) in samples.iter_mut().zip(&planes.channels) {
        *sample = i32::from(plane[at]);
    }
    let colours = if channels >= 3 { 3 } else { 0 };
    if colours == 3 {
        let [a, b, c, _] = samples;
        samples[..3].copy_from_slice(&transform.forward([a, b, c]));
    }
    let mut crossed = 0;
    for (c, model) in models.iter_mut().enumerate() {
        if c >= colours && tops[c] == 0 {
            continue;
        }
        let (value, error) = model.code(coder, x, samples[c], crossed)?;
        samples[c] = value;
        crossed = error;
    }
    if C::DECODES {
        if colours == 3 {
            let [a, b, c, _] = samples;
            samples[..3].copy_from_slice(&transform.inverse([a, b, c]));
        }
        for (c, plane) in planes.channels.iter_mut().enumerate() {
            if !(0..=tops[c]).contains(&samples[c]) {
                return Err(Error::malformed(
                    coder.position(),
                    "a sample is out of range",
                ));
            }
            plane[at] = samples[c] as u16;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cover_all_residuals() {
        for folded in 0..1 << 18 {
            let (token, rest) = token_of(folded);
            assert!(token < 64);
            if token >= DIRECT {
                let (base, bits) = base_of(token);
                assert_eq!(base + rest, folded);
                assert!(rest >> bits == 0 && bits as usize <= EXTRA_BITS);
            } else {
                assert_eq!(token, folded);
            }
        }
    }
}
