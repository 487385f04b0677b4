//! Huffman tables: a prefix code of up to 16 bits for each symbol, laid out for fast decoding.
//!
//! An AC symbol says how many zeros to skip and how many bits of value follow. Where code and
//! value together fit in ten bits, one look at the next ten bits gives all three.

use crate::{Error, Result};

/// Bits that `fast` looks at.
pub(super) const FAST_BITS: u32 = 10;

pub(super) struct Table {
    /// By the next ten bits. With a value in the high half: the bits to consume (0..=7), the zeros
    /// to skip (8..=15), the value (16..=31). Without: the code's length (0 if longer than ten
    /// bits) and the symbol in the same places.
    pub(super) fast: [u32; 1 << FAST_BITS],
    /// By length: the first code of 16 bits that is longer.
    limits: [u32; 17],
    /// By length: what to add to a code to get its place in `symbols`.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    /// From the number of codes of each length 1 to 16, and their symbols.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Box<Self>> {
        let mut table = Box::new(Self {
            fast: [0; 1 << FAST_BITS],
            limits: [0; 17],
            offsets: [0; 17],
            symbols: [0; 256],
        });
        table.symbols.iter_mut().zip(values).for_each(|(symbol, &value)| *symbol = value);
        let (mut code, mut place) = (0u32, 0u32);
        let lengths = (1..=16u32).zip(counts);
        for ((length, &count), (limit, offset)) in
            lengths.zip(table.limits.iter_mut().zip(&mut table.offsets).skip(1))
        {
            *offset = place as i32 - code as i32;
            code += u32::from(count);
            place += u32::from(count);
            if code > 1 << length {
                return Err(Error::damaged("JPEG: a Huffman table has too many codes"));
            }
            *limit = code << (16 - length);
            code <<= 1;
        }
        for (bits, entry) in (0u32..).zip(0..1 << FAST_BITS) {
            let value = table.entry(bits);
            if let Some(slot) = table.fast.get_mut(entry) {
                *slot = value;
            }
        }
        Ok(table)
    }

    /// The symbol and length of the code that starts these 16 bits; `None` if there is none.
    #[inline]
    pub(super) fn find(&self, bits: u32) -> Option<(u8, u32)> {
        let found = (1..=16).zip(self.limits.iter().skip(1)).find(|&(_, &limit)| bits < limit);
        let (length, _) = found?;
        let offset = self.offsets.get(length as usize)?;
        let place = (bits >> (16 - length)) as i32 + offset;
        Some((*self.symbols.get(place as usize)?, length))
    }

    /// The entry of `fast` for these ten bits.
    fn entry(&self, bits: u32) -> u32 {
        let Some((symbol, length)) = self.find(bits << (16 - FAST_BITS)) else { return 0 };
        if length > FAST_BITS {
            return 0;
        }
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let total = length + size;
        if size == 0 || total > FAST_BITS {
            return length | u32::from(symbol) << 8;
        }
        let raw = (bits >> (FAST_BITS - total)) & ((1 << size) - 1);
        total | run << 8 | (extend(raw, size) as u32) << 16
    }
}

/// A value of `size` bits (at least one) as JPEG codes it: those without the high bit are negative.
#[inline(always)]
pub(super) fn extend(raw: u32, size: u32) -> i32 {
    let half = 1 << (size - 1);
    if raw < half { raw as i32 - (2 * half as i32) + 1 } else { raw as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_by_length_and_by_the_fast_table() {
        // Lengths 2, 3, 3 and 12: codes 00, 010, 011, 100000000000.
        let mut counts = [0; 16];
        (counts[1], counts[2], counts[11]) = (1, 2, 1);
        let table = Table::new(&counts, &[0x11, 0x00, 0xF2, 0x05]).unwrap();
        assert_eq!(table.find(0b0011 << 12), Some((0x11, 2)));
        assert_eq!(table.find(0b0101 << 12), Some((0x00, 3)));
        assert_eq!(table.find(0x8000), Some((0x05, 12)));
        assert_eq!(table.find(0xFFFF), None);
        // 00 and the value bit 1: skip one zero, value 1, three bits in all.
        assert_eq!(table.fast[0b00_1000_0000], 3 | 1 << 8 | 1 << 16);
        assert_eq!(table.fast[0b00_0000_0000], 3 | 1 << 8 | (-1i32 as u32) << 16);
        assert_eq!(table.fast[0b010 << 7], 3);
        assert_eq!(table.fast[0x200], 0);
    }

    #[test]
    fn too_many_codes_are_an_error() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Table::new(&counts, &[1, 2, 3]).is_err());
    }
}
