//! Everything that can be coded, coded by every coder and decoded again.

use proptest::prelude::*;
use rcodec_core::Result;
use rcodec_entropy::{
    AdaptiveBit, AdaptiveExpGolomb, AnsDecoder, AnsEncoder, BitCoder, BitModel, BitTree, Cdf,
    CostEstimator, CountedBit, Family, ParametricTables, RangeBitDecoder, RangeBitEncoder,
    TwoRateBit, code_exp_golomb, code_exp_golomb_signed, code_raw_u64,
};
use std::sync::LazyLock;

static TABLES: LazyLock<ParametricTables> =
    LazyLock::new(|| ParametricTables::new(Family::Logistic, 2).unwrap());

/// One thing to code.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Bit(bool, u32),
    Raw(u64, u32),
    Table(u32),
    Adaptive(bool),
    Counted(bool),
    TwoRate(bool),
    Tree(u32),
    Golomb(u64, u32),
    Signed(i64, u32),
    Learned(u64),
    LearnedSigned(i64),
    Scaled(i32, usize, usize),
}

/// All the models, in the state that both sides share.
struct Models {
    cdf: Cdf,
    adaptive: AdaptiveBit,
    counted: CountedBit,
    two_rate: TwoRateBit,
    tree: BitTree<AdaptiveBit<4>, 32>,
    learned: AdaptiveExpGolomb,
    learned_signed: AdaptiveExpGolomb<AdaptiveBit>,
    escape: AdaptiveExpGolomb,
}

impl Models {
    fn new(frequencies: &[u32]) -> Self {
        Models {
            cdf: Cdf::from_frequencies(frequencies).unwrap(),
            adaptive: AdaptiveBit::default(),
            counted: CountedBit::default(),
            two_rate: TwoRateBit::default(),
            tree: BitTree::new(),
            learned: AdaptiveExpGolomb::new(0),
            learned_signed: AdaptiveExpGolomb::new(5),
            escape: AdaptiveExpGolomb::new(3),
        }
    }

    /// Codes an item; when decoding, only its kind and parameters are used.
    fn code<C: BitCoder>(&mut self, c: &mut C, item: &Item) -> Result<Item> {
        /// What a decoder passes where it knows nothing.
        fn known<C: BitCoder, T: Default>(value: T) -> T {
            if C::DECODES { T::default() } else { value }
        }
        Ok(match *item {
            Item::Bit(bit, p) => Item::Bit(c.code_bit(known::<C, _>(bit), p)?, p),
            Item::Raw(v, n) => Item::Raw(code_raw_u64(c, known::<C, _>(v), n)?, n),
            Item::Table(s) => Item::Table(c.code_cdf(known::<C, _>(s), &self.cdf)?),
            Item::Adaptive(b) => Item::Adaptive(self.adaptive.code(c, known::<C, _>(b))?),
            Item::Counted(b) => Item::Counted(self.counted.code(c, known::<C, _>(b))?),
            Item::TwoRate(b) => Item::TwoRate(self.two_rate.code(c, known::<C, _>(b))?),
            Item::Tree(s) => Item::Tree(self.tree.code(c, known::<C, _>(s))?),
            Item::Golomb(v, k) => Item::Golomb(code_exp_golomb(c, known::<C, _>(v), k)?, k),
            Item::Signed(v, k) => Item::Signed(code_exp_golomb_signed(c, known::<C, _>(v), k)?, k),
            Item::Learned(v) => Item::Learned(self.learned.code(c, known::<C, _>(v))?),
            Item::LearnedSigned(v) => {
                Item::LearnedSigned(self.learned_signed.code_signed(c, known::<C, _>(v))?)
            }
            Item::Scaled(v, scale, mean) => Item::Scaled(
                TABLES.code(c, &mut self.escape, scale, mean, known::<C, _>(v))?,
                scale,
                mean,
            ),
        })
    }
}

fn any_u64() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(v, shift)| v >> shift)
}

fn any_i64() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0..64u32).prop_map(|(v, shift)| v >> shift)
}

fn item(symbols: u32) -> impl Strategy<Value = Item> {
    prop_oneof![
        (
            any::<bool>(),
            prop_oneof![Just(1), Just(65535), 1..65536u32]
        )
            .prop_map(|(b, p)| Item::Bit(b, p)),
        (any::<u64>(), 0..=64u32)
            .prop_map(|(v, n)| { Item::Raw((u128::from(v) & ((1u128 << n) - 1)) as u64, n) }),
        (0..symbols).prop_map(Item::Table),
        any::<bool>().prop_map(Item::Adaptive),
        any::<bool>().prop_map(Item::Counted),
        any::<bool>().prop_map(Item::TwoRate),
        (0..32u32).prop_map(Item::Tree),
        (any_u64(), 0..64u32).prop_map(|(v, k)| Item::Golomb(v, k)),
        (any_i64(), 0..64u32).prop_map(|(v, k)| Item::Signed(v, k)),
        any_u64().prop_map(Item::Learned),
        any_i64().prop_map(Item::LearnedSigned),
        (any_i64(), 0..64usize, 0..2usize).prop_map(|(v, scale, mean)| Item::Scaled(
            (v >> 32) as i32,
            scale,
            mean
        )),
    ]
}

fn stream() -> impl Strategy<Value = (Vec<u32>, Vec<Item>)> {
    prop::collection::vec(prop_oneof![Just(0), 0..10u32, any::<u32>()], 1..600).prop_flat_map(
        |frequencies| {
            let symbols = frequencies.len() as u32;
            (
                Just(frequencies),
                prop::collection::vec(item(symbols), 0..300),
            )
        },
    )
}

proptest! {
    #[test]
    fn every_coder_gives_back_what_it_was_given((frequencies, items) in stream()) {
        let mut range = (Models::new(&frequencies), RangeBitEncoder::new());
        let mut ans = (Models::new(&frequencies), AnsEncoder::new());
        let mut cost = (Models::new(&frequencies), CostEstimator::new());
        for item in &items {
            prop_assert_eq!(&range.0.code(&mut range.1, item).unwrap(), item);
            prop_assert_eq!(&ans.0.code(&mut ans.1, item).unwrap(), item);
            prop_assert_eq!(&cost.0.code(&mut cost.1, item).unwrap(), item);
        }
        let (range, ans, cost) = (range.1.finish(), ans.1.finish(), cost.1);
        // Neither coder wastes more than a few bytes. ANS begins with a state
        // of 0, in which a first symbol may take up to two bytes too many, or
        // nothing at all.
        let ideal = cost.bits_q24() as f64 / 8.0 / f64::from(1 << 24);
        let over = |len: usize| len as f64 - ideal - ideal * 1e-4;
        prop_assert!(over(range.len()) < 1.5, "{} {}", range.len(), ideal);
        prop_assert!(over(ans.len()) < 3.5, "{} {}", ans.len(), ideal);

        let mut models = Models::new(&frequencies);
        let mut decoder = RangeBitDecoder::new(&range);
        for item in &items {
            prop_assert_eq!(&models.code(&mut decoder, item).unwrap(), item);
        }
        decoder.finish().unwrap();

        let mut models = Models::new(&frequencies);
        let mut decoder = AnsDecoder::new(&ans).unwrap();
        for item in &items {
            prop_assert_eq!(&models.code(&mut decoder, item).unwrap(), item);
        }
        decoder.finish().unwrap();
    }
}

proptest! {
    /// Any bytes decode to something or to an error that blames them.
    #[test]
    fn hostile_payloads_end_in_time(
        (frequencies, items) in stream(),
        payload in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 0..200),
    ) {
        let mut models = Models::new(&frequencies);
        let mut decoder = RangeBitDecoder::new(&payload);
        let failed = items.iter().find_map(|item| models.code(&mut decoder, item).err());
        if let Some(error) = failed.or(decoder.finish().err()) {
            prop_assert!(error.is_bad_input(), "{}", error);
        }

        let mut models = Models::new(&frequencies);
        match AnsDecoder::new(&payload) {
            Ok(mut decoder) => {
                let failed = items.iter().find_map(|item| models.code(&mut decoder, item).err());
                if let Some(error) = failed.or(decoder.finish().err()) {
                    prop_assert!(error.is_bad_input(), "{}", error);
                }
            }
            Err(error) => prop_assert!(error.is_bad_input(), "{}", error),
        }
    }

    /// One changed byte is noticed or decodes to other items, and never
    /// panics.
    #[test]
    fn a_changed_byte_changes_something(
        (frequencies, items) in stream(),
        (at, flip) in (any::<prop::sample::Index>(), 1..=255u8),
    ) {
        let mut models = Models::new(&frequencies);
        let mut encoder = RangeBitEncoder::new();
        for item in &items {
            models.code(&mut encoder, item).unwrap();
        }
        let mut payload = encoder.finish();
        prop_assume!(!payload.is_empty());
        let at = at.index(payload.len());
        payload[at] ^= flip;

        let mut models = Models::new(&frequencies);
        let mut decoder = RangeBitDecoder::new(&payload);
        let mut same = true;
        for item in &items {
            match models.code(&mut decoder, item) {
                Ok(decoded) => same &= decoded == *item,
                Err(error) => {
                    prop_assert!(error.is_bad_input());
                    return Ok(());
                }
            }
        }
        prop_assert!(!same || decoder.finish().is_err());
    }
}
