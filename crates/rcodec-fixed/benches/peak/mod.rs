//! What one core of this machine can do at most, in multiply-adds: the
//! instructions of each level's dot products in a loop that touches only
//! registers, with enough independent sums to hide their latency. The loops
//! are assembly, so that the compiler cannot move anything out of them.

use rcodec_fixed::Level;

/// Does `rounds` rounds of a loop; gives the multiply-adds.
pub(crate) type Loop = fn(rounds: u64) -> u64;

/// The loops of a level, for `i16` and for `i8`; none if this CPU has not the
/// level, or the level no instructions of its own.
pub(crate) fn loops(level: Level) -> Option<[Loop; 2]> {
    if !level.is_available() {
        return None;
    }
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Some([x86::avx2_words, x86::avx2_bytes]),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Some([x86::avx512_words, x86::avx512_bytes]),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => Some([x86::vnni_words, x86::vnni_bytes]),
        _ => None,
    }
}

/// Memory that begins where a cache line does: loads across lines cost twice.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct CacheLine(#[expect(dead_code, reason = "read in assembly")] pub(crate) [u8; 64]);

/// Reads `memory` `times` times over, in the widest registers of the level;
/// gives the bytes. One core's read bandwidth of the cache that holds it.
pub(crate) fn read(level: Level, memory: &[CacheLine], times: u64) -> Option<u64> {
    if !level.is_available() {
        return None;
    }
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Some(x86::avx2_read(memory, times)),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni => Some(x86::avx512_read(memory, times)),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::CacheLine;
    use std::arch::asm;

    /// Reads whole kibibytes, 16 loads a round.
    macro_rules! read {
        ($name:ident, $load:literal, $step:literal) => {
            pub(super) fn $name(memory: &[CacheLine], times: u64) -> u64 {
                let rounds = memory.len() / 16 * (64 / $step);
                for _ in 0..if rounds == 0 { 0 } else { times } {
                    // SAFETY: only `read` gives this function away, and only
                    // if this CPU has the instructions. A round reads 16 steps
                    // and goes on by as many: `rounds` of them are inside
                    // `memory`. Nothing is written.
                    unsafe {
                        asm!(
                            "2:",
                            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                            $load,
                            ".endr",
                            "add {at}, {round}",
                            "dec {rounds}",
                            "jnz 2b",
                            at = inout(reg) memory.as_ptr() => _,
                            rounds = inout(reg) rounds => _,
                            round = const 16 * $step,
                            out("xmm0") _, out("xmm1") _,
                            options(readonly, nostack),
                        );
                    }
                }
                times * (rounds * 16 * $step) as u64
            }
        };
    }

    read!(avx2_read, "vmovdqu ymm0, [{at} + \\n*32]", 32);
    read!(avx512_read, "vmovdqu64 zmm0, [{at} + \\n*64]", 64);

    /// A loop over twelve sums, registers 0 to 11. `$step` are the
    /// instructions of one, `\n` its number; registers 12 to 15 are free.
    macro_rules! peak {
        ($name:ident, $products:literal, $($step:literal),+) => {
            pub(super) fn $name(rounds: u64) -> u64 {
                // SAFETY: only `loops` gives this function away, and only if
                // this CPU has the instructions. They count a register down
                // and change vector registers, all of them named here; they
                // touch no memory.
                unsafe {
                    asm!(
                        "2:",
                        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11",
                        $($step,)+
                        ".endr",
                        "dec {rounds}",
                        "jnz 2b",
                        rounds = inout(reg) rounds.max(1) => _,
                        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                        out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                        out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                        out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                        options(nomem, nostack),
                    );
                }
                rounds.max(1) * 12 * $products
            }
        };
    }

    peak!(
        avx2_words,
        16,
        "vpmaddwd ymm12, ymm14, ymm15",
        "vpaddd ymm\\n, ymm\\n, ymm12"
    );
    peak!(
        avx2_bytes,
        32,
        "vpsignb ymm12, ymm14, ymm15",
        "vpmaddubsw ymm12, ymm14, ymm12",
        "vpmaddwd ymm12, ymm12, ymm13",
        "vpaddd ymm\\n, ymm\\n, ymm12"
    );
    peak!(
        avx512_words,
        32,
        "vpmaddwd zmm12, zmm14, zmm15",
        "vpaddd zmm\\n, zmm\\n, zmm12"
    );
    peak!(
        avx512_bytes,
        64,
        "vpmaddubsw zmm12, zmm14, zmm15",
        "vpmaddwd zmm12, zmm12, zmm13",
        "vpaddd zmm\\n, zmm\\n, zmm12"
    );
    peak!(vnni_words, 32, "vpdpwssd zmm\\n, zmm14, zmm15");
    peak!(vnni_bytes, 64, "vpdpbusd zmm\\n, zmm14, zmm15");
}
