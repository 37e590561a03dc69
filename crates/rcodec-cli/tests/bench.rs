//! `rcodec bench` as a user meets it: on made files, alone and beside fake
//! peers that work, lie, fail, or are not there.

#![cfg(feature = "bench")]

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A run that takes `folder`, with nothing but `programs` to be found.
fn bench(folder: &Path, out: &Path, programs: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcodec"));
    command
        .arg("bench")
        .arg(folder)
        .arg("--out")
        .arg(out)
        .env("PATH", programs);
    command
}

/// A picture, sound, text, and files that cannot take part.
fn corpus() -> TempDir {
    let folder = TempDir::new().unwrap();
    let picture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples/landscape.png");
    fs::create_dir(folder.path().join("pictures")).unwrap();
    fs::copy(picture, folder.path().join("pictures/landscape.png")).unwrap();
    let prose = rcodec_datasets::prose(5000, 3);
    fs::write(folder.path().join("prose.txt"), prose).unwrap();
    fs::write(folder.path().join("empty.txt"), b"").unwrap();
    fs::write(
        folder.path().join("photo.jpg"),
        b"\xff\xd8\xff\xe0 not really",
    )
    .unwrap();
    let samples = rcodec_datasets::music(4800, 1, 5);
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + 9600u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(48_000u32.to_le_bytes());
    wav.extend(96_000u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(9600u32.to_le_bytes());
    wav.extend(samples.iter().flat_map(|&s| (s as i16).to_le_bytes()));
    fs::write(folder.path().join("music.wav"), wav).unwrap();
    folder
}

fn read(out: &Path, name: &str) -> String {
    fs::read_to_string(out.join(name)).unwrap()
}

#[test]
fn our_codecs_alone() {
    let (folder, out) = (corpus(), TempDir::new().unwrap());
    let nothing = TempDir::new().unwrap();
    let args = [
        "--lossless",
        "--peers",
        "none",
        "--efforts",
        "1,3",
        "--timing",
        "one",
    ];
    bench(folder.path(), out.path(), nothing.path())
        .args(args)
        .assert()
        .success()
        .stdout(contains("report.html"));

    let csv = read(out.path(), "results.csv");
    // One file of each kind; `store` has only one effort.
    let lossless = rcodec::CODECS.iter().filter(|codec| !codec.info().lossy);
    assert_eq!(csv.lines().count(), 1 + 2 * lossless.count() - 1, "{csv}");
    assert!(
        csv.lines().skip(1).all(|line| line.contains(",ok")),
        "{csv}"
    );
    assert!(csv.contains("pictures/landscape.png,pictures,image,image-lossless"));
    let html = read(out.path(), "report.html");
    for part in [
        "Pictures, lossless",
        "Sound, lossless",
        "<svg",
        "photo.jpg: lossy already",
        "empty.txt: empty",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("http://") || html.contains("http://www.w3.org/2000/svg"));
    let json: serde_json::Value = serde_json::from_str(&read(out.path(), "report.json")).unwrap();
    assert!(json["machine"]["cores"].as_u64().unwrap() > 0);
    let markdown = read(out.path(), "report.md");
    assert!(markdown.contains("| **image-lossless -e 1** | 1 |"));
    assert!(markdown.contains(" measurements; 0 h "));
    assert!(read(out.path(), "image-lossless-encoding.svg").starts_with("<svg"));
    let png = fs::read(out.path().join("image-lossless-encoding.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));

    // Again: everything is known, nothing is measured or appended.
    let before = read(out.path(), "results.jsonl");
    bench(folder.path(), out.path(), nothing.path())
        .args(args)
        .assert()
        .success();
    assert_eq!(read(out.path(), "results.jsonl"), before);
    assert_eq!(read(out.path(), "results.csv"), csv);
}

#[test]
fn nothing_to_do_is_an_error() {
    let (folder, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let nothing = TempDir::new().unwrap();
    let run = || bench(folder.path(), out.path(), nothing.path());
    run()
        .args(["--peers", "none"])
        .assert()
        .code(2)
        .stderr(contains("no file to measure"));
    fs::write(folder.path().join("a"), b"text").unwrap();
    run()
        .args(["--codecs", "nonsense"])
        .assert()
        .code(2)
        .stderr(contains("there is no codec"));
    run()
        .args(["--peers", "nonsense"])
        .assert()
        .code(2)
        .stderr(contains("there is no peer"));
    run()
        .args(["--codecs", "none", "--peers", "none"])
        .assert()
        .code(2)
        .stderr(contains("nothing to measure"));
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Puts a shell script where programs are looked for.
    fn program(folder: &Path, name: &str, script: &str) {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Of a command line, the word after `-o` is the result, the last is the
    /// source.
    const WORDS: &str = r#"
case "$1" in --version) echo "fake v9.8.7"; exit 0;; esac
while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
in=$1"#;

    #[test]
    fn peers_that_work_lie_and_fail() {
        let (folder, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let programs = TempDir::new().unwrap();
        fs::write(
            folder.path().join("a.txt"),
            "to be or not to be ".repeat(99),
        )
        .unwrap();
        program(
            programs.path(),
            "zstd",
            &format!("{WORDS}\ncp \"$in\" \"$out\""),
        );
        program(
            programs.path(),
            "brotli",
            &format!("{WORDS}\necho garbage > \"$out\""),
        );
        let fails = "case \"$1\" in --version) echo 1.2;; *) echo disk on fire >&2; exit 7;; esac";
        program(programs.path(), "bzip3", fails);

        let args = ["--codecs", "none", "--timing", "both", "--repeat", "2"];
        // Only our own failures fail the run.
        bench(folder.path(), out.path(), programs.path())
            .args(args)
            .assert()
            .success()
            .stderr(contains("gave other samples").and(contains("disk on fire")));
        let csv = read(out.path(), "results.csv");
        let line = |start: &str| {
            let found = csv.lines().find(|line| line.contains(start));
            found
                .unwrap_or_else(|| panic!("{start} in {csv}"))
                .to_string()
        };
        assert!(line("zstd-cli,v9.8.7,-3,false,one").contains(",1881,"));
        assert!(line("zstd-cli,v9.8.7,-3,false,all").contains(",ok"));
        assert!(line("brotli,v9.8.7").contains(",mismatch"));
        assert!(line("bzip3,1.2").contains("failed: encode: exit status: 7: disk on fire"));
        let html = read(out.path(), "report.html");
        assert!(html.contains("NOT LOSSLESS"));
        assert!(html.contains("Not installed, so not measured:") && html.contains("zpaq"));
    }

    #[test]
    fn lossy_peers_get_metrics_and_curves() {
        let (folder, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let programs = TempDir::new().unwrap();
        let picture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples/landscape.png");
        fs::copy(picture, folder.path().join("landscape.png")).unwrap();
        // Keeps everything, and as many bytes more as the quality says.
        let encoder = r#"
case "$1" in -version) echo "fake 1.0"; exit 0;; esac
q=$3; out=$5; in=$6
cat "$in" > "$out"; head -c "$q" /dev/zero >> "$out""#;
        program(programs.path(), "cjpeg", encoder);
        program(
            programs.path(),
            "djpeg",
            "[ \"$1\" = --version ] && exit 0\ncat \"$4\" > \"$3\"",
        );
        bench(folder.path(), out.path(), programs.path())
            .args(["--codecs", "none", "--lossy", "--qualities", "10,90"])
            .assert()
            .success();
        let csv = read(out.path(), "results.csv");
        assert!(csv.contains("jpeg,1.0,-quality 10,true,one"), "{csv}");
        // The same picture: 100 dB stand for no difference.
        assert!(csv.contains(",ok,100.000000,100.000000,"), "{csv}");
        let html = read(out.path(), "report.html");
        assert!(html.contains("Pictures, lossy") && html.contains("BD-rate against jpeg"));
        assert!(out.path().join("image-lossy-psnr_rgb.svg").exists());
    }

    #[test]
    fn files_that_cannot_be_read_are_left_out() {
        let (folder, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let nothing = TempDir::new().unwrap();
        fs::write(folder.path().join("a.txt"), b"some text").unwrap();
        // Not even root can unpack what is not packed, without a program.
        fs::write(folder.path().join("b.txt.xz"), b"some text").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("c.txt")).unwrap();
        let secret = folder.path().join("d.txt");
        fs::write(&secret, b"secret").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
        bench(folder.path(), out.path(), nothing.path())
            .args(["--codecs", "store", "--peers", "none", "--quiet"])
            .assert()
            .success()
            .stdout("");
        let html = read(out.path(), "report.html");
        assert!(html.contains("b.txt.xz: xz:"), "left out");
        // Root reads everything.
        if fs::read(&secret).is_err() {
            assert!(html.contains("d.txt: Permission denied"));
        }
    }
}
