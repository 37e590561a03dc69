//! Which modes are worth trying for a group.

use crate::lossless::group::{
    GroupShape, MODE_FAST, MODE_GRAPHICS, MODE_PHOTO, MODE_PHOTO_LARGE, MODE_PHOTO_LEARNED,
    encode_coded,
};
use crate::lossless::plane::Planes;
use crate::progress::PictureProgress;
use rcodec_core::{Effort, NoProgress, Result};

/// Pixels of the sample that both modes code to be compared.
const SAMPLE_PIXELS: usize = 40_000;

/// Pieces of the sample.
const SAMPLE_BANDS: usize = 3;

/// Where repetitions are far away: below so many of a hundred bytes of
/// graphics mode's for a sample, another mode is better for the whole.
const SURE_PERCENT: usize = 60;

/// When so many of a hundred blocks came before, the whole is coded by both.
const AGAIN_PERCENT: usize = 40;

/// The modes to try, in the order of preference.
///
/// # Errors
/// None that the modes themselves would not have.
pub(crate) fn modes(planes: &Planes, shape: GroupShape, effort: Effort) -> Result<Vec<u8>> {
    let other = other_mode(effort);
    let repeated = repeated_percent(planes);
    let (photo_below, graphics_above) = match effort.get() {
        0..=3 => (60, 60),
        4..=6 => (45, 70),
        _ => (30, 90),
    };
    // A photograph with a plain sky is hardly smaller in graphics mode, which
    // takes ten times as long as the fast one.
    if other == MODE_FAST
        && planes.pixels() > SAMPLE_PIXELS
        && repeated >= graphics_above
        && is_photographic(planes)
    {
        return Ok(vec![other]);
    }
    if repeated >= graphics_above {
        // Where pixels do not fit into symbols, the other one applies.
        return Ok(first_that_applies(vec![MODE_GRAPHICS, other], planes));
    }
    // Samples would not show what is repeated from far away.
    let repeats_afar = again_percent(planes) >= AGAIN_PERCENT;
    let photographic = repeated < photo_below && !(repeated >= 20 && has_few_colours(planes));
    if photographic && !repeats_afar {
        return Ok(vec![other]);
    }
    if planes.pixels() <= SAMPLE_PIXELS {
        return Ok(vec![MODE_GRAPHICS, other]);
    }
    let sample = sample_of(planes);
    let progress = PictureProgress::new(&NoProgress, 0);
    let mut sizes = [usize::MAX; 2];
    // The large models take long, and gain a little.
    let stand_in = match other {
        MODE_PHOTO_LARGE | MODE_PHOTO_LEARNED => MODE_PHOTO,
        _ => other,
    };
    for (size, mode) in sizes.iter_mut().zip([MODE_GRAPHICS, stand_in]) {
        if let Some(payload) = encode_coded(&sample, shape, mode, None, &mut progress.group(0))? {
            *size = payload.len();
        }
    }
    let [graphics, mut others] = sizes;
    // Graphics mode has to pay for the time that it takes on photographs.
    others -= others / if stand_in == other { 6 } else { 32 };
    // What is repeated from afar gains graphics more than a sample shows, but
    // not everything.
    if repeats_afar && (SURE_PERCENT..=100).contains(&(100 * others / graphics.max(1))) {
        return Ok(vec![MODE_GRAPHICS, other]);
    }
    Ok(vec![if graphics <= others {
        MODE_GRAPHICS
    } else {
        other
    }])
}

/// The mode for what is not drawn.
pub(crate) fn other_mode(effort: Effort) -> u8 {
    match effort.get() {
        0..=3 => MODE_FAST,
        4..=6 => MODE_PHOTO,
        7..=8 => MODE_PHOTO_LARGE,
        _ => MODE_PHOTO_LEARNED,
    }
}

/// Graphics alone, unless its symbols may be too narrow for the picture.
fn first_that_applies(modes: Vec<u8>, planes: &Planes) -> Vec<u8> {
    let bits = usize::from(planes.bits) * planes.channels.len();
    if bits <= 32 {
        modes[..1].to_vec()
    } else {
        modes
    }
}

/// How many of a hundred pixels are as the one to the left or above.
pub(crate) fn repeated_percent(planes: &Planes) -> usize {
    let width = planes.width;
    let step = planes.rows.div_ceil(256).max(1);
    let (mut repeated, mut pixels) = (0usize, 0usize);
    for y in (0..planes.rows).step_by(step) {
        let from = y * width;
        pixels += width;
        for at in from..from + width {
            let same = |back: usize| {
                at >= back
                    && planes
                        .channels
                        .iter()
                        .all(|plane| plane[at] == plane[at - back])
            };
            repeated += usize::from(same(1) || same(width));
        }
    }
    100 * repeated / pixels.max(1)
}

/// Whether there are many colours, and not the same blocks again and again.
pub(crate) fn is_photographic(planes: &Planes) -> bool {
    !has_few_colours(planes) && again_percent(planes) < AGAIN_PERCENT
}

/// Whether there are far fewer colours than in a photograph.
fn has_few_colours(planes: &Planes) -> bool {
    let most = if planes.channels.len() >= 3 { 4096 } else { 64 };
    let mut seen = vec![false; 1 << 16];
    let mut colours = 0;
    for at in 0..planes.pixels() {
        let hash = planes.channels.iter().fold(0u32, |hash, plane| {
            (hash ^ u32::from(plane[at])).wrapping_mul(0x9e37_79b1)
        });
        let slot = &mut seen[(hash >> 16) as usize];
        colours += usize::from(!*slot);
        *slot = true;
        if colours > most {
            return false;
        }
    }
    true
}

/// How many of a hundred blocks of 4x2 pixels that are not of one colour stood
/// somewhere before.
fn again_percent(planes: &Planes) -> usize {
    let width = planes.width;
    let mut seen = vec![0u32; 1 << 18];
    let (mut again, mut blocks) = (0usize, 0usize);
    for y in 1..planes.rows {
        for x in 3..width {
            let at = y * width + x;
            // One pixel value in 16, the same wherever it stands.
            let pixel = planes.channels.iter().fold(0x9e37_79b1u32, |hash, plane| {
                (hash ^ u32::from(plane[at])).wrapping_mul(0x2c1b_3c6d)
            });
            if pixel >> 28 != 0 {
                continue;
            }
            let mut hash = pixel;
            let mut flat = true;
            for plane in &planes.channels {
                let (here, above) = (&plane[at - 3..=at], &plane[at - width - 3..=at - width]);
                flat &= here.iter().chain(above).all(|&sample| sample == here[0]);
                for &sample in here.iter().chain(above) {
                    hash = (hash.rotate_left(5) ^ u32::from(sample)).wrapping_mul(0x2c1b_3c6d);
                }
            }
            if flat {
                continue;
            }
            let check = hash | 1;
            let slot = &mut seen[(hash.wrapping_mul(0x85eb_ca77) >> 14) as usize];
            blocks += 1;
            again += usize::from(*slot == check);
            *slot = check;
        }
    }
    if blocks < 64 {
        return 0;
    }
    100 * again / blocks
}

/// Some rows from several places of a group.
fn sample_of(planes: &Planes) -> Planes {
    let rows = (SAMPLE_PIXELS / SAMPLE_BANDS / planes.width).clamp(1, planes.rows);
    let mut sample = Planes::zeroed(planes.width, 0, planes.bits, planes.channels.len());
    for band in 0..SAMPLE_BANDS {
        let first = (planes.rows - rows) * (2 * band + 1) / (2 * SAMPLE_BANDS);
        let range = first * planes.width..(first + rows) * planes.width;
        for (to, from) in sample.channels.iter_mut().zip(&planes.channels) {
            to.extend_from_slice(&from[range.clone()]);
        }
        sample.rows += rows;
    }
    sample
}
