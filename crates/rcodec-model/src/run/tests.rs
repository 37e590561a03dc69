//! Networks compute what the formulas say, on every level of this CPU and any
//! number of threads.

use super::reference::{Grid, evaluate};
use super::*;
use crate::ModelData;
use crate::graph::{Activation, Op};
use crate::quantize::{GraphBuilder, LayerOptions, ModelBuilder, Value};
use crate::test_support::{Random, block, tiny_model, weights};
use proptest::prelude::*;
use rcodec_core::Limits;
use rcodec_fixed::Level;

fn budget() -> Budget {
    Budget::new(Limits::default())
}

fn model(data: &ModelData) -> Model {
    data.build().unwrap().0
}

/// Runs a graph at all levels and compares with the formulas.
fn assert_formulas(model: &Model, graph: &str, inputs: &[Tensor], selectors: &[usize]) {
    let network = Network::new(model, graph, &budget()).unwrap();
    let grids: Vec<Grid> = inputs.iter().map(Grid::of).collect();
    let (graph, info) = model.graph(graph).unwrap();
    let expected = evaluate(graph, &model.data().tensors, &grids, selectors);
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    for level in Level::available() {
        let engine = Engine::at(level).unwrap();
        let mut scratch = network.scratch(1, &budget()).unwrap();
        // Twice: what is left in the scratch memory must not matter.
        for _ in 0..2 {
            let outputs = network
                .run(&engine, &inputs, selectors, &mut scratch)
                .unwrap();
            let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape()).collect();
            let shapes = network.output_shapes(&shapes).unwrap();
            for (i, expected) in expected.iter().enumerate() {
                let output = outputs.get(i);
                assert_eq!(output.shape(), shapes[i]);
                let size = (expected.height, expected.width, expected.channels);
                let shape = output.shape();
                assert_eq!((shape.height, shape.width, shape.channels), size);
                assert!(
                    output.values() == expected.values(),
                    "{} at {level:?}",
                    graph.name
                );
                let value = graph
                    .nodes
                    .iter()
                    .position(|n| n.name == graph.outputs[i].value);
                let info = info.values[graph.inputs.len() + value.unwrap()];
                assert_eq!(output.q().bits(), info.q);
                let range = info.range.lo..=info.range.hi;
                assert!(output.values().iter().all(|v| range.contains(v)));
            }
            if graph.kind == GraphKind::Frames {
                scratch.reset(&network).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn pictures_follow_the_formulas(seed: u64, (height, width) in (1usize..30, 1usize..30), quality in 0usize..3) {
        let random = &mut Random::new(seed);
        let model = model(&tiny_model(seed % 5));
        let x = random.tensor((height, width, 3), 6, 1 << 14);
        assert_formulas(&model, "analysis", &[x], &[quality]);
        let (height, width) = (height.div_ceil(8), width.div_ceil(8));
        let y = random.tensor((height, width, 14), 6, 1 << 15);
        let side = random.tensor((height, width, 10), 9, 5000);
        assert_formulas(&model, "synthesis", &[y, side], &[]);
    }

    #[test]
    fn frames_follow_the_formulas(seed: u64, frames in 1usize..80) {
        let x = Random::new(seed).tensor((1, frames, 5), 12, 1 << 12);
        assert_formulas(&model(&tiny_model(seed % 5)), "frames", &[x], &[]);
    }

    /// Whatever refers to whatever: values live as long as they are needed.
    #[test]
    fn graphs_of_any_shape_follow_the_formulas(seed: u64) {
        let random = &mut Random::new(seed);
        let mut builder = ModelBuilder::new();
        let mut g = builder.graph("any", GraphKind::Spatial, &[]).unwrap();
        let mut values = vec![
            g.input("a", 4, (9, 1 << 15), 2).unwrap(),
            g.input("b", 4, (9, 1000), 2).unwrap(),
        ];
        for i in 0..2 + random.below(14) {
            let value = random_node(random, &mut g, &values, &format!("n{i}"));
            values.push(value);
        }
        let nodes = &values[2..];
        let names = ["o0", "o1", "o2"];
        let mut outputs = vec![(names[0], nodes[nodes.len() - 1])];
        outputs.extend(names[1..].iter().map(|name| (*name, nodes[random.below(nodes.len())])));
        g.finish(&outputs).unwrap();
        let inputs = [random.tensor((3, 5, 4), 9, 1 << 15), random.tensor((3, 5, 4), 9, 1000)];
        assert_formulas(&model(&builder.data), "any", &inputs, &[]);
    }
}

/// A node over some of the values, all of four channels.
fn random_node(
    random: &mut Random,
    g: &mut GraphBuilder<'_>,
    values: &[Value],
    name: &str,
) -> Value {
    // Late ones more often, so that there are chains.
    let pick = |random: &mut Random| {
        let back = random.below(values.len()).min(random.below(values.len()));
        values[values.len() - 1 - back]
    };
    let input = pick(random);
    let add = (random.below(2) == 0).then(|| pick(random));
    let options = LayerOptions {
        add,
        ..LayerOptions::new(9)
    };
    match random.below(6) {
        0 => {
            let other = pick(random);
            let options = LayerOptions {
                add: Some(other),
                ..options
            };
            g.push(name, Op::Add, input, options).unwrap()
        }
        1 => {
            let activation = Activation::LeakyRelu { shift: 2, hi: 9000 };
            g.push(name, Op::Activate { activation }, input, options)
                .unwrap()
        }
        2 => {
            // What a convolution and a shuffle spread, an unshuffle collects.
            let w = weights(random, g, input, (16, 4), 9);
            let part = |part: &str| format!("{name}.{part}");
            let plain = LayerOptions::new(9);
            let wide = g.conv(&part("wide"), input, 1, &w, plain).unwrap();
            let flat = g.shuffle(&part("flat"), wide, 2).unwrap();
            let back = g.unshuffle(&part("back"), flat, 2).unwrap();
            let w = weights(random, g, back, (4, 16), 9);
            g.conv(name, back, 1, &w, options).unwrap()
        }
        3 => {
            let w = weights(random, g, input, (4, 9), 9);
            g.depthwise(name, input, 3, &w, options).unwrap()
        }
        _ => {
            let w = weights(random, g, input, (4, 4), 9);
            g.conv(name, input, 1, &w, options).unwrap()
        }
    }
}

#[test]
fn streams_in_lockstep_are_as_if_alone() {
    let model = model(&tiny_model(1));
    let (graph, _) = model.graph("bytes").unwrap();
    let network = Network::new(&model, "bytes", &budget()).unwrap();
    let (streams, steps) = (5, 40);
    let random = &mut Random::new(9);
    let alone: Vec<Tensor> = (0..streams)
        .map(|_| random.tensor((1, steps, 11), 12, 1 << 13))
        .collect();
    let tensors = &model.data().tensors;
    let expected: Vec<Grid> = alone
        .iter()
        .map(|stream| evaluate(graph, tensors, &[Grid::of(stream)], &[]).remove(0))
        .collect();
    for level in Level::available() {
        let engine = Engine::at(level).unwrap();
        let mut scratch = network.scratch(streams, &budget()).unwrap();
        for step in 0..steps {
            let input = alone
                .iter()
                .flat_map(|stream| stream.at(0, step).to_vec())
                .collect();
            let shape = Shape::new(1, streams, 11).unwrap();
            let input = Tensor::from_values(shape, QFormat::new(12).unwrap(), input).unwrap();
            let outputs = network.run(&engine, &[&input], &[], &mut scratch).unwrap();
            for (stream, expected) in expected.iter().enumerate() {
                let expected = &expected.values()[step * 7..][..7];
                assert!(outputs.get(0).at(0, stream) == expected, "{level:?}");
            }
        }
    }
}

#[test]
fn how_frames_are_cut_changes_nothing() {
    let model = model(&tiny_model(2));
    let network = Network::new(&model, "frames", &budget()).unwrap();
    let engine = Engine::new();
    let x = Random::new(3).tensor((1, 90, 5), 12, 1 << 12);
    let mut scratch = network.scratch(1, &budget()).unwrap();
    let whole = network.run(&engine, &[&x], &[], &mut scratch).unwrap();
    let whole = whole.get(0).values().to_vec();
    scratch.reset(&network).unwrap();
    let mut parts = Vec::new();
    let mut start = 0;
    for frames in [1, 50, 7, 32] {
        let shape = Shape::new(1, frames, 5).unwrap();
        let values = x.values()[start * 5..(start + frames) * 5].to_vec();
        let part = Tensor::from_values(shape, x.q(), values).unwrap();
        let outputs = network.run(&engine, &[&part], &[], &mut scratch).unwrap();
        parts.extend_from_slice(outputs.by_name("y").unwrap().values());
        start += frames;
    }
    assert!(parts == whole);
}

#[test]
fn threads_change_nothing() {
    let mut builder = ModelBuilder::new();
    let random = &mut Random::new(8);
    let mut g = builder.graph("trunk", GraphKind::Spatial, &[]).unwrap();
    let mut x = g.input("x", 32, (9, 1 << 15), 8).unwrap();
    for i in 0..2 {
        x = block(random, &mut g, &format!("block{i}"), x);
    }
    let info = g.finish(&[("y", x)]).unwrap();
    let model = model(&builder.data);
    let network = Network::new(&model, "trunk", &budget()).unwrap();
    // A trunk of blocks needs the trunk and two hidden values.
    assert_eq!(network.slots, 3);
    let x = random.tensor((70, 90, 32), 9, 1 << 12);
    let work = network.work(&[x.shape()]).unwrap();
    let expected_work = info.work_per_sample() * (70 * 90 * 64) as f64;
    assert!((work as f64 - expected_work).abs() < 0.01 * expected_work);
    let mut all = Vec::new();
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let mut scratch = network.scratch(1, &budget()).unwrap();
        let run = || {
            let outputs = network
                .run(&Engine::new(), &[&x], &[], &mut scratch)
                .unwrap();
            outputs.get(0).values().to_vec()
        };
        all.push(pool.install(run));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    let distinct: std::collections::BTreeSet<i16> = all[0].iter().copied().collect();
    assert!(distinct.len() > 500, "the network has not died out");
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = model(&tiny_model(1));
    let network = Network::new(&model, "analysis", &budget()).unwrap();
    let random = &mut Random::new(1);
    let engine = Engine::new();
    let run = |tensors: &[&Tensor], selectors: &[usize], scratch: &mut Scratch| {
        network.run(&engine, tensors, selectors, scratch).is_ok()
    };
    let mut scratch = network.scratch(1, &budget()).unwrap();
    let good = random.tensor((8, 8, 3), 6, 1 << 14);
    assert!(run(&[&good], &[2], &mut scratch));
    assert!(!run(&[&good], &[3], &mut scratch), "a quality too many");
    assert!(!run(&[&good], &[], &mut scratch));
    assert!(!run(&[&good, &good], &[0], &mut scratch));
    assert!(!run(
        &[&random.tensor((8, 8, 4), 6, 100)],
        &[0],
        &mut scratch
    ));
    assert!(!run(
        &[&random.tensor((8, 8, 3), 7, 100)],
        &[0],
        &mut scratch
    ));
    assert!(!run(
        &[&random.tensor((0, 8, 3), 6, 100)],
        &[0],
        &mut scratch
    ));
    let beyond = random.tensor((8, 8, 3), 6, 1 << 15);
    assert!(
        !run(&[&beyond], &[0], &mut scratch),
        "the proof did not count on this"
    );
    assert!(run(&[&good], &[0], &mut scratch));
    let other = Network::new(&model, "bytes", &budget()).unwrap();
    assert!(!run(
        &[&good],
        &[0],
        &mut other.scratch(1, &budget()).unwrap()
    ));
    assert!(network.scratch(2, &budget()).is_err());
    assert!(Network::new(&model, "nothing", &budget()).is_err());
}

#[test]
fn memory_and_work_are_limited() {
    let model = model(&tiny_model(1));
    let x = Random::new(1).tensor((200, 200, 3), 6, 1 << 14);
    let small = |limits: Limits| Budget::new(limits);
    let tight = small(Limits {
        max_alloc_bytes: 100,
        ..Limits::default()
    });
    assert!(matches!(
        Network::new(&model, "analysis", &tight),
        Err(Error::Limit(_))
    ));
    let network = Network::new(&model, "analysis", &budget()).unwrap();
    for limits in [
        Limits {
            max_alloc_bytes: 100_000,
            ..Limits::default()
        },
        Limits {
            max_work: 1_000_000,
            ..Limits::default()
        },
    ] {
        let budget = small(limits);
        let mut scratch = network.scratch(1, &budget).unwrap();
        let result = network.run(&Engine::new(), &[&x], &[0], &mut scratch);
        assert!(matches!(result, Err(Error::Limit(_))));
        drop(scratch);
        assert_eq!(budget.used_bytes(), 0);
    }
}
