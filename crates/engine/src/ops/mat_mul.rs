//! `MatMul`: `[rows, inner]` by `[inner, columns]`, either transposed.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::convolution::expect_float;
use super::{Op, expect_same_dtype};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::lower::Lowering;
use crate::reference;

#[derive(Debug)]
pub(super) struct MatMul {
    transpose: [bool; 2],
}

impl MatMul {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        let a = attributes.bool("transpose_a", false)?;
        Ok(Arc::new(Self { transpose: [a, attributes.bool("transpose_b", false)?] }))
    }

    /// `[rows, columns]` of operand `i` as it enters the product.
    fn sides(&self, i: usize, shape: &Shape) -> Result<[Option<usize>; 2]> {
        match shape.dims() {
            None => Ok([None, None]),
            Some(&[a, b]) => Ok(if self.transpose[i] { [b, a] } else { [a, b] }),
            Some(_) => Err(Error::shape("both operands must have rank 2")),
        }
    }
}

impl Op for MatMul {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        expect_float(&inputs[0])?;
        let dtype = expect_same_dtype(&inputs[0], &inputs[1])?;
        let [rows, inner] = self.sides(0, &inputs[0].shape)?;
        let [other, columns] = self.sides(1, &inputs[1].shape)?;
        if inner.zip(other).is_some_and(|(a, b)| a != b) {
            return Err(Error::shape("the inner dimensions differ"));
        }
        Ok(vec![Fact { dtype, shape: Shape::new(vec![rows, columns]), ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let (a, b) = (reference::reals(inputs[0])?, reference::reals(inputs[1])?);
        let facts = [0, 1].map(|i: usize| Shape::known(inputs[i].shape()));
        let [Some(rows), Some(inner)] = self.sides(0, &facts[0])? else {
            return Err(Error::shape("both operands must have rank 2"));
        };
        let [Some(other), Some(columns)] = self.sides(1, &facts[1])? else {
            return Err(Error::shape("both operands must have rank 2"));
        };
        if inner != other {
            return Err(Error::shape("the inner dimensions differ"));
        }
        let at = |transposed: bool, i: usize, j: usize, rows: usize, columns: usize| {
            if transposed { j * rows + i } else { i * columns + j }
        };
        let mut y = Vec::with_capacity(elements(&[rows, columns])?);
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let terms = (0..inner).map(|k| {
                a[at(self.transpose[0], i, k, rows, inner)]
                    * b[at(self.transpose[1], k, j, inner, columns)]
            });
            y.push(terms.sum());
        }
        Ok(vec![reference::real(inputs[0].dtype(), &[rows, columns], y)?])
    }

    fn folds(&self) -> bool {
        false
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.mat_mul(self.transpose)
    }
}
