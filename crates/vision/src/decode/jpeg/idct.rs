//! The inverse cosine transform: libjpeg's accurate integer one (`jidctint`), to the bit.
//!
//! After Loeffler, Ligtenberg and Moschytz (1989): twelve multiplications in each direction, here
//! as dot products of pairs of 16-bit lanes, eight columns (or rows) at a time. Constants have 13
//! fraction bits; two more are kept between the columns and the rows.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, i8x16, i16x8, i32x4, u8x16};

use super::Block;

const FIX_0_298: i16 = 2446;
const FIX_0_390: i16 = 3196;
const FIX_0_541: i16 = 4433;
const FIX_0_765: i16 = 6270;
const FIX_0_899: i16 = 7373;
const FIX_1_175: i16 = 9633;
const FIX_1_501: i16 = 12299;
const FIX_1_847: i16 = 15137;
const FIX_1_961: i16 = 16069;
const FIX_2_053: i16 = 16819;
const FIX_2_562: i16 = 20995;
const FIX_3_072: i16 = 25172;
const ONE: i16 = 1 << 13;

/// Samples of a row of blocks: `strip` is `[8, blocks.len() * 8]`, `factors` multiply the
/// coefficients.
pub(super) fn row(level: Level, blocks: &[Block], factors: &Block, strip: &mut [u8]) {
    dispatch!(level, simd => row_simd(simd, blocks, factors, strip));
}

#[inline(always)]
fn row_simd<S: Simd>(simd: S, blocks: &[Block], factors: &Block, strip: &mut [u8]) {
    let stride = blocks.len() * 8;
    let factors: [i16x8<S>; 8] = load(simd, factors);
    for (x, block) in blocks.iter().enumerate() {
        let samples = if is_flat(block) {
            [flat(block[0].wrapping_mul(factors[0][0])); 64]
        } else {
            transform(simd, block, &factors)
        };
        for (line, values) in strip.chunks_exact_mut(stride).zip(samples.as_chunks::<8>().0) {
            if let Some(part) = line.get_mut(x * 8..x * 8 + 8) {
                part.copy_from_slice(values);
            }
        }
    }
}

/// Whether all coefficients but the first are zero.
#[inline(always)]
fn is_flat(block: &Block) -> bool {
    block.iter().skip(1).fold(0, |all, &v| all | v) == 0
}

/// The sample of a block that has nothing but its first coefficient.
#[inline(always)]
fn flat(value: i16) -> u8 {
    (((i32::from(value) + 4) >> 3) + 128).clamp(0, 255) as u8
}

#[inline(always)]
fn load<S: Simd>(simd: S, block: &Block) -> [i16x8<S>; 8] {
    std::array::from_fn(|row| {
        let lanes: [i16; 8] = std::array::from_fn(|column| block[row * 8 + column]);
        i16x8::simd_from(simd, lanes)
    })
}

#[inline(always)]
fn transform<S: Simd>(simd: S, block: &Block, factors: &[i16x8<S>; 8]) -> [u8; 64] {
    let mut rows = load(simd, block);
    for (row, factor) in rows.iter_mut().zip(factors) {
        *row *= *factor;
    }
    let columns = transpose(simd, pass::<S, 11>(simd, rows));
    to_bytes(simd, pass::<S, 18>(simd, columns))
}

/// One direction; the results lose `SHIFT` bits, rounded.
#[inline(always)]
fn pass<S: Simd, const SHIFT: u32>(simd: S, v: [i16x8<S>; 8]) -> [i16x8<S>; 8] {
    let dot = |a, b, x: i16, y: i16| Wide::dot(simd, a, b, [x, y]);
    let round = Wide::splat(simd, 1 << (SHIFT - 1));
    // The even half.
    let near = dot(v[0], v[4], ONE, ONE).add(round);
    let far = dot(v[0], v[4], ONE, -ONE).add(round);
    let two = dot(v[2], v[6], FIX_0_541, FIX_0_541 - FIX_1_847);
    let three = dot(v[2], v[6], FIX_0_541 + FIX_0_765, FIX_0_541);
    let even = [near.add(three), far.add(two), far.sub(two), near.sub(three)];
    // The odd half.
    let (a, b) = (v[7] + v[3], v[5] + v[1]);
    let a_turned = dot(a, b, FIX_1_175 - FIX_1_961, FIX_1_175);
    let b_turned = dot(a, b, FIX_1_175, FIX_1_175 - FIX_0_390);
    let odd = [
        dot(v[7], v[1], -FIX_0_899, FIX_1_501 - FIX_0_899).add(b_turned),
        dot(v[5], v[3], -FIX_2_562, FIX_3_072 - FIX_2_562).add(a_turned),
        dot(v[5], v[3], FIX_2_053 - FIX_2_562, -FIX_2_562).add(b_turned),
        dot(v[7], v[1], FIX_0_298 - FIX_0_899, -FIX_0_899).add(a_turned),
    ];
    std::array::from_fn(|i| {
        let (i, sum) = if i < 4 { (i, true) } else { (7 - i, false) };
        let value = if sum { even[i].add(odd[i]) } else { even[i].sub(odd[i]) };
        value.narrow::<SHIFT>()
    })
}

/// Eight 32-bit lanes.
#[derive(Clone, Copy)]
struct Wide<S: Simd>(i32x4<S>, i32x4<S>);

impl<S: Simd> Wide<S> {
    #[inline(always)]
    fn splat(simd: S, value: i32) -> Self {
        Self(i32x4::splat(simd, value), i32x4::splat(simd, value))
    }

    /// `a * x + b * y`, lane by lane.
    #[inline(always)]
    fn dot(simd: S, a: i16x8<S>, b: i16x8<S>, [x, y]: [i16; 2]) -> Self {
        let factors = i16x8::simd_from(simd, [x, y, x, y, x, y, x, y]);
        Self(
            simd.pairwise_dot_product_i16x8(simd.zip_low_i16x8(a, b), factors),
            simd.pairwise_dot_product_i16x8(simd.zip_high_i16x8(a, b), factors),
        )
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }

    #[inline(always)]
    fn narrow<const SHIFT: u32>(self) -> i16x8<S> {
        let simd = self.0.simd;
        let (low, high) = (simd.shr_i32x4(self.0, SHIFT), simd.shr_i32x4(self.1, SHIFT));
        simd.saturating_narrow_i32x4(low, high)
    }
}

/// Rows to columns: three perfect shuffles turn the six bits of an index half way round.
#[inline(always)]
fn transpose<S: Simd>(simd: S, mut v: [i16x8<S>; 8]) -> [i16x8<S>; 8] {
    for _ in 0..3 {
        v = std::array::from_fn(|i| {
            let (a, b) = (v[i / 2], v[i / 2 + 4]);
            if i % 2 == 0 { simd.zip_low_i16x8(a, b) } else { simd.zip_high_i16x8(a, b) }
        });
    }
    v
}

/// Columns of samples around zero to rows of bytes.
#[inline(always)]
fn to_bytes<S: Simd>(simd: S, v: [i16x8<S>; 8]) -> [u8; 64] {
    let mut bytes: [i8x16<S>; 4] =
        std::array::from_fn(|i| simd.saturating_narrow_i16x8(v[2 * i], v[2 * i + 1]));
    for _ in 0..3 {
        bytes = std::array::from_fn(|i| {
            let (a, b) = (bytes[i / 2], bytes[i / 2 + 2]);
            if i % 2 == 0 { simd.zip_low_i8x16(a, b) } else { simd.zip_high_i8x16(a, b) }
        });
    }
    let middle = u8x16::splat(simd, 128);
    let mut samples = [0; 64];
    for (part, bytes) in samples.as_chunks_mut::<16>().0.iter_mut().zip(bytes) {
        let shifted: u8x16<S> = bytes.bitcast::<u8x16<S>>() ^ middle;
        *part = shifted.into();
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform by its definition, in double precision.
    fn by_definition(block: &Block) -> [f64; 64] {
        let basis = |x: usize, u: usize| {
            let scale = if u == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
            scale * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos() / 2.0
        };
        std::array::from_fn(|i| {
            let (y, x) = (i / 8, i % 8);
            let terms = (0..64).map(|k| f64::from(block[k]) * basis(y, k / 8) * basis(x, k % 8));
            terms.sum::<f64>() + 128.0
        })
    }

    #[test]
    fn it_is_the_inverse_cosine_transform_within_one_level_on_every_level() {
        let mut seed = 7u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as i16 % 64
        };
        for case in 0..50 {
            let mut block = [0; 64];
            block[0] = next() * 8;
            block.iter_mut().take(case + 1).skip(1).for_each(|v| *v = next());
            let exact = by_definition(&block);
            for level in levels() {
                let mut strip = [0; 64];
                row(level, &[block], &[1; 64], &mut strip);
                for (ours, exact) in strip.iter().zip(exact) {
                    let difference = (f64::from(*ours) - exact.clamp(0.0, 255.0)).abs();
                    assert!(difference <= 1.0, "case {case}, {level:?}: {difference}");
                }
            }
        }
    }

    /// The best level and the plainest, which must agree with each other through the golden files.
    fn levels() -> [Level; 2] {
        [Level::new(), Level::baseline()]
    }

    #[test]
    fn a_flat_block_takes_the_short_way_to_the_same_samples() {
        for value in [-2000, -1024, -5, -4, 0, 3, 4, 100, 1023, 2000] {
            let mut nearly = [0; 64];
            nearly[0] = value;
            let short = flat(value);
            let mut strip = [0; 64];
            row(Level::new(), &[nearly], &[1; 64], &mut strip);
            assert_eq!(strip, [short; 64]);
            let long = dispatch!(Level::new(), simd => {
                transform(simd, &nearly, &load(simd, &[1; 64]))
            });
            assert_eq!(long, [short; 64], "value {value}");
        }
    }
}
