#!/usr/bin/env bash
# Checks the kernels on 64-bit ARM under QEMU. Exits with 77, saying why, where tools are absent
# (Debian: rustc-web cargo-web rust-web-src gcc-aarch64-linux-gnu qemu-user).
# Emulation is slow: only the layers of the multipliers in MOBILENET_FAMILY (25 unless set).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/checks
cd scripts/kernel-checks

for tool in /usr/bin/rustc /usr/bin/cargo aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
source=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock
[ -e "$source" ] || { echo "skipped: the standard library's source is not installed"; exit 77; }

target=aarch64-unknown-linux-gnu
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export MOBILENET_FAMILY=${MOBILENET_FAMILY:-25}
/usr/bin/cargo build --release --locked --bins -Zbuild-std=std,panic_abort --target "$target"
checks=$CARGO_TARGET_DIR/$target/release/kernel-checks
qemu-aarch64 -L /usr/aarch64-linux-gnu "$checks"
echo 'without dot products of bytes:'
exec qemu-aarch64 -cpu cortex-a72 -L /usr/aarch64-linux-gnu "$checks" int8
