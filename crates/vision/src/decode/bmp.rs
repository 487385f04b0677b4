//! BMP.

use zune_bmp::BmpDecoder;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::{DecodeOptions, Decoded, Orientation, repeat_grey, zeros};
use crate::{Error, Image, Result};

/// Decodes a BMP file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let settings = DecoderOptions::default().set_max_width(1 << 26).set_max_height(1 << 26);
    let mut decoder = BmpDecoder::new_with_options(ZCursor::new(bytes), settings);
    decoder.decode_headers().map_err(failed)?;
    let size = decoder.dimensions().ok_or_else(|| Error::damaged("BMP: no size"))?;
    let (width, height) = size;
    options.limits.check(width, height, 4 + 3)?;
    let mut pixels = zeros(decoder.output_buf_size().unwrap_or(0))?;
    decoder.decode_into(&mut pixels).map_err(failed)?;
    let pixels = match decoder.colorspace() {
        Some(ColorSpace::RGB) => pixels,
        Some(ColorSpace::RGBA) => {
            pixels.as_chunks().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()
        }
        Some(ColorSpace::Luma) => repeat_grey(pixels),
        other => return Err(Error::unsupported(format!("BMP: pixels of kind {other:?}"))),
    };
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation: Orientation::Upright })
}

fn failed(error: zune_bmp::BmpDecoderErrors) -> Error {
    Error::damaged(format!("BMP: {error:?}"))
}
