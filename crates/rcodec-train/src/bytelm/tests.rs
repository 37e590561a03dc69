use super::*;
use burn::backend::Flex;
use rcodec_core::{Budget, Limits};
use rcodec_fixed::{Engine, Level};
use rcodec_model::Record;
use std::time::Duration;

/// Pieces in which every `a` is followed by what came before it, which the core
/// says nothing about.
fn pieces() -> Vec<Piece> {
    let mut random = crate::random::Random::at(3, crate::random::Purpose::Checks, 0);
    let piece = |i| {
        let mut bytes = Vec::new();
        while bytes.len() < 1200 {
            let byte = b'c' + random.below(4) as u8;
            bytes.extend([byte, b'a', byte]);
        }
        Piece {
            kind: "made-up".to_owned(),
            held_out: i % 4 == 0,
            core_q8: vec![[0; 8]; bytes.len()],
            bytes,
        }
    };
    (0..12).map(piece).collect()
}

fn recipe() -> Recipe {
    Recipe {
        shape: Shape {
            width: 32,
            units: 32,
            features: 32,
            words_bits: 4,
        },
        steps: 60,
        batch: 4,
        length: 64,
        rate: 1e-2,
        alone: 0.5,
        seed: 5,
    }
}

fn train(pieces: &[Piece], steps: u64, resume: bool, out: &std::path::Path) -> Checkpoint {
    let options = RunOptions {
        out: out.to_owned(),
        resume,
        time: Duration::from_secs(600),
        checkpoint_every: Duration::from_secs(600),
        until: Some(steps),
    };
    train_bytelm::<Flex>(pieces, recipe(), &options, Default::default()).unwrap()
}

#[test]
fn a_network_learns_resumes_and_runs_in_integers() {
    let pieces = pieces();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = train(&pieces, 60, false, one.path());
    train(&pieces, 20, false, two.path());
    let resumed = train(&pieces, 60, true, two.path());
    assert_eq!(whole.state, resumed.state);

    let csv = std::fs::read_to_string(one.path().join("validation.csv")).unwrap();
    let last: Vec<&str> = csv.lines().last().unwrap().split(',').collect();
    let (core, float): (f64, f64) = (last[3].parse().unwrap(), last[4].parse().unwrap());
    assert!(core > 7.99 && float < 3.0, "{csv}");

    let (model, _) = quantise(&whole, Record::default())
        .unwrap()
        .build()
        .unwrap();
    let net = ByteNet::from_model(&model).unwrap();
    let piece = Piece {
        bytes: pieces[0].bytes[..1024].to_vec(),
        core_q8: pieces[0].core_q8[..1024].to_vec(),
        ..Piece::default()
    };
    let costs = measure(&net, &piece, 100, 256).unwrap();
    let integer = costs.fixed / 1024.0;
    assert!(integer < 1.1 * float + 0.1, "{integer} {float}");
    assert!(costs.adaptive < 1.02 * costs.fixed);
    levels_and_lockstep_agree(&net, &pieces);
}

fn levels_and_lockstep_agree(net: &ByteNet, pieces: &[Piece]) {
    let budget = Budget::new(Limits::default());
    let texts: Vec<&[u8]> = pieces[..3]
        .iter()
        .map(|piece| &piece.bytes[..100])
        .collect();
    let alone = |text: &[u8], engine: Engine| -> Vec<Vec<i16>> {
        let mut stream = Streams::new(net, engine, 1, &budget).unwrap();
        let step = |&byte: &u8| {
            stream.advance(&[byte]).unwrap();
            stream.features_q8(0).to_vec()
        };
        text.iter().map(step).collect()
    };
    let scalar = Engine::at(Level::Scalar).unwrap();
    let expected: Vec<_> = texts.iter().map(|text| alone(text, scalar)).collect();
    for engine in Level::available().into_iter().filter_map(Engine::at) {
        for (text, expected) in texts.iter().zip(&expected) {
            assert_eq!(&alone(text, engine), expected, "{:?}", engine.level());
        }
        let mut streams = Streams::new(net, engine, 3, &budget).unwrap();
        for i in 0..100 {
            let bytes: Vec<u8> = texts.iter().map(|text| text[i]).collect();
            streams.advance(&bytes).unwrap();
            for (stream, expected) in expected.iter().enumerate() {
                assert_eq!(streams.features_q8(stream), expected[i]);
            }
        }
        assert!(streams.advance(&[0]).is_err());
    }
}

#[test]
fn models_of_other_forms_are_refused() {
    let whole = Checkpoint::begin(recipe());
    let data = || quantise(&whole, Record::default()).unwrap();
    let refused = |data: rcodec_model::ModelData| {
        let (model, _) = data.build().unwrap();
        assert!(ByteNet::from_model(&model).is_err());
    };
    assert!(ByteNet::from_model(&data().build().unwrap().0).is_ok());
    let mut other = data();
    other.record.family = "text".to_owned();
    refused(other);
    for name in [
        "table",
        "first.weight",
        "second.bias",
        "features.shift",
        "head.bias",
    ] {
        let mut tensors = rcodec_model::Tensors::default();
        for tensor in data()
            .tensors
            .iter()
            .filter(|tensor| tensor.info.name != name)
        {
            tensors.insert(tensor.clone()).unwrap();
        }
        refused(rcodec_model::ModelData { tensors, ..data() });
    }
}

#[test]
fn traces_come_back_and_damaged_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prose.trace");
    let text = |seed: usize| -> Vec<u8> {
        let words = [
            "the ", "ship ", "and ", "its ", "crew ", "went ", "on, ", "then\n",
        ];
        let mut random = crate::random::Random::at(seed as u64, crate::random::Purpose::Checks, 1);
        let words = (0..64_000).map(|_| words[random.below(8)].as_bytes());
        words.flatten().copied().collect()
    };
    trace_kind(&[text(1), text(2)], 4, 20_000, &path).unwrap();
    let pieces = read(&path).unwrap();
    assert!(pieces.iter().all(|piece| piece.kind == "prose"));
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    assert!((30_000..=80_000).contains(&bytes), "{bytes}");
    let bits: f64 = pieces
        .iter()
        .map(|piece| cost(&piece.bytes, &piece.core_q8))
        .sum();
    // Three bits a word of 4.6 bytes.
    assert!(bits < 1.2 * bytes as f64, "{bits}");
    let file = std::fs::read(&path).unwrap();
    std::fs::write(&path, &file[..file.len() - 1]).unwrap();
    assert!(read(&path).is_err());
}
