//! WebP: lossy, lossless, with alpha (dropped), and the first frame of animations.

use image_webp::{DecodingError, WebPDecoder};

use super::{DecodeOptions, Decoded, Orientation, zeros};
use crate::{Error, Image, Result};

/// Decodes a WebP file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut decoder = WebPDecoder::new(std::io::Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    // RGBA twice (canvas and frame) and the RGB that is kept.
    options.limits.check(width, height, 4 + 4 + 3)?;
    decoder.set_memory_limit(usize::try_from(options.limits.max_bytes).unwrap_or(usize::MAX));
    let length = decoder.output_buffer_size();
    let mut pixels = zeros(length.ok_or_else(|| Error::damaged("WebP: impossible size"))?)?;
    decoder.read_image(&mut pixels).map_err(failed)?;
    if decoder.has_alpha() {
        pixels = pixels.as_chunks().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    }
    let exif = decoder.exif_metadata().ok().flatten();
    let orientation = exif.map(|e| Orientation::from_exif_block(&e)).unwrap_or_default();
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation })
}

fn failed(error: DecodingError) -> Error {
    match error {
        DecodingError::MemoryLimitExceeded => {
            Error::limit("WebP: decoding would take more memory than the limit")
        }
        error => Error::damaged(format!("WebP: {error}")),
    }
}
