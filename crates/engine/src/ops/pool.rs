//! `AvgPool` and `MaxPool` over height and width, and `AvgPoolGrad`. Padding counts in no window.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::convolution::{expect_float, padding, pair};
use super::fill::shape_of_sizes;
use super::{Op, only_nhwc};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::lower::Lowering;
use crate::reference;
use crate::window::{Extent, Window};

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
        Ok(Arc::new(Self::read(Pooling::Average, attributes)?))
    }

    pub(super) fn max(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self::read(Pooling::Max, attributes)?))
    }

    fn read(pooling: Pooling, attributes: &Attributes) -> Result<Self> {
        let data_format = attributes.string("data_format", "NHWC")?;
        let (kernel, window) = window(attributes)?;
        Ok(Self { pooling, kernel, window, data_format })
    }

    /// The shape that an input of `shape` is pooled to, with the windows along height and width.
    fn output(&self, shape: &[usize]) -> Result<([usize; 4], [Extent; 2])> {
        only_nhwc(&self.data_format)?;
        let &[images, height, width, channels] = shape else {
            return Err(Error::shape("the input must have rank 4"));
        };
        let rows = self.window.extent(0, height, self.kernel[0])?;
        let columns = self.window.extent(1, width, self.kernel[1])?;
        Ok(([images, rows.output, columns.output, channels], [rows, columns]))
    }

    /// Visits each element of the output with the elements of an input of `shape` that its window
    /// covers.
    fn windows(&self, shape: &[usize], mut visit: impl FnMut(usize, &[usize])) -> Result<()> {
        let (output, extents) = self.output(shape)?;
        let &[_, height, width, channels] = shape else { return Ok(()) };
        let clip = |axis: usize, at: usize, input: usize| {
            let (start, before) = (at * self.window.strides[axis], extents[axis].before);
            let end = (start + self.kernel[axis]).saturating_sub(before);
            start.saturating_sub(before)..end.min(input)
        };
        let mut covered = Vec::new();
        for out in 0..elements(&output)? {
            let (c, i) = (out % channels, out / channels);
            let (column, i) = (i % output[2], i / output[2]);
            let (row, image) = (i % output[1], i / output[1]);
            let (ys, xs) = (clip(0, row, height), clip(1, column, width));
            let pixels = ys.flat_map(|y| xs.clone().map(move |x| (image * height + y) * width + x));
            covered.clear();
            covered.extend(pixels.map(|pixel| pixel * channels + c));
            visit(out, &covered);
        }
        Ok(())
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
        let (shape, _) = self.output(inputs[0].shape())?;
        let x = reference::reals(inputs[0])?;
        let mut y = Vec::with_capacity(elements(&shape)?);
        self.windows(inputs[0].shape(), |_, covered| {
            y.push(self.pool(covered.iter().map(|&at| x[at])));
        })?;
        Ok(vec![reference::real(inputs[0].dtype(), &shape, y)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        only_nhwc(&self.data_format)?;
        lowering.pool(self.pooling, self.kernel, self.window)
    }
}

/// The slope of an average pool's input, from the sizes of the input and the slope of the output.
#[derive(Debug)]
pub(super) struct AvgPoolGrad {
    pool: Pool,
}

impl AvgPoolGrad {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { pool: Pool::read(Pooling::Average, attributes)? }))
    }

    /// Fails unless an input of `sizes` is pooled to what `slope` has the shape of.
    fn check(&self, sizes: &[usize], slope: &[usize]) -> Result<()> {
        let (output, _) = self.pool.output(sizes)?;
        if slope == output {
            return Ok(());
        }
        let message = format!("the slope has shape {slope:?}, {sizes:?} is pooled to {output:?}");
        Err(Error::shape(message))
    }
}

impl Op for AvgPoolGrad {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        expect_float(&inputs[1])?;
        let shape = shape_of_sizes(&inputs[0])?.merge(&Shape::of_rank(4));
        let shape = shape.ok_or_else(|| Error::shape("four sizes wanted"))?;
        Ok(vec![Fact { dtype: inputs[1].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let sizes = shape_of_sizes(&Fact::constant(Arc::new(inputs[0].clone())))?;
        let sizes = sizes.concrete().unwrap_or_default();
        self.check(&sizes, inputs[1].shape())?;
        let dy = reference::reals(inputs[1])?;
        let mut dx = vec![0.0; elements(&sizes)?];
        self.pool.windows(&sizes, |out, covered| {
            covered.iter().for_each(|&at| dx[at] += dy[out] / covered.len() as f64);
        })?;
        Ok(vec![reference::real(inputs[1].dtype(), &sizes, dx)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let sizes = lowering.output_shape()?;
        self.check(&sizes, &lowering.shape(1)?)?;
        lowering.average_pool_grad(self.pool.kernel, self.pool.window)
    }
}
