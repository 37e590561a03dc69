//! What the benchmarks run: every codec of the build at some efforts (and
//! qualities, for lossy ones) on small made media, in memory, on one thread.
//!
//! `cargo bench -p rcodec-benches` measures CPU time, `cargo run --release -p
//! rcodec-benches --bin instructions` counts instructions, which do not depend
//! on what else a machine does. The kernels below the codecs have benchmarks of
//! their own, in `rcodec-fixed` and `rcodec-entropy`. What a codec gains on real
//! files, and beside other programs, is what `rcodec bench` is for.

use rcodec::{
    AudioHeader, Codec, DecodeContext, Effort, EncodeContext, Media, MediaHeader, MediaKind, Rate,
    Result, SampleFormat,
};
use rcodec_datasets::{json_lines, landscape, music, prose, screen};

/// Efforts that are measured.
pub const EFFORTS: [u8; 3] = [1, 5, 9];

/// Qualities of lossy codecs that are measured.
pub const QUALITIES: [u8; 2] = [30, 75];

/// Media to encode.
pub struct Input {
    /// Its name in reports.
    pub name: &'static str,
    /// Its header.
    pub header: MediaHeader,
    /// All of it.
    pub unit: Media,
    /// Pixels, sample frames or bytes.
    pub elements: u64,
}

/// The media of one kind, made anew on every call.
pub fn inputs(kind: MediaKind) -> Vec<Input> {
    match kind {
        MediaKind::Image => [
            ("landscape", landscape(256, 192, 7)),
            ("screen", screen(256, 192, 7)),
        ]
        .into_iter()
        .map(|(name, picture)| Input {
            name,
            unit: picture.unit(),
            elements: u64::from(picture.header.width) * u64::from(picture.header.height),
            header: MediaHeader::Image(picture.header),
        })
        .collect(),
        MediaKind::Audio => vec![Input {
            name: "music",
            header: MediaHeader::Audio(AudioHeader {
                sample_rate: 48_000,
                channels: 2,
                format: SampleFormat::Int { bits: 16 },
            }),
            unit: Media::Audio(rcodec::AudioBlock {
                samples: music(48_000, 2, 3),
            }),
            elements: 48_000,
        }],
        MediaKind::Bytes => [("prose", prose(100_000, 7)), ("json", json_lines(1000, 7))]
            .into_iter()
            .map(|(name, text)| Input {
                name,
                header: MediaHeader::Bytes,
                elements: text.len() as u64,
                unit: Media::Bytes(text.into_bytes()),
            })
            .collect(),
    }
}

/// One codec at one setting on one input.
pub struct Case {
    /// The codec.
    pub codec: &'static dyn Codec,
    /// What it encodes.
    pub input: Input,
    /// How hard it tries.
    pub effort: u8,
    /// Of lossy codecs.
    pub quality: Option<u8>,
}

impl Case {
    /// `codec/input/e5` or `codec/input/e5-q75`.
    pub fn name(&self) -> String {
        let quality = self.quality.map_or_else(String::new, |q| format!("-q{q}"));
        let (codec, input) = (self.codec.info().name, self.input.name);
        format!("{codec}/{input}/e{}{quality}", self.effort)
    }

    /// Encodes the input.
    ///
    /// # Errors
    /// What the codec reports.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let rate = match self.quality {
            Some(quality) => Rate::Quality(f32::from(quality)),
            None => Rate::Lossless,
        };
        let context = EncodeContext {
            effort: Effort::new(self.effort)?,
            rate,
            ..EncodeContext::default()
        };
        let unit = self.input.unit.clone();
        rcodec::encode(self.codec, &self.input.header, [unit], context)
    }

    /// Decodes what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    /// What the codec reports.
    pub fn decode(&self, file: &[u8]) -> Result<usize> {
        let decoded = rcodec::decode(file, DecodeContext::default())?;
        Ok(decoded.units.len())
    }
}

/// Every codec at every setting on every input of its kind. Encoding fails for
/// codecs whose learned model is not installed.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &codec in rcodec::CODECS {
        let info = codec.info();
        let qualities: Vec<Option<u8>> = if info.lossy {
            QUALITIES.map(Some).to_vec()
        } else {
            vec![None]
        };
        for effort in EFFORTS {
            for &quality in &qualities {
                cases.extend(inputs(info.media).into_iter().map(|input| Case {
                    codec,
                    input,
                    effort,
                    quality,
                }));
            }
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_cases_with_names_of_their_own() {
        let mut names: Vec<String> = cases().iter().map(Case::name).collect();
        for codec in rcodec::CODECS {
            assert!(names.iter().any(|name| name.starts_with(codec.info().name)));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
