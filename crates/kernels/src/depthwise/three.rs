//! Depthwise 3x3, stride 1 or 2, a row at a time: tiles of up to four output columns by one
//! vector of channels. Every input column is loaded once for a tile, weights stay in registers;
//! taps outside the image are left out at compile time.

use super::Geometry;
use crate::simd::Simd;

/// Output columns in a tile.
const COLUMNS: usize = 4;

/// Whether [`row`] can compute this geometry with vectors of `lanes`.
pub(crate) fn fits(geometry: &Geometry, lanes: usize) -> bool {
    let window = &geometry.spec.window;
    let [height, width, channels] = geometry.spec.input;
    let [rows, columns, _] = geometry.output;
    if rows == 0 || columns == 0 || geometry.spec.multiplier != 1 || channels < lanes {
        return false;
    }
    let square = window.kernel == [3, 3] && window.dilation == [1, 1];
    let stride = matches!(window.stride, [1, 1] | [2, 2]);
    // At most one column is missing on each side and at least two rows are inside.
    let left = window.padding.left <= 1;
    let right = window.start(1, columns - 1) + 2 <= width as isize;
    let inside = |y: usize| {
        let (first, last) = window.taps(0, y, height);
        last - first >= 2
    };
    square && stride && left && right && inside(0) && inside(rows - 1)
}

/// One output row. `y` is its number in the image.
///
/// # Panics
/// If the slices do not fit the geometry.
#[inline(always)]
pub(crate) fn row<S: Simd>(
    simd: S,
    geometry: &Geometry,
    y: usize,
    image: &[f32],
    output: &mut [f32],
) {
    let window = &geometry.spec.window;
    let [height, width, channels] = geometry.spec.input;
    let (first, last) = window.taps(0, y, height);
    let top = (window.start(0, y) + first as isize) as usize;
    let columns = geometry.output[1];
    let (low, high) = geometry.spec.activation.bounds();
    assert!(image.len() == height * width * channels && output.len() == columns * channels);
    assert!(channels >= S::LANES && columns > 0 && top + (last - first) <= height);
    assert!(geometry.weights.len() >= 9 * geometry.stride && geometry.stride >= channels);
    assert!(geometry.bias.len() >= channels);
    let start = window.start(1, columns - 1);
    assert!(window.padding.left <= 1 && start + 2 <= width as isize);
    let shape = Row {
        input: image[top * width * channels..].as_ptr(),
        weights: geometry.weights[3 * first * geometry.stride..].as_ptr(),
        bias: geometry.bias.as_ptr(),
        output: output.as_mut_ptr(),
        tap_stride: geometry.stride,
        columns,
        channels,
        row_stride: width * channels,
        left: window.padding.left == 1,
        right: start + 3 > width as isize,
        low: simd.splat(low),
        high: simd.splat(high),
    };
    // SAFETY: the asserts: rows `top..top + ROWS` are inside the image, every tap of every
    // column is inside but the first of the first column (`left`) and the last of the last
    // (`right`), and all channels exist in weights, bias, input and output.
    unsafe {
        match (window.stride[1], last - first) {
            (1, 3) => shape.blocks::<1, 3>(simd),
            (1, 2) => shape.blocks::<1, 2>(simd),
            (2, 3) => shape.blocks::<2, 3>(simd),
            (2, 2) => shape.blocks::<2, 2>(simd),
            _ => unreachable!("checked by `fits`"),
        }
    }
}

/// An output row and the input rows under it.
struct Row<S: Simd> {
    /// First input row inside the image.
    input: *const f32,
    /// Weights of that row.
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    /// Floats between the weights of neighbouring taps.
    tap_stride: usize,
    columns: usize,
    channels: usize,
    row_stride: usize,
    /// The first column lacks its left tap.
    left: bool,
    /// The last column lacks its right tap.
    right: bool,
    low: S::V,
    high: S::V,
}

impl<S: Simd> Row<S> {
    /// All channels, a vector at a time; the last vector may overlap the one before.
    #[inline(always)]
    unsafe fn blocks<const STRIDE: usize, const ROWS: usize>(&self, simd: S) {
        let mut first = 0;
        while first < self.channels {
            let channel = first.min(self.channels - S::LANES);
            // SAFETY: `channel + LANES <= channels`.
            unsafe { self.block::<STRIDE, ROWS>(simd, channel) };
            first += S::LANES;
        }
    }

    /// One vector of channels of the whole row.
    #[inline(always)]
    unsafe fn block<const STRIDE: usize, const ROWS: usize>(&self, simd: S, channel: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut weights = [[simd.splat(0.0); 3]; ROWS];
            for (row, taps) in weights.iter_mut().enumerate() {
                for (tap, weight) in taps.iter_mut().enumerate() {
                    let at = (row * 3 + tap) * self.tap_stride + channel;
                    *weight = simd.load(self.weights.add(at));
                }
            }
            let bias = simd.load(self.bias.add(channel));
            let block = Block { row: self, channel, weights, bias };
            let last = self.columns.saturating_sub(1) / COLUMNS * COLUMNS;
            let mut column = 0;
            if self.left && last > 0 {
                block.tile::<STRIDE, COLUMNS, true, false>(simd, 0);
                column = COLUMNS;
            }
            while column < last {
                block.tile::<STRIDE, COLUMNS, false, false>(simd, column);
                column += COLUMNS;
            }
            block.last::<STRIDE>(simd, last);
        }
    }
}

/// One vector of channels of a row, its weights in registers.
struct Block<'a, S: Simd, const ROWS: usize> {
    row: &'a Row<S>,
    channel: usize,
    weights: [[S::V; 3]; ROWS],
    bias: S::V,
}

impl<S: Simd, const ROWS: usize> Block<'_, S, ROWS> {
    /// The last one to four columns.
    #[inline(always)]
    unsafe fn last<const STRIDE: usize>(&self, simd: S, column: usize) {
        let left = self.row.left && column == 0;
        macro_rules! tile {
            ($($count:literal)*) => {
                match (self.row.columns - column, left, self.row.right) {
                    $(
                        ($count, false, false) => self.tile::<STRIDE, $count, false, false>(simd, column),
                        ($count, false, true) => self.tile::<STRIDE, $count, false, true>(simd, column),
                        ($count, true, false) => self.tile::<STRIDE, $count, true, false>(simd, column),
                        ($count, true, true) => self.tile::<STRIDE, $count, true, true>(simd, column),
                    )*
                    _ => {}
                }
            };
        }
        // SAFETY: the caller's promise.
        unsafe { tile!(1 2 3 4) }
    }

    #[inline(always)]
    unsafe fn tile<const STRIDE: usize, const N: usize, const LEFT: bool, const RIGHT: bool>(
        &self,
        simd: S,
        column: usize,
    ) {
        let row = self.row;
        // SAFETY: columns and channels are inside by the caller's promise; pointers before the
        // first column are formed with wrapping arithmetic and not read.
        unsafe {
            let start = column * STRIDE * row.channels + self.channel;
            let start = row.input.wrapping_add(start);
            let start = if row.left { start.wrapping_sub(row.channels) } else { start };
            let mut sums = [self.bias; N];
            for ky in 0..ROWS {
                let start = start.wrapping_add(ky * row.row_stride);
                let columns = (N - 1) * STRIDE + 3;
                for at in 0..columns {
                    if (LEFT && at == 0) || (RIGHT && at == columns - 1) {
                        continue;
                    }
                    let x = simd.load(start.wrapping_add(at * row.channels));
                    for (column, sum) in sums.iter_mut().enumerate() {
                        // Each sum takes its taps from left to right.
                        let tap = at.wrapping_sub(column * STRIDE);
                        if tap < 3 {
                            *sum = simd.fma(x, self.weights[ky][tap], *sum);
                        }
                    }
                }
            }
            let output = row.output.add(column * row.channels + self.channel);
            for (column, sum) in sums.into_iter().enumerate() {
                simd.store(output.add(column * row.channels), simd.clamp(sum, row.low, row.high));
            }
        }
    }
}
