//! NEON: four sums. With the dot products of ARMv8.2 one instruction takes four products in each
//! lane; without them bytes are multiplied to 16 bits and added in pairs. Both multiply signed bytes,
//! so 128 is taken from each input.

use super::{Body, Bytes, Target, four};
use crate::int8::line::ZERO;
use crate::int8::records::Field;
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};
use std::mem::transmute;

/// Proof that the CPU has NEON and the instructions of `P`.
#[derive(Clone, Copy)]
pub(crate) struct Neon<P>(P);

pub(crate) type NeonDot = Neon<Dot>;
pub(crate) type NeonPlain = Neon<Plain>;

/// The instructions that multiply and sum; a value is proof that the CPU has them.
pub(crate) trait Products: Copy + Send + Sync + 'static {
    fn detect() -> Option<Self>;
    /// Runs `body` compiled with them.
    fn call<B: Body>(simd: Neon<Self>, body: B);
    /// Four bytes for each lane, in the order that `dot` takes.
    fn order(self, bytes: int8x16_t) -> int8x16_t;
    /// `sum` and four products in each lane.
    fn dot(self, sum: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t;
}

/// The dot products of ARMv8.2.
#[derive(Clone, Copy)]
pub(crate) struct Dot(());

#[target_feature(enable = "neon,dotprod")]
fn compiled_dot<B: Body>(simd: NeonDot, body: B) {
    body.run(simd);
}

impl Products for Dot {
    #[inline(always)]
    fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(simd: NeonDot, body: B) {
        // SAFETY: the token proves the features.
        unsafe { compiled_dot(simd, body) }
    }

    #[inline(always)]
    fn order(self, bytes: int8x16_t) -> int8x16_t {
        bytes
    }

    #[inline(always)]
    fn dot(self, mut sum: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
        // `vdotq_s32` is not stable yet (rust-lang/rust#117224).
        // SAFETY: the value proves the feature; registers are all that it touches.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {a:v}.16b, {w:v}.16b",
                sum = inout(vreg) sum,
                a = in(vreg) a,
                w = in(vreg) w,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}

/// Those of every NEON.
#[derive(Clone, Copy)]
pub(crate) struct Plain(());

#[target_feature(enable = "neon")]
fn compiled_plain<B: Body>(simd: NeonPlain, body: B) {
    body.run(simd);
}

impl Products for Plain {
    #[inline(always)]
    fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(simd: NeonPlain, body: B) {
        // SAFETY: the token proves the features.
        unsafe { compiled_plain(simd, body) }
    }

    /// The first two bytes of each lane, then the others: their products are added where they lie.
    #[inline(always)]
    fn order(self, bytes: int8x16_t) -> int8x16_t {
        const ORDER: [u8; 16] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];
        // SAFETY: the value proves the feature.
        unsafe { vqtbl1q_s8(bytes, vld1q_u8(ORDER.as_ptr())) }
    }

    #[inline(always)]
    fn dot(self, sum: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
        // SAFETY: the value proves the feature.
        unsafe {
            let sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(w)));
            vpadalq_s16(sum, vmull_high_s8(a, w))
        }
    }
}

/// What rescaling four sums needs.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    mantissa: int32x4_t,
    left: int32x4_t,
    /// Shifts down, as shifts up by less than nothing.
    right: int32x4_t,
    zero: int32x4_t,
    factor: float32x4_t,
    shift: float32x4_t,
}

impl<P: Products> Neon<P> {
    /// Inputs as `dot` takes them.
    #[inline(always)]
    fn inputs(self, bytes: uint8x16_t) -> int8x16_t {
        // SAFETY: the token proves the features.
        self.0.order(unsafe { vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x80))) })
    }

    /// # Safety
    /// As for [`Bytes::constants`].
    #[inline(always)]
    unsafe fn field(self, from: *const i32, field: Field) -> int32x4_t {
        // SAFETY: the caller's promise.
        unsafe { self.load(from.add(field.start(Self::LANES))) }
    }

    /// The line's value.
    #[inline(always)]
    fn fast(self, sum: int32x4_t, c: &Constants) -> int32x4_t {
        // SAFETY: the token proves the features.
        unsafe { vcvtq_s32_f32(vfmaq_f32(c.shift, vcvtq_f32_s32(sum), c.factor)) }
    }

    /// `ZERO + zero + sum * multiplier`, for every shift and sign.
    #[inline(always)]
    fn any(self, sum: int32x4_t, c: &Constants) -> int32x4_t {
        // SAFETY: the token proves the features.
        unsafe {
            let x = vqrdmulhq_s32(vshlq_s32(sum, c.left), c.mantissa);
            // The shift rounds halves up: below zero, where there is one, begin a bit lower.
            let below = vshrq_n_s32::<31>(vandq_s32(x, c.right));
            let x = vrshlq_s32(vqaddq_s32(x, below), c.right);
            // What is added last may not wrap.
            vqaddq_s32(vaddq_s32(x, c.zero), vdupq_n_s32(ZERO))
        }
    }
}

/// Four vectors of values as bytes, held to a range.
#[inline(always)]
fn packed([a, b, c, d]: [int32x4_t; 4], range: &[uint8x16_t; 2]) -> uint8x16_t {
    // SAFETY: only a token's methods call this.
    unsafe {
        let zero = vdupq_n_s16(ZERO as i16);
        let ab = vqsubq_s16(vqmovn_high_s32(vqmovn_s32(a), b), zero);
        let cd = vqsubq_s16(vqmovn_high_s32(vqmovn_s32(c), d), zero);
        let x = vqmovun_high_s16(vqmovun_s16(ab), cd);
        vminq_u8(vmaxq_u8(x, range[0]), range[1])
    }
}

impl<P: Products> Bytes for Neon<P> {
    const LANES: usize = 4;
    const FUSED: bool = true;
    const OFFSET: i32 = 128;
    type V = int32x4_t;
    type A = int8x16_t;
    type W = int8x16_t;
    type Spread = int8x16_t;
    type Factors = int8x16_t;
    type C = Constants;
    type R = [uint8x16_t; 2];

    #[inline(always)]
    fn new() -> Option<Self> {
        P::detect().map(Self)
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) {
        P::call(self, body);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> int32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vld1q_s32(from) }
    }

    #[inline(always)]
    unsafe fn spread(self, from: *const u8) -> int8x16_t {
        // SAFETY: the caller's promise.
        let four = unsafe { vdupq_n_u32(from.cast::<u32>().read_unaligned()) };
        // SAFETY: the token proves the features.
        self.inputs(unsafe { vreinterpretq_u8_u32(four) })
    }

    #[inline(always)]
    unsafe fn factors(self, from: *const i8) -> int8x16_t {
        // SAFETY: the caller's promise.
        unsafe { self.weights(from) }
    }

    #[inline(always)]
    fn dot_spread(self, sum: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
        self.dot(sum, a, w)
    }

    #[inline(always)]
    fn widen(self, a: int8x16_t) -> int8x16_t {
        a
    }

    #[inline(always)]
    unsafe fn weights(self, from: *const i8) -> int8x16_t {
        // SAFETY: the caller's promise.
        self.0.order(unsafe { vld1q_s8(from) })
    }

    #[inline(always)]
    unsafe fn quads(self, rows: [*const u8; 4]) -> [int8x16_t; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let [a, b, c, d] = rows.map(|row| vld1q_u8(row));
            let half = |a, b| vreinterpretq_u16_u8(vzip1q_u8(a, b));
            let high = |a, b| vreinterpretq_u16_u8(vzip2q_u8(a, b));
            let (ab, cd, ab_high, cd_high) = (half(a, b), half(c, d), high(a, b), high(c, d));
            [
                vzip1q_u16(ab, cd),
                vzip2q_u16(ab, cd),
                vzip1q_u16(ab_high, cd_high),
                vzip2q_u16(ab_high, cd_high),
            ]
            .map(|quads| self.inputs(vreinterpretq_u8_u16(quads)))
        }
    }

    #[inline(always)]
    unsafe fn quad(self, from: *const u8) -> int8x16_t {
        // SAFETY: the caller's promise.
        self.inputs(unsafe { vld1q_u8(from) })
    }

    #[inline(always)]
    unsafe fn transpose(self, rows: [*const u8; 4], to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let [a, b, c, d] = rows.map(|row| vld1q_u8(row));
            vst4q_u8(to, uint8x16x4_t(a, b, c, d));
        }
    }

    #[inline(always)]
    fn dot(self, sum: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
        self.0.dot(sum, a, w)
    }

    #[inline(always)]
    unsafe fn constants(self, from: *const i32) -> Constants {
        // SAFETY: the caller's promise.
        unsafe {
            Constants {
                mantissa: self.field(from, Field::Mantissa),
                left: self.field(from, Field::Left),
                right: vnegq_s32(self.field(from, Field::Right)),
                zero: self.field(from, Field::Zero),
                factor: vreinterpretq_f32_s32(self.field(from, Field::Factor)),
                shift: vreinterpretq_f32_s32(self.field(from, Field::Shift)),
            }
        }
    }

    #[inline(always)]
    fn rescale<const FAST: bool>(self, sum: int32x4_t, c: &Constants) -> int32x4_t {
        if FAST { self.fast(sum, c) } else { self.any(sum, c) }
    }

    #[inline(always)]
    fn range(self, range: [u8; 2]) -> Self::R {
        // SAFETY: the token proves the features.
        range.map(|byte| unsafe { vdupq_n_u8(byte) })
    }

    #[inline(always)]
    unsafe fn store<const NV: usize>(self, group: [int32x4_t; 4], to: Target, range: &Self::R) {
        // SAFETY: the caller's promise; a vector is sixteen bytes.
        unsafe { four::store::<NV>(transmute(packed(group, range)), to) }
    }

    #[inline(always)]
    unsafe fn scatter(self, group: [int32x4_t; 4], to: [*mut u8; 4], range: &Self::R) {
        // SAFETY: the caller's promise; a vector is four words.
        unsafe { four::scatter(transmute(packed(group, range)), to) }
    }
}
