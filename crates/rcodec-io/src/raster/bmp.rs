//! Windows and OS/2 bitmaps that are not compressed.

use super::{Layout, Raster};
use rcodec_core::{ColorType, ImageHeader, PaletteEntry};

const CUT: &str = "the BMP is cut off";

/// Understands a BMP file.
pub(super) fn parse(file: &[u8]) -> Result<Raster, &'static str> {
    let info_bytes = le32(file, 14)? as usize;
    let begin = le32(file, 10)? as usize;
    let (width, height, bits, colors_used, color_bytes) = if info_bytes == 12 {
        (
            le16(file, 18)?.into(),
            le16(file, 20)?.into(),
            le16(file, 24)?,
            0,
            3,
        )
    } else {
        (
            le32(file, 18)?,
            le32(file, 22)?,
            le16(file, 28)?,
            le32(file, 46)?,
            4,
        )
    };
    let compression = if info_bytes == 12 { 0 } else { le32(file, 30)? };
    let top_down = info_bytes > 12 && (height as i32) < 0;
    let height = if top_down {
        (height as i32).unsigned_abs()
    } else {
        height
    };
    if width == 0 || height == 0 || width > i32::MAX as u32 {
        return Err("the BMP's dimensions make no sense");
    }
    let mut header = ImageHeader {
        width,
        height,
        color: ColorType::Rgb,
        bits: 8,
        palette: Vec::new(),
    };
    let mut layout = Layout {
        bottom_up: !top_down,
        aligned: true,
        ..Layout::default()
    };
    let mut declared_alpha = false;
    match (bits, compression) {
        (1 | 4 | 8, 0) => {
            header.color = ColorType::Indexed;
            header.bits = bits as u8;
            let count = if colors_used == 0 {
                1 << bits
            } else {
                colors_used
            };
            if count > 1 << bits {
                return Err("the BMP's palette is too long");
            }
            let end = 14 + info_bytes + count as usize * color_bytes;
            if end > begin {
                return Err("the BMP's palette runs into its pixels");
            }
            header.palette = file
                .get(14 + info_bytes..end)
                .ok_or(CUT)?
                .chunks_exact(color_bytes)
                .map(|color| -> PaletteEntry { [color[2], color[1], color[0], 255] })
                .collect();
        }
        (24, 0) => layout.bgr = true,
        (32, 0) => layout.bgr = true,
        (32, 3) => {
            let masks = (le32(file, 54)?, le32(file, 58)?, le32(file, 62)?);
            if masks != (0x00FF_0000, 0x0000_FF00, 0x0000_00FF) {
                return Err("a BMP with unusual bit fields");
            }
            declared_alpha = info_bytes >= 56 && le32(file, 66)? == 0xFF00_0000;
            layout.bgr = true;
        }
        _ => return Err("a compressed or unusual BMP"),
    }
    if bits == 32 {
        // The fourth byte is often there only to fill the word.
        let count = width as usize * height as usize;
        let rows = file.get(begin..begin.saturating_add(count.saturating_mul(4)));
        let mut fourths = rows.ok_or(CUT)?.iter().skip(3).step_by(4);
        let first = *fourths.next().ok_or(CUT)?;
        if fourths.all(|&byte| byte == first) && (!declared_alpha || first == 255) {
            layout.filler = Some(first);
        } else {
            header.color = ColorType::Rgba;
        }
    }
    let row_bytes = layout.row_bytes(&header).ok_or("the BMP is too large")?;
    let end = row_bytes
        .checked_mul(height as usize)
        .and_then(|bytes| bytes.checked_add(begin))
        .ok_or("the BMP is too large")?;
    Ok(Raster {
        header,
        layout,
        data: begin..end,
    })
}

fn le16(file: &[u8], at: usize) -> Result<u16, &'static str> {
    let bytes = file.get(at..at + 2).ok_or(CUT)?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn le32(file: &[u8], at: usize) -> Result<u32, &'static str> {
    let bytes = file.get(at..at + 4).ok_or(CUT)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
