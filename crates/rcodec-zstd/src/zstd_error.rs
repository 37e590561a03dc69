//! Zstandard's error codes as errors of ours.

use rcodec_core::Error;
use zstd::zstd_safe::{self, zstd_sys::ZSTD_ErrorCode};

/// Whether `code`, which a Zstandard function returned, is `kind`.
fn is(code: usize, kind: ZSTD_ErrorCode) -> bool {
    code == (kind as usize).wrapping_neg()
}

/// An error of a decompression at byte `at`.
pub(crate) fn decoding(code: usize, at: u64) -> Error {
    if is(code, ZSTD_ErrorCode::ZSTD_error_memory_allocation)
        || is(
            code,
            ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge,
        )
    {
        return Error::Limit("memory");
    }
    Error::malformed(at, zstd_safe::get_error_name(code))
}

/// An error of a compression: nothing but the caller or the machine can be at
/// fault.
pub(crate) fn encoding(code: usize) -> Error {
    if is(code, ZSTD_ErrorCode::ZSTD_error_memory_allocation) {
        return Error::Limit("memory");
    }
    Error::parameter(format!("zstd: {}", zstd_safe::get_error_name(code)))
}

/// Whether the output did not fit its buffer.
pub(crate) fn is_output_full(code: usize) -> bool {
    is(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall)
}

/// An error of loading a dictionary. Zstandard answers a damaged one with the
/// code for a lack of memory, so the two cannot be told apart; the first is the
/// likely one.
pub(crate) fn dictionary(_code: usize) -> Error {
    Error::parameter("the dictionary cannot be loaded: it is damaged, or memory is short")
}
