//! An exported model at work, integers only: what a file of it would cost and
//! how good the decoded picture is. No bitstream is written; the costs are
//! those of the coder's tables.

use crate::data::{Collection, Picture, center, ycocg_q13};
use crate::graph::lossy::{LATENT_Q, SCALE_Q};
use crate::lossy::{HYPER_FACTOR, step_of};
use crate::recipe::ValidationConfig;
use crate::train::Figures;
use rcodec_core::{Budget, Error, Limits, Result};
use rcodec_entropy::{AdaptiveExpGolomb, CostEstimator, Family, ParametricTables};
use rcodec_fixed::{Engine, QFormat, Shape, Tensor};
use rcodec_model::run::{Network, Scratch};
use rcodec_model::{Model, TensorData};

/// Order of the first escape codes.
const ESCAPE_ORDER: u32 = 2;
/// From `SCALE_Q` to scale indices.
const SCALE_SHIFT: u8 = SCALE_Q - 4;

/// A graph and its memory.
struct Part {
    network: Network,
    scratch: Scratch,
}

impl Part {
    fn new(model: &Model, name: &str, budget: &Budget) -> Result<Part> {
        let network = Network::new(model, name, budget)?;
        let scratch = network.scratch(1, budget)?;
        Ok(Part { network, scratch })
    }

    /// All outputs for these inputs.
    fn run(&mut self, engine: &Engine, inputs: &[&Tensor], quality: usize) -> Result<Vec<Tensor>> {
        let variants = vec![quality; self.network.selectors().len()];
        let outputs = self
            .network
            .run(engine, inputs, &variants, &mut self.scratch)?;
        (0..self.network.outputs().len())
            .map(|i| {
                let output = outputs.get(i);
                Tensor::from_values(output.shape(), output.q(), output.values().to_vec())
            })
            .collect()
    }

    /// The only output.
    fn run_one(&mut self, engine: &Engine, inputs: &[&Tensor], quality: usize) -> Result<Tensor> {
        Ok(self.run(engine, inputs, quality)?.swap_remove(0))
    }
}

/// An exported model, ready to code pictures.
pub struct IntegerCodec {
    engine: Engine,
    analysis: Part,
    synthesis: Part,
    hyper_analysis: Part,
    hyper_synthesis: Part,
    entries: Vec<Part>,
    trunk: Part,
    z_mean: Vec<i16>,
    z_scale: Vec<u8>,
    tables: ParametricTables,
}

/// A coded picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    /// Bits of the latents.
    pub bits_y: f64,
    /// Bits of the hyper latents.
    pub bits_z: f64,
    /// The decoded samples.
    pub rgb: Vec<u8>,
}

impl IntegerCodec {
    /// Takes a model's graphs.
    pub fn new(model: &Model) -> Result<IntegerCodec> {
        let budget = Budget::new(Limits::unlimited());
        let part = |name: &str| Part::new(model, name, &budget);
        let steps = model.parameter("steps")?;
        let (TensorData::I16(z_mean), TensorData::U8(z_scale)) = (
            &model.tensor("z.mean")?.data,
            &model.tensor("z.scale")?.data,
        ) else {
            return Err(Error::unsupported("a model of another kind"));
        };
        Ok(IntegerCodec {
            engine: Engine::new(),
            analysis: part("analysis")?,
            synthesis: part("synthesis")?,
            hyper_analysis: part("hyper_analysis")?,
            hyper_synthesis: part("hyper_synthesis")?,
            entries: (0..steps)
                .map(|step| part(&format!("entry{step}")))
                .collect::<Result<_>>()?,
            trunk: part("trunk")?,
            z_mean: z_mean.clone(),
            z_scale: z_scale.clone(),
            tables: ParametricTables::new(Family::Gaussian, 1)?,
        })
    }

    /// Codes a picture whose sides are multiples of 64.
    pub fn code(&mut self, picture: &Picture, quality: usize) -> Result<Coded> {
        let aligned = |side: usize| side > 0 && side.is_multiple_of(HYPER_FACTOR);
        if !aligned(picture.width) || !aligned(picture.height) {
            return Err(Error::parameter("sides that are no multiples of 64"));
        }
        let samples = picture.rgb.chunks_exact(3);
        let samples = samples.flat_map(|p| ycocg_q13([p[0], p[1], p[2]]));
        let shape = Shape::new(picture.height, picture.width, 3)?;
        let q13 = QFormat::new(crate::data::SAMPLE_Q)?;
        let x = Tensor::from_values(shape, q13, samples.collect())?;
        let engine = self.engine;
        let y = self.analysis.run_one(&engine, &[&x], quality)?;
        let (bits_z, z_hat) = self.code_z(&y, quality)?;
        let features = self.hyper_synthesis.run_one(&engine, &[&z_hat], quality)?;
        let (bits_y, y_hat) = self.code_y(&y, &features, quality)?;
        let x_hat = self.synthesis.run_one(&engine, &[&y_hat], quality)?;
        Ok(Coded {
            bits_y,
            bits_z,
            rgb: to_rgb(x_hat.values()),
        })
    }

    /// Bits of the hyper latents, and what the decoder has of them.
    fn code_z(&mut self, y: &Tensor, quality: usize) -> Result<(f64, Tensor)> {
        let mut z = self.hyper_analysis.run_one(&self.engine, &[y], quality)?;
        let channels = z.shape().channels;
        let means = &self.z_mean[quality * channels..][..channels];
        let scales = &self.z_scale[quality * channels..][..channels];
        let mut cost = Cost::new();
        for position in z.values_mut().chunks_exact_mut(channels) {
            for (value, (&mean, &scale)) in position.iter_mut().zip(means.iter().zip(scales)) {
                *value = cost.code(&self.tables, *value, mean, usize::from(scale))?;
            }
        }
        Ok((cost.bits(), z))
    }

    /// Bits of the latents, and what the decoder has of them.
    fn code_y(&mut self, y: &Tensor, features: &Tensor, quality: usize) -> Result<(f64, Tensor)> {
        let shape = y.shape();
        let (width, channels) = (shape.width, shape.channels);
        let mut y_hat = Tensor::zeros(shape, y.q())?;
        let mut cost = Cost::new();
        for (step, entry) in self.entries.iter_mut().enumerate() {
            let inputs = [features, &y_hat];
            let inputs = &inputs[..entry.network.inputs().len()];
            let context = entry.run_one(&self.engine, inputs, quality)?;
            let params = self.trunk.run(&self.engine, &[&context], quality)?;
            let (means, scales) = (params[0].values(), params[1].values());
            for (at, value) in y_hat.values_mut().iter_mut().enumerate() {
                let (position, channel) = (at / channels, at % channels);
                if step_of(position / width, position % width, channel, channels) == step {
                    let half = 1 << (SCALE_SHIFT - 1);
                    let scale = (scales[at].max(0) + half) >> SCALE_SHIFT;
                    let y = y.values()[at];
                    *value = cost.code(&self.tables, y, means[at], scale as usize)?;
                }
            }
        }
        Ok((cost.bits(), y_hat))
    }
}

/// What symbols cost.
struct Cost {
    estimator: CostEstimator,
    escape: AdaptiveExpGolomb,
}

impl Cost {
    fn new() -> Cost {
        Cost {
            estimator: CostEstimator::new(),
            escape: AdaptiveExpGolomb::new(ESCAPE_ORDER),
        }
    }

    /// Counts the symbol of a value in `LATENT_Q` and gives what the decoder
    /// makes of it.
    fn code(
        &mut self,
        tables: &ParametricTables,
        value: i16,
        mean: i16,
        scale: usize,
    ) -> Result<i16> {
        let half = 1 << (LATENT_Q - 1);
        let symbol = (i32::from(value) - i32::from(mean) + half) >> LATENT_Q;
        tables.code(&mut self.estimator, &mut self.escape, scale, 0, symbol)?;
        let decoded = (symbol << LATENT_Q) + i32::from(mean);
        Ok(decoded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16)
    }

    fn bits(&self) -> f64 {
        self.estimator.bits_q24() as f64 / f64::from(1 << 24)
    }
}

/// Y, Co, Cg in Q13 as 8-bit samples.
fn to_rgb(ycocg: &[i16]) -> Vec<u8> {
    ycocg
        .chunks_exact(3)
        .flat_map(|p| {
            let [y, co, cg] = [p[0], p[1], p[2]].map(i32::from);
            [y - cg + co, y + cg, y - cg - co].map(|v| (((v + 64) >> 7) + 128).clamp(0, 255) as u8)
        })
        .collect()
}

/// What validation in training computes, by the exported model.
pub fn validate_integer(
    codec: &mut IntegerCodec,
    rd_lambda: impl Fn(usize) -> f64,
    (pictures, config): (&Collection, &ValidationConfig),
) -> Result<Vec<Figures>> {
    let size = config.crop;
    let mut all: Vec<Figures> = Vec::new();
    for &quality in &config.qualities {
        let mut figures = Figures {
            quality,
            ..Figures::default()
        };
        let mut used = 0.0;
        let decodable = (0..pictures.len()).filter_map(|index| pictures.picture(index));
        for picture in decodable.take(config.pictures) {
            let crop = Picture {
                width: size,
                height: size,
                rgb: center(picture, size),
            };
            let coded = codec.code(&crop, quality)?;
            let errors = crop.rgb.iter().zip(&coded.rgb);
            let squares: f64 = errors.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
            let pixels = (size * size) as f64;
            figures.add(
                (coded.bits_y / pixels, coded.bits_z / pixels),
                squares / crop.rgb.len() as f64,
                rd_lambda(quality),
            );
            used += 1.0;
        }
        figures.divide(used);
        all.push(figures);
    }
    Ok(all)
}
