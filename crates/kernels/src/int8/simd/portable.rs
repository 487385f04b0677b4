//! Plain Rust: eight sums in an array.

use super::{Body, Bytes, Target, place};
use crate::int8::Multiplier;
use crate::int8::records::Field;

const LANES: usize = 8;

/// Every CPU has this one.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn lanes<T>(f: impl FnMut(usize) -> T) -> [T; LANES] {
    std::array::from_fn(f)
}

impl Bytes for Portable {
    const LANES: usize = LANES;
    const FUSED: bool = false;
    type V = [i32; LANES];
    type A = [[u8; 4]; LANES];
    type W = [[i8; 4]; LANES];
    type Spread = Self::A;
    type Factors = Self::W;
    type C = ([Multiplier; LANES], i32);
    type R = [i32; 2];

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) {
        body.run(self);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn spread(self, from: *const u8) -> Self::Spread {
        // SAFETY: the caller's promise.
        [unsafe { from.cast::<[u8; 4]>().read_unaligned() }; LANES]
    }

    #[inline(always)]
    unsafe fn factors(self, from: *const i8) -> Self::Factors {
        // SAFETY: the caller's promise.
        unsafe { self.weights(from) }
    }

    #[inline(always)]
    fn dot_spread(self, sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        self.dot(sum, a, w)
    }

    #[inline(always)]
    fn widen(self, a: Self::A) -> Self::A {
        a
    }

    #[inline(always)]
    unsafe fn weights(self, from: *const i8) -> Self::W {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self::W>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn quads(self, rows: [*const u8; 4]) -> [Self::A; 4] {
        // SAFETY: the caller's promise; a place in a block is less than `4 * LANES`.
        std::array::from_fn(|v| lanes(|i| rows.map(|row| unsafe { *row.add(place(4, v, i)) })))
    }

    #[inline(always)]
    unsafe fn quad(self, from: *const u8) -> Self::A {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self::A>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn transpose(self, rows: [*const u8; 4], to: *mut u8) {
        for i in 0..4 * LANES {
            // SAFETY: the caller's promise.
            unsafe { to.cast::<[u8; 4]>().add(i).write_unaligned(rows.map(|row| *row.add(i))) };
        }
    }

    #[inline(always)]
    fn dot(self, sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        lanes(|i| {
            let products = a[i].iter().zip(w[i]).map(|(&a, w)| i32::from(a) * i32::from(w));
            sum[i].wrapping_add(products.sum())
        })
    }

    #[inline(always)]
    unsafe fn constants(self, from: *const i32) -> Self::C {
        // SAFETY: the caller's promise.
        let at = |field: Field| unsafe { self.load(from.add(field.start(LANES))) };
        let (mantissa, right, left) = (at(Field::Mantissa), at(Field::Right), at(Field::Left));
        let multiplier = |i| Multiplier { mantissa: mantissa[i], shift: left[i] - right[i] };
        (lanes(multiplier), at(Field::Zero)[0])
    }

    #[inline(always)]
    fn rescale<const FAST: bool>(self, sum: Self::V, c: &Self::C) -> Self::V {
        lanes(|i| c.0[i].apply(sum[i]).wrapping_add(c.1))
    }

    #[inline(always)]
    fn range(self, range: [u8; 2]) -> Self::R {
        range.map(i32::from)
    }

    #[inline(always)]
    unsafe fn store<const NV: usize>(
        self,
        group: [Self::V; 4],
        to: Target,
        &[low, high]: &Self::R,
    ) {
        for row in 0..to.rows {
            for (v, vector) in group[row * NV..][..NV].iter().enumerate() {
                for (i, x) in vector.iter().enumerate() {
                    let at = place(NV, v, i);
                    if at < to.valid {
                        // SAFETY: the caller's promise, `at < valid`.
                        unsafe { *to.to.add(row * to.stride + at) = (*x).clamp(low, high) as u8 };
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter(self, group: [Self::V; 4], to: [*mut u8; 4], &[low, high]: &Self::R) {
        for (vector, to) in group.into_iter().zip(to) {
            let bytes = vector.map(|x| x.clamp(low, high) as u8);
            // SAFETY: the caller's promise.
            unsafe { to.cast::<[u8; LANES]>().write_unaligned(bytes) };
        }
    }
}
