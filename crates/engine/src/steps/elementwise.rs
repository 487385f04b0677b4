//! Plain element-by-element loops with broadcasting, for what is not folded into a convolution.

use super::{Call, Kernel, floats, floats_mut};
use crate::error::Result;
use crate::ops::{Arithmetic, Function};
use crate::program::Value;
use crate::reference::{broadcast, broadcast_strides};

/// The most dimensions a broadcast may have.
const MOST_DIMS: usize = 8;

/// How operands of different shapes are walked together. The first dimension is not fixed:
/// it is as long as the output has room for.
#[derive(Clone, Debug)]
struct Walk<const N: usize> {
    /// Dimensions after the first, innermost last.
    inner: Vec<usize>,
    /// For each operand, its stride along the first dimension and each inner one.
    strides: [Vec<usize>; N],
}

impl<const N: usize> Walk<N> {
    fn new(shapes: [&[usize]; N]) -> Result<Self> {
        let mut shape = Vec::new();
        for other in shapes {
            shape = broadcast(&shape, other)?;
        }
        let rank = shape.len().max(1);
        if rank > MOST_DIMS {
            return Err(crate::Error::unsupported(format!("more than {MOST_DIMS} dimensions")));
        }
        let strides = shapes.map(|shape| broadcast_strides(shape, rank));
        Ok(Self { inner: shape.get(1..).unwrap_or_default().to_vec(), strides })
    }

    /// Calls `visit` with each element of `out` and its offset in each operand.
    fn each<T>(&self, out: &mut [T], mut visit: impl FnMut(&mut T, [usize; N])) {
        let mut index = [0usize; MOST_DIMS];
        let index = &mut index[..=self.inner.len()];
        for out in out {
            let offset = |strides: &Vec<usize>| index.iter().zip(strides).map(|(i, s)| i * s).sum();
            visit(out, std::array::from_fn(|operand| offset(&self.strides[operand])));
            for (axis, i) in index.iter_mut().enumerate().rev() {
                *i += 1;
                if axis == 0 || *i < self.inner[axis - 1] {
                    break;
                }
                *i = 0;
            }
        }
    }
}

/// Whether operands line up image by image: each is per image with the rank of the output, or
/// the same for all images.
fn in_rows(inputs: &[&Value], rank: usize) -> bool {
    inputs.iter().all(|value| {
        let shared = value.shape.len() < rank || value.shape.first() == Some(&1);
        if value.per_image { value.shape.len() == rank } else { shared }
    })
}

/// Two operands.
#[derive(Debug)]
pub(crate) struct Binary {
    arithmetic: Arithmetic,
    walk: Walk<2>,
    same: bool,
}

impl Binary {
    pub(crate) fn new(arithmetic: Arithmetic, a: &[usize], b: &[usize]) -> Result<Self> {
        Ok(Self { arithmetic, walk: Walk::new([a, b])?, same: a == b })
    }

    fn apply(&self, a: f32, b: f32) -> f32 {
        match self.arithmetic {
            Arithmetic::Add => a + b,
            Arithmetic::Subtract => a - b,
            Arithmetic::Multiply => a * b,
            Arithmetic::Divide => a / b,
            Arithmetic::Maximum => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Arithmetic::Minimum => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            Arithmetic::SquaredDifference => (a - b) * (a - b),
            Arithmetic::Greater | Arithmetic::GreaterEqual => f32::NAN,
        }
    }

    fn compare(&self, a: f32, b: f32) -> bool {
        if self.arithmetic == Arithmetic::Greater { a > b } else { a >= b }
    }
}

impl Kernel for Binary {
    fn name(&self) -> String {
        format!("{:?}", self.arithmetic).to_lowercase()
    }

    fn separable(&self, inputs: &[&Value]) -> bool {
        in_rows(inputs, self.walk.inner.len() + 1)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (a, b) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        if self.arithmetic.is_comparison() {
            let out = &mut *call.outputs[0];
            self.walk.each(out, |y, [i, j]| *y = u8::from(self.compare(a[i], b[j])));
            return Ok(());
        }
        let out = floats_mut(call.outputs[0])?;
        if self.same {
            for ((y, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *y = self.apply(a, b);
            }
        } else {
            self.walk.each(out, |y, [i, j]| *y = self.apply(a[i], b[j]));
        }
        Ok(())
    }
}

/// One operand.
#[derive(Debug)]
pub(crate) struct Unary {
    pub(crate) function: Function,
}

impl Kernel for Unary {
    fn name(&self) -> String {
        format!("{:?}", self.function).to_lowercase()
    }

    fn separable(&self, _inputs: &[&Value]) -> bool {
        true
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let x = floats(call.inputs[0])?;
        for (y, &x) in floats_mut(call.outputs[0])?.iter_mut().zip(x) {
            *y = self.function.apply_single(x);
        }
        Ok(())
    }
}

/// The second operand where the first is true, else the third.
#[derive(Debug)]
pub(crate) struct Select {
    walk: Walk<3>,
}

impl Select {
    pub(crate) fn new(shapes: &[Vec<usize>; 3]) -> Result<Self> {
        let [condition, a, b] = shapes;
        Ok(Self { walk: Walk::new([condition, a, b])? })
    }
}

impl Kernel for Select {
    fn name(&self) -> String {
        "select".into()
    }

    fn separable(&self, inputs: &[&Value]) -> bool {
        in_rows(inputs, self.walk.inner.len() + 1)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (condition, a, b) = (call.inputs[0], floats(call.inputs[1])?, floats(call.inputs[2])?);
        let out = floats_mut(call.outputs[0])?;
        self.walk.each(out, |y, [c, i, j]| *y = if condition[c] != 0 { a[i] } else { b[j] });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_walks_repeat_the_smaller_operand() {
        let walk = Walk::new([&[2, 3], &[3]]).unwrap();
        let mut out = [[0; 2]; 6];
        walk.each(&mut out, |y, at| *y = at);
        assert_eq!(out, [[0, 0], [1, 1], [2, 2], [3, 0], [4, 1], [5, 2]]);
        let scalar = Walk::new([&[], &[]]).unwrap();
        let mut out = [[9; 2]];
        scalar.each(&mut out, |y, at| *y = at);
        assert_eq!(out, [[0, 0]]);
    }
}
