//! Sums of outer products: `out[i, j] += x[r, i] * dy[r, j]` over rows `r`. The filter gradient
//! of every convolution is made of these.

use crate::simd::{Body, Simd};

/// Rows of `x` and `dy` and where their products are summed.
pub(super) struct Outer<'a> {
    /// Row `r` starts at `r * x_stride` and has `k` values.
    pub(super) x: &'a [f32],
    pub(super) x_stride: usize,
    pub(super) k: usize,
    /// Row `r` starts at `r * dy_stride` and has `n` values.
    pub(super) dy: &'a [f32],
    pub(super) dy_stride: usize,
    pub(super) n: usize,
    pub(super) rows: usize,
    /// `[k, n]`.
    pub(super) out: &'a mut [f32],
}

impl Body for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.rows == 0 || self.k == 0 || self.n == 0 {
            return;
        }
        let last = self.rows - 1;
        assert!(self.x.len() >= last * self.x_stride + self.k, "rows of x");
        assert!(self.dy.len() >= last * self.dy_stride + self.n, "rows of dy");
        assert!(self.out.len() >= self.k * self.n, "sums");
        let tiles = Tiles {
            x: self.x.as_ptr(),
            x_stride: self.x_stride,
            dy: self.dy.as_ptr(),
            dy_stride: self.dy_stride,
            rows: self.rows,
            n: self.n,
            out: self.out.as_mut_ptr(),
        };
        let wide = 2 * S::LANES;
        for j in (0..self.n).step_by(wide) {
            let width = (self.n - j).min(wide);
            // SAFETY: by the asserts, every row has `k` and `n` values and `out` has `k * n`;
            // `j + width <= n`.
            unsafe {
                if width > S::LANES {
                    tiles.columns::<S, 2>(simd, self.k, j, width);
                } else {
                    tiles.columns::<S, 1>(simd, self.k, j, width);
                }
            }
        }
    }
}

struct Tiles {
    x: *const f32,
    x_stride: usize,
    dy: *const f32,
    dy_stride: usize,
    rows: usize,
    n: usize,
    out: *mut f32,
}

impl Tiles {
    /// All `k` rows of the sums, `NV` vectors of columns from `j`.
    ///
    /// # Safety
    /// The sizes are those of the slices; `j + width <= n`.
    #[inline(always)]
    unsafe fn columns<S: Simd, const NV: usize>(&self, simd: S, k: usize, j: usize, width: usize) {
        // Sixteen registers (8 lanes) hold 6 by 2 sums, thirty-two hold 8 by 2; of single vectors
        // twice as many.
        let tall = (if S::LANES == 8 { 6 } else { 8 }) * (3 - NV);
        let mut i = 0;
        macro_rules! tile {
            ($height:expr, $($count:literal)*) => {
                match $height {
                    // SAFETY: the caller's promise; `i + height <= k`.
                    $($count if $count <= tall => unsafe {
                        self.tile::<S, $count, NV>(simd, i, j, width);
                    },)*
                    _ => unreachable!("a tile has 1 to {tall} rows"),
                }
            };
        }
        while i < k {
            let height = (k - i).min(tall);
            tile!(height, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
            i += height;
        }
    }

    /// # Safety
    /// As for `columns`; rows `i..i + KR` of the sums exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const KR: usize, const NV: usize>(
        &self,
        simd: S,
        i: usize,
        j: usize,
        width: usize,
    ) {
        let count = |vector: usize| (width - vector * S::LANES).min(S::LANES);
        // SAFETY: the caller's promise.
        unsafe {
            let out = self.out.add(i * self.n + j);
            let mut sums = [[simd.splat(0.0); NV]; KR];
            for (row, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.load_part(out.add(row * self.n + vector * S::LANES), count(vector));
                }
            }
            if width == NV * S::LANES {
                self.sum::<S, KR, NV, true>(simd, i, j, width, &mut sums);
            } else {
                self.sum::<S, KR, NV, false>(simd, i, j, width, &mut sums);
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    simd.store_part(out.add(row * self.n + vector * S::LANES), sum, count(vector));
                }
            }
        }
    }

    /// # Safety
    /// As for `tile`; `WHOLE` only if `width` is `NV` vectors.
    #[inline(always)]
    unsafe fn sum<S: Simd, const KR: usize, const NV: usize, const WHOLE: bool>(
        &self,
        simd: S,
        i: usize,
        j: usize,
        width: usize,
        sums: &mut [[S::V; NV]; KR],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut x, mut dy) = (self.x.add(i), self.dy.add(j));
            for row in 0..self.rows {
                let mut slopes = [simd.splat(0.0); NV];
                for (vector, slope) in slopes.iter_mut().enumerate() {
                    let at = dy.add(vector * S::LANES);
                    *slope = if WHOLE {
                        simd.load(at)
                    } else {
                        simd.load_part(at, (width - vector * S::LANES).min(S::LANES))
                    };
                }
                for (tap, sums) in sums.iter_mut().enumerate() {
                    let value = simd.splat(*x.add(tap));
                    for (sum, slope) in sums.iter_mut().zip(slopes) {
                        *sum = simd.fma(value, slope, *sum);
                    }
                }
                if row + 1 < self.rows {
                    x = x.add(self.x_stride);
                    dy = dy.add(self.dy_stride);
                }
            }
        }
    }
}
