//! What converters compute of shapes, where the number of images is left open: `SHAPE`,
//! `STRIDED_SLICE` and `PACK` make the sizes that a `RESHAPE` takes. Nothing of it is left in the
//! graph.

use mobilenet_formats::tflite::{BuiltinOptions, Operator};

use super::graph::Importer;
use super::operators::{options_missing, unsupported};
use crate::error::Result;

/// Most dimensions that are computed with.
const MOST: usize = 16;

/// The size of each dimension; `None` for what the caller decides.
pub(super) type Sizes = Vec<Option<i64>>;

pub(super) fn shape(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let x = importer.input(operator, 0)?;
    let x = importer.real(x)?;
    let shape = &importer.graph.fact(x).shape;
    let dims = shape.dims().filter(|dims| dims.len() <= MOST);
    let dims = dims.ok_or_else(|| unsupported(format!("the shape {shape}")))?;
    let sizes = dims.iter().map(|dim| dim.and_then(|dim| dim.try_into().ok())).collect();
    importer.bind_sizes(importer.output(operator)?, sizes)
}

/// Some of the sizes, or one of them.
pub(super) fn strided_slice(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let BuiltinOptions::StridedSlice(options) = &operator.builtin_options else {
        return Err(options_missing());
    };
    let sizes = importer.sizes(importer.input(operator, 0)?)?;
    let length = i64::try_from(sizes.len()).unwrap_or(0);
    let number = |place: usize| -> Result<i64> {
        match importer.integers(importer.input(operator, place)?)?.as_slice() {
            &[one] => Ok(one),
            other => Err(unsupported(format!("a slice of sizes by {other:?}"))),
        }
    };
    let (begin, end, step) = (number(1)?, number(2)?, number(3)?);
    let masks = [options.ellipsis_mask, options.new_axis_mask];
    if step != 1 || options.offset || masks != [0; 2] {
        return Err(unsupported(format!("a slice of sizes with step {step} and masks {masks:?}")));
    }
    let place = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length);
    let begin = if options.begin_mask & 1 == 1 { 0 } else { place(begin) };
    let end = match (options.shrink_axis_mask & 1, options.end_mask & 1) {
        (1, _) => begin + 1,
        (_, 1) => length,
        _ => place(end),
    };
    let range = usize::try_from(begin).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    let some = sizes.get(range).filter(|some| !some.is_empty());
    let some = some.ok_or_else(|| unsupported(format!("sizes {begin} to {end} of {length}")))?;
    importer.bind_sizes(importer.output(operator)?, some.to_vec())
}

/// One size after the other.
pub(super) fn pack(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let mut sizes = Sizes::new();
    for &input in operator.inputs.iter().take(MOST + 1) {
        match importer.sizes(input)?.as_slice() {
            &[one] => sizes.push(one),
            several => return Err(unsupported(format!("{} sizes as one", several.len()))),
        }
    }
    if sizes.len() > MOST {
        return Err(unsupported(format!("more than {MOST} sizes")));
    }
    importer.bind_sizes(importer.output(operator)?, sizes)
}

/// The shape that these sizes are: -1 for what the caller decides.
pub(super) fn as_shape(sizes: &Sizes) -> Result<Vec<i64>> {
    if sizes.iter().filter(|size| !size.is_some_and(|size| size >= 0)).count() > 1 {
        return Err(unsupported("a shape of more than one size that the file leaves open"));
    }
    Ok(sizes.iter().map(|size| size.unwrap_or(-1)).collect())
}
