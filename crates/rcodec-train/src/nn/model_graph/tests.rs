//! Every operation of a model file: burn and all levels of the engine give the
//! same integers.

use super::*;
use crate::export::equality::compare_outputs;
use crate::random::{Purpose, Random};
use burn::backend::{Autodiff, Flex};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rcodec_core::{Budget, Limits};
use rcodec_fixed::{Engine, Level, QFormat, Shape};
use rcodec_model::graph::GraphKind;
use rcodec_model::quantize::{
    GraphBuilder, LayerOptions, ModelBuilder, Quantized, Scales, Value, quantize_rows, table_values,
};
use std::cell::Cell;

/// Cases of each kind of operation.
const CASES: u32 = 24;
/// Fractional bits of sums that go into tables.
const SUMS_Q: u8 = 9;

/// One operation and its input.
#[derive(Clone, Debug)]
struct Case {
    height: usize,
    width: usize,
    channels: usize,
    outputs: usize,
    q_in: u8,
    q_out: u8,
    /// Picks among the operation's variants.
    kind: usize,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1usize..9, 1usize..12, 1usize..20, 1usize..20);
    (shape, 5u8..12, 5u8..12, 0usize..60, any::<u64>()).prop_map(
        |((height, width, channels, outputs), q_in, q_out, kind, seed)| Case {
            height,
            width,
            channels,
            outputs,
            q_in,
            q_out,
            kind,
            seed,
        },
    )
}

impl Case {
    fn random(&self, purpose: u64) -> Random {
        Random::at(self.seed, Purpose::Checks, purpose)
    }

    fn activation(&self) -> Activation {
        match self.kind % 3 {
            0 => Activation::Identity,
            1 => Activation::Clip { lo: -900, hi: 2500 },
            _ => Activation::LeakyRelu { shift: 3, hi: 9000 },
        }
    }

    fn options(&self) -> LayerOptions {
        LayerOptions {
            activation: self.activation(),
            stride: 1 + (self.kind / 3 % 2) as u8,
            padding: [Padding::Zero, Padding::Replicate][self.kind / 6 % 2],
            ..LayerOptions::new(self.q_out)
        }
    }

    fn gate(&self) -> Gate {
        Gate {
            shift: (self.kind % 13) as u8,
            activation: Activation::Clip { lo: 0, hi: 4000 },
        }
    }

    /// Weights of `outputs` sums of `window` products, of a size that gives
    /// sums of hundreds, some of them more than saturated.
    fn weights(
        &self,
        (input_q, input_max): (i32, u32),
        (outputs, window): (usize, usize),
        (q, weight_bits): (u8, u8),
    ) -> Quantized {
        let mut random = self.random(1);
        let unit = match weight_bits {
            8 => 8.0,
            _ => 1.0,
        };
        let deviation = unit * 2f32.powi(input_q - i32::from(q)) / (window as f32).sqrt();
        let weights: Vec<f32> = (0..outputs * window)
            .map(|_| deviation * random.normal())
            .collect();
        let bias: Vec<f32> = (0..outputs).map(|_| 0.3 * random.normal()).collect();
        let scales = Scales {
            input_q,
            output_q: i32::from(q),
            input_max,
            weight_bits,
        };
        quantize_rows(&weights, &bias, &scales).unwrap()
    }

    /// Of 16 bits, for a value of the graph.
    fn words(&self, g: &GraphBuilder<'_>, x: Value, size: (usize, usize)) -> Quantized {
        let input = (i32::from(g.info(x).q), g.max_abs(x));
        self.weights(input, size, (self.q_out, 14))
    }

    /// Of 8 bits, for a value narrowed by `narrow`.
    fn bytes(&self, q_in: u8, narrow: u8, size: (usize, usize), q: u8) -> Quantized {
        let input = (i32::from(q_in) - i32::from(narrow), 128);
        self.weights(input, size, (q, 8))
    }
}

/// Integers of an input, some of them extreme.
fn input(case: &Case, (height, width): (usize, usize)) -> rcodec_fixed::Tensor {
    let shape = Shape::new(height, width, case.channels).unwrap();
    let mut random = case.random(2);
    let values = (0..shape.checked_len().unwrap()).map(|_| match random.below(20) {
        0 => i16::MIN,
        1 => i16::MAX,
        _ => (2000.0 * random.normal()) as i16,
    });
    let values = values.collect();
    rcodec_fixed::Tensor::from_values(shape, QFormat::new(case.q_in).unwrap(), values).unwrap()
}

fn to_burn(x: &rcodec_fixed::Tensor) -> Tensor<Flex, 4> {
    let shape = x.shape();
    let values: Vec<f64> = x.values().iter().map(|&v| v.into()).collect();
    let values = TensorData::new(values, [1, shape.height, shape.width, shape.channels]);
    Tensor::from_data(values, (&Default::default(), DType::F64))
}

fn to_values(x: Tensor<Flex, 4>) -> Vec<f64> {
    x.into_data().to_vec().unwrap()
}

/// A model of one graph.
fn model(case: &Case, kind: GraphKind, make: &Make) -> Model {
    let mut builder = ModelBuilder::new();
    let selectors: &[(&str, u32)] = match kind {
        GraphKind::Spatial => &[("quality", 5)],
        _ => &[],
    };
    let mut g = builder.graph("graph", kind, selectors).unwrap();
    let stride = if kind == GraphKind::Spatial { 8 } else { 1 };
    let x = g
        .input("x", case.channels, (case.q_in, 1 << 15), stride)
        .unwrap();
    let y = make(case, &mut g, x);
    g.finish(&[("y", y)]).unwrap();
    builder.data.build().unwrap().0
}

type Make = dyn Fn(&Case, &mut GraphBuilder<'_>, Value) -> Value;

fn compare(case: &Case, kind: GraphKind, make: &Make) -> u64 {
    let model = model(case, kind, make);
    let height = match kind {
        GraphKind::Spatial => case.height,
        _ => 1,
    };
    let x = input(case, (height, case.width));
    let variants: &[usize] = match kind {
        GraphKind::Spatial => &[case.kind % 5],
        _ => &[],
    };
    let on = (&Default::default(), DType::F64);
    let graph = ModelGraph::<Flex>::new(&model, "graph", on).unwrap();
    let outputs = graph.run(&[to_burn(&x)], variants).unwrap();
    let expected: Vec<Vec<f64>> = outputs.into_iter().map(to_values).collect();
    compare_outputs(&expected, &model, "graph", &[&x], variants).unwrap()
}

/// All cases of an operation.
fn check(name: &str, kind: GraphKind, make: &Make) {
    let compared = Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&cases(), |case| {
        compared.set(compared.get() + compare(&case, kind, make));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
    println!("{name}: {CASES} cases, {} integers equal", compared.get());
    assert!(compared.get() > 0);
}

#[test]
fn convolutions_of_every_window() {
    check(
        "convolution, model file",
        GraphKind::Spatial,
        &|case, g, x| {
            let kernel = [1, 3, 5, 7][case.kind / 12 % 4];
            let window = kernel * kernel * case.channels;
            let w = case.words(g, x, (case.outputs, window));
            g.conv("y", x, kernel, &w, case.options()).unwrap()
        },
    );
    check(
        "gated convolution, model file",
        GraphKind::Spatial,
        &|case, g, x| {
            let w = case.words(g, x, (2 * case.outputs, 9 * case.channels));
            let options = LayerOptions {
                gate: Some(case.gate()),
                ..case.options()
            };
            g.conv("y", x, 3, &w, options).unwrap()
        },
    );
    check(
        "depthwise convolution, model file",
        GraphKind::Spatial,
        &|case, g, x| {
            let kernel = [3, 5][case.kind / 12 % 2];
            let w = case.words(g, x, (case.channels, kernel * kernel));
            g.depthwise("y", x, kernel, &w, case.options()).unwrap()
        },
    );
}

#[test]
fn transposed_convolutions_and_shuffles() {
    check(
        "transposed convolution",
        GraphKind::Spatial,
        &|case, g, x| {
            let kernel = 2 + case.kind % 4;
            let w = case.words(g, x, (case.outputs, kernel * kernel * case.channels));
            let dims = [case.outputs, kernel, kernel, case.channels];
            let (weights, requant) = g.affine("y", &dims, &w, case.activation()).unwrap();
            let op = Op::TransposedConv { weights, requant };
            g.push("y", op, x, LayerOptions::new(case.q_out)).unwrap()
        },
    );
    check(
        "pixel-unshuffle and back",
        GraphKind::Spatial,
        &|case, g, x| {
            let factor = [2, 4, 8][case.kind % 3];
            let x = g.unshuffle("squares", x, factor).unwrap();
            g.shuffle("y", x, factor).unwrap()
        },
    );
}

#[test]
fn matrices_gains_and_products() {
    check("matrix of 16 bits", GraphKind::Spatial, &|case, g, x| {
        let w = case.words(g, x, (case.outputs, case.channels));
        g.dense("y", x, None, &w, case.options()).unwrap()
    });
    check(
        "gated matrix of 8 bits",
        GraphKind::Spatial,
        &|case, g, x| {
            let narrow = (case.kind % 9) as u8;
            let size = (2 * case.outputs, case.channels);
            let w = case.bytes(case.q_in, narrow, size, case.q_out);
            let options = LayerOptions {
                gate: Some(case.gate()),
                ..case.options()
            };
            g.dense("y", x, Some(narrow), &w, options).unwrap()
        },
    );
    check("gains", GraphKind::Spatial, &|case, g, x| {
        let w = case.words(g, x, (5 * case.channels, 1));
        g.gain("y", x, Some("quality"), &w, case.options()).unwrap()
    });
    check(
        "halves as gates, products, sums",
        GraphKind::Spatial,
        &|case, g, x| {
            let w = case.words(g, x, (2 * case.outputs, case.channels));
            let x = g.dense("sums", x, None, &w, case.options()).unwrap();
            let plain = LayerOptions::new(case.q_out);
            let op = Op::GateHalves {
                activation: case.activation(),
                gate: case.gate(),
            };
            let a = g.push("halves", op, x, plain).unwrap();
            let op = Op::Multiply {
                by: "halves".to_owned(),
            };
            let b = g.push("square", op, a, plain).unwrap();
            let add = LayerOptions {
                add: Some(b),
                ..plain
            };
            g.push("y", Op::Add, a, add).unwrap()
        },
    );
}

/// A function of values of `q` fractional bits.
fn table(
    g: &mut GraphBuilder<'_>,
    (name, function): (&str, fn(f64) -> f64),
    q: (u8, u8),
    interpolate: bool,
) -> Table {
    let values = table_values(function, (12, 7), q).unwrap();
    let values = g.tensor(name, "table", &[129], Elements::I16(values));
    Table {
        range_bits: 12,
        interpolate,
        values: values.unwrap(),
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn activations_by_formula_and_by_table() {
    check("activation", GraphKind::Spatial, &|case, g, x| {
        let activation = case.activation();
        g.push(
            "y",
            Op::Activate { activation },
            x,
            LayerOptions::new(case.q_in),
        )
        .unwrap()
    });
    check("table", GraphKind::Spatial, &|case, g, x| {
        let q = (case.q_in, case.q_out);
        let table = table(g, ("y", f64::tanh), q, case.kind.is_multiple_of(2));
        g.push("y", Op::Lookup { table }, x, LayerOptions::new(case.q_out))
            .unwrap()
    });
}

fn causal(case: &Case, g: &mut GraphBuilder<'_>, x: Value) -> Value {
    let taps = 1 + case.kind % 4;
    let gate = (case.kind.is_multiple_of(2)).then(|| case.gate());
    let sums = case.outputs << usize::from(gate.is_some());
    let w = case.words(g, x, (sums, taps * case.channels));
    let dims = [sums, taps, case.channels];
    let (weights, requant) = g.affine("y", &dims, &w, case.activation()).unwrap();
    let op = Op::CausalConv {
        dilation: 1 + (case.kind / 4 % 4) as u32,
        weights,
        requant,
        gate,
    };
    g.push("y", op, x, LayerOptions::new(case.q_out)).unwrap()
}

fn min_gru(case: &Case, g: &mut GraphBuilder<'_>, x: Value) -> Value {
    let narrow = (case.kind % 9) as u8;
    let size = (2 * case.outputs, case.channels);
    let w = case.bytes(case.q_in, narrow, size, SUMS_Q);
    let dims = [size.0, size.1];
    let (weights, requant) = g
        .byte_affine("cell", &dims, &w, Activation::Identity)
        .unwrap();
    let has_table = case.kind.is_multiple_of(2);
    let candidate = has_table.then(|| table(g, ("candidate", f64::tanh), (SUMS_Q, 12), true));
    let op = Op::MinGru {
        narrow,
        weights,
        requant,
        update: table(g, ("update", sigmoid), (SUMS_Q, 15), true),
        candidate,
        guard: (case.kind % 14) as u8,
    };
    let q = if has_table { 12 } else { SUMS_Q };
    g.push("cell", op, x, LayerOptions::new(q)).unwrap()
}

fn gru(case: &Case, g: &mut GraphBuilder<'_>, x: Value) -> Value {
    let (narrow, sums) = ((case.kind % 9) as u8, 3 * case.outputs);
    let w = case.bytes(case.q_in, narrow, (sums, case.channels), SUMS_Q);
    let dims = [sums, case.channels];
    let (weights, requant) = g
        .byte_affine("gru", &dims, &w, Activation::Identity)
        .unwrap();
    let w = case.bytes(12, 5, (sums, case.outputs), SUMS_Q);
    let dims = [sums, case.outputs];
    let (hidden_weights, hidden_requant) = g
        .byte_affine("hidden", &dims, &w, Activation::Identity)
        .unwrap();
    let op = Op::Gru {
        narrow,
        weights,
        requant,
        hidden_narrow: 5,
        hidden_weights,
        hidden_requant,
        gate: table(g, ("gate", sigmoid), (SUMS_Q, 15), true),
        candidate: table(g, ("candidate", f64::tanh), (SUMS_Q, 12), true),
        guard: (case.kind % 14) as u8,
    };
    g.push("gru", op, x, LayerOptions::new(12)).unwrap()
}

#[test]
fn layers_over_time() {
    check("dilated causal convolution", GraphKind::Frames, &causal);
    check("minGRU", GraphKind::Frames, &min_gru);
    check("GRU", GraphKind::Frames, &gru);
}

#[test]
fn streams_in_lockstep() {
    let mut compared = 0;
    for kind in 0..14 {
        let case = Case {
            height: 1,
            width: 9,
            channels: 13,
            outputs: 11,
            q_in: 10,
            q_out: 9,
            kind,
            seed: 7,
        };
        for make in [&min_gru as &Make, &gru] {
            let model = model(&case, GraphKind::Streams, make);
            // Time by streams.
            let (steps, streams) = (12, case.width);
            let x = input(&case, (steps, streams));
            let on = (&Default::default(), DType::F64);
            let graph = ModelGraph::<Flex>::new(&model, "graph", on).unwrap();
            let by_stream = to_burn(&x).permute([2, 0, 1, 3]);
            let dims = [streams, 1, steps, case.channels];
            let expected = graph.run(&[by_stream.reshape(dims)], &[]).unwrap();
            let expected = expected[0].clone().permute([1, 2, 0, 3]);
            let expected = to_values(expected);
            for level in Level::available() {
                let engine = Engine::at(level).unwrap();
                let budget = Budget::new(Limits::unlimited());
                let network = rcodec_model::run::Network::new(&model, "graph", &budget).unwrap();
                let mut scratch = network.scratch(streams, &budget).unwrap();
                let mut given = Vec::new();
                for step in x.values().chunks_exact(streams * case.channels) {
                    let shape = Shape::new(1, streams, case.channels).unwrap();
                    let step =
                        rcodec_fixed::Tensor::from_values(shape, x.q(), step.to_vec()).unwrap();
                    let outputs = network.run(&engine, &[&step], &[], &mut scratch).unwrap();
                    given.extend(outputs.get(0).values().iter().map(|&v| f64::from(v)));
                }
                assert!(given == expected, "{level:?}, kind {kind}");
                compared += given.len();
            }
        }
    }
    println!("cells of streams in lockstep: {compared} integers equal");
}

/// A recurrent model's weights learn under its own integer rules, and what is
/// written back gives the very outputs that training saw.
#[test]
fn a_model_can_be_trained_on_in_its_integers() {
    type Train = Autodiff<Flex>;
    let case = Case {
        height: 1,
        width: 16,
        channels: 6,
        outputs: 5,
        q_in: 10,
        q_out: 9,
        kind: 4,
        seed: 3,
    };
    let model = model(&case, GraphKind::Frames, &min_gru);
    let device = Default::default();
    let x = input(&case, (1, case.width));
    let tensor = |x: Tensor<Flex, 4>| Tensor::<Train, 4>::from_inner(x.cast(DType::F32));
    let mut graph = ModelGraph::<Train>::new(&model, "graph", (&device, DType::F32)).unwrap();
    let loss_of = |graph: &ModelGraph<'_, Train>| {
        let y = graph.run(&[tensor(to_burn(&x))], &[]).unwrap().remove(0);
        // Towards a quarter of full scale.
        (y.sub_scalar(1024.0) * (1.0 / 4096.0))
            .powi_scalar(2)
            .mean()
    };
    let first = loss_of(&graph).into_scalar();
    for round in 0..40 {
        let names: Vec<&str> = graph.weights().keys().copied().collect();
        for name in &names {
            let leaf = graph.weights()[name].clone().detach().require_grad();
            graph.set_weights(name, leaf).unwrap();
        }
        let grads = loss_of(&graph).backward();
        for name in &names {
            let leaf = graph.weights()[name].clone();
            let grad = leaf.grad(&grads).expect("a gradient for every weight");
            let size = leaf.clone().inner().abs().max().into_scalar();
            let step = grad.clone().sign() * (size * 0.1 / (4 + round) as f32);
            assert!(grad.abs().max().into_scalar() > 0.0, "{name}");
            graph
                .set_weights(name, Tensor::from_inner(leaf.inner() - step))
                .unwrap();
        }
    }
    let last = loss_of(&graph).into_scalar();
    println!("a minGRU in its integers: loss {first} before, {last} after");
    assert!(last < 0.9 * first, "{first} {last}");

    let data = graph.to_data().unwrap();
    assert_ne!(&data, model.data());
    let (trained, _) = data.build().unwrap();
    let on = (&device, DType::F64);
    let exact = ModelGraph::<Flex>::new(&trained, "graph", on).unwrap();
    let expected = to_values(exact.run(&[to_burn(&x)], &[]).unwrap().remove(0));
    let seen = graph.run(&[tensor(to_burn(&x))], &[]).unwrap().remove(0);
    let seen: Vec<f32> = seen.inner().into_data().to_vec().unwrap();
    let off = seen.iter().zip(&expected);
    assert!(
        off.map(|(a, b)| (f64::from(*a) - b).abs())
            .fold(0.0, f64::max)
            <= 2.0
    );
    assert!(compare_outputs(&[expected], &trained, "graph", &[&x], &[]).unwrap() > 0);
    assert!(
        graph
            .set_weights("nothing", Tensor::zeros([1], &device))
            .is_err()
    );
}
