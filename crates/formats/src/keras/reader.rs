//! From HDF5 groups to a [`Model`]: whose weights are which.

use std::collections::BTreeMap;

use serde_json::Value;

use super::hdf5::{self, Group, Member};
use crate::error::Within;
use crate::{Error, ErrorKind, Limits, Result, Tensor, zipped};

/// A Keras model as its file holds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Model {
    /// Architecture: `{"class_name": "Functional", "config": {"layers": […]}}`; `None` for files of
    /// weights alone.
    pub config: Option<Value>,
    /// The version of Keras that wrote the file.
    pub keras_version: Option<String>,
    /// Layers with weights: in the order of the network if the file gives it, else by name.
    pub layers: Vec<Layer>,
}

/// A layer's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The layer's name in the configuration; in Keras 3 behind those of the models it is in:
    /// `model/layer`.
    pub name: String,
    /// Names and values, in Keras's order: `conv1/kernel:0` in `.h5` files, where a model that is a
    /// layer has those of all its own; in Keras 3 numbers `0`, `1`: kernel and bias; gamma, beta,
    /// moving mean and moving variance.
    pub weights: Vec<(String, Tensor)>,
}

impl Layer {
    /// The only weight whose name, without path and `:0`, is `name` (`kernel`).
    #[must_use]
    pub fn weight(&self, name: &str) -> Option<&Tensor> {
        let plain = |full: &str| {
            let last = full.rsplit('/').next().unwrap_or(full);
            last.split(':').next().unwrap_or(last) == name
        };
        self.weights.iter().find(|(full, _)| plain(full)).map(|(_, tensor)| tensor)
    }
}

impl Model {
    /// Reads a file of any of the three kinds, told apart by content.
    ///
    /// # Errors
    /// As [`hdf5::read`]; [`ErrorKind::NotFound`] where a named layer or weight is not there,
    /// [`ErrorKind::Malformed`] for a configuration that is no JSON.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let model = if hdf5::detect(bytes) { h5(bytes, limits) } else { archive(bytes, limits) };
        model.within(|| "keras")
    }

    /// The layer of that name.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }
}

fn h5(bytes: &[u8], limits: &Limits) -> Result<Model> {
    let root = hdf5::read(bytes, limits)?;
    let config = match text(&root, "model_config") {
        Some(json) => Some(parse(json, limits).within(|| "model_config")?),
        None => None,
    };
    let weights = root.group("model_weights").unwrap_or(&root);
    let layers = match names(weights, "layer_names")? {
        Some(names) => names
            .into_iter()
            .map(|name| named_layer(weights, name))
            .filter(|layer| !matches!(layer, Ok(layer) if layer.weights.is_empty()))
            .collect::<Result<Vec<_>>>()?,
        None => numbered_layers(&root, config.as_ref())?,
    };
    let version = text(&root, "keras_version").or_else(|| text(weights, "keras_version"));
    Ok(Model { config, keras_version: version.map(lossy), layers })
}

fn archive(bytes: &[u8], limits: &Limits) -> Result<Model> {
    let files = zipped::unpack(bytes, limits)?;
    let need = |name: &str| {
        files.get(name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("the archive has no `{name}`"))
                .hint("this is no file that Keras 3 saved")
        })
    };
    let config = parse(need("config.json")?, limits).within(|| "config.json")?;
    let version = match files.get("metadata.json") {
        Some(json) => parse(json, limits).within(|| "metadata.json")?.get("keras_version").cloned(),
        None => None,
    };
    let root = hdf5::read(need("model.weights.h5")?, limits).within(|| "model.weights.h5")?;
    let layers = numbered_layers(&root, Some(&config)).within(|| "model.weights.h5")?;
    let keras_version = version.and_then(|version| version.as_str().map(str::to_owned));
    Ok(Model { config: Some(config), keras_version, layers })
}

fn parse(json: &[u8], limits: &Limits) -> Result<Value> {
    Limits::check("bytes of JSON", json.len() as u64, limits.message_bytes)?;
    serde_json::from_slice(json)
        .map_err(|error| Error::new(ErrorKind::Malformed, error.to_string()).caused_by(error))
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// An attribute that is one string.
fn text<'a>(group: &'a Group, name: &str) -> Option<&'a [u8]> {
    match group.attributes.get(name)?.as_strings()? {
        [text] => Some(text),
        _ => None,
    }
}

/// An attribute that is a list of strings, whole or in numbered pieces.
fn names(group: &Group, attribute: &str) -> Result<Option<Vec<String>>> {
    let mut found = None;
    let whole = std::iter::once(attribute.to_owned());
    let pieces = (0..).map(|piece| format!("{attribute}{piece}"));
    for name in whole.chain(pieces) {
        match group.attributes.get(&name) {
            Some(value) => found.get_or_insert_with(Vec::new).extend(strings(value, &name)?),
            None if name == attribute => {}
            None => break,
        }
    }
    Ok(found)
}

fn strings(value: &Tensor, attribute: &str) -> Result<Vec<String>> {
    // NumPy writes an empty list as an array of no floats.
    let empty: &[Vec<u8>] = &[];
    let list = value.as_strings().or(value.is_empty().then_some(empty)).ok_or_else(|| {
        Error::new(ErrorKind::Mismatch, format!("attribute `{attribute}` is no list of strings"))
    })?;
    Ok(list.iter().map(|text| lossy(text)).collect())
}

/// A layer of a classic file: a group that says what its weights are called.
fn named_layer(weights: &Group, name: String) -> Result<Layer> {
    let missing =
        |what: &str| Error::new(ErrorKind::NotFound, format!("`{what}` is listed and not there"));
    let group = weights.group(&name).ok_or_else(|| missing(&name))?;
    let weight_names = names(group, "weight_names").within(|| format!("layer `{name}`"))?;
    let mut found = Vec::new();
    for weight in weight_names.unwrap_or_default() {
        let value = group.dataset(&weight).ok_or_else(|| missing(&weight));
        let value = value.within(|| format!("layer `{name}`"))?.clone();
        found.push((weight, value));
    }
    Ok(Layer { name, weights: found })
}

/// The layers of a Keras 3 file. A layer's name is the attribute `name` of its variables; files of
/// the first versions lack it, there the classes are counted in the order of the configuration. Those
/// of a model that is a layer are called `model/layer`.
fn numbered_layers(root: &Group, config: Option<&Value>) -> Result<Vec<Layer>> {
    let container = container(root).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "neither `layer_names` nor a group `layers`")
            .hint("the file is HDF5, but not from Keras")
    })?;
    let mut layers = Vec::new();
    collect_layers(container, config, "", &mut layers);
    Ok(layers)
}

fn container(model: &Group) -> Option<&Group> {
    model.group("layers").or_else(|| model.group("_layer_checkpoint_dependencies"))
}

fn collect_layers(container: &Group, config: Option<&Value>, scope: &str, layers: &mut Vec<Layer>) {
    let counted = config.map(counted_layers).unwrap_or_default();
    let order: BTreeMap<&str, usize> =
        counted.iter().enumerate().map(|(at, (_, name, _))| (name.as_str(), at)).collect();
    let mut found = Vec::new();
    for (key, member) in &container.members {
        let Member::Group(group) = member else { continue };
        let variables = group.group("vars").filter(|vars| !vars.members.is_empty());
        let stored = variables.and_then(|variables| text(variables, "name")).map(lossy);
        let by_count =
            || counted.iter().find(|(group, ..)| group == key).map(|(_, name, _)| name.clone());
        let name = stored.or_else(by_count).unwrap_or_else(|| key.clone());
        let place = order.get(name.as_str()).copied();
        found.push((place.unwrap_or(usize::MAX), name, group, variables));
    }
    found.sort_by_key(|(place, ..)| *place);
    for (place, name, group, variables) in found {
        let name = format!("{scope}{name}");
        match (variables, self::container(group)) {
            (Some(variables), _) => {
                layers.push(Layer { name, weights: numbered_weights(variables) });
            }
            (None, Some(inner)) => {
                let config = counted.get(place).map(|(_, _, layer)| *layer);
                collect_layers(inner, config, &format!("{name}/"), layers);
            }
            (None, None) => {}
        }
    }
}

fn numbered_weights(variables: &Group) -> Vec<(String, Tensor)> {
    let mut weights: Vec<_> = variables
        .members
        .iter()
        .filter_map(|(name, member)| match member {
            Member::Dataset(tensor) => Some((name.clone(), tensor.clone())),
            Member::Group(_) => None,
        })
        .collect();
    weights.sort_by_key(|(name, _)| name.parse().unwrap_or(u64::MAX));
    weights
}

/// Per layer of the configuration: the group Keras 3 stores it in, its name, and itself.
fn counted_layers(config: &Value) -> Vec<(String, String, &Value)> {
    let layers = config.pointer("/config/layers").and_then(Value::as_array);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for layer in layers.into_iter().flatten() {
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let name = layer.pointer("/config/name").or_else(|| layer.get("name"));
        let Some(name) = name.and_then(Value::as_str) else { continue };
        let class = snake_case(class);
        let count = counts.entry(class.clone()).or_default();
        let group = if *count == 0 { class } else { format!("{class}_{count}") };
        *count += 1;
        found.push((group, name.to_owned(), layer));
    }
    found
}

/// Keras's own rule: `DepthwiseConv2D` becomes `depthwise_conv2d`, `ReLU` becomes `re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| letters.get(i));
        let after = letters.get(i + 1);
        let starts_word = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || after.is_some_and(char::is_ascii_lowercase) && *before != '_'
            });
        if starts_word {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
