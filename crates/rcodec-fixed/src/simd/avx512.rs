//! AVX-512, with VNNI and without: a logical vector is one 512-bit register.

use super::{Isa, Kernel, LANES_I16, LANES_I32};
use std::arch::asm;
use std::arch::x86_64::*;

/// The proof that this CPU has AVX-512 F, BW and VL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// The proof that this CPU has AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Vnni(());

impl Avx512 {
    /// The token, if this CPU has the instructions.
    pub(crate) fn new() -> Option<Avx512> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        has_all.then_some(Avx512(()))
    }
}

impl Avx512Vnni {
    /// The token, if this CPU has the instructions.
    pub(crate) fn new() -> Option<Avx512Vnni> {
        Avx512::new()?;
        is_x86_feature_detected!("avx512vnni").then_some(Avx512Vnni(()))
    }
}

/// The first `count` of 32 lanes.
#[inline(always)]
fn mask32(count: usize) -> __mmask32 {
    if count >= LANES_I16 {
        u32::MAX
    } else {
        (1 << count) - 1
    }
}

/// The first `count` of 16 lanes.
#[inline(always)]
fn mask16(count: usize) -> __mmask16 {
    if count >= LANES_I32 {
        u16::MAX
    } else {
        (1 << count) - 1
    }
}

/// What both levels share: everything but the dot products.
macro_rules! common {
    ($token:ident, $features:literal) => {
        type I16 = __m512i;
        type I32 = __m512i;
        type WordWeights = __m512i;
        type WordSplat = __m512i;
        type ByteWeights = __m512i;

        const WIDE: bool = true;

        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> K::Output {
            #[target_feature(enable = $features)]
            fn inner<K: Kernel>(isa: $token, kernel: K) -> K::Output {
                kernel.call(isa)
            }
            // SAFETY: `self` proves the features.
            unsafe { inner(self, kernel) }
        }

        #[inline(always)]
        fn splat16(self, v: i16) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_set1_epi16(v) }
        }
        #[inline(always)]
        fn load16(self, src: &[i16]) -> __m512i {
            // SAFETY: the mask selects lanes inside the slice; masked lanes
            // are not accessed. `self` proves the features.
            unsafe { _mm512_maskz_loadu_epi16(mask32(src.len()), src.as_ptr()) }
        }
        #[inline(always)]
        fn store16(self, v: __m512i, dst: &mut [i16]) {
            // SAFETY: as in `load16`.
            unsafe { _mm512_mask_storeu_epi16(dst.as_mut_ptr(), mask32(dst.len()), v) }
        }
        #[inline(always)]
        fn store8(self, v: __m512i, dst: &mut [i8]) {
            // SAFETY: as in `load16`; the narrowed vector has 32 lanes of 8
            // bits.
            unsafe {
                let narrow = _mm512_cvtsepi16_epi8(v);
                _mm256_mask_storeu_epi8(dst.as_mut_ptr(), mask32(dst.len()), narrow);
            }
        }
        #[inline(always)]
        fn add_sat16(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_adds_epi16(a, b) }
        }
        #[inline(always)]
        fn min16(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_min_epi16(a, b) }
        }
        #[inline(always)]
        fn max16(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_max_epi16(a, b) }
        }
        #[inline(always)]
        fn sra16(self, v: __m512i, count: u32) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_sra_epi16(v, _mm_cvtsi32_si128(count as i32)) }
        }

        // Split order: within every 128-bit lane of 8 values, the first four
        // go to the first vector and the others to the second, where `packs`
        // finds them.
        #[inline(always)]
        fn interleave(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
            // SAFETY: registers only; `self` proves the features.
            unsafe { (_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)) }
        }
        #[inline(always)]
        fn load32_split(self, src: &[i32]) -> (__m512i, __m512i) {
            let middle = src.len().min(LANES_I32);
            let (a, b) = (self.load32(&src[..middle]), self.load32(&src[middle..]));
            // SAFETY: registers only; `self` proves the features.
            unsafe {
                let even = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
                let odd = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
                (
                    _mm512_permutex2var_epi64(a, even, b),
                    _mm512_permutex2var_epi64(a, odd, b),
                )
            }
        }
        #[inline(always)]
        fn narrow_split(self, v: (__m512i, __m512i)) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_packs_epi32(v.0, v.1) }
        }

        #[inline(always)]
        fn splat32(self, v: i32) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_set1_epi32(v) }
        }
        #[inline(always)]
        fn load32(self, src: &[i32]) -> __m512i {
            // SAFETY: as in `load16`.
            unsafe { _mm512_maskz_loadu_epi32(mask16(src.len()), src.as_ptr()) }
        }
        #[inline(always)]
        fn store32(self, v: __m512i, dst: &mut [i32]) {
            // SAFETY: as in `load16`.
            unsafe { _mm512_mask_storeu_epi32(dst.as_mut_ptr(), mask16(dst.len()), v) }
        }
        #[inline(always)]
        fn add32(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_add_epi32(a, b) }
        }
        #[inline(always)]
        fn sub32(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_sub_epi32(a, b) }
        }
        #[inline(always)]
        fn and32(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_and_si512(a, b) }
        }
        #[inline(always)]
        fn shl32(self, v: __m512i, count: u32) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_sll_epi32(v, _mm_cvtsi32_si128(count as i32)) }
        }
        #[inline(always)]
        fn sra32(self, v: __m512i, count: u32) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_sra_epi32(v, _mm_cvtsi32_si128(count as i32)) }
        }
        #[inline(always)]
        fn srav32(self, v: __m512i, counts: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe { _mm512_srav_epi32(v, counts) }
        }
        #[inline(always)]
        fn widen(self, v: __m512i) -> (__m512i, __m512i) {
            // SAFETY: registers only; `self` proves the features.
            unsafe {
                (
                    _mm512_cvtepi16_epi32(_mm512_castsi512_si256(v)),
                    _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64::<1>(v)),
                )
            }
        }
        #[inline(always)]
        fn narrow(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: registers only; `self` proves the features.
            unsafe {
                let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
                _mm512_permutexvar_epi64(order, _mm512_packs_epi32(a, b))
            }
        }
        #[inline(always)]
        fn halves(self, v: __m512i) -> __m512i {
            v
        }
        #[inline(always)]
        unsafe fn gather32(self, table: &[i32], index: __m512i) -> __m512i {
            // SAFETY: `self` proves the features; every index is inside the
            // table by the caller's promise.
            unsafe { _mm512_i32gather_epi32::<4>(index, table.as_ptr()) }
        }

        #[inline(always)]
        unsafe fn load_words(self, src: *const i16) -> __m512i {
            // SAFETY: the caller promises 64 bytes; `self` proves the
            // features.
            unsafe { _mm512_loadu_si512(src.cast()) }
        }
        #[inline(always)]
        unsafe fn splat_words(self, src: *const i16) -> __m512i {
            // SAFETY: the caller promises 4 bytes; `self` proves the features.
            unsafe { _mm512_set1_epi32(src.cast::<i32>().read_unaligned()) }
        }
        #[inline(always)]
        fn dot_words(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
            self.dot16(acc, x, w)
        }
        #[inline(always)]
        unsafe fn load_bytes(self, src: *const i8) -> __m512i {
            // SAFETY: the caller promises 64 bytes; `self` proves the
            // features.
            unsafe { _mm512_loadu_si512(src.cast()) }
        }
    };
}

/// Four 8-bit activations in every lane: magnitudes and signs.
#[derive(Clone, Copy)]
pub(crate) struct ByteSplat {
    magnitude: __m512i,
    negative: __mmask64,
}

impl Isa for Avx512 {
    common!(Avx512, "avx512f,avx512bw,avx512vl");

    type ByteSplat = ByteSplat;
    const HAS_BYTE_OFFSET: bool = false;

    #[inline(always)]
    fn dot16(self, acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: registers only; `self` proves the features.
        unsafe { _mm512_add_epi32(acc, _mm512_madd_epi16(a, b)) }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, src: *const i8) -> ByteSplat {
        // SAFETY: the caller promises 4 bytes; `self` proves the features.
        unsafe {
            let signed = _mm512_set1_epi32(src.cast::<i32>().read_unaligned());
            ByteSplat {
                magnitude: _mm512_abs_epi8(signed),
                negative: _mm512_movepi8_mask(signed),
            }
        }
    }
    // `maddubs` multiplies |x| by sign(x)·w and saturates sums of two products
    // at 16 bits. With |x| <= 128 and |w| <= 127 a sum is at most 32512: it
    // never does.
    #[inline(always)]
    fn dot_bytes(self, acc: __m512i, x: ByteSplat, w: __m512i) -> __m512i {
        // SAFETY: registers only; `self` proves the features.
        unsafe {
            let signed = _mm512_mask_sub_epi8(w, x.negative, _mm512_setzero_si512(), w);
            let pairs = _mm512_maddubs_epi16(x.magnitude, signed);
            _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
}

/// `vpdpwssd`, out of the compiler's sight: given `_mm512_dpwssd_epi32`, LLVM
/// splits it into a multiplication and an addition to shorten the dependency
/// chain, which the kernels have hidden already, and halves their speed.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dpwssd(mut acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: the instruction is enabled here; it reads and writes the named
    // registers only.
    unsafe {
        asm!(
            "vpdpwssd {acc}, {a}, {b}",
            acc = inout(zmm_reg) acc,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

impl Isa for Avx512Vnni {
    common!(Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni");

    type ByteSplat = __m512i;
    const HAS_BYTE_OFFSET: bool = true;

    #[inline(always)]
    fn dot16(self, acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { dpwssd(acc, a, b) }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, src: *const i8) -> __m512i {
        // SAFETY: the caller promises 4 bytes; `self` proves the features.
        unsafe { _mm512_set1_epi32(src.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    fn dot_bytes(self, acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // SAFETY: registers only; `self` proves the features.
        unsafe { _mm512_dpbusd_epi32(acc, x, w) }
    }
}
