//! A model at work: token after token, each with the tokens before it.

use crate::attention::Cache;
use crate::fixed::{Powers, limited, scaled_wide, silu};
use crate::matrix::Halves;
use crate::model::{Layer, Model};
use crate::rope::rotate;
use rcodec_core::{Budget, Error, Result};
use rcodec_fixed::Engine;
use std::sync::Arc;

/// The most tokens that a context has, whatever the model could see.
const MOST_TOKENS: usize = 1024;
/// Room beside a context, for segmentations that are not decided yet.
const EXTRA_SLOTS: usize = 64;

/// The tokens of a context, the first always the model's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// Where each stands in the cache.
    pub(crate) slots: Vec<u32>,
    /// The position of the next.
    position: u64,
}

/// Runs a [`Model`] over contexts that may share tokens.
pub struct Session {
    model: Arc<Model>,
    engine: Engine,
    cache: Cache,
    /// The keys of the first token before they were turned, by layer and head.
    first_keys: Vec<Vec<i64>>,
    free: Vec<u32>,
    /// Tokens that a context has at most.
    most_tokens: usize,
}

impl Session {
    /// A session without any token; its cache is charged to the budget.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn new(model: &Arc<Model>, engine: Engine, budget: &Budget) -> Result<Session> {
        let config = &model.config;
        let most_tokens = Self::most_tokens(model);
        let slots = most_tokens + EXTRA_SLOTS;
        let shape = (config.layers, config.kv_heads, config.head_width);
        Ok(Session {
            cache: Cache::new(shape, slots, budget)?,
            first_keys: vec![Vec::new(); config.layers * config.kv_heads],
            free: (0..slots as u32).rev().collect(),
            most_tokens,
            model: Arc::clone(model),
            engine,
        })
    }

    fn most_tokens(model: &Model) -> usize {
        model.config.positions.clamp(16, MOST_TOKENS)
    }

    /// The memory of a session, about, in bytes.
    pub fn bytes(model: &Model) -> u64 {
        let config = &model.config;
        let vectors = config.layers * config.kv_heads * (Self::most_tokens(model) + EXTRA_SLOTS);
        (vectors * (4 * config.head_width + 2)) as u64
    }

    /// Runs the model over tokens one by one, without any sliding: what it says
    /// of the token after each, in Q20 of nats, for every token of the model.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a token that the model does not have, or more
    /// tokens than there is room for.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<Vec<i64>>> {
        let mut history = History {
            slots: Vec::new(),
            position: 0,
        };
        let rows = tokens.iter().map(|&token| self.next(&mut history, token));
        let rows = rows.collect::<Result<_>>()?;
        self.free.extend(history.slots);
        Ok(rows)
    }

    /// A context with nothing but the first token, and what is said of the
    /// next.
    pub(crate) fn begin(&mut self) -> Result<(History, Vec<i64>)> {
        let mut history = History {
            slots: Vec::new(),
            position: 0,
        };
        let logits = self.next(&mut history, self.model.config.first_token)?;
        Ok((history, logits))
    }

    /// Whether there is room for another token.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether a context has as many tokens as it can have.
    pub(crate) fn is_full(&self, history: &History) -> bool {
        history.slots.len() >= self.most_tokens
    }

    /// Frees the slots of all tokens that are in none of these contexts.
    pub(crate) fn keep<'a>(&mut self, histories: impl Iterator<Item = &'a History>) {
        let mut is_used = vec![false; self.most_tokens + EXTRA_SLOTS];
        for slot in histories.flat_map(|history| &history.slots) {
            is_used[*slot as usize] = true;
        }
        let all = (0..is_used.len() as u32).rev();
        self.free = all.filter(|&slot| !is_used[slot as usize]).collect();
    }

    /// Forgets the older quarter of a context, but not its first token, which
    /// moves up behind the others; gives the slots that `others` shall forget,
    /// too.
    pub(crate) fn slide(&mut self, history: &mut History) -> Vec<u32> {
        let count = self.most_tokens / 4;
        let gone: Vec<u32> = history.slots.drain(1..=count).collect();
        let first = u64::from(history.slots[0]) as usize;
        let position = history.position - history.slots.len() as u64;
        let angles = self.model.rope.at(position);
        let heads = self.model.config.kv_heads;
        for (at, key) in self.first_keys.iter().enumerate() {
            let mut key = key.clone();
            rotate(&mut key, &angles);
            self.cache.set_key(at / heads, at % heads, first, &key);
        }
        gone
    }

    /// Adds a token to a context; gives what the model says of the one after.
    pub(crate) fn next(&mut self, history: &mut History, token: u32) -> Result<Vec<i64>> {
        let model = Arc::clone(&self.model);
        if token as usize >= model.config.vocabulary {
            return Err(Error::parameter("a token that the model does not have"));
        }
        let slot = self.free.pop();
        let slot = slot.ok_or_else(|| Error::parameter("more tokens than a context has"))?;
        history.slots.push(slot);
        let angles = model.rope.at(history.position);
        history.position += 1;
        let mut x = model.embedding.row(token as usize);
        for (index, layer) in model.layers.iter().enumerate() {
            let more = self.attention(index, layer, &x, history, &angles)?;
            add(&mut x, &more);
            let more = self.feed_forward(layer, &x)?;
            add(&mut x, &more);
        }
        let last = Halves::new(&model.norm.apply(&x));
        model.head.apply(&self.engine, &last)
    }

    fn attention(
        &mut self,
        index: usize,
        layer: &Layer,
        x: &[i64],
        history: &History,
        angles: &[(i64, i64)],
    ) -> Result<Vec<i64>> {
        let config = &self.model.config;
        let width = config.head_width;
        let slot = history.slots.last().map_or(0, |&slot| slot as usize);
        let is_first = history.slots.len() == 1;
        let normed = Halves::new(&layer.input_norm.apply(x));
        let mut queries = layer.query.apply(&self.engine, &normed)?;
        let keys = layer.key.apply(&self.engine, &normed)?;
        let values = layer.value.apply(&self.engine, &normed)?;
        let vectors = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (head, (key, value)) in vectors.enumerate() {
            let mut key = match &layer.key_norm {
                Some(norm) => norm.apply(key),
                None => key.to_vec(),
            };
            if is_first {
                self.first_keys[index * config.kv_heads + head].clone_from(&key);
            }
            rotate(&mut key, angles);
            self.cache.set_key(index, head, slot, &key);
            self.cache.set_value(index, head, slot, value);
        }
        let mut mixed = vec![0; queries.len()];
        let group = config.heads / config.kv_heads;
        let vectors = queries
            .chunks_exact_mut(width)
            .zip(mixed.chunks_exact_mut(width));
        for (head, (query, out)) in vectors.enumerate() {
            if let Some(norm) = &layer.query_norm {
                query.copy_from_slice(&norm.apply(query));
            }
            rotate(query, angles);
            let place = (index, head / group);
            let work = self.cache.attend(place, &history.slots, query, out);
            self.engine.run(work);
        }
        layer.output.apply(&self.engine, &Halves::new(&mixed))
    }

    fn feed_forward(&self, layer: &Layer, x: &[i64]) -> Result<Vec<i64>> {
        let normed = Halves::new(&layer.inner_norm.apply(x));
        let mut gate = layer.gate.apply(&self.engine, &normed)?;
        let up = layer.up.apply(&self.engine, &normed)?;
        let powers = Powers::new();
        for (gate, &up) in gate.iter_mut().zip(&up) {
            let opened = silu(*gate, powers);
            *gate = scaled_wide(i128::from(opened) * i128::from(up), -crate::fixed::Q);
        }
        layer.down.apply(&self.engine, &Halves::new(&gate))
    }
}

fn add(x: &mut [i64], more: &[i64]) {
    for (x, &more) in x.iter_mut().zip(more) {
        *x = limited(*x + more);
    }
}
