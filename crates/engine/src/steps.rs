//! What steps run as: one [`Kernel`] per step, with every size fixed at compile time.
//!
//! Convolutions, pooling, softmax and batch norm call `mobilenet-kernels`; what no kernel exists
//! for and no network spends time on is a plain loop here. Nothing here allocates in `run`.

mod assign;
mod batch_norm;
mod convolution;
mod copy;
mod elementwise;
mod pad;
mod pool;
mod random;
mod reduce;
mod softmax;

use std::fmt::Debug;

use mobilenet_kernels::{Isa, Pool};

use crate::error::{Error, Result};
use crate::program::Value;

pub(crate) use assign::Assign;
pub(crate) use batch_norm::BatchNorm;
pub(crate) use convolution::{affine, convolution, separable};
pub(crate) use copy::Copy;
pub(crate) use elementwise::{Binary, Select, Unary};
pub(crate) use pad::Pad;
pub(crate) use pool::pool;
pub(crate) use random::Random;
pub(crate) use reduce::{L2Loss, reduce};
pub(crate) use softmax::Softmax;

/// Most inputs, and most outputs, of a step.
pub(crate) const MOST_OPERANDS: usize = 8;

/// How one step is computed.
pub(crate) trait Kernel: Debug + Send + Sync {
    /// What `inspect` and profiles call it.
    fn name(&self) -> String;

    /// Whether each image can be computed alone, where `inputs` that are per image have one
    /// row for each along dimension 0.
    fn separable(&self, _inputs: &[&Value]) -> bool {
        false
    }

    /// Bytes of scratch memory for `images` images and `threads` threads.
    fn scratch_bytes(&self, _images: usize, _threads: usize) -> usize {
        0
    }

    /// Multiply-adds for one image (for all images where it is not separable).
    fn multiply_adds(&self) -> u64 {
        0
    }

    /// Computes the outputs.
    fn run(&self, call: &mut Call<'_>) -> Result<()>;
}

/// What decides which kernels are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) isa: Isa,
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
