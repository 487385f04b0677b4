//! Keras and the HDF5 under it: any bytes give a model or an error.
#![no_main]

use mobilenet_formats::keras::{Model, detect, hdf5};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let _ = hdf5::read(data, &limits);
    if detect(data) {
        let _ = Model::read(data, &limits);
    }
});
