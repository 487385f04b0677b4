//! Depthwise 3x3 of bytes with stride 1 or 2, the one that MobileNet has.
//!
//! Four input rows are transposed once into quads, the bytes of one column and channel of all four,
//! borders included. Each vector of outputs then takes three dot products of quads that lie a
//! pixel apart; with stride 1 the same quads serve two output rows. Vectors whose lanes are the same
//! channels share weights and constants and are done one after the other, all of them in registers.

use super::{DepthwiseSpec, Source};
use crate::depthwise::reference::positions;
use crate::error::{Result, product};
use crate::int8::records::{Field, Lines, Records};
use crate::int8::simd::{Body, Bytes};
use crate::int8::table::Kernel;
use crate::int8::{Multiplier, Rescale};

/// Bytes that a weight may be the sum of; those of uint8 less their zero point may need two.
const MOST_PARTS: usize = 2;

/// Lanes of the widest vectors.
const MOST: usize = 16;

/// What vectors of the same channels share.
#[derive(Clone, Copy)]
struct Kind {
    /// Whether they are rescaled by lines.
    fast: bool,
    /// Whether weights are sums of two bytes.
    is_split: bool,
}

/// Weights as the kernels read them.
#[derive(Clone)]
pub(crate) struct Three {
    spec: DepthwiseSpec,
    /// Columns of an output row.
    width: usize,
    /// Output rows that quads serve: 1 or 2.
    sets: usize,
    lanes: usize,
    /// Vectors of a row until lanes are the same channels again.
    kinds: Vec<Kind>,
    /// Quads between vectors of the same channels.
    step: usize,
    /// Quads of a row with its borders.
    quads: usize,
    /// For each kind of vector, part, set and column of the kernel: a vector.
    weights: Lines,
    records: Records,
}

impl Three {
    /// Packs the weights, if this is a layer for it.
    pub(crate) fn new(
        kernel: &Kernel,
        source: &Source<'_>,
        bias: Option<&[i32]>,
        (rescale, each): (&Rescale<'_>, &[Multiplier]),
    ) -> Result<Option<Self>> {
        let (spec, lanes) = (source.spec, kernel.lanes);
        let (window, channels) = (spec.window, source.channels);
        let stride = window.stride[0];
        let fits = window.kernel == [3, 3]
            && window.dilation == [1, 1]
            && spec.multiplier == 1
            && (window.stride == [1, 1] || window.stride == [2, 2] && channels % lanes == 0)
            && (0..channels).all(|channel| source.parts(channel).all(|parts| parts <= MOST_PARTS));
        if !fits {
            return Ok(None);
        }
        let [_, width, _] = spec.output()?;
        let kinds = channels / super::divisor(channels, lanes);
        let sets = 3 - stride;
        let columns = ((width - 1) * stride + 3).max(window.padding.left + spec.input[1]);
        let quads = product("quads of a row", &[columns, channels])?;
        let mut result = Self {
            spec,
            width,
            sets,
            lanes,
            kinds: Vec::new(),
            step: kinds * lanes * stride,
            quads,
            weights: Lines::zeros(product("weights", &[kinds, MOST_PARTS, sets, 3, 4, lanes])?),
            records: Records::new(kernel, kinds, rescale)?,
        };
        for kind in 0..kinds {
            let channel = |lane| (kind * lanes + lane) % channels;
            let sums = |lane| Some(source.sums(channel(lane), bias, each[channel(lane)]));
            let fast = result.records.fill(kind, 1, sums);
            let parts = (0..lanes).flat_map(|lane| source.parts(channel(lane)));
            result.kinds.push(Kind { fast, is_split: parts.max() == Some(MOST_PARTS) });
            for (part, set, kx) in positions([MOST_PARTS, sets, 3]) {
                let start = (((kind * MOST_PARTS + part) * sets + set) * 3 + kx) * 4 * lanes;
                let vector = &mut result.weights.bytes_mut()[start..][..4 * lanes];
                for (at, weight) in vector.iter_mut().enumerate() {
                    let ky = (at % 4).wrapping_sub(set);
                    *weight = source.part(part, [ky, kx, channel(at / 4)]);
                }
            }
        }
        Ok(Some(result))
    }

    /// Bytes of an input row.
    fn input_row(&self) -> usize {
        self.spec.input[1] * self.spec.input[2]
    }

    /// Bytes for a row of borders.
    fn border(&self) -> usize {
        self.input_row().next_multiple_of(64)
    }

    /// Bytes of scratch memory of a thread.
    pub(crate) fn scratch(&self) -> usize {
        // A vector may end behind the last quad.
        self.border() + 4 * (self.quads + self.lanes)
    }

    /// Output rows of a task.
    pub(crate) fn strip(&self, height: usize) -> usize {
        height.div_ceil(4).next_multiple_of(2)
    }
}

/// Some output rows: what one call of a kernel computes.
pub(crate) struct ThreeTask<'a> {
    pub(crate) three: &'a Three,
    pub(crate) image: &'a [u8],
    /// First output row.
    pub(crate) y: usize,
    pub(crate) output: &'a mut [u8],
    pub(crate) scratch: &'a mut [u8],
}

/// Entry of the table.
pub(crate) fn entry<S: Bytes>(task: ThreeTask<'_>) {
    if let Some(simd) = S::new() {
        simd.call(task);
    }
}

impl Body for ThreeTask<'_> {
    #[inline(always)]
    fn run<S: Bytes>(self, simd: S) {
        let ThreeTask { three, image, mut y, output, scratch } = self;
        let (row, input_row) = (three.width * three.spec.input[2], three.input_row());
        assert!(three.lanes == S::LANES, "weights of another kernel");
        assert!(image.len() == three.spec.input[0] * input_row);
        assert!(scratch.len() >= three.scratch() && output.len() % row == 0);
        scratch.fill(three.spec.zero_point);
        let (border, quads) = scratch.split_at_mut(three.border());
        let mut rest = output;
        while !rest.is_empty() {
            let sets = three.sets.min(rest.len() / row);
            let (rows, after) = rest.split_at_mut(sets * row);
            three.transpose(simd, (image, y), &border[..input_row], quads);
            for (kind, about) in three.kinds.iter().enumerate().take(row.div_ceil(S::LANES)) {
                let vectors = Vectors { three, kind, row, quads, output: rows };
                match (sets, about.fast, about.is_split) {
                    (1, true, false) => vectors.run::<S, 1, true, 1>(simd),
                    (1, true, true) => vectors.run::<S, 1, true, 2>(simd),
                    (1, false, _) => vectors.run::<S, 1, false, 2>(simd),
                    (_, true, false) => vectors.run::<S, 2, true, 1>(simd),
                    (_, true, true) => vectors.run::<S, 2, true, 2>(simd),
                    (_, false, _) => vectors.run::<S, 2, false, 2>(simd),
                }
            }
            (y, rest) = (y + sets, after);
        }
    }
}

impl Three {
    /// The quads that output row `y` reads, and the next if there are two. Borders stay.
    #[inline(always)]
    fn transpose<S: Bytes>(
        &self,
        simd: S,
        (image, y): (&[u8], usize),
        border: &[u8],
        quads: &mut [u8],
    ) {
        let start = self.spec.window.start(0, y);
        let rows: [&[u8]; 4] = std::array::from_fn(|line| {
            let y = start + line as isize;
            if y < 0 || y >= self.spec.input[0] as isize {
                return border;
            }
            &image[y as usize * border.len()..][..border.len()]
        });
        let [a, b, c, d] = rows;
        let left = 4 * self.spec.window.padding.left * self.spec.input[2];
        let inside = &mut quads[left..][..4 * border.len()];
        let block = 4 * S::LANES;
        let mut blocks = inside.chunks_exact_mut(4 * block);
        let mut at = 0;
        for to in &mut blocks {
            assert!(at + block <= border.len());
            // SAFETY: a block of each row, all as long as the border, and room for four.
            unsafe {
                let from = [
                    a.as_ptr().add(at),
                    b.as_ptr().add(at),
                    c.as_ptr().add(at),
                    d.as_ptr().add(at),
                ];
                simd.transpose(from, to.as_mut_ptr());
            }
            at += block;
        }
        for (index, to) in blocks.into_remainder().iter_mut().enumerate() {
            *to = rows[index % 4][at + index / 4];
        }
    }
}

/// The vectors of an output row, or two, whose lanes are the same channels.
struct Vectors<'a> {
    three: &'a Three,
    kind: usize,
    /// Bytes of an output row.
    row: usize,
    quads: &'a [u8],
    output: &'a mut [u8],
}

impl Vectors<'_> {
    #[inline(always)]
    fn run<S: Bytes, const SETS: usize, const FAST: bool, const PARTS: usize>(self, simd: S) {
        let Self { three, kind, row, quads, output } = self;
        let (kinds, pixel, per) = (three.kinds.len(), three.spec.input[2], 4 / SETS);
        // Bytes between the quads of vectors.
        let apart = 4 * three.step;
        // Bytes of the weights of a part.
        let part = three.sets * 12 * S::LANES;
        let weights = &three.weights.bytes()[kind * MOST_PARTS * part..][..MOST_PARTS * part];
        assert!(PARTS <= MOST_PARTS && SETS <= three.sets && output.len() == SETS * row);
        let count = (row.div_ceil(S::LANES) - kind).div_ceil(kinds);
        let last = kind * S::LANES + (count - 1) * three.step;
        assert!(quads.len() >= 4 * (last + 2 * pixel + S::LANES));
        // Vectors that lie inside of the row, and the bytes between them.
        let (whole, step) =
            ((row / S::LANES).saturating_sub(kind).div_ceil(kinds), kinds * S::LANES);
        // SAFETY: as asserted, the weights of `SETS` sets exist, and quads for each vector up to the last;
        // `records.at` checks the record. Vectors are written where they lie inside of the row.
        unsafe {
            let mut taken = [[[simd.weights(weights.as_ptr()); 3]; SETS]; PARTS];
            for (index, taken) in taken.iter_mut().enumerate() {
                for i in 0..3 * SETS {
                    let from = weights.as_ptr().add(index * part + i * 4 * S::LANES);
                    taken[i / 3][i % 3] = simd.weights(from);
                }
            }
            let group = Group { taken, record: three.records.at(kind), pixel: 4 * pixel };
            let range = simd.range(three.records.range);
            let mut from = quads.as_ptr().add(4 * kind * S::LANES);
            let mut to = output.as_mut_ptr().add(kind * S::LANES);
            for _ in 0..whole / per {
                let sums = group.sums::<S, FAST>(simd, |p| from.add(p * apart));
                let place = |i: usize| to.wrapping_add(i / per * row + i % per * step);
                simd.scatter(sums, std::array::from_fn(place), &range);
                from = from.add(per * apart);
                to = to.wrapping_add(per * step);
            }
            // What is left of the row, in which the last vector may be done twice and end behind it.
            for first in (whole / per * per..count).step_by(per) {
                let index = |p: usize| (first + p).min(count - 1);
                let from = quads.as_ptr().add(4 * kind * S::LANES);
                let sums = group.sums::<S, FAST>(simd, |p| from.add(index(p) * apart));
                let mut bytes = [[0u8; MOST]; 4];
                simd.scatter(sums, bytes.each_mut().map(|bytes| bytes.as_mut_ptr()), &range);
                for (i, bytes) in bytes.iter().enumerate() {
                    let to = &mut output[i / per * row..][..row];
                    let to = &mut to[kind * S::LANES + index(i % per) * step..];
                    let valid = to.len().min(S::LANES);
                    to[..valid].copy_from_slice(&bytes[..valid]);
                }
            }
        }
    }
}

/// What the vectors of the same channels share.
struct Group<W, const SETS: usize, const PARTS: usize> {
    taken: [[[W; 3]; SETS]; PARTS],
    record: *const i32,
    /// Bytes between the quads of a pixel and of the next.
    pixel: usize,
}

impl<W: Copy, const SETS: usize, const PARTS: usize> Group<W, SETS, PARTS> {
    /// The output values of `4 / SETS` vectors of each output row: the first row's, then the second's.
    /// The quads of a vector's first pixel lie at `from`.
    ///
    /// # Safety
    /// Those of three pixels must be readable there, and the record.
    #[inline(always)]
    unsafe fn sums<S: Bytes<W = W>, const FAST: bool>(
        &self,
        simd: S,
        from: impl Fn(usize) -> *const u8,
    ) -> [S::V; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [simd.load(self.record.add(Field::Bias.start(S::LANES))); 4];
            let per = 4 / SETS;
            for p in 0..per {
                let from = from(p);
                for kx in 0..3 {
                    let quad = simd.quad(from.add(kx * self.pixel));
                    for taken in &self.taken {
                        for (set, taken) in taken.iter().enumerate() {
                            let sum = &mut sums[set * per + p];
                            *sum = simd.dot(*sum, quad, taken[kx]);
                        }
                    }
                }
            }
            let constants = simd.constants(self.record);
            for sum in &mut sums {
                *sum = simd.rescale::<FAST>(*sum, &constants);
            }
            sums
        }
    }
}
