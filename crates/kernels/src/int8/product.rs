//! Rows of bytes times packed weights, the heart of convolutions and fully connected layers, in
//! register tiles. Sums are integers, so no split of the work changes them.

use super::line::Sums;
use super::records::{Field, Lines, Records, split};
use super::simd::{Body, Bytes, Target, place};
use super::table::Kernel;
use super::{Multiplier, Rescale, Weights};
use crate::error::{Result, check_len, product};
use crate::pool::Pool;
use crate::simd::opaque;
use std::ops::Range;

/// Rows addressed from one pointer: an address is a register and once or twice another.
const GROUP: usize = 3;
/// Groups in the tallest tile.
const GROUPS: usize = 4;
/// Times four inputs in one turn of the inner loop.
const UNROLL: usize = 2;

/// Where the inputs of a row lie: `segments` runs of `run` bytes, `segment_stride` apart;
/// the next row begins `row_stride` later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) segments: usize,
    pub(crate) segment_stride: usize,
    pub(crate) run: usize,
    pub(crate) row_stride: usize,
}

impl Layout {
    /// Rows of `inputs` bytes, one after the other.
    pub(crate) fn dense(inputs: usize) -> Self {
        Self { segments: 1, segment_stride: 0, run: inputs, row_stride: inputs }
    }

    /// Bytes from the first input to the end of the last of so many rows.
    fn reach(&self, rows: usize) -> usize {
        if rows == 0 || self.segments == 0 {
            return 0;
        }
        (rows - 1) * self.row_stride + (self.segments - 1) * self.segment_stride + self.run
    }
}

/// Weights of a product: of each output, the inputs in the order of the layout's runs.
pub(crate) struct Source<'a> {
    pub(crate) outputs: usize,
    pub(crate) segments: usize,
    pub(crate) run: usize,
    /// The weight of an output, a segment and a byte of its run.
    pub(crate) weight: &'a dyn Fn(usize, usize, usize) -> i32,
    /// With the zero point of the inputs folded in.
    pub(crate) bias: &'a dyn Fn(usize) -> i32,
    pub(crate) multiplier: &'a dyn Fn(usize) -> Multiplier,
}

impl Source<'_> {
    fn sums(&self, output: usize) -> Sums {
        let taps = (0..self.segments * self.run).map(|tap| (tap / self.run, tap % self.run));
        let weights = taps.map(|(segment, at)| (self.weight)(output, segment, at));
        Sums::new((self.bias)(output), (self.multiplier)(output), weights)
    }
}

/// Weights as the kernels read them: panels of up to four vectors of outputs; in each, for every
/// four inputs, four weights for each output.
#[derive(Clone)]
pub(crate) struct Product {
    kernel: &'static Kernel,
    segments: usize,
    run: usize,
    outputs: usize,
    panels: Vec<Panel>,
    weights: Lines,
    records: Records,
    /// Where inputs lie whose weights do not fit a byte: segment and byte of its run.
    extra: Vec<(usize, usize)>,
    /// Whether sums of neighbouring products may saturate in 16 bits, and the kernel minds.
    wide: Vec<bool>,
}

/// Some outputs.
#[derive(Clone)]
struct Panel {
    valid: usize,
    /// Vectors, and the first of them.
    vectors: usize,
    record: usize,
    /// First byte of its weights; those of `extra` follow.
    weights: usize,
    extra: Range<usize>,
    /// The first of its flags, one for each four inputs in the order of the weights.
    wide: usize,
    fast: bool,
}

impl Product {
    /// Packs weights for a kernel.
    pub(crate) fn new(
        kernel: &'static Kernel,
        source: &Source<'_>,
        rescale: &Rescale<'_>,
    ) -> Result<Self> {
        let lanes = kernel.lanes;
        let fours = product("patch", &[source.segments, source.run.div_ceil(4)])?;
        let vectors = source.outputs.div_ceil(lanes) + 4;
        product("packed weights", &[3, fours, vectors, 4 * lanes])?;
        let mut result = Self {
            kernel,
            segments: source.segments,
            run: source.run,
            outputs: source.outputs,
            panels: Vec::new(),
            weights: Lines::default(),
            records: Records::new(kernel, vectors, rescale)?,
            extra: Vec::new(),
            wide: Vec::new(),
        };
        // Kernels that rescale by lines read whole fours.
        result.records.takes_lines &= source.run.is_multiple_of(4);
        let mut bytes = Vec::new();
        let (mut first, mut record) = (0, 0);
        while first < source.outputs {
            let panel = result.pack(source, (first, record), &mut bytes);
            (first, record) = (first + panel.valid, record + panel.vectors);
            result.panels.push(panel);
        }
        result.weights = Lines::zeros(bytes.len());
        result.weights.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
        Ok(result)
    }

    /// Appends the weights of the panel that begins with output `first`.
    fn pack(
        &mut self,
        source: &Source<'_>,
        (first, record): (usize, usize),
        bytes: &mut Vec<i8>,
    ) -> Panel {
        let (lanes, wide) = (self.kernel.lanes, self.wide.len());
        let rest = source.outputs - first;
        let vectors = match rest.div_ceil(lanes) {
            1 => 1,
            2 => 2,
            _ => self.kernel.vectors,
        };
        let valid = rest.min(vectors * lanes);
        let start = bytes.len();
        let mut passes = Vec::new();
        for segment in 0..source.segments {
            for at in (0..source.run).step_by(4) {
                let fours = Four { source, first, valid, segment, at, vectors, lanes };
                self.push(&fours, 0, bytes);
                passes.extend((1..3).filter(|&pass| fours.has(pass)).map(|p| (p, segment, at)));
            }
        }
        let extra = self.extra.len()..self.extra.len() + passes.len();
        for (pass, segment, at) in passes {
            let fours = Four { source, first, valid, segment, at, vectors, lanes };
            self.push(&fours, pass, bytes);
            self.extra.push((segment, at));
        }
        let fast = self
            .records
            .fill(record, vectors, |output| (output < valid).then(|| source.sums(first + output)));
        Panel { valid, vectors, record, weights: start, extra, wide, fast }
    }

    /// Appends the weights of four inputs, and whether they have to be multiplied widened.
    fn push(&mut self, fours: &Four<'_>, pass: usize, bytes: &mut Vec<i8>) {
        self.wide.push(self.kernel.saturates && fours.saturates(pass));
        fours.push(pass, bytes);
    }

    /// The bytes of a row.
    pub(crate) fn inputs(&self) -> usize {
        self.segments * self.run
    }

    /// Rows of `inputs` bytes to rows of outputs, split over the threads of a pool.
    pub(crate) fn run(&self, pool: &Pool, rows: usize, input: &[u8], output: &mut [u8]) {
        let (inputs, outputs) = (self.inputs(), self.outputs);
        let layout = Layout { run: self.run, ..Layout::dense(inputs) };
        if rows == 1 {
            return self.run_row(pool, layout, input, output);
        }
        let chunk = self.rows_per_task(rows);
        pool.for_each_chunk(output, chunk * outputs, &|index, output| {
            let rows = output.len() / outputs;
            let input = &input[index * chunk * inputs..][..rows * inputs];
            self.run_rows(layout, input, output);
        });
    }

    /// Rows of a task: as many as keep input and output in the first-level cache.
    fn rows_per_task(&self, rows: usize) -> usize {
        let tile = 12;
        let fit = (24 << 10) / (self.inputs() + self.outputs);
        let fit = (fit / tile).clamp(1, 64) * tile;
        fit.min(rows.div_ceil(4).next_multiple_of(tile)).max(1)
    }

    /// One row, split by panels.
    fn run_row(&self, pool: &Pool, layout: Layout, input: &[u8], output: &mut [u8]) {
        let width = self.panels.first().map_or(1, |panel| panel.valid);
        let chunk = self.panels.len().div_ceil(pool.threads()).max(4);
        pool.for_each_chunk(output, chunk * width, &|index, output| {
            let panels = index * chunk..self.panels.len().min((index + 1) * chunk);
            self.task(panels, layout, input, output);
        });
    }

    /// Some rows of all outputs, in the calling thread.
    pub(crate) fn run_rows(&self, layout: Layout, input: &[u8], output: &mut [u8]) {
        self.task(0..self.panels.len(), layout, input, output);
    }

    fn task(&self, panels: Range<usize>, layout: Layout, input: &[u8], output: &mut [u8]) {
        (self.kernel.product)(ProductTask { product: self, panels, layout, input, output });
    }
}

/// Four inputs and the outputs of a panel.
struct Four<'a> {
    source: &'a Source<'a>,
    first: usize,
    valid: usize,
    segment: usize,
    at: usize,
    vectors: usize,
    lanes: usize,
}

impl Four<'_> {
    /// What pass `pass` multiplies input `k` of the four by, for an output of the panel.
    fn weight(&self, pass: usize, output: usize, k: usize) -> i8 {
        if output >= self.valid || self.at + k >= self.source.run {
            return 0;
        }
        let weight = (self.source.weight)(self.first + output, self.segment, self.at + k);
        split(weight).nth(pass).unwrap_or(0)
    }

    fn has(&self, pass: usize) -> bool {
        (0..self.valid).any(|output| (0..4).any(|k| self.weight(pass, output, k) != 0))
    }

    /// Whether the products of bytes and two neighbours may sum to more than 16 bits.
    fn saturates(&self, pass: usize) -> bool {
        let weight = |output, k| i32::from(self.weight(pass, output, k));
        (0..self.valid).any(|output| {
            [0, 2].iter().any(|&k| {
                let pair = [weight(output, k), weight(output, k + 1)];
                let [least, most] = [pair.map(|w| w.min(0)), pair.map(|w| w.max(0))];
                let sums = [least, most].map(|pair| 255 * pair.iter().sum::<i32>());
                sums.iter().any(|&sum| i16::try_from(sum).is_err())
            })
        })
    }

    fn push(&self, pass: usize, bytes: &mut Vec<i8>) {
        for vector in 0..self.vectors {
            for lane in 0..self.lanes {
                let output = place(self.vectors, vector, lane);
                bytes.extend((0..4).map(|k| self.weight(pass, output, k)));
            }
        }
    }
}

/// Checks weights and bias of `outputs` outputs of `inputs` each.
pub(crate) fn check(
    weights: Weights<'_>,
    bias: Option<&[i32]>,
    [inputs, outputs]: [usize; 2],
) -> Result<()> {
    check_len("weights", weights.values, product("weights", &[inputs, outputs])?)?;
    check_len("bias", bias.unwrap_or(&[]), bias.map_or(0, |_| outputs))
}

/// Some rows, some outputs: what one call of a kernel computes.
pub(crate) struct ProductTask<'a> {
    product: &'a Product,
    panels: Range<usize>,
    layout: Layout,
    input: &'a [u8],
    /// `[rows, outputs of the panels]`.
    output: &'a mut [u8],
}

/// Entry of the table: tiles of `M4`, `M2` and `M1` rows by four, two and one vectors.
pub(crate) fn entry<S: Bytes, const M4: usize, const M2: usize, const M1: usize>(
    task: ProductTask<'_>,
) {
    if let Some(simd) = S::new() {
        simd.call(Panels::<M4, M2, M1>(task));
    }
}

struct Panels<'a, const M4: usize, const M2: usize, const M1: usize>(ProductTask<'a>);

impl<const M4: usize, const M2: usize, const M1: usize> Body for Panels<'_, M4, M2, M1> {
    #[inline(always)]
    fn run<S: Bytes>(self, simd: S) {
        let ProductTask { product, panels, layout, input, output } = self.0;
        let panels = &product.panels[panels];
        let width: usize = panels.iter().map(|panel| panel.valid).sum();
        if width == 0 || output.is_empty() {
            return;
        }
        let rows = output.len() / width;
        assert!(product.kernel.lanes == S::LANES, "weights of another kernel");
        assert!(output.len() == rows * width && input.len() >= layout.reach(rows));
        assert!(layout.segments == product.segments && layout.run == product.run);
        let range = simd.range(product.records.range);
        let mut column = 0;
        for panel in panels {
            let fours = product.segments * product.run.div_ceil(4) + panel.extra.len();
            let weights = &product.weights.bytes()[panel.weights..];
            assert!(weights.len() >= fours * panel.vectors * 4 * S::LANES);
            let tiles = Tiles {
                layout,
                rows,
                input: input.as_ptr(),
                weights: weights.as_ptr(),
                extra: &product.extra[panel.extra.clone()],
                wide: product.wide[panel.wide..][..fours].as_ptr(),
                record: product.records.at(panel.record),
                // SAFETY: `column < width`, and there is a row of outputs.
                output: unsafe { output.as_mut_ptr().add(column) },
                stride: width,
                valid: panel.valid,
                range,
                fast: panel.fast,
            };
            // SAFETY: by the asserts above the rows of inputs and outputs and the weights exist;
            // `records.at` checked the first record, the panel was packed with `vectors` of them.
            unsafe {
                match panel.vectors {
                    1 => tiles.all_rows::<M1, 1>(simd),
                    2 => tiles.all_rows::<M2, 2>(simd),
                    _ => tiles.all_rows::<M4, 4>(simd),
                }
            }
            column += panel.valid;
        }
    }
}

/// The rows to multiply by the weights of a panel.
struct Tiles<'a, S: Bytes> {
    layout: Layout,
    rows: usize,
    input: *const u8,
    weights: *const i8,
    extra: &'a [(usize, usize)],
    /// One flag for each four inputs.
    wide: *const bool,
    record: *const i32,
    output: *mut u8,
    /// Bytes between output rows.
    stride: usize,
    valid: usize,
    range: S::R,
    fast: bool,
}

impl<S: Bytes> Tiles<'_, S> {
    /// # Safety
    /// Everything that the fields promise exists.
    #[inline(always)]
    unsafe fn all_rows<const MR: usize, const NV: usize>(&self, simd: S) {
        let mut row = 0;
        macro_rules! tiles {
            ($($count:expr)*) => {$(
                while self.rows - row >= $count {
                    // SAFETY: the caller's promise; the rows exist.
                    unsafe {
                        if self.fast {
                            self.tile::<{ $count }, NV, true>(simd, row);
                        } else {
                            self.tile::<{ $count }, NV, false>(simd, row);
                        }
                    }
                    row += $count;
                }
            )*};
        }
        tiles!(MR 4 2 1);
    }

    /// `ROWS` rows by `NV` vectors, all in registers.
    ///
    /// # Safety
    /// As for `all_rows`; the rows `row..row + ROWS` exist.
    #[inline(always)]
    unsafe fn tile<const ROWS: usize, const NV: usize, const FAST: bool>(
        &self,
        simd: S,
        row: usize,
    ) {
        let Layout { segments, segment_stride, run, row_stride } = self.layout;
        // SAFETY: rows, runs and weights below are inside what the caller promises.
        unsafe {
            let mut sums = [[simd.load(self.record); NV]; ROWS];
            for v in 0..NV {
                let bias = simd.load(self.field(v, Field::Bias));
                for sums in &mut sums {
                    sums[v] = bias;
                }
            }
            let first = self.input.add(row * row_stride);
            let mut factors = Factors { weights: self.weights, wide: self.wide };
            for segment in 0..segments {
                let mut inputs = Inputs::new(first.add(segment * segment_stride), row_stride);
                for _ in 0..run / (4 * UNROLL) {
                    inputs.fours::<S, ROWS, NV, UNROLL>(simd, &mut sums, &mut factors);
                }
                for _ in 0..run / 4 % UNROLL {
                    inputs.fours::<S, ROWS, NV, 1>(simd, &mut sums, &mut factors);
                }
                if !FAST && run % 4 != 0 {
                    let at = run / 4 * 4 + segment * segment_stride;
                    let from = (first.add(at), row_stride);
                    fewer::<S, ROWS, NV>(simd, &mut sums, from, &mut factors, run % 4);
                }
            }
            for &(segment, at) in self.extra {
                let (from, left) = (first.add(segment * segment_stride + at), run - at);
                if FAST || left >= 4 {
                    let mut inputs = Inputs::new(from, row_stride);
                    inputs.fours::<S, ROWS, NV, 1>(simd, &mut sums, &mut factors);
                } else {
                    let from = (from, row_stride);
                    fewer::<S, ROWS, NV>(simd, &mut sums, from, &mut factors, left);
                }
            }
            self.finish::<ROWS, NV, FAST>(simd, row, sums);
        }
    }

    #[inline(always)]
    unsafe fn field(&self, vector: usize, field: Field) -> *const i32 {
        // SAFETY: the panel has a record for each vector.
        unsafe { self.record.add(Field::COUNT * S::LANES * vector + field.start(S::LANES)) }
    }

    /// Rescales sums and writes them.
    ///
    /// # Safety
    /// As for `tile`.
    #[inline(always)]
    unsafe fn finish<const ROWS: usize, const NV: usize, const FAST: bool>(
        &self,
        simd: S,
        row: usize,
        mut sums: [[S::V; NV]; ROWS],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..NV {
                let constants = simd.constants(self.field(v, Field::Bias));
                for sums in &mut sums {
                    sums[v] = simd.rescale::<FAST>(sums[v], &constants);
                }
            }
            let per = 4 / NV;
            for r in (0..ROWS).step_by(per) {
                let mut group = [sums[r][0]; 4];
                for (i, sum) in group.iter_mut().enumerate() {
                    *sum = sums[(r + i / NV).min(ROWS - 1)][i % NV];
                }
                let to = self.output.add((row + r) * self.stride);
                let rows = per.min(ROWS - r);
                let target = Target { to, stride: self.stride, rows, valid: self.valid };
                simd.store::<NV>(group, target, &self.range);
            }
        }
    }
}

/// The next inputs of each row of a tile.
struct Inputs {
    /// Of the first row of each [`GROUP`].
    groups: [*const u8; GROUPS],
    /// Bytes between rows.
    stride: usize,
}

impl Inputs {
    /// The first row's inputs lie at `from`.
    #[inline(always)]
    fn new(from: *const u8, stride: usize) -> Self {
        let mut groups = [from; GROUPS];
        for (g, group) in groups.iter_mut().enumerate() {
            *group = from.wrapping_add(g * GROUP * stride);
        }
        Self { groups, stride }
    }

    /// Adds the products of `U` times four inputs of each row, and goes on to what follows them.
    ///
    /// # Safety
    /// These inputs of each row, a weight of each for every output, and a flag for each four, must be
    /// readable.
    #[inline(always)]
    unsafe fn fours<S: Bytes, const ROWS: usize, const NV: usize, const U: usize>(
        &mut self,
        simd: S,
        sums: &mut [[S::V; NV]; ROWS],
        factors: &mut Factors,
    ) {
        let vector = 4 * S::LANES;
        // SAFETY: the caller's promise.
        unsafe {
            for u in 0..U {
                let from = |r: usize| self.groups[r / GROUP].add(r % GROUP * self.stride + 4 * u);
                let weights = factors.weights.add(u * NV * vector);
                if S::SATURATES && *factors.wide.add(u) {
                    let mut packed = [simd.weights(weights); NV];
                    for (v, packed) in packed.iter_mut().enumerate().skip(1) {
                        *packed = simd.weights(weights.add(v * vector));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let a = simd.widen(simd.spread(from(r)));
                        for (sum, weights) in sums.iter_mut().zip(packed) {
                            *sum = simd.dot(*sum, a, weights);
                        }
                    }
                    continue;
                }
                let mut packed = [simd.factors(weights); NV];
                for (v, packed) in packed.iter_mut().enumerate().skip(1) {
                    *packed = simd.factors(weights.add(v * vector));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let a = simd.spread(from(r));
                    for (sum, weights) in sums.iter_mut().zip(packed) {
                        *sum = simd.dot_spread(*sum, a, weights);
                    }
                }
            }
        }
        for group in self.groups.iter_mut().take(ROWS.div_ceil(GROUP)) {
            // Opaque, or the compiler spends a register, or a place in memory, on each row.
            *group = opaque(group.wrapping_add(4 * U));
        }
        factors.weights = factors.weights.wrapping_add(U * NV * vector);
        factors.wide = factors.wide.wrapping_add(U);
    }
}

/// The next weights of a panel, and whether they have to be multiplied widened.
struct Factors {
    weights: *const i8,
    wide: *const bool,
}

/// As [`Inputs::fours`], with `count` inputs of each row and zeros after them.
///
/// # Safety
/// As there, but only `count <= 4` bytes of each row need be readable.
#[inline(always)]
unsafe fn fewer<S: Bytes, const ROWS: usize, const NV: usize>(
    simd: S,
    sums: &mut [[S::V; NV]; ROWS],
    (from, stride): (*const u8, usize),
    factors: &mut Factors,
    count: usize,
) {
    let mut bytes = [[0u8; 4]; ROWS];
    // SAFETY: the caller's promise, and there is room for four bytes of each row.
    unsafe {
        for (r, bytes) in bytes.iter_mut().enumerate() {
            std::ptr::copy_nonoverlapping(from.add(r * stride), bytes.as_mut_ptr(), count);
        }
        Inputs::new(bytes.as_ptr().cast(), 4).fours::<S, ROWS, NV, 1>(simd, sums, factors);
    }
}
