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

use crate::lossless::plane::Planes;
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
        let colours = if C::DECODES {
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

/// Codes the planes, or decodes into them; `None` if pixels do not fit into a
/// symbol, which is only known of 16-bit pictures of many colours.
///
/// # Errors
/// Those of `coder` and `progress`; [`Error::Malformed`] for colours that do
/// not exist.
pub(crate) fn code<C: BitCoder>(
    coder: &mut C,
    planes: &mut Planes,
    maps: &[ValueMap],
    progress: &mut GroupProgress<'_>,
) -> Result<Option<()>> {
    let Some(alphabet) = Alphabet::code(coder, planes, maps)? else {
        return Ok(None);
    };
    let mut symbols = vec![0u32; planes.width];
    let mut rows = match &alphabet {
        Alphabet::Palette(colours, _) if colours.len() == 1 => RowCoder::Constant,
        Alphabet::Palette(colours, _) if colours.len() == 2 => {
            RowCoder::Bilevel(Box::new(BilevelRows::new(planes.width)))
        }
        _ => RowCoder::Many(Box::new(Rows::new(
            planes.width,
            planes.rows,
            alphabet.packing(),
        ))),
    };
    for y in 0..planes.rows {
        let from = y * planes.width;
        if !C::DECODES {
            alphabet.read(planes, from, &mut symbols);
        }
        match &mut rows {
            RowCoder::Constant => symbols.fill(0),
            RowCoder::Bilevel(rows) => rows.row(coder, &mut symbols)?,
            RowCoder::Many(rows) => rows.row(coder, y, &mut symbols)?,
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
    same_span: [CountedBit<60>; 16],
}

impl Rows {
    fn new(width: usize, rows: usize, packing: Packing) -> Self {
        let most = if packing.fields.len() > 1 { 5 } else { 3 };
        Rows {
            field: SymbolField::new(width, rows),
            candidates: Candidates::new(width * rows, most),
            escape: Escape::new(packing, width * rows),
            same_row: [CountedBit::with_p1_q16(8000, 2); 4],
            row_history: 0,
            same_span: Default::default(),
        }
    }

    fn row<C: BitCoder>(&mut self, coder: &mut C, y: usize, row: &mut [u32]) -> Result<()> {
        let at = self.field.row(y);
        let above = at - self.field.stride;
        self.field.begin_row(y);
        let same = row[..] == self.field.symbols[above..above + row.len()];
        let same = self.same_row[self.row_history].code(coder, same)?;
        self.row_history = (self.row_history << 1 | usize::from(same)) & 3;
        if same {
            row.copy_from_slice(&self.field.symbols[above..above + row.len()]);
            self.field.symbols[at..at + row.len()].copy_from_slice(row);
            self.candidates.skip();
        } else {
            self.pixels(coder, at, row)?;
        }
        self.field.end_row(y);
        Ok(())
    }

    /// Codes a row that is not the one above.
    fn pixels<C: BitCoder>(&mut self, coder: &mut C, at: usize, row: &mut [u32]) -> Result<()> {
        let mut x = 0;
        let mut history = 0;
        while x < row.len() {
            if x % SPAN == 0 && x + SPAN <= row.len() && self.is_flat(at + x) {
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
            let symbol = self.symbol(coder, at + x, row[x])?;
            row[x] = symbol;
            self.field.symbols[at + x] = symbol;
            x += 1;
        }
        Ok(())
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
    fn symbol<C: BitCoder>(&mut self, coder: &mut C, at: usize, symbol: u32) -> Result<u32> {
        let situation = self.candidates.look(&self.field, at);
        let coded = self.candidates.code(coder, &situation, symbol)?;
        let symbol = match coded {
            Some(symbol) => symbol,
            None => self.escape.code(
                coder,
                &situation.near,
                &[situation.hashes[4], situation.hashes[6]],
                symbol,
            )?,
        };
        self.candidates.learn(&situation, at, symbol);
        Ok(symbol)
    }
}
