//! burn's fake-quantised forward against the integer engine: not close, equal.
//!
//! burn runs in `f64` here, in which sums of integers are exact, so that what
//! differs is a difference of rules. (In training it runs in `f32`, which
//! rounds sums of more than 24 bits; those are off by less than a unit.)

use crate::codec::{IntegerCodec, LATENT_Q, SAMPLE_Q, ycocg_q13};
use crate::data::{Collection, center};
use crate::graph::lossy::LossyGraphs;
use crate::graph::{Graph, Layout, NetworkConfig};
use crate::lossy::{Masks, Rounding, forward};
use crate::nn::{Network, Qualities, Scales};
use crate::recipe::ValidationConfig;
use burn::backend::Flex;
use burn::tensor::{DType, Tensor, TensorData};
use rcodec_core::{Budget, Error, Limits, Result};
use rcodec_entropy::CostEstimator;
use rcodec_fixed::{Engine, Level};
use rcodec_model::Model;
use rcodec_model::run;

/// Numbers of threads that must give the same.
const THREADS: [usize; 3] = [1, 2, 4];

/// burn's side: weights rounded by the integer rules, in `f64`.
pub struct Reference<'a> {
    layout: &'a Layout,
    config: &'a NetworkConfig,
    weights: Vec<Tensor<Flex, 1>>,
    scales: Scales<Flex>,
}

impl<'a> Reference<'a> {
    /// For graphs that share a layout.
    pub fn new(
        graphs: &[&Graph],
        layout: &'a Layout,
        config: &'a NetworkConfig,
        values: &[f32],
    ) -> Result<Reference<'a>> {
        let device = Default::default();
        let on = (&device, DType::F64);
        let scales = Scales::new(graphs, layout, config, values, 1.0, on)?;
        let tensor = |values: &[f32]| {
            Tensor::<Flex, 1>::from_data(TensorData::from(values), on.0).cast(DType::F64)
        };
        let weights = layout
            .params
            .iter()
            .map(|spec| tensor(&values[spec.range()]));
        Ok(Reference {
            layout,
            config,
            weights: weights.collect(),
            scales,
        })
    }

    fn network(&self) -> Network<'_, Flex> {
        Network::new(self.layout, self.weights.clone(), Some(&self.scales))
    }

    /// The outputs of a graph as integers of their formats.
    pub fn run(
        &self,
        graph: &Graph,
        inputs: &[&rcodec_fixed::Tensor],
        quality: usize,
    ) -> Vec<Vec<f64>> {
        let device = Default::default();
        let floats: Vec<Tensor<Flex, 4>> = inputs
            .iter()
            .map(|input| {
                let shape = input.shape();
                let unit = f64::from(1u32 << input.q().bits());
                let real = input.values().iter().map(|&n| f64::from(n) / unit);
                let dims = [1, shape.height, shape.width, shape.channels];
                let data = TensorData::new(real.collect::<Vec<f64>>(), dims);
                Tensor::from_data(data, (&device, DType::F64))
            })
            .collect();
        let qualities = Qualities::new(&[quality], self.config, (&device, DType::F64));
        let outputs = self.network().run(graph, &floats, &qualities);
        let formats = graph.outputs.iter().map(|&output| graph.node(output).q);
        outputs
            .into_iter()
            .zip(formats)
            .map(|(output, q)| integers(output, q))
            .collect()
    }
}

/// A tensor's values as integers, which they must be (what is none, stays a
/// fraction and compares unequal).
fn integers(tensor: Tensor<Flex, 4>, q: u8) -> Vec<f64> {
    let unit = f64::from(1u32 << q);
    let values: Vec<f64> = tensor.into_data().to_vec().unwrap_or_default();
    values.into_iter().map(|value| value * unit).collect()
}

/// Compares all outputs of a model's graph at every level of this machine and
/// on 1, 2 and 4 threads; gives the number of integers compared.
///
/// # Errors
/// [`Error::Parameter`] naming the first difference.
pub fn compare_graph(
    reference: &Reference<'_>,
    graph: &Graph,
    model: &Model,
    inputs: &[&rcodec_fixed::Tensor],
    quality: usize,
) -> Result<u64> {
    let expected = reference.run(graph, inputs, quality);
    let count = model.graph(&graph.name)?.0.selectors.len();
    let variants = vec![quality; count];
    compare_outputs(&expected, model, &graph.name, inputs, &variants)
}

/// Compares all outputs of a model's graph with what is expected, at every
/// level of this machine and on 1, 2 and 4 threads; gives the number of
/// integers compared.
///
/// # Errors
/// [`Error::Parameter`] naming the first difference.
pub fn compare_outputs(
    expected: &[Vec<f64>],
    model: &Model,
    graph: &str,
    inputs: &[&rcodec_fixed::Tensor],
    variants: &[usize],
) -> Result<u64> {
    let budget = Budget::new(Limits::unlimited());
    let network = run::Network::new(model, graph, &budget)?;
    let mut compared = 0;
    for (level, threads) in settings() {
        let engine = engine(level)?;
        let mut scratch = network.scratch(1, &budget)?;
        let outputs = on_threads(threads, || {
            network.run(&engine, inputs, variants, &mut scratch)
        })??;
        for (i, expected) in expected.iter().enumerate() {
            let place = || {
                let level = level.name();
                format!("{graph}, output {i}, {level}, {threads} threads, variants {variants:?}")
            };
            compared += same(expected, outputs.get(i).values(), place)?;
        }
    }
    Ok(compared)
}

/// Compares latents and decoded samples of whole pictures (the middle of each)
/// at every level and number of threads; gives the number of integers compared.
///
/// # Errors
/// [`Error::Parameter`] naming the first difference.
pub fn compare_pictures(
    graphs: &LossyGraphs,
    values: &[f32],
    model: &Model,
    (pictures, config): (&Collection, &ValidationConfig),
) -> Result<u64> {
    let all = graphs.all();
    let reference = Reference::new(&all, &graphs.layout, &graphs.config, values)?;
    let size = config.crop;
    let decodable = (0..pictures.len()).filter_map(|index| pictures.picture(index));
    let mut compared = 0;
    for picture in decodable.take(config.pictures) {
        let rgb = center(picture, size);
        for &quality in &config.qualities {
            compared += compare_picture(graphs, &reference, model, (&rgb, size), quality)?;
        }
    }
    Ok(compared)
}

fn compare_picture(
    graphs: &LossyGraphs,
    reference: &Reference<'_>,
    model: &Model,
    (rgb, size): (&[u8], usize),
    quality: usize,
) -> Result<u64> {
    let device = Default::default();
    let on = (&device, DType::F64);
    let unit = f64::from(1u32 << SAMPLE_Q);
    let samples = rgb
        .chunks_exact(3)
        .flat_map(|p| ycocg_q13([p[0], p[1], p[2]]));
    let real: Vec<f64> = samples.map(|n| f64::from(n) / unit).collect();
    let x = Tensor::from_data(TensorData::new(real, [1, size, size, 3]), on);
    let outcome = forward(
        graphs,
        &reference.network(),
        &Qualities::new(&[quality], &graphs.config, on),
        &Masks::new(graphs, [1, size, size], on),
        x,
        (&Rounding::Hard, false),
    );
    let y_expected = integers(outcome.y_hat, LATENT_Q);
    let x_expected = integers(outcome.x_hat, SAMPLE_Q);
    let mut compared = 0;
    for (level, threads) in settings() {
        let budget = Budget::new(Limits::unlimited());
        let mut codec = IntegerCodec::new(model, engine(level)?, &budget)?;
        let sides = [size, size];
        let (y_hat, x_hat) = on_threads(threads, || {
            let (y, z) = codec.analyse(rgb, sides, quality)?;
            let latents = Some((&y, &z));
            let y_hat = codec.code(&mut CostEstimator::new(), latents, sides, quality)?;
            let x_hat = codec.synthesise(&y_hat, quality)?;
            Ok::<_, Error>((y_hat, x_hat))
        })??;
        let place = |what: &str| {
            let level = level.name();
            format!("{what}, {level}, {threads} threads, quality {quality}")
        };
        compared += same(&y_expected, y_hat.values(), || place("latents"))?;
        compared += same(&x_expected, x_hat.values(), || place("samples"))?;
    }
    Ok(compared)
}

/// Every level and number of threads.
fn settings() -> impl Iterator<Item = (Level, usize)> {
    let levels = Level::available().into_iter();
    levels.flat_map(|level| THREADS.map(|threads| (level, threads)))
}

fn engine(level: Level) -> Result<Engine> {
    Engine::at(level).ok_or_else(|| Error::unsupported(level.name()))
}

fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Error::unsupported(error.to_string()))?;
    Ok(pool.install(f))
}

fn same(expected: &[f64], given: &[i16], place: impl Fn() -> String) -> Result<u64> {
    let differs = |what: String| Error::Parameter(format!("{}: {what}", place()));
    if expected.len() != given.len() {
        let (expected, given) = (expected.len(), given.len());
        return Err(differs(format!(
            "{expected} values in burn, {given} in integers"
        )));
    }
    for (at, (expected, given)) in expected.iter().zip(given).enumerate() {
        if *expected != f64::from(*given) {
            let what = format!("value {at} is {expected} in burn, {given} in integers");
            return Err(differs(what));
        }
    }
    Ok(given.len() as u64)
}
