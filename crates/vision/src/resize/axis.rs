//! One axis of a resize: which source pixels each target pixel takes, and with what weights.
//!
//! The arithmetic is TensorFlow's, float for float: `core/kernels/image/` `resize_bilinear_op`,
//! `resize_bicubic_op`, `resize_area_op`, `resize_nearest_neighbor_op`, `scale_and_translate_op`
//! and `sampling_kernels.h` (version 2.15).

use super::Rule;

/// Where a target pixel lies in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grid {
    /// `target * scale`.
    Legacy,
    /// `target * scale`, with first and last pixels on each other.
    AlignCorners,
    /// `(target + 0.5) * scale - 0.5`.
    HalfPixel,
}

impl Grid {
    /// Source pixels per target pixel.
    fn scale(self, source: usize, target: usize) -> f32 {
        match self {
            Self::AlignCorners if target > 1 => (source - 1) as f32 / (target - 1) as f32,
            _ => source as f32 / target as f32,
        }
    }

    /// The place of target pixel `at`.
    fn place(self, at: usize, scale: f32) -> f32 {
        match self {
            Self::HalfPixel => (at as f32 + 0.5) * scale - 0.5,
            _ => at as f32 * scale,
        }
    }

    /// The source pixel nearest to target pixel `at`, before it is held inside the picture.
    fn nearest(self, at: usize, scale: f32) -> f32 {
        match self {
            Self::HalfPixel => ((at as f32 + 0.5) * scale).floor(),
            Self::AlignCorners => (at as f32 * scale).round(),
            Self::Legacy => (at as f32 * scale).floor(),
        }
    }
}

/// The two source pixels of a target pixel, and how far it lies from the first to the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) lower: usize,
    pub(super) upper: usize,
    pub(super) fraction: f32,
}

/// The pairs of every target pixel of a bilinear resize.
pub(super) fn pairs(grid: Grid, source: usize, target: usize) -> impl Iterator<Item = Pair> {
    let scale = grid.scale(source, target);
    (0..target).map(move |at| {
        let place = grid.place(at, scale);
        let floor = place.floor();
        // Float-to-integer casts saturate, so a negative place is pixel 0.
        let lower = (floor as usize).min(source - 1);
        let upper = (place.ceil() as usize).min(source - 1);
        Pair { lower, upper, fraction: place - floor }
    })
}

/// A sampling kernel of `ScaleAndTranslate`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kernel {
    Lanczos(f32),
    Gaussian,
    Triangle,
    KeysCubic,
    MitchellCubic,
}

impl Kernel {
    fn radius(self) -> f32 {
        match self {
            Self::Lanczos(radius) => radius,
            Self::Gaussian => 1.5,
            Self::Triangle => 1.0,
            Self::KeysCubic | Self::MitchellCubic => 2.0,
        }
    }

    /// The weight at distance `x` (not negative).
    fn weight(self, x: f32) -> f32 {
        match self {
            Self::Lanczos(radius) => lanczos(x, radius),
            Self::Gaussian if x >= 1.5 => 0.0,
            Self::Gaussian => (-x * x / (2.0 * 0.5 * 0.5)).exp(),
            Self::Triangle => (1.0 - x).max(0.0),
            Self::KeysCubic | Self::MitchellCubic if x >= 2.0 => 0.0,
            Self::KeysCubic if x >= 1.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::KeysCubic => (1.5 * x - 2.5) * x * x + 1.0,
            Self::MitchellCubic if x >= 1.0 => {
                ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0
            }
            Self::MitchellCubic => (7.0 / 6.0 * x - 2.0) * x * x + 8.0 / 9.0,
        }
    }
}

fn lanczos(x: f32, radius: f32) -> f32 {
    use std::f32::consts::PI;
    if x > radius {
        0.0
    } else if x <= 1e-3 {
        1.0
    } else {
        radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * PI * x * x)
    }
}

/// The source pixels and weights of every target pixel, one after another.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Taps {
    /// Target pixel `i` takes taps `ends[i - 1]..ends[i]`.
    ends: Vec<usize>,
    taps: Vec<(usize, f32)>,
}

impl Taps {
    /// The taps of each target pixel in turn: (source pixel, weight).
    pub(super) fn iter(&self) -> impl Iterator<Item = &[(usize, f32)]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| self.taps.get(start..end).unwrap_or(&[]))
    }

    /// The taps of `rule` from `source` to `target` pixels.
    pub(super) fn new(rule: Rule, source: usize, target: usize) -> Self {
        let mut taps = Self::default();
        for at in 0..target {
            match rule {
                Rule::Nearest(grid) | Rule::Bilinear(grid) => {
                    taps.nearest(grid, at, source, target)
                }
                Rule::Cubic(grid) => taps.cubic(grid, at, source, target),
                Rule::Area => taps.area(at, source, target),
                Rule::Scale { kernel, antialias } => {
                    taps.scaled(kernel, antialias, at, (source, target));
                }
            }
            taps.ends.push(taps.taps.len());
        }
        taps
    }

    fn nearest(&mut self, grid: Grid, at: usize, source: usize, target: usize) {
        let nearest = grid.nearest(at, grid.scale(source, target)) as usize;
        self.taps.push((nearest.min(source - 1), 1.0));
    }

    fn cubic(&mut self, grid: Grid, at: usize, source: usize, target: usize) {
        let keys = grid == Grid::HalfPixel;
        let place = grid.place(at, grid.scale(source, target));
        let first = place.floor() as isize - 1;
        let weights = cubic_weights(place - place.floor(), if keys { -0.5 } else { -0.75 });
        let last = source as isize - 1;
        let start = self.taps.len();
        for (pixel, weight) in (first..).zip(weights) {
            let inside = pixel.clamp(0, last);
            // Half-pixel grids give pixels outside no weight, older ones repeat the border.
            let weight = if keys && inside != pixel { 0.0 } else { weight };
            self.taps.push((inside as usize, weight));
        }
        if keys {
            self.normalise(start);
        }
    }

    fn area(&mut self, at: usize, source: usize, target: usize) {
        let scale = source as f32 / target as f32;
        let (from, to) = (at as f32 * scale, (at + 1) as f32 * scale);
        for pixel in from.floor() as usize..to.ceil() as usize {
            let (left, right) = (pixel as f32, pixel as f32 + 1.0);
            let weight = match (left < from, right > to) {
                (true, true) => scale,
                (true, false) => right - from,
                (false, true) => to - left,
                (false, false) => 1.0,
            };
            self.taps.push((pixel.min(source - 1), weight));
        }
    }

    fn scaled(&mut self, kernel: Kernel, antialias: bool, at: usize, sizes: (usize, usize)) {
        let (source, target) = sizes;
        let inverse = 1.0 / (target as f32 / source as f32);
        let widen = if antialias { inverse.max(1.0) } else { 1.0 };
        let narrow = 1.0 / widen;
        let place = (at as f32 + 0.5) * inverse;
        if place > source as f32 {
            return;
        }
        let last = source as f32 - 1.0;
        let reach = kernel.radius() * widen;
        let from = (place - reach - 0.5).ceil().clamp(0.0, last) as usize;
        let to = (place + reach - 0.5).floor().clamp(0.0, last) as usize;
        let start = self.taps.len();
        for pixel in from..=to {
            let distance = (pixel as f32 + 0.5 - place) * narrow;
            self.taps.push((pixel, kernel.weight(distance.abs())));
        }
        self.normalise(start);
    }

    /// Makes the weights from `start` on add up to 1.
    fn normalise(&mut self, start: usize) {
        let taps = self.taps.get_mut(start..).unwrap_or_default();
        let total: f32 = taps.iter().map(|tap| tap.1).sum();
        if total.abs() >= 1000.0 * f32::MIN_POSITIVE {
            let factor = 1.0 / total;
            taps.iter_mut().for_each(|tap| tap.1 *= factor);
        }
    }
}

/// Weights of the pixels at -1, 0, 1 and 2, from a table of 1024 steps of `fraction`.
fn cubic_weights(fraction: f32, a: f64) -> [f32; 4] {
    const STEPS: f32 = 1024.0;
    let step = (fraction * STEPS).round_ties_even();
    // The table is filled in single precision from a double coefficient.
    let near = |step: f32| {
        let x = step / STEPS;
        (((a + 2.0) * f64::from(x) - (a + 3.0)) * f64::from(x) * f64::from(x) + 1.0) as f32
    };
    let far = |step: f32| {
        let x = f64::from(step / STEPS + 1.0);
        (((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a) as f32
    };
    [far(step), near(step), near(STEPS - step), far(STEPS - step)]
}
