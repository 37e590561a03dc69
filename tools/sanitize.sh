#!/usr/bin/env bash
# Searches the only crate with `unsafe` for undefined behaviour.
#
#   tools/sanitize.sh miri [test filter]   the scalar level and all that is above it,
#                                          under Miri (needs rustup's nightly with
#                                          the components miri and rust-src)
#   tools/sanitize.sh asan [test filter]   every level of this CPU, under
#                                          AddressSanitizer (any rustup toolchain
#                                          on x86-64 Linux)
#
# PROPTEST_CASES sets the cases of each property: 3 under Miri, which is some
# thousand times slower, and those the tests ask for under AddressSanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
how=${1:-}
shift || true

case $how in
miri)
    # rayon's threads live until the process ends.
    export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks ${MIRIFLAGS:-}"
    export PROPTEST_CASES=${PROPTEST_CASES:-3} CARGO_TARGET_DIR=target/miri
    exec cargo +nightly miri test --locked -p rcodec-fixed --lib -- "$@"
    ;;
asan)
    # The option is unstable, its runtime library is in every toolchain.
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}"
    export CARGO_TARGET_DIR=target/asan
    # A target makes cargo keep the flags from build scripts and macros.
    target=$(rustc -vV | sed -n 's/^host: //p')
    exec cargo test --locked -p rcodec-fixed --target "$target" --lib --tests -- "$@"
    ;;
*)
    sed -n "2,/^set/{/^#/s/^# \{0,1\}//p}" tools/sanitize.sh >&2
    exit 2
    ;;
esac
