//! A node's attributes, read with types and written back as they came.
//!
//! TensorFlow strips attributes that have their default value, so every reader here takes the
//! default. Attributes nobody reads (`_class`, `_output_shapes`, …) stay and are exported.

use std::collections::BTreeMap;

use mobilenet_formats::tensorflow::messages::attr_value::{ListValue, Value};
use mobilenet_formats::tensorflow::messages::{
    AttrValue, TensorProto, TensorShapeProto, tensor_shape_proto,
};
use mobilenet_formats::{DType, Limits, Tensor};

use crate::error::{Error, Result};
use crate::facts::{MAX_ELEMENTS, Shape};

/// The attributes of one node, by TensorFlow's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(BTreeMap<String, AttrValue>);

impl Attributes {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of `names` that are there.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let named = self.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        Self(named.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The messages.
    pub fn as_map(&self) -> &BTreeMap<String, AttrValue> {
        &self.0
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)?.value.as_ref()
    }

    fn set(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.into(), AttrValue { value: Some(value) });
        self
    }

    /// An integer, or `default` where it is absent.
    ///
    /// # Errors
    /// `InvalidGraph` where the attribute has another type; so for all readers.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::I(value)) => Ok(*value),
            Some(_) => Err(mistyped(name, "an integer")),
        }
    }

    /// A float, or `default` where it is absent.
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::F(value)) => Ok(*value),
            Some(_) => Err(mistyped(name, "a float")),
        }
    }

    /// A truth value, or `default` where it is absent.
    pub fn bool(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::B(value)) => Ok(*value),
            Some(_) => Err(mistyped(name, "a bool")),
        }
    }

    /// A string, or `default` where it is absent.
    pub fn string(&self, name: &str, default: &str) -> Result<String> {
        match self.get(name) {
            None => Ok(default.into()),
            Some(Value::S(bytes)) => {
                String::from_utf8(bytes.clone()).map_err(|_| mistyped(name, "UTF-8"))
            }
            Some(_) => Err(mistyped(name, "a string")),
        }
    }

    /// A dtype, or `default` where it is absent.
    pub fn dtype(&self, name: &str, default: DType) -> Result<DType> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Type(number)) => DType::from_tensorflow(*number)
                .ok_or_else(|| Error::invalid(format!("attribute '{name}': no dtype {number}"))),
            Some(_) => Err(mistyped(name, "a dtype")),
        }
    }

    /// A list of integers; empty where it is absent.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::List(list)) => Ok(list.i.clone()),
            Some(_) => Err(mistyped(name, "a list of integers")),
        }
    }

    /// A shape; of unknown rank where it is absent.
    pub fn shape(&self, name: &str) -> Result<Shape> {
        match self.get(name) {
            None => Ok(Shape::unknown()),
            Some(Value::Shape(shape)) => shape_from_proto(shape),
            Some(_) => Err(mistyped(name, "a shape")),
        }
    }

    /// A tensor that must be there.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        match self.get(name) {
            Some(Value::Tensor(proto)) => proto.to_tensor(&Limits::default()).map_err(|error| {
                Error::invalid(format!("attribute '{name}' holds no valid tensor: {error}"))
                    .with_source(error)
            }),
            _ => Err(mistyped(name, "a tensor")),
        }
    }

    /// With an integer.
    pub fn with_int(self, name: &str, value: i64) -> Self {
        self.set(name, Value::I(value))
    }

    /// With a float.
    pub fn with_float(self, name: &str, value: f32) -> Self {
        self.set(name, Value::F(value))
    }

    /// With a truth value.
    pub fn with_bool(self, name: &str, value: bool) -> Self {
        self.set(name, Value::B(value))
    }

    /// With a string.
    pub fn with_string(self, name: &str, value: &str) -> Self {
        self.set(name, Value::S(value.as_bytes().to_vec()))
    }

    /// With a dtype.
    pub fn with_dtype(self, name: &str, value: DType) -> Self {
        self.set(name, Value::Type(value.to_tensorflow()))
    }

    /// With a list of integers.
    pub fn with_ints(self, name: &str, values: &[i64]) -> Self {
        self.set(
            name,
            Value::List(Box::new(ListValue { i: values.to_vec(), ..Default::default() })),
        )
    }

    /// With a shape.
    pub fn with_shape(self, name: &str, shape: &Shape) -> Self {
        self.set(name, Value::Shape(shape_to_proto(shape)))
    }

    /// With a tensor.
    pub fn with_tensor(self, name: &str, tensor: &Tensor) -> Self {
        self.set(name, Value::Tensor(Box::new(TensorProto::from(tensor))))
    }

    /// With a tensor whose integers are those of the quantised type `dtype` (`qint8`, `qint32`).
    pub fn with_quantized(self, name: &str, tensor: &Tensor, dtype: DType) -> Self {
        let proto = TensorProto { dtype: dtype.to_tensorflow(), ..TensorProto::from(tensor) };
        self.set(name, Value::Tensor(Box::new(proto)))
    }
}

impl From<BTreeMap<String, AttrValue>> for Attributes {
    fn from(map: BTreeMap<String, AttrValue>) -> Self {
        Self(map)
    }
}

fn mistyped(name: &str, wanted: &str) -> Error {
    Error::invalid(format!("attribute '{name}' must be {wanted}"))
}

fn shape_from_proto(proto: &TensorShapeProto) -> Result<Shape> {
    if proto.unknown_rank {
        return Ok(Shape::unknown());
    }
    let dims = proto.dim.iter().map(|dim| match dim.size {
        -1 => Ok(None),
        size => usize::try_from(size)
            .ok()
            .filter(|&size| size <= MAX_ELEMENTS)
            .map(Some)
            .ok_or_else(|| Error::shape(format!("a dimension of {size} is impossible"))),
    });
    Ok(Shape::new(dims.collect::<Result<_>>()?))
}

fn shape_to_proto(shape: &Shape) -> TensorShapeProto {
    let Some(dims) = shape.dims() else {
        return TensorShapeProto { unknown_rank: true, ..Default::default() };
    };
    let size = |dim: &Option<usize>| dim.and_then(|dim| i64::try_from(dim).ok()).unwrap_or(-1);
    let dim = dims
        .iter()
        .map(|dim| tensor_shape_proto::Dim { size: size(dim), name: String::new() })
        .collect();
    TensorShapeProto { dim, unknown_rank: false }
}
