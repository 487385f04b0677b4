use super::*;
use crate::{ErrorKind, Limits, Tensor, TensorData};

fn file(header: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(values);
    bytes
}

fn kind(header: &str, values: &[u8]) -> ErrorKind {
    read(&file(header, values), &Limits::default()).unwrap_err().kind()
}

#[test]
fn every_type_round_trips() {
    let data: [TensorData; 12] = [
        vec![1f32, -0.0, f32::INFINITY, 1e-40, 5., 6.].into(),
        vec![1f64, -0.0, f64::MIN, 1e-310, 5., 6.].into(),
        TensorData::F16(vec![0x3c00, 0, 1, 2, 3, 4]),
        vec![0u8, 255, 1, 2, 3, 4].into(),
        vec![0i8, -128, 127, 2, 3, 4].into(),
        vec![0u16, u16::MAX, 1, 2, 3, 4].into(),
        vec![0i16, i16::MIN, 1, 2, 3, 4].into(),
        vec![0u32, u32::MAX, 1, 2, 3, 4].into(),
        vec![0i32, i32::MIN, 1, 2, 3, 4].into(),
        vec![0u64, u64::MAX, 1, 2, 3, 4].into(),
        vec![0i64, i64::MIN, 1, 2, 3, 4].into(),
        vec![true, false, true, true, false, false].into(),
    ];
    for data in data {
        for shape in [vec![6], vec![2, 3], vec![1, 3, 2, 1]] {
            let tensor = Tensor::new(shape, data.clone()).unwrap();
            let bytes = write(&tensor).unwrap();
            assert_eq!(read(&bytes, &Limits::default()).unwrap(), tensor);
        }
    }
}

#[test]
fn scalars_and_empty_arrays_round_trip() {
    for (shape, count) in [(vec![], 1), (vec![0], 0), (vec![3, 0, 2], 0)] {
        let tensor = Tensor::new(shape, vec![7f32; count]).unwrap();
        assert_eq!(read(&write(&tensor).unwrap(), &Limits::default()).unwrap(), tensor);
    }
}

#[test]
fn bytes_are_as_numpy_writes_them() {
    let bytes = write(&Tensor::new([2, 2], vec![1u8, 2, 3, 4]).unwrap()).unwrap();
    let mut expected =
        b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }"
            .to_vec();
    expected.resize(127, b' ');
    expected.extend_from_slice(b"\n\x01\x02\x03\x04");
    assert_eq!(bytes, expected);
}

#[test]
fn column_major_becomes_row_major() {
    let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n";
    let tensor = read(&file(header, &[0, 3, 1, 4, 2, 5]), &Limits::default()).unwrap();
    assert_eq!(tensor.as_u8(), Some(&[0, 1, 2, 3, 4, 5][..]));
}

#[test]
fn big_endian_becomes_native() {
    let header = "{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }\n";
    let tensor = read(&file(header, &[0, 0, 1, 2, 255, 255, 255, 254]), &Limits::default());
    assert_eq!(tensor.unwrap().as_i32(), Some(&[258, -2][..]));
}

#[test]
fn version_2_has_a_long_header() {
    let header = "{\"shape\": (1,), \"fortran_order\": False, \"descr\": \"<f4\"}";
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&2f32.to_le_bytes());
    assert_eq!(read(&bytes, &Limits::default()).unwrap().as_f32(), Some(&[2.][..]));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = write(&Tensor::new([2, 2], vec![1f32; 4]).unwrap()).unwrap();
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len], &Limits::default()).is_err(), "{len} bytes");
    }
}

#[test]
fn bytes_left_over_are_refused() {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
    assert_eq!(kind(header, &[1, 2, 3]), ErrorKind::Mismatch);
}

#[test]
fn python_objects_are_refused() {
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }";
    assert_eq!(kind(header, b"cos\nsystem\n"), ErrorKind::Unsupported);
}

#[test]
fn records_are_refused() {
    let header = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }";
    assert_eq!(kind(header, &[]), ErrorKind::Malformed);
}

#[test]
fn huge_shapes_are_refused_before_allocation() {
    for shape in
        ["(4294967296, 4294967296, 4)", "(1152921504606846976,)", "(99999999999999999999,)"]
    {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        assert!(matches!(kind(&header, &[0; 4]), ErrorKind::Limit | ErrorKind::Malformed));
    }
    let many = "1, ".repeat(1000);
    let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({many}), }}");
    assert_eq!(kind(&header, &[0; 4]), ErrorKind::Limit);
}

#[test]
fn negative_and_odd_dimensions_are_refused() {
    for shape in ["(-1,)", "(1.5,)", "(,)", "(1 2)", "1", "(1,", "()()"] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        assert_eq!(kind(&header, &[0; 4]), ErrorKind::Malformed, "{shape}");
    }
}

#[test]
fn strings_and_bfloat16_cannot_be_written() {
    for data in [TensorData::String(vec![b"a".to_vec()]), TensorData::BF16(vec![1])] {
        assert_eq!(write(&Tensor::vector(data)).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
