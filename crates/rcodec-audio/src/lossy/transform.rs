//! The lapped transform in integers: a DCT of type IV for every block, and
//! rotations of the samples around every boundary of two blocks, which are
//! what remains of the windows of an MDCT once the DCT is taken out (Malvar,
//! "Signal Processing with Lapped Transforms", 1992). Both are orthonormal:
//! coefficients have the scale of samples.
//!
//! Boundaries can have overlaps of any length, as long as two do not touch
//! each other. So blocks of any lengths follow each other.

use super::trig::Turn;

/// Fractional bits of the twiddle factors of the FFT.
const TWIDDLE_Q: u32 = 22;
/// Fractional bits of the last factors, which hold the scale.
const SCALE_Q: u32 = 27;
/// What goes into the inverse transform is limited to this, so that no sum of
/// its FFT overflows: 2^27.5 grows to at most 2^38.5 in 2048 points, and two
/// products with Q22 stay under 2^62.
pub(crate) const MAX_COEFFICIENT: i64 = 1 << 27;
/// The longest block.
pub(crate) const MAX_BLOCK: usize = 4096;

#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: i64,
    im: i64,
}

impl Complex {
    #[inline(always)]
    fn times(self, other: Complex, q: u32) -> Complex {
        let half = 1 << (q - 1);
        Complex {
            re: (self.re * other.re - self.im * other.im + half) >> q,
            im: (self.re * other.im + self.im * other.re + half) >> q,
        }
    }

    #[inline(always)]
    fn plus(self, other: Complex) -> Complex {
        Complex {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    #[inline(always)]
    fn minus(self, other: Complex) -> Complex {
        Complex {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }

    /// Times -i.
    #[inline(always)]
    fn turned(self) -> Complex {
        Complex {
            re: self.im,
            im: -self.re,
        }
    }
}

/// e^(-2 pi i n/d) in Q`q` (at most 30).
fn root(numerator: u64, denominator: u64, q: u32) -> Complex {
    let (cos, sin) = Turn::ratio(numerator, denominator).cos_sin_q30();
    let shift = 30 - q;
    let half = (1 << shift) >> 1;
    Complex {
        re: (cos + half) >> shift,
        im: (-sin + half) >> shift,
    }
}

/// The DCT of type IV of one length, `2^a 3^b 5^c`, a multiple of 4.
#[derive(Clone, Debug)]
pub(crate) struct Dct4 {
    /// The block's length.
    size: usize,
    radices: Vec<usize>,
    /// Roots of unity of order `size / 2`, Q22.
    roots: Vec<Complex>,
    /// Before the FFT, Q22.
    before: Vec<Complex>,
    /// Behind it, times sqrt(2 / size), Q27.
    behind: Vec<Complex>,
    a: Vec<Complex>,
    b: Vec<Complex>,
}

impl Dct4 {
    pub(crate) fn new(size: usize) -> Self {
        let points = size / 2;
        let mut radices = Vec::new();
        let mut rest = points;
        for radix in [4, 2, 3, 5] {
            while rest.is_multiple_of(radix) {
                radices.push(radix);
                rest /= radix;
            }
        }
        assert!(rest == 1 && size <= MAX_BLOCK, "a length of blocks");
        // An eighth of a step on either side of the FFT makes the quarter.
        let order = 16 * size as u64;
        let turns = |i: usize, q| root(8 * i as u64 + 1, order, q);
        // sqrt(2 / size) in Q30.
        let scale_q30 = (2u128 << 60).div_euclid(size as u128).isqrt() as i64;
        let scaled = |c: Complex| Complex {
            re: (c.re * scale_q30) >> (60 - SCALE_Q),
            im: (c.im * scale_q30) >> (60 - SCALE_Q),
        };
        Dct4 {
            size,
            radices,
            roots: (0..points)
                .map(|i| root(i as u64, points as u64, TWIDDLE_Q))
                .collect(),
            before: (0..points).map(|i| turns(i, TWIDDLE_Q)).collect(),
            behind: (0..points).map(|i| scaled(turns(i, 30))).collect(),
            a: vec![Complex::default(); points],
            b: vec![Complex::default(); points],
        }
    }

    /// Transforms in place; it is its own inverse. `x` has the block's length
    /// and numbers up to [`MAX_COEFFICIENT`].
    pub(crate) fn run(&mut self, x: &mut [i64]) {
        let last = self.size - 1;
        for (i, (a, &w)) in self.a.iter_mut().zip(&self.before).enumerate() {
            let pair = Complex {
                re: x[2 * i],
                im: x[last - 2 * i],
            };
            *a = pair.times(w, TWIDDLE_Q);
        }
        self.fft();
        for (i, (&a, &w)) in self.a.iter().zip(&self.behind).enumerate() {
            let y = a.times(w, SCALE_Q);
            x[2 * i] = y.re;
            x[last - 2 * i] = -y.im;
        }
    }

    /// Stockham's FFT, from `a` to `a`.
    fn fft(&mut self) {
        let points = self.a.len();
        let mut done = 1;
        for &radix in &self.radices {
            let blocks = points / (done * radix);
            for j in 0..blocks {
                for k in 0..done {
                    let at = |q: usize| (q * blocks + j) * done + k;
                    let mut t = [Complex::default(); 5];
                    t[0] = self.a[at(0)];
                    for (q, t) in t.iter_mut().enumerate().take(radix).skip(1) {
                        *t = self.a[at(q)].times(self.roots[q * k * blocks], TWIDDLE_Q);
                    }
                    let out = j * radix * done + k;
                    butterfly(&mut self.b, &self.roots, radix, t, (out, done));
                }
            }
            std::mem::swap(&mut self.a, &mut self.b);
            done *= radix;
        }
    }
}

/// A DFT of `radix` points, to `b[out]`, `b[out + stride]`, …
#[inline(always)]
fn butterfly(
    b: &mut [Complex],
    roots: &[Complex],
    radix: usize,
    t: [Complex; 5],
    (out, stride): (usize, usize),
) {
    match radix {
        2 => {
            b[out] = t[0].plus(t[1]);
            b[out + stride] = t[0].minus(t[1]);
        }
        4 => {
            let (even, odd) = (t[0].plus(t[2]), t[0].minus(t[2]));
            let (sum, difference) = (t[1].plus(t[3]), t[1].minus(t[3]).turned());
            b[out] = even.plus(sum);
            b[out + stride] = odd.plus(difference);
            b[out + 2 * stride] = even.minus(sum);
            b[out + 3 * stride] = odd.minus(difference);
        }
        _ => {
            let step = roots.len() / radix;
            for p in 0..radix {
                let mut sum = t[0];
                for (q, &t) in t.iter().enumerate().take(radix).skip(1) {
                    sum = sum.plus(t.times(roots[p * q % radix * step], TWIDDLE_Q));
                }
                b[out + p * stride] = sum;
            }
        }
    }
}

/// The rotations around a boundary, for one length of overlap.
#[derive(Clone, Debug)]
pub(crate) struct Overlap {
    /// Cosine and sine for the samples at a distance of 0, 1, … from the
    /// boundary, Q30: the window of Vorbis or a sine, its upper and lower
    /// half.
    rotations: Vec<(i64, i64)>,
}

impl Overlap {
    /// An overlap of `length` samples (even) in all.
    pub(crate) fn new(length: usize) -> Self {
        let half = length / 2;
        let rotations = (0..half)
            .map(|i| {
                // sin(pi/2 sin^2(pi (n + 1/2) / 2v)), n = v/2 + i.
                let n = (half + i) as u64;
                let (_, sin) = Turn::ratio(2 * n + 1, 16 * half.max(1) as u64).cos_sin_q30();
                let square_q30 = (sin * sin) >> 30;
                let (low, high) = Turn::of_quarter(square_q30).cos_sin_q30();
                (high, low)
            })
            .collect();
        Overlap { rotations }
    }

    /// Samples on either side.
    pub(crate) fn half(&self) -> usize {
        self.rotations.len()
    }

    /// What stands before the DCT: `x` is the signal, `at` the boundary in it.
    pub(crate) fn fold(&self, x: &mut [i64], at: usize) {
        self.rotate(x, at, 1);
    }

    /// The inverse of [`fold`](Self::fold).
    pub(crate) fn unfold(&self, x: &mut [i64], at: usize) {
        self.rotate(x, at, -1);
    }

    fn rotate(&self, x: &mut [i64], at: usize, sign: i64) {
        let half = self.half();
        let (left, right) = x[at - half..at + half].split_at_mut(half);
        let pairs = left.iter_mut().rev().zip(right);
        for ((l, r), &(cos, sin)) in pairs.zip(&self.rotations) {
            let sin = sin * sign;
            let (x, y) = (*l, *r);
            // A block of 4096 of the largest coefficients, all in phase, leaves
            // 2^32.9 here: times Q30 that fits, but not both products' sum. Files
            // that say so wrap, everywhere alike.
            let rounded = |a: i64, b: i64| a.wrapping_add(b).wrapping_add(1 << 29) >> 30;
            *l = rounded(x * cos, -(y * sin));
            *r = rounded(y * cos, x * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, bound: i64) -> Vec<i64> {
        let mut seed = 7u64;
        (0..count)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as i64 % (2 * bound) - bound
            })
            .collect()
    }

    #[test]
    fn the_dct_is_what_its_formula_says() {
        for size in [4, 8, 12, 60, 64, 120, 128, 480] {
            let x = noise(size, 1 << 20);
            let mut y = x.clone();
            Dct4::new(size).run(&mut y);
            for (k, &y) in y.iter().enumerate() {
                let sum: f64 = (0..size)
                    .map(|n| {
                        let angle = std::f64::consts::PI / size as f64
                            * (n as f64 + 0.5)
                            * (k as f64 + 0.5);
                        x[n] as f64 * angle.cos()
                    })
                    .sum();
                let exact = sum * (2.0 / size as f64).sqrt();
                assert!((y as f64 - exact).abs() < 4.0, "{size} {k}");
            }
        }
    }

    #[test]
    fn the_largest_coefficients_do_not_overflow() {
        // All in phase at the last sample of a block, and at the first of the
        // next, whose sign makes the rotation's sum larger.
        let size = MAX_BLOCK;
        let mut dct = Dct4::new(size);
        let mut at_edge = |n: usize, sign: i64| {
            let mut x: Vec<i64> = (0..size)
                .map(|k| {
                    let turn = ((2 * n + 1) * (2 * k + 1)) as u64;
                    let (cos, _) = Turn::ratio(turn, 8 * size as u64).cos_sin_q30();
                    sign * MAX_COEFFICIENT * cos.signum()
                })
                .collect();
            dct.run(&mut x);
            x
        };
        let mut x = at_edge(size - 1, 1);
        x.extend(at_edge(0, 1));
        assert!(x[size - 1] > 1 << 32 && x[size] > 1 << 32);
        // The sum takes 64 bits: it wraps, and does not panic.
        Overlap::new(size).unfold(&mut x, size);
        assert!(x[size - 1] < 0);
    }

    #[test]
    fn blocks_of_all_lengths_come_back() {
        let lengths = [1024, 512, 256, 128, 128, 480, 60, 60, 120, 960, 2048];
        let total: usize = lengths.iter().sum::<usize>() + 2000;
        let x = noise(total, 1 << 20);
        let mut y = x.clone();
        let boundaries: Vec<(usize, Overlap)> = lengths
            .windows(2)
            .scan(1000, |at, pair| {
                *at += pair[0];
                Some((*at, Overlap::new(pair[0].min(pair[1]))))
            })
            .collect();
        for (at, overlap) in &boundaries {
            overlap.fold(&mut y, *at);
        }
        let mut at = 1000;
        for length in lengths {
            let mut dct = Dct4::new(length);
            dct.run(&mut y[at..at + length]);
            dct.run(&mut y[at..at + length]);
            at += length;
        }
        for (at, overlap) in &boundaries {
            overlap.unfold(&mut y, *at);
        }
        assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 8));
    }

    #[test]
    fn windows_rise_from_nothing_to_one() {
        let overlap = Overlap::new(256);
        let (cos, sin) = overlap.rotations[127];
        assert!(sin < 1 << 16 && cos > (1 << 30) - 16);
        let (cos, sin) = overlap.rotations[0];
        assert!((cos - sin).abs() < 1 << 24);
        assert!(overlap.rotations.windows(2).all(|w| w[0].1 > w[1].1));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        for size in [MAX_BLOCK, 3840, 1024] {
            for pattern in 0..3 {
                let mut x: Vec<i64> = (0..size)
                    .map(|i| match pattern {
                        0 => MAX_COEFFICIENT,
                        1 => -MAX_COEFFICIENT,
                        _ => MAX_COEFFICIENT * (1 - 2 * (i as i64 & 1)),
                    })
                    .collect();
                Dct4::new(size).run(&mut x);
                assert!(x.iter().all(|&x| x.abs() < 1 << 34));
            }
        }
    }
}
