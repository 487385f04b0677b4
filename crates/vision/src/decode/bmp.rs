//! BMP: 1 to 32 bits a pixel, palettes, bit masks, run lengths; alpha dropped.
//!
//! The file is a header of 14 bytes (magic, where the pixels start), an information header that
//! says its own length (12 bytes in OS/2's, 40 to 124 in Windows'), bit masks, a palette, and rows
//! padded to four bytes, bottom row first unless the height is negative. Run lengths are in
//! `runs`. Read here because the crates at hand fill missing pixels with black and say nothing.

mod runs;

use super::{DecodeOptions, Decoded, Orientation, zeros};
use crate::{Error, Image, Result};

/// The file header: magic, file size, reserved, offset of the pixels.
const FILE_HEADER: usize = 14;

/// How pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    Plain,
    Runs8,
    Runs4,
}

/// What the headers say.
struct Header<'a> {
    width: usize,
    height: usize,
    top_down: bool,
    bits: u16,
    storage: Storage,
    masks: [u32; 3],
    palette: Vec<[u8; 3]>,
    pixels: &'a [u8],
}

/// Decodes a BMP file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let header = Header::read(bytes, options)?;
    let (width, height) = (header.width, header.height);
    let mut pixels = zeros(width * height * 3)?;
    let rows = pixels.chunks_exact_mut(width * 3);
    match (header.storage, header.top_down) {
        (Storage::Plain, true) => header.plain(rows)?,
        (Storage::Plain, false) => header.plain(rows.rev())?,
        _ => header.runs(rows.rev())?,
    }
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation: Orientation::Upright })
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8], options: &DecodeOptions) -> Result<Self> {
        let start = u32_at(bytes, 10)? as usize;
        let length = u32_at(bytes, FILE_HEADER)? as usize;
        let old = length == 12;
        if !old && !(40..=124).contains(&length) {
            return Err(Error::unsupported(format!(
                "BMP: an information header of {length} bytes"
            )));
        }
        let (width, height, bits) = if old {
            let side = |at| u16_at(bytes, at).map(i64::from);
            (side(18)?, side(20)?, u16_at(bytes, 24)?)
        } else {
            let side = |at| u32_at(bytes, at).map(|v| i64::from(v.cast_signed()));
            (side(18)?, side(22)?, u16_at(bytes, 28)?)
        };
        let size = |side: i64| usize::try_from(side).unwrap_or(0);
        let (top_down, width, height) = (height < 0, size(width), size(height.abs()));
        options.limits.check(width, height, 3)?;
        let compression = if old { 0 } else { u32_at(bytes, 30)? };
        let storage = storage(compression, bits)?;
        let masked = matches!(compression, 3 | 6);
        let masks = match (masked, bits) {
            (true, _) => [u32_at(bytes, 54)?, u32_at(bytes, 58)?, u32_at(bytes, 62)?],
            (false, 16) => [0x7C00, 0x3E0, 0x1F],
            (false, _) => [0xFF_0000, 0xFF00, 0xFF],
        };
        // With the 40-byte header, masks follow it; longer headers hold them.
        let extra = match compression {
            3 if length == 40 => 12,
            6 if length == 40 => 16,
            _ => 0,
        };
        let palette = match bits {
            ..=8 => {
                let used = if old { 0 } else { u32_at(bytes, 46)? };
                let from = FILE_HEADER + length + extra;
                palette(bytes, from, if old { 3 } else { 4 }, (used, bits))?
            }
            _ => Vec::new(),
        };
        let pixels = bytes.get(start..).unwrap_or(&[]);
        Ok(Self { width, height, top_down, bits, storage, masks, palette, pixels })
    }

    /// Unpacks rows in the order they are stored.
    fn plain<'p>(&self, rows: impl Iterator<Item = &'p mut [u8]>) -> Result<()> {
        let row_bits = self.width as u64 * u64::from(self.bits);
        let stride = row_bits.div_ceil(32) * 4;
        let used = row_bits.div_ceil(8) as usize;
        for (y, row) in rows.enumerate() {
            let start = usize::try_from(y as u64 * stride).unwrap_or(usize::MAX);
            let line = self.pixels.get(start..).and_then(|rest| rest.get(..used));
            let line = line.ok_or_else(|| {
                Error::damaged(format!("BMP: the file ends after {y} of {} rows", self.height))
            })?;
            self.unpack(line, row.as_chunks_mut().0);
        }
        Ok(())
    }

    /// One row of packed pixels to RGB.
    fn unpack(&self, line: &[u8], row: &mut [[u8; 3]]) {
        match self.bits {
            1 | 2 | 4 | 8 => {
                let bits = usize::from(self.bits);
                for (x, pixel) in row.iter_mut().enumerate() {
                    let byte = line.get(x * bits / 8).copied().unwrap_or(0);
                    let index = byte >> (8 - bits - x * bits % 8) & (0xFF >> (8 - bits)) as u8;
                    *pixel = self.color(index);
                }
            }
            16 => {
                let values = line.as_chunks().0.iter().map(|b| u32::from(u16::from_le_bytes(*b)));
                row.iter_mut().zip(values).for_each(|(pixel, v)| *pixel = self.masked(v));
            }
            24 => {
                let values = line.as_chunks().0;
                row.iter_mut().zip(values).for_each(|(pixel, &[b, g, r])| *pixel = [r, g, b]);
            }
            _ => {
                let values = line.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b));
                row.iter_mut().zip(values).for_each(|(pixel, v)| *pixel = self.masked(v));
            }
        }
    }

    fn runs<'p>(&self, rows: impl Iterator<Item = &'p mut [u8]>) -> Result<()> {
        let mut rows: Vec<&mut [[u8; 3]]> = rows.map(|row| row.as_chunks_mut().0).collect();
        runs::unpack(self.pixels, self.storage == Storage::Runs4, |x, y, index| {
            if let Some(pixel) = rows.get_mut(y).and_then(|row| row.get_mut(x)) {
                *pixel = self.color(index);
            }
            y < self.height
        })
    }

    /// The palette's colour; black outside it.
    fn color(&self, index: u8) -> [u8; 3] {
        self.palette.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// The three masked fields of a pixel, each stretched to 0..=255.
    fn masked(&self, pixel: u32) -> [u8; 3] {
        self.masks.map(|mask| match mask {
            0 => 0,
            _ => {
                let (shift, top) = (mask.trailing_zeros(), mask >> mask.trailing_zeros());
                (u64::from((pixel & mask) >> shift) * 255 / u64::from(top)) as u8
            }
        })
    }
}

fn storage(compression: u32, bits: u16) -> Result<Storage> {
    match (compression, bits) {
        (0, 1 | 2 | 4 | 8 | 16 | 24 | 32) | (3 | 6, 16 | 32) => Ok(Storage::Plain),
        (1, 8) => Ok(Storage::Runs8),
        (2, 4) => Ok(Storage::Runs4),
        _ => Err(Error::unsupported(format!(
            "BMP: {bits} bits a pixel in compression {compression}"
        ))),
    }
}

/// The palette: blue, green, red (and a spare byte in Windows' files).
fn palette(
    bytes: &[u8],
    from: usize,
    entry: usize,
    (used, bits): (u32, u16),
) -> Result<Vec<[u8; 3]>> {
    let most = 1u32 << bits;
    let count = if used == 0 { most } else { used.min(most) } as usize;
    let entries = bytes.get(from..).unwrap_or(&[]).chunks_exact(entry).take(count);
    let palette: Vec<_> =
        entries.filter_map(|e| e.first_chunk().map(|&[b, g, r]| [r, g, b])).collect();
    if palette.is_empty() {
        return Err(Error::damaged("BMP: the file ends in its palette"));
    }
    Ok(palette)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map(|b| u16::from_le_bytes(*b)).ok_or_else(|| short(at))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map(|b| u32::from_le_bytes(*b)).ok_or_else(|| short(at))
}

fn short(at: usize) -> Error {
    Error::damaged(format!("BMP: the file ends in its header, at byte {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    /// A file of a 40-byte header, then `rest` (masks, palette, pixels) with the pixels at `skip`.
    fn file(size: (i32, i32), bits: u16, compression: u32, rest: &[u8], skip: u32) -> Vec<u8> {
        let mut bytes = b"BM".to_vec();
        for field in [0, 0, 54 + skip, 40, size.0.cast_unsigned(), size.1.cast_unsigned()] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend([1, 0]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(compression.to_le_bytes());
        bytes.extend([0; 20]);
        bytes.extend(rest);
        bytes
    }

    fn pixels(bytes: &[u8]) -> Vec<u8> {
        decode(bytes, &DecodeOptions::default()).unwrap().into_pixels()
    }

    #[test]
    fn rows_are_stored_bottom_up_unless_the_height_is_negative() {
        let rest = [1, 2, 3, 0, 4, 5, 6, 0];
        assert_eq!(pixels(&file((1, 2), 24, 0, &rest, 0)), [6, 5, 4, 3, 2, 1]);
        assert_eq!(pixels(&file((1, -2), 24, 0, &rest, 0)), [3, 2, 1, 6, 5, 4]);
    }

    #[test]
    fn masks_of_five_and_six_bits_reach_white() {
        let plain = file((2, 1), 16, 0, &[0xFF, 0x7F, 0, 0x7C], 0);
        assert_eq!(pixels(&plain), [255, 255, 255, 255, 0, 0]);
        let masks = [0, 0xF8, 0, 0, 0xE0, 7, 0, 0, 0x1F, 0, 0, 0, 0xE0, 7, 0, 0];
        assert_eq!(pixels(&file((1, 1), 16, 3, &masks, 12)), [0, 255, 0]);
    }

    #[test]
    fn small_indices_are_read_from_the_high_bits() {
        let rest = [1, 1, 1, 0, 2, 2, 2, 0, 0b0100_0000, 0, 0, 0];
        assert_eq!(pixels(&file((3, 1), 1, 0, &rest, 8)), [1, 1, 1, 2, 2, 2, 1, 1, 1]);
    }

    #[test]
    fn runs_literals_jumps_and_ends_are_followed() {
        let palette: Vec<u8> = (0..=255).flat_map(|i| [i, i, i, 0]).collect();
        // Two 7s; next row: literal 1 2 3; the end.
        let rest = [&palette[..], &[2, 7, 0, 0, 0, 3, 1, 2, 3, 0, 0, 1]].concat();
        let red: Vec<u8> =
            pixels(&file((3, 2), 8, 1, &rest, 1024)).iter().step_by(3).copied().collect();
        assert_eq!(red, [1, 2, 3, 7, 7, 0]);
    }

    #[test]
    fn every_cut_of_a_file_is_an_error() {
        let whole = file((1, 2), 24, 0, &[1, 2, 3, 0, 4, 5, 6], 0);
        assert_eq!(pixels(&whole).len(), 6);
        for end in 2..whole.len() {
            assert!(decode(&whole[..end], &DecodeOptions::default()).is_err(), "cut at {end}");
        }
    }
}
