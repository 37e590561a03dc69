//! Every operation of every level against the scalar one.

use super::*;

/// Applies each operation to the same random vectors; gives all the results.
struct Operations {
    seed: u64,
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// An `i16`, the extremes often.
fn word(state: &mut u64) -> i16 {
    match random(state) % 6 {
        0 => i16::MIN,
        1 => i16::MAX,
        _ => random(state) as i16,
    }
}

struct Record<I: Isa> {
    isa: I,
    values: Vec<i64>,
}

impl<I: Isa> Record<I> {
    fn words(&mut self, v: I::I16) {
        let mut lanes = [0; LANES_I16];
        self.isa.store16(v, &mut lanes);
        self.values.extend(lanes.map(i64::from));
        let mut bytes = [0i8; LANES_I16];
        self.isa.store8(v, &mut bytes);
        self.values.extend(bytes.map(i64::from));
        let mut part = [0; 7];
        self.isa.store16(v, &mut part);
        self.values.extend(part.map(i64::from));
        let mut part = [0i8; 11];
        self.isa.store8(v, &mut part);
        self.values.extend(part.map(i64::from));
    }

    fn ints(&mut self, v: I::I32) {
        let mut lanes = [0; LANES_I32];
        self.isa.store32(v, &mut lanes);
        self.values.extend(lanes.map(i64::from));
        let mut part = [0; 5];
        self.isa.store32(v, &mut part);
        self.values.extend(part.map(i64::from));
    }
}

impl Kernel for Operations {
    type Output = Vec<i64>;

    #[inline(always)]
    fn call<I: Isa>(self, isa: I) -> Vec<i64> {
        let mut state = self.seed | 1;
        let words: Vec<i16> = (0..96).map(|_| word(&mut state)).collect();
        let ints: Vec<i32> = (0..64).map(|_| random(&mut state) as i32).collect();
        let count = (random(&mut state) % 16) as u32;
        let mut record = Record {
            isa,
            values: Vec::new(),
        };

        let (a, b) = (isa.load16(&words), isa.load16(&words[32..]));
        record.words(isa.load16(&words[..13]));
        record.words(isa.splat16(words[0]));
        record.words(isa.add_sat16(a, b));
        record.words(isa.min16(a, b));
        record.words(isa.max16(a, b));
        record.words(isa.sra16(a, count));
        let wide = isa.widen(a);
        record.ints(wide.0);
        record.ints(wide.1);

        let (x, y) = (isa.load32(&ints), isa.load32(&ints[16..]));
        record.ints(isa.load32(&ints[..9]));
        record.ints(isa.splat32(ints[0]));
        record.ints(isa.add32(x, y));
        record.ints(isa.sub32(x, y));
        record.ints(isa.and32(x, y));
        record.ints(isa.shl32(x, count));
        record.ints(isa.sra32(x, count * 2));
        record.ints(isa.srav32(x, isa.and32(y, isa.splat32(31))));
        record.words(isa.narrow(isa.sra32(x, count), isa.sra32(y, count)));
        record.ints(isa.dot16(x, a, b));
        record.words(isa.halves(x));

        let pairs = isa.interleave(a, b);
        let ones = isa.splat16(1);
        let start = isa.load32_split(&ints[..29]);
        let sums = (
            isa.dot16(start.0, pairs.0, ones),
            isa.dot16(start.1, pairs.1, ones),
        );
        record.words(isa.narrow_split((isa.sra32(sums.0, count), isa.sra32(sums.1, count))));

        let index = isa.and32(x, isa.splat32(63));
        // SAFETY: the indices are below 64, the table's length.
        record.ints(unsafe { isa.gather32(&ints, index) });

        // SAFETY: 32 weights and 2 activations are there.
        let (w, s) = unsafe {
            (
                isa.load_words(words.as_ptr()),
                isa.splat_words(words[40..].as_ptr()),
            )
        };
        record.ints(isa.dot_words(x, s, w));

        let weights: Vec<i8> = (0..64)
            .map(|_| (random(&mut state) as i8).max(-127))
            .collect();
        let (offset, flip) = if I::HAS_BYTE_OFFSET {
            (BYTE_OFFSET, i8::MIN)
        } else {
            (0, 0)
        };
        let inputs: Vec<i8> = (0..4).map(|_| random(&mut state) as i8).collect();
        let four: Vec<i8> = inputs.iter().map(|x| x ^ flip).collect();
        // SAFETY: 64 weights and 4 activations are there.
        let (w, s) = unsafe {
            (
                isa.load_bytes(weights.as_ptr()),
                isa.splat_bytes(four.as_ptr()),
            )
        };
        let correction: Vec<i32> = weights
            .chunks(4)
            .map(|w| -offset * w.iter().map(|&w| i32::from(w)).sum::<i32>())
            .collect();
        let start = isa.add32(x, isa.load32(&correction));
        record.ints(isa.dot_bytes(start, s, w));
        record.values
    }
}

#[test]
fn every_operation_equals_the_scalar_one() {
    let seeds: u64 = if cfg!(miri) { 20 } else { 2000 };
    for seed in 1..seeds {
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let expected = Scalar.run(Operations { seed });
        for level in Level::available() {
            let simd = Simd::new(level).unwrap();
            assert_eq!(simd.level(), level);
            assert_eq!(simd.run(Operations { seed }), expected, "{level:?}");
        }
    }
}

#[test]
fn wrapping_sums_and_extreme_products_agree() {
    struct Extremes;
    impl Kernel for Extremes {
        type Output = [i32; LANES_I32];
        #[inline(always)]
        fn call<I: Isa>(self, isa: I) -> Self::Output {
            let least = isa.splat16(i16::MIN);
            let mut out = [0; LANES_I32];
            isa.store32(isa.dot16(isa.splat32(-1), least, least), &mut out);
            out
        }
    }
    for level in Level::available() {
        assert_eq!(
            Simd::new(level).unwrap().run(Extremes),
            [i32::MAX; LANES_I32]
        );
    }
}

#[test]
fn names_and_levels() {
    for level in Level::ALL {
        assert_eq!(Level::from_name(level.name()), Some(level));
    }
    assert_eq!(Level::from_name(" AVX2 "), Some(Level::Avx2));
    assert_eq!(Level::from_name("sse9"), None);
    assert!(Level::available().contains(&Level::best()));
    assert!(Level::Scalar.is_available());
}

#[test]
fn the_environment_can_only_lower_the_level() {
    assert_eq!(Level::lowered(None), Level::best());
    assert_eq!(Level::lowered(Some("nonsense")), Level::best());
    for level in Level::ALL {
        let lowered = Level::lowered(Some(level.name()));
        let expected = if level.is_available() {
            level
        } else {
            Level::best()
        };
        assert_eq!(lowered, expected);
    }
}
