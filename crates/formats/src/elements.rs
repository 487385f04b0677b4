//! Tensor values as little-endian bytes and back, shared by every format that stores them so.

use crate::{DType, Error, ErrorKind, Result, TensorData};

/// The values in `bytes`, row-major and little-endian; the caller has checked limits.
///
/// # Errors
/// [`ErrorKind::Mismatch`] when `bytes` is no whole number of elements, [`ErrorKind::Unsupported`]
/// for types without a fixed size and complex numbers.
pub(crate) fn from_le_bytes(dtype: DType, bytes: &[u8]) -> Result<TensorData> {
    let mut data = with_capacity(dtype, bytes.len() / dtype.size().unwrap_or(1))?;
    push_le_bytes(&mut data, bytes)?;
    Ok(data)
}

/// No values yet, and room for `count` of them; the caller has checked limits.
///
/// # Errors
/// [`ErrorKind::Unsupported`] as [`from_le_bytes`].
pub(crate) fn with_capacity(dtype: DType, count: usize) -> Result<TensorData> {
    Ok(match dtype {
        DType::F32 => TensorData::F32(Vec::with_capacity(count)),
        DType::F64 => TensorData::F64(Vec::with_capacity(count)),
        DType::F16 => TensorData::F16(Vec::with_capacity(count)),
        DType::BF16 => TensorData::BF16(Vec::with_capacity(count)),
        DType::I8 | DType::QI8 => TensorData::I8(Vec::with_capacity(count)),
        DType::U8 | DType::QU8 => TensorData::U8(Vec::with_capacity(count)),
        DType::I16 | DType::QI16 => TensorData::I16(Vec::with_capacity(count)),
        DType::U16 | DType::QU16 => TensorData::U16(Vec::with_capacity(count)),
        DType::I32 | DType::QI32 => TensorData::I32(Vec::with_capacity(count)),
        DType::U32 => TensorData::U32(Vec::with_capacity(count)),
        DType::I64 => TensorData::I64(Vec::with_capacity(count)),
        DType::U64 => TensorData::U64(Vec::with_capacity(count)),
        DType::Bool => TensorData::Bool(Vec::with_capacity(count)),
        DType::String | DType::Complex64 | DType::Complex128 | DType::Resource | DType::Variant => {
            return Err(Error::new(ErrorKind::Unsupported, format!("values of type {dtype}")));
        }
    })
}

/// Appends the values in `bytes`, little-endian.
///
/// # Errors
/// As [`from_le_bytes`].
pub(crate) fn push_le_bytes(data: &mut TensorData, bytes: &[u8]) -> Result<()> {
    let dtype = data.dtype();
    macro_rules! numbers {
        ($values:expr, $number:ty) => {{
            let (chunks, rest) = bytes.as_chunks();
            if !rest.is_empty() {
                let message = format!("{} bytes are no whole number of {dtype}", bytes.len());
                return Err(Error::new(ErrorKind::Mismatch, message));
            }
            $values.extend(chunks.iter().map(|chunk| <$number>::from_le_bytes(*chunk)));
        }};
    }
    match data {
        TensorData::F32(values) => numbers!(values, f32),
        TensorData::F64(values) => numbers!(values, f64),
        TensorData::I8(values) => numbers!(values, i8),
        TensorData::U8(values) => values.extend_from_slice(bytes),
        TensorData::I16(values) => numbers!(values, i16),
        TensorData::U16(values) | TensorData::F16(values) | TensorData::BF16(values) => {
            numbers!(values, u16);
        }
        TensorData::I32(values) => numbers!(values, i32),
        TensorData::U32(values) => numbers!(values, u32),
        TensorData::I64(values) => numbers!(values, i64),
        TensorData::U64(values) => numbers!(values, u64),
        TensorData::Bool(values) => values.extend(bytes.iter().map(|&byte| byte != 0)),
        TensorData::String(_) => {
            return Err(Error::new(ErrorKind::Unsupported, "strings have no fixed size"));
        }
    }
    Ok(())
}

/// The values as bytes, row-major and little-endian.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for strings.
pub(crate) fn to_le_bytes(data: &TensorData) -> Result<Vec<u8>> {
    macro_rules! bytes {
        ($values:expr) => {
            $values.iter().map(|value| value.to_le_bytes()).collect::<Vec<_>>().into_flattened()
        };
    }
    Ok(match data {
        TensorData::F32(values) => bytes!(values),
        TensorData::F64(values) => bytes!(values),
        TensorData::I8(values) => bytes!(values),
        TensorData::U8(values) => values.clone(),
        TensorData::I16(values) => bytes!(values),
        TensorData::U16(values) | TensorData::F16(values) | TensorData::BF16(values) => {
            bytes!(values)
        }
        TensorData::I32(values) => bytes!(values),
        TensorData::U32(values) => bytes!(values),
        TensorData::I64(values) => bytes!(values),
        TensorData::U64(values) => bytes!(values),
        TensorData::Bool(values) => values.iter().map(|&value| u8::from(value)).collect(),
        TensorData::String(_) => {
            return Err(Error::new(ErrorKind::Unsupported, "strings have no fixed size"));
        }
    })
}
