//! The portable level: arrays and loops. It defines what the others compute.

use super::{Isa, Kernel, LANES_I16, LANES_I32};

/// The token of [`Level::Scalar`](super::Level::Scalar); every CPU has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

type I16 = [i16; LANES_I16];
type I32 = [i32; LANES_I32];

#[inline(always)]
fn map32(mut a: I32, b: I32, f: impl Fn(i32, i32) -> i32) -> I32 {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
    a
}

#[inline(always)]
fn map16(mut a: I16, b: I16, f: impl Fn(i16, i16) -> i16) -> I16 {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
    a
}

/// `v` clamped to the range of `i16`.
#[inline(always)]
pub(crate) fn saturate16(v: i32) -> i16 {
    v.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

impl Isa for Scalar {
    type I16 = I16;
    type I32 = I32;
    type WordWeights = I16;
    type WordSplat = [i16; 2];
    type ByteWeights = [i8; 64];
    type ByteSplat = [i8; 4];

    const WIDE: bool = false;
    const HAS_BYTE_OFFSET: bool = false;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.call(self)
    }

    #[inline(always)]
    fn splat16(self, v: i16) -> I16 {
        [v; LANES_I16]
    }
    #[inline(always)]
    fn load16(self, src: &[i16]) -> I16 {
        let mut v = [0; LANES_I16];
        for (v, &s) in v.iter_mut().zip(src) {
            *v = s;
        }
        v
    }
    #[inline(always)]
    fn store16(self, v: I16, dst: &mut [i16]) {
        for (d, v) in dst.iter_mut().zip(v) {
            *d = v;
        }
    }
    #[inline(always)]
    fn store8(self, v: I16, dst: &mut [i8]) {
        for (d, v) in dst.iter_mut().zip(v) {
            *d = v.clamp(-128, 127) as i8;
        }
    }
    #[inline(always)]
    fn add_sat16(self, a: I16, b: I16) -> I16 {
        map16(a, b, i16::saturating_add)
    }
    #[inline(always)]
    fn min16(self, a: I16, b: I16) -> I16 {
        map16(a, b, i16::min)
    }
    #[inline(always)]
    fn max16(self, a: I16, b: I16) -> I16 {
        map16(a, b, i16::max)
    }
    #[inline(always)]
    fn sra16(self, v: I16, count: u32) -> I16 {
        map16(v, v, |v, _| v >> count)
    }

    // Split order is natural order here: the first 16 lanes, then the others.
    #[inline(always)]
    fn interleave(self, a: I16, b: I16) -> (I16, I16) {
        let (mut lo, mut hi) = ([0; LANES_I16], [0; LANES_I16]);
        for i in 0..LANES_I32 {
            lo[2 * i] = a[i];
            lo[2 * i + 1] = b[i];
            hi[2 * i] = a[LANES_I32 + i];
            hi[2 * i + 1] = b[LANES_I32 + i];
        }
        (lo, hi)
    }
    #[inline(always)]
    fn load32_split(self, src: &[i32]) -> (I32, I32) {
        let middle = src.len().min(LANES_I32);
        (self.load32(&src[..middle]), self.load32(&src[middle..]))
    }
    #[inline(always)]
    fn narrow_split(self, v: (I32, I32)) -> I16 {
        self.narrow(v.0, v.1)
    }
    #[inline(always)]
    fn dot16(self, mut acc: I32, a: I16, b: I16) -> I32 {
        for i in 0..LANES_I32 {
            let first = i32::from(a[2 * i]) * i32::from(b[2 * i]);
            let second = i32::from(a[2 * i + 1]) * i32::from(b[2 * i + 1]);
            acc[i] = acc[i].wrapping_add(first).wrapping_add(second);
        }
        acc
    }

    #[inline(always)]
    fn splat32(self, v: i32) -> I32 {
        [v; LANES_I32]
    }
    #[inline(always)]
    fn load32(self, src: &[i32]) -> I32 {
        let mut v = [0; LANES_I32];
        for (v, &s) in v.iter_mut().zip(src) {
            *v = s;
        }
        v
    }
    #[inline(always)]
    fn store32(self, v: I32, dst: &mut [i32]) {
        for (d, v) in dst.iter_mut().zip(v) {
            *d = v;
        }
    }
    #[inline(always)]
    fn add32(self, a: I32, b: I32) -> I32 {
        map32(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    fn sub32(self, a: I32, b: I32) -> I32 {
        map32(a, b, i32::wrapping_sub)
    }
    #[inline(always)]
    fn and32(self, a: I32, b: I32) -> I32 {
        map32(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn shl32(self, v: I32, count: u32) -> I32 {
        map32(v, v, |v, _| v << count)
    }
    #[inline(always)]
    fn sra32(self, v: I32, count: u32) -> I32 {
        map32(v, v, |v, _| v >> count)
    }
    #[inline(always)]
    fn srav32(self, v: I32, counts: I32) -> I32 {
        map32(v, counts, |v, count| v >> (count & 31))
    }
    #[inline(always)]
    fn widen(self, v: I16) -> (I32, I32) {
        let (mut lo, mut hi) = ([0; LANES_I32], [0; LANES_I32]);
        for i in 0..LANES_I32 {
            lo[i] = i32::from(v[i]);
            hi[i] = i32::from(v[LANES_I32 + i]);
        }
        (lo, hi)
    }
    #[inline(always)]
    fn narrow(self, a: I32, b: I32) -> I16 {
        let mut v = [0; LANES_I16];
        for i in 0..LANES_I32 {
            v[i] = saturate16(a[i]);
            v[LANES_I32 + i] = saturate16(b[i]);
        }
        v
    }
    #[inline(always)]
    fn halves(self, v: I32) -> I16 {
        let mut halves = [0; LANES_I16];
        for (i, v) in v.into_iter().enumerate() {
            halves[2 * i] = v as i16;
            halves[2 * i + 1] = (v >> 16) as i16;
        }
        halves
    }
    #[inline(always)]
    unsafe fn gather32(self, table: &[i32], index: I32) -> I32 {
        map32(index, index, |i, _| table[i as usize])
    }

    #[inline(always)]
    unsafe fn load_words(self, src: *const i16) -> I16 {
        // SAFETY: the caller promises 32 readable values; an array of them
        // has their alignment.
        unsafe { *src.cast::<I16>() }
    }
    #[inline(always)]
    unsafe fn splat_words(self, src: *const i16) -> [i16; 2] {
        // SAFETY: the caller promises 2 readable values.
        unsafe { *src.cast::<[i16; 2]>() }
    }
    #[inline(always)]
    fn dot_words(self, mut acc: I32, x: [i16; 2], w: I16) -> I32 {
        for (i, acc) in acc.iter_mut().enumerate() {
            let first = i32::from(x[0]) * i32::from(w[2 * i]);
            let second = i32::from(x[1]) * i32::from(w[2 * i + 1]);
            *acc = acc.wrapping_add(first.wrapping_add(second));
        }
        acc
    }

    #[inline(always)]
    unsafe fn load_bytes(self, src: *const i8) -> [i8; 64] {
        // SAFETY: the caller promises 64 readable values.
        unsafe { *src.cast::<[i8; 64]>() }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, src: *const i8) -> [i8; 4] {
        // SAFETY: the caller promises 4 readable values.
        unsafe { *src.cast::<[i8; 4]>() }
    }
    #[inline(always)]
    fn dot_bytes(self, mut acc: I32, x: [i8; 4], w: [i8; 64]) -> I32 {
        for (i, acc) in acc.iter_mut().enumerate() {
            for j in 0..4 {
                let product = i32::from(x[j]) * i32::from(w[4 * i + j]);
                *acc = acc.wrapping_add(product);
            }
        }
        acc
    }
}
