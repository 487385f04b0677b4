//! Archives: any bytes, and any bytes compressed. What is accepted survives a round trip.
#![no_main]

use mobilenet_formats::{FileSource, archive};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(files) = archive::read(data, &mobilenet_fuzz::limits()) else { return };
    for path in files.paths() {
        let parts: Vec<_> = path.split('/').collect();
        assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")), "{path:?}");
        assert!(!path.contains(['\\', ':']));
    }
    let written = archive::write(&files, archive::Compression::None).expect("writable");
    let again = archive::read(&written, &mobilenet_formats::Limits::default()).expect("readable");
    assert!(again.iter().eq(files.iter()));
});
