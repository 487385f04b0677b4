//! The inverse cosine transform: libjpeg's accurate integer one (`jidctint`), to the bit.
//!
//! After Loeffler, Ligtenberg and Moschytz (1989): twelve multiplications in each direction, here
//! as dot products of pairs of 16-bit lanes, eight columns (or rows) at a time. Constants have 13
//! fraction bits; two more are kept between the columns and the rows.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, i16x16, i32x8, u8x32};

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

/// Where the coefficient in row `y` and column `x` lies in a [`Block`]: row `y` beside row `y + 4`,
/// column by column, which is how the first pass takes them.
pub(super) const fn place(y: usize, x: usize) -> usize {
    (y % 4) * 16 + x * 2 + y / 4
}

/// Samples of a row of blocks: `strip` is `[8, blocks.len() * 8]`, `factors` multiply the
/// coefficients.
pub(super) fn row(level: Level, blocks: &[Block], factors: &Block, strip: &mut [u8]) {
    dispatch!(level, simd => row_simd(simd, blocks, factors, strip));
}

#[inline(always)]
fn row_simd<S: Simd>(simd: S, blocks: &[Block], factors: &Block, strip: &mut [u8]) {
    let mut rest = strip.chunks_exact_mut((blocks.len() * 8).max(1));
    let mut lines: [&mut [[u8; 8]]; 8] =
        std::array::from_fn(|_| rest.next().unwrap_or_default().as_chunks_mut().0);
    let factors = load(simd, factors);
    for (x, block) in blocks.iter().enumerate() {
        let samples = if is_flat(block) {
            [flat(block[0].wrapping_mul(factors[0][0])); 64]
        } else {
            transform(simd, block, &factors)
        };
        for (line, values) in lines.iter_mut().zip(samples.as_chunks::<8>().0) {
            if let Some(part) = line.get_mut(x) {
                *part = *values;
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

/// Rows 0 and 4, 1 and 5, 2 and 6, 3 and 7.
#[inline(always)]
fn load<S: Simd>(simd: S, block: &Block) -> [i16x16<S>; 4] {
    let [a, b, c, d] = block.as_chunks::<16>().0 else { return [i16x16::splat(simd, 0); 4] };
    [*a, *b, *c, *d].map(|pairs| i16x16::simd_from(simd, pairs))
}

#[inline(always)]
fn transform<S: Simd>(simd: S, block: &Block, factors: &[i16x16<S>; 4]) -> [u8; 64] {
    let mut pairs = load(simd, block);
    for (pair, factor) in pairs.iter_mut().zip(factors) {
        *pair *= *factor;
    }
    let rows = pass::<S, 11>(simd, pairs);
    let columns = pass::<S, 18>(simd, to_column_pairs(simd, rows));
    to_bytes(simd, columns)
}

/// One direction, from pairs 0 and 4, 1 and 5, 2 and 6, 3 and 7; the results lose `SHIFT` bits,
/// rounded, and come as 0 beside 1, 2 beside 3, and so on.
#[inline(always)]
fn pass<S: Simd, const SHIFT: u32>(
    simd: S,
    [p04, p15, p26, p37]: [i16x16<S>; 4],
) -> [i16x16<S>; 4] {
    let dot = |pair, x: i16, y: i16| dot(simd, pair, x, y);
    let round = i32x8::splat(simd, 1 << (SHIFT - 1));
    // The even half.
    let near = dot(p04, ONE, ONE) + round;
    let far = dot(p04, ONE, -ONE) + round;
    let two = dot(p26, FIX_0_541, FIX_0_541 - FIX_1_847);
    let three = dot(p26, FIX_0_541 + FIX_0_765, FIX_0_541);
    let even = [near + three, far + two, far - two, near - three];
    // The odd half; the sums of the usual five multiplications, each multiplied out.
    const A: i16 = FIX_1_175 - FIX_0_390;
    const B: i16 = FIX_1_175 - FIX_0_899;
    const C: i16 = FIX_1_175 - FIX_1_961;
    const D: i16 = FIX_1_175 - FIX_2_562;
    let odd = [
        dot(p15, FIX_1_501 - FIX_0_899 + A, A) + dot(p37, FIX_1_175, B),
        dot(p15, FIX_1_175, D) + dot(p37, FIX_3_072 - FIX_2_562 + C, C),
        dot(p15, A, FIX_2_053 - FIX_2_562 + A) + dot(p37, D, FIX_1_175),
        dot(p15, B, FIX_1_175) + dot(p37, C, FIX_0_298 - FIX_0_899 + C),
    ];
    let narrow =
        |a, b| simd.saturating_narrow_i32x8(simd.shr_i32x8(a, SHIFT), simd.shr_i32x8(b, SHIFT));
    [
        narrow(even[0] + odd[0], even[1] + odd[1]),
        narrow(even[2] + odd[2], even[3] + odd[3]),
        narrow(even[3] - odd[3], even[2] - odd[2]),
        narrow(even[1] - odd[1], even[0] - odd[0]),
    ]
}

/// `x` times the first of each pair and `y` times the second.
#[inline(always)]
fn dot<S: Simd>(simd: S, pairs: i16x16<S>, x: i16, y: i16) -> i32x8<S> {
    let factors = [x, y, x, y, x, y, x, y, x, y, x, y, x, y, x, y];
    simd.pairwise_dot_product_i16x16(pairs, i16x16::simd_from(simd, factors))
}

/// Rows 0 and 1, 2 and 3, … to pairs of columns: each row's are paired, then turned half way round.
#[inline(always)]
fn to_column_pairs<S: Simd>(simd: S, rows: [i16x16<S>; 4]) -> [i16x16<S>; 4] {
    let pairing = u8x32::simd_from(simd, PAIRING);
    let mut v = rows.map(|row| {
        let paired = simd.swizzle_dyn_within_blocks_i16x16(row, pairing);
        paired.bitcast::<i32x8<S>>()
    });
    for _ in 0..2 {
        v = [
            simd.unzip_low_i32x8(v[0], v[1]),
            simd.unzip_low_i32x8(v[2], v[3]),
            simd.unzip_high_i32x8(v[0], v[1]),
            simd.unzip_high_i32x8(v[2], v[3]),
        ];
    }
    v.map(|pairs| pairs.bitcast())
}

/// Bytes of a row of eight values: 0 and 4, 1 and 5, 2 and 6, 3 and 7.
const PAIRING: [u8; 32] = blocks([0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]);

/// Bytes of two columns of eight, side by side.
const BESIDE: [u8; 32] = blocks([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]);

/// The same for both halves.
const fn blocks(block: [u8; 16]) -> [u8; 32] {
    let mut both = [0; 32];
    let mut at = 0;
    while at < 32 {
        both[at] = block[at % 16];
        at += 1;
    }
    both
}

/// Columns 0 and 1, 2 and 3, … of samples around zero, to rows of bytes.
#[inline(always)]
fn to_bytes<S: Simd>(simd: S, columns: [i16x16<S>; 4]) -> [u8; 64] {
    let beside = u8x32::simd_from(simd, BESIDE);
    let bytes = |a, b| {
        let bytes = simd.saturating_narrow_i16x16(a, b).bitcast::<u8x32<S>>();
        let samples = bytes ^ u8x32::splat(simd, 128);
        simd.swizzle_dyn_within_blocks_u8x32(samples, beside).bitcast::<i16x16<S>>()
    };
    let mut v = [bytes(columns[0], columns[1]), bytes(columns[2], columns[3])];
    for _ in 0..2 {
        v = [simd.zip_low_i16x16(v[0], v[1]), simd.zip_high_i16x16(v[0], v[1])];
    }
    let mut samples = [0; 64];
    for (part, rows) in samples.as_chunks_mut::<32>().0.iter_mut().zip(v) {
        *part = rows.bitcast::<u8x32<S>>().into();
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
                row(level, &[laid_out(&block)], &[1; 64], &mut strip);
                for (ours, exact) in strip.iter().zip(exact) {
                    let difference = (f64::from(*ours) - exact.clamp(0.0, 255.0)).abs();
                    assert!(difference <= 1.0, "case {case}, {level:?}: {difference}");
                }
            }
        }
    }

    /// A block whose rows follow each other, as the transform takes it.
    fn laid_out(rows: &Block) -> Block {
        let mut block = [0; 64];
        (0..64).for_each(|i| block[place(i / 8, i % 8)] = rows[i]);
        block
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
