//! Decoded pixels against TensorFlow's (libjpeg-turbo's accurate IDCT, fancy upsampling).

mod common;

use common::{golden, samples};
use mobilenet_vision::{DecodeOptions, decode};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

#[test]
fn pixels_are_tensorflows() {
    let options = DecodeOptions { ignore_exif: true, ..Default::default() };
    for sample in samples() {
        let image = decode(&sample.bytes, &options).unwrap();
        assert_eq!((image.height(), image.width()), (sample.height, sample.width));
        let hash: String =
            Sha256::digest(image.pixels()).iter().map(|b| format!("{b:02x}")).collect();
        let equal = hash == sample.rgb_sha256;
        println!("{:32} {}", sample.file, if equal { "equal" } else { "differs" });
    }
    let Some(bytes) = golden("decoded") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for sample in samples() {
        let Ok(expected) = file.tensor(&format!("{}/rgb", sample.file)) else { continue };
        let image = decode(&sample.bytes, &options).unwrap();
        let differences = image.pixels().iter().zip(expected.data()).map(|(a, b)| a.abs_diff(*b));
        let (max, sum) = differences.fold((0, 0u64), |(m, s), d| (m.max(d), s + u64::from(d)));
        println!("{} max {max} mean {:.4}", sample.file, sum as f64 / image.pixels().len() as f64);
    }
}
