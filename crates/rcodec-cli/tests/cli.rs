//! The program as a user meets it: files, folders, pipes, and everything that
//! goes wrong with them.

mod common;

use common::{folder_with, pixels, prose, rcodec, sample_png, wav};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
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
