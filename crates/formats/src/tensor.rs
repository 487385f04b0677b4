//! The host tensor: a shape and its values in row-major order, as every format reads and writes it.
//!
//! No arithmetic and no layout but row-major; the engine packs values for its kernels.

mod dtype;

pub use dtype::DType;

use crate::{Error, ErrorKind, Result};

/// The values of a [`Tensor`], row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// `float32`
    F32(Vec<f32>),
    /// `float64`
    F64(Vec<f64>),
    /// `int8`, also `qint8`
    I8(Vec<i8>),
    /// `uint8`, also `quint8`
    U8(Vec<u8>),
    /// `int16`, also `qint16`
    I16(Vec<i16>),
    /// `uint16`, also `quint16`
    U16(Vec<u16>),
    /// `int32`, also `qint32`
    I32(Vec<i32>),
    /// `uint32`
    U32(Vec<u32>),
    /// `int64`
    I64(Vec<i64>),
    /// `uint64`
    U64(Vec<u64>),
    /// `bool`
    Bool(Vec<bool>),
    /// `float16`, as bits
    F16(Vec<u16>),
    /// `bfloat16`, as bits
    BF16(Vec<u16>),
    /// `string`: any bytes
    String(Vec<Vec<u8>>),
}

/// Runs `$body` with `$values` bound to the vector of whichever variant `$data` is.
macro_rules! each_variant {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            TensorData::F32($values) => $body,
            TensorData::F64($values) => $body,
            TensorData::I8($values) => $body,
            TensorData::U8($values) => $body,
            TensorData::I16($values) => $body,
            TensorData::U16($values) => $body,
            TensorData::I32($values) => $body,
            TensorData::U32($values) => $body,
            TensorData::I64($values) => $body,
            TensorData::U64($values) => $body,
            TensorData::Bool($values) => $body,
            TensorData::F16($values) => $body,
            TensorData::BF16($values) => $body,
            TensorData::String($values) => $body,
        }
    };
}

impl TensorData {
    /// How many values there are.
    pub fn len(&self) -> usize {
        each_variant!(self, values => values.len())
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            TensorData::F32(_) => DType::F32,
            TensorData::F64(_) => DType::F64,
            TensorData::I8(_) => DType::I8,
            TensorData::U8(_) => DType::U8,
            TensorData::I16(_) => DType::I16,
            TensorData::U16(_) => DType::U16,
            TensorData::I32(_) => DType::I32,
            TensorData::U32(_) => DType::U32,
            TensorData::I64(_) => DType::I64,
            TensorData::U64(_) => DType::U64,
            TensorData::Bool(_) => DType::Bool,
            TensorData::F16(_) => DType::F16,
            TensorData::BF16(_) => DType::BF16,
            TensorData::String(_) => DType::String,
        }
    }
}

/// A tensor on the host: `shape` (outermost dimension first; `[]` is a scalar) and row-major `data`
/// with as many values as the product of the shape.
///
/// ```
/// use mobilenet_formats::{DType, Tensor};
///
/// let tensor = Tensor::new([2, 3], vec![0f32, 1., 2., 3., 4., 5.])?;
/// assert_eq!(tensor.dtype(), DType::F32);
/// assert_eq!(tensor.as_f32().map(|values| values[5]), Some(5.0));
/// assert!(Tensor::new([2, 2], vec![0f32; 3]).is_err());
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of `shape` with `data` in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] when the number of values is not the product of the shape.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<TensorData>) -> Result<Self> {
        let (shape, data) = (shape.into(), data.into());
        match element_count(&shape) {
            Some(count) if count == data.len() => Ok(Tensor { shape, data }),
            _ => {
                let message = format!("{} values do not fill shape {shape:?}", data.len());
                Err(Error::new(ErrorKind::Mismatch, message))
            }
        }
    }

    /// A tensor of shape `[]` or of one dimension needs no check: a vector of all values.
    pub fn vector(data: impl Into<TensorData>) -> Self {
        let data = data.into();
        Tensor { shape: vec![data.len()], data }
    }

    /// Outermost dimension first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, row-major.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The values, taken out.
    pub fn into_data(self) -> TensorData {
        self.data
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Number of values: the product of the shape.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether some dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The same values under another shape.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] when the product of `shape` is not the number of values.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        Tensor::new(shape, self.data)
    }
}

/// The product of `shape`, or `None` when it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))
}

/// For each element type: the accessor of the tensor and the conversion into [`TensorData`].
macro_rules! element_types {
    ($($variant:ident $type:ty, $as_ref:ident, $as_mut:ident, $name:literal;)*) => {
        impl Tensor {
            $(
                #[doc = concat!("The values, if the tensor is ", $name, ".")]
                pub fn $as_ref(&self) -> Option<&[$type]> {
                    match &self.data {
                        TensorData::$variant(values) => Some(values),
                        _ => None,
                    }
                }

                #[doc = concat!("The values to change in place, if the tensor is ", $name, ".")]
                pub fn $as_mut(&mut self) -> Option<&mut [$type]> {
                    match &mut self.data {
                        TensorData::$variant(values) => Some(values),
                        _ => None,
                    }
                }
            )*
        }
    };
}

element_types! {
    F32 f32, as_f32, as_f32_mut, "`float32`";
    F64 f64, as_f64, as_f64_mut, "`float64`";
    I8 i8, as_i8, as_i8_mut, "`int8`";
    U8 u8, as_u8, as_u8_mut, "`uint8`";
    I16 i16, as_i16, as_i16_mut, "`int16`";
    U16 u16, as_u16, as_u16_mut, "`uint16`";
    I32 i32, as_i32, as_i32_mut, "`int32`";
    U32 u32, as_u32, as_u32_mut, "`uint32`";
    I64 i64, as_i64, as_i64_mut, "`int64`";
    U64 u64, as_u64, as_u64_mut, "`uint64`";
    Bool bool, as_bool, as_bool_mut, "`bool`";
    F16 u16, as_f16_bits, as_f16_bits_mut, "`float16` (bits)";
    BF16 u16, as_bf16_bits, as_bf16_bits_mut, "`bfloat16` (bits)";
    String Vec<u8>, as_strings, as_strings_mut, "`string` (bytes)";
}

macro_rules! from_vec {
    ($($variant:ident $type:ty),*) => {
        $(impl From<Vec<$type>> for TensorData {
            fn from(values: Vec<$type>) -> Self {
                TensorData::$variant(values)
            }
        })*
    };
}

from_vec!(
    F32 f32, F64 f64, I8 i8, U8 u8, I16 i16, U16 u16, I32 i32, U32 u32, I64 i64, U64 u64, Bool bool,
    String Vec<u8>
);
