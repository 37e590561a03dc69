//! Animations: frames below one another, each a picture that refers to the one
//! before. Smaller than the PNG and WebP of the same frames, and back as they
//! were.

mod common;

use common::{blend, coded_bytes, glyph, hash, screenshot};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::path::Path;
use std::process::Command;

const WIDTH: u32 = 256;
const HEIGHT: u32 = 160;

/// Frames of a film; fewer where time matters.
const FRAMES: u32 = 12;
const FEW_FRAMES: u32 = 5;

/// A film: the pixel of frame `t` at `(x, y)`.
type Film = fn(u32, u32, u32) -> [u8; 3];

/// A sprite with a soft edge that moves over tiles.
fn sprite(t: u32, x: u32, y: u32) -> [u8; 3] {
    let tile = hash(x / 16, y / 16, 9) % 7;
    let shade = hash(tile, x % 16 / 2, y % 16 / 2) % 4;
    let ground = [(40 * shade) as u8, (10 * tile) as u8, 90];
    let (dx, dy) = (x as i32 - 40 - 7 * t as i32, y as i32 - 60 - 2 * t as i32);
    match dx * dx + dy * dy {
        ..200 => [250, (128 + 5 * dx) as u8, (128 + 5 * dy) as u8],
        200..240 => blend(ground, [250, 128, 128], 2),
        _ => ground,
    }
}

/// Text that scrolls up below a title.
fn scroll(t: u32, x: u32, y: u32) -> [u8; 3] {
    if y < 20 {
        return [60, 60, 120];
    }
    blend([250, 250, 245], [20, 20, 30], glyph(x, y + 5 * t))
}

/// A terminal where letters are typed, with a block for a cursor.
fn terminal(t: u32, x: u32, y: u32) -> [u8; 3] {
    let (column, line) = (x / 8, y / 14);
    let cell = line * (WIDTH / 8) + column;
    let end = 6 * (WIDTH / 8) + 11 + 3 * t;
    if cell == end {
        return [200; 3];
    }
    let quarters = if cell < end { glyph(x, y) } else { 0 };
    blend([12, 12, 16], [120, 220, 120], quarters)
}

/// A screenshot where single pixels flicker.
fn flicker(t: u32, x: u32, y: u32) -> [u8; 3] {
    let mut pixel = screenshot(x + 50, y + 35);
    if hash(x, y, 77 + t).is_multiple_of(300) {
        pixel[1] ^= 0x40;
    }
    pixel
}

/// Grainy hills under a sky, seen by a camera that turns.
fn pan(t: u32, x: u32, y: u32) -> [u8; 3] {
    let x = x + 3 * t;
    let wave = |length: u32, seed: u32| {
        let (cell, within) = (x / length, x % length);
        let at = |cell| hash(cell, seed, 5) % length;
        (at(cell) * (length - within) + at(cell + 1) * within) / length
    };
    let hill = 50 + wave(64, 1) / 2 + wave(23, 2) / 3 + wave(7, 3) / 2;
    let grain = (hash(x, y, 8) % 8 + hash(x / 2, y / 3, 6) % 9) as u8;
    if y < hill {
        [
            110 + y as u8 / 3 + grain / 3,
            150 + y as u8 / 2 + grain / 3,
            220 + grain,
        ]
    } else {
        let depth = (y - hill).min(100) as u8;
        [
            50 + 2 * grain + depth / 4,
            100 - depth / 2 + 2 * grain,
            30 + grain,
        ]
    }
}

const FILMS: [(&str, Film); 5] = [
    ("moving sprite", sprite),
    ("scrolling text", scroll),
    ("typed terminal", terminal),
    ("flickering pixels", flicker),
    ("turning camera", pan),
];

/// So many frames, one below the other.
fn frames(film: Film, count: u32) -> Vec<u8> {
    let rows = (0..count).flat_map(|t| (0..HEIGHT).map(move |y| (t, y)));
    let pixels = rows.flat_map(|(t, y)| (0..WIDTH).map(move |x| film(t, x, y)));
    pixels.flatten().collect()
}

fn ours(rgb: &[u8], effort: u8, refer: bool) -> usize {
    let options = [("frame_rows".to_string(), i64::from(HEIGHT))];
    let options = if refer { &options[..] } else { &[] };
    coded_bytes(WIDTH, rgb.len() as u32 / 3 / WIDTH, rgb, effort, options)
}

fn png(rgb: &[u8], width: u32, filter: FilterType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, filter);
    let height = rgb.len() as u32 / 3 / width;
    encoder
        .write_image(rgb, width, height, ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

/// Bytes of the compressed pixels of an animated PNG that holds of every frame
/// what changed, and nothing but that.
fn changes_as_png(rgb: &[u8]) -> usize {
    let frames: Vec<&[u8]> = rgb.chunks_exact(3 * (WIDTH * HEIGHT) as usize).collect();
    let pixel = |frame: &[u8], x: u32, y: u32| {
        let at = 3 * (y * WIDTH + x) as usize;
        [frame[at], frame[at + 1], frame[at + 2]]
    };
    let mut bytes = 0;
    for (t, frame) in frames.iter().enumerate() {
        let changed = |x, y| t == 0 || pixel(frame, x, y) != pixel(frames[t - 1], x, y);
        let xs: Vec<u32> = (0..WIDTH)
            .filter(|&x| (0..HEIGHT).any(|y| changed(x, y)))
            .collect();
        let ys: Vec<u32> = (0..HEIGHT)
            .filter(|&y| (0..WIDTH).any(|x| changed(x, y)))
            .collect();
        let (Some(&left), Some(&right)) = (xs.first(), xs.last()) else {
            continue;
        };
        let rows = (ys[0]..=ys[ys.len() - 1]).flat_map(|y| (left..=right).map(move |x| (x, y)));
        let part: Vec<u8> = rows.flat_map(|(x, y)| pixel(frame, x, y)).collect();
        let filters = [FilterType::NoFilter, FilterType::Adaptive];
        let sizes = filters.map(|filter| png(&part, right - left + 1, filter).len());
        // Without signature, IHDR, IEND and what surrounds the data.
        bytes += sizes[0].min(sizes[1]) - 57;
    }
    bytes
}

#[test]
fn frames_refer_to_the_one_before() {
    for (name, film) in FILMS {
        let rgb = frames(film, FEW_FRAMES);
        let changes = changes_as_png(&rgb);
        for effort in [1, 5] {
            let (alone, referring) = (ours(&rgb, effort, false), ours(&rgb, effort, true));
            println!(
                "{name}: effort {effort}: {referring}, alone {alone}, PNG of changes {changes}"
            );
            assert!(referring <= alone, "{name}: {referring} {alone}");
            assert!(referring < changes, "{name}: {referring} {changes}");
        }
    }
}

/// Bytes of an output of a program, if it is installed.
fn bytes_by(program: &str, arguments: &[&str], output: &Path) -> Option<usize> {
    let status = Command::new(program).args(arguments).status().ok()?;
    assert!(status.success(), "{program}: {status}");
    Some(std::fs::metadata(output).unwrap().len() as usize)
}

#[test]
#[ignore = "compares with ffmpeg, oxipng and img2webp, where they are installed"]
fn smaller_than_what_programs_make() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("animation");
    std::fs::create_dir_all(&folder).unwrap();
    let place = |name: &str| folder.join(name).display().to_string();
    let (apng, best, webp) = (place("a.png"), place("best.png"), place("a.webp"));
    for (name, film) in FILMS {
        let rgb = frames(film, FRAMES);
        let mut files = Vec::new();
        let mut peers = vec![("PNG of changes", changes_as_png(&rgb))];
        let mut single = Some(0);
        for (t, frame) in rgb.chunks_exact(3 * (WIDTH * HEIGHT) as usize).enumerate() {
            let file = place(&format!("f{t:02}.png"));
            std::fs::write(&file, png(frame, WIDTH, FilterType::Adaptive)).unwrap();
            let arguments = ["-q", "-o", "max", "--out", &best, &file];
            let bytes = bytes_by("oxipng", &arguments, best.as_ref());
            single = single.zip(bytes).map(|(all, one)| all + one);
            files.push(file);
        }
        peers.extend(single.map(|bytes| ("frames by oxipng", bytes)));
        let pattern = place("f%02d.png");
        let arguments = [
            "-v", "error", "-y", "-i", &pattern, "-pred", "mixed", "-f", "apng", &apng,
        ];
        let bytes = bytes_by("ffmpeg", &arguments, apng.as_ref());
        peers.extend(bytes.map(|bytes| ("APNG by ffmpeg", bytes)));
        let arguments = ["-q", "-o", "max", "--out", &best, &apng];
        let bytes = bytes.and_then(|_| bytes_by("oxipng", &arguments, best.as_ref()));
        peers.extend(bytes.map(|bytes| ("that by oxipng", bytes)));
        let mut arguments = vec!["-lossless", "-m", "6", "-q", "100"];
        arguments.extend(files.iter().map(String::as_str));
        arguments.extend(["-o", &webp]);
        let bytes = bytes_by("img2webp", &arguments, webp.as_ref());
        peers.extend(bytes.map(|bytes| ("WebP", bytes)));
        let alone = [1, 5, 9].map(|effort| ours(&rgb, effort, false));
        for (effort, alone) in [1, 5, 9].into_iter().zip(alone) {
            let referring = ours(&rgb, effort, true);
            println!("{name}: effort {effort}: {referring}, alone {alone}, {peers:?}");
            for &(peer, bytes) in &peers {
                assert!(referring < bytes, "{name}: {referring}, {peer} {bytes}");
            }
        }
    }
}
