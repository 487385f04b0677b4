//! Where a sliding window lies: kernel size, stride, dilation, padding; and what is done
//! to each output value. Shared by convolutions and pooling.

use crate::error::{Error, Result};

/// What is applied to each output value. NaN stays NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Activation {
    /// The range values are clamped to.
    pub fn bounds(self) -> (f32, f32) {
        match self {
            Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
        }
    }

    /// Applies it to one value.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let (low, high) = self.bounds();
        clamp(x, low, high)
    }
}

/// Clamps `x`, leaving NaN as it is.
#[inline(always)]
pub(crate) fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Rows and columns of zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns on the left.
    pub left: usize,
    /// Columns on the right.
    pub right: usize,
}

/// A sliding window; pairs are `[rows, columns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Size of the kernel.
    pub kernel: [usize; 2],
    /// Step between outputs.
    pub stride: [usize; 2],
    /// Step between the taps of the kernel.
    pub dilation: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding,
}

impl Window {
    /// A window without padding (TensorFlow's `VALID`).
    pub fn valid(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Self {
        Self { kernel, stride, dilation, padding: Padding::default() }
    }

    /// A window padded so that an `input` of `[height, width]` gives `ceil(input / stride)`
    /// outputs (TensorFlow's `SAME`: an odd row or column goes below or to the right).
    pub fn same(
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        input: [usize; 2],
    ) -> Self {
        let pad = |axis: usize| {
            let stride = stride[axis].max(1);
            let reach = kernel[axis].saturating_sub(1).saturating_mul(dilation[axis]);
            let last = input[axis].div_ceil(stride).saturating_sub(1).saturating_mul(stride);
            let total = (last.saturating_add(reach).saturating_add(1)).saturating_sub(input[axis]);
            (total / 2, total - total / 2)
        };
        let ((top, bottom), (left, right)) = (pad(0), pad(1));
        Self { kernel, stride, dilation, padding: Padding { top, bottom, left, right } }
    }

    /// `[height, width]` of the output for an `input` of `[height, width]`.
    ///
    /// # Errors
    /// Zero kernel, stride or dilation; padding as large as the kernel; sizes beyond memory.
    pub fn output(&self, input: [usize; 2]) -> Result<[usize; 2]> {
        let pads =
            [[self.padding.top, self.padding.bottom], [self.padding.left, self.padding.right]];
        Ok([self.output_axis(0, input, pads)?, self.output_axis(1, input, pads)?])
    }

    fn output_axis(&self, axis: usize, input: [usize; 2], pads: [[usize; 2]; 2]) -> Result<usize> {
        let (kernel, stride, dilation) =
            (self.kernel[axis], self.stride[axis], self.dilation[axis]);
        let bad = |what: &str| {
            let name = ["height", "width"][axis];
            Error::geometry(format!("{what} along the {name}: {self:?}, input {input:?}"))
        };
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err(bad("kernel, stride and dilation must be at least 1"));
        }
        let limit = 1 << 28;
        let all = [kernel, stride, dilation, input[axis], pads[axis][0], pads[axis][1]];
        if all.iter().any(|&size| size > limit) {
            return Err(bad("size is too large"));
        }
        let reach = (kernel - 1).checked_mul(dilation).filter(|&reach| reach <= limit);
        let reach = reach.ok_or_else(|| bad("dilated kernel is too large"))?;
        if pads[axis].iter().any(|&pad| pad > reach) {
            return Err(bad("padding must be smaller than the kernel"));
        }
        let padded = input[axis] + pads[axis][0] + pads[axis][1];
        if input[axis] == 0 || padded <= reach {
            return Ok(0);
        }
        Ok((padded - reach - 1) / stride + 1)
    }

    /// Whether the kernel is one pixel and nothing is padded or skipped.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == Padding::default()
    }

    /// The taps `first..last` of output `out` that lie inside an input of `size`, on `axis`.
    #[inline(always)]
    pub(crate) fn taps(&self, axis: usize, out: usize, size: usize) -> (usize, usize) {
        let start = self.start(axis, out);
        let dilation = self.dilation[axis] as isize;
        let first = if start < 0 { (-start + dilation - 1) / dilation } else { 0 };
        let last = (size as isize - start + dilation - 1).max(0) / dilation;
        let last = (last as usize).min(self.kernel[axis]);
        ((first as usize).min(last), last)
    }

    /// Input coordinate of the first tap of output `out`; negative inside the padding.
    #[inline(always)]
    pub(crate) fn start(&self, axis: usize, out: usize) -> isize {
        let pad = if axis == 0 { self.padding.top } else { self.padding.left };
        (out * self.stride[axis]) as isize - pad as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        let window = Window::same([3, 3], [2, 2], [1, 1], [192, 191]);
        assert_eq!(window.padding, Padding { top: 0, bottom: 1, left: 1, right: 1 });
        assert_eq!(window.output([192, 191]), Ok([96, 96]));
        let window = Window::same([3, 3], [1, 1], [2, 2], [5, 7]);
        assert_eq!(window.padding, Padding { top: 2, bottom: 2, left: 2, right: 2 });
        assert_eq!(window.output([5, 7]), Ok([5, 7]));
        let window = Window::same([1, 1], [2, 2], [1, 1], [5, 6]);
        assert_eq!(window.output([5, 6]), Ok([3, 3]));
    }

    #[test]
    fn hostile_windows_are_errors() {
        let bad = [
            Window::valid([0, 3], [1, 1], [1, 1]),
            Window::valid([3, 3], [0, 1], [1, 1]),
            Window::valid([3, 3], [1, 1], [1, 0]),
            Window::valid([3, 3], [1, 1], [1, usize::MAX]),
            Window {
                padding: Padding { top: 3, ..Padding::default() },
                ..Window::valid([3, 3], [1, 1], [1, 1])
            },
        ];
        for window in bad {
            assert!(window.output([8, 8]).is_err(), "{window:?}");
        }
        assert_eq!(Window::valid([3, 3], [1, 1], [1, 1]).output([2, 9]), Ok([0, 7]));
    }

    #[test]
    fn taps_stay_inside() {
        let window = Window::same([3, 3], [1, 1], [2, 2], [5, 5]);
        let taps: Vec<_> = (0..5).map(|out| window.taps(0, out, 5)).collect();
        assert_eq!(taps, [(1, 3), (1, 3), (0, 3), (0, 2), (0, 2)]);
    }
}
