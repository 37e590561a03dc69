//! Binary decisions predicted by counters in several contexts and a mixer.

use rcodec_core::Result;
use rcodec_entropy::logistic::{Inputs, LearningRate, Mixer, squash, stretch};
use rcodec_entropy::{BitCoder, BitModel, CountedBit};

/// Slots of a mixer.
const SLOTS: usize = 8;
/// How far counters count: they go on adapting at a rate of 1/256.
type Counter = CountedBit<255>;
/// What a counter of a prior counts at most: how quickly it moves on.
const PRIOR_COUNT: u32 = 30;

/// One kind of decision: a table of counters for each of `K` contexts (at most
/// seven), mixed.
#[derive(Clone, Debug)]
pub(crate) struct Decision<const K: usize> {
    tables: [Vec<Counter>; K],
    mixer: Mixer<SLOTS>,
    inputs: Inputs<SLOTS>,
    mixed_q8: i32,
}

impl<const K: usize> Decision<K> {
    /// Tables of these sizes, and so many weight sets.
    pub(crate) fn new(sizes: [usize; K], sets: usize) -> Self {
        const { assert!(K < SLOTS) }
        Decision {
            tables: sizes.map(|size| vec![Counter::default(); size]),
            mixer: Mixer::new(
                sets,
                // A little more than their mean: they are right together.
                (5 << 16) / (4 * K as i32),
                LearningRate::falling(400, 60, 10),
            ),
            inputs: Inputs::new(),
            mixed_q8: 0,
        }
    }

    /// What the mixture said last, in the logistic domain.
    pub(crate) fn mixed_q8(&self) -> i32 {
        self.mixed_q8
    }

    /// Codes a decision in its contexts, and learns it.
    #[inline]
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        contexts: [usize; K],
        set: usize,
    ) -> Result<bool> {
        self.code_corrected(coder, bit, contexts, set, 0)
    }

    /// The same with something that is added to what the mixture says, in the
    /// logistic domain; the mixture does not learn from it.
    #[inline]
    pub(crate) fn code_corrected<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        contexts: [usize; K],
        set: usize,
        added_q8: i32,
    ) -> Result<bool> {
        for (i, (table, context)) in self.tables.iter().zip(contexts).enumerate() {
            self.inputs.set(i, stretch(table[context].p1_q16()));
        }
        self.inputs.set(SLOTS - 1, 256);
        self.mixed_q8 = self.mixer.mix(&self.inputs, set);
        let bit = coder.code_bit(bit, squash(self.mixed_q8 + added_q8))?;
        for (table, context) in self.tables.iter_mut().zip(contexts) {
            table[context].update(bit);
        }
        self.mixer.update(&self.inputs, bit);
        Ok(bit)
    }

    /// Has one table alone predict, for comparison: weights of 1 and 0 that stay
    /// so.
    pub(crate) fn predict_alone(&mut self, table: usize) {
        let sets = self.mixer.sets();
        self.mixer = Mixer::new(sets, 0, LearningRate::constant(0));
        let mut weights_q12 = [0; SLOTS];
        weights_q12[table] = 1 << 12;
        for set in 0..sets {
            self.mixer.set_weights(set, &weights_q12, 0);
        }
    }

    /// Bytes of [`write`](Self::write).
    pub(crate) fn prior_bytes(&self) -> usize {
        let counters: usize = self.tables.iter().map(Vec::len).sum();
        3 * counters + 2 * SLOTS * self.mixer.sets()
    }

    /// What was learned: of each counter the probability in Q16 and the count;
    /// of each weight set its weights in Q12.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for counter in self.tables.iter().flatten() {
            out.extend_from_slice(&(counter.p1_q16() as u16).to_le_bytes());
            out.push(counter.count() as u8);
        }
        for set in 0..self.mixer.sets() {
            for weight in self.mixer.weights_q12(set) {
                out.extend_from_slice(&weight.to_le_bytes());
            }
        }
    }

    /// Takes what [`write`](Self::write) wrote; gives back the rest.
    pub(crate) fn read<'a>(&mut self, prior: &'a [u8]) -> &'a [u8] {
        let (own, rest) = prior.split_at(self.prior_bytes());
        let mut bytes = own.iter().copied();
        let mut next = || bytes.next().unwrap_or(0);
        for counter in self.tables.iter_mut().flatten() {
            let p1_q16 = u32::from(u16::from_le_bytes([next(), next()]));
            *counter = Counter::with_p1_q16(p1_q16, u32::from(next()).min(PRIOR_COUNT));
        }
        for set in 0..self.mixer.sets() {
            let mut weights = [0; SLOTS];
            for weight in &mut weights {
                *weight = i16::from_le_bytes([next(), next()]);
            }
            self.mixer.set_weights(set, &weights, 150);
        }
        rest
    }
}
