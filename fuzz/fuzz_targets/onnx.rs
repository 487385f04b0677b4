//! ONNX: what decodes encodes to something that decodes to the same; tensors fill their shape.
#![no_main]

use mobilenet_formats::{MemoryFiles, onnx};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let _ = onnx::detect(data);
    let Ok(model) = onnx::read(data, &limits) else { return };
    let written = onnx::write(&model);
    let again = onnx::read(&written, &Default::default()).expect("readable");
    assert!(onnx::write(&again) == written);
    let mut folder = MemoryFiles::default();
    folder.insert("weights.bin", vec![1; 64]);
    for proto in model.graph.iter().flat_map(|graph| &graph.initializer) {
        let Ok(tensor) = proto.to_tensor(&folder, &limits) else { continue };
        assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
        let proto = onnx::TensorProto::from_tensor("t", &tensor).expect("writable");
        proto.to_tensor(&folder, &limits).expect("readable");
    }
});
