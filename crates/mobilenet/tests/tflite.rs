//! TFLite files, float and of 8 bits, against TensorFlow Lite's own answers for 24 photos.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::path::{Path, PathBuf};

use mobilenet::{
    DecodeOptions, ExportFormat, Isa, Module, Preprocessing, Request, Scratch, Tensor,
};
use support::{Golden, difference, rows, shared, top};

const FLOAT: &str = "formats/mobilenet_v1_025_192/mobilenet_v1_0.25_192_float.tflite";

fn load(shared: &Path, file: &str) -> Module {
    Module::options().threads(2).load(shared.join(file).to_str().unwrap()).unwrap()
}

/// Paths of the 24 photos, in the order of the golden rows.
fn photos(shared: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(shared.join("images/images.json")).unwrap();
    let names = text.split("\"file\":").skip(1).filter_map(|rest| rest.split('"').nth(1));
    names.map(|name| shared.join("images").join(name)).collect()
}

/// The whole picture, as the golden numbers have it: no crop, upright or not as stored.
fn images(shared: &Path, side: usize) -> Vec<Vec<f32>> {
    let preprocessing = Preprocessing {
        decode: DecodeOptions { ignore_exif: true, ..DecodeOptions::default() },
        ..Preprocessing::hub_convention(side, side)
    };
    let mut scratch = Scratch::default();
    let mut prepare = |path: PathBuf| {
        let image = preprocessing.decode(&std::fs::read(path).unwrap()).unwrap();
        let mut pixels = vec![0.0; preprocessing.output_len()];
        preprocessing.run(&image, &mut pixels, &mut scratch).unwrap();
        pixels
    };
    photos(shared).into_iter().map(&mut prepare).collect()
}

#[test]
fn a_float_file_answers_as_its_module() {
    let Some(shared) = shared() else { return };
    let module = load(&shared, FLOAT);
    let golden = Golden::open(&shared, "mobilenet_v1_025_192_classification_1");
    let softmax = Golden::open(&shared, "tflite").rows("float/softmax");
    let (logits, features) = (golden.rows("plain/logits"), golden.rows("plain/feature_vector"));
    let inputs = Golden::open(&shared, "inputs").tensor("192/plain");
    let outputs = module.call_signature("image_classification", [("images", &inputs)]).unwrap();
    let vectors = module.call_signature("image_feature_vector", [("images", &inputs)]).unwrap();
    let mut worst = [0.0f64; 3];
    for (row, image) in [0, 1, 4, 17].into_iter().enumerate() {
        let ours = [
            (&outputs["default"], &logits[image]),
            (&outputs["MobilenetV1/Predictions/Reshape_1"], &softmax[image]),
            (&vectors["default"], &features[image]),
        ];
        for ((tensor, theirs), worst) in ours.into_iter().zip(&mut worst) {
            *worst = worst.max(difference(&rows(tensor)[row], theirs));
        }
    }
    println!("logits {:.1e}, softmax {:.1e}, features {:.1e}", worst[0], worst[1], worst[2]);
    assert!(worst[0] <= 1e-4 && worst[1] <= 1e-5 && worst[2] <= 1e-4);
    assert_eq!(module.expected_image_size().unwrap(), (192, 192));
    assert_eq!(module.labels(1001).unwrap().get(0), Some("background"));
    assert!(module.notes().iter().any(|note| note.contains("[-1, 1]")), "{:?}", module.notes());
}

struct Quantized {
    file: &'static str,
    golden: &'static str,
    side: usize,
    output: (f32, i32),
}

const QUANTIZED: &[Quantized] = &[
    Quantized {
        file: "formats/mobilenet_v1_025_192/mobilenet_v1_0.25_192_int8.tflite",
        golden: "int8",
        side: 192,
        output: (1.0 / 256.0, -128),
    },
    Quantized {
        file: "formats/quant/mobilenet_v1_0_25_192_quant.tflite",
        golden: "google_uint8_0.25_192",
        side: 192,
        output: (1.0 / 256.0, 0),
    },
    Quantized {
        file: "formats/quant/mobilenet_v1_0_5_160_quant.tflite",
        golden: "google_uint8_0.5_160",
        side: 160,
        output: (1.0 / 256.0, 0),
    },
];

fn integers(tensor: &Tensor) -> Vec<i32> {
    match (tensor.as_i8(), tensor.as_u8()) {
        (Some(values), _) => values.iter().map(|&value| value.into()).collect(),
        (_, Some(values)) => values.iter().map(|&value| value.into()).collect(),
        _ => panic!("{} is no type of 8 bits", tensor.dtype()),
    }
}

/// The integers that the golden outputs were computed from, as their recipe makes them: halves to
/// even, as NumPy rounds.
fn as_the_recipe(signed: bool, x: f32) -> i32 {
    if signed {
        (((x * 2.0 - 1.0) / 0.007_843_138).round_ties_even() as i32 - 1).clamp(-128, 127)
    } else {
        ((x * 255.0).round_ties_even() as i32).clamp(0, 255)
    }
}

/// Values that are rounded to these integers, from the middle of the step.
fn from_integers(signed: bool, integers: impl IntoIterator<Item = i32>) -> Vec<f32> {
    let pixel = |value: i32| {
        let middle = if signed { value as f32 + 128.5 } else { value as f32 };
        // A little above 1: the largest integer lies there.
        middle / 255.0
    };
    integers.into_iter().map(pixel).collect()
}

/// The integers of the output for each image.
fn answers(module: &Module, case: &Quantized, images: &[f32]) -> Vec<Vec<i32>> {
    let (scale, zero) = case.output;
    let count = images.len() / (case.side * case.side * 3);
    let images = Tensor::new([count, case.side, case.side, 3], images.to_vec()).unwrap();
    let outputs = module.call_signature("image_classification", [("images", &images)]).unwrap();
    let output = &outputs["MobilenetV1/Predictions/Reshape_1"];
    let integers = output.as_f32().unwrap().iter().map(|x| (x / scale).round() as i32 + zero);
    let integers: Vec<i32> = integers.collect();
    integers.chunks(output.shape()[1]).map(<[i32]>::to_vec).collect()
}

/// How many rows are equal, and the largest difference.
fn compared(ours: &[Vec<i32>], theirs: &[Vec<i32>]) -> (usize, i32) {
    let equal = ours.iter().zip(theirs).filter(|(a, b)| a == b).count();
    let pairs = ours.iter().zip(theirs).flat_map(|(a, b)| a.iter().zip(b));
    (equal, pairs.map(|(a, b)| (a - b).abs()).max().unwrap_or(0))
}

/// What LiteRT's reference kernels answer to the 24 photos.
fn reference(golden: &Golden, name: &str) -> Vec<Vec<i32>> {
    let expected = golden.tensor(&format!("{name}/output_reference_kernels"));
    integers(&expected).chunks(expected.shape()[1]).map(<[i32]>::to_vec).collect()
}

#[test]
fn files_of_8_bits_give_the_integers_of_the_reference_kernels() {
    let Some(shared) = shared() else { return };
    let golden = Golden::open(&shared, "tflite");
    for case in QUANTIZED {
        let (module, name) = (load(&shared, case.file), case.golden);
        let expected = reference(&golden, name);
        let classes = expected[0].len();
        let stored = golden.tensor(&format!("{name}/input"));
        let signed = stored.as_i8().is_some();
        let stored = integers(&stored);
        let ours = answers(&module, case, &from_integers(signed, stored.iter().copied()));
        let (equal, worst) = compared(&ours, &expected);
        println!("{name}: stored inputs: {equal} of {} rows equal, {worst} steps", ours.len());
        assert_eq!((equal, worst), (8, 0), "{name}: stored inputs");

        let photos = images(&shared, case.side).concat();
        let made: Vec<i32> = photos.iter().map(|&x| as_the_recipe(signed, x)).collect();
        let off = made.iter().zip(&stored).filter(|(a, b)| a != b).count();
        println!("{name}: {off} of {} input integers differ from those stored", stored.len());
        let ours = answers(&module, case, &from_integers(signed, made));
        let (equal, worst) = compared(&ours, &expected);
        println!("{name}: photos, rounded as the recipe: {equal} of 24 rows equal, {worst} steps");
        assert_eq!((equal, worst), (24, 0), "{name}: photos");

        let ours = answers(&module, case, &photos);
        let (equal, worst) = compared(&ours, &expected);
        println!("{name}: photos, rounded by the network: {equal} of 24 rows equal, {worst} steps");
        let best = |rows: &[Vec<i32>]| -> Vec<usize> {
            let best = |row: &Vec<i32>| (0..row.len()).max_by_key(|&i| (row[i], classes - i));
            rows.iter().filter_map(best).collect()
        };
        let (ours, theirs) = (best(&ours), best(&expected));
        let same = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
        assert!(same >= 23, "{name}: {same} of 24 photos have the same top 1");
    }
}

/// Whatever the processor has, and plain Rust.
#[test]
fn every_instruction_set_gives_the_same_integers() {
    let Some(shared) = shared() else { return };
    let golden = Golden::open(&shared, "tflite");
    for case in QUANTIZED {
        let expected = reference(&golden, case.golden);
        let stored = golden.tensor(&format!("{}/input", case.golden));
        let images = from_integers(stored.as_i8().is_some(), integers(&stored));
        for isa in Isa::available() {
            // Plain Rust takes its time.
            let count = if isa == Isa::Portable { 2 } else { 8 };
            let path = shared.join(case.file);
            let module = Module::options().threads(2).isa(isa).load(path.to_str().unwrap());
            let images = &images[..count * case.side * case.side * 3];
            let ours = answers(&module.unwrap(), case, images);
            let (equal, worst) = compared(&ours, &expected);
            println!("{}: {isa}: {equal} of {count} rows equal, {worst} steps", case.golden);
            assert_eq!((equal, worst), (count, 0), "{}: {isa}", case.golden);
        }
    }
}

/// Google's files and TensorFlow's converter's, in and out again: the same answers bit for bit.
#[test]
fn files_of_8_bits_go_out_as_they_came_in() {
    let Some(shared) = shared() else { return };
    for case in QUANTIZED {
        let module = load(&shared, case.file);
        let photos: Vec<f32> = images(&shared, case.side).into_iter().take(4).flatten().collect();
        let photos = Tensor::new([4, case.side, case.side, 3], photos).unwrap();
        let answers = |module: &Module| {
            module.call_signature("image_classification", [("images", &photos)]).unwrap()
        };
        let expected = answers(&module);
        for (format, name, keys) in [
            (ExportFormat::TfLite, "again.tflite", &["default", "MobilenetV1/Predictions"][..]),
            (ExportFormat::HubArchive, "again.tar.gz", &["default", "MobilenetV1/Predictions"]),
            (ExportFormat::FrozenGraph, "again.pb", &["default"]),
        ] {
            let files = module.export(format, name).unwrap();
            let path = support::save(name, files.get(name).unwrap());
            let again = Module::options().threads(2).load(path.to_str().unwrap()).unwrap();
            let ours = answers(&again);
            for &key in keys {
                assert_eq!(ours[key], expected[key], "{}: {key} from {name}", case.golden);
            }
        }
    }
}

#[test]
fn a_network_of_8_bits_stays_in_8_bits() {
    let Some(shared) = shared() else { return };
    for case in QUANTIZED {
        let runner =
            load(&shared, case.file).runner(&Request::new("image_classification")).unwrap();
        let steps = runner.plan().summary().steps;
        let floats: Vec<_> = steps.iter().filter(|step| !step.kernel.contains("_u8")).collect();
        assert!(floats.is_empty(), "{floats:?}");
        println!("{}: {} steps", case.golden, steps.len());
    }
}

#[test]
fn photos_are_classified_by_every_file() {
    let Some(shared) = shared() else { return };
    let golden =
        Golden::open(&shared, "mobilenet_v1_025_192_classification_1").rows("plain/logits");
    let photo = photos(&shared).swap_remove(0);
    let classifier = mobilenet::Classifier::new(load(&shared, FLOAT)).unwrap();
    let best = classifier.classify_path(&photo, 1).unwrap();
    assert_eq!(best[0].index, top(&golden[0], 1)[0]);
}
