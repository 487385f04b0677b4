//! TIFF: the first picture; grey of 1 to 16 bits, RGB and CMYK of 8 or 16, alpha dropped.
//!
//! The `tiff` crate unpacks and undoes WhiteIsZero; here its samples become RGB. Palettes,
//! separate planes, floats and Lab are errors that say so.

use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};

use super::{DecodeOptions, Decoded, Orientation, ink_to_rgb, repeat_grey};
use crate::{Error, Image, Result};

/// Decodes the first picture of a TIFF file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = usize::try_from(options.limits.max_bytes).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    let decoder = Decoder::new(std::io::Cursor::new(bytes)).map_err(failed)?;
    let mut decoder = decoder.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let (width, height) = (width as usize, height as usize);
    let color = decoder.colortype().map_err(failed)?;
    let sample_bytes = u64::from(color.num_samples()) * u64::from(color.bit_depth().div_ceil(8));
    options.limits.check(width, height, 2 * sample_bytes + 3)?;
    let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(failed)?;
    if planar == Some(2) && color.num_samples() > 1 {
        return Err(Error::unsupported("TIFF: samples in separate planes are not decoded here"));
    }
    let orientation = decoder.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten();
    let orientation = Orientation::from_exif(orientation.unwrap_or(1));
    let samples = high_bytes(decoder.read_image().map_err(failed)?)?;
    let pixels = to_rgb(color, &samples, width).ok_or_else(|| {
        Error::unsupported(format!("TIFF: pixels of kind {color:?} are not decoded here"))
    })?;
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation })
}

/// Samples of 8 bits; of 16 bits the high byte.
fn high_bytes(samples: DecodingResult) -> Result<Vec<u8>> {
    match samples {
        DecodingResult::U8(samples) => Ok(samples),
        DecodingResult::U16(samples) => Ok(samples.iter().map(|v| (v >> 8) as u8).collect()),
        _ => Err(Error::unsupported("TIFF: only unsigned samples of up to 16 bits are decoded")),
    }
}

/// Samples of `color`, rows of `width` pixels, as RGB; `None` where the kind is not known here.
fn to_rgb(color: ColorType, samples: &[u8], width: usize) -> Option<Vec<u8>> {
    Some(match color {
        ColorType::Gray(bits @ (1 | 2 | 4)) => repeat_grey(unpack(samples, bits, width)),
        ColorType::Gray(8 | 16) => repeat_grey(samples.iter().copied()),
        ColorType::GrayA(8 | 16) | ColorType::Multiband { bit_depth: 8 | 16, num_samples: 2 } => {
            repeat_grey(samples.iter().step_by(2).copied())
        }
        ColorType::RGB(8 | 16) => samples.to_vec(),
        ColorType::RGBA(8 | 16) => {
            samples.as_chunks().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()
        }
        ColorType::CMYK(8 | 16) => {
            let inks = samples.as_chunks::<4>().0;
            inks.iter().flat_map(|inks| ink_to_rgb(inks.map(|v| 255 - v))).collect()
        }
        _ => return None,
    })
}

/// Grey samples of 1, 2 or 4 bits, rows padded to whole bytes, stretched to 0..=255.
fn unpack(packed: &[u8], bits: u8, width: usize) -> impl Iterator<Item = u8> {
    let per_byte = usize::from(8 / bits);
    let top = (1u16 << bits) - 1;
    packed.chunks(width.div_ceil(per_byte)).flat_map(move |row| {
        (0..width).map(move |x| {
            let byte = row.get(x / per_byte).copied().unwrap_or(0);
            let shift = 8 - usize::from(bits) * (x % per_byte + 1);
            ((u16::from(byte) >> shift & top) * 255 / top) as u8
        })
    })
}

fn failed(error: TiffError) -> Error {
    match error {
        TiffError::LimitsExceeded => {
            Error::limit("TIFF: decoding would take more memory than the limit")
        }
        TiffError::UnsupportedError(error) => Error::unsupported(format!("TIFF: {error}")),
        error => Error::damaged(format!("TIFF: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_grey_depths_stretch_to_the_full_range() {
        let ones: Vec<u8> = unpack(&[0b1010_0000, 0b0100_0000], 1, 3).collect();
        assert_eq!(ones, [255, 0, 255, 0, 255, 0]);
        let fours: Vec<u8> = unpack(&[0x0F, 0x80], 4, 3).collect();
        assert_eq!(fours, [0, 255, 136]);
    }
}
