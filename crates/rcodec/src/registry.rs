//! The codecs built in.

use rcodec_core::{Codec, CodecId, Effort, Error, MediaKind, Result};

/// Every codec of this build.
pub static CODECS: &[&dyn Codec] = &[
    #[cfg(feature = "image")]
    &rcodec_image::ImageLossless,
    #[cfg(feature = "image")]
    &rcodec_image::ImageLossy,
    #[cfg(feature = "audio")]
    &rcodec_audio::AudioLossless,
    #[cfg(feature = "audio")]
    &rcodec_audio::AudioLossy,
    #[cfg(feature = "text")]
    &rcodec_text::Text,
    #[cfg(feature = "zstd")]
    &rcodec_zstd::Zstd,
    #[cfg(feature = "zstd")]
    &rcodec_zstd::Store,
];

/// The codec with a number of the file format.
///
/// # Errors
/// [`Error::Unsupported`] if this build does not have it.
pub fn codec(id: CodecId) -> Result<&'static dyn Codec> {
    CODECS
        .iter()
        .copied()
        .find(|codec| codec.info().id == id)
        .ok_or_else(|| Error::unsupported(format!("codec number {} is not in this build", id.0)))
}

/// The codec with a name.
pub fn codec_named(name: &str) -> Option<&'static dyn Codec> {
    CODECS
        .iter()
        .copied()
        .find(|codec| codec.info().name == name)
}

/// The least effort at which bytes go through context mixing: it decodes as
/// slowly as it encodes, which those who ask for speed do not want.
const LEAST_TEXT_EFFORT: u8 = 4;

/// The codec to take for lossless media when the user names none. Bytes go to
/// `zstd` at low efforts and to `text` above, where this build has both.
///
/// # Errors
/// [`Error::Unsupported`] if this build has none for that kind.
pub fn default_codec(kind: MediaKind, effort: Effort) -> Result<&'static dyn Codec> {
    let wants_text = effort.get() >= LEAST_TEXT_EFFORT || !cfg!(feature = "zstd");
    codec(match kind {
        MediaKind::Image => CodecId::IMAGE_LOSSLESS,
        MediaKind::Audio => CodecId::AUDIO_LOSSLESS,
        MediaKind::Bytes if cfg!(feature = "text") && wants_text => CodecId::TEXT,
        MediaKind::Bytes => CodecId::ZSTD,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        for (i, a) in CODECS.iter().enumerate() {
            for b in &CODECS[i + 1..] {
                assert_ne!(a.info().id, b.info().id);
                assert_ne!(a.info().name, b.info().name);
            }
        }
    }

    #[test]
    fn defaults_encode_their_kind_losslessly() {
        for kind in [MediaKind::Image, MediaKind::Audio, MediaKind::Bytes] {
            for effort in 1..=9 {
                let codec = default_codec(kind, Effort::new(effort).unwrap()).unwrap();
                assert_eq!(codec.info().media, kind);
                assert!(!codec.info().lossy);
            }
        }
    }
}
