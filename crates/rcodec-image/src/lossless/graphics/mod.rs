//! Graphics: whole pixels are symbols, coded by what followed the same
//! surroundings before.
//!
//! ```text
//! rows and spans that repeat ─┐
//! symbols seen in contexts ───┼▶ candidates ─▶ which one? ─┬▶ symbol
//! longest repetition ─────────┘        none of them ─▶ its channels
//! ```
//!
//! A symbol is an index into a palette where there are at most 256 colours,
//! otherwise the packed channels of the pixel. Two colours have a coder of
//! their own.

mod bilevel;
mod candidates;
mod escape;
mod experts;
mod packing;
mod palette;
mod recall;
mod surroundings;

use crate::lossless::ablation::{Part, on};
use crate::lossless::plane::Planes;
use crate::lossless::references::{References, column};
use crate::lossless::values::ValueMap;
use crate::progress::GroupProgress;
use bilevel::BilevelRows;
use candidates::Candidates;
use escape::Escape;
use packing::Packing;
use palette::{Colour, code_colours, colour_at, find_colours};
use rcodec_core::{Error, Result};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};
use std::collections::HashMap;
use surroundings::SymbolField;

/// Symbols of a span that is coded at once.
const SPAN: usize = 16;

/// Upper bound of the memory that models take, beside the samples.
pub(crate) const TABLE_BYTES: u64 = 72 << 20;

/// The order in which channels are packed: alpha and green first.
fn coding_order(channels: usize) -> &'static [usize] {
    match channels {
        1 => &[0],
        2 => &[1, 0],
        3 => &[1, 0, 2],
        _ => &[3, 1, 0, 2],
    }
}

/// How pixels and symbols belong together.
enum Alphabet {
    /// Indices into these colours.
    Palette(Vec<Colour>, HashMap<Colour, u32>),
    /// Packed channels, in coding order.
    Packed(Packing, &'static [usize]),
}

impl Alphabet {
    /// Codes what symbols mean; `None` if pixels do not fit into symbols.
    fn code<C: BitCoder>(
        coder: &mut C,
        planes: &Planes,
        maps: &[ValueMap],
    ) -> Result<Option<Self>> {
        let colours = if C::DECODES || !on(Part::Palette) {
            None
        } else {
            find_colours(planes)
        };
        let order = coding_order(maps.len());
        let bits = order
            .iter()
            .map(|&c| 16 - maps[c].max_rank().leading_zeros());
        let packing = Packing::new(&bits.collect::<Vec<_>>());
        if colours.is_none() && packing.is_none() && !C::DECODES {
            return Ok(None);
        }
        if coder.code_raw(u32::from(colours.is_some()), 1)? != 0 {
            let colours = code_colours(coder, &colours.unwrap_or_default(), maps)?;
            let indices = colours.iter().copied().zip(0..).collect();
            return Ok(Some(Alphabet::Palette(colours, indices)));
        }
        Ok(packing.map(|packing| Alphabet::Packed(packing, order)))
    }

    /// The packing of symbols.
    fn packing(&self) -> Packing {
        match self {
            Alphabet::Palette(colours, _) => Packing::index(colours.len()),
            Alphabet::Packed(packing, _) => packing.clone(),
        }
    }

    /// The symbols of the pixels from `from` on.
    fn read(&self, planes: &Planes, from: usize, symbols: &mut [u32]) {
        for (x, slot) in symbols.iter_mut().enumerate() {
            *slot = match self {
                Alphabet::Palette(_, indices) => indices[&colour_at(planes, from + x)],
                Alphabet::Packed(packing, order) => {
                    let fields = packing.fields.iter().zip(*order);
                    fields.fold(0, |symbol, (&(_, shift), &c)| {
                        symbol | (u64::from(planes.channels[c][from + x]) << shift) as u32
                    })
                }
            };
        }
    }

    /// Writes the symbols back as pixels; whether all of them exist.
    fn write(&self, planes: &mut Planes, maps: &[ValueMap], from: usize, symbols: &[u32]) -> bool {
        for (x, &symbol) in symbols.iter().enumerate() {
            match self {
                Alphabet::Palette(colours, _) => {
                    let Some(colour) = colours.get(symbol as usize) else {
                        return false;
                    };
                    for (plane, &value) in planes.channels.iter_mut().zip(colour) {
                        plane[from + x] = value;
                    }
                }
                Alphabet::Packed(packing, order) => {
                    for (position, &c) in order.iter().enumerate() {
                        let value = packing.get(symbol, position) as u16;
                        if value > maps[c].max_rank() {
                            return false;
                        }
                        planes.channels[c][from + x] = value;
                    }
                }
            }
        }
        true
    }
}

/// Codes the planes, or decodes into them, with what their rows refer to if
/// they do; `None` if pixels do not fit into a
/// symbol, which is only known of 16-bit pictures of many colours.
///
/// # Errors
/// Those of `coder` and `progress`; [`Error::Malformed`] for colours that do
/// not exist.
pub(crate) fn code<C: BitCoder>(
    coder: &mut C,
    planes: &mut Planes,
    maps: &[ValueMap],
    references: Option<&References>,
    progress: &mut GroupProgress<'_>,
) -> Result<Option<()>> {
    let Some(alphabet) = Alphabet::code(coder, planes, maps)? else {
        return Ok(None);
    };
    let mut symbols = vec![0u32; planes.width];
    let mut rows = match &alphabet {
        Alphabet::Palette(colours, _) if colours.len() == 1 => RowCoder::Constant,
        Alphabet::Palette(colours, _) if colours.len() == 2 && references.is_none() => {
            RowCoder::Bilevel(Box::new(BilevelRows::new(planes.width)))
        }
        _ => RowCoder::Many(Box::new(Rows::new(
            planes.width,
            planes.rows,
            alphabet.packing(),
            references.is_some(),
        ))),
    };
    let mut displacements = references.iter().flat_map(|references| references.by_row());
    for y in 0..planes.rows {
        let from = y * planes.width;
        if !C::DECODES {
            alphabet.read(planes, from, &mut symbols);
        }
        match &mut rows {
            RowCoder::Constant => symbols.fill(0),
            RowCoder::Bilevel(rows) => rows.row(coder, &mut symbols)?,
            RowCoder::Many(rows) => {
                rows.row(coder, y, &mut symbols, displacements.next())?;
            }
        }
        if C::DECODES && !alphabet.write(planes, maps, from, &symbols) {
            return Err(Error::malformed(
                coder.position(),
                "a colour that does not exist",
            ));
        }
        progress.add((planes.width * maps.len()) as u64)?;
    }
    Ok(Some(()))
}

/// What codes the rows of symbols.
enum RowCoder {
    Constant,
    Bilevel(Box<BilevelRows>),
    Many(Box<Rows>),
}

/// Codes rows of more than two symbols.
struct Rows {
    field: SymbolField,
    candidates: Candidates,
    escape: Escape,
    same_row: [CountedBit<30>; 4],
    row_history: usize,
    same_span: [CountedBit<60>; 8],
    referred_row: [CountedBit<30>; 4],
    referred_history: usize,
    referred_span: [CountedBit<60>; 16],
}

/// Where the symbols of a row refer to.
#[derive(Clone, Copy)]
struct RowReference {
    /// The place of the first column of the row that is referred to.
    row: usize,
    /// How many columns to the right.
    right: isize,
    /// The last column.
    last: usize,
}

impl RowReference {
    /// The place that column `x` refers to.
    #[inline(always)]
    fn place(self, x: usize) -> usize {
        self.row + column(x, self.right, self.last)
    }
}

impl Rows {
    fn new(width: usize, rows: usize, packing: Packing, refer: bool) -> Self {
        let most = if packing.fields.len() > 1 { 5 } else { 3 };
        Rows {
            field: SymbolField::new(width, rows),
            candidates: Candidates::new(width * rows, most, refer),
            escape: Escape::new(packing, width * rows),
            same_row: [CountedBit::with_p1_q16(8000, 2); 4],
            row_history: 0,
            same_span: Default::default(),
            referred_row: [CountedBit::with_p1_q16(8000, 2); 4],
            referred_history: 0,
            referred_span: Default::default(),
        }
    }

    /// Codes row `y`, which may refer to one so far above and to the right.
    fn row<C: BitCoder>(
        &mut self,
        coder: &mut C,
        y: usize,
        row: &mut [u32],
        displacement: Option<(usize, isize)>,
    ) -> Result<()> {
        self.field.begin_row(y);
        let reference = displacement.filter(|&(back, _)| back > 0);
        let reference = reference.map(|(back, right)| RowReference {
            row: self.field.row(y - back),
            right,
            last: row.len() - 1,
        });
        if !self.copied(coder, y, row, reference)? {
            self.pixels(coder, self.field.row(y), row, reference)?;
        }
        self.field.end_row(y);
        Ok(())
    }

    /// Whether a row is a copy of another, which is then made.
    fn copied<C: BitCoder>(
        &mut self,
        coder: &mut C,
        y: usize,
        row: &mut [u32],
        reference: Option<RowReference>,
    ) -> Result<bool> {
        let at = self.field.row(y);
        if let Some(reference) = reference {
            let symbols = &self.field.symbols;
            let same = (0..row.len()).all(|x| row[x] == symbols[reference.place(x)]);
            let same = self.referred_row[self.referred_history].code(coder, same)?;
            self.referred_history = (self.referred_history << 1 | usize::from(same)) & 3;
            if same {
                for (x, slot) in row.iter_mut().enumerate() {
                    *slot = self.field.symbols[reference.place(x)];
                }
                self.field.symbols[at..at + row.len()].copy_from_slice(row);
                self.candidates.skip();
                return Ok(true);
            }
        }
        if !on(Part::SameRows) {
            return Ok(false);
        }
        let above = at - self.field.stride;
        let same = row[..] == self.field.symbols[above..above + row.len()];
        let same = self.same_row[self.row_history].code(coder, same)?;
        self.row_history = (self.row_history << 1 | usize::from(same)) & 3;
        if same {
            row.copy_from_slice(&self.field.symbols[above..above + row.len()]);
            self.field.symbols[at..at + row.len()].copy_from_slice(row);
            self.candidates.skip();
        }
        Ok(same)
    }

    /// Codes a row that is not another one.
    fn pixels<C: BitCoder>(
        &mut self,
        coder: &mut C,
        at: usize,
        row: &mut [u32],
        reference: Option<RowReference>,
    ) -> Result<()> {
        let mut x = 0;
        let mut history = 0;
        let mut referred_history = 0;
        while x < row.len() {
            if x % SPAN == 0 && x + SPAN <= row.len() {
                if let Some(reference) = reference
                    && self.referred(coder, at, row, x, reference, &mut referred_history)?
                {
                    x += SPAN;
                    continue;
                }
                if on(Part::FlatSpans) && self.is_flat(at + x) {
                    let flat = self.field.symbols[at + x - 1];
                    let same = row[x..x + SPAN].iter().all(|&s| s == flat);
                    let same = self.same_span[history].code(coder, same)?;
                    history = (history << 1 | usize::from(!same)) & 7;
                    if same {
                        row[x..x + SPAN].fill(flat);
                        self.field.symbols[at + x..at + x + SPAN].fill(flat);
                        self.candidates.skip();
                        x += SPAN;
                        continue;
                    }
                }
            }
            let place = reference.map(|reference| reference.place(x));
            let symbol = self.symbol(coder, at + x, place, row[x])?;
            row[x] = symbol;
            self.field.symbols[at + x] = symbol;
            x += 1;
        }
        Ok(())
    }

    /// Whether a span is what it refers to, which is then copied.
    fn referred<C: BitCoder>(
        &mut self,
        coder: &mut C,
        at: usize,
        row: &mut [u32],
        x: usize,
        reference: RowReference,
        history: &mut usize,
    ) -> Result<bool> {
        let symbols = &self.field.symbols;
        let stride = self.field.stride;
        let place = |i: usize| reference.place(x + i);
        let above = (0..SPAN).all(|i| symbols[at + x + i - stride] == symbols[place(i) - stride]);
        let same = (0..SPAN).all(|i| row[x + i] == symbols[place(i)]);
        let context = *history << 1 | usize::from(above);
        let same = self.referred_span[context].code(coder, same)?;
        *history = (*history << 1 | usize::from(!same)) & 7;
        if same {
            for i in 0..SPAN {
                row[x + i] = self.field.symbols[place(i)];
                self.field.symbols[at + x + i] = row[x + i];
            }
            self.candidates.skip();
        }
        Ok(same)
    }

    /// Whether everything around a span is of one colour.
    fn is_flat(&self, at: usize) -> bool {
        let symbols = &self.field.symbols;
        let flat = symbols[at - 1];
        let above = at - self.field.stride;
        symbols[at - 2] == flat
            && symbols[above - 1..above + SPAN + 1]
                .iter()
                .all(|&s| s == flat)
    }

    #[inline]
    fn symbol<C: BitCoder>(
        &mut self,
        coder: &mut C,
        at: usize,
        reference: Option<usize>,
        symbol: u32,
    ) -> Result<u32> {
        let situation = self.candidates.look(&self.field, at, reference);
        let coded = self.candidates.code(coder, &situation, symbol)?;
        let symbol = match coded {
            Some(symbol) => symbol,
            None => self.escape.code(
                coder,
                &situation.near,
                &[situation.hashes[4], situation.hashes[6]],
                situation.reference.map(|referred| referred.symbol),
                symbol,
            )?,
        };
        self.candidates.learn(&situation, at, symbol);
        Ok(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::PictureProgress;
    use rcodec_core::NoProgress;
    use rcodec_entropy::{RangeBitDecoder, RangeBitEncoder};

    /// A picture with flat areas, repeated tiles and noise in `levels` values.
    fn draw(width: usize, rows: usize, bits: u8, channels: usize, levels: u32) -> Planes {
        let mut planes = Planes::zeroed(width, rows, bits, channels);
        let top = (1u32 << bits) - 1;
        let random = |a: usize, b: usize| {
            let h = (a as u32 ^ 77).wrapping_mul(0x9e37_79b1) ^ b as u32;
            (h ^ h >> 15).wrapping_mul(0x85eb_ca77) >> 9
        };
        for (c, plane) in planes.channels.iter_mut().enumerate() {
            for (at, slot) in plane.iter_mut().enumerate() {
                let (x, y) = (at % width, at / width);
                let level = match (x / 16 + y / 16) % 3 {
                    0 => 1,
                    1 => random(x % 7, y % 5 + 9 * c),
                    _ => random(at, c),
                };
                *slot = (level % levels * (top / levels).max(1)).min(top) as u16;
            }
        }
        planes
    }

    fn maps_of(planes: &Planes) -> Vec<ValueMap> {
        let channels = planes.channels.iter();
        channels
            .map(|plane| ValueMap::of(plane, planes.bits))
            .collect()
    }

    #[test]
    fn every_alphabet_comes_back() {
        let picture = PictureProgress::new(&NoProgress, 0);
        for (bits, channels, levels) in [
            (1, 1, 2),
            (2, 1, 3),
            (8, 1, 200),
            (8, 3, 2),
            (8, 3, 6),
            (8, 3, 250),
            (8, 4, 250),
            (10, 3, 1000),
            (16, 1, 60_000),
            (16, 2, 60_000),
            (16, 4, 60_000),
        ] {
            let mut planes = draw(53, 40, bits, channels, levels);
            let maps = maps_of(&planes);
            for (plane, map) in planes.channels.iter_mut().zip(&maps) {
                map.to_ranks(plane);
            }
            let mut encoder = RangeBitEncoder::new();
            let mut given = planes.clone();
            let mut progress = picture.group(0);
            let done = code(&mut encoder, &mut given, &maps, None, &mut progress).unwrap();
            let fits = u32::from(bits) * channels as u32 <= 32;
            assert_eq!(done.is_some(), fits, "{bits} bits, {channels} channels");
            if !fits {
                continue;
            }
            let bytes = encoder.finish();
            let mut decoder = RangeBitDecoder::new(&bytes);
            let mut found = Planes::zeroed(53, 40, bits, channels);
            let mut progress = picture.group(0);
            code(&mut decoder, &mut found, &maps, None, &mut progress).unwrap();
            decoder.finish().unwrap();
            assert!(found == planes, "{bits} bits, {channels} channels");
        }
    }

    #[test]
    fn any_bytes_end() {
        let picture = PictureProgress::new(&NoProgress, 0);
        let planes = draw(31, 20, 8, 3, 250);
        let maps = maps_of(&planes);
        for seed in 0..40u32 {
            let bytes: Vec<u8> = (0..200u32)
                .map(|i| ((i ^ seed).wrapping_mul(0x9e37_79b1).rotate_left(seed) >> 11) as u8)
                .collect();
            let mut decoder = RangeBitDecoder::new(&bytes);
            let mut found = Planes::zeroed(31, 20, 8, 3);
            let _ = code(&mut decoder, &mut found, &maps, None, &mut picture.group(0));
            for (plane, map) in found.channels.iter().zip(&maps) {
                assert!(plane.iter().all(|&rank| rank <= map.max_rank()));
            }
        }
    }
}
