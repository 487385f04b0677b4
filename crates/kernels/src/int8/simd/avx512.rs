//! AVX-512 with VNNI: sixteen sums, four products in each by one instruction.

use super::{Body, Bytes, Target};
use crate::int8::line::ZERO;
use crate::int8::records::Field;
use crate::simd::opaque;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Vnni(());

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2")]
fn compiled<B: Body>(simd: Avx512Vnni, body: B) {
    body.run(simd);
}

/// What rescaling sixteen sums needs; of mantissas the second is for odd lanes.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    mantissa: [__m512i; 2],
    right: __m512i,
    left: __m512i,
    zero: __m512i,
    factor: __m512i,
    shift: __m512i,
}

impl Avx512Vnni {
    /// # Safety
    /// As for [`Bytes::constants`].
    #[inline(always)]
    unsafe fn field(self, from: *const i32, field: Field) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { self.load(from.add(field.start(Self::LANES))) }
    }

    /// The line's value.
    #[inline(always)]
    fn fast(self, sum: __m512i, c: &Constants) -> __m512i {
        // SAFETY: the token proves the features.
        unsafe {
            let (factor, shift) = (_mm512_castsi512_ps(c.factor), _mm512_castsi512_ps(c.shift));
            _mm512_cvttps_epi32(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor, shift))
        }
    }

    /// `ZERO + zero + sum * multiplier`, for every shift and sign.
    #[inline(always)]
    fn any(self, sum: __m512i, c: &Constants) -> __m512i {
        // SAFETY: the token proves the features.
        unsafe {
            let (one, half) = (_mm512_set1_epi32(1), _mm512_set1_epi64(1 << 30));
            let even = _mm512_sllv_epi32(sum, c.left);
            let odd = _mm512_srli_epi64::<32>(even);
            let even = _mm512_add_epi64(_mm512_mul_epi32(even, c.mantissa[0]), half);
            let odd = _mm512_add_epi64(_mm512_mul_epi32(odd, c.mantissa[1]), half);
            let (even, odd) = (_mm512_srli_epi64::<31>(even), _mm512_slli_epi64::<1>(odd));
            let x = _mm512_mask_blend_epi32(0xaaaa, even, odd);
            let mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, c.right), one);
            let threshold =
                _mm512_add_epi32(_mm512_srli_epi32::<1>(mask), _mm512_srli_epi32::<31>(x));
            let up = _mm512_cmpgt_epi32_mask(_mm512_and_si512(x, mask), threshold);
            let x = _mm512_srav_epi32(x, c.right);
            let x = _mm512_add_epi32(_mm512_mask_add_epi32(x, up, x, one), c.zero);
            // What is added may not wrap.
            let x = _mm512_min_epi32(x, _mm512_set1_epi32(1 << 15));
            _mm512_add_epi32(x, _mm512_set1_epi32(ZERO))
        }
    }
}

/// What `store` and `scatter` need, loaded.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    low: __m512i,
    high: __m512i,
    /// Puts the quarters of each run of 128 bits together.
    order: __m512i,
}

/// Every fourth word, from each of the first four on.
static ORDER: [i32; 16] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];

#[inline(always)]
fn mask(count: usize) -> __mmask64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Four vectors of values as bytes, within runs of 128 bits, held to a range.
#[inline(always)]
fn packed([a, b, c, d]: [__m512i; 4], range: &Range) -> __m512i {
    // SAFETY: only a token's methods call this.
    unsafe {
        let zero = _mm512_set1_epi16(ZERO as i16);
        let ab = _mm512_subs_epi16(_mm512_packs_epi32(a, b), zero);
        let cd = _mm512_subs_epi16(_mm512_packs_epi32(c, d), zero);
        let x = _mm512_packus_epi16(ab, cd);
        _mm512_min_epu8(_mm512_max_epu8(x, range.low), range.high)
    }
}

impl Bytes for Avx512Vnni {
    const LANES: usize = 16;
    const FUSED: bool = true;
    type V = __m512i;
    type A = __m512i;
    type W = __m512i;
    type Spread = __m512i;
    type Factors = __m512i;
    type C = Constants;
    type R = Range;

    #[inline(always)]
    fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2");
        has.then_some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) {
        // SAFETY: the token proves the features.
        unsafe { compiled(self, body) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn spread(self, from: *const u8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn factors(self, from: *const i8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { self.weights(from) }
    }

    #[inline(always)]
    fn dot_spread(self, sum: __m512i, a: __m512i, w: __m512i) -> __m512i {
        self.dot(sum, a, w)
    }

    #[inline(always)]
    fn widen(self, a: __m512i) -> __m512i {
        a
    }

    #[inline(always)]
    unsafe fn weights(self, from: *const i8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn quads(self, rows: [*const u8; 4]) -> [__m512i; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let a = _mm512_loadu_si512(rows[0].cast());
            let b = _mm512_loadu_si512(rows[1].cast());
            let c = _mm512_loadu_si512(rows[2].cast());
            let d = _mm512_loadu_si512(rows[3].cast());
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(ab_high, cd_high),
                _mm512_unpackhi_epi16(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn quad(self, from: *const u8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose(self, rows: [*const u8; 4], to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            // Unpacking works in runs of 128 bits: give each run what it shall write.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let a = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(rows[0].cast()));
            let b = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(rows[1].cast()));
            let c = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(rows[2].cast()));
            let d = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(rows[3].cast()));
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            _mm512_storeu_si512(to.cast(), _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to.add(64).cast(), _mm512_unpackhi_epi16(ab, cd));
            _mm512_storeu_si512(to.add(128).cast(), _mm512_unpacklo_epi16(ab_high, cd_high));
            _mm512_storeu_si512(to.add(192).cast(), _mm512_unpackhi_epi16(ab_high, cd_high));
        }
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, a: __m512i, w: __m512i) -> __m512i {
        // SAFETY: the token proves the features.
        unsafe { _mm512_dpbusd_epi32(sum, a, w) }
    }

    #[inline(always)]
    unsafe fn constants(self, from: *const i32) -> Constants {
        // SAFETY: the caller's promise.
        unsafe {
            // Products read even lanes: a word further on those are the odd ones.
            let odd = self.load(from.add(Field::Mantissa.start(Self::LANES) + 1));
            Constants {
                mantissa: [self.field(from, Field::Mantissa), odd],
                right: self.field(from, Field::Right),
                left: self.field(from, Field::Left),
                zero: self.field(from, Field::Zero),
                factor: self.field(from, Field::Factor),
                shift: self.field(from, Field::Shift),
            }
        }
    }

    #[inline(always)]
    fn rescale<const FAST: bool>(self, sum: __m512i, c: &Constants) -> __m512i {
        if FAST { self.fast(sum, c) } else { self.any(sum, c) }
    }

    #[inline(always)]
    fn range(self, [low, high]: [u8; 2]) -> Range {
        // SAFETY: the token proves the features, there are sixteen words. Of an order that it knew the
        // compiler would make four permutations, one for each row.
        unsafe {
            Range {
                low: _mm512_set1_epi8(low as i8),
                high: _mm512_set1_epi8(high as i8),
                order: self.load(opaque(ORDER.as_ptr())),
            }
        }
    }

    #[inline(always)]
    unsafe fn store<const NV: usize>(self, group: [__m512i; 4], to: Target, range: &Range) {
        // SAFETY: the caller's promise; masked bytes are not touched.
        unsafe {
            let x = packed(group, range);
            let row = |index: usize| to.to.add(index * to.stride).cast::<i8>();
            if NV == 4 {
                if to.valid == 64 {
                    _mm512_storeu_si512(row(0).cast(), x);
                } else {
                    _mm512_mask_storeu_epi8(row(0), mask(to.valid), x);
                }
                return;
            }
            let x = if NV == 2 {
                _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), x)
            } else {
                _mm512_permutexvar_epi32(range.order, x)
            };
            let per = 4 / NV;
            let width = 64 / per;
            if to.valid == width && to.stride == width && to.rows == per {
                _mm512_storeu_si512(row(0).cast(), x);
            } else if NV == 2 {
                let halves = [_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x)];
                for (index, half) in halves.into_iter().enumerate().take(to.rows) {
                    _mm256_mask_storeu_epi8(row(index), mask(to.valid) as __mmask32, half);
                }
            } else {
                let quarters = [
                    _mm512_castsi512_si128(x),
                    _mm512_extracti32x4_epi32::<1>(x),
                    _mm512_extracti32x4_epi32::<2>(x),
                    _mm512_extracti32x4_epi32::<3>(x),
                ];
                for (index, quarter) in quarters.into_iter().enumerate().take(to.rows) {
                    _mm_mask_storeu_epi8(row(index), mask(to.valid) as __mmask16, quarter);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter(self, group: [__m512i; 4], to: [*mut u8; 4], range: &Range) {
        // SAFETY: the caller's promise.
        unsafe {
            let x = _mm512_permutexvar_epi32(range.order, packed(group, range));
            _mm_storeu_si128(to[0].cast(), _mm512_castsi512_si128(x));
            _mm_storeu_si128(to[1].cast(), _mm512_extracti32x4_epi32::<1>(x));
            _mm_storeu_si128(to[2].cast(), _mm512_extracti32x4_epi32::<2>(x));
            _mm_storeu_si128(to[3].cast(), _mm512_extracti32x4_epi32::<3>(x));
        }
    }
}
