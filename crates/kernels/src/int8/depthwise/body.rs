//! Rows of a depthwise convolution, block by block, all sums of a block in registers.

use super::{Block, Packed};
use crate::int8::records::Field;
use crate::int8::simd::{Body, Bytes, Target};

/// Some output rows: what one call of a kernel computes.
pub(crate) struct DepthwiseTask<'a> {
    pub(crate) packed: &'a Packed,
    /// Copied rows, from the first that the first output row reads.
    pub(crate) input: &'a [u8],
    /// Bytes of an output row.
    pub(crate) row: usize,
    pub(crate) output: &'a mut [u8],
}

/// Entry of the table.
pub(crate) fn entry<S: Bytes>(task: DepthwiseTask<'_>) {
    if let Some(simd) = S::new() {
        simd.call(task);
    }
}

impl Body for DepthwiseTask<'_> {
    #[inline(always)]
    fn run<S: Bytes>(self, simd: S) {
        let DepthwiseTask { packed, input, row, output } = self;
        if row == 0 || output.is_empty() {
            return;
        }
        let rows = output.len() / row;
        assert!(packed.lanes == S::LANES, "weights of another kernel");
        assert!(input.len() >= packed.rows.needed(rows) * packed.rows.row);
        let mut y = 0;
        while y < rows {
            let sets = packed.sets.min(rows - y);
            let line = Line {
                packed,
                // Quads of a single output row need no lines of a second.
                lines: &packed.lines[..packed.lines.len() - (packed.sets - sets) * packed.stride],
                input: &input[y * packed.stride * packed.rows.row..],
                output: output[y * row..][..sets * row].as_mut_ptr(),
                row,
            };
            // SAFETY: the copied rows that `sets` output rows read and the output rows exist.
            unsafe {
                match (sets, packed.taps.len()) {
                    (1, 3) => line.blocks::<S, 1, 3>(simd),
                    (2, 3) => line.blocks::<S, 2, 3>(simd),
                    (1, _) => line.blocks::<S, 1, 0>(simd),
                    _ => line.blocks::<S, 2, 0>(simd),
                }
            }
            y += sets;
        }
    }
}

/// One output row, or two that share quads.
struct Line<'a> {
    packed: &'a Packed,
    lines: &'a [usize],
    input: &'a [u8],
    output: *mut u8,
    row: usize,
}

impl Line<'_> {
    /// All blocks of the row; `KX` is the width of the kernel, or 0.
    ///
    /// # Safety
    /// The copied rows that `SETS` output rows read, with a block's bytes after the last
    /// tap, and the output rows exist.
    #[inline(always)]
    unsafe fn blocks<S: Bytes, const SETS: usize, const KX: usize>(&self, simd: S) {
        let (unit, block) = (self.packed.unit, 4 * S::LANES);
        let count = unit.div_ceil(block);
        for index in 0..count {
            let at = index * block;
            let valid = (unit - at).min(block);
            let index = index % self.packed.blocks.len();
            let fast = self.packed.blocks[index].fast;
            for pixel in (0..self.row).step_by(unit) {
                // SAFETY: the caller's promise; `at + valid` is inside the unit.
                unsafe {
                    if fast {
                        self.block::<S, SETS, KX, true>(simd, index, pixel + at, valid);
                    } else {
                        self.block::<S, SETS, KX, false>(simd, index, pixel + at, valid);
                    }
                }
            }
        }
    }

    /// `valid` outputs from byte `at` of the row.
    ///
    /// # Safety
    /// As for `blocks`.
    #[inline(always)]
    unsafe fn block<S: Bytes, const SETS: usize, const KX: usize, const FAST: bool>(
        &self,
        simd: S,
        index: usize,
        at: usize,
        valid: usize,
    ) {
        let packed = self.packed;
        let Block { weights, passes, .. } = packed.blocks[index];
        // SAFETY: the caller's promise; weights and records of the block were packed.
        unsafe {
            let record = packed.records.at(4 * index);
            let field = |v: usize| record.add(Field::COUNT * S::LANES * v);
            let mut sums = [[simd.load(record); 4]; SETS];
            for v in 1..4 {
                let bias = simd.load(field(v).add(Field::Bias.start(S::LANES)));
                for sums in &mut sums {
                    sums[v] = bias;
                }
            }
            let mut weights = packed.weights.bytes().as_ptr().add(weights);
            let input = self.input.as_ptr().add(at);
            let taps = if KX == 0 { packed.taps.len() } else { KX };
            for &tap in &packed.taps[..taps] {
                for lines in (0..packed.lines.len()).step_by(4) {
                    let row = |line: usize| {
                        let line = self.lines.get(lines + line).copied().unwrap_or(0);
                        input.add(line + tap)
                    };
                    let quads = simd.quads([row(0), row(1), row(2), row(3)]);
                    for _ in 0..passes {
                        for (set, sums) in sums.iter_mut().enumerate() {
                            for v in 0..4 {
                                let from = weights.add((4 * set + v) * 4 * S::LANES);
                                sums[v] = simd.dot(sums[v], quads[v], simd.weights(from));
                            }
                        }
                        weights = weights.add(packed.sets * 16 * S::LANES);
                    }
                }
            }
            for v in 0..4 {
                let constants = simd.constants(field(v));
                for sums in &mut sums {
                    sums[v] = simd.rescale::<FAST>(sums[v], &constants);
                }
            }
            let range = simd.range(packed.records.range);
            for (set, sums) in sums.into_iter().enumerate() {
                let to = self.output.add(set * self.row + at);
                let target = Target { to, stride: 0, rows: 1, valid };
                simd.store::<4>(sums, target, &range);
            }
        }
    }
}
