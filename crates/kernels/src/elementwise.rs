//! Functions of each value, and of each pair of values with broadcasting. Plain loops that the
//! compiler vectorises for each instruction set.

mod binary;
pub(crate) mod exp;
mod widen;

pub use binary::{Binary, BinaryOp};
pub(crate) use widen::Widen;
pub use widen::widen;

use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{self, Body, Simd};
use crate::window::Activation;
use exp::exp;

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnaryOp {
    /// `|x|`.
    Abs,
    /// `e^x`, within 2 units in the last place.
    Exp,
    /// Largest integer not above `x`.
    Floor,
    /// Natural logarithm.
    Log,
    /// `-x`.
    Neg,
    /// `1 / x`.
    Reciprocal,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `sqrt(x)`.
    Sqrt,
    /// `x * x`.
    Square,
    /// Hyperbolic tangent.
    Tanh,
}

/// Values in one task.
pub(crate) const CHUNK: usize = 1 << 14;

/// Computes `op` of each value of `input`.
///
/// ```
/// use mobilenet_kernels::{Isa, Pool, UnaryOp, unary};
/// let mut output = [0.0; 2];
/// unary(Isa::detect(), &Pool::single(), UnaryOp::Relu6, &[-1.0, 9.0], &mut output);
/// assert_eq!(output, [0.0, 6.0]);
/// ```
///
/// # Panics
/// If the slices differ in length.
pub fn unary(isa: Isa, pool: &Pool, op: UnaryOp, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "unary slices");
    pool.for_each_chunk(output, CHUNK, &|index, output| {
        let input = &input[index * CHUNK..][..output.len()];
        simd::call(isa, Unary { op, input, output });
    });
}

struct Unary<'a> {
    op: UnaryOp,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Body for Unary<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        macro_rules! each {
            ($x:ident => $value:expr) => {
                for (to, &$x) in self.output.iter_mut().zip(self.input) {
                    *to = $value;
                }
            };
        }
        match self.op {
            UnaryOp::Abs => each!(x => x.abs()),
            UnaryOp::Exp => each!(x => exp(x)),
            UnaryOp::Floor => each!(x => x.floor()),
            UnaryOp::Log => each!(x => x.ln()),
            UnaryOp::Neg => each!(x => -x),
            UnaryOp::Reciprocal => each!(x => 1.0 / x),
            UnaryOp::Relu => each!(x => Activation::Relu.apply(x)),
            UnaryOp::Relu6 => each!(x => Activation::Relu6.apply(x)),
            UnaryOp::Rsqrt => each!(x => 1.0 / x.sqrt()),
            UnaryOp::Sigmoid => each!(x => 1.0 / (1.0 + exp(-x))),
            UnaryOp::Sqrt => each!(x => x.sqrt()),
            UnaryOp::Square => each!(x => x * x),
            UnaryOp::Tanh => each!(x => x.tanh()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_stays_nan() {
        for isa in Isa::available() {
            for op in [UnaryOp::Relu, UnaryOp::Relu6, UnaryOp::Exp, UnaryOp::Sigmoid] {
                let mut output = [0.0; 19];
                unary(isa, &Pool::single(), op, &[f32::NAN; 19], &mut output);
                assert!(output.iter().all(|x| x.is_nan()), "{isa} {op:?}");
            }
        }
    }
}
