//! Whole networks give the same integers on every level of this CPU, on any
//! number of threads, and on every architecture: the hashes were made on
//! x86-64 at the scalar level.

mod support;

use rcodec_fixed::{Engine, Level, Shape, Tensor};
use support::{ByteModel, Synthesis, SynthesisScratch, Values, q8};

fn latents(height: usize, width: usize, channels: usize) -> Tensor {
    let values = Values::new(3).words(height * width * channels, 4000);
    Tensor::from_values(Shape::new(height, width, channels).unwrap(), q8(), values).unwrap()
}

/// FNV-1a over the values' little-endian bytes.
fn hash<const N: usize>(bytes: impl Iterator<Item = [u8; N]>) -> u64 {
    bytes.flatten().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn synthesis_is_the_same_on_every_level_and_thread_count() {
    let network = Synthesis::new(32, (40, 2), (24, 2)).unwrap();
    let latents = latents(7, 9, 32);
    let mut expected: Option<Vec<i16>> = None;
    let mut compared = 0;
    for level in Level::available() {
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let engine = Engine::at(level).unwrap();
            let mut scratch = SynthesisScratch::new().unwrap();
            pool.install(|| network.forward(&engine, &latents, &mut scratch))
                .unwrap();
            assert_eq!(scratch.image.shape(), Shape::new(112, 144, 3).unwrap());
            let image = scratch.image.into_values();
            let expected = expected.get_or_insert_with(|| image.clone());
            assert!(*expected == image, "{level:?}, {threads} threads");
            compared += image.len();
        }
    }
    println!("whole synthesis: {compared} integers equal");
    let expected = expected.unwrap();
    let distinct: std::collections::BTreeSet<i16> = expected.iter().copied().collect();
    assert!(distinct.len() > 1000, "the network has not died out");
    let hash = hash(expected.iter().map(|value| value.to_le_bytes()));
    assert_eq!(hash, 0xb4da_db52_d0e5_f473);
}

#[test]
fn a_recurrent_model_is_the_same_on_every_level_and_for_every_batch() {
    let model = ByteModel::new(52, 2).unwrap();
    let text: Vec<u8> = Values::new(5)
        .words(600, 127)
        .iter()
        .map(|&v| v as u8)
        .collect();
    let scalar = Engine::at(Level::Scalar).unwrap();
    let streams = 5;
    let steps = text.len() / streams;
    // Each stream by itself, at the scalar level.
    let mut expected = vec![Vec::new(); steps];
    for stream in 0..streams {
        let mut state = model.state(1).unwrap();
        for (step, expected) in expected.iter_mut().enumerate() {
            let byte = text[step * streams + stream];
            model.step(&scalar, &mut state, &[byte]).unwrap();
            expected.extend_from_slice(&state.logits);
        }
    }
    let hash = hash(
        expected
            .iter()
            .flatten()
            .map(|value: &i32| value.to_le_bytes()),
    );
    assert_eq!(hash, 0x1683_477b_7366_4d67);
    let mut compared = 0;
    for level in Level::available() {
        let engine = Engine::at(level).unwrap();
        let mut state = model.state(streams).unwrap();
        for (bytes, expected) in text.chunks(streams).zip(&expected) {
            model.step(&engine, &mut state, bytes).unwrap();
            assert!(state.logits == *expected, "{level:?}");
            compared += expected.len();
        }
    }
    println!("whole recurrent model: {compared} integers equal");
}
