//! Kernels of 8 bits, equal bit for bit to TensorFlow Lite's reference kernels.
//!
//! # One representation
//!
//! Activations are bytes, `&[u8]`. A uint8 tensor is taken as it is. An int8 tensor is taken with
//! 128 added to each value and to its zero point ([`offset`] and [`restore`] do it at the edges of a
//! network, [`Quantization::int8`] for zero points): the integers that are multiplied, summed and
//! rounded stay the same, so one set of kernels serves both. Only [`AveragePool`], which rounds
//! towards the int8 value 0 and not towards a byte, has to know which it was.
//!
//! Weights are `&[i8]` with a zero point ([`Weights`]): those of int8 models as they are, those of
//! uint8 models less 128. Layouts are TensorFlow Lite's: `[outputs, height, width, inputs]`
//! for [`Conv2d`], `[height, width, channels * multiplier]` for [`Depthwise`], `[outputs, inputs]`
//! for [`FullyConnected`].
//!
//! # From sums to bytes
//!
//! `byte = clamp(zero_point + multiplier * (bias + sum), range)`, where the multiplier is a
//! 31-bit mantissa and a shift and the product is rounded twice ([`Multiplier`]). Where a line in
//! floats is known to give the same bytes, kernels take that. Zero points of
//! inputs are folded into the bias when weights are packed, so the inner loops are dot products
//! of bytes. Sums are 32-bit and wrap.
//!
//! # Use
//!
//! As the kernels of floats: an op is prepared once and run any number of times without allocating,
//! and its result does not depend on the number of threads.
//!
//! ```
//! use mobilenet_kernels::int8::{FullyConnected, Multiplier, Quantization, Rescale, Weights};
//! use mobilenet_kernels::{Activation, Isa, Pool};
//! let input = Quantization::uint8(0.5, 10)?;
//! let output = Quantization::uint8(1.0, 0)?;
//! let multiplier = Multiplier::for_int8(input.scale, 0.25, output.scale)?;
//! let rescale = Rescale {
//!     multipliers: &[multiplier],
//!     zero_point: output.zero_point,
//!     range: output.range(Activation::Relu),
//! };
//! let weights = Weights::symmetric(&[1, 2, 3, -4]);
//! let op = FullyConnected::new(Isa::detect(), [2, 2], input.zero_point, weights, None, rescale)?;
//! let mut bytes = [0; 2];
//! op.run(&Pool::single(), 1, &[18, 50], &mut bytes);
//! // 0.5 * 0.25 * (8 * 1 + 40 * 2) = 11; the other is negative.
//! assert_eq!(bytes, [11, 0]);
//! # Ok::<(), mobilenet_kernels::Error>(())
//! ```

mod add;
mod conv2d;
mod convert;
pub(crate) mod depthwise;
mod fully_connected;
mod line;
mod mean;
mod multiplier;
pub mod peak;
mod pooling;
mod product;
mod quantization;
mod records;
pub mod reference;
mod rows;
mod simd;
mod softmax;
mod table;

pub use add::Add;
pub use conv2d::{Conv2d, Conv2dSpec};
pub use convert::{Affine, Quantize, Requantize, dequantize, offset, restore};
pub use depthwise::{Depthwise, DepthwiseSpec};
pub use fully_connected::FullyConnected;
pub use mean::Mean;
pub use multiplier::Multiplier;
pub use pooling::{AveragePool, AveragePoolSpec};
pub use quantization::{Quantization, Rescale, Weights};
pub use softmax::Softmax;
pub use table::{KERNELS, Kernel};
