//! The slope of a depthwise convolution's input: TensorFlow's
//! `DepthwiseConv2dNativeBackpropInput`.
//!
//! With stride 1 it is a depthwise convolution by the kernel turned around, and runs as one; the
//! rest is added up tap by tap.

use crate::depthwise::{Depthwise, DepthwiseSpec};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{Body, Simd, call};
use crate::window::{Activation, Padding, Window};

/// The slope `dx` of a depthwise convolution's input (multiplier 1), from `weights`,
/// `[kernel height, kernel width, channels, 1]`, and the slope `dy` of its output.
///
/// # Errors
/// An instruction set this CPU lacks; a window that does not fit; a multiplier other than 1.
///
/// # Panics
/// If a slice does not fit.
pub fn depthwise_input_gradient(
    isa: Isa,
    pool: &Pool,
    spec: DepthwiseSpec,
    weights: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) -> Result<()> {
    let isa = isa.require()?;
    let output = spec.output()?;
    if spec.multiplier != 1 {
        return Err(Error::geometry("gradients of depthwise convolutions want multiplier 1"));
    }
    let [height, width, channels] = spec.input;
    let line = width * channels;
    if line == 0 || height == 0 {
        return Ok(());
    }
    let batch = dx.len() / (height * line);
    assert_eq!(dx.len(), batch * height * line, "dx");
    assert_eq!(dy.len(), batch * output.iter().product::<usize>(), "dy");
    assert_eq!(weights.len(), spec.window.kernel.iter().product::<usize>() * channels, "weights");
    if spec.window.stride == [1, 1] {
        turned(isa, spec, output, weights)?.run(pool, batch, dy, dx);
        return Ok(());
    }
    pool.for_each_chunk(dx, line, &|row, dx| {
        call(isa, InputRow { spec: &spec, output, row, weights, dy, dx });
    });
    Ok(())
}

/// The convolution of `dy` that gives `dx` where the stride is 1: taps in reverse order, padded by
/// what the kernel reaches beyond the forward padding.
pub(super) fn turned(
    isa: Isa,
    spec: DepthwiseSpec,
    output: [usize; 3],
    weights: &[f32],
) -> Result<Depthwise> {
    let Window { kernel, dilation, padding, .. } = spec.window;
    let reach = |axis: usize, pad: usize| ((kernel[axis] - 1) * dilation[axis]).saturating_sub(pad);
    let padding = Padding {
        top: reach(0, padding.top),
        bottom: reach(0, padding.bottom),
        left: reach(1, padding.left),
        right: reach(1, padding.right),
    };
    let taps = weights.chunks_exact(spec.input[2]).rev();
    let turned: Vec<f32> = taps.flatten().copied().collect();
    let window = Window { padding, ..spec.window };
    let spec = DepthwiseSpec { input: output, multiplier: 1, window, activation: Activation::None };
    Depthwise::new(isa, spec, &turned, None)
}

/// One row of `dx`: every row of output that saw it, every tap.
pub(super) struct InputRow<'a> {
    pub(super) spec: &'a DepthwiseSpec,
    pub(super) output: [usize; 3],
    /// Counted over all images.
    pub(super) row: usize,
    pub(super) weights: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) dx: &'a mut [f32],
}

impl Body for InputRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [rows, columns, channels] = self.output;
        let height = self.spec.input[0];
        let window = self.spec.window;
        let (image, y) = (self.row / height, self.row % height);
        let width = self.dx.len() / channels;
        self.dx.fill(0.0);
        for ky in 0..window.kernel[0] {
            let reach = y + window.padding.top;
            let Some(from) = reach.checked_sub(ky * window.dilation[0]) else { continue };
            if !from.is_multiple_of(window.stride[0]) || from / window.stride[0] >= rows {
                continue;
            }
            let line = (image * rows + from / window.stride[0]) * columns * channels;
            let dy = &self.dy[line..line + columns * channels];
            for kx in 0..window.kernel[1] {
                let tap = (ky * window.kernel[1] + kx) * channels;
                let weights = &self.weights[tap..tap + channels];
                let shift = (kx * window.dilation[1]) as isize - window.padding.left as isize;
                let stride = window.stride[1];
                // Outputs whose tap falls on this row: 0 <= x * stride + shift < width.
                let begin = if shift < 0 { (-shift) as usize } else { 0 }.div_ceil(stride);
                let end = ((width as isize - shift).max(0) as usize).div_ceil(stride).min(columns);
                scatter(simd, [begin, end], stride, shift, weights, dy, self.dx);
            }
        }
    }
}

#[inline(always)]
fn scatter<S: Simd>(
    simd: S,
    [begin, end]: [usize; 2],
    stride: usize,
    shift: isize,
    weights: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    let channels = weights.len();
    if begin >= end {
        return;
    }
    let highest = ((end - 1) * stride).wrapping_add_signed(shift);
    assert!(dy.len() >= end * channels && dx.len() >= (highest + 1) * channels);
    for c in (0..channels).step_by(S::LANES) {
        let count = (channels - c).min(S::LANES);
        // SAFETY: `c + count <= channels`; by the assert and the choice of `begin` and `end`
        // every output read and every input written exists.
        unsafe {
            let weight = simd.load_part(weights.as_ptr().add(c), count);
            for x in begin..end {
                let at = (x * stride).wrapping_add_signed(shift) * channels + c;
                let slope = simd.load_part(dy.as_ptr().add(x * channels + c), count);
                let to = dx.as_mut_ptr().add(at);
                simd.store_part(to, simd.fma(weight, slope, simd.load_part(to, count)), count);
            }
        }
    }
}
