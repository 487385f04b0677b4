//! Every resize and crop against TensorFlow 2.15's, on TensorFlow's own floats.

mod common;

use common::{difference, floats, golden, samples};
use mobilenet_vision::{Crop, DecodeOptions, Image, Preprocess, Resize, decode};
use safetensors::SafeTensors;

/// TensorFlow's function, our name, and the largest difference allowed. Two-tap, nearest and
/// area methods are sums of a few products; kernels with sines and exponentials differ by the
/// library that computes those.
const METHODS: &[(&str, &str, f64)] = &[
    ("tf1_bilinear", "tf1-legacy-bilinear", 0.0),
    ("tf1_bilinear_align_corners", "tf1-bilinear-align-corners", 0.0),
    ("tf1_bicubic", "tf1-legacy-bicubic", 3e-7),
    ("tf1_nearest", "tf1-legacy-nearest", 0.0),
    ("tf1_area", "tf1-area", 3e-7),
    ("tf2_bilinear", "tf2-bilinear", 0.0),
    ("tf2_nearest", "tf2-nearest", 0.0),
    ("tf2_bicubic", "tf2-bicubic", 3e-7),
    ("tf2_area", "tf2-area", 3e-7),
    ("tf2_lanczos3", "tf2-lanczos3", 1e-6),
    ("tf2_lanczos5", "tf2-lanczos5", 1e-6),
    ("tf2_gaussian", "tf2-gaussian", 1e-6),
    ("tf2_mitchellcubic", "tf2-mitchellcubic", 1e-6),
    ("tf2_bilinear_antialias", "tf2-bilinear-antialias", 1e-6),
    ("tf2_bicubic_antialias", "tf2-bicubic-antialias", 1e-6),
    ("tf2_lanczos3_antialias", "tf2-lanczos3-antialias", 1e-6),
];

#[test]
fn every_resize_is_tensorflows() {
    let Some(bytes) = golden("resize") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut cases: Vec<_> = file.names().iter().filter_map(|n| n.split_once("/x")).collect();
    cases.retain(|(case, _)| !case.starts_with("central"));
    assert_eq!(cases.len(), 9);
    for (theirs, ours, tolerance) in METHODS {
        let resize: Resize = ours.parse().unwrap();
        let mut worst = (0.0, 0.0f64);
        for (case, _) in &cases {
            let (from, x) = floats(&file, &format!("{case}/x"));
            let (to, expected) = floats(&file, &format!("{case}/{theirs}"));
            let mut target = vec![0.0; expected.len()];
            resize.run_f32(&x, (from[1], from[2]), &mut target, (to[1], to[2])).unwrap();
            let (mean, max) = difference(&target, &expected);
            if max > worst.1 {
                worst = (mean, max);
            }
            assert!(max <= *tolerance, "{ours} {case}: differs by {max:e}");
        }
        println!("{ours:30} largest difference {:e} (mean there {:e})", worst.1, worst.0);
    }
}

#[test]
fn central_crop_and_scaling_are_tensorflows() {
    let Some(bytes) = golden("resize") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let names = file.names();
    let cases =
        names.iter().filter_map(|n| n.strip_suffix("/x")).filter(|n| n.starts_with("central"));
    let mut count = 0;
    for case in cases {
        let x = file.tensor(&format!("{case}/x")).unwrap();
        let (shape, expected) = floats(&file, &format!("{case}/cropped"));
        let image = Image::new(x.shape()[0], x.shape()[1], x.data().to_vec()).unwrap();
        let crop = Crop::Central(0.875);
        assert_eq!(crop.window((image.height(), image.width())).1, (shape[0], shape[1]), "{case}");
        // Resizing to the size it has changes nothing: what remains is crop and scaling.
        for resize in
            [Resize::TF1_LEGACY_BILINEAR, Resize::TF2_BILINEAR, "tf2-nearest".parse().unwrap()]
        {
            let preprocess = Preprocess { crop, resize, height: shape[0], width: shape[1] };
            let mut ours = vec![0.0; preprocess.output_len()];
            preprocess.run(&image, &mut ours).unwrap();
            assert_eq!(ours, expected, "{case} {resize}");
        }
        count += 1;
    }
    assert_eq!(count, 4);
}

/// From the files: decode, crop and resize against the tensors TensorFlow fed its modules.
#[test]
fn input_tensors_from_files_are_tensorflows() {
    let Some(bytes) = golden("inputs") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    let options = DecodeOptions { ignore_exif: true, ..Default::default() };
    let samples = samples();
    for (size, key) in [(192, "plain"), (192, "slim_eval"), (128, "plain")] {
        let (crop, resize) = match key {
            "plain" => (Crop::None, Resize::TF2_BILINEAR),
            _ => (Crop::Central(0.875), Resize::TF1_LEGACY_BILINEAR),
        };
        let preprocess = Preprocess { crop, resize, height: size, width: size };
        let files: Vec<String> = serde_json::from_str(&metadata[&format!("files_{size}")]).unwrap();
        let (_, expected) = floats(&file, &format!("{size}/{key}"));
        for (name, expected) in files.iter().zip(expected.chunks_exact(preprocess.output_len())) {
            let sample = samples.iter().find(|s| s.file == *name).unwrap();
            let image = decode(&sample.bytes, &options).unwrap();
            let mut ours = vec![0.0; preprocess.output_len()];
            preprocess.run(&image, &mut ours).unwrap();
            let (mean, max) = difference(&ours, expected);
            assert_eq!(max, 0.0, "{size} {key} {name}: mean difference {mean}");
        }
    }
}
