//! Dot products of bytes by instruction set. As in the kernels of floats, a token is proof that
//! the CPU has the instructions, and bodies are generic, always inlined, and compiled for an
//! instruction set inside [`Bytes::call`].
//!
//! Sums come in blocks of four vectors. Lane `i` of vector `v` of a block of `n` vectors belongs to
//! output `4 n (i / 4) + 4 v + i % 4` ([`place`]): the order in which packing 32 bits to 8 within
//! runs of 128 bits puts neighbours next to each other.

use super::line::ZERO;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2Plain, Avx2Vnni};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512Vnni;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::{NeonDot, NeonPlain};
pub(crate) use portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use simd128::Simd128;

/// The output of lane `lane` of vector `vector` in a block of `vectors`.
#[inline(always)]
pub(crate) fn place(vectors: usize, vector: usize, lane: usize) -> usize {
    4 * vectors * (lane / 4) + 4 * vector + lane % 4
}

/// A computation to compile for an instruction set.
pub(crate) trait Body {
    /// Runs it. Implementations are `#[inline(always)]`, and so is what they call.
    fn run<S: Bytes>(self, simd: S);
}

/// Dot products of four bytes in each 32-bit lane; a value is proof that the CPU can.
pub(crate) trait Bytes: Copy + Send + Sync + 'static {
    /// Sums in one vector.
    const LANES: usize;
    /// Whether floats are multiplied and added with one rounding, in one instruction.
    const FUSED: bool;
    /// Whether sums become bytes by lines.
    const LINES: bool = Self::FUSED;
    /// What values have to be more than their bytes when they are written.
    const ZERO: i32 = if Self::FUSED { ZERO } else { 0 };
    /// What `dot` takes from each input, so that both factors are signed; packing makes up for it.
    const OFFSET: i32 = 0;
    /// Sums.
    type V: Copy;
    /// Four inputs for each lane.
    type A: Copy;
    /// Four weights for each lane.
    type W: Copy;
    /// Four inputs for all lanes.
    type Spread: Copy;
    /// Four weights for each lane, of inputs that all lanes share.
    type Factors: Copy;
    /// Whether `dot_spread` sums the products of two neighbours in 16 bits; weights that may make more of
    /// bytes have to be multiplied by `dot`.
    const SATURATES: bool = false;
    /// What rescaling a vector needs, loaded.
    type C: Copy;
    /// The smallest and the largest byte to write, loaded.
    type R: Copy;

    /// The token, if the CPU has the instructions.
    fn new() -> Option<Self>;
    /// Runs `body` compiled for this instruction set.
    fn call<B: Body>(self, body: B);

    /// # Safety
    /// `LANES` integers must be readable at `from`.
    unsafe fn load(self, from: *const i32) -> Self::V;
    /// # Safety
    /// Four bytes must be readable at `from`.
    unsafe fn spread(self, from: *const u8) -> Self::Spread;
    /// # Safety
    /// `4 * LANES` bytes must be readable at `from`.
    unsafe fn factors(self, from: *const i8) -> Self::Factors;
    /// As `dot`, of inputs that all lanes share.
    fn dot_spread(self, sum: Self::V, a: Self::Spread, w: Self::Factors) -> Self::V;
    /// Inputs that all lanes share, as `dot` takes them.
    fn widen(self, a: Self::Spread) -> Self::A;
    /// # Safety
    /// `4 * LANES` bytes must be readable at `from`.
    unsafe fn weights(self, from: *const i8) -> Self::W;
    /// A byte from each of four rows for each lane of a block, in the order of [`place`].
    /// # Safety
    /// `4 * LANES` bytes must be readable at each pointer.
    unsafe fn quads(self, rows: [*const u8; 4]) -> [Self::A; 4];
    /// Four bytes for each lane, as they lie.
    /// # Safety
    /// `4 * LANES` bytes must be readable at `from`.
    unsafe fn quad(self, from: *const u8) -> Self::A;
    /// Writes a byte of each of four rows in turn.
    /// # Safety
    /// `4 * LANES` bytes must be readable at each pointer, four times as many writable at `to`.
    unsafe fn transpose(self, rows: [*const u8; 4], to: *mut u8);
    /// `sum` and the products of the lane's four inputs, less `OFFSET`, and weights; wraps.
    fn dot(self, sum: Self::V, a: Self::A, w: Self::W) -> Self::V;

    /// # Safety
    /// `from` points to a record of [`Records`](super::records::Records).
    unsafe fn constants(self, from: *const i32) -> Self::C;
    /// Sums to output values as `store` and `scatter` take them, not yet held to a range; with
    /// `FAST` by lines.
    fn rescale<const FAST: bool>(self, sum: Self::V, c: &Self::C) -> Self::V;

    /// The range of bytes that `store` and `scatter` hold values to.
    fn range(self, range: [u8; 2]) -> Self::R;
    /// Writes `rows` rows of `valid` bytes, `stride` apart: blocks of `NV` vectors, `4 / NV` of
    /// them in `group`.
    /// # Safety
    /// Those bytes must be writable; `rows <= 4 / NV` and `valid <= 4 * LANES / (4 / NV)`.
    unsafe fn store<const NV: usize>(self, group: [Self::V; 4], to: Target, range: &Self::R);
    /// Writes the bytes of each vector, lane by lane.
    /// # Safety
    /// `LANES` bytes must be writable at each pointer.
    unsafe fn scatter(self, group: [Self::V; 4], to: [*mut u8; 4], range: &Self::R);
}

/// Where a group of sums is written.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// First byte of the first row.
    pub(crate) to: *mut u8,
    /// Bytes between rows.
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// Bytes of each row.
    pub(crate) valid: usize,
}

/// What [`Bytes::store`] and [`Bytes::scatter`] write where vectors have four lanes.
#[cfg(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) mod four {
    use super::Target;

    /// # Safety
    /// As for [`Bytes::store`](super::Bytes::store).
    #[inline(always)]
    pub(crate) unsafe fn store<const NV: usize>(bytes: [u8; 16], to: Target) {
        for (row, bytes) in bytes.chunks_exact(4 * NV).enumerate().take(to.rows) {
            // SAFETY: the caller's promise; a length that is known takes no call.
            unsafe {
                let (from, output) = (bytes.as_ptr(), to.to.add(row * to.stride));
                if to.valid == 4 * NV {
                    std::ptr::copy_nonoverlapping(from, output, 4 * NV);
                } else {
                    std::ptr::copy_nonoverlapping(from, output, to.valid);
                }
            }
        }
    }

    /// # Safety
    /// As for [`Bytes::scatter`](super::Bytes::scatter).
    #[inline(always)]
    pub(crate) unsafe fn scatter(bytes: [u32; 4], to: [*mut u8; 4]) {
        for (bytes, to) in bytes.into_iter().zip(to) {
            // SAFETY: the caller's promise.
            unsafe { to.cast::<u32>().write_unaligned(bytes) };
        }
    }
}
