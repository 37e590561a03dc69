//! How long a step takes: to compare backends and to plan a run.

use super::gradient::{Engine, Trainer, noise_len};
use super::schedule::adam_step;
use super::{all_alike, upload};
use crate::codec::QUALITIES;
use crate::data::{Collection, CropOptions, Picture, Source};
use crate::nn::ops::{Adam, adamw};
use crate::random::{Purpose, Random};
use crate::recipe::Recipe;
use burn::tensor::{Tensor, TensorData};
use cpu_time::ProcessTime;
use rcodec_core::{Error, Result};
use std::sync::Arc;
use std::time::Instant;

/// Steps that are not counted: memory is allocated, kernels are tuned.
const WARM_UP: u64 = 2;

/// Medians over steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Milliseconds that passed.
    pub wall_ms: f64,
    /// Milliseconds of all CPUs.
    pub cpu_ms: f64,
    /// Loss of the last step, the same on all backends but for rounding.
    pub loss: f32,
}

/// Times `steps` steps of a recipe in floats, on made-up pictures.
pub fn speed<B: Trainer>(
    recipe: &Recipe,
    device: B::Device,
    (workers, steps): (usize, u64),
) -> Result<Speed> {
    let engine = Engine::<B>::new(recipe, device, workers)?;
    let layout = &engine.graphs().layout;
    let weights = layout.initial(recipe.seed);
    let zeros = vec![0.0; weights.len()];
    let mut adam = upload::<B>(
        &Adam {
            ema: weights.clone(),
            weights,
            mean: zeros.clone(),
            square: zeros,
        },
        engine.device(),
    );
    let decays = layout.decay_mask();
    let decays = Tensor::<B, 1>::from_data(TensorData::from(&decays[..]), engine.device());
    let source = source(recipe, noise_len(engine.graphs(), recipe.data.crop));
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    let mut loss = f32::NAN;
    for step in 0..WARM_UP + steps {
        let batch = source.batch(step)?;
        let (began, used) = (Instant::now(), ProcessTime::now());
        let (losses, gradient) = engine.gradient(&adam.weights, None, &batch);
        let norm = gradient.clone().powi_scalar(2).sum().sqrt();
        let norm = norm.into_data().to_vec::<f32>().unwrap_or_default();
        let step_of_adam = adam_step(&recipe.optimizer, step, norm[0]);
        let moved = std::mem::replace(&mut adam, all_alike(&decays));
        adam = adamw(moved, gradient, decays.clone(), &step_of_adam);
        // Waits for a device that works on its own.
        adam.weights.clone().narrow(0, 0, 1).into_data();
        if step >= WARM_UP {
            wall.push(began.elapsed().as_secs_f64() * 1e3);
            cpu.push(used.elapsed().as_secs_f64() * 1e3);
        }
        loss = losses.loss;
    }
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        let middle = all.get(all.len() / 2).copied();
        middle.ok_or_else(|| Error::parameter("at least one step"))
    };
    Ok(Speed {
        wall_ms: median(wall)?,
        cpu_ms: median(cpu)?,
        loss,
    })
}

/// Batches of one picture of waves and noise.
fn source(recipe: &Recipe, noise: usize) -> Source {
    let side = 2 * recipe.data.crop;
    let mut random = Random::at(recipe.seed, Purpose::Checks, 1);
    let rgb = (0..side * side * 3).map(|i| {
        let (x, y) = (i / 3 % side, i / 3 / side);
        let wave = (x as f32 * 0.1).sin() + (y as f32 * 0.05).cos();
        (128.0 + 40.0 * wave + 8.0 * random.normal()).clamp(0.0, 255.0) as u8
    });
    let picture = Picture {
        width: side,
        height: side,
        rgb: rgb.collect(),
    };
    Source {
        pictures: Arc::new(Collection::from_pictures(vec![picture])),
        crop: CropOptions {
            size: recipe.data.crop,
            min_scale: recipe.data.min_scale,
            unscaled_share: recipe.data.unscaled_share,
        },
        batch: recipe.data.batch,
        qualities: QUALITIES,
        noise,
        seed: recipe.seed,
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::recipe::tests::tiny;
    use burn::backend::Flex;

    #[test]
    fn steps_are_timed() {
        let speed = speed::<Flex>(&tiny(), Default::default(), (1, 3)).unwrap();
        assert!(speed.wall_ms > 0.0 && speed.loss.is_finite(), "{speed:?}");
    }
}
