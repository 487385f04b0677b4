//! `AvgPool` and `MaxPool` over height and width. Padding counts in neither.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::convolution::{expect_float, padding, pair};
use super::{Op, only_nhwc};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::lower::Lowering;
use crate::reference;
use crate::window::Window;

/// How the values of a window become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    Average,
    Max,
}

#[derive(Debug)]
pub(super) struct Pool {
    pooling: Pooling,
    kernel: [usize; 2],
    window: Window,
    data_format: String,
}

/// The size of the pooled window and how it slides, as attributes say.
pub(crate) fn window(attributes: &Attributes) -> Result<([usize; 2], Window)> {
    let data_format = attributes.string("data_format", "NHWC")?;
    let window = Window {
        strides: pair("strides", &attributes.ints("strides")?, &data_format)?,
        dilations: [1, 1],
        padding: padding(attributes, &data_format)?,
    };
    Ok((pair("ksize", &attributes.ints("ksize")?, &data_format)?, window))
}

impl Pool {
    pub(super) fn average(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::import(Pooling::Average, attributes)
    }

    pub(super) fn max(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::import(Pooling::Max, attributes)
    }

    fn import(pooling: Pooling, attributes: &Attributes) -> Result<Arc<dyn Op>> {
        let data_format = attributes.string("data_format", "NHWC")?;
        let (kernel, window) = window(attributes)?;
        Ok(Arc::new(Self { pooling, kernel, window, data_format }))
    }

    fn pool(&self, values: impl Iterator<Item = f64>) -> f64 {
        let (mut count, mut sum, mut max) = (0u32, 0.0, f64::NEG_INFINITY);
        for value in values {
            count += 1;
            sum += value;
            max = if value > max || value.is_nan() { value } else { max };
        }
        match self.pooling {
            Pooling::Average => sum / f64::from(count),
            Pooling::Max => max,
        }
    }
}

impl Op for Pool {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        expect_float(&inputs[0])?;
        let shape = &inputs[0].shape;
        if shape.rank().is_some_and(|rank| rank != 4) {
            return Err(Error::shape("the input must have rank 4"));
        }
        let mut dims = vec![shape.dim(0), None, None, shape.dim(3)];
        if self.data_format == "NHWC" {
            for axis in 0..2 {
                if let Some(input) = shape.dim(axis + 1) {
                    let extent = self.window.extent(axis, input, self.kernel[axis])?;
                    dims[axis + 1] = Some(extent.output);
                }
            }
        } else {
            dims = vec![None; 4];
        }
        Ok(vec![Fact { shape: Shape::new(dims), value: None, ..inputs[0].clone() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        only_nhwc(&self.data_format)?;
        let &[images, height, width, channels] = inputs[0].shape() else {
            return Err(Error::shape("the input must have rank 4"));
        };
        let x = reference::reals(inputs[0])?;
        let rows = self.window.extent(0, height, self.kernel[0])?;
        let columns = self.window.extent(1, width, self.kernel[1])?;
        let shape = [images, rows.output, columns.output, channels];
        let mut y = Vec::with_capacity(elements(&shape)?);
        let clip = |at: usize, before: usize, kernel: usize, input: usize| {
            at.saturating_sub(before)..(at + kernel).saturating_sub(before).min(input)
        };
        for i in 0..elements(&shape)? {
            let (c, i) = (i % channels, i / channels);
            let (column, i) = (i % columns.output, i / columns.output);
            let (row, image) = (i % rows.output, i / rows.output);
            let ys = clip(row * self.window.strides[0], rows.before, self.kernel[0], height);
            let xs = clip(column * self.window.strides[1], columns.before, self.kernel[1], width);
            let pixels = ys.flat_map(|y| xs.clone().map(move |x| (image * height + y) * width + x));
            y.push(self.pool(pixels.map(|pixel| x[pixel * channels + c])));
        }
        Ok(vec![reference::real(inputs[0].dtype(), &shape, y)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        only_nhwc(&self.data_format)?;
        lowering.pool(self.pooling, self.kernel, self.window)
    }
}
