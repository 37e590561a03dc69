//! Whole networks give the same integers on every level of this CPU and on
//! any number of threads.

mod support;

use rcodec_fixed::{Engine, Level, Shape, Tensor};
use support::{ByteModel, Synthesis, SynthesisScratch, Values, q8};

fn latents(height: usize, width: usize, channels: usize) -> Tensor {
    let values = Values::new(3).words(height * width * channels, 4000);
    Tensor::from_values(Shape::new(height, width, channels).unwrap(), q8(), values).unwrap()
}

#[test]
fn synthesis_is_the_same_on_every_level_and_thread_count() {
    let network = Synthesis::new(32, (40, 2), (24, 2)).unwrap();
    let latents = latents(7, 9, 32);
    let mut expected: Option<Vec<i16>> = None;
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
        }
    }
    let expected = expected.unwrap();
    let distinct: std::collections::BTreeSet<i16> = expected.iter().copied().collect();
    assert!(distinct.len() > 1000, "the network has not died out");
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
    for level in Level::available() {
        let engine = Engine::at(level).unwrap();
        let mut state = model.state(streams).unwrap();
        for (bytes, expected) in text.chunks(streams).zip(&expected) {
            model.step(&engine, &mut state, bytes).unwrap();
            assert!(state.logits == *expected, "{level:?}");
        }
    }
}

#[test]
fn the_environment_can_only_lower_the_level() {
    let best = Level::best();
    let detect = |value: &str| {
        // In a process of its own, since the environment is shared by threads.
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "prints_the_level", "--nocapture", "--ignored"])
            .env(Level::VARIABLE, value)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(detect("scalar").contains("level: scalar."));
    assert!(detect("nonsense").contains(&format!("level: {}.", best.name())));
    for level in Level::available() {
        assert!(detect(level.name()).contains(&format!("level: {}.", level.name())));
    }
}

#[test]
#[ignore = "called by the_environment_can_only_lower_the_level"]
fn prints_the_level() {
    println!("level: {}.", Engine::new().level().name());
}
