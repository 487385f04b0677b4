//! The bits of a scan: finding its end, taking out stuffed bytes, reading codes and values.
//!
//! In entropy-coded data, `FF 00` stands for the byte `FF`; `FF D0` to `FF D7` are restart
//! markers, which cut the data in independent pieces; any other marker ends the scan.

use super::Block;
use super::huffman::{FAST_BITS, Step, Table};
use super::segments::place;

/// The data of a scan, without stuffing, cut at its restart markers.
pub(super) struct Entropy {
    data: Vec<u8>,
    /// Where each piece ends.
    ends: Vec<usize>,
    /// The file ended before a marker did.
    pub(super) cut_off: bool,
}

impl Entropy {
    /// Reads a scan's data from `rest` into `memory`; says also how many bytes of it that takes.
    pub(super) fn read(rest: &[u8], mut memory: Vec<u8>) -> (Self, usize) {
        memory.clear();
        let mut entropy = Self { data: memory, ends: Vec::new(), cut_off: false };
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

    /// The memory it took, for the next scan.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.data
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
///
/// It is copied into the loops that decode, so that it stays in registers.
#[derive(Clone, Copy)]
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
    #[inline(always)]
    pub(super) fn exhausted(&self) -> bool {
        self.at * 8 > self.data.len() * 8 + self.count as usize
    }

    /// Makes at least 56 bits valid.
    #[inline(always)]
    fn refill(&mut self) {
        match self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some(chunk) => {
                self.bits |= u64::from_be_bytes(*chunk) >> self.count;
                self.at += (63 - self.count as usize) / 8;
                self.count |= 56;
            }
            None => *self = self.refilled_at_the_end(),
        }
    }

    #[cold]
    fn refilled_at_the_end(mut self) -> Self {
        while self.count <= 48 {
            let byte = self.data.get(self.at).copied().unwrap_or(0);
            self.bits |= u64::from(byte) << (56 - self.count);
            self.at += 1;
            self.count += 8;
        }
        self
    }

    #[inline(always)]
    fn consume(&mut self, count: u32) {
        self.bits <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// The step of the next bits, of those that are valid.
    #[inline(always)]
    fn fast_step(&mut self, table: &Table) -> Step {
        let step = table.fast[(self.bits >> (64 - FAST_BITS)) as usize];
        self.consume(step.bits());
        step
    }

    /// The next symbol and its value.
    #[inline(always)]
    pub(super) fn step(&mut self, table: &Table) -> Step {
        self.refill();
        let step = self.fast_step(table);
        if step.bits() != 0 {
            return step;
        }
        let (bits, step) = self.long_step(table, step);
        *self = bits;
        step
    }

    /// The step of a long code, or of a code and value that are long together.
    #[cold]
    fn long_step(mut self, table: &Table, found: Step) -> (Self, Step) {
        self.refill();
        let step = table.long(self.bits, found);
        self.consume(step.bits());
        (self, step)
    }

    /// All coefficients of a block but the first. Those that are not there must be zero already.
    #[inline(always)]
    pub(super) fn coefficients(&mut self, table: &Table, block: &mut Block) {
        let mut k = 1;
        while k < 64 {
            self.refill();
            // Four looks take no more than 48 of the 56 bits.
            for _ in 0..4 {
                let step = self.fast_step(table);
                // Where a step has no value, a zero falls on a place that is zero still.
                k += step.advance();
                block[place(k - 1)] = step.value();
                if k >= 64 {
                    if step.bits() != 0 {
                        return;
                    }
                    // A long step pretends to end the block, and leaves something at its end.
                    block[place(63)] = 0;
                    let (bits, long) = self.long_step(table, step);
                    *self = bits;
                    k = k - step.advance() + long.advance();
                    block[place(k - 1)] = long.value();
                    break;
                }
            }
        }
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
        let (entropy, length) =
            Entropy::read(&[1, 0xFF, 0, 2, 0xFF, 0xD0, 3, 0xFF, 0xFF, 0xD9, 9], vec![7]);
        assert_eq!((length, entropy.cut_off), (8, false));
        assert_eq!(entropy.piece(0).data, [1, 0xFF, 2]);
        assert_eq!(entropy.piece(1).data, [3]);
        assert_eq!(entropy.piece(2).data, [0u8; 0]);
        assert!(Entropy::read(&[1, 2, 0xFF], Vec::new()).0.cut_off);
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
