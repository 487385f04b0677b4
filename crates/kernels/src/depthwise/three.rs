//! Depthwise 3x3, stride 1 or 2: tiles of up to six output columns, at stride 1 of two output rows,
//! by one vector of channels. Every input of a tile is loaded once, weights stay at hand; taps
//! outside the image are left out.

use super::Geometry;
use crate::simd::Simd;
use std::ptr;

/// Most output columns in a tile.
const COLUMNS: usize = 6;

/// Whether [`rows`] can compute this geometry with vectors of `lanes`.
pub(crate) fn fits(geometry: &Geometry, lanes: usize) -> bool {
    let window = &geometry.spec.window;
    let [_, width, channels] = geometry.spec.input;
    let [rows, columns, _] = geometry.output;
    if rows == 0 || columns == 0 || geometry.spec.multiplier != 1 || channels < lanes {
        return false;
    }
    let square = window.kernel == [3, 3] && window.dilation == [1, 1];
    let stride = matches!(window.stride, [1, 1] | [2, 2]);
    // At most one column is missing on each side.
    let left = window.padding.left <= 1;
    let right = window.start(1, columns - 1) + 2 <= width as isize;
    square && stride && left && right
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
    let window = &geometry.spec.window;
    let [height, width, channels] = geometry.spec.input;
    let columns = geometry.output[1];
    let count = output.len() / (columns * channels);
    let (low, high) = geometry.spec.activation.bounds();
    assert!(image.len() == height * width * channels);
    assert!(output.len() == count * columns * channels && y + count <= geometry.output[0]);
    assert!(channels >= S::LANES && columns > 0);
    assert!(geometry.weights.len() >= 9 * geometry.stride && geometry.stride >= channels);
    assert!(geometry.bias.len() >= channels);
    let start = window.start(1, columns - 1);
    assert!(window.padding.left <= 1 && start + 2 <= width as isize);
    let rows = Rows {
        image: image.as_ptr(),
        height,
        row_stride: width * channels,
        first: window.start(0, y),
        weights: geometry.weights.as_ptr(),
        bias: geometry.bias.as_ptr(),
        output: output.as_mut_ptr(),
        tap_stride: geometry.stride,
        count,
        columns,
        channels,
        left: window.padding.left == 1,
        right: start + 3 > width as isize,
        low: simd.splat(low),
        high: simd.splat(high),
    };
    // SAFETY: the asserts: every tap of every column is inside the image's rows but the first of
    // the first column (`left`) and the last of the last (`right`), and all channels exist in
    // weights, bias, input and output; `Rows::line` gives no row outside the image.
    unsafe {
        if window.stride == [1, 1] {
            rows.blocks::<1>(simd);
        } else {
            rows.blocks::<2>(simd);
        }
    }
}

/// Output rows and the image they are computed from.
struct Rows<S: Simd> {
    image: *const f32,
    /// Rows of the image.
    height: usize,
    /// Floats in a row of the image.
    row_stride: usize,
    /// Image row of the first tap of the first output row; negative inside the padding.
    first: isize,
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    /// Floats between the weights of neighbouring taps.
    tap_stride: usize,
    /// Output rows.
    count: usize,
    columns: usize,
    channels: usize,
    /// The first column lacks its left tap.
    left: bool,
    /// The last column lacks its right tap.
    right: bool,
    low: S::V,
    high: S::V,
}

impl<S: Simd> Rows<S> {
    /// All channels, a vector at a time; the last vector may overlap the one before.
    #[inline(always)]
    unsafe fn blocks<const STRIDE: usize>(&self, simd: S) {
        let mut first = 0;
        while first < self.channels {
            let channel = first.min(self.channels - S::LANES);
            // SAFETY: `channel + LANES <= channels`.
            unsafe {
                let mut weights = [simd.splat(0.0); 9];
                for (tap, weight) in weights.iter_mut().enumerate() {
                    *weight = simd.load(self.weights.add(tap * self.tap_stride + channel));
                }
                let bias = simd.load(self.bias.add(channel));
                Block { rows: self, channel, weights, bias }.all::<STRIDE>(simd);
            }
            first += S::LANES;
        }
    }

    /// The first column (or the padding before it) of image row `line`; null outside the image.
    #[inline(always)]
    fn line(&self, line: isize) -> *const f32 {
        match usize::try_from(line) {
            Ok(line) if line < self.height => self.image.wrapping_add(line * self.row_stride),
            _ => ptr::null(),
        }
    }
}

/// One vector of channels of the rows.
struct Block<'a, S: Simd> {
    rows: &'a Rows<S>,
    channel: usize,
    weights: [S::V; 9],
    bias: S::V,
}

impl<S: Simd> Block<'_, S> {
    /// All rows, at stride 1 in pairs.
    #[inline(always)]
    unsafe fn all<const STRIDE: usize>(&self, simd: S) {
        let rows = self.rows;
        let mut row = 0;
        while row < rows.count {
            let line = rows.first + (row * STRIDE) as isize;
            // SAFETY: the caller's promise; there are as many output rows.
            unsafe {
                let output = rows.output.add(row * rows.columns * rows.channels + self.channel);
                if STRIDE == 1 && row + 2 <= rows.count {
                    let lines = std::array::from_fn(|i| rows.line(line + i as isize));
                    self.columns::<STRIDE, 2, 4>(simd, lines, output);
                    row += 2;
                } else {
                    let lines = std::array::from_fn(|i| rows.line(line + i as isize));
                    self.columns::<STRIDE, 1, 3>(simd, lines, output);
                    row += 1;
                }
            }
        }
    }

    /// `R` whole output rows from the `IN` input rows under them, in tiles of equal width.
    #[inline(always)]
    unsafe fn columns<const STRIDE: usize, const R: usize, const IN: usize>(
        &self,
        simd: S,
        lines: [*const f32; IN],
        output: *mut f32,
    ) {
        let rows = self.rows;
        let (mut column, mut tiles) = (0, rows.columns.div_ceil(COLUMNS));
        macro_rules! tile {
            ($count:expr, $($n:literal)*) => {
                match $count {
                    $($n => self.tile::<STRIDE, R, IN, $n>(simd, lines, output, column),)*
                    _ => unreachable!("a tile has 1 to {COLUMNS} columns"),
                }
            };
        }
        while tiles > 0 {
            let count = (rows.columns - column).div_ceil(tiles);
            // SAFETY: `column + count <= columns`; the caller's promise.
            unsafe { tile!(count, 1 2 3 4 5 6) };
            column += count;
            tiles -= 1;
        }
    }

    #[inline(always)]
    unsafe fn tile<const STRIDE: usize, const R: usize, const IN: usize, const N: usize>(
        &self,
        simd: S,
        lines: [*const f32; IN],
        output: *mut f32,
        column: usize,
    ) {
        let rows = self.rows;
        let inputs = (N - 1) * STRIDE + 3;
        let first = if rows.left && column == 0 { 1 } else { 0 };
        let end = if rows.right && column + N == rows.columns { inputs - 1 } else { inputs };
        let start = (column * STRIDE * rows.channels + self.channel).wrapping_sub(if rows.left {
            rows.channels
        } else {
            0
        });
        let mut sums = [[simd.splat(0.0); N]; R];
        for (line, from) in lines.into_iter().enumerate() {
            if from.is_null() {
                continue;
            }
            let from = from.wrapping_add(start);
            for at in 0..inputs {
                if (at == 0 && first == 1) || (at == inputs - 1 && end < inputs) {
                    continue;
                }
                // SAFETY: the row is inside the image, and so is every column but those left out.
                let x = unsafe { simd.load(from.wrapping_add(at * rows.channels)) };
                // Each sum takes its taps row by row, from left to right.
                for (row, sums) in sums.iter_mut().enumerate() {
                    let ky = line.wrapping_sub(row * STRIDE);
                    for (column, sum) in sums.iter_mut().enumerate() {
                        let kx = at.wrapping_sub(column * STRIDE);
                        if ky < 3 && kx < 3 {
                            *sum = simd.fma(x, self.weights[ky * 3 + kx], *sum);
                        }
                    }
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                let sum = simd.clamp(simd.add(sum, self.bias), rows.low, rows.high);
                let at = (row * rows.columns + column + n) * rows.channels;
                // SAFETY: the caller's promise: these rows and columns of the output exist.
                unsafe { simd.store(output.add(at), sum) };
            }
        }
    }
}
