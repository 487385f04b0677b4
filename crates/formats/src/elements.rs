//! Tensor values as little-endian bytes and back, shared by every format that stores them so.

use crate::{DType, Error, ErrorKind, Result, TensorData};

/// The values in `bytes`, row-major and little-endian; the caller has checked limits.
///
/// # Errors
/// [`ErrorKind::Mismatch`] when `bytes` is no whole number of elements, [`ErrorKind::Unsupported`]
/// for types without a fixed size and complex numbers.
pub(crate) fn from_le_bytes(dtype: DType, bytes: &[u8]) -> Result<TensorData> {
    macro_rules! numbers {
        ($number:ty) => {{
            let (chunks, rest) = bytes.as_chunks();
            if !rest.is_empty() {
                let message = format!("{} bytes are no whole number of {dtype}", bytes.len());
                return Err(Error::new(ErrorKind::Mismatch, message));
            }
            chunks.iter().map(|chunk| <$number>::from_le_bytes(*chunk)).collect::<Vec<_>>()
        }};
    }
    Ok(match dtype {
        DType::F32 => TensorData::F32(numbers!(f32)),
        DType::F64 => TensorData::F64(numbers!(f64)),
        DType::F16 => TensorData::F16(numbers!(u16)),
        DType::BF16 => TensorData::BF16(numbers!(u16)),
        DType::I8 | DType::QI8 => TensorData::I8(numbers!(i8)),
        DType::U8 | DType::QU8 => TensorData::U8(bytes.to_vec()),
        DType::I16 | DType::QI16 => TensorData::I16(numbers!(i16)),
        DType::U16 | DType::QU16 => TensorData::U16(numbers!(u16)),
        DType::I32 | DType::QI32 => TensorData::I32(numbers!(i32)),
        DType::U32 => TensorData::U32(numbers!(u32)),
        DType::I64 => TensorData::I64(numbers!(i64)),
        DType::U64 => TensorData::U64(numbers!(u64)),
        DType::Bool => TensorData::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
        DType::String | DType::Complex64 | DType::Complex128 | DType::Resource | DType::Variant => {
            return Err(Error::new(ErrorKind::Unsupported, format!("values of type {dtype}")));
        }
    })
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
