//! Mixing in the logistic domain, as [`rcodec_entropy::logistic`] does it, in
//! a form that is inlined into the loop over samples.

use rcodec_entropy::logistic::{STRETCH_MAX_Q8, squash};

/// How quickly a layer learns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Rates in Q16, of the first decision and in the long run.
    pub(crate) first_q16: u32,
    pub(crate) last_q16: u32,
    /// The difference falls by `2^-decay` of itself with each decision.
    pub(crate) decay: u32,
}

/// One layer: a weight set for each value of a context.
#[derive(Clone, Debug)]
pub(crate) struct Layer<const N: usize> {
    /// Q20.
    weights: Vec<[i32; N]>,
    rates_q26: Vec<u32>,
    rate: Rate,
    selected: usize,
    p1_q16: u32,
}

impl<const N: usize> Layer<N> {
    /// A layer of `sets` weight sets, all weights at `weight_q16`.
    pub(crate) fn new(sets: usize, weight_q16: i32, rate: Rate) -> Self {
        Layer {
            weights: vec![[weight_q16 << 4; N]; sets],
            rates_q26: vec![rate.first_q16 << 10; sets],
            rate,
            selected: 0,
            p1_q16: 1 << 15,
        }
    }

    /// The mix of `inputs` (Q8) with the weights of a context, Q8.
    #[inline(always)]
    pub(crate) fn mix(&mut self, inputs: &[i32; N], context: usize) -> i32 {
        self.selected = context;
        let weights = &self.weights[context];
        let mut sums = [0i32; 8];
        let mut at = 0;
        while at < N {
            for lane in 0..8 {
                // Q14 times Q8: at most 2^17 times 2^12.
                sums[lane] += ((weights[at + lane] >> 6) * inputs[at + lane]) >> 6;
            }
            at += 8;
        }
        let [a, b, c, d, e, f, g, h] = sums;
        let sum_q16 = ((a + b) + (c + d)) + ((e + f) + (g + h));
        let x_q8 = ((sum_q16 + 128) >> 8).clamp(-STRETCH_MAX_Q8, STRETCH_MAX_Q8);
        self.p1_q16 = squash(x_q8);
        x_q8
    }

    /// The last mix as a probability of 65536.
    #[inline(always)]
    pub(crate) fn p1_q16(&self) -> u32 {
        self.p1_q16
    }

    /// Learns the decision.
    #[inline(always)]
    pub(crate) fn update(&mut self, inputs: &[i32; N], bit: bool) {
        let error_q16 = (i32::from(bit) << 16) - self.p1_q16 as i32;
        let rate_q26 = &mut self.rates_q26[self.selected];
        let step_q20 = (error_q16 * (*rate_q26 >> 10) as i32 + (1 << 11)) >> 12;
        let distance = *rate_q26 as i32 - (self.rate.last_q16 << 10) as i32;
        *rate_q26 = (*rate_q26 as i32 - (distance >> self.rate.decay)) as u32;
        let weights = &mut self.weights[self.selected];
        let mut i = 0;
        while i < N {
            let delta_q20 = (inputs[i] * step_q20 + 128) >> 8;
            weights[i] = (weights[i] + delta_q20).clamp(-WEIGHT_MAX_Q20, WEIGHT_MAX_Q20);
            i += 1;
        }
    }
}

/// No weight passes ±8.
const WEIGHT_MAX_Q20: i32 = (8 << 20) - 1;
