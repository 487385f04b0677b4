//! A configuration of Keras's as a graph: which layers there are, and what each reads. That is in its
//! `inbound_nodes`, which Keras 2 writes as lists of names and Keras 3 as serialised tensors; a
//! sequence of layers has none. A layer may be a model itself, as where a MobileNet got another head:
//! its layers are written where it stands.

use std::collections::HashMap;

use mobilenet_engine::{Graph, TensorId};
use serde_json::Value;

use super::super::network::Network;
use super::Weights;
use super::layers::{self, Layer, unsupported};
use crate::error::{Error, Result};

/// The layers of a model's configuration.
pub(super) fn of(config: &Value) -> Vec<&Value> {
    let layers = config.get("config").unwrap_or(config);
    layers["layers"].as_array().map(|layers| layers.iter().collect()).unwrap_or_default()
}

/// The layers that are no models, each with its name behind those of the models it is in.
pub(super) fn leaves(model: &Value) -> Vec<(Vec<&str>, &Value)> {
    let mut found = Vec::new();
    collect_leaves(model, &[], &mut found);
    found
}

fn collect_leaves<'a>(
    model: &'a Value,
    scope: &[&'a str],
    found: &mut Vec<(Vec<&'a str>, &'a Value)>,
) {
    for layer in of(model) {
        let path = [scope, &[name(layer)]].concat();
        match is_model(layer) {
            true => collect_leaves(layer, &path, found),
            false => found.push((path, layer)),
        }
    }
}

pub(super) fn class(layer: &Value) -> &str {
    layer["class_name"].as_str().unwrap_or_default()
}

pub(super) fn config(layer: &Value) -> &Value {
    layer.get("config").unwrap_or(layer)
}

pub(super) fn name(layer: &Value) -> &str {
    config(layer)["name"].as_str().or_else(|| layer["name"].as_str()).unwrap_or_default()
}

fn is_model(layer: &Value) -> bool {
    ["Functional", "Model", "Sequential"].contains(&class(layer))
}

/// The shape of an input layer; `None` for sides that it leaves open.
pub(super) fn input_shape(layer: &Value) -> Option<Vec<Option<usize>>> {
    let config = config(layer);
    let shape = config.get("batch_input_shape").or_else(|| config.get("batch_shape"))?;
    let side = |side: &Value| side.as_u64().and_then(|side| usize::try_from(side).ok());
    Some(shape.as_array()?.iter().map(side).collect())
}

/// The network of a model. Of several outputs the network's own rules tell which answers.
pub(super) fn network(model: &Value, weights: &Weights<'_>) -> Result<Network> {
    let mut walk = Walk { graph: Graph::new(), weights, images: None };
    let output = walk.model(model, &[], None)?;
    let images = walk.images.ok_or_else(|| unsupported("the model has no input layer"))?;
    let mut outputs = Vec::new();
    histories(&config(model)["output_layers"], &mut outputs);
    let is_only = outputs.len() < 2;
    Ok(Network {
        images: Some(walk.graph.node(images.node).name.clone()),
        output: is_only.then(|| walk.graph.tensor_name(output)),
        notes: if is_only { Vec::new() } else { vec![several_outputs(&outputs)] },
        ..Network::new(walk.graph.to_graph_def())
    })
}

fn several_outputs(names: &[&str]) -> String {
    let names = names.join(", ");
    format!(
        "the model has several outputs ({names}): that of the last softmax is read, if there is one"
    )
}

struct Walk<'a> {
    graph: Graph,
    weights: &'a Weights<'a>,
    images: Option<TensorId>,
}

impl<'a> Walk<'a> {
    /// Writes the layers of a model that is fed `given`, or images; gives its output.
    fn model(
        &mut self,
        model: &'a Value,
        scope: &[&'a str],
        given: Option<TensorId>,
    ) -> Result<TensorId> {
        let mut made: HashMap<&str, TensorId> = HashMap::new();
        let (mut last, mut has_input) = (given, false);
        for json in of(model) {
            let path = [scope, &[name(json)]].concat();
            let at = |error: Error| {
                let message = format!("layer `{}` ({}): {error}", path.join("/"), class(json));
                Error::because(error.kind(), message, error)
            };
            let is_input = class(json) == "InputLayer";
            if is_input && std::mem::replace(&mut has_input, true) {
                return Err(at(unsupported("a second input")));
            }
            let inputs = inputs(json, &made, last).map_err(at)?;
            let output = match (is_input, given, is_model(json)) {
                (true, Some(given), _) => given,
                (_, _, true) => match inputs.as_slice() {
                    [] => self.model(json, &path, None)?,
                    &[one] => self.model(json, &path, Some(one))?,
                    many => {
                        let message = format!("a model of {} inputs", many.len());
                        return Err(at(unsupported(message)));
                    }
                },
                _ => self.layer(json, &path, inputs).map_err(at)?,
            };
            if made.insert(name(json), output).is_some() {
                return Err(at(unsupported("two layers of one name")));
            }
            last = Some(output);
        }
        let mut outputs = Vec::new();
        histories(&config(model)["output_layers"], &mut outputs);
        let output = match outputs.as_slice() {
            [] => last,
            [name, ..] => made.get(name).copied(),
        };
        output.ok_or_else(|| unsupported("a model whose output is none of its layers"))
    }

    fn layer(
        &mut self,
        json: &'a Value,
        path: &[&str],
        mut inputs: Vec<TensorId>,
    ) -> Result<TensorId> {
        let write = layers::find(class(json));
        let write = write.ok_or_else(|| unsupported("this layer is not supported"))?;
        let is_input = class(json) == "InputLayer";
        // The first of a sequence may say what it is fed, in place of an input layer.
        if !is_input && inputs.is_empty() && input_shape(json).is_some() {
            let images = layers::find("InputLayer").map(|write| {
                let name = format!("{}_input", path.last().copied().unwrap_or_default());
                self.write(write, json, &[&name], Vec::new())
            });
            inputs.extend(images.transpose()?);
            self.take_images(inputs.first().copied())?;
        }
        let output = self.write(write, json, path, inputs)?;
        if is_input {
            self.take_images(Some(output))?;
        }
        Ok(output)
    }

    fn write(
        &mut self,
        write: layers::Write,
        json: &'a Value,
        path: &[&str],
        inputs: Vec<TensorId>,
    ) -> Result<TensorId> {
        let (config, call) = (config(json), &json["inbound_nodes"][0]);
        write(&mut Layer {
            graph: &mut self.graph,
            path,
            config,
            weights: self.weights,
            inputs,
            call,
        })
    }

    fn take_images(&mut self, images: Option<TensorId>) -> Result<()> {
        match self.images {
            None => self.images = images,
            Some(_) => return Err(unsupported("a second input")),
        }
        Ok(())
    }
}

/// The tensors that a layer reads: those of its only call, or that of the layer before.
fn inputs(
    layer: &Value,
    made: &HashMap<&str, TensorId>,
    last: Option<TensorId>,
) -> Result<Vec<TensorId>> {
    let calls = layer["inbound_nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut read = Vec::new();
    match calls {
        [] => return Ok(last.into_iter().collect()),
        [call] => histories(call, &mut read),
        _ => return Err(unsupported("a layer that is called more than once")),
    }
    let tensor = |name: &str| match made.get(name) {
        Some(&tensor) => Ok(tensor),
        None => Err(unsupported(format!("its input `{name}` is not computed before it"))),
    };
    read.into_iter().map(tensor).collect()
}

/// The layer of every `["layer", call, output, …]` in `value`. Which of its calls counts those of a model
/// by itself too; in the model that is read a layer has one.
fn histories<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => match items.as_slice() {
            [Value::String(name), Value::Number(_), Value::Number(_), ..] => found.push(name),
            items => items.iter().for_each(|item| histories(item, found)),
        },
        Value::Object(fields) => fields.values().for_each(|field| histories(field, found)),
        _ => {}
    }
}
