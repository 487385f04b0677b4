//! Operands of different shapes, walked together.

use crate::error::{Error, Result};
use crate::reference::{broadcast, broadcast_strides};

/// The most dimensions a broadcast may have.
const MOST_DIMS: usize = 8;

/// How `N` operands are broadcast to one output.
#[derive(Clone, Debug)]
pub(super) struct Walk<const N: usize> {
    shape: Vec<usize>,
    /// For each operand, its stride along each dimension.
    strides: [Vec<usize>; N],
}

impl<const N: usize> Walk<N> {
    /// For operands of these shapes.
    ///
    /// # Errors
    /// `Shape` where they do not broadcast, `Unsupported` for too many dimensions.
    pub(super) fn new(shapes: [&[usize]; N]) -> Result<Self> {
        let mut shape = Vec::new();
        for other in shapes {
            shape = broadcast(&shape, other)?;
        }
        if shape.len() > MOST_DIMS {
            return Err(Error::unsupported(format!("more than {MOST_DIMS} dimensions")));
        }
        let strides = shapes.map(|own| broadcast_strides(own, shape.len()));
        Ok(Self { shape, strides })
    }

    /// Calls `visit` with each element of `out` and its offset in each operand.
    pub(super) fn each<T>(&self, out: &mut [T], mut visit: impl FnMut(&mut T, [usize; N])) {
        let mut index = [0usize; MOST_DIMS];
        let index = &mut index[..self.shape.len()];
        for out in out {
            let offset = |strides: &Vec<usize>| index.iter().zip(strides).map(|(i, s)| i * s).sum();
            visit(out, std::array::from_fn(|operand| offset(&self.strides[operand])));
            for (i, &dim) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < dim {
                    break;
                }
                *i = 0;
            }
        }
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
