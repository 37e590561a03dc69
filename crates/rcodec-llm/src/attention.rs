//! Keys and values of earlier tokens, and attention over them.
//!
//! ```text
//! key   ≈ k_q[i] · 2^(e-20)   11 bits and a power of two for each token and head
//! value ≈ v_q[i] · 2^(e-20)   12 bits, the same
//! score = Σ q·k / sqrt(width), in Q16 of powers of two: softmax by 2^-x
//! ```

use crate::fixed::{LOG2E_Q50, Powers, exponent_for, largest, scaled, scaled_wide};
use rcodec_core::{Budget, Reservation, Result};
use rcodec_fixed::Work;

const KEY_BITS: i32 = 11;
const VALUE_BITS: i32 = 12;
const QUERY_BITS: i32 = 12;
/// The widest head.
pub(crate) const MOST_WIDTH: usize = 256;
/// Values that are summed in 32 bits: of 12 bits, by weights of 14.
const CHUNK: usize = 16;

/// Keys and values by layer, head and slot.
pub(crate) struct Cache {
    heads: usize,
    width: usize,
    slots: usize,
    keys: Vec<i16>,
    values: Vec<i16>,
    /// Of keys and values.
    exponents: Vec<[i8; 2]>,
    _reservation: Reservation,
}

impl Cache {
    /// Room for so many tokens.
    pub(crate) fn new(
        (layers, heads, width): (usize, usize, usize),
        slots: usize,
        budget: &Budget,
    ) -> Result<Cache> {
        let vectors = layers * heads * slots;
        let reservation = budget.reserve((vectors * (4 * width + 2)) as u64)?;
        Ok(Cache {
            heads,
            width,
            slots,
            keys: vec![0; vectors * width],
            values: vec![0; vectors * width],
            exponents: vec![[0; 2]; vectors],
            _reservation: reservation,
        })
    }

    fn first(&self, layer: usize, head: usize) -> usize {
        (layer * self.heads + head) * self.slots
    }

    /// Stores a key in Q20.
    pub(crate) fn set_key(&mut self, layer: usize, head: usize, slot: usize, key: &[i64]) {
        let at = self.first(layer, head) + slot;
        let to = &mut self.keys[at * self.width..][..self.width];
        self.exponents[at][0] = rounded(key, KEY_BITS, to);
    }

    /// Stores a value in Q20.
    pub(crate) fn set_value(&mut self, layer: usize, head: usize, slot: usize, value: &[i64]) {
        let at = self.first(layer, head) + slot;
        let to = &mut self.values[at * self.width..][..self.width];
        self.exponents[at][1] = rounded(value, VALUE_BITS, to);
    }

    /// What a query makes of the tokens in some slots.
    pub(crate) fn attend<'a>(
        &'a self,
        (layer, head): (usize, usize),
        slots: &'a [u32],
        query: &'a [i64],
        out: &'a mut [i64],
    ) -> Attend<'a> {
        let first = self.first(layer, head);
        let range = first * self.width..(first + self.slots) * self.width;
        Attend {
            keys: &self.keys[range.clone()],
            values: &self.values[range],
            exponents: &self.exponents[first..first + self.slots],
            slots,
            query,
            out,
        }
    }
}

/// Rounds to so many bits; gives the exponent.
fn rounded(x: &[i64], bits: i32, to: &mut [i16]) -> i8 {
    let exponent = exponent_for(largest(x), bits);
    for (to, &x) in to.iter_mut().zip(x) {
        *to = scaled(x, -exponent) as i16;
    }
    exponent as i8
}

/// The attention of one head.
pub(crate) struct Attend<'a> {
    keys: &'a [i16],
    values: &'a [i16],
    exponents: &'a [[i8; 2]],
    slots: &'a [u32],
    query: &'a [i64],
    out: &'a mut [i64],
}

impl Attend<'_> {
    /// Scores in Q16, in powers of two.
    #[inline(always)]
    fn scores(&self) -> Vec<i64> {
        let width = self.query.len();
        let query_exponent = exponent_for(largest(self.query), QUERY_BITS);
        let mut query = [0i16; MOST_WIDTH];
        for (to, &x) in query.iter_mut().zip(self.query) {
            // One less than the power, so that no sum of 256 products
            // overflows.
            *to = scaled(x, -query_exponent).clamp(-4095, 4095) as i16;
        }
        let root_q20 = ((width as u128) << 40).isqrt() as i64;
        let factor_q30 = LOG2E_Q50 / root_q20;
        let score = |&slot: &u32| {
            let slot = slot as usize;
            let key = &self.keys[slot * width..][..width];
            let products = key.iter().zip(&query);
            let dot = products.fold(0i32, |sum, (&k, &q)| {
                sum.wrapping_add(i32::from(k) * i32::from(q))
            });
            let exponent = query_exponent + i32::from(self.exponents[slot][0]);
            // Q40 and Q30 to Q16.
            scaled(i64::from(dot) * factor_q30, exponent - 54)
        };
        self.slots.iter().map(score).collect()
    }
}

impl Work for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let powers = Powers::new();
        let scores = self.scores();
        let most = scores.iter().copied().max().unwrap_or(0);
        let shares_q30: Vec<i64> = scores
            .iter()
            .map(|&score| powers.negative_q30(most - score))
            .collect();
        let sum_q30: i64 = shares_q30.iter().sum();
        // Shares with the exponents of the values, relative to the least; what
        // is 2^20 above it is enough.
        let exponent = |&slot: &u32| i32::from(self.exponents[slot as usize][1]);
        let least = self.slots.iter().map(exponent).min().unwrap_or(0);
        let parts = self.slots.iter().zip(&shares_q30);
        let weights: Vec<i64> = parts
            .map(|(slot, &share)| share << (exponent(slot) - least).min(30))
            .collect();
        let shift = exponent_for(largest(&weights), 14);
        let width = self.out.len();
        let mut sums = [0i64; MOST_WIDTH];
        for (slots, weights) in self.slots.chunks(CHUNK).zip(weights.chunks(CHUNK)) {
            let mut partial = [0i32; MOST_WIDTH];
            for (&slot, &weight) in slots.iter().zip(weights) {
                let weight = scaled(weight, -shift) as i32;
                let value = &self.values[slot as usize * width..][..width];
                for (sum, &v) in partial.iter_mut().zip(value) {
                    *sum += weight * i32::from(v);
                }
            }
            for (sum, &part) in sums.iter_mut().zip(&partial[..width]) {
                *sum += i64::from(part);
            }
        }
        let inverse = i128::from((1i64 << 62) / sum_q30.max(1));
        for (out, &sum) in self.out.iter_mut().zip(&sums) {
            *out = scaled_wide(i128::from(sum) * inverse, shift + least - 62);
        }
    }
}
