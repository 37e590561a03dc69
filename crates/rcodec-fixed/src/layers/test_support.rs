//! What the layers' tests share: seeded values, engines of every level and
//! thread count, and the plain formulas that layers are held against.

use super::{Layer, Padding, Residual};
use crate::engine::Engine;
use crate::requant::{Activation, Requant};
use crate::simd::Level;
use crate::tensor::Shape;
use proptest::prelude::ProptestConfig;
use std::cell::Cell;

/// So many cases of a property, or as many as `PROPTEST_CASES` says: fewer
/// under Miri and emulators, more to search.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|n| n.parse().ok()).unwrap_or(count),
        ..ProptestConfig::default()
    }
}

/// A size of a property's case; under Miri at most `most`.
pub(crate) fn tame(size: usize, most: usize) -> usize {
    if cfg!(miri) {
        (size - 1) % most + 1
    } else {
        size
    }
}

thread_local! {
    /// Integers that this thread's test has found equal.
    static EQUAL: Cell<u64> = const { Cell::new(0) };
}

/// Counts integers that a test has found equal.
pub(crate) fn count_equal(integers: usize) {
    EQUAL.set(EQUAL.get() + integers as u64);
}

/// Runs a test and prints how many integers it has found equal.
pub(crate) fn counted(what: &str, test: fn()) {
    EQUAL.set(0);
    test();
    println!("{what}: {} integers equal", EQUAL.get());
    assert!(EQUAL.get() > 0);
}

/// A generator of test values (xorshift64*).
pub(crate) struct Values(u64);

impl Values {
    pub(crate) fn new(seed: u64) -> Values {
        Values(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A value of `-max..=max`.
    pub(crate) fn within(&mut self, max: i32) -> i32 {
        (self.next() % (2 * max as u64 + 1)) as i32 - max
    }

    /// Values of `-max..=max`, as far as `i16` goes.
    pub(crate) fn words(&mut self, len: usize, max: usize) -> Vec<i16> {
        let max = max.min(32_767) as i32;
        (0..len).map(|_| self.within(max) as i16).collect()
    }

    /// Any `i16`, the extremes often.
    pub(crate) fn extreme_words(&mut self, len: usize) -> Vec<i16> {
        (0..len)
            .map(|_| match self.next() % 8 {
                0 => i16::MIN,
                1 => i16::MAX,
                _ => self.next() as i16,
            })
            .collect()
    }

    /// Biases and shifts of `channels` channels.
    pub(crate) fn requant(&mut self, channels: usize, activation: Activation) -> Requant {
        Requant {
            bias: (0..channels).map(|_| self.within(100_000)).collect(),
            shift: (0..channels).map(|_| (self.next() % 13) as u8).collect(),
            activation,
        }
    }
}

/// An activation of every kind.
pub(crate) fn activation(kind: usize) -> Activation {
    match kind % 3 {
        0 => Activation::Identity,
        1 => Activation::Clip { lo: -300, hi: 2000 },
        _ => Activation::LeakyRelu { shift: 3, hi: 9000 },
    }
}

/// One engine for each level of this CPU.
pub(crate) fn engines() -> Vec<Engine> {
    Level::available()
        .into_iter()
        .filter_map(Engine::at)
        .collect()
}

/// Runs `layer` on every level and asserts that each gives `expected`, with
/// every kind of residual.
pub(crate) fn assert_layer(layer: &dyn Layer, shape: Shape, input: &[i16], expected: &[i16]) {
    let residual = Values::new(expected.len() as u64).extreme_words(expected.len());
    let with_residual: Vec<i16> = expected
        .iter()
        .zip(&residual)
        .map(|(&y, &r)| y.saturating_add(r))
        .collect();
    let range = layer.output_range();
    assert!(expected.iter().all(|y| (range.lo..=range.hi).contains(y)));
    for engine in engines() {
        let level = engine.level();
        let mut out = vec![0; expected.len()];
        layer
            .run(&engine, shape, input, Residual::None, &mut out)
            .unwrap();
        assert_eq!(out, expected, "{level:?}");
        layer
            .run(&engine, shape, input, Residual::Add(&residual), &mut out)
            .unwrap();
        assert_eq!(out, with_residual, "{level:?} with a residual");
        out.copy_from_slice(&residual);
        layer
            .run(&engine, shape, input, Residual::Accumulate, &mut out)
            .unwrap();
        assert_eq!(out, with_residual, "{level:?} accumulated");
        count_equal(3 * expected.len());
    }
}

/// Runs `layer` on 1, 2 and 4 threads and asserts equality.
pub(crate) fn assert_threads(layer: &dyn Layer, shape: Shape, input: &[i16]) {
    let len = layer.output_shape(shape).unwrap().checked_len().unwrap();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let mut out = vec![0; len];
        pool.install(|| layer.run(&Engine::new(), shape, input, Residual::None, &mut out))
            .unwrap();
        out
    };
    let expected = run(1);
    assert!(run(2) == expected && run(4) == expected);
    println!("1, 2 and 4 threads: {} integers equal", 2 * len);
}

/// The value at `(row, column, channel)`, padded.
pub(crate) fn padded(
    input: &[i16],
    shape: Shape,
    padding: Padding,
    row: isize,
    column: isize,
    channel: usize,
) -> i32 {
    let clamp = |i: isize, len: usize| i.clamp(0, len as isize - 1) as usize;
    let inside =
        row >= 0 && column >= 0 && row < shape.height as isize && column < shape.width as isize;
    if !inside && padding == Padding::Zero {
        return 0;
    }
    let at = clamp(row, shape.height) * shape.width + clamp(column, shape.width);
    i32::from(input[at * shape.channels + channel])
}
