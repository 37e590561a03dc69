//! One piece to one payload.

use crate::payload;
use crate::settings::Settings;
use crate::zstd_error;
use rcodec_core::{Effort, Error, Result};
use zstd::zstd_safe::{CCtx, CParameter, FrameFormat};

/// Pieces shorter than this are compressed without a look at a sample first:
/// that takes no time.
const MIN_PROBED_BYTES: usize = 128 << 10;
/// The sample: so many stretches of so many bytes, evenly spread.
const SAMPLE_STRETCHES: usize = 16;
const SAMPLE_STRETCH_BYTES: usize = 4 << 10;

/// Room in an output buffer beyond the length of the piece.
pub(crate) const SPARE_BYTES: usize = 32;

/// Compresses pieces; keeps Zstandard's tables between them.
pub(crate) struct Compressor {
    context: CCtx<'static>,
    /// For looking whether anything is to be gained at all.
    probe: Option<CCtx<'static>>,
}

impl Compressor {
    /// A compressor with these settings; `dictionary` is empty for none.
    pub(crate) fn new(settings: Settings, dictionary: &[u8]) -> Result<Self> {
        let mut context = new_context(settings)?;
        if !dictionary.is_empty() {
            context
                .load_dictionary(dictionary)
                .map_err(zstd_error::dictionary)?;
            // Zstandard reads it when it first compresses; whether it is
            // damaged is to be known now.
            context
                .compress2(&mut Vec::with_capacity(SPARE_BYTES), &[])
                .map_err(zstd_error::dictionary)?;
        }
        // With a dictionary pieces are usually short and never noise.
        let is_slow = settings.level > 2;
        let probe = (is_slow && dictionary.is_empty()).then(|| new_context(settings.probe()));
        Ok(Compressor {
            context,
            probe: probe.transpose()?,
        })
    }

    /// The payload of `piece`: never more than one byte longer.
    pub(crate) fn compress(&mut self, piece: &[u8]) -> Result<Vec<u8>> {
        if let Some(probe) = &mut self.probe
            && piece.len() >= MIN_PROBED_BYTES
            && sample_is_incompressible(probe, piece)?
        {
            // The sample cannot see that noise comes twice, far apart: ask
            // the whole piece, fast, and believe it.
            let fast = compress_with(probe, piece)?;
            if !is_worthwhile(fast.len(), piece.len()) {
                return Ok(fast);
            }
        }
        compress_with(&mut self.context, piece)
    }
}

/// Whether a fast look at samples of `data` says that Zstandard would gain
/// less than 2% on it: already compressed or encrypted bytes, or noise. For
/// callers that choose between codecs before they begin.
pub fn looks_incompressible(data: &[u8]) -> bool {
    Settings::new(Effort::default(), &[])
        .and_then(|settings| new_context(settings.probe()))
        .and_then(|mut context| sample_is_incompressible(&mut context, data))
        .unwrap_or(false)
}

/// Whether `compressed_bytes` out of `content_bytes` save 2%.
fn is_worthwhile(compressed_bytes: usize, content_bytes: usize) -> bool {
    compressed_bytes < content_bytes - content_bytes / 50
}

fn sample_is_incompressible(context: &mut CCtx<'static>, data: &[u8]) -> Result<bool> {
    let sample_bytes = SAMPLE_STRETCHES * SAMPLE_STRETCH_BYTES;
    if data.len() <= sample_bytes {
        return Ok(!is_worthwhile(
            compress_with(context, data)?.len(),
            data.len(),
        ));
    }
    let mut sample = Vec::with_capacity(sample_bytes);
    let last_start = data.len() - SAMPLE_STRETCH_BYTES;
    for i in 0..SAMPLE_STRETCHES {
        // In u128 because the product can exceed 32 bits.
        let start = (last_start as u128 * i as u128 / (SAMPLE_STRETCHES - 1) as u128) as usize;
        sample.extend_from_slice(&data[start..start + SAMPLE_STRETCH_BYTES]);
    }
    Ok(!is_worthwhile(
        compress_with(context, &sample)?.len(),
        sample.len(),
    ))
}

fn new_context(settings: Settings) -> Result<CCtx<'static>> {
    let mut context = CCtx::try_create().ok_or(Error::Limit("memory"))?;
    let parameters = [
        CParameter::CompressionLevel(settings.level),
        CParameter::Format(FrameFormat::Magicless),
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
        CParameter::WindowLog(settings.window_log),
        CParameter::EnableLongDistanceMatching(settings.long),
    ];
    for parameter in parameters {
        context
            .set_parameter(parameter)
            .map_err(zstd_error::encoding)?;
    }
    Ok(context)
}

/// Compresses in one go, or stores what does not shrink.
fn compress_with(context: &mut CCtx<'static>, piece: &[u8]) -> Result<Vec<u8>> {
    // What does not fit this buffer is not worth having. The spare bytes are
    // for a frame header, which Zstandard wants room for at its longest.
    let mut frame = Vec::with_capacity(piece.len() + SPARE_BYTES);
    match context.compress2(&mut frame, piece) {
        Ok(_) => {
            if let Some(start) = payload::pack(&mut frame)
                && frame.len() - start <= piece.len()
            {
                frame.drain(..start);
                return Ok(frame);
            }
        }
        Err(code) if zstd_error::is_output_full(code) => {}
        Err(code) => return Err(zstd_error::encoding(code)),
    }
    Ok(payload::raw(piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, text};

    fn settings(level: i64) -> Settings {
        Settings::new(Effort::default(), &[("level".to_string(), level)]).unwrap()
    }

    fn compressor(level: i64) -> Compressor {
        Compressor::new(settings(level), &[]).unwrap()
    }

    #[test]
    fn a_payload_is_at_most_one_byte_longer() {
        let mut compressor = compressor(9);
        for len in [1, 2, 5, 30, 1000, 200_000] {
            let payload = compressor.compress(&noise(len, 1)).unwrap();
            assert_eq!(payload.len(), len + 1);
        }
    }

    #[test]
    fn short_texts_pay_no_framing() {
        let content = text(1000);
        let mut plain = CCtx::create();
        plain
            .set_parameter(CParameter::CompressionLevel(19))
            .unwrap();
        let mut frame = Vec::with_capacity(2000);
        plain.compress2(&mut frame, &content).unwrap();
        let payload = compressor(19).compress(&content).unwrap();
        // Magic number 4, descriptor 1, content size 2, block header 3.
        assert_eq!(payload.len(), frame.len() - 10);
    }

    #[test]
    fn noise_is_recognised_and_repeated_noise_is_not_stored() {
        assert!(looks_incompressible(&noise(1 << 20, 2)));
        assert!(!looks_incompressible(&text(1 << 20)));
        let twice = noise(1 << 20, 3).repeat(2);
        let payload = compressor(9).compress(&twice).unwrap();
        assert!(payload.len() < twice.len() * 6 / 10, "{}", payload.len());
    }

    #[test]
    fn used_and_fresh_compressors_agree() {
        let mut used = compressor(11);
        used.compress(&text(3_000_000)).unwrap();
        for len in [100, 70_000, 2_000_000] {
            let content = &text(4_000_000)[1_000_000..][..len];
            let fresh = compressor(11).compress(content).unwrap();
            assert!(used.compress(content).unwrap() == fresh, "{len} bytes");
        }
    }

    #[test]
    fn memory_is_not_underestimated() {
        for level in [-5, 1, 3, 5, 9, 11, 12, 15, 19, 22] {
            for len in [1, 1000, 100_000, 3_000_000] {
                let settings = settings(level);
                let mut compressor = Compressor::new(settings, &[]).unwrap();
                compressor.compress(&text(len)).unwrap();
                let probe_bytes = compressor.probe.as_ref().map_or(0, CCtx::sizeof);
                let real = (compressor.context.sizeof() + probe_bytes) as u64;
                let claimed = settings.context_bytes(len);
                assert!(
                    real <= claimed,
                    "level {level}, {len} bytes: {real} > {claimed}"
                );
            }
        }
    }
}
