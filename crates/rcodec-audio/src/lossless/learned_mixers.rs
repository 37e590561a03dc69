//! What the mixers of the residual coder begin with, Q12: the mean of what they
//! had learned at the end of training sounds. The test `learn` below prints it
//! anew.

use super::decision_mixer::KINDS;
use super::residual::{SIGN_INPUTS, SIGN_SETS};

/// Of the narrow mixer, by kind of decision.
pub(crate) const NARROW_Q12: [[i16; 8]; KINDS] = [[819; 8]; KINDS];

/// Of the wide mixer, by selection and kind of decision.
pub(crate) const WIDE_Q12: [[[i16; 16]; KINDS]; 3] = [[[410; 16]; KINDS]; 3];

/// Of the sign's mixer, by loudness.
pub(crate) const SIGN_Q12: [[i16; SIGN_INPUTS]; SIGN_SETS] = [[1024; SIGN_INPUTS]; SIGN_SETS];

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
