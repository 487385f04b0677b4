//! Hub modules: all four files. What is accepted comes back byte for byte, whole or changed.
#![no_main]

use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::HubModule;

const FILES: [&str; 4] = [
    "tfhub_module.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "saved_model.pb",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let files = mobilenet_fuzz::files(&FILES, data);
    let Ok(mut module) = HubModule::read(&files, &limits) else { return };
    for graph in module.saved_model().meta_graphs() {
        let _ = graph.def();
        let _ = graph.signatures();
        let _ = graph.variables();
        let _ = graph.trainable_variables();
        let _ = graph.regularization_losses();
        let _ = graph.update_ops();
        let _ = graph.image_size();
        let _ = graph.info().ok().flatten().map(|info| info.op_list());
    }
    let names: Vec<_> =
        module.saved_model().variable_names().into_iter().map(str::to_owned).collect();
    let readable = names.iter().filter(|name| module.variable(name).is_ok()).count();
    if readable == names.len() {
        module.saved_model_mut().set_variable("new", Tensor::vector(vec![1f32]));
        let written = module.to_files().expect("writable");
        let again = HubModule::read(&written, &limits).expect("readable");
        assert!(again.variable("new").is_ok());
    }
});
