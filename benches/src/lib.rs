//! What the benchmarks run: every codec of the build at some efforts (and
//! qualities, for lossy ones) on small made media, in memory, on one thread.
//!
//! `cargo bench -p rcodec-benches` measures CPU time, `cargo run --release -p
//! rcodec-benches --bin instructions` counts instructions, which do not depend
//! on what else a machine does. The kernels below the codecs have benchmarks of
//! their own, in `rcodec-fixed` and `rcodec-entropy`. What a codec gains on real
//! files, and beside other programs, is what `rcodec bench` is for.

pub mod counts;

use rcodec::{
    AudioHeader, Codec, DecodeContext, Effort, EncodeContext, Media, MediaHeader, MediaKind, Rate,
    Result, SampleFormat,
};
use rcodec_datasets::{Picture, json_lines, landscape, music, prose, screen};
use std::ops::Deref;
use std::sync::LazyLock;

/// Efforts that are measured.
pub const EFFORTS: [u8; 3] = [1, 5, 9];

/// Qualities of lossy codecs that are measured.
pub const QUALITIES: [u8; 2] = [30, 75];

/// Media to encode, made when first asked for.
pub struct Input {
    /// Its name in reports.
    pub name: &'static str,
    /// Its kind.
    pub kind: MediaKind,
    made: LazyLock<Made>,
}

/// What an [`Input`] holds.
pub struct Made {
    /// The header.
    pub header: MediaHeader,
    /// All of the media.
    pub unit: Media,
    /// Pixels, sample frames or bytes.
    pub elements: u64,
}

/// All inputs.
pub static INPUTS: [Input; 5] = [
    Input::new("landscape", MediaKind::Image, || {
        picture(landscape(256, 192, 7))
    }),
    Input::new("screen", MediaKind::Image, || picture(screen(256, 192, 7))),
    Input::new("music", MediaKind::Audio, sound),
    Input::new("prose", MediaKind::Bytes, || text(prose(100_000, 7))),
    Input::new("json", MediaKind::Bytes, || text(json_lines(1000, 7))),
];

impl Input {
    const fn new(name: &'static str, kind: MediaKind, make: fn() -> Made) -> Self {
        let made = LazyLock::new(make);
        Input { name, kind, made }
    }
}

impl Deref for Input {
    type Target = Made;

    fn deref(&self) -> &Made {
        &self.made
    }
}

fn picture(picture: Picture) -> Made {
    Made {
        unit: picture.unit(),
        elements: u64::from(picture.header.width) * u64::from(picture.header.height),
        header: MediaHeader::Image(picture.header),
    }
}

fn sound() -> Made {
    Made {
        header: MediaHeader::Audio(AudioHeader {
            sample_rate: 48_000,
            channels: 2,
            format: SampleFormat::Int { bits: 16 },
        }),
        unit: Media::Audio(rcodec::AudioBlock {
            samples: music(48_000, 2, 3),
        }),
        elements: 48_000,
    }
}

fn text(text: String) -> Made {
    Made {
        header: MediaHeader::Bytes,
        elements: text.len() as u64,
        unit: Media::Bytes(text.into_bytes()),
    }
}

/// One codec at one setting on one input.
pub struct Case {
    /// The codec.
    pub codec: &'static dyn Codec,
    /// What it encodes.
    pub input: &'static Input,
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
                let inputs = INPUTS.iter().filter(|input| input.kind == info.media);
                cases.extend(inputs.map(|input| Case {
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
