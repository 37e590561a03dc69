//! What can happen to a program at work: nothing is lost, and nothing
//! half-written remains.
#![cfg(unix)]

use assert_cmd::Command;
use predicates::str::contains;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn rcodec() -> Command {
    Command::cargo_bin("rcodec").unwrap()
}

fn spawn(args: &[&Path]) -> Child {
    std::process::Command::new(env!("CARGO_BIN_EXE_rcodec"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn prose(len: usize) -> Vec<u8> {
    rcodec_datasets::prose(len, 7).into_bytes()
}

/// A new folder with one file in it.
fn folder_with(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Names of all files in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn args<'a>(words: &'a [&'a str], paths: &[&'a Path]) -> Vec<&'a Path> {
    words
        .iter()
        .map(Path::new)
        .chain(paths.iter().copied())
        .collect()
}

#[test]
fn an_interrupt_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("out.rcd");
    let mut child = spawn(&args(&["encode", "-", "-o"], &[&target]));
    // More than a pipe holds: when it is taken, the work has begun.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&prose(1 << 20)).unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        names(folder.path()).is_empty(),
        "{:?}",
        names(folder.path())
    );
}

/// Killed without warning at a hundred moments: the target is whole or not
/// there, the source is there, and nothing else is.
#[test]
fn a_kill_at_any_moment_leaves_all_or_nothing() {
    let text = prose(60_000);
    let (folder, source) = folder_with("note.txt", &text);
    let target = folder.path().join("note.txt.rcd");
    let words = ["encode", "--quiet", "--codec", "zstd", "--remove-source"];
    let started = Instant::now();
    rcodec().args(&words[..4]).arg(&source).assert().success();
    let whole = started.elapsed();
    let file = fs::read(&target).unwrap();
    fs::remove_file(&target).unwrap();
    let has_unnamed_files = names(folder.path()) == ["note.txt"];
    let mut finished = 0;
    for moment in 0..100 {
        let mut child = spawn(&args(&words, &[&source]));
        sleep(whole * moment / 80);
        child.kill().unwrap();
        child.wait().unwrap();
        let left = names(folder.path());
        let is_whole = fs::read(&target).is_ok_and(|found| found == file);
        assert_eq!(is_whole, target.exists(), "a part of a file under its name");
        assert!(is_whole || source.exists(), "neither source nor target");
        assert!(!has_unnamed_files || left.len() <= 2, "{left:?}");
        assert!(
            left.iter()
                .all(|name| name == "note.txt" || name == "note.txt.rcd"),
            "{left:?}"
        );
        finished += u32::from(is_whole);
        let _ = fs::remove_file(&target);
        fs::write(&source, &text).unwrap();
    }
    println!("{finished} of 100 had finished");
}

/// A source that is another one when its result is done is not removed.
#[test]
fn a_source_that_changed_stays() {
    let text = prose(300_000);
    let (folder, source) = folder_with("log.txt", &text);
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no named pipe can be made");
        return;
    }
    // Read through a link that leads to a pipe first, which holds the reader up.
    let link = folder.path().join("link.txt");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    let child = spawn(&args(
        &["encode", "--remove-source", "--codec", "text"],
        &[&link],
    ));
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    writer.write_all(&text).unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&source, &link).unwrap();
    drop(writer);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(5));
    assert_eq!(
        names(folder.path()),
        ["link.txt", "link.txt.rcd", "log.txt", "pipe"]
    );
    assert_eq!(fs::read(&link).unwrap(), text);
}

/// A file that grows while it is read is encoded as far as it was read, and
/// stays.
#[test]
fn a_file_that_grows() {
    let text = prose(200_000);
    let (folder, source) = folder_with("log.txt", &text);
    let path = args(&["encode", "-e9", "--remove-source"], &[&source]);
    let mut child = spawn(&path);
    let mut log = fs::OpenOptions::new().append(true).open(&source).unwrap();
    sleep(Duration::from_millis(200));
    log.write_all(b"one more line").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let decoded = folder.path().join("decoded");
    let file = folder.path().join("log.txt.rcd");
    rcodec()
        .args(["decode", "-o"])
        .args([&decoded, &file])
        .assert()
        .success();
    let (grown, decoded) = (fs::read(&source).unwrap(), fs::read(&decoded).unwrap());
    assert!(grown.len() > text.len() && grown.starts_with(&decoded));
    assert!(decoded.len() >= text.len());
}

#[test]
fn two_inputs_of_one_name_do_not_overwrite_each_other() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    for (folder, text) in [(&a, "first"), (&b, "second")] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("note.txt"), text).unwrap();
    }
    let out = folder.path().join("out");
    rcodec()
        .args(["encode", "--force", "--remove-source", "-o"])
        .args([&out, &a.join("note.txt"), &b.join("note.txt")])
        .assert()
        .code(1)
        .stderr(contains("is the result of another input"));
    assert_eq!(names(&out), ["note.txt.rcd"]);
    assert_eq!(names(&a).len() + names(&b).len(), 1);
}

/// A result that replaces its own source is not removed with it.
#[test]
fn a_target_that_is_the_source() {
    let (folder, source) = folder_with("note.txt", &prose(5000));
    rcodec()
        .args(["encode", "--force", "--remove-source", "-o"])
        .args([&source, &source])
        .assert()
        .code(5);
    assert_eq!(names(folder.path()), ["note.txt"]);
    let decoded = rcodec()
        .args(["decode", "-o", "-"])
        .arg(&source)
        .assert()
        .success();
    assert_eq!(decoded.get_output().stdout, prose(5000));
}

#[test]
fn symbolic_links_are_followed_and_replaced_as_names() {
    let (folder, source) = folder_with("note.txt", &prose(5000));
    let link = folder.path().join("link.txt");
    std::os::unix::fs::symlink(&source, &link).unwrap();
    rcodec()
        .args(["encode", "--remove-source"])
        .arg(&link)
        .assert()
        .success();
    assert_eq!(
        names(folder.path()),
        ["link.txt.rcd", "note.txt"],
        "the link goes, what it names stays"
    );
    // A target that is a link is not written through.
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    let target = folder.path().join("target.rcd");
    std::os::unix::fs::symlink(&elsewhere, &target).unwrap();
    rcodec()
        .args(["encode", "-o"])
        .args([&target, &source])
        .assert()
        .code(5);
    rcodec()
        .args(["encode", "--force", "-o"])
        .args([&target, &source])
        .assert()
        .success();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
    assert!(fs::symlink_metadata(&target).unwrap().is_file());
}

#[test]
fn a_path_that_is_no_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = TempDir::new().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 \xff.txt");
    let source = folder.path().join(name);
    if fs::write(&source, prose(5000)).is_err() {
        println!("skipped: this file system wants UTF-8");
        return;
    }
    rcodec()
        .args(["encode", "--remove-source"])
        .arg(&source)
        .assert()
        .success();
    let mut file = source.clone().into_os_string();
    file.push(".rcd");
    rcodec()
        .args(["decode", "--json"])
        .arg(&file)
        .assert()
        .success();
    assert_eq!(fs::read(&source).unwrap(), prose(5000));
}

/// The reader of a pipe goes away.
#[test]
fn a_closed_pipe() {
    let (_folder, source) = folder_with("note.txt", &prose(3_000_000));
    rcodec()
        .args(["encode", "-e1"])
        .arg(&source)
        .assert()
        .success();
    let file = source.with_extension("txt.rcd");
    let mut child = spawn(&args(&["decode", "-o", "-"], &[&file]));
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    let code = child.wait().unwrap();
    assert!(!code.success());
}

/// A folder that may not be written to, where the system enforces that (it
/// does not for root).
#[test]
fn a_read_only_folder() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder_with("note.txt", b"text");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path().join("probe"), b"").is_ok() {
        println!("skipped: this user may write to read-only folders");
        return;
    }
    rcodec().arg("encode").arg(&path).assert().code(5);
    assert_eq!(names(folder.path()), ["note.txt"]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A full disk, where a small file system can be mounted (as root).
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    struct Mount(TempDir);
    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount")
                .arg(self.0.path())
                .status();
        }
    }
    let mount = Mount(TempDir::new().unwrap());
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(mount.0.path())
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: no file system can be mounted");
        return;
    }
    let mut random = rcodec_datasets::Random::new(5);
    let noise: Vec<u8> = (0..300_000).map(|_| random.next_u32() as u8).collect();
    let (_folder, path) = folder_with("noise", &noise);
    rcodec()
        .args(["encode", "-o"])
        .args([&mount.0.path().join("noise.rcd"), &path])
        .assert()
        .code(5)
        .stderr(contains("space"));
    assert!(names(mount.0.path()).is_empty());
}
