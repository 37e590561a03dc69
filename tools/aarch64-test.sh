#!/usr/bin/env bash
# Runs tests on aarch64 (NEON) on an x86-64 Debian machine, under qemu.
#
#   tools/aarch64-test.sh [cargo test arguments]
#   tools/aarch64-test.sh -p rcodec-fixed
#   tools/aarch64-test.sh --fetch            only fetches the tools
#
# It needs apt (Debian 12 or later), cargo and the network once, and no root:
# Debian's own Rust compiler (rustc-web), whose standard library exists for
# arm64, a cross linker and qemu are downloaded and unpacked, not installed,
# in AARCH64_TOOLS (default: ~/.cache/rcodec-aarch64). The build goes to
# target/aarch64. Examples in documentation are not run: Debian's compiler comes
# without rustdoc.
set -euo pipefail

project=$(cd "$(dirname "$0")/.." && pwd)
tools=${AARCH64_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/rcodec-aarch64}
root=$tools/root
triple=aarch64-unknown-linux-gnu

fetch() {
    mkdir -p "$tools"/apt/lists/partial "$tools"/apt/cache/archives/partial "$root"
    local options=(
        -o "Dir::State::lists=$tools/apt/lists"
        -o "Dir::Cache=$tools/apt/cache"
        -o APT::Architectures::=amd64
        -o APT::Architectures::=arm64
        -o Debug::NoLocking=1
        -q
    )
    apt-get "${options[@]}" update
    apt-get "${options[@]}" --download-only --yes --no-install-recommends --reinstall install \
        rustc-web libstd-rust-web-dev:arm64 \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
    local package
    for package in "$tools"/apt/cache/archives/*.deb; do
        dpkg -x "$package" "$root"
    done
    rm -rf "$tools/apt"
    touch "$tools/complete"
}

# Small programs that find the unpacked tools at their place.
wrap() {
    mkdir -p "$tools/bin"
    local libraries=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
    cat >"$tools/bin/rustc" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH=$libraries
exec $root/usr/bin/rustc --sysroot=$root/usr "\$@"
EOF
    local compilers=("$root"/usr/bin/aarch64-linux-gnu-gcc-[0-9][0-9])
    local gcc="${compilers[0]} --sysroot=$root"
    local ar=$root/usr/bin/aarch64-linux-gnu-ar
    local tool
    for tool in gcc ar; do
        cat >"$tools/bin/aarch64-linux-gnu-$tool" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH=$libraries
export PATH=$root/usr/bin:\$PATH
exec ${!tool} "\$@"
EOF
    done
    chmod +x "$tools"/bin/*
}

[ -e "$tools/complete" ] || fetch
wrap
if [ "${1:-}" = --fetch ]; then
    exit
fi

export RUSTC=$tools/bin/rustc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$tools/bin/aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$root/usr/bin/qemu-aarch64-static -L $root/usr/aarch64-linux-gnu"
export CC_aarch64_unknown_linux_gnu=$tools/bin/aarch64-linux-gnu-gcc
export AR_aarch64_unknown_linux_gnu=$tools/bin/aarch64-linux-gnu-ar
export CARGO_TARGET_DIR=$project/target/aarch64

cd "$project"
case " $* " in
*" --lib "* | *" --test "* | *" --tests "*) ;;
*) set -- --tests "$@" ;;
esac
exec cargo test --target "$triple" "$@"
