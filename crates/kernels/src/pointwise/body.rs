//! Rows times packed weights, in register tiles of `MR` rows by `NV` vectors.
//! Each output value is `bias + a[0] b[0] + a[1] b[1] …` in this order, whatever the tile,
//! so results do not depend on how rows were split.

use super::{Layout, PointwiseTask};
use crate::simd::{Body, Simd};

/// Entry of the table: tiles of `MR` rows by `NV` vectors.
pub(crate) fn entry<S: Simd, const MR: usize, const NV: usize>(task: PointwiseTask<'_>) {
    if let Some(simd) = S::new() {
        simd.call(Rows::<MR, NV>(task));
    }
}

struct Rows<'a, const MR: usize, const NV: usize>(PointwiseTask<'a>);

impl<const MR: usize, const NV: usize> Body for Rows<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let task = self.0;
        let (packed, layout, width) = (task.packed, task.layout, task.columns.len());
        if width == 0 || task.output.is_empty() {
            return;
        }
        let rows = task.output.len() / width;
        let padded = packed.outputs.next_multiple_of(S::LANES);
        assert!(packed.lanes == S::LANES && packed.vectors == NV, "weights of another kernel");
        assert!(task.columns.start.is_multiple_of(NV * S::LANES), "columns start at a panel");
        assert!(task.columns.end <= packed.outputs, "columns");
        assert!(packed.weights.len() >= padded * packed.inputs && packed.bias.len() >= padded);
        assert!(task.output.len() == rows * width && task.input.len() >= layout.reach(rows));
        assert_eq!(layout.segments * layout.run, packed.inputs, "inputs of a row");
        let (low, high) = packed.bounds;
        let k = packed.inputs;
        let mut first = task.columns.start;
        while first < task.columns.end {
            let valid = (task.columns.end - first).min(NV * S::LANES);
            // SAFETY: by the asserts above, `rows` rows of inputs and `width` outputs exist,
            // and the panel at `first` holds `k` rows of `valid` columns rounded up to vectors.
            unsafe {
                let panel = Panel {
                    layout,
                    rows,
                    valid,
                    input: task.input.as_ptr(),
                    weights: packed.weights.as_ptr().add(first * k),
                    bias: packed.bias.as_ptr().add(first),
                    output: task.output.as_mut_ptr().add(first - task.columns.start),
                    stride: width,
                    low: simd.splat(low),
                    high: simd.splat(high),
                };
                if NV > 1 && valid <= (NV - 1) * S::LANES {
                    narrow::<S, MR, NV>(simd, &panel);
                } else {
                    panel.all_rows::<MR, NV>(simd);
                }
            }
            first += valid;
        }
    }
}

/// The last panel when it holds fewer vectors than the others.
#[inline(always)]
unsafe fn narrow<S: Simd, const MR: usize, const NV: usize>(simd: S, panel: &Panel<S>) {
    // SAFETY: the caller's promise; the panel is as wide as `valid` rounded up.
    unsafe {
        match panel.valid.div_ceil(S::LANES) {
            1 => panel.all_rows::<MR, 1>(simd),
            2 if NV > 2 => panel.all_rows::<MR, 2>(simd),
            3 if NV > 3 => panel.all_rows::<MR, 3>(simd),
            _ => unreachable!("a panel has at most {NV} vectors"),
        }
    }
}

/// Columns of the weights and the rows to multiply by them.
struct Panel<S: Simd> {
    layout: Layout,
    rows: usize,
    /// Columns that exist.
    valid: usize,
    input: *const f32,
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    /// Floats between output rows.
    stride: usize,
    low: S::V,
    high: S::V,
}

impl<S: Simd> Panel<S> {
    /// Tiles of `MR` rows; the rest is spread so that no tile is needlessly short.
    #[inline(always)]
    unsafe fn all_rows<const MR: usize, const NV: usize>(&self, simd: S) {
        let mut row = 0;
        let mut tiles = self.rows.div_ceil(MR);
        while tiles > 0 {
            let rows = (self.rows - row).div_ceil(tiles);
            // SAFETY: `row + rows <= self.rows`.
            unsafe {
                self.some_rows::<MR, NV>(simd, row, rows);
            }
            row += rows;
            tiles -= 1;
        }
    }

    #[inline(always)]
    unsafe fn some_rows<const MR: usize, const NV: usize>(&self, simd: S, row: usize, rows: usize) {
        macro_rules! tile {
            ($($count:literal)*) => {
                match rows {
                    // SAFETY: the caller's promise.
                    $($count if $count <= MR => unsafe { self.tile::<$count, NV>(simd, row) },)*
                    _ => unreachable!("a tile has 1 to {MR} rows"),
                }
            };
        }
        tile!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    }

    /// `ROWS` rows by `NV` vectors, all in registers.
    ///
    /// # Safety
    /// The rows `row..row + ROWS` exist.
    #[inline(always)]
    unsafe fn tile<const ROWS: usize, const NV: usize>(&self, simd: S, row: usize) {
        // SAFETY: row and column numbers below stay inside the panel by the caller's promise.
        unsafe {
            let Layout { segments, segment_stride, run, row_stride } = self.layout;
            let mut input = self.input.add(row * row_stride);
            let mut packed = self.weights;
            let mut sums = [[simd.splat(0.0); NV]; ROWS];
            for vector in 0..NV {
                let bias = simd.load(self.bias.add(vector * S::LANES));
                for sum in &mut sums {
                    sum[vector] = bias;
                }
            }
            for _ in 0..segments {
                for tap in 0..run {
                    let mut weights = [simd.splat(0.0); NV];
                    for (vector, weight) in weights.iter_mut().enumerate() {
                        *weight = simd.load(packed.add(vector * S::LANES));
                    }
                    packed = packed.add(NV * S::LANES);
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let x = simd.splat(*input.add(r * row_stride + tap));
                        for (sum, weight) in sum.iter_mut().zip(weights) {
                            *sum = simd.fma(x, weight, *sum);
                        }
                    }
                }
                input = input.wrapping_add(segment_stride);
            }
            for (r, sum) in sums.into_iter().enumerate() {
                self.store(simd, row + r, sum);
            }
        }
    }

    #[inline(always)]
    unsafe fn store<const NV: usize>(&self, simd: S, row: usize, sum: [S::V; NV]) {
        // SAFETY: the caller's promise: the row exists, `valid` columns of it are ours.
        unsafe {
            let output = self.output.add(row * self.stride);
            for (vector, sum) in sum.into_iter().enumerate() {
                let x = simd.clamp(sum, self.low, self.high);
                let at = vector * S::LANES;
                if at + S::LANES <= self.valid {
                    simd.store(output.add(at), x);
                } else {
                    simd.store_part(output.add(at), x, self.valid - at);
                }
            }
        }
    }
}
