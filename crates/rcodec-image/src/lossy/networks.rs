//! A model at work: pictures to symbols and back.

use super::{
    ESCAPE_ORDER, HYPER_FACTOR, LATENT_FACTOR, LATENT_Q, QUALITIES, SAMPLE_Q, STEPS, rgb8,
    rounding::RateDistortion, scale_index, step_of, symbol_of, symbols::SymbolCoder, value_of,
    ycocg_q13,
};
use rcodec_core::{Budget, Error, Result};
use rcodec_entropy::{AdaptiveExpGolomb, BitCoder, CostEstimator, Family, ParametricTables};
use rcodec_fixed::{Engine, QFormat, Shape, Tensor};
use rcodec_model::run::{Network, Scratch};
use rcodec_model::{Model, TensorData};

/// A graph and its memory.
struct Part {
    network: Network,
    scratch: Scratch,
}

impl Part {
    /// Graph `name`, of that many inputs and outputs and no selector besides
    /// the quality.
    fn new(
        model: &Model,
        name: &str,
        (inputs, outputs): (usize, usize),
        budget: &Budget,
    ) -> Result<Part> {
        let network = Network::new(model, name, budget)?;
        let selectors = network.selectors();
        let fits = network.inputs().len() == inputs
            && network.outputs().len() == outputs
            && selectors.len() <= 1
            && selectors.iter().all(|s| s.count as usize == QUALITIES);
        if !fits {
            return Err(Error::unsupported("a model of another family"));
        }
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

/// A model of the family, ready to code pictures.
pub struct IntegerCodec {
    engine: Engine,
    analysis: Part,
    synthesis: Part,
    hyper_analysis: Part,
    hyper_synthesis: Part,
    entries: Vec<Part>,
    trunk: Part,
    /// `[quality][channel]`, in `LATENT_Q`.
    z_mean: Vec<i16>,
    /// `[quality][channel]`, indices of tables.
    z_scale: Vec<u8>,
    latents: usize,
    hyper_latents: usize,
    tables: ParametricTables,
    /// None: to the nearest symbol.
    rounding: Option<RateDistortion>,
}

/// What coding a picture costs and gives.
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
    /// Takes a model's graphs; their memory is charged to `budget`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model is of another family.
    pub fn new(model: &Model, engine: Engine, budget: &Budget) -> Result<IntegerCodec> {
        let part = |name: &str, sizes| Part::new(model, name, sizes, budget);
        let size = |name: &str| {
            let size = usize::try_from(model.parameter(name)?).ok();
            let size = size.filter(|size| (1..=1 << 16).contains(size));
            size.ok_or(Error::Unsupported("a size of the model".to_owned()))
        };
        let (latents, hyper_latents) = (size("latents")?, size("hyper_latents")?);
        if size("steps")? != STEPS || size("qualities")? != QUALITIES {
            return Err(Error::unsupported("a model of another family"));
        }
        let (TensorData::I16(z_mean), TensorData::U8(z_scale)) = (
            &model.tensor("z.mean")?.data,
            &model.tensor("z.scale")?.data,
        ) else {
            return Err(Error::unsupported("a model of another family"));
        };
        if [z_mean.len(), z_scale.len()] != [QUALITIES * hyper_latents; 2] {
            return Err(Error::unsupported("a model of another family"));
        }
        Ok(IntegerCodec {
            engine,
            analysis: part("analysis", (1, 1))?,
            synthesis: part("synthesis", (1, 1))?,
            hyper_analysis: part("hyper_analysis", (1, 1))?,
            hyper_synthesis: part("hyper_synthesis", (1, 1))?,
            entries: (0..STEPS)
                .map(|step| part(&format!("entry{step}"), (1 + usize::from(step > 0), 1)))
                .collect::<Result<_>>()?,
            trunk: part("trunk", (1, 2))?,
            z_mean: z_mean.clone(),
            z_scale: z_scale.clone(),
            latents,
            hyper_latents,
            tables: ParametricTables::new(Family::Gaussian, 1)?,
            rounding: None,
        })
    }

    /// Has an encoder's latents rounded so that rate and distortion together
    /// are least, instead of to the nearest symbol.
    pub fn optimise_rounding(&mut self) {
        self.rounding = Some(RateDistortion::new(&self.tables));
    }

    /// Latents `y` and hyper latents `z` of a picture of 8-bit RGB samples
    /// whose sides are multiples of 64.
    pub fn analyse(
        &mut self,
        rgb: &[u8],
        [width, height]: [usize; 2],
        quality: usize,
    ) -> Result<(Tensor, Tensor)> {
        check(width, height, quality)?;
        let samples = rgb.chunks_exact(3);
        let samples = samples.flat_map(|p| ycocg_q13([p[0], p[1], p[2]]));
        let shape = Shape::new(height, width, 3)?;
        let x = Tensor::from_values(shape, QFormat::new(SAMPLE_Q)?, samples.collect())?;
        let y = self.latents(&x, quality)?;
        let z = self.hyper_latents(&y, quality)?;
        Ok((y, z))
    }

    /// Latents `y` of a part of a picture: Y, Co, Cg in `SAMPLE_Q`, sides
    /// multiples of 64.
    pub fn latents(&mut self, x: &Tensor, quality: usize) -> Result<Tensor> {
        self.analysis.run_one(&self.engine, &[x], quality)
    }

    /// Hyper latents `z` of latents.
    pub fn hyper_latents(&mut self, y: &Tensor, quality: usize) -> Result<Tensor> {
        self.hyper_analysis.run_one(&self.engine, &[y], quality)
    }

    /// Codes latents, by an encoder, a decoder or an estimator of costs, and
    /// gives what the decoder has of `y`. A decoder passes [`None`].
    pub fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        latents: Option<(&Tensor, &Tensor)>,
        [width, height]: [usize; 2],
        quality: usize,
    ) -> Result<Tensor> {
        check(width, height, quality)?;
        let (y, z) = (latents.map(|l| l.0), latents.map(|l| l.1));
        let z_hat = self.code_z(coder, z, [width, height], quality)?;
        self.code_y(coder, y, &z_hat, [width, height], quality)
    }

    /// Codes the hyper latents and gives what the decoder has of them.
    pub fn code_z<C: BitCoder>(
        &self,
        coder: &mut C,
        z: Option<&Tensor>,
        [width, height]: [usize; 2],
        quality: usize,
    ) -> Result<Tensor> {
        let channels = self.hyper_latents;
        let means = &self.z_mean[quality * channels..][..channels];
        let scales = &self.z_scale[quality * channels..][..channels];
        let shape = Shape::new(height / HYPER_FACTOR, width / HYPER_FACTOR, channels)?;
        let mut z_hat = Tensor::zeros(shape, QFormat::new(LATENT_Q)?)?;
        let mut escape = AdaptiveExpGolomb::new(ESCAPE_ORDER);
        let given = given(z, shape)?;
        for (at, value) in z_hat.values_mut().iter_mut().enumerate() {
            let (mean, scale) = (means[at % channels], scales[at % channels]);
            let symbol = given.map_or(0, |z| symbol_of(z[at], mean));
            let scale = usize::from(scale);
            let symbol = self.tables.code(coder, &mut escape, scale, 0, symbol)?;
            *value = value_of(symbol, mean);
        }
        Ok(z_hat)
    }

    /// Codes the latents and gives what the decoder has of them.
    pub fn code_y<C: BitCoder>(
        &mut self,
        coder: &mut C,
        y: Option<&Tensor>,
        z_hat: &Tensor,
        [width, height]: [usize; 2],
        quality: usize,
    ) -> Result<Tensor> {
        let engine = &self.engine;
        let features = self.hyper_synthesis.run_one(engine, &[z_hat], quality)?;
        let channels = self.latents;
        let shape = Shape::new(height / LATENT_FACTOR, width / LATENT_FACTOR, channels)?;
        let mut y_hat = Tensor::zeros(shape, QFormat::new(LATENT_Q)?)?;
        let mut symbols = SymbolCoder::new([shape.height, shape.width, channels], &self.tables);
        let given = given(y, shape)?;
        for (step, entry) in self.entries.iter_mut().enumerate() {
            let inputs = [&features, &y_hat];
            let inputs = &inputs[..entry.network.inputs().len()];
            let context = entry.run_one(engine, inputs, quality)?;
            let params = self.trunk.run(engine, &[&context], quality)?;
            let (means, scales) = (&params[0], &params[1]);
            if [means.shape(), scales.shape()] != [shape; 2] {
                return Err(Error::unsupported("a model of another family"));
            }
            let (means, scales) = (means.values(), scales.values());
            for (at, value) in y_hat.values_mut().iter_mut().enumerate() {
                let (position, channel) = (at / channels, at % channels);
                let (row, column) = (position / shape.width, position % shape.width);
                if channel == 0 {
                    symbols.begin_position();
                }
                if step_of(row, column, channel, channels) != step {
                    continue;
                }
                let scale = scale_index(scales[at]);
                let symbol = given.map_or(0, |y| match &self.rounding {
                    Some(rounding) => rounding.symbol(y[at], means[at], scale),
                    None => symbol_of(y[at], means[at]),
                });
                let place = (step, [row, column, channel]);
                let symbol = symbols.code(coder, &self.tables, place, scale, symbol)?;
                *value = value_of(symbol, means[at]);
            }
        }
        Ok(y_hat)
    }

    /// The picture of decoded latents: Y, Co, Cg in `SAMPLE_Q`, for
    /// [`rgb8`](super::rgb8).
    pub fn synthesise(&mut self, y_hat: &Tensor, quality: usize) -> Result<Tensor> {
        let x_hat = self.synthesis.run_one(&self.engine, &[y_hat], quality)?;
        let shape = y_hat.shape();
        let sides = [shape.height, shape.width].map(|side| side.checked_mul(LATENT_FACTOR));
        let found = x_hat.shape();
        if sides != [Some(found.height), Some(found.width)] || found.channels != 3 {
            return Err(Error::unsupported("a model of another family"));
        }
        Ok(x_hat)
    }

    /// Costs and decoded samples of a picture, without writing anything.
    pub fn measure(&mut self, rgb: &[u8], sides: [usize; 2], quality: usize) -> Result<Coded> {
        let (y, z) = self.analyse(rgb, sides, quality)?;
        let bits = |cost: &CostEstimator| cost.bits_q24() as f64 / f64::from(1 << 24);
        let (mut cost_z, mut cost_y) = (CostEstimator::new(), CostEstimator::new());
        let z_hat = self.code_z(&mut cost_z, Some(&z), sides, quality)?;
        let y_hat = self.code_y(&mut cost_y, Some(&y), &z_hat, sides, quality)?;
        let x_hat = self.synthesise(&y_hat, quality)?;
        let samples = x_hat.values().chunks_exact(3);
        Ok(Coded {
            bits_y: bits(&cost_y),
            bits_z: bits(&cost_z),
            rgb: samples.flat_map(|p| rgb8([p[0], p[1], p[2]])).collect(),
        })
    }
}

/// The values of a tensor that must have that shape.
fn given(tensor: Option<&Tensor>, shape: Shape) -> Result<Option<&[i16]>> {
    match tensor {
        Some(tensor) if tensor.shape() != shape => Err(Error::parameter("latents of another size")),
        tensor => Ok(tensor.map(Tensor::values)),
    }
}

fn check(width: usize, height: usize, quality: usize) -> Result<()> {
    let is_aligned = |side: usize| side > 0 && side.is_multiple_of(HYPER_FACTOR);
    if !is_aligned(width) || !is_aligned(height) {
        return Err(Error::parameter("sides that are no multiples of 64"));
    }
    if quality >= QUALITIES {
        return Err(Error::parameter("qualities are 0 to 63"));
    }
    Ok(())
}
