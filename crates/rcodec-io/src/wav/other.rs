//! The heads of Wave64, AIFF and AIFF-C: the same three runs of bytes as in
//! WAV, with other words around them.

use super::head::{Head, Step, parse_format};
use crate::pcm::Pcm;
use rcodec_core::{AudioHeader, SampleFormat};

/// What follows the first four bytes (the name, in lower case) in most GUIDs
/// of Wave64.
const GUID_TAIL: [u8; 12] = *b"\xF3\xAC\xD3\x11\x8C\xD1\x00\xC0\x4F\x8E\xDB\x8A";

/// Goes through the head of a Wave64 file as far as `bytes` allows.
pub(super) fn step_wave64(bytes: &[u8]) -> Step {
    // Outer chunk's GUID, its length, the GUID `wave`.
    let mut at = 40;
    let mut audio = None;
    loop {
        let Some(header) = bytes.get(at..at + 24) else {
            return Step::Need(at + 24);
        };
        // Lengths count the 24 bytes of the chunk's header.
        let Some(size) = le64(&header[16..]).checked_sub(24) else {
            return Step::Reject("a chunk that is shorter than its header");
        };
        let known = header[4..16] == GUID_TAIL;
        if known && &header[..4] == b"data" {
            return finish(audio, at + 24, size, false);
        }
        let end = (at as u64 + 24).saturating_add(size);
        let Ok(end) = usize::try_from(end) else {
            return Step::Need(usize::MAX);
        };
        if known && &header[..4] == b"fmt " {
            let Some(body) = bytes.get(at + 24..end) else {
                return Step::Need(end);
            };
            match parse_format(body) {
                Ok(header) => audio = Some(header),
                Err(why) => return Step::Reject(why),
            }
        }
        // Chunks are padded to multiples of eight bytes.
        at = end.checked_next_multiple_of(8).unwrap_or(usize::MAX - 24);
    }
}

fn finish(audio: Option<AudioHeader>, bytes: usize, data_bytes: u64, empty: bool) -> Step {
    let Some(audio) = audio else {
        return Step::Reject("no format before the samples");
    };
    Step::Done(Head {
        pcm: Pcm::wav(audio.format),
        audio,
        bytes,
        data_bytes,
        empty,
    })
}

/// Goes through the head of an AIFF or AIFF-C file as far as `bytes` allows.
pub(super) fn step_aiff(bytes: &[u8]) -> Step {
    let compressed = bytes.get(8..12) == Some(b"AIFC");
    let mut at = 12;
    let mut common: Option<(AudioHeader, Pcm)> = None;
    loop {
        let Some(header) = bytes.get(at..at + 8) else {
            return Step::Need(at + 8);
        };
        let size = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let end = (at + 8).saturating_add(size as usize);
        match &header[..4] {
            b"COMM" => {
                let Some(body) = bytes.get(at + 8..end) else {
                    return Step::Need(end);
                };
                match parse_common(body, compressed) {
                    Ok(found) => common = Some(found),
                    Err(why) => return Step::Reject(why),
                }
            }
            b"SSND" => {
                // Offset of the first sample and size of aligned blocks.
                let Some(words) = bytes.get(at + 8..at + 16) else {
                    return Step::Need(at + 16);
                };
                if words[..4] != [0; 4] {
                    return Step::Reject("samples that begin behind an offset");
                }
                let Some((audio, pcm)) = common else {
                    return Step::Reject("no format before the samples");
                };
                return Step::Done(Head {
                    audio,
                    pcm,
                    bytes: at + 16,
                    data_bytes: u64::from(size.saturating_sub(8)),
                    empty: size == 8,
                });
            }
            _ => {}
        }
        at = end.saturating_add(size as usize & 1);
    }
}

/// Reads the body of a COMM chunk. As for WAV, samples are as wide as the bytes
/// they stand in.
fn parse_common(
    body: &[u8],
    compressed: bool,
) -> std::result::Result<(AudioHeader, Pcm), &'static str> {
    if body.len() < if compressed { 22 } else { 18 } {
        return Err("the format chunk is too short");
    }
    let channels = u16::from_be_bytes([body[0], body[1]]);
    let bits = u16::from_be_bytes([body[6], body[7]]);
    let rate = whole_rate(&body[8..18]).ok_or("a sample rate that is no whole number")?;
    if channels == 0 || rate == 0 {
        return Err("no channels or no sample rate");
    }
    let kind: &[u8] = if compressed { &body[18..22] } else { b"NONE" };
    let bytes = usize::from(bits).div_ceil(8);
    let (big_endian, format) = match (kind, bits) {
        (b"NONE" | b"twos", 1..=32) => (true, None),
        (b"in24", 24) | (b"in32", 32) => (true, None),
        (b"sowt", 1..=32) => (false, None),
        (b"fl32" | b"FL32", 32) => (true, Some(SampleFormat::Float32)),
        _ => return Err("samples that are not plain PCM"),
    };
    let format = format.unwrap_or(SampleFormat::Int {
        bits: bytes as u8 * 8,
    });
    let audio = AudioHeader {
        sample_rate: rate,
        channels,
        format,
    };
    let pcm = Pcm {
        big_endian,
        ..Pcm::packed(format)
    };
    Ok((audio, pcm))
}

/// An 80-bit IEEE 754 number that is a whole number of 32 bits.
fn whole_rate(extended: &[u8]) -> Option<u32> {
    let exponent = i32::from(u16::from_be_bytes([extended[0], extended[1]])) - 16383;
    let mut mantissa = [0; 8];
    mantissa.copy_from_slice(&extended[2..10]);
    let mantissa = u64::from_be_bytes(mantissa);
    if !(0..32).contains(&exponent) {
        return None;
    }
    let fraction_bits = 63 - exponent as u32;
    if mantissa.trailing_zeros() < fraction_bits {
        return None;
    }
    u32::try_from(mantissa >> fraction_bits).ok()
}

fn le64(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let rate = |bytes: [u8; 10]| whole_rate(&bytes);
        assert_eq!(
            rate([0x40, 0x0E, 0xAC, 0x44, 0, 0, 0, 0, 0, 0]),
            Some(44_100)
        );
        assert_eq!(
            rate([0x40, 0x0E, 0xBB, 0x80, 0, 0, 0, 0, 0, 0]),
            Some(48_000)
        );
        assert_eq!(rate([0x40, 0x0E, 0xAC, 0x44, 0x80, 0, 0, 0, 0, 0]), None);
        assert_eq!(rate([0x7F, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(rate([0; 10]), None);
    }
}
