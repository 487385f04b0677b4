//! Decoded pixels equal TensorFlow's (libjpeg-turbo's accurate IDCT, fancy upsampling), all 24.

mod common;

use common::samples;
use mobilenet_vision::{DecodeOptions, decode};
use sha2::{Digest, Sha256};

#[test]
fn pixels_are_tensorflows() {
    let options = DecodeOptions { ignore_exif: true, ..Default::default() };
    for sample in samples() {
        let image = decode(&sample.bytes, &options).unwrap();
        assert_eq!((image.height(), image.width()), (sample.height, sample.width));
        let hash: String =
            Sha256::digest(image.pixels()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, sample.rgb_sha256, "{}", sample.file);
    }
}

#[test]
fn ignoring_orientation_is_a_choice() {
    let Some(sample) = samples().into_iter().find(|s| s.file.contains("exif6")) else { return };
    let upright = decode(&sample.bytes, &DecodeOptions::default()).unwrap();
    assert_eq!((upright.height(), upright.width()), (sample.width, sample.height));
}
