//! `.npy`: an array that is accepted fills its shape, and is written and read again the same.
#![no_main]

use mobilenet_formats::npy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = mobilenet_fuzz::limits();
    let Ok(tensor) = npy::read(data, &limits) else { return };
    assert_eq!(tensor.shape().iter().product::<usize>(), tensor.len());
    let written = npy::write(&tensor).expect("writable");
    let again = npy::read(&written, &limits).expect("readable");
    assert!(npy::write(&again).expect("writable") == written);
});
