//! Whole models: against floats, at every level, and by their bytes.

use crate::testing::{Random, Shape, reference};
use crate::{Engine, Level, Model, Predictor, Session, registry};
use rcodec_core::{Budget, Error, Limits};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn budget() -> Budget {
    Budget::new(Limits::default())
}

fn load(folder: &Path) -> Arc<Model> {
    Arc::new(Model::load(folder, &budget()).unwrap())
}

fn made(shape: &Shape) -> Arc<Model> {
    let folder = tempfile::tempdir().unwrap();
    shape.write(folder.path());
    load(folder.path())
}

/// Largest and root mean square error of the logits, relative to their own
/// root mean square.
fn errors(shape: &Shape) -> (f64, f64) {
    let model = made(shape);
    let mut random = Random(shape.seed + 99);
    let count = shape.size("vocab_size") as u64;
    let tokens: Vec<u32> = (0..40).map(|_| (random.next() % count) as u32).collect();
    let exact = reference(shape, &shape.weights(), &tokens);
    let mut session = Session::new(&model, Engine::new(), &budget()).unwrap();
    let found = session.logits(&tokens).unwrap();
    let (mut worst, mut squares, mut power) = (0.0f64, 0.0, 0.0);
    for (found, exact) in found.iter().flatten().zip(exact.iter().flatten()) {
        let error = *found as f64 / f64::from(1 << 20) - exact;
        worst = worst.max(error.abs());
        squares += error * error;
        power += exact * exact;
    }
    let n = (tokens.len() * count as usize) as f64;
    let scale = (power / n).sqrt();
    assert!(scale > 0.05, "logits that say nothing: {scale}");
    (worst / scale, (squares / n).sqrt() / scale)
}

#[test]
fn every_architecture_computes_what_floats_do() {
    let mut shapes = Vec::new();
    let mut add = |name: &'static str, change: &dyn Fn(&mut Shape)| {
        let mut shape = Shape::llama();
        shape.seed = shapes.len() as u64;
        change(&mut shape);
        shapes.push((name, shape));
    };
    add("llama", &|_| ());
    add("untied, bf16", &|s| {
        (s.tied, s.float_type) = (false, "BF16");
    });
    add("f16", &|s| s.float_type = "F16");
    add("grouped queries", &|s| {
        s.config["num_key_value_heads"] = 2.into()
    });
    add("one key head, wide heads", &|s| {
        s.config["num_key_value_heads"] = 1.into();
        s.config["head_dim"] = 64.into();
    });
    add("qwen2: biases", &|s| {
        s.config["model_type"] = "qwen2".into();
        s.qkv_bias = true;
    });
    add("all biases", &|s| s.all_bias = true);
    add("qwen3: norms of heads", &|s| {
        s.config["model_type"] = "qwen3".into();
        s.config["rope_theta"] = 1e6.into();
        s.qk_norm = true;
    });
    add("llama 3: stretched positions", &|s| {
        s.config["rope_theta"] = 500_000.0.into();
        s.config["rope_scaling"] = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
        });
    });
    add("linear positions", &|s| {
        s.config["rope_scaling"] = json!({"rope_type": "linear", "factor": 4.0});
    });
    for (name, shape) in &shapes {
        let (worst, mean) = errors(shape);
        // Keys have 11 bits, values 12, everything else 15 or more.
        assert!(worst < 0.02 && mean < 0.003, "{name}: {worst} {mean}");
    }
    let mut off_grid = Shape::llama();
    off_grid.on_grid = false;
    let (worst, mean) = errors(&off_grid);
    assert!(worst < 0.25 && mean < 0.03, "8 bits: {worst} {mean}");
    // The test can fail: a wrong switch is far off.
    let model = made(&shapes[0].1);
    let wrong = reference(&shapes[9].1, &shapes[0].1.weights(), &[1, 2, 3, 4, 5, 6]);
    let mut session = Session::new(&model, Engine::new(), &budget()).unwrap();
    let found = session.logits(&[1, 2, 3, 4, 5, 6]).unwrap();
    let off = found[5].iter().zip(&wrong[5]);
    let off = off.map(|(f, w)| (*f as f64 / f64::from(1 << 20) - w).abs());
    assert!(off.fold(0.0, f64::max) > 0.01);
}

fn trace(model: &Arc<Model>, engine: Engine, bytes: &[u8]) -> blake3::Hash {
    let mut predictor = Predictor::new(model, engine, &budget()).unwrap();
    let mut hasher = blake3::Hasher::new();
    for &byte in bytes {
        for weight in predictor.weights() {
            hasher.update(&weight.to_le_bytes());
        }
        predictor.advance(byte).unwrap();
    }
    hasher.finalize()
}

fn bytes(count: usize) -> Vec<u8> {
    let mut random = Random(5);
    let words: [&[u8]; 8] = [
        b" the",
        b"there",
        b"ing",
        b" and",
        b"\n",
        b"on",
        b"\xff\x00",
        b"a",
    ];
    let words = (0..).flat_map(|_| words[(random.next() % 8) as usize].to_vec());
    words.take(count).collect()
}

#[test]
fn levels_and_threads_change_nothing() {
    let mut shape = Shape::llama();
    // Enough for parts of matrices side by side.
    shape.config["vocab_size"] = 40_000.into();
    shape.config["hidden_size"] = 64.into();
    shape.config["head_dim"] = 16.into();
    let model = made(&shape);
    let bytes = bytes(60);
    let golden = trace(&model, Engine::at(Level::Scalar).unwrap(), &bytes);
    for level in Level::available() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let found = pool
                .unwrap()
                .install(|| trace(&model, Engine::at(level).unwrap(), &bytes));
            assert_eq!(found, golden, "{level:?} {threads}");
        }
    }
}

/// Ids and predictions are part of the format.
#[test]
fn a_model_and_what_it_says_are_golden() {
    let mut shape = Shape::llama();
    shape.config["num_key_value_heads"] = 2.into();
    shape.qk_norm = true;
    shape.qkv_bias = true;
    shape.on_grid = false;
    let model = made(&shape);
    assert_eq!(model.id().to_string(), "a316d61051fa7268");
    // Longer than the context, so that it slides.
    let hash = trace(&model, Engine::new(), &bytes(700)).to_hex();
    assert_eq!(&hash[..16], "518d6afd763624dc");
}

#[test]
fn weights_are_those_of_tokens() {
    // At the beginning of a text, the first byte's weight is that of all tokens
    // that begin with it.
    let shape = Shape::llama();
    let model = made(&shape);
    let predictor = Predictor::new(&model, Engine::new(), &budget()).unwrap();
    let logits = &reference(&shape, &shape.weights(), &[299])[0];
    let vocabulary = model.vocabulary();
    let total: f64 = vocabulary
        .ids()
        .iter()
        .map(|&id| logits[id as usize].exp())
        .sum();
    let sum: u32 = predictor.weights().iter().sum();
    assert!(sum < 1 << 28);
    for byte in 0..=255u8 {
        let of_byte = (0..vocabulary.len()).filter(|&at| vocabulary.token(at)[0] == byte);
        let exact: f64 = of_byte
            .map(|at| logits[vocabulary.ids()[at] as usize].exp())
            .sum();
        let found = f64::from(predictor.weights()[usize::from(byte)]) / f64::from(sum);
        assert!((found - exact / total).abs() < 0.01 * exact / total + 1e-6);
    }
}

#[test]
fn any_bytes_can_follow_and_the_context_slides() {
    let mut shape = Shape::llama();
    shape.config["max_position_embeddings"] = 16.into();
    let model = made(&shape);
    let mut predictor = Predictor::new(&model, Engine::new(), &budget()).unwrap();
    let mut random = Random(3);
    for i in 0..3000 {
        let byte = random.next() as u8;
        let byte = if i % 3 == 0 {
            byte
        } else {
            b"the re"[usize::from(byte) % 6]
        };
        predictor.advance(byte).unwrap();
        let sum: u32 = predictor.weights().iter().sum();
        assert!(sum > 1 << 20, "{i}: {sum}");
    }
    assert!(predictor.runs() <= 2 * 3000);
}

#[test]
fn what_is_not_a_model_is_an_error() {
    let shape = Shape::llama();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(Model::load(path, &budget()).is_err());
    shape.write(path);
    let id = load(path).id();
    let file = fs::read(path.join("model.safetensors")).unwrap();
    let refused = |file: &[u8]| {
        fs::write(path.join("model.safetensors"), file).unwrap();
        Model::load(path, &budget()).unwrap_err()
    };
    // Cut anywhere, and with a header that lies.
    for len in [0, 4, 8, 100, 3000, file.len() - 1] {
        refused(&file[..len]);
    }
    for header in [u64::MAX, file.len() as u64, 1 << 40] {
        refused(&[&header.to_le_bytes()[..], &file[8..]].concat());
    }
    for (from, to) in [
        ("\"F32\"", "\"I64\""),
        ("[300,48]", "[48,300]"),
        ("[300,48]", "[1e9,9]"),
        ("model.norm.weight", "model.nor_.weight"),
        ("data_offsets\":[0,", "data_offsets\":[9,"),
    ] {
        let head = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&file[8..head])
            .unwrap()
            .replace(from, to);
        assert_ne!(text.as_bytes(), &file[8..head], "{from}");
        refused(
            &[
                &(text.len() as u64).to_le_bytes()[..],
                text.as_bytes(),
                &file[head..],
            ]
            .concat(),
        );
    }
    // A weight that is not a number.
    let mut odd = file.clone();
    let len = odd.len();
    odd[len - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(&odd);
    // A tensor too many, or of another model.
    let mut more = shape.clone();
    more.qk_norm = true;
    let mut weights = more.weights();
    weights
        .0
        .retain(|name, _| !name.contains("q_norm") || name.contains("layers.1"));
    weights.0.insert(
        "model.layers.0.self_attn.sinks".to_owned(),
        (vec![4], vec![0.5; 4]),
    );
    shape.write_with(path, &weights);
    assert!(matches!(
        Model::load(path, &budget()),
        Err(Error::Unsupported(_))
    ));
    // Memory is asked for first.
    shape.write(path);
    let limits = Limits {
        max_alloc_bytes: 20_000,
        ..Limits::default()
    };
    assert!(matches!(
        Model::load(path, &Budget::new(limits)),
        Err(Error::Limit(_))
    ));
    // Another weight is another model; another order of files is not.
    assert_eq!(load(path).id(), id);
    let mut other = file.clone();
    other[len - 2] ^= 1;
    fs::write(path.join("model.safetensors"), &other).unwrap();
    let changed = load(path).id();
    assert_ne!(changed, id);
    registry::add(load(path));
    assert!(registry::find(changed).is_ok());
    assert!(matches!(registry::find(id), Err(Error::ModelMissing(missing)) if missing == id));
}

#[test]
fn an_index_names_files_of_the_folder_only() {
    let shape = Shape::llama();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    shape.write(path);
    let id = load(path).id();
    fs::rename(
        path.join("model.safetensors"),
        path.join("part-1.safetensors"),
    )
    .unwrap();
    let index = |name: &str| {
        let index = json!({"weight_map": {"model.norm.weight": name}});
        fs::write(path.join("model.safetensors.index.json"), index.to_string()).unwrap();
        Model::load(path, &budget())
    };
    assert_eq!(index("part-1.safetensors").unwrap().id(), id);
    for name in ["../part-1.safetensors", "/etc/passwd", "", "no.safetensors"] {
        assert!(index(name).is_err(), "{name}");
    }
}

/// The numbers of FORMAT.md's worked example, which another program found that
/// was written from that page.
#[test]
fn the_example_of_the_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/llm-tiny");
    let model = load(Path::new(folder));
    assert_eq!(model.id().to_string(), "500edf4c16e6da02");
    let text =
        b"the cat sat on the mat; \xff\x00 the cat sat on the hat, and then there was another \
        one of them: \"Who is it?\" he asked. ";
    let text = text.repeat(3);
    let mut predictor = Predictor::new(&model, Engine::new(), &budget()).unwrap();
    for &byte in &text {
        predictor.advance(byte).unwrap();
    }
    assert_eq!((text.len(), predictor.runs()), (342, 319));
    let hash = trace(&model, Engine::new(), &text).to_hex();
    assert_eq!(&hash[..16], "05bd0610aba22a2b");
}
