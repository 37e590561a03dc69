//! The learning rate at each step.

use crate::nn::ops::AdamStep;
use crate::recipe::OptimizerConfig;

/// Linear warm-up, then half a cosine down to the last rate.
pub(super) fn learning_rate(config: &OptimizerConfig, step: u64) -> f32 {
    let (peak, last) = (config.learning_rate, config.final_learning_rate);
    if step < config.warmup_steps {
        return peak * (step + 1) as f32 / config.warmup_steps as f32;
    }
    let rest = config.steps.saturating_sub(config.warmup_steps).max(1);
    let t = ((step - config.warmup_steps) as f64 / rest as f64).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
    last + (peak - last) * cosine as f32
}

/// The numbers of a step for gradients of norm `grad_norm`.
pub(super) fn adam_step(config: &OptimizerConfig, step: u64, grad_norm: f32) -> AdamStep {
    let rate = learning_rate(config, step);
    let count = (step + 1) as f64;
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(count);
    // The average follows closely at first.
    let ema_decay = config
        .ema_decay
        .min((1.0 + step as f32) / (10.0 + step as f32));
    AdamStep {
        grad_scale: (config.clip_norm / grad_norm.max(1e-20)).min(1.0),
        beta1: config.beta1,
        beta2: config.beta2,
        rate: rate / correction(config.beta1) as f32,
        square_scale: (1.0 / correction(config.beta2).sqrt()) as f32,
        weight_decay: rate * config.weight_decay,
        ema_decay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::tiny;

    #[test]
    fn the_rate_rises_and_falls() {
        let config = tiny().optimizer;
        let rate = |step| learning_rate(&config, step);
        assert!(rate(0) < rate(10) && rate(10) < rate(19));
        assert_eq!(rate(config.warmup_steps), config.learning_rate);
        let last = rate(config.steps);
        assert!((last - config.final_learning_rate).abs() < 1e-9);
        assert!((config.warmup_steps..config.steps).all(|step| rate(step + 1) < rate(step)));
    }
}
