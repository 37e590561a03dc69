//! A second decoder of `.rcd` files, slow and plain, written from the format
//! pages alone. `main.rs` says what it is for.

// The pages number things, and so do these loops.
#![allow(clippy::needless_range_loop)]

pub mod audio;
pub mod bytes;
pub mod coding;
pub mod container;
pub mod error;
pub mod image;
pub mod model_file;
pub mod text;
pub mod zstandard;

use container::{Media, Stream};
use error::{Result, not_covered};
use model_file::Models;

/// A file's samples.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The stream that they came from.
    pub stream: Stream,
    /// How many there are, channels counted by themselves.
    pub samples: u64,
    /// The bytes that the content hash is of: bytes; samples of images as one or
    /// two bytes; those of sound as four.
    pub content: Vec<u8>,
    /// The content hash, which the file's check has confirmed.
    pub hash: u64,
}

/// Decodes a whole file; models are those of the suite.
pub fn decode(file: &[u8]) -> Result<Decoded> {
    decode_with(file, &Models::default())
}

/// Decodes a whole file with the models of a folder.
pub fn decode_with(file: &[u8], models: &Models) -> Result<Decoded> {
    let stream = container::read(file)?;
    let no_parameters = || match stream.parameters.is_empty() && stream.models.is_empty() {
        true => Ok(()),
        false => error::malformed("parameters or models that the codec does not have"),
    };
    let (samples, content) = match (stream.codec, &stream.media) {
        (0, Media::Bytes) => {
            no_parameters()?;
            bytes_of(&stream, |block| Ok(block.to_vec()))?
        }
        (1, Media::Bytes) => {
            if !stream.parameters.is_empty() {
                return not_covered("zstd with a dictionary");
            }
            let mut lengths = Vec::new();
            let content = bytes_of(&stream, |block| {
                let content = zstandard::block(block)?;
                lengths.push(content.len());
                Ok(content)
            })?;
            zstandard::check_lengths(&lengths)?;
            content
        }
        (2, Media::Image(shape)) => {
            let samples = image::decode(shape, &stream)?;
            let wide = shape.bits > 8;
            let bytes = |s: &u16| s.to_le_bytes().into_iter().take(if wide { 2 } else { 1 });
            let content = samples.iter().flat_map(bytes).collect();
            (samples.len() as u64, content)
        }
        (3, Media::Audio(shape)) => {
            let samples = audio::decode(shape, &stream)?;
            let content = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            (samples.len() as u64, content)
        }
        (4, Media::Bytes) => {
            if !stream.parameters.is_empty() || stream.models.len() > 2 {
                return error::malformed("parameters, or more models than the codec has");
            }
            bytes_of(&stream, |block| text::block(block, &stream.models, models))?
        }
        (5, _) => return not_covered("image-lossy"),
        (6, _) => return not_covered("audio-lossy"),
        (codec, _) => return not_covered(&format!("codec {codec}")),
    };
    let hash = stream.verify(samples, &content)?;
    Ok(Decoded {
        stream,
        samples,
        content,
        hash,
    })
}

/// The name of a codec.
pub fn codec_name(codec: u64) -> &'static str {
    match codec {
        0 => "store",
        1 => "zstd",
        2 => "image-lossless",
        3 => "audio-lossless",
        4 => "text",
        5 => "image-lossy",
        6 => "audio-lossy",
        _ => "another codec",
    }
}

/// Refuses numbers of samples that no plain decoder should be asked for.
pub fn limit(samples: u64) -> Result<()> {
    if samples > 1 << 28 {
        return not_covered("more than 2^28 samples");
    }
    Ok(())
}

fn bytes_of(
    stream: &Stream,
    mut block: impl FnMut(&[u8]) -> Result<Vec<u8>>,
) -> Result<(u64, Vec<u8>)> {
    let mut content = Vec::new();
    for payload in &stream.blocks {
        content.extend(block(payload)?);
        limit(content.len() as u64)?;
    }
    Ok((content.len() as u64, content))
}

#[cfg(test)]
mod tests {
    /// Bytes from hexadecimal digits.
    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        let byte = |pair: &[u32]| (pair[0] * 16 + pair[1]) as u8;
        digits.chunks(2).map(byte).collect()
    }
}
