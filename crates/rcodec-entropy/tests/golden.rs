//! Payloads that must never change: files written by any version decode with
//! every later one.

use rcodec_core::Result;
use rcodec_entropy::logistic::{
    Apm, Inputs, LearningRate, MixerStack, StackParameters, squash, stretch,
};
use rcodec_entropy::{
    AdaptiveBit, AdaptiveExpGolomb, AnsDecoder, AnsEncoder, BitCoder, BitModel, BitTree, Cdf,
    CountedBit, Family, ParametricTables, RangeBitDecoder, RangeBitEncoder, TwoRateBit,
    code_exp_golomb_signed,
};

/// A small generator, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self, n: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 32) as u32) % n
    }
}

/// Sends some of everything through a coder, and returns a hash of what came
/// out of it.
fn code_all<C: BitCoder>(coder: &mut C) -> Result<u64> {
    let mut random = Random(2024);
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut keep = |value: u64| hash = (hash ^ value).wrapping_mul(0x100_0000_01b3);

    let cdf = Cdf::from_frequencies(&[5, 0, 90, 1000, 3, 17])?;
    let tables = ParametricTables::new(Family::Logistic, 2)?;
    let mut escape = AdaptiveExpGolomb::new(2);
    let mut adaptive = AdaptiveBit::<5>::default();
    let mut counted = CountedBit::<255>::default();
    let mut two_rate = TwoRateBit::<4, 7>::default();
    let mut tree = BitTree::<CountedBit<60>, 64>::new();
    for _ in 0..2000 {
        let (a, b) = (random.next(100), random.next(100));
        let bit = a * b < 1500;
        let p1_q16 = random.next(65_535) + 1;
        keep(coder.code_bit(random.next(65_536) < p1_q16, p1_q16)?.into());
        keep(coder.code_raw(a, 7)?.into());
        keep(coder.code_cdf(b % 6, &cdf)?.into());
        keep(adaptive.code(coder, bit)?.into());
        keep(counted.code(coder, bit)?.into());
        keep(two_rate.code(coder, bit)?.into());
        keep(tree.code(coder, a * b / 200)?.into());
        keep(code_exp_golomb_signed(coder, i64::from(a) - 50, 3)? as u64);
        let value = (a as i32 - 50) * b as i32 / 20;
        keep(tables.code(
            coder,
            &mut escape,
            (b / 2) as usize,
            (a % 2) as usize,
            value,
        )? as u64);
    }

    // Mixing: three inputs, of which one depends on the previous bit.
    let rate = LearningRate::falling(1000, 150, 7);
    let parameters = StackParameters {
        first_weight_q16: 20_000,
        first_rate: rate,
        second_rate: rate,
    };
    let mut stack = MixerStack::<8, 2>::new([2, 1], 2, parameters);
    let mut apm = Apm::new(2, 255);
    let (mut slow, mut fast) = (CountedBit::<255>::default(), CountedBit::<20>::default());
    let mut after = [CountedBit::<255>::default(); 2];
    let mut last = 0;
    for _ in 0..5000 {
        let bit = random.next(10) < if last == 0 { 1 } else { 7 };
        let mut inputs = Inputs::new();
        inputs.set(0, stretch(slow.p1_q16()));
        inputs.set(1, stretch(fast.p1_q16()));
        inputs.set(2, stretch(after[last].p1_q16()));
        inputs.set(3, 256);
        let mixed = stack.mix(&inputs, [last, 0], last);
        let refined = apm.refine(mixed, last);
        let bit = coder.code_bit(bit, (squash(mixed) + refined) / 2)?;
        keep(bit.into());
        stack.update(&inputs, bit);
        apm.update(bit);
        slow.update(bit);
        fast.update(bit);
        after[last].update(bit);
        last = usize::from(bit);
    }
    Ok(hash)
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn payloads_never_change() {
    let mut encoder = RangeBitEncoder::new();
    let coded = code_all(&mut encoder).unwrap();
    let range = encoder.finish();
    let mut decoder = RangeBitDecoder::new(&range);
    assert_eq!(code_all(&mut decoder).unwrap(), coded);
    decoder.finish().unwrap();

    let mut encoder = AnsEncoder::new();
    assert_eq!(code_all(&mut encoder).unwrap(), coded);
    let ans = encoder.finish();
    let mut decoder = AnsDecoder::new(&ans).unwrap();
    assert_eq!(code_all(&mut decoder).unwrap(), coded);
    decoder.finish().unwrap();

    let found = [
        coded,
        range.len() as u64,
        fnv(&range),
        ans.len() as u64,
        fnv(&ans),
    ];
    assert_eq!(found, GOLDEN);
}

const GOLDEN: [u64; 5] = [
    682_549_909_030_967_753,
    12_726,
    127_562_227_006_706_415,
    12_728,
    10_193_306_653_116_076_262,
];
