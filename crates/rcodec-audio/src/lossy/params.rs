//! What the stream's header says.

use super::layout::{frame_for, is_frame};
use super::step::StepRule;
use rcodec_core::{Cursor, Error, Result, write_varint};

/// How a stream is cut into frames and quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    /// Samples of a frame.
    pub(crate) frame: usize,
    pub(crate) rule: StepRule,
    pub(crate) fill: Fill,
}

/// How what is not coded is filled in, and what is coded rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// The least rms of the noise in a band that has levels, 1/64 of the step.
    pub(crate) low_q6: u8,
    /// The largest rms of it.
    pub(crate) high_q6: u8,
    /// How far magnitudes of 1 and larger ones are drawn to 0, 1/64 of the
    /// step.
    pub(crate) shrink_q6: [u8; 2],
}

impl Params {
    /// What encoders take for frames of about so many milliseconds.
    pub(crate) fn new(sample_rate: u32, milliseconds: u32) -> Self {
        Params {
            frame: frame_for(sample_rate, milliseconds),
            rule: StepRule {
                // Narrow bands are speech: there a better ratio of signal to
                // noise at all frequencies is worth more than bandwidth.
                slope_q8: if sample_rate <= 24_000 { 85 } else { 128 },
                fall: 1000,
                rise: 1000,
            },
            fill: Fill {
                low_q6: 0,
                high_q6: 12,
                shrink_q6: [0, 0],
            },
        }
    }

    /// As the header stores it.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        write_varint(&mut out, self.frame as u64);
        for value in [self.rule.slope_q8, self.rule.fall, self.rule.rise] {
            write_varint(&mut out, value as u64);
        }
        out.extend([self.fill.low_q6, self.fill.high_q6]);
        out.extend(self.fill.shrink_q6);
        out
    }

    /// # Errors
    /// [`Error::Malformed`] and [`Error::Truncated`], with offsets within the
    /// parameters.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Cursor::new(bytes, 0);
        let frame = reader.varint_in(32..=4096, "samples of a frame")? as usize;
        if !is_frame(frame) {
            return Err(Error::malformed(0, "samples of a frame"));
        }
        let mut small = || Ok::<_, Error>(reader.varint_in(0..=4096, "rule of steps")? as i32);
        let rule = StepRule {
            slope_q8: small()?,
            fall: small()?,
            rise: small()?,
        };
        let fill = Fill {
            low_q6: reader.byte()?,
            high_q6: reader.byte()?,
            shrink_q6: [reader.byte()?, reader.byte()?],
        };
        if !reader.rest().is_empty() {
            return Err(Error::malformed(reader.at(), "bytes behind the parameters"));
        }
        let params = Params { frame, rule, fill };
        if rule.slope_q8 > 256 || fill.shrink_q6.iter().any(|&s| s > 31) {
            return Err(Error::malformed(0, "rule of steps"));
        }
        Ok(params)
    }
}
