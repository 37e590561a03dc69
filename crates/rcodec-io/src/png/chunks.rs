//! The chunks of a PNG file.

use super::SIGNATURE;
use rcodec_core::{ColorType, ImageHeader, PaletteEntry};
use std::ops::Range;

/// The longest run of bytes behind IEND that is kept beside the pixels.
const MAX_TRAILING_BYTES: usize = 1 << 16;

/// One chunk: its type, and where it and its data stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) name: [u8; 4],
    /// Length, type, data and CRC.
    pub(crate) whole: Range<usize>,
    pub(crate) data: Range<usize>,
}

/// Reads the chunk at `at`; its CRC must be right.
pub(crate) fn read_chunk(bytes: &[u8], at: usize) -> Result<Chunk, &'static str> {
    const CUT: &str = "the PNG is cut off";
    let header = bytes.get(at..at.saturating_add(8)).ok_or(CUT)?;
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    if length > i32::MAX as u32 {
        return Err("a PNG chunk is too long");
    }
    let data = at + 8..at + 8 + length as usize;
    let crc = bytes.get(data.end..data.end + 4).ok_or(CUT)?;
    let computed = crc32fast::hash(&bytes[at + 4..data.end]);
    if computed.to_be_bytes() != crc {
        return Err("a PNG chunk is damaged");
    }
    Ok(Chunk {
        name: [header[4], header[5], header[6], header[7]],
        whole: at..data.end + 4,
        data,
    })
}

/// A chunk: its length, type, data and CRC.
pub(crate) fn chunk_bytes(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(data);
    let crc = crc32fast::hash(&bytes[4..]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// What a PNG file consists of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) header: ImageHeader,
    pub(crate) interlaced: bool,
    /// Kept chunks before IDAT.
    pub(crate) before: Vec<u8>,
    /// How many of those stood before PLTE, for indexed pictures.
    pub(crate) palette_place: usize,
    /// Kept chunks behind IDAT.
    pub(crate) behind: Vec<u8>,
    /// Bytes behind IEND.
    pub(crate) trailing: Range<usize>,
    /// What a decoder of the pixels needs: IHDR, PLTE and the IDATs.
    pub(crate) essential: Vec<Range<usize>>,
}

impl Layout {
    /// Walks over all chunks; the pixels are not looked at.
    ///
    /// # Errors
    /// Why the file cannot be represented by its pixels and chunks.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, &'static str> {
        let ihdr = read_chunk(file, SIGNATURE.len())?;
        if &ihdr.name != b"IHDR" || ihdr.data.len() != 13 {
            return Err("the PNG does not begin with IHDR");
        }
        let (mut header, interlaced) = parse_ihdr(&file[ihdr.data.clone()])?;
        let mut at = ihdr.whole.end;
        let mut essential: Vec<Range<usize>> = std::iter::once(0..at).collect();
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        let mut palette: Option<(Chunk, usize)> = None;
        let mut transparency: Option<Transparency> = None;
        let mut seen_data = false;
        let mut kept_before = 0;
        loop {
            let chunk = read_chunk(file, at)?;
            at = chunk.whole.end;
            let data_open = seen_data && behind.is_empty();
            match &chunk.name {
                b"IEND" => break,
                b"IDAT" if !seen_data || data_open => {
                    seen_data = true;
                    match essential.last_mut() {
                        Some(last) if last.end == chunk.whole.start => last.end = at,
                        _ => essential.push(chunk.whole),
                    }
                }
                b"IDAT" => return Err("the PNG's IDAT chunks are not in one run"),
                b"IHDR" => return Err("the PNG has a second IHDR"),
                b"acTL" | b"fcTL" | b"fdAT" => return Err("an animation"),
                b"PLTE" if header.color == ColorType::Indexed => {
                    if seen_data || palette.is_some() {
                        return Err("the PNG's palette is misplaced");
                    }
                    essential.push(chunk.whole.clone());
                    palette = Some((chunk, kept_before));
                }
                _ if seen_data => behind.extend_from_slice(&file[chunk.whole]),
                name => {
                    if name == b"tRNS" && header.color == ColorType::Indexed {
                        let first_behind_palette = palette
                            .as_ref()
                            .is_some_and(|(palette, _)| palette.whole.end == chunk.whole.start);
                        if transparency.is_some() {
                            return Err("the PNG has a second tRNS");
                        }
                        transparency = Some(Transparency {
                            alphas: chunk.data.clone(),
                            kept: before.len()..before.len() + chunk.whole.len(),
                            first_behind_palette,
                        });
                    }
                    kept_before += 1;
                    before.extend_from_slice(&file[chunk.whole]);
                }
            }
        }
        if !seen_data {
            return Err("the PNG has no pixels");
        }
        if file.len() - at > MAX_TRAILING_BYTES {
            return Err("much stands behind the PNG's end");
        }
        let mut palette_place = 0;
        if header.color == ColorType::Indexed {
            let (chunk, place) = palette.ok_or("the PNG has no palette")?;
            palette_place = place;
            header.palette = parse_palette(&file[chunk.data], header.bits)?;
            if let Some(transparency) = transparency {
                transparency.apply(file, &mut header.palette, &mut before);
            }
        }
        Ok(Layout {
            header,
            interlaced,
            before,
            palette_place,
            behind,
            trailing: at..file.len(),
            essential,
        })
    }
}

/// The `tRNS` of an indexed picture.
struct Transparency {
    alphas: Range<usize>,
    /// Where the chunk stands among the kept ones.
    kept: Range<usize>,
    first_behind_palette: bool,
}

impl Transparency {
    /// Moves the alphas into the palette, and drops the chunk if
    /// [`transparency_of`] makes the same one in the same place.
    fn apply(&self, file: &[u8], palette: &mut [PaletteEntry], before: &mut Vec<u8>) {
        let alphas = &file[self.alphas.clone()];
        for (entry, &alpha) in palette.iter_mut().zip(alphas) {
            entry[3] = alpha;
        }
        if self.first_behind_palette && transparency_of(palette) == alphas {
            before.drain(self.kept.clone());
        }
    }
}

/// The data of the shortest `tRNS` chunk that gives a palette its alphas.
pub(crate) fn transparency_of(palette: &[PaletteEntry]) -> Vec<u8> {
    let used = palette.iter().rposition(|entry| entry[3] != 255);
    let count = used.map_or(0, |last| last + 1);
    palette[..count].iter().map(|entry| entry[3]).collect()
}

fn parse_ihdr(data: &[u8]) -> Result<(ImageHeader, bool), &'static str> {
    let be32 = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    let (width, height) = (be32(0), be32(4));
    let allowed = 1..=i32::MAX as u32;
    if !allowed.contains(&width) || !allowed.contains(&height) {
        return Err("the PNG's dimensions make no sense");
    }
    let bits = data[8];
    let color = match (data[9], bits) {
        (0, 1 | 2 | 4 | 8 | 16) => ColorType::Gray,
        (2, 8 | 16) => ColorType::Rgb,
        (3, 1 | 2 | 4 | 8) => ColorType::Indexed,
        (4, 8 | 16) => ColorType::GrayAlpha,
        (6, 8 | 16) => ColorType::Rgba,
        _ => return Err("the PNG's colour type does not exist"),
    };
    if data[10] != 0 || data[11] != 0 || data[12] > 1 {
        return Err("the PNG uses unknown methods");
    }
    let header = ImageHeader {
        width,
        height,
        color,
        bits,
        palette: Vec::new(),
    };
    Ok((header, data[12] == 1))
}

fn parse_palette(data: &[u8], bits: u8) -> Result<Vec<PaletteEntry>, &'static str> {
    if data.is_empty() || !data.len().is_multiple_of(3) || data.len() / 3 > 1 << bits {
        return Err("the PNG's palette has an impossible length");
    }
    Ok(data
        .chunks_exact(3)
        .map(|c| [c[0], c[1], c[2], 255])
        .collect())
}

/// Splits kept chunks.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn split_kept(kept: &[u8]) -> Result<Vec<Chunk>, &'static str> {
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < kept.len() {
        let chunk = read_chunk(kept, at)?;
        at = chunk.whole.end;
        if matches!(&chunk.name, b"IHDR" | b"IDAT" | b"IEND") {
            return Err("a kept PNG chunk is not one to be kept");
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// Drops the kept chunks whose name `keep` does not want. What is not a run of
/// chunks is dropped whole.
pub(crate) fn filter_chunks(kept: &mut Vec<u8>, keep: impl Fn(&[u8; 4]) -> bool) {
    let chunks = split_kept(kept).unwrap_or_default();
    let wanted = chunks.iter().filter(|chunk| keep(&chunk.name));
    *kept = wanted
        .flat_map(|chunk| &kept[chunk.whole.clone()])
        .copied()
        .collect();
}

/// Where PLTE stands among kept chunks unless the file says otherwise: before
/// the first that must follow it.
pub(crate) fn usual_palette_place(kept: &[Chunk]) -> usize {
    kept.iter()
        .position(|chunk| matches!(&chunk.name, b"bKGD" | b"hIST" | b"tRNS"))
        .unwrap_or(kept.len())
}
