//! TFLite: tables, constants, quantisation, metadata, packed files. What is accepted and can be
//! written is written and read again the same.
#![no_main]

use mobilenet_formats::{ErrorKind, tflite};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let _ = tflite::associated_files(data, &limits);
    let Ok(mut model) = tflite::Model::read(data, &limits) else { return };
    for tensor in model.subgraphs.iter().flat_map(|graph| &graph.tensors) {
        if let Ok(Some(value)) = model.constant(tensor, &limits) {
            assert_eq!(value.shape().len(), tensor.shape.len());
        }
        if let Ok(Some(affine)) = tensor.affine() {
            assert_eq!(affine.scales.len(), affine.zero_points.len());
        }
    }
    if let Ok(Some(metadata)) = model.metadata(&limits) {
        let _ = model.set_metadata(&metadata);
    }
    let written = match model.write() {
        Ok(written) => written,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Unsupported),
    };
    let again = tflite::Model::read(&written, &Default::default()).expect("readable");
    assert!(again.write().expect("writable") == written);
});
