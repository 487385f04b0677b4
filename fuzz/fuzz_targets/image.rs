//! Image files of every format. What decodes has as many pixels as its size says, and decodes the
//! same again with memory that was used before.
#![no_main]

use std::cell::RefCell;

use mobilenet_vision::{DecodeOptions, Decoder, ErrorKind, Limits};

thread_local! {
    static USED: RefCell<Decoder> = RefCell::new(Decoder::new(options()));
}

fn options() -> DecodeOptions {
    let limits = Limits { max_pixels: 1 << 16, max_bytes: 16 << 20, max_scans: 20 };
    DecodeOptions { limits, ..DecodeOptions::default() }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = mobilenet_vision::decode(data, &DecodeOptions { reduce_to: 8, ..options() });
    let fresh = mobilenet_vision::decode(data, &options());
    USED.with_borrow_mut(|used| match (fresh, used.decode(data)) {
        (Ok(fresh), Ok(again)) => {
            assert_eq!(fresh.pixels().len(), fresh.height() * fresh.width() * 3);
            assert!(fresh == again, "pixels of another file are left");
            used.recycle(again);
        }
        (Err(fresh), Err(again)) => {
            assert_ne!(fresh.kind(), ErrorKind::Internal);
            assert_eq!(fresh.kind(), again.kind());
        }
        (fresh, again) => panic!("{fresh:?} and then {again:?}"),
    });
});
