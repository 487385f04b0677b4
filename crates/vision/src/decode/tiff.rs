//! TIFF: the first picture; grey and palettes of 1 to 8 bits, grey, RGB and CMYK of 8 or 16, YCbCr of 8;
//! samples side by side or in separate planes, alpha dropped.
//!
//! The `tiff` crate unpacks and undoes WhiteIsZero; here its samples become RGB. It refuses palettes,
//! so it is shown a copy of the file that says its indices are grey. Floats, Lab, YCbCr of fewer
//! colours than pixels (but in JPEG strips) and of other primaries are errors that say so.

use std::borrow::Cow;
use std::io::Cursor;

use ::tiff::decoder::{DecodingResult, Limits, ifd::Value};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};

use super::jpeg::ycc_to_rgb;
use super::{DecodeOptions, Decoded, Orientation, ink_to_rgb, repeat_grey};
use crate::{Error, Image, Result};

type Decoder<'a> = ::tiff::decoder::Decoder<Cursor<Cow<'a, [u8]>>>;

/// Decodes the first picture of a TIFF file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = usize::try_from(options.limits.max_bytes).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    let (bytes, has_palette) = match without_palette(bytes) {
        Some(copy) => (Cow::Owned(copy), true),
        None => (Cow::Borrowed(bytes), false),
    };
    let decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let mut decoder = decoder.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let (width, height) = (width as usize, height as usize);
    let color = decoder.colortype().map_err(failed)?;
    let sample_bytes = u64::from(color.num_samples()) * u64::from(color.bit_depth().div_ceil(8));
    options.limits.check(width, height, 3 * sample_bytes + 3)?;
    if matches!(color, ColorType::YCbCr(_)) {
        check_primaries(&mut decoder)?;
    }
    let orientation = decoder.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten();
    let orientation = Orientation::from_exif(orientation.unwrap_or(1));
    let samples = read(&mut decoder)?;
    let pixels = match (has_palette, color) {
        (true, ColorType::Gray(bits)) => Some(look_up(&mut decoder, bits, &samples, width)?),
        (true, _) => None,
        (false, color) => to_rgb(color, &samples, width),
    };
    let pixels = pixels.ok_or_else(|| {
        let with = if has_palette { " with a palette" } else { "" };
        Error::unsupported(format!("TIFF: pixels of kind {color:?}{with} are not decoded here"))
    })?;
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation })
}

/// A copy of a file whose first picture has a palette that says it is grey; `None` for all others.
fn without_palette(bytes: &[u8]) -> Option<Vec<u8>> {
    const PHOTOMETRIC: u16 = 262;
    const PALETTE: u16 = 3;
    let little = bytes.starts_with(b"II");
    let u16_at = |at: usize| {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let four = *bytes.get(4..)?.first_chunk()?;
    let start = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize;
    let entries = (0..usize::from(u16_at(start)?)).map(|i| start + 2 + i * 12);
    let entry = entries.into_iter().find(|&at| u16_at(at) == Some(PHOTOMETRIC))?;
    if u16_at(entry + 8)? != PALETTE {
        return None;
    }
    let mut copy = bytes.to_vec();
    let grey = if little { [1, 0] } else { [0, 1] };
    *copy.get_mut(entry + 8..)?.first_chunk_mut()? = grey;
    Some(copy)
}

/// All samples, those of a pixel side by side, of 8 bits (of 16 the high byte).
fn read(decoder: &mut Decoder<'_>) -> Result<Vec<u8>> {
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(failed)?;
    if samples.as_buffer(0).as_bytes().len() < layout.complete_len {
        return Err(failed(TiffError::LimitsExceeded));
    }
    let (samples, bytes) = match samples {
        DecodingResult::U8(samples) => (samples, 1),
        DecodingResult::U16(samples) => (samples.iter().map(|v| (v >> 8) as u8).collect(), 2),
        _ => {
            let text = "TIFF: only unsigned samples of up to 16 bits are decoded";
            return Err(Error::unsupported(text));
        }
    };
    match layout.plane_stride {
        Some(stride) if layout.planes > 1 => Ok(interleave(&samples, stride.get() / bytes)),
        _ => Ok(samples),
    }
}

/// Planes of `length` samples, one sample of each in turn.
fn interleave(planes: &[u8], length: usize) -> Vec<u8> {
    let count = planes.len() / length.max(1);
    let mut samples = vec![0; count * length];
    for (i, plane) in planes.chunks_exact(length.max(1)).enumerate() {
        let places = samples.iter_mut().skip(i).step_by(count);
        places.zip(plane).for_each(|(place, &sample)| *place = sample);
    }
    samples
}

/// An error unless YCbCr is meant as JFIF means it, which is also what the tags' absence means.
fn check_primaries(decoder: &mut Decoder<'_>) -> Result<()> {
    let expected: [(Tag, &[f64]); 2] = [
        (Tag::Unknown(529), &[0.299, 0.587, 0.114]),
        (Tag::Unknown(532), &[0.0, 255.0, 128.0, 255.0, 128.0, 255.0]),
    ];
    for (tag, expected) in expected {
        let Some(value) = decoder.find_tag(tag).map_err(failed)? else { continue };
        let given = rationals(value);
        let near = given.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3);
        if given.len() != expected.len() || !near {
            return Err(Error::unsupported(format!(
                "TIFF: YCbCr with primaries or ranges {given:?} is not decoded here"
            )));
        }
    }
    Ok(())
}

fn rationals(value: Value) -> Vec<f64> {
    match value {
        Value::List(values) => values.into_iter().flat_map(rationals).collect(),
        Value::Rational(a, b) => vec![f64::from(a) / f64::from(b)],
        _ => Vec::new(),
    }
}

/// Indices of `bits` bits to the colours of the file's palette: all reds, all greens, all blues, of
/// 16 bits, or of 8 where none is larger.
fn look_up(decoder: &mut Decoder<'_>, bits: u8, samples: &[u8], width: usize) -> Result<Vec<u8>> {
    let colors = decoder.find_tag_unsigned_vec::<u16>(Tag::ColorMap).map_err(failed)?;
    let colors = colors.ok_or_else(|| Error::damaged("TIFF: the palette is missing"))?;
    let shift = if colors.iter().all(|&v| v < 256) { 0 } else { 8 };
    let colors: Vec<u8> = colors.iter().map(|v| (v >> shift) as u8).collect();
    let color = |index: u8| {
        let channel = |channel: usize| {
            colors.get((channel << bits) + usize::from(index)).copied().unwrap_or(0)
        };
        [channel(0), channel(1), channel(2)]
    };
    match bits {
        _ if colors.len() != 3 << bits => Err(Error::damaged(format!(
            "TIFF: a palette of {} values for indices of {bits} bits",
            colors.len()
        ))),
        1 | 2 | 4 => Ok(unpack(samples, bits, width).flat_map(color).collect()),
        8 => Ok(samples.iter().flat_map(|&index| color(index)).collect()),
        _ => Err(Error::unsupported(format!("TIFF: a palette with indices of {bits} bits"))),
    }
}

/// Samples of `color`, rows of `width` pixels, as RGB; `None` where the kind is not known here.
fn to_rgb(color: ColorType, samples: &[u8], width: usize) -> Option<Vec<u8>> {
    Some(match color {
        ColorType::Gray(bits @ (1 | 2 | 4)) => {
            let top = (1u16 << bits) - 1;
            let grey = unpack(samples, bits, width).map(|v| u16::from(v) * 255 / top);
            repeat_grey(grey.map(|v| v as u8))
        }
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
        ColorType::YCbCr(8) => {
            samples.as_chunks().0.iter().flat_map(|&pixel| ycc_to_rgb(pixel)).collect()
        }
        _ => return None,
    })
}

/// Samples of 1, 2 or 4 bits, rows padded to whole bytes.
fn unpack(packed: &[u8], bits: u8, width: usize) -> impl Iterator<Item = u8> {
    let per_byte = usize::from(8 / bits);
    let top = (1u8 << bits) - 1;
    packed.chunks(width.div_ceil(per_byte).max(1)).flat_map(move |row| {
        (0..width).map(move |x| {
            let byte = row.get(x / per_byte).copied().unwrap_or(0);
            byte >> (8 - usize::from(bits) * (x % per_byte + 1)) & top
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

    /// A picture 3 wide and 2 high of these strips, one a plane, with these tags of 16 bits.
    fn file(strips: &[&[u8]], tags: &[(u16, &[u16])]) -> Vec<u8> {
        let mut bytes = b"II*\0\0\0\0\0".to_vec();
        let strips = strips.iter().map(|strip| (append(&mut bytes, strip), strip.len() as u32));
        let (places, lengths): (Vec<u32>, Vec<u32>) = strips.unzip();
        let long =
            |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut entries = vec![(273, 4, long(&places)), (279, 4, long(&lengths))];
        for (tag, values) in
            [(256, &[3][..]), (257, &[2]), (259, &[1]), (278, &[2])].iter().chain(tags)
        {
            let values = values.iter().flat_map(|v: &u16| v.to_le_bytes()).collect();
            entries.push((*tag, 3, values));
        }
        entries.sort_unstable();
        let mut list = (entries.len() as u16).to_le_bytes().to_vec();
        for (tag, kind, mut values) in entries {
            let count = values.len() as u32 / if kind == 3 { 2 } else { 4 };
            if values.len() > 4 {
                values = append(&mut bytes, &values).to_le_bytes().to_vec();
            }
            values.resize(4, 0);
            list.extend([tag, kind].map(u16::to_le_bytes).concat());
            list.extend([&count.to_le_bytes()[..], &values].concat());
        }
        list.extend([0; 4]);
        let start = append(&mut bytes, &list);
        bytes[4..8].copy_from_slice(&start.to_le_bytes());
        bytes
    }

    /// Where `more` came to lie in `bytes`.
    fn append(bytes: &mut Vec<u8>, more: &[u8]) -> u32 {
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let at = bytes.len() as u32;
        bytes.extend(more);
        at
    }

    fn pixels(bytes: &[u8]) -> Result<Vec<u8>> {
        decode(bytes, &DecodeOptions::default()).map(|decoded| decoded.image.into_pixels())
    }

    #[test]
    fn palettes_give_their_colours_whatever_their_depth() {
        let two = [0x0000, 0x1234, 0xFF00, 0x8000, 0x0000, 0x4000];
        let bits = file(
            &[&[0b0100_0000, 0b1010_0000]],
            &[(262, &[3]), (258, &[1]), (277, &[1]), (320, &two)],
        );
        let (first, second) = ([0, 0xFF, 0], [0x12, 0x80, 0x40]);
        let expected = [first, second, first, second, first, second].concat();
        assert_eq!(pixels(&bits).unwrap(), expected);

        // Colours of 8 bits, as some programs write them.
        let map: Vec<u16> = (0..768).map(|i| i % 256 / if i < 256 { 1 } else { 2 }).collect();
        let tags: [(u16, &[u16]); 4] = [(262, &[3]), (258, &[8]), (277, &[1]), (320, &map)];
        let bytes = file(&[&[0, 1, 9, 200, 254, 255]], &tags);
        assert_eq!(pixels(&bytes).unwrap()[9..15], [200, 100, 100, 254, 127, 127]);
        let short = file(&[&[0; 6]], &[(262, &[3]), (258, &[8]), (277, &[1]), (320, &two)]);
        assert_eq!(pixels(&short).unwrap_err().kind(), crate::ErrorKind::Damaged);
        let none = file(&[&[0; 6]], &[(262, &[3]), (258, &[8]), (277, &[1])]);
        assert_eq!(pixels(&none).unwrap_err().kind(), crate::ErrorKind::Damaged);
    }

    #[test]
    fn planes_become_pixels() {
        let planes: [&[u8]; 3] = [&[1, 2, 3, 4, 5, 6], &[11, 12, 13, 14, 15, 16], &[21; 6]];
        let tags: [(u16, &[u16]); 4] = [(262, &[2]), (258, &[8; 3]), (277, &[3]), (284, &[2])];
        let expected: Vec<u8> = (1..7).flat_map(|v| [v, v + 10, 21]).collect();
        assert_eq!(pixels(&file(&planes, &tags)).unwrap(), expected);

        let wide = planes.map(|plane| plane.iter().flat_map(|&v| [99, v]).collect::<Vec<u8>>());
        let tags: [(u16, &[u16]); 4] = [(262, &[2]), (258, &[16; 3]), (277, &[3]), (284, &[2])];
        let wide = file(&[&wide[0], &wide[1], &wide[2]], &tags);
        assert_eq!(pixels(&wide).unwrap(), expected);
    }

    #[test]
    fn luma_and_chroma_become_colours() {
        let strip = [
            [128; 3],
            [255, 128, 128],
            [76, 85, 255],
            [0, 128, 128],
            [150, 44, 21],
            [29, 255, 107],
        ];
        let tags: [(u16, &[u16]); 4] = [(262, &[6]), (258, &[8; 3]), (277, &[3]), (530, &[1, 1])];
        let colors = pixels(&file(&[&strip.concat()], &tags)).unwrap();
        assert_eq!(colors[..6], [128, 128, 128, 255, 255, 255]);
        assert_eq!(colors[6..], [254, 0, 0, 0, 0, 0, 0, 255, 1, 0, 0, 254]);
        let halved = file(&[&strip.concat()], &[(530, &[2, 2]), tags[0], tags[1], tags[2]]);
        assert_eq!(pixels(&halved).unwrap_err().kind(), crate::ErrorKind::Unsupported);
    }

    #[test]
    fn small_grey_depths_stretch_to_the_full_range() {
        let ones = to_rgb(ColorType::Gray(1), &[0b1010_0000, 0b0100_0000], 3).unwrap();
        assert_eq!(ones, repeat_grey([255, 0, 255, 0, 255, 0]));
        let fours = to_rgb(ColorType::Gray(4), &[0x0F, 0x80], 3).unwrap();
        assert_eq!(fours, repeat_grey([0, 255, 136]));
    }
}
