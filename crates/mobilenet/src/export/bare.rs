//! [`Bare`]: what a module computes from images, without variables and training, ready to be
//! written in other formats or quantised.

use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::DType;
use mobilenet_vision::Labels;

use super::tflite::{TfliteOptions, WeightType, write_tflite};
use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::quantize::is_of_8_bits;
use crate::signature::Scores;

/// A network from images to probabilities or features.
#[derive(Clone, Debug)]
pub(crate) struct Bare {
    pub(crate) graph: Graph,
    /// The tensor of images, `[n, height, width, 3]`, values in [0, 1].
    pub(crate) images: String,
    /// `(height, width)`.
    pub(crate) size: (usize, usize),
    /// The tensor given out: probabilities, else features.
    pub(crate) output: String,
    /// The names of its classes, if it classifies.
    pub(crate) labels: Option<Labels>,
    pub(crate) name: String,
}

impl Bare {
    /// Freezes what `module` computes of images; a network of 8 bits stays as it is.
    ///
    /// # Errors
    /// For modules without a fixed size of images, classes without names, and graphs that cannot
    /// be frozen.
    pub(crate) fn of(module: &Module) -> Result<Bare> {
        let classifies = module.signature("image_classification").is_ok();
        let signature = module.signature(module.first_signature()?)?;
        let images = signature.inputs.iter().find(|port| port.key == "images");
        let output = signature.output("default");
        let (Some(images), Some(output)) = (images, output) else {
            let message = "the module takes no images, or has no default output";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let (height, width) = module.expected_image_size()?;
        let shape = Shape::new(vec![None, Some(height), Some(width), Some(3)]);
        let eight_bits = is_of_8_bits(module);
        let mut graph = match eight_bits {
            true => module.graph()?.clone(),
            false => module.frozen((&images.tensor, shape), &output.tensor)?,
        };
        // In 8 bits the softmax that rounds is the network's own.
        let predictions = signature.output("MobilenetV1/Predictions").filter(|_| eight_bits);
        let output = predictions.unwrap_or(output);
        let frozen = graph.tensor(&output.tensor)?;
        let Some(values) = graph.fact(frozen).shape.last() else {
            let message = "the size of the module's output is not known";
            return Err(Error::new(ErrorKind::Graph, message));
        };
        let labels = if classifies { Some(module.labels(values)?) } else { None };
        let output = match (classifies, module.scores()) {
            (true, Scores::Logits) if predictions.is_none() => softmax(&mut graph, frozen)?,
            _ => output.tensor.clone(),
        };
        let name = module.handle().trim_end_matches('/').rsplit('/').next().unwrap_or("network");
        let (images, name) = (images.tensor.clone(), name.to_owned());
        Ok(Bare { graph, images, size: (height, width), output, labels, name })
    }

    /// As a TFLite file.
    pub(crate) fn tflite(&self, description: &str, weights: WeightType) -> Result<Vec<u8>> {
        write_tflite(
            &self.graph,
            &TfliteOptions {
                images: &self.images,
                output: &self.output,
                name: &self.name,
                description,
                labels: self.labels.as_ref(),
                weights,
            },
        )
    }
}

/// Adds a softmax; gives the name of its output.
fn softmax(graph: &mut Graph, logits: TensorId) -> Result<String> {
    let name =
        (0..).map(|i| if i == 0 { "probability".into() } else { format!("probability_{i}") });
    let name: String =
        name.into_iter().find(|n: &String| graph.find(n).is_none()).unwrap_or_default();
    let attributes = Attributes::new().with_dtype("T", DType::F32);
    let id = graph.add(name, "Softmax", attributes, &[logits])?;
    Ok(graph.tensor_name(id.into()))
}

impl Module {
    /// The module as a TFLite file, with metadata, normalisation and labels: of floats, or of 8 bits
    /// if the module is, which takes and gives uint8.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] for nodes that TFLite has no operator for, by name and op, and for
    /// `weights` of another type than a network of 8 bits has; [`ErrorKind::Labels`] for classes
    /// without names.
    pub fn to_tflite(&self, weights: WeightType) -> Result<Vec<u8>> {
        let description = match (is_of_8_bits(self), weights) {
            (false, WeightType::Float32) => "float32",
            (false, WeightType::Float16) => "float16 weights",
            (true, WeightType::Float32) => "8 bits",
            (true, WeightType::Float16) => {
                let message = "a network of 8 bits (UniformQuantize) has no float16 weights: \
                               write `tflite`, which keeps its integers";
                return Err(Error::new(ErrorKind::Graph, message));
            }
        };
        Bare::of(self)?.tflite(description, weights)
    }
}
