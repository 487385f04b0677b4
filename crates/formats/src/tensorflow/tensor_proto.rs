//! [`TensorProto`] to [`Tensor`] and back.
//!
//! A `TensorProto` holds its values either as little-endian bytes in `tensor_content`, or in the list
//! of its type (`float_val`, …), where the last value stands for all that are missing and no value at
//! all means zeros. The rules are those of TensorFlow's `Tensor::FromProto`.

use super::messages::{TensorProto, TensorShapeProto};
use super::shape::checked_size;
use crate::error::Within as _;
use crate::wire::Cursor;
use crate::{DType, Error, ErrorKind, Limits, Result, Tensor, TensorData, elements};

impl TensorProto {
    /// The tensor; quantised types (`qint8`, …) become their plain integers.
    ///
    /// ```
    /// use mobilenet_formats::{Limits, Tensor, tensorflow::messages::*};
    ///
    /// let proto = TensorProto {
    ///     dtype: 1,
    ///     tensor_shape: Some(TensorShapeProto::of(&[3])),
    ///     float_val: vec![0.5],
    ///     ..Default::default()
    /// };
    /// let tensor = proto.to_tensor(&Limits::default())?;
    /// assert_eq!(tensor, Tensor::new([3], vec![0.5f32; 3])?);
    /// # Ok::<(), mobilenet_formats::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for types without values on the host, [`ErrorKind::Malformed`] for
    /// impossible shapes, [`ErrorKind::Mismatch`] for content of the wrong length,
    /// [`ErrorKind::Limit`] for tensors larger than the limits.
    pub fn to_tensor(&self, limits: &Limits) -> Result<Tensor> {
        let dtype = DType::from_tensorflow(self.dtype).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("tensor of dtype number {}", self.dtype))
        })?;
        let shape = match &self.tensor_shape {
            Some(shape) => shape.known(limits).within(|| "tensor_shape")?,
            None => Vec::new(),
        };
        let data = match dtype {
            DType::String => self.strings(&shape, limits)?,
            _ if self.tensor_content.is_empty() => self.listed(dtype, &shape, limits)?,
            _ => self.content(dtype, &shape, limits).within(|| "tensor_content")?,
        };
        Tensor::new(shape, data)
    }

    fn content(&self, dtype: DType, shape: &[usize], limits: &Limits) -> Result<TensorData> {
        let (_, bytes) = checked_size(shape, dtype.size().unwrap_or(0), limits)?;
        if bytes != self.tensor_content.len() {
            let len = self.tensor_content.len();
            let message = format!("{len} bytes do not fill {dtype} of shape {shape:?}");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        elements::from_le_bytes(dtype, &self.tensor_content)
    }

    /// The values of the typed lists.
    fn listed(&self, dtype: DType, shape: &[usize], limits: &Limits) -> Result<TensorData> {
        let (count, _) = checked_size(shape, dtype.size().unwrap_or(0), limits)?;
        let ints = &self.int_val;
        Ok(match dtype {
            DType::F32 => TensorData::F32(fill(&self.float_val, count, |v| v)),
            DType::F64 => TensorData::F64(fill(&self.double_val, count, |v| v)),
            DType::I8 | DType::QI8 => TensorData::I8(fill(ints, count, |v| v as i8)),
            DType::U8 | DType::QU8 => TensorData::U8(fill(ints, count, |v| v as u8)),
            DType::I16 | DType::QI16 => TensorData::I16(fill(ints, count, |v| v as i16)),
            DType::U16 | DType::QU16 => TensorData::U16(fill(ints, count, |v| v as u16)),
            DType::I32 | DType::QI32 => TensorData::I32(fill(ints, count, |v| v)),
            DType::U32 => TensorData::U32(fill(&self.uint32_val, count, |v| v)),
            DType::I64 => TensorData::I64(fill(&self.int64_val, count, |v| v)),
            DType::U64 => TensorData::U64(fill(&self.uint64_val, count, |v| v)),
            DType::Bool => TensorData::Bool(fill(&self.bool_val, count, |v| v)),
            DType::F16 => TensorData::F16(fill(&self.half_val, count, |v| v as u16)),
            DType::BF16 => TensorData::BF16(fill(&self.half_val, count, |v| v as u16)),
            other => {
                return Err(Error::new(ErrorKind::Unsupported, format!("values of type {other}")));
            }
        })
    }

    fn strings(&self, shape: &[usize], limits: &Limits) -> Result<TensorData> {
        let (count, _) = checked_size(shape, 1, limits)?;
        Limits::check("strings of the tensor", count as u64, limits.tensor_strings as u64)?;
        if !self.tensor_content.is_empty() {
            return packed_strings(&self.tensor_content, count).within(|| "tensor_content");
        }
        let missing = count.saturating_sub(self.string_val.len()) as u64;
        let last = self.string_val.last().map_or(0, Vec::len) as u64;
        Limits::check("bytes of the tensor", missing.saturating_mul(last), limits.tensor_bytes)?;
        let mut values: Vec<_> = self.string_val.iter().take(count).cloned().collect();
        values.resize(count, values.last().cloned().unwrap_or_default());
        Ok(TensorData::String(values))
    }
}

/// `count` converted values: those listed, then the last again and again.
fn fill<T: Copy + Default, U: Clone>(list: &[T], count: usize, convert: impl Fn(T) -> U) -> Vec<U> {
    let mut values: Vec<U> = Vec::with_capacity(count);
    values.extend(list.iter().take(count).map(|&value| convert(value)));
    values.resize(count, convert(list.last().copied().unwrap_or_default()));
    values
}

/// All lengths as varints, then all bytes.
fn packed_strings(content: &[u8], count: usize) -> Result<TensorData> {
    let mut cursor = Cursor::new(content);
    // Every length takes a byte, so the count is checked before it sizes anything.
    Limits::check("strings in the content", count as u64, content.len() as u64)?;
    let lens = (0..count).map(|_| cursor.varint_len()).collect::<Result<Vec<_>>>()?;
    let values = lens.into_iter().map(|len| cursor.take(len).map(<[u8]>::to_vec));
    let values = values.collect::<Result<Vec<_>>>()?;
    if !cursor.is_empty() {
        return Err(Error::new(ErrorKind::Mismatch, "bytes after the last string"));
    }
    Ok(TensorData::String(values))
}

impl From<&Tensor> for TensorProto {
    /// One value goes into the list of its type, more as `tensor_content`, strings into
    /// `string_val`: as TensorFlow's Python writes constants.
    fn from(tensor: &Tensor) -> Self {
        let mut proto = match tensor.data() {
            data if data.len() == 1 || data.dtype() == DType::String => list_values(data),
            data => TensorProto {
                tensor_content: elements::to_le_bytes(data).unwrap_or_default().into(),
                ..Default::default()
            },
        };
        proto.dtype = tensor.dtype().to_tensorflow();
        proto.tensor_shape = Some(TensorShapeProto::of(tensor.shape()));
        proto
    }
}

/// All values in the list of their type, and nothing else.
pub(super) fn list_values(data: &TensorData) -> TensorProto {
    fn ints<T: Copy + Into<i32>>(values: &[T]) -> Vec<i32> {
        values.iter().map(|&value| value.into()).collect()
    }
    let mut proto = TensorProto::default();
    match data {
        TensorData::F32(values) => proto.float_val.clone_from(values),
        TensorData::F64(values) => proto.double_val.clone_from(values),
        TensorData::I8(values) => proto.int_val = ints(values),
        TensorData::U8(values) => proto.int_val = ints(values),
        TensorData::I16(values) => proto.int_val = ints(values),
        TensorData::U16(values) => proto.int_val = ints(values),
        TensorData::I32(values) => proto.int_val.clone_from(values),
        TensorData::U32(values) => proto.uint32_val.clone_from(values),
        TensorData::I64(values) => proto.int64_val.clone_from(values),
        TensorData::U64(values) => proto.uint64_val.clone_from(values),
        TensorData::Bool(values) => proto.bool_val.clone_from(values),
        TensorData::F16(values) | TensorData::BF16(values) => proto.half_val = ints(values),
        TensorData::String(values) => proto.string_val.clone_from(values),
    }
    proto
}

#[cfg(test)]
mod tests;
