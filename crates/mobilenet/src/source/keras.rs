//! Keras's networks as a [`Source`]: `.h5`, `.keras` and `.weights.h5` files, and the layers models
//! of TensorFlow.js, which are the same configuration with other storage.
//!
//! A MobileNet V1 is known by Keras's names of its layers (`conv1`, `conv_dw_3_bn`), and becomes
//! slim's, which trains; what the configuration says of it is checked, not guessed. Every other
//! network is what its configuration says, layer by layer ([`layers`]).

mod layers;

use mobilenet_formats::Tensor;
use mobilenet_formats::keras::Model;
use serde_json::Value;

use super::network::Network;
use super::slim::{self, About, Tensors};
use super::{Candidate, Source, Wanted};
use crate::error::Result;

/// Reads configuration and weights.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let model = Model::read(file.bytes, wanted.limits)?;
    let mut tensors = Tensors::new();
    let configured = model.config.as_ref().map(layers::of).unwrap_or_default();
    for layer in &model.layers {
        let named = |other: &&Value| layers::name(other) == layer.name;
        let order = order(&layer.name, configured.iter().copied().find(named));
        for (number, (name, value)) in layer.weights.iter().enumerate() {
            let part = part(&order, name, number);
            tensors.insert(format!("{}/{part}", layer.name), value.clone());
        }
    }
    source(wanted, &tensors, model.config.as_ref())
}

/// The name of a weight without path and number: `kernel`; Keras 3 numbers them in this order.
fn part<'a>(order: &[&'a str], name: &'a str, number: usize) -> &'a str {
    let last = name.rsplit('/').next().unwrap_or(name);
    let plain = last.split(':').next().unwrap_or(last);
    match plain.parse::<usize>() {
        Ok(_) => order.get(number).copied().unwrap_or_default(),
        // In Keras 3 that of a depthwise convolution too.
        Err(_) if plain == "kernel" => order.first().copied().unwrap_or(plain),
        Err(_) => plain,
    }
}

/// The weights of a layer in Keras's order, by its configuration, else by Keras's names.
fn order(name: &str, layer: Option<&Value>) -> Vec<&'static str> {
    let class = match layer {
        Some(layer) => layers::class(layer),
        None if name.ends_with("_bn") => "BatchNormalization",
        None if name.starts_with("conv_dw") => "DepthwiseConv2D",
        None => "Conv2D",
    };
    let has = |key: &str| layer.is_none_or(|layer| layers::config(layer)[key] != false);
    match class {
        "BatchNormalization" => {
            let trained = [("gamma", "scale"), ("beta", "center")].into_iter();
            let trained = trained.filter(|(_, key)| has(key)).map(|(part, _)| part);
            trained.chain(["moving_mean", "moving_variance"]).collect()
        }
        "DepthwiseConv2D" => vec!["depthwise_kernel", "bias"],
        _ => vec!["kernel", "bias"],
    }
}

/// The network of these weights.
pub(super) fn source(
    wanted: &Wanted<'_>,
    tensors: &Tensors,
    config: Option<&Value>,
) -> Result<Source> {
    let layers = config.map(layers::of).unwrap_or_default();
    let about = About { image_size: layers.iter().find_map(image_size), ..About::default() };
    if let Some(config) = config.filter(|_| !is_slim_s(tensors, &layers, &about)) {
        let (graph, images, output) = layers::graph(config, &layers, tensors)?;
        let (images, output) = (Some(images), Some(output));
        return Network { images, output, ..Network::new(graph) }.into_source(wanted);
    }
    let tensors = tensors.iter().map(|(name, value)| flatten(name, value));
    slim::source(wanted, &tensors.collect::<Result<_>>()?, about)
}

/// A dense classifier is a 1x1 convolution.
fn flatten(name: &str, value: &Tensor) -> Result<(String, Tensor)> {
    let value = match (name, value.shape()) {
        ("conv_preds/kernel", &[inputs, outputs]) => {
            value.clone().reshape([1, 1, inputs, outputs])?
        }
        _ => value.clone(),
    };
    Ok((name.to_owned(), value))
}

/// Whether slim's MobileNet V1 computes the same: by its layers, and for sizes that Keras, whose
/// borders are layers, pads on the same sides.
fn is_slim_s(tensors: &Tensors, layers: &[&Value], about: &About) -> bool {
    slim::knows(tensors.keys().map(String::as_str))
        && layers.iter().all(|layer| is_of_v1(layer))
        && about.image_size.is_none_or(|size| size.iter().all(|side| side % 32 == 0))
}

/// Whether MobileNet V1 has such a layer.
fn is_of_v1(layer: &Value) -> bool {
    let config = layers::config(layer);
    let number = |key: &str| config[key].as_f64();
    match layers::class(layer) {
        "BatchNormalization" => number("epsilon").is_none_or(|by| (by - 1e-3).abs() <= 1e-9),
        "ReLU" => number("max_value") == Some(6.0),
        "Activation" => {
            let known = ["softmax", "relu6", "linear"];
            config["activation"].as_str().is_some_and(|name| known.contains(&name))
        }
        "Conv2D" | "DepthwiseConv2D" => {
            let plain = |rates: &Vec<Value>| rates.iter().all(|rate| *rate == 1);
            config.get("activation").is_none_or(|name| name == "linear")
                && config["dilation_rate"].as_array().is_none_or(plain)
        }
        "InputLayer"
        | "ZeroPadding2D"
        | "GlobalAveragePooling2D"
        | "GlobalMaxPooling2D"
        | "Reshape"
        | "Dropout"
        | "Flatten"
        | "Softmax" => true,
        _ => false,
    }
}

/// `[height, width]` of the input layer, where it fixes them.
fn image_size(layer: &&Value) -> Option<[usize; 2]> {
    match layers::input_shape(layer)?.as_slice() {
        &[_, Some(height), Some(width), _] => Some([height, width]),
        _ => None,
    }
}
