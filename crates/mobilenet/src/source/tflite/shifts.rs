//! Networks of int8 in files that take and give uint8: a `QUANTIZE` at either end moves the integers by
//! 128, and what they stand for stays. In a plan all bytes count from 0, so there it is nothing.

use mobilenet_formats::tflite::{BuiltinOperator, Operator, TensorType};

use super::graph::Importer;

/// Operator `place`, which makes tensor `to` of tensor `from`.
pub(super) struct Shift {
    pub(super) place: usize,
    pub(super) from: i32,
    pub(super) to: i32,
}

/// From uint8 to int8: the only operator that reads the file's input.
pub(super) fn of_input(importer: &Importer<'_>, fed: i32) -> Option<Shift> {
    let reads = |operator: &Operator| operator.inputs.contains(&fed);
    let shift = only(importer, reads, [TensorType::UINT8, TensorType::INT8])?;
    (shift.from == fed).then_some(shift)
}

/// From int8 to uint8: the operator that makes the file's output, which no other reads or makes.
pub(super) fn of_output(importer: &Importer<'_>, given: i32) -> Option<Shift> {
    let names =
        |operator: &Operator| operator.inputs.contains(&given) || operator.outputs.contains(&given);
    let shift = only(importer, names, [TensorType::INT8, TensorType::UINT8])?;
    (shift.to == given).then_some(shift)
}

/// The only operator that `chosen` chooses, if it is such a `QUANTIZE` between these types.
fn only(
    importer: &Importer<'_>,
    chosen: impl Fn(&Operator) -> bool,
    types: [TensorType; 2],
) -> Option<Shift> {
    let numbered = importer.subgraph.operators.iter().enumerate();
    let mut found = numbered.filter(|(_, operator)| chosen(operator));
    let (Some((place, operator)), None) = (found.next(), found.next()) else { return None };
    let (&[from], &[to]) = (operator.inputs.as_slice(), operator.outputs.as_slice()) else {
        return None;
    };
    let code = importer.model.operator_code(operator)?.builtin();
    let [read, made] = [(from, types[0]), (to, types[1])].map(|(i, kind)| steps(importer, i, kind));
    let same = read.is_some() && read == made;
    (code == BuiltinOperator::QUANTIZE && same).then_some(Shift { place, from, to })
}

/// Scale of a tensor, if it is of type `kind`, and the zero point counted from the least integer.
/// What cannot be read is refused where its operator is.
fn steps(importer: &Importer<'_>, index: i32, kind: TensorType) -> Option<(f32, i64)> {
    let is_so = importer.tensor(index).is_ok_and(|tensor| tensor.r#type == kind);
    let affine = importer.affine(index).ok().flatten().filter(|_| is_so)?;
    let (&[scale], &[zero]) = (affine.scales.as_slice(), affine.zero_points.as_slice()) else {
        return None;
    };
    let least = if kind == TensorType::INT8 { -128 } else { 0 };
    Some((scale, i64::from(zero) - least))
}
