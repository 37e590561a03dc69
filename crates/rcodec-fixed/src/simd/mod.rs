//! The vector abstraction the kernels are written over.
//!
//! A kernel is generic over an [`Isa`]: a token type whose values exist only
//! on a CPU that has the instructions, and whose methods are operations on
//! vectors of a fixed *logical* size, 32 lanes of `i16` or 16 of `i32`. An
//! instruction set maps a logical vector on one, two, four or no registers.
//! Because every operation is exact (sums wrap modulo 2³², narrowing
//! saturates, nothing else loses bits), a kernel gives the same integers on
//! every level, and [`Scalar`], plain arrays and loops, defines them.
//!
//! A [`Kernel`] runs inside [`Isa::run`], which enters a function compiled
//! with the level's instructions; everything below it is `#[inline(always)]`,
//! so that it is compiled with them too.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Avx512Vnni};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use scalar::Scalar;

/// Lanes of a vector of `i16`.
pub(crate) const LANES_I16: usize = 32;
/// Lanes of a vector of `i32`; also the output channels of a weight block.
pub(crate) const LANES_I32: usize = 16;

/// What levels whose dot products want unsigned activations get added to them
/// ([`Isa::HAS_BYTE_OFFSET`]).
pub(crate) const BYTE_OFFSET: i32 = 128;

/// An instruction set the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Portable Rust; the definition of every kernel.
    Scalar,
    /// ARM NEON (every aarch64 CPU).
    Neon,
    /// x86-64 AVX2.
    Avx2,
    /// x86-64 AVX-512 F, BW and VL.
    Avx512,
    /// [`Level::Avx512`] with VNNI's dot products.
    Avx512Vnni,
}

impl Level {
    /// The environment variable that lowers the level of a whole process.
    pub const VARIABLE: &'static str = "RCODEC_CPU";

    /// Every level, the lowest first.
    const ALL: [Level; 5] = [
        Level::Scalar,
        Level::Neon,
        Level::Avx2,
        Level::Avx512,
        Level::Avx512Vnni,
    ];

    /// The best level of this CPU, or the lower one that the environment
    /// variable `RCODEC_CPU` names (`scalar`, `avx2`, `avx512`, `vnni`,
    /// `neon`). The variable can only lower: a level that this CPU lacks, or a
    /// name that is not one, changes nothing.
    pub fn detect() -> Level {
        Level::lowered(std::env::var(Level::VARIABLE).ok().as_deref())
    }

    /// The level that `RCODEC_CPU=name` gives.
    fn lowered(name: Option<&str>) -> Level {
        name.and_then(Level::from_name)
            .filter(|level| level.is_available())
            .unwrap_or_else(Level::best)
    }

    /// The best level of this CPU, whatever the environment says.
    pub fn best() -> Level {
        Level::available().last().copied().unwrap_or(Level::Scalar)
    }

    /// The levels of this CPU, the lowest first.
    pub fn available() -> Vec<Level> {
        let mut levels = Level::ALL.to_vec();
        levels.retain(|level| level.is_available());
        levels
    }

    /// Whether this CPU has the level's instructions.
    pub fn is_available(self) -> bool {
        Simd::new(self).is_some()
    }

    /// The name as `RCODEC_CPU` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "vnni",
        }
    }

    /// The level of that [name](Level::name), in any case.
    pub fn from_name(name: &str) -> Option<Level> {
        Level::ALL
            .into_iter()
            .find(|level| name.trim().eq_ignore_ascii_case(level.name()))
    }
}

/// A level together with the proof that this CPU has it: each variant holds
/// its token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Simd {
    Scalar(Scalar),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
}

impl Simd {
    /// The token of `level`, if this CPU has its instructions.
    pub(crate) fn new(level: Level) -> Option<Simd> {
        match level {
            Level::Scalar => Some(Simd::Scalar(Scalar)),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Neon::new().map(Simd::Neon),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::new().map(Simd::Avx2),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Avx512::new().map(Simd::Avx512),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => Avx512Vnni::new().map(Simd::Avx512Vnni),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }

    /// The level this is the proof of.
    pub(crate) fn level(self) -> Level {
        match self {
            Simd::Scalar(_) => Level::Scalar,
            #[cfg(target_arch = "aarch64")]
            Simd::Neon(_) => Level::Neon,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2(_) => Level::Avx2,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512(_) => Level::Avx512,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512Vnni(_) => Level::Avx512Vnni,
        }
    }

    /// [`Isa::HAS_BYTE_OFFSET`] of this level.
    pub(crate) fn has_byte_offset(self) -> bool {
        struct HasOffset;
        impl Kernel for HasOffset {
            type Output = bool;
            #[inline(always)]
            fn call<I: Isa>(self, _: I) -> bool {
                I::HAS_BYTE_OFFSET
            }
        }
        self.run(HasOffset)
    }

    /// Runs `kernel` compiled for this level.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Simd::Scalar(isa) => isa.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Simd::Neon(isa) => isa.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2(isa) => isa.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512(isa) => isa.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512Vnni(isa) => isa.run(kernel),
        }
    }
}

/// A computation written once for every level.
pub(crate) trait Kernel {
    /// What it gives back.
    type Output;
    /// The computation; implementations are `#[inline(always)]`.
    fn call<I: Isa>(self, isa: I) -> Self::Output;
}

/// Operations of one instruction set; a value is the proof that the CPU has
/// it.
///
/// Slice arguments may be shorter than a vector: loads fill the missing lanes
/// with zeros, stores write as many lanes as fit, so that tails need no code
/// of their own.
pub(crate) trait Isa: Copy + Send + Sync + 'static {
    /// 32 lanes of `i16`.
    type I16: Copy;
    /// 16 lanes of `i32`.
    type I32: Copy;
    /// A block of 16 × 2 `i16` weights.
    type WordWeights: Copy;
    /// A pair of `i16` activations for every lane.
    type WordSplat: Copy;
    /// A block of 16 × 4 `i8` weights.
    type ByteWeights: Copy;
    /// Four activations of 8 bits for every lane.
    type ByteSplat: Copy;

    /// Whether a matrix tile keeps the accumulators of up to four blocks in
    /// registers (AVX-512's 32 wide ones) or of one.
    const WIDE: bool;
    /// Whether [`Isa::splat_bytes`] sees 8-bit activations with [`BYTE_OFFSET`]
    /// added, as `x ^ 0x80`, because the dot product wants unsigned ones. The
    /// accumulators then start at `-BYTE_OFFSET · sum w` to undo it.
    const HAS_BYTE_OFFSET: bool;

    /// Runs `kernel` in a function compiled with these instructions.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `v`.
    fn splat16(self, v: i16) -> Self::I16;
    /// The first 32 values of `src`, zeros where it ends.
    fn load16(self, src: &[i16]) -> Self::I16;
    /// The lanes to the first 32 values of `dst`, as many as it has.
    fn store16(self, v: Self::I16, dst: &mut [i16]);
    /// The lanes, saturated to `i8`, to the first 32 values of `dst`.
    fn store8(self, v: Self::I16, dst: &mut [i8]);
    /// Saturating sums.
    fn add_sat16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Lane-wise minimum.
    fn min16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Lane-wise maximum.
    fn max16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Arithmetic right shift of all lanes by `count < 16`.
    fn sra16(self, v: Self::I16, count: u32) -> Self::I16;

    /// Pairs `(a[i], b[i])` of all 32 lanes, in a lane order of the level's
    /// own ("split order") that [`Isa::narrow_split`] undoes.
    fn interleave(self, a: Self::I16, b: Self::I16) -> (Self::I16, Self::I16);
    /// The first 32 values of `src` in split order, zeros where it ends.
    fn load32_split(self, src: &[i32]) -> (Self::I32, Self::I32);
    /// 2 × 16 `i32` in split order to 32 `i16` in natural order, saturating.
    fn narrow_split(self, v: (Self::I32, Self::I32)) -> Self::I16;
    /// `acc + a[2i]·b[2i] + a[2i+1]·b[2i+1]`, wrapping.
    fn dot16(self, acc: Self::I32, a: Self::I16, b: Self::I16) -> Self::I32;

    /// All lanes `v`.
    fn splat32(self, v: i32) -> Self::I32;
    /// The first 16 values of `src`, zeros where it ends.
    fn load32(self, src: &[i32]) -> Self::I32;
    /// The lanes to the first 16 values of `dst`, as many as it has.
    fn store32(self, v: Self::I32, dst: &mut [i32]);
    /// Wrapping sums.
    fn add32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Wrapping differences.
    fn sub32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bitwise and.
    fn and32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Left shift of all lanes by `count < 32`.
    fn shl32(self, v: Self::I32, count: u32) -> Self::I32;
    /// Arithmetic right shift of all lanes by `count < 32`.
    fn sra32(self, v: Self::I32, count: u32) -> Self::I32;
    /// Arithmetic right shift of every lane by its own count below 32.
    fn srav32(self, v: Self::I32, counts: Self::I32) -> Self::I32;
    /// The lanes of `v` as two vectors in natural order.
    fn widen(self, v: Self::I16) -> (Self::I32, Self::I32);
    /// 2 × 16 `i32` in natural order to 32 `i16`, saturating.
    fn narrow(self, a: Self::I32, b: Self::I32) -> Self::I16;
    /// The same bits: lane `i` becomes lanes `2i` (low half) and `2i + 1`.
    fn halves(self, v: Self::I32) -> Self::I16;
    /// `table[index]` for every lane.
    ///
    /// # Safety
    /// Every lane of `index` is in `0..table.len()`.
    unsafe fn gather32(self, table: &[i32], index: Self::I32) -> Self::I32;

    /// 16 × 2 weights.
    ///
    /// # Safety
    /// 32 values can be read at `src`.
    unsafe fn load_words(self, src: *const i16) -> Self::WordWeights;
    /// Two activations for every lane.
    ///
    /// # Safety
    /// 2 values can be read at `src`.
    unsafe fn splat_words(self, src: *const i16) -> Self::WordSplat;
    /// `acc + x[0]·w[i][0] + x[1]·w[i][1]`, wrapping.
    fn dot_words(self, acc: Self::I32, x: Self::WordSplat, w: Self::WordWeights) -> Self::I32;

    /// 16 × 4 weights.
    ///
    /// # Safety
    /// 64 values can be read at `src`. (For equal results on every level none
    /// of them may be -128.)
    unsafe fn load_bytes(self, src: *const i8) -> Self::ByteWeights;
    /// Four activations, the offset added if there is one, for every lane.
    ///
    /// # Safety
    /// 4 values can be read at `src`.
    unsafe fn splat_bytes(self, src: *const i8) -> Self::ByteSplat;
    /// `acc + sum over j of x[j]·w[i][j]`, wrapping; `x` with the offset.
    fn dot_bytes(self, acc: Self::I32, x: Self::ByteSplat, w: Self::ByteWeights) -> Self::I32;
}

#[cfg(test)]
mod tests;
