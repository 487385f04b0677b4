//! Pointwise (1x1) convolution, which is a product of matrices: rows of `k` input channels
//! times packed `[k, n]` weights, bias and activation in the epilogue.

#[cfg(target_arch = "x86_64")]
mod bf16;
pub(crate) mod body;
pub(crate) mod reference;

use crate::aligned::{Aligned, Packer};
use crate::choice::Choice;
use crate::error::{Result, check_len, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::precision::Precision;
use crate::table::{self, Kernel};
use crate::window::Activation;
use std::ops::Range;

/// Sizes of a pointwise convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PointwiseSpec {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Applied to each output.
    pub activation: Activation,
}

/// A pointwise convolution with its weights packed.
///
/// ```
/// use mobilenet_kernels::{Activation, Isa, Pointwise, PointwiseSpec, Pool};
/// let spec = PointwiseSpec { inputs: 2, outputs: 3, activation: Activation::None };
/// let weights = [1.0, 0.0, 2.0, 0.0, 1.0, 3.0];
/// let op = Pointwise::new(Isa::detect(), spec, &weights, Some(&[0.0, 0.0, 1.0]))?;
/// let mut output = [0.0; 3];
/// op.run(&Pool::single(), 1, &[10.0, 20.0], &mut output);
/// assert_eq!(output, [10.0, 20.0, 81.0]);
/// # Ok::<(), mobilenet_kernels::Error>(())
/// ```
#[derive(Clone)]
pub struct Pointwise {
    spec: PointwiseSpec,
    packed: Packed,
    function: fn(PointwiseTask<'_>),
    kernel: &'static Kernel,
}

impl Pointwise {
    /// Packs `weights`, `[inputs, outputs]` row-major, and `bias`, `[outputs]` (zeros if `None`).
    ///
    /// # Errors
    /// An instruction set this CPU lacks; slices that do not fit the sizes.
    pub fn new(
        isa: Isa,
        spec: PointwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        Self::with_choice(isa, spec, weights, bias, Choice::default())
    }

    /// As [`with_choice`](Self::with_choice), rounding weights and inputs to a precision. Kernels of
    /// other precisions than float32 are not chosen.
    ///
    /// # Errors
    /// A precision this CPU lacks, and those of [`with_choice`](Self::with_choice).
    pub fn with_precision(
        (isa, precision, choice): (Isa, Precision, Choice),
        spec: PointwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        precision.require(isa)?;
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::Bf16 && bf16::fits(spec) {
            let (kernel, packed) = (&bf16::KERNEL, bf16::pack(spec, weights, bias)?);
            return Ok(Self { spec, packed, function: kernel.pointwise()?, kernel });
        }
        Self::with_choice(isa, spec, weights, bias, choice)
    }

    /// As [`new`](Self::new), with the kernel that `choice` names, if it names one.
    ///
    /// # Errors
    /// A kernel for another op or instruction set, and those of [`new`](Self::new).
    pub fn with_choice(
        isa: Isa,
        spec: PointwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
        choice: Choice,
    ) -> Result<Self> {
        let kernel = match choice.kernel {
            Some(name) => table::by_name_for(name, isa)?,
            None => table::pick_pointwise(isa.require()?, spec)?,
        };
        Self::with_kernel(kernel, spec, weights, bias)
    }

    /// As [`new`](Self::new), with the kernel of the table that carries `name`.
    ///
    /// # Errors
    /// No such kernel, or one for another op; and those of [`new`](Self::new).
    pub fn with_kernel_name(
        name: &str,
        spec: PointwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        Self::with_kernel(table::by_name(name)?, spec, weights, bias)
    }

    fn with_kernel(
        kernel: &'static Kernel,
        spec: PointwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let function = kernel.pointwise()?;
        let packed = Packed::new(kernel, spec, weights, bias)?;
        Ok(Self { spec, packed, function, kernel })
    }

    /// Its sizes.
    pub fn spec(&self) -> PointwiseSpec {
        self.spec
    }

    /// The kernel it runs.
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Computes `output`, `[rows, outputs]`, from `input`, `[rows, inputs]`.
    ///
    /// # Panics
    /// If a slice does not fit `rows`.
    pub fn run(&self, pool: &Pool, rows: usize, input: &[f32], output: &mut [f32]) {
        let PointwiseSpec { inputs, outputs, .. } = self.spec;
        assert_eq!(input.len(), rows * inputs, "pointwise input");
        assert_eq!(output.len(), rows * outputs, "pointwise output");
        if rows == 1 {
            return self.run_row(pool, input, output);
        }
        let chunk = self.rows_per_task(rows);
        pool.for_each_chunk(output, chunk * outputs, &|index, output| {
            let rows = output.len() / outputs;
            let input = &input[index * chunk * inputs..][..rows * inputs];
            self.run_rows(input, output);
        });
    }

    /// The rows of a task: as many as keep input and output in the first-level cache.
    fn rows_per_task(&self, rows: usize) -> usize {
        let tile = self.kernel.tile[0];
        let bytes = 4 * (self.spec.inputs + self.spec.outputs);
        let fit = (32 << 10) / bytes.max(1);
        let fit = (fit / tile).clamp(2, 64) * tile;
        // At least a few tasks, so that two or four threads share the work evenly.
        fit.min(rows.div_ceil(4).next_multiple_of(tile)).max(1)
    }

    /// Some rows, in the calling thread.
    #[inline]
    pub(crate) fn run_rows(&self, input: &[f32], output: &mut [f32]) {
        self.run_layout(Layout::dense(self.spec.inputs), input, output, &[]);
    }

    /// Some rows whose inputs lie as `layout` says, in the calling thread; meanwhile `ahead`
    /// comes into the cache.
    #[inline]
    pub(crate) fn run_layout(
        &self,
        layout: Layout,
        input: &[f32],
        output: &mut [f32],
        ahead: &[f32],
    ) {
        let (packed, columns) = (&self.packed, 0..self.spec.outputs);
        (self.function)(PointwiseTask { packed, columns, input, layout, output, ahead });
    }

    /// One row, split by output channels.
    fn run_row(&self, pool: &Pool, input: &[f32], output: &mut [f32]) {
        let panel = self.packed.panel();
        let panels = self.spec.outputs.div_ceil(panel);
        let chunk = panels.div_ceil(pool.threads()).max(8) * panel;
        pool.for_each_chunk(output, chunk, &|index, output| {
            let columns = index * chunk..index * chunk + output.len();
            let (packed, layout) = (&self.packed, Layout::dense(self.spec.inputs));
            (self.function)(PointwiseTask { packed, columns, input, layout, output, ahead: &[] });
        });
    }
}

/// Weights as the kernels read them: panels of columns, in each panel row after row;
/// the columns of the last panel are padded with zeros to whole vectors.
#[derive(Clone)]
pub(crate) struct Packed {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) lanes: usize,
    /// Vectors in a panel.
    pub(crate) vectors: usize,
    pub(crate) weights: Aligned,
    pub(crate) bias: Aligned,
    pub(crate) bounds: (f32, f32),
}

impl Packed {
    pub(crate) fn new(
        kernel: &Kernel,
        spec: PointwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let PointwiseSpec { inputs, outputs, activation } = spec;
        let lanes = kernel.isa.lanes();
        let columns = product("padded columns", &[outputs.div_ceil(lanes), lanes])?;
        let len = product("packed weights", &[inputs, columns])?;
        check_len("weights", weights, inputs * outputs)?;
        check_len("bias", bias.unwrap_or(&[]), bias.map_or(0, |_| outputs))?;
        let vectors = kernel.tile[1] / lanes;
        Ok(Self {
            inputs,
            outputs,
            lanes,
            vectors,
            weights: pack(weights, outputs, (lanes, vectors * lanes), len),
            bias: Aligned::padded(bias.unwrap_or(&[]), columns),
            bounds: activation.bounds(),
        })
    }

    /// Columns in a full panel.
    pub(crate) fn panel(&self) -> usize {
        self.vectors * self.lanes
    }
}

/// `weights`, rows of `outputs`, as panels of so many columns padded to whole vectors: `len` floats.
fn pack(weights: &[f32], outputs: usize, (lanes, panel): (usize, usize), len: usize) -> Aligned {
    let mut packer = Packer::new(len);
    for first in (0..outputs).step_by(panel) {
        let columns = panel.min(outputs - first);
        let padding = columns.next_multiple_of(lanes) - columns;
        for row in weights.chunks_exact(outputs) {
            packer.push(&row[first..first + columns]);
            packer.pad(padding);
        }
    }
    packer.finish()
}

/// Some rows, some columns: what one call of a kernel computes.
pub(crate) struct PointwiseTask<'a> {
    pub(crate) packed: &'a Packed,
    /// Output channels; starts at a panel.
    pub(crate) columns: Range<usize>,
    pub(crate) input: &'a [f32],
    pub(crate) layout: Layout,
    /// `[rows, columns]`.
    pub(crate) output: &'a mut [f32],
    /// What is needed next: brought into the cache during the computation.
    pub(crate) ahead: &'a [f32],
}

/// Where the inputs of a row of the product lie: `segments` runs of `run` floats each,
/// `segment_stride` apart; the next row begins `row_stride` later. For a pointwise convolution
/// a row is one run; for others it is a run from each image row under the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) segments: usize,
    pub(crate) segment_stride: usize,
    pub(crate) run: usize,
    pub(crate) row_stride: usize,
}

impl Layout {
    /// Rows of `inputs` floats, one after the other.
    pub(crate) fn dense(inputs: usize) -> Self {
        Self { segments: 1, segment_stride: 0, run: inputs, row_stride: inputs }
    }

    /// Floats from the first input to the end of the last of so many rows.
    pub(crate) fn reach(&self, rows: usize) -> usize {
        if rows == 0 || self.segments == 0 {
            return 0;
        }
        (rows - 1) * self.row_stride + (self.segments - 1) * self.segment_stride + self.run
    }
}
