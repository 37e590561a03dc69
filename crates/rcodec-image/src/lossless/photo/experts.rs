//! The experts of one channel: what each expects, and how wrong it has been
//! around here.

use super::contexts::Neighbourhood;
use super::learned::{AROUND, Known, Learned};
use super::local::{LocalOls, LocalParams};
use super::ols::{Ols, OlsParams};
use super::window::{Place, Window};
use crate::lossless::ablation::{Part, on};
use crate::lossless::logistic::quarter_log2;
use rcodec_core::Result;
use rcodec_fixed::Engine;

/// Lanes of error arrays, for vector code.
const LANES: usize = 8;

/// How many experts there are where one of them is learned: it stands before
/// the blend.
pub(crate) const WITH_LEARNED: usize = 7;

/// Lane of the blend that the learned expert begins with: of the others.
const PLAIN: usize = 7;

/// Steps of local error energy: four to the octave.
const ENERGIES: usize = 96;

/// Fraction bits of predictions.
pub(crate) const MU_Q: u32 = 6;

/// Features of the least-squares experts.
const FEATURES_HUGE: usize = 31;
const FEATURES_LARGE: usize = 24;
const FEATURES_WIDE: usize = 15;
const FEATURES_SMALL: usize = 12;

/// What the experts say about one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distribution<const E: usize> {
    /// Expected values, Q6.
    pub(crate) mu_q6: [i32; E],
    /// Reciprocals of the logistic scales: `z_q8 = (distance_q6 * this) >> 20`.
    pub(crate) inverse_scale: [i32; E],
    /// The blended expectation, rounded.
    pub(crate) centre: i32,
    /// Step (four to the octave, of Q6) of the blend's mean error.
    pub(crate) scale_step: usize,
}

/// `2^(i / 4)` in Q8 for i in 0..4.
const QUARTERS_Q8: [u32; 4] = [256, 304, 362, 431];

/// A logistic of scale s has mean absolute error 1.386 s, so
/// `z = distance / (0.72 mean)`: 2^36 / 0.72 * 4, to be divided by `mean_q12`.
const INVERSE_SCALE_Q36: i64 = 381_774_870_756;

/// Mean error learned for one step of energy.
#[derive(Clone, Copy, Debug)]
struct MeanError {
    /// Q12 of a sample (values of Q6, six more bits).
    mean_q12: u32,
    count: u32,
}

impl MeanError {
    /// Learns an error, Q6.
    #[inline(always)]
    fn learn(&mut self, error: u32) {
        self.count += u32::from(self.count < 250);
        let distance = (i64::from(error) << 6) - i64::from(self.mean_q12);
        let step = (distance * RECIPROCAL_Q16[self.count as usize & 255]) >> 16;
        self.mean_q12 = (i64::from(self.mean_q12) + step) as u32;
    }
}

/// Experts of the large level only.
struct MoreOls {
    /// A long memory.
    slow: Ols<FEATURES_HUGE, 32>,
    /// One for each position within squares of two by two: pictures whose
    /// colours were interpolated.
    phases: [Ols<FEATURES_LARGE, 32>; 4],
    /// A wider window.
    wide: LocalOls<FEATURES_WIDE>,
}

impl MoreOls {
    fn new(bits: u8, width: usize, engine: Engine) -> Self {
        let slow = OlsParams {
            keep: 0.998,
            ridge: 8.0,
            blocks_per_solve: 32,
        };
        let phase = OlsParams {
            keep: 0.98,
            ridge: 8.0,
            blocks_per_solve: 8,
        };
        let wide = LocalParams {
            rows: 12,
            block: 8,
            side: 1,
            ridge: 16.0,
        };
        MoreOls {
            slow: Ols::new(slow, bits, engine),
            phases: std::array::from_fn(|_| Ols::new(phase, bits, engine)),
            wide: LocalOls::new(wide, bits, width, engine),
        }
    }
}

/// The experts of one channel.
pub(crate) struct ChannelExperts<const E: usize> {
    large: Ols<FEATURES_LARGE, 32>,
    near: LocalOls<FEATURES_SMALL>,
    more: Option<Box<MoreOls>>,
    learned: Option<Box<Learned>>,
    /// Features as pairs of places; their difference is the feature.
    places: [(Place, Place); FEATURES_HUGE],
    features: [i32; FEATURES_HUGE],
    /// Column and row, each modulo 2.
    phase: usize,
    y: usize,
    base_value: i32,
    max_q6: i32,
    /// Whether there is a channel before this one.
    guided: bool,
    /// Absolute errors, Q6, three rows in turn, two columns of border.
    errors: [Vec<[u32; LANES]>; 3],
    row: usize,
    means: Vec<[MeanError; ENERGIES]>,
    bias: Vec<(i32, i32)>,
    bias_at: usize,
    energy_steps: [usize; E],
    unbiased_q6: i32,
    mu_q6: [i32; E],
    /// Of the blend that the learned expert begins with.
    plain_q6: i32,
    plain_step: usize,
    learned_inverse: i32,
}

/// Columns of border on each side of rows of errors.
pub(crate) const ERROR_PAD: usize = 2;

/// Own-channel neighbours, strongest first: dx, dy.
pub(crate) const OWN: [(isize, isize); 27] = [
    (0, -1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (0, -2),
    (2, -1),
    (-1, -2),
    (1, -2),
    (-2, -1),
    (-3, 0),
    (2, -2),
    (-2, -2),
    (0, -3),
    (3, -1),
    (-3, -1),
    (1, -3),
    (-1, -3),
    (4, -1),
    (3, -2),
    (-3, -2),
    (-4, 0),
    (2, -3),
    (-2, -3),
    (-4, -1),
    (4, -2),
    (3, -3),
    (-3, -3),
];

/// Neighbours in channels already coded: these have the row below, too.
pub(crate) const GUIDE: [(isize, isize); 15] = [
    (0, 0),
    (1, 0),
    (0, -1),
    (0, 1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (1, 1),
    (-1, 1),
    (0, -2),
    (2, 0),
    (2, -1),
    (-1, -2),
    (1, -2),
    (2, 1),
];

/// Lists feature positions: pairs of a sample and what is subtracted.
fn feature_places(position: usize) -> [(Place, Place); FEATURES_HUGE] {
    let west = |before: usize| Window::place(before, -1, 0);
    let place =
        |before: usize, (dx, dy): (isize, isize)| (Window::place(before, dx, dy), west(before));
    let mut own = OWN.iter().map(|&at| place(0, at));
    let mut cross = GUIDE
        .iter()
        .flat_map(|&at| (1..=position.min(2)).map(move |before| place(before, at)));
    // Own neighbours and others in turn: the small experts take the first.
    let mut places = Vec::new();
    places.extend(own.by_ref().take(3));
    places.extend(cross.by_ref().take(2));
    while places.len() < FEATURES_HUGE {
        let before = places.len();
        places.extend(own.by_ref().take(1));
        places.extend(cross.by_ref().take(1));
        if places.len() == before {
            places.push((west(0), west(0))); // always 0
        }
    }
    std::array::from_fn(|i| places[i])
}

impl<const E: usize> ChannelExperts<E> {
    /// The expert that blends the others.
    const BLEND: usize = E - 1;

    /// Whether one of them is learned.
    const IS_LEARNED: bool = E == WITH_LEARNED;

    /// The experts that are blended without a learned one, and the lane of
    /// what they give.
    const OTHERS: usize = if Self::IS_LEARNED { E - 2 } else { E - 1 };
    const OTHERS_LANE: usize = if Self::IS_LEARNED { PLAIN } else { E - 1 };

    /// The experts of the channel at `position` of `order`; `learned` is theirs
    /// if one is.
    pub(crate) fn new(
        position: usize,
        max: u16,
        width: usize,
        engine: Engine,
        learned: Option<Learned>,
    ) -> Self {
        let bits = (16 - max.leading_zeros()) as u8;
        let large = OlsParams {
            keep: if E == 4 { 0.995 } else { 0.98 },
            ridge: 8.0,
            blocks_per_solve: 8,
        };
        let near = LocalParams {
            rows: 6,
            block: if E == 4 { 12 } else { 8 },
            side: 1,
            ridge: 16.0,
        };
        let mut fresh = [MeanError {
            mean_q12: 0,
            count: 0,
        }; ENERGIES];
        for (step, mean) in fresh.iter_mut().enumerate() {
            let q6 = (QUARTERS_Q8[step & 3] as u64) << (step >> 2) >> 8;
            mean.mean_q12 = (q6 << 6).min(1 << 28) as u32;
        }
        ChannelExperts {
            large: Ols::new(large, bits, engine),
            near: LocalOls::new(near, bits, width, engine),
            more: (E > 4).then(|| Box::new(MoreOls::new(bits, width, engine))),
            learned: learned.map(Box::new),
            places: feature_places(position),
            features: [0; FEATURES_HUGE],
            phase: 0,
            y: 0,
            base_value: 0,
            max_q6: i32::from(max) << MU_Q,
            guided: position > 0,
            errors: std::array::from_fn(|_| vec![[64; LANES]; width + 2 * ERROR_PAD]),
            row: 0,
            means: vec![fresh; LANES],
            bias: vec![(0, 0); 1024],
            bias_at: 0,
            energy_steps: [0; E],
            unbiased_q6: 0,
            mu_q6: [0; E],
            plain_q6: 0,
            plain_step: 0,
            learned_inverse: 0,
        }
    }

    /// Prepares for row `y`.
    #[inline(always)]
    pub(crate) fn begin_row(&mut self, y: usize) {
        self.row = y % 3;
        self.y = y;
        self.near.begin_row();
        if let Some(more) = &mut self.more {
            more.wide.begin_row();
        }
    }

    /// Learns row `y`, which is complete now.
    #[inline(always)]
    pub(crate) fn end_row(&mut self) {
        self.near.end_row(self.y);
        if let Some(more) = &mut self.more {
            more.wide.end_row(self.y);
        }
    }

    /// Local error energy of every expert, Q6 times 20.
    #[inline(always)]
    fn energies(&self, x: usize) -> [u32; LANES] {
        let at = x + ERROR_PAD;
        let here = &self.errors[self.row];
        let above = &self.errors[(self.row + 2) % 3];
        let above2 = &self.errors[(self.row + 1) % 3];
        let (w, ww) = (&here[at - 1], &here[at - 2]);
        let (n, nw, ne) = (&above[at], &above[at - 1], &above[at + 1]);
        let nn = &above2[at];
        let mut sum = [0; LANES];
        for e in 0..LANES {
            sum[e] = 5 * (w[e] + n[e]) + 3 * (nw[e] + ne[e]) + 2 * (ww[e] + nn[e]);
        }
        sum
    }

    /// The learned expert, when all is coded.
    pub(crate) fn into_learned(self) -> Option<Learned> {
        self.learned.map(|learned| *learned)
    }

    /// The learned expert.
    #[inline(always)]
    pub(crate) fn learned(&self) -> Option<&Learned> {
        self.learned.as_deref()
    }

    /// What is expected of the sample in the middle of `window`. `crossed` is
    /// by how much the channel before was missed here, `around` by how much
    /// those before were that a learned expert looks at.
    ///
    /// # Errors
    /// None.
    #[inline(always)]
    pub(crate) fn predict(
        &mut self,
        window: &Window,
        hood: &Neighbourhood,
        x: usize,
        crossed: i32,
        around: &[i32; AROUND],
    ) -> Result<Distribution<E>> {
        let features = if E == 4 {
            FEATURES_LARGE
        } else {
            FEATURES_HUGE
        };
        for (slot, &(plus, minus)) in self.features[..features].iter_mut().zip(&self.places) {
            *slot = window.at(plus) - window.at(minus);
        }
        self.base_value = hood.w;
        self.phase = (x & 1) | (self.y & 1) << 1;
        let base_q6 = i64::from(hood.w) << MU_Q;
        let max_q6 = i64::from(self.max_q6);
        let clamped = |delta_q6: i64| (base_q6 + delta_q6).clamp(0, max_q6) as i32;
        let large = first(&self.features);
        if on(Part::Expert0) {
            self.mu_q6[0] = clamped(self.large.predict_q6(large));
        }
        if on(Part::Expert1) {
            self.mu_q6[1] = clamped(self.near.predict_q6(first(&self.features), x));
        }
        if let Some(more) = &mut self.more {
            if on(Part::Expert2) {
                self.mu_q6[2] = clamped(more.slow.predict_q6(&self.features));
            }
            if on(Part::Expert3) {
                self.mu_q6[3] = clamped(more.phases[self.phase].predict_q6(large));
            }
            if on(Part::Expert4) {
                self.mu_q6[4] = clamped(more.wide.predict_q6(first(&self.features), x));
            }
        }
        if E == 4 && on(Part::Expert2) {
            self.mu_q6[2] = self.gradient_q6(window, hood);
        }
        let energies = self.energies(x);
        self.blend(&energies, hood);
        let crossed_q6 = crossed.unsigned_abs() << MU_Q;
        if Self::IS_LEARNED {
            self.ask_learned(&energies, (window, x), crossed_q6, around)?;
        }
        Ok(self.finish(&energies, crossed_q6))
    }

    /// Lets the learned expert see what the others say, and blends it with
    /// them.
    #[inline(always)]
    fn ask_learned(
        &mut self,
        energies: &[u32; LANES],
        (window, x): (&Window, usize),
        crossed_q6: u32,
        around: &[i32; AROUND],
    ) -> Result<()> {
        let Some(learned) = &mut self.learned else {
            return Ok(());
        };
        let energy = energies[PLAIN] / 20 + crossed_q6 * 3 / 8;
        self.plain_step = quarter_log2(energy + 2).min(ENERGIES - 1);
        self.plain_q6 = self.mu_q6[Self::BLEND];
        let known = Known {
            window,
            x,
            y: self.y,
            opinions_q6: self.mu_q6.first_chunk().unwrap_or(&[0; 5]),
            energies: energies.first_chunk().unwrap_or(&[0; 5]),
            blend_q6: self.plain_q6,
            blend_energy: energies[PLAIN],
            step: self.plain_step,
            mean_q12: self.means[PLAIN][self.plain_step].mean_q12,
            around,
        };
        let (mu_q6, inverse) = learned.predict(&known)?;
        self.mu_q6[Self::OTHERS] = if on(Part::Learned) {
            mu_q6
        } else {
            self.plain_q6
        };
        self.learned_inverse = inverse;
        self.mu_q6[Self::BLEND] = self.weighted(energies, Self::BLEND);
        Ok(())
    }

    /// What the slopes around the sample say, Q6: in its own channel, or of
    /// the one before it.
    #[inline(always)]
    fn gradient_q6(&self, window: &Window, hood: &Neighbourhood) -> i32 {
        let gradient = if self.guided {
            let guide = |dx: isize, dy: isize| window.at(Window::place(1, dx, dy));
            let slopes = 2 * guide(0, 0) - guide(-1, 0) - guide(0, -1);
            ((hood.w + hood.n) << (MU_Q - 1)) + (slopes << (MU_Q - 1))
        } else {
            (hood.w + hood.n - hood.nw) << MU_Q
        };
        gradient.clamp(0, self.max_q6)
    }

    /// The first `count` experts, weighed by the inverse cube of their local
    /// errors.
    #[inline(always)]
    fn weighted(&self, energies: &[u32; LANES], count: usize) -> i32 {
        let mut steps = [usize::MAX; LANES];
        for (step, &energy) in steps[..count].iter_mut().zip(energies) {
            *step = quarter_log2(energy + 24);
        }
        let best = steps.iter().copied().min().unwrap_or(0);
        let (mut sum, mut weighted) = (0u64, 0i64);
        for (&step, &mu) in steps[..count].iter().zip(&self.mu_q6) {
            // 2^(-3/4 (step - best)), Q16.
            let thirds = 3 * (step - best).min(20);
            let weight =
                (u64::from(QUARTERS_Q8[3 - (thirds + 3) % 4]) << 8) >> (thirds.div_ceil(4));
            sum += weight;
            weighted += weight as i64 * i64::from(mu);
        }
        (weighted / sum.max(1) as i64) as i32
    }

    /// Blends the experts, and corrects the result by what was left in the same
    /// situation.
    #[inline(always)]
    fn blend(&mut self, energies: &[u32; LANES], hood: &Neighbourhood) {
        let blended = self.weighted(energies, Self::OTHERS);
        let value = blended >> MU_Q;
        let energy = quarter_log2(energies[Self::OTHERS_LANE] / 20 + 8) / 2;
        let texture = usize::from(hood.n > value)
            | usize::from(hood.w > value) << 1
            | usize::from(hood.nw > value) << 2
            | usize::from(hood.ne > value) << 3
            | usize::from(hood.nn > value) << 4
            | usize::from(hood.ww > value) << 5;
        self.bias_at = energy.min(15) << 6 | texture;
        self.unbiased_q6 = blended;
        let (sum, count) = self.bias[self.bias_at];
        let correction = if on(Part::Bias) { sum / (count + 4) } else { 0 };
        self.mu_q6[Self::BLEND] = (blended + correction).clamp(0, self.max_q6);
    }

    /// Looks up scales.
    #[inline(always)]
    fn finish(&mut self, energies: &[u32; LANES], crossed_q6: u32) -> Distribution<E> {
        let mut inverse_scale = [0; E];
        let mut scale_step = 0;
        for e in 0..E {
            let energy = energies[e] / 20 + crossed_q6 * 3 / 8;
            let step = quarter_log2(energy + 2).min(ENERGIES - 1);
            self.energy_steps[e] = step;
            let mean = self.means[e][step].mean_q12.max(64);
            inverse_scale[e] = inverse_scale_of(mean);
            scale_step = quarter_log2(mean >> 6);
        }
        if Self::IS_LEARNED && on(Part::Learned) {
            inverse_scale[Self::OTHERS] = self.learned_inverse;
        }
        let centre = (self.mu_q6[Self::BLEND] + (1 << (MU_Q - 1))) >> MU_Q;
        Distribution {
            mu_q6: self.mu_q6,
            inverse_scale,
            centre,
            scale_step,
        }
    }

    /// Learns what the sample was.
    #[inline(always)]
    pub(crate) fn update(&mut self, value: i32, x: usize) {
        let value_q6 = value << MU_Q;
        let mut errors = [0; LANES];
        for (e, slot) in errors.iter_mut().enumerate().take(E) {
            *slot = value_q6.abs_diff(self.mu_q6[e]);
            self.means[e][self.energy_steps[e]].learn(*slot);
        }
        if Self::IS_LEARNED {
            errors[PLAIN] = value_q6.abs_diff(self.plain_q6);
            self.means[PLAIN][self.plain_step].learn(errors[PLAIN]);
            if let Some(learned) = &mut self.learned {
                learned.update(value_q6, x, self.y);
            }
        }
        self.errors[self.row][x + ERROR_PAD] = errors;
        if x == 0 {
            // Borders repeat what is next to them.
            self.errors[self.row][..ERROR_PAD].fill(errors);
        }
        let len = self.errors[self.row].len();
        if x + 2 * ERROR_PAD + 1 == len {
            self.errors[self.row][len - ERROR_PAD..].fill(errors);
        }
        let (sum, count) = &mut self.bias[self.bias_at];
        *sum += value_q6 - self.unbiased_q6;
        *count += 1;
        if *count >= 128 {
            *sum /= 2;
            *count /= 2;
        }
        let target = value - self.base_value;
        let large = first(&self.features);
        if on(Part::Expert0) {
            self.large.update(large, target);
        }
        if on(Part::Expert1) {
            self.near.update(first(&self.features), target, x);
        }
        if let Some(more) = &mut self.more {
            if on(Part::Expert2) {
                more.slow.update(&self.features, target);
            }
            if on(Part::Expert3) {
                more.phases[self.phase].update(large, target);
            }
            if on(Part::Expert4) {
                more.wide.update(first(&self.features), target, x);
            }
        }
    }
}

/// The first features.
#[inline(always)]
fn first<const F: usize>(features: &[i32; FEATURES_HUGE]) -> &[i32; F] {
    features.first_chunk().unwrap_or(&[0; F])
}

/// 2^16 / (n + 4).
static RECIPROCAL_Q16: [i64; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = (1 << 16) / (n as i64 + 4);
        n += 1;
    }
    table
};

/// [`INVERSE_SCALE_Q36`] by mantissa: 64 to the octave, for 64..128.
static INVERSE: [u32; 64] = {
    let mut table = [0; 64];
    let mut i = 0;
    while i < 64 {
        // The middle of a step, in Q5 of the mantissa 64..128.
        table[i] = ((INVERSE_SCALE_Q36 * 2 / (2 * (64 + i as i64) + 1)) >> 8) as u32;
        i += 1;
    }
    table
};

/// [`INVERSE_SCALE_Q36`] over a mean error of at least 64, to a hundredth.
#[inline(always)]
pub(crate) fn inverse_scale_of(mean_q12: u32) -> i32 {
    let shift = 25 - mean_q12.leading_zeros();
    let mantissa = (mean_q12 >> shift) as usize & 63;
    ((u64::from(INVERSE[mantissa]) << 4) >> shift) as i32
}
