//! The bits of a scan: finding its end, taking out stuffed bytes, reading codes and values.
//!
//! In entropy-coded data, `FF 00` stands for the byte `FF`; `FF D0` to `FF D7` are restart
//! markers, which cut the data in independent pieces; any other marker ends the scan.

use super::huffman::{FAST_BITS, Table, extend};

/// The data of a scan, without stuffing, cut at its restart markers.
pub(super) struct Entropy {
    data: Vec<u8>,
    /// Where each piece ends.
    ends: Vec<usize>,
    /// The file ended before a marker did.
    pub(super) cut_off: bool,
}

impl Entropy {
    /// Reads a scan's data from `rest`; says also how many bytes of it that takes.
    pub(super) fn read(rest: &[u8]) -> (Self, usize) {
        let mut entropy = Self { data: Vec::new(), ends: Vec::new(), cut_off: false };
        let mut at = 0;
        loop {
            let ahead = rest.get(at..).unwrap_or(&[]);
            let Some(clean) = memchr::memchr(0xFF, ahead) else {
                entropy.data.extend_from_slice(ahead);
                (entropy.cut_off, at) = (true, rest.len());
                break;
            };
            entropy.data.extend_from_slice(ahead.get(..clean).unwrap_or(&[]));
            at += clean;
            match rest.get(at + 1) {
                Some(0) => {
                    entropy.data.push(0xFF);
                    at += 2;
                }
                Some(0xD0..=0xD7) => {
                    entropy.ends.push(entropy.data.len());
                    at += 2;
                }
                Some(0xFF) => at += 1,
                Some(_) => break,
                None => {
                    (entropy.cut_off, at) = (true, rest.len());
                    break;
                }
            }
        }
        entropy.ends.push(entropy.data.len());
        (entropy, at)
    }

    /// Piece `index`; empty past the last.
    pub(super) fn piece(&self, index: usize) -> Bits<'_> {
        let start = match index.checked_sub(1) {
            None => Some(0),
            Some(before) => self.ends.get(before).copied(),
        };
        let end = self.ends.get(index).copied();
        let piece = start.zip(end).and_then(|(start, end)| self.data.get(start..end));
        Bits { data: piece.unwrap_or(&[]), at: 0, bits: 0, count: 0 }
    }
}

/// A reader of bits, most significant first. Past the end there are zeros.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to take; grows past the end.
    at: usize,
    /// The next bits, from the top; at least `count` of them are valid.
    bits: u64,
    count: u32,
}

impl Bits<'_> {
    /// Whether more bits were used than there are.
    pub(super) fn exhausted(&self) -> bool {
        self.at * 8 > self.data.len() * 8 + self.count as usize
    }

    /// Makes at least 32 bits valid.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if self.count < 32 {
            match self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
                Some(chunk) => {
                    self.bits |= u64::from_be_bytes(*chunk) >> self.count;
                    self.at += (63 - self.count as usize) / 8;
                    self.count |= 56;
                }
                None => self.refill_at_the_end(),
            }
        }
    }

    #[cold]
    fn refill_at_the_end(&mut self) {
        while self.count <= 48 {
            let byte = self.data.get(self.at).copied().unwrap_or(0);
            self.bits |= u64::from(byte) << (56 - self.count);
            self.at += 1;
            self.count += 8;
        }
    }

    #[inline(always)]
    fn consume(&mut self, count: u32) {
        self.bits <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// The next symbol's run of zeros and the value after it; value 0 if the symbol has none.
    #[inline(always)]
    pub(super) fn run_and_value(&mut self, table: &Table) -> (u32, i32) {
        self.refill();
        let index = (self.bits >> (64 - FAST_BITS)) as usize;
        let entry = table.fast.get(index).copied().unwrap_or(0);
        let (length, low) = (entry & 0xFF, entry >> 8 & 0xFF);
        let value = entry.cast_signed() >> 16;
        if value != 0 {
            self.consume(length);
            return (low, value);
        }
        let symbol = if length == 0 { self.long_symbol(table) } else { low };
        self.consume(length);
        (symbol >> 4, self.value(symbol & 15))
    }

    /// The symbol of a code longer than `FAST_BITS`; 0 for bits that are no code, as in libjpeg.
    #[cold]
    fn long_symbol(&mut self, table: &Table) -> u32 {
        let (symbol, length) = table.find((self.bits >> 48) as u32).unwrap_or((0, 16));
        self.consume(length);
        u32::from(symbol)
    }

    /// A signed value of `size` bits, 0 to 15; they must be valid.
    #[inline(always)]
    fn value(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let raw = (self.bits >> (64 - size)) as u32;
        self.consume(size);
        extend(raw, size)
    }

    /// `size` bits, 0 to 15, as a number.
    #[inline(always)]
    pub(super) fn number(&mut self, size: u32) -> u32 {
        self.refill();
        let raw = (self.bits >> 1 >> (63 - size)) as u32;
        self.consume(size);
        raw
    }

    #[inline(always)]
    pub(super) fn bit(&mut self) -> bool {
        self.number(1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffing_goes_restarts_cut_and_markers_end() {
        let (entropy, length) = Entropy::read(&[1, 0xFF, 0, 2, 0xFF, 0xD0, 3, 0xFF, 0xFF, 0xD9, 9]);
        assert_eq!((length, entropy.cut_off), (8, false));
        assert_eq!(entropy.piece(0).data, [1, 0xFF, 2]);
        assert_eq!(entropy.piece(1).data, [3]);
        assert_eq!(entropy.piece(2).data, [0u8; 0]);
        assert!(Entropy::read(&[1, 2, 0xFF]).0.cut_off);
    }

    #[test]
    fn bits_come_from_the_top_and_zeros_follow_the_end() {
        let data: Vec<u8> = (1..=20).collect();
        let mut bits = Bits { data: &data, at: 0, bits: 0, count: 0 };
        for byte in 1..=20 {
            assert_eq!((bits.number(3), bits.number(5)), (byte >> 5, byte & 31));
            assert!(!bits.exhausted());
        }
        assert_eq!(bits.number(15), 0);
        assert!(bits.exhausted());
    }
}
