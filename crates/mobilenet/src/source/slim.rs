//! MobileNet V1 from weights alone: files that hold tensors by name and no graph this crate runs.
//!
//! The names of slim, Keras and timm are one table, [`NAMINGS`]; shapes tell depth multiplier and
//! classes, and [`MobilenetV1`] builds the graphs. The result is a hub module like any other.

use std::collections::BTreeMap;

use mobilenet_formats::tensorflow::messages::{AttrValue, GraphDef, MetaGraphDef, attr_value};
use mobilenet_formats::tensorflow::{HubModule, SavedModel};
use mobilenet_formats::{DType, Tensor};
use mobilenet_vision::Labels;

use super::{Source, Wanted, hub_module};
use crate::builder::node::Nodes;
use crate::builder::{BATCH_NORM_EPSILON, LayerKind, MobilenetV1, depth_multiplier};
use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;

/// Tensors of a file by name.
pub(super) type Tensors = BTreeMap<String, Tensor>;

/// Who names the tensors, and what else differs from slim's network.
struct Naming {
    name: &'static str,
    /// The name of the file's tensor for slim's layer and part.
    of: fn(&str, Part) -> String,
    /// PyTorch's kernels: output channels first, then input channels, height, width.
    channels_first: bool,
    /// What its batch norm adds to the variance.
    epsilon: f32,
    /// A border of one pixel on every side, where TensorFlow's `SAME` depends on the size.
    symmetric: bool,
}

/// A tensor of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Kernel,
    Bias,
    Gamma,
    Beta,
    Mean,
    Variance,
}

const NAMINGS: &[Naming] = &[
    Naming {
        name: "slim",
        of: slim,
        channels_first: false,
        epsilon: BATCH_NORM_EPSILON,
        symmetric: false,
    },
    Naming {
        name: "Keras",
        of: keras,
        channels_first: false,
        epsilon: BATCH_NORM_EPSILON,
        symmetric: false,
    },
    Naming { name: "timm", of: timm, channels_first: true, epsilon: 1e-5, symmetric: true },
];

/// A layer's number and kind from slim's name: `Conv2d_3_depthwise` is `(3, "depthwise")`.
fn parts(layer: &str) -> (usize, &str) {
    let mut words = layer.trim_start_matches("Conv2d_").splitn(2, '_');
    let number = words.next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
    (number, words.next().unwrap_or_default())
}

fn slim(layer: &str, part: Part) -> String {
    let scope = if layer == CLASSIFIER { "MobilenetV1/Logits/" } else { "MobilenetV1/" };
    let leaf = match part {
        Part::Kernel if layer.ends_with("depthwise") => "depthwise_weights",
        Part::Kernel => "weights",
        Part::Bias => "biases",
        Part::Gamma => "BatchNorm/gamma",
        Part::Beta => "BatchNorm/beta",
        Part::Mean => "BatchNorm/moving_mean",
        Part::Variance => "BatchNorm/moving_variance",
    };
    format!("{scope}{layer}/{leaf}")
}

const CLASSIFIER: &str = "Conv2d_1c_1x1";

fn keras(layer: &str, part: Part) -> String {
    let (number, kind) = parts(layer);
    let layer = match (layer, kind) {
        (CLASSIFIER, _) => "conv_preds".to_owned(),
        (_, "depthwise") => format!("conv_dw_{number}"),
        (_, "pointwise") => format!("conv_pw_{number}"),
        _ => "conv1".to_owned(),
    };
    match part {
        Part::Kernel if layer.starts_with("conv_dw") => format!("{layer}/depthwise_kernel"),
        Part::Kernel => format!("{layer}/kernel"),
        Part::Bias => format!("{layer}/bias"),
        Part::Gamma => format!("{layer}_bn/gamma"),
        Part::Beta => format!("{layer}_bn/beta"),
        Part::Mean => format!("{layer}_bn/moving_mean"),
        Part::Variance => format!("{layer}_bn/moving_variance"),
    }
}

/// How many blocks each of timm's stages has.
const TIMM_STAGES: [usize; 5] = [1, 2, 2, 6, 2];

fn timm(layer: &str, part: Part) -> String {
    let (number, kind) = parts(layer);
    let (conv, norm) = match (layer, kind) {
        (CLASSIFIER, _) => ("classifier".to_owned(), String::new()),
        ("Conv2d_0", _) => ("conv_stem".to_owned(), "bn1".to_owned()),
        (_, kind) => {
            let (mut stage, mut block) = (0, number.saturating_sub(1));
            while let Some(&blocks) = TIMM_STAGES.get(stage).filter(|&&blocks| block >= blocks) {
                (stage, block) = (stage + 1, block - blocks);
            }
            let (conv, norm) =
                if kind == "depthwise" { ("conv_dw", "bn1") } else { ("conv_pw", "bn2") };
            (format!("blocks.{stage}.{block}.{conv}"), format!("blocks.{stage}.{block}.{norm}"))
        }
    };
    match part {
        Part::Kernel => format!("{conv}.weight"),
        Part::Bias => format!("{conv}.bias"),
        Part::Gamma => format!("{norm}.weight"),
        Part::Beta => format!("{norm}.bias"),
        Part::Mean => format!("{norm}.running_mean"),
        Part::Variance => format!("{norm}.running_var"),
    }
}

/// What a file says besides its weights.
#[derive(Default)]
pub(super) struct About {
    /// `[height, width]`
    pub(super) image_size: Option<[usize; 2]>,
    pub(super) normalization: Option<Normalization>,
    pub(super) labels: Option<Labels>,
    pub(super) notes: Vec<String>,
}

/// Whether the tensors are those of a MobileNet V1 under a known naming.
pub(crate) fn knows<'a>(names: impl Iterator<Item = &'a str> + Clone) -> bool {
    naming(names).is_some()
}

fn naming<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'static Naming> {
    NAMINGS.iter().find(|naming| {
        let mut wanted = [("Conv2d_0", Part::Kernel), ("Conv2d_13_pointwise", Part::Kernel)].iter();
        wanted.all(|(layer, part)| names.clone().any(|name| name == (naming.of)(layer, *part)))
    })
}

/// The network of these tensors as a hub module's source.
pub(super) fn source(wanted: &Wanted<'_>, tensors: &Tensors, mut about: About) -> Result<Source> {
    let naming = naming(tensors.keys().map(String::as_str)).ok_or_else(|| {
        let some: Vec<&str> = tensors.keys().map(String::as_str).take(5).collect();
        let message = format!(
            "the tensors are not named as a MobileNet V1's of slim, Keras or timm: {}, …",
            some.join(", ")
        );
        Error::new(ErrorKind::Format, message)
    })?;
    let network = network(naming, tensors, &mut about)?;
    let normalization = wanted.normalization.or(about.normalization);
    let mut model = SavedModel::default();
    for mut graph in [network.inference_graph(), network.training_graph()] {
        adapt(&mut graph, naming, normalization);
        model.push_meta_graph(graph);
    }
    for layer in network.layers() {
        let values = layer_values(naming, tensors, &layer.name, layer.kind, layer.kernel_shape())?;
        values.into_iter().for_each(|(name, value)| model.set_variable(name, value));
    }
    if normalization.is_none() {
        about.notes.push(
            "weights alone do not say which pixel values they want: [-1, 1] assumed, as MobileNet \
             V1 was published; --mean and --std override it"
                .into(),
        );
    }
    match network.classes.filter(|_| wanted.labels.is_none() && about.labels.is_none()) {
        Some(1001) => {
            about.notes.push("1001 classes: ImageNet's assumed, `background` first".into())
        }
        Some(1000) => {
            about.notes.push("1000 classes: ImageNet's assumed, without `background`".into());
        }
        _ => {}
    }
    let source = hub_module::of_module(HubModule::new(model), wanted)?;
    Ok(Source { notes: about.notes, labels: about.labels, ..source })
}

/// Depth multiplier and classes by the shapes.
fn network(naming: &Naming, tensors: &Tensors, about: &mut About) -> Result<MobilenetV1> {
    let mut widths = Vec::new();
    for layer in MobilenetV1::new(1.0, [32, 32]).layers() {
        if [LayerKind::Convolution, LayerKind::Pointwise].contains(&layer.kind) {
            let stored = find(naming, tensors, &layer.name, Part::Kernel)?;
            let kernel = kernel(naming, stored, layer.kind)?;
            widths.push(kernel.shape().last().copied().unwrap_or(0));
        }
    }
    let size = about.image_size.unwrap_or_else(|| {
        about.notes.push("weights alone do not say a size of images: 224x224 assumed".into());
        [224, 224]
    });
    let biases = tensors.get(&(naming.of)(CLASSIFIER, Part::Bias));
    let classes = biases.map(|biases| biases.len());
    Ok(MobilenetV1 { classes, ..MobilenetV1::new(depth_multiplier(widths.into_iter()), size) })
}

fn find<'a>(naming: &Naming, tensors: &'a Tensors, layer: &str, part: Part) -> Result<&'a Tensor> {
    let name = (naming.of)(layer, part);
    tensors.get(&name).ok_or_else(|| {
        let message = format!("a MobileNet V1 by {}'s names, but without `{name}`", naming.name);
        Error::new(ErrorKind::Format, message)
    })
}

/// The layer's variables under slim's names, checked against the shapes that the network needs.
fn layer_values(
    naming: &Naming,
    tensors: &Tensors,
    layer: &str,
    kind: LayerKind,
    kernel_shape: [usize; 4],
) -> Result<Vec<(String, Tensor)>> {
    let get = |part| find(naming, tensors, layer, part);
    let channels = match kind {
        LayerKind::Depthwise => kernel_shape[2],
        _ => kernel_shape[3],
    };
    let stored = get(Part::Kernel)?;
    let mut values = vec![(Part::Kernel, kernel(naming, stored, kind)?, kernel_shape.to_vec())];
    if kind == LayerKind::Classifier {
        values.push((Part::Bias, get(Part::Bias)?.clone(), vec![channels]));
    } else {
        let gamma = rescaled(naming, get(Part::Gamma)?, get(Part::Variance)?);
        values.push((Part::Gamma, gamma, vec![channels]));
        for part in [Part::Beta, Part::Mean, Part::Variance] {
            values.push((part, get(part)?.clone(), vec![channels]));
        }
    }
    values
        .into_iter()
        .map(|(part, value, wanted)| {
            if value.shape() != wanted || value.dtype() != DType::F32 {
                let name = (naming.of)(layer, part);
                let message = format!(
                    "`{name}` is {} {:?}, the network needs float32 {wanted:?}",
                    value.dtype(),
                    value.shape()
                );
                return Err(Error::new(ErrorKind::Format, message));
            }
            Ok((slim(layer, part), value))
        })
        .collect()
}

/// The kernel in TensorFlow's order: height, width, input channels, output channels.
fn kernel(naming: &Naming, stored: &Tensor, kind: LayerKind) -> Result<Tensor> {
    let swapped = kind == LayerKind::Depthwise;
    let (values, shape) = match (stored.as_f32(), stored.shape()) {
        // A dense layer is a 1x1 convolution.
        (Some(values), &[outputs, inputs]) if naming.channels_first => {
            (values, [outputs, inputs, 1, 1])
        }
        (Some(values), &[a, b, c, d]) if naming.channels_first => (values, [a, b, c, d]),
        _ => return Ok(stored.clone()),
    };
    let [outputs, inputs, height, width] = shape;
    if shape.contains(&0) {
        return Err(Error::new(ErrorKind::Format, format!("an empty kernel {shape:?}")));
    }
    let (rows, columns) = if swapped { (outputs, inputs) } else { (inputs, outputs) };
    let mut turned = Vec::with_capacity(values.len());
    for at in 0..height * width {
        for row in 0..rows {
            for column in 0..columns {
                let (output, input) = if swapped { (row, column) } else { (column, row) };
                let place = (output * inputs + input) * height * width + at;
                turned.push(values.get(place).copied().unwrap_or(f32::NAN));
            }
        }
    }
    Ok(Tensor::new([height, width, rows, columns], turned)?)
}

/// The scale that gives the same results with slim's epsilon.
fn rescaled(naming: &Naming, gamma: &Tensor, variance: &Tensor) -> Tensor {
    let (Some(scales), Some(variances)) = (gamma.as_f32(), variance.as_f32()) else {
        return gamma.clone();
    };
    if naming.epsilon == BATCH_NORM_EPSILON {
        return gamma.clone();
    }
    let scale = |(&gamma, &variance): (&f32, &f32)| {
        let deviation = |epsilon: f32| (f64::from(variance) + f64::from(epsilon)).sqrt();
        (f64::from(gamma) * deviation(BATCH_NORM_EPSILON) / deviation(naming.epsilon)) as f32
    };
    Tensor::vector(scales.iter().zip(variances).map(scale).collect::<Vec<f32>>())
}

/// Borders and normalisation as the file's network has them.
fn adapt(graph: &mut MetaGraphDef, naming: &Naming, normalization: Option<Normalization>) {
    let Some(graph) = &mut graph.graph_def else { return };
    if naming.symmetric {
        pad_symmetrically(graph);
    }
    if let Some(normalization) = normalization.filter(|range| *range != Normalization::SIGNED) {
        super::conventions::replace_normalization(graph, normalization);
    }
}

/// Explicit borders of one pixel before every window of stride 2.
fn pad_symmetrically(graph: &mut GraphDef) {
    let mut nodes = Nodes::default();
    let borders = nodes.matrix("hub_input/borders", &[[0, 0], [1, 1], [1, 1], [0, 0]]);
    let strided = |value: &AttrValue| matches!(&value.value, Some(attr_value::Value::List(list)) if list.i == [1, 2, 2, 1]);
    for node in graph.node.iter_mut().filter(|node| node.attr.get("strides").is_some_and(strided)) {
        let Some(input) = node.input.first_mut() else { continue };
        let padded = nodes
            .float(format!("{}/Pad", node.name), "Pad", &[input, &borders])
            .dtype("Tpaddings", DType::I32)
            .add();
        *input = padded;
        let valid = attr_value::Value::S(b"VALID".to_vec());
        node.attr.insert("padding".into(), AttrValue { value: Some(valid) });
    }
    graph.node.extend(nodes.into_graph_def().node);
}
