//! Channels to RGB, with libjpeg's rounding and TensorFlow's rule for inks.
//!
//! `r = y + 1.402 cr`, `g = y - 0.34414 cb - 0.71414 cr`, `b = y + 1.772 cb` (JFIF, BT.601), with
//! 16 fraction bits. The factors beyond 16 bits are split: 1.402 is 1 and 26345/65536, 1.772 is
//! 2 less 14942/65536, 0.71414 is 1 less 18734/65536.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, i8x16, i16x8, i32x4, u8x16, u16x8};

use super::segments::{Frame, Header};
use crate::decode::ink_to_rgb;

/// What the channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    Grey,
    YCbCr,
    Rgb,
    /// Inks, more is lighter (Adobe's way).
    InvertedCmyk,
    /// Inks, more is darker.
    Cmyk,
    /// Adobe's inverted inks, the three as YCbCr.
    InvertedYcck,
}

impl Conversion {
    /// By libjpeg's rules: the number of channels, JFIF and Adobe segments, the channels' names.
    pub(super) fn of(frame: &Frame, header: &Header) -> Self {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        match (ids.len(), header.adobe) {
            (1, _) => Self::Grey,
            (3, _) if header.jfif => Self::YCbCr,
            (3, Some(0)) => Self::Rgb,
            (3, None) if ids == *b"RGB" => Self::Rgb,
            (3, _) => Self::YCbCr,
            (_, Some(0)) => Self::InvertedCmyk,
            (_, Some(_)) => Self::InvertedYcck,
            (_, None) => Self::Cmyk,
        }
    }

    /// A row of each channel to a row of RGB.
    pub(super) fn row(self, level: Level, channels: &[&[u8]], row: &mut [u8]) {
        match (self, channels) {
            (Self::Grey, [grey, ..]) => {
                let pixels = row.as_chunks_mut::<3>().0;
                pixels.iter_mut().zip(*grey).for_each(|(pixel, &v)| *pixel = [v; 3]);
            }
            (Self::YCbCr, &[y, cb, cr, ..]) => {
                dispatch!(level, simd => ycc(simd, [y, cb, cr], row));
            }
            (Self::Rgb, &[r, g, b, ..]) => {
                let pixels = row.as_chunks_mut::<3>().0;
                let samples = r.iter().zip(g).zip(b);
                pixels
                    .iter_mut()
                    .zip(samples)
                    .for_each(|(pixel, ((&r, &g), &b))| *pixel = [r, g, b]);
            }
            (inks, &[c, m, y, k]) => {
                let pixels = row.as_chunks_mut::<3>().0.iter_mut();
                let samples = c.iter().zip(m).zip(y.iter().zip(k));
                for (pixel, ((&c, &m), (&y, &k))) in pixels.zip(samples) {
                    *pixel = inks.inks([c, m, y, k]);
                }
            }
            _ => {}
        }
    }

    fn inks(self, inks: [u8; 4]) -> [u8; 3] {
        match self {
            Self::InvertedYcck => {
                let [y, cb, cr, k] = inks;
                let [r, g, b] = pixel([y, cb, cr]);
                ink_to_rgb([255 - r, 255 - g, 255 - b, k])
            }
            Self::Cmyk => ink_to_rgb(inks.map(|v| 255 - v)),
            _ => ink_to_rgb(inks),
        }
    }
}

/// One pixel of YCbCr as RGB.
#[inline(always)]
pub(in crate::decode) fn pixel([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + cr + ((26345 * cr + 32768) >> 16);
    let g = y - cr + ((-22554 * cb + 18734 * cr + 32768) >> 16);
    let b = y + 2 * cb + ((-14942 * cb + 32768) >> 16);
    [r, g, b].map(|v| v.clamp(0, 255) as u8)
}

/// Sixteen pixels at a time, and the rest one by one.
#[inline(always)]
fn ycc<S: Simd>(simd: S, [y, cb, cr]: [&[u8]; 3], row: &mut [u8]) {
    let (groups, rest) = row.as_chunks_mut::<48>();
    let (ys, y_rest) = y.as_chunks::<16>();
    let (cbs, cb_rest) = cb.as_chunks::<16>();
    let (crs, cr_rest) = cr.as_chunks::<16>();
    for (group, (y, (cb, cr))) in groups.iter_mut().zip(ys.iter().zip(cbs.iter().zip(crs))) {
        let (y, cb, cr) = (centred(simd, *y), centred(simd, *cb), centred(simd, *cr));
        let low = eight(simd, [y.0, cb.0, cr.0]);
        let high = eight(simd, [y.1, cb.1, cr.1]);
        let red = bytes(simd, low[0], high[0]);
        let green = bytes(simd, low[1], high[1]);
        let blue = bytes(simd, low[2], high[2]);
        *group = interleave(simd, [red, green, blue]);
    }
    let rest_pixels = rest.as_chunks_mut::<3>().0.iter_mut();
    for (out, (&y, (&cb, &cr))) in rest_pixels.zip(y_rest.iter().zip(cb_rest.iter().zip(cr_rest))) {
        *out = pixel([y, cb, cr]);
    }
}

/// Samples less 128.
#[inline(always)]
fn centred<S: Simd>(simd: S, samples: [u8; 16]) -> (i16x8<S>, i16x8<S>) {
    let (low, high) = simd.widen_u8x16(u8x16::simd_from(simd, samples));
    let middle = u16x8::splat(simd, 128);
    ((low - middle).bitcast(), (high - middle).bitcast())
}

/// Eight pixels, all values less 128.
#[inline(always)]
fn eight<S: Simd>(simd: S, [y, cb, cr]: [i16x8<S>; 3]) -> [i16x8<S>; 3] {
    let two = i16x8::splat(simd, 2);
    // The second factor and its 2 make the half that rounds.
    let red = dot(simd, cr, two, [26345, 16384], 0);
    let green = dot(simd, cb, cr, [-22554, 18734], 32768);
    let blue = dot(simd, cb, two, [-14942, 16384], 0);
    [y + cr + red, y - cr + green, y + cb + cb + blue]
}

/// `a * x + b * y + more >> 16`, lane by lane.
#[inline(always)]
fn dot<S: Simd>(simd: S, a: i16x8<S>, b: i16x8<S>, [x, y]: [i16; 2], more: i32) -> i16x8<S> {
    let factors = i16x8::simd_from(simd, [x, y, x, y, x, y, x, y]);
    let more = i32x4::splat(simd, more);
    let low = simd.pairwise_dot_product_i16x8(simd.zip_low_i16x8(a, b), factors) + more;
    let high = simd.pairwise_dot_product_i16x8(simd.zip_high_i16x8(a, b), factors) + more;
    simd.saturating_narrow_i32x4(simd.shr_i32x4(low, 16), simd.shr_i32x4(high, 16))
}

/// Values less 128 to bytes.
#[inline(always)]
fn bytes<S: Simd>(simd: S, low: i16x8<S>, high: i16x8<S>) -> u8x16<S> {
    let bytes: i8x16<S> = simd.saturating_narrow_i16x8(low, high);
    bytes.bitcast::<u8x16<S>>() ^ u8x16::splat(simd, 128)
}

/// Sixteen reds, greens and blues to sixteen pixels.
#[inline(always)]
fn interleave<S: Simd>(simd: S, colors: [u8x16<S>; 3]) -> [u8; 48] {
    let mut pixels = [0; 48];
    for (part, out) in pixels.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let mut sum = u8x16::splat(simd, 0);
        for (color, values) in colors.iter().enumerate() {
            sum |=
                simd.swizzle_dyn_precise_u8x16(*values, u8x16::simd_from(simd, PICKS[part][color]));
        }
        *out = sum.into();
    }
    pixels
}

/// For each third of 16 pixels and each colour: which of its 16 values lies at each byte, or none.
const PICKS: [[[u8; 16]; 3]; 3] = {
    let mut picks = [[[255; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        picks[at / 16][at % 3][at % 16] = (at / 3) as u8;
        at += 1;
    }
    picks
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_of_pixels_equals_the_single_ones_on_every_level() {
        let samples: Vec<u8> =
            (0..16 * 256u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let (cb, cr) = (&samples[100..], &samples[1000..]);
        let n = 3000 - 5;
        for level in [Level::new(), Level::baseline()] {
            let mut row = vec![0; n * 3];
            Conversion::YCbCr.row(level, &[&samples[..n], &cb[..n], &cr[..n]], &mut row);
            for (i, out) in row.as_chunks::<3>().0.iter().enumerate() {
                assert_eq!(*out, pixel([samples[i], cb[i], cr[i]]), "pixel {i}");
            }
        }
    }

    #[test]
    fn the_split_factors_are_the_full_ones() {
        for c in -128..=127i32 {
            assert_eq!(c + ((26345 * c + 32768) >> 16), (91881 * c + 32768) >> 16);
            assert_eq!(2 * c + ((-14942 * c + 32768) >> 16), (116_130 * c + 32768) >> 16);
        }
    }
}
