//! The stream's parameters.

use super::{HALO_ROWS, HYPER_FACTOR, QUALITIES};
use rcodec_core::{Error, ImageHeader, Result};

/// Version of the band format that this build writes and reads.
const FORMAT_VARIANT: u8 = 0;
/// Pixels that a band should have: many, as its halo is work done twice, but
/// they bound the memory.
const BAND_PIXELS: u64 = 8_000_000;

/// The parameters in the stream's header: variant, quality, and a band's rows
/// by 64, little-endian in two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Params {
    /// Quality step of the model.
    pub(super) quality: u8,
    /// Rows of every band but the last, by [`HYPER_FACTOR`]; at least those of
    /// the halo.
    pub(super) band_units: u16,
}

impl Params {
    pub(super) fn choose(header: &ImageHeader, quality: u8) -> Self {
        let units = BAND_PIXELS / (u64::from(header.width) * HYPER_FACTOR as u64);
        let least = (HALO_ROWS / HYPER_FACTOR) as u64;
        let units = units.clamp(least, u64::from(u16::MAX)) as u16;
        Params {
            quality,
            band_units: units,
        }
    }

    pub(super) fn band_rows(self) -> usize {
        usize::from(self.band_units) * HYPER_FACTOR
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let [low, high] = self.band_units.to_le_bytes();
        vec![FORMAT_VARIANT, self.quality, low, high]
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// Offsets are those within `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let len = bytes.len() as u64;
        match *bytes {
            [FORMAT_VARIANT, quality, low, high] => {
                if usize::from(quality) >= QUALITIES {
                    return Err(Error::malformed(1, "qualities are 0 to 63"));
                }
                let band_units = u16::from_le_bytes([low, high]);
                if usize::from(band_units) * HYPER_FACTOR < HALO_ROWS {
                    return Err(Error::malformed(2, "bands lower than their halo"));
                }
                Ok(Params {
                    quality,
                    band_units,
                })
            }
            [FORMAT_VARIANT, _, _, _, ..] => Err(Error::malformed(4, "bytes after the parameters")),
            [variant, ..] if variant != FORMAT_VARIANT => {
                Err(Error::unsupported(format!("lossy image variant {variant}")))
            }
            _ => Err(Error::Truncated { at: len }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::ColorType;

    #[test]
    fn parameters_round_trip_and_bad_ones_are_refused() {
        for (width, quality) in [(1, 0), (1000, 63), (u32::MAX, 5)] {
            let header = ImageHeader {
                width,
                height: 9,
                color: ColorType::Rgb,
                bits: 8,
                palette: Vec::new(),
            };
            let params = Params::choose(&header, quality);
            assert!(params.band_rows() >= HALO_ROWS);
            assert_eq!(Params::parse(&params.to_bytes()).unwrap(), params);
        }
        assert!(matches!(
            Params::parse(&[0, 5, 1]),
            Err(Error::Truncated { at: 3 })
        ));
        assert!(matches!(
            Params::parse(&[]),
            Err(Error::Truncated { at: 0 })
        ));
        assert!(matches!(
            Params::parse(&[7, 5, 9, 0]),
            Err(Error::Unsupported(_))
        ));
        for (bytes, at) in [
            (&[0, 64, 9, 0][..], 1),
            (&[0, 5, 1, 0], 2),
            (&[0, 5, 9, 0, 0], 4),
        ] {
            assert!(matches!(Params::parse(bytes), Err(Error::Malformed { at: a, .. }) if a == at));
        }
    }
}
