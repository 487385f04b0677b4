//! Tensor bundles: index and one shard. Tensors that can be read are written, and read again.
#![no_main]

use std::sync::Arc;

use mobilenet_formats::tensorflow::{BundleReader, BundleWriter};

const FILES: [&str; 2] = ["v.index", "v.data-00000-of-00001"];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let files = Arc::new(mobilenet_fuzz::files(&FILES, data));
    let Ok(bundle) = BundleReader::open(files, "v", &limits) else { return };
    let mut writer = BundleWriter::default();
    let mut written = Vec::new();
    for name in bundle.names() {
        if let Ok(tensor) = bundle.read(name) {
            writer.add(name, &tensor).expect("a name is given once");
            written.push(name);
        }
    }
    let files = writer.finish("v").expect("writable");
    let again = BundleReader::open(Arc::new(files), "v", &limits).expect("readable");
    assert!(again.names().eq(written));
    for name in again.names() {
        again.read(name).expect("what was written can be read");
    }
});
