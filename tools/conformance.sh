#!/usr/bin/env bash
# Decodes the conformance streams everywhere, and compares with the same list:
#
#   tools/conformance.sh [native] [aarch64] [wasm32]      default: native
#
# native   every SIMD level of this CPU, 1, 2, 4 and 8 threads; release and debug
# aarch64  NEON, under qemu (see aarch64-test.sh)
# wasm32   on Node.js; needs rustup's target wasm32-wasip1, and Debian's clang,
#          lld, wasi-libc and libclang-rt-dev-wasm32 for libzstd
set -euo pipefail
cd "$(dirname "$0")/.."
lists=(tests/golden tests/conformance/expected.csv)
target=${CARGO_TARGET_DIR:-target}

native() {
    cargo build --quiet --locked --release -p rcodec-conformance
    cargo build --quiet --locked -p rcodec-conformance
    local build level threads
    for build in release debug; do
        for level in scalar avx2 avx512 vnni neon; do
            for threads in 1 2 4 8; do
                printf '%s, %s if there is: ' $build $level
                RCODEC_CPU=$level RAYON_NUM_THREADS=$threads \
                    "$target/$build/rcodec-conformance" "${lists[@]}"
            done
        done
    done
}

aarch64() {
    tools/aarch64-test.sh --locked -p rcodec-conformance
}

wasm32() {
    export CC_wasm32_wasip1="clang --sysroot=/usr -I/usr/include/wasm32-wasi"
    export AR_wasm32_wasip1=llvm-ar
    cargo build --quiet --locked --release --target wasm32-wasip1 -p rcodec-conformance
    printf 'wasm32: '
    node --no-warnings tools/wasi.mjs \
        "$target/wasm32-wasip1/release/rcodec-conformance.wasm" "${lists[@]}"
}

for where in "${@:-native}"; do
    case $where in
    native | aarch64 | wasm32) $where ;;
    *)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
        exit 2
        ;;
    esac
done
