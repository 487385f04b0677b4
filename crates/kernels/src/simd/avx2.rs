//! AVX2 with FMA: 8 floats, 16 registers.

use super::{Body, Simd};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

#[target_feature(enable = "avx2,fma")]
fn compiled<B: Body>(simd: Avx2, body: B) -> B::Output {
    body.run(simd)
}

/// Lanes below `count` set.
#[inline(always)]
fn mask(count: usize) -> __m256i {
    const BITS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    debug_assert!(count <= 8);
    let at = 8 - count.min(8);
    // SAFETY: `at <= 8`, so 8 integers are readable; the caller holds the token.
    unsafe { _mm256_loadu_si256(BITS.as_ptr().add(at).cast()) }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;

    #[inline(always)]
    fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) -> B::Output {
        // SAFETY: the token proves the features.
        unsafe { compiled(self, body) }
    }

    #[inline(always)]
    fn prefetch(self, from: *const f32) {
        // SAFETY: a prefetch reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: the token proves the features.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the token proves the features.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves the features.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves the features.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn clamp(self, x: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: the token proves the features. Min and max give the second operand on NaN.
        unsafe { _mm256_min_ps(high, _mm256_max_ps(low, x)) }
    }

    #[inline(always)]
    fn gate(self, x: __m256, y: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: the token proves the features.
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(y, low);
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(y, high);
            _mm256_and_ps(_mm256_and_ps(above, below), x)
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: the caller's promise; masked lanes are not touched.
        unsafe { _mm256_maskload_ps(from, mask(count)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, x: __m256, count: usize) {
        // SAFETY: the caller's promise; masked lanes are not touched.
        unsafe { _mm256_maskstore_ps(to, mask(count), x) }
    }
}
