//! Learned constants of linear prediction; the test `learn` below prints
//! them anew.

use super::tables::{CONTEXTS, KNOTS};

/// By context: P(|residual| < knot), Q16.
pub(crate) const LEARNED_Q16: [[u32; KNOTS]; CONTEXTS] = [
    [
        0, 11461, 21767, 30661, 37697, 43258, 47846, 51476, 54354, 56576, 58402, 59823, 60986,
        61949, 62764, 63362, 63786, 64440, 64875, 65114, 65240, 65312, 65386, 65412, 65427, 65462,
        65475, 65488, 65492, 65494, 65499, 65505, 65507, 65509, 65516, 65518, 65520, 65522, 65527,
        65529, 65531,
    ],
    [
        0, 6671, 13129, 19360, 25348, 30889, 35870, 40331, 44321, 47803, 50798, 53345, 55503,
        57331, 58859, 60121, 61161, 62710, 63716, 64385, 64798, 65063, 65234, 65337, 65404, 65478,
        65503, 65516, 65521, 65525, 65528, 65530, 65531, 65532, 65533, 65533, 65534, 65534, 65535,
        65535, 65535,
    ],
    [
        0, 5851, 11556, 17154, 22498, 27584, 32360, 36753, 40743, 44335, 47543, 50384, 52838,
        54967, 56774, 58306, 59614, 61611, 62973, 63876, 64474, 64854, 65098, 65255, 65351, 65450,
        65490, 65508, 65517, 65522, 65526, 65528, 65529, 65531, 65532, 65533, 65534, 65534, 65534,
        65535, 65535,
    ],
    [
        0, 5429, 10744, 15983, 21019, 25849, 30394, 34640, 38587, 42193, 45454, 48381, 50959,
        53221, 55193, 56895, 58354, 60637, 62230, 63331, 64079, 64566, 64880, 65083, 65217, 65363,
        65433, 65468, 65488, 65500, 65508, 65515, 65519, 65525, 65529, 65530, 65532, 65532, 65533,
        65533, 65534,
    ],
    [
        0, 4783, 9492, 14113, 18647, 22968, 27163, 31076, 34750, 38196, 41375, 44280, 46942, 49311,
        51448, 53325, 54995, 57718, 59759, 61253, 62347, 63132, 63709, 64121, 64419, 64810, 65032,
        65177, 65268, 65330, 65377, 65411, 65438, 65473, 65495, 65508, 65517, 65523, 65526, 65529,
        65531,
    ],
    [
        0, 3075, 6096, 9148, 12178, 15084, 17949, 20803, 23440, 26074, 28622, 31124, 33419, 35609,
        37710, 39729, 41540, 44944, 47968, 50545, 52697, 54483, 56034, 57269, 58359, 60010, 61199,
        62077, 62775, 63319, 63749, 64085, 64332, 64709, 64948, 65106, 65201, 65267, 65315, 65357,
        65386,
    ],
];

#[cfg(test)]
pub(crate) mod learn {
    use super::super::tables::{CONTEXTS, KNOTS, KNOTS_Q4};
    use crate::lossless::block::{Layout, Method, encode_block};
    use rcodec_core::SampleFormat;
    use std::cell::RefCell;

    thread_local! {
        /// Residual, expected magnitude (Q16) and context.
        static NOTES: RefCell<Option<Vec<(i64, u64, usize)>>> = const { RefCell::new(None) };
    }

    /// Notes what was coded, if asked to.
    pub(crate) fn note(residual: i64, mean_q16: u64, context: usize) {
        NOTES.with_borrow_mut(|notes| {
            if let Some(notes) = notes {
                notes.push((residual, mean_q16, context));
            }
        });
    }

    /// Prints [`LEARNED_Q16`](super::LEARNED_Q16) as learned from the WAV files
    /// that `RCODEC_LEARN_FROM` names, separated by spaces.
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
                block_frames: 5 * spec.sample_rate as usize,
            };
            for block in samples.chunks(layout.block_frames * channels) {
                encode_block(block, &layout, Method::Linear);
            }
        }
        let notes = NOTES.take().unwrap();
        for context in 0..CONTEXTS {
            let mut counts = [1u64; KNOTS];
            for &(residual, mean_q16, own_context) in &notes {
                // Where magnitudes are large, they are as good as continuous.
                if own_context == context && mean_q16 > 24 << 16 {
                    let at_q4 = (residual.unsigned_abs() << 20) / mean_q16;
                    let knot = KNOTS_Q4.iter().rposition(|&k| u64::from(k) <= at_q4);
                    counts[knot.unwrap()] += 1;
                }
            }
            let total: u64 = counts.iter().sum();
            let mut below = 0;
            print!("    [");
            for count in counts {
                print!("{}, ", below * 65536 / total);
                below += count;
            }
            println!("],");
        }
        if let Ok(path) = std::env::var("RCODEC_DUMP") {
            let bytes: Vec<u8> = notes
                .iter()
                .flat_map(|n| (n.0 as i32).to_le_bytes())
                .collect();
            std::fs::write(path, bytes).unwrap();
        }
    }
}
