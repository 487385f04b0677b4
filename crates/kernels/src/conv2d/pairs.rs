//! The first convolution where it has at most 8 outputs (AVX-512): 3x3 of 3 channels, stride 2.
//!
//! Eight outputs fill half a vector. The other half takes a second tap of the same pixel: two
//! neighbouring input floats are broadcast together, even lanes hold the sums of the first,
//! odd lanes those of the second, and the halves are added at the end. The 9 floats of a kernel
//! row are four pairs and a single one, so 15 steps do the work of 27 half-empty ones.

use super::{Conv2dSpec, Folded, Rows};
use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::simd::Avx512;
use crate::table::{self, Kernel};
use crate::window::{Padding, Window};
use std::arch::asm;
use std::arch::x86_64::*;

/// Floats under a kernel row.
const RUN: usize = 9;
/// Steps for a kernel row: four pairs and a single.
const STEPS: usize = 5;
/// Outputs of a pixel, padded.
const OUTPUTS: usize = 8;
/// Pixels in a full tile.
const TILE: usize = 8;

/// A first convolution with its weights packed.
#[derive(Clone)]
pub(crate) struct Pairs {
    spec: Conv2dSpec,
    columns: usize,
    kernel: &'static Kernel,
    function: fn(PairsTask<'_>),
    packed: Packed,
    /// A row of padding.
    padding: Vec<f32>,
}

/// What the kernel reads.
#[derive(Clone)]
pub(crate) struct Packed {
    /// `[3 * STEPS, 16]`.
    weights: Aligned,
    /// Twice, for two pixels.
    bias: Aligned,
    bounds: (f32, f32),
}

/// Some pixels of an output row.
pub(crate) struct PairsTask<'a> {
    packed: &'a Packed,
    /// The three rows from the first pixel's first tap on; pixels are 6 floats apart.
    rows: [&'a [f32]; 3],
    /// `[pixels, 8]`.
    output: &'a mut [f32],
}

impl Pairs {
    /// Packs the weights if the convolution is of this kind.
    pub(crate) fn new(isa: Isa, spec: Conv2dSpec, folded: &Folded) -> Option<Self> {
        let Conv2dSpec { input: [height, width, channels], outputs, window, .. } = spec;
        let same = Window::same([3, 3], [2, 2], [1, 1], [height, width]);
        let fits = channels == 3 && outputs == OUTPUTS && window == same && width >= 3;
        if isa != Isa::Avx512 || !fits {
            return None;
        }
        let kernel = table::pick_pairs(isa).ok()?;
        let mut weights = Aligned::zeros(3 * STEPS * 16);
        for (tap, row) in folded.weights.chunks_exact(OUTPUTS).enumerate() {
            let (ky, float) = (tap / RUN, tap % RUN);
            let step = &mut weights[(ky * STEPS + float / 2) * 16..][..16];
            for (output, weight) in row.iter().enumerate() {
                step[2 * output + float % 2] = *weight;
            }
        }
        let mut bias = Aligned::zeros(16);
        bias.chunks_exact_mut(OUTPUTS).for_each(|half| half.copy_from_slice(&folded.bias));
        Some(Self {
            spec,
            columns: width.div_ceil(2),
            kernel,
            function: kernel.pairs().ok()?,
            packed: Packed { weights, bias, bounds: spec.activation.bounds() },
            padding: vec![folded.padding; width * 3],
        })
    }

    pub(crate) fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Output row `y` of an image.
    pub(crate) fn row(&self, image: Rows<'_>, y: usize, output: &mut [f32]) {
        let [height, width, _] = self.spec.input;
        let Padding { left, .. } = self.spec.window.padding;
        let lines = self.spec.window.start(0, y);
        let rows: [&[f32]; 3] = std::array::from_fn(|ky| {
            let line = usize::try_from(lines + ky as isize).ok().filter(|&line| line < height);
            line.map_or(&self.padding[..], |line| &image.starting_at(line, width * 3)[..width * 3])
        });
        // Pixels whose three columns are inside.
        let last = (width + left - 3) / 2 + 1;
        let (head, rest) = output.split_at_mut(left * OUTPUTS);
        let (inner, tail) = rest.split_at_mut((last - left) * OUTPUTS);
        if left == 1 {
            self.border(rows, 0, head);
        }
        let start = left * (2 - left) * 3;
        let inside = rows.map(|row| row.get(start..).unwrap_or(&[]));
        (self.function)(PairsTask { packed: &self.packed, rows: inside, output: inner });
        if last < self.columns {
            self.border(rows, last, tail);
        }
    }

    /// One pixel at the border, from a patch with the padding written out.
    fn border(&self, rows: [&[f32]; 3], x: usize, output: &mut [f32]) {
        let mut patch = [[self.packed_padding(); RUN]; 3];
        let start = self.spec.window.start(1, x) * 3;
        for (to, from) in patch.iter_mut().zip(rows) {
            for (float, to) in to.iter_mut().enumerate() {
                let at = usize::try_from(start + float as isize).ok();
                *to = at.and_then(|at| from.get(at)).copied().unwrap_or(*to);
            }
        }
        let rows = [&patch[0][..], &patch[1][..], &patch[2][..]];
        (self.function)(PairsTask { packed: &self.packed, rows, output });
    }

    fn packed_padding(&self) -> f32 {
        self.padding.first().copied().unwrap_or(0.0)
    }
}

/// Entry of the table.
pub(crate) fn entry(task: PairsTask<'_>) {
    if <Avx512 as crate::simd::Simd>::new().is_some() {
        // SAFETY: the token proves the features.
        unsafe { pixels(task) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn pixels(task: PairsTask<'_>) {
    let PairsTask { packed, rows, output } = task;
    let count = output.len() / OUTPUTS;
    if count == 0 {
        return;
    }
    let reach = (count - 1) * 6 + RUN;
    assert!(output.len() == count * OUTPUTS && rows.iter().all(|row| row.len() >= reach));
    assert!(packed.weights.len() == 3 * STEPS * 16 && packed.bias.len() == 16);
    // SAFETY: 15 vectors of weights, by the assert; pixels `at..at + N` are below `count`,
    // so their 9 floats of each row and their 8 outputs exist.
    unsafe {
        let weights = packed.weights.as_ptr();
        let weights = [0, 1, 2].map(|ky| row_weights(weights.add(ky * STEPS * 16)));
        let rows = rows.map(<[f32]>::as_ptr);
        let output = output.as_mut_ptr();
        if count < TILE {
            for at in 0..count {
                pixel(packed, &weights, rows.map(|row| row.add(at * 6)), output.add(at * OUTPUTS));
            }
            return;
        }
        // The last tile may overlap the one before.
        for at in (0..count).step_by(TILE).map(|at| at.min(count - TILE)) {
            tile(packed, &weights, rows.map(|row| row.add(at * 6)), output.add(at * OUTPUTS));
        }
    }
}

/// Adds two taps of one pixel, which lie `$at` floats from `$row`. Written in assembly because the
/// compiler would take single taps out of neighbouring pairs and run out of registers.
macro_rules! pair {
    ($sum:expr, $weight:expr, $row:expr, $at:expr) => {
        let _x: __m512;
        asm!(
            "vbroadcastsd {x}, qword ptr [{row} + {at}]",
            "vfmadd231ps {sum}, {x}, {weight}",
            x = out(zmm_reg) _x,
            row = in(reg) $row,
            at = const 4 * ($at),
            sum = inout(zmm_reg) $sum,
            weight = in(zmm_reg) $weight,
            options(readonly, nostack, preserves_flags),
        )
    };
}

/// Adds one tap of one pixel, as [`pair`].
macro_rules! single {
    ($sum:expr, $weight:expr, $row:expr, $at:expr) => {
        asm!(
            "vfmadd231ps {sum}, {weight}, dword ptr [{row} + {at}]{{1to16}}",
            row = in(reg) $row,
            at = const 4 * ($at),
            sum = inout(zmm_reg) $sum,
            weight = in(zmm_reg) $weight,
            options(readonly, nostack, preserves_flags),
        )
    };
}

/// [`TILE`] pixels, with sums and weights in registers.
///
/// # Safety
/// Their inputs and outputs exist.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn tile(
    packed: &Packed,
    weights: &[[__m512; STEPS]; 3],
    rows: [*const f32; 3],
    output: *mut f32,
) {
    let mut sums = [_mm512_setzero_ps(); TILE];
    macro_rules! step {
        ($add:ident $ky:literal $step:literal) => {
            $add!(sums[0], weights[$ky][$step], rows[$ky], 2 * $step);
            $add!(sums[1], weights[$ky][$step], rows[$ky], 2 * $step + 6);
            $add!(sums[2], weights[$ky][$step], rows[$ky], 2 * $step + 12);
            $add!(sums[3], weights[$ky][$step], rows[$ky], 2 * $step + 18);
            $add!(sums[4], weights[$ky][$step], rows[$ky], 2 * $step + 24);
            $add!(sums[5], weights[$ky][$step], rows[$ky], 2 * $step + 30);
            $add!(sums[6], weights[$ky][$step], rows[$ky], 2 * $step + 36);
            $add!(sums[7], weights[$ky][$step], rows[$ky], 2 * $step + 42);
        };
    }
    macro_rules! row {
        ($ky:literal) => {
            step!(pair $ky 0);
            step!(pair $ky 1);
            step!(pair $ky 2);
            step!(pair $ky 3);
            step!(single $ky 4);
        };
    }
    // SAFETY: the instructions read the 9 floats of each pixel and row that the caller promises.
    unsafe {
        row!(0);
        row!(1);
        row!(2);
        finish(packed, sums, output);
    }
}

/// One pixel.
///
/// # Safety
/// Its inputs and outputs exist.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn pixel(
    packed: &Packed,
    weights: &[[__m512; STEPS]; 3],
    rows: [*const f32; 3],
    output: *mut f32,
) {
    let mut sum = _mm512_setzero_ps();
    for (row, weights) in rows.into_iter().zip(weights) {
        for (step, &weight) in weights.iter().enumerate() {
            // SAFETY: the caller's promise.
            let x = unsafe {
                let from = row.add(step * 2);
                if step + 1 < STEPS {
                    _mm512_castpd_ps(_mm512_set1_pd(from.cast::<f64>().read_unaligned()))
                } else {
                    _mm512_set1_ps(*from)
                }
            };
            sum = _mm512_fmadd_ps(x, weight, sum);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { finish(packed, [sum], output) };
}

/// Adds the halves and the bias, clamps and stores.
///
/// # Safety
/// `N` outputs exist.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn finish<const N: usize>(packed: &Packed, sums: [__m512; N], output: *mut f32) {
    // SAFETY: the caller's promise; the bias was checked by `pixels`.
    unsafe {
        let (low, high) = (_mm512_set1_ps(packed.bounds.0), _mm512_set1_ps(packed.bounds.1));
        let bias = _mm512_loadu_ps(packed.bias.as_ptr());
        let clamp = |x| _mm512_min_ps(high, _mm512_max_ps(low, x));
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        for n in (0..N).step_by(2) {
            let (a, b) = (sums[n], sums[(n + 1).min(N - 1)]);
            let first = _mm512_permutex2var_ps(a, even, b);
            let second = _mm512_permutex2var_ps(a, odd, b);
            let sum = clamp(_mm512_add_ps(_mm512_add_ps(first, second), bias));
            if n + 1 < N {
                _mm512_storeu_ps(output.add(n * OUTPUTS), sum);
            } else {
                _mm256_storeu_ps(output.add(n * OUTPUTS), _mm512_castps512_ps256(sum));
            }
        }
    }
}

/// The steps of a kernel row.
///
/// # Safety
/// Their weights are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn row_weights(from: *const f32) -> [__m512; STEPS] {
    // SAFETY: the caller's promise.
    unsafe {
        [
            _mm512_loadu_ps(from),
            _mm512_loadu_ps(from.add(16)),
            _mm512_loadu_ps(from.add(32)),
            _mm512_loadu_ps(from.add(48)),
            _mm512_loadu_ps(from.add(64)),
        ]
    }
}
