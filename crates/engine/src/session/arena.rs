//! Bytes that start at a cache line, without `unsafe`.

use mobilenet_formats::Tensor;

use super::view::TensorView;
use crate::plan::ALIGNMENT;

/// Zeroed bytes whose first one is 64-byte aligned.
#[derive(Default)]
pub(crate) struct AlignedBytes {
    /// Words, so that any element type is aligned within.
    words: Vec<u64>,
    /// Bytes before the first aligned one.
    start: usize,
    len: usize,
}

impl AlignedBytes {
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut bytes = Self::default();
        bytes.resize(len);
        bytes
    }

    /// The elements of a tensor; nothing for strings.
    pub(crate) fn of(tensor: &Tensor) -> Self {
        let Ok(view) = TensorView::of(tensor) else { return Self::default() };
        let source = view.elements.bytes();
        let mut bytes = Self::zeroed(source.len());
        bytes.get_mut().copy_from_slice(source);
        bytes
    }

    /// Makes it `len` bytes long; allocates only to grow, and then forgets what it held.
    pub(crate) fn resize(&mut self, len: usize) {
        let words = len.saturating_add(ALIGNMENT).div_ceil(8);
        if words > self.words.len() {
            self.words = vec![0; words];
            self.start = self.words.as_ptr().align_offset(ALIGNMENT).saturating_mul(8);
            if self.start >= ALIGNMENT {
                self.start = 0;
            }
        }
        self.len = len;
    }

    pub(crate) fn get(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[self.start..self.start + self.len]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_aligned() {
        for len in [0, 1, 63, 64, 1000] {
            let mut bytes = AlignedBytes::zeroed(len);
            assert_eq!(bytes.get().len(), len);
            assert_eq!(bytes.get_mut().as_ptr() as usize % ALIGNMENT, 0);
        }
    }
}
