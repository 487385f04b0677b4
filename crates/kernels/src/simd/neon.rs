//! NEON: 4 floats, 32 registers.

use super::{Body, Simd};
use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

/// Proof that the CPU has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

#[target_feature(enable = "neon")]
fn compiled<B: Body>(simd: Neon, body: B) -> B::Output {
    body.run(simd)
}

impl Simd for Neon {
    const LANES: usize = 4;
    type V = float32x4_t;

    #[inline(always)]
    fn new() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) -> B::Output {
        // SAFETY: the token proves the features.
        unsafe { compiled(self, body) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: the token proves the features.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves the features.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves the features.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves the features.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn clamp(self, x: float32x4_t, low: float32x4_t, high: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves the features. FMIN and FMAX give NaN on NaN.
        unsafe { vminq_f32(high, vmaxq_f32(low, x)) }
    }

    #[inline(always)]
    fn gate(
        self,
        x: float32x4_t,
        y: float32x4_t,
        low: float32x4_t,
        high: float32x4_t,
    ) -> float32x4_t {
        // SAFETY: the token proves the features.
        unsafe {
            let open = vandq_u32(vcgtq_f32(y, low), vcltq_f32(y, high));
            vreinterpretq_f32_u32(vandq_u32(open, vreinterpretq_u32_f32(x)))
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> float32x4_t {
        let mut lanes = [0.0; 4];
        for (lane, x) in lanes.iter_mut().take(count).enumerate() {
            // SAFETY: the caller's promise, `lane < count`.
            *x = unsafe { *from.add(lane) };
        }
        // SAFETY: four floats on the stack.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: float32x4_t) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_f32(to, x) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, x: float32x4_t, count: usize) {
        let mut lanes = [0.0; 4];
        // SAFETY: four floats on the stack.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), x) };
        for (lane, x) in lanes.iter().take(count).enumerate() {
            // SAFETY: the caller's promise, `lane < count`.
            unsafe { *to.add(lane) = *x };
        }
    }
}
