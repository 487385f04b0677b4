//! 8 outputs on AVX-512.
//!
//! Eight outputs fill half a vector. The other half takes a second tap of the same pixel: two
//! neighbouring input floats are broadcast together, even lanes hold the sums of the first,
//! odd lanes those of the second, and the halves are added at the end. The 9 floats of a kernel
//! row are four pairs and a single one, so 15 steps do the work of 27 half-empty ones. The last
//! two steps of a pixel read what the first two of the next pixel read: broadcast once.

use super::{FirstTask, Packed, RUN, STEP};
use crate::aligned::Aligned;
use crate::conv2d::Folded;
use crate::simd::{Avx512, in_order};
use crate::table::Kernel;
use std::arch::asm;
use std::arch::x86_64::*;

/// Steps for a kernel row: four pairs and a single.
const STEPS: usize = 5;
/// Outputs of a pixel.
const OUTPUTS: usize = 8;
/// Pixels in a full tile.
const TILE: usize = 16;

/// Weights as `[3 * STEPS, 16]`, the bias twice, for two pixels.
pub(crate) fn pack(_: &Kernel, folded: &Folded, outputs: usize) -> Option<(Aligned, Aligned)> {
    if outputs != OUTPUTS {
        return None;
    }
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
    Some((weights, bias))
}

/// Entry of the table.
pub(crate) fn entry(task: FirstTask<'_>) {
    if <Avx512 as crate::simd::Simd>::new().is_some() {
        // SAFETY: the token proves the features.
        unsafe { pixels(task) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn pixels(task: FirstTask<'_>) {
    let count = task.pixels();
    let FirstTask { packed, rows, output } = task;
    assert!(packed.outputs == OUTPUTS && packed.bias.len() == 16);
    assert!(packed.weights.len() == 3 * STEPS * 16);
    // SAFETY: 15 vectors of weights, by the assert; pixels `at..at + N` are below `count`,
    // so their 9 floats of each row and their 8 outputs exist.
    unsafe {
        let rows = rows.map(<[f32]>::as_ptr);
        let output = output.as_mut_ptr();
        if count < TILE {
            for at in 0..count {
                tile::<1>(packed, rows.map(|row| row.add(at * STEP)), output.add(at * OUTPUTS));
            }
            return;
        }
        // The last tile may overlap the one before.
        for at in (0..count).step_by(TILE).map(|at| at.min(count - TILE)) {
            tile::<TILE>(packed, rows.map(|row| row.add(at * STEP)), output.add(at * OUTPUTS));
        }
    }
}

/// `N` pixels, with the sums in registers.
///
/// # Safety
/// Their inputs and outputs exist.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn tile<const N: usize>(packed: &Packed, rows: [*const f32; 3], output: *mut f32) {
    let mut sums = [_mm512_setzero_ps(); N];
    // SAFETY: the caller's promise: 9 floats of each pixel and row, 15 vectors of weights.
    unsafe {
        let mut weights = packed.weights.as_ptr();
        for row in rows {
            let steps = [
                _mm512_loadu_ps(weights),
                _mm512_loadu_ps(weights.add(16)),
                _mm512_loadu_ps(weights.add(32)),
                _mm512_loadu_ps(weights.add(48)),
                _mm512_loadu_ps(weights.add(64)),
            ];
            add(&mut sums, row, steps);
            weights = weights.add(16 * STEPS);
        }
        finish(packed, sums, output);
    }
}

/// Adds the steps of a kernel row.
///
/// # Safety
/// The inputs of `N` pixels exist from `row` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn add<const N: usize>(sums: &mut [__m512; N], row: *const f32, steps: [__m512; STEPS]) {
    macro_rules! pixels {
        ($($pixel:literal)*) => {$(
            if $pixel < N {
                let before = usize::checked_sub($pixel, 1);
                // SAFETY: the caller's promise.
                unsafe {
                    let x = pair(row.add($pixel * STEP));
                    if let Some(before) = before {
                        sums[before] = _mm512_fmadd_ps(x, steps[3], sums[before]);
                    }
                    sums[$pixel] = _mm512_fmadd_ps(x, steps[0], sums[$pixel]);
                    in_order();
                    let x = pair(row.add($pixel * STEP + 2));
                    if let Some(before) = before {
                        sums[before] = single(x, steps[4], sums[before]);
                    }
                    sums[$pixel] = _mm512_fmadd_ps(x, steps[1], sums[$pixel]);
                    in_order();
                    let x = pair(row.add($pixel * STEP + 4));
                    sums[$pixel] = _mm512_fmadd_ps(x, steps[2], sums[$pixel]);
                    in_order();
                }
            }
        )*};
    }
    pixels!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    // SAFETY: the caller's promise.
    unsafe {
        let last = row.add(N * STEP);
        sums[N - 1] = _mm512_fmadd_ps(pair(last), steps[3], sums[N - 1]);
        let x = _mm512_set1_ps(*last.add(2));
        sums[N - 1] = single(x, steps[4], sums[N - 1]);
    }
}

/// `x * weight + sum` in even lanes, the sum in the others: the last step has no second float. In
/// assembly, because the compiler makes a multiply-add and a blend of it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn single(x: __m512, weight: __m512, mut sum: __m512) -> __m512 {
    // SAFETY: the instruction reads and writes these registers.
    unsafe {
        asm!(
            "vfmadd231ps {sum}{{{even}}}, {x}, {weight}",
            sum = inout(zmm_reg) sum,
            even = in(kreg) 0x5555_u16,
            x = in(zmm_reg) x,
            weight = in(zmm_reg) weight,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Two floats, in even and in odd lanes.
///
/// # Safety
/// They are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn pair(from: *const f32) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_castpd_ps(_mm512_set1_pd(unsafe { from.cast::<f64>().read_unaligned() }))
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
