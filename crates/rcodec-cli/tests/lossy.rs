//! The program on pictures and sound with loss.

mod common;

use common::{folder_with, pixels, prose, rcodec, sample_png, wav};
use predicates::str::contains;
use std::fs;
use std::path::Path;

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
    let (constant, _) = stream(&["encode", "--cbr", "--bitrate", "32k"], wav(&samples));
    // A second of it, 5 bytes around each packet, and those at both ends.
    assert!(constant.len() < 4000 + 90 * 5 + 60, "{}", constant.len());
    let (whole, _) = stream(&["decode", "--raw"], constant);
    assert_eq!(whole.len(), 96_000);
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
    // Beyond what the model reaches errors are bounded, at last to 0.
    let mut largest_errors = Vec::new();
    for psnr in ["44", "48", "90"] {
        encode(&["--target-psnr", psnr]).assert().success();
        largest_errors.push(largest_error(&encoded));
    }
    assert_eq!(largest_errors, [2, 1, 0]);
    let lossless = size();
    encode(&["--target-bytes", &lossless.to_string()])
        .assert()
        .success();
    assert_eq!((size(), largest_error(&encoded)), (lossless, 0));
    // What stays without loss needs no search.
    let (_text_folder, text) = folder_with("note.txt", &prose());
    rcodec()
        .args(["encode", "--target-bytes", "1"])
        .arg(&text)
        .assert()
        .success();
}

/// By how much the samples of what the file decodes to are off from those of
/// the sample picture.
fn largest_error(encoded: &Path) -> u8 {
    let decoded = rcodec()
        .args(["decode", "--format", "raw", "-o", "-"])
        .arg(encoded)
        .assert()
        .success();
    let (before, after) = (pixels(&sample_png()), &decoded.get_output().stdout);
    assert_eq!(before.len(), after.len());
    let pairs = before.iter().zip(after);
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn errors_are_bounded_on_request() {
    let (folder, path) = folder_with("photo.png", &fs::read(sample_png()).unwrap());
    let encoded = folder.path().join("photo.png.rcd");
    let mut sizes = Vec::new();
    for max_error in [1, 2, 5] {
        let bound = max_error.to_string();
        rcodec()
            .args(["encode", "--force", "--max-error", &bound])
            .arg(&path)
            .assert()
            .success();
        assert_eq!(largest_error(&encoded), max_error);
        sizes.push(fs::metadata(&encoded).unwrap().len());
    }
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2]);
    // Text has none.
    let (text_folder, text) = folder_with("note.txt", &prose());
    rcodec()
        .args(["encode", "--max-error", "3"])
        .arg(&text)
        .assert()
        .success();
    let back = text_folder.path().join("back");
    rcodec()
        .args(["decode", "-o"])
        .arg(&back)
        .arg(text.with_extension("txt.rcd"))
        .assert()
        .success();
    assert_eq!(fs::read(back).unwrap(), prose());
    rcodec()
        .args(["encode", "--max-error", "0"])
        .arg(&path)
        .assert()
        .code(2);
}
