//! From tokens to bytes.
//!
//! A model foretells tokens, and a text can be cut into tokens in many ways.
//! What it says of the next *byte* is the sum over all ways in which the bytes
//! so far could have been cut. Nearly all of the weight lies on few of them;
//! these are followed side by side as [`Hypothesis`]: a context of whole tokens,
//! and the tokens that may be under way, those that begin with the bytes since.
//!
//! ```text
//! bytes  … t h e r e
//! A      …[th          weight 0.9: tokens "the", "there", "then", …
//! B      …[the][r      weight 0.1: "the" is over; tokens "r", "re", …
//! ```
//!
//! At every byte, what each hypothesis says of "the token ends here" is added
//! up. If that is worth a run of the model, one new hypothesis begins there,
//! with the context of the likeliest; otherwise it is left out. So the model
//! runs at most once for a byte, in practice little more than once for a token
//! of the usual tokenizer, which is never needed.

use crate::fixed::{LOG2E_Q50, Powers};
use crate::model::Model;
use crate::session::{History, Session};
use crate::vocabulary::Vocabulary;
use rcodec_core::{Budget, Result};
use rcodec_fixed::Engine;
use std::ops::Range;
use std::sync::Arc;

/// A new hypothesis has at least one in so many parts of the weight.
const WORTH: u64 = 64;
/// One with less than one in so many parts is dropped.
const LEAST: u64 = 1 << 10;
/// The most hypotheses at once.
const MOST: usize = 8;
/// Bits of the sum of all weights.
const WEIGHT_BITS: u32 = 32;

/// A way to cut the bytes so far.
struct Hypothesis {
    /// Its share, of about `2^WEIGHT_BITS`.
    weight: u64,
    /// The tokens that are over.
    history: History,
    /// What was said of the token under way: sums of the weights of all tokens
    /// before each, in the vocabulary's order.
    sums: Arc<[u64]>,
    /// Tokens that may be under way.
    range: Range<usize>,
    /// How many of their bytes have come.
    depth: usize,
}

impl Hypothesis {
    fn mass(&self, range: &Range<usize>) -> u64 {
        self.sums[range.end] - self.sums[range.start]
    }
}

/// Foretells byte after byte.
pub struct Predictor {
    model: Arc<Model>,
    session: Session,
    /// At least one.
    hypotheses: Vec<Hypothesis>,
    weights: [u32; 256],
    /// Runs of the model so far.
    runs: u64,
}

impl Predictor {
    /// For the beginning of a text. Its memory is charged to the budget.
    ///
    /// # Errors
    /// [`Error::Limit`](rcodec_core::Error::Limit).
    pub fn new(model: &Arc<Model>, engine: Engine, budget: &Budget) -> Result<Predictor> {
        let mut session = Session::new(model, engine, budget)?;
        let (history, logits) = session.begin()?;
        let mut predictor = Predictor {
            hypotheses: vec![Hypothesis {
                weight: 1 << WEIGHT_BITS,
                history,
                sums: sums(&logits, &model.vocabulary),
                range: 0..model.vocabulary.len(),
                depth: 0,
            }],
            model: Arc::clone(model),
            session,
            weights: [0; 256],
            runs: 1,
        };
        predictor.weigh();
        Ok(predictor)
    }

    /// The memory of a predictor, about, in bytes.
    pub fn bytes(model: &Model) -> u64 {
        Session::bytes(model) + (MOST * 8 * model.vocabulary.len()) as u64
    }

    /// What the next byte may be: weights with a sum below 2^28, some of them 0.
    pub fn weights(&self) -> &[u32; 256] {
        &self.weights
    }

    /// How often the model was run.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Takes note of the byte that came.
    ///
    /// # Errors
    /// None for models that loaded, but for those of a computation that could
    /// not be done.
    pub fn advance(&mut self, byte: u8) -> Result<()> {
        let model = Arc::clone(&self.model);
        let vocabulary = &model.vocabulary;
        let heaviest = self.heaviest();
        let mut going = Vec::new();
        let mut left = None;
        for (i, mut hypothesis) in std::mem::take(&mut self.hypotheses).into_iter().enumerate() {
            let under_way = hypothesis.mass(&hypothesis.range);
            let range = match hypothesis.depth {
                0 => vocabulary.first(byte),
                depth => vocabulary.child(hypothesis.range.clone(), depth, byte),
            };
            let mass = hypothesis.mass(&range);
            let weight = share(hypothesis.weight, mass, under_way);
            if mass == 0 {
                if i == heaviest {
                    left = Some(hypothesis);
                }
                continue;
            }
            // A byte that was all but impossible keeps its hypotheses.
            hypothesis.weight = weight.max(1);
            hypothesis.range = range;
            hypothesis.depth += 1;
            going.push(hypothesis);
        }
        self.hypotheses = going;
        if let (true, Some(left)) = (self.hypotheses.is_empty(), left) {
            self.restart(left, byte)?;
        }
        self.normalize();
        self.end_tokens()?;
        self.normalize();
        self.weigh();
        Ok(())
    }

    fn heaviest(&self) -> usize {
        // The first of several.
        let hypotheses = self.hypotheses.iter().enumerate().rev();
        hypotheses
            .max_by_key(|(_, h)| h.weight)
            .map_or(0, |(i, _)| i)
    }

    /// After a byte that no hypothesis had: cuts the bytes of one into the
    /// longest tokens there are, and begins a token with the byte.
    fn restart(&mut self, mut from: Hypothesis, byte: u8) -> Result<()> {
        let model = Arc::clone(&self.model);
        let vocabulary = &model.vocabulary;
        let mut bytes = vocabulary.token(from.range.start)[..from.depth].to_vec();
        let mut history = from.history.clone();
        while !bytes.is_empty() {
            let Some(at) = vocabulary.longest(&bytes) else {
                bytes.remove(0);
                continue;
            };
            let others = std::iter::empty();
            from.sums = self.run(&mut history, vocabulary.ids()[at], others)?;
            bytes.drain(..vocabulary.token(at).len());
        }
        let range = vocabulary.first(byte);
        // A byte that no token begins with leaves no trace.
        (from.range, from.depth) = match range.is_empty() {
            true => (0..vocabulary.len(), 0),
            false => (range, 1),
        };
        from.history = history;
        from.weight = 1;
        self.hypotheses = vec![from];
        Ok(())
    }

    /// Brings the sum of weights to `WEIGHT_BITS`.
    fn normalize(&mut self) {
        let total: u64 = self.hypotheses.iter().map(|h| h.weight).sum();
        let bits = 64 - total.leading_zeros();
        for hypothesis in &mut self.hypotheses {
            hypothesis.weight = match WEIGHT_BITS.checked_sub(bits) {
                Some(shift) => hypothesis.weight << shift,
                None => (hypothesis.weight >> (bits - WEIGHT_BITS)).max(1),
            };
        }
    }

    /// Parts what the hypotheses say of tokens that end here from what they say
    /// of longer ones, and begins a hypothesis with the former.
    fn end_tokens(&mut self) -> Result<()> {
        let total: u64 = self.hypotheses.iter().map(|h| h.weight).sum();
        // Weight of all ends, and of the best: whose it is, and its token.
        let (mut ended, mut best) = (0, None::<(u64, usize, usize)>);
        for (i, hypothesis) in self.hypotheses.iter_mut().enumerate() {
            if hypothesis.depth == 0 {
                continue;
            }
            let range = hypothesis.range.clone();
            let ending = self.model.vocabulary.ending(&range, hypothesis.depth);
            if ending.is_empty() {
                continue;
            }
            let whole = hypothesis.mass(&range);
            let weight = share(hypothesis.weight, hypothesis.mass(&ending), whole);
            hypothesis.weight -= weight;
            hypothesis.range = ending.end..range.end;
            ended += weight;
            if best.is_none_or(|(most, ..)| weight > most) {
                best = Some((weight, i, ending.start));
            }
        }
        let goes_on = |h: &Hypothesis| !h.range.is_empty() && h.weight > 0;
        let is_forced = !self.hypotheses.iter().any(goes_on);
        if let Some((_, i, at)) = best
            && (is_forced || ended * WORTH >= total)
        {
            let token = self.model.vocabulary.ids()[at];
            let mut history = self.hypotheses[i].history.clone();
            let mut others = std::mem::take(&mut self.hypotheses);
            others.retain(goes_on);
            others.sort_by_key(|h| std::cmp::Reverse(h.weight));
            others.retain(|h| h.weight * LEAST >= total);
            others.truncate(MOST - 1);
            let sums = self.run(&mut history, token, others.iter_mut())?;
            // Contexts that had to go have no room left.
            others.retain(|h| !h.history.slots.is_empty());
            others.push(Hypothesis {
                weight: ended.max(1),
                history,
                sums,
                range: 0..self.model.vocabulary.len(),
                depth: 0,
            });
            self.hypotheses = others;
        } else {
            self.hypotheses.retain(goes_on);
        }
        Ok(())
    }

    /// Adds a token to a context, `others` being in use, too. Makes room where
    /// there is none: first contexts forget their beginnings, then the others
    /// go (and are left empty).
    fn run<'h>(
        &mut self,
        history: &mut History,
        token: u32,
        others: impl Iterator<Item = &'h mut Hypothesis>,
    ) -> Result<Arc<[u64]>> {
        let mut others: Vec<&mut History> = others.map(|h| &mut h.history).collect();
        if self.session.is_full(history) {
            let gone = self.session.slide(history);
            for other in &mut others {
                other.slots.retain(|slot| !gone.contains(slot));
            }
        }
        if !self.session.has_room() {
            let in_use = others.iter().map(|h| &**h);
            self.session.keep(in_use.chain([&*history]));
        }
        if !self.session.has_room() {
            others.iter_mut().for_each(|h| h.slots.clear());
            self.session.keep([&*history].into_iter());
        }
        self.runs += 1;
        let logits = self.session.next(history, token)?;
        Ok(sums(&logits, &self.model.vocabulary))
    }

    /// Adds up what the hypotheses say of the next byte.
    fn weigh(&mut self) {
        let mut weights = [0u64; 256];
        for hypothesis in &self.hypotheses {
            let whole = hypothesis.mass(&hypothesis.range);
            let vocabulary = &self.model.vocabulary;
            let mut add = |byte: u8, range: Range<usize>| {
                let weight = share(hypothesis.weight, hypothesis.mass(&range), whole);
                weights[usize::from(byte)] += weight;
            };
            if hypothesis.depth == 0 {
                (0..=255).for_each(|byte| add(byte, vocabulary.first(byte)));
            } else {
                vocabulary.children(hypothesis.range.clone(), hypothesis.depth, add);
            }
        }
        let total: u64 = weights.iter().sum();
        let shift = (64 - total.leading_zeros()).saturating_sub(28);
        self.weights = weights.map(|weight| (weight >> shift) as u32);
    }
}

/// `weight · part / whole`, of weights up to `2^WEIGHT_BITS`.
fn share(weight: u64, part: u64, whole: u64) -> u64 {
    let shift = (64 - whole.leading_zeros()).saturating_sub(63 - WEIGHT_BITS - 1);
    let (part, whole) = (part >> shift, whole >> shift);
    match whole {
        0 => 0,
        _ => weight * part / whole,
    }
}

/// Softmax over the vocabulary: sums of the weights of all tokens before each,
/// at least 1 of about 2^28 each.
fn sums(logits_q20: &[i64], vocabulary: &Vocabulary) -> Arc<[u64]> {
    let powers = Powers::new();
    let of = |id: &u32| logits_q20[*id as usize];
    let most = vocabulary.ids().iter().map(of).max().unwrap_or(0);
    let mut sum = 0;
    let mut sums = Vec::new();
    sums.push(0);
    for id in vocabulary.ids() {
        // In Q16 of powers of two; beyond 64 it makes no difference.
        let below = (most - of(id)).min(64 << 20);
        let bits_q16 = (below * (LOG2E_Q50 >> 20)) >> 34;
        sum += (powers.negative_q30(bits_q16) >> 2) as u64 + 1;
        sums.push(sum);
    }
    sums.into()
}
