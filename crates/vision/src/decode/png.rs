//! PNG: every colour type, depth and interlacing, and the `eXIf` chunk.
//!
//! The `png` crate inflates and unfilters; here its samples become RGB. A file whose picture is
//! complete is accepted even if what follows the picture is damaged.

use ::png::{BitDepth, ColorType, DecodingError, Transformations};

use super::{DecodeOptions, Decoded, Orientation, zeros};
use crate::{Error, Image, Result};

/// Decodes a PNG file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let limits =
        ::png::Limits { bytes: usize::try_from(options.limits.max_bytes).unwrap_or(usize::MAX) };
    let mut decoder = ::png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // 16-bit samples keep their high byte; palettes, low depths and transparency are expanded.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let header = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (header.width as usize, header.height as usize);
    // RGB, and an RGBA copy while it is taken apart (16 bits a sample if interlaced).
    options.limits.check(width, height, if header.interlaced { 3 + 8 } else { 3 })?;
    let mut reader = decoder.read_info().map_err(failed)?;
    let (color, depth) = reader.output_color_type();
    if depth != BitDepth::Eight {
        return Err(Error::unsupported(format!("PNG: samples of {depth:?} bits")));
    }
    let mut pixels = zeros(width * height * 3)?;
    if reader.info().interlaced {
        let mut whole = zeros(reader.output_buffer_size().unwrap_or(0))?;
        reader.next_frame(&mut whole).map_err(failed)?;
        to_rgb(color, &whole, &mut pixels);
    } else {
        for row in pixels.chunks_exact_mut(width * 3) {
            let line = reader.next_row().map_err(failed)?;
            let line = line.ok_or_else(|| Error::damaged("PNG: rows are missing"))?;
            to_rgb(color, line.data(), row);
        }
    }
    let exif = reader.info().exif_metadata.as_deref();
    let orientation = exif.map(Orientation::from_exif_block).unwrap_or_default();
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation })
}

/// Copies samples of `color` to RGB, dropping alpha.
fn to_rgb(color: ColorType, samples: &[u8], rgb: &mut [u8]) {
    let rgb = rgb.as_chunks_mut::<3>().0;
    match color {
        ColorType::Grayscale => {
            rgb.iter_mut().zip(samples).for_each(|(out, &v)| *out = [v; 3]);
        }
        ColorType::GrayscaleAlpha => {
            let samples = samples.as_chunks().0;
            rgb.iter_mut().zip(samples).for_each(|(out, &[v, _])| *out = [v; 3]);
        }
        ColorType::Rgb | ColorType::Indexed => {
            rgb.iter_mut().zip(samples.as_chunks().0).for_each(|(out, v)| *out = *v);
        }
        ColorType::Rgba => {
            let samples = samples.as_chunks().0;
            rgb.iter_mut().zip(samples).for_each(|(out, &[r, g, b, _])| *out = [r, g, b]);
        }
    }
}

fn failed(error: DecodingError) -> Error {
    match error {
        DecodingError::LimitsExceeded => {
            Error::limit("PNG: decoding would take more memory than the limit")
        }
        error => Error::damaged(format!("PNG: {}", plain(&error.to_string()))),
    }
}

/// The decoder's message with chunks by name alone; it prints all that it knows of them.
fn plain(message: &str) -> String {
    let (mut text, mut rest) = (String::new(), message);
    while let Some((before, after)) = rest.split_once("ChunkType { type: ") {
        let (chunk, after) = after.split_once('}').unwrap_or((after, ""));
        let name = chunk.split(", critical").next().unwrap_or_default();
        text.push_str(before);
        text.push_str(name);
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_told_by_name() {
        let chunk = "ChunkType { type: IHDR, critical: true, private: false }";
        let message = format!("Chunk {chunk} must lie before {chunk}.");
        assert_eq!(plain(&message), "Chunk IHDR must lie before IHDR.");
        assert_eq!(plain("ChunkType { type: cut"), "cut");
        assert_eq!(plain("rows are missing"), "rows are missing");
    }
}
