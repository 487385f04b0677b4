//! NumPy archives as a [`Source`]: MobileNet V1's weights by slim's, Keras's or timm's names, and the
//! size and normalisation of the images as the arrays `image_size`, `image_mean` and `image_std`.

use mobilenet_formats::{Tensor, npy};

use super::safetensors::{IMAGE_DEVIATION, IMAGE_MEAN, IMAGE_SIZE};
use super::slim::{self, About};
use super::{Candidate, Source, Wanted};
use crate::error::Result;
use crate::normalization::Normalization;

/// Reads every array.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let mut arrays = npy::read_archive(file.bytes, wanted.limits)?;
    let size = arrays.remove(IMAGE_SIZE);
    let image_size = size.and_then(|size| match size.as_i64()? {
        &[height, width] => Some([usize::try_from(height).ok()?, usize::try_from(width).ok()?]),
        _ => None,
    });
    let normalization = match (arrays.remove(IMAGE_MEAN), arrays.remove(IMAGE_DEVIATION)) {
        (Some(mean), Some(deviation)) => {
            let numbers = |array: &Tensor| array.as_f32().map(<[f32]>::to_vec).unwrap_or_default();
            Some(Normalization::from_slices(&numbers(&mean), &numbers(&deviation))?)
        }
        _ => None,
    };
    slim::source(wanted, &arrays, About { image_size, normalization, ..About::default() })
}
