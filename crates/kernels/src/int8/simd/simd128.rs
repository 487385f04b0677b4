//! WebAssembly simd128: four sums, bytes widened to 16 bits. Floats have no fused multiply-add, so
//! lines are computed in doubles ([`NEAREST`]); what has no line is rescaled lane by lane, as no
//! instruction shifts each lane by its own count.

use super::{Body, Bytes, Target, four};
use crate::int8::Multiplier;
use crate::int8::line::NEAREST;
use crate::int8::records::Field;
use std::arch::wasm32::*;
use std::mem::transmute;

const LANES: usize = 4;

/// Added to a double, it leaves the nearest whole number in the low half of its bits.
const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;

/// Proof that the module was compiled with simd128.
#[derive(Clone, Copy)]
pub(crate) struct Simd128(());

/// Bytes 0 and 2, and 1 and 3, of each lane in 16 bits.
type Halves = [v128; 2];

#[inline(always)]
fn unsigned(x: v128) -> Halves {
    [v128_and(x, u16x8_splat(0xff)), u16x8_shr(x, 8)]
}

/// Lanes 2 and 3, twice.
#[inline(always)]
fn high(x: v128) -> v128 {
    i64x2_shuffle::<1, 1>(x, x)
}

/// What rescaling four sums needs.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    /// Of the lines of two lanes each.
    factor: [v128; 2],
    shift: [v128; 2],
    multipliers: [Multiplier; LANES],
    zero: i32,
}

impl Simd128 {
    /// The line's value, less its zero.
    #[inline(always)]
    fn fast(self, sum: v128, c: &Constants) -> v128 {
        let two = |half: usize, sums: v128| {
            let product = f64x2_mul(f64x2_convert_low_i32x4(sums), c.factor[half]);
            f64x2_add(f64x2_add(product, c.shift[half]), f64x2_splat(WHOLE))
        };
        i32x4_shuffle::<0, 2, 4, 6>(two(0, sum), two(1, high(sum)))
    }

    /// `zero + sum * multiplier`, for every shift and sign.
    #[inline(always)]
    fn any(self, sum: v128, c: &Constants) -> v128 {
        let lane = |multiplier: Multiplier, sum| multiplier.apply(sum).wrapping_add(c.zero);
        i32x4(
            lane(c.multipliers[0], i32x4_extract_lane::<0>(sum)),
            lane(c.multipliers[1], i32x4_extract_lane::<1>(sum)),
            lane(c.multipliers[2], i32x4_extract_lane::<2>(sum)),
            lane(c.multipliers[3], i32x4_extract_lane::<3>(sum)),
        )
    }
}

/// Four vectors of values as bytes, held to a range.
#[inline(always)]
fn packed([a, b, c, d]: [v128; 4], range: &[v128; 2]) -> v128 {
    let x = u8x16_narrow_i16x8(i16x8_narrow_i32x4(a, b), i16x8_narrow_i32x4(c, d));
    u8x16_min(u8x16_max(x, range[0]), range[1])
}

/// Bytes of four rows in turn, four rows for each lane.
///
/// # Safety
/// Sixteen bytes must be readable at each pointer.
#[inline(always)]
unsafe fn turned(rows: [*const u8; 4]) -> [v128; 4] {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = rows.map(|row| unsafe { v128_load(row.cast()) });
    let low = |a, b| u8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
    let high =
        |a, b| u8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
    let (ab, cd, ab_high, cd_high) = (low(a, b), low(c, d), high(a, b), high(c, d));
    [
        u16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(ab, cd),
        u16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(ab, cd),
        u16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(ab_high, cd_high),
        u16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(ab_high, cd_high),
    ]
}

impl Bytes for Simd128 {
    const LANES: usize = LANES;
    const FUSED: bool = false;
    const LINES: bool = true;
    type V = v128;
    type A = Halves;
    type W = Halves;
    type Spread = Halves;
    type Factors = Halves;
    type C = Constants;
    type R = [v128; 2];

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) {
        body.run(self);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> v128 {
        // SAFETY: the caller's promise; the instruction needs no alignment.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn spread(self, from: *const u8) -> Halves {
        // SAFETY: the caller's promise; the instruction needs no alignment.
        unsigned(unsafe { v128_load32_splat(from.cast()) })
    }

    #[inline(always)]
    unsafe fn factors(self, from: *const i8) -> Halves {
        // SAFETY: the caller's promise.
        unsafe { self.weights(from) }
    }

    #[inline(always)]
    fn dot_spread(self, sum: v128, a: Halves, w: Halves) -> v128 {
        self.dot(sum, a, w)
    }

    #[inline(always)]
    fn widen(self, a: Halves) -> Halves {
        a
    }

    #[inline(always)]
    unsafe fn weights(self, from: *const i8) -> Halves {
        // SAFETY: the caller's promise; the instruction needs no alignment.
        let x = unsafe { v128_load(from.cast()) };
        [i16x8_shr(i16x8_shl(x, 8), 8), i16x8_shr(x, 8)]
    }

    #[inline(always)]
    unsafe fn quads(self, rows: [*const u8; 4]) -> [Halves; 4] {
        // SAFETY: the caller's promise.
        unsafe { turned(rows) }.map(unsigned)
    }

    #[inline(always)]
    unsafe fn quad(self, from: *const u8) -> Halves {
        // SAFETY: the caller's promise; the instruction needs no alignment.
        unsigned(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn transpose(self, rows: [*const u8; 4], to: *mut u8) {
        // SAFETY: the caller's promise; the instruction needs no alignment.
        unsafe {
            for (index, quads) in turned(rows).into_iter().enumerate() {
                v128_store(to.add(16 * index).cast(), quads);
            }
        }
    }

    #[inline(always)]
    fn dot(self, sum: v128, a: Halves, w: Halves) -> v128 {
        let sum = i32x4_add(sum, i32x4_dot_i16x8(a[0], w[0]));
        i32x4_add(sum, i32x4_dot_i16x8(a[1], w[1]))
    }

    #[inline(always)]
    unsafe fn constants(self, from: *const i32) -> Constants {
        // SAFETY: the caller's promise.
        let at = |field: Field| unsafe { self.load(from.add(field.start(LANES))) };
        // SAFETY: a vector is four words.
        let words = |field| -> [i32; LANES] { unsafe { transmute(at(field)) } };
        let doubles = |x| [f64x2_promote_low_f32x4(x), f64x2_promote_low_f32x4(high(x))];
        let (mantissa, right, left) =
            (words(Field::Mantissa), words(Field::Right), words(Field::Left));
        Constants {
            factor: doubles(at(Field::Factor)),
            shift: doubles(at(Field::Shift)).map(|x| f64x2_add(x, f64x2_splat(NEAREST))),
            multipliers: std::array::from_fn(|i| Multiplier {
                mantissa: mantissa[i],
                shift: left[i] - right[i],
            }),
            zero: words(Field::Zero)[0],
        }
    }

    #[inline(always)]
    fn rescale<const FAST: bool>(self, sum: v128, c: &Constants) -> v128 {
        if FAST { self.fast(sum, c) } else { self.any(sum, c) }
    }

    #[inline(always)]
    fn range(self, range: [u8; 2]) -> Self::R {
        range.map(|byte| u8x16_splat(byte))
    }

    #[inline(always)]
    unsafe fn store<const NV: usize>(self, group: [v128; 4], to: Target, range: &Self::R) {
        // SAFETY: the caller's promise; a vector is sixteen bytes.
        unsafe { four::store::<NV>(transmute(packed(group, range)), to) }
    }

    #[inline(always)]
    unsafe fn scatter(self, group: [v128; 4], to: [*mut u8; 4], range: &Self::R) {
        // SAFETY: the caller's promise; a vector is four words.
        unsafe { four::scatter(transmute(packed(group, range)), to) }
    }
}
