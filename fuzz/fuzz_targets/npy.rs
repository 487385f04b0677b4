//! `.npy` and `.npz`: an array that is accepted fills its shape, and is written and read again the same;
//! so is an archive of them.
#![no_main]

use mobilenet_formats::{Limits, npy};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    if let Ok(tensor) = npy::read(data, &limits) {
        assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
        let written = npy::write(&tensor).expect("writable");
        let again = npy::read(&written, &limits).expect("readable");
        assert!(npy::write(&again).expect("writable") == written);
    }
    if npy::detect_archive(data)
        && let Ok(arrays) = npy::read_archive(data, &limits)
    {
        for tensor in arrays.values() {
            assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
        }
        if let Ok(written) = npy::write_archive(&arrays) {
            let again = npy::read_archive(&written, &Limits::default()).expect("readable");
            assert!(npy::write_archive(&again).expect("writable") == written);
        }
    }
});
