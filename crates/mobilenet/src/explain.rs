//! Grad-CAM: where in a photo a classifier saw a class.
//!
//! After Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
//! Localization" (2017): the channels of a layer, each weighted by the mean slope of the class's
//! logit by it, added up, negative sums cut off. The slope is `mobilenet-engine`'s
//! [`differentiate`] on the module's own graph, so any layer of any module will do.

use std::sync::Arc;

use mobilenet_engine::{
    Attributes, Graph, NodeId, PlanOptions, Session, Shape, TensorId, differentiate,
};
use mobilenet_formats::{DType, Tensor};
use mobilenet_kernels::Pool;
use mobilenet_vision::{Image, Scratch, overlay_heat, softmax, top_k};

use crate::classifier::Classifier;
use crate::error::{Error, ErrorKind, Result};
use crate::quantize::is_of_8_bits;
use crate::signature::Scores;

/// The scope of the nodes that are added to the graph.
const SCOPE: &str = "mobilenet_explain";

/// Shows where a [`Classifier`] sees a class. Belongs to one thread.
///
/// ```no_run
/// use mobilenet::explain::Explainer;
/// use mobilenet::{Classifier, Module};
///
/// let classifier = Classifier::new(Module::load("1.tar.gz")?)?;
/// let mut explainer = Explainer::new(&classifier, None)?;
/// let image = classifier.preprocessing().decode(&std::fs::read("photo.jpg")?)?;
/// let explanation = explainer.explain(&image, None)?;
/// println!("{}", explanation.label);
/// let overlay = explanation.overlay(&image, 0.6)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Explainer {
    classifier: Classifier,
    session: Session,
    layer: String,
    scratch: Scratch,
}

/// Where a class was seen in a photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The class: the place of its logit.
    pub class: usize,
    /// Its name.
    pub label: String,
    /// Its probability, in [0, 1].
    pub probability: f32,
    /// Its logit.
    pub logit: f32,
    /// Rows and columns of `heat`.
    pub size: (usize, usize),
    /// How much each place speaks for the class, `[rows, columns]`, 0 and above, no unit.
    pub heat: Vec<f32>,
    /// The part of the photo that was looked at: `(top, left)` and `(height, width)`.
    window: ((usize, usize), (usize, usize)),
}

impl Explainer {
    /// An explainer that looks at `layer`: an output that the module lists
    /// (`Conv2d_11_pointwise` is short for `MobilenetV1/Conv2d_11_pointwise`), a tensor of its
    /// graph, or, by default, the last layer with rows and columns.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a layer that is not there or has no rows and columns,
    /// [`ErrorKind::Graph`] if the class does not depend on it, a gradient is missing, or the network is
    /// of 8 bits.
    pub fn new(classifier: &Classifier, layer: Option<&str>) -> Result<Self> {
        let module = classifier.module();
        if is_of_8_bits(module) {
            let message = "a network of 8 bits has no gradients: explain the module of floats that it \
                           was made from";
            return Err(Error::new(ErrorKind::Graph, message));
        }
        let signature = module.signature(module.classification_signature()?)?;
        let tensor = |port: Option<&crate::Port>| {
            port.map(|port| port.tensor.clone()).ok_or_else(|| {
                let message = format!("signature `{}` lacks images or logits", signature.name);
                Error::new(ErrorKind::NotFound, message)
            })
        };
        let images = signature.input("images").or_else(|| signature.inputs.first());
        let images = tensor(images)?;
        let logits = tensor(signature.output("default"))?;
        let named = |layer: &str| {
            let keys = [layer.to_owned(), format!("MobilenetV1/{layer}")];
            let port = keys.iter().find_map(|key| signature.output(key));
            port.map_or_else(|| layer.to_owned(), |port| port.tensor.clone())
        };
        let mut graph = module.graph()?.clone();
        let features = match layer {
            Some(layer) => {
                let tensor = graph.tensor(&named(layer)).map_err(|error| {
                    let message = format!(
                        "no layer `{layer}`: neither an output of signature `{}` nor a tensor of \
                         the graph",
                        signature.name
                    );
                    Error::because(ErrorKind::NotFound, message, error)
                })?;
                spatial(&graph, tensor)?
            }
            None => last_spatial(&graph, graph.tensor(&logits)?)?,
        };
        let layer = graph.tensor_name(features);
        let Score { one_hot, slope } =
            differentiate_class(&mut graph, &logits, &layer, classifier)?;
        let chosen = classifier.preprocessing();
        let classes = classifier.labels().len();
        let inputs = [
            (images.as_str(), Shape::known(&[1, chosen.height, chosen.width, 3])),
            (one_hot.as_str(), Shape::known(&[1, classes])),
        ];
        let options =
            PlanOptions { isa: module.isa(), threads: module.threads(), ..PlanOptions::default() };
        let plan = module.compile_graph(&graph, &inputs, &[&logits, &layer, &slope], &options)?;
        Ok(Explainer {
            classifier: classifier.clone(),
            session: Session::new(Arc::new(plan), Arc::new(Pool::new(module.threads()))),
            layer,
            scratch: Scratch::default(),
        })
    }

    /// The tensor that is looked at, by its name in the graph.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Where `image` shows `class`, by default the likeliest one.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a class that is none; if the crop leaves nothing of the image.
    pub fn explain(&mut self, image: &Image, class: Option<usize>) -> Result<Explanation> {
        let chosen = self.classifier.preprocessing();
        let mut pixels = vec![0.0; chosen.output_len()];
        chosen.run(image, &mut pixels, &mut self.scratch)?;
        let window = chosen.crop.window((image.height(), image.width()));
        let images = Tensor::new([1, chosen.height, chosen.width, 3], pixels)?;
        let classes = self.classifier.labels().len();
        let class = match class {
            Some(class) if class < classes => class,
            Some(class) => {
                let message = format!("class {class} of {classes}, numbered from 0");
                return Err(Error::new(ErrorKind::Input, message));
            }
            None => {
                let logits = self.run(&images, 0)?.logits;
                top_k(&logits, 1).first().map_or(0, |best| best.index)
            }
        };
        let Seen { logits, features, slopes, size } = self.run(&images, class)?;
        let at = |values: &[f32]| values.get(class).copied().unwrap_or(f32::NAN);
        let probability = match self.classifier.module().scores() {
            Scores::Logits => at(&softmax(&logits)),
            Scores::Probabilities => at(&logits),
        };
        Ok(Explanation {
            class,
            label: self.classifier.labels().get(class).unwrap_or_default().to_owned(),
            probability,
            logit: at(&logits),
            size,
            heat: heat(&features, &slopes, size.0 * size.1),
            window,
        })
    }

    fn run(&mut self, images: &Tensor, class: usize) -> Result<Seen> {
        let classes = self.classifier.labels().len();
        let mut one_hot = vec![0.0f32; classes];
        if let Some(one) = one_hot.get_mut(class) {
            *one = 1.0;
        }
        let one_hot = Tensor::new([1, classes], one_hot)?;
        let outputs = self.session.call(&[images, &one_hot])?;
        let values = |index: usize| {
            let tensor = outputs.get(index).and_then(|tensor| tensor.as_f32());
            tensor.unwrap_or_default().to_vec()
        };
        let size = match outputs.get(1).map(Tensor::shape) {
            Some(&[_, rows, columns, _]) => (rows, columns),
            _ => (0, 0),
        };
        Ok(Seen { logits: values(0), features: values(1), slopes: values(2), size })
    }
}

/// What a run gave: logits `[classes]`, a layer and its slopes `[rows, columns, channels]`.
struct Seen {
    logits: Vec<f32>,
    features: Vec<f32>,
    slopes: Vec<f32>,
    size: (usize, usize),
}

/// Channels weighted by their mean slope, added up, negative sums cut off: `[places]`.
fn heat(features: &[f32], slopes: &[f32], places: usize) -> Vec<f32> {
    let channels = features.len() / places.max(1);
    if channels == 0 || slopes.len() != features.len() {
        return vec![0.0; places];
    }
    let mut weights = vec![0.0f64; channels];
    for row in slopes.chunks_exact(channels) {
        weights.iter_mut().zip(row).for_each(|(sum, &slope)| *sum += f64::from(slope));
    }
    let place = |row: &[f32]| {
        let sum: f64 = row.iter().zip(&weights).map(|(&x, weight)| f64::from(x) * weight).sum();
        (sum / places as f64).max(0.0) as f32
    };
    features.chunks_exact(channels).map(place).collect()
}

/// Names of what was added to a graph.
struct Score {
    one_hot: String,
    slope: String,
}

/// Adds the slope of one class's logit by `layer`; which class, an input of zeros and a one says.
fn differentiate_class(
    graph: &mut Graph,
    logits: &str,
    layer: &str,
    classifier: &Classifier,
) -> Result<Score> {
    let float = || Attributes::new().with_dtype("T", DType::F32);
    let shape = Shape::known(&[1, classifier.labels().len()]);
    let input = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
    let one_hot = graph.add(format!("{SCOPE}/class"), "Placeholder", input, &[])?;
    let chosen = [graph.tensor(logits)?, one_hot.into()];
    let chosen = graph.add(format!("{SCOPE}/chosen"), "Mul", float(), &chosen)?;
    let axes = constant(graph, &Tensor::new([2], vec![0i32, 1])?)?;
    let sum = float().with_dtype("Tidx", DType::I32);
    graph.add(format!("{SCOPE}/score"), "Sum", sum, &[chosen.into(), axes.into()])?;
    let slopes = differentiate(graph, &format!("{SCOPE}/score"), &[layer])?;
    let Some(&Some(slope)) = slopes.first() else {
        let message = format!("the classes do not depend on {layer}");
        return Err(Error::new(ErrorKind::Graph, message));
    };
    let name = |id: NodeId, graph: &Graph| graph.tensor_name(id.into());
    Ok(Score { one_hot: name(one_hot, graph), slope: graph.tensor_name(slope) })
}

fn constant(graph: &mut Graph, value: &Tensor) -> Result<NodeId> {
    let attributes =
        Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", value);
    Ok(graph.add(format!("{SCOPE}/axes"), "Const", attributes, &[])?)
}

/// `tensor`, if it has rows and columns.
fn spatial(graph: &Graph, tensor: TensorId) -> Result<TensorId> {
    let fact = graph.fact(tensor);
    if fact.dtype == Some(DType::F32) && fact.shape.rank().is_none_or(|rank| rank == 4) {
        return Ok(tensor);
    }
    let message = format!("layer {} has no rows and columns: {fact}", graph.tensor_name(tensor));
    Err(Error::new(ErrorKind::NotFound, message))
}

/// What the last pooling before `logits` pools.
fn last_spatial(graph: &Graph, logits: TensorId) -> Result<TensorId> {
    let order = graph.needed(&[logits], &[])?;
    let pooled = order.iter().rev().find_map(|&id| {
        let node = graph.node(id);
        let pools = matches!(node.op_name.as_ref(), "AvgPool" | "Mean" | "MaxPool");
        node.inputs.first().copied().filter(|_| pools)
    });
    let none = || Error::new(ErrorKind::NotFound, "the network pools nothing; name a layer");
    spatial(graph, pooled.ok_or_else(none)?)
}

impl Explanation {
    /// `image` with the heat laid over it, `opacity` in [0, 1] at the hottest place. What a crop
    /// left out stays as it is.
    ///
    /// # Errors
    /// If `image` is not the one that was explained.
    pub fn overlay(&self, image: &Image, opacity: f32) -> Result<Image> {
        let ((top, left), (height, width)) = self.window;
        let row =
            |y: usize| image.row(top + y).and_then(|row| row.get(3 * left..3 * (left + width)));
        let cut: Option<Vec<&[u8]>> = (0..height).map(row).collect();
        let other = || Error::new(ErrorKind::Input, "this is not the photo that was explained");
        let cut = Image::new(height, width, cut.ok_or_else(other)?.concat())?;
        let painted = overlay_heat(&cut, &self.heat, self.size, opacity)?;
        let stride = 3 * image.width();
        let mut pixels = image.pixels().to_vec();
        let rows = pixels.chunks_exact_mut(stride).skip(top);
        for (target, source) in rows.zip(painted.pixels().chunks_exact(3 * width)) {
            if let Some(target) = target.get_mut(3 * left..3 * (left + width)) {
                target.copy_from_slice(source);
            }
        }
        Ok(Image::new(image.height(), image.width(), pixels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_is_the_weighted_sum_cut_at_zero() {
        // Two places, two channels; mean slopes 1 and -0.5.
        let features = [2.0, 2.0, 1.0, 4.0];
        let slopes = [0.5, -1.0, 1.5, 0.0];
        assert_eq!(heat(&features, &slopes, 2), [1.0, 0.0]);
        assert_eq!(heat(&[], &[], 3), [0.0; 3]);
    }
}
