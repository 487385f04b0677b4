//! Huffman tables: a prefix code of up to 16 bits for each symbol, laid out for fast decoding.
//!
//! A symbol says how many zeros to skip (high four bits) and how many bits of value follow (low
//! four). One look at the next twelve bits gives zeros and value at once, for all but a few percent.

use crate::{Error, Result};

/// Bits that `fast` looks at.
pub(super) const FAST_BITS: u32 = 12;

/// Added to the advance of a symbol after which nothing comes in its block.
const END: u32 = 64;

/// What the next bits mean: how many they are (bits 0 to 7), how many coefficients to go forward
/// (8 to 15), and the value of the last of these (16 to 31).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step(u32);

impl Step {
    /// A code longer than the fast table looks at.
    const LONG: Self = Self(END << 8);

    /// A code of `code` bits for `symbol`, whose value ends where the fast table does not look.
    fn without_value(symbol: u8, code: u32) -> Self {
        Self(Self::LONG.0 | u32::from(symbol) << 16 | code << 24)
    }

    /// A code of `code` bits for `symbol`, and the value that follows it.
    fn new(symbol: u8, code: u32, value: i32) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let end = if size == 0 && run < 15 { END } else { 0 };
        Self((code + size) | (run + 1 + end) << 8 | (value as u32) << 16)
    }

    /// The number of bits; 0 for a step that is longer than the fast table knows.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 0xFF
    }

    /// Coefficients to go forward: past the last of a block if the block ends here.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 8 & 0xFF) as usize
    }

    /// The value of the last coefficient gone over; 0 if there is none.
    #[inline(always)]
    pub(super) fn value(self) -> i16 {
        (self.0.cast_signed() >> 16) as i16
    }

    /// Zeros to skip, the high half of the symbol; for scans where it may mean other things.
    #[inline(always)]
    pub(super) fn run(self) -> u32 {
        ((self.0 >> 8) - 1) & 15
    }
}

pub(super) struct Table {
    /// By the next twelve bits.
    pub(super) fast: [Step; 1 << FAST_BITS],
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
            fast: [Step::LONG; 1 << FAST_BITS],
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
        table.fill_fast(counts);
        Ok(table)
    }

    /// A code of `n` bits fills all entries that begin with it, in order of the value after it.
    fn fill_fast(&mut self, counts: &[u8; 16]) {
        let mut entries = self.fast.iter_mut();
        let mut symbols = self.symbols.iter();
        for (length, &count) in (1..=FAST_BITS).zip(counts) {
            for &symbol in symbols.by_ref().take(usize::from(count)) {
                let (left, size) = (FAST_BITS - length, u32::from(symbol & 15));
                let Some(free) = left.checked_sub(size) else {
                    let step = Step::without_value(symbol, length);
                    entries.by_ref().take(1 << left).for_each(|entry| *entry = step);
                    continue;
                };
                for raw in 0..1 << size {
                    let step = Step::new(symbol, length, signed(raw, size));
                    entries.by_ref().take(1 << free).for_each(|entry| *entry = step);
                }
            }
        }
    }

    /// The step that begins these bits, where the fast table gave `found`, which has no bits; bits
    /// that are no code count as symbol 0, as in libjpeg.
    #[inline(always)]
    pub(super) fn long(&self, bits: u64, found: Step) -> Step {
        let (symbol, length) = match ((found.0 >> 16) as u8, found.0 >> 24) {
            (_, 0) => self.find((bits >> 48) as u32).unwrap_or((0, 16)),
            known => known,
        };
        let size = u32::from(symbol & 15);
        let raw = (bits << length >> 1 >> (63 - size)) as u32;
        Step::new(symbol, length, signed(raw, size))
    }

    /// The symbol and length of the code that starts these 16 bits; `None` if there is none.
    fn find(&self, bits: u32) -> Option<(u8, u32)> {
        let found = (1..=16).zip(self.limits.iter().skip(1)).find(|&(_, &limit)| bits < limit);
        let (length, _) = found?;
        let offset = self.offsets.get(length as usize)?;
        let place = (bits >> (16 - length)) as i32 + offset;
        Some((*self.symbols.get(place as usize)?, length))
    }
}

/// `size` bits as JPEG codes a value: those without the high bit are negative. No bits are 0.
fn signed(raw: u32, size: u32) -> i32 {
    let raw = raw.cast_signed();
    if raw >> size.saturating_sub(1) == 0 { raw - (1 << size) + 1 } else { raw }
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
        let parts = |step: Step| (step.bits(), step.run(), step.advance(), step.value());
        assert_eq!(parts(table.fast[0b001 << 9]), (3, 1, 2, 1));
        assert_eq!(parts(table.fast[0b0001 << 8]), (3, 1, 2, -1));
        assert_eq!(parts(table.fast[0b010 << 9]), (3, 0, 65, 0));
        assert_eq!(parts(table.fast[0b011 << 9]), (5, 15, 16, -3));
        assert_eq!((table.fast[0x800].bits(), table.fast[0xFFF]), (0, Step::LONG));
        assert_eq!(parts(table.long(0x800F_8000 << 32, table.fast[0x800])), (17, 0, 1, 31));
        assert_eq!(parts(table.long(u64::MAX, table.fast[0xFFF])), (16, 0, 65, 0));
    }

    #[test]
    fn values_without_the_high_bit_are_negative() {
        let pairs = [(1, 1), (0, 1), (7, 3), (4, 3), (3, 3), (0, 3), (0, 15), (0, 0)];
        let values = pairs.map(|(raw, size)| signed(raw, size));
        assert_eq!(values, [1, -1, 7, 4, -4, -7, -32767, 0]);
    }

    #[test]
    fn too_many_codes_are_an_error() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Table::new(&counts, &[1, 2, 3]).is_err());
    }
}
