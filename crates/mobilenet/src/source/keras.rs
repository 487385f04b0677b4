//! Keras's MobileNet V1 as a [`Source`]: `.h5`, `.keras` and `.weights.h5` files, and the layers
//! models of TensorFlow.js, which are the same configuration with other storage.
//!
//! Layers are known by Keras's names (`conv1`, `conv_dw_3_bn`); what the configuration says of the
//! network is checked, not guessed.

use mobilenet_formats::Tensor;
use mobilenet_formats::keras::{self, Model};
use serde_json::Value;

use super::slim::{self, About, Tensors};
use super::{Candidate, Source, Wanted};
use crate::error::{Error, ErrorKind, Result};

/// Whether the file is HDF5, or a zip of a Keras model.
pub(super) fn is(file: &Candidate<'_>) -> bool {
    keras::detect(file.bytes)
}

/// Reads configuration and weights.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let model = Model::read(file.bytes, wanted.limits)?;
    let mut tensors = Tensors::new();
    for layer in &model.layers {
        for (number, (name, value)) in layer.weights.iter().enumerate() {
            let part = part(&layer.name, name, number);
            tensors.insert(format!("{}/{part}", layer.name), value.clone());
        }
    }
    source(wanted, &tensors, model.config.as_ref())
}

/// The name of a weight without path and number: `kernel`; Keras 3 numbers them.
fn part<'a>(layer: &str, name: &'a str, number: usize) -> &'a str {
    let last = name.rsplit('/').next().unwrap_or(name);
    let plain = last.split(':').next().unwrap_or(last);
    if plain.parse::<usize>().is_err() {
        return plain;
    }
    let order = match layer {
        layer if layer.ends_with("_bn") => ["gamma", "beta", "moving_mean", "moving_variance"],
        layer if layer.starts_with("conv_dw") => ["depthwise_kernel", "bias", "", ""],
        _ => ["kernel", "bias", "", ""],
    };
    order.get(number).copied().unwrap_or_default()
}

/// The network of these weights, its configuration checked.
pub(super) fn source(
    wanted: &Wanted<'_>,
    tensors: &Tensors,
    config: Option<&Value>,
) -> Result<Source> {
    let mut about = About::default();
    let layers = config.map(layers).unwrap_or_default();
    for layer in &layers {
        check(layer)?;
        about.image_size = about.image_size.or_else(|| image_size(layer));
    }
    if let Some([height, width]) = about.image_size.filter(|size| size.iter().any(|s| s % 32 != 0))
    {
        let message = format!(
            "Keras's network for {height}x{width} pixels pads on other sides than slim's: sizes \
             that are multiples of 32 are the same in both"
        );
        return Err(Error::new(ErrorKind::Format, message));
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

fn layers(config: &Value) -> Vec<Value> {
    let inner = config.get("config").unwrap_or(config);
    inner.get("layers").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Refuses a layer that MobileNet V1 does not have, or has otherwise.
fn check(layer: &Value) -> Result<()> {
    let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let config = layer.get("config").unwrap_or(layer);
    let name = config.get("name").and_then(Value::as_str).unwrap_or(class);
    let number = |key: &str| config.get(key).and_then(Value::as_f64);
    let odd = |what: String| {
        let message = format!("layer `{name}` ({class}): {what}: not a MobileNet V1 of Keras");
        Err(Error::new(ErrorKind::Format, message))
    };
    match class {
        "BatchNormalization" => match number("epsilon") {
            Some(epsilon) if (epsilon - 1e-3).abs() > 1e-9 => odd(format!("epsilon {epsilon}")),
            _ => Ok(()),
        },
        "ReLU" => match number("max_value") {
            Some(6.0) => Ok(()),
            other => odd(format!("max_value {other:?}")),
        },
        "Activation" => match config.get("activation").and_then(Value::as_str) {
            Some("softmax" | "relu6" | "linear") => Ok(()),
            other => odd(format!("activation {other:?}")),
        },
        "InputLayer"
        | "Conv2D"
        | "DepthwiseConv2D"
        | "ZeroPadding2D"
        | "GlobalAveragePooling2D"
        | "GlobalMaxPooling2D"
        | "Reshape"
        | "Dropout"
        | "Flatten"
        | "Softmax" => Ok(()),
        _ => odd("an unexpected layer".into()),
    }
}

/// `[height, width]` of the input layer, where it fixes them.
fn image_size(layer: &Value) -> Option<[usize; 2]> {
    let config = layer.get("config")?;
    let shape =
        config.get("batch_input_shape").or_else(|| config.get("batch_shape"))?.as_array()?;
    let side = |at: usize| shape.get(at)?.as_u64().and_then(|side| usize::try_from(side).ok());
    Some([side(1)?, side(2)?])
}
