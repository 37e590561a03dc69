//! Stage C: the mixer of the stages' predictions.

/// Bits of fraction of predictions.
pub(crate) const FRACTION_BITS: u32 = 8;

/// The most inputs that the mixer may have.
pub(crate) const MAX_STAGES: usize = 8;

/// Weighs the predictions of the cascade by sign-LMS with steps normalised by
/// each input's mean magnitude.
pub(crate) struct StageMixer {
    stages: usize,
    weights_q16: [i64; MAX_STAGES],
    /// Running mean of the inputs' magnitudes, Q8 as the inputs, times 2^4.
    levels_q12: [i64; MAX_STAGES],
    inputs_q8: [i64; MAX_STAGES],
    mixed_q8: i64,
    rate_q16: i64,
}

impl StageMixer {
    /// A mixer of `cascade` inputs that begin with a weight of 1, and `others`
    /// that begin with 0.
    pub(crate) fn new(cascade: usize, others: usize, rate_q16: i64) -> Self {
        let mut weights_q16 = [0; MAX_STAGES];
        weights_q16[..cascade].fill(1 << 16);
        StageMixer {
            stages: cascade + others,
            weights_q16,
            levels_q12: [0; MAX_STAGES],
            inputs_q8: [0; MAX_STAGES],
            mixed_q8: 0,
            rate_q16,
        }
    }

    /// Mixes predictions (Q8, magnitudes below 2^44).
    #[inline(always)]
    pub(crate) fn mix(&mut self, inputs_q8: &[i64; MAX_STAGES]) -> i64 {
        self.inputs_q8 = *inputs_q8;
        let mut sum = 0i64;
        for (input, weight) in inputs_q8.iter().zip(&self.weights_q16).take(self.stages) {
            sum = sum.wrapping_add(input.wrapping_mul(*weight));
        }
        self.mixed_q8 = sum >> 16;
        self.mixed_q8
    }

    /// The weight of an input, Q16.
    #[inline(always)]
    pub(crate) fn weight_q16(&self, stage: usize) -> i64 {
        self.weights_q16[stage]
    }

    /// Learns what the mixture should have been.
    #[inline(always)]
    pub(crate) fn update(&mut self, target_q8: i64) {
        let sign = (target_q8 - self.mixed_q8).signum();
        for i in 0..self.stages {
            let input = self.inputs_q8[i];
            let level = &mut self.levels_q12[i];
            *level += ((input.abs() << 4) - *level) >> 5;
            let step = self.rate_q16 * input / ((*level >> 4) + 2);
            let weight = &mut self.weights_q16[i];
            *weight = (*weight + sign * step).clamp(-(4 << 16), 4 << 16);
        }
    }
}
