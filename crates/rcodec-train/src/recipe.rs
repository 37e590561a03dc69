//! Recipes: everything a training run depends on besides the data, as TOML.

use crate::codec::FAMILY;
use crate::export::parse_name;
use crate::graph::NetworkConfig;
use rcodec_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A training recipe (`models/recipes/*.toml`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Family, variant and version of the model, as in `image-lossy-s1`.
    pub name: String,
    /// Of initial weights, crops and noise.
    pub seed: u64,
    /// The sizes of the network.
    pub network: NetworkConfig,
    /// Crops.
    pub data: DataConfig,
    /// Steps and learning rates.
    pub optimizer: OptimizerConfig,
    /// When and on what to validate.
    pub validation: ValidationConfig,
}

/// `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Width and height of a crop, a multiple of 64.
    pub crop: usize,
    /// Crops in a step.
    pub batch: usize,
    /// The smallest scale of a crop, above 0 and up to 1.
    pub min_scale: f32,
    /// The share of crops in the original's scale.
    pub unscaled_share: f32,
}

/// `[optimizer]`: AdamW with warm-up and cosine decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Steps in all.
    pub steps: u64,
    /// Steps in which the learning rate rises.
    pub warmup_steps: u64,
    /// The highest learning rate.
    pub learning_rate: f32,
    /// The last one.
    pub final_learning_rate: f32,
    /// Decay of weights, per unit of learning rate.
    pub weight_decay: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of their squares.
    pub beta2: f32,
    /// Gradients of a larger norm are scaled down to it.
    pub clip_norm: f32,
    /// Decay of the averaged weights, which are validated and exported.
    pub ema_decay: f32,
    /// The share of MS-SSIM in the distortion, 0 to 1; the rest is squared
    /// error.
    #[serde(default)]
    pub ms_ssim_share: f32,
    /// The share of steps, at the end, in integer arithmetic.
    pub quantized_share: f32,
    /// Of matrix products in the steps before those.
    #[serde(default)]
    pub precision: Precision,
    /// Losses count by `lambda^-exponent`: 0.5 counts relative changes of the
    /// rate about evenly.
    pub lambda_exponent: f32,
}

/// What matrix products multiply. Weights, sums over a product's terms where
/// the hardware has it so, optimiser and everything else stay `f32`; so do the
/// steps in integer arithmetic, whose sums must be exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the exponents of `f32`, so that no loss needs scaling: for
    /// tensor cores. On a CPU it is slower.
    Bf16,
}

/// `[validation]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationConfig {
    /// Steps between validations.
    pub every: u64,
    /// Pictures at most.
    pub pictures: usize,
    /// Width and height of their middle, a multiple of 64.
    pub crop: usize,
    /// Quality steps.
    pub qualities: Vec<usize>,
}

impl Recipe {
    /// Reads and checks a recipe.
    pub fn read(path: &Path) -> Result<Recipe> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Parameter(format!("{}: {error}", path.display())))?;
        Recipe::parse(&text)
            .map_err(|error| Error::Parameter(format!("{}: {error}", path.display())))
    }

    /// Parses and checks a recipe.
    pub fn parse(text: &str) -> Result<Recipe> {
        let recipe: Recipe =
            toml::from_str(text).map_err(|error| Error::Parameter(error.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Fails if numbers contradict each other.
    pub(crate) fn check(&self) -> Result<()> {
        let family = parse_name(&self.name).0;
        if family != FAMILY {
            return Err(Error::Parameter(format!(
                "name: {:?} is of the family {family:?}; the codec takes {FAMILY}-VARIANT",
                self.name
            )));
        }
        self.network.check()?;
        let (data, optimizer, validation) = (&self.data, &self.optimizer, &self.validation);
        let sizes = [data.crop, validation.crop];
        if sizes.iter().any(|s| *s == 0 || !s.is_multiple_of(64)) {
            return Err(Error::parameter("crops are multiples of 64"));
        }
        if !(0.0 < data.min_scale && data.min_scale <= 1.0) {
            return Err(Error::parameter("data.min_scale is above 0 and up to 1"));
        }
        if !(1..=1 << 10).contains(&data.batch) || sizes.iter().any(|size| *size > 1 << 13) {
            return Err(Error::parameter("crops are up to 8192, batches 1 to 1024"));
        }
        if optimizer.steps == 0 || validation.every == 0 {
            return Err(Error::parameter(
                "steps and validation.every are at least 1",
            ));
        }
        if !(0.0..=1.0).contains(&optimizer.ms_ssim_share) {
            return Err(Error::parameter("optimizer.ms_ssim_share is 0 to 1"));
        }
        let decays = [optimizer.beta1, optimizer.beta2, optimizer.ema_decay];
        if decays.iter().any(|decay| !(0.0..1.0).contains(decay)) {
            return Err(Error::parameter("decays are from 0 to below 1"));
        }
        if validation
            .qualities
            .iter()
            .any(|&q| q >= crate::codec::QUALITIES)
        {
            return Err(Error::parameter("validation.qualities are 0 to 63"));
        }
        Ok(())
    }

    /// The first step of quantisation-aware training.
    pub fn quantized_from(&self) -> u64 {
        let share = f64::from(self.optimizer.quantized_share.clamp(0.0, 1.0));
        (self.optimizer.steps as f64 * (1.0 - share)).round() as u64
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The recipe of tests: as small as it gets.
    pub(crate) fn tiny() -> Recipe {
        Recipe::parse(include_str!("../../../models/recipes/example-tiny.toml")).unwrap()
    }

    /// Its network.
    pub(crate) fn tiny_network() -> NetworkConfig {
        tiny().network
    }

    #[test]
    fn the_recipes_of_the_project_are_valid() {
        let text = include_str!("../../../models/recipes/image-lossy-s.toml");
        let recipe = Recipe::parse(text).unwrap();
        assert!(recipe.quantized_from() < recipe.optimizer.steps);
        assert_eq!(tiny().name, "image-lossy-tiny1");
    }

    #[test]
    fn mistakes_are_named() {
        let text = include_str!("../../../models/recipes/example-tiny.toml");
        for (from, to) in [
            ("image-lossy-tiny1", "my-model1"),
            ("crop = 64", "crop = 65"),
            ("beta1 = 0.9", "beta1 = 1.5"),
            ("latents = ", "lattents = "),
            ("steps = ", "steps = 0 #"),
            ("beta2 = ", "precision = \"f8\"\nbeta2 = "),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text);
            assert!(Recipe::parse(&wrong).is_err(), "{to}");
        }
    }
}
