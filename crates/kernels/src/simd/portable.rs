//! Plain Rust: 8 floats in an array, for the compiler to vectorise as it can.

use super::{Body, Simd};
use crate::window::clamp;

/// Every CPU has this one.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const LANES: usize = 8;

#[inline(always)]
fn map(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut result = [0.0; LANES];
    for (lane, x) in result.iter_mut().enumerate() {
        *x = f(lane);
    }
    result
}

impl Simd for Portable {
    const LANES: usize = LANES;
    type V = [f32; LANES];

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) -> B::Output {
        body.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        map(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        map(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        map(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn clamp(self, x: Self::V, low: Self::V, high: Self::V) -> Self::V {
        map(|lane| clamp(x[lane], low[lane], high[lane]))
    }

    #[inline(always)]
    fn gate(self, x: Self::V, y: Self::V, low: Self::V, high: Self::V) -> Self::V {
        map(|lane| if y[lane] > low[lane] && y[lane] < high[lane] { x[lane] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller's promise; an array has the alignment of its elements.
        unsafe { from.cast::<Self::V>().read() }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V {
        let mut result = [0.0; LANES];
        for (lane, x) in result.iter_mut().take(count).enumerate() {
            // SAFETY: the caller's promise, `lane < count`.
            *x = unsafe { *from.add(lane) };
        }
        result
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: Self::V) {
        // SAFETY: the caller's promise; an array has the alignment of its elements.
        unsafe { to.cast::<Self::V>().write(x) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, x: Self::V, count: usize) {
        for (lane, x) in x.iter().take(count).enumerate() {
            // SAFETY: the caller's promise, `lane < count`.
            unsafe { *to.add(lane) = *x };
        }
    }
}
