//! What is wrong is found, and said.

use super::*;
use crate::graph::{Node, Op, Padding, Requant};
use crate::model::ModelData;
use crate::test_support::tiny_model;

fn limits() -> Limits {
    Limits::default()
}

/// What is found in the tiny model after a change.
fn fault(change: impl FnOnce(&mut ModelData)) -> &'static str {
    let mut data = tiny_model(1);
    change(&mut data);
    check_model(&data, &limits()).map_or_else(|fault| fault.what, |_| "nothing")
}

fn node<'d>(data: &'d mut ModelData, graph: &str, name: &str) -> &'d mut Node {
    let graph = data.graphs.iter_mut().find(|g| g.name == graph).unwrap();
    graph
        .nodes
        .iter_mut()
        .find(|node| node.name == name)
        .unwrap()
}

/// The model with one tensor's elements or extents changed.
fn with_tensor(data: &mut ModelData, name: &str, change: impl Fn(&mut ModelTensor)) {
    let mut tensors = Tensors::default();
    let mut found = false;
    for tensor in data.tensors.iter() {
        let mut tensor = tensor.clone();
        if tensor.info.name == name {
            found = true;
            change(&mut tensor);
        }
        tensors.insert(tensor).unwrap();
    }
    assert!(found, "{name}");
    data.tensors = tensors;
}

#[test]
fn a_sound_model_passes() {
    assert_eq!(fault(|_| {}), "nothing");
}

#[test]
fn names_must_be_known_and_single() {
    let unknown = "a value that is not known before";
    assert_eq!(
        fault(|d| node(d, "analysis", "down").input = "up".into()),
        unknown
    );
    // A cycle is a use before the computation.
    assert_eq!(
        fault(|d| node(d, "analysis", "stem").input = "gain".into()),
        unknown
    );
    assert_eq!(
        fault(|d| node(d, "analysis", "stem").input = "stem".into()),
        unknown
    );
    assert_eq!(
        fault(|d| d.graphs[0].outputs[0].value = "z".into()),
        unknown
    );
    assert_eq!(
        fault(|d| node(d, "analysis", "down").name = "stem".into()),
        "two values of one name"
    );
    assert_eq!(
        fault(|d| d.graphs[1].name = "analysis".into()),
        "two graphs of one name"
    );
    assert_eq!(
        fault(|d| d.graphs[0].name = "a b".into()),
        "impossible name"
    );
    assert_eq!(
        fault(|d| d.graphs[0].outputs[0].value = "x".into()),
        "an output is an input"
    );
    assert_eq!(
        fault(|d| d.graphs[0].outputs.clear()),
        "no inputs or no outputs"
    );
    let missing = fault(|d| match &mut node(d, "analysis", "stem").op {
        Op::Conv { weights, .. } => *weights = "nowhere".into(),
        _ => unreachable!(),
    });
    assert_eq!(missing, "there is no such tensor");
}

#[test]
fn shapes_and_scales_must_agree() {
    let fit = "weights that do not fit the convolution";
    assert_eq!(fault(|d| d.graphs[0].inputs[0].channels = 4), fit);
    assert_eq!(
        fault(|d| node(d, "analysis", "block.project").q = 8),
        "what is added has another shape or scale"
    );
    assert_eq!(
        fault(|d| node(d, "synthesis", "blocks").q = 7),
        "a layer that cannot change the scale"
    );
    assert_eq!(
        fault(|d| d.graphs[0].inputs[0].max = 40_000),
        "impossible scale or bound"
    );
    assert_eq!(
        fault(|d| d.graphs[0].inputs[0].stride = 0),
        "impossible stride"
    );
    // Latents and side information must lie on one grid.
    let stride = fault(|d| d.graphs[1].inputs[1].stride = 16);
    assert_eq!(stride, "what is added has another shape or scale");
    let shuffle = "a shuffle that does not divide channels and stride";
    assert_eq!(
        fault(|d| d.graphs[1].inputs.iter_mut().for_each(|i| i.stride = 4)),
        shuffle
    );
    assert_eq!(
        fault(|d| d.graphs[0].selectors[0].count = 4),
        "not one gain for each variant and channel"
    );
    assert_eq!(
        fault(|d| d.graphs[0].selectors.clear()),
        "there is no such selector"
    );
    assert_eq!(
        fault(|d| d.graphs[2].kind = GraphKind::Spatial),
        "a layer that this kind of graph cannot have"
    );
    let dims = fault(|d| with_tensor(d, "analysis.stem.weights", |t| t.info.dims.reverse()));
    assert_eq!(dims, "weights that do not fit the convolution");
    let elements = fault(|d| with_tensor(d, "analysis.stem.weights", |t| t.info.dims[0] += 1));
    assert_eq!(elements, "elements that do not fit the extents");
}

#[test]
fn numbers_must_be_possible() {
    let shift = fault(|d| {
        with_tensor(d, "analysis.stem.shift", |t| {
            t.data = TensorData::U8(vec![31; 10])
        });
    });
    assert_eq!(shift, "a shift above 30");
    let weight = fault(|d| {
        with_tensor(d, "synthesis.dense.weights", |t| match &mut t.data {
            TensorData::I8(values) => values[3] = -128,
            _ => unreachable!(),
        });
    });
    assert_eq!(weight, "weight of -128");
    let table = fault(|d| {
        with_tensor(d, "synthesis.silu.values", |t| {
            t.data = TensorData::I16(vec![0; 256]);
            t.info.dims = vec![256];
        });
    });
    assert_eq!(table, "impossible table");
    let rows: [[u16; 3]; 5] = [
        [0, 32_768, 32_768],
        [32_768, 32_767, 0],
        [65_535, 0, 1],
        [32_768, 32_768, 1],
        [65_535, 0, 0],
    ];
    for row in rows {
        let tables = fault(|d| {
            with_tensor(d, "latent_tables", |t| {
                t.data = TensorData::Cdf(row.to_vec());
                t.info.dims = vec![1, 3];
            });
        });
        assert_eq!(tables, "impossible probability table", "{row:?}");
    }
    let gate = fault(|d| match &mut node(d, "synthesis", "halves").op {
        Op::GateHalves { gate, .. } => gate.shift = 16,
        _ => unreachable!(),
    });
    assert_eq!(gate, "a gate's shift above 15");
}

/// One 1x1 convolution of `channels` equal weights.
fn one_layer(channels: usize, weight: i16, max: u32, bias: i32) -> ModelData {
    let mut data = ModelData::default();
    let tensors = [
        (
            "w",
            vec![1, 1, 1, channels],
            TensorData::I16(vec![weight; channels]),
        ),
        ("b", vec![1], TensorData::I32(vec![bias])),
        ("s", vec![1], TensorData::U8(vec![15])),
    ];
    for (name, dims, elements) in tensors {
        data.tensors
            .insert(ModelTensor::new(name, &dims, elements).unwrap())
            .unwrap();
    }
    data.graphs.push(Graph {
        name: "g".into(),
        kind: GraphKind::Spatial,
        inputs: vec![Input {
            name: "x".into(),
            channels: channels as u32,
            q: 0,
            max,
            stride: 4,
        }],
        selectors: Vec::new(),
        nodes: vec![Node {
            name: "y".into(),
            op: Op::Conv {
                stride: 1,
                padding: Padding::Zero,
                weights: "w".into(),
                requant: Requant {
                    bias: Some("b".into()),
                    shift: "s".into(),
                    activation: Default::default(),
                },
                gate: None,
            },
            input: "x".into(),
            add: None,
            q: 0,
        }],
        outputs: vec![crate::graph::Output {
            name: "y".into(),
            value: "y".into(),
        }],
    });
    data
}

#[test]
fn the_bound_is_exact() {
    let passes = |data: &ModelData| check_model(data, &limits()).is_ok();
    // 65535 · 32768 = 2^31 - 2^15; rounding takes 2^14 of what is left.
    let room = (1 << 14) - 1;
    assert!(passes(&one_layer(5, 13_107, 1 << 15, room)));
    assert!(!passes(&one_layer(5, 13_107, 1 << 15, room + 1)));
    assert!(!passes(&one_layer(5, 13_107, 1 << 15, -room - 1)));
    assert!(!passes(&one_layer(5, 13_108, 1 << 15, 0)));
    assert!(passes(&one_layer(5, 13_108, 32_700, 0)));
    assert!(!passes(&one_layer(5, 13_107, 1 << 15, i32::MIN)));
}

#[test]
fn work_is_counted_per_sample_and_limited() {
    let data = one_layer(8, 1, 1 << 15, 0);
    let info = &check_model(&data, &limits()).unwrap()[0];
    // Eight multiply-adds for a square of 4x4 samples.
    assert_eq!(info.work_q16, 1 << 15);
    let mut data = data;
    data.graphs[0].inputs[0].stride = 1;
    let tight = Limits {
        max_work: 7,
        ..limits()
    };
    assert!(check_model(&data, &tight).unwrap_err().is_limit);
    assert!(
        check_model(
            &data,
            &Limits {
                max_work: 8,
                ..limits()
            }
        )
        .is_ok()
    );
}

#[test]
fn a_tensor_cannot_be_read_without_end() {
    let mut data = one_layer(1 << 15, 0, 1, 0);
    let first = data.graphs[0].nodes[0].clone();
    for i in 0..200 {
        data.graphs[0].nodes.push(Node {
            name: format!("y{i}"),
            ..first.clone()
        });
    }
    let fault = check_model(&data, &limits()).unwrap_err();
    assert_eq!(
        (fault.what, fault.is_limit),
        ("tensors are read too often", true)
    );
}

#[test]
fn ranges_follow_the_values() {
    let data = one_layer(2, 1 << 14, 1000, 0);
    let info = &check_model(&data, &limits()).unwrap()[0];
    // 2 · 0.5 · 1000, and one for rounding down.
    assert_eq!(
        info.values[0].range,
        Range {
            lo: -1000,
            hi: 1000
        }
    );
    assert_eq!(
        info.values[1].range,
        Range {
            lo: -1001,
            hi: 1000
        }
    );
    let mut full = data;
    full.graphs[0].inputs[0].max = FULL_SCALE;
    let info = &check_model(&full, &limits()).unwrap()[0];
    assert_eq!(info.values[0].range, Range::FULL);
    assert_eq!(info.values[0].max_abs(), 1 << 15);
}
