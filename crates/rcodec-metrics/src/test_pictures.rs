//! Five small made distortions, and what reference implementations say of them:
//! scikit-image 0.26 for PSNR and for SSIM, of which MS-SSIM is put together
//! (contrast alone by a huge K1), the crate `fast-ssim2` 0.9.1, a port of its
//! own, for SSIMULACRA2, and `butteraugli_main` of libjxl 0.7 (later versions
//! changed details, hence the tolerance).

use crate::{Rgb8, ms_ssim_rgb, ms_ssim_y, psnr_rgb, psnr_y};

const WIDTH: usize = 192;
const HEIGHT: usize = 176;

/// Upper halves of a linear congruential generator.
fn noise(seed: u32) -> impl Iterator<Item = i32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i32
    })
}

/// Waves, a disc and a little noise.
fn original() -> Rgb8 {
    let mut noise = noise(1);
    let mut samples = Vec::new();
    let wave = |v: i32, p: i32| (v % (2 * p) - p).abs() * 255 / p;
    for y in 0..HEIGHT as i32 {
        for x in 0..WIDTH as i32 {
            let n = noise.next().unwrap_or_default() % 16;
            let inside = (x - 100).pow(2) + (y - 80).pow(2) < 2500;
            let disc = if inside { 60 } else { 0 };
            let red = wave(x * 3 + y, 97) / 2 + disc + n;
            let green = wave(x + 2 * y, 61) / 2 + disc / 2 + n;
            let blue = x * y / 64 % 128 + 64 - disc + n;
            samples.extend([red, green, blue].map(|s| s.min(255) as u8));
        }
    }
    Rgb8::new(WIDTH, HEIGHT, samples).unwrap()
}

fn map(picture: &Rgb8, mut f: impl FnMut(usize, usize, usize) -> i32) -> Rgb8 {
    let mut samples = Vec::new();
    for y in 0..picture.height() {
        for x in 0..picture.width() {
            samples.extend((0..3).map(|c| f(x, y, c) as u8));
        }
    }
    Rgb8::new(picture.width(), picture.height(), samples).unwrap()
}

/// Banding, noise, blur, half resolution, less contrast.
fn distorted(original: &Rgb8) -> [Rgb8; 5] {
    let at = |x: usize, y: usize, c: usize| i32::from(original.samples()[(y * WIDTH + x) * 3 + c]);
    let mut noise = noise(2);
    [
        map(original, |x, y, c| (at(x, y, c) / 16 * 16 + 8).min(255)),
        map(original, |x, y, c| {
            let n = noise.next().unwrap_or_default() % 31 - 15;
            (at(x, y, c) + n).clamp(0, 255)
        }),
        map(original, |x, y, c| {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(WIDTH - 1));
            (at(left, y, c) + 2 * at(x, y, c) + at(right, y, c)) / 4
        }),
        map(original, |x, y, c| at(x / 2 * 2, y / 2 * 2, c)),
        map(original, |x, y, c| at(x, y, c) * 7 / 8 + 20),
    ]
}

fn sum(picture: &Rgb8) -> u32 {
    picture.samples().iter().map(|&s| u32::from(s)).sum()
}

fn assert_close(got: f64, expected: f64, tolerance: f64, what: &str, index: usize) {
    assert!(
        (got - expected).abs() <= tolerance,
        "{what} of distortion {index}: {got}, not {expected}"
    );
}

#[test]
fn the_pictures_are_those_the_references_saw() {
    let original = original();
    assert_eq!(sum(&original), 9_184_106);
    let sums = distorted(&original).map(|picture| sum(&picture));
    assert_eq!(
        sums,
        [9_235_440, 9_186_021, 9_146_174, 9_165_032, 10_019_215]
    );
}

#[test]
fn psnr_and_ms_ssim_as_scikit_image_has_them() {
    // PSNR of RGB and luma, MS-SSIM of RGB and luma.
    let expected = [
        [34.797207233, 38.255707783, 0.989046025, 0.993511188],
        [29.121473052, 32.607506592, 0.963397180, 0.976837557],
        [36.154034080, 38.607771975, 0.996144733, 0.995645410],
        [28.190269776, 31.694240790, 0.959308810, 0.955312923],
        [28.292465430, 28.330557586, 0.991861490, 0.992464051],
    ];
    let original = original();
    for (i, (picture, want)) in distorted(&original).iter().zip(expected).enumerate() {
        let got = [
            psnr_rgb(&original, picture).unwrap(),
            psnr_y(&original, picture).unwrap(),
            ms_ssim_rgb(&original, picture).unwrap(),
            ms_ssim_y(&original, picture).unwrap(),
        ];
        for (got, want) in got.into_iter().zip(want) {
            assert_close(got, want, 2e-6, "PSNR or MS-SSIM", i);
        }
    }
}

#[cfg(feature = "ssimulacra2")]
#[test]
fn ssimulacra2_as_another_implementation_has_it() {
    let expected = [81.319045, 64.348975, 83.404671, 41.106824, 53.835557];
    let original = original();
    for (i, (picture, want)) in distorted(&original).iter().zip(expected).enumerate() {
        let got = crate::ssimulacra2(&original, picture).unwrap();
        assert_close(got, want, 0.02, "SSIMULACRA2", i);
    }
    assert!(crate::ssimulacra2(&original, &original).unwrap() > 99.99);
}

#[cfg(feature = "butteraugli")]
#[test]
fn butteraugli_as_libjxl_has_it() {
    // (maximum, 3-norm) at 80 cd/m².
    let expected = [
        (2.087888, 1.264718),
        (3.954906, 2.348595),
        (1.866785, 0.919492),
        (7.599157, 3.383205),
        (6.173911, 5.011698),
    ];
    let original = original();
    for (i, (picture, want)) in distorted(&original).iter().zip(expected).enumerate() {
        let got = crate::butteraugli(&original, picture).unwrap();
        assert_close(got.max, want.0, 0.05 * want.0, "Butteraugli", i);
        assert_close(got.norm3, want.1, 0.05 * want.1, "Butteraugli's 3-norm", i);
    }
}
