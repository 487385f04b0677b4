//! Reads a `.npy` file into a [`Tensor`]; column-major and big-endian files become row-major and
//! native.

use super::MAGIC;
use super::header::{self, Header};
use crate::elements;
use crate::error::Within;
use crate::tensor::element_count;
use crate::{Error, ErrorKind, Limits, Result, Tensor};

/// Longest header read: NumPy's own take some 80 bytes.
const HEADER_BYTES: usize = 64 << 10;

/// Reads one array.
///
/// # Errors
/// [`ErrorKind::Malformed`] or [`ErrorKind::Truncated`] for bytes that are no `.npy` file,
/// [`ErrorKind::Unsupported`] for strings, objects and records, [`ErrorKind::Limit`] beyond
/// `limits.tensor_bytes` or `limits.rank`, [`ErrorKind::Mismatch`] where values are left over.
///
/// ```
/// use mobilenet_formats::{Limits, Tensor, npy};
///
/// let bytes = npy::write(&Tensor::new([2, 2], vec![1f32, 2., 3., 4.])?)?;
/// let tensor = npy::read(&bytes, &Limits::default())?;
/// assert_eq!(tensor.shape(), [2, 2]);
/// assert_eq!(tensor.as_f32(), Some(&[1., 2., 3., 4.][..]));
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Tensor> {
    let (header, values) = split(bytes).within(|| "npy")?;
    let header = header::parse(header, limits).within(|| "header").within(|| "npy")?;
    tensor(&header, values, limits).within(|| "npy")
}

/// The header's text and the bytes of the values.
fn split(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        Error::new(ErrorKind::Malformed, "the file does not begin with \\x93NUMPY").offset(0)
    })?;
    let (len, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [1..=3, ..] | [] => return Err(truncated(bytes, "the length of the header")),
        [major, ..] => {
            let message = format!("version {major} of the format");
            return Err(Error::new(ErrorKind::Unsupported, message).offset(6));
        }
    };
    Limits::check("bytes of the header", len as u64, HEADER_BYTES as u64)?;
    let (header, values) =
        rest.split_at_checked(len).ok_or_else(|| truncated(bytes, "the header"))?;
    let header = std::str::from_utf8(header)
        .map_err(|e| Error::new(ErrorKind::Malformed, "the header is not UTF-8").caused_by(e))?;
    Ok((header, values))
}

fn truncated(bytes: &[u8], what: &str) -> Error {
    Error::new(ErrorKind::Truncated, format!("the file ends inside {what}"))
        .offset(bytes.len() as u64)
}

fn tensor(header: &Header, values: &[u8], limits: &Limits) -> Result<Tensor> {
    let size = header.dtype.size().unwrap_or(1);
    let len = element_count(&header.shape)
        .and_then(|count| count.checked_mul(size))
        .ok_or_else(|| Error::new(ErrorKind::Limit, "the shape's product overflows"))?;
    Limits::check("bytes of the array", len as u64, limits.tensor_bytes)?;
    if values.len() != len {
        let kind = if values.len() < len { ErrorKind::Truncated } else { ErrorKind::Mismatch };
        let message = format!(
            "shape {:?} needs {len} bytes of values, there are {}",
            header.shape,
            values.len()
        );
        return Err(Error::new(kind, message));
    }
    let mut values = std::borrow::Cow::Borrowed(values);
    if header.big_endian {
        values.to_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if header.fortran_order && header.shape.len() > 1 {
        values = row_major(&header.shape, &values, size).into();
    }
    Tensor::new(header.shape.clone(), elements::from_le_bytes(header.dtype, &values)?)
}

/// Column-major elements of `size` bytes put in row-major order.
fn row_major(shape: &[usize], values: &[u8], size: usize) -> Vec<u8> {
    let mut ordered = Vec::with_capacity(values.len());
    let mut index = vec![0usize; shape.len()];
    while ordered.len() < values.len() {
        // Column-major: the first dimension is the fastest.
        let at = index.iter().zip(shape).rev().fold(0, |at, (&i, &dim)| at * dim + i);
        ordered.extend_from_slice(values.get(at * size..(at + 1) * size).unwrap_or_default());
        for (i, &dim) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < dim {
                break;
            }
            *i = 0;
        }
    }
    ordered
}
