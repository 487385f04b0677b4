//! Model files of every format through the importers: from bytes to a graph with signatures, and
//! once through the engine if the network is small. The same bytes under the names that folders are
//! known by. Models of several files are `folders`' business.
#![no_main]

use mobilenet::MemoryFiles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for name in ["model", "model.json"] {
        let mut files = MemoryFiles::default();
        files.insert(name, data);
        mobilenet_fuzz::load(files, Some(name));
    }
});
