//! The same elements under another shape: `Reshape`, `Squeeze`, `ExpandDims`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::lower::Lowering;
use crate::reference;

/// Where the new shape comes from.
#[derive(Debug)]
pub(super) enum Reshape {
    /// From input 1, one entry of which may be -1.
    Given,
    /// Without these dimensions of 1, or without any of 1 if none is named.
    Squeeze(Vec<i64>),
    /// With a new dimension of 1 at the axis in input 1.
    ExpandDims,
}

impl Reshape {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self::Given))
    }

    pub(super) fn squeeze(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self::Squeeze(attributes.ints("squeeze_dims")?)))
    }

    pub(super) fn expand_dims(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self::ExpandDims))
    }

    fn shape(&self, input: &Shape, given: Option<&Fact>) -> Result<Shape> {
        match self {
            Self::Given => match given.map(|fact| (fact.integers(), &fact.shape)) {
                Some((Some(sizes), _)) => reshaped(input, &sizes),
                Some((None, shape)) => Ok(shape.dim(0).map_or(Shape::unknown(), Shape::of_rank)),
                None => Ok(Shape::unknown()),
            },
            Self::Squeeze(axes) => squeezed(input, axes),
            Self::ExpandDims => match (input.dims(), given.and_then(Fact::integers).as_deref()) {
                (Some(dims), Some(&[axis])) => {
                    let mut dims = dims.to_vec();
                    let at = super::axis(axis, dims.len() + 1)?;
                    dims.insert(at, Some(1));
                    Ok(Shape::new(dims))
                }
                _ => Ok(Shape::unknown()),
            },
        }
    }
}

fn reshaped(input: &Shape, sizes: &[i64]) -> Result<Shape> {
    let mut dims = Vec::with_capacity(sizes.len());
    for &size in sizes {
        dims.push(match size {
            -1 => None,
            _ => Some(
                usize::try_from(size)
                    .map_err(|_| Error::shape(format!("a dimension of {size} is impossible")))?,
            ),
        });
    }
    if dims.iter().filter(|dim| dim.is_none()).count() > 1 {
        return Err(Error::shape(format!("{sizes:?}: only one dimension may be -1")));
    }
    let known: Vec<usize> = dims.iter().copied().flatten().collect();
    let known = elements(&known)?;
    let Some(total) = input.concrete().map(|dims| elements(&dims)).transpose()? else {
        return Ok(Shape::new(dims));
    };
    let wrong = || Error::shape(format!("{total} elements do not fit into {sizes:?}"));
    match dims.iter_mut().find(|dim| dim.is_none()) {
        Some(_) if known == 0 || !total.is_multiple_of(known) => return Err(wrong()),
        Some(dim) => *dim = Some(total / known),
        None if known != total => return Err(wrong()),
        None => {}
    }
    Ok(Shape::new(dims))
}

fn squeezed(input: &Shape, axes: &[i64]) -> Result<Shape> {
    let Some(dims) = input.dims() else { return Ok(Shape::unknown()) };
    if axes.is_empty() {
        if dims.iter().any(Option::is_none) {
            return Ok(Shape::unknown());
        }
        return Ok(Shape::new(dims.iter().copied().filter(|&dim| dim != Some(1)).collect()));
    }
    let squeezed = super::reduce::reduced_axes(axes, dims.len())?;
    let wrong = |(dim, &squeezed): (&Option<usize>, &bool)| squeezed && dim.is_some_and(|d| d != 1);
    if dims.iter().zip(&squeezed).any(wrong) {
        return Err(Error::shape(format!("{input} is not 1 at all of the axes {axes:?}")));
    }
    let kept = dims.iter().zip(&squeezed).filter(|(_, squeezed)| !**squeezed);
    Ok(Shape::new(kept.map(|(dim, _)| *dim).collect()))
}

impl Op for Reshape {
    fn arity(&self) -> RangeInclusive<usize> {
        match self {
            Self::Squeeze(_) => 1..=1,
            _ => 2..=2,
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let shape = self.shape(&inputs[0].shape, inputs.get(1))?;
        Ok(vec![Fact { shape, value: None, variable: None, ..inputs[0].clone() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let given = inputs.get(1).map(|&tensor| Fact::constant(Arc::new(tensor.clone())));
        let shape = self.shape(&Shape::known(inputs[0].shape()), given.as_ref())?;
        let dims = shape.concrete().ok_or_else(|| Error::shape("the new shape is not known"))?;
        Ok(vec![reference::reshaped(inputs[0], &dims)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.alias(0)
    }
}
