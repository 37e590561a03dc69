//! Symbols of latents: the network's distribution, corrected by what has been
//! seen in this picture.
//!
//! The tables of the network's scales are right on the average over what it was
//! trained on, not for every picture and channel. So a symbol is coded as a few
//! binary decisions (is it zero, its sign, is it greater than 1, 2 …), each with
//! the table's probability corrected in the logistic domain: adaptive
//! probability maps by channel, by the neighbours in the same channel and by
//! the channels before, and the logarithms of what was seen there to what had
//! been expected, mixed by learned weights. Where a scale says that the symbol
//! is zero as good as surely, and where symbols are large, the table alone
//! serves.

use super::ESCAPE_ORDER;
use rcodec_core::Result;
use rcodec_entropy::logistic::{Apm, Inputs, LearningRate, Mixer, stretch};
use rcodec_entropy::{
    AdaptiveExpGolomb, BitCoder, BitModel, CountedBit, ParametricTables, SCALES, scale_q16,
};

/// The first scale index whose symbols are corrected, scale 0.15: below it
/// almost all of them are zero.
const FIRST_CORRECTED: usize = 3;
/// The first scale index again without: from scale 6.9 on there would be many
/// decisions for each symbol.
const END_CORRECTED: usize = 42;
/// Decisions at most about how great a symbol is; what is beyond is escaped.
const MOST_DECISIONS: usize = 24;
/// Channels with contexts of their own; what lies beyond shares the last.
const CHANNELS: usize = 1024;
/// How many decisions an adaptive probability remembers.
const LIMIT: u32 = 255;
/// Marks a latent that is not known yet.
const UNKNOWN: u8 = u8::MAX;
/// What is taken for the symbol's size in contexts, at most.
const MAX_SIZE: u8 = 255;
/// Weights of neighbours in the same channel: rows and columns from the latent.
const NEIGHBOURS: [(isize, isize, u32); 10] = [
    (-1, 0, 2),
    (1, 0, 2),
    (0, -1, 2),
    (0, 1, 2),
    (-1, -1, 1),
    (-1, 1, 1),
    (1, -1, 1),
    (1, 1, 1),
    (-2, 0, 1),
    (0, -2, 1),
];

/// Weights that the mixers begin with, Q12: of the table's probability, of the
/// maps, and of the two logarithms.
const ZERO_WEIGHTS_Q12: [i16; 8] = [1352, 1352, 492, 901, 819, 205, 0, 0];
const GREATER_WEIGHTS_Q12: [i16; 8] = [1638, 819, 819, 819, 819, 410, 0, 0];
/// How quickly mixers learn.
const RATE: LearningRate = LearningRate::falling(FIRST_RATE_Q16, 200, 7);
const FIRST_RATE_Q16: u32 = 1400;

/// Bounds of the logarithms' classes, Q8.
const NEIGHBOUR_BOUNDS_Q8: [i32; 6] = [-308, -131, -27, 47, 136, 235];
const CHANNEL_BOUNDS_Q8: [i32; 7] = [-235, -110, -42, 24, 86, 150, 235];
/// Bounds of the classes of neighbours' mean sizes, in twentieths.
const SIZE_BOUNDS: [u32; 7] = [0, 3, 6, 12, 20, 30, 50];

/// What a table says, in the logistic domain.
struct Stretched {
    /// That a symbol is not zero, Q8.
    not_zero_q8: i32,
    /// That a size of at least `k + 1` is greater, Q8, by `k`.
    greater_q8: Vec<i32>,
}

/// What is known of a latent's surroundings.
struct Context {
    channel: usize,
    /// By step, and classes of both logarithms.
    around: usize,
    /// By step, class of the first logarithm, and neighbours' sizes.
    sizes: usize,
    /// By channel and signs around.
    signs: usize,
    logs_q8: [i32; 2],
}

/// Codes the latents of a band.
pub(super) struct SymbolCoder {
    shape: [usize; 3],
    stretched: Vec<Stretched>,
    /// The expected size of each scale index, Q8.
    sizes_q8: [u32; SCALES],
    /// Symbols, within ±127, and scale indices, [`UNKNOWN`] if to come.
    symbols: Vec<i8>,
    scales: Vec<u8>,
    escape: AdaptiveExpGolomb,
    zero_maps: [Apm; 3],
    zero_mixer: Mixer<8>,
    zero_last: Apm,
    greater_maps: [Apm; 3],
    greater_mixer: Mixer<8>,
    signs: Vec<CountedBit>,
    /// Sizes seen and expected in the channels before, Q8, fading.
    before_q8: [u32; 2],
}

impl SymbolCoder {
    /// For so many rows, columns and channels.
    pub(super) fn new(shape: [usize; 3], tables: &ParametricTables) -> SymbolCoder {
        let latents = shape.iter().product();
        let channels = shape[2].min(CHANNELS);
        let maps = |contexts: [usize; 3]| contexts.map(|count| Apm::new(count, LIMIT));
        let mixer = |sets: usize, weights_q12: &[i16; 8]| {
            let mut mixer = Mixer::new(sets, 0, RATE);
            for set in 0..sets {
                mixer.set_weights(set, weights_q12, FIRST_RATE_Q16);
            }
            mixer
        };
        SymbolCoder {
            shape,
            stretched: (0..END_CORRECTED)
                .map(|scale| stretched(tables, scale))
                .collect(),
            sizes_q8: std::array::from_fn(expected_size_q8),
            symbols: vec![0; latents],
            scales: vec![UNKNOWN; latents],
            escape: AdaptiveExpGolomb::new(ESCAPE_ORDER),
            zero_maps: maps([channels, 256, 256]),
            zero_mixer: mixer(16, &ZERO_WEIGHTS_Q12),
            zero_last: Apm::new(channels, LIMIT),
            greater_maps: maps([channels, 256, 64]),
            greater_mixer: mixer(SCALES, &GREATER_WEIGHTS_Q12),
            signs: vec![CountedBit::with_p1_q16(1 << 15, 4); 9 * channels],
            before_q8: [0; 2],
        }
    }

    /// Forgets the channels before: what follows is another position.
    pub(super) fn begin_position(&mut self) {
        self.before_q8 = [0; 2];
    }

    /// Codes the symbol of the latent `[row, column, channel]` of a step with
    /// that scale index.
    pub(super) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        tables: &ParametricTables,
        (step, at): (usize, [usize; 3]),
        scale: usize,
        symbol: i32,
    ) -> Result<i32> {
        let index = (at[0] * self.shape[1] + at[1]) * self.shape[2] + at[2];
        let symbol = if (FIRST_CORRECTED..END_CORRECTED).contains(&scale) {
            let context = self.context(step, at, index);
            let symbol = self.code_corrected(coder, scale, &context, symbol)?;
            let size_q8 = symbol.unsigned_abs().min(MAX_SIZE.into()) << 8;
            let [seen, expected] = &mut self.before_q8;
            *seen = *seen - (*seen >> 4) + size_q8;
            *expected = *expected - (*expected >> 4) + self.sizes_q8[scale];
            symbol
        } else {
            tables.code(coder, &mut self.escape, scale, 0, symbol)?
        };
        self.symbols[index] = symbol.clamp(-127, 127) as i8;
        self.scales[index] = scale as u8;
        Ok(symbol)
    }

    fn context(&self, step: usize, at: [usize; 3], index: usize) -> Context {
        let [height, width, channels] = self.shape;
        let (mut seen, mut expected_q8, mut weights) = (0u32, 0u32, 0u32);
        let (mut above_below, mut beside) = (0i32, 0i32);
        for (dy, dx, weight) in NEIGHBOURS {
            let (Some(row), Some(column)) =
                (at[0].checked_add_signed(dy), at[1].checked_add_signed(dx))
            else {
                continue;
            };
            if row >= height || column >= width {
                continue;
            }
            let other = index.wrapping_add_signed((dy * width as isize + dx) * channels as isize);
            let scale = self.scales[other];
            if scale == UNKNOWN {
                continue;
            }
            let symbol = i32::from(self.symbols[other]);
            seen += weight * symbol.unsigned_abs();
            expected_q8 += weight * self.sizes_q8[usize::from(scale).min(SCALES - 1)];
            weights += weight;
            if dy.abs() < 2 && dx.abs() < 2 {
                above_below += if dy == 0 { 0 } else { symbol.signum() };
                beside += if dx == 0 { 0 } else { symbol.signum() };
            }
        }
        let logs_q8 = [
            log_ratio_q8(77 + (seen << 8), 77 + expected_q8),
            log_ratio_q8(128 + self.before_q8[0], 128 + self.before_q8[1]),
        ];
        let neighbours = match weights {
            0 => 0,
            _ => 1 + class(&NEIGHBOUR_BOUNDS_Q8, logs_q8[0]),
        };
        let sizes = SIZE_BOUNDS
            .iter()
            .take_while(|&&bound| 20 * seen > bound * weights);
        let channel = at[2].min(CHANNELS - 1);
        let signs = 3 * (above_below.signum() + 1) + beside.signum() + 1;
        let first = 8 * (8 * step + neighbours);
        Context {
            channel,
            around: first + class(&CHANNEL_BOUNDS_Q8, logs_q8[1]),
            sizes: first + sizes.count(),
            signs: 9 * channel + signs as usize,
            logs_q8,
        }
    }

    fn code_corrected<C: BitCoder>(
        &mut self,
        coder: &mut C,
        scale: usize,
        context: &Context,
        symbol: i32,
    ) -> Result<i32> {
        let size = symbol.unsigned_abs();
        if !self.code_not_zero(coder, scale, context, size > 0)? {
            return Ok(0);
        }
        let is_positive = self.signs[context.signs].code(coder, symbol > 0)?;
        let mut found = 1;
        let decisions = self.stretched[scale].greater_q8.len();
        while found <= decisions as u32
            && self.code_greater(coder, scale, context, found, size > found)?
        {
            found += 1;
        }
        let mut found = i64::from(found);
        if found > decisions as i64 {
            let beyond = u64::from(size).wrapping_sub(found as u64);
            let beyond = self.escape.code(coder, beyond)?;
            found = i64::try_from(beyond)
                .ok()
                .and_then(|b| found.checked_add(b))
                .unwrap_or(i64::MAX);
        }
        let symbol = if is_positive { found } else { -found };
        i32::try_from(symbol).map_err(|_| {
            rcodec_core::Error::malformed(coder.position(), "escaped value of more than 32 bits")
        })
    }

    fn code_not_zero<C: BitCoder>(
        &mut self,
        coder: &mut C,
        scale: usize,
        context: &Context,
        bit: bool,
    ) -> Result<bool> {
        let x_q8 = self.stretched[scale].not_zero_q8;
        let contexts = [context.channel, context.around, context.sizes];
        let inputs = inputs(x_q8, &mut self.zero_maps, contexts, context.logs_q8);
        let mixed_q8 = self.zero_mixer.mix(&inputs, scale / 4);
        let last = self.zero_last.refine(mixed_q8, context.channel);
        let bit = coder.code_bit(bit, (self.zero_mixer.p1_q16() + last) >> 1)?;
        self.zero_mixer.update(&inputs, bit);
        self.zero_maps.iter_mut().for_each(|map| map.update(bit));
        self.zero_last.update(bit);
        Ok(bit)
    }

    /// Whether a symbol of at least the size `least` is greater.
    fn code_greater<C: BitCoder>(
        &mut self,
        coder: &mut C,
        scale: usize,
        context: &Context,
        least: u32,
        bit: bool,
    ) -> Result<bool> {
        let x_q8 = self.stretched[scale].greater_q8[least as usize - 1];
        let level = 16 * (context.around >> 6) + least.min(15) as usize;
        let contexts = [context.channel, context.around, level];
        let inputs = inputs(x_q8, &mut self.greater_maps, contexts, context.logs_q8);
        self.greater_mixer.mix(&inputs, scale);
        let bit = coder.code_bit(bit, self.greater_mixer.p1_q16())?;
        self.greater_mixer.update(&inputs, bit);
        self.greater_maps.iter_mut().for_each(|map| map.update(bit));
        Ok(bit)
    }
}

/// A mixer's inputs.
fn inputs(x_q8: i32, maps: &mut [Apm; 3], contexts: [usize; 3], logs_q8: [i32; 2]) -> Inputs<8> {
    let mut inputs = Inputs::new();
    inputs.set(0, x_q8);
    for (i, (map, context)) in maps.iter_mut().zip(contexts).enumerate() {
        inputs.set(1 + i, stretch(map.refine(x_q8, context)));
    }
    inputs.set(4, logs_q8[0]);
    inputs.set(5, logs_q8[1]);
    inputs
}

/// How many bounds a value is above.
fn class(bounds_q8: &[i32], value_q8: i32) -> usize {
    bounds_q8
        .iter()
        .take_while(|&&bound| value_q8 > bound)
        .count()
}

/// ln(a / b) in Q8, of numbers below 2^31.
fn log_ratio_q8(a: u32, b: u32) -> i32 {
    stretch(((u64::from(a) << 16) / (u64::from(a) + u64::from(b))) as u32)
}

/// The size that symbols of a scale index have in the mean, about, in Q8.
fn expected_size_q8(scale: usize) -> u32 {
    (3 * scale_q16(scale)) >> 10
}

fn stretched(tables: &ParametricTables, scale: usize) -> Stretched {
    let (cdf, reach) = tables.table(scale, 0);
    let zero = cdf.probability(reach as u32);
    let mut beyond = 65536 - zero;
    let mut greater_q8 = Vec::new();
    for size in 1..=(reach as usize).min(MOST_DECISIONS) {
        let sides = [reach as usize - size, reach as usize + size];
        let here: u32 = sides.iter().map(|&s| cdf.probability(s as u32)).sum();
        let greater = beyond - here;
        greater_q8.push(stretch((greater << 16) / beyond));
        beyond = greater;
    }
    Stretched {
        not_zero_q8: stretch(65536 - zero),
        greater_q8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_entropy::{CostEstimator, Family, RangeBitDecoder, RangeBitEncoder};

    /// Rows, columns and channels of the tests' latents.
    const SHAPE: [usize; 3] = [6, 5, 12];

    fn tables() -> ParametricTables {
        ParametricTables::new(Family::Gaussian, 1).unwrap()
    }

    /// Numbers that look random.
    fn random(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |bound| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % bound
        }
    }

    /// Codes all latents in four steps; `latent` gives a scale and a symbol.
    fn code<C: BitCoder>(
        coder: &mut C,
        shape: [usize; 3],
        mut latent: impl FnMut() -> (usize, i32),
    ) -> Result<Vec<i32>> {
        let tables = tables();
        let mut symbols = SymbolCoder::new(shape, &tables);
        let mut coded = Vec::new();
        for step in 0..4 {
            for position in 0..shape[0] * shape[1] {
                symbols.begin_position();
                let (row, column) = (position / shape[1], position % shape[1]);
                for channel in 0..shape[2] {
                    if crate::lossy::step_of(row, column, channel, shape[2]) == step {
                        let (scale, symbol) = latent();
                        let place = (step, [row, column, channel]);
                        coded.push(symbols.code(coder, &tables, place, scale, symbol)?);
                    }
                }
            }
        }
        Ok(coded)
    }

    #[test]
    fn all_symbols_come_back_at_all_scales() {
        let extremes = [
            i32::MIN,
            i32::MIN + 1,
            -1_000_000,
            127,
            128,
            65_536,
            i32::MAX,
        ];
        let latents = |seed| {
            let mut random = random(seed);
            move || {
                let scale = random(64) as usize;
                let symbol = match random(8) {
                    0 => extremes[random(extremes.len() as u64) as usize],
                    1..4 => random(61) as i32 - 30,
                    _ => random(3) as i32 - 1,
                };
                (scale, symbol)
            }
        };
        for seed in 0..20 {
            let mut encoder = RangeBitEncoder::new();
            let given = code(&mut encoder, SHAPE, latents(seed)).unwrap();
            let bytes = encoder.finish();
            let mut decoder = RangeBitDecoder::new(&bytes);
            let mut scales = latents(seed);
            let found = code(&mut decoder, SHAPE, || (scales().0, 0)).unwrap();
            assert_eq!(found, given);
            decoder.finish().unwrap();
            let mut again = latents(seed);
            assert!(given.iter().all(|&symbol| symbol == again().1));
        }
    }

    #[test]
    fn any_bytes_end_in_symbols_or_an_error() {
        for seed in 0..50 {
            let mut random = random(seed);
            let bytes: Vec<u8> = (0..200).map(|_| random(256) as u8).collect();
            let mut decoder = RangeBitDecoder::new(&bytes);
            let _ = code(&mut decoder, SHAPE, || (random(64) as usize, 0));
        }
    }

    /// Bits by the tables alone, and by this coder, of ones and zeros, one of
    /// them in `every` latents, where the network says scale index 30.
    fn costs(every: u64) -> [u64; 2] {
        let tables = tables();
        let (mut plain, mut corrected) = (CostEstimator::new(), CostEstimator::new());
        let mut escape = AdaptiveExpGolomb::new(ESCAPE_ORDER);
        let mut random = random(5);
        let latents = || (30, (random(every) == 0) as i32);
        let given = code(&mut corrected, [20, 20, 16], latents).unwrap();
        for symbol in given {
            tables.code(&mut plain, &mut escape, 30, 0, symbol).unwrap();
        }
        [plain, corrected].map(|cost| cost.bits_q24() >> 24)
    }

    #[test]
    fn wrong_scales_are_corrected() {
        let [plain, corrected] = costs(12);
        assert!(corrected < plain / 3, "{corrected} of {plain} bits");
    }

    #[test]
    fn greater_scales_expect_greater_symbols() {
        let tables = tables();
        let of = |scale| stretched(&tables, scale);
        for scale in FIRST_CORRECTED..END_CORRECTED {
            assert!(of(scale).greater_q8.len() <= MOST_DECISIONS);
            assert!(of(scale).not_zero_q8 < of(scale + 1).not_zero_q8, "{scale}");
            assert!(expected_size_q8(scale) < expected_size_q8(scale + 1));
        }
    }
}
