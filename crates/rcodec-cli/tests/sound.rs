//! Sound as a user meets it: other containers, parts, damage, headers that lie,
//! loudness.

mod common;

use common::{folder_with, rcodec, wav};
use std::fs;

/// Samples of 48 kHz that are nowhere alike, 12.5 seconds.
fn long_sound() -> Vec<i32> {
    let mut state = 7u32;
    (0..600_000)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i * 37 % 9001) - 4500 + (state >> 28) as i32
        })
        .collect()
}

#[test]
fn raw_sound_and_other_containers_come_back() {
    let odd: Vec<u8> = (0..30_001u32).map(|i| ((i * i) >> 7) as u8).collect();
    for spec in [
        "48000,2,s16le",
        "8000,1,u8",
        "44100,2,s24be",
        "44100,3,f32le",
    ] {
        let (folder, path) = folder_with("sound.pcm", &odd);
        rcodec()
            .args(["encode", "-e1", "--raw", spec])
            .arg(&path)
            .assert()
            .success();
        let coded = folder.path().join("sound.pcm.rcd");
        rcodec()
            .args(["decode", "-f"])
            .arg(&coded)
            .assert()
            .success();
        assert!(fs::read(&path).unwrap() == odd, "{spec}");
    }
    let (_folder, path) = folder_with("sound.pcm", &odd);
    rcodec()
        .args(["encode", "--raw", "1,2,x"])
        .arg(&path)
        .assert()
        .code(2);
}

#[test]
fn a_part_of_a_sound() {
    let samples = long_sound();
    let (folder, path) = folder_with("long.wav", &wav(&samples));
    let coded = folder.path().join("long.wav.rcd");
    rcodec()
        .args(["encode", "-e1"])
        .arg(&path)
        .assert()
        .success();
    let part = |from: &str, to: &str| {
        let output = rcodec()
            .args(["decode", "--from", from, "--to", to, "-o", "-"])
            .arg(&coded)
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout[44..].to_vec()
    };
    let expected = |range: std::ops::Range<usize>| wav(&samples[range])[44..].to_vec();
    assert_eq!(part("0:05.5", "0:00:07.25"), expected(264_000..348_000));
    assert_eq!(part("4.999", "5.001"), expected(239_952..240_048));
    assert_eq!(part("0", "1"), expected(0..48_000));
    assert_eq!(part("10.000001", "99:59:59"), expected(480_001..600_000));
    // How much of the coded file that took is not said, as it is not known.
    let report = rcodec()
        .args(["decode", "--from", "1", "--to", "2", "-f"])
        .arg(&coded)
        .output()
        .unwrap();
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(report.contains(": a part, 96,044 bytes, "), "{report}");
    // From a pipe, without seeking.
    let piped = rcodec()
        .args(["decode", "--from", "11", "-"])
        .pipe_stdin(&coded)
        .unwrap()
        .output()
        .unwrap();
    assert_eq!(piped.stdout[44..], expected(528_000..600_000));
    // Damage in a block that is stepped over is not even looked at (but the
    // first block is read with the header).
    let mut damaged = fs::read(&coded).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&coded, damaged).unwrap();
    assert_eq!(part("11", "12"), expected(528_000..576_000));
    for (from, to) in [("3", "2"), ("13", "14"), ("x", "2")] {
        let mut command = rcodec();
        let command = command.args(["decode", "--from", from, "--to", to, "-o", "-"]);
        command.arg(&coded).assert().code(2);
    }
}

#[test]
fn a_part_of_a_sound_with_loss() {
    let (folder, path) = folder_with("long.wav", &wav(&long_sound()));
    let coded = folder.path().join("long.wav.rcd");
    rcodec()
        .args(["encode", "--bitrate", "48k"])
        .arg(&path)
        .assert()
        .success();
    let decoded = |args: &[&str]| {
        let mut command = rcodec();
        command.arg("decode").args(args).args(["-o", "-"]);
        let output = command.arg(&coded).output().unwrap();
        assert!(output.status.success());
        output.stdout[44..].to_vec()
    };
    let whole = decoded(&[]);
    let part = |from: &str, to: &str| decoded(&["--from", from, "--to", to]);
    // One channel of 16 bits: two bytes a sample, 96 a millisecond.
    for (from, to) in [(0, 1000), (2600, 2800), (5500, 7250), (12_400, 12_500)] {
        let seconds = |ms: usize| format!("{}.{:03}", ms / 1000, ms % 1000);
        assert!(
            part(&seconds(from), &seconds(to)) == whole[from * 96..to * 96],
            "{from} to {to}"
        );
    }
    // What is stepped over is not looked at.
    let mut damaged = fs::read(&coded).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&coded, damaged).unwrap();
    assert!(part("11", "12") == whole[11_000 * 96..12_000 * 96]);
    let mut command = rcodec();
    command.args(["decode", "--from", "13", "-o", "-"]);
    command.arg(&coded).assert().code(2);
}

#[test]
fn damaged_sound_is_recovered_but_for_the_damage() {
    let samples = long_sound();
    let file = wav(&samples);
    let (folder, path) = folder_with("long.wav", &file);
    let coded = folder.path().join("long.wav.rcd");
    let out = folder.path().join("out.wav");
    rcodec()
        .args(["encode", "-e1"])
        .arg(&path)
        .assert()
        .success();
    let whole = fs::read(&coded).unwrap();
    let recover = |bytes: &[u8]| {
        fs::write(&coded, bytes).unwrap();
        let mut command = rcodec();
        command
            .args(["decode", "--recover", "-f", "-o"])
            .arg(&out)
            .arg(&coded);
        let output = command.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.code(),
            message,
            fs::read(&out).unwrap_or_default(),
        )
    };
    let (code, _, decoded) = recover(&whole);
    assert_eq!(code, Some(0));
    assert!(decoded == file, "nothing was damaged");

    // Three blocks; the second begins somewhere after a third of the file.
    let mut silent = file.clone();
    silent[44 + 2 * 240_000..44 + 2 * 480_000].fill(0);
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x40;
    let (code, message, decoded) = recover(&damaged);
    assert_eq!(code, Some(7));
    assert!(message.contains("silence from 0:00:05.000 to 0:00:10.000 (240000 frames)"));
    assert!(decoded == silent, "one block is silent");

    // Bytes are missing in the middle, so nothing stands where it should.
    let mut damaged = whole.clone();
    damaged.drain(whole.len() / 2..whole.len() / 2 + 777);
    let (code, _, decoded) = recover(&damaged);
    assert_eq!(code, Some(7));
    assert!(decoded == silent, "one block is silent");

    // The end is missing.
    let (code, message, decoded) = recover(&whole[..whole.len() / 2]);
    assert_eq!(code, Some(7));
    assert!(message.contains("the end of the file is missing"));
    assert!(decoded.starts_with(&file[..44 + 2 * 240_000]));

    // Without its header a file says nothing.
    let mut damaged = whole.clone();
    damaged[10] ^= 1;
    let (code, ..) = recover(&damaged);
    assert_eq!(code, Some(3));
}

/// WAV files whose headers or ends are not as they should be.
fn odd_wavs() -> Vec<(&'static str, Vec<u8>)> {
    let plain = wav(&rcodec_datasets::music(20_000, 1, 2));
    let with_length = |length: u32| {
        let mut file = plain.clone();
        file[40..44].copy_from_slice(&length.to_le_bytes());
        file
    };
    let mut endless = with_length(u32::MAX);
    endless[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let odd_chunk = [
        &plain[..36],
        b"LIST\x05\0\0\0odd!!\0",
        &plain[36..],
        b"junk\x03\0\0\0abc",
    ]
    .concat();
    vec![
        ("length 0", with_length(0)),
        ("length too small", with_length(1001)),
        ("length too large", with_length(1 << 30)),
        ("length 2^32-1", endless),
        ("odd chunks, the last without its pad byte", odd_chunk),
        ("cut within a sample", plain[..plain.len() - 7].to_vec()),
        ("cut within the header", plain[..39].to_vec()),
        ("bytes behind the end", [&plain[..], b"more"].concat()),
    ]
}

#[test]
fn wavs_with_odd_headers_come_back_byte_for_byte() {
    for (what, bytes) in odd_wavs() {
        let (folder, path) = folder_with("odd.wav", &bytes);
        let coded = folder.path().join("odd.wav.rcd");
        let mut command = rcodec();
        let command = command.args(["encode", "-e1", "--json"]).arg(&path);
        let report = command.output().unwrap();
        assert!(report.status.success(), "{what}");
        let report = String::from_utf8_lossy(&report.stdout).into_owned();
        // Lengths need not be true for the samples to be found.
        let sound = !what.contains("header");
        assert_eq!(report.contains("audio-lossless"), sound, "{what}: {report}");
        fs::remove_file(&path).unwrap();
        rcodec().arg("decode").arg(&coded).assert().success();
        assert!(fs::read(&path).unwrap() == bytes, "{what}");

        let encoded = rcodec()
            .args(["encode", "-e1", "-"])
            .write_stdin(bytes.clone())
            .output()
            .unwrap();
        let decoded = rcodec()
            .args(["decode", "-"])
            .write_stdin(encoded.stdout)
            .output()
            .unwrap();
        assert!(decoded.stdout == bytes, "{what}, through pipes");
    }
}

#[test]
fn loudness_is_measured_and_shown() {
    let bytes = wav(&rcodec_datasets::music(100_000, 1, 2));
    let (folder, path) = folder_with("song.wav", &bytes);
    let coded = folder.path().join("song.wav.rcd");
    let mut command = rcodec();
    let command = command.args(["encode", "-e1", "--loudness"]).arg(&path);
    command.assert().success();
    let info = rcodec().arg("info").arg(&coded).output().unwrap();
    let info = String::from_utf8_lossy(&info.stdout).into_owned();
    for name in [
        "INTEGRATED_LUFS=-",
        "RANGE_LU=",
        "TRUE_PEAK_DBTP=",
        "REPLAYGAIN_TRACK_GAIN=",
    ] {
        assert!(info.contains(name), "{info}");
    }
    fs::remove_file(&path).unwrap();
    rcodec().arg("decode").arg(&coded).assert().success();
    assert!(fs::read(&path).unwrap() == bytes);
}
