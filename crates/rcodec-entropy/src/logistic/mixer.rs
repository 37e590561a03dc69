//! One layer of mixing.

use super::{STRETCH_MAX_Q8, squash};

/// The inputs of a mixer: predictions in the logistic domain, Q8.
///
/// `N` is a multiple of 8; what is not used stays 0 and does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Inputs<const N: usize> {
    x_q8: [i16; N],
}

impl<const N: usize> Inputs<N> {
    /// All zeros: no opinion.
    pub fn new() -> Self {
        const { assert!(N > 0 && N.is_multiple_of(8)) }
        Inputs { x_q8: [0; N] }
    }

    /// Sets one input from [`stretch`](super::stretch) of a probability, or
    /// any other number in its range that says how likely a `true` is: a bias
    /// (256), or a confidence with a sign. Kept within ±[`STRETCH_MAX_Q8`].
    #[inline(always)]
    pub fn set(&mut self, index: usize, x_q8: i32) {
        self.x_q8[index] = x_q8.clamp(-STRETCH_MAX_Q8, STRETCH_MAX_Q8) as i16;
    }

    /// The inputs, to be set at once. Values beyond ±[`STRETCH_MAX_Q8`] make
    /// the sums of a mixer wrap.
    #[inline(always)]
    pub fn values_mut(&mut self) -> &mut [i16; N] {
        &mut self.x_q8
    }

    /// The inputs.
    #[inline(always)]
    pub fn values(&self) -> &[i16; N] {
        &self.x_q8
    }
}

impl<const N: usize> Default for Inputs<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// How quickly a mixer learns: a rate that falls from a first to a last value,
/// for each weight set by itself.
///
/// Rates are in Q16: 1.0 (65536) would move a weight by input times error.
/// Useful are about 60 (0.001, many inputs, much data) to 1300 (0.02, the
/// first few hundred bits). The largest is 2047.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearningRate {
    first_q16: u32,
    last_q16: u32,
    decay_shift: u32,
}

impl LearningRate {
    /// The same rate for ever.
    pub const fn constant(rate_q16: u32) -> Self {
        Self::falling(rate_q16, rate_q16, 1)
    }

    /// A rate that loses `2^-decay_shift` of its distance to the last one with
    /// every bit: half of it in about `0.7 * 2^decay_shift` bits.
    pub const fn falling(first_q16: u32, last_q16: u32, decay_shift: u32) -> Self {
        const fn limited(rate: u32) -> u32 {
            if rate < 2047 { rate } else { 2047 }
        }
        LearningRate {
            first_q16: limited(first_q16),
            last_q16: limited(last_q16),
            decay_shift: if decay_shift < 20 { decay_shift } else { 20 },
        }
    }
}

/// The weights of one set in Q28 (±8.0), as their upper and lower halves: the
/// product with the inputs needs only the upper ones (Q12), in exactly the
/// form that `pmaddwd` and its like multiply; learning needs both.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct WeightSet<const N: usize> {
    high: [i16; N],
    low: [u16; N],
}

impl<const N: usize> WeightSet<N> {
    /// Sum of weights times inputs in Q20, modulo 2^32.
    ///
    /// Not inlined, because among other code the compiler does not find that
    /// this is `pmaddwd`, which is worth far more than a call.
    #[inline(never)]
    fn dot_q20(&self, x: &[i16; N]) -> i32 {
        self.sum_q20(x)
    }

    #[inline(always)]
    fn sum_q20(&self, x: &[i16; N]) -> i32 {
        if N <= 48 {
            let products = self.high.iter().zip(x);
            return products.fold(0, |sum, (&w, &x)| {
                i32::wrapping_add(sum, i32::from(w) * i32::from(x))
            });
        }
        // Of many inputs the compiler makes half as many `pmaddwd` in this
        // form, and nothing else; of fewer it unrolls it, and makes none.
        let mut sums = [0i32; 8];
        for (w, x) in self.high.as_chunks().0.iter().zip(x.as_chunks().0) {
            let (w, x): (&[i16; 8], &[i16; 8]) = (w, x);
            for ((sum, &w), &x) in sums.iter_mut().zip(w).zip(x) {
                *sum = sum.wrapping_add(i32::from(w) * i32::from(x));
            }
        }
        sums.iter().fold(0, |sum, &lane| sum.wrapping_add(lane))
    }

    /// Adds `x * step` to the weights, saturating at ±8.0.
    #[inline(never)]
    fn learn(&mut self, x: &[i16; N], step_q20: i16) {
        self.add(x, step_q20);
    }

    #[inline(always)]
    fn add(&mut self, x: &[i16; N], step_q20: i16) {
        for ((high, low), &x) in self.high.iter_mut().zip(&mut self.low).zip(x) {
            let delta_q28 = i32::from(x) * i32::from(step_q20);
            let sum = low.wrapping_add(delta_q28 as u16);
            let carry = i16::from(sum < *low);
            // |x| < 2^15 - 1, so the upper half has room for the carry.
            let delta_high = ((delta_q28 >> 16) as i16).wrapping_add(carry);
            *high = high.saturating_add(delta_high);
            *low = sum;
        }
    }
}

/// One neuron with a weight set for each value of a context.
///
/// [`mix`](Self::mix) predicts; [`update`](Self::update) learns from the bit
/// that came, for the set last used.
#[derive(Debug, Clone)]
pub struct Mixer<const N: usize> {
    sets: Vec<WeightSet<N>>,
    /// The rate of each set in Q26 (Q16 and ten bits more, for the decay).
    rates_q26: Vec<u32>,
    last_rate_q26: u32,
    decay_shift: u32,
    selected: usize,
    p1_q16: u32,
}

impl<const N: usize> Mixer<N> {
    /// A mixer with `sets` (at least 1) weight sets, all weights at
    /// `weight_q16` (65536 is 1.0, the range is ±8.0). With n inputs that say
    /// much the same, begin at about 1/n; a little more for n weak ones.
    pub fn new(sets: usize, weight_q16: i32, rate: LearningRate) -> Self {
        const { assert!(N > 0 && N.is_multiple_of(8)) }
        let weight_q28 = weight_q16.clamp(-8 << 16, (8 << 16) - 1) << 12;
        let set = WeightSet {
            high: [(weight_q28 >> 16) as i16; N],
            low: [weight_q28 as u16; N],
        };
        let sets = sets.max(1);
        Mixer {
            sets: vec![set; sets],
            rates_q26: vec![rate.first_q16 << 10; sets],
            last_rate_q26: rate.last_q16 << 10,
            decay_shift: rate.decay_shift,
            selected: 0,
            p1_q16: 1 << 15,
        }
    }

    /// The number of weight sets.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// The weights of a set (beyond the last: the last), Q12: what
    /// [`mix`](Self::mix) multiplies with.
    pub fn weights_q12(&self, context: usize) -> &[i16; N] {
        &self.sets[context.min(self.sets.len() - 1)].high
    }

    /// How quickly a set (beyond the last: the last) learns at present, Q16:
    /// the first rate, if it never did.
    pub fn rate_q16(&self, context: usize) -> u32 {
        self.rates_q26[context.min(self.sets.len() - 1)] >> 10
    }

    /// Gives a set (beyond the last: the last) the weights and the rate that
    /// another mixer had learned: for models that begin with a prior.
    pub fn set_weights(&mut self, context: usize, weights_q12: &[i16; N], rate_q16: u32) {
        let context = context.min(self.sets.len() - 1);
        self.sets[context] = WeightSet {
            high: *weights_q12,
            low: [1 << 15; N],
        };
        self.rates_q26[context] = rate_q16.min(2047) << 10;
    }

    /// Mixes with the weight set of a context (beyond the last set: the last)
    /// and returns the prediction in the logistic domain, Q8, within
    /// ±[`STRETCH_MAX_Q8`].
    #[inline(always)]
    pub fn mix(&mut self, inputs: &Inputs<N>, context: usize) -> i32 {
        self.selected = context.min(self.sets.len() - 1);
        let dot_q20 = self.sets[self.selected].dot_q20(&inputs.x_q8);
        let x_q8 = (dot_q20.wrapping_add(1 << 11) >> 12).clamp(-STRETCH_MAX_Q8, STRETCH_MAX_Q8);
        self.p1_q16 = squash(x_q8);
        x_q8
    }

    /// The last prediction as a probability, in 1..=65535 of 65536.
    #[inline(always)]
    pub fn p1_q16(&self) -> u32 {
        self.p1_q16
    }

    /// Learns the bit that came. `inputs` are those given to
    /// [`mix`](Self::mix).
    #[inline(always)]
    pub fn update(&mut self, inputs: &Inputs<N>, bit: bool) {
        let step_q20 = self.step_q20(bit);
        self.sets[self.selected].learn(&inputs.x_q8, step_q20);
    }

    /// What a bit moves the weights by, for each unit of input; the rate of
    /// the set falls.
    #[inline(always)]
    fn step_q20(&mut self, bit: bool) -> i16 {
        let error_q16 = (i32::from(bit) << 16) - self.p1_q16 as i32;
        let rate_q26 = &mut self.rates_q26[self.selected];
        let rate_q16 = (*rate_q26 >> 10) as i32;
        *rate_q26 = decayed(*rate_q26, self.last_rate_q26, self.decay_shift);
        // At most 65535 * 2047 / 2^12, which fits.
        ((error_q16 * rate_q16 + (1 << 11)) >> 12) as i16
    }
}

/// [`Mixer::mix`] of several mixers of the same inputs, each with a context of
/// its own, at once; `out` takes the predictions, Q8. Quicker than one by one:
/// the inputs are fetched once.
#[inline(always)]
pub fn mix_all<const N: usize, const M: usize>(
    mixers: &mut [Mixer<N>; M],
    inputs: &Inputs<N>,
    contexts: [usize; M],
    out: &mut [i16; M],
) {
    for (mixer, context) in mixers.iter_mut().zip(contexts) {
        mixer.selected = context.min(mixer.sets.len() - 1);
    }
    for (mixer, out) in mixers.iter_mut().zip(out) {
        let dot_q20 = mixer.sets[mixer.selected].dot_q20(&inputs.x_q8);
        let x_q8 = (dot_q20.wrapping_add(1 << 11) >> 12).clamp(-STRETCH_MAX_Q8, STRETCH_MAX_Q8);
        mixer.p1_q16 = squash(x_q8);
        *out = x_q8 as i16;
    }
}

/// [`Mixer::update`] of several mixers at once.
#[inline(always)]
pub fn update_all<const N: usize, const M: usize>(
    mixers: &mut [Mixer<N>; M],
    inputs: &Inputs<N>,
    bit: bool,
) {
    let mut steps = [0; M];
    for (mixer, step) in mixers.iter_mut().zip(&mut steps) {
        *step = mixer.step_q20(bit);
    }
    learn_all(mixers, &inputs.x_q8, &steps);
}

#[inline(never)]
fn learn_all<const N: usize, const M: usize>(
    mixers: &mut [Mixer<N>; M],
    x: &[i16; N],
    steps: &[i16; M],
) {
    for (mixer, &step) in mixers.iter_mut().zip(steps) {
        mixer.sets[mixer.selected].add(x, step);
    }
}

/// A rate after one more step towards the last one, from either side.
#[inline(always)]
fn decayed(rate_q26: u32, last_q26: u32, shift: u32) -> u32 {
    let distance = rate_q26 as i32 - last_q26 as i32;
    (rate_q26 as i32 - (distance >> shift)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::stretch;
    use proptest::prelude::*;

    fn weights_q28<const N: usize>(set: &WeightSet<N>) -> Vec<i64> {
        let halves = set.high.iter().zip(&set.low);
        halves
            .map(|(&high, &low)| i64::from(high) << 16 | i64::from(low))
            .collect()
    }

    proptest! {
        /// The arithmetic in halves is that of whole weights.
        #[test]
        fn halves_add_up(
            high in prop::array::uniform8(prop_oneof![any::<i16>(), Just(i16::MAX), Just(i16::MIN)]),
            low in prop::array::uniform8(any::<u16>()),
            x in prop::array::uniform8(-2815..=2815i16),
            step in any::<i16>(),
        ) {
            let mut set = WeightSet { high, low };
            let before = weights_q28(&set);
            let dot: i64 = high.iter().zip(&x).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
            prop_assert_eq!(set.dot_q20(&x), dot as i32);
            set.learn(&x, step);
            for (i, after) in weights_q28(&set).into_iter().enumerate() {
                let sum = before[i] + i64::from(x[i]) * i64::from(step);
                // At the ends the upper half saturates and the lower does not.
                let (least, most) = (-1i64 << 31, (1i64 << 31) - 1);
                if (least..=most).contains(&sum) {
                    prop_assert_eq!(after, sum);
                } else {
                    prop_assert_eq!(after >> 16, sum.clamp(least, most) >> 16);
                }
            }
        }
    }

    #[test]
    fn many_inputs_are_summed_as_few() {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(747_796_405).wrapping_add(1);
            (seed >> 16) as i16
        };
        for _ in 0..100 {
            let set = WeightSet::<72> {
                high: std::array::from_fn(|_| next()),
                low: [0; 72],
            };
            let x = std::array::from_fn(|_| next() % 2816);
            let products = set.high.iter().zip(&x);
            let dot: i64 = products.map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
            assert_eq!(set.dot_q20(&x), dot as i32);
        }
    }

    #[test]
    fn a_mixer_is_a_gradient_step() {
        // One step compared with the formula in floats.
        let mut mixer = Mixer::<8>::new(3, 20_000, LearningRate::constant(500));
        let mut inputs = Inputs::new();
        for (i, p) in [60_000, 30_000, 1000, 65_000].into_iter().enumerate() {
            inputs.set(i, stretch(p));
        }
        let x: Vec<f64> = inputs
            .values()
            .iter()
            .map(|&x| f64::from(x) / 256.0)
            .collect();
        let dot: f64 = x.iter().map(|x| x * 20_000.0 / 65536.0).sum();
        let predicted = f64::from(mixer.mix(&inputs, 1)) / 256.0;
        assert!((predicted - dot).abs() < 0.01, "{predicted} {dot}");
        let p = 1.0 / (1.0 + (-dot).exp());
        assert!((f64::from(mixer.p1_q16()) / 65536.0 - p).abs() < 0.005);
        mixer.update(&inputs, true);
        let learned = weights_q28(&mixer.sets[1]);
        for (x, weight) in x.iter().zip(learned) {
            let exact = 20_000.0 / 65536.0 + x * (1.0 - p) * 500.0 / 65536.0;
            let off = weight as f64 / f64::from(1 << 28) - exact;
            assert!(off.abs() < 2e-4, "{off}");
        }
        // The other sets did not learn.
        assert!(
            weights_q28(&mixer.sets[0])
                .iter()
                .all(|&w| w == 20_000 << 12)
        );
    }

    #[test]
    fn rates_fall_to_the_last() {
        let rate = LearningRate::falling(1000, 100, 4);
        let mut mixer = Mixer::<8>::new(1, 0, rate);
        for i in 0..500 {
            let now = mixer.rates_q26[0] >> 10;
            let exact = 100.0 + 900.0 * (15.0f64 / 16.0).powi(i);
            assert!((f64::from(now) - exact).abs() < 2.0, "{i}: {now} {exact}");
            mixer.update(&Inputs::new(), true);
        }
        let limited = LearningRate::falling(u32::MAX, 5000, 99);
        assert_eq!(limited, LearningRate::falling(2047, 2047, 20));
    }

    #[test]
    fn contexts_beyond_the_last_use_the_last() {
        let mut mixer = Mixer::<8>::new(0, 1 << 16, LearningRate::constant(9));
        assert_eq!(mixer.sets(), 1);
        assert_eq!(mixer.mix(&Inputs::new(), usize::MAX), 0);
    }

    #[test]
    fn extreme_inputs_saturate() {
        let mut mixer = Mixer::<16>::new(1, 1 << 16, LearningRate::constant(2047));
        let mut inputs = Inputs::new();
        (0..16).for_each(|i| inputs.set(i, if i % 2 == 0 { i32::MAX } else { i32::MIN }));
        for i in 0..100_000 {
            mixer.mix(&inputs, 0);
            mixer.update(&inputs, i % 5000 < 2500);
        }
        assert!(mixer.mix(&inputs, 0).abs() <= STRETCH_MAX_Q8);
    }
}
