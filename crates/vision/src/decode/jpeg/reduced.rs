//! Blocks as fewer samples: the inverse cosine transform of 4x4, 2x2 or 1x1 points, of the lowest
//! frequencies alone. A picture of half, a quarter or an eighth of the size at no more cost.
//!
//! Computed in floats; nothing else is meant to agree with it to the bit.

use fearless_simd::{Level, Simd, dispatch};

use super::Block;
use super::idct::place;

/// Samples of a row of blocks, `side` (4, 2 or 1) by `side` of each: `strip` is
/// `[side, blocks.len() * side]`.
pub(super) fn row(level: Level, side: usize, blocks: &[Block], factors: &Block, strip: &mut [u8]) {
    match side {
        4 => dispatch!(level, simd => row_simd::<_, 4>(simd, blocks, factors, strip)),
        2 => dispatch!(level, simd => row_simd::<_, 2>(simd, blocks, factors, strip)),
        _ => dispatch!(level, simd => row_simd::<_, 1>(simd, blocks, factors, strip)),
    }
}

#[inline(always)]
fn row_simd<S: Simd, const N: usize>(_: S, blocks: &[Block], factors: &Block, strip: &mut [u8]) {
    let basis = basis::<N>();
    let mut rest = strip.chunks_exact_mut((blocks.len() * N).max(1));
    let mut lines: [&mut [[u8; N]]; N] =
        std::array::from_fn(|_| rest.next().unwrap_or_default().as_chunks_mut().0);
    for (x, block) in blocks.iter().enumerate() {
        let samples = transform(block, factors, &basis);
        for (line, values) in lines.iter_mut().zip(samples) {
            if let Some(part) = line.get_mut(x) {
                *part = values;
            }
        }
    }
}

/// What frequency `u` of eight adds to point `x` of `N`: `[u][x]`.
fn basis<const N: usize>() -> [[f32; N]; N] {
    let value = |u: usize, x: usize| {
        let scale = if u == 0 { 0.125f64.sqrt() } else { 0.5 };
        (scale * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * N) as f64).cos())
            as f32
    };
    std::array::from_fn(|u| std::array::from_fn(|x| value(u, x)))
}

#[inline(always)]
fn transform<const N: usize>(
    block: &Block,
    factors: &Block,
    basis: &[[f32; N]; N],
) -> [[u8; N]; N] {
    let mut samples = [[128.5f32; N]; N];
    for (v, down) in basis.iter().enumerate() {
        let mut line = [0.0; N];
        for (u, across) in basis.iter().enumerate() {
            let at = place(v, u);
            let value = f32::from(block[at].wrapping_mul(factors[at]));
            line.iter_mut().zip(across).for_each(|(sum, b)| *sum += value * b);
        }
        for (row, &b) in samples.iter_mut().zip(down) {
            row.iter_mut().zip(&line).for_each(|(sample, l)| *sample += l * b);
        }
    }
    samples.map(|row| row.map(|value| value as u8))
}

#[cfg(test)]
mod tests {
    use super::super::idct;
    use super::*;

    /// The samples of one block, rows after each other.
    fn reduced(side: usize, block: &Block) -> Vec<u8> {
        let mut strip = vec![0; side * side];
        row(Level::new(), side, &[*block], &[1; 64], &mut strip);
        strip
    }

    #[test]
    fn low_frequencies_give_the_means_of_the_whole_blocks_samples() {
        let mut block = [0; 64];
        (block[place(0, 0)], block[place(0, 1)], block[place(1, 0)]) = (160, 90, -70);
        let mut whole = [0; 64];
        idct::row(Level::new(), &[block], &[1; 64], &mut whole);
        for side in [4, 2, 1] {
            let step = 8 / side;
            for (i, &value) in reduced(side, &block).iter().enumerate() {
                let (y, x) = (i / side * step, i % side * step);
                let part = (0..step * step).map(|k| whole[(y + k / step) * 8 + x + k % step]);
                let mean = part.map(f32::from).sum::<f32>() / (step * step) as f32;
                assert!((mean - f32::from(value)).abs() < 2.5, "{side} {i}: {value} for {mean}");
            }
        }
    }

    #[test]
    fn the_brightest_and_darkest_stay_bytes() {
        let (mut bright, mut dark) = ([0; 64], [0; 64]);
        (bright[0], dark[0]) = (2000, -2000);
        assert_eq!(reduced(4, &bright), [255; 16]);
        assert_eq!(reduced(2, &dark), [0; 4]);
        assert_eq!(reduced(1, &[0; 64]), [128]);
    }
}
