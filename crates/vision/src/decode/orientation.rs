//! EXIF orientation: reading the tag out of a TIFF directory, and turning pixels upright.
//!
//! Where the EXIF block lies in a file is the business of each format.

use crate::Image;

/// The tag's number in a TIFF directory.
const ORIENTATION_TAG: u16 = 0x0112;
/// `SHORT`, the type the tag has.
const TYPE_SHORT: u16 = 3;

/// How the stored rows and columns relate to the upright picture: EXIF's values 1 to 8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Orientation {
    #[default]
    Upright = 1,
    FlipHorizontal = 2,
    Rotate180 = 3,
    FlipVertical = 4,
    Transpose = 5,
    Rotate90 = 6,
    Transverse = 7,
    Rotate270 = 8,
}

impl Orientation {
    /// EXIF's value; anything but 1 to 8 counts as upright.
    pub fn from_exif(value: u16) -> Self {
        match value {
            2 => Self::FlipHorizontal,
            3 => Self::Rotate180,
            4 => Self::FlipVertical,
            5 => Self::Transpose,
            6 => Self::Rotate90,
            7 => Self::Transverse,
            8 => Self::Rotate270,
            _ => Self::Upright,
        }
    }

    /// Reads the tag from an EXIF block (a TIFF header and its first directory), with or without
    /// the leading `Exif\0\0`. A block without the tag, or a damaged one, counts as upright.
    pub fn from_exif_block(block: &[u8]) -> Self {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        Self::from_exif(orientation_tag(block).unwrap_or(1))
    }

    /// The picture turned upright.
    pub fn apply(self, image: Image) -> Image {
        if self == Self::Upright {
            return image;
        }
        let (height, width) = (image.height(), image.width());
        let (swap, flip_x, flip_y) = self.steps();
        let (out_height, out_width) = if swap { (width, height) } else { (height, width) };
        let source = image.pixels().as_chunks::<3>().0;
        let mut pixels = Vec::with_capacity(source.len() * 3);
        for y in 0..out_height {
            for x in 0..out_width {
                let (row, column) = if swap { (x, y) } else { (y, x) };
                let row = if flip_y { height - 1 - row } else { row };
                let column = if flip_x { width - 1 - column } else { column };
                pixels.extend_from_slice(source.get(row * width + column).unwrap_or(&[0; 3]));
            }
        }
        Image::new(out_height, out_width, pixels).unwrap_or(image)
    }

    /// (swap rows and columns, then read the columns backwards, read the rows backwards).
    fn steps(self) -> (bool, bool, bool) {
        match self {
            Self::Upright => (false, false, false),
            Self::FlipHorizontal => (false, true, false),
            Self::Rotate180 => (false, true, true),
            Self::FlipVertical => (false, false, true),
            Self::Transpose => (true, false, false),
            Self::Rotate90 => (true, false, true),
            Self::Transverse => (true, true, true),
            Self::Rotate270 => (true, true, false),
        }
    }
}

/// The value of the orientation tag in the first directory of a TIFF block.
fn orientation_tag(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..)?.first_chunk()?;
        Some(if little { u16::from_le_bytes(*bytes) } else { u16::from_be_bytes(*bytes) })
    };
    let offset = tiff.get(4..)?.first_chunk()?;
    let offset = if little { u32::from_le_bytes(*offset) } else { u32::from_be_bytes(*offset) };
    let directory = usize::try_from(offset).ok()?;
    let entries = usize::from(u16_at(directory)?);
    (0..entries)
        .map(|i| directory.saturating_add(2 + 12 * i))
        .take_while(|&at| at < tiff.len())
        .find(|&at| u16_at(at) == Some(ORIENTATION_TAG))
        .filter(|&at| u16_at(at + 2) == Some(TYPE_SHORT))
        .and_then(|at| u16_at(at + 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letter F in 2x3, red channel: 1 2 / 3 4 / 5 6.
    fn picture() -> Image {
        Image::new(3, 2, (1..=6).flat_map(|v| [v, 0, 0]).collect()).unwrap()
    }

    #[test]
    fn eight_orientations_turn_as_exif_says() {
        // What the stored picture looks like once upright, by EXIF 2.32 section 4.6.4.
        let cases: [(u16, usize, [u8; 6]); 8] = [
            (1, 3, [1, 2, 3, 4, 5, 6]),
            (2, 3, [2, 1, 4, 3, 6, 5]),
            (3, 3, [6, 5, 4, 3, 2, 1]),
            (4, 3, [5, 6, 3, 4, 1, 2]),
            (5, 2, [1, 3, 5, 2, 4, 6]),
            (6, 2, [5, 3, 1, 6, 4, 2]),
            (7, 2, [6, 4, 2, 5, 3, 1]),
            (8, 2, [2, 4, 6, 1, 3, 5]),
        ];
        for (value, height, expected) in cases {
            let upright = Orientation::from_exif(value).apply(picture());
            let red: Vec<u8> = upright.pixels().iter().step_by(3).copied().collect();
            assert_eq!(
                (upright.height(), &red[..]),
                (height, &expected[..]),
                "orientation {value}"
            );
        }
    }

    #[test]
    fn the_tag_is_read_in_both_byte_orders_and_damage_is_upright() {
        let little = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
        assert_eq!(Orientation::from_exif_block(little), Orientation::Rotate90);
        assert_eq!(Orientation::from_exif_block(big), Orientation::Rotate180);
        for end in 0..little.len() - 8 {
            let cut = Orientation::from_exif_block(&little[..end]);
            assert!(cut == Orientation::Upright || end > 24, "cut at {end}");
        }
        assert_eq!(Orientation::from_exif_block(b"II*\0\xff\xff\xff\xff"), Orientation::Upright);
    }
}
