//! Puts a partitioned tensor together from its slices.

use crate::tensorflow::messages::TensorSliceProto;
use crate::tensorflow::shape::checked_size;
use crate::{DType, Error, ErrorKind, Limits, Result};

/// The whole tensor while its slices arrive.
pub(in crate::tensorflow) struct Assembly<'a> {
    shape: &'a [usize],
    element: usize,
    bytes: Vec<u8>,
    /// Which elements have arrived.
    filled: Vec<bool>,
}

impl<'a> Assembly<'a> {
    pub(in crate::tensorflow) fn new(
        dtype: DType,
        shape: &'a [usize],
        limits: &Limits,
    ) -> Result<Self> {
        let element = dtype.size().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("partitioned tensor of type {dtype}"))
        })?;
        let (count, size) = checked_size(shape, element, limits)?;
        Ok(Assembly { shape, element, bytes: vec![0; size], filled: vec![false; count] })
    }

    /// Start and length of `slice` in each dimension.
    fn ranges(&self, slice: &TensorSliceProto) -> Result<Vec<(usize, usize)>> {
        let outside = || {
            let message = format!("{slice:?} does not lie within shape {:?}", self.shape);
            Error::new(ErrorKind::Malformed, message)
        };
        if slice.extent.len() != self.shape.len() {
            return Err(outside());
        }
        let range =
            |(extent, &dim): (&crate::tensorflow::messages::tensor_slice_proto::Extent, &usize)| {
                let start = usize::try_from(extent.start).ok()?;
                let rest = dim.checked_sub(start)?;
                let len = extent.length.map_or(Some(rest), |len| usize::try_from(len).ok())?;
                (len <= rest).then_some((start, len))
            };
        slice.extent.iter().zip(self.shape).map(|pair| range(pair).ok_or_else(outside)).collect()
    }

    /// The shape of `slice`.
    pub(in crate::tensorflow) fn shape_of(&self, slice: &TensorSliceProto) -> Result<Vec<usize>> {
        Ok(self.ranges(slice)?.into_iter().map(|(_, len)| len).collect())
    }

    /// Checks that the entry of `slice` has its shape.
    pub(super) fn expect(&self, slice: &TensorSliceProto, shape: &[usize]) -> Result<()> {
        let expected = self.shape_of(slice)?;
        if expected == shape {
            return Ok(());
        }
        let message = format!("a slice of shape {expected:?} is stored with shape {shape:?}");
        Err(Error::new(ErrorKind::Mismatch, message))
    }

    /// Copies the slice's bytes to their places, row by row of the innermost dimension.
    pub(in crate::tensorflow) fn copy(
        &mut self,
        slice: &TensorSliceProto,
        bytes: &[u8],
    ) -> Result<()> {
        let ranges = self.ranges(slice)?;
        if ranges.iter().any(|&(_, len)| len == 0) {
            return Ok(());
        }
        let (row, outer) = match ranges.split_last() {
            Some((&(_, len), outer)) => (len, outer),
            None => (1, &[][..]),
        };
        let rows: usize = outer.iter().map(|&(_, len)| len).product();
        for index in 0..rows {
            let start = self.row_start(&ranges, index);
            let from = index * row * self.element..(index + 1) * row * self.element;
            self.copy_row(start, row, bytes.get(from).unwrap_or_default())?;
        }
        Ok(())
    }

    /// The element at which row `index` of the slice starts in the whole tensor.
    fn row_start(&self, ranges: &[(usize, usize)], mut index: usize) -> usize {
        let (mut start, mut stride) = (0, 1);
        for (axis, (&(from, len), &dim)) in ranges.iter().zip(self.shape).enumerate().rev() {
            let at = if axis + 1 == ranges.len() {
                from
            } else {
                let at = index % len;
                index /= len;
                from + at
            };
            start += at * stride;
            stride *= dim;
        }
        start
    }

    fn copy_row(&mut self, start: usize, count: usize, bytes: &[u8]) -> Result<()> {
        let to = start * self.element..(start + count) * self.element;
        let filled = self.filled.get_mut(start..start + count).unwrap_or_default();
        if filled.iter().any(|&filled| filled) {
            return Err(Error::new(ErrorKind::Malformed, "slices overlap"));
        }
        filled.fill(true);
        match self.bytes.get_mut(to) {
            Some(to) if to.len() == bytes.len() => to.copy_from_slice(bytes),
            _ => return Err(Error::new(ErrorKind::Mismatch, "a slice of the wrong length")),
        }
        Ok(())
    }

    /// The bytes, when every element has arrived.
    pub(in crate::tensorflow) fn finish(self) -> Result<Vec<u8>> {
        match self.filled.iter().position(|&filled| !filled) {
            None => Ok(self.bytes),
            Some(missing) => {
                let message = format!("the slices leave out element {missing}");
                Err(Error::new(ErrorKind::Malformed, message))
            }
        }
    }
}
