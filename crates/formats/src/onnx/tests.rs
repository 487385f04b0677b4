use super::*;
use crate::{DType, Error, ErrorKind, MemoryFiles, Tensor, TensorData};

fn to_tensor(proto: &TensorProto) -> Result<Tensor> {
    proto.to_tensor(&MemoryFiles::default(), &Limits::default())
}

fn sample() -> ModelProto {
    let weights = Tensor::new([2, 3, 1, 1], vec![1f32, 2., 3., 4., 5., 6.]).unwrap();
    let dim = |value| Dimension { value: Some(value), ..Dimension::default() };
    let shape = vec![
        dim(DimensionValue::DimParam("batch".into())),
        dim(DimensionValue::DimValue(0)),
        Dimension::default(),
    ];
    let tensor_type = TensorTypeProto {
        elem_type: DataType::Float.into(),
        shape: Some(TensorShapeProto { dim: shape }),
    };
    let value = ValueInfoProto {
        name: "images".into(),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    };
    let attribute = |name: &str, r#type: AttributeType| AttributeProto {
        name: name.into(),
        r#type: r#type.into(),
        ..AttributeProto::default()
    };
    let node = NodeProto {
        input: vec!["images".into(), "weights".into(), String::new()],
        output: vec!["y".into()],
        op_type: "Conv".into(),
        attribute: vec![
            AttributeProto { i: Some(0), ..attribute("group", AttributeType::Int) },
            AttributeProto { f: Some(0.0), ..attribute("alpha", AttributeType::Float) },
            AttributeProto { s: Some(vec![]), ..attribute("auto_pad", AttributeType::String) },
            AttributeProto { ints: vec![2, 2], ..attribute("strides", AttributeType::Ints) },
        ],
        ..NodeProto::default()
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        graph: Some(GraphProto {
            name: "main".into(),
            node: vec![node],
            initializer: vec![TensorProto::from_tensor("weights", &weights).unwrap()],
            input: vec![value],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

#[test]
fn models_round_trip_and_zero_attributes_stay_present() {
    let model = sample();
    let bytes = write(&model);
    assert!(detect(&bytes));
    let again = read(&bytes, &Limits::default()).unwrap();
    assert_eq!(again, model);
    let attributes = &again.graph.as_ref().unwrap().node[0].attribute;
    assert_eq!((attributes[0].i, attributes[1].f), (Some(0), Some(0.0)));
    assert_eq!(attributes[2].s, Some(vec![]));
}

#[test]
fn other_messages_are_not_taken_for_models() {
    assert!(!detect(b""));
    assert!(!detect(&[0x08, 0x01]));
    assert!(!detect(&[0x0a, 0x02, 0x0a, 0x00]));
    let bytes = write(&sample());
    assert!(!detect(&bytes[..bytes.len() - 1]));
}

#[test]
fn tensors_of_every_type_round_trip() {
    let data: [TensorData; 14] = [
        vec![1f32, -0.0].into(),
        vec![1f64, 1e-310].into(),
        vec![-128i8, 127].into(),
        vec![0u8, 255].into(),
        vec![i16::MIN, 1].into(),
        vec![u16::MAX, 1].into(),
        vec![i32::MIN, 1].into(),
        vec![u32::MAX, 1].into(),
        vec![i64::MIN, 1].into(),
        vec![u64::MAX, 1].into(),
        vec![true, false].into(),
        TensorData::F16(vec![0x3c00, 1]),
        TensorData::BF16(vec![0x3f80, 1]),
        vec![b"a".to_vec(), vec![0xff]].into(),
    ];
    for data in data {
        let value = Tensor::new([2, 1], data).unwrap();
        assert_eq!(to_tensor(&TensorProto::from_tensor("t", &value).unwrap()).unwrap(), value);
    }
}

#[test]
fn lists_of_every_type_are_read() {
    let of = |data_type: DataType| TensorProto {
        dims: vec![2],
        data_type: data_type.into(),
        float_data: vec![1.0, 2.0],
        double_data: vec![1.0, 2.0],
        int32_data: vec![1, 2],
        int64_data: vec![1, 2],
        uint64_data: vec![1, 2],
        string_data: vec![vec![1], vec![2]],
        ..TensorProto::default()
    };
    for number in 1..=16 {
        let data_type = DataType::try_from(number).unwrap();
        let Some(dtype) = data_type.dtype() else { continue };
        assert_eq!(to_tensor(&of(data_type)).unwrap().dtype(), dtype);
    }
    assert_eq!(to_tensor(&of(DataType::Float16)).unwrap().as_f16_bits(), Some(&[1, 2][..]));
}

#[test]
fn list_values_out_of_range_are_refused() {
    for (data_type, value) in
        [(DataType::Uint8, 256), (DataType::Int8, -129), (DataType::Uint16, -1)]
    {
        let proto = TensorProto {
            dims: vec![1],
            data_type: data_type.into(),
            int32_data: vec![value],
            ..TensorProto::default()
        };
        assert_eq!(to_tensor(&proto).unwrap_err().kind(), ErrorKind::Malformed);
    }
}

fn raw(dims: &[i64], bytes: usize) -> TensorProto {
    TensorProto {
        name: "weights".into(),
        dims: dims.to_vec(),
        data_type: DataType::Float.into(),
        raw_data: Some(vec![0; bytes]),
        ..TensorProto::default()
    }
}

#[test]
fn raw_data_of_the_wrong_length_is_refused() {
    for (dims, bytes) in [(&[2][..], 4), (&[2], 12), (&[1], 3), (&[], 0), (&[0], 4)] {
        assert_eq!(to_tensor(&raw(dims, bytes)).unwrap_err().kind(), ErrorKind::Mismatch);
    }
    let missing = TensorProto { raw_data: None, ..raw(&[2], 0) };
    assert_eq!(to_tensor(&missing).unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn negative_and_overflowing_dimensions_are_refused() {
    let error = to_tensor(&raw(&[-1, -4], 16)).unwrap_err();
    assert_eq!(error.to_string(), "tensor `weights`: shape [-1, -4] has a negative dimension");
    assert_eq!(to_tensor(&raw(&[i64::MAX, i64::MAX], 4)).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(to_tensor(&raw(&[1 << 40], 4)).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(to_tensor(&raw(&[1; 100], 4)).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn types_the_host_lacks_are_refused() {
    for number in [0, 14, 17, 22, 99, -1] {
        let proto = TensorProto { data_type: number, ..raw(&[1], 4) };
        assert_eq!(to_tensor(&proto).unwrap_err().kind(), ErrorKind::Unsupported, "{number}");
    }
    assert_eq!(DataType::from_dtype(DType::Complex64), None);
}

fn external(entries: &[(&str, &str)]) -> Result<Tensor, Error> {
    let mut folder = MemoryFiles::default();
    folder.insert("data/weights.bin", vec![1; 16]);
    let external_data = entries
        .iter()
        .map(|(key, value)| StringStringEntryProto { key: (*key).into(), value: (*value).into() })
        .collect();
    let proto = TensorProto { raw_data: None, data_location: 1, external_data, ..raw(&[2], 0) };
    proto.to_tensor(&folder, &Limits::default())
}

#[test]
fn external_data_inside_the_folder_is_read() {
    let value = f32::from_le_bytes([1; 4]);
    for location in ["data/weights.bin", "./data/weights.bin"] {
        let tensor = external(&[("location", location), ("offset", "8"), ("length", "8")]).unwrap();
        assert_eq!(tensor.as_f32(), Some(&[value, value][..]));
    }
    assert!(external(&[("location", "data/weights.bin")]).is_ok());
}

#[test]
fn external_data_that_leaves_the_folder_is_refused() {
    for location in [
        "../weights.bin",
        "data/../../weights.bin",
        "/etc/passwd",
        "\\\\host\\share",
        "C:\\weights.bin",
        "data\\..\\..\\weights.bin",
        "",
        ".",
        "data//weights.bin",
        "weights\0.bin",
    ] {
        let error = external(&[("location", location)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsafePath, "{location}");
    }
    assert_eq!(external(&[]).unwrap_err().kind(), ErrorKind::UnsafePath);
}

#[test]
fn external_data_beyond_the_file_is_refused() {
    let at = |offset: &str, length: &str| {
        let entries = [("location", "data/weights.bin"), ("offset", offset), ("length", length)];
        external(&entries).unwrap_err().kind()
    };
    assert_eq!(at("12", "8"), ErrorKind::Truncated);
    assert_eq!(at("18446744073709551615", "8"), ErrorKind::Malformed);
    assert_eq!(at("0", "16"), ErrorKind::Mismatch);
    assert_eq!(at("-1", "8"), ErrorKind::Malformed);
    assert_eq!(external(&[("location", "other.bin")]).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn deep_nesting_is_refused() {
    // A graph attribute in a node in a graph attribute … ; field 5 of a node, field 6 of that.
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        for field in [6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2] {
            let mut outer = vec![field];
            wire::push_varint(&mut outer, bytes.len() as u64);
            outer.append(&mut bytes);
            bytes = outer;
        }
    }
    let mut file = vec![7 << 3 | 2];
    wire::push_varint(&mut file, bytes.len() as u64);
    file.append(&mut bytes);
    assert_eq!(read(&file, &Limits::default()).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn every_truncation_is_survived() {
    let bytes = write(&sample());
    for len in 0..bytes.len() {
        let _ = read(&bytes[..len], &Limits::default());
        assert!(!detect(&bytes[..len]) || len > bytes.len() / 2);
    }
}
