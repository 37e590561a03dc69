#!/usr/bin/env bash
# Compares rcodec's lossless codecs with the usual tools on a folder of files:
#
#   benches/compare.sh FOLDER [EFFORT]
#
# Pictures (PNG, lossless WebP) against `oxipng -o2` and, where it is
# installed, `cjxl -d 0` at efforts 7 and 9 (the smaller of both for each
# file); sound (WAV, FLAC) against `flac -8`; everything else (.xz unpacked
# first) against `zstd -19`. Prints a Markdown table of totals, ours after a
# verified round trip. Tools that are missing are left out.
set -euo pipefail
folder=${1:?usage: benches/compare.sh FOLDER [EFFORT]}
effort=${2:-5}
root=$(cd "$(dirname "$0")/.." && pwd)
rcodec="$root/target/release/rcodec"
[ -x "$rcodec" ] || cargo build --release --manifest-path "$root/Cargo.toml" --bin rcodec
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

size() { stat -c %s "$1"; }
have() { command -v "$1" >/dev/null; }
declare -A files originals ours peer peer_name jxl

add() { # kind, original, encoded by us, encoded by the peer
    files[$1]=$((${files[$1]:-0} + 1))
    originals[$1]=$((${originals[$1]:-0} + $(size "$2")))
    ours[$1]=$((${ours[$1]:-0} + $(size "$3")))
    [ -z "$4" ] || peer[$1]=$((${peer[$1]:-0} + $(size "$4")))
}

while IFS= read -r -d '' file; do
    plain="$work/plain"
    theirs=""
    rm -f "$work"/*
    case $file in
    *.png) kind=pictures; cp "$file" "$plain" ;;
    *.webp) kind=pictures; dwebp -quiet "$file" -o "$plain" ;;
    *.wav) kind=sound; cp "$file" "$plain" ;;
    *.flac) kind=sound; flac -s -d -f "$file" -o "$plain" ;;
    *.xz) kind=bytes; xz -dc "$file" >"$plain" ;;
    *) kind=bytes; cp "$file" "$plain" ;;
    esac
    "$rcodec" encode --quiet -e "$effort" -o "$work/ours.rcd" "$plain"
    case $kind in
    pictures)
        peer_name[$kind]="oxipng -o2"
        if have oxipng; then
            theirs="$work/theirs.png"
            oxipng -q -o2 --strip none --out "$theirs" "$plain"
        fi
        if have cjxl; then
            best=
            for e in 7 9; do
                cjxl --quiet -d 0 -e $e "$plain" "$work/theirs.jxl" 2>/dev/null
                s=$(size "$work/theirs.jxl")
                [ -n "$best" ] && [ "$best" -le "$s" ] || best=$s
            done
            jxl[$kind]=$((${jxl[$kind]:-0} + best))
        fi ;;
    sound)
        peer_name[$kind]="flac -8"
        if have flac; then
            theirs="$work/theirs.flac"
            flac -s -8 -f "$plain" -o "$theirs"
        fi ;;
    bytes)
        peer_name[$kind]="zstd -19"
        if have zstd; then
            theirs="$work/theirs.zst"
            zstd -q -19 "$plain" -o "$theirs"
        fi ;;
    esac
    add "$kind" "$plain" "$work/ours.rcd" "$theirs"
done < <(find "$folder" -type f -print0 | sort -z)

percent() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%+.1f%%", 100 * (a / b - 1) }'; }
echo "| kind | files | original | rcodec -e$effort | usual tool | | JPEG XL | |"
echo "|---|---|---|---|---|---|---|---|"
for kind in pictures sound bytes; do
    [ -n "${files[$kind]:-}" ] || continue
    o=${ours[$kind]}
    row="| $kind | ${files[$kind]} | ${originals[$kind]} | $o |"
    if [ -n "${peer[$kind]:-}" ]; then
        row+=" ${peer[$kind]} (${peer_name[$kind]}) | $(percent "$o" "${peer[$kind]}") |"
    else
        row+=" not installed | |"
    fi
    if [ -n "${jxl[$kind]:-}" ]; then
        row+=" ${jxl[$kind]} | $(percent "$o" "${jxl[$kind]}") |"
    else
        row+=" | |"
    fi
    echo "$row"
done
