//! The classes of models: which contexts, how many weight sets, how much
//! memory. They are part of the format and never change; a better model is a
//! new class.

use super::contexts::Kind;
use rcodec_entropy::logistic::LearningRate;

/// Contexts of class 1, the default. The first ones of each class are asked how
/// much of the past is known ([`RANKED`](super::RANKED)).
pub(crate) const STANDARD: [Kind; STANDARD_CONTEXTS] = [
    Kind::Order(1),
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
    Kind::Field,
    Kind::LineStart,
    Kind::Expected,
];

/// Number of contexts of class 1.
pub(crate) const STANDARD_CONTEXTS: usize = 14;
/// Inputs of the mixers of class 1: contexts and six more, rounded up to 8.
pub(crate) const STANDARD_INPUTS: usize = 24;

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
];

/// Number of contexts of class 2.
pub(crate) const FULL_CONTEXTS: usize = 26;
/// Inputs of the mixers of class 2.
pub(crate) const FULL_INPUTS: usize = 32;

/// What a class is made of.
pub(crate) struct Class<const C: usize> {
    /// Its number in the format.
    pub(crate) number: u8,
    /// Its contexts.
    pub(crate) contexts: [Kind; C],
    /// What the weights of the first layer begin with.
    pub(crate) first_weight_q16: i32,
    /// How quickly the first layer learns.
    pub(crate) first_rate: LearningRate,
    /// How quickly weight sets that a prior brings begin to learn, Q16.
    pub(crate) primed_rate_q16: u32,
    /// How quickly the second layer learns.
    pub(crate) second_rate: LearningRate,
}

/// Class 1.
pub(crate) const STANDARD_CLASS: Class<STANDARD_CONTEXTS> = Class {
    number: 1,
    primed_rate_q16: 400,
    contexts: STANDARD,
    first_weight_q16: 65536 * 16 / 100,
    first_rate: LearningRate::falling(1200, 120, 12),
    second_rate: LearningRate::falling(600, 50, 12),
};

/// Class 2.
pub(crate) const FULL_CLASS: Class<FULL_CONTEXTS> = Class {
    number: 2,
    primed_rate_q16: 400,
    contexts: FULL,
    first_weight_q16: 65536 * 10 / 100,
    first_rate: LearningRate::falling(1100, 100, 12),
    second_rate: LearningRate::falling(600, 50, 12),
};
