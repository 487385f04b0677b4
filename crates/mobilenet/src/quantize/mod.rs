//! Networks of 8 bits out of networks of floats: [`quantize`] watches a module at work on some
//! images, decides which 256 values each tensor gets, and rounds the weights, each output channel
//! with its own scale.

mod calibrate;
mod histogram;
mod insert;

use mobilenet_engine::Graph;
use mobilenet_formats::Tensor;

use crate::error::{Error, ErrorKind, Result};
use crate::export::Bare;
use crate::export::tflite::WeightType;
use crate::module::Module;
use calibrate::Calibration;

pub use histogram::RangeMethod;

/// How a network is quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizeOptions {
    /// How the range of a tensor is found.
    pub ranges: RangeMethod,
    /// Moves each bias by what rounding the weights changes on average.
    pub bias_correction: bool,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self { ranges: RangeMethod::MinMax, bias_correction: true }
    }
}

/// A network of 8 bits.
#[derive(Clone, Debug)]
pub struct Quantized {
    bare: Bare,
    images: usize,
}

impl Quantized {
    /// The graph: that of floats, with `UniformQuantize` and `UniformDequantize` wherever a tensor
    /// is rounded.
    pub fn graph(&self) -> &Graph {
        &self.bare.graph
    }

    /// The number of images it was calibrated on.
    pub fn images(&self) -> usize {
        self.images
    }

    /// As a TFLite file, with metadata, normalisation and labels.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] for nodes that TFLite has no operator for, by name and op.
    pub fn to_tflite(&self) -> Result<Vec<u8>> {
        let description = format!(
            "8 bits, each output channel of weights with its own scale, calibrated on {} images",
            self.images
        );
        self.bare.tflite(&description, WeightType::Float32)
    }
}

/// Quantises `module` after watching it at work on `images`, each `[1, height, width, 3]` with
/// values in [0, 1], of the module's size.
///
/// # Errors
/// [`ErrorKind::Input`] without images; [`ErrorKind::Graph`] for graphs with ops that this does not
/// know how to round, by name and op; the first error among `images`.
pub fn quantize(
    module: &Module,
    images: impl IntoIterator<Item = Result<Tensor>>,
    options: &QuantizeOptions,
) -> Result<Quantized> {
    let mut bare = Bare::of(module)?;
    let places = insert::places(&bare)?;
    let mut calibration = Calibration::new(&bare, &places)?;
    let mut count = 0;
    for image in images {
        calibration.watch(&image?)?;
        count += 1;
    }
    if count == 0 {
        return Err(Error::new(ErrorKind::Input, "no images to calibrate on"));
    }
    bare.graph = insert::quantized(&bare, &places, &calibration, options)?;
    Ok(Quantized { bare, images: count })
}
