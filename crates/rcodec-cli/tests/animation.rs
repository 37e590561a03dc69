//! Animated PNG as a user meets it.

mod common;

use common::{folder_with, rcodec};
use std::fs;

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [&name[..], data].concat();
    let length = (data.len() as u32).to_be_bytes();
    [&length[..], &named, &crc(&named).to_be_bytes()].concat()
}

/// A zlib stream that stores at most 65,535 bytes.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_le_bytes();
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let mut stream = vec![0x78, 0x01, 1];
    stream.extend(length);
    stream.extend(length.map(|byte| !byte));
    stream.extend(bytes);
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

const WIDTH: u32 = 96;
const HEIGHT: u32 = 64;

/// Rows of noise that stays as it is, with a square that moves.
fn rows(frame: u32, [left, top, width, height]: [u32; 4]) -> Vec<u8> {
    let pixel = |x: u32, y: u32| match (x / 8, y / 8) == (frame + 1, frame + 2) {
        true => 250,
        false => ((x * 31 + y * 17).wrapping_mul(2_654_435_761) >> 25) as u8,
    };
    let row = |y| {
        [0].into_iter()
            .chain((left..left + width).map(move |x| pixel(x, y)))
    };
    (top..top + height).flat_map(row).collect()
}

/// Five frames of a tenth of a second, played three times; the last two hold
/// only what changed.
fn film() -> Vec<u8> {
    let numbers = |numbers: &[u32]| -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    };
    let whole = [0, 0, WIDTH, HEIGHT];
    let places = [whole, whole, whole, [16, 24, 40, 30], [24, 32, 40, 30]];
    let mut head = numbers(&[WIDTH, HEIGHT]);
    head.extend([8, 0, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &head));
    file.extend(chunk(b"acTL", &numbers(&[places.len() as u32, 3])));
    let mut sequence = 0;
    let mut next = || {
        sequence += 1;
        sequence - 1
    };
    for (frame, place) in (0..).zip(places) {
        let [left, top, width, height] = place;
        let mut control = numbers(&[next(), width, height, left, top]);
        control.extend([0, 1, 0, 10, 0, 0]);
        file.extend(chunk(b"fcTL", &control));
        let data = stored(&rows(frame, place));
        if frame == 0 {
            file.extend(chunk(b"IDAT", &data));
        } else {
            let data = [numbers(&[next()]), data].concat();
            file.extend(chunk(b"fdAT", &data));
        }
    }
    file.extend(chunk(b"IEND", &[]));
    file
}

#[test]
fn an_animation_comes_back_and_says_what_it_is() {
    let (folder, path) = folder_with("film.png", &film());
    let coded = folder.path().join("film.png.rcd");
    for effort in ["-e1", "-e5", "-e9"] {
        rcodec()
            .args(["encode", "-f", effort])
            .arg(&path)
            .assert()
            .success();
        let info = rcodec().args(["info", "--json"]).arg(&coded).output();
        let info = String::from_utf8(info.unwrap().stdout).unwrap();
        for fact in [
            "\"frames\":5",
            "\"plays\":3",
            "\"duration_ms\":500",
            "\"width\":96",
            "\"height\":64",
            "image-lossless",
        ] {
            assert!(info.replace(' ', "").contains(fact), "{fact}: {info}");
        }
        // Four frames more hardly make it larger: there is little in them that
        // is new, and noise in the first.
        let bytes = fs::metadata(&coded).unwrap().len();
        assert!(bytes < 6500, "{bytes} bytes at {effort}");
        // What comes back holds the same pixels, frames and times: coded again,
        // it is the same file.
        let before = fs::read(&coded).unwrap();
        let back = folder.path().join("back.png");
        rcodec()
            .args(["decode", "-f"])
            .arg(&coded)
            .arg("-o")
            .arg(&back)
            .assert()
            .success();
        let again = folder.path().join("again.rcd");
        rcodec()
            .args(["encode", "-f", effort])
            .arg(&back)
            .arg("-o")
            .arg(&again)
            .assert()
            .success();
        assert!(fs::read(&again).unwrap() == before, "another file");
    }
}
