//! Writing PNM: PBM for 1-bit gray, PGM for gray, PPM for colour, PAM with
//! alpha; 1 to 16 bits.

use crate::convert::Conversion;
use crate::profile::Profiles;
use crate::strips::{StripCheck, pack};
use crate::writer::{Sink, Writer};
use rcodec_core::{ColorType, ImageHeader, Media, Metadata, Result, Samples};

/// Writes PNM row by row. Metadata is left out: the format has none.
pub(crate) struct PnmWriter<'a> {
    sink: Sink<'a>,
    conversion: Conversion,
    strips: StripCheck,
}

impl<'a> PnmWriter<'a> {
    pub(crate) fn new(
        header: &ImageHeader,
        metadata: &Metadata,
        mut sink: Sink<'a>,
    ) -> Result<Self> {
        let nothing = Metadata::default();
        let conversion = Conversion::plain(header, &Profiles::new(metadata, &nothing));
        let to = &conversion.to;
        let (width, height) = (to.width, to.height);
        let most = (1u32 << to.bits) - 1;
        let pam = |tuple: &str, depth: u8| {
            format!(
                "P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {most}\n\
                 TUPLTYPE {tuple}\nENDHDR\n"
            )
        };
        let head = match to.color {
            ColorType::Gray if to.bits == 1 => format!("P4\n{width} {height}\n"),
            ColorType::Gray => format!("P5\n{width} {height}\n{most}\n"),
            ColorType::GrayAlpha if to.bits == 1 => pam("BLACKANDWHITE_ALPHA", 2),
            ColorType::GrayAlpha => pam("GRAYSCALE_ALPHA", 2),
            ColorType::Rgba => pam("RGB_ALPHA", 4),
            _ => format!("P6\n{width} {height}\n{most}\n"),
        };
        sink.write_all(head.as_bytes())?;
        Ok(PnmWriter {
            sink,
            strips: StripCheck::new(header),
            conversion,
        })
    }
}

impl Writer for PnmWriter<'_> {
    fn write(&mut self, unit: Media) -> Result<()> {
        let strip = self.strips.accept(unit)?;
        let to = &self.conversion.to;
        match self.conversion.apply(strip.samples)? {
            Samples::U8(samples) if to.bits == 1 && to.color == ColorType::Gray => {
                let mut bytes = Vec::new();
                let mut row_inverted = Vec::new();
                for row in samples.chunks(to.row_samples()) {
                    row_inverted.clear();
                    row_inverted.extend(row.iter().map(|&sample| 1 - sample)); // 1 is black
                    pack(&row_inverted, 1, &mut bytes);
                }
                self.sink.write_all(&bytes)?;
            }
            Samples::U8(samples) => self.sink.write_all(&samples)?,
            Samples::U16(samples) => {
                let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_be_bytes()).collect();
                self.sink.write_all(&bytes)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _tail: &Metadata) -> Result<()> {
        self.strips.finish()?;
        Ok(self.sink.flush()?)
    }
}
