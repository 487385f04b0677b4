//! safetensors as a [`Source`]: MobileNet V1 under slim's, Keras's or timm's names. Our own files
//! say the size of the images in their metadata.

use mobilenet_formats::safetensors::{self, SafeTensors};

use super::slim::{self, About, Tensors};
use super::{Candidate, Source, Wanted};
use crate::error::Result;

/// The key under which our files keep `HEIGHTxWIDTH`.
pub(crate) const IMAGE_SIZE: &str = "image_size";

/// Whether the file begins with a header of this format.
pub(super) fn is(file: &Candidate<'_>) -> bool {
    safetensors::detect(file.bytes)
}

/// Reads every tensor.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let stored = SafeTensors::read(file.bytes, wanted.limits)?;
    let mut tensors = Tensors::new();
    for name in stored.names() {
        tensors.insert(name.to_owned(), stored.tensor(name)?);
    }
    let image_size = stored.metadata().get(IMAGE_SIZE).and_then(|text| {
        let (height, width) = text.split_once('x')?;
        Some([height.parse().ok()?, width.parse().ok()?])
    });
    slim::source(wanted, &tensors, About { image_size, ..About::default() })
}
