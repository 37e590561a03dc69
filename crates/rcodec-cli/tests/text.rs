//! The program on text: small files, live logs, priors, language models,
//! dictionaries.

mod common;

use common::{folder_with, prose, rcodec};
use predicates::str::contains;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;

#[test]
fn a_kilobyte_note_pays_at_most_ten_bytes_of_framing() {
    let mut random = rcodec_datasets::Random::new(6);
    let noise: Vec<u8> = (0..1000).map(|_| random.next_u32() as u8).collect();
    let (folder, path) = folder_with("note", &noise);
    rcodec().arg("encode").arg(&path).assert().success();
    let encoded = fs::metadata(folder.path().join("note.rcd")).unwrap().len();
    assert!(encoded <= 1010, "{encoded}");
}

#[test]
fn text_is_told_by_trial_and_not_by_its_name() {
    let text = &prose()[..1500];
    let wide: Vec<u8> = text.iter().flat_map(|&byte| [byte, 0]).collect();
    let mut random = rcodec_datasets::Random::new(7);
    let noise: Vec<u8> = (0..1500).map(|_| random.next_u32() as u8).collect();
    let contents = [
        ("photo.png", text, "text"),
        ("song.flac", &wide, "text"),
        ("notes.txt", &noise, "store"),
    ];
    for (name, content, codec) in contents {
        let (folder, path) = folder_with(name, content);
        rcodec().arg("encode").arg(&path).assert().success();
        let file = folder.path().join(format!("{name}.rcd"));
        let info = rcodec().arg("info").arg(&file).output().unwrap();
        let info = String::from_utf8(info.stdout).unwrap();
        let line = info.lines().find(|line| line.contains("codec"));
        let told = line.unwrap().split_whitespace().last();
        assert_eq!(told, Some(codec), "{name}");
        let encoded = fs::metadata(&file).unwrap().len();
        assert!(encoded <= content.len() as u64 + 16, "{name}: {encoded}");
    }
}

#[test]
fn a_live_log_is_written_before_it_ends() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rcodec"))
        .args(["encode", "--quiet", "--flush-interval", "1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"a line of a log\n").unwrap();
    let mut output = child.stdout.take().unwrap();
    // It would wait for ever if nothing came before the end.
    let mut encoded = vec![0; 30];
    output.read_exact(&mut encoded).unwrap();
    input.write_all(b"and another\n").unwrap();
    drop(input);
    output.read_to_end(&mut encoded).unwrap();
    assert!(child.wait().unwrap().success());
    let mut decode = rcodec();
    decode.args(["decode", "-"]).write_stdin(encoded);
    let decoded = decode.output().unwrap();
    assert_eq!(decoded.stdout, b"a line of a log\nand another\n");
}

#[test]
fn a_prior_is_named_and_memory_limited() {
    let prior = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/text-prose.rcm");
    let (folder, note) = folder_with("note.txt", &prose()[..1000]);
    let file = folder.path().join("note.txt.rcd");
    for options in [&["--prior", prior][..], &["--memory", "16M"]] {
        rcodec()
            .args(["encode", "--force", "--codec", "text"])
            .args(options)
            .arg(&note)
            .assert()
            .success();
        rcodec().arg("verify").arg(&file).assert().success();
    }
    rcodec()
        .args(["encode", "--force", "--prior"])
        .arg(&note)
        .arg(&note)
        .assert()
        .failure()
        .stderr(contains("prior"));
}

#[test]
fn a_language_model_is_named_and_needed() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/llm-tiny");
    let content = &prose()[..1500];
    let (folder, note) = folder_with("note.txt", content);
    let file = folder.path().join("note.txt.rcd");
    let encode = |cpu: &str, threads: &str| {
        rcodec()
            .env("RCODEC_CPU", cpu)
            .args(["encode", "--force", "--codec", "text", "--threads", threads])
            .args(["--model", model])
            .arg(&note)
            .assert()
            .success();
        fs::read(&file).unwrap()
    };
    let encoded = encode("", "1");
    assert!(encode("scalar", "2") == encoded);
    let id = "500edf4c16e6da02";
    rcodec()
        .arg("info")
        .arg(&file)
        .assert()
        .success()
        .stdout(contains(id));
    rcodec()
        .arg("verify")
        .arg(&file)
        .assert()
        .code(6)
        .stderr(contains(id));
    fs::remove_file(&note).unwrap();
    for (cpu, command) in [("", "verify"), ("avx2", "decode")] {
        rcodec()
            .env("RCODEC_CPU", cpu)
            .args([command, "--model", model])
            .arg(&file)
            .assert()
            .success();
    }
    assert!(fs::read(&note).unwrap() == content);
    // Another model, and none.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let mut bytes = fs::read(Path::new(model).join(name)).unwrap();
        if name == "model.safetensors" {
            let last = bytes.len() - 2;
            bytes[last] ^= 1;
        }
        fs::write(other.join(name), bytes).unwrap();
    }
    let verify = |model: &Path| {
        rcodec()
            .args(["verify", "--model"])
            .args([model, &file])
            .assert()
    };
    verify(&other).code(6).stderr(contains(id));
    fs::remove_file(other.join("tokenizer.json")).unwrap();
    verify(&other).failure().stderr(contains("tokenizer.json"));
}

#[test]
fn dictionaries() {
    let folder = TempDir::new().unwrap();
    let notes: Vec<PathBuf> = (0..200)
        .map(|i| {
            let path = folder.path().join(format!("{i}.json"));
            fs::write(&path, rcodec_datasets::json_lines(4, i)).unwrap();
            path
        })
        .collect();
    let dictionary = folder.path().join("json.zdict");
    rcodec()
        .args(["dict", "train", "--size", "8K", "-o"])
        .arg(&dictionary)
        .args(&notes[10..])
        .assert()
        .success();
    let plain = folder.path().join("plain.rcd");
    let small = folder.path().join("small.rcd");
    rcodec()
        .args(["encode", "--codec", "zstd", "-o"])
        .args([&plain, &notes[0]])
        .assert()
        .success();
    rcodec()
        .args(["encode", "--dict"])
        .arg(&dictionary)
        .arg("-o")
        .args([&small, &notes[0]])
        .assert()
        .success();
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(
        size(&small) * 4 < size(&plain) * 3,
        "{} {}",
        size(&small),
        size(&plain)
    );
    rcodec()
        .arg("verify")
        .arg(&small)
        .assert()
        .failure()
        .stderr(contains("dictionary"));
    rcodec()
        .args(["verify", "--dict"])
        .args([&dictionary, &small])
        .assert()
        .success();
}
