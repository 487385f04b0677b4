//! Model files of every format through the importers: from bytes to a graph with signatures. The
//! same bytes under the names that folders are known by.
#![no_main]

use mobilenet::{MemoryFiles, Module};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for name in ["model", "model.json"] {
        let mut files = MemoryFiles::default();
        files.insert(name, data);
        let options = Module::options().limits(mobilenet_fuzz::limits()).threads(1);
        let Ok(module) = options.load_files(files, Some(name)) else { continue };
        assert!(!module.signatures().is_empty());
        let _ = module.expected_image_size();
        let _ = module.own_labels();
        for (name, shape) in module.variables() {
            if let Ok(value) = module.variable(&name) {
                assert_eq!(value.shape(), shape);
            }
        }
    }
});
