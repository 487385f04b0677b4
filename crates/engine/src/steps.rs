//! What steps run as: one [`Kernel`] per step, with every size fixed at compile time.
//!
//! Almost all of them call `mobilenet-kernels`; what no kernel exists for, and no network spends
//! time on, is a plain loop here. Nothing allocates in `run`.

mod affine;
mod assign;
mod batch_norm;
mod convolution;
mod copy;
mod elementwise;
mod fake_quant;
pub(crate) mod gradients;
pub(crate) mod int8;
mod layer;
mod layer_gradient;
mod pad;
mod pool;
mod random;
mod reduce;
mod softmax;
mod walk;
mod widen;

use std::fmt::Debug;
use std::sync::Arc;

use mobilenet_kernels::{Choice, Isa, Pool, Precision, Tunable, Tuning};

use crate::error::{Error, Result};
use crate::program::Value;

pub(crate) use affine::affine;
pub(crate) use assign::Assign;
pub(crate) use batch_norm::{batch_norm, batch_statistics};
pub(crate) use convolution::{convolution, folded as folded_weights, pooled, separable};
pub(crate) use copy::Copy;
pub(crate) use elementwise::{Binary, Select, Unary};
pub(crate) use fake_quant::FakeQuant;
pub(crate) use layer::layer;
pub(crate) use layer_gradient::{batch_norm_gradient, layer_gradient};
pub(crate) use pad::Pad;
pub(crate) use pool::{AveragePoolGrad, Pooling};
pub(crate) use random::Random;
pub(crate) use reduce::{L2Loss, Reduce};
pub(crate) use softmax::Softmax;
pub(crate) use widen::widen;

/// Most inputs, and most outputs, of a step.
pub(crate) const MOST_OPERANDS: usize = 14;

/// A step before its shapes and instruction set are settled.
pub(crate) trait Recipe: Debug + Send + Sync {
    /// Whether each image can be computed alone, where `inputs` that are per image have one
    /// row for each along dimension 0.
    fn separable(&self, _inputs: &[&Value]) -> bool {
        false
    }

    /// Whether it is the mean of each channel over images, which are input 0.
    fn is_global_mean(&self, _inputs: &[&Value]) -> bool {
        false
    }

    /// The kernel for one site.
    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>>;
}

/// Where a step runs: concrete shapes (of one image where the plan runs any number).
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    /// Threads to plan scratch memory for.
    pub(crate) threads: usize,
    pub(crate) inputs: Vec<Vec<usize>>,
    pub(crate) tuning: Option<Arc<Tuning>>,
}

impl Site {
    /// What was measured to be best for `op`; nothing where other products than those of floats
    /// are wanted.
    fn choice(&self, op: &Tunable) -> Choice {
        let measured = self.tuning.as_ref().filter(|_| self.precision == Precision::F32);
        measured.map_or_else(Choice::default, |tuning| tuning.choice(self.isa, op))
    }

    /// The shape of input `i`.
    pub(crate) fn input(&self, i: usize) -> &[usize] {
        self.inputs.get(i).map(Vec::as_slice).unwrap_or_default()
    }

    /// The rows of input 0: all elements but those of the last dimension.
    fn rows(&self) -> usize {
        self.input(0).split_last().map_or(1, |(_, rows)| rows.iter().product())
    }

    /// The last dimension of input `i`; 1 for a scalar.
    pub(crate) fn channels(&self, i: usize) -> usize {
        self.input(i).last().copied().unwrap_or(1)
    }

    /// `[height, width, channels]` of input 0.
    pub(crate) fn image(&self) -> Result<[usize; 3]> {
        image(self.input(0))
    }
}

/// `[height, width, channels]` of a shape of images.
fn image(shape: &[usize]) -> Result<[usize; 3]> {
    match *shape {
        [_, height, width, channels] => Ok([height, width, channels]),
        _ => Err(Error::shape("the input must have rank 4")),
    }
}

/// How one step is computed.
pub(crate) trait Kernel: Debug + Send + Sync {
    /// What `inspect` and profiles call it.
    fn name(&self) -> String;

    /// Bytes of scratch memory.
    fn scratch_bytes(&self) -> usize {
        0
    }

    /// Multiply-adds.
    fn multiply_adds(&self) -> u64 {
        0
    }

    /// Whether it computes on bytes, not on floats.
    fn on_bytes(&self) -> bool {
        false
    }

    /// The convolution it is, where its kernel is a choice.
    fn tunable(&self) -> Option<Tunable> {
        None
    }

    /// Computes the outputs.
    fn run(&self, call: &mut Call<'_>) -> Result<()>;
}

/// One run of one step: its operands as bytes, 64-byte aligned where they are in the arena.
pub(crate) struct Call<'a> {
    pub(crate) pool: &'a Pool,
    /// Counts the runs of a session, for random steps.
    pub(crate) run: u64,
    /// Decides what random steps draw.
    pub(crate) seed: u64,
    pub(crate) inputs: [&'a [u8]; MOST_OPERANDS],
    pub(crate) outputs: [&'a mut [u8]; MOST_OPERANDS],
    pub(crate) scratch: &'a mut [u8],
}

/// Bytes of the arena as `f32`.
pub(crate) fn floats(bytes: &[u8]) -> Result<&[f32]> {
    bytemuck::try_cast_slice(bytes).map_err(|_| misaligned())
}

/// Bytes of the arena as `f32`, to write.
pub(crate) fn floats_mut(bytes: &mut [u8]) -> Result<&mut [f32]> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| misaligned())
}

fn misaligned() -> Error {
    Error::input("a tensor is not aligned to its elements")
}

/// A step of the kernels crate refused its operands.
pub(crate) fn refused(error: mobilenet_kernels::Error) -> Error {
    Error::unsupported(error.to_string()).with_source(error)
}
