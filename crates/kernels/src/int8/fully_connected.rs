//! Fully connected layers of bytes.

use super::{Conv2d, Conv2dSpec, Rescale, Weights};
use crate::error::Result;
use crate::isa::Isa;
use crate::pool::Pool;
use crate::window::Window;

/// A fully connected layer with its weights packed.
#[derive(Clone)]
pub struct FullyConnected {
    product: Conv2d,
}

impl FullyConnected {
    /// Packs `weights`, `[outputs, inputs]`, and `bias`, `[outputs]` (zeros if `None`), in
    /// steps of input scale times weight scale. `zero_point` is the input byte that means 0.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; sizes or slices that do not fit.
    pub fn new(
        isa: Isa,
        [inputs, outputs]: [usize; 2],
        zero_point: u8,
        weights: Weights<'_>,
        bias: Option<&[i32]>,
        rescale: Rescale<'_>,
    ) -> Result<Self> {
        let window = Window::valid([1, 1], [1, 1], [1, 1]);
        let spec = Conv2dSpec { input: [1, 1, inputs], outputs, window, zero_point };
        Ok(Self { product: Conv2d::new(isa, spec, weights, bias, rescale)? })
    }

    /// Computes `output`, `[rows, outputs]`, from `input`, `[rows, inputs]`.
    ///
    /// # Panics
    /// If a slice does not fit `rows`.
    pub fn run(&self, pool: &Pool, rows: usize, input: &[u8], output: &mut [u8]) {
        self.product.run(pool, rows, input, output, &mut []);
    }
}
