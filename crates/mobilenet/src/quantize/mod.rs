//! Networks of 8 bits out of networks of floats: [`quantize`] watches a module at work on some
//! images, decides which 256 values each tensor gets, and rounds the weights, each output channel
//! with its own scale.

mod calibrate;
mod choose;
mod equalize;
mod given;
mod histogram;
mod insert;
mod simulate;

use mobilenet_engine::{Graph, Node};
use mobilenet_formats::{MemoryFiles, Tensor};
use mobilenet_hub::{Handle, ModuleDir};
use mobilenet_train::dataset::Sample;
use mobilenet_vision::Scratch;

use crate::error::{Error, ErrorKind, Result};
use crate::export::Bare;
use crate::export::tflite::WeightType;
use crate::module::Module;
use crate::options::ModuleOptions;
use crate::preprocessing::Preprocessing;
use given::Given;
use insert::Ranges;

pub(crate) use calibrate::Calibration;
pub(crate) use insert::places;
pub(crate) use simulate::{Simulation, Values, simulate};

pub use choose::{Candidate, Choice, choose, eight_bits};
pub use histogram::RangeMethod;

/// How a network is quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizeOptions {
    /// How the range of a tensor is found.
    pub ranges: RangeMethod,
    /// Moves each bias by what rounding the weights changes on average.
    pub bias_correction: bool,
    /// Lets channels that use little of their tensor's range grow: cross-layer equalisation.
    pub equalization: bool,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self { ranges: RangeMethod::MinMax, bias_correction: true, equalization: false }
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

    /// The number of images it was calibrated on; 0 where the module carried its ranges.
    pub fn images(&self) -> usize {
        self.images
    }

    /// As a TFLite file, with metadata, normalisation and labels. It takes and gives uint8.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] for nodes that TFLite has no operator for, by name and op.
    pub fn to_tflite(&self) -> Result<Vec<u8>> {
        let ranges = match self.images {
            0 => "with the ranges it was trained with".to_owned(),
            images => format!("calibrated on {images} images"),
        };
        let description =
            format!("8 bits, each output channel of weights with its own scale, {ranges}");
        self.bare.tflite(&description, WeightType::Float32)
    }

    /// As a module that runs on bytes, in memory: `of` is the module of floats, whose
    /// preprocessing and name it keeps.
    ///
    /// # Errors
    /// As [`Self::to_tflite`].
    pub fn to_module(&self, of: &Module, options: &ModuleOptions) -> Result<Module> {
        const FILE: &str = "model.tflite";
        let mut files = MemoryFiles::default();
        files.insert(FILE, self.to_tflite()?);
        files.insert(Preprocessing::RECORD, of.preprocessing()?.to_record());
        let handle = Handle::parse(of.handle())?;
        options.clone().read_file(ModuleDir::of_memory(handle, files, Some(FILE)))
    }
}

/// At most `count` of `samples`, evenly chosen, as the network sees them after `preprocessing`.
pub fn calibration_images<'a>(
    samples: &'a [Sample],
    count: usize,
    preprocessing: &'a Preprocessing,
) -> impl ExactSizeIterator<Item = Result<Tensor>> + 'a {
    let count = count.clamp(samples.len().min(1), samples.len());
    let mut scratch = Scratch::default();
    (0..count).map(move |i| {
        let image = preprocessing.decode(&samples[i * samples.len() / count].source.read()?)?;
        let mut pixels = vec![0.0; preprocessing.output_len()];
        preprocessing.run(&image, &mut pixels, &mut scratch)?;
        Ok(Tensor::new([1, preprocessing.height, preprocessing.width, 3], pixels)?)
    })
}

/// Whether `module` is a network of 8 bits already.
#[must_use]
pub fn is_of_8_bits(module: &Module) -> bool {
    let rounds = |node: &Node| node.op_name == "UniformQuantize";
    module.graph().is_ok_and(|graph| graph.nodes().any(|(_, node)| rounds(node)))
}

/// Whether `module` carries its ranges itself, as `FakeQuant…` nodes.
#[must_use]
pub fn carries_ranges(module: &Module) -> bool {
    let rounds = |node: &Node| node.op_name.starts_with("FakeQuant");
    module.graph().is_ok_and(|graph| graph.nodes().any(|(_, node)| rounds(node)))
}

/// Quantises `module` after watching it at work on `images`, each `[1, height, width, 3]` with
/// values in [0, 1], of the module's size. A module that [carries its ranges](carries_ranges) gets
/// these, and sees no image.
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
    let given = Given::take(&mut bare)?;
    if !given.is_empty() {
        let places = insert::places(&bare)?;
        bare.graph = insert::quantized(&bare, &places, Ranges::Given(&given), options)?;
        return Ok(Quantized { bare, images: 0 });
    }
    let images = images.into_iter().collect::<Result<Vec<Tensor>>>()?;
    if images.is_empty() {
        return Err(Error::new(ErrorKind::Input, "no images to calibrate on"));
    }
    let mut places = insert::places(&bare)?;
    let mut calibration = Calibration::of_images(&bare, &places, &images)?;
    let equal = options.equalization.then(|| equalize::equalized(&bare.graph, &calibration));
    if let Some(graph) = equal.transpose()?.flatten() {
        bare.graph = graph;
        places = insert::places(&bare)?;
        calibration = Calibration::of_images(&bare, &places, &images)?;
    }
    bare.graph = insert::quantized(&bare, &places, Ranges::Seen(&calibration), options)?;
    Ok(Quantized { bare, images: images.len() })
}
