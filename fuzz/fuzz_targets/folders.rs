//! Models of several files through the importers: SavedModels with functions and without, checkpoints of
//! both versions, TensorFlow.js with its shards, ONNX with weights beside it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    mobilenet_fuzz::load(mobilenet_fuzz::folder(data), None);
});
