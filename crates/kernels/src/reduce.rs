//! Sums, means, extremes along axes.

use crate::error::{Error, Result, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{self, Body, Simd};

/// How values are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReduceOp {
    /// Sum; 0 of no values.
    Sum,
    /// Mean; NaN of no values.
    Mean,
    /// Largest; NaN wins; -infinity of no values.
    Max,
    /// Smallest; NaN wins; infinity of no values.
    Min,
}

/// A reduction of a tensor along some of its axes.
///
/// ```
/// use mobilenet_kernels::{Isa, Pool, Reduce, ReduceOp};
/// let sum = Reduce::new(Isa::detect(), ReduceOp::Sum, &[2, 3], &[1])?;
/// let mut sums = [0.0; 2];
/// sum.run(&Pool::single(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut sums);
/// assert_eq!(sums, [6.0, 15.0]);
/// # Ok::<(), mobilenet_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reduce {
    isa: Isa,
    op: ReduceOp,
    input: usize,
    count: usize,
    /// Kept and reduced axes before the innermost, outermost first.
    kept: Vec<Axis>,
    reduced: Vec<Axis>,
    /// Length of the innermost run of kept (or of reduced) axes.
    inner: usize,
    inner_kept: bool,
}

#[derive(Clone, Copy, Debug)]
struct Axis {
    size: usize,
    stride: usize,
}

/// Kept channels summed at a time.
const LANES: usize = 64;
/// Values added in single precision before they are added to the double-precision sum.
const BLOCK: usize = 64;

impl Reduce {
    /// Prepares a reduction of a tensor of `shape` along `axes`.
    ///
    /// # Errors
    /// An axis out of range or given twice; an instruction set this CPU lacks.
    pub fn new(isa: Isa, op: ReduceOp, shape: &[usize], axes: &[usize]) -> Result<Self> {
        let isa = isa.require()?;
        let input = product("reduced tensor", shape)?;
        let mut reduces = vec![false; shape.len()];
        for &axis in axes {
            match reduces.get_mut(axis) {
                Some(reduced) if !*reduced => *reduced = true,
                _ => {
                    let what = format!("axes {axes:?} of a tensor of shape {shape:?}");
                    return Err(Error::geometry(format!("cannot reduce along {what}")));
                }
            }
        }
        let inner_kept = reduces.last().is_none_or(|reduced| !reduced);
        let run = reduces.iter().rev().take_while(|&&reduced| reduced != inner_kept).count();
        let outer = shape.len() - run;
        let inner = shape[outer..].iter().product();
        let (mut kept, mut reduced, mut stride) = (Vec::new(), Vec::new(), inner);
        for axis in (0..outer).rev() {
            let list = if reduces[axis] { &mut reduced } else { &mut kept };
            list.insert(0, Axis { size: shape[axis], stride });
            stride *= shape[axis];
        }
        let count = reduces.iter().zip(shape).filter(|(reduced, _)| **reduced);
        let count = count.map(|(_, size)| size).product();
        Ok(Self { isa, op, input, count, kept, reduced, inner, inner_kept })
    }

    /// Computes `output`, the kept axes in order.
    ///
    /// # Panics
    /// If a slice does not fit its shape.
    pub fn run(&self, pool: &Pool, input: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), self.input, "reduced tensor");
        let rows: usize = self.kept.iter().map(|axis| axis.size).product();
        let row = if self.inner_kept { self.inner } else { 1 };
        assert_eq!(output.len(), rows * row, "reduction result");
        if row == 0 {
            return;
        }
        let parts = row.div_ceil(LANES);
        if parts == 1 {
            return pool.for_each_chunk(output, row, &|index, output| {
                self.part(&input[offset(&self.kept, index).min(input.len())..], output);
            });
        }
        pool.for_each_chunk(output, row, &|index, output| {
            let base = offset(&self.kept, index);
            for (part, output) in output.chunks_mut(LANES).enumerate() {
                self.part(&input[(base + part * LANES).min(input.len())..], output);
            }
        });
    }

    fn part(&self, input: &[f32], output: &mut [f32]) {
        simd::call(self.isa, Part { reduce: self, input, output });
    }
}

/// Offset of the `index`-th position of some axes.
fn offset(axes: &[Axis], mut index: usize) -> usize {
    let mut at = 0;
    for axis in axes.iter().rev() {
        at += index % axis.size * axis.stride;
        index /= axis.size;
    }
    at
}

/// At most `LANES` results.
struct Part<'a> {
    reduce: &'a Reduce,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Body for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Part { reduce, input, output } = self;
        let steps = reduce.reduced.iter().map(|axis| axis.size).product::<usize>();
        match reduce.op {
            ReduceOp::Sum => sums(reduce, steps, input, output, 1.0),
            ReduceOp::Mean => sums(reduce, steps, input, output, reduce.count as f64),
            ReduceOp::Max => {
                fold(reduce, steps, input, output, f32::NEG_INFINITY, |a, b| a > b || a.is_nan());
            }
            ReduceOp::Min => {
                fold(reduce, steps, input, output, f32::INFINITY, |a, b| a < b || a.is_nan());
            }
        }
    }
}

#[inline(always)]
fn sums(reduce: &Reduce, steps: usize, input: &[f32], output: &mut [f32], divide: f64) {
    let mut total = [0.0f64; LANES];
    let total = &mut total[..output.len()];
    if !reduce.inner_kept {
        for step in 0..steps {
            let run = &input[offset(&reduce.reduced, step)..][..reduce.inner];
            total[0] += sum(run);
        }
    } else {
        let mut step = 0;
        while step < steps {
            let mut block = [0.0f32; LANES];
            let block = &mut block[..output.len()];
            let end = (step + BLOCK).min(steps);
            while step < end {
                let run = &input[offset(&reduce.reduced, step)..][..output.len()];
                block.iter_mut().zip(run).for_each(|(sum, x)| *sum += x);
                step += 1;
            }
            total.iter_mut().zip(block).for_each(|(sum, x)| *sum += f64::from(*x));
        }
    }
    for (to, sum) in output.iter_mut().zip(total) {
        *to = (*sum / divide) as f32;
    }
}

/// The sum of contiguous values, in an order that depends on their number alone.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    let mut total = 0.0;
    for block in values.chunks(16 * BLOCK) {
        let mut lanes = [0.0f32; 16];
        let whole = block.chunks_exact(16);
        let rest = whole.remainder();
        for chunk in whole {
            lanes.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
        }
        lanes.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x);
        total += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    total
}

#[inline(always)]
fn fold(
    reduce: &Reduce,
    steps: usize,
    input: &[f32],
    output: &mut [f32],
    none: f32,
    better: impl Fn(f32, f32) -> bool,
) {
    output.fill(none);
    for step in 0..steps {
        let at = offset(&reduce.reduced, step);
        if reduce.inner_kept {
            let run = &input[at..][..output.len()];
            for (best, &x) in output.iter_mut().zip(run) {
                *best = if better(x, *best) { x } else { *best };
            }
        } else {
            for &x in &input[at..][..reduce.inner] {
                output[0] = if better(x, output[0]) { x } else { output[0] };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_axes() {
        let shape = [3, 2, 5, 7];
        let input: Vec<f32> = (0..210).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
        for set in 0..16usize {
            let axes: Vec<_> = (0..4).filter(|axis| set >> axis & 1 == 1).collect();
            let kept: Vec<_> = (0..4).filter(|axis| set >> axis & 1 == 0).collect();
            let size: usize = kept.iter().map(|&axis| shape[axis]).product();
            let mut groups = vec![Vec::new(); size];
            for (index, &x) in input.iter().enumerate() {
                let at = [index / 70, index / 35 % 2, index / 7 % 5, index % 7];
                let to = kept.iter().fold(0, |to, &axis| to * shape[axis] + at[axis]);
                groups[to].push(x);
            }
            let check = |op, f: &dyn Fn(&[f32]) -> f32| {
                let reduce = Reduce::new(Isa::detect(), op, &shape, &axes).expect("axes");
                let mut output = vec![0.0; size];
                reduce.run(&Pool::new(2), &input, &mut output);
                let expected: Vec<f32> = groups.iter().map(|group| f(group)).collect();
                assert_eq!(output, expected, "{op:?} {axes:?}");
            };
            check(ReduceOp::Sum, &|group| group.iter().sum());
            check(ReduceOp::Mean, &|group| {
                (group.iter().map(|&x| f64::from(x)).sum::<f64>() / group.len() as f64) as f32
            });
            check(ReduceOp::Max, &|group| group.iter().copied().fold(f32::MIN, f32::max));
            check(ReduceOp::Min, &|group| group.iter().copied().fold(f32::MAX, f32::min));
        }
    }

    #[test]
    fn empty_and_hostile() {
        let reduce = Reduce::new(Isa::Portable, ReduceOp::Sum, &[0, 3], &[0]).expect("axes");
        let mut output = [1.0; 3];
        reduce.run(&Pool::single(), &[], &mut output);
        assert_eq!(output, [0.0; 3]);
        assert!(Reduce::new(Isa::Portable, ReduceOp::Sum, &[2, 3], &[2]).is_err());
        assert!(Reduce::new(Isa::Portable, ReduceOp::Sum, &[2, 3], &[1, 1]).is_err());
    }
}
