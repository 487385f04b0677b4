//! Rows of images copied with what lies around them, so that kernels need not know of borders.
//! Columns that a stride skips over are kept apart ([`Rows::tap`]), so that neighbouring outputs
//! always read neighbouring pixels.

use crate::error::{Result, product};
use crate::window::Window;

/// How rows are copied.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// `[height, width, channels]` of the image.
    input: [usize; 3],
    window: Window,
    /// Times that each channel is repeated.
    repeat: usize,
    zero_point: u8,
    /// Columns are dealt out to so many phases.
    phases: usize,
    /// Bytes of a phase, of a row.
    phase: usize,
    pub(crate) row: usize,
}

impl Rows {
    /// Rows for `outputs` columns of outputs; `slack` bytes may be read beyond the last tap.
    pub(crate) fn new(
        input: [usize; 3],
        window: Window,
        (repeat, phases): (usize, usize),
        (outputs, slack): (usize, usize),
        zero_point: u8,
    ) -> Result<Self> {
        let reach = (window.kernel[1] - 1) * window.dilation[1] + 1;
        let span = outputs.max(1) * window.stride[1] + reach;
        let columns = span.max(input[1] + window.padding.left + window.padding.right);
        let pixel = product("pixel", &[input[2], repeat])?;
        let phase = product("row", &[columns.div_ceil(phases) + 1, pixel])?;
        let phase = phase.saturating_add(slack).next_multiple_of(64);
        let row = product("row", &[phases, phase])?;
        Ok(Self { input, window, repeat, zero_point, phases, phase, row })
    }

    /// Bytes of a pixel.
    fn pixel(&self) -> usize {
        self.input[2] * self.repeat
    }

    /// Where the first output's tap in column `kx` of the kernel lies in a row.
    pub(crate) fn tap(&self, kx: usize) -> usize {
        let column = kx * self.window.dilation[1];
        column % self.phases * self.phase + column / self.phases * self.pixel()
    }

    /// Input rows that `outputs` rows of outputs read.
    pub(crate) fn needed(&self, outputs: usize) -> usize {
        let reach = (self.window.kernel[0] - 1) * self.window.dilation[0] + 1;
        outputs.saturating_sub(1) * self.window.stride[0] + reach
    }

    /// Copies the rows that outputs `y..` of an image read, as many as `to` has room for.
    pub(crate) fn fill(&self, image: &[u8], y: usize, to: &mut [u8]) {
        let start = self.window.start(0, y);
        let [height, width, channels] = self.input;
        for (index, to) in to.chunks_exact_mut(self.row).enumerate() {
            let y = start + index as isize;
            if y < 0 || y >= height as isize {
                to.fill(self.zero_point);
                continue;
            }
            let row = &image[y as usize * width * channels..][..width * channels];
            for (phase, to) in to.chunks_exact_mut(self.phase).enumerate() {
                self.fill_phase(row, phase, to);
            }
        }
    }

    fn fill_phase(&self, row: &[u8], phase: usize, to: &mut [u8]) {
        let (channels, pixel) = (self.input[2], self.pixel());
        let left = self.window.padding.left;
        // Columns of this phase before the image, and the image's first column among them.
        let before = left.saturating_sub(phase).div_ceil(self.phases);
        let first = phase + before * self.phases - left;
        let count = self.input[1].saturating_sub(first).div_ceil(self.phases);
        let (start, rest) = to.split_at_mut(before * pixel);
        let (inside, after) = rest.split_at_mut(count * pixel);
        start.fill(self.zero_point);
        after.fill(self.zero_point);
        let from = &row[(first * channels).min(row.len())..];
        match (self.repeat, self.phases, channels) {
            (1, 1, _) => inside.copy_from_slice(&from[..inside.len()]),
            (1, step, 8) => pixels::<8>(from, step, inside),
            (1, step, 16) => pixels::<16>(from, step, inside),
            (1, step, 24) => pixels::<24>(from, step, inside),
            (1, step, 32) => pixels::<32>(from, step, inside),
            (repeat, step, _) => {
                let from = from.chunks(channels * step);
                for (to, from) in inside.chunks_exact_mut(pixel).zip(from) {
                    if repeat == 1 {
                        to.copy_from_slice(&from[..channels]);
                        continue;
                    }
                    for (to, &byte) in to.chunks_exact_mut(repeat).zip(&from[..channels]) {
                        to.fill(byte);
                    }
                }
            }
        }
    }
}

/// Every `step`-th pixel of `N` bytes.
#[inline]
fn pixels<const N: usize>(from: &[u8], step: usize, to: &mut [u8]) {
    for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from.chunks(N * step)) {
        if let Some(pixel) = from.first_chunk::<N>() {
            *to = *pixel;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_find_their_pixels() {
        for (stride, dilation, repeat) in [(1, 1, 1), (2, 1, 1), (2, 1, 2), (3, 2, 1), (1, 2, 3)] {
            let input = [4, 9, 3];
            let window = Window::same([3, 3], [stride; 2], [dilation; 2], [4, 9]);
            let [height, width] = window.output([4, 9]).expect("fits");
            let rows = Rows::new(input, window, (repeat, stride), (width, 0), 77).expect("fits");
            let image: Vec<u8> = (1..=108).map(|i| if i == 77 { 0 } else { i }).collect();
            let mut copy = vec![0; rows.needed(height) * rows.row];
            rows.fill(&image, 0, &mut copy);
            for y in 0..height {
                for (x, ky, kx) in (0..width * 9).map(|i| (i / 9, i / 3 % 3, i % 3)) {
                    let at = (y * stride + ky * dilation) * rows.row + rows.tap(kx);
                    let at = at + x * 3 * repeat;
                    let iy = window.start(0, y) + (ky * dilation) as isize;
                    let ix = window.start(1, x) + (kx * dilation) as isize;
                    let inside = (0..4).contains(&iy) && (0..9).contains(&ix);
                    for c in 0..3 * repeat {
                        let from = ((iy * 9 + ix) * 3) as usize + c / repeat;
                        let expected = if inside { image[from] } else { 77 };
                        assert_eq!(copy[at + c], expected, "{stride} {dilation} {repeat} {y} {x}");
                    }
                }
            }
        }
    }
}
