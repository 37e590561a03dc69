//! Files come back; everything else is refused.

use super::*;
use crate::test_support::{Random, tiny_model};
use proptest::prelude::*;
use serde_json::Value as Json;

fn budget() -> Budget {
    Budget::new(Limits::default())
}

/// The file with the hash that its bytes have.
fn rehashed(mut file: Vec<u8>) -> Vec<u8> {
    let body = file.split_off(HEAD_BYTES);
    with_head(&body)
}

#[test]
fn a_model_comes_back() {
    let data = tiny_model(1);
    let (model, file) = data.build().unwrap();
    assert_eq!(*model.data(), data);
    assert_eq!(peek_id(&file[..HEAD_BYTES]).unwrap(), model.id());
    assert_eq!(
        data.write().unwrap(),
        file,
        "the same model is the same file"
    );
    let name = model.name();
    assert_eq!(
        name,
        format!("image-lossy-s1-{}", &model.id().to_string()[..4])
    );
    let summary = read_summary(&file, &budget()).unwrap();
    assert_eq!(
        (summary.id, summary.record),
        (model.id(), data.record.clone())
    );
    assert_eq!(model.cdfs("latent_tables").unwrap()[1].len(), 7);
    assert_eq!(model.parameter("steps").unwrap(), 4);
    assert!(model.graph("nothing").is_err() && model.cdfs("analysis.stem.weights").is_err());
}

#[test]
fn memory_is_charged_while_the_model_lives() {
    let file = tiny_model(2).write().unwrap();
    let budget = budget();
    let model = Model::read(&file, &budget).unwrap();
    let bytes: u64 = model
        .data()
        .tensors
        .iter()
        .map(|tensor| tensor.data.len() as u64 * tensor.info.element.bytes())
        .sum();
    assert_eq!(budget.used_bytes(), bytes);
    drop(model);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn limits_hold() {
    let file = tiny_model(2).write().unwrap();
    let refused = |limits: Limits| {
        matches!(
            Model::read(&file, &Budget::new(limits)),
            Err(Error::Limit(_))
        )
    };
    let default = Limits::default();
    let max_model_bytes = file.len() as u64 - 1;
    assert!(refused(Limits {
        max_model_bytes,
        ..default.clone()
    }));
    assert!(refused(Limits {
        max_alloc_bytes: 20_000,
        ..default.clone()
    }));
    assert!(refused(Limits {
        max_work: 10,
        ..default
    }));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let file = tiny_model(3).write().unwrap();
    for bit in (0..8 * file.len()).step_by(7).chain(0..8 * HEAD_BYTES) {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Model::read(&damaged, &budget()).is_err(), "bit {bit}");
    }
    for len in 0..file.len() {
        assert!(Model::read(&file[..len], &budget()).is_err(), "{len} bytes");
    }
    let longer = [&file[..], &[0]].concat();
    assert!(matches!(
        Model::read(&longer, &budget()),
        Err(Error::Checksum { .. })
    ));
    assert!(matches!(
        Model::read(&rehashed(longer), &budget()),
        Err(Error::Malformed { .. })
    ));
    let mut later = file;
    later[3] = 2;
    assert!(matches!(
        Model::read(&later, &budget()),
        Err(Error::Unsupported(_))
    ));
}

/// Reads a file that may be anything; if it is a model, its graphs must run.
fn read_hostile(file: &[u8]) -> bool {
    let limits = Limits {
        max_alloc_bytes: 64 << 20,
        max_work: 1 << 24,
        ..Limits::default()
    };
    let budget = Budget::new(limits);
    let Ok(model) = Model::read(file, &budget) else {
        return false;
    };
    for (graph, _) in model.graphs() {
        crate::run::run_something(&model, &graph.name, &budget);
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_no_model(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!read_hostile(&body));
        prop_assert!(!read_hostile(&with_head(&body)));
    }

    /// As an attacker would, who can compute hashes.
    #[test]
    fn damaged_files_with_right_hashes_never_panic(
        seed in 0u64..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut file = tiny_model(seed).write().unwrap();
        let len = file.len() - HEAD_BYTES;
        for (at, byte) in damage {
            file[HEAD_BYTES + at.index(len)] = byte;
        }
        read_hostile(&rehashed(file));
    }

    /// Right hashes, right codes, wrong manifests.
    #[test]
    fn changed_manifests_never_panic(seed: u64) {
        let random = &mut Random::new(seed);
        let data = tiny_model(4);
        let manifest = serde_json::to_value(&data.graphs).unwrap();
        let mut changed = manifest.clone();
        for _ in 0..1 + random.below(2) {
            change_something(random, &mut changed);
        }
        if let Ok(graphs) = serde_json::from_value(changed) {
            let data = ModelData { graphs, ..data };
            read_hostile(&data.encode().unwrap());
        }
    }

    #[test]
    fn changed_tensors_never_panic(seed: u64) {
        let random = &mut Random::new(seed);
        let mut data = tiny_model(5);
        let mut tensors = Tensors::default();
        let changed = random.below(data.tensors.len());
        for (i, tensor) in data.tensors.iter().enumerate() {
            let mut tensor = tensor.clone();
            if i == changed {
                change_tensor(random, &mut tensor);
            }
            tensors.insert(tensor).unwrap();
        }
        data.tensors = tensors;
        read_hostile(&data.encode().unwrap());
    }
}

/// Changes a number, a name, or the order of a list.
fn change_something(random: &mut Random, json: &mut Json) {
    match json {
        Json::Array(list) if !list.is_empty() => {
            let at = random.below(list.len());
            match random.below(12) {
                0 => {
                    list.remove(at);
                }
                1 => {
                    let other = random.below(list.len());
                    list.swap(at, other);
                }
                2 => list.insert(at, list[at].clone()),
                _ => change_something(random, &mut list[at]),
            }
        }
        Json::Object(map) if !map.is_empty() => {
            let at = random.below(map.len());
            let value = map.values_mut().nth(at).unwrap();
            change_something(random, value);
        }
        Json::Number(_) => {
            let values = [
                0u64,
                1,
                2,
                3,
                8,
                9,
                15,
                16,
                31,
                64,
                255,
                32_768,
                65_535,
                1 << 31,
            ];
            *json = values[random.below(values.len())].into();
        }
        Json::String(text) => {
            let names = [
                "x",
                "y_hat",
                "side",
                "stem",
                "dense",
                "synthesis.twice.weights",
                "",
            ];
            *text = names[random.below(names.len())].to_owned();
        }
        Json::Bool(flag) => *flag = !*flag,
        _ => {}
    }
}

/// Changes an extent or elements.
fn change_tensor(random: &mut Random, tensor: &mut ModelTensor) {
    if random.below(3) == 0 {
        tensor.info.dims.reverse();
        return;
    }
    let at = random.below(tensor.data.len());
    let value = random.next();
    match &mut tensor.data {
        TensorData::I8(values) => values[at] = value as i8,
        TensorData::I16(values) => values.fill(value as i16),
        TensorData::I32(values) => values[at] = value as i32 >> 2,
        TensorData::U8(values) => values[at] = value as u8 % 40,
        TensorData::Cdf(values) => values[at] = value as u16,
        TensorData::Packed(values) => values[at] = value as u8,
    }
}

proptest! {
    #[test]
    fn elements_of_any_kind_come_back(
        values in proptest::collection::vec(any::<i32>(), 1..200),
        (rows, scale) in (1usize..5, 0u32..31),
    ) {
        let values: Vec<i32> = values.iter().map(|v| (v >> scale).max(-i32::MAX)).collect();
        let len = values.len() / rows * rows;
        let kinds = [
            TensorData::I8(values[..len].iter().map(|&v| v as i8).collect()),
            TensorData::I16(values[..len].iter().map(|&v| v as i16).collect()),
            TensorData::U8(values[..len].iter().map(|&v| v as u8).collect()),
            TensorData::Cdf(values[..len].iter().map(|&v| v as u16).collect()),
            TensorData::I32(values[..len].to_vec()),
        ];
        for data in kinds.into_iter().filter(|_| len > 0) {
            let tensor = ModelTensor::new("t", &[rows, len / rows], data).unwrap();
            // Twice, so that the second meets what the first has taught.
            let infos = [tensor.info.clone(), tensor.info.clone()];
            let payloads = encode_tensors(&[vec![0, 1]], &[&tensor, &tensor]).unwrap();
            let tables = decode_tables(&payloads[0]).unwrap();
            let coded = (&tables, &payloads[1][..]);
            let decoded = decode_stream(&[0, 1], &infos, coded, &budget()).unwrap();
            prop_assert!(decoded.iter().all(|(_, data)| *data == tensor.data));
        }
    }
}

#[test]
fn claims_out_of_proportion_are_refused() {
    let mut data = tiny_model(1);
    // Zeros cost nothing, and so a file could claim any number of them.
    let zeros = TensorData::I16(vec![0; 1 << 21]);
    data.tensors
        .insert(ModelTensor::new("zeros", &[1 << 21], zeros).unwrap())
        .unwrap();
    let file = data.encode().unwrap();
    assert!(matches!(
        Model::read(&file, &budget()),
        Err(Error::Malformed {
            what: "more elements than such a file can hold",
            ..
        })
    ));
}

/// A file of version 1 that this crate once wrote: for ever the same model.
const GOLDEN: &[u8] = include_bytes!("../../tests/golden/tiny-v1.rcm");

#[test]
fn the_golden_file_stays_what_it_is() {
    let model = Model::read(GOLDEN, &budget()).unwrap();
    assert_eq!(model.name(), "image-lossy-s1-5622");
    assert_eq!(model.data().write().unwrap(), GOLDEN);
    let network = crate::run::Network::new(&model, "analysis", &budget()).unwrap();
    let x = Random::new(7).tensor((45, 61, 3), 6, 1 << 14);
    let mut scratch = network.scratch(1, &budget()).unwrap();
    let engine = rcodec_fixed::Engine::new();
    let outputs = network.run(&engine, &[&x], &[1], &mut scratch).unwrap();
    let bytes: Vec<u8> = outputs
        .get(0)
        .values()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert_eq!(&blake3::hash(&bytes).to_hex()[..16], "70c37ef98d624755");
}

#[test]
#[ignore = "writes the golden file of a new version of the format"]
fn write_the_golden_file() {
    let file = tiny_model(1).write().unwrap();
    std::fs::create_dir_all("tests/golden").unwrap();
    std::fs::write("tests/golden/tiny-v1.rcm", file).unwrap();
}
