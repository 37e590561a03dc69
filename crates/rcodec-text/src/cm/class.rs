//! The classes of models: which contexts, how many weight sets, how much
//! memory. They are part of the format and never change; a better model is a
//! new class.

use super::contexts::Kind;
use rcodec_entropy::logistic::LearningRate;

/// Contexts of class 1, the default: the first six are asked how much of the
/// past is known.
pub(crate) const STANDARD: [Kind; 10] = [
    Kind::Order(1),
    Kind::Order(2),
    Kind::Order(3),
    Kind::Order(4),
    Kind::Order(6),
    Kind::Word,
    Kind::WordPair,
    Kind::Order(5),
    Kind::Indirect,
    Kind::AboveLast,
];

/// Contexts of class 2: all.
pub(crate) const FULL: [Kind; 22] = [
    Kind::Order(1),
    Kind::Order(2),
    Kind::Order(3),
    Kind::Order(4),
    Kind::Order(6),
    Kind::Word,
    Kind::WordPair,
    Kind::Order(5),
    Kind::Indirect,
    Kind::AboveLast,
    Kind::Order(8),
    Kind::WordSkip,
    Kind::WordTriple,
    Kind::Sparse23,
    Kind::Sparse234,
    Kind::Above,
    Kind::Masked,
    Kind::Field,
    Kind::Nesting,
    Kind::Shape,
    Kind::LineStart,
    Kind::Expected,
];

/// What a class is made of.
pub(crate) struct Class<const C: usize> {
    /// Its contexts.
    pub(crate) contexts: [Kind; C],
    /// What the weights of the first layer begin with.
    pub(crate) first_weight_q16: i32,
    /// How quickly the first layer learns.
    pub(crate) first_rate: LearningRate,
    /// How quickly the second layer learns.
    pub(crate) second_rate: LearningRate,
}

/// Class 1.
pub(crate) const STANDARD_CLASS: Class<10> = Class {
    contexts: STANDARD,
    first_weight_q16: 65536 * 12 / 100,
    first_rate: LearningRate::falling(1200, 180, 12),
    second_rate: LearningRate::falling(600, 100, 12),
};

/// Class 2.
pub(crate) const FULL_CLASS: Class<22> = Class {
    contexts: FULL,
    first_weight_q16: 65536 * 7 / 100,
    first_rate: LearningRate::falling(1000, 140, 12),
    second_rate: LearningRate::falling(600, 100, 12),
};
