//! What exporters compute of shapes and constants before they use them: `Shape`, `Slice`, `Gather`
//! and `Concat` over sizes, `Reshape` and `Transpose` over weights. Nothing of it is left in the
//! graph.

use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::{Call, Importer, Value, unsupported};
use crate::error::Result;

/// Most dimensions that are computed with.
const MOST: usize = 16;

/// The size of each dimension as the file has them; `None` for what the caller decides.
type Sizes = Vec<Option<i64>>;

pub(super) fn shape_of(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let (tensor, channels_first) = call.computed(0)?;
    let whole = importer.sizes(tensor, channels_first)?;
    let rank = whole.len() as i64;
    let place = |at: i64| if at < 0 { (at + rank).max(0) } else { at.min(rank) };
    let (start, end) = (place(call.int("start", 0)), place(call.int("end", rank)));
    let some = whole.get(start as usize..end as usize).unwrap_or_default();
    Ok(Value::Sizes(some.to_vec()))
}

/// The sizes at `place`: computed, or a constant of integers.
pub(super) fn at(call: &Call<'_>, place: usize) -> Result<Sizes> {
    match call.input(place)? {
        Value::Sizes(sizes) => Ok(sizes.clone()),
        Value::Constant(value) => {
            let wrong =
                || unsupported(format!("input {place} is {}, integers wanted", value.dtype()));
            let all = integers(value).filter(|all| all.len() <= MOST).ok_or_else(wrong)?;
            Ok(all.into_iter().map(Some).collect())
        }
        Value::Computed { .. } => Err(unsupported(format!("input {place}: sizes wanted"))),
    }
}

/// The values of a tensor of integers.
pub(super) fn integers(value: &Tensor) -> Option<Vec<i64>> {
    let small = || value.as_i32().map(|all| all.iter().copied().map(i64::from).collect());
    value.as_i64().map(<[i64]>::to_vec).or_else(small)
}

pub(super) fn slice(_: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let sizes = at(call, 0)?;
    let numbers = |name: &str, place: usize, default: i64| -> Result<i64> {
        match call.ints(name, place)?.as_deref() {
            None => Ok(default),
            Some(&[one]) => Ok(one),
            Some(other) => Err(unsupported(format!("{name} {other:?}"))),
        }
    };
    let length = sizes.len() as i64;
    let (start, end) = (numbers("starts", 1, 0)?, numbers("ends", 2, length)?);
    let (axis, step) = (numbers("axes", 3, 0)?, numbers("steps", 4, 1)?);
    if ![0, -1].contains(&axis) || step != 1 {
        return Err(unsupported(format!("axis {axis}, step {step} of sizes")));
    }
    let place = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length);
    let some = sizes.get(place(start) as usize..place(end) as usize).unwrap_or_default();
    Ok(Value::Sizes(some.to_vec()))
}

pub(super) fn gather(_: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let sizes = at(call, 0)?;
    let length = sizes.len() as i64;
    let picked = at(call, 1)?.into_iter().map(|index| {
        let index = index.map(|index| if index < 0 { index + length } else { index });
        let place = index.and_then(|index| usize::try_from(index).ok());
        let found = place.and_then(|place| sizes.get(place).copied());
        found.ok_or_else(|| unsupported(format!("size {index:?} of {length}")))
    });
    Ok(Value::Sizes(picked.collect::<Result<_>>()?))
}

pub(super) fn concat(_: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let mut all = Sizes::new();
    for place in 0..call.inputs.len() {
        all.extend(at(call, place)?);
        if all.len() > MOST {
            return Err(unsupported(format!("more than {MOST} sizes")));
        }
    }
    Ok(Value::Sizes(all))
}

/// A constant of other shape: the op's own meaning, on numbers.
pub(super) fn constant_of(value: &Tensor, shape: &[i64]) -> Result<Value> {
    let wrong = || unsupported(format!("a constant {:?} as {shape:?}", value.shape()));
    let mut given = shape.iter().filter(|&&dim| dim > 0);
    let known = given.try_fold(1usize, |all, &dim| all.checked_mul(usize::try_from(dim).ok()?));
    let known = known.ok_or_else(wrong)?;
    let dims = shape.iter().enumerate().map(|(place, &dim)| match dim {
        -1 => value.len().checked_div(known),
        0 => value.shape().get(place).copied(),
        dim => usize::try_from(dim).ok(),
    });
    let dims: Vec<usize> = dims.collect::<Option<_>>().ok_or_else(wrong)?;
    Ok(Value::Constant(Arc::new(value.clone().reshape(dims).map_err(|_| wrong())?)))
}

/// A constant with its axes in another order; reversed where `perm` is empty.
pub(super) fn turned(value: &Tensor, perm: &[i64]) -> Result<Tensor> {
    let shape = value.shape();
    let wrong = || unsupported(format!("perm {perm:?} of a constant {} {shape:?}", value.dtype()));
    let values = value.as_f32().ok_or_else(wrong)?;
    let axes: Vec<usize> = match perm {
        [] => (0..shape.len()).rev().collect(),
        perm => perm.iter().map(|&axis| usize::try_from(axis).unwrap_or(usize::MAX)).collect(),
    };
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..shape.len()) {
        return Err(wrong());
    }
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].checked_mul(shape[axis]).ok_or_else(wrong)?;
    }
    let dims: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let steps: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
    let mut turned = Vec::with_capacity(values.len());
    let mut at = vec![0usize; dims.len()];
    for _ in 0..values.len() {
        let place: usize = at.iter().zip(&steps).map(|(at, step)| at * step).sum();
        turned.push(values.get(place).copied().unwrap_or(f32::NAN));
        for (index, dim) in at.iter_mut().zip(&dims).rev() {
            *index += 1;
            if *index < *dim {
                break;
            }
            *index = 0;
        }
    }
    Ok(Tensor::new(dims, turned)?)
}
