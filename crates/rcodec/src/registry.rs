//! The codecs built in.

use rcodec_core::{Codec, CodecId, Error, MediaKind, Result};

/// Every codec of this build.
pub static CODECS: &[&dyn Codec] = &[
    #[cfg(feature = "image")]
    &rcodec_image::ImageLossless,
    #[cfg(feature = "image")]
    &rcodec_image::ImageLossy,
    #[cfg(feature = "audio")]
    &rcodec_audio::AudioLossless,
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

/// The codec to take for lossless media when the user names none.
///
/// # Errors
/// [`Error::Unsupported`] if this build has none for that kind.
pub fn default_codec(kind: MediaKind) -> Result<&'static dyn Codec> {
    codec(match kind {
        MediaKind::Image => CodecId::IMAGE_LOSSLESS,
        MediaKind::Audio => CodecId::AUDIO_LOSSLESS,
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
            let info = default_codec(kind).unwrap().info();
            assert_eq!(info.media, kind);
            assert!(!info.lossy);
        }
    }
}
