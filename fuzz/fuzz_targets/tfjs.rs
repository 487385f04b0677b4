//! TensorFlow.js: `model.json` and one shard.
#![no_main]

use mobilenet_formats::tfjs::Model;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let files = mobilenet_fuzz::files(&["model.json", "a.bin"], data);
    let Ok(model) = Model::read(&files, "model.json", &mobilenet_fuzz::limits()) else { return };
    for (_, tensor) in &model.weights {
        assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
    }
    let _ = model.graph_def();
});
