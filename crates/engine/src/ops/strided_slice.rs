//! `StridedSlice`: Python's slicing, folded only (it does shape arithmetic in these graphs).

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::reference::{self, Numbers};

#[derive(Debug)]
pub(super) struct StridedSlice {
    begin_mask: i64,
    end_mask: i64,
    ellipsis_mask: i64,
    new_axis_mask: i64,
    shrink_axis_mask: i64,
}

/// One axis of a slice.
struct Range {
    start: i64,
    stride: i64,
    count: usize,
    shrink: bool,
}

impl StridedSlice {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self {
            begin_mask: attributes.int("begin_mask", 0)?,
            end_mask: attributes.int("end_mask", 0)?,
            ellipsis_mask: attributes.int("ellipsis_mask", 0)?,
            new_axis_mask: attributes.int("new_axis_mask", 0)?,
            shrink_axis_mask: attributes.int("shrink_axis_mask", 0)?,
        }))
    }

    fn ranges(&self, dims: &[usize], spec: [&[i64]; 3]) -> Result<Vec<Range>> {
        if self.ellipsis_mask != 0 || self.new_axis_mask != 0 {
            return Err(Error::unsupported("ellipsis_mask and new_axis_mask"));
        }
        let [begin, end, strides] = spec;
        if begin.len() != end.len() || begin.len() != strides.len() || begin.len() > dims.len() {
            return Err(Error::shape("begin, end and strides do not fit the input"));
        }
        let ranges = dims.iter().enumerate().map(|(axis, &dim)| {
            match (begin.get(axis), end.get(axis), strides.get(axis)) {
                (Some(&begin), Some(&end), Some(&stride)) => {
                    self.range(axis, dim, [begin, end, stride])
                }
                _ => Ok(Range { start: 0, stride: 1, count: dim, shrink: false }),
            }
        });
        ranges.collect()
    }

    fn range(&self, axis: usize, dim: usize, [begin, end, stride]: [i64; 3]) -> Result<Range> {
        let size = i64::try_from(dim).map_err(|_| Error::shape("a dimension is too large"))?;
        let bit = |mask: i64| mask >> axis.min(62) & 1 == 1;
        let wrap = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        if bit(self.shrink_axis_mask) {
            let at = wrap(begin);
            if !(0..size).contains(&at) {
                return Err(Error::shape(format!("index {begin} of an axis of {size}")));
            }
            return Ok(Range { start: at, stride: 1, count: 1, shrink: true });
        }
        if stride == 0 || stride.checked_neg().is_none() {
            return Err(Error::shape("a stride of 0"));
        }
        let (low, high) = if stride > 0 { (0, size) } else { (-1, size - 1) };
        let clamp = |at: i64| wrap(at).clamp(low, high);
        let (first, last) = if stride > 0 { (low, high) } else { (high, low) };
        let start = if bit(self.begin_mask) { first } else { clamp(begin) };
        let stop = if bit(self.end_mask) { last } else { clamp(end) };
        let length = if stride > 0 { stop - start } else { start - stop };
        let count = length.max(0).unsigned_abs().div_ceil(stride.unsigned_abs());
        let count = usize::try_from(count).map_err(|_| Error::shape("a slice is too large"))?;
        Ok(Range { start, stride, count, shrink: false })
    }
}

impl Op for StridedSlice {
    fn arity(&self) -> RangeInclusive<usize> {
        4..=4
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let spec = [inputs[1].integers(), inputs[2].integers(), inputs[3].integers()];
        let shape = match (inputs[0].shape.concrete(), spec) {
            (Some(dims), [Some(begin), Some(end), Some(strides)]) => {
                let ranges = self.ranges(&dims, [&begin, &end, &strides])?;
                let kept = ranges.iter().filter(|range| !range.shrink);
                Shape::new(kept.map(|range| Some(range.count)).collect())
            }
            _ => Shape::unknown(),
        };
        Ok(vec![Fact { dtype: inputs[0].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let spec = [1, 2, 3].map(|i: usize| reference::integers(inputs[i]));
        let [Some(begin), Some(end), Some(strides)] = spec else {
            return Err(Error::dtype("begin, end and strides must be integers"));
        };
        let ranges = self.ranges(inputs[0].shape(), [&begin, &end, &strides])?;
        let full = reference::row_major_strides(inputs[0].shape());
        let counts: Vec<usize> = ranges.iter().map(|range| range.count).collect();
        let identity = reference::row_major_strides(&counts);
        let mut sources = Vec::new();
        reference::walk(&counts, [&identity], |[flat]| {
            let mut source = 0;
            for ((range, &full), &own) in ranges.iter().zip(&full).zip(&identity) {
                let index = (flat / own.max(1)) % range.count.max(1);
                source += (range.start + range.stride * index as i64) as usize * full;
            }
            sources.push(source);
        });
        let shape: Vec<usize> = ranges.iter().filter(|r| !r.shrink).map(|r| r.count).collect();
        let picked = match reference::numbers(inputs[0])? {
            Numbers::Real(x) => Numbers::Real(sources.iter().map(|&i| x[i]).collect()),
            Numbers::Whole(x) => Numbers::Whole(sources.iter().map(|&i| x[i]).collect()),
        };
        Ok(vec![reference::tensor(inputs[0].dtype(), &shape, picked)?])
    }
}
