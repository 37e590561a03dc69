//! The classes of models: which contexts, how many weight sets, how much
//! memory. They are part of the format and never change; a better model is a
//! new class.

use super::contexts::{Kind, Tracker};
use super::direct::DIRECT;
use super::refining::Refining;
use super::{HashAll, Model, salted};
use rcodec_entropy::logistic::LearningRate;

/// Contexts of class 1, the default. The first ones of each class are asked how
/// much of the past is known ([`RANKED`](super::RANKED)).
pub(crate) const STANDARD: [Kind; STANDARD_CONTEXTS] = [
    Kind::Order(2),
    Kind::Order(3),
    Kind::Order(4),
    Kind::Order(6),
    Kind::Word,
    Kind::WordPair,
    Kind::Indirect,
    Kind::Above,
    Kind::Shape,
    Kind::Nesting,
    Kind::LineStart,
];

/// The hashes of some contexts, each known when the program is compiled, so
/// that nothing has to be decided when it runs.
macro_rules! hashes {
    ($kinds:ident, $($i:literal)*) => {
        |tracker, end, hashes| {
            $({
                const KIND: Kind = $kinds[$i];
                hashes[$i] = salted(tracker.context(KIND, end, (0, 0)), KIND);
            })*
        }
    };
}

const HASH_STANDARD: HashAll<STANDARD_CONTEXTS> = hashes!(STANDARD, 0 1 2 3 4 5 6 7 8 9 10);

const HASH_FULL: HashAll<FULL_CONTEXTS> = hashes!(
    FULL,
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27
);

/// Number of contexts of class 1.
pub(crate) const STANDARD_CONTEXTS: usize = 11;

/// Contexts of class 2.
pub(crate) const FULL: [Kind; FULL_CONTEXTS] = [
    Kind::Order(1),
    Kind::Order(2),
    Kind::Order(3),
    Kind::Order(4),
    Kind::Order(6),
    Kind::Word,
    Kind::WordPair,
    Kind::Order(5),
    Kind::Indirect,
    Kind::Above,
    Kind::Sparse23,
    Kind::Nesting,
    Kind::LineStart,
    Kind::WordSkip,
    Kind::AboveLast,
    Kind::Order(8),
    Kind::WordTriple,
    Kind::Sparse234,
    Kind::Masked,
    Kind::Field,
    Kind::Shape,
    Kind::Expected,
    Kind::ShapeWord,
    Kind::WordBefore,
    Kind::LineColumn,
    Kind::Indirect1,
    Kind::NestingWord,
    Kind::WordAbove,
];

/// The place of [`Kind::Expected`] in [`FULL`].
pub(crate) const EXPECTED_CONTEXT: usize = 21;

/// Those of [`FULL`] that have direct probabilities as well: orders 1 to 3, and
/// the word.
pub(crate) const DIRECT_CONTEXTS: [usize; DIRECT] = [0, 1, 2, 5];

/// Number of contexts of class 2.
pub(crate) const FULL_CONTEXTS: usize = 28;

/// What a class is made of.
pub(crate) struct Class<const C: usize, const K: usize, const M: usize> {
    /// Its number in the format.
    pub(crate) number: u8,
    /// Hashes its contexts.
    pub(crate) hash_all: HashAll<C>,
    /// Shortest matches of its match models, in bytes.
    pub(crate) min_matches: [usize; K],
    /// Positions that a match model remembers, at most: a power of two.
    pub(crate) most_heads_bits: u32,
    /// What chooses the weight sets of its mixers.
    pub(crate) selectors: [Selector; M],
    /// What the weights of the first layer begin with.
    pub(crate) first_weight_q16: i32,
    /// How quickly the first layer learns.
    pub(crate) first_rate: LearningRate,
    /// How quickly weight sets that a prior brings begin to learn, Q16.
    pub(crate) primed_rate_q16: u32,
    /// How far off a prediction has to be for the mixers to learn from it, of
    /// 65536.
    pub(crate) least_error_q16: u32,
    /// The last stages.
    pub(crate) refining: Refining,
}

impl<const C: usize, const K: usize, const M: usize> Class<C, K, M> {
    /// Positions that a match model remembers, as a power of two.
    pub(crate) fn heads_bits(&self, table_bits: u32) -> u32 {
        (table_bits + 1).clamp(10, self.most_heads_bits)
    }
}

/// Class 1: contexts and four more inputs make 15 of 16.
pub(crate) type Standard = Model<STANDARD_CONTEXTS, 1, 16, 4, 16, false>;
/// Class 2.
pub(crate) type Full = Model<FULL_CONTEXTS, 3, 72, 14, 32, true>;

/// Class 1.
pub(crate) const STANDARD_CLASS: Class<STANDARD_CONTEXTS, 1, 4> = Class {
    number: 1,
    hash_all: HASH_STANDARD,
    min_matches: [6],
    most_heads_bits: 20,
    selectors: [S[0], S[1], S[2], S[3]],
    first_weight_q16: 65536 * 16 / 100,
    first_rate: LearningRate::falling(1200, 120, 12),
    primed_rate_q16: 400,
    least_error_q16: 64,
    refining: Refining {
        rate: LearningRate::falling(600, 50, 12),
        hashed_bits: 13,
    },
};

/// Class 2.
pub(crate) const FULL_CLASS: Class<FULL_CONTEXTS, 3, 14> = Class {
    number: 2,
    hash_all: HASH_FULL,
    min_matches: [5, 8, 16],
    most_heads_bits: 20,
    selectors: S,
    first_weight_q16: 65536 * 8 / 100,
    first_rate: LearningRate::falling(1100, 60, 12),
    primed_rate_q16: 400,
    least_error_q16: 0,
    refining: Refining {
        rate: LearningRate::falling(600, 50, 12),
        hashed_bits: 16,
    },
};

/// What is known when the weights for a bit are chosen.
pub(crate) struct Situation<'t> {
    /// Bits of the byte after a leading one, and how many they are.
    pub(crate) partial: usize,
    pub(crate) bits_known: usize,
    /// How many of the first contexts have seen something.
    pub(crate) known: usize,
    /// Class of the longest match that still holds: 0 none, to 8.
    pub(crate) match_class: usize,
    /// What the longest match foretold: the byte and 256, or 0.
    pub(crate) expected: usize,
    pub(crate) tracker: &'t Tracker,
}

/// What chooses a mixer's weight set; a number below [`Selector::sets`].
#[derive(Clone, Copy)]
pub(crate) struct Selector(usize);

/// All selectors, in the order in which classes take them.
const S: [Selector; 14] = [
    Selector(9 * 64),
    Selector(768),
    Selector(1024),
    Selector(256),
    Selector(2048),
    Selector(256),
    Selector(512),
    Selector(1024),
    Selector(2048),
    Selector(1024),
    Selector(2048),
    Selector(2048),
    Selector(1024),
    Selector(8),
];

impl Selector {
    /// Number of weight sets.
    pub(crate) const fn sets(self) -> usize {
        self.0
    }
}

/// The weight sets of the first mixers: of all selectors the first `M`.
#[inline(always)]
pub(crate) fn select<const M: usize>(s: &Situation<'_>) -> [usize; M] {
    let t = s.tracker;
    let byte = |back| t.byte(back) as usize;
    let (partial, bits_known) = (s.partial, s.bits_known);
    let all = [
        (s.match_class * 8 + s.known) * 8 + bits_known,
        partial | t.above_agrees(partial, bits_known) << 8,
        t.classes() | (bits_known / 2) << 8,
        t.place(),
        byte(1) << 3 | bits_known,
        byte(2),
        s.expected,
        t.word().0 as usize >> 7 & 1023,
        t.column(255) << 3 | bits_known,
        byte(3) | (bits_known / 2) << 8,
        t.last_slot(2, 0) & 2047,
        t.shape() << 3 | bits_known,
        (t.word().1.min(15) as usize) << 6 | (byte(1) >> 5) << 3 | bits_known,
        bits_known,
    ];
    std::array::from_fn(|k| all[k])
}
