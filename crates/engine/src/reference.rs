//! Host tensors as plain numbers, for reference evaluation and constant folding.
//!
//! Everything is computed in `f64` (floats) or `i64` (integers and truth values) and rounded
//! once on the way out. Slow and simple: kernels are held against this, users never run it.

use std::borrow::Cow;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::facts;

/// The elements of a tensor, widened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    Real(Vec<f64>),
    Whole(Vec<i64>),
}

/// The elements of a floating-point tensor as `f64`.
pub(crate) fn reals(tensor: &Tensor) -> Result<Vec<f64>> {
    match numbers(tensor)? {
        Numbers::Real(values) => Ok(values),
        Numbers::Whole(_) => {
            Err(Error::dtype(format!("floating point wanted, got {}", tensor.dtype())))
        }
    }
}

/// The elements of an integer tensor; `None` for other dtypes.
pub(crate) fn integers(tensor: &Tensor) -> Option<Vec<i64>> {
    match numbers(tensor).ok()? {
        Numbers::Whole(values) => Some(values),
        Numbers::Real(_) => None,
    }
}

/// The elements of a floating-point tensor as `f32`, each rounded once.
pub(crate) fn singles(tensor: &Tensor) -> Result<Cow<'_, [f32]>> {
    match tensor.data() {
        TensorData::F32(values) => Ok(Cow::Borrowed(values)),
        _ => Ok(reals(tensor)?.into_iter().map(|value| value as f32).collect()),
    }
}

/// The same values in double precision, if they are floating point.
pub(crate) fn widened(tensor: &Arc<Tensor>) -> Result<Arc<Tensor>> {
    match tensor.dtype() {
        DType::F32 => Ok(Arc::new(real(DType::F64, tensor.shape(), reals(tensor)?)?)),
        _ => Ok(Arc::clone(tensor)),
    }
}

/// The elements of any numeric tensor.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Numbers> {
    fn whole<T: Copy + Into<i64>>(values: &[T]) -> Numbers {
        Numbers::Whole(values.iter().map(|&value| value.into()).collect())
    }
    Ok(match tensor.data() {
        TensorData::F32(v) => Numbers::Real(v.iter().map(|&value| value.into()).collect()),
        TensorData::F64(v) => Numbers::Real(v.clone()),
        TensorData::I8(v) => whole(v),
        TensorData::U8(v) => whole(v),
        TensorData::I16(v) => whole(v),
        TensorData::U16(v) => whole(v),
        TensorData::I32(v) => whole(v),
        TensorData::I64(v) => whole(v),
        TensorData::Bool(v) => Numbers::Whole(v.iter().map(|&value| value.into()).collect()),
        _ => return Err(Error::unsupported(format!("no arithmetic on {}", tensor.dtype()))),
    })
}

/// A tensor of `dtype` and `shape` from widened numbers.
///
/// # Errors
/// `Shape` where the count does not match, `DType` where the kind does not, `Unsupported` for
/// dtypes without arithmetic.
pub(crate) fn tensor(dtype: DType, shape: &[usize], numbers: Numbers) -> Result<Tensor> {
    let data = match (dtype, numbers) {
        (DType::F32, Numbers::Real(v)) => {
            TensorData::F32(v.into_iter().map(|value| value as f32).collect())
        }
        (DType::F64, Numbers::Real(v)) => TensorData::F64(v),
        (DType::I64, Numbers::Whole(v)) => TensorData::I64(v),
        (DType::I32, Numbers::Whole(v)) => TensorData::I32(narrow(v)?),
        (DType::U8, Numbers::Whole(v)) => TensorData::U8(narrow(v)?),
        (DType::I8, Numbers::Whole(v)) => TensorData::I8(narrow(v)?),
        (DType::Bool, Numbers::Whole(v)) => {
            TensorData::Bool(v.into_iter().map(|value| value != 0).collect())
        }
        (dtype, _) => return Err(Error::dtype(format!("no reference value of dtype {dtype}"))),
    };
    Tensor::new(shape.to_vec(), data)
        .map_err(|error| Error::shape("value and shape disagree").with_source(error))
}

fn narrow<T: TryFrom<i64>>(values: Vec<i64>) -> Result<Vec<T>> {
    let narrowed: Option<Vec<T>> =
        values.into_iter().map(|value| T::try_from(value).ok()).collect();
    narrowed.ok_or_else(|| Error::dtype("an integer does not fit its dtype"))
}

/// A floating-point tensor of `dtype`.
pub(crate) fn real(dtype: DType, shape: &[usize], values: Vec<f64>) -> Result<Tensor> {
    tensor(dtype, shape, Numbers::Real(values))
}

/// The same elements under another shape.
pub(crate) fn reshaped(tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
    Tensor::new(shape.to_vec(), tensor.data().clone())
        .map_err(|error| Error::shape("reshape changes the element count").with_source(error))
}

/// Row-major strides of `shape`, in elements.
pub(crate) fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    let mut stride = 1;
    for (entry, &dim) in strides.iter_mut().zip(shape).rev() {
        *entry = stride;
        stride *= dim;
    }
    strides
}

/// Row-major strides of `shape`, 0 along dimensions of one element, so that the same index
/// walks a broadcast operand.
pub(crate) fn broadcast_strides(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut strides = vec![0; rank];
    let mut stride = 1;
    for (i, &dim) in shape.iter().enumerate().rev() {
        let slot = i + rank.saturating_sub(shape.len());
        if let Some(entry) = strides.get_mut(slot) {
            *entry = if dim == 1 { 0 } else { stride };
        }
        stride *= dim;
    }
    strides
}

/// NumPy's broadcasting of two concrete shapes.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], i: usize| {
        (i + shape.len()).checked_sub(rank).and_then(|i| shape.get(i).copied()).unwrap_or(1)
    };
    let dims: Option<Vec<usize>> = (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect();
    dims.ok_or_else(|| {
        let (a, b) = (facts::Shape::known(a), facts::Shape::known(b));
        Error::shape(format!("shapes {a} and {b} do not broadcast"))
    })
}

/// Calls `visit(offsets)` for each element of `shape` in row-major order, with the offset into
/// each operand that `strides` describes.
pub(crate) fn walk<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    mut visit: impl FnMut([usize; N]),
) {
    let count: usize = shape.iter().product();
    let mut index = vec![0usize; shape.len()];
    for _ in 0..count {
        visit(strides.map(|strides| index.iter().zip(strides).map(|(i, s)| i * s).sum()));
        for (i, &dim) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < dim {
                break;
            }
            *i = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        assert_eq!(broadcast(&[2, 1, 3], &[4, 1]).unwrap(), [2, 4, 3]);
        assert_eq!(broadcast(&[], &[5]).unwrap(), [5]);
        assert!(broadcast(&[2], &[3]).is_err());
    }

    #[test]
    fn walking_a_broadcast_operand_repeats_it() {
        let mut seen = Vec::new();
        let strides = [broadcast_strides(&[3], 2), broadcast_strides(&[2, 1], 2)];
        walk(&[2, 3], [&strides[0], &strides[1]], |offsets| seen.push(offsets));
        assert_eq!(seen, [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]);
    }

    #[test]
    fn values_round_once_and_keep_their_kind() {
        let third = real(DType::F32, &[1], vec![1.0 / 3.0]).unwrap();
        assert_eq!(*singles(&third).unwrap(), [1.0f32 / 3.0]);
        assert!(tensor(DType::I32, &[1], Numbers::Whole(vec![1 << 40])).is_err());
        assert!(real(DType::I32, &[1], vec![0.5]).is_err());
    }
}
