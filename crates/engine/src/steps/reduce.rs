//! Plain reductions over any axes. (Means over height and width are global pools: a kernel.)

use std::sync::Arc;

use mobilenet_formats::DType;

use super::{Call, Kernel, floats, floats_mut, pool};
use crate::error::Result;
use crate::ops::{Pooling, Reduction};
use crate::program::Value;
use crate::reference::broadcast_strides;
use crate::window::{Padding, Window};

/// The most dimensions a reduction may have.
const MOST_DIMS: usize = 8;

/// The kernel that reduces `shape` over the axes marked in `reduced`.
pub(crate) fn reduce(
    reduction: Reduction,
    shape: &[usize],
    reduced: &[bool],
) -> Result<Arc<dyn Kernel>> {
    if let (Reduction::Mean, &[_, h, w, c], [false, true, true, false]) =
        (reduction, shape, reduced)
    {
        let window = Window { strides: [1, 1], dilations: [1, 1], padding: Padding::Valid };
        return pool(Pooling::Average, [h, w, c], [h, w], window);
    }
    if shape.len() > MOST_DIMS {
        return Err(crate::Error::unsupported(format!("more than {MOST_DIMS} dimensions")));
    }
    let kept: Vec<usize> =
        shape.iter().zip(reduced).map(|(&dim, &reduced)| if reduced { 1 } else { dim }).collect();
    let each = shape.iter().zip(reduced).filter(|(_, reduced)| **reduced).map(|(dim, _)| dim);
    Ok(Arc::new(Reduce {
        reduction,
        inner: shape.get(1..).unwrap_or_default().to_vec(),
        strides: broadcast_strides(&kept, shape.len()),
        each: each.product(),
        rows: reduced.first() == Some(&false),
    }))
}

#[derive(Debug)]
struct Reduce {
    reduction: Reduction,
    /// Dimensions after the first.
    inner: Vec<usize>,
    /// Offset in the output along each dimension of the input.
    strides: Vec<usize>,
    /// Values that become one.
    each: usize,
    /// Dimension 0 stays.
    rows: bool,
}

impl Reduce {
    /// In double precision: sums over a batch are long.
    fn accumulate(&self, x: &[f32], sums: &mut [f64]) {
        let mut index = [0usize; MOST_DIMS];
        let index = &mut index[..self.strides.len()];
        for &x in x {
            let at: usize = index.iter().zip(&self.strides).map(|(i, s)| i * s).sum();
            let sum = &mut sums[at];
            let x = f64::from(x);
            match self.reduction {
                Reduction::Mean | Reduction::Sum => *sum += x,
                Reduction::Max => *sum = if x > *sum || x.is_nan() { x } else { *sum },
                Reduction::Product => *sum *= x,
            }
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

impl Kernel for Reduce {
    fn name(&self) -> String {
        format!("{:?}", self.reduction).to_lowercase()
    }

    fn separable(&self, inputs: &[&Value]) -> bool {
        self.rows && inputs.iter().all(|value| value.dtype == DType::F32)
    }

    fn scratch_bytes(&self, images: usize, _threads: usize) -> usize {
        let inner: usize = self.inner.iter().product();
        images.saturating_mul(inner.max(1)).saturating_mul(8)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        let sums: &mut [f64] = bytemuck::try_cast_slice_mut(call.scratch)
            .map_err(|_| crate::Error::input("scratch memory is not aligned"))?;
        let sums = &mut sums[..y.len()];
        sums.fill(match self.reduction {
            Reduction::Max => f64::NEG_INFINITY,
            Reduction::Product => 1.0,
            _ => 0.0,
        });
        self.accumulate(x, sums);
        let scale = if self.reduction == Reduction::Mean { self.each as f64 } else { 1.0 };
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = (*sum / scale) as f32;
        }
        Ok(())
    }
}

/// Half the sum of squares.
#[derive(Debug)]
pub(crate) struct L2Loss;

impl Kernel for L2Loss {
    fn name(&self) -> String {
        "l2_loss".into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let sum: f64 = floats(call.inputs[0])?.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        floats_mut(call.outputs[0])?.fill((sum / 2.0) as f32);
        Ok(())
    }
}
