//! What a hostile model file gets, case by case, within a budget of 2 MiB:
//! an error that says what is wrong, and never memory for what it only claims.
//!
//! `cargo test -p rcodec-model hostile -- --nocapture` prints the table.

use super::*;
use crate::graph::{Activation, Op};
use crate::test_support::tiny_model;

/// The most that reading a file of a few kilobytes may take.
const MAX_ALLOC_BYTES: u64 = 2 << 20;

fn limits() -> Limits {
    Limits {
        max_alloc_bytes: MAX_ALLOC_BYTES,
        ..Limits::default()
    }
}

/// The tiny model's file after a change that nobody has checked.
fn changed(change: impl FnOnce(&mut ModelData)) -> Vec<u8> {
    let mut data = tiny_model(1);
    change(&mut data);
    data.encode().unwrap()
}

/// The same with one tensor changed.
fn with_tensor(name: &str, change: impl Fn(&mut ModelTensor)) -> Vec<u8> {
    changed(|data| {
        let mut tensors = Tensors::default();
        for tensor in data.tensors.iter() {
            let mut tensor = tensor.clone();
            if tensor.info.name == name {
                change(&mut tensor);
            }
            tensors.insert(tensor).unwrap();
        }
        assert!(tensors != data.tensors, "{name} has been changed");
        data.tensors = tensors;
    })
}

/// The file with another body under a hash that fits: what an attacker writes.
fn with_body(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = file[HEAD_BYTES..].to_vec();
    change(&mut body);
    with_head(&body)
}

/// A file of this manifest, which says that it has `len` bytes, and nothing
/// after it.
fn of_manifest(json: &[u8], len: u64) -> Vec<u8> {
    let coded = text::compress(json).unwrap();
    let mut body = Vec::new();
    write_varint(&mut body, len);
    write_varint(&mut body, coded.len() as u64);
    body.extend_from_slice(&coded);
    with_head(&body)
}

/// A manifest whose only tensor has these extents.
fn of_extents(dims: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"record":{{}},"graphs":[],"tensors":[{{"name":"t","element":"i16","dims":{dims}}}]}}"#
    );
    of_manifest(json.as_bytes(), json.len() as u64)
}

/// A case: what is wrong with the file, the file, a part of the error.
type Case = (&'static str, Vec<u8>, &'static str);

/// Files that are damaged, or are no model files at all.
fn damaged() -> Vec<Case> {
    let file = tiny_model(1).write().unwrap();
    let flipped = |bit: usize| {
        let mut file = file.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        file
    };
    let mut later = file.clone();
    later[3] = 2;
    let cut = |len: usize| with_body(&file, |body| body.truncate(len));
    let body_len = file.len() - HEAD_BYTES;
    vec![
        ("no bytes", Vec::new(), "truncated"),
        (
            "a text",
            b"weights = [1, 2, 3]\n".to_vec(),
            "not a model file",
        ),
        ("a later version", later, "version 2"),
        ("cut in the hash", file[..20].to_vec(), "truncated"),
        (
            "cut in the weights",
            file[..file.len() - 100].to_vec(),
            "checksum",
        ),
        ("a bit flipped in the hash", flipped(8 * 10), "checksum"),
        (
            "a bit flipped in the weights",
            flipped(8 * file.len() - 3),
            "checksum",
        ),
        ("no body, right hash", cut(0), "truncated"),
        ("cut in the manifest, right hash", cut(200), "truncated"),
        (
            "cut in the weights, right hash",
            cut(body_len - 100),
            "truncated",
        ),
        (
            "a byte too many, right hash",
            with_body(&file, |body| body.push(0)),
            "after the last tensor",
        ),
    ]
}

/// Manifests that are none, or that claim more than there is.
fn claims() -> Vec<Case> {
    let deep = format!(r#"{{"graphs":{}"#, "[".repeat(5000));
    let nodes = changed(|data| {
        let node = data.graphs[0].nodes[0].clone();
        data.graphs[0].nodes = vec![node; check::MAX_NODES + 1];
    });
    let name = changed(|data| data.graphs[0].name = "g".repeat(1 << 14));
    let form = "not of this version's form";
    vec![
        (
            "a manifest of 2^60 bytes",
            of_manifest(b"{}", 1 << 60),
            "out of proportion",
        ),
        ("a manifest that is no JSON", of_manifest(b"{]", 2), form),
        (
            "lists in lists, 5000 deep",
            of_manifest(deep.as_bytes(), deep.len() as u64),
            form,
        ),
        (
            "a field that is not known",
            of_manifest(br#"{"code":"x"}"#, 12),
            form,
        ),
        (
            "a tensor of (2^32 - 1)^4",
            of_extents("[4294967295,4294967295,4294967295,4294967295]"),
            "limit",
        ),
        (
            "a tensor of 2^40",
            of_extents("[1048576,1048576]"),
            "more elements than such a file",
        ),
        ("a tensor of no extents", of_extents("[]"), "extents"),
        ("a tensor of extent 0", of_extents("[0]"), "extent"),
        ("8193 layers", nodes, "limit"),
        ("a name of 16,384 bytes", name, "impossible name"),
    ]
}

/// Graphs that contradict themselves.
fn graphs() -> Vec<Case> {
    let unknown = "not known before";
    let channels = changed(|data| data.graphs[0].inputs[0].channels = u32::MAX);
    let stride = changed(|data| data.graphs[0].inputs[0].stride = u32::MAX);
    let cycle = changed(|data| {
        let last = data.graphs[0].nodes.last().unwrap().name.clone();
        data.graphs[0].nodes[0].input = last;
    });
    let itself = changed(|data| {
        let node = &mut data.graphs[0].nodes[0];
        node.input = node.name.clone();
    });
    let missing = changed(|data| {
        for node in &mut data.graphs[0].nodes {
            if let Op::Conv { weights, .. } = &mut node.op {
                *weights = "elsewhere".to_owned();
            }
        }
    });
    let shapes = changed(|data| data.graphs[0].inputs[0].channels += 1);
    let scale = changed(|data| data.graphs[0].inputs[0].q = 200);
    let bound = changed(|data| data.graphs[0].inputs[0].max = u32::MAX);
    let activation = changed(|data| {
        for node in &mut data.graphs[1].nodes {
            if let Op::Activate { activation } = &mut node.op {
                *activation = Activation::LeakyRelu { shift: 200, hi: -1 };
            }
        }
    });
    vec![
        ("layers in a circle", cycle, unknown),
        ("a layer that takes itself", itself, unknown),
        ("weights that are not there", missing, "no such tensor"),
        (
            "an input of 2^32 - 1 channels",
            channels,
            "number of channels",
        ),
        ("a stride of 2^32 - 1", stride, "stride"),
        ("shapes that do not fit", shapes, "fit"),
        ("a scale of 200 bits", scale, "scale or bound"),
        ("inputs of up to 2^32 - 1", bound, "scale or bound"),
        ("a leak of 200 bits", activation, "activation"),
    ]
}

/// Numbers that would overflow, or that an entropy coder could not use.
fn numbers() -> Vec<Case> {
    let fill = |name, data: TensorData| {
        with_tensor(name, move |tensor| {
            assert_eq!(tensor.data.len(), data.len());
            tensor.info.element = data.element();
            tensor.data = data.clone();
        })
    };
    let row = |name: &'static str, row: [u16; 3]| {
        let file = with_tensor("latent_tables", move |tensor| {
            tensor.data = TensorData::Cdf(row.to_vec());
            tensor.info.dims = vec![1, 3];
        });
        (name, file, "impossible probability table")
    };
    let overflow = fill(
        "analysis.stem.weights",
        TensorData::I16(vec![i16::MAX; 480]),
    );
    let bias = fill("analysis.stem.bias", TensorData::I32(vec![i32::MAX; 10]));
    let shift = fill("analysis.stem.shift", TensorData::U8(vec![255; 10]));
    let weight = fill("synthesis.dense.weights", TensorData::I8(vec![-128; 200]));
    let kind = fill("analysis.stem.weights", TensorData::I32(vec![1; 480]));
    let short = with_tensor("synthesis.silu.values", |tensor| {
        tensor.data = TensorData::I16(vec![0; 2]);
        tensor.info.dims = vec![2];
    });
    vec![
        ("weights whose sums overflow", overflow, "leave 32 bits"),
        ("biases that overflow", bias, "leave 32 bits"),
        ("shifts of 255", shift, "shift above 30"),
        ("8-bit weights of -128", weight, "weight of -128"),
        ("weights of 32 bits", kind, "8 or 16 bits"),
        (
            "an activation table of two entries",
            short,
            "impossible table",
        ),
        row("probabilities that sum to 65,535", [32_768, 32_767, 0]),
        row("probabilities that sum to 65,537", [32_768, 32_768, 1]),
        row("a probability of 0 between others", [65_535, 0, 1]),
        row("one certain symbol", [65_535, 0, 0]),
    ]
}

#[test]
fn hostile_files_get_errors() {
    let cases = [damaged(), claims(), graphs(), numbers()].concat();
    let mut wrong = Vec::new();
    println!("| file | bytes | answer |\n|---|---|---|");
    for (name, file, part) in &cases {
        let budget = Budget::new(limits());
        let answer = match Model::read(file, &budget) {
            Ok(_) => "taken for a model".to_owned(),
            Err(error) => error.to_string(),
        };
        println!("| {name} | {} | {answer} |", file.len());
        if !answer.contains(part) || budget.used_bytes() != 0 {
            wrong.push((name, answer));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_hostile_model_cannot_ask_for_more_work_than_allowed() {
    let file = tiny_model(1).write().unwrap();
    let mut limits = limits();
    limits.max_work = 10;
    let error = Model::read(&file, &Budget::new(limits)).unwrap_err();
    println!("more work per sample than allowed: {error}");
    assert!(matches!(error, Error::Limit("work of a model")));
}

/// Every bit of the body, one after the other, under a hash that fits: a
/// refusal, or other weights that have passed all checks.
#[test]
fn no_single_bit_crashes_the_loader() {
    let file = tiny_model(1).write().unwrap();
    let (mut refused, mut sound) = (0, 0);
    for bit in (0..8 * (file.len() - HEAD_BYTES)).step_by(23) {
        let flipped = with_body(&file, |body| body[bit / 8] ^= 1 << (bit % 8));
        match Model::read(&flipped, &Budget::new(limits())) {
            Ok(_) => sound += 1,
            Err(_) => refused += 1,
        }
    }
    println!("bits flipped, hashes repaired: {refused} refused, {sound} other sound models");
    assert!(refused > 0);
}
