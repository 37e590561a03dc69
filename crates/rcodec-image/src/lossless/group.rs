//! One group of rows: the modes, and the choice between them.
//!
//! A payload begins with a byte for the mode:
//!
//! | byte | mode | then |
//! |---|---|---|
//! | 0 | stored | every sample in as many bits as it has, most significant first |
//! | 1 | photo | the channels' value maps, then a stream for each channel |
//! | 2 | graphics | the channels' value maps, the alphabet, then the symbols |
//! | 3 | fast | the channels' value maps, then residuals |
//! | 4 | photo, large models | as photo |
//! | 5-8 | 1-4, with references | what rows refer to, then as there |
//! | 9 | photo, large models with the learned expert | as photo |

use crate::lossless::bitbuf::{BitReader, BitWriter};
use crate::lossless::photo::Level;
use crate::lossless::plane::Planes;
use crate::lossless::references::{self, References};
use crate::lossless::values::ValueMap;
use crate::lossless::{choice, fast, graphics, photo};
use crate::progress::{GroupProgress, PictureProgress};
use rcodec_core::{Budget, Effort, Error, ImageHeader, NoProgress, Result, Samples};
use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};

const MODE_STORED: u8 = 0;
pub(crate) const MODE_PHOTO: u8 = 1;
pub(crate) const MODE_GRAPHICS: u8 = 2;
pub(crate) const MODE_FAST: u8 = 3;
pub(crate) const MODE_PHOTO_LARGE: u8 = 4;

pub(crate) const MODE_PHOTO_LEARNED: u8 = 9;

/// Added to the modes 1-4 where rows refer to others.
const REFERENCES: u8 = 4;

/// Whether rows refer to others in a mode.
fn has_references(mode: u8) -> bool {
    (MODE_PHOTO + REFERENCES..=MODE_PHOTO_LARGE + REFERENCES).contains(&mode)
}

/// Pixels of a picture that every mode may be tried on.
const SMALL_PIXELS: usize = 100_000;

/// Where so many of a hundred pixels are as those next to them, only graphics
/// mode can be the smallest.
const SMOOTH_PERCENT: usize = 60;

/// Upper bound of the memory that models take.
const TABLE_BYTES: u64 = if photo::TABLE_BYTES > graphics::TABLE_BYTES {
    photo::TABLE_BYTES
} else {
    graphics::TABLE_BYTES
};

/// What all groups of a picture have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupShape {
    /// Pixels in a row.
    pub(crate) width: usize,
    /// Bits per sample, 1-16.
    pub(crate) bits: u8,
    /// Channels, 1-4.
    pub(crate) channels: usize,
}

impl GroupShape {
    /// The shape for a picture.
    ///
    /// # Errors
    /// [`Error::Limit`] for a picture too wide for this machine.
    pub(crate) fn of(header: &ImageHeader) -> Result<Self> {
        let width = usize::try_from(header.width).map_err(|_| Error::Limit("memory"))?;
        let channels = header.color.channels();
        width.checked_mul(channels).ok_or(Error::Limit("memory"))?;
        Ok(GroupShape {
            width,
            bits: header.bits,
            channels,
        })
    }

    /// Samples in a row.
    pub(crate) fn row_samples(&self) -> usize {
        self.width * self.channels
    }

    /// Bytes that `samples` take when interleaved.
    pub(crate) fn sample_bytes(&self, samples: u64) -> u64 {
        samples.saturating_mul(if self.bits <= 8 { 1 } else { 2 })
    }

    /// About what encoding a group of `samples` takes.
    pub(crate) fn encode_bytes(&self, samples: u64) -> u64 {
        // Interleaved, planes, mapped planes, two payloads, the fast mode's
        // records, and what decoding takes.
        let own = samples.saturating_mul(22);
        own.saturating_add(self.decode_bytes(samples))
    }

    /// About what decoding a group of `samples` takes.
    fn decode_bytes(&self, samples: u64) -> u64 {
        // Interleaved, planes, symbols of the graphics mode; rows on their way
        // of the photo modes; and tables.
        let columns = (self.row_samples() as u64).saturating_mul(photo::COLUMN_BYTES);
        let samples = samples.saturating_mul(8).saturating_add(columns);
        samples.saturating_add(TABLE_BYTES)
    }
}

/// The payload of a group: the smallest that the modes tried at `effort` give.
/// In an animation, frames of `frame_rows` rows stand below one another.
///
/// # Errors
/// Those of `progress`.
pub(crate) fn encode_group(
    planes: &Planes,
    shape: GroupShape,
    effort: Effort,
    frame_rows: Option<u32>,
    mut progress: GroupProgress<'_>,
) -> Result<Vec<u8>> {
    let mut best = Best(Vec::new());
    let mut coded = |mode, references: Option<&References>| {
        encode_coded(planes, shape, mode, references, &mut progress)
    };
    let modes = choice::modes(planes, shape, effort)?;
    for &mode in &modes {
        best.take(coded(mode, None)?);
    }
    // What comes out this small has a structure that the fast mode may miss.
    let small = planes.pixels() <= SMALL_PIXELS;
    let nearly_nothing = 16 * best.len() < planes.pixels();
    if modes == [MODE_FAST]
        && 4 * best.len() < planes.pixels()
        && (small || nearly_nothing || !choice::is_photographic(planes))
    {
        for mode in [MODE_GRAPHICS, MODE_PHOTO] {
            let payload = coded(mode, None)?;
            best.take(payload.filter(|payload| 8 * payload.len() < 7 * best.len()));
        }
    }
    // On small smooth drawings that nearly vanish, everything is worth a try.
    if small
        && 16 * best.len() < planes.pixels()
        && !modes.contains(&MODE_PHOTO_LARGE)
        && choice::repeated_percent(planes) < SMOOTH_PERCENT
    {
        best.take(coded(MODE_PHOTO_LARGE, None)?);
    }
    let references = frame_rows.and_then(|rows| references::find(planes, rows as usize));
    if let Some(references) = references {
        // Differences are not what the learned expert knows.
        let other = match choice::other_mode(effort) {
            MODE_PHOTO_LEARNED => MODE_PHOTO_LARGE,
            mode => mode,
        };
        for mode in [other, MODE_GRAPHICS] {
            best.take(coded(mode, Some(&references))?);
        }
    }
    if best.0.is_empty() || best.len() > stored_bytes(planes) {
        best = Best(encode_stored(planes));
    }
    progress.finish()?;
    Ok(best.0)
}

/// The smallest payload so far; empty if there is none.
struct Best(Vec<u8>);

impl Best {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes another payload if it is smaller.
    fn take(&mut self, payload: Option<Vec<u8>>) {
        if let Some(payload) = payload
            && (self.0.is_empty() || payload.len() < self.len())
        {
            self.0 = payload;
        }
    }
}

/// Bytes of a stored group.
fn stored_bytes(planes: &Planes) -> usize {
    1 + (planes.pixels() * planes.channels.len() * usize::from(planes.bits)).div_ceil(8)
}

fn encode_stored(planes: &Planes) -> Vec<u8> {
    let mut bits = BitWriter::after(vec![MODE_STORED]);
    for plane in &planes.channels {
        for &sample in plane {
            bits.put(u32::from(sample), u32::from(planes.bits));
        }
    }
    bits.finish()
}

/// A payload in one of the modes 1-4, with references or not, or 9; `None` if it does not apply.
pub(crate) fn encode_coded(
    planes: &Planes,
    shape: GroupShape,
    mode: u8,
    references: Option<&References>,
    progress: &mut GroupProgress<'_>,
) -> Result<Option<Vec<u8>>> {
    let mut coder = RangeBitEncoder::new();
    let mut maps = Vec::new();
    let mut mapped = planes.clone();
    for plane in &mut mapped.channels {
        let map = ValueMap::of(plane, shape.bits).code(&mut coder, shape.bits)?;
        map.to_ranks(plane);
        maps.push(map);
    }
    if let Some(references) = references
        && mode != MODE_GRAPHICS
    {
        references.to_differences(&mut mapped, &maps);
    }
    let body = match mode {
        MODE_GRAPHICS => {
            if graphics::code(&mut coder, &mut mapped, &maps, references, progress)?.is_none() {
                return Ok(None);
            }
            coder.finish()
        }
        MODE_FAST => fast::encode(coder, &mut mapped, &maps, progress)?,
        _ => photo::encode(coder, &mut mapped, &maps, level_of(mode), progress)?,
    };
    let mut payload = vec![mode];
    if let Some(references) = references {
        payload[0] += REFERENCES;
        references.write(&mut payload);
    }
    payload.extend(body);
    Ok(Some(payload))
}

/// Examples for the learned expert of the photo modes: one sample in so many of
/// a picture.
///
/// # Errors
/// Those of the models.
pub(crate) fn examples(
    mut planes: Planes,
    shape: GroupShape,
    one_in: u32,
) -> Result<[Vec<photo::Example>; 3]> {
    let mut coder = RangeBitEncoder::new();
    let mut maps = Vec::new();
    for plane in &mut planes.channels {
        let map = ValueMap::of(plane, shape.bits).code(&mut coder, shape.bits)?;
        map.to_ranks(plane);
        maps.push(map);
    }
    let picture = PictureProgress::new(&NoProgress, 0);
    photo::examples(&mut planes, &maps, one_in, &mut picture.group(0))
}

/// The level of a photo mode.
fn level_of(mode: u8) -> Level {
    match mode {
        MODE_PHOTO_LARGE => Level::Large,
        MODE_PHOTO_LEARNED => Level::Learned,
        _ => Level::Normal,
    }
}

/// The samples of a group of `rows` rows. Offsets in errors are those of the
/// payload.
pub(crate) fn decode_group(
    payload: &[u8],
    shape: GroupShape,
    rows: u32,
    budget: &Budget,
    picture: &PictureProgress<'_>,
) -> Result<Samples> {
    let (&mode, body) = payload.split_first().ok_or(Error::Truncated { at: 0 })?;
    let samples = u64::from(rows)
        .checked_mul(shape.row_samples() as u64)
        .ok_or(Error::Limit("memory"))?;
    let mut memory = shape.decode_bytes(samples);
    if has_references(mode) {
        memory = memory.saturating_add(References::most_bytes(body.len(), rows));
    }
    let _memory = budget.reserve(memory)?;
    let mut progress = picture.group(samples);
    let decoded = match mode {
        MODE_STORED => decode_stored(payload, shape, rows as usize, samples)?,
        1..=9 => {
            let planes = decode_coded(body, shape, rows as usize, mode, &mut progress);
            planes.map_err(|e| e.offset_by(1))?.to_interleaved()
        }
        _ => return Err(Error::malformed(0, "unknown mode of a group")),
    };
    progress.finish()?;
    Ok(decoded)
}

fn decode_stored(payload: &[u8], shape: GroupShape, rows: usize, samples: u64) -> Result<Samples> {
    let needed = (u128::from(samples) * u128::from(shape.bits)).div_ceil(8) + 1;
    if (payload.len() as u128) < needed {
        return Err(Error::Truncated {
            at: payload.len() as u64,
        });
    }
    if payload.len() as u128 > needed {
        return Err(Error::malformed(needed as u64, "bytes after a group"));
    }
    let mut planes = Planes::zeroed(shape.width, rows, shape.bits, shape.channels);
    let mut bits = BitReader::at(payload, 1);
    for plane in &mut planes.channels {
        for slot in plane {
            *slot = bits.get(u32::from(shape.bits))? as u16;
        }
    }
    Ok(planes.to_interleaved())
}

fn decode_coded(
    body: &[u8],
    shape: GroupShape,
    rows: usize,
    mode: u8,
    progress: &mut GroupProgress<'_>,
) -> Result<Planes> {
    let mut start = 0;
    let (mode, references) = if has_references(mode) {
        let references = References::read(body, &mut start, shape.width, rows)?;
        (mode - REFERENCES, Some(references))
    } else {
        (mode, None)
    };
    let body = &body[start..];
    let read_maps = |coder: &mut RangeBitDecoder<'_>| {
        let maps = (0..shape.channels).map(|_| ValueMap::empty().code(coder, shape.bits));
        maps.collect::<Result<Vec<ValueMap>>>()
    };
    let mut planes = Planes::zeroed(shape.width, rows, shape.bits, shape.channels);
    let decoded = match mode {
        MODE_GRAPHICS => {
            decode_graphics(body, &mut planes, references.as_ref(), progress, read_maps)
        }
        MODE_FAST => fast::decode(body, &mut planes, progress, read_maps),
        _ => photo::decode(body, &mut planes, level_of(mode), progress, read_maps),
    };
    let maps = decoded.map_err(|e| e.offset_by(start as u64))?;
    if let Some(references) = references
        && mode != MODE_GRAPHICS
    {
        references.to_ranks(&mut planes, &maps);
    }
    for (plane, map) in planes.channels.iter_mut().zip(&maps) {
        map.to_values(plane);
    }
    Ok(planes)
}

fn decode_graphics(
    body: &[u8],
    planes: &mut Planes,
    references: Option<&References>,
    progress: &mut GroupProgress<'_>,
    read_maps: impl FnOnce(&mut RangeBitDecoder<'_>) -> Result<Vec<ValueMap>>,
) -> Result<Vec<ValueMap>> {
    let mut coder = RangeBitDecoder::new(body);
    let maps = read_maps(&mut coder)?;
    if graphics::code(&mut coder, planes, &maps, references, progress)?.is_none() {
        return Err(Error::malformed(0, "pixels too wide for this mode"));
    }
    coder.finish()?;
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Limits;

    /// Two frames of six rows: the second is the first, moved, but for a line.
    fn frames() -> Planes {
        let mut planes = Planes::zeroed(20, 12, 8, 1);
        for (at, slot) in planes.channels[0].iter_mut().enumerate() {
            let (x, y) = (at % 20, at / 20);
            let moved = 13 * (x + 2 * (y / 6)) + 29 * (y % 6);
            let noise = moved * 40_503 % 65_536 / 256;
            *slot = if x == y { 255 } else { noise as u16 };
        }
        planes
    }

    #[test]
    fn every_mode_refers() {
        let planes = frames();
        let shape = GroupShape {
            width: 20,
            bits: 8,
            channels: 1,
        };
        // Six rows of nothing; six that refer six rows up, two to the right.
        let references = References::read(&[6, 0, 6, 6, 4], &mut 0, 20, 12).unwrap();
        let picture = PictureProgress::new(&NoProgress, 0);
        let budget = Budget::new(Limits::default());
        for mode in [MODE_PHOTO, MODE_GRAPHICS, MODE_FAST, MODE_PHOTO_LARGE] {
            let mut progress = picture.group(0);
            let payload = encode_coded(&planes, shape, mode, Some(&references), &mut progress);
            let payload = payload.unwrap().unwrap();
            let hex: Vec<String> = payload.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{}", hex.join(" "));
            assert_eq!(payload[..6], [mode + 4, 6, 0, 6, 6, 4]);
            let found = decode_group(&payload, shape, 12, &budget, &picture).unwrap();
            assert_eq!(found, planes.to_interleaved(), "mode {mode}");
        }
        let found = decode_group(&[10, 0], shape, 12, &budget, &picture);
        assert!(matches!(found, Err(Error::Malformed { at: 0, .. })));
    }

    /// Pictures of one to four channels, as photographs are, of `bits` bits.
    fn noisy(channels: usize, bits: u8) -> Planes {
        let mut planes = Planes::zeroed(21, 15, bits, channels);
        for (c, plane) in planes.channels.iter_mut().enumerate() {
            for (at, slot) in plane.iter_mut().enumerate() {
                let (x, y) = (at % 21, at / 21);
                let noise = ((at * (c + 3)).wrapping_mul(40_503) % 65_536) >> 10;
                let value = 900 * x + 700 * y + 20 * noise * (c + 1);
                *slot = (value >> (16 - bits)) as u16;
            }
        }
        planes
    }

    #[test]
    fn the_learned_expert_knows_every_kind_of_picture() {
        let picture = PictureProgress::new(&NoProgress, 0);
        let budget = Budget::new(Limits::default());
        for (channels, bits) in [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (3, 12), (4, 16)] {
            let planes = noisy(channels, bits);
            let shape = GroupShape {
                width: 21,
                bits,
                channels,
            };
            let coded = |mode| {
                let payload = encode_coded(&planes, shape, mode, None, &mut picture.group(0));
                payload.unwrap().unwrap()
            };
            let payload = coded(MODE_PHOTO_LEARNED);
            assert_eq!(payload[0], MODE_PHOTO_LEARNED);
            let found = decode_group(&payload, shape, 15, &budget, &picture).unwrap();
            assert_eq!(found, planes.to_interleaved(), "{channels} {bits}");
            // The mode is not another's, and what is cut off is missed.
            for mode in [MODE_PHOTO_LARGE, MODE_PHOTO, MODE_PHOTO_LEARNED] {
                let mut other = payload.clone();
                other[0] = mode;
                other.truncate(payload.len() - usize::from(mode == MODE_PHOTO_LEARNED));
                let found = decode_group(&other, shape, 15, &budget, &picture);
                assert!(found.map_or(true, |found| found != planes.to_interleaved()));
            }
        }
    }
}
