//! NumPy archives as a [`Source`]: MobileNet V1's weights by slim's, Keras's or timm's names, and the
//! size of the images as the array `image_size`.

use mobilenet_formats::npy;

use super::safetensors::IMAGE_SIZE;
use super::slim::{self, About};
use super::{Candidate, Source, Wanted};
use crate::error::Result;

/// Whether the file is a zip of arrays.
pub(super) fn is(file: &Candidate<'_>) -> bool {
    npy::detect_archive(file.bytes)
}

/// Reads every array.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let mut arrays = npy::read_archive(file.bytes, wanted.limits)?;
    let size = arrays.remove(IMAGE_SIZE);
    let image_size = size.and_then(|size| match size.as_i64()? {
        &[height, width] => Some([usize::try_from(height).ok()?, usize::try_from(width).ok()?]),
        _ => None,
    });
    slim::source(wanted, &arrays, About { image_size, ..About::default() })
}
