#!/usr/bin/env bash
# Checks the kernels as WebAssembly with simd128, in Node. Exits with 77, saying why, where tools
# are absent (Debian: rustc-web cargo-web rust-web-src lld-19 nodejs).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/checks
cd scripts/kernel-checks

for tool in /usr/bin/rustc /usr/bin/cargo wasm-ld-19 node; do
    command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
source=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock
[ -e "$source" ] || { echo "skipped: the standard library's source is not installed"; exit 77; }

target=wasm32-unknown-unknown
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128"
/usr/bin/cargo build --release --locked --lib -Zbuild-std=std,panic_abort --target "$target"
exec node ../run-wasm-checks.mjs "$CARGO_TARGET_DIR/$target/release/kernel_checks.wasm"
