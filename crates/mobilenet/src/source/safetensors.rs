//! safetensors as a [`Source`]: MobileNet V1 under slim's, Keras's or timm's names. Our own files
//! say in their metadata what the network wants to see, and the names of its classes.

use std::collections::BTreeMap;

use mobilenet_formats::safetensors::SafeTensors;
use mobilenet_vision::Labels;

use super::slim::{self, About, Tensors};
use super::{Candidate, Source, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;

/// The key under which our files keep `HEIGHTxWIDTH`.
pub(crate) const IMAGE_SIZE: &str = "image_size";

/// The keys for what [`Normalization`] holds: one number each for red, green and blue.
pub(crate) const IMAGE_MEAN: &str = "image_mean";
/// As [`IMAGE_MEAN`].
pub(crate) const IMAGE_DEVIATION: &str = "image_std";
/// The key for the names of the classes, one in a line.
pub(crate) const LABELS: &str = "labels";

/// What [`IMAGE_SIZE`] says: `[height, width]`.
pub(super) fn image_size(text: &str) -> Option<[usize; 2]> {
    let (height, width) = text.split_once('x')?;
    Some([height.parse().ok()?, width.parse().ok()?])
}

/// Reads every tensor.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let stored = SafeTensors::read(file.bytes, wanted.limits)?;
    let mut tensors = Tensors::new();
    for name in stored.names() {
        tensors.insert(name.to_owned(), stored.tensor(name)?);
    }
    let image_size = stored.metadata().get(IMAGE_SIZE).and_then(|text| image_size(text));
    let about = About {
        image_size,
        normalization: normalization(stored.metadata())?,
        labels: stored
            .metadata()
            .get(LABELS)
            .map(|text| Labels::parse(text.as_bytes()))
            .transpose()?,
        ..About::default()
    };
    slim::source(wanted, &tensors, about)
}

fn normalization(metadata: &BTreeMap<String, String>) -> Result<Option<Normalization>> {
    let (Some(mean), Some(deviation)) = (metadata.get(IMAGE_MEAN), metadata.get(IMAGE_DEVIATION))
    else {
        return Ok(None);
    };
    let numbers = |text: &str| text.split(',').map(|number| number.trim().parse().ok()).collect();
    let read = |text: &str| -> Result<Vec<f32>> {
        let wrong =
            || Error::new(ErrorKind::Format, format!("the metadata say {text:?} of images"));
        let found: Option<Vec<f32>> = numbers(text);
        found.ok_or_else(wrong)
    };
    Normalization::from_slices(&read(mean)?, &read(deviation)?).map(Some)
}
