//! JPEG.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{DecodeOptions, Decoded, Orientation, ink_to_rgb, repeat_grey, zeros};
use crate::{Error, Image, Result};

/// Decodes a JPEG file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let settings = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(options.limits.max_scans as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), settings);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Error::damaged("no frame header"))?;
    options.limits.check(width, height, 3 + 6)?;
    let space = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        Some(ColorSpace::CMYK) => ColorSpace::CMYK,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(settings.jpeg_set_out_colorspace(space));
    let mut pixels = zeros(decoder.output_buffer_size().unwrap_or(0))?;
    decoder.decode_into(&mut pixels).map_err(damaged)?;
    let orientation = decoder.exif().map(|e| Orientation::from_exif_block(e)).unwrap_or_default();
    let pixels = match space {
        ColorSpace::Luma => repeat_grey(pixels),
        ColorSpace::CMYK => {
            pixels.as_chunks().0.iter().flat_map(|&inks| ink_to_rgb(inks)).collect()
        }
        _ => pixels,
    };
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation })
}

fn damaged(error: zune_jpeg::errors::DecodeErrors) -> Error {
    Error::damaged(format!("JPEG: {error}"))
}
