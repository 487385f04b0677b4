//! Windows that slide over height and width: TensorFlow's padding rules and output sizes.
//!
//! Used by convolution and pooling, for shape inference, reference evaluation and lowering.

use crate::error::{Error, Result};

/// TensorFlow's `padding` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Zeros so that the output has `ceil(input / stride)` positions; the odd one goes last.
    Same,
    /// No padding.
    Valid,
    /// `[[top, bottom], [left, right]]`.
    Explicit([[usize; 2]; 2]),
}

/// Kernel extent, strides and dilations over height and width, and the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Steps between positions: `[height, width]`, at least 1.
    pub(crate) strides: [usize; 2],
    /// Steps between kernel taps: `[height, width]`, at least 1.
    pub(crate) dilations: [usize; 2],
    /// How borders are treated.
    pub(crate) padding: Padding,
}

/// One axis of a window laid over an input: where it starts and how many positions it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Number of positions.
    pub(crate) output: usize,
    /// Zeros before the first element.
    pub(crate) before: usize,
    /// Zeros after the last element.
    pub(crate) after: usize,
}

impl Window {
    /// Lays a kernel of `kernel` taps over `input` elements of axis 0 (height) or 1 (width).
    ///
    /// # Errors
    /// `Shape` for an empty kernel, a zero stride or an input smaller than the kernel.
    pub(crate) fn extent(&self, axis: usize, input: usize, kernel: usize) -> Result<Extent> {
        let (stride, dilation) = (self.strides[axis & 1], self.dilations[axis & 1]);
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err(Error::shape("kernel, strides and dilations must be at least 1"));
        }
        let reach = (kernel - 1)
            .checked_mul(dilation)
            .and_then(|reach| reach.checked_add(1))
            .ok_or_else(|| Error::shape("the dilated kernel is too large"))?;
        match self.padding {
            Padding::Same => Ok(same(input, reach, stride)),
            Padding::Valid => fixed(input, reach, stride, [0, 0]),
            Padding::Explicit(pads) => fixed(input, reach, stride, pads[axis & 1]),
        }
    }
}

fn same(input: usize, reach: usize, stride: usize) -> Extent {
    let output = input.div_ceil(stride);
    let covered = output.saturating_sub(1).saturating_mul(stride).saturating_add(reach);
    let pad = covered.saturating_sub(input);
    Extent { output, before: pad / 2, after: pad - pad / 2 }
}

fn fixed(input: usize, reach: usize, stride: usize, pads: [usize; 2]) -> Result<Extent> {
    let padded = input.checked_add(pads[0]).and_then(|sum| sum.checked_add(pads[1]));
    let room = padded.and_then(|padded| padded.checked_sub(reach)).ok_or_else(|| {
        Error::shape(format!("a kernel that reaches {reach} does not fit into {input} elements"))
    })?;
    Ok(Extent { output: room / stride + 1, before: pads[0], after: pads[1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(stride: usize, padding: Padding) -> Window {
        Window { strides: [stride; 2], dilations: [1, 1], padding }
    }

    #[test]
    fn same_padding_puts_the_odd_zero_last() {
        let even = window(2, Padding::Same).extent(0, 192, 3).unwrap();
        assert_eq!(even, Extent { output: 96, before: 0, after: 1 });
        let odd = window(2, Padding::Same).extent(0, 95, 3).unwrap();
        assert_eq!(odd, Extent { output: 48, before: 1, after: 1 });
    }

    #[test]
    fn valid_padding_needs_room() {
        assert_eq!(window(2, Padding::Valid).extent(1, 6, 6).unwrap().output, 1);
        assert!(window(1, Padding::Valid).extent(1, 5, 6).is_err());
        assert!(window(0, Padding::Same).extent(1, 5, 6).is_err());
        assert!(window(1, Padding::Same).extent(1, 5, 0).is_err());
    }
}
