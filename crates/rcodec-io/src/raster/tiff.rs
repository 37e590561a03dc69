//! TIFF files with one picture, not compressed, in one run of strips.

use super::{Layout, Raster};
use rcodec_core::{ColorType, ImageHeader, PaletteEntry};
use std::ops::Range;

const CUT: &str = "the TIFF is cut off";

/// Understands a TIFF file.
pub(super) fn parse(file: &[u8]) -> Result<Raster, &'static str> {
    let tags = Directory::read(file)?;
    if tags.get(TILE_WIDTH).is_ok() {
        return Err("a TIFF in tiles");
    }
    if tags.first(COMPRESSION, 1)? != 1 {
        return Err("a compressed TIFF");
    }
    if tags.first(PLANES, 1)? != 1 || tags.first(FILL_ORDER, 1)? != 1 {
        return Err("a TIFF with an unusual order of samples");
    }
    let channels = tags.first(CHANNELS, 1)?;
    let bits = tags.first(BITS, 1)?;
    let all_alike = |tag, wanted: u32| {
        let values = tags.get(tag).unwrap_or_default();
        values.iter().all(|&value| value == wanted)
    };
    if !all_alike(BITS, bits) || !all_alike(SAMPLE_FORMAT, 1) || !matches!(bits, 1 | 2 | 4 | 8 | 16)
    {
        return Err("a TIFF with unusual samples");
    }
    let photometric = tags.first(PHOTOMETRIC, u32::MAX)?;
    let color = match (photometric, channels) {
        (0 | 1, 1) => ColorType::Gray,
        (0 | 1, 2) => ColorType::GrayAlpha,
        (2, 3) => ColorType::Rgb,
        (2, 4) => ColorType::Rgba,
        (3, 1) if bits <= 8 => ColorType::Indexed,
        _ => return Err("a TIFF with unusual colours"),
    };
    let has_alpha = matches!(color, ColorType::GrayAlpha | ColorType::Rgba);
    // 2 is alpha proper; 1 would be premultiplied, 0 is not said.
    if has_alpha && !matches!(tags.first(EXTRA, 0)?, 0 | 2) {
        return Err("a TIFF with premultiplied alpha");
    }
    let mut header = ImageHeader {
        width: tags.first(WIDTH, 0)?,
        height: tags.first(HEIGHT, 0)?,
        color,
        bits: bits as u8,
        palette: Vec::new(),
    };
    if header.width == 0 || header.height == 0 {
        return Err("the TIFF's dimensions make no sense");
    }
    if color == ColorType::Indexed {
        header.palette = palette(&tags.get(COLOR_MAP)?, bits)?;
    }
    let layout = Layout {
        inverted: photometric == 0 && !has_alpha,
        big_endian: tags.big_endian,
        ..Layout::default()
    };
    if photometric == 0 && has_alpha {
        return Err("a TIFF with unusual colours");
    }
    let data = one_run(&tags.get(STRIP_OFFSETS)?, &tags.get(STRIP_BYTES)?)?;
    Ok(Raster {
        header,
        layout,
        data,
    })
}

/// Where strips begin and end that follow each other without gaps.
fn one_run(offsets: &[u32], lengths: &[u32]) -> Result<Range<usize>, &'static str> {
    let begin = u64::from(*offsets.first().ok_or(CUT)?);
    let mut end = begin;
    for (&offset, &length) in offsets.iter().zip(lengths) {
        if u64::from(offset) != end {
            return Err("a TIFF whose strips are not in one run");
        }
        end += u64::from(length);
    }
    if offsets.len() != lengths.len() {
        return Err(CUT);
    }
    Ok(begin as usize..end as usize)
}

/// All reds, then all greens, then all blues, of 16 bits.
fn palette(map: &[u32], bits: u32) -> Result<Vec<PaletteEntry>, &'static str> {
    let count = 1usize << bits;
    if map.len() != 3 * count {
        return Err("the TIFF's palette has an impossible length");
    }
    let color = |i: usize| (map[i] >> 8) as u8;
    Ok((0..count)
        .map(|i| [color(i), color(i + count), color(i + 2 * count), 255])
        .collect())
}

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const STRIP_OFFSETS: u16 = 273;
const CHANNELS: u16 = 277;
const STRIP_BYTES: u16 = 279;
const PLANES: u16 = 284;
const COLOR_MAP: u16 = 320;
const TILE_WIDTH: u16 = 322;
const EXTRA: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;

/// The image file directory.
struct Directory<'a> {
    file: &'a [u8],
    big_endian: bool,
    /// Where its entries stand.
    at: usize,
    entries: usize,
}

impl<'a> Directory<'a> {
    fn read(file: &'a [u8]) -> Result<Self, &'static str> {
        let mut directory = Directory {
            file,
            big_endian: file.starts_with(b"MM"),
            at: 0,
            entries: 0,
        };
        if directory.u16_at(2)? != 42 {
            return Err("a BigTIFF");
        }
        let at = directory.u32_at(4)? as usize;
        directory.entries = directory.u16_at(at)?.into();
        directory.at = at + 2;
        if directory.u32_at(directory.at + directory.entries * 12)? != 0 {
            return Err("a TIFF with several pictures");
        }
        Ok(directory)
    }

    fn u16_at(&self, at: usize) -> Result<u16, &'static str> {
        let bytes = self.file.get(at..at.saturating_add(2)).ok_or(CUT)?;
        let bytes = [bytes[0], bytes[1]];
        Ok(if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn u32_at(&self, at: usize) -> Result<u32, &'static str> {
        let (first, second) = (self.u16_at(at)?, self.u16_at(at.saturating_add(2))?);
        let (high, low) = if self.big_endian {
            (first, second)
        } else {
            (second, first)
        };
        Ok(u32::from(high) << 16 | u32::from(low))
    }

    /// The values of a tag.
    fn get(&self, tag: u16) -> Result<Vec<u32>, &'static str> {
        for entry in (0..self.entries).map(|i| self.at + 12 * i) {
            if self.u16_at(entry)? != tag {
                continue;
            }
            let size = match self.u16_at(entry + 2)? {
                1 => 1,
                3 => 2,
                4 => 4,
                _ => return Err("a TIFF tag of an unusual type"),
            };
            let count = self.u32_at(entry + 4)? as usize;
            let begin = if count.saturating_mul(size) <= 4 {
                entry + 8
            } else {
                self.u32_at(entry + 8)? as usize
            };
            let end = begin.saturating_add(count.saturating_mul(size));
            if end > self.file.len() {
                return Err(CUT);
            }
            return (0..count)
                .map(|i| match size {
                    1 => Ok(self.file[begin + i].into()),
                    2 => self.u16_at(begin + 2 * i).map(u32::from),
                    _ => self.u32_at(begin + 4 * i),
                })
                .collect();
        }
        Err("a tag is missing from the TIFF")
    }

    /// The first value of a tag, or `default` if the tag is not there.
    fn first(&self, tag: u16, default: u32) -> Result<u32, &'static str> {
        let present = (0..self.entries).any(|i| {
            self.u16_at(self.at + 12 * i)
                .is_ok_and(|found| found == tag)
        });
        if !present {
            return Ok(default);
        }
        self.get(tag)?.first().copied().ok_or(CUT)
    }
}
