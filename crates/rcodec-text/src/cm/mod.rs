//! The context-mixing model: predicts the next bit from everything that is
//! known, and learns from the bit that came.
//!
//! ```text
//! bytes so far ─ Tracker ─ contexts ─ Table ─ Slot ─ bit history ─ map ─┐
//!              └ MatchModel ───────────────────────────────────────────┤
//!                                    p1 ◀─ Apm ◀─ second ◀─ mixers ◀─ Inputs
//! ```
//!
//! The structure is that of the PAQ family (Mahoney, "Adaptive weighing of
//! context models for lossless data compression", 2005, and its successors
//! lpaq and paq8): a byte is eight binary decisions; for each, every context
//! gives a prediction in the logistic domain, and a gated mixer trained online
//! combines them. Code, tables and parameters are our own. All arithmetic is
//! integer.

pub(crate) mod class;
pub(crate) mod contexts;
pub(crate) mod matching;
pub(crate) mod state;
pub(crate) mod table;

use class::Class;
use contexts::{Kind, Tracker};
use matching::MatchModel;
use rcodec_core::{Budget, Reservation, Result};
use rcodec_entropy::logistic::{Apm, Inputs, Mixer, stretch};
use rcodec_entropy::{AdaptiveBit, BitCoder, BitModel, CountedBit};
use state::STATES;
use crate::prior::Prior;
use std::sync::Arc;
use table::{Place, Slot, Table, prior_place};

pub(crate) use table::LINE_BYTES;

/// The first contexts of a class: orders, and how many of them have seen
/// something says how well known the situation is.
const RANKED: usize = 5;
/// Weight sets chosen by different selectors.
pub(crate) const MIXERS: usize = 6;
/// Match models.
const MATCHES: usize = 2;
/// Shortest matches of the match models, in bytes.
pub(crate) const MIN_MATCHES: [usize; MATCHES] = [5, 12];

/// A history's probability for each state of slots of each origin.
pub(crate) type StateMap = [CountedBit<1023>; 512];

/// Something that codes byte after byte.
pub(crate) trait ByteModel {
    /// Codes the byte that follows `history` (an encoder gives `byte`, a
    /// decoder anything) and returns it.
    fn code<C: BitCoder>(&mut self, coder: &mut C, byte: u8) -> Result<u8>;

    /// Takes note of the last byte of `history`, which was coded just before.
    fn advance(&mut self, history: &[u8]);
}

/// The model with `C` contexts and `N` inputs of the mixer.
pub(crate) struct Model<const C: usize, const N: usize> {
    kinds: [Kind; C],
    tracker: Tracker,
    table: Table,
    prior: Option<Arc<Prior>>,
    /// Line (upper half) and check of each context for this byte.
    hashes: [u32; C],
    places: [Place; C],
    slots: [Slot; C],
    state_maps: Box<[StateMap; C]>,
    matches: [MatchModel; MATCHES],
    /// [`stretch`] of the middle of each of 4096 steps.
    stretch: Box<[i16; 4096]>,
    order0: Box<[AdaptiveBit<5>; 256]>,
    inputs: Inputs<N>,
    mixers: [Mixer<N>; MIXERS],
    hidden: Inputs<8>,
    second: [Mixer<8>; 2],
    apms: [Apm; 3],
    /// Bits of this byte after a leading one.
    partial: u32,
    /// How many they are.
    bits_known: u32,
    _reservation: Reservation,
}

impl<const C: usize, const N: usize> Model<C, N> {
    /// A model that knows nothing, or what a prior knows.
    pub(crate) fn new(
        class: &Class<C>,
        table_bits: u32,
        prior: Option<&Arc<Prior>>,
        budget: &Budget,
    ) -> Result<Self> {
        let mut model = Self::unprimed(class, table_bits, budget)?;
        if let Some(prior) = prior {
            prior.prime(class, &mut model)?;
            model.prior = Some(Arc::clone(prior));
            model.look_up_contexts(0);
        }
        Ok(model)
    }

    /// A model that knows nothing.
    fn unprimed(class: &Class<C>, table_bits: u32, budget: &Budget) -> Result<Self> {
        const { assert!(N >= C + MATCHES * 2 + 2) }
        let reservation = budget.reserve(Self::fixed_bytes())?;
        let mut state_map = [CountedBit::default(); 512];
        for (state, map) in state_map.iter_mut().enumerate() {
            let guess = STATES.guess_q16[state % 256];
            *map = CountedBit::with_p1_q16(u32::from(guess), 0);
        }
        let rate = class.first_rate;
        let mixer = |sets: usize| Mixer::new(sets, class.first_weight_q16, rate);
        let heads_bits = (table_bits + 1).clamp(10, 20);
        let mut model = Model {
            kinds: class.contexts,
            tracker: Tracker::new(),
            table: Table::new(table_bits, budget)?,
            prior: None,
            hashes: [0; C],
            places: [Place::default(); C],
            slots: [Slot::default(); C],
            state_maps: Box::new([state_map; C]),
            matches: [
                MatchModel::new(MIN_MATCHES[0], heads_bits, budget)?,
                MatchModel::new(MIN_MATCHES[1], heads_bits, budget)?,
            ],
            stretch: Box::new(std::array::from_fn(|i| stretch(16 * i as u32 + 8) as i16)),
            order0: Box::new([AdaptiveBit::default(); 256]),
            inputs: Inputs::new(),
            mixers: [
                mixer(MIXER_SETS[0]),
                mixer(MIXER_SETS[1]),
                mixer(MIXER_SETS[2]),
                mixer(MIXER_SETS[3]),
                mixer(MIXER_SETS[4]),
                mixer(MIXER_SETS[5]),
            ],
            hidden: Inputs::new(),
            second: [
                Mixer::new(256, 65536 / MIXERS as i32, class.second_rate),
                Mixer::new(2048, 65536 / MIXERS as i32, class.second_rate),
            ],
            apms: [
                Apm::new(1024, 255),
                Apm::new(1 << 16, 255),
                Apm::new(1 << 16, 255),
            ],
            partial: 1,
            bits_known: 0,
            _reservation: reservation,
        };
        model.look_up_contexts(0);
        Ok(model)
    }

    /// Memory that does not depend on the size of the table, about.
    pub(crate) fn fixed_bytes() -> u64 {
        let sets: usize = MIXER_SETS.iter().sum();
        let apms = (1024 + (2 << 16)) * 33 * 4;
        (sets * (N * 4 + 4) + apms + C * 512 * 4 + 2304 * 40 + (256 << 10)) as u64
    }

    /// Computes the hashes of all contexts and fetches their first slots.
    fn look_up_contexts(&mut self, end: usize) {
        let expected = expected(&self.matches);
        for (i, hash) in self.hashes.iter_mut().enumerate() {
            let context = self.tracker.context(self.kinds[i], end, expected);
            *hash = salted(context, self.kinds[i]);
        }
        self.touch_lines(1);
        self.claim_slots();
    }

    /// The line of a context for a half of the byte. Those of second halves
    /// lie near that of the first, and two halves that differ in the last bit
    /// share one, so that it is known one bit early.
    #[inline(always)]
    fn line(hash: u32, partial: u32) -> u32 {
        hash.wrapping_mul(0x2c1b_3c6d) >> 8 ^ (partial >> 1 & 15)
    }

    /// Asks the cache for the lines of all contexts, side by side, before
    /// [`claim_slots`](Self::claim_slots) needs one after the other.
    #[inline(always)]
    fn touch_lines(&self, partial: u32) {
        let checks = self.hashes.iter().fold(0, |checks, &hash| {
            checks ^ self.table.touch(Self::line(hash, partial))
        });
        std::hint::black_box(checks);
    }

    /// Fetches the slots of all contexts for this half of the byte.
    #[inline(always)]
    fn claim_slots(&mut self) {
        let check_salt = self.partial.wrapping_mul(0x9e5b) as u16;
        for i in 0..C {
            let hash = self.hashes[i];
            let check = (hash as u16).wrapping_add(check_salt) | 1;
            let line = Self::line(hash, self.partial);
            let (place, found) = self.table.claim(line, check);
            self.places[i] = place;
            self.slots[i] = match found {
                Some(slot) => slot,
                None => self.prior_slot(hash),
            };
        }
    }

    /// What the prior, if there is one, knows of a context.
    #[inline(always)]
    fn prior_slot(&self, hash: u32) -> Slot {
        let prior = self.prior.as_ref();
        let found = prior.and_then(|prior| prior.slots.find(prior_place(hash, self.partial)));
        found.unwrap_or_default()
    }

    /// Forgets the content, but not what was learned about predicting: for
    /// training a prior's weights.
    pub(crate) fn forget_content(&mut self) {
        self.tracker = Tracker::new();
        self.table.clear();
        self.matches.iter_mut().for_each(MatchModel::forget);
        self.partial = 1;
        self.bits_known = 0;
        self.look_up_contexts(0);
    }

    fn store_slots(&mut self) {
        for i in 0..C {
            self.table.store(self.places[i], self.slots[i]);
        }
    }

    /// Number of the current bit's history in a slot.
    #[inline(always)]
    fn node(&self) -> usize {
        let bits = self.bits_known & 3;
        (self.partial & ((1 << bits) - 1) | 1 << bits) as usize & 15
    }

    /// The probability of a one, of 65536.
    #[inline(always)]
    fn predict(&mut self) -> u32 {
        let node = self.node();
        let (partial, bits_known) = (self.partial, self.bits_known);
        let mut known = 0;
        let x = self.inputs.values_mut();
        let contexts = self.slots.iter().zip(self.state_maps.iter());
        for (i, ((slot, map), x)) in contexts.zip(x.iter_mut()).enumerate() {
            let state = slot.0[node];
            let p_q16 = map[slot.map_index(node)].p1_q16();
            *x = self.stretch[(p_q16 >> 4) as usize & 4095];
            if i < RANKED {
                known += usize::from(state != 0);
            }
        }
        let mut longest = 0;
        for (k, model) in self.matches.iter().enumerate() {
            let (pair, class) = model.predict(partial, bits_known);
            x[C + 2 * k] = pair[0] as i16;
            x[C + 2 * k + 1] = pair[1] as i16;
            longest = longest.max(class);
        }
        let rest = C + 2 * MATCHES;
        x[rest] = stretch(self.order0[partial as usize & 255].p1_q16()) as i16;
        x[rest + 1] = 256;
        self.mix(known, longest)
    }

    /// Mixes the inputs and refines the result.
    #[inline(always)]
    fn mix(&mut self, known: usize, longest: usize) -> u32 {
        let (partial, bits_known) = (self.partial as usize, self.bits_known as usize);
        let c1 = self.tracker.byte(1) as usize;
        let c2 = self.tracker.byte(2) as usize;
        let match_class = longest.div_ceil(4);
        let selectors = [
            (match_class * 8 + known) * 8 + bits_known,
            partial | self.tracker.above_agrees(partial, bits_known) << 8,
            c1 << 3 | bits_known,
            self.tracker.classes() & 255 | (bits_known / 2) << 8,
            self.tracker.place(),
            c2,
        ];
        for (k, selector) in selectors.into_iter().enumerate() {
            self.hidden.values_mut()[k] = self.mixers[k].mix(&self.inputs, selector) as i16;
        }
        let a = self.second[0].mix(&self.hidden, partial);
        let b = self.second[1].mix(&self.hidden, (match_class * 8 + known) * 8 + bits_known);
        let x_q8 = (a + b) >> 1;
        let p_q16 = rcodec_entropy::logistic::squash(x_q8);
        let refined = [
            self.apms[0].refine(x_q8, partial | match_class.min(3) << 8),
            self.apms[1].refine(x_q8, partial | c1 << 8),
            self.apms[2].refine(x_q8, self.tracker.order3_slot(partial as u32)),
        ];
        (2 * p_q16 + refined[0] + 2 * refined[1] + 3 * refined[2] + 4) >> 3
    }

    /// Learns the bit that came.
    #[inline(always)]
    fn update(&mut self, bit: bool) {
        let node = self.node();
        let (partial, bits_known) = (self.partial, self.bits_known);
        for second in &mut self.second {
            second.update(&self.hidden, bit);
        }
        for mixer in &mut self.mixers {
            mixer.update(&self.inputs, bit);
        }
        for apm in &mut self.apms {
            apm.update(bit);
        }
        for i in 0..C {
            let slot = &mut self.slots[i];
            let state = usize::from(slot.0[node]);
            self.state_maps[i][slot.map_index(node)].update(bit);
            slot.0[node] = STATES.next[state][usize::from(bit)];
        }
        for model in &mut self.matches {
            model.update(partial, bits_known, bit);
        }
        self.order0[partial as usize & 255].update(bit);
        self.partial = partial << 1 | u32::from(bit);
        self.bits_known += 1;
        match self.bits_known {
            3 => self.touch_lines(self.partial << 1),
            4 | 8 => self.finish_half(),
            _ => {}
        }
    }

    /// Puts the slots back, and fetches those of the second half.
    fn finish_half(&mut self) {
        self.store_slots();
        if self.bits_known == 4 {
            self.claim_slots();
        }
    }
}

/// What the longest match foretells: the byte and 256, and the class of its
/// length; zeros if there is none.
pub(crate) fn expected(matches: &[MatchModel]) -> (u32, u32) {
    let longest = matches.iter().rev().find_map(|model| {
        let byte = model.expected_byte()?;
        Some((u32::from(byte) | 256, model.class() as u32))
    });
    longest.unwrap_or((0, 0))
}

/// What a model has learned that does not belong to one content.
pub(crate) struct Learned<'m, const C: usize, const N: usize> {
    pub(crate) state_maps: &'m mut [StateMap; C],
    pub(crate) trusts: [&'m mut [CountedBit<1023>]; MATCHES],
    pub(crate) order0: &'m mut [AdaptiveBit<5>; 256],
    pub(crate) mixers: &'m mut [Mixer<N>; MIXERS],
    pub(crate) second: &'m mut [Mixer<8>; 2],
    pub(crate) apms: &'m mut [Apm; 3],
}

impl<const C: usize, const N: usize> Model<C, N> {
    /// All that was learned, for a prior to take or to give.
    pub(crate) fn learned(&mut self) -> Learned<'_, C, N> {
        Learned {
            state_maps: &mut self.state_maps,
            trusts: self.matches.each_mut().map(|m| &mut m.trust_mut()[..]),
            order0: &mut self.order0,
            mixers: &mut self.mixers,
            second: &mut self.second,
            apms: &mut self.apms,
        }
    }
}

/// The hash of a context, of that kind's own.
#[inline(always)]
pub(crate) fn salted(context: u32, kind: Kind) -> u32 {
    let salted = context
        .wrapping_add(kind.number())
        .wrapping_mul(0x9e37_79b1);
    salted ^ salted >> 15
}

/// Numbers of weight sets of the mixers.
const MIXER_SETS: [usize; MIXERS] = [9 * 64, 768, 2048, 1024, 256, 256];

impl<const C: usize, const N: usize> ByteModel for Model<C, N> {
    fn code<K: BitCoder>(&mut self, coder: &mut K, byte: u8) -> Result<u8> {
        self.partial = 1;
        self.bits_known = 0;
        for i in (0..8).rev() {
            let p1_q16 = self.predict();
            let bit = coder.code_bit(byte >> i & 1 != 0, p1_q16)?;
            self.update(bit);
        }
        Ok(self.partial as u8)
    }

    fn advance(&mut self, history: &[u8]) {
        self.partial = 1;
        self.bits_known = 0;
        self.tracker.advance(history);
        for model in &mut self.matches {
            model.advance(history, self.tracker.last16());
        }
        self.look_up_contexts(history.len());
    }
}
