use std::collections::BTreeMap;

use super::*;
use crate::{Error, ErrorKind, Limits, Tensor, TensorData};

fn file(header: &str, values: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + values, 1);
    bytes
}

fn refused(header: &str, values: usize) -> Error {
    SafeTensors::read(&file(header, values), &Limits::default()).unwrap_err()
}

#[test]
fn every_type_round_trips() {
    let tensors = [
        ("f32", Tensor::new([2, 2], vec![1f32, -0.0, f32::MAX, 1e-40]).unwrap()),
        ("f64", Tensor::new([1], vec![1e-310f64]).unwrap()),
        ("f16", Tensor::vector(TensorData::F16(vec![1, 0x3c00]))),
        ("bf16", Tensor::vector(TensorData::BF16(vec![1, 0x3f80]))),
        ("i8", Tensor::vector(vec![-128i8, 127])),
        ("u8", Tensor::vector(vec![0u8, 255, 3])),
        ("i16", Tensor::vector(vec![i16::MIN])),
        ("u16", Tensor::vector(vec![u16::MAX])),
        ("i32", Tensor::new([], vec![i32::MIN]).unwrap()),
        ("u32", Tensor::vector(vec![u32::MAX])),
        ("i64", Tensor::vector(vec![i64::MIN])),
        ("u64", Tensor::vector(vec![u64::MAX])),
        ("bool", Tensor::vector(vec![true, false])),
        ("empty", Tensor::new([3, 0], Vec::<f32>::new()).unwrap()),
        ("Łódź \"quoted\"", Tensor::vector(vec![1u8])),
    ];
    let metadata = BTreeMap::from([("format".to_owned(), "mobilenet".to_owned())]);
    let bytes = write(tensors.iter().map(|(name, tensor)| (*name, tensor)), &metadata).unwrap();
    let file = SafeTensors::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(file.metadata(), &metadata);
    assert_eq!(file.names().count(), tensors.len());
    for (name, tensor) in &tensors {
        assert_eq!(&file.tensor(name).unwrap(), tensor, "{name}");
        let size = tensor.dtype().size().unwrap();
        assert_eq!(file.entry(name).unwrap().range.start % size, 0, "{name} is not aligned");
    }
    assert_eq!(file.tensor("other").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn no_tensors_at_all_round_trip() {
    let bytes = write([], &BTreeMap::new()).unwrap();
    assert_eq!(SafeTensors::read(&bytes, &Limits::default()).unwrap().names().count(), 0);
}

#[test]
fn names_given_twice_are_refused() {
    let entry = r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    let error = refused(&format!(r#"{{"a":{entry},"a":{entry}}}"#), 1);
    assert!(error.to_string().contains("twice"), "{error}");
    let tensor = Tensor::vector(vec![1u8]);
    assert!(write([("a", &tensor), ("a", &tensor)], &BTreeMap::new()).is_err());
    assert!(write([("__metadata__", &tensor)], &BTreeMap::new()).is_err());
}

#[test]
fn overlaps_are_refused() {
    let error = refused(
        r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#,
        6,
    );
    assert!(error.to_string().contains("overlaps"), "{error}");
    let shared = r#"{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    assert!(
        refused(&format!(r#"{{"a":{shared},"b":{shared}}}"#), 4).to_string().contains("overlaps")
    );
}

#[test]
fn holes_and_leftovers_are_refused() {
    let error = refused(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#, 6);
    assert!(error.to_string().contains("hole"), "{error}");
    let error = refused(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 6);
    assert!(error.to_string().contains("2 bytes follow"), "{error}");
    assert_eq!(
        refused(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 3).kind(),
        ErrorKind::Truncated
    );
}

#[test]
fn lengths_that_disagree_with_the_shape_are_refused() {
    for (shape, offsets) in [("[2]", "[0,4]"), ("[1]", "[4,0]"), ("[2,2]", "[0,15]")] {
        let header =
            format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        assert_eq!(refused(&header, 16).kind(), ErrorKind::Mismatch, "{header}");
    }
}

#[test]
fn overflowing_shapes_are_refused() {
    for shape in ["[4294967296,4294967296,4]", "[18446744073709551615]", "[1152921504606846976]"] {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4]}}}}"#);
        assert_eq!(refused(&header, 4).kind(), ErrorKind::Limit, "{shape}");
    }
}

#[test]
fn negative_and_fractional_numbers_are_refused() {
    for shape in ["[-1]", "[1.5]", "[1e3]", "[18446744073709551616]", "\"1\"", "null"] {
        let header = format!(r#"{{"a":{{"dtype":"U8","shape":{shape},"data_offsets":[0,1]}}}}"#);
        assert_eq!(refused(&header, 1).kind(), ErrorKind::Malformed, "{shape}");
    }
}

#[test]
fn huge_headers_are_refused_before_they_are_read() {
    for len in [HEADER_BYTES + 1, u64::MAX, 1 << 63] {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}");
        let error = SafeTensors::read(&bytes, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
    let mut bytes = 1000u64.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"{}");
    let error = SafeTensors::read(&bytes, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn deeply_nested_headers_are_refused() {
    let header = format!("{{\"a\":{}", "[".repeat(1 << 20));
    assert_eq!(refused(&header, 0).kind(), ErrorKind::Malformed);
}

#[test]
fn headers_that_are_not_a_map_of_tensors_are_refused() {
    for header in ["", "[]", "{", " {}", "{}}", r#"{"a":1}"#, r#"{"__metadata__":{"a":1}}"#] {
        assert!(SafeTensors::read(&file(header, 0), &Limits::default()).is_err(), "{header}");
    }
}

#[test]
fn unknown_types_are_refused_by_name() {
    let error = refused(r#"{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#, 1);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("F8_E4M3") && error.to_string().contains("`a`"), "{error}");
}

#[test]
fn every_truncation_is_an_error() {
    let tensor = Tensor::vector(vec![1f32, 2.]);
    let bytes = write([("a", &tensor)], &BTreeMap::new()).unwrap();
    assert!(detect(&bytes));
    for len in 0..bytes.len() {
        assert!(SafeTensors::read(&bytes[..len], &Limits::default()).is_err(), "{len} bytes");
    }
}
