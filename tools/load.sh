#!/usr/bin/env bash
# Many files, a long stream and many programs at once, with what each took:
#
#   tools/load.sh [PROGRAM]      default: target/release/rcodec, built first
#
# The long streams are 4 GiB of sound and of bytes through a pipe; SIZE_MIB
# makes them shorter. Needs GNU time, and 1 GB of disk in TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/.."
size_mib=${SIZE_MIB:-4100}
target=${CARGO_TARGET_DIR:-target}
if [ $# -eq 0 ]; then
    cargo build --quiet --locked --release -p rcodec-cli
    set -- "$target/release/rcodec"
fi
program=$(realpath "$1")
cargo build --quiet --locked --release -p rcodec-datasets
make_samples=$(realpath "$target/release/make-samples")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$make_samples" samples

# Runs a command and prints its time and the most memory it held.
took() {
    local label=$1
    shift
    command time --quiet -f "$label: %e s, %U s of CPU, %M KiB at most" "$@"
}

echo "10,000 small files in one call"
mkdir many
for i in $(seq 10000); do
    case $((i % 10)) in
    0) head -c $((i % 977)) samples/prose.txt ;;
    *) sed -n "$((i % 300 + 1)),$((i % 300 + i % 7 + 1))p" samples/log.jsonl ;;
    esac >"many/$i.txt"
done
took "encode" "$program" encode --quiet -r many -o packed
took "decode" "$program" decode --quiet -r packed -o back
diff -r many back/many 2>/dev/null || diff -r many back
printf 'same contents; %s bytes became %s\n' \
    "$(cat many/* | wc -c)" "$(find packed -type f -exec cat {} + | wc -c)"

echo "$size_mib MiB of sound through a pipe, of unknown length"
endless() {
    # A header that names the longest length there is, then samples.
    head -c 4 samples/music.wav
    printf '\377\377\377\377'
    head -c 40 samples/music.wav | tail -c 32
    printf '\377\377\377\377'
    while tail -c +45 samples/music.wav; do :; done 2>/dev/null | head -c "${size_mib}M"
}
endless | sha256sum >first.sum
endless |
    took "encode" "$program" encode --quiet --effort 1 --no-verify - -o - |
    took "decode" "$program" decode --quiet - -o - | sha256sum >second.sum
cmp first.sum second.sum
echo "same bytes"

echo "$size_mib MiB of bytes through a pipe"
bytes() {
    while cat samples/log.jsonl samples/prose.txt samples/screen.png; do :; done 2>/dev/null |
        head -c "${size_mib}M"
}
bytes | sha256sum >first.sum
bytes |
    took "encode" "$program" encode --quiet --codec zstd --effort 1 --no-verify - -o - |
    took "decode" "$program" decode --quiet - -o - | sha256sum >second.sum
cmp first.sum second.sum
echo "same bytes"

echo "64 encoders side by side"
pids=()
for i in $(seq 64); do
    case $((i % 4)) in
    0) sample=landscape.png ;;
    1) sample=music.wav ;;
    2) sample=prose.txt ;;
    3) sample=screen.png ;;
    esac
    command time --quiet -f "%M" -o "$i.kib" \
        "$program" encode --quiet "samples/$sample" -o "$i.rcd" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
for i in $(seq 64); do "$program" info --quiet "$i.rcd" >/dev/null; done
printf 'all done; at most %s KiB each, %s KiB together\n' \
    "$(sort -n ./*.kib | tail -n 1)" "$(cat ./*.kib | paste -sd+ | bc)"
