//! The gradients of `Conv2D` and `DepthwiseConv2dNative`: `…BackpropInput` from input sizes,
//! filter and slope; `…BackpropFilter` from input, filter sizes and slope.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use super::convolution::{Attrs, Geometry, Kind, expect_float};
use super::fill::shape_of_sizes;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::lower::Lowering;
use crate::reference;

/// What the slope is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Input,
    Filter,
}

#[derive(Debug)]
struct Backprop {
    kind: Kind,
    by: By,
    attrs: Attrs,
}

fn import(kind: Kind, by: By, attributes: &Attributes) -> Result<Arc<dyn Op>> {
    Ok(Arc::new(Backprop { kind, by, attrs: Attrs::import(attributes)? }))
}

pub(super) fn conv2d_input(attributes: &Attributes) -> Result<Arc<dyn Op>> {
    import(Kind::Full, By::Input, attributes)
}

pub(super) fn conv2d_filter(attributes: &Attributes) -> Result<Arc<dyn Op>> {
    import(Kind::Full, By::Filter, attributes)
}

pub(super) fn depthwise_input(attributes: &Attributes) -> Result<Arc<dyn Op>> {
    import(Kind::Depthwise, By::Input, attributes)
}

pub(super) fn depthwise_filter(attributes: &Attributes) -> Result<Arc<dyn Op>> {
    import(Kind::Depthwise, By::Filter, attributes)
}

impl Backprop {
    /// The input that holds sizes instead of a tensor.
    fn sizes(&self) -> usize {
        usize::from(self.by == By::Filter)
    }

    fn geometry(&self, input: &[usize], filter: &[usize], slope: &[usize]) -> Result<Geometry> {
        let geometry = self.attrs.geometry(self.kind, input, filter)?;
        let [height, width, channels] = geometry.output;
        if slope != [geometry.images, height, width, channels] {
            let message = format!(
                "the slope has shape {slope:?}, the convolution of {input:?} by {filter:?} yields \
                 [{}, {height}, {width}, {channels}]",
                geometry.images
            );
            return Err(Error::shape(message));
        }
        Ok(geometry)
    }
}

impl Op for Backprop {
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        expect_float(&inputs[2])?;
        let shape = shape_of_sizes(&inputs[self.sizes()])?.merge(&Shape::of_rank(4));
        let shape = shape.ok_or_else(|| Error::shape("four sizes wanted"))?;
        Ok(vec![Fact { dtype: inputs[2].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let sizes = Fact::constant(Arc::new(inputs[self.sizes()].clone()));
        let sizes = shape_of_sizes(&sizes)?.concrete().unwrap_or_default();
        let dy = reference::reals(inputs[2])?;
        let slope = inputs[2].shape();
        let mut found = vec![0.0; elements(&sizes)?];
        match self.by {
            By::Input => {
                let geometry = self.geometry(&sizes, inputs[1].shape(), slope)?;
                let w = reference::reals(inputs[1])?;
                geometry.pairs(|at, tap, out| found[at] += w[tap] * dy[out]);
            }
            By::Filter => {
                let geometry = self.geometry(inputs[0].shape(), &sizes, slope)?;
                let x = reference::reals(inputs[0])?;
                geometry.pairs(|at, tap, out| found[tap] += x[at] * dy[out]);
            }
        }
        Ok(vec![reference::real(inputs[2].dtype(), &sizes, found)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let sizes = lowering.constant_integers(self.sizes());
        let sizes: Option<Vec<usize>> =
            sizes.and_then(|sizes| sizes.iter().map(|&size| usize::try_from(size).ok()).collect());
        let sizes = sizes.ok_or_else(|| Error::shape("sizes that are not known in advance"))?;
        let other = lowering.shape(1 - self.sizes())?;
        let slope = lowering.shape(2)?;
        let geometry = match self.by {
            By::Input => self.geometry(&sizes, &other, &slope)?,
            By::Filter => self.geometry(&other, &sizes, &slope)?,
        };
        lowering.convolution_backprop(geometry, self.by)
    }
}

impl Geometry {
    /// Visits every product of a convolution: element of the input, of the filter, of the output.
    fn pairs(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let [height, width, channels] = self.output;
        let inner = self.input[2];
        let outer = match self.kind {
            Kind::Full => channels,
            Kind::Depthwise => channels / inner.max(1),
        };
        for position in 0..self.images * height * width {
            let image = position / (height * width);
            let (row, column) = (position / width % height, position % width);
            self.taps(row, column, |tap, pixel| {
                let at = (image * self.input[0] * self.input[1] + pixel) * inner;
                for (c, o) in (0..inner).flat_map(|c| (0..outer).map(move |o| (c, o))) {
                    let out = match self.kind {
                        Kind::Full => o,
                        Kind::Depthwise => c * outer + o,
                    };
                    visit(at + c, (tap * inner + c) * outer + o, position * channels + out);
                }
            });
        }
    }
}
