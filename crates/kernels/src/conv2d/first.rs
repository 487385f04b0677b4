//! First convolutions: 3x3 of 3 channels, stride 2, by kernels that read the three rows under an
//! output row where they lie. Pixels at the left and right border come from patches.

pub(crate) mod columns;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pairs;

use super::{Conv2dSpec, Folded, Rows};
use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::table::{self, Kernel};
use crate::window::{Padding, Window};

/// Floats under a kernel row.
const RUN: usize = 9;
/// Floats from a pixel's first to the next pixel's.
const STEP: usize = 6;

/// A first convolution with its weights packed.
#[derive(Clone)]
pub(crate) struct First {
    spec: Conv2dSpec,
    columns: usize,
    kernel: &'static Kernel,
    function: fn(FirstTask<'_>),
    packed: Packed,
    /// A row of padding.
    padding: Vec<f32>,
}

/// What a kernel reads, as its own file packs it.
#[derive(Clone)]
pub(crate) struct Packed {
    weights: Aligned,
    bias: Aligned,
    outputs: usize,
    bounds: (f32, f32),
}

/// Weights and bias as a kernel reads them; nothing where so many outputs do not fit it.
pub(crate) type Pack = fn(&Kernel, &Folded, usize) -> Option<(Aligned, Aligned)>;

/// Some pixels of an output row.
pub(crate) struct FirstTask<'a> {
    packed: &'a Packed,
    /// The three rows from the first pixel's first tap on; pixels are [`STEP`] floats apart.
    rows: [&'a [f32]; 3],
    /// `[pixels, outputs]`.
    output: &'a mut [f32],
}

impl FirstTask<'_> {
    /// How many pixels there are.
    ///
    /// # Panics
    /// If rows and output do not fit each other.
    #[inline(always)]
    fn pixels(&self) -> usize {
        let pixels = self.output.len() / self.packed.outputs;
        assert_eq!(self.output.len(), pixels * self.packed.outputs, "whole pixels");
        let reach = if pixels == 0 { 0 } else { (pixels - 1) * STEP + RUN };
        assert!(self.rows.iter().all(|row| row.len() >= reach), "rows under the pixels");
        pixels
    }
}

impl First {
    /// Packs the weights if the convolution is of this kind and there is a kernel for it, the one
    /// that is `chosen` if one is.
    pub(crate) fn new(
        isa: Isa,
        spec: Conv2dSpec,
        folded: &Folded,
        chosen: Option<&'static Kernel>,
    ) -> Option<Self> {
        let Conv2dSpec { input: [height, width, channels], outputs, window, .. } = spec;
        let same = Window::same([3, 3], [2, 2], [1, 1], [height, width]);
        if channels != 3 || window != same || width < 3 {
            return None;
        }
        let kernels = chosen.map_or_else(|| table::firsts(isa, outputs), |kernel| vec![kernel]);
        let (kernel, function, (weights, bias)) = kernels.into_iter().find_map(|kernel| {
            let (function, pack) = kernel.first()?;
            Some((kernel, function, pack(kernel, folded, outputs)?))
        })?;
        Some(Self {
            spec,
            columns: width.div_ceil(2),
            kernel,
            function,
            packed: Packed { weights, bias, outputs, bounds: spec.activation.bounds() },
            padding: vec![folded.padding; width * 3],
        })
    }

    pub(crate) fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Output row `y` of an image.
    pub(crate) fn row(&self, image: Rows<'_>, y: usize, output: &mut [f32]) {
        let [height, width, _] = self.spec.input;
        let Padding { left, .. } = self.spec.window.padding;
        let lines = self.spec.window.start(0, y);
        let rows: [&[f32]; 3] = std::array::from_fn(|ky| {
            let line = usize::try_from(lines + ky as isize).ok().filter(|&line| line < height);
            line.map_or(&self.padding[..], |line| &image.starting_at(line, width * 3)[..width * 3])
        });
        // Pixels whose three columns are inside.
        let last = (width + left - 3) / 2 + 1;
        let outputs = self.spec.outputs;
        let (head, rest) = output.split_at_mut(left * outputs);
        let (inner, tail) = rest.split_at_mut((last - left) * outputs);
        if left == 1 {
            self.border(rows, 0, head);
        }
        let start = left * (2 - left) * 3;
        let inside = rows.map(|row| row.get(start..).unwrap_or(&[]));
        (self.function)(FirstTask { packed: &self.packed, rows: inside, output: inner });
        if last < self.columns {
            self.border(rows, last, tail);
        }
    }

    /// One pixel at the border, from a patch with the padding written out.
    fn border(&self, rows: [&[f32]; 3], x: usize, output: &mut [f32]) {
        let mut patch = [[self.padding.first().copied().unwrap_or(0.0); RUN]; 3];
        let start = self.spec.window.start(1, x) * 3;
        let outside = start.unsigned_abs() * usize::from(start < 0);
        let inside = start.max(0) as usize;
        let count = (RUN - outside).min(self.padding.len() - inside);
        for (to, from) in patch.iter_mut().zip(rows) {
            to[outside..outside + count].copy_from_slice(&from[inside..inside + count]);
        }
        let rows = [&patch[0][..], &patch[1][..], &patch[2][..]];
        (self.function)(FirstTask { packed: &self.packed, rows, output });
    }
}
