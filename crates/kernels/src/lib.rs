//! SIMD kernels of mobilenet: slices in, slices out, NHWC.
//!
//! An op is prepared once (geometry checked, weights packed, kernel chosen from [`KERNELS`])
//! and then run any number of times without allocating. Threads are split in [`Pool`] and
//! nowhere else. What does not live here: graphs, tensors, files; the engine knows those.

mod aligned;
mod choice;
mod conv2d;
mod cpu;
mod depthwise;
mod elementwise;
mod error;
pub mod family;
pub mod gradients;
pub mod int8;
mod isa;
mod layer;
mod normalize;
mod pages;
pub mod peak;
mod pointwise;
mod pool;
mod pooled;
mod pooling;
mod precision;
mod reduce;
mod separable;
mod simd;
mod softmax;
mod table;
pub mod trial;
mod window;

pub use choice::{Choice, Tuning};
pub use conv2d::{Affine, Conv2d, Conv2dSpec};
pub use cpu::cpu_model;
pub use depthwise::{Depthwise, DepthwiseSpec};
pub use elementwise::{Binary, BinaryOp, UnaryOp, unary, widen};
pub use error::{Error, ErrorKind, Result};
pub use isa::Isa;
pub use layer::{Layer, LayerInput, LayerOutput, LayerSpec};
pub use normalize::{
    BatchNormOutput, BatchNormScratch, BatchNormSpec, Normalization, batch_norm_train,
    batch_statistics, normal_factor, normalize, scale_shift,
};
pub use pages::prefer_large_pages;
pub use pointwise::{Pointwise, PointwiseSpec};
pub use pool::{Active, Pool};
pub use pooled::Pooled;
pub use pooling::{PoolKind, Pooling, PoolingSpec, global_mean};
pub use precision::Precision;
pub use reduce::{Reduce, ReduceOp};
pub use separable::{Separable, SeparableSpec};
pub use softmax::{log_softmax, softmax};
pub use table::{KERNELS, Kernel, by_name};
pub use trial::{Trial, Tunable};
pub use window::{Activation, Padding, Window};

/// The plainest loops, for tests: what the kernels must agree with.
pub mod reference {
    pub use crate::conv2d::reference::conv2d;
    pub use crate::depthwise::reference::depthwise;
    pub use crate::pointwise::reference::pointwise;
}
