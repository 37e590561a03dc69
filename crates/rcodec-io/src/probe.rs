//! What kind of file some bytes begin: by content only, never by name.

/// How many bytes from the start of a file [`probe`] looks at. Fewer are fine
/// (the file may be shorter); more are of use only for WebP.
pub const PROBE_BYTES: usize = 4096;

/// What the first bytes of a file say it is. Being named here does not mean
/// that the file is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceKind {
    /// A PNG picture.
    Png,
    /// An animated PNG.
    Apng,
    /// A JPEG picture (the classical one, not JPEG XL or JPEG 2000).
    Jpeg,
    /// A WebP picture in its lossless mode.
    WebpLossless,
    /// A WebP picture in its lossy mode, or one whose mode stands behind the
    /// bytes that were given.
    WebpLossy,
    /// An animated WebP.
    WebpAnimated,
    /// A TIFF (or BigTIFF) picture.
    Tiff,
    /// A Windows or OS/2 bitmap.
    Bmp,
    /// PBM, PGM, PPM (plain or binary) or PAM.
    Pnm,
    /// A QOI picture.
    Qoi,
    /// RIFF/RF64/BW64 WAVE sound.
    Wav,
    /// AIFF or AIFF-C sound.
    Aiff,
    /// Sony Wave64 sound.
    Wave64,
    /// FLAC sound.
    Flac,
    /// MPEG layer III sound, with or without an ID3v2 tag.
    Mp3,
    /// An Ogg stream (Vorbis, Opus, FLAC, …).
    Ogg,
    /// ISO base media: MP4, M4A, MOV.
    Mp4,
    /// MPEG AAC in ADTS frames.
    Aac,
    /// Our own `.rcd`.
    Rcd,
    /// Bytes that some general compressor or a compressing format has already
    /// made small: gz, bz2, xz, zstd, lz4, zip, 7z, rar, GIF, AVIF, HEIC,
    /// JPEG XL, JPEG 2000, Matroska, WavPack, Monkey's Audio, WOFF….
    Compressed,
    /// Anything else: text, programs, documents.
    Other,
}

impl SourceKind {
    /// A short lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Png => "png",
            SourceKind::Apng => "apng",
            SourceKind::Jpeg => "jpeg",
            SourceKind::WebpLossless => "webp-lossless",
            SourceKind::WebpLossy => "webp-lossy",
            SourceKind::WebpAnimated => "webp-animated",
            SourceKind::Tiff => "tiff",
            SourceKind::Bmp => "bmp",
            SourceKind::Pnm => "pnm",
            SourceKind::Qoi => "qoi",
            SourceKind::Wav => "wav",
            SourceKind::Aiff => "aiff",
            SourceKind::Wave64 => "w64",
            SourceKind::Flac => "flac",
            SourceKind::Mp3 => "mp3",
            SourceKind::Ogg => "ogg",
            SourceKind::Mp4 => "mp4",
            SourceKind::Aac => "aac",
            SourceKind::Rcd => "rcd",
            SourceKind::Compressed => "compressed",
            SourceKind::Other => "bytes",
        }
    }

    /// Whether the bytes are most likely small already, so that a general
    /// compressor would work for nothing.
    pub fn is_compressed(self) -> bool {
        use SourceKind::*;
        matches!(
            self,
            Png | Apng
                | Jpeg
                | WebpLossless
                | WebpLossy
                | WebpAnimated
                | Qoi
                | Flac
                | Mp3
                | Ogg
                | Mp4
                | Aac
                | Rcd
                | Compressed
        )
    }
}

/// Marks that decide on their own: (offset, bytes, kind).
const MAGIC: &[(usize, &[u8], SourceKind)] = &[
    (0, b"\xF7\x72\x1A", SourceKind::Rcd),
    (0, b"\xFF\xD8\xFF", SourceKind::Jpeg),
    (0, b"II\x2A\0", SourceKind::Tiff),
    (0, b"MM\0\x2A", SourceKind::Tiff),
    (0, b"II\x2B\0\x08\0\0\0", SourceKind::Tiff),
    (0, b"MM\0\x2B\0\x08\0\0", SourceKind::Tiff),
    (0, b"fLaC", SourceKind::Flac),
    (0, b"OggS", SourceKind::Ogg),
    (0, WAVE64_RIFF, SourceKind::Wave64),
    (0, b"\x1F\x8B\x08", SourceKind::Compressed),
    (0, b"\xFD7zXZ\0", SourceKind::Compressed),
    (0, b"\x28\xB5\x2F\xFD", SourceKind::Compressed),
    (0, b"\x04\x22\x4D\x18", SourceKind::Compressed),
    (0, b"PK\x03\x04", SourceKind::Compressed),
    (0, b"PK\x05\x06", SourceKind::Compressed),
    (0, b"7z\xBC\xAF\x27\x1C", SourceKind::Compressed),
    (0, b"Rar!\x1A\x07", SourceKind::Compressed),
    (0, b"LZIP\x01", SourceKind::Compressed),
    (0, b"GIF87a", SourceKind::Compressed),
    (0, b"GIF89a", SourceKind::Compressed),
    (0, b"wvpk", SourceKind::Compressed),
    (0, b"MAC \x96\x0F", SourceKind::Compressed),
    (0, b"wOFF", SourceKind::Compressed),
    (0, b"wOF2", SourceKind::Compressed),
    (0, b"\x1A\x45\xDF\xA3", SourceKind::Compressed),
    (0, b"\xFF\x0A", SourceKind::Compressed),
    (0, b"\0\0\0\x0CJXL \r\n\x87\n", SourceKind::Compressed),
    (0, b"\0\0\0\x0CjP  \r\n\x87\n", SourceKind::Compressed),
    (0, b"\xFF\x4F\xFF\x51", SourceKind::Compressed),
];

/// GUID of the outermost chunk of a Wave64 file.
const WAVE64_RIFF: &[u8] = b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00";

/// Tells what kind of file begins with `head` (its first [`PROBE_BYTES`], or
/// all of it if it is shorter).
pub fn probe(head: &[u8]) -> SourceKind {
    for &(at, magic, kind) in MAGIC {
        if head.get(at..).is_some_and(|bytes| bytes.starts_with(magic)) {
            return kind;
        }
    }
    if head.starts_with(crate::png::SIGNATURE) {
        return png_kind(head);
    }
    if let (Some(form), Some(kind)) = (head.get(..4), head.get(8..12)) {
        match (form, kind) {
            (b"RIFF", b"WEBP") => return webp_kind(head),
            (b"RIFF" | b"RF64" | b"BW64", b"WAVE") => return SourceKind::Wav,
            (b"FORM", b"AIFF" | b"AIFC") => return SourceKind::Aiff,
            _ => {}
        }
    }
    if head.get(4..8) == Some(b"ftyp") {
        return match head.get(8..12) {
            Some(b"avif" | b"avis" | b"heic" | b"heix" | b"mif1" | b"msf1") => {
                SourceKind::Compressed
            }
            _ => SourceKind::Mp4,
        };
    }
    if head.starts_with(b"BZh")
        && matches!(head.get(3), Some(b'1'..=b'9'))
        && matches!(
            head.get(4..10),
            Some(b"1AY&SY" | b"\x17\x72\x45\x38\x50\x90")
        )
    {
        return SourceKind::Compressed;
    }
    if is_qoi(head) {
        return SourceKind::Qoi;
    }
    if is_bmp(head) {
        return SourceKind::Bmp;
    }
    if is_pnm(head) {
        return SourceKind::Pnm;
    }
    mpeg_kind(head).unwrap_or(SourceKind::Other)
}

/// An animated PNG has an `acTL` chunk before its first `IDAT`.
fn png_kind(head: &[u8]) -> SourceKind {
    let mut at = crate::png::SIGNATURE.len();
    while let Some(header) = head.get(at..at.saturating_add(8)) {
        match &header[4..8] {
            b"acTL" => return SourceKind::Apng,
            b"IDAT" | b"IEND" => break,
            _ => {}
        }
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        at = at.saturating_add(12).saturating_add(length as usize);
    }
    SourceKind::Png
}

fn webp_kind(head: &[u8]) -> SourceKind {
    let mut at = 12usize;
    while let Some(header) = head.get(at..at.saturating_add(8)) {
        match &header[..4] {
            b"VP8L" => return SourceKind::WebpLossless,
            b"VP8 " | b"ALPH" => return SourceKind::WebpLossy,
            b"ANIM" | b"ANMF" => return SourceKind::WebpAnimated,
            b"VP8X" if head.get(at + 8).is_some_and(|flags| flags & 2 != 0) => {
                return SourceKind::WebpAnimated;
            }
            _ => {}
        }
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        at = at.saturating_add(8).saturating_add(length + (length & 1));
    }
    SourceKind::WebpLossy
}

fn is_qoi(head: &[u8]) -> bool {
    head.starts_with(b"qoif")
        && matches!(head.get(12), Some(3 | 4))
        && matches!(head.get(13), Some(0 | 1))
}

fn is_bmp(head: &[u8]) -> bool {
    head.starts_with(b"BM")
        && head.get(14..18).is_some_and(|size| {
            matches!(
                u32::from_le_bytes([size[0], size[1], size[2], size[3]]),
                12 | 40 | 52 | 56 | 64 | 108 | 124
            )
        })
}

/// `P1`…`P6` followed by white space or a comment and then a number, or `P7`
/// and a line end. Prose that begins with "P3 " does not go on with a number.
fn is_pnm(head: &[u8]) -> bool {
    match head {
        [b'P', b'7', b'\n', rest @ ..] => {
            rest.starts_with(b"#")
                || rest.starts_with(b"WIDTH")
                || rest.starts_with(b"HEIGHT")
                || rest.starts_with(b"DEPTH")
                || rest.starts_with(b"MAXVAL")
                || rest.starts_with(b"TUPLTYPE")
        }
        [b'P', b'1'..=b'6', next, rest @ ..] if next.is_ascii_whitespace() || *next == b'#' => {
            let mut in_comment = *next == b'#';
            for &byte in rest {
                match byte {
                    b'\n' | b'\r' => in_comment = false,
                    _ if in_comment => {}
                    b'#' => in_comment = true,
                    b'0'..=b'9' => return true,
                    _ if byte.is_ascii_whitespace() => {}
                    _ => return false,
                }
            }
            false
        }
        _ => false,
    }
}

/// MP3 and ADTS AAC: an ID3v2 tag, or two frame headers in a row (one, if the
/// bytes end before the second).
fn mpeg_kind(head: &[u8]) -> Option<SourceKind> {
    if head.starts_with(b"ID3") && head.len() > 10 {
        let size = head[6..10]
            .iter()
            .fold(0usize, |size, &byte| size << 7 | usize::from(byte & 0x7F));
        let behind = head.get(size.saturating_add(10)..).unwrap_or(&[]);
        return Some(if behind.starts_with(b"fLaC") {
            SourceKind::Flac
        } else {
            SourceKind::Mp3
        });
    }
    type FrameLength = fn(&[u8]) -> Option<usize>;
    let kinds: [(FrameLength, SourceKind); 2] = [
        (mp3_frame_bytes, SourceKind::Mp3),
        (adts_frame_bytes, SourceKind::Aac),
    ];
    for (frame_bytes, kind) in kinds {
        let Some(length) = frame_bytes(head) else {
            continue;
        };
        match head.get(length..) {
            Some(next) if next.len() >= 7 => {
                if frame_bytes(next).is_some() {
                    return Some(kind);
                }
            }
            _ => return Some(kind),
        }
    }
    None
}

/// Length of the MPEG layer III frame that begins here.
fn mp3_frame_bytes(bytes: &[u8]) -> Option<usize> {
    const KBPS_V1: [usize; 16] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0,
    ];
    const KBPS_V2: [usize; 16] = [
        0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0,
    ];
    const RATE_V1: [usize; 3] = [44_100, 48_000, 32_000];
    let &[0xFF, b1, b2, _, ..] = bytes else {
        return None;
    };
    let version = b1 >> 3 & 3; // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    if b1 & 0xE6 != 0xE2 || version == 1 {
        return None;
    }
    let rate = *RATE_V1.get(usize::from(b2 >> 2 & 3))?;
    let index = usize::from(b2 >> 4);
    let (kbps, rate, factor) = match version {
        3 => (KBPS_V1[index], rate, 144_000),
        2 => (KBPS_V2[index], rate / 2, 72_000),
        _ => (KBPS_V2[index], rate / 4, 72_000),
    };
    if kbps == 0 {
        return None;
    }
    Some(factor * kbps / rate + usize::from(b2 >> 1 & 1))
}

/// Length of the ADTS frame that begins here.
fn adts_frame_bytes(bytes: &[u8]) -> Option<usize> {
    let &[0xFF, b1, b2, b3, b4, b5, _, ..] = bytes else {
        return None;
    };
    if b1 & 0xF6 != 0xF0 || b2 >> 2 & 15 > 12 {
        return None;
    }
    let length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
    (length >= 7).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_apart() {
        let table: &[(&[u8], SourceKind)] = &[
            (b"", SourceKind::Other),
            (b"\x89PNG\r\n\x1a\n", SourceKind::Png),
            (b"\xFF\xD8\xFF\xE0\0\x10JFIF", SourceKind::Jpeg),
            (b"RIFF\x24\0\0\0WAVEfmt ", SourceKind::Wav),
            (b"RF64\xFF\xFF\xFF\xFFWAVEds64", SourceKind::Wav),
            (b"BW64\xFF\xFF\xFF\xFFWAVEds64", SourceKind::Wav),
            (b"RIFF\x24\0\0\0AVI LIST", SourceKind::Other),
            (b"RIFF\x24\0\0\0WEBPVP8L\x10\0\0\0", SourceKind::WebpLossless),
            (b"RIFF\x24\0\0\0WEBPVP8 \x10\0\0\0", SourceKind::WebpLossy),
            (
                b"RIFF\x24\0\0\0WEBPVP8X\x0A\0\0\0\x02\0\0\0\0\0\0\0\0\0",
                SourceKind::WebpAnimated,
            ),
            (
                b"RIFF\x24\0\0\0WEBPVP8X\x0A\0\0\0\x20\0\0\0\0\0\0\0\0\0ICCP\x03\0\0\0abc\0VP8L\x10\0\0\0",
                SourceKind::WebpLossless,
            ),
            (b"FORM\0\0\0\0AIFFCOMM", SourceKind::Aiff),
            (b"fLaC\0\0\0\x22", SourceKind::Flac),
            (b"OggS\0\x02", SourceKind::Ogg),
            (b"\0\0\0\x20ftypM4A \0\0\0\0", SourceKind::Mp4),
            (b"\0\0\0\x20ftypavif\0\0\0\0", SourceKind::Compressed),
            (b"\xF7\x72\x1A\x01", SourceKind::Rcd),
            (b"\x1F\x8B\x08\0", SourceKind::Compressed),
            (b"PK\x03\x04", SourceKind::Compressed),
            (b"BZh91AY&SY", SourceKind::Compressed),
            (b"BZhang said", SourceKind::Other),
            (b"ID3\x04\0\0\0\0\0\0\xFF\xFB\x90\x64", SourceKind::Mp3),
            (b"ID3\x04\0\0\0\0\0\0fLaC", SourceKind::Flac),
            (b"ID3 is a tag", SourceKind::Mp3),
            (b"\xFF\xFB\x90\x64", SourceKind::Mp3),
            (b"\xFF\xF1\x50\x80\x02\x1F\xFC", SourceKind::Aac),
            (b"\xFF\xFEH\0e\0l\0l\0o\0", SourceKind::Other),
            (b"P6\n# made by hand\n3 2\n255\n", SourceKind::Pnm),
            (b"P7\nWIDTH 3\n", SourceKind::Pnm),
            (b"P3 is a good programmer", SourceKind::Other),
            (b"II\x2A\0\x08\0\0\0", SourceKind::Tiff),
            (b"MM\0\x2A\0\0\0\x08", SourceKind::Tiff),
            (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", SourceKind::Bmp),
            (b"BMW makes cars and motorcycles", SourceKind::Other),
            (b"qoif\0\0\0\x01\0\0\0\x01\x04\0", SourceKind::Qoi),
            (b"fn main() {}", SourceKind::Other),
        ];
        for (head, kind) in table {
            assert_eq!(probe(head), *kind, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn an_animation_is_seen_only_before_idat() {
        let chunk = |name: &[u8], length: usize| {
            let mut bytes = (length as u32).to_be_bytes().to_vec();
            bytes.extend_from_slice(name);
            bytes.resize(bytes.len() + length + 4, 0);
            bytes
        };
        let still = [
            crate::png::SIGNATURE,
            &chunk(b"IHDR", 13),
            &chunk(b"IDAT", 2),
            &chunk(b"acTL", 8),
        ]
        .concat();
        let moving = [
            crate::png::SIGNATURE,
            &chunk(b"IHDR", 13),
            &chunk(b"acTL", 8),
            &chunk(b"IDAT", 2),
        ]
        .concat();
        assert_eq!(probe(&still), SourceKind::Png);
        assert_eq!(probe(&moving), SourceKind::Apng);
    }

    #[test]
    fn two_mp3_frames_are_wanted_if_there_is_room() {
        let mut frame = vec![0u8; 417];
        frame[..4].copy_from_slice(b"\xFF\xFB\x90\x64");
        let twice = [frame.clone(), frame.clone()].concat();
        assert_eq!(probe(&twice), SourceKind::Mp3);
        frame.resize(1000, 7);
        assert_eq!(probe(&frame), SourceKind::Other);
    }
}
