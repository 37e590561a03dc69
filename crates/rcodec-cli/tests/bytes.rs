//! The program on any bytes: parts of them, and noise.

mod common;

use common::{folder_with, prose, rcodec};
use std::fs;
use std::path::Path;

/// Noise with some text in it.
fn mixed(bytes: usize) -> Vec<u8> {
    let mut content = noise(bytes);
    let text = prose();
    for begin in [0, bytes / 2, bytes - text.len()] {
        content[begin..begin + text.len()].copy_from_slice(&text);
    }
    content
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = rcodec_datasets::Random::new(11);
    let words = (0..bytes.div_ceil(4)).flat_map(|_| random.next_u32().to_le_bytes());
    words.take(bytes).collect()
}

/// Bytes `from..to` of a coded file, from a file and through a pipe.
fn part(coded: &Path, from: &str, to: &str) -> Vec<u8> {
    let args = ["decode", "--from", from, "--to", to, "-o", "-"];
    let of_file = rcodec().args(args).arg(coded).output().unwrap();
    assert!(of_file.status.success(), "{from} to {to}");
    let mut piped = rcodec();
    piped.args(args).arg("-").pipe_stdin(coded).unwrap();
    assert!(piped.output().unwrap().stdout == of_file.stdout);
    of_file.stdout
}

fn encode(path: &Path, args: &[&str]) {
    let mut command = rcodec();
    command
        .args(["encode", "--force", "--no-verify"])
        .args(args);
    command.arg(path).assert().success();
}

/// Checks parts around the ends of blocks.
fn check_parts(coded: &Path, content: &[u8], block: usize) {
    let end = content.len();
    for (from, to) in [
        (0, 10),
        (block - 5, block),
        (block, block + 3),
        (block - 7, block + 7),
        (block + 1, 2 * block + 9),
        (end - 4, end),
        (end - 4, end + 100),
        (end, end),
        (77, 77),
    ] {
        let got = part(coded, &from.to_string(), &to.to_string());
        assert!(got == content[from..to.min(end)], "{from} to {to}");
    }
    let behind = (end + 1).to_string();
    for (from, to) in [("3", "2"), (&behind[..], "999999999"), ("1:02", "1:03")] {
        let mut command = rcodec();
        command.args(["decode", "--from", from, "--to", to, "-o", "-"]);
        command.arg(coded).assert().code(2);
    }
}

#[test]
fn a_part_of_bytes_is_that_slice_of_them() {
    let text = rcodec_datasets::prose(150_000, 3).into_bytes();
    let (folder, path) = folder_with("log", &text);
    let coded = folder.path().join("log.rcd");
    for (effort, bytes, block) in [("4", text.len(), 50), ("8", 50_000, 20)] {
        fs::write(&path, &text[..bytes]).unwrap();
        let block_size = format!("{block}K");
        let blocks = ["--codec", "text", "-e", effort, "--block-size", &block_size];
        encode(&path, &blocks);
        check_parts(&coded, &text[..bytes], block << 10);
    }
    fs::write(&path, &text).unwrap();
    encode(&path, &["--codec", "text"]);
    check_parts(&coded, &text, 50 << 10);
    assert_eq!(part(&coded, "64K", "65546"), text[65_536..65_546]);
    // Blocks of 8 MiB, and bytes of open length.
    let long = mixed(17 << 20);
    fs::write(&path, &long).unwrap();
    for codec in ["zstd", "store"] {
        encode(&path, &["--codec", codec]);
        check_parts(&coded, &long, 8 << 20);
    }
}

#[test]
fn blocks_before_and_behind_a_part_are_not_read() {
    let text = rcodec_datasets::prose(400_000, 3).into_bytes();
    let long = mixed(18 << 20);
    for (content, block, args) in [
        (
            &text,
            100 << 10,
            &["--codec", "text", "--block-size", "100K"][..],
        ),
        (&long, 8 << 20, &["--codec", "zstd"]),
        (&long, 8 << 20, &["--codec", "store"]),
    ] {
        let (folder, path) = folder_with("log", content);
        let coded = folder.path().join("log.rcd");
        encode(&path, args);
        // In the second block.
        let mut damaged = fs::read(&coded).unwrap();
        let place = damaged.len() * 3 / 2 * block / content.len();
        damaged[place] ^= 1;
        fs::write(&coded, &damaged).unwrap();
        rcodec().arg("verify").arg(&coded).assert().failure();
        for (from, to) in [(1000, block), (2 * block, 2 * block + 9000)] {
            let (begin, end) = (from.to_string(), to.to_string());
            let mut command = rcodec();
            command.args(["decode", "--from", &begin, "--to", &end, "-o", "-"]);
            let output = command.arg(&coded).output().unwrap();
            assert!(output.stdout == content[from..to], "{args:?} {from}");
        }
    }
}

#[test]
fn noise_from_a_pipe_grows_by_sixteen_bytes() {
    let noise = noise(20 << 20);
    let (folder, path) = folder_with("noise", &noise);
    let out = folder.path().join("out.rcd");
    for (bytes, efforts) in [
        (0, &["1", "5", "9"][..]),
        (1, &["1", "5", "9"]),
        (1000, &["1", "5", "9"]),
        (100_000, &["1", "5"]),
        (10_000_000, &["1", "5", "9"]),
        (20 << 20, &["1", "5"]),
    ] {
        fs::write(&path, &noise[..bytes]).unwrap();
        for effort in efforts {
            let sizes = |args: &[&str]| {
                let mut command = rcodec();
                command.args(["encode", "--force", "--quiet", "-e", effort]);
                command.args(args).pipe_stdin(&path).unwrap();
                let output = command.output().unwrap();
                assert!(output.status.success(), "{args:?}");
                output.stdout
            };
            sizes(&["-o", out.to_str().unwrap(), "-"]);
            rcodec().arg("verify").arg(&out).assert().success();
            let to_file = fs::metadata(&out).unwrap().len() as usize;
            assert!(to_file <= bytes + 16, "{bytes} at {effort}: {to_file}");
            let to_pipe = sizes(&["-"]).len();
            // Behind 16 MiB of noise, text may come: blocks of 8 MiB.
            let most = if bytes <= 16 << 20 { 16 } else { 42 + 3 * 17 };
            assert!(to_pipe <= bytes + most, "{bytes} at {effort}: {to_pipe}");
        }
    }
}
