//! The filter gradient of 3x3 depthwise convolutions: all nine sums of a vector of channels stay
//! in registers over the rows of an image.
//!
//! Where there are fewer channels than a vector has lanes, a vector holds several neighbouring
//! pixels, and what its lanes sum is added up at the end.

use std::ops::Range;

use crate::depthwise::DepthwiseSpec;
use crate::isa::Isa;
use crate::normalize::part;
use crate::simd::{Body, Simd};

/// Whether [`Rows`] can take this geometry.
pub(super) fn fits(isa: Isa, spec: &DepthwiseSpec, output: [usize; 3]) -> bool {
    let window = &spec.window;
    let [height, width, channels] = spec.input;
    let [rows, columns, _] = output;
    let plain = spec.multiplier == 1
        && window.kernel == [3, 3]
        && window.dilation == [1, 1]
        && matches!(window.stride, [1, 1] | [2, 2])
        && rows > 1
        && columns > 1;
    let whole = |axis: usize, count: usize, size: usize| {
        (0..count).all(|at| match window.taps(axis, at, size) {
            (0, 3) => true,
            (1, 3) => at == 0,
            (0, 2) => at + 1 == count,
            _ => false,
        })
    };
    plain
        && whole(0, rows, height)
        && whole(1, columns, width)
        && (channels >= isa.lanes() || is_flat(isa.lanes(), spec, output))
}

/// Whether a vector holds several pixels.
fn is_flat(lanes: usize, spec: &DepthwiseSpec, output: [usize; 3]) -> bool {
    let [_, width, channels] = output;
    channels < lanes
        && lanes.is_multiple_of(channels)
        && spec.input == output
        && spec.window.stride == [1, 1]
        && spec.window.padding.left == 1
        && (width * channels).is_multiple_of(lanes)
        && width * channels >= 2 * lanes
}

/// Some rows of one image's output.
pub(super) struct Rows<'a> {
    pub(super) spec: &'a DepthwiseSpec,
    /// `[height, width, channels]` of the output.
    pub(super) output: [usize; 3],
    pub(super) rows: Range<usize>,
    /// The whole image.
    pub(super) input: &'a [f32],
    /// All slopes of the image.
    pub(super) dy: &'a [f32],
    /// `[9, channels]`, added to.
    pub(super) sums: &'a mut [f32],
}

impl Body for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [rows, columns, channels] = self.output;
        let [height, width, _] = self.spec.input;
        let window = &self.spec.window;
        let flat = channels < S::LANES;
        assert!(self.input.len() == height * width * channels && self.rows.end <= rows);
        assert!(self.dy.len() == rows * columns * channels && self.sums.len() == 9 * channels);
        assert!(!flat || is_flat(S::LANES, self.spec, self.output), "checked by `fits`");
        let stride = if flat { S::LANES } else { window.stride[1] * channels };
        let mut block = Block {
            steps: if flat { columns * channels / S::LANES } else { columns },
            dy_step: if flat { S::LANES } else { channels },
            stride,
            tap: channels,
            left: window.padding.left == 1,
            right: window.start(1, columns - 1) + 3 > width as isize,
            beyond: if flat { channels } else { S::LANES },
            count: 0,
        };
        let vectors = if flat { 1 } else { channels.div_ceil(S::LANES) };
        for c in (0..vectors).map(|vector| vector * S::LANES) {
            block.count = if flat { S::LANES } else { (channels - c).min(S::LANES) };
            let mut sums = [simd.splat(0.0); 9];
            for y in self.rows.clone() {
                let (first, last) = window.taps(0, y, height);
                let top = (window.start(0, y) + first as isize) as usize * width * channels + c;
                let line = self.input[top..].as_ptr();
                let dy = self.dy[y * columns * channels + c..].as_ptr();
                let below = width * channels;
                // SAFETY: rows `top..` are inside the image, as many as there are taps; all
                // columns but the outer taps of the first and last step are inside (`fits`), and
                // of those only lanes inside are read; `c + count` channels exist.
                unsafe {
                    sums = match (first, last, block.count == S::LANES) {
                        (0, 3, true) => block.row::<S, 0, 3, true>(simd, line, below, dy, sums),
                        (1, 3, true) => block.row::<S, 1, 3, true>(simd, line, below, dy, sums),
                        (_, _, true) => block.row::<S, 0, 2, true>(simd, line, below, dy, sums),
                        (0, 3, false) => block.row::<S, 0, 3, false>(simd, line, below, dy, sums),
                        (1, 3, false) => block.row::<S, 1, 3, false>(simd, line, below, dy, sums),
                        (_, _, false) => block.row::<S, 0, 2, false>(simd, line, below, dy, sums),
                    };
                }
            }
            for (tap, sum) in sums.into_iter().enumerate() {
                let mut lanes = [0.0; 16];
                // SAFETY: no vector has more than 16 lanes.
                unsafe { simd.store(lanes.as_mut_ptr(), sum) };
                for (lane, value) in lanes.iter().take(block.count).enumerate() {
                    self.sums[tap * channels + (c + lane) % channels] += value;
                }
            }
        }
    }
}

/// How a row is walked, in floats.
struct Block {
    steps: usize,
    /// From one vector of slopes to the next.
    dy_step: usize,
    /// From one vector of inputs to the next.
    stride: usize,
    /// From one tap to the next.
    tap: usize,
    /// The first step lacks lanes of its left tap, the last of its right one.
    left: bool,
    right: bool,
    /// Lanes that are then outside the image.
    beyond: usize,
    /// Lanes in use.
    count: usize,
}

impl Block {
    /// One row of output under kernel rows `FIRST..LAST`, the first of which sees `line`.
    ///
    /// # Safety
    /// Every input and slope that the walk reaches exists.
    #[inline(always)]
    unsafe fn row<S: Simd, const FIRST: usize, const LAST: usize, const WHOLE: bool>(
        &self,
        simd: S,
        line: *const f32,
        below: usize,
        dy: *const f32,
        mut sums: [S::V; 9],
    ) -> [S::V; 9] {
        // The left tap of the first step lies before the row where there is padding.
        let line = if self.left { line.wrapping_sub(self.tap) } else { line };
        let (mut from, mut to) = (0, self.steps);
        // SAFETY: the caller's promise.
        unsafe {
            if self.left {
                sums = self.step::<S, FIRST, LAST, false, true, false>(simd, line, below, dy, sums);
                from = 1;
            }
            to -= usize::from(self.right);
            for step in from..to {
                let (line, dy) =
                    (line.wrapping_add(step * self.stride), dy.add(step * self.dy_step));
                sums =
                    self.step::<S, FIRST, LAST, WHOLE, false, false>(simd, line, below, dy, sums);
            }
            if self.right {
                let (line, dy) = (line.wrapping_add(to * self.stride), dy.add(to * self.dy_step));
                sums = self.step::<S, FIRST, LAST, false, false, true>(simd, line, below, dy, sums);
            }
        }
        sums
    }

    /// One vector of slopes.
    ///
    /// # Safety
    /// As for `row`; `LEFT` and `RIGHT` where taps reach beyond the row; `WHOLE` only if every
    /// lane is in use.
    #[inline(always)]
    unsafe fn step<
        S: Simd,
        const FIRST: usize,
        const LAST: usize,
        const WHOLE: bool,
        const LEFT: bool,
        const RIGHT: bool,
    >(
        &self,
        simd: S,
        line: *const f32,
        below: usize,
        dy: *const f32,
        mut sums: [S::V; 9],
    ) -> [S::V; 9] {
        // SAFETY: the caller's promise.
        unsafe {
            let slope = if WHOLE { simd.load(dy) } else { part(simd, dy, self.count) };
            for ky in FIRST..LAST {
                let line = line.wrapping_add((ky - FIRST) * below);
                for kx in 0..3 {
                    let at = line.wrapping_add(kx * self.tap);
                    let x = if LEFT && kx == 0 {
                        simd.load_lanes(at, self.beyond.min(self.count), self.count)
                    } else if RIGHT && kx == 2 {
                        simd.load_lanes(at, 0, self.count - self.beyond.min(self.count))
                    } else if WHOLE {
                        simd.load(at)
                    } else {
                        part(simd, at, self.count)
                    };
                    sums[3 * ky + kx] = simd.fma(x, slope, sums[3 * ky + kx]);
                }
            }
        }
        sums
    }
}
