//! safetensors: what is accepted is written and read again the same.
#![no_main]

use mobilenet_formats::safetensors::{SafeTensors, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let Ok(file) = SafeTensors::read(data, &limits) else { return };
    let named: Vec<_> =
        file.names().map(|name| (name, file.tensor(name).expect("in the file"))).collect();
    let tensors = |tensors: &[(&str, _)], metadata| {
        write(tensors.iter().map(|(name, tensor)| (*name, tensor)), metadata).expect("writable")
    };
    let written = tensors(&named, file.metadata());
    let again = SafeTensors::read(&written, &Default::default()).expect("readable");
    let named: Vec<_> =
        again.names().map(|name| (name, again.tensor(name).expect("in the file"))).collect();
    assert!(tensors(&named, again.metadata()) == written);
});
