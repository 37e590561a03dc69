//! Priors: what a model knows before the first byte.
//!
//! ```text
//! corpus ─ train ─▶ model file: slots, weights ─ unpack ─▶ Prior ─▶ every Model
//! ```
//!
//! A small text ends before a model has learned anything from it. A prior is
//! the state of a model that has read other texts: the bit histories of those
//! contexts that came up in many of them ([`slots`]), and what was learned of
//! how to mix predictions ([`weights`]). Where a model meets a context for the
//! first time, it takes the prior's slot, if there is one, in place of an empty
//! one; so one prior serves any number of models at once, and costs nothing
//! where the content is its own best teacher. Contexts are known by their
//! hashes alone: a prior holds no text.
//!
//! A prior is a file as in `rcodec-model`, of the family `text`, without
//! graphs: `slots` and `weights.N` for each class N are packed tensors, whose
//! form is that of section 15 of this crate's FORMAT.md.

mod numbers;
mod signature;
mod slots;
pub(crate) mod train;
mod weights;

use crate::cm::Model;
use crate::cm::class::Class;
use crate::cm::table::PriorTable;
use rcodec_core::{Budget, Error, Limits, ModelId, Reservation, Result};
use rcodec_model::registry::Registry;
use rcodec_model::{Model as ModelFile, TensorData};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The family of the model files.
pub(crate) const FAMILY: &str = "text";

/// The shipped priors: a block names one by its number, counted from 1.
pub(crate) const SHIPPED: &[ModelId] = &[
    // text-prose1-c34c
    ModelId([0xc3, 0x4c, 0x3f, 0x6e, 0xef, 0xc5, 0x19, 0x7b]),
    // text-code1-c50b
    ModelId([0xc5, 0x0b, 0xc8, 0x73, 0xc8, 0x16, 0x00, 0x22]),
    // text-data1-343d
    ModelId([0x34, 0x3d, 0x90, 0x04, 0xe2, 0x3d, 0x8d, 0xaa]),
];

/// The number in a block of a prior that the header names.
pub(crate) const OWN_NUMBER: u8 = 15;

/// A prior, unpacked.
pub(crate) struct Prior {
    id: ModelId,
    /// What it knows of contexts.
    pub(crate) slots: PriorTable,
    /// What it knows of predicting, for each class.
    weights: Vec<Weights>,
}

/// What a model of a class had learned.
struct Weights {
    class: u8,
    packed: Vec<u8>,
    /// Unpacked, once they were needed.
    lists: OnceLock<weights::Lists>,
}

/// A prior in use, and what was charged for it.
#[derive(Clone)]
pub(crate) struct InUse {
    pub(crate) prior: Arc<Prior>,
    _reservation: Arc<Reservation>,
}

/// Those used last, the last one first. A program that encodes many small files
/// shall not unpack the same priors for each; the content follows from the id
/// alone.
static UNPACKED: Mutex<Vec<Arc<Prior>>> = Mutex::new(Vec::new());

/// How many are kept: as many as are shipped, as small files of several kinds
/// come by turns.
const MOST_UNPACKED: usize = SHIPPED.len();

/// What is kept. The lock is never held while a model is loaded: that is work
/// for rayon's threads, and one that waits for a part of it may take up another
/// file, which would wait for the lock.
fn locked<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frees what is kept for the next use.
pub(crate) fn forget() {
    locked(&UNPACKED).clear();
}

/// Keeps a prior, in place of the one that was not used for longest.
fn keep(prior: &Arc<Prior>) {
    let mut kept = locked(&UNPACKED);
    kept.retain(|other| other.id != prior.id);
    kept.insert(0, prior.clone());
    kept.truncate(MOST_UNPACKED);
}

/// Number and id of the shipped prior that fits best, by its signature; `None`
/// if there is none in reach.
pub(crate) fn best_shipped(sample: &[u8]) -> Option<(u8, ModelId)> {
    let registry = Registry::from_env();
    let costs = signature::SHIPPED.iter().zip((1u8..).zip(SHIPPED));
    costs
        .filter(|&(_, (_, &id))| registry.has(id))
        .map(|(signature, (number, &id))| (signature::cost(signature, sample), number, id))
        .min_by_key(|&(cost, ..)| cost)
        .map(|(_, number, id)| (number, id))
}

impl Prior {
    /// Memory that a prior takes, about, in bytes: its slots, its packed
    /// weights, and these unpacked (7 MB for both classes of the largest
    /// shipped one; a class has no more than so many numbers).
    pub(crate) const BYTES: u64 = PriorTable::BYTES + (1 << 20) + (8 << 20);

    /// The prior of that id, charged to the budget.
    ///
    /// # Errors
    /// Those of [`Registry::load`], and of [`Prior::from_file`].
    pub(crate) fn load(id: ModelId, budget: &Budget) -> Result<InUse> {
        let reservation = Arc::new(budget.reserve(Self::BYTES)?);
        let kept = locked(&UNPACKED).iter().find(|p| p.id == id).cloned();
        let prior = match kept {
            Some(prior) => prior,
            None => {
                // Its memory is charged above; this budget limits what the
                // file may claim.
                let limits = Budget::new(budget.limits().clone());
                let file = Registry::from_env().load(id, &limits)?;
                Arc::new(Prior::from_file(&file)?)
            }
        };
        keep(&prior);
        Ok(InUse {
            prior,
            _reservation: reservation,
        })
    }

    /// Unpacks a model file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model of another family, and
    /// [`Error::Malformed`] for one that no trainer wrote.
    pub(crate) fn from_file(file: &ModelFile) -> Result<Prior> {
        if file.record().family != FAMILY {
            return Err(Error::unsupported(format!(
                "the model {} is not a prior for text",
                file.name()
            )));
        }
        let mut slots = None;
        let mut weights = Vec::new();
        for tensor in file.data().tensors.iter() {
            let TensorData::Packed(packed) = &tensor.data else {
                return Err(unknown_part());
            };
            match tensor.info.name.as_str() {
                signature::NAME => {}
                "slots" => {
                    let budget = Budget::new(Limits::unlimited());
                    slots = Some(slots::unpack(packed, &budget)?.0);
                }
                name => {
                    weights.push(Weights {
                        class: class_of(name).ok_or_else(unknown_part)?,
                        packed: packed.clone(),
                        lists: OnceLock::new(),
                    });
                }
            }
        }
        Ok(Prior {
            id: file.id(),
            slots: slots.ok_or_else(unknown_part)?,
            weights,
        })
    }

    /// Gives a fresh model what the prior's model had learned, if it was of
    /// that class. What is unpacked for that is kept for the next model if
    /// `keeps`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the weights are not of that class.
    pub(crate) fn prime<
        const C: usize,
        const K: usize,
        const N: usize,
        const M: usize,
        const P: usize,
        const RUNS: bool,
    >(
        &self,
        class: &Class<C, K, M>,
        model: &mut Model<C, K, N, M, P, RUNS>,
        keeps: bool,
    ) -> Result<()> {
        let weights = self.weights.iter().find(|w| w.class == class.number);
        let Some(Weights { packed, lists, .. }) = weights else {
            return Ok(());
        };
        let forgotten = OnceLock::new();
        let lists = if keeps { lists } else { &forgotten };
        weights::unpack(class.primed_rate_q16, model.learned(), packed, lists)
    }
}

/// The class of `weights.N`; no number has two names.
fn class_of(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("weights.")?;
    let class: u8 = digits.parse().ok()?;
    (class.to_string() == digits).then_some(class)
}

fn unknown_part() -> Error {
    Error::malformed(0, "a prior of another form")
}
