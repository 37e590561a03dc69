//! `rcodec models`: lists, checks, describes.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A sound model of a few kilobytes.
const TINY: &[u8] = include_bytes!("../../rcodec-model/tests/golden/tiny-v1.rcm");
const NAME: &str = "image-lossy-s1-5622";

/// The program, finding no models but those in `home` and `folders`.
fn models(home: &Path, folders: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcodec"));
    command
        .arg("models")
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("LOCALAPPDATA", home.join("data"))
        .env("RCODEC_MODELS", std::env::join_paths(folders).unwrap());
    command
}

fn json(command: &mut Command) -> Value {
    let output = command.arg("--json").assert().success();
    serde_json::from_slice(&output.get_output().stdout).unwrap()
}

#[test]
fn where_nothing_is_installed_the_list_says_where_it_looked() {
    let home = TempDir::new().unwrap();
    let list = json(&mut models(home.path(), &[]));
    let embedded = list.as_array().unwrap().len();
    if embedded == 0 {
        models(home.path(), &[])
            .assert()
            .success()
            .stdout(contains("no models").and(contains("rcodec")));
    }
    models(home.path(), &[]).arg("check").assert().success();
}

#[test]
fn models_of_every_folder_are_listed_and_broken_ones_named() {
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(folder.path().join("tiny.rcm"), TINY).unwrap();
    fs::write(folder.path().join("cut.rcm"), &TINY[..500]).unwrap();
    fs::write(folder.path().join("notes.txt"), "no model").unwrap();
    models(home.path(), &[folder.path()])
        .assert()
        .success()
        .stdout(
            contains(NAME)
                .and(contains("cut.rcm: "))
                .and(contains("notes").not()),
        );
    let list = json(&mut models(home.path(), &[folder.path()]));
    let of_file = |name: &str| {
        let list = list.as_array().unwrap().iter();
        let mut found = list.filter(|entry| entry["place"].as_str().unwrap().ends_with(name));
        found.next().unwrap().clone()
    };
    assert_eq!(of_file("tiny.rcm")["name"], NAME);
    assert_eq!(of_file("tiny.rcm")["bytes"], TINY.len());
    assert!(of_file("cut.rcm")["error"].is_string());
}

#[cfg(not(target_os = "macos"))]
#[test]
fn the_data_folder_is_looked_at() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("data/rcodec/models");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tiny.rcm"), TINY).unwrap();
    models(home.path(), &[])
        .assert()
        .success()
        .stdout(contains(NAME));
    models(home.path(), &[])
        .arg("check")
        .assert()
        .success()
        .stdout(contains("tiny.rcm: sound"));
}

#[test]
fn check_tells_sound_files_from_others() {
    let home = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut flipped = TINY.to_vec();
    flipped[TINY.len() / 2] ^= 4;
    let good = write("good.rcm", TINY);
    let bad = write("bad.rcm", &flipped);
    let text = write("text.rcm", b"model");
    let check = || {
        let mut command = models(home.path(), &[]);
        command.arg("check");
        command
    };
    check()
        .arg(&good)
        .assert()
        .success()
        .stdout(contains("good.rcm: sound").and(contains(NAME)));
    let damaged = check().arg(&bad).assert().code(3);
    damaged.stderr(contains("bad.rcm").and(contains("checksum")));
    check()
        .arg(&text)
        .assert()
        .code(3)
        .stderr(contains("text.rcm"));
    check().arg(home.path().join("none.rcm")).assert().code(5);
    // One that fails does not stop the others.
    let output = check().args([&bad, &good]).arg("--json").assert().code(1);
    let lines = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let verdicts: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(verdicts[0]["exit_code"], 3);
    assert_eq!(
        (&verdicts[1]["sound"], &verdicts[1]["name"]),
        (&true.into(), &NAME.into())
    );
}

#[test]
fn show_describes_a_model_by_name_id_or_file() {
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = folder.path().join("any.rcm");
    fs::write(&file, TINY).unwrap();
    let show = |model: &str| {
        let mut command = models(home.path(), &[folder.path()]);
        command.args(["show", model]);
        command
    };
    let described = json(&mut show(NAME));
    assert_eq!(described["name"], NAME);
    assert_eq!(described["record"]["steps"], 1000);
    assert_eq!(described["networks"][0]["graph"]["name"], "analysis");
    assert!(
        described["networks"][0]["multiply_adds_per_sample"]
            .as_f64()
            .unwrap()
            > 1.0
    );
    assert!(described["tensors"].as_array().unwrap().len() > 10);
    let id = described["id"].as_str().unwrap();
    assert_eq!(id.len(), 16);
    for model in [id, "image-lossy-s1", file.to_str().unwrap()] {
        show(model)
            .assert()
            .success()
            .stdout(contains("1,000 steps").and(contains("multiply-adds per sample")));
    }
    show("image-lossy-s9")
        .assert()
        .code(2)
        .stderr(contains("image-lossy-s9"));
}

/// A model's claims are believed only as far as the file goes.
#[cfg(unix)]
#[test]
fn a_hostile_file_gets_no_memory() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("huge.rcm");
    let mut file = TINY.to_vec();
    file.truncate(4000);
    // A gigabyte of zeros after the head, sparse: not read beyond the limit.
    fs::write(&path, &file).unwrap();
    let handle = fs::OpenOptions::new().write(true).open(&path).unwrap();
    handle.set_len(64 << 30).unwrap();
    let output = models(home.path(), &[]).arg("check").arg(&path).assert();
    output.code(4).stderr(contains("limit"));
}
