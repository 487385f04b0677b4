//! `.npz`: a zip of one `.npy` file for each array.

use std::collections::BTreeMap;

use crate::error::Within;
use crate::{Error, ErrorKind, Limits, MemoryFiles, Result, Tensor, zipped};

/// Whether `bytes` are a zip whose first entry is an array.
#[must_use]
pub fn detect_archive(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
    bytes.starts_with(b"PK\x03\x04") && head.windows(4).any(|part| part == b".npy")
}

/// Every array of an archive, by name.
///
/// ```
/// use std::collections::BTreeMap;
/// use mobilenet_formats::{Limits, Tensor, npy};
///
/// let arrays = BTreeMap::from([("a/b".to_owned(), Tensor::vector(vec![1f32, 2.0]))]);
/// let bytes = npy::write_archive(&arrays)?;
/// assert!(npy::detect_archive(&bytes));
/// assert_eq!(npy::read_archive(&bytes, &Limits::default())?, arrays);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
///
/// # Errors
/// What is wrong with the zip or an array; [`ErrorKind::Unsupported`] for other files in it.
pub fn read_archive(bytes: &[u8], limits: &Limits) -> Result<BTreeMap<String, Tensor>> {
    let files = zipped::unpack(bytes, limits).within(|| "npz")?;
    let array = |(path, bytes): (&str, &[u8])| {
        let name = path.strip_suffix(".npy").ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "no array").within(path).within("npz")
        })?;
        Ok((name.to_owned(), super::read(bytes, limits).within(|| path)?))
    };
    files.iter().map(array).collect()
}

/// An uncompressed archive of `arrays`. The same arrays always give the same bytes.
///
/// # Errors
/// As [`write()`](super::write()), or [`ErrorKind::Malformed`] for an archive that is too large.
pub fn write_archive(arrays: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let mut files = MemoryFiles::default();
    for (name, array) in arrays {
        files.insert(format!("{name}.npy"), super::write(array).within(|| name.clone())?);
    }
    zipped::append(Vec::new(), &files)
}
