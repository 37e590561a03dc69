//! Every kind of layer, alone, with any shape, format and activation: burn and
//! all levels of the engine give the same integers.

use super::integers;
use crate::export::Exporter;
use crate::export::equality::{Reference, compare_graph};
use crate::graph::{Activation, Builder, ConvOptions, Graph, Init, Layout, Value, block};
use crate::quant::graph_integers;
use crate::random::{Purpose, Random};
use crate::recipe::tests::tiny_network;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rcodec_fixed::{QFormat, Shape, Tensor};
use rcodec_model::{Model, ModelData};
use std::cell::Cell;

/// Cases for each kind of layer.
const CASES: u32 = 60;

/// One layer and its input.
#[derive(Clone, Debug)]
struct Case {
    height: usize,
    width: usize,
    channels: usize,
    outputs: usize,
    q_in: u8,
    q_out: u8,
    /// Standard deviation of outputs over that of inputs.
    gain: f32,
    clip: Option<(f32, f32)>,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1usize..12, 1usize..12, 1usize..40, 1usize..40);
    let clip = proptest::option::of((-4.0f32..0.5, 0.5f32..4.0));
    (shape, 4u8..13, 4u8..13, 0.01f32..3.0, clip, any::<u64>()).prop_map(
        |((height, width, channels, outputs), q_in, q_out, gain, clip, seed)| Case {
            height,
            width,
            channels,
            outputs,
            q_in,
            q_out,
            gain,
            clip,
            seed,
        },
    )
}

impl Case {
    fn activation(&self) -> Activation {
        self.clip
            .map_or(Activation::Identity, |(lo, hi)| Activation::Clip { lo, hi })
    }

    fn init(&self, fan_in: usize) -> Init {
        Init::Normal(self.gain / (fan_in as f32).sqrt())
    }

    fn conv(&self, b: &mut Builder<'_>, x: Value, (kernel, stride): (usize, usize)) -> Value {
        let options = ConvOptions {
            kernel,
            stride,
            activation: self.activation(),
            residual: None,
        };
        let init = self.init(kernel * kernel * self.channels);
        b.conv("layer", x, (self.outputs, self.q_out), options, init)
    }
}

/// A model of one graph.
fn export(graph: &Graph, layout: &Layout, values: &[f32]) -> Model {
    let mut data = ModelData::default();
    let integers = graph_integers(graph, layout, &tiny_network(), values, 1.0).unwrap();
    let mut exporter = Exporter {
        graph,
        data: &mut data,
    };
    // A stride that a shuffle can divide.
    let exported = exporter.export(4, integers).unwrap();
    data.graphs.push(exported);
    data.build().unwrap().0
}

/// Runs a graph by burn and by the engine; gives the number of integers
/// compared.
fn compare(case: &Case, make: &dyn Fn(&mut Builder<'_>, Value) -> Value, align: usize) -> u64 {
    let config = tiny_network();
    let mut layout = Layout::default();
    let builder = &mut Builder::new("graph", &mut layout, &config);
    let x = builder.input("x", case.channels, case.q_in, 1 << 15);
    let output = make(builder, x);
    let graph = builder.finish(&[output]);
    let mut values = layout.initial(case.seed);
    let mut random = Random::at(case.seed, Purpose::Checks, 3);
    for (spec, i) in layout
        .params
        .iter()
        .flat_map(|s| s.range().map(move |i| (s, i)))
    {
        // Biases that are not 0.
        if spec.name.ends_with("bias") {
            values[i] += 0.3 * random.normal();
        }
    }
    let model = export(&graph, &layout, &values);
    let reference = Reference::new(&[&graph], &layout, &config, &values).unwrap();
    let shape = Shape::new(case.height * align, case.width * align, case.channels).unwrap();
    let input = integers(&mut random, shape.checked_len().unwrap(), 1 << 15);
    let q = QFormat::new(case.q_in).unwrap();
    let input = Tensor::from_values(shape, q, input).unwrap();
    let quality = random.below(crate::codec::QUALITIES);
    compare_graph(&reference, &graph, &model, &[&input], quality).unwrap()
}

/// All cases of a kind.
fn check(
    kind: &str,
    align: usize,
    strategy: impl Strategy<Value = Case>,
    make: impl Fn(&Case, &mut Builder<'_>, Value) -> Value,
) {
    let compared = Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        fork: false,
        timeout: 0,
        ..Config::default()
    });
    let result = runner.run(&strategy, |case| {
        let count = compare(&case, &|b, x| make(&case, b, x), align);
        compared.set(compared.get() + count);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{kind}: {error}");
    }
    println!("{kind}: {CASES} cases, {} integers equal", compared.get());
    assert!(compared.get() > 0);
}

#[test]
fn convolutions() {
    for window in [(1, 1), (3, 1), (3, 2)] {
        let kind = format!("convolution {0}x{0}, stride {1}", window.0, window.1);
        check(&kind, window.1, cases(), |case, b, x| {
            case.conv(b, x, window)
        });
    }
}

#[test]
fn convolutions_with_residual_sums() {
    check("convolution with residual", 1, cases(), |case, b, x| {
        let options = ConvOptions {
            activation: case.activation(),
            residual: Some(x),
            ..ConvOptions::default()
        };
        let init = case.init(case.channels);
        b.conv("layer", x, (case.channels, case.q_in), options, init)
    });
}

#[test]
fn gated_convolutions() {
    check("gated convolution", 1, cases(), |case, b, x| {
        b.gated("layer", x, (case.outputs, case.q_out))
    });
}

#[test]
fn depthwise_convolutions() {
    check("depthwise convolution", 1, cases(), |case, b, x| {
        b.depthwise("layer", x, case.q_out, case.init(9))
    });
}

#[test]
fn quality_gains() {
    for slope in [None, Some(0.3)] {
        let kind = format!("quality gain, bias {}", slope.is_some());
        check(&kind, 1, cases(), |case, b, x| {
            b.quality_gain("layer", x, case.q_out, 1.0, slope, case.activation())
        });
    }
}

#[test]
fn shuffles() {
    check(
        "pixel-unshuffle and convolution",
        4,
        cases(),
        |case, b, x| {
            let x = b.unshuffle("blocks", x, 4);
            let out = (case.outputs, case.q_out);
            let init = case.init(16 * case.channels);
            b.conv("layer", x, out, ConvOptions::default(), init)
        },
    );
    check("convolution and pixel-shuffle", 1, cases(), |case, b, x| {
        let out = (4 * case.outputs, case.q_out);
        let init = case.init(case.channels);
        let x = b.conv("layer", x, out, ConvOptions::default(), init);
        b.shuffle("spread", x, 2)
    });
}

#[test]
fn blocks() {
    check("two blocks", 1, cases(), |case, b, x| {
        let x = block(b, "first", x, case.q_in);
        block(b, "second", x, case.q_in)
    });
}

#[test]
fn large_layers_are_cut_into_tiles_for_threads() {
    let case = Case {
        height: 61,
        width: 67,
        channels: 96,
        outputs: 80,
        q_in: 9,
        q_out: 9,
        gain: 1.0,
        clip: Some((0.0, 16.0)),
        seed: 5,
    };
    let mut compared = compare(&case, &|b, x| case.conv(b, x, (1, 1)), 1);
    compared += compare(&case, &|b, x| case.conv(b, x, (3, 2)), 2);
    compared += compare(&case, &|b, x| block(b, "block", x, case.q_in), 1);
    println!("large layers: {compared} integers equal");
    assert!(compared > 1_000_000);
}
