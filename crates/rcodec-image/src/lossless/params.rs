//! The stream's parameters: how a picture is cut into groups of whole rows.

use crate::lossless::bytes::{put_varint, take_varint};
use rcodec_core::{Effort, Error, ImageHeader, Result};

/// Version of the group format that this build writes and reads.
const FORMAT_VARIANT: u8 = 0;

/// Pixels that a group should have: enough for its adaptive models to settle,
/// few enough to bound memory and to give every core something to do.
const GROUP_PIXELS: u64 = 1_250_000;

/// As [`GROUP_PIXELS`], where speed comes first: tables need fewer samples than
/// adaptive models, and channels are not coded side by side there.
const FAST_GROUP_PIXELS: u64 = 262_144;

/// How many times as large groups of animations may be, where frames look back
/// at those before them.
const ANIMATION_GROUP: u64 = 4;

/// What an encoder is told about groups.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Rows of a group.
    pub(crate) group_rows: Option<u32>,
    /// Rows of each of an animation's frames, which stand below one another.
    pub(crate) frame_rows: Option<u32>,
}

impl Options {
    /// # Errors
    /// [`Error::Parameter`] for unknown names and numbers of rows that are none.
    pub(crate) fn parse(options: &[(String, i64)]) -> Result<Self> {
        let mut parsed = Options::default();
        for (name, value) in options {
            let slot = match name.as_str() {
                "group_rows" => &mut parsed.group_rows,
                "frame_rows" => &mut parsed.frame_rows,
                _ => {
                    return Err(Error::parameter(format!(
                        "image-lossless has no option `{name}` (it has group_rows, frame_rows)"
                    )));
                }
            };
            let rows = u32::try_from(*value).ok().filter(|&rows| rows > 0);
            *slot = Some(rows.ok_or_else(|| {
                Error::parameter(format!("{name} {value} is not in 1..{}", u32::MAX))
            })?);
        }
        Ok(parsed)
    }
}

/// The parameters in the stream's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    /// Rows of every group but the last, at least 1.
    pub(crate) group_rows: u32,
}

impl Params {
    /// Cuts a picture into groups as the options ask for.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more rows than a group has by default.
    pub(crate) fn choose(header: &ImageHeader, effort: Effort, options: &Options) -> Result<Self> {
        let usual = Self::usual(header, effort, options.frame_rows);
        match options.group_rows {
            None => Ok(usual),
            Some(group_rows) if group_rows <= usual.group_rows => Ok(Params { group_rows }),
            Some(rows) => Err(Error::parameter(format!(
                "group_rows {rows} is not in 1..{}",
                usual.group_rows
            ))),
        }
    }

    /// Cuts a picture into groups of nearly equal height; one that consists of
    /// frames of `frame_rows` rows below one another into several frames each,
    /// as many as are worth their memory.
    fn usual(header: &ImageHeader, effort: Effort, frame_rows: Option<u32>) -> Self {
        let pixels = u64::from(header.width) * u64::from(header.height);
        let most = if effort.get() <= 3 {
            FAST_GROUP_PIXELS
        } else {
            GROUP_PIXELS
        };
        if let Some(frame_rows) = frame_rows {
            let frame = u64::from(header.width) * u64::from(frame_rows);
            let frames = ANIMATION_GROUP * most / frame.max(1);
            if frames >= 2 {
                let rows = frames * u64::from(frame_rows);
                let rows = u32::try_from(rows).unwrap_or(u32::MAX);
                return Params {
                    group_rows: rows.min(header.height),
                };
            }
        }
        let groups = pixels.div_ceil(most).max(1);
        let rows = u64::from(header.height).div_ceil(groups).max(1);
        Params {
            group_rows: u32::try_from(rows).unwrap_or(u32::MAX),
        }
    }

    /// The bytes for the stream's header: the variant, then the rows of a
    /// group as a little-endian base-128 number.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![FORMAT_VARIANT];
        put_varint(&mut bytes, self.group_rows as usize);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Truncated`] with offsets within
    /// `bytes`, [`Error::Unsupported`] for a variant of a later version.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let (&variant, rest) = bytes.split_first().ok_or(Error::Truncated { at: 0 })?;
        if variant != FORMAT_VARIANT {
            return Err(Error::unsupported(format!(
                "lossless image variant {variant}"
            )));
        }
        let mut at = 0;
        let group_rows = take_varint(rest, &mut at).map_err(|e| e.offset_by(1))?;
        if at < rest.len() {
            return Err(Error::malformed(
                at as u64 + 1,
                "bytes after the parameters",
            ));
        }
        if group_rows == 0 {
            return Err(Error::malformed(at as u64, "group height is 0"));
        }
        Ok(Params {
            group_rows: u32::try_from(group_rows).map_err(|_| Error::Limit("memory"))?,
        })
    }

    /// Rows of group `index` of a picture `height` rows high; 0 beyond the
    /// last.
    pub(crate) fn rows_of(self, index: u64, height: u32) -> u32 {
        let first = index.saturating_mul(u64::from(self.group_rows));
        let left = u64::from(height).saturating_sub(first);
        left.min(u64::from(self.group_rows)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::ColorType;

    fn header(width: u32, height: u32) -> ImageHeader {
        ImageHeader {
            width,
            height,
            color: ColorType::Rgb,
            bits: 8,
            palette: Vec::new(),
        }
    }

    #[test]
    fn parameters_round_trip() {
        for group_rows in [1, 127, 128, 16_384, u32::MAX] {
            let params = Params { group_rows };
            assert_eq!(Params::parse(&params.to_bytes()).unwrap(), params);
        }
    }

    #[test]
    fn groups_cover_every_row_once() {
        let cases = [
            (1, 1, 5),
            (4097, 3, 1),
            (10_000, 10_000, 1),
            (u32::MAX, 7, 9),
        ];
        for (width, height, effort) in cases {
            let effort = Effort::new(effort).unwrap();
            let params = Params::usual(&header(width, height), effort, None);
            let mut rows = 0u64;
            for index in 0.. {
                match params.rows_of(index, height) {
                    0 => break,
                    n => rows += u64::from(n),
                }
            }
            assert_eq!(rows, u64::from(height));
        }
    }

    #[test]
    fn an_option_makes_groups_smaller() {
        let with = |name: &str, value| {
            let options = Options::parse(&[(name.to_string(), value)])?;
            Params::choose(&header(100, 50), Effort::default(), &options)
        };
        assert_eq!(with("group_rows", 7).unwrap().group_rows, 7);
        for (name, value) in [
            ("group_rows", 0),
            ("group_rows", 51),
            ("group_rows", -1),
            ("frame_rows", 0),
            ("rows", 7),
        ] {
            assert!(matches!(with(name, value), Err(Error::Parameter(_))));
        }
    }

    #[test]
    fn bad_parameters_are_refused() {
        assert!(matches!(
            Params::parse(&[]),
            Err(Error::Truncated { at: 0 })
        ));
        assert!(matches!(
            Params::parse(&[0]),
            Err(Error::Truncated { at: 1 })
        ));
        assert!(matches!(
            Params::parse(&[0, 0]),
            Err(Error::Malformed { at: 1, .. })
        ));
        assert!(matches!(
            Params::parse(&[0, 1, 0]),
            Err(Error::Malformed { at: 2, .. })
        ));
        assert!(matches!(Params::parse(&[9, 1]), Err(Error::Unsupported(_))));
        assert!(matches!(
            Params::parse(&[0, 0xff, 0xff, 0xff, 0xff, 0x10]),
            Err(Error::Malformed { at: 1, .. })
        ));
        assert!(matches!(
            Params::parse(&[0, 0x81, 0x00]),
            Err(Error::Malformed { at: 2, .. })
        ));
    }
}
