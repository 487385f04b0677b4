//! A `GraphDef` written as JSON (protobuf's mapping: numbers of 64 bits and bytes as strings) back to
//! messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::error::Within;
use crate::tensorflow::messages::{
    AttrValue, FunctionDefLibrary, GraphDef, NameAttrList, NodeDef, TensorProto, TensorShapeProto,
    VersionDef, attr_value, tensor_shape_proto,
};
use crate::{DType, Error, ErrorKind, Result, Tensor};

/// Attributes inside attributes: lists of functions with attributes.
const MAX_DEPTH: usize = 16;

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what)
}

/// The graph, with the value of each constant from `weight`.
pub(super) fn graph_def<'w>(
    topology: &Value,
    weight: &dyn Fn(&str) -> Option<&'w Tensor>,
) -> Result<GraphDef> {
    let nodes = list(topology, "node")?;
    let node = nodes.iter().map(|json| node(json, weight)).collect::<Result<_>>()?;
    if let Some(library) = topology.get("library").filter(|json| !list_is_empty(json, "function")) {
        let functions = list(library, "function")?.len();
        let message = format!("a graph with a library of {functions} functions");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let versions = topology.get("versions").map(|json| VersionDef {
        producer: json.get("producer").and_then(integer).unwrap_or(0) as i32,
        min_consumer: json.get("minConsumer").and_then(integer).unwrap_or(0) as i32,
        bad_consumers: Vec::new(),
    });
    let library = None::<FunctionDefLibrary>;
    Ok(GraphDef { node, versions, library, ..GraphDef::default() })
}

fn list_is_empty(json: &Value, key: &str) -> bool {
    json.get(key).and_then(Value::as_array).is_none_or(Vec::is_empty)
}

fn node<'w>(json: &Value, weight: &dyn Fn(&str) -> Option<&'w Tensor>) -> Result<NodeDef> {
    let name = text(json, "name")?.to_owned();
    decode_node(json, weight).within(|| format!("node `{name}`"))
}

fn decode_node<'w>(json: &Value, weight: &dyn Fn(&str) -> Option<&'w Tensor>) -> Result<NodeDef> {
    let mut node = NodeDef {
        name: text(json, "name")?.to_owned(),
        op: text(json, "op")?.to_owned(),
        device: json.get("device").and_then(Value::as_str).unwrap_or_default().to_owned(),
        ..NodeDef::default()
    };
    for input in json.get("input").and_then(Value::as_array).into_iter().flatten() {
        let input = input.as_str().ok_or_else(|| malformed("an input is no string"))?;
        node.input.push(input.to_owned());
    }
    if let Some(attributes) = json.get("attr").and_then(Value::as_object) {
        node.attr = self::attributes(attributes, 0)?;
    }
    if node.op == "Const" {
        let value = weight(&node.name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the constant is not among the weights")
        })?;
        let tensor = attr_value::Value::Tensor(Box::new(TensorProto::from(value)));
        node.attr.insert("value".into(), AttrValue { value: Some(tensor) });
        let dtype = attr_value::Value::Type(value.dtype().to_tensorflow());
        node.attr.insert("dtype".into(), AttrValue { value: Some(dtype) });
    }
    Ok(node)
}

type Attributes = std::collections::BTreeMap<String, AttrValue>;

fn attributes(json: &Map<String, Value>, depth: usize) -> Result<Attributes> {
    let attribute = |(name, json): (&String, &Value)| {
        let value = attribute(json, depth).within(|| format!("attribute `{name}`"))?;
        Ok((name.clone(), AttrValue { value }))
    };
    json.iter().map(attribute).collect()
}

/// One attribute; `None` where it is empty or, for the constants' tensors, filled in later.
fn attribute(json: &Value, depth: usize) -> Result<Option<attr_value::Value>> {
    use attr_value::Value as Attr;
    if depth > MAX_DEPTH {
        return Err(malformed("attributes are nested too deeply"));
    }
    let Some((key, json)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Ok(None);
    };
    Ok(Some(match key.as_str() {
        "s" => Attr::S(bytes(json)?),
        "i" => Attr::I(integer(json).ok_or_else(|| malformed("no integer"))?),
        "f" => Attr::F(float(json)?),
        "b" => Attr::B(json.as_bool().ok_or_else(|| malformed("no boolean"))?),
        "type" => Attr::Type(dtype(json)?),
        "shape" => Attr::Shape(shape(json)?),
        "list" => Attr::List(Box::new(list_value(json, depth)?)),
        "func" => Attr::Func(Box::new(function(json, depth)?)),
        "placeholder" => Attr::Placeholder(json.as_str().unwrap_or_default().to_owned()),
        "tensor" => return Ok(None),
        other => return Err(malformed(format!("an attribute of kind `{}`", other.escape_debug()))),
    }))
}

fn list_value(json: &Value, depth: usize) -> Result<attr_value::ListValue> {
    fn each<T>(json: &Value, key: &str, read: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
        json.get(key).and_then(Value::as_array).into_iter().flatten().map(read).collect()
    }
    Ok(attr_value::ListValue {
        s: each(json, "s", bytes)?,
        i: each(json, "i", |json| integer(json).ok_or_else(|| malformed("no integer")))?,
        f: each(json, "f", float)?,
        b: each(json, "b", |json| json.as_bool().ok_or_else(|| malformed("no boolean")))?,
        r#type: each(json, "type", dtype)?,
        shape: each(json, "shape", shape)?,
        tensor: Vec::new(),
        func: each(json, "func", |json| function(json, depth))?,
    })
}

fn function(json: &Value, depth: usize) -> Result<NameAttrList> {
    let attr = match json.get("attr").and_then(Value::as_object) {
        Some(attr) => attributes(attr, depth + 1)?,
        None => Attributes::new(),
    };
    Ok(NameAttrList { name: text(json, "name")?.to_owned(), attr })
}

fn shape(json: &Value) -> Result<TensorShapeProto> {
    let dims = json.get("dim").and_then(Value::as_array).into_iter().flatten();
    let dim = dims.map(|json| {
        let size = json.get("size").map_or(Some(0), integer);
        let size = size.ok_or_else(|| malformed("a dimension is no integer"))?;
        Ok(tensor_shape_proto::Dim { size, name: String::new() })
    });
    let unknown_rank = json.get("unknownRank").and_then(Value::as_bool).unwrap_or(false);
    Ok(TensorShapeProto { dim: dim.collect::<Result<_>>()?, unknown_rank })
}

fn text<'a>(json: &'a Value, key: &str) -> Result<&'a str> {
    let found = json.get(key).and_then(Value::as_str);
    found.ok_or_else(|| malformed(format!("`{key}` is missing or no string")))
}

fn list<'a>(json: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    let found = json.get(key).and_then(Value::as_array);
    found.ok_or_else(|| malformed(format!("`{key}` is missing or no list")))
}

/// An integer, as a number or, as protobuf writes 64 bits, a string.
fn integer(json: &Value) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

/// A float, as a number or a name: `NaN`, `Infinity`, `-Infinity`.
fn float(json: &Value) -> Result<f32> {
    let number = json.as_f64().or_else(|| json.as_str()?.parse().ok());
    number.map(|number| number as f32).ok_or_else(|| malformed("no number"))
}

/// Bytes in base 64; the converter writes numbers in a list, too.
fn bytes(json: &Value) -> Result<Vec<u8>> {
    if let Some(text) = json.as_str() {
        return STANDARD
            .decode(text)
            .map_err(|error| malformed(format!("bytes in base 64: {error}")));
    }
    let numbers = json.as_array().ok_or_else(|| malformed("no bytes"))?;
    let byte = |json: &Value| json.as_u64().and_then(|byte| u8::try_from(byte).ok());
    numbers.iter().map(|json| byte(json).ok_or_else(|| malformed("no byte"))).collect()
}

/// A type, as its number or as `DT_FLOAT`.
fn dtype(json: &Value) -> Result<i32> {
    if let Some(number) = json.as_i64() {
        return i32::try_from(number).map_err(|_| malformed("no type"));
    }
    let name = json.as_str().unwrap_or_default();
    let plain = match name.strip_prefix("DT_").unwrap_or(name) {
        "FLOAT" => "float32".to_owned(),
        "DOUBLE" => "float64".to_owned(),
        "HALF" => "float16".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    let known = DType::ALL.iter().find(|dtype| dtype.name() == plain);
    let message = || malformed(format!("type `{}`", name.escape_debug()));
    known.map(|dtype| dtype.to_tensorflow()).ok_or_else(message)
}
