//! AVX2: a logical vector is two 256-bit registers.

use super::{Isa, Kernel, LANES_I16, LANES_I32};
use std::arch::x86_64::*;

/// The proof that this CPU has AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The token, if this CPU has AVX2.
    pub(crate) fn new() -> Option<Avx2> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }
}

/// Evaluates intrinsics that only compute with registers.
macro_rules! registers {
    ($token:expr, $value:expr) => {{
        let _proof: Avx2 = $token;
        // SAFETY: the intrinsics in `$value` only compute with registers and
        // need AVX2; an `Avx2` is only made where the CPU has it.
        unsafe { $value }
    }};
}

type V = [__m256i; 2];

/// Both halves through one binary intrinsic.
macro_rules! both {
    ($token:expr, $op:ident, $a:expr, $b:expr) => {{
        let (a, b): (V, V) = ($a, $b);
        registers!($token, [$op(a[0], b[0]), $op(a[1], b[1])])
    }};
}

impl Avx2 {
    /// 32 bytes from `src`.
    ///
    /// # Safety
    /// 32 bytes can be read at `src`.
    #[inline(always)]
    unsafe fn load<T>(self, src: *const T) -> __m256i {
        // SAFETY: AVX2 by `self`, readable by the caller's promise; unaligned
        // addresses are allowed.
        unsafe { _mm256_loadu_si256(src.cast()) }
    }

    /// Two vectors of 32 bytes from `src`.
    ///
    /// # Safety
    /// 64 bytes can be read at `src`.
    #[inline(always)]
    unsafe fn load2<T>(self, src: *const T) -> V {
        // SAFETY: the caller's promise covers both halves.
        unsafe { [self.load(src), self.load(src.byte_add(32))] }
    }

    /// # Safety
    /// 64 bytes can be written at `dst`.
    #[inline(always)]
    unsafe fn store2<T>(self, dst: *mut T, v: V) {
        // SAFETY: AVX2 by `self`, writable by the caller's promise.
        unsafe {
            _mm256_storeu_si256(dst.cast(), v[0]);
            _mm256_storeu_si256(dst.byte_add(32).cast(), v[1]);
        }
    }
}

/// Four 8-bit activations in every lane, and their absolute values.
#[derive(Clone, Copy)]
pub(crate) struct ByteSplat {
    signed: __m256i,
    magnitude: __m256i,
}

impl Isa for Avx2 {
    type I16 = V;
    type I32 = V;
    type WordWeights = V;
    type WordSplat = __m256i;
    type ByteWeights = V;
    type ByteSplat = ByteSplat;

    const WIDE: bool = false;
    const HAS_BYTE_OFFSET: bool = false;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2")]
        fn inner<K: Kernel>(isa: Avx2, kernel: K) -> K::Output {
            kernel.call(isa)
        }
        // SAFETY: `self` proves AVX2.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn splat16(self, v: i16) -> V {
        registers!(self, [_mm256_set1_epi16(v); 2])
    }
    #[inline(always)]
    fn load16(self, src: &[i16]) -> V {
        if src.len() >= LANES_I16 {
            // SAFETY: the slice has 64 bytes or more.
            return unsafe { self.load2(src.as_ptr()) };
        }
        let mut lanes = [0i16; LANES_I16];
        lanes[..src.len()].copy_from_slice(src);
        // SAFETY: the array has 64 bytes.
        unsafe { self.load2(lanes.as_ptr()) }
    }
    #[inline(always)]
    fn store16(self, v: V, dst: &mut [i16]) {
        if dst.len() >= LANES_I16 {
            // SAFETY: the slice has 64 bytes or more.
            return unsafe { self.store2(dst.as_mut_ptr(), v) };
        }
        let mut lanes = [0i16; LANES_I16];
        // SAFETY: the array has 64 bytes.
        unsafe { self.store2(lanes.as_mut_ptr(), v) };
        dst.copy_from_slice(&lanes[..dst.len()]);
    }
    #[inline(always)]
    fn store8(self, v: V, dst: &mut [i8]) {
        let mut lanes = [0i8; LANES_I16];
        // SAFETY: AVX2 by `self`; the array has the 32 bytes written.
        unsafe {
            let packed = _mm256_packs_epi16(v[0], v[1]);
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            _mm256_storeu_si256(lanes.as_mut_ptr().cast(), ordered);
        }
        let count = dst.len().min(LANES_I16);
        dst[..count].copy_from_slice(&lanes[..count]);
    }
    #[inline(always)]
    fn add_sat16(self, a: V, b: V) -> V {
        both!(self, _mm256_adds_epi16, a, b)
    }
    #[inline(always)]
    fn min16(self, a: V, b: V) -> V {
        both!(self, _mm256_min_epi16, a, b)
    }
    #[inline(always)]
    fn max16(self, a: V, b: V) -> V {
        both!(self, _mm256_max_epi16, a, b)
    }
    #[inline(always)]
    fn sra16(self, v: V, count: u32) -> V {
        let count = registers!(self, _mm_cvtsi32_si128(count as i32));
        registers!(
            self,
            [_mm256_sra_epi16(v[0], count), _mm256_sra_epi16(v[1], count)]
        )
    }

    // Split order: within every 128-bit lane of 8 values, the first four go
    // to the first register of a half and the others to the second, where
    // `packs` finds them.
    #[inline(always)]
    fn interleave(self, a: V, b: V) -> (V, V) {
        registers!(
            self,
            (
                [
                    _mm256_unpacklo_epi16(a[0], b[0]),
                    _mm256_unpackhi_epi16(a[0], b[0]),
                ],
                [
                    _mm256_unpacklo_epi16(a[1], b[1]),
                    _mm256_unpackhi_epi16(a[1], b[1]),
                ],
            )
        )
    }
    #[inline(always)]
    fn load32_split(self, src: &[i32]) -> (V, V) {
        let middle = src.len().min(LANES_I32);
        let (a, b) = (self.load32(&src[..middle]), self.load32(&src[middle..]));
        registers!(
            self,
            (
                [
                    _mm256_permute2x128_si256::<0x20>(a[0], a[1]),
                    _mm256_permute2x128_si256::<0x31>(a[0], a[1]),
                ],
                [
                    _mm256_permute2x128_si256::<0x20>(b[0], b[1]),
                    _mm256_permute2x128_si256::<0x31>(b[0], b[1]),
                ],
            )
        )
    }
    #[inline(always)]
    fn narrow_split(self, (a, b): (V, V)) -> V {
        registers!(
            self,
            [
                _mm256_packs_epi32(a[0], a[1]),
                _mm256_packs_epi32(b[0], b[1]),
            ]
        )
    }
    #[inline(always)]
    fn dot16(self, acc: V, a: V, b: V) -> V {
        let products = both!(self, _mm256_madd_epi16, a, b);
        both!(self, _mm256_add_epi32, acc, products)
    }

    #[inline(always)]
    fn splat32(self, v: i32) -> V {
        registers!(self, [_mm256_set1_epi32(v); 2])
    }
    #[inline(always)]
    fn load32(self, src: &[i32]) -> V {
        if src.len() >= LANES_I32 {
            // SAFETY: the slice has 64 bytes or more.
            return unsafe { self.load2(src.as_ptr()) };
        }
        let mut lanes = [0i32; LANES_I32];
        lanes[..src.len()].copy_from_slice(src);
        // SAFETY: the array has 64 bytes.
        unsafe { self.load2(lanes.as_ptr()) }
    }
    #[inline(always)]
    fn store32(self, v: V, dst: &mut [i32]) {
        if dst.len() >= LANES_I32 {
            // SAFETY: the slice has 64 bytes or more.
            return unsafe { self.store2(dst.as_mut_ptr(), v) };
        }
        let mut lanes = [0i32; LANES_I32];
        // SAFETY: the array has 64 bytes.
        unsafe { self.store2(lanes.as_mut_ptr(), v) };
        dst.copy_from_slice(&lanes[..dst.len()]);
    }
    #[inline(always)]
    fn add32(self, a: V, b: V) -> V {
        both!(self, _mm256_add_epi32, a, b)
    }
    #[inline(always)]
    fn sub32(self, a: V, b: V) -> V {
        both!(self, _mm256_sub_epi32, a, b)
    }
    #[inline(always)]
    fn and32(self, a: V, b: V) -> V {
        both!(self, _mm256_and_si256, a, b)
    }
    #[inline(always)]
    fn shl32(self, v: V, count: u32) -> V {
        let count = registers!(self, _mm_cvtsi32_si128(count as i32));
        registers!(
            self,
            [_mm256_sll_epi32(v[0], count), _mm256_sll_epi32(v[1], count)]
        )
    }
    #[inline(always)]
    fn sra32(self, v: V, count: u32) -> V {
        let count = registers!(self, _mm_cvtsi32_si128(count as i32));
        registers!(
            self,
            [_mm256_sra_epi32(v[0], count), _mm256_sra_epi32(v[1], count)]
        )
    }
    #[inline(always)]
    fn srav32(self, v: V, counts: V) -> V {
        both!(self, _mm256_srav_epi32, v, counts)
    }
    #[inline(always)]
    fn widen(self, v: V) -> (V, V) {
        registers!(
            self,
            (
                [
                    _mm256_cvtepi16_epi32(_mm256_castsi256_si128(v[0])),
                    _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(v[0])),
                ],
                [
                    _mm256_cvtepi16_epi32(_mm256_castsi256_si128(v[1])),
                    _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(v[1])),
                ],
            )
        )
    }
    #[inline(always)]
    fn narrow(self, a: V, b: V) -> V {
        registers!(
            self,
            [
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a[0], a[1])),
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(b[0], b[1])),
            ]
        )
    }
    #[inline(always)]
    fn halves(self, v: V) -> V {
        v
    }
    #[inline(always)]
    unsafe fn gather32(self, table: &[i32], index: V) -> V {
        // SAFETY: AVX2 by `self`; every index is inside the table by the
        // caller's promise.
        unsafe {
            [
                _mm256_i32gather_epi32::<4>(table.as_ptr(), index[0]),
                _mm256_i32gather_epi32::<4>(table.as_ptr(), index[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_words(self, src: *const i16) -> V {
        // SAFETY: the caller promises 64 bytes.
        unsafe { self.load2(src) }
    }
    #[inline(always)]
    unsafe fn splat_words(self, src: *const i16) -> __m256i {
        // SAFETY: the caller promises 4 bytes.
        let pair = unsafe { src.cast::<i32>().read_unaligned() };
        registers!(self, _mm256_set1_epi32(pair))
    }
    #[inline(always)]
    fn dot_words(self, acc: V, x: __m256i, w: V) -> V {
        registers!(
            self,
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(x, w[0])),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(x, w[1])),
            ]
        )
    }

    #[inline(always)]
    unsafe fn load_bytes(self, src: *const i8) -> V {
        // SAFETY: the caller promises 64 bytes.
        unsafe { self.load2(src) }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, src: *const i8) -> ByteSplat {
        // SAFETY: the caller promises 4 bytes.
        let four = unsafe { src.cast::<i32>().read_unaligned() };
        registers!(self, {
            let signed = _mm256_set1_epi32(four);
            let magnitude = _mm256_abs_epi8(signed);
            ByteSplat { signed, magnitude }
        })
    }
    // `maddubs` multiplies |x| by sign(x)·w and saturates sums of two products
    // at 16 bits. With |x| <= 128 and |w| <= 127 a sum is at most 32512: it
    // never does.
    #[inline(always)]
    fn dot_bytes(self, acc: V, x: ByteSplat, w: V) -> V {
        registers!(self, {
            let ones = _mm256_set1_epi16(1);
            let mut sums = acc;
            for (sum, w) in sums.iter_mut().zip(w) {
                let signed = _mm256_sign_epi8(w, x.signed);
                let pairs = _mm256_maddubs_epi16(x.magnitude, signed);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
            sums
        })
    }
}
