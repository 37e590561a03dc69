//! Whole graphs: burn's fake-quantised forward and the integer engine give the
//! same integers.

use super::*;
use crate::codec::IntegerCodec;
use crate::nn::{Network, Qualities, Scales};
use crate::random::{Purpose, Random};
use crate::recipe::tests::tiny_network;
use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use rcodec_core::{Budget, Limits};
use rcodec_fixed::{Engine, QFormat, Shape};

/// First weights with noise, so that nothing is zero.
fn weights(graphs: &LossyGraphs, seed: u64) -> Vec<f32> {
    let mut random = Random::at(seed, Purpose::Checks, 1);
    let mut values = graphs.layout.initial(seed);
    for value in &mut values {
        *value += 0.03 * random.normal();
    }
    values
}

fn budget() -> Budget {
    Budget::new(Limits::unlimited())
}

/// Random integers as a graph's input, some of them extreme.
fn integers(random: &mut Random, len: usize, max_abs: u32) -> Vec<i16> {
    let usual = (max_abs / 8) as f32;
    (0..len)
        .map(|_| {
            let value = match random.below(50) {
                0 => -(max_abs as f32),
                1 => (max_abs as f32).min(32767.0),
                _ => usual * random.normal(),
            };
            value
                .round()
                .clamp(-(max_abs as f32), (max_abs as f32).min(32767.0)) as i16
        })
        .collect()
}

/// Sides of the inputs at a stride: a picture of 64x128.
fn extents(graph: &str) -> (usize, usize) {
    match graph {
        "analysis" => (64, 128),
        "hyper_synthesis" => (1, 2),
        _ => (4, 8),
    }
}

#[test]
fn burn_and_the_integer_engine_agree_on_every_graph() {
    let graphs = LossyGraphs::new(&tiny_network());
    let on = (&Default::default(), DType::F64);
    let budget = budget();
    let mut compared = 0;
    for seed in 1..4 {
        let values = weights(&graphs, seed);
        let data = model_data(&graphs, &values, Record::default()).unwrap();
        let (model, file) = data.build().unwrap();
        assert_eq!(model.data(), &data);
        assert!(file.len() < 2 * values.len() + 20_000);
        let layout = &graphs.layout;
        let scales =
            Scales::<Flex>::new(&graphs.all(), layout, &graphs.config, &values, 1.0, on).unwrap();
        let params = layout.params.iter().map(|spec| {
            let values = &values[spec.range()];
            Tensor::<Flex, 1>::from_data(burn::tensor::TensorData::from(values), on.0).cast(on.1)
        });
        let network = Network::new(layout, params.collect(), Some(&scales));
        let mut random = Random::at(seed, Purpose::Checks, 2);
        for graph in graphs.all() {
            let quality = random.below(QUALITIES);
            let (height, width) = extents(&graph.name);
            let (mut floats, mut fixed) = (Vec::new(), Vec::new());
            for input in graph.inputs() {
                let node = graph.node(input);
                let shape = Shape::new(height, width, node.channels).unwrap();
                let len = shape.checked_len().unwrap();
                let input = integers(&mut random, len, node.max_abs);
                let unit = f64::from(1u32 << node.q);
                let real: Vec<f64> = input.iter().map(|&n| f64::from(n) / unit).collect();
                let dims = [1, height, width, node.channels];
                let real = burn::tensor::TensorData::new(real, dims);
                floats.push(Tensor::<Flex, 4>::from_data(real, (on.0, DType::F64)));
                let q = QFormat::new(node.q).unwrap();
                fixed.push(rcodec_fixed::Tensor::from_values(shape, q, input).unwrap());
            }
            let qualities = Qualities::new(&[quality], &graphs.config, on);
            let expected = network.run(graph, &floats, &qualities);
            let runner = rcodec_model::run::Network::new(&model, &graph.name, &budget).unwrap();
            let mut scratch = runner.scratch(1, &budget).unwrap();
            let fixed: Vec<_> = fixed.iter().collect();
            let variants = vec![quality; runner.selectors().len()];
            let outputs = runner
                .run(&Engine::new(), &fixed, &variants, &mut scratch)
                .unwrap();
            for (i, expected) in expected.into_iter().enumerate() {
                let unit = f64::from(1u32 << graph.node(graph.outputs[i]).q);
                let expected: Vec<f64> = expected.into_data().to_vec().unwrap();
                let given = outputs.get(i).values();
                assert_eq!(expected.len(), given.len());
                for (at, (expected, given)) in expected.iter().zip(given).enumerate() {
                    assert_eq!(
                        expected * unit,
                        f64::from(*given),
                        "{} output {i}, value {at}, seed {seed}, quality {quality}",
                        graph.name
                    );
                }
                compared += given.len();
            }
        }
    }
    assert!(compared > 50_000, "{compared}");
}

#[test]
fn the_integer_codec_does_what_fake_quantisation_says() {
    use crate::data::{Collection, Picture};
    let mut recipe = crate::recipe::tests::tiny();
    recipe.validation.qualities = vec![5, 45];
    let graphs = LossyGraphs::new(&recipe.network);
    let values = graphs.layout.initial(4);
    let wave = |i: usize| (60.0 * (i as f32 * 0.07).sin()) as i32 + 100;
    let rgb = (0..70 * 66).flat_map(|i| {
        let (x, y) = (i % 70, i / 70);
        let luma = wave(x) + wave(y * 2) / 2;
        [luma as u8, (luma / 2) as u8, (200 - luma) as u8]
    });
    let picture = Picture {
        width: 70,
        height: 66,
        rgb: rgb.collect(),
    };
    let held_out = Collection::from_pictures(vec![picture]);
    let on = (&held_out, &recipe.validation);
    let fake =
        crate::train::validate::<Flex>(&graphs, &values, true, on, &Default::default()).unwrap();
    let (model, _) = model_data(&graphs, &values, Record::default())
        .unwrap()
        .build()
        .unwrap();
    let mut codec = IntegerCodec::new(&model, Engine::new(), &budget()).unwrap();
    let rd_lambda = |quality: usize| f64::from(recipe.network.rd_lambda(quality as f32));
    let integer = validate_integer(&mut codec, rd_lambda, on).unwrap();
    for (fake, integer) in fake.iter().zip(&integer) {
        assert!(
            (fake.psnr_db - integer.psnr_db).abs() < 0.02,
            "{fake:?} {integer:?}"
        );
        // Tables have 16 bits, and escapes cost something else.
        assert!(
            (fake.bpp() / integer.bpp() - 1.0).abs() < 0.03,
            "{fake:?} {integer:?}"
        );
    }
}

#[test]
fn names_have_versions() {
    let parsed = |name| {
        let (family, variant, version) = parse_name(name);
        format!("{family} {variant} {version}")
    };
    assert_eq!(parsed("image-lossy-s1"), "image-lossy s 1");
    assert_eq!(parsed("image-lossy-l12"), "image-lossy l 12");
    assert_eq!(parsed("example-tiny"), "example tiny 1");
}
