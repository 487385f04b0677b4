//! Vectors of floats by instruction set. A token ([`Avx512`], [`Avx2`], …) is proof that
//! the CPU has its instructions: the only constructor asks the CPU. Kernel bodies are generic
//! over [`Simd`], always inlined, and compiled for an instruction set inside [`Simd::call`].

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
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use simd128::Simd128;

use crate::isa::Isa;
use std::sync::atomic::{Ordering, compiler_fence};

/// A computation to compile for an instruction set.
pub(crate) trait Body {
    /// What it computes.
    type Output;

    /// Runs it. Implementations are `#[inline(always)]`, and so is what they call.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The vector operations of one instruction set; a value is proof that the CPU has them.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Floats in one vector.
    const LANES: usize;
    /// One vector.
    type V: Copy;

    /// The token, if the CPU has the instructions.
    fn new() -> Option<Self>;
    /// Runs `body` compiled for this instruction set.
    fn call<B: Body>(self, body: B) -> B::Output;

    /// Tells the CPU that the cache line at `_from` will be read soon; it may be anything.
    #[inline(always)]
    fn prefetch(self, _from: *const f32) {}

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// `a * b + c`, fused where the instruction set can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// Each lane of `x` clamped; NaN stays NaN.
    fn clamp(self, x: Self::V, low: Self::V, high: Self::V) -> Self::V;
    /// Each lane of `x` where `low < y < high`, 0 elsewhere and where `y` is NaN.
    fn gate(self, x: Self::V, y: Self::V, low: Self::V, high: Self::V) -> Self::V;

    /// # Safety
    /// `LANES` floats must be readable at `from`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// The first `count` lanes, zeros in the others.
    /// # Safety
    /// `count <= LANES` floats must be readable at `from`.
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V;
    /// The lanes `first..end`, zeros in the others.
    /// # Safety
    /// `first <= end <= LANES`, and those floats must be readable; `from` itself need not be.
    #[inline(always)]
    unsafe fn load_lanes(self, from: *const f32, first: usize, end: usize) -> Self::V {
        let mut lanes = [0.0; 16];
        for (lane, x) in lanes.iter_mut().enumerate().take(end).skip(first) {
            // SAFETY: the caller's promise.
            *x = unsafe { *from.wrapping_add(lane) };
        }
        // SAFETY: no vector has more than 16 lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }
    /// # Safety
    /// `LANES` floats must be writable at `to`.
    unsafe fn store(self, to: *mut f32, x: Self::V);
    /// Writes the first `count` lanes.
    /// # Safety
    /// `count <= LANES` floats must be writable at `to`.
    unsafe fn store_part(self, to: *mut f32, x: Self::V, count: usize);
}

/// `pointer`, of which the compiler then knows nothing: in a loop it keeps it in a register and
/// addresses from it, where it would else keep every address it can make out of it.
#[inline(always)]
pub(crate) fn opaque<T>(pointer: *const T) -> *const T {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let mut pointer = pointer;
        // It is an address here; nothing is read from it.
        #[allow(clippy::pointers_in_nomem_asm_block)]
        // SAFETY: there is no instruction.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
        }
        pointer
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pointer
}

/// Keeps loads where they are written: the compiler would do later ones early and, where a computation
/// takes nearly all registers, run out of them.
#[inline(always)]
pub(crate) fn in_order() {
    compiler_fence(Ordering::SeqCst);
}

/// Whether the CPU has the instruction set.
pub(crate) fn is_available(isa: Isa) -> bool {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Avx512::new().is_some(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Avx2::new().is_some(),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Neon::new().is_some(),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Isa::Simd128 => Simd128::new().is_some(),
        Isa::Portable => true,
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// Runs `body` compiled for `isa`, or portably if the CPU lacks it.
pub(crate) fn call<B: Body>(isa: Isa, body: B) -> B::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            if let Some(simd) = Avx512::new() {
                return simd.call(body);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            if let Some(simd) = Avx2::new() {
                return simd.call(body);
            }
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => {
            if let Some(simd) = Neon::new() {
                return simd.call(body);
            }
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Isa::Simd128 => {
            if let Some(simd) = Simd128::new() {
                return simd.call(body);
            }
        }
        _ => {}
    }
    Portable.call(body)
}
