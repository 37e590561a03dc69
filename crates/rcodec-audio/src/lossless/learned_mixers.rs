//! What the mixers of the residual coder begin with, Q12: the mean of what they
//! had learned at the end of training sounds. The test `learn` below prints it
//! anew.

use super::decision_mixer::KINDS;
use super::residual::{SIGN_INPUTS, SIGN_SETS};

/// Of the narrow mixer, by kind of decision.
pub(crate) const NARROW_Q12: [[i16; 8]; KINDS] = [
    [535, 750, 934, 441, 420, 545, 633, 119],
    [720, 755, 698, 466, 627, 888, 882, -378],
    [968, 960, 925, 404, 401, 379, 372, 611],
];

/// Of the wide mixer, by selection and kind of decision.
pub(crate) const WIDE_Q12: [[[i16; 16]; KINDS]; 3] = [
    [
        [
            361, 166, 605, 859, 433, 234, -44, 294, 288, 1138, 80, 139, -66, 0, 0, 210,
        ],
        [
            388, 268, 438, 552, 402, 199, 135, 622, 497, 893, 224, 361, 110, 0, 0, -448,
        ],
        [
            610, 592, 573, 567, 601, 153, 117, 145, 131, 257, 119, 183, 185, 0, 0, 361,
        ],
    ],
    [
        [
            394, 431, 294, 371, 423, 363, 356, 397, 372, 245, 347, 303, 277, 0, 0, 300,
        ],
        [
            301, 289, 252, 297, 337, 291, 445, 621, 538, 278, 325, 436, 302, 0, 0, -464,
        ],
        [
            537, 530, 490, 498, 536, 212, 207, 215, 199, 66, 196, 195, 198, 0, 0, 418,
        ],
    ],
    [
        [
            259, 302, 544, 625, 344, 321, 204, 362, 270, 902, 64, 230, 125, 0, 0, 328,
        ],
        [
            158, 120, 552, 634, 279, 212, 409, 690, 396, 1196, 23, 343, 187, 0, 0, -387,
        ],
        [
            652, 622, 552, 579, 647, 174, 112, 152, 138, 265, -7, 161, 152, 0, 0, 490,
        ],
    ],
];

/// Of the sign's mixer, by loudness.
pub(crate) const SIGN_Q12: [[i16; SIGN_INPUTS]; SIGN_SETS] = [
    [
        1818, 462, 0, 452, 457, 457, 700, 820, 994, 1206, 0, 0, 0, 0, 0, 0,
    ],
    [
        1818, 462, 0, 452, 457, 457, 700, 820, 994, 1206, 0, 0, 0, 0, 0, 0,
    ],
    [
        1571, 329, 0, 357, 286, 286, 530, 596, 830, 822, 0, 0, 0, 0, 0, 0,
    ],
    [
        1806, 288, 0, 343, 295, 295, 583, 791, 1004, 746, 0, 0, 0, 0, 0, 0,
    ],
    [
        1923, 255, 0, 342, 296, 296, 630, 886, 1206, 874, 0, 0, 0, 0, 0, 0,
    ],
    [
        1854, 174, 0, 222, 208, 208, 520, 746, 1102, 901, 0, 0, 0, 0, 0, 0,
    ],
    [
        1744, 179, 0, 230, 206, 206, 412, 649, 1053, 893, 0, 0, 0, 0, 0, 0,
    ],
    [
        1793, 235, 0, 250, 227, 227, 530, 836, 993, 945, 0, 0, 0, 0, 0, 0,
    ],
];

#[cfg(test)]
pub(crate) mod learn {
    use crate::lossless::block::{Layout, Method, encode_block};
    use rcodec_core::SampleFormat;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    type Learned = Vec<(usize, usize, Vec<i16>, u32)>;

    thread_local! {
        static NOTES: RefCell<Option<Learned>> = const { RefCell::new(None) };
    }

    /// Notes what mixers had learned, if asked to.
    pub(crate) fn note(learned: Learned) {
        NOTES.with_borrow_mut(|notes| {
            if let Some(notes) = notes {
                notes.extend(learned);
            }
        });
    }

    /// Mixers that still learn quicker than this, Q16, have seen too little.
    const SETTLED_Q16: [u32; 3] = [160, 160, 60];

    /// Prints the tables above as learned from the WAV files that
    /// `RCODEC_LEARN_FROM` names, separated by spaces.
    #[test]
    #[ignore = "needs sound to learn from"]
    fn learn() {
        let files = std::env::var("RCODEC_LEARN_FROM").unwrap();
        NOTES.with_borrow_mut(|notes| *notes = Some(Vec::new()));
        for file in files.split_whitespace() {
            let mut reader = hound::WavReader::open(file).unwrap();
            let spec = reader.spec();
            let samples: Vec<i32> = reader.samples().map(Result::unwrap).collect();
            let channels = usize::from(spec.channels);
            let layout = Layout {
                channels,
                format: SampleFormat::Int {
                    bits: spec.bits_per_sample as u8,
                },
                block_frames: 10 * spec.sample_rate as usize,
            };
            let slow = spec.sample_rate * u32::from(spec.channels) <= 48_000;
            for block in samples.chunks(layout.block_frames * channels) {
                for preset in [2, if slow { 6 } else { 3 }] {
                    encode_block(block, &layout, Method::Preset(preset));
                }
            }
        }
        let notes = NOTES.take().unwrap();
        let mut sums: BTreeMap<(usize, usize), (i64, Vec<i64>)> = BTreeMap::new();
        for (table, row, weights, rate_q16) in notes {
            if rate_q16 < SETTLED_Q16[table] {
                let (count, sum) = sums
                    .entry((table, row))
                    .or_insert_with(|| (0, vec![0; weights.len()]));
                *count += 1;
                for (sum, weight) in sum.iter_mut().zip(weights) {
                    *sum += i64::from(weight);
                }
            }
        }
        for ((table, row), (count, sum)) in sums {
            let mean: Vec<i64> = sum.iter().map(|sum| sum / count).collect();
            println!("{table} {row} of {count}: {mean:?},");
        }
    }
}
