//! Floats on cache-line boundaries: where packed weights live.

use crate::pages::may_be_large;

/// A fixed number of floats, the first on a 64-byte boundary.
#[derive(Clone, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Aligned {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut lines = Vec::with_capacity(len.div_ceil(16));
        may_be_large(lines.spare_capacity_mut());
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
        Self { lines, len }
    }

    /// The values of `data`, then zeros up to `len`.
    pub(crate) fn padded(data: &[f32], len: usize) -> Self {
        let mut result = Self::zeros(len);
        result[..data.len()].copy_from_slice(data);
        result
    }
}

/// Writes an [`Aligned`] from front to back, each line once: large weights are not zeroed first.
pub(crate) struct Packer {
    lines: Vec<Line>,
    len: usize,
    /// The line that is not full, and how many floats it has.
    line: Line,
    filled: usize,
}

impl Packer {
    /// For `len` floats.
    pub(crate) fn new(len: usize) -> Self {
        let mut lines = Vec::with_capacity(len.div_ceil(16));
        may_be_large(lines.spare_capacity_mut());
        Self { lines, len, line: Line([0.0; 16]), filled: 0 }
    }

    pub(crate) fn push(&mut self, mut floats: &[f32]) {
        while !floats.is_empty() {
            if let (0, Some((line, rest))) = (self.filled, floats.split_first_chunk()) {
                self.lines.push(Line(*line));
                floats = rest;
                continue;
            }
            let (now, rest) = floats.split_at(floats.len().min(16 - self.filled));
            self.line.0[self.filled..][..now.len()].copy_from_slice(now);
            self.advance(now.len());
            floats = rest;
        }
    }

    /// So many zeros, fewer than a line has floats.
    pub(crate) fn pad(&mut self, zeros: usize) {
        self.push(&[0.0; 16][..zeros]);
    }

    fn advance(&mut self, floats: usize) {
        self.filled += floats;
        if self.filled == 16 {
            self.lines.push(std::mem::replace(&mut self.line, Line([0.0; 16])));
            self.filled = 0;
        }
    }

    /// What was written, and zeros for what was not.
    pub(crate) fn finish(mut self) -> Aligned {
        self.line.0[self.filled..].fill(0.0);
        if self.filled > 0 {
            self.lines.push(self.line);
        }
        self.lines.resize(self.len.div_ceil(16), Line([0.0; 16]));
        Aligned { lines: self.lines, len: self.len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` contiguous floats: `Line` is 16 of them, no padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packer_writes_floats_in_order_and_pads() {
        for run in [1, 3, 8, 16, 17, 40] {
            let floats: Vec<f32> = (0..120).map(|i| i as f32).collect();
            let mut packer = Packer::new(130);
            floats.chunks(run).for_each(|chunk| packer.push(chunk));
            packer.pad(2);
            let packed = packer.finish();
            assert_eq!(packed.as_ptr().align_offset(64), 0);
            assert_eq!(&packed[..120], floats);
            assert_eq!(&packed[120..], [0.0; 10]);
        }
    }
}
