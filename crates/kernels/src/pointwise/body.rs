//! Rows times packed weights, in register tiles of `MR` rows by `NV` vectors.
//! Each output value is `a[0] b[0] + a[1] b[1] … + bias` in this order, whatever the tile, so
//! results do not depend on how rows were split. The bias comes last: sums that begin at a bias
//! much larger than their terms round each of them to its last place.

use super::{Layout, PointwiseTask};
use crate::simd::{Body, Simd, opaque};

/// Floats in a cache line.
const LINE: usize = 16;
/// Panels that a row alone takes at once.
const SINGLE: usize = 4;

/// Taps in one turn of the inner loop.
const UNROLL: usize = 4;
/// Rows addressed from one pointer: an address is a register and once or twice another.
const GROUP: usize = 3;
/// Groups in the tallest tile.
const GROUPS: usize = 6;

/// Entry of the table: tiles of `MR` rows by `NV` vectors.
pub(crate) fn entry<S: Simd, const MR: usize, const NV: usize>(task: PointwiseTask<'_>) {
    if let Some(simd) = S::new() {
        simd.call(Rows::<MR, NV>(task));
    }
}

struct Rows<'a, const MR: usize, const NV: usize>(PointwiseTask<'a>);

impl<const MR: usize, const NV: usize> Body for Rows<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let task = self.0;
        let (packed, layout, width) = (task.packed, task.layout, task.columns.len());
        if width == 0 || task.output.is_empty() {
            return;
        }
        let rows = task.output.len() / width;
        let padded = packed.outputs.next_multiple_of(S::LANES);
        assert!(packed.lanes == S::LANES && packed.vectors == NV, "weights of another kernel");
        assert!(task.columns.start.is_multiple_of(NV * S::LANES), "columns start at a panel");
        assert!(task.columns.end <= packed.outputs, "columns");
        assert!(packed.weights.len() >= padded * packed.inputs && packed.bias.len() >= padded);
        assert!(task.output.len() == rows * width && task.input.len() >= layout.reach(rows));
        assert_eq!(layout.segments * layout.run, packed.inputs, "inputs of a row");
        let (low, high) = packed.bounds;
        let k = packed.inputs;
        let mut first = task.columns.start;
        let mut ahead = Ahead::of(task.ahead);
        while first < task.columns.end {
            let valid = (task.columns.end - first).min(NV * S::LANES);
            // SAFETY: by the asserts above, `rows` rows of inputs and `width` outputs exist,
            // and the panel at `first` holds `k` rows of `valid` columns rounded up to vectors.
            unsafe {
                let panel = Panel {
                    layout,
                    rows,
                    valid,
                    input: task.input.as_ptr(),
                    weights: packed.weights.as_ptr().add(first * k),
                    bias: packed.bias.as_ptr().add(first),
                    output: task.output.as_mut_ptr().add(first - task.columns.start),
                    stride: width,
                    low: simd.splat(low),
                    high: simd.splat(high),
                };
                let group = SINGLE * NV * S::LANES;
                if rows == 1 && layout.segments == 1 && first + group <= task.columns.end {
                    panel.single::<NV>(simd);
                    first += group;
                    continue;
                }
                if ahead.is_empty() {
                    // The panel that comes next; after the last it is the first again.
                    let next = if first + valid < task.columns.end { first + valid } else { 0 };
                    let end = (next + NV * S::LANES).min(padded);
                    ahead = Ahead::of(&packed.weights[next * k..end * k]);
                }
                if NV > 1 && valid <= (NV - 1) * S::LANES {
                    narrow::<S, MR, NV>(simd, &panel, &mut ahead);
                } else {
                    panel.all_rows::<MR, NV>(simd, &mut ahead);
                }
            }
            first += valid;
        }
    }
}

/// The last panel when it holds fewer vectors than the others.
#[inline(always)]
unsafe fn narrow<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    panel: &Panel<S>,
    ahead: &mut Ahead,
) {
    // SAFETY: the caller's promise; the panel is as wide as `valid` rounded up.
    unsafe {
        match panel.valid.div_ceil(S::LANES) {
            1 => panel.all_rows::<MR, 1>(simd, ahead),
            2 if NV > 2 => panel.all_rows::<MR, 2>(simd, ahead),
            3 if NV > 3 => panel.all_rows::<MR, 3>(simd, ahead),
            _ => unreachable!("a panel has at most {NV} vectors"),
        }
    }
}

/// Cache lines to fetch while computing.
struct Ahead {
    begin: *const f32,
    lines: usize,
    done: usize,
}

impl Ahead {
    fn of(data: &[f32]) -> Self {
        Self { begin: data.as_ptr(), lines: data.len().div_ceil(LINE), done: 0 }
    }

    fn is_empty(&self) -> bool {
        self.done >= self.lines
    }

    /// The first of the next `count` lines; when all are fetched, lines that need no fetching.
    #[inline(always)]
    fn take(&mut self, count: usize) -> *const f32 {
        if self.is_empty() {
            return self.begin;
        }
        let from = self.begin.wrapping_add(self.done * LINE);
        self.done += count;
        from
    }
}

/// Where a tile has arrived.
struct Taps {
    /// The first of every [`GROUP`] rows.
    input: [*const f32; GROUPS],
    packed: *const f32,
    ahead: *const f32,
}

/// Columns of the weights and the rows to multiply by them.
struct Panel<S: Simd> {
    layout: Layout,
    rows: usize,
    /// Columns that exist.
    valid: usize,
    input: *const f32,
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    /// Floats between output rows.
    stride: usize,
    low: S::V,
    high: S::V,
}

impl<S: Simd> Panel<S> {
    /// Tiles of `MR` rows; the rest is spread so that no tile is needlessly short.
    #[inline(always)]
    unsafe fn all_rows<const MR: usize, const NV: usize>(&self, simd: S, ahead: &mut Ahead) {
        let tiles = self.rows.div_ceil(MR);
        let (short, long) = (self.rows / tiles, self.rows % tiles);
        let mut row = 0;
        for (count, rows) in [(long, short + 1), (tiles - long, short)] {
            if count > 0 {
                // SAFETY: the tiles together have `self.rows` rows.
                unsafe { self.tiles::<MR, NV>(simd, row, [count, rows], ahead) };
                row += count * rows;
            }
        }
    }

    /// So many tiles of so many rows.
    #[inline(always)]
    unsafe fn tiles<const MR: usize, const NV: usize>(
        &self,
        simd: S,
        row: usize,
        [count, rows]: [usize; 2],
        ahead: &mut Ahead,
    ) {
        let inputs = self.layout.segments * self.layout.run;
        macro_rules! tiles {
            ($($rows:literal)*) => {
                match rows {
                    $($rows if $rows <= MR => for tile in 0..count {
                        // SAFETY: the caller's promise.
                        unsafe {
                            self.tile::<$rows, NV>(simd, row + tile * $rows, ahead.take(inputs));
                        }
                    })*
                    _ => unreachable!("a tile has 1 to {MR} rows"),
                }
            };
        }
        tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    }

    /// `ROWS` rows by `NV` vectors, all in registers.
    ///
    /// # Safety
    /// The rows `row..row + ROWS` exist.
    #[inline(always)]
    unsafe fn tile<const ROWS: usize, const NV: usize>(
        &self,
        simd: S,
        row: usize,
        ahead: *const f32,
    ) {
        let Layout { segments, segment_stride, run, row_stride } = self.layout;
        let mut sums = [[simd.splat(0.0); NV]; ROWS];
        // SAFETY: row and column numbers below stay inside the panel by the caller's promise.
        unsafe {
            let input = self.input.add(row * row_stride);
            let mut at = Taps { input: [input; GROUPS], packed: self.weights, ahead };
            for segment in 0..segments {
                for (group, from) in at.input.iter_mut().enumerate().take(ROWS.div_ceil(GROUP)) {
                    let start = segment * segment_stride + group * GROUP * row_stride;
                    *from = input.wrapping_add(start);
                }
                for _ in 0..run / UNROLL {
                    self.taps::<ROWS, NV, UNROLL>(simd, &mut at, &mut sums);
                }
                for _ in 0..run % UNROLL {
                    self.taps::<ROWS, NV, 1>(simd, &mut at, &mut sums);
                }
            }
            let mut bias = [simd.splat(0.0); NV];
            for (vector, bias) in bias.iter_mut().enumerate() {
                *bias = simd.load(self.bias.add(vector * S::LANES));
            }
            let output = self.output.add(row * self.stride);
            // Row by row as written: in a loop, sums would have to lie in memory.
            macro_rules! rows {
                ($store:ident $($row:literal)*) => {$(
                    if let Some(&sums) = sums.get($row) {
                        self.$store(simd, output.add($row * self.stride), sums, bias);
                    }
                )*};
            }
            if self.valid == NV * S::LANES {
                rows!(store 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            } else {
                rows!(store_part 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            }
        }
    }

    /// `U` taps of each row.
    ///
    /// # Safety
    /// They exist.
    #[inline(always)]
    unsafe fn taps<const ROWS: usize, const NV: usize, const U: usize>(
        &self,
        simd: S,
        at: &mut Taps,
        sums: &mut [[S::V; NV]; ROWS],
    ) {
        for tap in 0..U {
            let mut weights = [simd.splat(0.0); NV];
            for (vector, weight) in weights.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *weight = unsafe { simd.load(at.packed.add((tap * NV + vector) * S::LANES)) };
            }
            simd.prefetch(at.ahead.wrapping_add(tap * LINE));
            for (row, sums) in sums.iter_mut().enumerate() {
                let from = at.input[row / GROUP];
                // SAFETY: the caller's promise.
                let x = unsafe { *from.add(row % GROUP * self.layout.row_stride + tap) };
                let x = simd.splat(x);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.fma(x, weight, *sum);
                }
            }
        }
        for from in at.input.iter_mut().take(ROWS.div_ceil(GROUP)) {
            // Opaque, or the compiler spends a register, or a place in memory, on each row.
            *from = opaque(from.wrapping_add(U));
        }
        at.packed = at.packed.wrapping_add(U * NV * S::LANES);
        at.ahead = at.ahead.wrapping_add(U * LINE);
    }

    /// One row by [`SINGLE`] full panels: in a single one it has too few sums to hide the latency
    /// of multiply-adds.
    ///
    /// # Safety
    /// These panels exist, the row is one run.
    #[inline(always)]
    unsafe fn single<const NV: usize>(&self, simd: S) {
        let panel = self.layout.run * NV * S::LANES;
        let mut sums = [[simd.splat(0.0); NV]; SINGLE];
        // SAFETY: the caller's promise.
        unsafe {
            for tap in 0..self.layout.run {
                let x = simd.splat(*self.input.add(tap));
                for (p, sums) in sums.iter_mut().enumerate() {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let at = p * panel + (tap * NV + vector) * S::LANES;
                        *sum = simd.fma(x, simd.load(self.weights.add(at)), *sum);
                    }
                }
            }
            for (index, sum) in sums.into_iter().flatten().enumerate() {
                let at = index * S::LANES;
                let sum = simd.add(sum, simd.load(self.bias.add(at)));
                simd.store(self.output.add(at), simd.clamp(sum, self.low, self.high));
            }
        }
    }

    /// One row: the bias comes last, then the activation.
    ///
    /// # Safety
    /// `NV` vectors are writable at `output`.
    #[inline(always)]
    unsafe fn store<const NV: usize>(
        &self,
        simd: S,
        output: *mut f32,
        sums: [S::V; NV],
        bias: [S::V; NV],
    ) {
        for (vector, (sum, bias)) in sums.into_iter().zip(bias).enumerate() {
            let x = simd.clamp(simd.add(sum, bias), self.low, self.high);
            // SAFETY: the caller's promise.
            unsafe { simd.store(output.add(vector * S::LANES), x) };
        }
    }

    /// As [`store`](Self::store), of the columns that exist.
    ///
    /// # Safety
    /// `valid` columns are writable at `output`.
    #[inline(always)]
    unsafe fn store_part<const NV: usize>(
        &self,
        simd: S,
        output: *mut f32,
        sums: [S::V; NV],
        bias: [S::V; NV],
    ) {
        for (vector, (sum, bias)) in sums.into_iter().zip(bias).enumerate() {
            let x = simd.clamp(simd.add(sum, bias), self.low, self.high);
            let left = self.valid.saturating_sub(vector * S::LANES).min(S::LANES);
            // SAFETY: the caller's promise.
            unsafe { simd.store_part(output.wrapping_add(vector * S::LANES), x, left) };
        }
    }
}
