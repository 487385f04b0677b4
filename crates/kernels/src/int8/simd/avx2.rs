//! AVX2: eight sums. With AVX-VNNI one instruction takes four products in each lane; without it bytes
//! are widened to 16 bits, but in products where `vpmaddubsw` does not saturate.

use super::{Body, Bytes, Target};
use crate::int8::line::ZERO;
use crate::int8::records::Field;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2, FMA and the instructions of `P`.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<P>(P);

pub(crate) type Avx2Vnni = Avx2<Vnni>;
pub(crate) type Avx2Plain = Avx2<Plain>;

/// The instructions that multiply and sum; a value is proof that the CPU has them.
pub(crate) trait Products: Copy + Send + Sync + 'static {
    /// Whether `dot_spread` saturates in 16 bits.
    const SATURATES: bool;
    /// Four inputs, or four weights, for each lane, as `dot` takes them.
    type Fours: Copy;

    fn detect() -> Option<Self>;
    /// Runs `body` compiled with them.
    fn call<B: Body>(simd: Avx2<Self>, body: B);
    fn inputs(self, bytes: __m256i) -> Self::Fours;
    fn weights(self, bytes: __m256i) -> Self::Fours;
    /// `sum` and four products in each lane.
    fn dot(self, sum: __m256i, a: Self::Fours, w: Self::Fours) -> __m256i;
    /// The same of bytes as they lie.
    fn dot_spread(self, sum: __m256i, a: __m256i, w: __m256i) -> __m256i;
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The dot products of AVX-VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Vnni(());

#[target_feature(enable = "avx2,fma,avxvnni")]
fn compiled_vnni<B: Body>(simd: Avx2Vnni, body: B) {
    body.run(simd);
}

impl Products for Vnni {
    const SATURATES: bool = false;
    type Fours = __m256i;

    #[inline(always)]
    fn detect() -> Option<Self> {
        (has_avx2() && is_x86_feature_detected!("avxvnni")).then_some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(simd: Avx2Vnni, body: B) {
        // SAFETY: the token proves the features.
        unsafe { compiled_vnni(simd, body) }
    }

    #[inline(always)]
    fn inputs(self, bytes: __m256i) -> __m256i {
        bytes
    }

    #[inline(always)]
    fn weights(self, bytes: __m256i) -> __m256i {
        bytes
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the value proves the feature.
        unsafe { _mm256_dpbusd_avx_epi32(sum, a, w) }
    }

    #[inline(always)]
    fn dot_spread(self, sum: __m256i, a: __m256i, w: __m256i) -> __m256i {
        self.dot(sum, a, w)
    }
}

/// What every CPU with AVX2 has.
#[derive(Clone, Copy)]
pub(crate) struct Plain(());

#[target_feature(enable = "avx2,fma")]
fn compiled_plain<B: Body>(simd: Avx2Plain, body: B) {
    body.run(simd);
}

impl Products for Plain {
    const SATURATES: bool = true;
    /// Bytes 0 and 2, and 1 and 3, of each lane in 16 bits.
    type Fours = [__m256i; 2];

    #[inline(always)]
    fn detect() -> Option<Self> {
        has_avx2().then_some(Self(()))
    }

    #[inline(always)]
    fn call<B: Body>(simd: Avx2Plain, body: B) {
        // SAFETY: the token proves the features.
        unsafe { compiled_plain(simd, body) }
    }

    #[inline(always)]
    fn inputs(self, x: __m256i) -> [__m256i; 2] {
        // SAFETY: the value proves the feature.
        unsafe { [_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(x)] }
    }

    #[inline(always)]
    fn weights(self, x: __m256i) -> [__m256i; 2] {
        // SAFETY: the value proves the feature.
        unsafe { [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x)), _mm256_srai_epi16::<8>(x)] }
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, a: [__m256i; 2], w: [__m256i; 2]) -> __m256i {
        // SAFETY: the value proves the feature.
        unsafe {
            let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a[0], w[0]));
            _mm256_add_epi32(sum, _mm256_madd_epi16(a[1], w[1]))
        }
    }

    #[inline(always)]
    fn dot_spread(self, sum: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the value proves the feature.
        unsafe {
            let pairs = _mm256_maddubs_epi16(a, w);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

/// What rescaling eight sums needs; of mantissas the second is for odd lanes.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    mantissa: [__m256i; 2],
    right: __m256i,
    left: __m256i,
    zero: __m256i,
    factor: __m256i,
    shift: __m256i,
}

impl<P: Products> Avx2<P> {
    /// # Safety
    /// As for [`Bytes::constants`].
    #[inline(always)]
    unsafe fn field(self, from: *const i32, field: Field) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { self.load(from.add(field.start(Self::LANES))) }
    }

    /// The line's value.
    #[inline(always)]
    fn fast(self, sum: __m256i, c: &Constants) -> __m256i {
        // SAFETY: the token proves the features.
        unsafe {
            let (factor, shift) = (_mm256_castsi256_ps(c.factor), _mm256_castsi256_ps(c.shift));
            _mm256_cvttps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), factor, shift))
        }
    }

    /// `ZERO + zero + sum * multiplier`, for every shift and sign.
    #[inline(always)]
    fn any(self, sum: __m256i, c: &Constants) -> __m256i {
        // SAFETY: the token proves the features.
        unsafe {
            let (one, half) = (_mm256_set1_epi32(1), _mm256_set1_epi64x(1 << 30));
            let even = _mm256_sllv_epi32(sum, c.left);
            let odd = _mm256_srli_epi64::<32>(even);
            let even = _mm256_add_epi64(_mm256_mul_epi32(even, c.mantissa[0]), half);
            let odd = _mm256_add_epi64(_mm256_mul_epi32(odd, c.mantissa[1]), half);
            let (even, odd) = (_mm256_srli_epi64::<31>(even), _mm256_slli_epi64::<1>(odd));
            let x = _mm256_blend_epi32::<0xaa>(even, odd);
            let mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, c.right), one);
            let threshold =
                _mm256_add_epi32(_mm256_srli_epi32::<1>(mask), _mm256_srli_epi32::<31>(x));
            let up = _mm256_cmpgt_epi32(_mm256_and_si256(x, mask), threshold);
            let x = _mm256_srav_epi32(x, c.right);
            let x = _mm256_add_epi32(_mm256_sub_epi32(x, up), c.zero);
            // What is added may not wrap.
            let x = _mm256_min_epi32(x, _mm256_set1_epi32(1 << 15));
            _mm256_add_epi32(x, _mm256_set1_epi32(ZERO))
        }
    }
}

/// Four vectors of values as bytes, within runs of 128 bits, held to a range.
#[inline(always)]
fn packed([a, b, c, d]: [__m256i; 4], range: &[__m256i; 2]) -> __m256i {
    // SAFETY: only a token's methods call this.
    unsafe {
        let zero = _mm256_set1_epi16(ZERO as i16);
        let ab = _mm256_subs_epi16(_mm256_packs_epi32(a, b), zero);
        let cd = _mm256_subs_epi16(_mm256_packs_epi32(c, d), zero);
        let x = _mm256_packus_epi16(ab, cd);
        _mm256_min_epu8(_mm256_max_epu8(x, range[0]), range[1])
    }
}

/// The bytes of each vector of a group, one after the other.
#[inline(always)]
fn rows(packed: __m256i) -> __m256i {
    // SAFETY: only a token's methods call this.
    unsafe { _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)) }
}

impl<P: Products> Bytes for Avx2<P> {
    const LANES: usize = 8;
    const FUSED: bool = true;
    type V = __m256i;
    const SATURATES: bool = P::SATURATES;
    type A = P::Fours;
    type W = P::Fours;
    type Spread = __m256i;
    type Factors = __m256i;
    type C = Constants;
    type R = [__m256i; 2];

    #[inline(always)]
    fn new() -> Option<Self> {
        P::detect().map(Self)
    }

    #[inline(always)]
    fn call<B: Body>(self, body: B) {
        P::call(self, body);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn spread(self, from: *const u8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn factors(self, from: *const i8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    fn dot_spread(self, sum: __m256i, a: __m256i, w: __m256i) -> __m256i {
        self.0.dot_spread(sum, a, w)
    }

    #[inline(always)]
    fn widen(self, a: __m256i) -> P::Fours {
        self.0.inputs(a)
    }

    #[inline(always)]
    unsafe fn weights(self, from: *const i8) -> P::Fours {
        // SAFETY: the caller's promise.
        self.0.weights(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn quads(self, rows: [*const u8; 4]) -> [P::Fours; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let a = _mm256_loadu_si256(rows[0].cast());
            let b = _mm256_loadu_si256(rows[1].cast());
            let c = _mm256_loadu_si256(rows[2].cast());
            let d = _mm256_loadu_si256(rows[3].cast());
            let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
            [
                self.0.inputs(_mm256_unpacklo_epi16(ab, cd)),
                self.0.inputs(_mm256_unpackhi_epi16(ab, cd)),
                self.0.inputs(_mm256_unpacklo_epi16(ab_high, cd_high)),
                self.0.inputs(_mm256_unpackhi_epi16(ab_high, cd_high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn quad(self, from: *const u8) -> P::Fours {
        // SAFETY: the caller's promise.
        self.0.inputs(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn transpose(self, rows: [*const u8; 4], to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            // Unpacking works in runs of 128 bits: give each run what it shall write.
            let order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
            let a = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[0].cast()), order);
            let b = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[1].cast()), order);
            let c = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[2].cast()), order);
            let d = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[3].cast()), order);
            let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
            _mm256_storeu_si256(to.cast(), _mm256_unpacklo_epi16(ab, cd));
            _mm256_storeu_si256(to.add(32).cast(), _mm256_unpackhi_epi16(ab, cd));
            _mm256_storeu_si256(to.add(64).cast(), _mm256_unpacklo_epi16(ab_high, cd_high));
            _mm256_storeu_si256(to.add(96).cast(), _mm256_unpackhi_epi16(ab_high, cd_high));
        }
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, a: P::Fours, w: P::Fours) -> __m256i {
        self.0.dot(sum, a, w)
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
    fn rescale<const FAST: bool>(self, sum: __m256i, c: &Constants) -> __m256i {
        if FAST { self.fast(sum, c) } else { self.any(sum, c) }
    }

    #[inline(always)]
    fn range(self, range: [u8; 2]) -> Self::R {
        // SAFETY: the token proves the features.
        range.map(|byte| unsafe { _mm256_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    unsafe fn store<const NV: usize>(self, group: [__m256i; 4], to: Target, range: &Self::R) {
        // SAFETY: the caller's promise.
        unsafe {
            let x = packed(group, range);
            if NV == 4 {
                if to.valid == 32 {
                    return _mm256_storeu_si256(to.to.cast(), x);
                }
                let mut bytes = [0u8; 32];
                _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x);
                return std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.to, to.valid);
            }
            // Each 128 bits hold four outputs of each vector of the group in turn: put rows together.
            let x = if NV == 2 { _mm256_permute4x64_epi64::<0b11_01_10_00>(x) } else { rows(x) };
            let row = |index: usize| to.to.add(index * to.stride);
            if to.valid == 8 * NV && to.rows == 4 / NV {
                let (low, high) = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
                if NV == 2 {
                    _mm_storeu_si128(row(0).cast(), low);
                    return _mm_storeu_si128(row(1).cast(), high);
                }
                _mm_storel_epi64(row(0).cast(), low);
                _mm_storel_epi64(row(1).cast(), _mm_unpackhi_epi64(low, low));
                _mm_storel_epi64(row(2).cast(), high);
                return _mm_storel_epi64(row(3).cast(), _mm_unpackhi_epi64(high, high));
            }
            let mut bytes = [0u8; 32];
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x);
            for index in 0..to.rows {
                let from = bytes.as_ptr().add(8 * NV * index);
                std::ptr::copy_nonoverlapping(from, row(index), to.valid);
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter(self, group: [__m256i; 4], to: [*mut u8; 4], range: &Self::R) {
        // SAFETY: the caller's promise.
        unsafe {
            let x = rows(packed(group, range));
            let (low, high) = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            _mm_storel_epi64(to[0].cast(), low);
            _mm_storel_epi64(to[1].cast(), _mm_unpackhi_epi64(low, low));
            _mm_storel_epi64(to[2].cast(), high);
            _mm_storel_epi64(to[3].cast(), _mm_unpackhi_epi64(high, high));
        }
    }
}
