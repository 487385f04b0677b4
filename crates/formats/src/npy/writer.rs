//! Writes a [`Tensor`] as a `.npy` file, byte for byte as NumPy does: version 1.0, row-major,
//! little-endian, values at a multiple of 64 bytes.

use super::MAGIC;
use super::header::descr;
use crate::elements;
use crate::{DType, Error, ErrorKind, Result, Tensor};

/// Writes one array.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for strings and `bfloat16`, which NumPy does not have.
pub fn write(tensor: &Tensor) -> Result<Vec<u8>> {
    let mut out = header(tensor.dtype(), tensor.shape(), 0)?;
    out.extend_from_slice(&elements::to_le_bytes(tensor.data())?);
    Ok(out)
}

/// What comes before the values of an array of `shape`: a multiple of 64 bytes, and not fewer than
/// `at_least`.
///
/// For writing row by row: keep the room that a header with very many rows takes, then fill in
/// the header with the real number.
///
/// ```
/// use mobilenet_formats::{DType, npy};
///
/// let room = npy::header(DType::F32, &[usize::MAX, 256], 0)?.len();
/// assert_eq!(npy::header(DType::F32, &[3, 256], room)?.len(), room);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
///
/// # Errors
/// As [`write()`].
pub fn header(dtype: DType, shape: &[usize], at_least: usize) -> Result<Vec<u8>> {
    let descr = descr(dtype).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("NumPy has no type {dtype}")).within("npy")
    })?;
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {}, }}", tuple(shape));
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    let padded = unpadded.max(at_least).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', padded - unpadded));
    header.push('\n');
    let len = u16::try_from(header.len())
        .map_err(|_| Error::new(ErrorKind::Limit, "the shape has too many dimensions"))?;

    let mut out = Vec::with_capacity(padded);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    Ok(out)
}

/// A Python tuple: `()`, `(3,)`, `(2, 3)`.
fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}
