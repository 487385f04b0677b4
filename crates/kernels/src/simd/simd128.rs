//! WebAssembly simd128: 4 floats. It has no fused multiply-add; a module either holds these
//! instructions or does not, so this file is compiled only with the target feature.

use super::{Body, Simd};
use std::arch::wasm32::*;

/// Proof that the module was compiled with simd128.
#[derive(Clone, Copy)]
pub(crate) struct Simd128(());

impl Simd for Simd128 {
    const LANES: usize = 4;
    type V = v128;

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) -> B::Output {
        body.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    fn fma(self, a: v128, b: v128, c: v128) -> v128 {
        f32x4_add(f32x4_mul(a, b), c)
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn clamp(self, x: v128, low: v128, high: v128) -> v128 {
        // `pmax(a, b)` is `a < b ? b : a` and `pmin(a, b)` is `b < a ? b : a`: NaN in `a` stays.
        f32x4_pmin(f32x4_pmax(x, low), high)
    }

    #[inline(always)]
    fn gate(self, x: v128, y: v128, low: v128, high: v128) -> v128 {
        v128_and(v128_and(f32x4_gt(y, low), f32x4_lt(y, high)), x)
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> v128 {
        // SAFETY: the caller's promise; the instruction needs no alignment.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> v128 {
        let mut lanes = [0.0; 4];
        for (lane, x) in lanes.iter_mut().take(count).enumerate() {
            // SAFETY: the caller's promise, `lane < count`.
            *x = unsafe { *from.add(lane) };
        }
        f32x4(lanes[0], lanes[1], lanes[2], lanes[3])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: v128) {
        // SAFETY: the caller's promise; the instruction needs no alignment.
        unsafe { v128_store(to.cast(), x) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, x: v128, count: usize) {
        let lanes = [
            f32x4_extract_lane::<0>(x),
            f32x4_extract_lane::<1>(x),
            f32x4_extract_lane::<2>(x),
            f32x4_extract_lane::<3>(x),
        ];
        for (lane, x) in lanes.iter().take(count).enumerate() {
            // SAFETY: the caller's promise, `lane < count`.
            unsafe { *to.add(lane) = *x };
        }
    }
}
