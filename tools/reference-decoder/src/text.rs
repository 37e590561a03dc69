//! The codec `text`, from `crates/rcodec-text/FORMAT.md`: classes 0, 1 and 2,
//! and priors. The classes of language models, 3 and 4, are not covered.

mod histories;
mod matches;
mod model;
mod noted;
mod prior;
mod slots;

use crate::bytes::Bytes;
use crate::coding::{Coder, RangeDecoder, Rate};
use crate::error::{Result, malformed, not_covered};
use crate::model_file::{Id, Models};
use model::Model;
use noted::Context;
use prior::Prior;

/// What sets one class apart from another (sections 8 to 10 and 13).
struct Class {
    /// The contexts, in the order of their numbers.
    contexts: &'static [Context],
    /// Whether there are inputs of runs and of direct probabilities.
    runs_and_direct: bool,
    /// Inputs of the first layer, and where the kinds of them begin.
    inputs: usize,
    runs_at: usize,
    matches_at: usize,
    order0_at: usize,
    constant_at: usize,
    direct_at: usize,
    /// First layer: the first mixers of the list, their weights (Q16), rates.
    mixers: usize,
    weight: i32,
    rate: Rate,
    /// Second layer: the first mixers of its list, and their weights (Q16).
    second_mixers: usize,
    second_weight: i32,
    second_rate: Rate,
    /// Rates (Q16) of sets that a prior brings, in the first and second layer.
    prior_rates: [i32; 2],
    /// The shortest match of each match model.
    shortest: &'static [usize],
    /// Positions of a match model, at most, as a power of two.
    most_positions_log2: u32,
    /// The last stage's maps: points of a row, distance of points, the middle
    /// of the range, rows of the hashed ones.
    points: usize,
    step: i32,
    middle: i32,
    hashed_rows: usize,
    /// Which maps there are, and how often each of them counts in the mean, out
    /// of 8; that of the answer of the second layer itself is 2.
    maps: &'static [(MapKind, u32)],
    /// Whether the mean is averaged with what the last mixer says.
    last_mixer: bool,
    /// Without a size of its own, the table has at most two to this many lines.
    most_lines_log2: u32,
    /// The tensor of what a prior's model of the class had learned.
    weights: &'static str,
}

/// What selects the row of a map of the last stage.
#[derive(Clone, Copy, PartialEq)]
enum MapKind {
    Match,
    Order1,
    Order2,
    Order3,
    Word,
}

const CLASS_1: Class = Class {
    contexts: &[
        Context::Order(2),
        Context::Order(3),
        Context::Order(4),
        Context::Order(6),
        Context::Word,
        Context::WordPair,
        Context::Indirect,
        Context::Above,
        Context::Shape,
        Context::Nesting,
        Context::LineStart,
    ],
    runs_and_direct: false,
    inputs: 16,
    runs_at: 0,
    matches_at: 11,
    order0_at: 13,
    constant_at: 14,
    direct_at: 0,
    mixers: 4,
    weight: 10485,
    rate: Rate {
        first: 1200,
        last: 120,
        shift: 12,
    },
    second_mixers: 2,
    second_weight: 16384,
    second_rate: Rate {
        first: 600,
        last: 50,
        shift: 12,
    },
    prior_rates: [400, 200],
    shortest: &[6],
    most_positions_log2: 20,
    points: 16,
    step: 376,
    middle: 2820,
    hashed_rows: 1 << 13,
    maps: &[
        (MapKind::Match, 1),
        (MapKind::Order1, 2),
        (MapKind::Order3, 3),
    ],
    last_mixer: false,
    most_lines_log2: 18,
    weights: "weights.1",
};

const CLASS_2: Class = Class {
    contexts: &[
        Context::Order(1),
        Context::Order(2),
        Context::Order(3),
        Context::Order(4),
        Context::Order(6),
        Context::Word,
        Context::WordPair,
        Context::Order(5),
        Context::Indirect,
        Context::Above,
        Context::Sparse23,
        Context::Nesting,
        Context::LineStart,
        Context::WordSkip,
        Context::AboveLast,
        Context::Order(8),
        Context::WordTriple,
        Context::Sparse234,
        Context::Masked,
        Context::Field,
        Context::Shape,
        Context::Expected,
        Context::ShapeWord,
        Context::WordBefore,
        Context::LineColumn,
        Context::Indirect1,
    ],
    runs_and_direct: true,
    inputs: 72,
    runs_at: 26,
    matches_at: 52,
    order0_at: 58,
    constant_at: 59,
    direct_at: 60,
    mixers: 14,
    weight: 5242,
    rate: Rate {
        first: 1100,
        last: 80,
        shift: 12,
    },
    second_mixers: 4,
    second_weight: 4681,
    second_rate: Rate {
        first: 600,
        last: 50,
        shift: 12,
    },
    prior_rates: [400, 200],
    shortest: &[5, 8, 16],
    most_positions_log2: 22,
    points: 32,
    step: 182,
    middle: 2821,
    hashed_rows: 1 << 16,
    maps: &[
        (MapKind::Match, 1),
        (MapKind::Order1, 1),
        (MapKind::Order2, 1),
        (MapKind::Order3, 2),
        (MapKind::Word, 1),
    ],
    last_mixer: true,
    most_lines_log2: 21,
    weights: "weights.2",
};

/// The released priors: their ids, number 1 first.
const PRIORS: [u64; 3] = [
    0x64dc_7fa7_edec_999a,
    0x32df_1f0e_71b3_1f08,
    0x55a9_3976_6298_967f,
];

/// Bytes of a block, at most.
const MOST: u64 = 1 << 26;

/// Decodes the payload of one data block [2]. `named` are the models that the
/// stream's header names.
pub fn block(payload: &[u8], named: &[Id], models: &Models) -> Result<Vec<u8>> {
    if named.len() > 2 {
        return malformed("text: more than two models");
    }
    let mut bytes = Bytes(payload);
    let first = bytes.u8()?;
    let (number, sized, prior) = (first & 7, first & 8 != 0, first >> 4);
    let class = match number {
        0 if first == 0 => return Ok(bytes.rest().to_vec()),
        1 => &CLASS_1,
        2 => &CLASS_2,
        3 | 4 => return not_covered("text with a language model"),
        _ => return malformed("text: an unknown class"),
    };
    let length = bytes.varint_within(1, MOST)?;
    let usual = (length.next_power_of_two().ilog2() + 2).clamp(8, class.most_lines_log2);
    let mut lines_log2 = usual;
    if sized {
        lines_log2 = u32::from(bytes.u8()?);
        if !(8..=24).contains(&lines_log2) || lines_log2 == usual {
            return malformed("text: the size of the table");
        }
    }
    let prior = match (usize::from(prior), named) {
        (0, _) => None,
        (15, [first, ..]) => Some(*first),
        (n, _) if n <= PRIORS.len() => Some(PRIORS[n - 1].to_be_bytes()),
        _ => return malformed("text: an unknown prior"),
    };

    let mut model = Model::new(class, lines_log2);
    if let Some(id) = prior {
        model.begin_with(Prior::read(&models.find(id)?)?)?;
    }
    let mut coder = RangeDecoder::new(bytes.rest())?;
    for _ in 0..8 * length {
        let bit = coder.bit(model.predict())?;
        model.learn(bit);
    }
    coder.finish()?;
    Ok(model.into_content())
}
