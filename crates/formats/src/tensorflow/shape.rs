//! `TensorShapeProto` to and from shapes, with every dimension checked.

use super::messages::{TensorShapeProto, tensor_shape_proto::Dim};
use crate::{Error, ErrorKind, Limits, Result};

impl TensorShapeProto {
    /// A fully known shape.
    pub fn of(shape: &[usize]) -> Self {
        let dim = |&size: &usize| Dim { size: size as i64, name: String::new() };
        TensorShapeProto { dim: shape.iter().map(dim).collect(), unknown_rank: false }
    }

    /// The shape with `None` for unknown dimensions (-1); `None` altogether when the rank is unknown.
    ///
    /// ```
    /// use mobilenet_formats::{Limits, tensorflow::messages::TensorShapeProto};
    ///
    /// let mut proto = TensorShapeProto::of(&[1, 192, 192, 3]);
    /// proto.dim[0].size = -1;
    /// let shape = proto.partial(&Limits::default())?;
    /// assert_eq!(shape, Some(vec![None, Some(192), Some(192), Some(3)]));
    /// # Ok::<(), mobilenet_formats::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a dimension below -1, [`ErrorKind::Limit`] for too many.
    pub fn partial(&self, limits: &Limits) -> Result<Option<Vec<Option<usize>>>> {
        if self.unknown_rank {
            return Ok(None);
        }
        Limits::check("dimensions", self.dim.len() as u64, limits.rank as u64)?;
        let dim = |(axis, dim): (usize, &Dim)| match dim.size {
            -1 => Ok(None),
            size => dimension(axis, size).map(Some),
        };
        self.dim.iter().enumerate().map(dim).collect::<Result<_>>().map(Some)
    }

    /// The shape of a tensor that has values.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for unknown rank and unknown or negative dimensions,
    /// [`ErrorKind::Limit`] for too many.
    pub fn known(&self, limits: &Limits) -> Result<Vec<usize>> {
        if self.unknown_rank {
            return Err(Error::new(ErrorKind::Malformed, "a tensor with values has no rank"));
        }
        Limits::check("dimensions", self.dim.len() as u64, limits.rank as u64)?;
        self.dim.iter().enumerate().map(|(axis, dim)| dimension(axis, dim.size)).collect()
    }
}

fn dimension(axis: usize, size: i64) -> Result<usize> {
    usize::try_from(size).map_err(|_| {
        Error::new(ErrorKind::Malformed, format!("dimension {axis} has the size {size}"))
    })
}

/// Elements of a tensor of `shape`, and their bytes at `element_bytes` each, within the limits.
pub(crate) fn checked_size(
    shape: &[usize],
    element_bytes: usize,
    limits: &Limits,
) -> Result<(usize, usize)> {
    let size = || {
        let count = crate::tensor::element_count(shape)?;
        Some((count, count.checked_mul(element_bytes)?))
    };
    let (count, bytes) = size().ok_or_else(|| {
        Error::new(ErrorKind::Malformed, format!("the size of shape {shape:?} overflows"))
    })?;
    Limits::check("bytes of the tensor", bytes as u64, limits.tensor_bytes)?;
    Ok((count, bytes))
}
