//! Whole graphs and pictures: burn's fake-quantised forward and the integer
//! engine give the same integers.

mod layers;

use super::equality::{Reference, compare_graph, compare_pictures};
use super::*;
use crate::codec::IntegerCodec;
use crate::data::{Collection, Picture};
use crate::random::{Purpose, Random};
use crate::recipe::tests::tiny_network;
use burn::backend::Flex;
use rcodec_core::{Budget, Limits};
use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};
use rcodec_fixed::{Engine, Level, QFormat, Shape, Tensor};
use rcodec_model::Model;

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
    let mut compared = 0;
    for seed in 1..4 {
        let values = weights(&graphs, seed);
        let data = model_data(&graphs, &values, Record::default()).unwrap();
        let (model, file) = data.build().unwrap();
        assert_eq!(model.data(), &data);
        assert!(file.len() < 2 * values.len() + 20_000);
        let all = graphs.all();
        let reference = Reference::new(&all, &graphs.layout, &graphs.config, &values).unwrap();
        let mut random = Random::at(seed, Purpose::Checks, 2);
        for graph in all {
            let (height, width) = extents(&graph.name);
            let inputs: Vec<Tensor> = graph
                .inputs()
                .into_iter()
                .map(|input| {
                    let node = graph.node(input);
                    let shape = Shape::new(height, width, node.channels).unwrap();
                    let len = shape.checked_len().unwrap();
                    let values = integers(&mut random, len, node.max_abs);
                    let q = QFormat::new(node.q).unwrap();
                    Tensor::from_values(shape, q, values).unwrap()
                })
                .collect();
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            let quality = random.below(QUALITIES);
            compared += compare_graph(&reference, graph, &model, &inputs, quality).unwrap();
        }
    }
    println!("whole graphs: {compared} integers equal");
    assert!(compared > 500_000, "{compared}");
}

#[test]
fn burn_and_the_integer_codec_agree_on_whole_pictures() {
    let mut recipe = crate::recipe::tests::tiny();
    recipe.validation.qualities = vec![0, 31, 63];
    recipe.validation.crop = 128;
    let graphs = LossyGraphs::new(&recipe.network);
    let values = weights(&graphs, 9);
    let (model, _) = exported(&graphs, &values);
    let held_out = Collection::from_pictures(vec![picture(), noise()]);
    let on = (&held_out, &recipe.validation);
    let compared = compare_pictures(&graphs, &values, &model, on).unwrap();
    println!("whole pictures: {compared} integers equal");
    assert!(compared > 1_000_000, "{compared}");

    // The comparison can fail.
    let mut other = values.clone();
    other[graphs.layout.len() / 3] += 1.0;
    assert!(compare_pictures(&graphs, &other, &model, on).is_err());
}

#[test]
fn a_decoder_reads_what_the_encoder_wrote() {
    let graphs = LossyGraphs::new(&tiny_network());
    let values = weights(&graphs, 9);
    let (model, _) = exported(&graphs, &values);
    let mut codec = IntegerCodec::new(&model, Engine::new(), &budget()).unwrap();
    let (picture, sides) = (picture(), [64, 128]);
    let rgb: Vec<u8> = picture.rgb.into_iter().cycle().take(64 * 128 * 3).collect();
    for quality in [0, 20, 63] {
        let (y, z) = codec.analyse(&rgb, sides, quality).unwrap();
        let mut encoder = RangeBitEncoder::new();
        let encoded = codec.code(&mut encoder, Some((&y, &z)), sides, quality);
        let bytes = encoder.finish();
        let cost = codec.measure(&rgb, sides, quality).unwrap();
        let bits = cost.bits_y + cost.bits_z;
        assert!((8.0 * bytes.len() as f64 - bits).abs() < 64.0 + 0.001 * bits);

        let level = Engine::at(Level::Scalar).unwrap();
        let mut decoder = IntegerCodec::new(&model, level, &budget()).unwrap();
        let mut source = RangeBitDecoder::new(&bytes);
        let decoded = decoder.code(&mut source, None, sides, quality).unwrap();
        source.finish().unwrap();
        assert_eq!(decoded.values(), encoded.unwrap().values());

        // Any bytes end in a picture or in an error.
        for seed in 0..8 {
            let mut random = Random::at(seed, Purpose::Checks, 7);
            let mut hostile = bytes.clone();
            for _ in 0..3 {
                let at = random.below(hostile.len());
                hostile[at] = random.next_u64() as u8;
            }
            hostile.truncate(1 + random.below(hostile.len()));
            let mut source = RangeBitDecoder::new(&hostile);
            if let Ok(y_hat) = decoder.code(&mut source, None, sides, quality) {
                decoder.synthesise(&y_hat, quality).unwrap();
            }
        }
    }
}

#[test]
fn models_of_another_family_are_refused() {
    let graphs = LossyGraphs::new(&tiny_network());
    let values = graphs.layout.initial(4);
    let data = model_data(&graphs, &values, Record::default()).unwrap();
    let refuse = |change: &dyn Fn(&mut rcodec_model::ModelData)| {
        let mut data = data.clone();
        change(&mut data);
        let (model, _) = data.build().unwrap();
        assert!(IntegerCodec::new(&model, Engine::new(), &budget()).is_err());
    };
    refuse(&|data| data.graphs.retain(|graph| graph.name != "entry2"));
    refuse(&|data| data.graphs.iter_mut().for_each(|g| g.outputs.truncate(1)));
    refuse(&|data| _ = data.parameters.insert("steps".to_owned(), 1 << 40));
    refuse(&|data| _ = data.parameters.insert("hyper_latents".to_owned(), 7));
    refuse(&|data| _ = data.parameters.remove("latents"));
}

/// A model of these weights and its file.
fn exported(graphs: &LossyGraphs, values: &[f32]) -> (Model, Vec<u8>) {
    let data = model_data(graphs, values, Record::default()).unwrap();
    data.build().unwrap()
}

/// Waves.
fn picture() -> Picture {
    let wave = |i: usize| (60.0 * (i as f32 * 0.07).sin()) as i32 + 100;
    let rgb = (0..70 * 66).flat_map(|i| {
        let (x, y) = (i % 70, i / 70);
        let luma = wave(x) + wave(y * 2) / 2;
        [luma as u8, (luma / 2) as u8, (200 - luma) as u8]
    });
    Picture {
        width: 70,
        height: 66,
        rgb: rgb.collect(),
    }
}

/// Extreme and random samples.
fn noise() -> Picture {
    let mut random = Random::at(2, Purpose::Checks, 5);
    let rgb = (0..130 * 130 * 3).map(|i| match i / 3 % 130 / 16 % 3 {
        0 => random.next_u64() as u8,
        1 => 255 * (random.next_u64() as u8 & 1),
        _ => (i % 251) as u8,
    });
    Picture {
        width: 130,
        height: 130,
        rgb: rgb.collect(),
    }
}

#[test]
fn the_integer_codec_does_what_fake_quantisation_says() {
    let mut recipe = crate::recipe::tests::tiny();
    recipe.validation.qualities = vec![5, 45];
    let graphs = LossyGraphs::new(&recipe.network);
    let values = graphs.layout.initial(4);
    let held_out = Collection::from_pictures(vec![picture()]);
    let on = (&held_out, &recipe.validation);
    let fake =
        crate::train::validate::<Flex>(&graphs, &values, true, on, &Default::default()).unwrap();
    let (model, _) = exported(&graphs, &values);
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
            (fake.bpp_z / integer.bpp_z - 1.0).abs() < 0.03,
            "{fake:?} {integer:?}"
        );
        // What the latents' symbols have in common in a picture makes them
        // smaller than the network's distributions say.
        let share = integer.bpp_y / fake.bpp_y;
        assert!((0.7..1.03).contains(&share), "{fake:?} {integer:?}");
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
