//! Every type both ways, TensorFlow's fill rules, and hostile protos.

use super::*;
use crate::tensorflow::messages::tensor_shape_proto::Dim;

fn limits() -> Limits {
    Limits::default()
}

fn proto(dtype: DType, dims: &[i64]) -> TensorProto {
    let dim = dims.iter().map(|&size| Dim { size, name: String::new() }).collect();
    TensorProto {
        dtype: dtype.to_tensorflow(),
        tensor_shape: Some(TensorShapeProto { dim, unknown_rank: false }),
        ..Default::default()
    }
}

fn kind(proto: &TensorProto) -> ErrorKind {
    proto.to_tensor(&limits()).unwrap_err().kind()
}

#[test]
fn every_type_round_trips_as_list_and_as_content() {
    let cases: Vec<TensorData> = vec![
        vec![1.5f32, -2.0, f32::MIN_POSITIVE].into(),
        vec![1.5f64, -2.0, 1e300].into(),
        vec![-128i8, 0, 127].into(),
        vec![0u8, 128, 255].into(),
        vec![-32768i16, 0, 32767].into(),
        vec![0u16, 40000, 65535].into(),
        vec![i32::MIN, 0, i32::MAX].into(),
        vec![0u32, 1, u32::MAX].into(),
        vec![i64::MIN, 0, i64::MAX].into(),
        vec![0u64, 1, u64::MAX].into(),
        vec![true, false, true].into(),
        TensorData::F16(vec![0x3c00, 0xffff, 0]),
        TensorData::BF16(vec![0x3f80, 0xffff, 0]),
        vec![b"a".to_vec(), vec![], vec![0xff; 300]].into(),
    ];
    for data in cases {
        let tensor = Tensor::new([3, 1], data).unwrap();
        let written = TensorProto::from(&tensor);
        assert_eq!(written.to_tensor(&limits()).unwrap(), tensor);
        let values = list_values(tensor.data());
        let listed =
            TensorProto { dtype: written.dtype, tensor_shape: written.tensor_shape, ..values };
        assert_eq!(listed.to_tensor(&limits()).unwrap(), tensor, "{}", tensor.dtype());
    }
}

#[test]
fn a_scalar_goes_into_the_list_of_its_type() {
    let scalar = Tensor::new([], vec![2.5f32]).unwrap();
    let written = TensorProto::from(&scalar);
    assert_eq!(written.float_val, [2.5]);
    assert!(written.tensor_content.is_empty());
    assert_eq!(written.to_tensor(&limits()).unwrap(), scalar);
}

#[test]
fn missing_values_repeat_the_last_and_none_is_zero() {
    let mut values = proto(DType::I32, &[2, 2]);
    assert_eq!(values.to_tensor(&limits()).unwrap().as_i32(), Some(&[0; 4][..]));
    values.int_val = vec![7, 8];
    assert_eq!(values.to_tensor(&limits()).unwrap().as_i32(), Some(&[7, 8, 8, 8][..]));
    values.int_val = vec![1, 2, 3, 4, 5];
    assert_eq!(values.to_tensor(&limits()).unwrap().as_i32(), Some(&[1, 2, 3, 4][..]));
}

#[test]
fn strings_packed_into_the_content() {
    let mut packed = proto(DType::String, &[2]);
    packed.tensor_content = vec![1, 2, b'a', b'b', b'c'].into();
    let tensor = packed.to_tensor(&limits()).unwrap();
    assert_eq!(tensor.as_strings(), Some(&[b"a".to_vec(), b"bc".to_vec()][..]));
    packed.tensor_content = vec![1, 200, b'a', b'b', b'c'].into();
    assert_eq!(kind(&packed), ErrorKind::Truncated);
    packed.tensor_content = vec![1, 1, b'a', b'b', b'c'].into();
    assert_eq!(kind(&packed), ErrorKind::Mismatch);
}

#[test]
fn a_negative_or_unknown_dimension_is_refused() {
    assert_eq!(kind(&proto(DType::F32, &[-1])), ErrorKind::Malformed);
    assert_eq!(kind(&proto(DType::F32, &[2, i64::MIN])), ErrorKind::Malformed);
    let mut unknown = proto(DType::F32, &[]);
    unknown.tensor_shape = Some(TensorShapeProto { dim: vec![], unknown_rank: true });
    assert_eq!(kind(&unknown), ErrorKind::Malformed);
}

#[test]
fn a_shape_that_overflows_is_refused() {
    assert_eq!(kind(&proto(DType::F32, &[1 << 40, 1 << 40])), ErrorKind::Malformed);
    assert_eq!(kind(&proto(DType::F32, &[i64::MAX, 8])), ErrorKind::Malformed);
}

#[test]
fn one_value_cannot_claim_gigabytes() {
    let mut bomb = proto(DType::F32, &[1 << 32]);
    bomb.float_val = vec![1.0];
    assert_eq!(kind(&bomb), ErrorKind::Limit);
}

#[test]
fn one_huge_string_cannot_be_repeated_without_end() {
    let mut bomb = proto(DType::String, &[1 << 20]);
    bomb.string_val = vec![vec![b'x'; 1 << 20]];
    assert_eq!(kind(&bomb), ErrorKind::Limit);
    assert_eq!(kind(&proto(DType::String, &[1 << 28])), ErrorKind::Limit);
}

#[test]
fn content_of_the_wrong_length_is_refused() {
    let mut short = proto(DType::F32, &[4]);
    short.tensor_content = vec![0; 12].into();
    let error = short.to_tensor(&limits()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.to_string().contains("12 bytes do not fill float32 of shape [4]"), "{error}");
}

#[test]
fn types_without_values_are_refused() {
    for dtype in [DType::Resource, DType::Variant, DType::Complex64] {
        assert_eq!(kind(&proto(dtype, &[1])), ErrorKind::Unsupported);
    }
    let unknown = TensorProto { dtype: 77, ..Default::default() };
    assert_eq!(kind(&unknown), ErrorKind::Unsupported);
}

#[test]
fn too_many_dimensions_are_refused() {
    assert_eq!(kind(&proto(DType::F32, &[1; 1000])), ErrorKind::Limit);
}
