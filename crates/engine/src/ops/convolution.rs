//! What `Conv2D` and `DepthwiseConv2dNative` share: geometry, checks, the plain loops.

use mobilenet_formats::{DType, Tensor};

use super::{expect_same_dtype, only_nhwc};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::reference;
use crate::window::{Extent, Padding, Window};

/// Whether each filter sees all channels or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Filter `[height, width, in, out]`.
    Full,
    /// Filter `[height, width, in, multiplier]`; output channel `in * multiplier + m`.
    Depthwise,
}

/// Attributes of a convolution.
#[derive(Clone, Debug)]
pub(crate) struct Attrs {
    pub(crate) window: Window,
    pub(crate) data_format: String,
}

/// A convolution with every size known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) kind: Kind,
    pub(crate) images: usize,
    /// `[height, width, channels]`
    pub(crate) input: [usize; 3],
    /// `[height, width, channels]`
    pub(crate) output: [usize; 3],
    /// `[height, width]` of the filter.
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// `[[top, bottom], [left, right]]`
    pub(crate) pads: [[usize; 2]; 2],
}

impl Attrs {
    pub(crate) fn import(attributes: &Attributes) -> Result<Self> {
        let data_format = attributes.string("data_format", "NHWC")?;
        let window = Window {
            strides: pair("strides", &attributes.ints("strides")?, &data_format)?,
            dilations: pair("dilations", &attributes.ints("dilations")?, &data_format)?,
            padding: padding(attributes, &data_format)?,
        };
        Ok(Self { window, data_format })
    }

    /// The output's fact.
    pub(crate) fn infer(&self, kind: Kind, inputs: &[Fact]) -> Result<Vec<Fact>> {
        expect_same_dtype(&inputs[0], &inputs[1])?;
        for (what, fact) in [("input", &inputs[0]), ("filter", &inputs[1])] {
            if fact.shape.rank().is_some_and(|rank| rank != 4) {
                return Err(Error::shape(format!("the {what} must have rank 4")));
            }
        }
        if self.data_format != "NHWC" {
            return Ok(vec![Fact { shape: Shape::of_rank(4), ..unvalued(&inputs[0]) }]);
        }
        let (input, filter) = (&inputs[0].shape, &inputs[1].shape);
        check_channels(kind, input.dim(3), filter.dim(2))?;
        let channels = match kind {
            Kind::Full => filter.dim(3),
            Kind::Depthwise => product(filter.dim(2), filter.dim(3))?,
        };
        let dims = vec![input.dim(0), self.output(0, inputs)?, self.output(1, inputs)?, channels];
        Ok(vec![Fact { shape: Shape::new(dims), ..unvalued(&inputs[0]) }])
    }

    fn output(&self, axis: usize, inputs: &[Fact]) -> Result<Option<usize>> {
        match (inputs[0].shape.dim(axis + 1), inputs[1].shape.dim(axis)) {
            (Some(input), Some(kernel)) => {
                Ok(Some(self.window.extent(axis, input, kernel)?.output))
            }
            _ => Ok(None),
        }
    }

    /// The geometry for concrete shapes `[n, h, w, c]` and filter.
    pub(crate) fn geometry(
        &self,
        kind: Kind,
        input: &[usize],
        filter: &[usize],
    ) -> Result<Geometry> {
        only_nhwc(&self.data_format)?;
        let (&[images, height, width, channels], &[kh, kw, inner, outer]) = (input, filter) else {
            return Err(Error::shape("input and filter must have rank 4"));
        };
        check_channels(kind, Some(channels), Some(inner))?;
        let [rows, columns]: [Extent; 2] =
            [self.window.extent(0, height, kh)?, self.window.extent(1, width, kw)?];
        let out_channels = match kind {
            Kind::Full => outer,
            Kind::Depthwise => elements(&[inner, outer])?,
        };
        Ok(Geometry {
            kind,
            images,
            input: [height, width, channels],
            output: [rows.output, columns.output, out_channels],
            kernel: [kh, kw],
            strides: self.window.strides,
            dilations: self.window.dilations,
            pads: [[rows.before, rows.after], [columns.before, columns.after]],
        })
    }

    /// The plain loops, in double precision.
    pub(crate) fn evaluate(&self, kind: Kind, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let geometry = self.geometry(kind, inputs[0].shape(), inputs[1].shape())?;
        let (x, w) = (reference::reals(inputs[0])?, reference::reals(inputs[1])?);
        let y = geometry.convolve(&x, &w)?;
        let [height, width, channels] = geometry.output;
        let shape = [geometry.images, height, width, channels];
        Ok(vec![reference::real(inputs[0].dtype(), &shape, y)?])
    }
}

impl Geometry {
    /// Multiply-adds of one image.
    pub(crate) fn multiply_adds(&self) -> u64 {
        let inner = match self.kind {
            Kind::Full => self.input[2],
            Kind::Depthwise => 1,
        };
        let factors = [self.kernel[0], self.kernel[1], inner];
        self.output.iter().chain(&factors).map(|&n| n as u64).product()
    }

    fn convolve(&self, x: &[f64], w: &[f64]) -> Result<Vec<f64>> {
        let [height, width, channels] = self.output;
        let mut y = vec![0.0; elements(&[self.images, height, width, channels])?];
        for (position, out) in y.chunks_exact_mut(channels.max(1)).enumerate() {
            let (image, row, column) =
                (position / (height * width), position / width % height, position % width);
            self.taps(row, column, |tap, at| {
                let at = (image * self.input[0] * self.input[1] + at) * self.input[2];
                self.tap(&x[at..at + self.input[2]], tap, w, out);
            });
        }
        Ok(y)
    }

    /// Calls `visit(tap, pixel)` for each filter tap of an output position that lies inside.
    pub(super) fn taps(&self, row: usize, column: usize, mut visit: impl FnMut(usize, usize)) {
        for tap in 0..self.kernel[0] * self.kernel[1] {
            let (ky, kx) = (tap / self.kernel[1], tap % self.kernel[1]);
            let y = (row * self.strides[0] + ky * self.dilations[0]).checked_sub(self.pads[0][0]);
            let x =
                (column * self.strides[1] + kx * self.dilations[1]).checked_sub(self.pads[1][0]);
            if let (Some(y), Some(x)) = (y, x)
                && y < self.input[0]
                && x < self.input[1]
            {
                visit(tap, y * self.input[1] + x);
            }
        }
    }

    fn tap(&self, x: &[f64], tap: usize, w: &[f64], out: &mut [f64]) {
        let outer = match self.kind {
            Kind::Full => out.len(),
            Kind::Depthwise => out.len() / x.len().max(1),
        };
        for (c, &x) in x.iter().enumerate() {
            let w = &w[(tap * self.input[2] + c) * outer..][..outer];
            let out = match self.kind {
                Kind::Full => &mut *out,
                Kind::Depthwise => &mut out[c * outer..][..outer],
            };
            for (out, &w) in out.iter_mut().zip(w) {
                *out += x * w;
            }
        }
    }
}

fn unvalued(fact: &Fact) -> Fact {
    Fact { value: None, variable: None, ..fact.clone() }
}

fn product(a: Option<usize>, b: Option<usize>) -> Result<Option<usize>> {
    a.zip(b).map(|(a, b)| elements(&[a, b])).transpose()
}

fn check_channels(kind: Kind, input: Option<usize>, filter: Option<usize>) -> Result<()> {
    match (input, filter) {
        (Some(input), Some(filter)) if kind == Kind::Full && filter != 0 && input != filter => {
            if input.is_multiple_of(filter) {
                return Err(Error::unsupported("convolution in groups"));
            }
            Err(Error::shape(format!("the input has {input} channels, the filter wants {filter}")))
        }
        (Some(input), Some(filter)) if input != filter => {
            Err(Error::shape(format!("the input has {input} channels, the filter wants {filter}")))
        }
        _ => Ok(()),
    }
}

/// The height and width entries of an attribute like `[1, 2, 2, 1]`; `[1, 1]` where absent.
pub(super) fn pair(name: &str, values: &[i64], data_format: &str) -> Result<[usize; 2]> {
    if values.is_empty() {
        return Ok([1, 1]);
    }
    let &[a, b, c, d] = values else {
        return Err(Error::invalid(format!("attribute '{name}' must have 4 entries")));
    };
    let (others, pair) = match data_format {
        "NCHW" => ([a, b], [c, d]),
        _ => ([a, d], [b, c]),
    };
    if others != [1, 1] {
        return Err(Error::unsupported(format!("attribute '{name}' over batch or channels")));
    }
    let size = |value: i64| usize::try_from(value).ok().filter(|&v| (1..=1 << 20).contains(&v));
    match (size(pair[0]), size(pair[1])) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err(Error::shape(format!("attribute '{name}' {values:?}: each must be at least 1"))),
    }
}

/// The attribute `padding`, with `explicit_paddings`.
pub(super) fn padding(attributes: &Attributes, data_format: &str) -> Result<Padding> {
    match attributes.string("padding", "")?.as_str() {
        "SAME" => Ok(Padding::Same),
        "VALID" => Ok(Padding::Valid),
        "EXPLICIT" => explicit(&attributes.ints("explicit_paddings")?, data_format),
        other => {
            let other = crate::error::shorten(other);
            Err(Error::invalid(format!("padding '{other}': SAME, VALID or EXPLICIT wanted")))
        }
    }
}

fn explicit(pads: &[i64], data_format: &str) -> Result<Padding> {
    let wrong = || Error::shape(format!("explicit_paddings {pads:?} are impossible"));
    let sizes: Option<Vec<usize>> =
        pads.iter().map(|&pad| usize::try_from(pad).ok().filter(|&pad| pad < 1 << 20)).collect();
    match (sizes.ok_or_else(wrong)?.as_slice(), data_format) {
        (&[0, 0, t, b, l, r, 0, 0], "NHWC") | (&[0, 0, 0, 0, t, b, l, r], "NCHW") => {
            Ok(Padding::Explicit([[t, b], [l, r]]))
        }
        _ => Err(wrong()),
    }
}

/// Convolutions run on floating point.
pub(super) fn expect_float(fact: &Fact) -> Result<()> {
    match fact.dtype {
        Some(DType::F32 | DType::F64 | DType::F16 | DType::BF16) | None => Ok(()),
        Some(dtype) => Err(Error::dtype(format!("floating point wanted, got {dtype}"))),
    }
}
