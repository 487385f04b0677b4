//! Depthwise 3x3, stride 1, of fewer channels than a vector has lanes: a vector holds several
//! neighbouring pixels, weights are repeated, and a row is walked as one run of floats.
//! Several output rows share the input rows they have in common.

use super::Geometry;
use crate::simd::Simd;

/// Output rows computed together.
const ROWS: usize = 4;

/// Whether [`rows`] can compute this geometry with vectors of `lanes`.
pub(crate) fn fits(geometry: &Geometry, lanes: usize) -> bool {
    let window = &geometry.spec.window;
    let [height, width, channels] = geometry.spec.input;
    geometry.spec.multiplier == 1
        && geometry.output == geometry.spec.input
        && window.kernel == [3, 3]
        && window.dilation == [1, 1]
        && window.stride == [1, 1]
        && [window.padding.top, window.padding.left] == [1, 1]
        && channels < lanes
        && lanes.is_multiple_of(channels)
        && height > 0
        && width * channels >= 2 * lanes
}

/// Output rows `y..` of one image, as many as `output` holds.
///
/// # Panics
/// If the slices do not fit the geometry.
#[inline(always)]
pub(crate) fn rows<S: Simd>(
    simd: S,
    geometry: &Geometry,
    y: usize,
    image: &[f32],
    output: &mut [f32],
) {
    let [height, width, channels] = geometry.spec.input;
    let row = width * channels;
    let count = output.len() / row;
    assert!(image.len() == height * row && output.len() == count * row && y + count <= height);
    assert!(geometry.zeros.len() >= row && row >= 2 * S::LANES);
    assert!(geometry.weights.len() >= 9 * S::LANES && geometry.stride == S::LANES);
    assert!(geometry.bias.len() >= S::LANES);
    let mut weights = [simd.splat(0.0); 9];
    let (low, high) = geometry.spec.activation.bounds();
    // SAFETY: nine vectors of weights and one of bias by the asserts.
    let bias = unsafe {
        for (tap, weight) in weights.iter_mut().enumerate() {
            *weight = simd.load(geometry.weights.as_ptr().add(tap * S::LANES));
        }
        simd.load(geometry.bias.as_ptr())
    };
    let flat = Flat { row, channels, weights, bias, low: simd.splat(low), high: simd.splat(high) };
    let input = |line: usize| match (y + line).checked_sub(1) {
        Some(line) if line < height => image[line * row..].as_ptr(),
        _ => geometry.zeros.as_ptr(),
    };
    let mut line = 0;
    while line < count {
        let output = output[line * row..].as_mut_ptr();
        // SAFETY: every input row (zeros above and below the image) and the output rows
        // `line..line + N` hold `row` floats by the asserts.
        unsafe {
            if line + ROWS <= count {
                let inputs = std::array::from_fn::<_, { ROWS + 2 }, _>(|i| input(line + i));
                flat.rows::<ROWS, { ROWS + 2 }>(simd, inputs, output);
                line += ROWS;
            } else {
                let inputs = std::array::from_fn::<_, 3, _>(|i| input(line + i));
                flat.rows::<1, 3>(simd, inputs, output);
                line += 1;
            }
        }
    }
}

struct Flat<S: Simd> {
    /// Floats in a row.
    row: usize,
    channels: usize,
    weights: [S::V; 9],
    bias: S::V,
    low: S::V,
    high: S::V,
}

impl<S: Simd> Flat<S> {
    /// `N` output rows from the `N2 = N + 2` input rows around them.
    #[inline(always)]
    unsafe fn rows<const N: usize, const N2: usize>(
        &self,
        simd: S,
        inputs: [*const f32; N2],
        output: *mut f32,
    ) {
        let last = (self.row - 1) / S::LANES * S::LANES;
        // SAFETY: the caller's promise; `edge` reads nothing outside the row.
        unsafe {
            self.edge::<N, N2>(simd, &inputs, output, 0);
            let mut at = S::LANES;
            while at < last {
                self.column::<N, N2>(simd, output, at, S::LANES, |line, shift| {
                    simd.load(inputs[line].add(at + shift * self.channels - self.channels))
                });
                at += S::LANES;
            }
            self.edge::<N, N2>(simd, &inputs, output, last);
        }
    }

    /// The first or last vector of the row, zeros beyond its ends.
    #[inline(always)]
    unsafe fn edge<const N: usize, const N2: usize>(
        &self,
        simd: S,
        inputs: &[*const f32; N2],
        output: *mut f32,
        at: usize,
    ) {
        let count = S::LANES.min(self.row - at);
        let load = |line: usize, shift: usize| {
            let begin = (at + shift * self.channels).wrapping_sub(self.channels);
            let skip = if at == 0 && shift == 0 { self.channels } else { 0 };
            let end = self.row.wrapping_sub(begin).min(S::LANES);
            // SAFETY: lanes `skip..end` lie inside the row.
            unsafe { simd.load_lanes(inputs[line].wrapping_add(begin), skip, end) }
        };
        // SAFETY: the caller's promise.
        unsafe { self.column::<N, N2>(simd, output, at, count, load) }
    }

    /// One vector of each of `N` output rows; `load(line, shift)` gives the inputs.
    #[inline(always)]
    unsafe fn column<const N: usize, const N2: usize>(
        &self,
        simd: S,
        output: *mut f32,
        at: usize,
        count: usize,
        load: impl Fn(usize, usize) -> S::V,
    ) {
        let mut sums = [simd.splat(0.0); N];
        for line in 0..N2 {
            for shift in 0..3 {
                let x = load(line, shift);
                for (row, sum) in sums.iter_mut().enumerate() {
                    let ky = line.wrapping_sub(row);
                    if ky < 3 {
                        *sum = simd.fma(x, self.weights[ky * 3 + shift], *sum);
                    }
                }
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            let x = simd.clamp(simd.add(sum, self.bias), self.low, self.high);
            // SAFETY: the caller's promise: `count` floats at `at` of each output row.
            unsafe {
                let to = output.add(row * self.row + at);
                if count == S::LANES { simd.store(to, x) } else { simd.store_part(to, x, count) }
            }
        }
    }
}
