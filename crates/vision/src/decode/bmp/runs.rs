//! BMP's run lengths (`BI_RLE8`, `BI_RLE4`): pairs of a count and a value, with escapes.
//!
//! `0 0` ends a row, `0 1` the picture, `0 2 dx dy` jumps, `0 n` starts n literal values padded to
//! two bytes. A count above zero repeats the value (in RLE4, its two halves in turn).

use crate::{Error, Result};

/// Calls `put(x, y, index)` for each pixel, rows in stored order; `put` says whether to go on.
pub(super) fn unpack(
    data: &[u8],
    four_bits: bool,
    mut put: impl FnMut(usize, usize, u8) -> bool,
) -> Result<()> {
    let (mut x, mut y) = (0usize, 0usize);
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next().ok_or_else(|| Error::damaged("BMP: the file ends in its runs"));
    loop {
        match (next()?, next()?) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => return Ok(()),
            (0, 2) => (x, y) = (x + usize::from(next()?), y + usize::from(next()?)),
            (0, count) => {
                let packed = if four_bits { count.div_ceil(2) } else { count };
                for i in 0..packed {
                    let values = split(next()?, four_bits);
                    let left = if four_bits { usize::from(count - 2 * i).min(2) } else { 1 };
                    for value in values.into_iter().take(left) {
                        put(x, y, value);
                        x += 1;
                    }
                }
                if packed % 2 == 1 {
                    next()?;
                }
            }
            (count, value) => {
                for value in split(value, four_bits).into_iter().cycle().take(usize::from(count)) {
                    if !put(x, y, value) {
                        return Ok(());
                    }
                    x += 1;
                }
            }
        }
    }
}

/// The one or two indices of a byte.
fn split(byte: u8, four_bits: bool) -> [u8; 2] {
    if four_bits { [byte >> 4, byte & 15] } else { [byte; 2] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_byte_take_turns() {
        let mut row = Vec::new();
        let put = |_, _, index| {
            row.push(index);
            true
        };
        unpack(&[3, 0x12, 0, 3, 0x45, 0x60, 0, 1], true, put).unwrap();
        assert_eq!(row, [1, 2, 1, 4, 5, 6]);
    }
}
