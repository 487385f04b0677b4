//! Functions of two values, with the shapes broadcast against each other.

use super::CHUNK;
use crate::error::{Error, Result, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{self, Body, Simd};

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The smaller; NaN if either is NaN.
    Minimum,
    /// The larger; NaN if either is NaN.
    Maximum,
    /// `(a - b)^2`.
    SquaredDifference,
    /// `a^b`.
    Pow,
}

/// A function of two tensors with their shapes broadcast as in TensorFlow and NumPy.
///
/// ```
/// use mobilenet_kernels::{Binary, BinaryOp, Isa, Pool};
/// let add = Binary::new(Isa::detect(), BinaryOp::Add, &[2, 1], &[3])?;
/// assert_eq!(add.output(), [2, 3]);
/// let mut sums = [0.0; 6];
/// add.run(&Pool::single(), &[10.0, 20.0], &[1.0, 2.0, 3.0], &mut sums);
/// assert_eq!(sums, [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
/// # Ok::<(), mobilenet_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Binary {
    isa: Isa,
    op: BinaryOp,
    output: Vec<usize>,
    lens: [usize; 2],
    /// Axes from the outermost, neighbours with the same pattern merged.
    axes: Vec<Axis>,
    /// The innermost axis.
    inner: Axis,
}

#[derive(Clone, Copy, Debug)]
struct Axis {
    size: usize,
    /// Floats between neighbours in each operand; 0 where it is broadcast.
    strides: [usize; 2],
}

impl Binary {
    /// Prepares `op` for tensors of shapes `a` and `b`.
    ///
    /// # Errors
    /// Shapes that do not broadcast; an instruction set this CPU lacks.
    pub fn new(isa: Isa, op: BinaryOp, a: &[usize], b: &[usize]) -> Result<Self> {
        let isa = isa.require()?;
        let lens = [product("operand", a)?, product("operand", b)?];
        let rank = a.len().max(b.len());
        let size = |shape: &[usize], axis: usize| {
            (axis + shape.len())
                .checked_sub(rank)
                .and_then(|at| shape.get(at))
                .copied()
                .unwrap_or(1)
        };
        let mut strides = [1usize; 2];
        let (mut output, mut axes) = (vec![1; rank], Vec::<Axis>::new());
        for axis in (0..rank).rev() {
            let sizes = [size(a, axis), size(b, axis)];
            let out = match sizes {
                [x, y] if x == y => x,
                [1, y] => y,
                [x, 1] => x,
                _ => return Err(Error::geometry(format!("{a:?} and {b:?} do not broadcast"))),
            };
            output[axis] = out;
            let step = [0, 1].map(|i| if sizes[i] == 1 { 0 } else { strides[i] });
            push_axis(&mut axes, Axis { size: out, strides: step });
            strides = [strides[0] * sizes[0], strides[1] * sizes[1]];
        }
        product("broadcast result", &output)?;
        let inner = if axes.is_empty() { UNIT } else { axes.remove(0) };
        axes.reverse();
        Ok(Self { isa, op, output, lens, axes, inner })
    }

    /// Shape of the result.
    pub fn output(&self) -> &[usize] {
        &self.output
    }

    /// Computes the result.
    ///
    /// # Panics
    /// If a slice does not fit its shape.
    pub fn run(&self, pool: &Pool, a: &[f32], b: &[f32], output: &mut [f32]) {
        assert_eq!([a.len(), b.len()], self.lens, "operands");
        assert_eq!(output.len(), self.output.iter().product::<usize>(), "result");
        let row = self.inner.size.max(1);
        if row >= CHUNK && self.axes.is_empty() {
            return pool.for_each_chunk(output, CHUNK, &|index, output| {
                let at = self.inner.strides.map(|stride| index * CHUNK * stride);
                self.row(&a[at[0]..], &b[at[1]..], output);
            });
        }
        let rows = (CHUNK / row).max(1);
        pool.for_each_chunk(output, rows * row, &|index, output| {
            for (offset, output) in output.chunks_mut(row).enumerate() {
                let [from_a, from_b] = self.offsets(index * rows + offset);
                self.row(&a[from_a..], &b[from_b..], output);
            }
        });
    }

    /// Where a row of the result begins in each operand.
    fn offsets(&self, mut row: usize) -> [usize; 2] {
        let mut at = [0; 2];
        for axis in self.axes.iter().rev() {
            let index = row % axis.size;
            row /= axis.size;
            at = [at[0] + index * axis.strides[0], at[1] + index * axis.strides[1]];
        }
        at
    }

    fn row(&self, a: &[f32], b: &[f32], output: &mut [f32]) {
        let [step_a, step_b] = self.inner.strides;
        let a = if step_a == 0 { &a[..1] } else { &a[..output.len()] };
        let b = if step_b == 0 { &b[..1] } else { &b[..output.len()] };
        simd::call(self.isa, Row { op: self.op, steps: [step_a, step_b], a, b, output });
    }
}

const UNIT: Axis = Axis { size: 1, strides: [0, 0] };

/// Adds the next outer axis, merged with the one before if the two walk as one.
fn push_axis(axes: &mut Vec<Axis>, axis: Axis) {
    if axis.size == 1 {
        return;
    }
    match axes.last_mut() {
        Some(last)
            if last.size != 0 && (0..2).all(|i| axis.strides[i] == last.strides[i] * last.size) =>
        {
            last.size *= axis.size;
        }
        _ => axes.push(axis),
    }
}

struct Row<'a> {
    op: BinaryOp,
    steps: [usize; 2],
    a: &'a [f32],
    b: &'a [f32],
    output: &'a mut [f32],
}

impl Body for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Row { op, steps, a, b, output } = self;
        macro_rules! each {
            ($x:ident, $y:ident => $value:expr) => {
                match steps {
                    [0, 0] => {
                        let ($x, $y) = (a[0], b[0]);
                        output.fill($value);
                    }
                    [0, _] => {
                        let $x = a[0];
                        output.iter_mut().zip(b).for_each(|(to, &$y)| *to = $value);
                    }
                    [_, 0] => {
                        let $y = b[0];
                        output.iter_mut().zip(a).for_each(|(to, &$x)| *to = $value);
                    }
                    _ => {
                        output.iter_mut().zip(a).zip(b).for_each(|((to, &$x), &$y)| *to = $value);
                    }
                }
            };
        }
        match op {
            BinaryOp::Add => each!(x, y => x + y),
            BinaryOp::Sub => each!(x, y => x - y),
            BinaryOp::Mul => each!(x, y => x * y),
            BinaryOp::Div => each!(x, y => x / y),
            BinaryOp::Minimum => each!(x, y => if x < y || x.is_nan() { x } else { y }),
            BinaryOp::Maximum => each!(x, y => if x > y || x.is_nan() { x } else { y }),
            BinaryOp::SquaredDifference => each!(x, y => (x - y) * (x - y)),
            BinaryOp::Pow => each!(x, y => x.powf(y)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each output by its index, with plain arithmetic.
    fn plain(a: &[usize], b: &[usize], out: &[usize], x: &[f32], y: &[f32]) -> Vec<f32> {
        let at = |shape: &[usize], index: usize| {
            let (mut index, mut stride, mut at) = (index, 1, 0);
            for axis in (0..out.len()).rev() {
                let coordinate = index % out[axis];
                index /= out[axis];
                let Some(own) = (axis + shape.len()).checked_sub(out.len()) else { continue };
                if shape[own] > 1 {
                    at += coordinate * stride;
                }
                stride *= shape[own];
            }
            at
        };
        (0..out.iter().product()).map(|i| x[at(a, i)] - y[at(b, i)]).collect()
    }

    #[test]
    fn broadcasts_like_numpy() {
        let cases: &[(&[usize], &[usize])] = &[
            (&[], &[]),
            (&[3], &[]),
            (&[2, 3, 4, 5], &[5]),
            (&[5], &[2, 3, 4, 5]),
            (&[2, 1, 4, 1], &[3, 1, 5]),
            (&[1, 1], &[4, 5]),
            (&[2, 3], &[2, 3]),
            (&[2, 3, 4], &[2, 1, 4]),
            (&[0, 3], &[1, 3]),
            (&[40_000], &[1]),
            (&[3, 20_000], &[3, 1]),
        ];
        for &(a, b) in cases {
            let op = Binary::new(Isa::detect(), BinaryOp::Sub, a, b).expect("broadcasts");
            let x: Vec<f32> = (0..a.iter().product()).map(|i| i as f32).collect();
            let y: Vec<f32> = (0..b.iter().product()).map(|i| 0.5 * i as f32).collect();
            let expected = plain(a, b, op.output(), &x, &y);
            for threads in [1, 2] {
                let mut output = vec![f32::NAN; expected.len()];
                op.run(&Pool::new(threads), &x, &y, &mut output);
                assert_eq!(output, expected, "{a:?} {b:?}");
            }
        }
        assert!(Binary::new(Isa::Portable, BinaryOp::Add, &[2], &[3]).is_err());
    }
}
