//! A symbol that the surroundings do not suggest, channel by channel and bit
//! by bit: counters in hashed contexts, and numerical predictions as
//! distributions.

use super::experts::{ChannelExperts, Expectation};
use super::packing::Packing;
use super::surroundings::{Near, finish, mix};
use crate::lossless::ablation::{Part, on};
use crate::lossless::logistic::ln_q8;
use rcodec_core::Result;
use rcodec_entropy::logistic::{Apm, Inputs, LearningRate, MixerStack, StackParameters, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};
use rcodec_fixed::Engine;

/// Contexts of every bit.
const CONTEXTS: usize = 14;
const INPUTS: usize = 24;

/// The counters of four bits in one context: a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    /// Upper bits of the hash.
    check: u32,
    /// Index: 1 followed by the bits coded so far, less 1.
    counters: [CountedBit<255>; 15],
}

/// The models of escaped symbols.
pub(crate) struct Escape {
    packing: Packing,
    line_bits: u32,
    lines: Vec<Line>,
    experts: Vec<ChannelExperts>,
    inputs: Inputs<INPUTS>,
    mixer: MixerStack<INPUTS, 3>,
    apm: Apm,
    apm_expert: Apm,
}

impl Escape {
    /// Models for about so many symbols.
    pub(crate) fn new(packing: Packing, symbols: usize) -> Self {
        let parameters = StackParameters {
            first_weight_q16: 13_000,
            first_rate: LearningRate::falling(900, 150, 7),
            second_rate: LearningRate::falling(300, 40, 8),
        };
        let line_bits = (usize::BITS - symbols.leading_zeros()).clamp(8, 15);
        let fresh = Line {
            check: 0,
            counters: [CountedBit::default(); 15],
        };
        let engine = Engine::new();
        Escape {
            experts: (0..packing.fields.len())
                .map(|channel| ChannelExperts::new(&packing, channel, engine))
                .collect(),
            packing,
            line_bits,
            lines: vec![fresh; CONTEXTS << line_bits],
            inputs: Inputs::new(),
            mixer: MixerStack::new([4 * 17 * 16, 4 * 256, 4 * 17 * 32], 4 * 17, parameters),
            apm: Apm::new(4 * 1024, 255),
            apm_expert: Apm::new(4 * 17 * 32, 255),
        }
    }

    /// Codes a symbol.
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        near: &Near,
        longer: &[u32; 2],
        reference: Option<u32>,
        symbol: u32,
    ) -> Result<u32> {
        let mut coded = 0u32;
        let mut error = 0;
        for channel in 0..self.packing.fields.len() {
            let (bits, shift) = self.packing.fields[channel];
            if bits == 0 {
                continue;
            }
            let value = self.packing.get(symbol, channel);
            let expectation = self.experts[channel].predict(&self.packing, near, coded, error);
            let mut hashes = self.contexts(channel, near, longer, coded, error, &expectation);
            if let Some(referred) = reference {
                // In place of a constant, and of the longest.
                let c = channel as u32;
                let w = near[0];
                hashes[10] = finish(mix(mix(15 << 4 | c, coded), referred));
                hashes[13] = finish(mix(mix(mix(16 << 4 | c, coded), referred), w));
            }
            let value = self.value(coder, channel, bits, &hashes, &expectation, value)?;
            self.experts[channel].update(value);
            coded |= (u64::from(value as u32) << shift) as u32;
            error = value - expectation.centre();
        }
        Ok(coded)
    }

    /// Hashed contexts of a channel.
    #[inline]
    fn contexts(
        &self,
        channel: usize,
        near: &Near,
        longer: &[u32; 2],
        coded: u32,
        error: i32,
        expectation: &Expectation,
    ) -> [u32; CONTEXTS] {
        let c = channel as u32;
        let get = |symbol: u32| self.packing.get(symbol, channel);
        let [w, n, nw, ne, ww, nn] = [near[0], near[1], near[2], near[3], near[4], near[5]];
        let (wc, nc, nwc, nec) = (get(w), get(n), get(nw), get(ne));
        let gradient = (wc + nc - nwc).clamp(wc.min(nc), wc.max(nc));
        // What the channel before this one differed from its neighbours by.
        let (from_w, from_n) = if channel == 0 {
            (2 * wc - get(ww), 2 * nc - get(nn))
        } else {
            let before = |s: u32| self.packing.get(s, channel - 1);
            let now = before(coded);
            (wc + now - before(w), nc + now - before(n))
        };
        let hash = |k: u32, values: &[u32]| {
            finish(values.iter().fold(k << 4 | c, |hash, &v| mix(hash, v)))
        };
        let u = |v: i32| v as u32;
        let centre = expectation.centre();
        [
            hash(1, &[coded, w, n]),
            hash(2, &[coded]),
            hash(3, &[coded, n]),
            hash(4, &[coded, w]),
            hash(5, &[u(gradient), u(error.clamp(-20, 20))]),
            hash(6, &[u(from_w), u(from_n >> 2)]),
            hash(7, &[u((wc + nec) >> 1), u(nc >> 2)]),
            hash(8, &[u(wc), u(nc)]),
            hash(9, &[u(centre), u(error.clamp(-4, 4))]),
            hash(10, &[u(from_n), u(from_w >> 2)]),
            hash(11, &[]),
            hash(12, &[coded, w, n, nw, ne]),
            hash(13, &[coded, longer[0]]),
            hash(14, &[coded, longer[1]]),
        ]
    }

    /// Finds the lines of all contexts for the next bits; those that were
    /// another context's begin anew.
    #[inline(always)]
    fn find_lines(&mut self, hashes: &[u32; CONTEXTS], prefix: u32) -> [usize; CONTEXTS] {
        let salt = prefix.wrapping_mul(0x9e37_79b1);
        let mut found = [0; CONTEXTS];
        for (k, (slot, &hash)) in found.iter_mut().zip(hashes).enumerate() {
            let hashed = finish(hash ^ salt);
            let at = k << self.line_bits | (hashed >> (32 - self.line_bits)) as usize;
            let line = &mut self.lines[at];
            let check = hashed << 8 | 1;
            if line.check != check {
                *line = Line {
                    check,
                    counters: [CountedBit::default(); 15],
                };
            }
            *slot = at;
        }
        found
    }

    /// Codes the bits of one channel.
    #[inline]
    fn value<C: BitCoder>(
        &mut self,
        coder: &mut C,
        channel: usize,
        bits: u32,
        hashes: &[u32; CONTEXTS],
        expectation: &Expectation,
        value: i32,
    ) -> Result<i32> {
        let mut low = 0i32;
        let mut lines = [0; CONTEXTS];
        let mut node = 1usize;
        let mut ends = (expectation.tails(0), expectation.tails(1 << bits));
        for shift in (0..bits).rev() {
            if shift + 1 == bits || shift % 4 == 3 {
                lines = self.find_lines(hashes, (1u32 << bits | low as u32) >> (shift + 1));
                node = 1;
            }
            let mut confident = 0;
            for (k, &at) in lines.iter().enumerate() {
                let counter = &self.lines[at].counters[node - 1];
                let odds = stretch(counter.p1_q16());
                confident += usize::from(counter.count() > 2);
                let input = match counter.count() {
                    0 => 0,
                    _ if !on(Part::EscapeContexts) => 0,
                    1 => odds / 2,
                    _ => odds,
                };
                self.inputs.set(k, input);
            }
            let middle = expectation.tails(low + (1 << shift));
            let masses = expectation.halves(&ends, &middle);
            for (e, &(below, above)) in masses.iter().enumerate() {
                // The first two are least squares.
                if e < 2 && !on(Part::EscapeSquares) {
                    continue;
                }
                self.inputs.set(CONTEXTS + e, ln_q8(above) - ln_q8(below));
            }
            self.inputs.set(INPUTS - 1, 256);
            let level = channel * 17 + shift as usize;
            let prefix = (1usize << bits | low as usize) >> (shift + 1);
            let odds = self.mixer.mix(
                &self.inputs,
                [
                    level * 16 + confident,
                    channel << 8 | prefix & 255,
                    level * 32 + expectation.scale(),
                ],
                level,
            );
            let p_mixed = self.mixer.p1_q16();
            let near = channel << 10
                | ((hashes[4] ^ prefix as u32).wrapping_mul(0x9e37_79b1) >> 22) as usize;
            let mut p_near = self.apm.refine(odds, near);
            let mut p_scale = self
                .apm_expert
                .refine(odds, level * 32 + expectation.scale());
            if !on(Part::EscapeMaps) {
                (p_near, p_scale) = (p_mixed, p_mixed);
            }
            let bit = value >> shift & 1 != 0;
            let bit = coder.code_bit(bit, (2 * p_mixed + p_near + p_scale) >> 2)?;
            self.mixer.update(&self.inputs, bit);
            self.apm.update(bit);
            self.apm_expert.update(bit);
            for &at in &lines {
                self.lines[at].counters[node - 1].update(bit);
            }
            node = node << 1 | usize::from(bit);
            if bit {
                low += 1 << shift;
                ends.0 = middle;
            } else {
                ends.1 = middle;
            }
        }
        Ok(low)
    }
}
