//! Binary PBM, PGM, PPM and PAM.

use super::{Layout, Raster};
use rcodec_core::{ColorType, ImageHeader};

/// Understands a PNM file.
pub(super) fn parse(file: &[u8]) -> Result<Raster, &'static str> {
    let mut text = Text { file, at: 2 };
    let (width, height, most, color, begin) = match file.get(1) {
        Some(b'4') => {
            let (width, height) = (text.number()?, text.number()?);
            (width, height, 1, ColorType::Gray, text.end()?)
        }
        Some(&kind @ (b'5' | b'6')) => {
            let color = if kind == b'5' {
                ColorType::Gray
            } else {
                ColorType::Rgb
            };
            let (width, height, most) = (text.number()?, text.number()?, text.number()?);
            (width, height, most, color, text.end()?)
        }
        Some(b'7') => parse_pam(file)?,
        _ => return Err("a PNM in plain text"),
    };
    if width == 0 || height == 0 || !(1..=65535).contains(&most) {
        return Err("the PNM's dimensions make no sense");
    }
    let packed = file[1] == b'4';
    let header = ImageHeader {
        width,
        height,
        color,
        bits: (32 - most.leading_zeros()) as u8,
        palette: Vec::new(),
    };
    let layout = Layout {
        inverted: packed,
        loose: !packed && header.bits < 8,
        big_endian: true,
        ..Layout::default()
    };
    let end = layout
        .row_bytes(&header)
        .and_then(|bytes| bytes.checked_mul(height as usize)?.checked_add(begin))
        .ok_or("the PNM is too large")?;
    Ok(Raster {
        header,
        layout,
        data: begin..end,
    })
}

/// The numbers at the start of a PNM file.
struct Text<'a> {
    file: &'a [u8],
    at: usize,
}

impl Text<'_> {
    fn number(&mut self) -> Result<u32, &'static str> {
        const BAD: &str = "the PNM's header makes no sense";
        loop {
            match self.file.get(self.at) {
                Some(b'#') => {
                    let rest = &self.file[self.at..];
                    let line = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r');
                    self.at += line.ok_or(BAD)?;
                }
                Some(byte) if byte.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
        let digits = self.file[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let number = std::str::from_utf8(&self.file[self.at..self.at + digits]);
        self.at += digits;
        number.map_err(|_| BAD)?.parse().map_err(|_| BAD)
    }

    /// One white space character ends the header.
    fn end(&self) -> Result<usize, &'static str> {
        match self.file.get(self.at) {
            Some(byte) if byte.is_ascii_whitespace() => Ok(self.at + 1),
            _ => Err("the PNM is cut off"),
        }
    }
}

type Shape = (u32, u32, u32, ColorType, usize);

fn parse_pam(file: &[u8]) -> Result<Shape, &'static str> {
    const BAD: &str = "the PAM's header makes no sense";
    let (mut width, mut height, mut depth, mut most) = (0, 0, 0, 0);
    let mut kind = String::new();
    let mut at = 3;
    loop {
        let rest = file.get(at..).ok_or(BAD)?;
        // A line of a header is short; do not look for its end far away.
        let length = rest.iter().take(4096).position(|&byte| byte == b'\n');
        let line = std::str::from_utf8(&rest[..length.ok_or(BAD)?]).map_err(|_| BAD)?;
        at += line.len() + 1;
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        let number = || value.trim().parse::<u32>().map_err(|_| BAD);
        match name {
            "ENDHDR" => break,
            "WIDTH" => width = number()?,
            "HEIGHT" => height = number()?,
            "DEPTH" => depth = number()?,
            "MAXVAL" => most = number()?,
            "TUPLTYPE" => kind = value.trim().to_owned(),
            name if name.is_empty() || name.starts_with('#') => {}
            _ => return Err(BAD),
        }
    }
    let color = match (depth, kind.as_str()) {
        (1, "" | "BLACKANDWHITE" | "GRAYSCALE") => ColorType::Gray,
        (2, "" | "BLACKANDWHITE_ALPHA" | "GRAYSCALE_ALPHA") => ColorType::GrayAlpha,
        (3, "" | "RGB") => ColorType::Rgb,
        (4, "RGB_ALPHA") => ColorType::Rgba,
        _ => return Err("a PAM of an unusual kind"),
    };
    Ok((width, height, most, color, at))
}
