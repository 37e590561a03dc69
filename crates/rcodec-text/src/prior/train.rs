//! Makes a prior from texts.
//!
//! Twice, in fact: weights have to be learned on texts whose contexts the
//! slots have not seen, or they would trust the slots too much. So a first
//! prior, of three quarters of the pieces, primes the models that learn the
//! weights from the rest; the slots that are kept come from all of them.

use super::slots::{self, Entry};
use super::{FAMILY, Prior, signature, weights};
use crate::cm::class::{FULL_CLASS, Full, STANDARD_CLASS, Standard};
use crate::cm::contexts::{Kind, Tracker};
use crate::cm::matching::MatchModel;
use crate::cm::state::STATES;
use crate::cm::table::{PRIOR_CHECKS, SLOTS, Slot, prior_place};
use crate::cm::{ByteModel, salted};
use rayon::prelude::*;
use rcodec_core::{Budget, Error, Limits, ModelId, Result};
use rcodec_entropy::CostEstimator;
use rcodec_model::{ModelData, ModelTensor, Record, TensorData};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Texts are cut into pieces; how many of them a context comes up in says
/// what it is worth.
const PIECE_BYTES: usize = 32 << 10;
/// One piece in so many is for the weights.
const WEIGHTS_SHARE: usize = 4;
/// The weights learn from contents of these sizes in turn.
const CONTENT_BYTES: [usize; 4] = [1 << 10, 4 << 10, 12 << 10, 32 << 10];
/// Table of the models that learn.
const TABLE_BITS: u32 = 16;
/// Contexts that came up in fewer pieces are forgotten.
const MIN_PIECES: u16 = 2;

/// What goes into a prior.
#[derive(Clone, Debug)]
pub struct PriorOptions {
    /// What it is called: `text-prose1` has the variant `prose` and the
    /// version 1.
    pub variant: String,
    /// Counted from 1.
    pub version: u32,
    /// How many slots are kept; each takes 3 to 4 bytes.
    pub slots: usize,
    /// Licences of the texts and of the prior.
    pub licence: String,
    /// Hash of the texts, hexadecimal.
    pub data_hash: String,
    /// Anything else worth recording.
    pub notes: String,
}

impl Default for PriorOptions {
    fn default() -> Self {
        PriorOptions {
            variant: "own".to_owned(),
            version: 1,
            slots: 600_000,
            licence: String::new(),
            data_hash: String::new(),
            notes: String::new(),
        }
    }
}

/// Makes a prior from texts, each a file of its own. The same texts in the
/// same order and the same options give the same prior on every machine.
///
/// # Errors
/// [`Error::Parameter`] if there is too little text to learn anything from.
pub fn train_prior(texts: &[Vec<u8>], options: &PriorOptions) -> Result<ModelData> {
    let pieces = shuffled_pieces(texts);
    if pieces.len() < 2 * WEIGHTS_SHARE {
        return Err(Error::parameter(format!(
            "a prior needs at least {} KiB of text",
            (2 * WEIGHTS_SHARE * PIECE_BYTES) >> 10
        )));
    }
    let (learning, counted): (Vec<_>, Vec<_>) = pieces
        .iter()
        .enumerate()
        .partition(|(i, _)| i % WEIGHTS_SHARE == 0);
    let (learning, counted) = (without_numbers(learning), without_numbers(counted));
    let budget = Budget::new(Limits::unlimited());
    let [slots_of_counted, slots] = best_slots([&counted, &learning], options.slots);
    let first = Arc::new(Prior {
        id: ModelId([0; 8]),
        slots: slots::unpack(&slots::pack(&slots_of_counted)?, &budget)?.0,
        weights: Vec::new(),
    });
    let (standard, full) = rayon::join(
        || -> Result<Vec<u8>> {
            let mut model = Standard::new(&STANDARD_CLASS, TABLE_BITS, Some(&first), &budget)?;
            learn(&mut model, &learning, Standard::forget_content)?;
            weights::pack(model.learned())
        },
        || -> Result<Vec<u8>> {
            let mut model = Full::new(&FULL_CLASS, TABLE_BITS, Some(&first), &budget)?;
            learn(&mut model, &learning, Full::forget_content)?;
            weights::pack(model.learned())
        },
    );
    let slots = slots::pack(&slots)?;
    let mut data = ModelData {
        record: Record {
            family: FAMILY.to_owned(),
            variant: options.variant.clone(),
            version: options.version,
            licence: options.licence.clone(),
            data_hash: options.data_hash.clone(),
            notes: options.notes.clone(),
            steps: pieces.len() as u64,
            device: "cpu".to_owned(),
            ..Record::default()
        },
        ..ModelData::default()
    };
    for (name, packed) in [
        (signature::NAME, signature::of(&pieces)),
        ("slots", slots),
        ("weights.1", standard?),
        ("weights.2", full?),
    ] {
        let dims = [packed.len()];
        let tensor = ModelTensor::new(name, &dims, TensorData::Packed(packed))?;
        data.tensors.insert(tensor)?;
    }
    Ok(data)
}

fn without_numbers<'t>(pieces: Vec<(usize, &&'t [u8])>) -> Vec<&'t [u8]> {
    pieces.into_iter().map(|(_, &piece)| piece).collect()
}

/// All pieces in an order that has nothing to do with where they come from.
fn shuffled_pieces(texts: &[Vec<u8>]) -> Vec<&[u8]> {
    let pieces = texts.iter().flat_map(|text| text.chunks(PIECE_BYTES));
    let mut numbered: Vec<(u32, &[u8])> = (0u32..)
        .zip(pieces)
        .map(|(i, piece)| {
            let mixed = i.wrapping_mul(0x9e37_79b1);
            ((mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b), piece)
        })
        .collect();
    numbered.sort_by_key(|&(key, _)| key);
    numbered.into_iter().map(|(_, piece)| piece).collect()
}

/// A slot being filled, and how many pieces it came up in.
struct Counted {
    slot: Slot,
    last_piece: u32,
    pieces: u16,
}

/// Slots, each with the number of pieces that its context came up in.
type Ranked = Vec<(u16, Entry)>;

/// The slots of contexts that came up in the most pieces, at most `count`, in
/// the order in which they are packed: of the first pieces, and of all.
fn best_slots(pieces: [&[&[u8]]; 2], count: usize) -> [Vec<Entry>; 2] {
    let kinds = crate::cm::class::FULL;
    let of_kinds: Vec<[Ranked; 2]> = kinds
        .par_iter()
        .map(|&kind| slots_of(pieces, kind))
        .collect();
    let (mut of_first, mut of_all) = (Vec::new(), Vec::new());
    for [first, all] in of_kinds {
        of_first.extend(first);
        of_all.extend(all);
    }
    [of_first, of_all].map(|ranked| best(ranked, count))
}

fn best(mut all: Ranked, count: usize) -> Vec<Entry> {
    // The best first; hashes decide between equals, the same on every machine.
    let rank = |(pieces, entry): &(u16, Entry)| {
        let seen = STATES.total[usize::from(entry.slot.0[1])];
        let place = (entry.line, entry.check, entry.slot.0);
        (u16::MAX - pieces, u8::MAX - seen, place)
    };
    all.sort_unstable_by_key(rank);
    let mut free = vec![SLOTS as u8; 1 << crate::cm::table::PRIOR_BITS];
    let mut kept: Vec<Entry> = Vec::new();
    for (_, entry) in all {
        if kept.len() == count {
            break;
        }
        if free[entry.line] > 0 {
            free[entry.line] -= 1;
            kept.push(entry);
        }
    }
    kept.sort_by_key(|entry| (entry.line, entry.check));
    // Two contexts of one place and check cannot be told apart.
    kept.dedup_by_key(|entry| (entry.line, entry.check));
    kept
}

/// Counts that a prior tells apart; larger ones are those of the next lower.
const KEPT_COUNTS: [u8; 10] = [0, 1, 2, 3, 4, 6, 9, 14, 22, 40];

/// For each state one of few that stands for it in a prior.
fn coarse_states() -> Vec<u8> {
    let kept = |count: u8| {
        let lower = KEPT_COUNTS.iter().rev().find(|&&kept| kept <= count);
        lower.copied().unwrap_or(0)
    };
    let states = &STATES.counts[..STATES.count];
    let stands_for = |&counts: &[u8; 2]| {
        // Its own, where no state has the kept counts.
        let wanted = counts.map(kept);
        let with = |counts| states.iter().position(|&c| c == counts);
        with(wanted).or(with(counts)).unwrap_or(0) as u8
    };
    states.iter().map(stands_for).collect()
}

/// Spreads keys that are hashes already.
#[derive(Clone, Copy, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }

    fn write_u32(&mut self, key: u32) {
        self.0 = (self.0 ^ u64::from(key)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Slots by line and check.
type Seen = HashMap<u32, Counted, BuildHasherDefault<KeyHasher>>;

/// What a kind of context sees in the first pieces, and in all.
fn slots_of(pieces: [&[&[u8]]; 2], kind: Kind) -> [Ranked; 2] {
    let mut seen = Seen::default();
    let mut number = 0;
    pieces.map(|pieces| {
        for piece in pieces {
            count(&mut seen, piece, number, kind);
            number += 1;
        }
        ranked(&seen)
    })
}

/// Shows a piece to the slots of a kind of context.
fn count(seen: &mut Seen, piece: &[u8], number: u32, kind: Kind) {
    let mut reader = ContextReader::new();
    for (i, &byte) in piece.iter().enumerate() {
        let hash = salted(reader.context(kind, i), kind);
        for half in [1, u32::from(byte >> 4) | 16] {
            let (line, check) = prior_place(hash, half);
            let bits = if half == 1 { byte >> 4 } else { byte & 15 };
            let key = line as u32 * PRIOR_CHECKS + u32::from(check);
            let counted = seen.entry(key).or_insert(Counted {
                slot: Slot::default(),
                last_piece: u32::MAX,
                pieces: 0,
            });
            if counted.last_piece != number {
                counted.last_piece = number;
                counted.pieces = counted.pieces.saturating_add(1);
            }
            teach(&mut counted.slot, bits);
        }
        reader.advance(&piece[..=i]);
    }
}

/// Those that came up often enough.
fn ranked(seen: &Seen) -> Ranked {
    let coarse = coarse_states();
    let often = seen.iter().filter(|(_, c)| c.pieces >= MIN_PIECES);
    often
        .map(|(&key, counted)| {
            let entry = Entry {
                line: (key / PRIOR_CHECKS) as usize,
                check: (key % PRIOR_CHECKS) as u16,
                slot: Slot(counted.slot.0.map(|state| coarse[usize::from(state)])),
            };
            (counted.pieces, entry)
        })
        .collect()
}

/// Shows a slot half a byte.
fn teach(slot: &mut Slot, bits: u8) {
    let mut node = 1;
    for i in (0..4).rev() {
        let bit = usize::from(bits >> i & 1);
        let state = &mut slot.0[node];
        *state = STATES.next[usize::from(*state)][bit];
        node = node << 1 | bit;
    }
}

/// Contexts as a model sees them.
struct ContextReader {
    tracker: Tracker,
    matches: Vec<MatchModel>,
}

impl ContextReader {
    fn new() -> Self {
        let budget = Budget::new(Limits::unlimited());
        let bits = PIECE_BYTES.ilog2();
        ContextReader {
            tracker: Tracker::new(),
            matches: FULL_CLASS
                .min_matches
                .iter()
                .filter_map(|&min| MatchModel::new(min, bits, &budget).ok())
                .collect(),
        }
    }

    fn context(&self, kind: Kind, end: usize) -> u32 {
        let expected = crate::cm::expected(&self.matches);
        self.tracker.context(kind, end, expected)
    }

    fn advance(&mut self, history: &[u8]) {
        self.tracker.advance(history);
        for model in &mut self.matches {
            model.prepare(self.tracker.last16());
            model.advance(history);
        }
    }
}

/// Lets a model learn from contents of several sizes, each as the first.
fn learn<M: ByteModel>(model: &mut M, pieces: &[&[u8]], forget: impl Fn(&mut M)) -> Result<()> {
    for (piece, size) in pieces.iter().zip(CONTENT_BYTES.iter().cycle()) {
        for content in piece.chunks(*size) {
            let mut cost = CostEstimator::new();
            for (i, &byte) in content.iter().enumerate() {
                model.code(&mut cost, byte)?;
                model.advance(&content[..=i]);
            }
            forget(model);
        }
    }
    Ok(())
}
