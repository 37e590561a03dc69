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

pub(crate) mod advice;
pub(crate) mod apm;
pub(crate) mod class;
pub(crate) mod contexts;
mod direct;
pub(crate) mod matching;
mod refining;
pub(crate) mod state;
pub(crate) mod table;

#[cfg(feature = "ablation")]
use crate::ablation::{WITHOUT, silence};
use crate::prior::Prior;
use advice::{ADVICE_INPUTS, ADVICE_MIXERS, Advice};
use class::Class;
use contexts::{Kind, Tracker};
use direct::{DIRECT, Direct};
use matching::{LENGTH_CLASSES, MatchModel};
use rcodec_core::{Budget, Reservation, Result};
use rcodec_entropy::logistic::{Inputs, Mixer, mix_all, stretch, update_all};
use rcodec_entropy::{AdaptiveBit, BitCoder, BitModel, CountedBit};
pub(crate) use refining::Refiner;
use state::STATES;
use std::sync::Arc;
use table::{Place, Slot, Table, prior_place};

pub(crate) use table::LINE_BYTES;

/// The first contexts of a class: orders, and how many of them have seen
/// something says how well known the situation is.
const RANKED: usize = 5;

/// Models with a table of so many lines are for contents that take seconds: a
/// prior's numbers are not worth their memory then, once they are unpacked.
const MANY_BITS: u32 = 20;

/// A history's probability for each state of slots of each origin.
pub(crate) type StateMap = [CountedBit<1023>; 512];
/// What a run of the same half byte is worth, by its length, the bit and the
/// half.
pub(crate) type RunMap = [CountedBit<1023>; 64];

/// Writes the hashes of all contexts of a class, from what is known and the
/// position; that of [`Kind::Expected`] is to be corrected.
pub(crate) type HashAll<const C: usize> = fn(&Tracker, usize, &mut [u32; C]);

/// Something that codes byte after byte.
pub(crate) trait ByteModel {
    /// Codes the byte that follows `history` (an encoder gives `byte`, a
    /// decoder anything) and returns it.
    fn code<C: BitCoder>(&mut self, coder: &mut C, byte: u8) -> Result<u8>;

    /// Takes note of the last byte of `history`, which was coded just before.
    fn advance(&mut self, history: &[u8]);

    /// Takes what an adviser says of the next byte, if the model listens
    /// ([`Model::listen`]): weights with a sum below 2^31.
    fn advise(&mut self, weights: &[u32; 256]);
}

/// The model of a class with `C` contexts, `K` match models, `N` inputs of the
/// first mixers, `M` of these, and maps of `P` points; if `RUNS`, every context has a second
/// input: what came last, and how often.
pub(crate) struct Model<
    const C: usize,
    const K: usize,
    const N: usize,
    const M: usize,
    const P: usize,
    const RUNS: bool,
> {
    hash_all: HashAll<C>,
    tracker: Tracker,
    table: Table,
    prior: Option<Arc<Prior>>,
    /// Line (upper half) and check of each context for this byte.
    hashes: [u32; C],
    places: [Place; C],
    slots: [Slot; C],
    state_maps: Box<[StateMap; C]>,
    run_maps: Box<[RunMap; C]>,
    matches: [MatchModel; K],
    /// [`stretch`] of the middle of each of 4096 steps.
    stretch: Box<[i16; 4096]>,
    order0: Box<[AdaptiveBit<5>; 256]>,
    /// Only with `RUNS`.
    direct: Option<Direct>,
    inputs: Inputs<N>,
    mixers: [Mixer<N>; M],
    refiner: Refiner<P, RUNS>,
    /// The probability of the last prediction, and how far off it has to be for
    /// the mixers to learn from it; of 65536.
    p1_q16: u32,
    least_error_q16: u32,
    /// What a language model says, if there is one.
    advice: Option<Box<Advice<N>>>,
    /// Bits of this byte after a leading one.
    partial: u32,
    /// How many they are.
    bits_known: u32,
    /// The last bit of the byte before, which has not been learned: that can
    /// wait until the cache has been asked for what comes next.
    pending: Option<bool>,
    _reservation: Reservation,
}

impl<
    const C: usize,
    const K: usize,
    const N: usize,
    const M: usize,
    const P: usize,
    const RUNS: bool,
> Model<C, K, N, M, P, RUNS>
{
    /// A model that knows nothing, or what a prior knows.
    pub(crate) fn new(
        class: &Class<C, K, M>,
        table_bits: u32,
        prior: Option<&Arc<Prior>>,
        budget: &Budget,
    ) -> Result<Self> {
        let mut model = Self::unprimed(class, table_bits, budget)?;
        if let Some(prior) = prior {
            prior.prime(class, &mut model, table_bits < MANY_BITS)?;
            model.refiner.spread();
            model.prior = Some(Arc::clone(prior));
            model.look_up_contexts(0);
        }
        Ok(model)
    }

    /// A model that knows nothing.
    fn unprimed(class: &Class<C, K, M>, table_bits: u32, budget: &Budget) -> Result<Self> {
        const {
            let of_contexts = if RUNS { 2 * C } else { C };
            assert!(N >= of_contexts + 2 * K + 2 && M <= 16);
        }
        let reservation = budget.reserve(Self::fixed_bytes(class))?;
        let mut state_map = [CountedBit::default(); 512];
        for (state, map) in state_map.iter_mut().enumerate() {
            let guess = STATES.guess_q16[state % 256];
            *map = CountedBit::with_p1_q16(u32::from(guess), 0);
        }
        let heads_bits = class.heads_bits(table_bits);
        let mut matches = Vec::new();
        for &min_length in &class.min_matches {
            matches.push(MatchModel::new(min_length, heads_bits, budget)?);
        }
        let mut matches = matches.into_iter();
        let mut model = Model {
            hash_all: class.hash_all,
            tracker: Tracker::new(),
            table: Table::new(table_bits, budget)?,
            prior: None,
            hashes: [0; C],
            places: [Place::default(); C],
            slots: [Slot::default(); C],
            state_maps: Box::new([state_map; C]),
            run_maps: Box::new([[CountedBit::default(); 64]; C]),
            matches: std::array::from_fn(|_| matches.next().expect("K of them")),
            stretch: Box::new(std::array::from_fn(|i| stretch(16 * i as u32 + 8) as i16)),
            order0: Box::new([AdaptiveBit::default(); 256]),
            direct: match RUNS {
                true => Some(Direct::new(Self::direct_bits(table_bits), budget)?),
                false => None,
            },
            inputs: Inputs::new(),
            mixers: std::array::from_fn(|i| {
                let sets = class.selectors[i].sets();
                Mixer::new(sets, class.first_weight_q16, class.first_rate)
            }),
            refiner: Refiner::new(M, &class.refining, budget)?,
            p1_q16: 1 << 15,
            least_error_q16: class.least_error_q16,
            advice: None,
            partial: 1,
            bits_known: 0,
            pending: None,
            _reservation: reservation,
        };
        model.look_up_contexts(0);
        Ok(model)
    }

    /// Makes the model listen to an adviser ([`ByteModel::advise`]).
    pub(crate) fn listen(&mut self, budget: &Budget) -> Result<()> {
        const {
            let of_contexts = if RUNS { 2 * C } else { C };
            assert!(!RUNS || N >= of_contexts + 2 * K + 2 + DIRECT + ADVICE_INPUTS);
            assert!(!RUNS || M + ADVICE_MIXERS <= 16);
        }
        let mut advice = Box::new(Advice::new(budget)?);
        let refiner = &mut self.refiner;
        let second = refiner.second.iter_mut().chain(&mut refiner.more);
        advice.join(&mut self.mixers, second);
        self.advice = Some(advice);
        Ok(())
    }

    /// The memory of a model, about.
    pub(crate) fn bytes(class: &Class<C, K, M>, table_bits: u32) -> u64 {
        let heads = (K as u64 * 4) << class.heads_bits(table_bits);
        let direct = if RUNS {
            Direct::bytes(Self::direct_bits(table_bits))
        } else {
            0
        };
        let tables = heads + (LINE_BYTES << table_bits) + direct;
        Self::fixed_bytes(class) + Refiner::<P, RUNS>::bytes(&class.refining) + tables
    }

    /// Size of the table of direct probabilities.
    fn direct_bits(table_bits: u32) -> u32 {
        table_bits.clamp(8, 19)
    }

    /// Memory that does not depend on the size of the table, but for maps.
    fn fixed_bytes(class: &Class<C, K, M>) -> u64 {
        let sets: usize = class.selectors.iter().map(|s| s.sets()).sum();
        (sets * (N * 4 + 4) + C * (512 + 64) * 4 + (256 << 10)) as u64
    }

    /// Computes the hashes of all contexts and fetches their first slots.
    fn look_up_contexts(&mut self, end: usize) {
        self.hash_contexts(end);
        self.hash_expected(end);
        self.claim_slots();
    }

    /// Computes the hashes of all contexts and asks the cache for their lines.
    fn hash_contexts(&mut self, end: usize) {
        (self.hash_all)(&self.tracker, end, &mut self.hashes);
        self.touch_lines(1);
    }

    /// The same for the context that asks what the longest match foretells, and
    /// for the first maps.
    fn hash_expected(&mut self, end: usize) {
        let foretold = expected(&self.matches);
        self.refiner.prepare(&self.tracker, 0, foretold);
        if RUNS {
            let context = self.tracker.context(Kind::Expected, end, foretold);
            let hash = &mut self.hashes[class::EXPECTED_CONTEXT];
            *hash = salted(context, Kind::Expected);
            self.table.touch(Self::line(*hash, 1));
        }
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
        for (i, &hash) in self.hashes.iter().enumerate() {
            if !is_without_context(i) {
                self.table.touch(Self::line(hash, partial));
            }
        }
        if let Some(prior) = &self.prior {
            for &hash in &self.hashes {
                prior.slots.touch(prior_place(hash, partial).0);
            }
        }
    }

    /// Fetches the slots of all contexts for this half of the byte.
    #[inline(always)]
    fn claim_slots(&mut self) {
        let check_salt = self.partial.wrapping_mul(0x9e5b) as u16;
        let check = |hash: u32| (hash as u16).wrapping_add(check_salt) | 1;
        let partial = self.partial;
        let prior = self.prior.as_ref().map(|prior| &prior.slots);
        if RUNS
            && !is_without_direct()
            && let Some(direct) = &mut self.direct
        {
            let of_orders = std::array::from_fn(|i| self.hashes[class::DIRECT_CONTEXTS[i]]);
            direct.select(of_orders, partial);
        }
        for i in 0..C {
            if is_without_context(i) {
                continue;
            }
            let hash = self.hashes[i];
            let (place, found) = self.table.claim(Self::line(hash, partial), check(hash));
            self.places[i] = place;
            self.slots[i] = match (found, prior) {
                (Some(slot), _) => slot,
                (None, Some(prior)) => {
                    let slot = prior.find(prior_place(hash, partial));
                    slot.unwrap_or_default()
                }
                (None, None) => Slot::default(),
            };
        }
    }

    #[inline(always)]
    fn each_match(&mut self, mut f: impl FnMut(&mut MatchModel)) {
        for (i, model) in self.matches.iter_mut().enumerate() {
            if !is_without_match(i) {
                f(model);
            }
        }
    }

    /// Forgets the content, but not what was learned about predicting: for
    /// training a prior's weights.
    pub(crate) fn forget_content(&mut self) {
        self.tracker = Tracker::new();
        self.table.clear();
        self.direct.iter_mut().for_each(Direct::clear);
        self.matches.iter_mut().for_each(MatchModel::forget);
        self.finish_byte();
        self.look_up_contexts(0);
    }

    fn store_slots(&mut self) {
        for i in 0..C {
            if is_without_context(i) {
                continue;
            }
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
        self.refiner.select(partial);
        let foretold = expected(&self.matches);
        self.refiner.prepare(&self.tracker, partial, foretold);
        let mut known = 0;
        let x = self.inputs.values_mut();
        for i in 0..C {
            if is_without_context(i) {
                continue;
            }
            let slot = &self.slots[i];
            let state = slot.0[node];
            let p_q16 = self.state_maps[i][slot.map_index(node)].p1_q16();
            x[i] = self.stretch[(p_q16 >> 4) as usize & 4095];
            if i < RANKED {
                known += usize::from(state != 0);
            }
            if RUNS {
                x[C + i] = match slot.run(node) {
                    Some((bit, length)) => {
                        let p_q16 = run_bit(&mut self.run_maps[i], length, bits_known).p1_q16();
                        let x = self.stretch[(p_q16 >> 4) as usize & 4095];
                        if bit { x } else { -x }
                    }
                    None => 0,
                };
            }
        }
        let mut rest = if RUNS { 2 * C } else { C };
        let mut longest = 0;
        for (i, model) in self.matches.iter().enumerate() {
            if !is_without_match(i) {
                let (pair, class) = model.predict(partial, bits_known);
                x[rest] = pair[0] as i16;
                x[rest + 1] = pair[1] as i16;
                longest = longest.max(class);
            }
            rest += 2;
        }
        x[rest] = stretch(self.order0[partial as usize & 255].p1_q16()) as i16;
        x[rest + 1] = 256;
        if RUNS
            && !is_without_direct()
            && let Some(direct) = &self.direct
        {
            direct.predict(node, &mut x[rest + 2..rest + 2 + DIRECT]);
        }
        if RUNS && let Some(advice) = &mut self.advice {
            let x = &mut x[N - ADVICE_INPUTS..];
            advice.predict(partial, self.tracker.byte(1), x);
        }
        #[cfg(feature = "ablation")]
        silence(self.inputs.values_mut(), &WITHOUT.inputs);
        self.p1_q16 = self.mix(known, longest);
        self.p1_q16
    }

    /// Mixes the inputs and refines the result.
    #[inline(always)]
    fn mix(&mut self, known: usize, longest: usize) -> u32 {
        let situation = class::Situation {
            partial: self.partial as usize,
            bits_known: self.bits_known as usize,
            known,
            match_class: longest.div_ceil(4),
            expected: expected(&self.matches).0 as usize,
            tracker: &self.tracker,
        };
        let sets = class::select(&situation);
        let hidden = self.refiner.hidden.values_mut().first_chunk_mut();
        if let Some(hidden) = hidden {
            mix_all(&mut self.mixers, &self.inputs, sets, hidden);
            #[cfg(feature = "ablation")]
            silence(hidden, &WITHOUT.mixers);
        }
        if RUNS && let Some(advice) = &mut self.advice {
            let out = &mut self.refiner.hidden.values_mut()[16 - ADVICE_MIXERS..];
            advice.mix(&self.inputs, self.partial, self.bits_known, out);
        }
        self.refiner.refine(&situation)
    }

    /// Takes note of the bit that came. The last one of a byte is learned by
    /// [`advance`](ByteModel::advance).
    #[inline(always)]
    fn update(&mut self, bit: bool) {
        for (i, model) in self.matches.iter_mut().enumerate() {
            if !is_without_match(i) {
                model.update(self.partial, self.bits_known, bit);
            }
        }
        if self.bits_known == 7 {
            self.pending = Some(bit);
            return;
        }
        self.learn(bit);
        self.partial = self.partial << 1 | u32::from(bit);
        self.bits_known += 1;
        match self.bits_known {
            3 => self.touch_lines(self.partial << 1),
            4 => {
                self.finish_half();
                self.claim_slots();
            }
            _ => {}
        }
    }

    /// Learns the bit that came.
    #[inline(always)]
    fn learn(&mut self, bit: bool) {
        let node = self.node();
        let (partial, bits_known) = (self.partial, self.bits_known);
        self.refiner.update_maps(bit);
        let error_q16 = (u32::from(bit) << 16).abs_diff(self.p1_q16);
        if error_q16 >= self.least_error_q16 {
            self.refiner.update_mixers(bit);
            update_all(&mut self.mixers, &self.inputs, bit);
        }
        if RUNS && let Some(advice) = &mut self.advice {
            advice.update(&self.inputs, bit);
        }
        for i in 0..C {
            if is_without_context(i) {
                continue;
            }
            let slot = &mut self.slots[i];
            let state = usize::from(slot.0[node]);
            self.state_maps[i][slot.map_index(node)].update(bit);
            slot.0[node] = STATES.next[state][usize::from(bit)];
            if RUNS && let Some((foretold, length)) = slot.run(node) {
                run_bit(&mut self.run_maps[i], length, bits_known).update(foretold == bit);
            }
        }
        self.order0[partial as usize & 255].update(bit);
        if RUNS
            && !is_without_direct()
            && let Some(direct) = &mut self.direct
        {
            direct.update(node, bit);
        }
    }

    /// Learns the last bit of a byte.
    fn finish_byte(&mut self) {
        if let Some(bit) = self.pending.take() {
            self.learn(bit);
            self.partial = self.partial << 1 | u32::from(bit);
            self.finish_half();
        }
        self.partial = 1;
        self.bits_known = 0;
    }

    /// Puts the slots of a half byte back.
    fn finish_half(&mut self) {
        if RUNS {
            for slot in &mut self.slots {
                slot.note_run(self.partial as u8 & 15);
            }
        }
        self.store_slots();
    }
}

/// Whether a context is left out: for measuring what it is worth.
#[inline(always)]
fn is_without_context(i: usize) -> bool {
    #[cfg(feature = "ablation")]
    let is_without = WITHOUT.contexts >> i & 1 != 0;
    #[cfg(not(feature = "ablation"))]
    let is_without = {
        let _ = i;
        false
    };
    is_without
}

/// The same of a match model.
#[inline(always)]
fn is_without_match(i: usize) -> bool {
    #[cfg(feature = "ablation")]
    let is_without = WITHOUT.matches >> i & 1 != 0;
    #[cfg(not(feature = "ablation"))]
    let is_without = {
        let _ = i;
        false
    };
    is_without
}

/// The same of the direct probabilities.
#[inline(always)]
fn is_without_direct() -> bool {
    #[cfg(feature = "ablation")]
    let is_without = WITHOUT.direct;
    #[cfg(not(feature = "ablation"))]
    let is_without = false;
    is_without
}

/// The probability that a run of some length goes on.
#[inline(always)]
fn run_bit(map: &mut RunMap, length: usize, bits_known: u32) -> &mut CountedBit<1023> {
    &mut map[(length << 3 | bits_known as usize) & 63]
}

/// What the longest match foretells: the byte and 256, and the class of its
/// length; zeros if there is none.
#[inline(always)]
pub(crate) fn expected(matches: &[MatchModel]) -> (u32, u32) {
    let longest = matches.iter().rev().find_map(|model| {
        let byte = model.expected_byte()?;
        Some((u32::from(byte) | 256, model.class() as u32))
    });
    longest.unwrap_or((0, 0))
}

/// What a model has learned that does not belong to one content.
pub(crate) struct Learned<'m, const N: usize, const P: usize, const WIDE: bool> {
    pub(crate) state_maps: &'m mut [StateMap],
    pub(crate) run_maps: &'m mut [RunMap],
    pub(crate) trusts: Vec<&'m mut [CountedBit<1023>; LENGTH_CLASSES]>,
    pub(crate) order0: &'m mut [AdaptiveBit<5>; 256],
    pub(crate) mixers: &'m mut [Mixer<N>],
    pub(crate) refiner: &'m mut Refiner<P, WIDE>,
}

impl<
    const C: usize,
    const K: usize,
    const N: usize,
    const M: usize,
    const P: usize,
    const RUNS: bool,
> Model<C, K, N, M, P, RUNS>
{
    /// All that was learned, for a prior to take or to give.
    pub(crate) fn learned(&mut self) -> Learned<'_, N, P, RUNS> {
        let runs = if RUNS { C } else { 0 };
        Learned {
            state_maps: &mut self.state_maps[..],
            run_maps: &mut self.run_maps[..runs],
            trusts: self.matches.iter_mut().map(|m| m.trust_mut()).collect(),
            order0: &mut self.order0,
            mixers: &mut self.mixers,
            refiner: &mut self.refiner,
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

impl<
    const C: usize,
    const K: usize,
    const N: usize,
    const M: usize,
    const P: usize,
    const RUNS: bool,
> ByteModel for Model<C, K, N, M, P, RUNS>
{
    fn code<B: BitCoder>(&mut self, coder: &mut B, byte: u8) -> Result<u8> {
        let mut coded = 0;
        for i in (0..8).rev() {
            let p1_q16 = self.predict();
            let bit = coder.code_bit(byte >> i & 1 != 0, p1_q16)?;
            self.update(bit);
            coded = coded << 1 | u8::from(bit);
        }
        Ok(coded)
    }

    fn advance(&mut self, history: &[u8]) {
        self.tracker.advance(history);
        let last16 = self.tracker.last16();
        self.each_match(|model| model.prepare(last16));
        self.hash_contexts(history.len());
        self.finish_byte();
        self.each_match(|model| model.advance(history));
        self.hash_expected(history.len());
        self.claim_slots();
    }

    fn advise(&mut self, weights: &[u32; 256]) {
        if let Some(advice) = &mut self.advice {
            advice.advise(weights);
        }
    }
}
