//! The commands of the README's chapter «Train your own checkpoint», on a
//! folder of tiny pictures.
#![cfg(feature = "flex")]

use assert_cmd::Command;
use predicates::prelude::*;
use std::path::Path;

/// A recipe of the project.
fn recipe() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("models/recipes/example-tiny.toml");
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

#[test]
fn the_chapter_works_on_a_folder_of_pictures() {
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
