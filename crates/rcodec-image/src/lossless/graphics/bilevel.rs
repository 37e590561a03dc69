//! Pictures of two colours: every pixel is one decision, mixed from templates
//! of several sizes (as in JBIG2, but all of them at once).

use super::surroundings::{finish, mix};
use rcodec_core::Result;
use rcodec_entropy::logistic::{Apm, Inputs, LearningRate, MixerStack, StackParameters, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};

/// Templates.
const CONTEXTS: usize = 14;
const INPUTS: usize = 24;

/// Rows above that are looked at.
const ROWS: usize = 6;

/// Columns of border on each side.
const BORDER: usize = 16;

/// Inputs that say again what the largest templates say, by how often they
/// were met.
const SURE: [usize; 6] = [4, 5, 6, 7, 8, 13];

/// Slots of a template's table: 2 to this.
const SLOT_BITS: u32 = 18;

/// The models.
struct Models {
    counters: Vec<CountedBit<512>>,
    inputs: Inputs<INPUTS>,
    mixer: MixerStack<INPUTS, 3>,
    apm_small: Apm,
    apm_edges: Apm,
}

/// The surroundings of a pixel as bits: windows of rows, the nearest pixel of
/// the present row lowest.
struct Windows {
    /// Pixels to the left, the nearest lowest.
    left: u64,
    /// Rows above, from 12 to the left (highest) to 12 to the right (lowest).
    above: [u64; ROWS],
    /// Pixels since the last change to the left.
    run: u32,
}

/// Columns to each side within a window.
const REACH: u32 = 12;

impl Windows {
    /// The pixels of row `dy` above, from `from` to `to` relative to this one.
    #[inline(always)]
    fn row(&self, dy: usize, from: i32, to: i32) -> u32 {
        let shifted = self.above[dy - 1] >> (REACH as i32 - to);
        (shifted & ((1 << (to - from + 1)) - 1)) as u32
    }

    /// The nearest pixels to the left.
    #[inline(always)]
    fn west(&self, count: u32) -> u32 {
        (self.left & ((1 << count) - 1)) as u32
    }

    /// Hashes of all templates.
    #[inline(always)]
    fn hashes(&self) -> ([u32; CONTEXTS], u32) {
        let hash = |k: u32, parts: &[u32]| finish(parts.iter().fold(k, |h, &v| mix(h, v)));
        let t6 = self.west(2) << 4 | self.row(1, -1, 1) << 1 | self.row(2, 0, 0);
        let t10 = self.west(4) << 8 | self.row(1, -2, 2) << 3 | self.row(2, -1, 1);
        let t16 = [self.west(4), self.row(1, -3, 3), self.row(2, -2, 2)];
        let t22 = [
            self.west(5) << 14 | self.row(1, -4, 4) << 5,
            self.row(2, -2, 2) << 3 | self.row(3, -1, 1),
        ];
        let t30 = [
            self.west(6) << 9 | self.row(1, -4, 4),
            self.row(2, -3, 3) << 8 | self.row(3, -2, 2),
            self.row(4, -1, 1),
        ];
        let t42 = [
            self.west(8) << 11 | self.row(1, -5, 5),
            self.row(2, -4, 4) << 9 | self.row(3, -3, 3),
            self.row(4, -2, 2) << 3 | self.row(5, -1, 1),
        ];
        let t60 = [
            self.west(10) << 13 | self.row(1, -6, 6),
            self.row(2, -5, 5) << 11 | self.row(3, -4, 4),
            self.row(4, -3, 3) << 12 | self.row(5, -3, 3) << 5 | self.row(6, -2, 2),
        ];
        let t90 = [
            self.west(12) << 17 | self.row(1, -8, 8),
            self.row(2, -7, 7) << 13 | self.row(3, -6, 6),
            self.row(4, -5, 5) << 20 | self.row(5, -4, 4) << 9 | self.row(6, -4, 4),
        ];
        // Where the edges are: runs, and changes in the row above.
        let up = self.above[0];
        let centre = up >> REACH & 1;
        let flip = if centre == 1 { !up } else { up };
        let right = (flip & ((1 << REACH) - 1)) << (64 - REACH);
        let next = right.leading_zeros().min(REACH);
        let last = (flip >> (REACH + 1) & ((1 << REACH) - 1))
            .trailing_zeros()
            .min(REACH);
        let edges = self.run.min(31) << 9 | next << 5 | last << 1 | centre as u32;
        let count: u32 = (0..4)
            .map(|i| (self.above[i] >> 4 & 0x1_ffff).count_ones())
            .sum();
        let density = count + self.west(12).count_ones();
        let hashes = [
            hash(1, &[t6]),
            hash(2, &[t10]),
            hash(3, &t16),
            hash(4, &t22),
            hash(5, &t30),
            hash(6, &t42),
            hash(7, &t60),
            hash(8, &t90),
            hash(9, &[edges, self.row(2, -2, 2), self.west(1)]),
            hash(10, &[density >> 1, t10]),
            hash(
                11,
                &[
                    self.row(1, -1, 1) << 12 | self.row(2, -1, 1) << 9 | self.row(3, -1, 1) << 6,
                    self.row(4, -1, 1) << 6 | self.row(5, -1, 1) << 3 | self.row(6, -1, 1),
                    self.west(1),
                ],
            ),
            hash(12, &[self.west(12), self.row(1, -1, 1)]),
            hash(13, &[edges, self.west(3)]),
            hash(
                14,
                &[
                    self.row(1, -3, 6) << 5 | self.west(5),
                    self.row(2, -3, 6) << 7 | self.row(3, -2, 4),
                ],
            ),
        ];
        (hashes, t10)
    }
}

impl Models {
    fn new() -> Self {
        let parameters = StackParameters {
            first_weight_q16: 11_000,
            first_rate: LearningRate::falling(900, 50, 9),
            second_rate: LearningRate::falling(300, 30, 9),
        };
        Models {
            counters: vec![Default::default(); CONTEXTS << SLOT_BITS],
            inputs: Inputs::new(),
            mixer: MixerStack::new([4096, 1024, 256], 1, parameters),
            apm_small: Apm::new(4096, 512),
            apm_edges: Apm::new(1 << 12, 512),
        }
    }

    #[inline]
    fn code<C: BitCoder>(&mut self, coder: &mut C, windows: &Windows, bit: bool) -> Result<bool> {
        let (hashes, t10) = windows.hashes();
        let mut slots = [0; CONTEXTS];
        let mut confident = 0;
        for (k, (slot, &hash)) in slots.iter_mut().zip(&hashes).enumerate() {
            *slot = k << SLOT_BITS | (hash >> (32 - SLOT_BITS)) as usize;
            let counter = &self.counters[*slot];
            let odds = stretch(counter.p1_q16());
            let input = match counter.count() {
                0 => 0,
                1 => odds / 2,
                _ => odds,
            };
            confident += usize::from(counter.count() > 3);
            self.inputs.set(k, input);
        }
        for (i, k) in SURE.into_iter().enumerate() {
            let counter = &self.counters[slots[k]];
            let lean = counter.p1_q16() as i32 - 32_768;
            let count = counter.count().min(31) as i32;
            self.inputs.set(CONTEXTS + i, (lean * count) >> 10);
        }
        self.inputs.set(INPUTS - 1, 256);
        let odds = self.mixer.mix(
            &self.inputs,
            [
                t10 as usize & 4095,
                confident << 6 | (windows.run.min(31) << 1) as usize | (windows.left & 1) as usize,
                (hashes[9] >> 24) as usize,
            ],
            0,
        );
        let p_mixed = self.mixer.p1_q16();
        let p_small = self.apm_small.refine(odds, t10 as usize & 4095);
        let p_edges = self.apm_edges.refine(odds, (hashes[4] >> 20) as usize);
        let bit = coder.code_bit(bit, (2 * p_mixed + p_small + p_edges) >> 2)?;
        self.mixer.update(&self.inputs, bit);
        self.apm_small.update(bit);
        self.apm_edges.update(bit);
        for &slot in &slots {
            self.counters[slot].update(bit);
        }
        Ok(bit)
    }
}

/// Codes rows of two symbols.
pub(crate) struct BilevelRows {
    models: Models,
    stride: usize,
    /// Pixels with a border, the last rows only.
    rows: Vec<Vec<u8>>,
    same_row: [CountedBit<30>; 4],
    row_history: usize,
}

impl BilevelRows {
    pub(crate) fn new(width: usize) -> Self {
        let stride = width + 2 * BORDER;
        BilevelRows {
            models: Models::new(),
            stride,
            rows: vec![vec![0; stride]; ROWS + 1],
            same_row: [CountedBit::with_p1_q16(8000, 2); 4],
            row_history: 0,
        }
    }

    /// Codes a row of zeros and ones.
    pub(crate) fn row<C: BitCoder>(&mut self, coder: &mut C, row: &mut [u32]) -> Result<()> {
        let mut here = self.rows.pop().unwrap_or_default();
        let above = &self.rows[0][BORDER..];
        let same = row.iter().zip(above).all(|(&a, &b)| a == u32::from(b));
        let same = self.same_row[self.row_history].code(coder, same)?;
        self.row_history = (self.row_history << 1 | usize::from(same)) & 3;
        here.fill(0);
        if same {
            here.copy_from_slice(&self.rows[0]);
            for (slot, &bit) in row.iter_mut().zip(above) {
                *slot = u32::from(bit);
            }
        } else {
            let mut windows = Windows {
                left: 0,
                above: [0; ROWS],
                run: 0,
            };
            for (window, above) in windows.above.iter_mut().zip(&self.rows) {
                let first = &above[BORDER..BORDER + REACH as usize];
                *window = first.iter().fold(0, |w, &bit| w << 1 | u64::from(bit));
            }
            for (x, slot) in row.iter_mut().enumerate() {
                for (window, above) in windows.above.iter_mut().zip(&self.rows) {
                    let incoming = above[BORDER + x + REACH as usize];
                    *window = *window << 1 | u64::from(incoming);
                }
                let bit = self.models.code(coder, &windows, *slot != 0)?;
                *slot = u32::from(bit);
                here[BORDER + x] = u8::from(bit);
                let same = (windows.left & 1 != 0) == bit;
                windows.run = if same { windows.run + 1 } else { 1 };
                windows.left = windows.left << 1 | u64::from(bit);
            }
        }
        debug_assert_eq!(here.len(), self.stride);
        self.rows.insert(0, here);
        Ok(())
    }
}
