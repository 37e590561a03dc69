//! The program as a user meets it: files, folders, pipes, and everything that
//! goes wrong with them.

mod common;

use common::{folder_with, rcodec, wav};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn sample_png() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples/landscape.png")
}

fn prose() -> Vec<u8> {
    rcodec_datasets::prose(20_000, 3).into_bytes()
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The pixels of a PNG as `rcodec` itself reads them.
fn pixels(path: &Path) -> Vec<u8> {
    let output = rcodec()
        .args(["encode", "-e1", "-o", "-"])
        .arg(path)
        .output()
        .unwrap();
    let raw = rcodec()
        .args(["decode", "--format", "raw", "-"])
        .write_stdin(output.stdout)
        .output()
        .unwrap();
    assert!(raw.status.success());
    raw.stdout
}

#[test]
fn a_picture_there_and_back() {
    let (folder, path) = folder_with("photo.png", &fs::read(sample_png()).unwrap());
    rcodec()
        .arg("encode")
        .arg(&path)
        .assert()
        .success()
        .stdout(contains("photo.png.rcd").and(contains("bits per pixel")));
    assert_eq!(names(folder.path()), ["photo.png", "photo.png.rcd"]);
    let encoded = folder.path().join("photo.png.rcd");
    assert!(fs::metadata(&encoded).unwrap().len() < fs::metadata(&path).unwrap().len());
    let before = pixels(&path);
    assert_eq!(before.len(), 384 * 256 * 3);
    fs::remove_file(&path).unwrap();
    rcodec().arg("decode").arg(&encoded).assert().success();
    assert_eq!(pixels(&path), before);
}

#[test]
fn sound_and_text_come_back_byte_for_byte() {
    for (name, bytes) in [
        ("song.wav", wav(&rcodec_datasets::music(30_000, 1, 2))),
        ("note.txt", prose()),
        ("empty.txt", Vec::new()),
        ("one.bin", vec![7]),
        ("lying.wav", {
            let mut file = wav(&rcodec_datasets::music(3000, 1, 2));
            file[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
            file
        }),
        (
            "cut.wav",
            wav(&rcodec_datasets::music(3000, 1, 2))[..5001].to_vec(),
        ),
    ] {
        let (folder, path) = folder_with(name, &bytes);
        rcodec()
            .args(["encode", "--remove-source"])
            .arg(&path)
            .assert()
            .success();
        let encoded = format!("{name}.rcd");
        assert_eq!(names(folder.path()), std::slice::from_ref(&encoded));
        rcodec()
            .arg("verify")
            .arg(folder.path().join(&encoded))
            .assert()
            .success();
        rcodec()
            .arg("decode")
            .arg(folder.path().join(&encoded))
            .assert()
            .success();
        assert!(fs::read(&path).unwrap() == bytes, "{name}");
    }
}

#[test]
fn pipes_on_both_sides() {
    for bytes in [
        prose(),
        wav(&rcodec_datasets::music(30_000, 1, 2)),
        Vec::new(),
    ] {
        let encoded = rcodec()
            .args(["encode", "-"])
            .write_stdin(bytes.clone())
            .output()
            .unwrap();
        assert!(encoded.status.success());
        let decoded = rcodec()
            .args(["decode", "-"])
            .write_stdin(encoded.stdout)
            .output()
            .unwrap();
        assert!(decoded.status.success());
        assert!(decoded.stdout == bytes);
    }
}

#[test]
fn folders_keep_their_shape_and_one_bad_file_stops_nothing() {
    let source = TempDir::new().unwrap();
    fs::create_dir_all(source.path().join("a/b")).unwrap();
    fs::write(source.path().join("a/one.txt"), prose()).unwrap();
    fs::write(source.path().join("a/b/two.txt"), b"two").unwrap();
    let target = TempDir::new().unwrap();
    rcodec()
        .arg("encode")
        .arg(source.path())
        .assert()
        .code(2)
        .stderr(contains("-r"));
    rcodec()
        .args(["encode", "-r", "-o"])
        .args([target.path(), source.path()])
        .assert()
        .success();
    let damaged = target.path().join("a/bad.rcd");
    fs::write(&damaged, b"\xf7r\x1a\x40\x05hel").unwrap();
    let back = TempDir::new().unwrap();
    rcodec()
        .args(["decode", "-r", "-o"])
        .args([back.path(), target.path()])
        .assert()
        .code(1)
        .stderr(
            contains("bad.rcd")
                .and(contains("truncated"))
                .and(contains("1 of 3 files failed")),
        );
    assert_eq!(fs::read(back.path().join("a/one.txt")).unwrap(), prose());
    assert_eq!(fs::read(back.path().join("a/b/two.txt")).unwrap(), b"two");
    assert_eq!(names(&back.path().join("a")), ["b", "one.txt"]);
}

#[test]
fn what_exists_is_not_overwritten() {
    let (folder, path) = folder_with("note.txt", b"mine");
    let encoded = folder.path().join("note.txt.rcd");
    fs::write(&encoded, b"precious").unwrap();
    rcodec()
        .arg("encode")
        .arg(&path)
        .assert()
        .code(5)
        .stderr(contains("exists"));
    assert_eq!(fs::read(&encoded).unwrap(), b"precious");
    rcodec()
        .args(["encode", "-f"])
        .arg(&path)
        .assert()
        .success();
    assert_ne!(fs::read(&encoded).unwrap(), b"precious");
    rcodec().arg("decode").arg(&encoded).assert().code(5);
    rcodec()
        .args(["decode", "--force"])
        .arg(&encoded)
        .assert()
        .success();
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn times_and_permissions_survive() {
    let (folder, path) = folder_with("note.txt", b"old");
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(then)
        .unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let attributes = fs::metadata(&path).unwrap();
    rcodec()
        .args(["encode", "--remove-source"])
        .arg(&path)
        .assert()
        .success();
    rcodec()
        .arg("decode")
        .arg(folder.path().join("note.txt.rcd"))
        .assert()
        .success();
    let restored = fs::metadata(&path).unwrap();
    assert_eq!(restored.modified().unwrap(), then);
    assert_eq!(restored.permissions(), attributes.permissions());
}

#[test]
fn damage_is_named_and_leaves_no_file() {
    let (folder, path) = folder_with("note.txt", &prose());
    rcodec()
        .args(["encode", "--remove-source"])
        .arg(&path)
        .assert()
        .success();
    let encoded = folder.path().join("note.txt.rcd");
    let good = fs::read(&encoded).unwrap();
    let fails = |bytes: &[u8], code: i32, message: &str| {
        fs::write(&encoded, bytes).unwrap();
        rcodec()
            .arg("decode")
            .arg(&encoded)
            .assert()
            .code(code)
            .stderr(contains(message));
        rcodec()
            .arg("verify")
            .arg(&encoded)
            .assert()
            .code(code)
            .stderr(contains(message));
        assert_eq!(names(folder.path()), ["note.txt.rcd"]);
    };
    fails(b"", 3, "truncated: the input ends at byte 0");
    fails(b"\x89PNG\r\n\x1a\n", 3, "not an rcodec file");
    fails(&good[..good.len() / 2], 3, "truncated");
    for i in (0..good.len()).step_by(good.len() / 10) {
        let mut damaged = good.clone();
        damaged[i] ^= 4;
        fs::write(&encoded, &damaged).unwrap();
        let output = rcodec().arg("decode").arg(&encoded).output().unwrap();
        assert!(
            matches!(output.status.code(), Some(3 | 4 | 6)),
            "byte {i}: {output:?}"
        );
        assert_eq!(names(folder.path()), ["note.txt.rcd"]);
    }
}

#[test]
fn a_promise_of_a_terapixel_is_refused_at_once() {
    // Compact, image-lossless, 2^20 x 2^20 RGB, with parameters and payload.
    let mut file = b"\xf7r\x1a\x52\x16\x01\x80\x80\x40\x80\x80\x40\x27\x02\x00\x01".to_vec();
    file.extend([0; 11 + 4]);
    let (folder, path) = folder_with("bomb.png.rcd", &file);
    rcodec()
        .arg("decode")
        .arg(&path)
        .timeout(Duration::from_secs(10))
        .assert()
        .code(4)
        .stderr(contains("limit exceeded: pixels"));
    assert_eq!(names(folder.path()), ["bomb.png.rcd"]);
    // Allowed that much, the payload is what is wrong.
    rcodec()
        .args(["verify", "--max-pixels", "1T", "--max-memory", "64M"])
        .arg(&path)
        .timeout(Duration::from_secs(10))
        .assert()
        .code(predicate::in_iter([3, 4]));
}

#[test]
fn limits_are_kept() {
    let (folder, path) = folder_with("zeros", &vec![0; 1 << 20]);
    rcodec().arg("encode").arg(&path).assert().success();
    rcodec()
        .args(["verify", "--max-samples", "1000"])
        .arg(folder.path().join("zeros.rcd"))
        .assert()
        .code(4)
        .stderr(contains("limit exceeded"));
}

#[test]
fn small_already_is_stored_with_at_most_sixteen_bytes() {
    let mut random = rcodec_datasets::Random::new(5);
    let noise: Vec<u8> = (0..300_000).map(|_| random.next_u32() as u8).collect();
    let mut jpeg = b"\xff\xd8\xff\xe0".to_vec();
    jpeg.extend_from_slice(&noise);
    for (name, bytes) in [("noise.bin", &noise), ("photo.jpg", &jpeg)] {
        let (folder, path) = folder_with(name, bytes);
        rcodec().arg("encode").arg(&path).assert().success();
        let encoded = folder.path().join(format!("{name}.rcd"));
        assert!(
            fs::metadata(&encoded).unwrap().len() <= bytes.len() as u64 + 16,
            "{name}"
        );
        fs::remove_file(&path).unwrap();
        rcodec().arg("decode").arg(&encoded).assert().success();
        assert!(&fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn compressed_input_of_any_length_pays_sixteen_bytes() {
    let mut random = rcodec_datasets::Random::new(7);
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend((0..17 << 20).map(|_| random.next_u32() as u8));
    let (folder, path) = folder_with("photos.zip", &zip);
    rcodec().arg("encode").arg(&path).assert().success();
    let encoded = fs::read(folder.path().join("photos.zip.rcd")).unwrap();
    assert_eq!(encoded.len(), zip.len() + 16);
    let piped = rcodec()
        .args(["encode", "-"])
        .write_stdin(zip.clone())
        .output()
        .unwrap();
    assert!(piped.stdout == encoded, "a pipe gives the same file");
    let decode = || {
        let mut command = rcodec();
        command.args(["decode", "-"]);
        command
    };
    let decoded = decode().write_stdin(encoded.clone()).output().unwrap();
    assert!(decoded.status.success() && decoded.stdout == zip);
    decode()
        .write_stdin(&encoded[..encoded.len() - 1])
        .assert()
        .code(3)
        .stderr(contains("checksum"));
}

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
fn a_pixel_format_can_be_chosen() {
    let (folder, path) = folder_with("photo.png", &fs::read(sample_png()).unwrap());
    rcodec().arg("encode").arg(&path).assert().success();
    let encoded = folder.path().join("photo.png.rcd");
    let ppm = folder.path().join("photo.ppm");
    rcodec()
        .args(["decode", "-o"])
        .args([&ppm, &encoded])
        .assert()
        .success();
    let bytes = fs::read(&ppm).unwrap();
    assert!(bytes.starts_with(b"P6\n384 256\n255\n"));
    assert_eq!(&bytes[bytes.len() - 384 * 256 * 3..], pixels(&path));
    rcodec()
        .args(["decode", "--format", "wav"])
        .arg(&encoded)
        .assert()
        .code(6)
        .stderr(contains("cannot be written as wav"));
}

#[test]
fn small_formats_are_opened_only_on_request() {
    let (folder, path) = folder_with("photo.png", &fs::read(sample_png()).unwrap());
    let encoded = folder.path().join("photo.png.rcd");
    let jpeg = folder.path().join("photo.jpg");
    rcodec()
        .args(["encode", "-e1"])
        .arg(&path)
        .assert()
        .success();
    rcodec()
        .args(["decode", "-o"])
        .args([&jpeg, &encoded])
        .assert()
        .success();
    let jpeg_bytes = fs::read(&jpeg).unwrap();
    assert!(jpeg_bytes.starts_with(b"\xff\xd8\xff"));
    let codec_of = |options: &[&str], target: &str| {
        let target = folder.path().join(target);
        let output = rcodec()
            .args(["encode", "-e1", "--json"])
            .args(options)
            .arg("-o")
            .args([&target, &jpeg])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["codec"].as_str().unwrap().to_string()
    };
    assert_eq!(codec_of(&[], "kept.rcd"), "store");
    assert_eq!(codec_of(&["--pixels"], "pixels.rcd"), "image-lossless");
    fs::remove_file(&jpeg).unwrap();
    rcodec()
        .args(["decode", "-o"])
        .args([&jpeg, &folder.path().join("kept.rcd")])
        .assert()
        .success();
    assert!(fs::read(&jpeg).unwrap() == jpeg_bytes);
}

#[test]
fn metadata_survives_unless_stripped() {
    let png = fs::read(sample_png()).unwrap();
    // A text chunk behind IHDR (8 bytes of signature and 25 of chunk).
    let mut text = b"tEXtAuthor\0the tests".to_vec();
    let length = (text.len() as u32 - 4).to_be_bytes();
    text.extend(crc32(&text).to_be_bytes());
    let with_text = [&png[..33], &length, &text, &png[33..]].concat();
    let (folder, path) = folder_with("photo.png", &with_text);
    for (options, survives) in [(&["-e1"][..], true), (&["-e1", "--strip"], false)] {
        let encoded = folder.path().join("photo.png.rcd");
        rcodec()
            .arg("encode")
            .args(options)
            .arg("-f")
            .arg(&path)
            .assert()
            .success();
        let back = folder.path().join("back.png");
        rcodec()
            .args(["decode", "-f", "-o"])
            .args([&back, &encoded])
            .assert()
            .success();
        let back = fs::read(&back).unwrap();
        assert_eq!(
            back.windows(text.len()).any(|w| w == text),
            survives,
            "{options:?}"
        );
    }
}

/// The CRC of PNG chunks, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
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

#[test]
fn json_reports_parse() {
    let (folder, path) = folder_with("note.txt", &prose());
    let output = rcodec()
        .args(["encode", "--json"])
        .arg(&path)
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["media_bytes"], prose().len());
    let encoded = folder.path().join("note.txt.rcd");
    assert_eq!(report["rcd_bytes"], fs::metadata(&encoded).unwrap().len());
    let output = rcodec()
        .args(["info", "--json"])
        .arg(&encoded)
        .output()
        .unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(info["codec"], "text");
    let output = rcodec().args(["codecs", "--json"]).output().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(list.as_array().unwrap().len() >= 3);
    let output = rcodec()
        .args(["verify", "--json"])
        .arg(&path)
        .output()
        .unwrap();
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["exit_code"], 3);
}

#[test]
fn wrong_usage() {
    let (folder, path) = folder_with("note.txt", b"text");
    for args in [
        &["encode"][..],
        &["encode", "--effort", "10", "x"],
        &["encode", "--codec", "nonsense", "x"],
        &["encode", "--lossless", "--quality", "5", "x"],
        &["encode", "--lossless", "--target-bpp", "0.5", "x"],
        // A part is no reason to remove the whole.
        &["decode", "--from", "1", "--remove-source", "x"],
        &["decode", "--to", "1", "--remove-source", "x"],
        &["decode", "--recover", "--remove-source", "x"],
        &["encode", "--quality", "5", "--target-psnr", "30", "x"],
        &["encode", "--target-bytes", "9K", "--target-psnr", "30", "x"],
        &["encode", "--target-psnr", "nan", "x"],
        &["encode", "--remove-source", "-"],
        &["decode", "--format", "nonsense", "x"],
        &["frobnicate"],
    ] {
        rcodec().args(args).assert().code(2);
    }
    rcodec()
        .args(["encode", "--codec", "image-lossless"])
        .arg(&path)
        .assert()
        .code(2);
    rcodec()
        .args(["encode"])
        .arg(folder.path().join("missing"))
        .assert()
        .code(5);
    // Text cannot be lossy; it is simply kept. A name without .rcd has no
    // default target.
    rcodec()
        .arg("decode")
        .arg(&path)
        .assert()
        .code(2)
        .stderr(contains("-o"));
    assert_eq!(names(folder.path()), ["note.txt"]);
}

#[test]
fn completions_and_manual() {
    rcodec()
        .args(["completions", "bash"])
        .assert()
        .success()
        .stdout(contains("rcodec"));
    rcodec()
        .arg("man")
        .assert()
        .success()
        .stdout(contains(".TH"));
    rcodec().arg("models").assert().success();
}

/// Mean squared difference of two pictures' bytes.
fn distance(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2));
    squares.sum::<f64>() / a.len() as f64
}

#[test]
fn pictures_with_loss_are_small_and_alike_and_other_files_stay() {
    let (folder, path) = folder_with("view.png", &fs::read(sample_png()).unwrap());
    fs::write(folder.path().join("notes.txt"), prose()).unwrap();
    let at = |name: &str| folder.path().join(name);
    let size = |name: &str| fs::metadata(at(name)).unwrap().len();
    rcodec()
        .args(["encode", "-r", "--quality", "60"])
        .arg(folder.path())
        .assert()
        .success()
        .stdout(contains("image-lossy"));
    assert!(size("view.png.rcd") < size("view.png") / 4);
    fs::remove_file(at("notes.txt")).unwrap();
    rcodec()
        .args(["decode", "--force", "-r"])
        .arg(folder.path())
        .assert()
        .success();
    assert_eq!(fs::read(at("notes.txt")).unwrap(), prose());
    let distance = distance(&pixels(&path), &pixels(&sample_png()));
    assert!(distance > 0.0 && distance < 150.0, "{distance}");

    let model = ["encode", "--force", "--quality", "60", "--model"];
    rcodec()
        .args(model)
        .arg("no-such-model")
        .arg(&path)
        .assert()
        .code(2)
        .stderr(contains("no-such-model"));
    rcodec()
        .args(model)
        .arg("image-lossy-example1")
        .arg(&path)
        .assert()
        .success();
}

#[test]
fn sound_with_loss_keeps_its_length_and_its_bit_rate() {
    let samples: Vec<i32> = (0..96_000)
        .map(|i| (f64::from(i) * 0.05).sin() * 9000.0 + f64::from(i % 777) * 3.0)
        .map(|x| x as i32)
        .collect();
    let (folder, path) = folder_with("tone.wav", &wav(&samples));
    let at = |name: &str| folder.path().join(name);
    for args in [&["--bitrate", "48k"][..], &["-q", "50"], &["--lossy"]] {
        let mut command = rcodec();
        command.args(["encode", "--force"]).args(args).arg(&path);
        command.assert().success().stdout(contains("audio-lossy"));
        assert!(fs::metadata(at("tone.wav.rcd")).unwrap().len() < 20_000);
        let mut command = rcodec();
        command.args(["decode", "-o", "-"]).arg(at("tone.wav.rcd"));
        let decoded = command.output().unwrap().stdout;
        assert_eq!(decoded.len(), wav(&samples).len());
    }
    rcodec()
        .args(["encode", "--force", "--bitrate", "3"])
        .arg(&path)
        .assert()
        .code(2);
    rcodec()
        .args(["info"])
        .arg(at("tone.wav.rcd"))
        .assert()
        .success()
        .stdout(contains("audio-lossy"));
}

#[test]
fn sound_streams_through_pipes_and_survives_losses() {
    let samples: Vec<i32> = (0..48_000)
        .map(|i| ((f64::from(i) * 0.07).sin() * 7000.0) as i32)
        .collect();
    let stream = |args: &[&str], input: Vec<u8>| {
        let mut command = rcodec();
        let output = command.arg("stream").args(args).write_stdin(input);
        let output = output.output().unwrap();
        let notes = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{notes}");
        (output.stdout, notes)
    };
    let (packets, _) = stream(&["encode", "--loss", "--bitrate", "32k"], wav(&samples));
    assert!((1500..8000).contains(&packets.len()), "{}", packets.len());
    let (whole, notes) = stream(&["decode", "--raw"], packets.clone());
    assert_eq!((whole.len(), notes.as_str()), (96_000, ""));
    let (some, notes) = stream(&["decode", "--simulate-loss", "10%"], packets.clone());
    assert_eq!(some.len(), 44 + 96_000);
    assert!(notes.contains("were lost"));
    rcodec()
        .args(["stream", "decode"])
        .write_stdin(&packets[..1000])
        .assert()
        .code(3);
}

#[test]
fn a_quality_is_found_for_a_target() {
    let (folder, path) = folder_with("photo.png", &fs::read(sample_png()).unwrap());
    let encoded = folder.path().join("photo.png.rcd");
    let encode = |args: &[&str]| {
        let mut command = rcodec();
        command.args(["encode", "--force"]).args(args).arg(&path);
        command
    };
    let size = || fs::metadata(&encoded).unwrap().len();
    encode(&["--target-bytes", "6K"]).assert().success();
    let within = size();
    assert!((5000..=6144).contains(&within), "{within}");
    // 384x256 pixels at half a bit each.
    encode(&["--target-bpp", "0.5"]).assert().success();
    assert_eq!(size(), within);
    encode(&["--target-psnr", "30"]).assert().success();
    let good = size();
    encode(&["--target-psnr", "31"]).assert().success();
    assert!(size() > good);
    encode(&["--target-bytes", "100"])
        .assert()
        .code(2)
        .stderr(contains("at quality 1"));
    encode(&["--target-psnr", "90"])
        .assert()
        .code(2)
        .stderr(contains("dB only"));
    // What stays without loss needs no search.
    let (_text_folder, text) = folder_with("note.txt", &prose());
    rcodec()
        .args(["encode", "--target-bytes", "1"])
        .arg(&text)
        .assert()
        .success();
}
