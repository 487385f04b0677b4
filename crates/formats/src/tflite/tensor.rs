//! Constants of a TFLite model as host tensors, and quantisation parameters in a form to trust.

use super::{Buffer, Model, QuantizationDetails, Tensor, TensorType};
use crate::error::Within;
use crate::tensor::element_count;
use crate::{DType, Error, ErrorKind, Limits, Result, elements};

/// Every type of the schema that the host has too.
const TYPES: &[(TensorType, DType)] = &[
    (TensorType::FLOAT32, DType::F32),
    (TensorType::FLOAT16, DType::F16),
    (TensorType::INT32, DType::I32),
    (TensorType::UINT8, DType::U8),
    (TensorType::INT64, DType::I64),
    (TensorType::BOOL, DType::Bool),
    (TensorType::INT16, DType::I16),
    (TensorType::INT8, DType::I8),
    (TensorType::FLOAT64, DType::F64),
    (TensorType::UINT64, DType::U64),
    (TensorType::UINT32, DType::U32),
    (TensorType::UINT16, DType::U16),
    (TensorType::BFLOAT16, DType::BF16),
];

impl TensorType {
    /// The host's element type; `None` for strings, complex numbers and types under a byte.
    #[must_use]
    pub fn dtype(self) -> Option<DType> {
        TYPES.iter().find(|(known, _)| *known == self).map(|(_, dtype)| *dtype)
    }

    /// The schema's name for a host element type.
    #[must_use]
    pub fn from_dtype(dtype: DType) -> Option<Self> {
        TYPES.iter().find(|(_, known)| *known == dtype).map(|(known, _)| *known)
    }

    /// The integers a value of this type can be.
    fn integers(self) -> Option<(i64, i64)> {
        match self {
            Self::INT4 => Some((-8, 7)),
            Self::UINT8 => Some((0, 255)),
            Self::INT8 => Some((-128, 127)),
            Self::UINT16 => Some((0, 65535)),
            Self::INT16 => Some((i64::from(i16::MIN), i64::from(i16::MAX))),
            Self::INT32 => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
            _ => None,
        }
    }
}

/// Checked quantisation: `real = scale * (quantised - zero_point)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// Finite and above 0: one, or one per index of `axis`.
    pub scales: Vec<f32>,
    /// As many as `scales`, each a value of the tensor's type.
    pub zero_points: Vec<i32>,
    /// The dimension the scales count along; `None` where there is one for all.
    pub axis: Option<usize>,
}

impl Tensor {
    /// The tensor's shape, after checking that no dimension is negative.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a negative dimension, [`ErrorKind::Limit`] beyond `limits.rank`.
    pub fn dimensions(&self, limits: &Limits) -> Result<Vec<usize>> {
        let place = || format!("tensor `{}`: shape", self.name);
        Limits::check("rank", self.shape.len() as u64, limits.rank as u64).within(place)?;
        let dimensions: Result<_, _> = self.shape.iter().map(|&dim| usize::try_from(dim)).collect();
        dimensions.map_err(|_| {
            let message = format!("{:?} has a negative dimension", self.shape);
            Error::new(ErrorKind::Malformed, message).within(place())
        })
    }

    /// The quantisation parameters, checked; `None` where the tensor is not quantised.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a scale that is 0, negative, infinite or NaN, a zero point that
    /// the tensor's type cannot hold, or a dimension that is not there; [`ErrorKind::Mismatch`] for
    /// counts that disagree; [`ErrorKind::Unsupported`] for other schemes.
    pub fn affine(&self) -> Result<Option<Affine>> {
        self.check_affine().within(|| "quantization").within(|| format!("tensor `{}`", self.name))
    }

    fn check_affine(&self) -> Result<Option<Affine>> {
        let Some(quantization) = &self.quantization else { return Ok(None) };
        if quantization.details != QuantizationDetails::None {
            let number = quantization.details.type_number();
            let message = format!("scheme {number} instead of scale and zero point");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let scales = &quantization.scale;
        if scales.is_empty() {
            return Ok(None);
        }
        if let Some(scale) = scales.iter().find(|&&scale| !(scale > 0.0 && scale.is_finite())) {
            return Err(Error::new(ErrorKind::Malformed, format!("a scale of {scale}")));
        }
        if scales.len() != quantization.zero_point.len() {
            let message = format!(
                "{} scales and {} zero points",
                scales.len(),
                quantization.zero_point.len()
            );
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        let zero_points = quantization
            .zero_point
            .iter()
            .map(|&point| self.zero_point(point))
            .collect::<Result<_>>()?;
        let axis = match scales.len() {
            1 => None,
            count => Some(self.axis(quantization.quantized_dimension, count)?),
        };
        Ok(Some(Affine { scales: scales.clone(), zero_points, axis }))
    }

    fn zero_point(&self, point: i64) -> Result<i32> {
        let (low, high) =
            self.r#type.integers().unwrap_or((i64::from(i32::MIN), i64::from(i32::MAX)));
        match i32::try_from(point) {
            Ok(fits) if (low..=high).contains(&point) => Ok(fits),
            _ => {
                let message = format!("zero point {point} is no {}", self.r#type);
                Err(Error::new(ErrorKind::Malformed, message))
            }
        }
    }

    fn axis(&self, dimension: i32, scales: usize) -> Result<usize> {
        let axis = usize::try_from(dimension).ok().filter(|&axis| axis < self.shape.len());
        let axis = axis.ok_or_else(|| {
            let message = format!("dimension {dimension} of shape {:?}", self.shape);
            Error::new(ErrorKind::Malformed, message)
        })?;
        if self.shape.get(axis).and_then(|&dim| usize::try_from(dim).ok()) != Some(scales) {
            let message =
                format!("{scales} scales along dimension {axis} of shape {:?}", self.shape);
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        Ok(axis)
    }
}

impl Model {
    /// The value of `tensor`, as stored (quantised values stay integers); `None` where it has no
    /// buffer, so is computed.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] where the buffer is missing or not as long as the shape says,
    /// [`ErrorKind::Limit`] beyond `limits.tensor_bytes`, [`ErrorKind::Unsupported`] for strings,
    /// complex numbers, types under a byte, sparse tensors and buffers outside the file.
    pub fn constant(&self, tensor: &Tensor, limits: &Limits) -> Result<Option<crate::Tensor>> {
        self.decode(tensor, limits).within(|| format!("tensor `{}`", tensor.name))
    }

    fn decode(&self, tensor: &Tensor, limits: &Limits) -> Result<Option<crate::Tensor>> {
        let bytes = self.buffer(tensor.buffer)?;
        if tensor.sparsity.is_some() || tensor.external_buffer != 0 {
            let message = "a sparse constant, or one outside the file";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let dtype = tensor.r#type.dtype().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("a constant of type {}", tensor.r#type))
        })?;
        let shape = tensor.dimensions(limits)?;
        let expected = element_count(&shape).and_then(|count| count.checked_mul(dtype.size()?));
        if expected != Some(bytes.len()) {
            let message = format!(
                "buffer {} has {} bytes, {dtype} of shape {shape:?} takes {}",
                tensor.buffer,
                bytes.len(),
                expected.map_or("too many".into(), |bytes| bytes.to_string()),
            );
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        Limits::check("bytes of the tensor", bytes.len() as u64, limits.tensor_bytes)?;
        crate::Tensor::new(shape, elements::from_le_bytes(dtype, bytes)?).map(Some)
    }

    /// Stores a constant: appends a buffer and returns the tensor that refers to it, which is still
    /// to be named and put into a subgraph.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for types the schema lacks, [`ErrorKind::Limit`] for dimensions
    /// beyond 2³¹.
    pub fn add_constant(&mut self, value: &crate::Tensor) -> Result<Tensor> {
        let r#type = TensorType::from_dtype(value.dtype()).ok_or_else(|| {
            let message = format!("TFLite cannot hold constants of type {}", value.dtype());
            Error::new(ErrorKind::Unsupported, message)
        })?;
        let shape: Result<Vec<i32>, _> =
            value.shape().iter().map(|&dim| i32::try_from(dim)).collect();
        let shape = shape.map_err(|_| Error::new(ErrorKind::Limit, "a dimension beyond 2^31"))?;
        let data = elements::to_le_bytes(value.data())?;
        let buffer = self.add_buffer(Buffer { data, ..Buffer::default() })?;
        let has_rank = shape.is_empty();
        Ok(Tensor { shape, r#type, buffer, has_rank, ..Tensor::default() })
    }
}
