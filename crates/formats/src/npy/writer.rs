//! Writes a [`Tensor`] as a `.npy` file, byte for byte as NumPy does: version 1.0, row-major,
//! little-endian, values at a multiple of 64 bytes.

use super::MAGIC;
use super::header;
use crate::elements;
use crate::{Error, ErrorKind, Result, Tensor};

/// Writes one array.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for strings and `bfloat16`, which NumPy does not have.
pub fn write(tensor: &Tensor) -> Result<Vec<u8>> {
    let dtype = tensor.dtype();
    let descr = header::descr(dtype).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("NumPy has no type {dtype}")).within("npy")
    })?;
    let values = elements::to_le_bytes(tensor.data())?;
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': {}, }}",
        tuple(tensor.shape())
    );
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let len = u16::try_from(header.len())
        .map_err(|_| Error::new(ErrorKind::Limit, "the shape has too many dimensions"))?;

    let mut out = Vec::with_capacity(MAGIC.len() + 4 + header.len() + values.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&values);
    Ok(out)
}

/// A Python tuple: `()`, `(3,)`, `(2, 3)`.
fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}
