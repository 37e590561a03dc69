//! NEON: a logical vector is four 128-bit registers.

use super::{Isa, Kernel, LANES_I16, LANES_I32};
use std::arch::aarch64::*;

/// The proof that this CPU has NEON (every aarch64 one does).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Neon {
    /// The token, if this CPU has NEON.
    pub(crate) fn new() -> Option<Neon> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }
}

/// 32 lanes of `i16`.
type I16 = [int16x8_t; 4];
/// 16 lanes of `i32`.
type I32 = [int32x4_t; 4];

/// All four registers through one binary intrinsic.
macro_rules! all {
    ($token:expr, $op:ident, $a:expr, $b:expr) => {{
        let _proof: Neon = $token;
        let (a, b) = ($a, $b);
        // SAFETY: registers only; the token proves NEON.
        unsafe {
            [
                $op(a[0], b[0]),
                $op(a[1], b[1]),
                $op(a[2], b[2]),
                $op(a[3], b[3]),
            ]
        }
    }};
}

impl Neon {
    /// # Safety
    /// 32 values can be read at `src`.
    #[inline(always)]
    unsafe fn load16_full(self, src: *const i16) -> I16 {
        // SAFETY: NEON by `self`, readable by the caller's promise.
        unsafe {
            [
                vld1q_s16(src),
                vld1q_s16(src.add(8)),
                vld1q_s16(src.add(16)),
                vld1q_s16(src.add(24)),
            ]
        }
    }

    /// # Safety
    /// 32 values can be written at `dst`.
    #[inline(always)]
    unsafe fn store16_full(self, dst: *mut i16, v: I16) {
        // SAFETY: NEON by `self`, writable by the caller's promise.
        unsafe {
            vst1q_s16(dst, v[0]);
            vst1q_s16(dst.add(8), v[1]);
            vst1q_s16(dst.add(16), v[2]);
            vst1q_s16(dst.add(24), v[3]);
        }
    }

    /// # Safety
    /// 16 values can be read at `src`.
    #[inline(always)]
    unsafe fn load32_full(self, src: *const i32) -> I32 {
        // SAFETY: NEON by `self`, readable by the caller's promise.
        unsafe {
            [
                vld1q_s32(src),
                vld1q_s32(src.add(4)),
                vld1q_s32(src.add(8)),
                vld1q_s32(src.add(12)),
            ]
        }
    }

    /// # Safety
    /// 16 values can be written at `dst`.
    #[inline(always)]
    unsafe fn store32_full(self, dst: *mut i32, v: I32) {
        // SAFETY: NEON by `self`, writable by the caller's promise.
        unsafe {
            vst1q_s32(dst, v[0]);
            vst1q_s32(dst.add(4), v[1]);
            vst1q_s32(dst.add(8), v[2]);
            vst1q_s32(dst.add(12), v[3]);
        }
    }

    /// Every lane shifted by its own count; negative counts shift right.
    #[inline(always)]
    fn shift_left32(self, v: I32, counts: I32) -> I32 {
        all!(self, vshlq_s32, v, counts)
    }
}

/// 16 × 2 weights: even and odd rows apart.
#[derive(Clone, Copy)]
pub(crate) struct WordWeights {
    even: [int16x8_t; 2],
    odd: [int16x8_t; 2],
}

impl Isa for Neon {
    type I16 = I16;
    type I32 = I32;
    type WordWeights = WordWeights;
    type WordSplat = (i16, i16);
    type ByteWeights = [int8x16_t; 4];
    type ByteSplat = int8x16_t;

    const WIDE: bool = false;
    const HAS_BYTE_OFFSET: bool = false;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn inner<K: Kernel>(isa: Neon, kernel: K) -> K::Output {
            kernel.call(isa)
        }
        // SAFETY: `self` proves NEON.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn splat16(self, v: i16) -> I16 {
        // SAFETY: registers only; `self` proves NEON.
        unsafe { [vdupq_n_s16(v); 4] }
    }
    #[inline(always)]
    fn load16(self, src: &[i16]) -> I16 {
        if src.len() >= LANES_I16 {
            // SAFETY: the slice has 32 values or more.
            return unsafe { self.load16_full(src.as_ptr()) };
        }
        let mut lanes = [0; LANES_I16];
        lanes[..src.len()].copy_from_slice(src);
        // SAFETY: the array has 32 values.
        unsafe { self.load16_full(lanes.as_ptr()) }
    }
    #[inline(always)]
    fn store16(self, v: I16, dst: &mut [i16]) {
        if dst.len() >= LANES_I16 {
            // SAFETY: the slice has 32 values or more.
            return unsafe { self.store16_full(dst.as_mut_ptr(), v) };
        }
        let mut lanes = [0; LANES_I16];
        // SAFETY: the array has 32 values.
        unsafe { self.store16_full(lanes.as_mut_ptr(), v) };
        dst.copy_from_slice(&lanes[..dst.len()]);
    }
    #[inline(always)]
    fn store8(self, v: I16, dst: &mut [i8]) {
        let mut lanes = [0i8; LANES_I16];
        for (lanes, v) in lanes.chunks_exact_mut(8).zip(v) {
            // SAFETY: NEON by `self`; the chunk has the 8 bytes written.
            unsafe { vst1_s8(lanes.as_mut_ptr(), vqmovn_s16(v)) };
        }
        let count = dst.len().min(LANES_I16);
        dst[..count].copy_from_slice(&lanes[..count]);
    }
    #[inline(always)]
    fn add_sat16(self, a: I16, b: I16) -> I16 {
        all!(self, vqaddq_s16, a, b)
    }
    #[inline(always)]
    fn min16(self, a: I16, b: I16) -> I16 {
        all!(self, vminq_s16, a, b)
    }
    #[inline(always)]
    fn max16(self, a: I16, b: I16) -> I16 {
        all!(self, vmaxq_s16, a, b)
    }
    #[inline(always)]
    fn sra16(self, v: I16, count: u32) -> I16 {
        let counts = self.splat16(-(count as i16));
        all!(self, vshlq_s16, v, counts)
    }

    // Split order is natural order here.
    #[inline(always)]
    fn interleave(self, a: I16, b: I16) -> (I16, I16) {
        // SAFETY: registers only; `self` proves NEON.
        unsafe {
            (
                [
                    vzip1q_s16(a[0], b[0]),
                    vzip2q_s16(a[0], b[0]),
                    vzip1q_s16(a[1], b[1]),
                    vzip2q_s16(a[1], b[1]),
                ],
                [
                    vzip1q_s16(a[2], b[2]),
                    vzip2q_s16(a[2], b[2]),
                    vzip1q_s16(a[3], b[3]),
                    vzip2q_s16(a[3], b[3]),
                ],
            )
        }
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
        for i in 0..4 {
            // SAFETY: registers only; `self` proves NEON.
            acc[i] = unsafe {
                let lo = vmull_s16(vget_low_s16(a[i]), vget_low_s16(b[i]));
                let hi = vmull_high_s16(a[i], b[i]);
                vaddq_s32(acc[i], vpaddq_s32(lo, hi))
            };
        }
        acc
    }

    #[inline(always)]
    fn splat32(self, v: i32) -> I32 {
        // SAFETY: registers only; `self` proves NEON.
        unsafe { [vdupq_n_s32(v); 4] }
    }
    #[inline(always)]
    fn load32(self, src: &[i32]) -> I32 {
        if src.len() >= LANES_I32 {
            // SAFETY: the slice has 16 values or more.
            return unsafe { self.load32_full(src.as_ptr()) };
        }
        let mut lanes = [0; LANES_I32];
        lanes[..src.len()].copy_from_slice(src);
        // SAFETY: the array has 16 values.
        unsafe { self.load32_full(lanes.as_ptr()) }
    }
    #[inline(always)]
    fn store32(self, v: I32, dst: &mut [i32]) {
        if dst.len() >= LANES_I32 {
            // SAFETY: the slice has 16 values or more.
            return unsafe { self.store32_full(dst.as_mut_ptr(), v) };
        }
        let mut lanes = [0; LANES_I32];
        // SAFETY: the array has 16 values.
        unsafe { self.store32_full(lanes.as_mut_ptr(), v) };
        dst.copy_from_slice(&lanes[..dst.len()]);
    }
    #[inline(always)]
    fn add32(self, a: I32, b: I32) -> I32 {
        all!(self, vaddq_s32, a, b)
    }
    #[inline(always)]
    fn sub32(self, a: I32, b: I32) -> I32 {
        all!(self, vsubq_s32, a, b)
    }
    #[inline(always)]
    fn and32(self, a: I32, b: I32) -> I32 {
        all!(self, vandq_s32, a, b)
    }
    #[inline(always)]
    fn shl32(self, v: I32, count: u32) -> I32 {
        self.shift_left32(v, self.splat32(count as i32))
    }
    #[inline(always)]
    fn sra32(self, v: I32, count: u32) -> I32 {
        self.shift_left32(v, self.splat32(-(count as i32)))
    }
    #[inline(always)]
    fn srav32(self, v: I32, counts: I32) -> I32 {
        self.shift_left32(v, self.sub32(self.splat32(0), counts))
    }
    #[inline(always)]
    fn widen(self, v: I16) -> (I32, I32) {
        // SAFETY: registers only; `self` proves NEON.
        unsafe {
            (
                [
                    vmovl_s16(vget_low_s16(v[0])),
                    vmovl_high_s16(v[0]),
                    vmovl_s16(vget_low_s16(v[1])),
                    vmovl_high_s16(v[1]),
                ],
                [
                    vmovl_s16(vget_low_s16(v[2])),
                    vmovl_high_s16(v[2]),
                    vmovl_s16(vget_low_s16(v[3])),
                    vmovl_high_s16(v[3]),
                ],
            )
        }
    }
    #[inline(always)]
    fn narrow(self, a: I32, b: I32) -> I16 {
        // SAFETY: registers only; `self` proves NEON.
        unsafe {
            [
                vqmovn_high_s32(vqmovn_s32(a[0]), a[1]),
                vqmovn_high_s32(vqmovn_s32(a[2]), a[3]),
                vqmovn_high_s32(vqmovn_s32(b[0]), b[1]),
                vqmovn_high_s32(vqmovn_s32(b[2]), b[3]),
            ]
        }
    }
    #[inline(always)]
    fn halves(self, v: I32) -> I16 {
        // SAFETY: registers only; `self` proves NEON (little-endian, as all
        // of Rust's aarch64 targets with an operating system are).
        unsafe { v.map(|v| vreinterpretq_s16_s32(v)) }
    }
    #[inline(always)]
    unsafe fn gather32(self, table: &[i32], index: I32) -> I32 {
        let mut lanes = [0i32; LANES_I32];
        self.store32(index, &mut lanes);
        for lane in &mut lanes {
            *lane = table[*lane as usize];
        }
        self.load32(&lanes)
    }

    #[inline(always)]
    unsafe fn load_words(self, src: *const i16) -> WordWeights {
        // SAFETY: NEON by `self`; the caller promises 32 values.
        unsafe {
            let first = vld2q_s16(src);
            let second = vld2q_s16(src.add(16));
            WordWeights {
                even: [first.0, second.0],
                odd: [first.1, second.1],
            }
        }
    }
    #[inline(always)]
    unsafe fn splat_words(self, src: *const i16) -> (i16, i16) {
        // SAFETY: the caller promises 2 values.
        unsafe { (*src, *src.add(1)) }
    }
    #[inline(always)]
    fn dot_words(self, acc: I32, x: (i16, i16), w: WordWeights) -> I32 {
        // SAFETY: registers only; `self` proves NEON.
        unsafe {
            let (even, odd) = (vdupq_n_s16(x.0), vdupq_n_s16(x.1));
            let mut sums = acc;
            for half in 0..2 {
                let (w_even, w_odd) = (w.even[half], w.odd[half]);
                let lo = &mut sums[2 * half];
                *lo = vmlal_s16(*lo, vget_low_s16(even), vget_low_s16(w_even));
                *lo = vmlal_s16(*lo, vget_low_s16(odd), vget_low_s16(w_odd));
                let hi = &mut sums[2 * half + 1];
                *hi = vmlal_high_s16(*hi, even, w_even);
                *hi = vmlal_high_s16(*hi, odd, w_odd);
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, src: *const i8) -> [int8x16_t; 4] {
        // SAFETY: NEON by `self`; the caller promises 64 values.
        unsafe {
            [
                vld1q_s8(src),
                vld1q_s8(src.add(16)),
                vld1q_s8(src.add(32)),
                vld1q_s8(src.add(48)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, src: *const i8) -> int8x16_t {
        // SAFETY: the caller promises 4 bytes.
        let four = unsafe { src.cast::<i32>().read_unaligned() };
        // SAFETY: registers only; `self` proves NEON.
        unsafe { vreinterpretq_s8_s32(vdupq_n_s32(four)) }
    }
    #[inline(always)]
    fn dot_bytes(self, mut acc: I32, x: int8x16_t, w: [int8x16_t; 4]) -> I32 {
        for i in 0..4 {
            // Products of 8 bits fit 16; pairwise sums go to 32 bits.
            // SAFETY: registers only; `self` proves NEON.
            acc[i] = unsafe {
                let lo = vmull_s8(vget_low_s8(x), vget_low_s8(w[i]));
                let hi = vmull_high_s8(x, w[i]);
                vaddq_s32(acc[i], vpaddq_s32(vpaddlq_s16(lo), vpaddlq_s16(hi)))
            };
        }
        acc
    }
}
