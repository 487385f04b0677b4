//! Lowering of what only training needs: gradients, and convolutions whose weights change.

use std::sync::Arc;

use mobilenet_kernels::Activation;

use super::{BatchNorm, Lowering};
use crate::error::{Error, Result};
use crate::ops::{By, Geometry, Levels, Range};
use crate::program::{Body, ConvolutionAtRun, ConvolutionGradient};
use crate::steps::{self, gradients};
use crate::window::Window;

impl Lowering<'_> {
    /// A convolution whose weights are computed, or change, at run time.
    pub(crate) fn convolution_at_run(&mut self, geometry: Geometry) -> Result<()> {
        self.product_at_run(ConvolutionAtRun { geometry, transposed: false })
    }

    /// `dy [rows, columns] * b^T`, `b [inner, columns]`.
    pub(crate) fn product_with_transposed(&mut self, geometry: Geometry) -> Result<()> {
        self.product_at_run(ConvolutionAtRun { geometry, transposed: true })
    }

    fn product_at_run(&mut self, convolution: ConvolutionAtRun) -> Result<()> {
        let inputs = [0, 1].map(|i| self.input(i));
        let inputs = inputs.into_iter().collect::<Result<_>>()?;
        self.emit(Body::ConvolutionAtRun(convolution), inputs, 1)
    }

    /// `a^T * dy`: the filter gradient of a pointwise convolution.
    pub(crate) fn product_of_transposed(&mut self, geometry: Geometry) -> Result<()> {
        self.convolution_gradient(ConvolutionGradient { geometry, by: By::Filter }, [0, 1])
    }

    pub(crate) fn convolution_backprop(&mut self, geometry: Geometry, by: By) -> Result<()> {
        let operands = if by == By::Input { [1, 2] } else { [0, 2] };
        self.want_f32(&operands)?;
        self.convolution_gradient(ConvolutionGradient { geometry, by }, operands)
    }

    fn convolution_gradient(
        &mut self,
        gradient: ConvolutionGradient,
        operands: [usize; 2],
    ) -> Result<()> {
        let inputs = operands.iter().map(|&i| self.input(i)).collect::<Result<_>>()?;
        self.emit(Body::ConvolutionGradient(gradient), inputs, 1)
    }

    pub(crate) fn average_pool_grad(&mut self, kernel: [usize; 2], window: Window) -> Result<()> {
        self.want_f32(&[1])?;
        let input = self.output_shape()?;
        self.other(steps::AveragePoolGrad { input, kernel, window }, &[1])
    }

    pub(crate) fn relu_grad(&mut self, activation: Activation) -> Result<()> {
        self.want_f32(&[0, 1])?;
        let inputs = (0..2).map(|input| self.input(input)).collect::<Result<_>>()?;
        self.emit(Body::Gate(activation), inputs, 1)
    }

    pub(crate) fn batch_norm_grad(&mut self, attributes: BatchNorm) -> Result<()> {
        self.want_f32(&[0, 1, 2, 3, 4])?;
        let inputs = (0..5).map(|input| self.input(input)).collect::<Result<_>>()?;
        self.emit(Body::BatchNormGradient(attributes, Activation::None), inputs, 3)
    }

    /// Rounding to some bits, or its gradient.
    pub(crate) fn fake_quant(
        &mut self,
        levels: Levels,
        range: Range,
        gradient: bool,
    ) -> Result<()> {
        let operands: Vec<usize> = (0..self.this().inputs.len()).collect();
        self.want_f32(&operands)?;
        let inputs = operands.iter().map(|&i| self.input(i)).collect::<Result<_>>()?;
        let outputs = self.this().outputs.len();
        let recipe = steps::FakeQuant { levels, range, gradient };
        self.emit(Body::Other(Arc::new(recipe)), inputs, outputs)
    }

    pub(crate) fn cross_entropy(&mut self) -> Result<()> {
        self.want_f32(&[0, 1])?;
        let inputs = (0..2).map(|input| self.input(input)).collect::<Result<_>>()?;
        self.emit(Body::Other(Arc::new(gradients::CrossEntropy)), inputs, 2)
    }

    pub(crate) fn add_n(&mut self, most: usize) -> Result<()> {
        let operands: Vec<usize> = (0..self.this().inputs.len()).collect();
        if operands.len() > most {
            return Err(Error::unsupported(format!("{} operands, at most {most}", operands.len())));
        }
        self.want_f32(&operands)?;
        self.other(gradients::AddN { count: operands.len() }, &operands)
    }

    pub(crate) fn broadcast(&mut self) -> Result<()> {
        self.want_f32(&[0])?;
        let shape = self.output_shape()?;
        self.other(gradients::Broadcast { shape }, &[0])
    }
}
