//! Rows times packed weights in bfloat16, summed in float32: AVX512-BF16's `vdpbf16ps` adds two
//! products to each of sixteen sums. Rows are rounded once, a few at a time, and serve all panels.
//! The instruction takes denormal numbers for zeros. The order of the sums is that of the inputs in
//! pairs, whatever the tile, so results do not depend on how rows were split.

use super::{Layout, Packed, PointwiseSpec, PointwiseTask};
use crate::aligned::Aligned;
use crate::error::{Result, check_len, product};
use crate::isa::Isa;
use crate::table::{Function, Kernel};
use std::arch::x86_64::*;

/// Rows and vectors of a tile.
const ROWS: usize = 12;
const VECTORS: usize = 2;
const LANES: usize = 16;
const PANEL: usize = VECTORS * LANES;

/// The kernel; it is chosen by precision, not from the table of those of float32.
pub(crate) static KERNEL: Kernel = Kernel {
    name: "pointwise_bf16_12x32__avx512bf16",
    isa: Isa::Avx512,
    tile: [ROWS, PANEL],
    function: Function::Pointwise(entry),
};

/// The nearest bfloat16, halves to even, in the low 16 bits.
fn nearest(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() {
        return bits >> 16 | 0x40;
    }
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

/// Panels of 32 columns, in each for every two inputs a pair of weights a column.
pub(super) fn pack(spec: PointwiseSpec, weights: &[f32], bias: Option<&[f32]>) -> Result<Packed> {
    let PointwiseSpec { inputs, outputs, activation } = spec;
    let columns = product("padded columns", &[outputs.div_ceil(PANEL), PANEL])?;
    let pairs = inputs.div_ceil(2);
    let len = product("packed weights", &[pairs, columns])?;
    check_len("weights", weights, product("weights", &[inputs, outputs])?)?;
    check_len("bias", bias.unwrap_or(&[]), bias.map_or(0, |_| outputs))?;
    let mut packed = Aligned::zeros(len);
    for (at, word) in packed.iter_mut().enumerate() {
        let (panel, pair, column) = (at / (pairs * PANEL), at / PANEL % pairs, at % PANEL);
        let column = panel * PANEL + column;
        let half = |input: usize| match input < inputs && column < outputs {
            true => nearest(weights[input * outputs + column]),
            false => 0,
        };
        *word = f32::from_bits(half(2 * pair) | half(2 * pair + 1) << 16);
    }
    Ok(Packed {
        inputs,
        outputs,
        lanes: LANES,
        vectors: VECTORS,
        weights: packed,
        bias: Aligned::padded(bias.unwrap_or(&[]), columns),
        bounds: activation.bounds(),
    })
}

/// Entry of the table.
fn entry(task: PointwiseTask<'_>) {
    if is_x86_feature_detected!("avx512bf16") && Isa::Avx512.is_available() {
        // SAFETY: the CPU has the features.
        unsafe { run(task) }
    }
}

/// Pairs of rounded inputs: of at least one row.
const ROOM: usize = 8192;

#[repr(C, align(64))]
struct Rounded([u32; ROOM]);

/// Whether a row of inputs can be rounded.
pub(super) fn fits(spec: PointwiseSpec) -> bool {
    spec.inputs.div_ceil(2).next_multiple_of(LANES) <= ROOM
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn run(task: PointwiseTask<'_>) {
    let PointwiseTask { packed, columns, input, layout, output, .. } = task;
    let (inputs, width) = (packed.inputs, columns.len());
    if width == 0 || output.is_empty() {
        return;
    }
    let rows = output.len() / width;
    let pairs = inputs.div_ceil(2);
    let stride = pairs.next_multiple_of(LANES);
    assert!(columns.start.is_multiple_of(PANEL) && columns.end <= packed.outputs, "columns");
    assert!(layout == Layout::dense(inputs) && input.len() >= rows * inputs && stride <= ROOM);
    assert!(output.len() == rows * width);
    assert!(packed.weights.len() >= columns.end.next_multiple_of(PANEL) * pairs);
    assert!(packed.bias.len() >= columns.end.next_multiple_of(PANEL));
    let mut rounded = Rounded([0; ROOM]);
    let fit = ROOM / stride;
    let fit = if fit > ROWS { fit / ROWS * ROWS } else { fit };
    for first in (0..rows).step_by(fit) {
        let count = fit.min(rows - first);
        for row in 0..count {
            let from = &input[(first + row) * inputs..][..inputs];
            round(from, &mut rounded.0[row * stride..][..stride]);
        }
        for column in (columns.start..columns.end).step_by(PANEL) {
            let panel = Panel {
                input: rounded.0.as_ptr(),
                pairs,
                stride,
                weights: packed.weights[column * pairs..].as_ptr(),
                bias: packed.bias[column..].as_ptr(),
                output: output[first * width + column - columns.start..].as_mut_ptr(),
                width,
                valid: PANEL.min(columns.end - column),
                bounds: packed.bounds,
            };
            // SAFETY: by the asserts above, `count` rounded rows, a panel of weights and bias, and the
            // outputs of the rows exist.
            unsafe { panel.rows(count) };
        }
    }
}

/// A row in bfloat16; zeros behind it.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
#[inline]
fn round(from: &[f32], to: &mut [u32]) {
    for (at, to) in to.chunks_exact_mut(LANES).enumerate() {
        let from = &from[(at * 2 * LANES).min(from.len())..];
        let (low, high) = (mask(from.len()), mask(from.len().saturating_sub(LANES)));
        // SAFETY: only values that exist are read, sixteen words are written.
        unsafe {
            let a = _mm512_maskz_loadu_ps(low, from.as_ptr());
            let b = _mm512_maskz_loadu_ps(high, from.as_ptr().wrapping_add(LANES));
            let both = _mm512_cvtne2ps_pbh(b, a);
            _mm512_storeu_si512(
                to.as_mut_ptr().cast(),
                std::mem::transmute::<__m512bh, __m512i>(both),
            );
        }
    }
}

fn mask(count: usize) -> __mmask16 {
    if count >= LANES { u16::MAX } else { (1 << count) - 1 }
}

/// Some columns.
struct Panel {
    input: *const u32,
    pairs: usize,
    /// Words between rows of inputs.
    stride: usize,
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    /// Floats between rows of outputs.
    width: usize,
    /// Columns that exist.
    valid: usize,
    bounds: (f32, f32),
}

impl Panel {
    /// # Safety
    /// Everything that the fields promise exists, of so many rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    #[inline]
    unsafe fn rows(&self, rows: usize) {
        let mut row = 0;
        macro_rules! tiles {
            ($($count:literal)*) => {$(
                while rows - row >= $count {
                    // SAFETY: the caller's promise.
                    unsafe { self.tile::<$count>(row) };
                    row += $count;
                }
            )*};
        }
        tiles!(12 6 3 1);
    }

    /// # Safety
    /// As for `rows`; the rows `row..row + N` exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    #[inline]
    unsafe fn tile<const N: usize>(&self, row: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); VECTORS]; N];
            let input = self.input.add(row * self.stride);
            for pair in 0..self.pairs {
                let weights = self.weights.add(pair * PANEL);
                let w0 =
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(weights.cast()));
                let w1 = _mm512_loadu_si512(weights.add(LANES).cast());
                let w1 = std::mem::transmute::<__m512i, __m512bh>(w1);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(*input.add(r * self.stride + pair) as i32);
                    let x = std::mem::transmute::<__m512i, __m512bh>(x);
                    sums[0] = _mm512_dpbf16_ps(sums[0], x, w0);
                    sums[1] = _mm512_dpbf16_ps(sums[1], x, w1);
                }
            }
            let (low, high) = (_mm512_set1_ps(self.bounds.0), _mm512_set1_ps(self.bounds.1));
            let bias = [_mm512_loadu_ps(self.bias), _mm512_loadu_ps(self.bias.add(LANES))];
            let masks = [mask(self.valid), mask(self.valid.saturating_sub(LANES))];
            for (r, sums) in sums.into_iter().enumerate() {
                let output = self.output.add((row + r) * self.width);
                for v in 0..VECTORS {
                    // The second operand is what comes out where one is not a number.
                    let x = _mm512_add_ps(sums[v], bias[v]);
                    let x = _mm512_min_ps(high, _mm512_max_ps(low, x));
                    _mm512_mask_storeu_ps(output.wrapping_add(v * LANES), masks[v], x);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Activation, Choice, Isa, Pointwise, PointwiseSpec, Pool, Precision};

    fn rounded(x: f32) -> f64 {
        f64::from(f32::from_bits(super::nearest(x) << 16))
    }

    /// Sums of rounded numbers, to the last places of float32.
    #[test]
    fn sums_of_rounded_numbers() {
        if !Precision::Bf16.is_available(Isa::Avx512) {
            eprintln!("skipped: no AVX512-BF16");
            return;
        }
        for (rows, inputs, outputs) in
            [(1, 8, 16), (13, 8, 16), (29, 33, 31), (5, 1, 65), (1, 256, 1001), (50, 1024, 40)]
        {
            let value = |i: usize| ((i * 7919 % 2003) as f32 - 1000.0) / 777.0;
            let input: Vec<f32> = (0..rows * inputs).map(value).collect();
            let weights: Vec<f32> = (0..inputs * outputs).map(|i| value(i + 5)).collect();
            let bias: Vec<f32> = (0..outputs).map(value).collect();
            let spec = PointwiseSpec { inputs, outputs, activation: Activation::Relu };
            let how = (Isa::Avx512, Precision::Bf16, Choice::default());
            let op = Pointwise::with_precision(how, spec, &weights, Some(&bias));
            let op = op.expect("available");
            let run = |pool: &Pool| {
                let mut output = vec![-1.0; rows * outputs];
                op.run(pool, rows, &input, &mut output);
                output
            };
            let output = run(&Pool::single());
            assert_eq!(output, run(&Pool::new(2)));
            for (at, &actual) in output.iter().enumerate() {
                let (row, column) = (at / outputs, at % outputs);
                let terms = (0..inputs).map(|k| {
                    rounded(input[row * inputs + k]) * rounded(weights[k * outputs + column])
                });
                let (mut sum, mut size) = (f64::from(bias[column]), 1.0);
                terms.for_each(|term| (sum, size) = (sum + term, size + term.abs()));
                let off = (f64::from(actual) - sum.max(0.0)).abs();
                assert!(off <= 1e-6 * size, "{rows}x{inputs}x{outputs}: {actual} for {sum}");
            }
        }
    }

    #[test]
    fn nearest_and_even() {
        assert_eq!(rounded(1.0), 1.0);
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0, "a half to even");
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0, "a half to even");
        assert!(rounded(f32::NAN).is_nan());
        assert_eq!(rounded(f32::INFINITY), f64::INFINITY);
    }
}
