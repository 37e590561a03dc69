//! What a block says: band energies, stereo angles and quantised coefficients,
//! coded in the contexts of the blocks before. One code for encoder and
//! decoder.

use super::layout::{Bands, Layout};
use super::models::Decision;
use super::net::{INPUTS, LevelNet, OUTPUTS};
use super::step::{StepRule, stereo_steps};
use super::trig::{log2_q3, log2_q4};
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, code_exp_golomb};

/// Angles of a half turn.
pub(crate) const ANGLES: usize = 32;
/// The largest energy: 2^26 is the largest coefficient.
pub(crate) const MAX_ENERGY: i32 = 108;
/// Magnitudes up to this are coded in unary, larger ones escape.
const UNARY: i32 = 18;
/// Quantised coefficients are smaller than this.
pub(crate) const MAX_LEVEL: i32 = 1 << 20;
/// Contexts tell decisions apart up to this one.
const STEPS: usize = 12;

/// One or two channels of a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    /// How often the frame was halved.
    pub(crate) split: usize,
    /// The quantiser of the frame, 1/16 octaves.
    pub(crate) quantiser: i32,
    /// By channel and band: four times the binary logarithm of the rms, 0 for
    /// nothing at all.
    pub(crate) energies: Vec<Vec<i32>>,
    /// By band: the direction of the first channel, of [`ANGLES`].
    pub(crate) angles: Vec<usize>,
    /// By channel and band: 16 times the binary logarithm of the quantiser's
    /// step.
    pub(crate) steps: Vec<Vec<i32>>,
    /// By channel: quantised coefficients.
    pub(crate) levels: Vec<Vec<i32>>,
}

/// What is remembered of a channel's last block.
#[derive(Clone, Debug, Default)]
struct History {
    split: usize,
    energies: Vec<i32>,
    active: Vec<bool>,
    /// Amplitudes in Q4, of the last block and averaged over blocks.
    last: Vec<u32>,
    slow: Vec<u32>,
}

/// The adaptive models of a pair of channels (or a single one).
#[derive(Clone, Debug)]
pub(crate) struct Models {
    energy: Decision<5>,
    angle: Decision<3>,
    active: Decision<4>,
    level: Decision<6>,
}

impl Models {
    fn untrained() -> Self {
        Models {
            energy: Decision::new([16 * 96, 16 * 77, 16 * 72, 16 * 32, 16 * 33], 64),
            angle: Decision::new([64 * 2, 64 * 4, 64 * 24], 8),
            active: Decision::new([64, 24 * 8, 9 * 8, 16 * 8], 4),
            level: Decision::new(
                [
                    STEPS * 432,
                    STEPS * 512,
                    STEPS * 768,
                    STEPS * 100,
                    STEPS * 144,
                    STEPS * 204,
                ],
                STEPS * 4,
            ),
        }
    }

    /// The models that every key frame begins with.
    pub(crate) fn prior() -> &'static Models {
        static PRIOR: std::sync::OnceLock<Models> = std::sync::OnceLock::new();
        PRIOR.get_or_init(|| {
            let mut models = Models::untrained();
            let bytes = include_bytes!("prior.bin");
            // While the models change, one is learned from untrained ones.
            if bytes.len() == models.prior_bytes() {
                models.read(bytes);
            }
            models
        })
    }

    /// One table of contexts for each kind of decision (energies, angles, active
    /// bands, levels) in place of their mixture.
    pub(crate) fn alone(mut self, [energy, angle, active, level]: [usize; 4]) -> Self {
        self.energy.predict_alone(energy);
        self.angle.predict_alone(angle);
        self.active.predict_alone(active);
        self.level.predict_alone(level);
        self
    }

    fn prior_bytes(&self) -> usize {
        self.energy.prior_bytes()
            + self.angle.prior_bytes()
            + self.active.prior_bytes()
            + self.level.prior_bytes()
    }

    fn read(&mut self, prior: &[u8]) {
        let rest = self.energy.read(prior);
        let rest = self.angle.read(rest);
        let rest = self.active.read(rest);
        self.level.read(rest);
    }

    /// What was learned, as a prior.
    pub(crate) fn to_prior(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.energy.write(&mut out);
        self.angle.write(&mut out);
        self.active.write(&mut out);
        self.level.write(&mut out);
        out
    }
}

/// Codes the blocks of one or two channels.
#[derive(Clone, Debug)]
pub(crate) struct SpectrumCoder {
    models: Models,
    history: Vec<History>,
    angles: Vec<usize>,
    angle_split: usize,
    /// Whether the network corrects what the models of levels say.
    corrected: bool,
    /// For training: what the network saw of each level.
    trace: Option<Vec<LevelTrace>>,
}

/// What the network saw of a level, and what it is to learn.
#[derive(Clone, Debug)]
pub struct LevelTrace {
    /// What it sees.
    pub inputs_q4: [i16; INPUTS],
    /// What the mixture said of each decision; 0 for those that were not made.
    pub mixed_q8: [i16; OUTPUTS],
    /// The level without its sign, at most 18.
    pub magnitude: u8,
}

impl SpectrumCoder {
    pub(crate) fn new(channels: usize) -> Self {
        SpectrumCoder {
            models: Models::prior().clone(),
            history: vec![History::default(); channels],
            angles: Vec::new(),
            angle_split: 0,
            corrected: true,
            trace: None,
        }
    }

    /// Forgets what came before: a key frame follows.
    pub(crate) fn reset(&mut self) {
        let channels = self.history.len();
        *self = SpectrumCoder {
            corrected: self.corrected,
            trace: self.trace.take(),
            ..Self::new(channels)
        };
    }

    /// Leaves the network out: for comparison.
    pub(crate) fn leave_out_network(&mut self) {
        self.corrected = false;
    }

    /// Gives what was traced, and traces from now on: for training.
    pub(crate) fn traced(&mut self) -> Vec<LevelTrace> {
        self.trace.replace(Vec::new()).unwrap_or_default()
    }

    /// Begins with models that learned elsewhere: for training.
    pub(crate) fn take_models(&mut self, models: Models) {
        self.models = models;
    }

    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// Codes the energies and angles of a block, and fills in its steps.
    pub(crate) fn code_envelope<C: BitCoder>(
        &mut self,
        coder: &mut C,
        block: &mut Block,
        layout: &Layout,
        rule: &StepRule,
    ) -> Result<()> {
        let bands = &layout.bands[block.split];
        let channels = self.history.len();
        block.energies.resize(channels, Vec::new());
        let mut residuals = vec![0; bands.count()];
        for channel in 0..channels {
            self.code_energies(coder, block, layout, channel, &mut residuals)?;
        }
        if channels == 2 {
            self.code_angles(coder, block, layout)?;
        }
        block.steps = match &block.energies[..] {
            [first, second] => {
                stereo_steps(rule, bands, [first, second], &block.angles, block.quantiser)
            }
            energies => energies
                .iter()
                .map(|e| rule.steps(bands, e, block.quantiser))
                .collect(),
        };
        Ok(())
    }

    fn code_energies<C: BitCoder>(
        &mut self,
        coder: &mut C,
        block: &mut Block,
        layout: &Layout,
        channel: usize,
        residuals: &mut [i32],
    ) -> Result<()> {
        let bands = &layout.bands[block.split];
        let history = &self.history[channel];
        let map = &layout.maps[block.split][history.split];
        let known = !history.energies.is_empty();
        let energies = &mut block.energies[channel];
        energies.resize(bands.count(), 0);
        let previous: Vec<i32> = (0..bands.count())
            .map(|b| {
                if known {
                    history.energies[usize::from(map[b])]
                } else {
                    0
                }
            })
            .collect();
        let short = usize::from(block.split > 0);
        let (mut rise, mut residual_below) = (0i32, 0i32);
        for b in 0..bands.count() {
            let below = if b > 0 { energies[b - 1] } else { 44 };
            let predicted = if known {
                previous[b] + (rise * 3).div_euclid(8)
            } else {
                below
            }
            .clamp(0, MAX_ENERGY);
            let clamped = |x: i32, limit: i32| (x.clamp(-limit, limit) + limit) as usize;
            let above = previous.get(b + 1).copied().unwrap_or(previous[b]);
            let bend = previous[b] - (previous[b.saturating_sub(1)] + above) / 2;
            let loudness = (4 * predicted - block.quantiser).div_euclid(8) + 8;
            let contexts = [
                (bands.class(b) * 2 + usize::from(known)) * 2 + short,
                clamped(rise, 5) * 7 + clamped(residual_below, 3),
                (if channel > 0 {
                    clamped(residuals[b], 3)
                } else {
                    7
                }) * 9
                    + bands.class(b) / 3,
                loudness.clamp(0, 15) as usize * 2 + channel,
                clamped(bend, 5) * 3 + clamped(residual_below, 1),
            ];
            let set = channel * 2 + usize::from(known);
            let residual = code_signed(
                &mut self.models.energy,
                coder,
                energies[b] - predicted,
                contexts,
                set,
            )?;
            let energy = predicted + residual;
            if !(0..=MAX_ENERGY).contains(&energy) {
                return Err(Error::malformed(coder.position(), "energy of a band"));
            }
            energies[b] = energy;
            residuals[b] = residual;
            residual_below = residual;
            rise = if known { energy - previous[b] } else { 0 };
        }
        Ok(())
    }

    fn code_angles<C: BitCoder>(
        &mut self,
        coder: &mut C,
        block: &mut Block,
        layout: &Layout,
    ) -> Result<()> {
        let bands = &layout.bands[block.split];
        let map = &layout.maps[block.split][self.angle_split];
        block.angles.resize(bands.count(), 0);
        let mut below = ANGLES / 4;
        for b in 0..bands.count() {
            if block.energies.iter().all(|e| e[b] == 0) {
                block.angles[b] = 0;
                continue;
            }
            let before = match self.angles.is_empty() {
                true => below,
                false => self.angles[usize::from(map[b])],
            };
            let same_below = usize::from(b > 0 && block.angles[b - 1] == below);
            let ratio = (block.energies[0][b] - block.energies[1][b]).clamp(-2, 13) + 2;
            let wanted = block.angles[b];
            let mut code = |bit, node: usize| {
                let contexts = [
                    node * 2 + same_below,
                    node * 4 + ratio as usize / 4,
                    node * 24 + bands.class(b),
                ];
                let set = node.min(3) * 2 + usize::from(self.angles.is_empty());
                self.models.angle.code(coder, bit, contexts, set)
            };
            let angle = if code(wanted == before, 0)? {
                before
            } else {
                // The difference, of which 0 cannot occur.
                let difference = (wanted + ANGLES - before) % ANGLES;
                let mut node = 1;
                for shift in (0..5).rev() {
                    let bit = code(difference >> shift & 1 != 0, node)?;
                    node = node << 1 | usize::from(bit);
                }
                (before + node - 32) % ANGLES
            };
            below = angle;
            block.angles[b] = angle;
        }
        self.angles.clone_from(&block.angles);
        self.angle_split = block.split;
        Ok(())
    }

    /// Codes the levels of all channels of a block, and remembers the block.
    pub(crate) fn code_levels<C: BitCoder>(
        &mut self,
        coder: &mut C,
        block: &mut Block,
        layout: &Layout,
    ) -> Result<()> {
        let size = layout.frame >> block.split;
        block.levels.resize(self.history.len(), Vec::new());
        let mut other = Vec::new();
        for channel in 0..self.history.len() {
            let mut levels = std::mem::take(&mut block.levels[channel]);
            levels.resize(size, 0);
            let old = std::mem::take(&mut self.history[channel]);
            let mut coding = ChannelCoding {
                bands: &layout.bands[block.split],
                map: &layout.maps[block.split][old.split],
                energies: &block.energies[channel],
                steps: &block.steps[channel],
                set: channel.min(1) * 2 + usize::from(block.split > 0),
                last: resampled(&old.last, size),
                slow: resampled(&old.slow, size),
                other: &other,
                amplitudes: vec![0; size],
                levels: &mut levels,
                active: Vec::new(),
                was_active: &old.active,
                net: self.corrected.then(LevelNet::shipped),
            };
            coding.code(coder, &mut self.models, &mut self.trace)?;
            let (amplitudes, slow) = (coding.amplitudes, coding.slow);
            let slow = slow.iter().zip(&amplitudes);
            self.history[channel] = History {
                split: block.split,
                energies: block.energies[channel].clone(),
                active: coding.active,
                slow: slow.map(|(&s, &a)| (s / 2).saturating_add(a / 2)).collect(),
                last: amplitudes.clone(),
            };
            other = amplitudes;
            block.levels[channel] = levels;
        }
        Ok(())
    }
}

/// Codes a number by whether it is 0, its sign, and its magnitude in unary.
fn code_signed<C: BitCoder, const K: usize>(
    models: &mut Decision<K>,
    coder: &mut C,
    value: i32,
    contexts: [usize; K],
    set: usize,
) -> Result<i32> {
    let mut code = |bit: bool, step: usize| {
        let contexts = contexts.map(|context| context * 16 + step.min(15));
        models.code(coder, bit, contexts, set * 16 + step.min(15))
    };
    if !code(value != 0, 0)? {
        return Ok(0);
    }
    let negative = code(value < 0, 1)?;
    let mut magnitude = 1;
    let bound = 2 * MAX_ENERGY;
    while magnitude < bound && code(value.abs() > magnitude, magnitude as usize + 1)? {
        magnitude += 1;
    }
    Ok(if negative { -magnitude } else { magnitude })
}

/// Amplitudes of a block for one of another length.
fn resampled(old: &[u32], size: usize) -> Vec<u32> {
    match old.len() {
        0 => vec![0; size],
        length if length > size => {
            let ratio = length / size;
            let mean = |part: &[u32]| {
                let sum: u64 = part.iter().map(|&a| u64::from(a)).sum();
                (sum / ratio as u64) as u32
            };
            old.chunks_exact(ratio).map(mean).collect()
        }
        length => {
            let ratio = size / length;
            (0..size).map(|k| old[k / ratio]).collect()
        }
    }
}

/// One channel of a block while its levels are coded.
struct ChannelCoding<'a> {
    bands: &'a Bands,
    map: &'a [u8],
    energies: &'a [i32],
    steps: &'a [i32],
    set: usize,
    last: Vec<u32>,
    slow: Vec<u32>,
    /// Amplitudes of the first channel, if this is the second one.
    other: &'a [u32],
    /// Of this block, Q4.
    amplitudes: Vec<u32>,
    levels: &'a mut [i32],
    active: Vec<bool>,
    was_active: &'a [bool],
    net: Option<&'static LevelNet>,
}

/// Whether a band of `count` coefficients can hold one that is not quantised
/// to 0; `excess` is energy over step in 1/16 octaves.
pub(crate) fn can_be_active(count: usize, energy: i32, step: i32) -> bool {
    energy > 0 && 4 * energy - step + log2_q4(count as u64) / 2 >= -14
}

impl ChannelCoding<'_> {
    fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        models: &mut Models,
        trace: &mut Option<Vec<LevelTrace>>,
    ) -> Result<()> {
        for band in 0..self.bands.count() {
            let active = self.code_active(coder, &mut models.active, band)?;
            self.active.push(active);
            let excess = 4 * self.energies[band] - self.steps[band];
            let amplitude_q4 = |x: i32| super::trig::exp2_16(x, 4).min(1 << 30) as u32;
            let step_q4 = amplitude_q4(self.steps[band]);
            let rms_q4 = amplitude_q4(4 * self.energies[band]);
            let silent = rms_q4.min(step_q4 / 4);
            if !active {
                for k in self.bands.range(band) {
                    self.levels[k] = 0;
                    self.amplitudes[k] = silent;
                }
                continue;
            }
            let class = self.bands.class(band);
            let step = self.steps[band];
            let of = |band: usize| {
                let energy = self.energies.get(band);
                energy.map_or(0, |e| input_q4(4 * e - step))
            };
            let fixed = BandContext {
                half_step: self.steps[band] / 2 + 32,
                excess: (excess.div_euclid(4) + 12).clamp(0, 15) as usize,
                class,
                seen_q4: [
                    input_q4(excess),
                    of(band.wrapping_sub(1)),
                    of(band + 1),
                    2 * (class as i16 - 12),
                    16 * (self.set & 1) as i16,
                    16 * (self.set >> 1) as i16,
                ],
            };
            for k in self.bands.range(band) {
                let level = self.code_level(coder, &mut models.level, k, &fixed, trace)?;
                self.levels[k] = level;
                self.amplitudes[k] = match level {
                    0 => silent,
                    _ => (u64::from(level.unsigned_abs()) * u64::from(step_q4)).min(1 << 30) as u32,
                };
            }
        }
        for k in self.bands.end()..self.levels.len() {
            self.levels[k] = 0;
        }
        Ok(())
    }

    fn code_active<C: BitCoder>(
        &mut self,
        coder: &mut C,
        models: &mut Decision<4>,
        band: usize,
    ) -> Result<bool> {
        let range = self.bands.range(band);
        if !can_be_active(range.len(), self.energies[band], self.steps[band]) {
            return Ok(false);
        }
        let excess = 4 * self.energies[band] - self.steps[band];
        let coarse = |step: i32| (excess.div_euclid(step) + 4).clamp(0, 7) as usize;
        let was = self.was_active.get(usize::from(self.map[band])).copied();
        let below = band.checked_sub(1).map(|b| self.active[b]);
        let state = |a: Option<bool>| a.map_or(0, |a| 1 + usize::from(a));
        let contexts = [
            (excess.div_euclid(2) + 24).clamp(0, 63) as usize,
            self.bands.class(band) * 8 + coarse(8),
            (state(was) * 3 + state(below)) * 8 + coarse(8),
            (range.len().ilog2() as usize).min(15) * 8 + coarse(6),
        ];
        let wanted = self.levels[range].iter().any(|&l| l != 0);
        models.code(coder, wanted, contexts, self.set)
    }

    #[inline]
    fn code_level<C: BitCoder>(
        &self,
        coder: &mut C,
        models: &mut Decision<6>,
        k: usize,
        band: &BandContext,
        trace: &mut Option<Vec<LevelTrace>>,
    ) -> Result<i32> {
        let at = |x: &[u32], k: usize| u64::from(x.get(k).copied().unwrap_or(0));
        let back = |n: usize| {
            if k >= n {
                u64::from(self.amplitudes[k - n])
            } else {
                0
            }
        };
        let near = |x: &[u32]| at(x, k.wrapping_sub(1)) + 2 * at(x, k) + at(x, k + 1);
        let level = |n: usize| {
            if k >= n {
                self.levels[k - n].unsigned_abs() as usize
            } else {
                0
            }
        };
        let beside = 2 * back(1) + back(2);
        let before = near(&self.last);
        let slow = near(&self.slow);
        let wide = back(1)
            + back(2)
            + back(3)
            + back(4)
            + near(&self.last)
            + at(&self.last, k + 2)
            + at(&self.last, k.wrapping_sub(2));
        let log = |x: u64| log2_q3(x) - band.half_step;
        let coarse = |x: i32| ((x + 14) / 5).clamp(0, 11) as usize;
        let (a, p, s) = (log(beside) - 12, log(before) - 16, log(slow) - 16);
        // In 1/8 octaves of the step.
        let mixed = log(4 * beside + 3 * before / 2 + 3 * slow / 2) - 36;
        let o = if self.other.is_empty() {
            0
        } else {
            1 + usize::from(log(near(self.other)) - 16 > -3)
        };
        let contexts = [
            (coarse(a) * 12 + coarse(p)) * 3 + o,
            ((mixed + 24) / 2).clamp(0, 31) as usize * 16 + band.excess,
            (band.excess * 24 + band.class) * 2 + (self.set & 1),
            ((level(1).min(4) * 5) + level(2).min(4)) * 4 + (coarse(p) / 3),
            coarse(s) * 12 + coarse(p),
            ((log(wide) - 26 + 16) / 3).clamp(0, 16) as usize * 12 + coarse(s),
        ];
        let inputs_q4 = {
            let [energy, below, above, class, short, second] = band.seen_q4;
            let own = |n| input_q4(log(back(n)));
            let of = |x: &[u32], from: usize| input_q4(log(at(x, (k + from).wrapping_sub(2))));
            let (last, slow, other) = (&self.last, &self.slow, self.other);
            #[rustfmt::skip]
            let inputs: [i16; INPUTS] = [
                own(1), own(2), own(3), own(4),
                of(last, 0), of(last, 1), of(last, 2), of(last, 3), of(last, 4),
                of(slow, 0), of(slow, 1), of(slow, 2), of(slow, 3), of(slow, 4),
                of(other, 1), of(other, 2), of(other, 3),
                input_q4(mixed), energy, below, above, class, short, second,
            ];
            inputs
        };
        let net = self.net.map(|net| (net, net.hidden(&inputs_q4)));
        let mut mixed_q8 = [0; OUTPUTS];
        let mut code = |bit: bool, step: i32| {
            let step = (step as usize).min(STEPS - 1);
            let contexts = contexts.map(|context| context * STEPS + step);
            let set = self.set * STEPS + step;
            let added_q8 = net.map_or(0, |(net, hidden)| net.logit_q8(&hidden, step));
            let bit = models.code_corrected(coder, bit, contexts, set, added_q8)?;
            if step < STEPS - 1 || mixed_q8[step] == 0 {
                mixed_q8[step] = models.mixed_q8() as i16;
            }
            Ok::<_, Error>(bit)
        };
        let wanted = self.levels[k];
        let mut magnitude = 0;
        while magnitude < UNARY && code(wanted.abs() > magnitude, magnitude)? {
            magnitude += 1;
        }
        if let Some(trace) = trace {
            trace.push(LevelTrace {
                inputs_q4,
                mixed_q8,
                magnitude: magnitude as u8,
            });
        }
        if magnitude == 0 {
            return Ok(0);
        }
        if magnitude == UNARY {
            let rest = code_exp_golomb(coder, (wanted.abs() - UNARY).max(0) as u64, 3)?;
            if rest >= (MAX_LEVEL - UNARY) as u64 {
                return Err(Error::malformed(coder.position(), "level of a coefficient"));
            }
            magnitude += rest as i32;
        }
        let negative = coder.code_raw(u32::from(wanted < 0), 1)? != 0;
        Ok(if negative { -magnitude } else { magnitude })
    }
}

/// What is the same for the coefficients of a band.
struct BandContext {
    /// 8 times the binary logarithm of the step in Q4.
    half_step: i32,
    excess: usize,
    class: usize,
    /// For the network: energies of this band, of that below and of that above
    /// over this one's step, class, whether the block is a short one, and
    /// whether the channel is the second.
    seen_q4: [i16; 6],
}

/// Eighths of octaves as the network sees them.
#[inline(always)]
fn input_q4(eighths: i32) -> i16 {
    eighths.clamp(-48, 64) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another length would go unnoticed, and be another format.
    #[test]
    fn the_prior_is_that_of_these_models() {
        let prior = include_bytes!("prior.bin");
        assert_eq!(prior.len(), Models::untrained().prior_bytes());
    }
}
