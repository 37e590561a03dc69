//! The README's chapter «Train your own checkpoint», its very commands and
//! what else they can do, on a folder of tiny pictures.
#![cfg(feature = "flex")]

use assert_cmd::Command;
use predicates::prelude::*;
use rcodec_core::{
    Block, BlockSink, BlockSource, Budget, Codec, ColorType, DecodeContext, EncodeContext,
    ImageHeader, ImageStrip, Limits, Media, MediaHeader, ModelId, Rate, Samples, StreamHeader,
};
use rcodec_image::ImageLossy;
use rcodec_model::registry::{self, Registry};
use std::path::{Path, PathBuf};

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A recipe of the project.
fn recipe() -> String {
    let path = root().join("models/recipes/example-tiny.toml");
    path.to_str().unwrap().to_owned()
}

fn rcodec_train(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rcodec-train").unwrap();
    command.current_dir(folder).args(arguments);
    command
}

/// One's own pictures: waves of several directions and colours.
fn pictures(folder: &Path) {
    std::fs::create_dir(folder.join("Pictures")).unwrap();
    for i in 0..20u32 {
        let picture = image::RgbImage::from_fn(96, 80, |x, y| {
            let at = (x * (i % 5) + y * (i % 3 + 1)) as f32;
            let wave = ((at * 0.05).sin() * 90.0 + 120.0) as u8;
            let edge = if (x + i * 9) % 40 < 20 { 40 } else { 0 };
            image::Rgb([wave.saturating_add(edge), wave, (y * 2) as u8])
        });
        let name = folder.join("Pictures").join(format!("{i}.png"));
        picture.save(name).unwrap();
    }
}

/// The commands of the chapter's blocks of code, from the first to the one that
/// is about sound.
fn commands() -> (String, String) {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let chapter = readme.split("## Train your own checkpoint").nth(1).unwrap();
    let mut blocks = chapter.split("```sh\n").skip(1).map(|rest| {
        let block = rest.split("```").next().unwrap();
        block.to_owned()
    });
    (blocks.next().unwrap(), blocks.next().unwrap())
}

/// The chapter's commands as they stand, but for the recipe, which is the tiny
/// one. What they make is a model that the codec takes.
#[cfg(unix)]
#[test]
fn the_readmes_commands_make_a_model_that_encodes() {
    let (training, use_of_model) = commands();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    pictures(at);
    std::fs::create_dir_all(at.join("models/recipes")).unwrap();
    let tiny = std::fs::read_to_string(recipe()).unwrap();
    let tiny = tiny.replace("steps = 200", "steps = 60");
    std::fs::write(at.join("models/recipes/example-image-lossy.toml"), tiny).unwrap();
    let (build, rest) = training.split_once('\n').unwrap();
    assert!(build.starts_with("cargo build --profile train"));
    let binary = assert_cmd::cargo::cargo_bin("rcodec-train");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    Command::new("sh")
        .args(["-e", "-c", rest])
        .current_dir(at)
        .env("HOME", at)
        .env("PATH", path)
        .assert()
        .success()
        .stdout(predicate::str::contains("MAC/pixel"))
        .stdout(predicate::str::contains("agree in all of"));

    // What the second block does, by the library.
    let name = "image-lossy-mine1";
    assert!(use_of_model.contains(&format!("rcodec encode --quality 60 --model {name} ")));
    assert!(use_of_model.contains("export RCODEC_MODELS=.\n"));
    registry::open(&at.join("mine.rcm"), &Budget::new(Limits::default())).unwrap();
    registry::add_folder(at.to_owned());
    let model = Registry::from_env().find(name, &Budget::new(Limits::default()));
    round_trip(model.unwrap(), &at.join("Pictures/3.png"));
}

#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl BlockSink for Blocks {
    fn write_block(&mut self, payload: &[u8]) -> rcodec_core::Result<()> {
        self.0.push(payload.to_vec());
        Ok(())
    }
}

impl BlockSource for Blocks {
    fn next_block(&mut self) -> rcodec_core::Result<Option<Block>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let payload = self.0.remove(0);
        let reservation = Budget::new(Limits::default()).reserve(payload.len() as u64)?;
        Ok(Some(Block {
            payload,
            at: 0,
            reservation,
        }))
    }
}

/// Encodes a picture with a model; the decoder gives what the encoder said.
fn round_trip(model: ModelId, picture: &Path) {
    let picture = image::open(picture).unwrap().into_rgb8();
    let (width, height) = picture.dimensions();
    let media = MediaHeader::Image(ImageHeader {
        width,
        height,
        color: ColorType::Rgb,
        bits: 8,
        palette: Vec::new(),
    });
    let context = EncodeContext {
        rate: Rate::Quality(60.0),
        model: Some(model),
        ..EncodeContext::default()
    };
    let mut encoder = ImageLossy.encoder(&media, context).unwrap();
    let stream = StreamHeader {
        version: 1,
        codec: ImageLossy.info().id,
        media,
        params: encoder.params(),
        models: encoder.models(),
    };
    assert_eq!(stream.models, [model]);
    let mut blocks = Blocks::default();
    let strip = ImageStrip {
        rows: height,
        samples: Samples::U8(picture.into_raw()),
    };
    encoder.write(Media::Image(strip), &mut blocks).unwrap();
    encoder.finish(&mut blocks).unwrap();
    let samples = |unit: Media| match unit {
        Media::Image(ImageStrip {
            samples: Samples::U8(samples),
            ..
        }) => samples,
        _ => panic!("a strip of 8 bits"),
    };
    let promised = std::iter::from_fn(|| encoder.next_decoded().map(samples));
    let promised: Vec<u8> = promised.flatten().collect();
    let mut decoder = ImageLossy
        .decoder(&stream, DecodeContext::default())
        .unwrap();
    let decoded = std::iter::from_fn(|| decoder.next_unit(&mut blocks).unwrap().map(samples));
    let decoded: Vec<u8> = decoded.flatten().collect();
    assert_eq!(decoded.len(), (3 * width * height) as usize);
    assert_eq!(decoded, promised);
}

#[test]
fn runs_stop_go_on_and_are_exported() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    pictures(at);
    let recipe = recipe();
    rcodec_train(at, &["describe", &recipe])
        .assert()
        .success()
        .stdout(predicate::str::contains("MAC/pixel"));

    // Train, stop, go on to the end.
    let train = ["--data", "Pictures", "--out", "run", "--steps", "60"];
    let mut begin = vec![recipe.as_str()];
    begin.extend(train);
    let until = [&begin[..], &["--until", "30"]].concat();
    rcodec_train(at, &until).assert().success();
    rcodec_train(at, &begin)
        .assert()
        .failure()
        .stderr(predicate::str::contains("--resume"));
    let on = [&begin[..], &["--resume", "--minutes", "5"]].concat();
    rcodec_train(at, &on).assert().success();
    let curve = std::fs::read_to_string(at.join("run/validation.csv")).unwrap();
    assert!(
        curve.contains("\n60,") && curve.contains(",integer,"),
        "{curve}"
    );

    // Export with a proof of equality and figures.
    let export = [
        "export",
        "run",
        "--data",
        "Pictures",
        "--out",
        "mine.rcm",
        "--manifest",
        "MANIFEST.toml",
        "--licence",
        "my own pictures",
    ];
    rcodec_train(at, &export)
        .assert()
        .success()
        .stdout(predicate::str::contains("agree in all of"))
        .stdout(predicate::str::contains("exported"))
        .stdout(predicate::str::contains("step 60"));
    let file = std::fs::read(at.join("mine.rcm")).unwrap();
    let manifest = std::fs::read_to_string(at.join("MANIFEST.toml")).unwrap();
    assert!(manifest.contains(&blake3::hash(&file).to_hex().to_string()));
    assert!(manifest.contains("my own pictures") && manifest.contains("loss_exported"));

    // The same checkpoint makes the same file.
    rcodec_train(at, &export).assert().success();
    assert_eq!(std::fs::read(at.join("mine.rcm")).unwrap(), file);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    pictures(at);
    let recipe = recipe();
    let fails = |arguments: &[&str], message: &str| {
        rcodec_train(at, arguments)
            .assert()
            .failure()
            .stderr(predicate::str::contains(message));
    };
    let begin = [recipe.as_str(), "--data", "Pictures", "--out", "run"];
    let with = |more: &[&'static str]| [&begin[..], more].concat();
    fails(&with(&["--minutes=-1"]), "-1 minutes");
    fails(&with(&["--device", "tpu"]), "possible values");
    // Without a GPU, or without the feature, an error and no run.
    if !cfg!(feature = "cuda") {
        fails(&with(&["--device", "cuda"]), "cuda");
    }
    fails(
        &["none.toml", "--data", "Pictures", "--out", "run"],
        "none.toml",
    );
    fails(&[&recipe, "--data", "nowhere", "--out", "run"], "nowhere");
    std::fs::create_dir(at.join("empty")).unwrap();
    fails(&[&recipe, "--data", "empty", "--out", "run"], "no pictures");
    fails(&["export", "empty", "--out", "a.rcm"], "no checkpoint");
    assert!(!at.join("run").exists() && !at.join("a.rcm").exists());
}
