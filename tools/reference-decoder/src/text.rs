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
    /// The limit of their bits.
    map_limit: u32,
    hashed_rows: usize,
    /// How often the answer of the second layer itself counts in the mean, out of
    /// 8; which maps there are, and how often each of them does.
    own_share: u32,
    maps: &'static [(MapKind, u32)],
    /// Whether the mean is averaged with what the last mixer says.
    last_mixer: bool,
    /// The least error (in 1/65536) from which mixers learn.
    least_error: u32,
    /// The maps that a prior brings, in its order.
    prior_maps: &'static [MapKind],
    /// Without a size of its own, the table has at most two to this many lines; the
    /// second if there are more than 2^21 bytes.
    most_lines_log2: [u32; 2],
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
    Foretold,
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
    second_mixers: 1,
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
    map_limit: 255,
    hashed_rows: 1 << 13,
    own_share: 2,
    maps: &[(MapKind::Order1, 3), (MapKind::Order3, 3)],
    last_mixer: false,
    least_error: 64,
    prior_maps: &[MapKind::Order1],
    most_lines_log2: [18, 18],
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
        Context::NestingWord,
        Context::WordAbove,
    ],
    runs_and_direct: true,
    inputs: 72,
    runs_at: 28,
    matches_at: 56,
    order0_at: 62,
    constant_at: 63,
    direct_at: 64,
    mixers: 14,
    weight: 5242,
    rate: Rate {
        first: 1100,
        last: 60,
        shift: 12,
    },
    second_mixers: 5,
    second_weight: 4681,
    second_rate: Rate {
        first: 600,
        last: 50,
        shift: 12,
    },
    prior_rates: [400, 200],
    shortest: &[5, 8, 16],
    most_positions_log2: 20,
    points: 32,
    step: 182,
    middle: 2821,
    map_limit: 1023,
    hashed_rows: 1 << 16,
    own_share: 1,
    maps: &[
        (MapKind::Match, 1),
        (MapKind::Order1, 1),
        (MapKind::Order2, 1),
        (MapKind::Order3, 2),
        (MapKind::Word, 1),
        (MapKind::Foretold, 1),
    ],
    last_mixer: true,
    least_error: 0,
    prior_maps: &[MapKind::Order1, MapKind::Match],
    most_lines_log2: [22, 21],
    weights: "weights.2",
};

/// The released priors: their ids, number 1 first.
const PRIORS: [u64; 3] = [
    0xc34c_3f6e_efc5_197b,
    0xc50b_c873_c816_0022,
    0x343d_9004_e23d_8daa,
];

/// Bytes of a block that has a model, at most.
const MOST: u64 = 1 << 26;

/// Decodes the payload of one data block [2]. `named` are the models that the
/// stream's header names.
pub fn block(payload: &[u8], named: &[Id], models: &Models) -> Result<Vec<u8>> {
    let mut bytes = Bytes(payload);
    let first = bytes.u8()?;
    let (number, sized, prior) = (first & 7, first & 8 != 0, first >> 4);
    let class = match number {
        0 if first == 0 => return Ok(bytes.rest().to_vec()),
        0 => return malformed("text: a stored block with a model"),
        1 => &CLASS_1,
        2 => &CLASS_2,
        3 | 4 => return not_covered("text with a language model"),
        _ => return malformed("text: an unknown class"),
    };
    let length = bytes.varint_within(1, MOST)?;
    let most = class.most_lines_log2[usize::from(length > 1 << 21)];
    let usual = (length.next_power_of_two().ilog2() + 2).clamp(8, most);
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"the cat sat on the mat; the cat sat on the hat; the hat sat on the cat\n";

    const CLASS_1_PAYLOAD: [u8; 31] = [
        0x01, 0x47, 0x8d, 0x2f, 0x89, 0x74, 0xa3, 0x39, 0x4e, 0x27, 0xcb, 0xbc, 0xd9, 0x9a, 0x8c,
        0x66, 0x31, 0x0d, 0x80, 0x76, 0x9d, 0xa7, 0x1b, 0xb5, 0x03, 0x5e, 0x76, 0x52, 0x40, 0x22,
        0x3c,
    ];
    const CLASS_2_PAYLOAD: [u8; 30] = [
        0x02, 0x47, 0x86, 0x2e, 0x4c, 0x74, 0xe4, 0x90, 0x64, 0x58, 0x2e, 0x8d, 0xfe, 0xe4, 0xfe,
        0xc4, 0xe8, 0xa4, 0x4f, 0x9a, 0x04, 0xc5, 0x89, 0xd8, 0x7b, 0xc8, 0xb9, 0xe1, 0x51, 0x74,
    ];

    fn decoded(payload: &[u8]) -> Result<Vec<u8>> {
        block(payload, &[], &Models::default())
    }

    #[test]
    fn the_examples_of_the_page_decode() {
        assert_eq!(decoded(&CLASS_1_PAYLOAD).unwrap(), TEXT);
        assert_eq!(decoded(&CLASS_2_PAYLOAD).unwrap(), TEXT);
    }

    #[test]
    fn probabilities_are_those_of_the_page() {
        let expected = [
            (
                &CLASS_1,
                [
                    (
                        0_usize,
                        [35307, 4764, 35368, 48892, 55149, 44460, 49504, 42055],
                    ),
                    (1, [35059, 30353, 35554, 40534, 35059, 39556, 35121, 31653]),
                    (24, [6825, 50203, 57675, 29570, 6761, 33955, 16813, 15319]),
                    (70, [2, 5, 65520, 27637, 24209, 24757, 24392, 25857]),
                ],
            ),
            (
                &CLASS_2,
                [
                    (0, [34074, 1563, 33946, 49233, 56295, 42285, 48831, 39790]),
                    (1, [29891, 31526, 41027, 47512, 33723, 38464, 33723, 29999]),
                    (24, [629, 56663, 63152, 28528, 3135, 35334, 8931, 2304]),
                    (70, [1, 1, 65534, 26246, 19069, 24634, 24286, 25804]),
                ],
            ),
        ];
        for (class, of_bytes) in expected {
            // 71 bytes: 2^7, and 2 more.
            let mut model = Model::new(class, 9);
            let mut found = Vec::new();
            for byte in TEXT {
                found.push([7, 6, 5, 4, 3, 2, 1, 0].map(|i| {
                    let p1 = model.predict();
                    model.learn(byte >> i & 1 == 1);
                    p1
                }));
            }
            assert_eq!(of_bytes.map(|(at, _)| (at, found[at])), of_bytes);
        }
    }

    #[test]
    fn what_the_page_refuses_is_refused() {
        let coded = &CLASS_1_PAYLOAD[2..];
        let with = |head: &[u8]| decoded(&[head, coded].concat());
        assert!(with(&[0x01, 71]).is_ok());
        // Stored with other bits, classes and priors that there are not.
        for first in [0x08, 0x10, 0x05, 0x07, 0x41, 0xE1, 0xF1] {
            assert!(with(&[first, 71]).is_err(), "{first:02x}");
        }
        // Lengths: none, too long, in more bytes than it needs.
        assert!(with(&[0x01, 0]).is_err());
        assert!(with(&[0x01, 0x81, 0x80, 0x80, 0x20]).is_err());
        assert!(with(&[0x01, 0xC7, 0]).is_err());
        // Sizes: out of bounds, and what it is anyway.
        for lines_log2 in [7, 25, 9] {
            assert!(with(&[0x09, 71, lines_log2]).is_err(), "{lines_log2}");
        }
        // Bytes that are missing, and bytes that are left.
        assert!(decoded(&CLASS_1_PAYLOAD[..20]).is_err());
        assert!(decoded(&[&CLASS_1_PAYLOAD[..], &[0]].concat()).is_err());
        assert!(decoded(&[]).is_err());
        // Stored, with and without content.
        assert_eq!(decoded(&[0, b'a']).unwrap(), b"a");
        assert_eq!(decoded(&[0]).unwrap(), b"");
    }
}
