#!/usr/bin/env bash
# Fuzzes one check of tests/src/hostile.rs:
#
#   tests/fuzz/run.sh CHECK SECONDS [option of libFuzzer]...
#
# It needs rustup's nightly and cargo-fuzz (`cargo install cargo-fuzz`). The
# corpus is kept in target/fuzz/corpus/CHECK (RCODEC_CORPUS names another
# folder for all), begins with small files made for it, and grows. What breaks
# the check is left in target/fuzz/findings; once it is mended, its input goes
# to tests/findings/CHECK-*, which every test run replays.
set -euo pipefail
cd "$(dirname "$0")/../.."
check=$1 seconds=$2
shift 2
corpus=${RCODEC_CORPUS:-target/fuzz/corpus}/$check
findings=target/fuzz/findings
mkdir -p "$corpus" "$findings"
if [ -z "$(ls -A "$corpus")" ]; then
    cargo run --release --locked --quiet -p rcodec-tests --bin fuzz-seeds -- "$check" "$corpus"
fi
export RCODEC_CHECK=$check
# An allocation of more than the check allows is a finding, and so is time.
exec cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz check "$corpus" -- \
    -max_total_time="$seconds" -timeout=60 -rss_limit_mb=1024 -malloc_limit_mb=100 \
    -max_len=32768 -artifact_prefix="$findings/$check-" -print_final_stats=1 "$@"
