//! `saved_model.pb`: what decodes encodes to something that decodes to the same.
#![no_main]

use mobilenet_formats::MemoryFiles;
use mobilenet_formats::tensorflow::{SavedModel, decode_message, messages::MetaGraphDef};
use prost::Message as _;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let mut files = MemoryFiles::default();
    files.insert("saved_model.pb", data);
    let Ok(model) = SavedModel::read(&files, &limits) else { return };
    for graph in model.meta_graphs() {
        let Ok(def) = graph.def() else { continue };
        // Bytes, not messages: NaN is not equal to itself.
        let encoded = def.encode_to_vec();
        let again: MetaGraphDef = decode_message(encoded.clone(), &limits).expect("decodes");
        assert!(again.encode_to_vec() == encoded);
        let _ = (graph.variables(), graph.update_ops(), graph.image_size());
    }
});
