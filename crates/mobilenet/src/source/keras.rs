//! Keras's networks as a [`Source`]: `.h5`, `.keras` and `.weights.h5` files, and the layers models
//! of TensorFlow.js, which are the same configuration with other storage.
//!
//! A MobileNet V1 is known by Keras's names of its layers (`conv1`, `conv_dw_3_bn`), and becomes
//! slim's, which trains; what the configuration says of it is checked, not guessed. Every other
//! network is what its configuration says ([`model`]), layer by layer ([`layers`]).

mod layers;
mod model;

use std::collections::HashMap;

use mobilenet_formats::Tensor;
use mobilenet_formats::keras::{Model, hdf5};
use serde_json::Value;

use super::slim::{self, About, Tensors};
use super::{Candidate, Source, Wanted};
use crate::error::{Error, ErrorKind, Result};

/// The weights of a file.
pub(super) struct Weights<'a> {
    /// `layer/kernel`.
    pub(super) tensors: &'a Tensors,
    /// What stands for a layer in these names, of its own name behind those of the models it is in.
    pub(super) key: fn(&[&str]) -> String,
}

/// Reads configuration and weights.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let model = Model::read(file.bytes, wanted.limits)?;
    // Of the models that a layer is in, an `.h5` file names the outermost.
    let key: fn(&[&str]) -> String = match hdf5::detect(file.bytes) {
        true => |path| match path {
            [outermost, .., layer] => format!("{outermost}/{layer}"),
            path => path.concat(),
        },
        false => |path| path.join("/"),
    };
    let leaves = model.config.as_ref().map(model::leaves).unwrap_or_default();
    let leaves: HashMap<String, &Value> =
        leaves.into_iter().map(|(path, layer)| (key(&path), layer)).collect();
    let mut tensors = Tensors::new();
    for layer in &model.layers {
        let is_leaf = leaves.is_empty() || leaves.contains_key(&layer.name);
        for (number, (weight, value)) in layer.weights.iter().enumerate() {
            let name = match is_leaf {
                true => layer.name.clone(),
                false => format!("{}/{}", layer.name, owner(weight)),
            };
            let part = part(&order(&name, leaves.get(&name).copied()), weight, number).to_owned();
            add(&mut tensors, format!("{name}/{part}"), value)?;
        }
    }
    source(wanted, &Weights { tensors: &tensors, key }, model.config.as_ref())
}

/// The layer that a weight is of: `conv1` of `conv1/kernel:0`.
pub(super) fn owner(weight: &str) -> &str {
    weight.rsplit('/').nth(1).unwrap_or_default()
}

/// Adds a weight; which of two of one name is a layer's cannot be told.
pub(super) fn add(tensors: &mut Tensors, name: String, value: &Tensor) -> Result<()> {
    if tensors.contains_key(&name) {
        let message = format!("two weights of the file are called `{name}`");
        return Err(Error::new(ErrorKind::Format, message));
    }
    tensors.insert(name, value.clone());
    Ok(())
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
        Some(layer) => model::class(layer),
        None if name.ends_with("_bn") => "BatchNormalization",
        None if name.starts_with("conv_dw") => "DepthwiseConv2D",
        None => "Conv2D",
    };
    let has = |key: &str| layer.is_none_or(|layer| model::config(layer)[key] != false);
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
    weights: &Weights<'_>,
    config: Option<&Value>,
) -> Result<Source> {
    let tensors = weights.tensors;
    let layers = config.map(model::of).unwrap_or_default();
    let about = About { image_size: layers.iter().find_map(image_size), ..About::default() };
    if let Some(config) = config.filter(|_| !is_slim_s(tensors, &layers, &about)) {
        return model::network(config, weights)?.into_source(wanted);
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
    let config = model::config(layer);
    let number = |key: &str| config[key].as_f64();
    match model::class(layer) {
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
    match model::input_shape(layer)?.as_slice() {
        &[_, Some(height), Some(width), _] => Some([height, width]),
        _ => None,
    }
}
