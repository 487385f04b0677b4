//! `tf.Example`: named lists of bytes, floats or integers, as ImageNet's records hold them.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::{Error, ErrorKind, Limits, Result};

/// `example.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Example {
    /// The features by name.
    #[prost(message, optional, tag = "1")]
    pub features: Option<Features>,
}

/// `feature.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Features {
    /// The features by name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub feature: BTreeMap<String, Feature>,
}

/// `feature.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Feature {
    /// The list; none is an empty list of no type.
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    pub kind: Option<Kind>,
}

/// The list of a [`Feature`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// Byte strings, such as an encoded image.
    #[prost(message, tag = "1")]
    BytesList(BytesList),
    /// Floats.
    #[prost(message, tag = "2")]
    FloatList(FloatList),
    /// Integers, such as a class.
    #[prost(message, tag = "3")]
    Int64List(Int64List),
}

/// `feature.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BytesList {
    /// The values.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub value: Vec<Bytes>,
}

/// `feature.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct FloatList {
    /// The values.
    #[prost(float, repeated, tag = "1")]
    pub value: Vec<f32>,
}

/// `feature.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Int64List {
    /// The values.
    #[prost(int64, repeated, tag = "1")]
    pub value: Vec<i64>,
}

impl Example {
    /// Decodes a record.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it is no `tf.Example`, [`ErrorKind::Limit`].
    pub fn decode_record(record: impl Into<Bytes>, limits: &Limits) -> Result<Self> {
        crate::tensorflow::decode_message(record, limits)
    }

    /// The bytes of a record.
    pub fn to_record(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(self)
    }

    /// As [`Example::decode_record`], with where in the record its byte strings lie.
    ///
    /// # Errors
    /// As [`Example::decode_record`].
    pub fn decode_places(record: impl Into<Bytes>, limits: &Limits) -> Result<(Self, Places)> {
        let record = record.into();
        Ok((Self::decode_record(record.clone(), limits)?, Places(record)))
    }

    fn kind(&self, name: &str) -> Option<&Kind> {
        self.features.as_ref()?.feature.get(name)?.kind.as_ref()
    }

    /// The byte strings `name`; empty where there are none.
    pub fn bytes(&self, name: &str) -> &[Bytes] {
        match self.kind(name) {
            Some(Kind::BytesList(list)) => &list.value,
            _ => &[],
        }
    }

    /// The floats `name`; empty where there are none.
    pub fn floats(&self, name: &str) -> &[f32] {
        match self.kind(name) {
            Some(Kind::FloatList(list)) => &list.value,
            _ => &[],
        }
    }

    /// The integers `name`; empty where there are none.
    pub fn ints(&self, name: &str) -> &[i64] {
        match self.kind(name) {
            Some(Kind::Int64List(list)) => &list.value,
            _ => &[],
        }
    }

    /// The one byte string `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is not exactly one, naming the features there are.
    pub fn one_bytes(&self, name: &str) -> Result<&Bytes> {
        match self.bytes(name) {
            [value] => Ok(value),
            _ => Err(self.missing(name, "byte string")),
        }
    }

    /// The one integer `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is not exactly one, naming the features there are.
    pub fn one_int(&self, name: &str) -> Result<i64> {
        match self.ints(name) {
            [value] => Ok(*value),
            _ => Err(self.missing(name, "integer")),
        }
    }

    fn missing(&self, name: &str, what: &str) -> Error {
        let names: Vec<_> = self.features.iter().flat_map(|f| f.feature.keys()).take(20).collect();
        Error::new(ErrorKind::NotFound, format!("the record has not one {what} `{name}`"))
            .hint(format!("its features are {names:?}"))
    }

    /// Adds or replaces a feature of byte strings.
    #[must_use]
    pub fn with_bytes(self, name: &str, value: Vec<Bytes>) -> Self {
        self.with(name, Kind::BytesList(BytesList { value }))
    }

    /// Adds or replaces a feature of floats.
    #[must_use]
    pub fn with_floats(self, name: &str, value: Vec<f32>) -> Self {
        self.with(name, Kind::FloatList(FloatList { value }))
    }

    /// Adds or replaces a feature of integers.
    #[must_use]
    pub fn with_ints(self, name: &str, value: Vec<i64>) -> Self {
        self.with(name, Kind::Int64List(Int64List { value }))
    }

    fn with(mut self, name: &str, kind: Kind) -> Self {
        let feature = Feature { kind: Some(kind) };
        self.features.get_or_insert_default().feature.insert(name.to_owned(), feature);
        self
    }
}

/// The record that an [`Example`] was decoded from.
#[derive(Clone, Debug)]
pub struct Places(Bytes);

impl Places {
    /// Where in the record `value` lies, one of the example's byte strings; `None` for any other.
    pub fn of(&self, value: &Bytes) -> Option<Range<usize>> {
        // Byte strings are decoded in place: they share the record's memory.
        let start = (value.as_ptr() as usize).checked_sub(self.0.as_ptr() as usize)?;
        let range = start..start.checked_add(value.len())?;
        (self.0.get(range.clone())? == value).then_some(range)
    }
}
