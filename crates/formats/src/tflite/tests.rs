use super::flatbuffer::Slot;
use super::*;

fn read(bytes: &[u8]) -> Result<Model> {
    Model::read(bytes, &Limits::default())
}

/// A small model with a bit of everything.
fn sample() -> Model {
    let mut model = Model { version: 3, description: "a test".into(), ..Model::default() };
    model.operator_codes.push(OperatorCode::new(BuiltinOperator::CONV_2D, 3));
    model.operator_codes.push(OperatorCode::new(BuiltinOperator::GELU, 1));
    let weights = crate::Tensor::new([2, 1, 1, 2], vec![1i8, -2, 3, -4]).unwrap();
    let mut weights = model.add_constant(&weights).unwrap();
    weights.name = "weights".into();
    weights.quantization = Some(QuantizationParameters {
        scale: vec![0.5, 0.25],
        zero_point: vec![0, 0],
        ..QuantizationParameters::default()
    });
    let images = Tensor {
        shape: vec![1, 4, 4, 2],
        shape_signature: vec![-1, 4, 4, 2],
        name: "images".into(),
        ..Tensor::default()
    };
    let conv = Operator {
        inputs: vec![0, 1, -1],
        outputs: vec![2],
        builtin_options: Conv2DOptions {
            padding: Padding::VALID,
            stride_w: 2,
            stride_h: 2,
            fused_activation_function: ActivationFunctionType::RELU6,
            ..Conv2DOptions::default()
        }
        .into(),
        ..Operator::default()
    };
    model.subgraphs.push(SubGraph {
        tensors: vec![images, weights],
        inputs: vec![0],
        outputs: vec![],
        operators: vec![conv],
        name: "main".into(),
        ..SubGraph::default()
    });
    let map = |name: &str| TensorMap { name: name.into(), tensor_index: 0 };
    model.signature_defs.push(SignatureDef {
        inputs: vec![map("images")],
        outputs: vec![],
        signature_key: "serving_default".into(),
        subgraph_index: 0,
    });
    model
}

fn metadata() -> ModelMetadata {
    let normalization = NormalizationOptions { mean: vec![127.5], std: vec![127.5] };
    let content = Content {
        content_properties: ImageProperties {
            color_space: ColorSpaceType::RGB,
            default_size: Some(ImageSize { width: 192, height: 160 }),
        }
        .into(),
        range: None,
    };
    let labels = AssociatedFile {
        name: "labels.txt".into(),
        r#type: AssociatedFileType::TENSOR_AXIS_LABELS,
        ..AssociatedFile::default()
    };
    let input = TensorMetadata {
        name: "images".into(),
        content: Some(content),
        process_units: vec![ProcessUnit { options: normalization.into() }],
        stats: Some(Stats { max: vec![1.0], min: vec![-1.0] }),
        ..TensorMetadata::default()
    };
    let output = TensorMetadata { associated_files: vec![labels], ..TensorMetadata::default() };
    ModelMetadata {
        name: "MobileNet".into(),
        subgraph_metadata: vec![SubGraphMetadata {
            input_tensor_metadata: vec![input],
            output_tensor_metadata: vec![output],
            ..SubGraphMetadata::default()
        }],
        min_parser_version: "1.0.0".into(),
        ..ModelMetadata::default()
    }
}

#[test]
fn models_round_trip() {
    let model = sample();
    let bytes = model.write().unwrap();
    assert_eq!(read(&bytes).unwrap(), model);
    assert_eq!(bytes, read(&bytes).unwrap().write().unwrap());
}

#[test]
fn operators_beyond_a_byte_keep_their_number() {
    let code = OperatorCode::new(BuiltinOperator(200), 1);
    assert_eq!((code.deprecated_builtin_code, code.builtin()), (127, BuiltinOperator(200)));
    let old = OperatorCode { deprecated_builtin_code: 3, ..OperatorCode::default() };
    assert_eq!(old.builtin(), BuiltinOperator::CONV_2D);
    assert_eq!(old.builtin().to_string(), "CONV_2D");
    assert_eq!(BuiltinOperator(4000).to_string(), "BuiltinOperator(4000)");
}

#[test]
fn constants_are_aligned_to_16_bytes() {
    let mut model = sample();
    for len in 1..40 {
        let value = crate::Tensor::vector(vec![0xa5u8; len]);
        model.add_constant(&value).unwrap();
    }
    let bytes = model.write().unwrap();
    for buffer in read(&bytes).unwrap().buffers.iter().filter(|buffer| buffer.data.len() > 20) {
        let at = bytes.windows(buffer.data.len()).position(|part| part == buffer.data);
        assert_eq!(at.unwrap() % 16, 0);
    }
}

#[test]
fn metadata_and_labels_round_trip() {
    let mut model = sample();
    assert_eq!(model.metadata(&Limits::default()).unwrap(), None);
    model.set_metadata(&metadata()).unwrap();
    model.set_metadata(&metadata()).unwrap();
    assert_eq!(model.metadata.len(), 1);
    let mut files = crate::MemoryFiles::default();
    files.insert("labels.txt", "background\ntench\n");
    let bytes = append_files(model.write().unwrap(), &files).unwrap();
    let again = read(&bytes).unwrap();
    assert_eq!(again, model);
    assert_eq!(again.metadata(&Limits::default()).unwrap(), Some(metadata()));
    assert_eq!(associated_files(&bytes, &Limits::default()).unwrap(), files);
}

#[test]
fn constants_come_back_with_type_and_shape() {
    let model = sample();
    let [images, weights] = &model.subgraphs[0].tensors[..] else { panic!() };
    let limits = Limits::default();
    assert_eq!(model.constant(images, &limits).unwrap(), None);
    let value = model.constant(weights, &limits).unwrap().unwrap();
    assert_eq!((value.shape(), value.as_i8()), (&[2, 1, 1, 2][..], Some(&[1i8, -2, 3, -4][..])));
    let affine = Affine { scales: vec![0.5, 0.25], zero_points: vec![0, 0], axis: Some(0) };
    assert_eq!(weights.affine().unwrap(), Some(affine));
    assert_eq!(images.affine().unwrap(), None);
}

#[test]
fn buffers_behind_the_flatbuffer_are_fetched() {
    let mut model = sample();
    model.buffers[1] = Buffer { data: vec![], offset: 1 << 20, size: 4 };
    let mut bytes = model.write().unwrap();
    assert_eq!(read(&bytes).unwrap_err().kind(), ErrorKind::Malformed);
    bytes.resize(1 << 20, 0);
    bytes.extend_from_slice(&[1, 254, 3, 252]);
    assert_eq!(read(&bytes).unwrap(), sample());
}

// Hostile files ------------------------------------------------------------------------------

#[test]
fn every_truncation_is_an_error_or_a_smaller_buffer() {
    let mut model = sample();
    model.set_metadata(&metadata()).unwrap();
    let bytes = model.write().unwrap();
    for len in 0..bytes.len() - 16 {
        assert!(read(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn every_flipped_byte_is_survived() {
    let mut model = sample();
    model.set_metadata(&metadata()).unwrap();
    let bytes = model.write().unwrap();
    let limits = Limits::default();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 4] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            let Ok(model) = read(&bytes) else { continue };
            let _ = model.metadata(&limits);
            for tensor in model.subgraphs.iter().flat_map(|graph| &graph.tensors) {
                let _ = (model.constant(tensor, &limits), tensor.affine());
            }
        }
    }
}

#[test]
fn offsets_outside_the_file_are_refused_with_their_place() {
    let mut bytes = sample().write().unwrap();
    for offset in [0, 1 << 20, u32::MAX, i32::MAX as u32] {
        bytes[..4].copy_from_slice(&offset.to_le_bytes());
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains("tflite: byte 0: offset"), "{error}");
    }
}

#[test]
fn a_vtable_outside_the_file_is_refused() {
    let bytes = sample().write().unwrap();
    let root = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    for back in [i32::MAX, i32::MIN, -1_000_000, 1_000_000] {
        let mut bytes = bytes.clone();
        bytes[root..root + 4].copy_from_slice(&back.to_le_bytes());
        assert_eq!(read(&bytes).unwrap_err().kind(), ErrorKind::Malformed, "{back}");
    }
}

#[test]
fn vector_lengths_beyond_the_file_are_refused() {
    // The name "images" is stored as a length and its bytes.
    let bytes = sample().write().unwrap();
    let name = bytes.windows(6).position(|part| part == b"images").unwrap();
    for len in [u32::MAX, 1 << 31, bytes.len() as u32] {
        let mut bytes = bytes.clone();
        bytes[name - 4..name].copy_from_slice(&len.to_le_bytes());
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("elements of 1 bytes has only"), "{error}");
        assert!(error.contains("subgraphs[0].tensors[0].name"), "{error}");
    }
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    let mut bytes = sample().write().unwrap();
    let name = bytes.windows(6).position(|part| part == b"images").unwrap();
    bytes[name] = 0xff;
    assert!(read(&bytes).unwrap_err().to_string().contains("UTF-8"));
}

/// A file whose root holds a vector of `shares` subgraphs that are all one and the same table,
/// which holds a vector of `shares` tensors that are all one and the same.
fn shared_tables(shares: usize) -> Vec<u8> {
    let small = Model {
        subgraphs: vec![SubGraph { tensors: vec![Tensor::default()], ..SubGraph::default() }],
        ..Model::default()
    };
    // Take the small file apart and point every element of longer vectors at its one table.
    let bytes = small.write().unwrap();
    let offset =
        |at: usize| at + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let field = |table: usize, index: usize| {
        let back = i32::from_le_bytes(bytes[table..table + 4].try_into().unwrap());
        let slot = (table as i64 - i64::from(back)) as usize + 4 + 2 * index;
        table + usize::from(u16::from_le_bytes([bytes[slot], bytes[slot + 1]]))
    };
    let subgraphs = field(offset(0), 2);
    let subgraph = offset(offset(subgraphs) + 4);
    let tensors = field(subgraph, 0);
    let tensor = offset(offset(tensors) + 4);

    // Offsets only point forward, so the vectors go in front of copies of the tables.
    let mut out = bytes.clone();
    let grow = |out: &mut Vec<u8>, slot: usize, target: usize| {
        let vector = out.len();
        let copy = vector + 4 + 4 * shares;
        let shift = copy - target;
        out[slot..slot + 4].copy_from_slice(&((vector - slot) as u32).to_le_bytes());
        out.extend_from_slice(&(shares as u32).to_le_bytes());
        (0..shares).for_each(|i| {
            out.extend_from_slice(&((copy - vector - 4 - 4 * i) as u32).to_le_bytes())
        });
        let tail = out[target..bytes.len()].to_vec();
        out.extend_from_slice(&tail);
        // The copy's vtable stays where it was: further back.
        let back = i32::from_le_bytes(bytes[target..target + 4].try_into().unwrap());
        out[copy..copy + 4].copy_from_slice(&(back + shift as i32).to_le_bytes());
        shift
    };
    let shift = grow(&mut out, subgraphs, subgraph);
    grow(&mut out, tensors + shift, tensor);
    out
}

#[test]
fn shared_tables_cannot_claim_unbounded_memory() {
    let few = read(&shared_tables(3)).unwrap();
    assert_eq!(few.subgraphs.len(), 3);
    assert_eq!(few.subgraphs[2].tensors, vec![Tensor::default(); 3]);
    // 160 kB that would decode to 400 million tensors.
    let bytes = shared_tables(20_000);
    assert!(bytes.len() < 200_000);
    let error = read(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn unknown_options_are_read_and_not_written() {
    let mut model = sample();
    let lstm = BuiltinOptions::Unknown(14);
    model.subgraphs[0].operators[0].builtin_options = lstm;
    let error = model.write().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("subgraphs[0].operators[0].builtin_options"), "{error}");

    // Turn the type byte of the convolution's options (1) into an unknown one.
    let model = sample();
    let bytes = model.write().unwrap();
    let found = (0..bytes.len()).find(|&at| {
        let mut bytes = bytes.clone();
        bytes[at] = 200;
        read(&bytes).is_ok_and(|read| {
            read.subgraphs[0].operators[0].builtin_options == BuiltinOptions::Unknown(200)
        })
    });
    assert!(found.is_some());
}

#[test]
fn missing_buffers_are_refused() {
    let mut model = sample();
    model.subgraphs[0].tensors[1].buffer = 7;
    let model = read(&model.write().unwrap()).unwrap();
    let error = model.constant(&model.subgraphs[0].tensors[1], &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "tensor `weights`: buffer 7 of 2");
}

#[test]
fn buffers_shorter_or_longer_than_the_shape_are_refused() {
    let mut model = sample();
    for shape in [vec![2, 1, 1, 3], vec![3], vec![], vec![i32::MAX; 8]] {
        model.subgraphs[0].tensors[1].shape = shape;
        let error = model.constant(&model.subgraphs[0].tensors[1], &Limits::default());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Mismatch);
    }
}

#[test]
fn negative_dimensions_are_refused() {
    let mut model = sample();
    model.subgraphs[0].tensors[1].shape = vec![-2, -2];
    let error = model.constant(&model.subgraphs[0].tensors[1], &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("negative"), "{error}");
}

fn quantized(scale: f32, zero_point: i64) -> Tensor {
    let quantization = QuantizationParameters {
        scale: vec![scale],
        zero_point: vec![zero_point],
        ..QuantizationParameters::default()
    };
    let r#type = TensorType::UINT8;
    Tensor { r#type, quantization: Some(quantization), ..Tensor::default() }
}

#[test]
fn scales_of_zero_infinity_and_nan_are_refused() {
    for scale in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(
            quantized(scale, 0).affine().unwrap_err().kind(),
            ErrorKind::Malformed,
            "{scale}"
        );
    }
    assert!(quantized(1e-40, 0).affine().is_ok());
}

#[test]
fn zero_points_out_of_range_are_refused() {
    for zero_point in [-1, 256, i64::MIN, i64::MAX, 1 << 32] {
        let error = quantized(1.0, zero_point).affine().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    }
    let affine = quantized(1.0, 255).affine().unwrap().unwrap();
    assert_eq!((affine.zero_points, affine.axis), (vec![255], None));
}

#[test]
fn counts_of_scales_that_disagree_are_refused() {
    let with = |scales: usize, zero_points: usize, dimension| {
        let mut tensor = Tensor { shape: vec![2, 3], ..quantized(1.0, 0) };
        tensor.quantization = Some(QuantizationParameters {
            scale: vec![1.0; scales],
            zero_point: vec![0; zero_points],
            quantized_dimension: dimension,
            ..QuantizationParameters::default()
        });
        tensor.affine()
    };
    assert_eq!(with(3, 3, 1).unwrap().unwrap().axis, Some(1));
    assert_eq!(with(3, 2, 1).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(with(3, 3, 0).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(with(3, 3, 2).unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(with(3, 3, -1).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn slots_are_as_wide_as_their_values() {
    let mut slots = Vec::new();
    flatbuffer::Field::slots(&1u64, 3, &mut slots);
    let Slot { index, width } = slots[0];
    assert_eq!((index, width), (3, 8));
}
