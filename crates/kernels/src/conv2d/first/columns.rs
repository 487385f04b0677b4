//! Tiles of `PIXELS` pixels by `NV` vectors of outputs. For one row and channel the weights of the
//! three taps stay in registers; every float under the tile is broadcast once, also where it is the
//! right tap of one pixel and the left tap of the next.
//!
//! Each output is the sum over rows, then channels, then taps from left to right, then the bias,
//! whatever the tile.

use super::{FirstTask, Packed, RUN, STEP};
use crate::aligned::Aligned;
use crate::conv2d::Folded;
use crate::simd::{Body, Simd, in_order};
use crate::table::Kernel;

/// Pixels of a tile where there are too few for a whole one.
const FEW: usize = 4;
/// Channels of a pixel.
const CHANNELS: usize = 3;

/// Weights as `[panels, 3 rows, 3 channels, 3 taps, panel]`, outputs padded to whole panels.
pub(crate) fn pack(kernel: &Kernel, folded: &Folded, outputs: usize) -> Option<(Aligned, Aligned)> {
    let panel = kernel.tile[1];
    let columns = outputs.checked_next_multiple_of(panel)?;
    let mut weights = Aligned::zeros(columns.checked_mul(3 * RUN)?);
    for (tap, row) in folded.weights.chunks_exact(outputs).enumerate() {
        let (ky, kx, channel) = (tap / RUN, tap % RUN / CHANNELS, tap % CHANNELS);
        let step = ky * RUN + channel * 3 + kx;
        for (output, weight) in row.iter().enumerate() {
            let first = output / panel * panel;
            weights[first * 3 * RUN + step * panel + output % panel] = *weight;
        }
    }
    Some((weights, Aligned::padded(&folded.bias, columns)))
}

/// Entry of the table: tiles of `PIXELS` pixels by `NV` vectors.
pub(crate) fn entry<S: Simd, const PIXELS: usize, const NV: usize>(task: FirstTask<'_>) {
    if let Some(simd) = S::new() {
        simd.call(Columns::<PIXELS, NV>(task));
    }
}

struct Columns<'a, const PIXELS: usize, const NV: usize>(FirstTask<'a>);

impl<const PIXELS: usize, const NV: usize> Body for Columns<'_, PIXELS, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let count = self.0.pixels();
        let FirstTask { packed, rows, output } = self.0;
        let panel = NV * S::LANES;
        let columns = packed.outputs.next_multiple_of(panel);
        assert!(packed.weights.len() == columns * 3 * RUN && packed.bias.len() == columns);
        let rows = rows.map(<[f32]>::as_ptr);
        let output = output.as_mut_ptr();
        let tile = |pixel: usize| Tile {
            packed,
            rows: rows.map(|row| row.wrapping_add(pixel * STEP)),
            output: output.wrapping_add(pixel * packed.outputs),
        };
        let mut pixel = 0;
        while pixel < count {
            let left = count - pixel;
            // The last tile of its kind may overlap the one before.
            let step = if left > PIXELS / 2 && count >= PIXELS {
                PIXELS
            } else if count >= FEW {
                FEW
            } else {
                1
            };
            let tile = tile(pixel.min(count - step));
            for first in (0..packed.outputs).step_by(panel) {
                // SAFETY: the tile's pixels are below `count`, so their 9 floats of each row and
                // their outputs exist; weights and bias are there by the assert.
                unsafe {
                    match step {
                        1 => tile.run::<S, 1, NV>(simd, first),
                        FEW => tile.run::<S, FEW, NV>(simd, first),
                        _ => tile.run::<S, PIXELS, NV>(simd, first),
                    }
                }
            }
            pixel += step;
        }
    }
}

/// Pixels next to each other.
struct Tile<'a> {
    packed: &'a Packed,
    rows: [*const f32; 3],
    output: *mut f32,
}

impl Tile<'_> {
    /// The outputs `first..` of a panel.
    ///
    /// # Safety
    /// `PIXELS` pixels and the panel exist.
    #[inline(always)]
    unsafe fn run<S: Simd, const PIXELS: usize, const NV: usize>(&self, simd: S, first: usize) {
        let mut sums = [[simd.splat(0.0); NV]; PIXELS];
        // SAFETY: the caller's promise: 27 steps of the panel, `STEP * (PIXELS - 1) + RUN` floats of
        // each row, and the outputs that there are.
        unsafe {
            let mut weights = self.packed.weights.as_ptr().add(first * 3 * RUN);
            for row in self.rows {
                for channel in 0..CHANNELS {
                    let mut taps = [[simd.splat(0.0); NV]; 3];
                    for (step, to) in taps.as_flattened_mut().iter_mut().enumerate() {
                        *to = simd.load(weights.add(step * S::LANES));
                    }
                    add(simd, &mut sums, row.add(channel), taps);
                    weights = weights.add(3 * NV * S::LANES);
                }
            }
            let (low, high) = self.packed.bounds;
            let (low, high) = (simd.splat(low), simd.splat(high));
            let mut bias = [simd.splat(0.0); NV];
            for (vector, bias) in bias.iter_mut().enumerate() {
                *bias = simd.load(self.packed.bias.as_ptr().add(first + vector * S::LANES));
            }
            let outputs = self.packed.outputs;
            for (pixel, sums) in sums.into_iter().enumerate() {
                for (vector, (sum, bias)) in sums.into_iter().zip(bias).enumerate() {
                    let sum = simd.clamp(simd.add(sum, bias), low, high);
                    let column = first + vector * S::LANES;
                    let to = self.output.add(pixel * outputs + column);
                    if column + S::LANES <= outputs {
                        simd.store(to, sum);
                    } else {
                        simd.store_part(to, sum, outputs.saturating_sub(column));
                    }
                }
            }
        }
    }
}

/// Adds the three taps of one row and channel, of which `from` is the first pixel's first.
///
/// # Safety
/// They exist.
#[inline(always)]
unsafe fn add<S: Simd, const PIXELS: usize, const NV: usize>(
    simd: S,
    sums: &mut [[S::V; NV]; PIXELS],
    from: *const f32,
    taps: [[S::V; NV]; 3],
) {
    macro_rules! pixels {
        ($($pixel:literal)*) => {$(
            if $pixel < PIXELS {
                let before = usize::checked_sub($pixel, 1);
                // SAFETY: the caller's promise.
                let x = simd.splat(unsafe { *from.add($pixel * STEP) });
                for vector in 0..NV {
                    if let Some(before) = before {
                        sums[before][vector] = simd.fma(x, taps[2][vector], sums[before][vector]);
                    }
                    sums[$pixel][vector] = simd.fma(x, taps[0][vector], sums[$pixel][vector]);
                }
                in_order();
                // SAFETY: the caller's promise.
                let x = simd.splat(unsafe { *from.add($pixel * STEP + CHANNELS) });
                for vector in 0..NV {
                    sums[$pixel][vector] = simd.fma(x, taps[1][vector], sums[$pixel][vector]);
                }
                in_order();
            }
        )*};
    }
    pixels!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
    // SAFETY: the caller's promise.
    let x = simd.splat(unsafe { *from.add(PIXELS * STEP) });
    for (sum, &weight) in sums[PIXELS - 1].iter_mut().zip(&taps[2]) {
        *sum = simd.fma(x, weight, *sum);
    }
}
