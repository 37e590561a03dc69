//! Pictures of few colours: whole pixels become indices into a palette, which
//! are coded by context mixing over exact neighbours.
//!
//! An index is first compared with a guess (the symbol that followed the same
//! surroundings last time); if that fails, its bits follow, most significant
//! first. Every decision mixes counters of hashed contexts: the nearest 1 to
//! 24 neighbours, and runs of rows and columns.

use crate::lossless::plane::Planes;
use crate::lossless::values::ValueMap;
use rcodec_core::{Error, Result};
use rcodec_entropy::logistic::{Apm, Inputs, LearningRate, MixerStack, StackParameters, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};
use std::collections::HashMap;

/// The most colours of a palette.
pub(crate) const MAX_COLOURS: usize = 256;

/// Upper bound of the memory of the models, beside the samples.
pub(crate) const TABLE_BYTES: u64 = (4 << SLOT_BITS) * CONTEXTS as u64 + (4 << 20);

/// A pixel: its ranks in the channels' value maps.
type Colour = [u16; 4];

/// The colours of the planes by brightness, if there are few enough.
fn find_colours(planes: &Planes) -> Option<Vec<Colour>> {
    let mut found = HashMap::new();
    let mut last = None;
    for at in 0..planes.pixels() {
        let colour = colour_at(planes, at);
        if last != Some(colour) {
            found.insert(colour, ());
            if found.len() > MAX_COLOURS {
                return None;
            }
            last = Some(colour);
        }
    }
    let mut colours: Vec<Colour> = found.into_keys().collect();
    colours.sort_unstable_by_key(|c| (c.iter().map(|&v| u32::from(v)).sum::<u32>(), *c));
    Some(colours)
}

fn colour_at(planes: &Planes, at: usize) -> Colour {
    let mut colour = [0; 4];
    for (slot, plane) in colour.iter_mut().zip(&planes.channels) {
        *slot = plane[at];
    }
    colour
}

/// Codes planes of few colours. `None` if there are too many; then nothing has
/// been coded.
///
/// # Errors
/// Those of `coder`.
pub(crate) fn encode<C: BitCoder>(
    coder: &mut C,
    planes: &Planes,
    maps: &[ValueMap],
) -> Result<Option<()>> {
    let Some(colours) = find_colours(planes) else {
        return Ok(None);
    };
    let index: HashMap<Colour, u8> = (0..=255).zip(&colours).map(|(i, &c)| (c, i)).collect();
    let symbols = (0..planes.pixels()).map(|at| index[&colour_at(planes, at)]);
    let mut symbols: Vec<u8> = symbols.collect();
    let colours = code_colours(coder, &colours, maps)?;
    code_symbols(coder, &mut symbols, planes.width, colours.len())?;
    Ok(Some(()))
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// Those of `coder`.
pub(crate) fn decode<C: BitCoder>(
    coder: &mut C,
    planes: &mut Planes,
    maps: &[ValueMap],
) -> Result<()> {
    let colours = code_colours(coder, &[], maps)?;
    let mut symbols = vec![0; planes.pixels()];
    code_symbols(coder, &mut symbols, planes.width, colours.len())?;
    for (channel, plane) in planes.channels.iter_mut().enumerate() {
        for (slot, &symbol) in plane.iter_mut().zip(&symbols) {
            *slot = colours.get(usize::from(symbol)).map_or(0, |c| c[channel]);
        }
    }
    Ok(())
}

/// Codes the palette: its size, then every colour's ranks.
fn code_colours<C: BitCoder>(
    coder: &mut C,
    colours: &[Colour],
    maps: &[ValueMap],
) -> Result<Vec<Colour>> {
    let count = coder.code_raw(colours.len().saturating_sub(1) as u32, 8)? as usize + 1;
    let mut coded = Vec::new();
    for i in 0..count {
        let given = colours.get(i).copied().unwrap_or_default();
        let mut colour = [0; 4];
        for ((slot, value), map) in colour.iter_mut().zip(given).zip(maps) {
            let bits = 16 - map.max_rank().leading_zeros();
            *slot = coder.code_raw(u32::from(value), bits)? as u16;
            if *slot > map.max_rank() {
                return Err(Error::malformed(
                    coder.position(),
                    "a palette colour is not among the channel's values",
                ));
            }
        }
        coded.push(colour);
    }
    Ok(coded)
}

/// Contexts of every decision.
const CONTEXTS: usize = 13;
const INPUTS: usize = 24;
/// Slots of one context's table: 2 to this.
const SLOT_BITS: u32 = 18;

/// Neighbours by distance: dx, dy.
const NEAR: [(isize, isize); 24] = [
    (-1, 0),
    (0, -1),
    (-1, -1),
    (1, -1),
    (-2, 0),
    (0, -2),
    (-2, -1),
    (2, -1),
    (-1, -2),
    (1, -2),
    (-3, 0),
    (0, -3),
    (-2, -2),
    (2, -2),
    (-3, -1),
    (3, -1),
    (-1, -3),
    (1, -3),
    (-4, 0),
    (-4, -1),
    (4, -1),
    (-3, -2),
    (3, -2),
    (5, -1),
];

/// How many of [`NEAR`] make a context.
const PREFIXES: [usize; 9] = [1, 2, 3, 4, 6, 8, 11, 16, 24];

/// Columns and rows of border.
const BORDER: usize = 5;
const BORDER_ROWS: usize = 3;

/// Symbols with a border, and the models.
struct SymbolCoder {
    bits: u32,
    stride: usize,
    padded: Vec<u8>,
    offsets: [usize; 24],
    counters: Vec<CountedBit<255>>,
    guesses: Vec<(u32, u8)>,
    mixer: MixerStack<INPUTS, 2>,
    inputs: Inputs<INPUTS>,
    apm: Apm,
    hashes: [u32; CONTEXTS],
}

fn code_symbols<C: BitCoder>(
    coder: &mut C,
    symbols: &mut [u8],
    width: usize,
    colours: usize,
) -> Result<()> {
    if colours < 2 {
        return Ok(());
    }
    let rows = symbols.len() / width;
    let mut state = SymbolCoder::new(width, rows, colours);
    for (y, row) in symbols.chunks_exact_mut(width).enumerate() {
        for (x, slot) in row.iter_mut().enumerate() {
            let at = (y + BORDER_ROWS) * state.stride + BORDER + x;
            let symbol = state.code(coder, at, *slot)?;
            if usize::from(symbol) >= colours {
                return Err(Error::malformed(
                    coder.position(),
                    "an index beyond the palette",
                ));
            }
            state.padded[at] = symbol;
            *slot = symbol;
        }
    }
    Ok(())
}

impl SymbolCoder {
    fn new(width: usize, rows: usize, colours: usize) -> Self {
        let stride = width + 2 * BORDER;
        let offsets = NEAR.map(|(dx, dy)| (-dy * stride as isize - dx) as usize);
        let parameters = StackParameters {
            first_weight_q16: 20_000,
            first_rate: LearningRate::falling(1000, 120, 6),
            second_rate: LearningRate::falling(300, 40, 8),
        };
        SymbolCoder {
            bits: (colours - 1).ilog2() + 1,
            stride,
            padded: vec![0; stride * (rows + BORDER_ROWS)],
            offsets,
            counters: vec![Default::default(); CONTEXTS << SLOT_BITS],
            guesses: vec![(0, 0); 1 << 17],
            mixer: MixerStack::new([10 * 64, 10 * 256], 10, parameters),
            inputs: Inputs::new(),
            apm: Apm::new(10 * 1024, 255),
            hashes: [0; CONTEXTS],
        }
    }

    /// Codes the symbol at `at`.
    fn code<C: BitCoder>(&mut self, coder: &mut C, at: usize, symbol: u8) -> Result<u8> {
        let near = self.offsets.map(|offset| self.padded[at - offset]);
        self.hash(&near);
        let equal = pattern(&near);
        if self.bits == 1 {
            return Ok(u8::from(self.bit(
                coder,
                symbol != 0,
                1,
                1,
                &near,
                equal,
            )?));
        }
        let key = self.hashes[5];
        let place = (key >> 15) as usize;
        let (check, stored) = self.guesses[place];
        let known = check == key;
        let guess = if known { stored } else { near[0] };
        let equal = equal | usize::from(known) << 5;
        let seed = 0x100 | u32::from(guess) << 16;
        let symbol = if self.bit(coder, symbol == guess, seed, 0, &near, equal)? {
            guess
        } else {
            let mut prefix = 1u32;
            for shift in (0..self.bits).rev() {
                let bit = symbol >> shift & 1 != 0;
                let level = (self.bits - shift) as usize;
                let bit = self.bit(coder, bit, prefix, level, &near, equal)?;
                prefix = prefix << 1 | u32::from(bit);
            }
            (prefix - (1 << self.bits)) as u8
        };
        self.guesses[place] = (key, symbol);
        Ok(symbol)
    }

    /// Hashes the contexts of a symbol.
    fn hash(&mut self, near: &[u8; 24]) {
        let mut hash = 0u32;
        let mut taken = 0;
        for (slot, &count) in self.hashes.iter_mut().zip(&PREFIXES) {
            for &symbol in &near[taken..count] {
                hash = mix(hash, u32::from(symbol));
            }
            taken = count;
            *slot = finish(hash);
        }
        let pick =
            |list: &[usize]| finish(list.iter().fold(77, |h, &i| mix(h, u32::from(near[i]))));
        self.hashes[9] = pick(&[0, 4, 10, 18]);
        self.hashes[10] = pick(&[1, 5, 11]);
        self.hashes[11] = pick(&[1, 3, 7, 9]);
        self.hashes[12] = pick(&[0, 1, 4, 5]);
    }

    /// Codes one decision.
    fn bit<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        seed: u32,
        level: usize,
        near: &[u8; 24],
        equal: usize,
    ) -> Result<bool> {
        let salt = seed.wrapping_mul(0x9e37_79b1);
        let mut slots = [0usize; CONTEXTS];
        for (k, (slot, &hash)) in slots.iter_mut().zip(&self.hashes).enumerate() {
            let hashed = (hash ^ salt).wrapping_mul(0x2c1b_3c6d);
            *slot = k << SLOT_BITS | (hashed >> (32 - SLOT_BITS)) as usize;
        }
        let mut confident = 0;
        for (k, &slot) in slots.iter().enumerate() {
            let counter = &self.counters[slot];
            let odds = stretch(counter.p1_q16());
            self.inputs.set(k, odds);
            confident += usize::from(k < 9 && counter.count() > 0);
            if (3..9).contains(&k) && counter.count() < 2 {
                // Seen once or never: the fact alone says little.
                self.inputs.set(k, odds / 2);
            }
        }
        // The longest contexts once more, trusted by how often they held.
        for (i, k) in [4, 5, 6, 7, 8].into_iter().enumerate() {
            let counter = &self.counters[slots[k]];
            let count = counter.count().min(15) as i32;
            let lean = counter.p1_q16() as i32 - 32_768;
            self.inputs.set(CONTEXTS + i, (lean * count) >> 9);
        }
        self.inputs.set(INPUTS - 1, 256);
        let odds = self.mixer.mix(
            &self.inputs,
            [
                level * 64 + equal % 64,
                level * 256 + confident * 16 + usize::from(near[0] & 15),
            ],
            level,
        );
        let p_mixed = self.mixer.p1_q16();
        let context = level * 1024 + ((self.hashes[2] ^ salt) >> 22) as usize;
        let p_refined = self.apm.refine(odds, context);
        let bit = coder.code_bit(bit, (p_mixed + p_refined) >> 1)?;
        self.mixer.update(&self.inputs, bit);
        self.apm.update(bit);
        for &slot in &slots {
            self.counters[slot].update(bit);
        }
        Ok(bit)
    }
}

/// Which of the nearest neighbours are the same.
fn pattern(near: &[u8; 24]) -> usize {
    let [w, n, nw, ne, ww, nn] = [near[0], near[1], near[2], near[3], near[4], near[5]];
    usize::from(w == n)
        | usize::from(n == ne) << 1
        | usize::from(w == nw) << 2
        | usize::from(w == ww) << 3
        | usize::from(n == nn) << 4
}

fn mix(hash: u32, value: u32) -> u32 {
    (hash ^ value.wrapping_add(1).wrapping_mul(0x85eb_ca77))
        .rotate_left(13)
        .wrapping_mul(0x9e37_79b1)
}

fn finish(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 15).wrapping_mul(0xc2b2_ae3d);
    hash ^ hash >> 13
}
