//! Reads the JSON file and the shards it names.

use serde::Deserialize;
use serde_json::Value;

use crate::error::Within;
use crate::tensor::element_count;
use crate::tensorflow::messages::GraphDef;
use crate::wire::Cursor;
use crate::{
    DType, Error, ErrorKind, FileSource, Limits, Result, Tensor, TensorData, elements, files, paths,
};

/// Which of the two kinds a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Keras's layers.
    Layers,
    /// TensorFlow's graph.
    Graph,
}

/// A model as its files hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Layers or graph.
    pub kind: Kind,
    /// `modelTopology`: for layers `{"model_config": …}` or the configuration itself, for graphs a
    /// `GraphDef` as JSON.
    pub topology: Value,
    /// `signature` of a graph model: inputs and outputs by name.
    pub signature: Option<Value>,
    /// Names and values, in the order of the manifest.
    pub weights: Vec<(String, Tensor)>,
}

impl Model {
    /// Reads the model whose JSON is the file `path` of `folder`, to whose root the paths of its shards
    /// are relative.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for files that are not there, [`ErrorKind::UnsafePath`] for shards
    /// outside the folder, [`ErrorKind::Malformed`] for JSON of another shape,
    /// [`ErrorKind::Mismatch`] where shards are shorter or longer than their weights,
    /// [`ErrorKind::Limit`] beyond `limits.message_bytes` (JSON), `file_bytes` (a group's shards),
    /// `tensor_bytes` or `rank`.
    pub fn read(folder: &dyn FileSource, path: &str, limits: &Limits) -> Result<Self> {
        let json = files::require_file(folder, path, limits.message_bytes)?;
        read(&json, path, folder, limits).within(|| "tfjs")
    }

    /// The weight of that name.
    #[must_use]
    pub fn weight(&self, name: &str) -> Option<&Tensor> {
        self.weights.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }

    /// A graph model as a `GraphDef` whose constants hold the weights.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a layers model, [`ErrorKind::Malformed`] where the topology is
    /// no `GraphDef`, [`ErrorKind::NotFound`] for constants without a weight.
    pub fn graph_def(&self) -> Result<GraphDef> {
        if self.kind != Kind::Graph {
            let message = "a layers model has no graph";
            return Err(Error::new(ErrorKind::Unsupported, message).within("tfjs"));
        }
        super::graph::graph_def(&self.topology, &|name| self.weight(name)).within(|| "tfjs")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawModel {
    format: Option<String>,
    model_topology: Value,
    signature: Option<Value>,
    weights_manifest: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    paths: Vec<String>,
    weights: Vec<Weight>,
}

#[derive(Deserialize)]
struct Weight {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    scale: Option<f64>,
    min: Option<f64>,
}

fn read(json: &[u8], path: &str, folder: &dyn FileSource, limits: &Limits) -> Result<Model> {
    let raw: RawModel = serde_json::from_slice(json).map_err(|error| {
        Error::new(ErrorKind::Malformed, error.to_string()).caused_by(error).within(path)
    })?;
    let graph = raw.model_topology.get("node").is_some();
    let kind = match raw.format.as_deref() {
        Some("graph-model") => Kind::Graph,
        Some("layers-model") => Kind::Layers,
        // Files before 2019 have no format.
        None if graph => Kind::Graph,
        None => Kind::Layers,
        Some(other) => {
            let message = format!("format `{}`", other.escape_debug());
            return Err(Error::new(ErrorKind::Unsupported, message).within(path));
        }
    };
    let mut weights = Vec::new();
    for group in &raw.weights_manifest {
        let bytes = shards(&group.paths, folder, limits)?;
        let mut cursor = Cursor::new(&bytes);
        for weight in &group.weights {
            let value = value(weight, &mut cursor, limits);
            weights
                .push((weight.name.clone(), value.within(|| format!("weight `{}`", weight.name))?));
        }
        if !cursor.is_empty() {
            let left = bytes.len() - cursor.position();
            let message = format!("{left} bytes follow the last weight of {:?}", group.paths);
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
    }
    Ok(Model { kind, topology: raw.model_topology, signature: raw.signature, weights })
}

/// All shards of a group, joined.
fn shards(names: &[String], folder: &dyn FileSource, limits: &Limits) -> Result<Vec<u8>> {
    Limits::check("shards", names.len() as u64, limits.shards.into())?;
    let mut bytes: Vec<u8> = Vec::new();
    for name in names {
        let path = paths::plain(name, limits)?;
        let left = limits.file_bytes.saturating_sub(bytes.len() as u64);
        bytes.extend_from_slice(&files::require_file(folder, &path, left)?);
    }
    Ok(bytes)
}

/// The next weight of a group's bytes.
fn value(weight: &Weight, cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Tensor> {
    Limits::check("rank", weight.shape.len() as u64, limits.rank as u64)?;
    let count = element_count(&weight.shape)
        .ok_or_else(|| Error::new(ErrorKind::Limit, "the shape's product overflows"))?;
    if weight.dtype == "string" {
        return Tensor::new(weight.shape.clone(), strings(count, cursor, limits)?);
    }
    let stored = weight.quantization.as_ref().map_or(&weight.dtype, |stored| &stored.dtype);
    let dtype = dtype(stored)?;
    let bytes = count.saturating_mul(dtype.size().unwrap_or(1));
    // Dequantised values take at most four times the bytes.
    Limits::check("bytes of the weight", (bytes as u64).saturating_mul(4), limits.tensor_bytes)?;
    let data = elements::from_le_bytes(dtype, cursor.take(bytes)?)?;
    let data = match &weight.quantization {
        Some(quantization) => dequantize(data, quantization, &weight.dtype)?,
        None => data,
    };
    Tensor::new(weight.shape.clone(), data)
}

fn dtype(name: &str) -> Result<DType> {
    match name {
        "float32" => Ok(DType::F32),
        "float16" => Ok(DType::F16),
        "int32" => Ok(DType::I32),
        "uint8" => Ok(DType::U8),
        "uint16" => Ok(DType::U16),
        "bool" => Ok(DType::Bool),
        other => {
            let message = format!("weights of type `{}`", other.escape_debug());
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

fn strings(count: usize, cursor: &mut Cursor<'_>, limits: &Limits) -> Result<TensorData> {
    Limits::check("strings", count as u64, limits.tensor_strings as u64)?;
    let strings = (0..count).map(|_| {
        let len = u32::from_le_bytes(cursor.array()?) as usize;
        cursor.take(len).map(<[u8]>::to_vec)
    });
    Ok(TensorData::String(strings.collect::<Result<_>>()?))
}

/// `value * scale + min`, in double precision, as TensorFlow.js computes it.
fn dequantize(data: TensorData, quantization: &Quantization, target: &str) -> Result<TensorData> {
    let wide: Vec<f64> = match data {
        TensorData::U8(values) => values.into_iter().map(f64::from).collect(),
        TensorData::U16(values) => values.into_iter().map(f64::from).collect(),
        TensorData::F16(values) => {
            return Ok(TensorData::F32(values.into_iter().map(half).collect()));
        }
        other => {
            let message = format!("weights quantised to {}", other.dtype());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    };
    let (Some(scale), Some(min)) = (quantization.scale, quantization.min) else {
        return Err(Error::new(ErrorKind::Malformed, "a quantisation without scale and min"));
    };
    if !scale.is_finite() || !min.is_finite() {
        return Err(Error::new(ErrorKind::Malformed, format!("scale {scale} and min {min}")));
    }
    let real = wide.into_iter().map(|value| value * scale + min);
    match target {
        "float32" => Ok(TensorData::F32(real.map(|value| value as f32).collect())),
        "int32" => Ok(TensorData::I32(real.map(|value| value.round() as i32).collect())),
        other => {
            let message = format!("quantised weights of type `{}`", other.escape_debug());
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

/// The value of a half-precision float.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}
