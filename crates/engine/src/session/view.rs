//! Tensors that are borrowed: how inputs come and outputs go without copies.

use mobilenet_formats::{DType, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::facts::elements;

/// The elements of a borrowed tensor, row-major.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Elements<'a> {
    /// `float32`
    F32(&'a [f32]),
    /// `int32`
    I32(&'a [i32]),
    /// `int64`
    I64(&'a [i64]),
    /// `uint8`
    U8(&'a [u8]),
    /// `int8`
    I8(&'a [i8]),
    /// `bool`, 0 or 1
    Bool(&'a [u8]),
}

impl<'a> Elements<'a> {
    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::I32(_) => DType::I32,
            Self::I64(_) => DType::I64,
            Self::U8(_) => DType::U8,
            Self::I8(_) => DType::I8,
            Self::Bool(_) => DType::Bool,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.bytes().len() / self.dtype().size().unwrap_or(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        match *self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::I32(values) => bytemuck::cast_slice(values),
            Self::I64(values) => bytemuck::cast_slice(values),
            Self::I8(values) => bytemuck::cast_slice(values),
            Self::U8(values) | Self::Bool(values) => values,
        }
    }

    fn from_bytes(dtype: DType, bytes: &'a [u8]) -> Result<Self> {
        fn cast<T: bytemuck::AnyBitPattern>(bytes: &[u8]) -> Result<&[T]> {
            bytemuck::try_cast_slice(bytes)
                .map_err(|_| Error::input("a tensor is not aligned to its elements"))
        }
        Ok(match dtype {
            DType::F32 => Self::F32(cast(bytes)?),
            DType::I32 => Self::I32(cast(bytes)?),
            DType::I64 => Self::I64(cast(bytes)?),
            DType::I8 => Self::I8(cast(bytes)?),
            DType::U8 => Self::U8(bytes),
            DType::Bool => Self::Bool(bytes),
            dtype => return Err(Error::unsupported(format!("{dtype} at run time"))),
        })
    }
}

/// A borrowed tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorView<'a> {
    /// Outermost dimension first.
    pub shape: &'a [usize],
    /// As many as the product of `shape`.
    pub elements: Elements<'a>,
}

impl<'a> TensorView<'a> {
    /// A view of `shape` on `elements`.
    ///
    /// # Errors
    /// `Input` where the count of elements is not the product of `shape`.
    ///
    /// ```
    /// use mobilenet_engine::{Elements, TensorView};
    ///
    /// assert!(TensorView::new(&[2, 2], Elements::F32(&[0.0; 4])).is_ok());
    /// assert!(TensorView::new(&[2, 2], Elements::F32(&[0.0; 3])).is_err());
    /// ```
    pub fn new(shape: &'a [usize], elements: Elements<'a>) -> Result<Self> {
        let count = crate::facts::elements(shape)?;
        if count != elements.len() {
            let message = format!("{} elements do not fill the shape {shape:?}", elements.len());
            return Err(Error::input(message));
        }
        Ok(Self { shape, elements })
    }

    /// A view of a host tensor.
    ///
    /// # Errors
    /// `Unsupported` for dtypes no plan runs on.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let elements = match tensor.data() {
            TensorData::F32(values) => Elements::F32(values),
            TensorData::I32(values) => Elements::I32(values),
            TensorData::I64(values) => Elements::I64(values),
            TensorData::U8(values) => Elements::U8(values),
            TensorData::I8(values) => Elements::I8(values),
            TensorData::Bool(values) => Elements::Bool(bytemuck::cast_slice(values)),
            other => return Err(Error::unsupported(format!("{} at run time", other.dtype()))),
        };
        Ok(Self { shape: tensor.shape(), elements })
    }

    pub(crate) fn from_bytes(shape: &'a [usize], dtype: DType, bytes: &'a [u8]) -> Result<Self> {
        let elements = Elements::from_bytes(dtype, bytes)?;
        debug_assert_eq!(crate::facts::elements(shape).ok(), Some(elements.len()));
        Ok(Self { shape, elements })
    }

    /// The elements, if they are `float32`.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        match self.elements {
            Elements::F32(values) => Some(values),
            _ => None,
        }
    }

    /// A host tensor with the same elements.
    ///
    /// # Errors
    /// `Shape` where the shape does not fit the elements.
    pub fn to_tensor(&self) -> Result<Tensor> {
        elements(self.shape)?;
        let data = match self.elements {
            Elements::F32(values) => TensorData::F32(values.to_vec()),
            Elements::I32(values) => TensorData::I32(values.to_vec()),
            Elements::I64(values) => TensorData::I64(values.to_vec()),
            Elements::U8(values) => TensorData::U8(values.to_vec()),
            Elements::I8(values) => TensorData::I8(values.to_vec()),
            Elements::Bool(values) => TensorData::Bool(values.iter().map(|&x| x != 0).collect()),
        };
        Tensor::new(self.shape, data)
            .map_err(|error| Error::shape("elements and shape disagree").with_source(error))
    }
}
