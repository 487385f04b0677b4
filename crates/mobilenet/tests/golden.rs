//! Whole road against TensorFlow's numbers: every module and variant of the reference data.
//!
//! Two questions are asked apart. From TensorFlow's own input tensors: is the network computed
//! right? From the files: what do our decoding and resizing change? Tolerances are those of the
//! reference: float32 TensorFlow is itself up to 4.9e-5 off float64.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use mobilenet::{DecodeOptions, Isa, Module, Preprocessing, Resize, Scratch, Tensor};
use support::{Golden, difference, pick, rows, shared, top};

/// Largest difference of a logit.
const LOGIT: f64 = 1e-4;

struct Case {
    module: &'static str,
    golden: &'static str,
    size: &'static str,
    /// Images that `inputs` holds for that size.
    images: &'static [usize],
    output: (&'static str, &'static str),
}

const IMAGES_192: &[usize] = &[0, 1, 4, 17];
const LOGITS: (&str, &str) = ("image_classification", "logits");
const FEATURES: (&str, &str) = ("image_feature_vector", "feature_vector");
const GOLDEN_192: &str = "mobilenet_v1_025_192_classification_1";

const fn variant(module: &'static str) -> Case {
    Case { module, golden: GOLDEN_192, size: "192", images: IMAGES_192, output: LOGITS }
}

const CASES: &[Case] = &[
    variant("mobilenet_v1_025_192/classification/1"),
    Case { output: FEATURES, ..variant("mobilenet_v1_025_192/classification/1") },
    Case {
        golden: "mobilenet_v1_025_192_feature_vector_1",
        output: FEATURES,
        ..variant("mobilenet_v1_025_192/feature_vector/1")
    },
    Case {
        golden: "mobilenet_v1_025_192_classification_3",
        ..variant("mobilenet_v1_025_192/classification/3")
    },
    Case {
        module: "mobilenet_v1_025_128/classification/1",
        golden: "mobilenet_v1_025_128_classification_1",
        size: "128",
        images: &[1, 4],
        output: LOGITS,
    },
    variant("variants/mobilenet_v1_025_192_unfused"),
    variant("variants/mobilenet_v1_025_192_tf17style"),
    variant("variants/mobilenet_v1_025_192_refvars"),
    variant("variants/mobilenet_v1_025_192_nodropout"),
];

fn path(shared: &Path, module: &str) -> String {
    let path = shared.join("modules").join(format!("{module}.tar.gz"));
    path.to_str().unwrap().to_owned()
}

fn load(shared: &Path, module: &str) -> Module {
    Module::load(&path(shared, module)).unwrap()
}

/// What `run` gives with a module on every instruction set of this machine; one thread and three must
/// give the same.
fn on_all<T: PartialEq>(
    shared: &Path,
    module: &str,
    run: impl Fn(&Module) -> T,
) -> impl Iterator<Item = (Isa, T)> {
    Isa::available().map(move |isa| {
        let [one, three] = [1, 3].map(|threads| {
            let options = Module::options().isa(isa).threads(threads);
            run(&options.load(&path(shared, module)).unwrap())
        });
        assert!(one == three, "{module} on {isa}: threads");
        (isa, one)
    })
}

/// Checks rows against float32 and, where there is one, float64; gives the larger difference.
fn compare(ours: &[Vec<f64>], golden: &Golden, key: &str, images: &[usize], what: &str) -> f64 {
    let f32_rows = golden.rows(key);
    let exact = format!("{key}_float64");
    let f64_rows = golden.names().contains(&exact).then(|| golden.rows(&exact));
    let relative = key.ends_with("feature_vector");
    let mut worst = 0.0f64;
    for (row, &image) in ours.iter().zip(images) {
        for theirs in [Some(&f32_rows), f64_rows.as_ref()].into_iter().flatten() {
            let theirs = &theirs[image];
            let largest = theirs.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let scale = if relative { largest } else { 1.0 };
            let off = difference(row, theirs) / scale;
            assert!(off <= LOGIT, "{what} {key}, image {image}: {off}");
            worst = worst.max(off);
        }
        if let Some(exact) = &f64_rows {
            let order = top(&exact[image], 5);
            if order == top(&f32_rows[image], 5) {
                assert_eq!(top(row, 5), order, "{what} {key}, image {image}: top 5");
            }
        }
    }
    worst
}

#[test]
fn every_module_agrees_from_tensorflows_own_input() {
    let Some(shared) = shared() else { return };
    let inputs = Golden::open(&shared, "inputs");
    for case in CASES {
        let module = load(&shared, case.module);
        let golden = Golden::open(&shared, case.golden);
        for way in ["plain", "slim_eval"] {
            let key = format!("{}/{way}", case.size);
            if !inputs.names().contains(&key) {
                continue;
            }
            let images = inputs.tensor(&key);
            let (signature, what) = case.output;
            let outputs = module.call_signature(signature, [("images", &images)]).unwrap();
            let worst = compare(
                &rows(&outputs["default"]),
                &golden,
                &format!("{way}/{what}"),
                case.images,
                case.module,
            );
            println!("{} {way} {what}: {worst:.1e}", case.module);
        }
    }
}

#[test]
fn every_end_point_agrees() {
    let Some(shared) = shared() else { return };
    let golden = Golden::open(&shared, "endpoints_025_192");
    let images = golden.tensor("images");
    let modules = [
        "mobilenet_v1_025_192/classification/1",
        "variants/mobilenet_v1_025_192_unfused",
        "variants/mobilenet_v1_025_192_refvars",
    ];
    for module in modules {
        let run = |module: &Module| {
            module.call_signature("image_classification", [("images", &images)]).unwrap()
        };
        for (isa, outputs) in on_all(&shared, module, run) {
            let mut worst = 0.0f64;
            let mut count = 0;
            for name in golden.names() {
                let Some(key) = name.strip_prefix("endpoint/") else { continue };
                let theirs = &golden.rows(&name)[0];
                let largest = theirs.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let off = difference(&rows(&outputs[key])[0], theirs) / largest;
                assert!(off <= LOGIT, "{isa} {module} {key}: {off}");
                worst = worst.max(off);
                count += 1;
            }
            assert!(count >= 29);
            println!("{isa} {module}: {count} end points, {worst:.1e} of their largest value");
        }
    }
}

/// `tf.image.resize` or slim's evaluation, EXIF ignored as TensorFlow does.
fn preprocessing(way: &str, side: usize) -> Preprocessing {
    let mut chosen = Preprocessing::hub_convention(side, side);
    chosen.decode = DecodeOptions::default();
    chosen.decode.ignore_exif = true;
    if way == "slim_eval" {
        chosen.crop = "central:0.875".parse().unwrap();
        chosen.resize = "tf1-legacy-bilinear".parse::<Resize>().unwrap();
    }
    chosen
}

fn prepared(shared: &Path, file: &str, chosen: &Preprocessing) -> Vec<f32> {
    let image = chosen.decode(&std::fs::read(shared.join("images").join(file)).unwrap()).unwrap();
    let mut values = vec![0.0; chosen.output_len()];
    chosen.run(&image, &mut values, &mut Scratch::default()).unwrap();
    values
}

/// The names of the 24 images, in the order of the golden rows.
fn files(shared: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(shared.join("images/images.json")).unwrap();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("\"file\": \""));
    names.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn inputs_made_from_files_are_tensorflows() {
    let Some(shared) = shared() else { return };
    let golden = Golden::open(&shared, "inputs");
    let files = files(&shared);
    for way in ["plain", "slim_eval"] {
        let theirs = golden.rows(&format!("192/{way}"));
        for (row, &image) in IMAGES_192.iter().enumerate() {
            let ours = prepared(&shared, &files[image], &preprocessing(way, 192));
            let ours: Vec<f64> = ours.iter().copied().map(f64::from).collect();
            let off = ours.iter().zip(&theirs[row]).map(|(a, b)| (a - b).abs() * 255.0);
            let (mean, max) =
                (off.clone().sum::<f64>() / off.len() as f64, off.fold(0.0, f64::max));
            println!("{way} {}: mean {mean:.4}, max {max:.2} of 255", files[image]);
            assert!(mean < 0.5, "{way} {}: mean {mean}", files[image]);
        }
    }
}

/// Decoding is TensorFlow's to the bit and resizing to rounding, so from files the tolerance stays.
#[test]
fn all_images_from_files_agree() {
    let Some(shared) = shared() else { return };
    let files = files(&shared);
    assert_eq!(files.len(), 24);
    let all: Vec<usize> = (0..24).collect();
    for case in CASES {
        let module = load(&shared, case.module);
        let golden = Golden::open(&shared, case.golden);
        let (signature, what) = case.output;
        let side = case.size.parse().unwrap();
        for way in ["plain", "slim_eval"] {
            let key = format!("{way}/{what}");
            if !golden.names().contains(&key) {
                continue;
            }
            let chosen = preprocessing(way, side);
            let pixels: Vec<f32> =
                files.iter().flat_map(|file| prepared(&shared, file, &chosen)).collect();
            let images = Tensor::new([24, side, side, 3], pixels).unwrap();
            let outputs = module.call_signature(signature, [("images", &images)]).unwrap();
            let ours = rows(&outputs["default"]);
            let worst = compare(&ours, &golden, &key, &all, case.module);
            let best =
                |rows: &[Vec<f64>]| -> Vec<_> { rows.iter().map(|row| top(row, 1)).collect() };
            assert_eq!(best(&ours), best(&golden.rows(&key)), "{} {key}: top 1", case.module);
            println!("{} {key}, 24 images from files: {worst:.1e}", case.module);
        }
    }
}

#[test]
fn every_instruction_set_and_thread_count_agrees() {
    let Some(shared) = shared() else { return };
    let inputs = Golden::open(&shared, "inputs");
    for case in CASES {
        let images = inputs.tensor(&format!("{}/plain", case.size));
        let golden = Golden::open(&shared, case.golden);
        let (signature, what) = case.output;
        let run = |module: &Module| {
            let outputs = module.call_signature(signature, [("images", &images)]).unwrap();
            rows(&outputs["default"])
        };
        for (isa, answers) in on_all(&shared, case.module, run) {
            let what = format!("plain/{what}");
            let worst = compare(&answers, &golden, &what, case.images, case.module);
            println!("{isa} {} {what}: {worst:.1e}", case.module);
        }
    }
}

const VERSION_3: &str = "mobilenet_v1_025_192/classification/3";

#[test]
fn version_3_takes_any_size() {
    let Some(shared) = shared() else { return };
    let golden = Golden::open(&shared, "mobilenet_v1_025_192_classification_3");
    let files = files(&shared);
    let sides = [128, 160, 224];
    let images = sides.map(|side| {
        let values = files.iter().flat_map(|f| prepared(&shared, f, &preprocessing("plain", side)));
        Tensor::new([files.len(), side, side, 3], values.collect::<Vec<_>>()).unwrap()
    });
    let run = |module: &Module| images.each_ref().map(|images| rows(&module.call(images).unwrap()));
    for (isa, logits) in on_all(&shared, VERSION_3, run) {
        for (ours, side) in logits.iter().zip(sides) {
            let theirs = golden.rows(&format!("size_{side}/logits"));
            let off = ours.iter().zip(&theirs).map(|(ours, theirs)| difference(ours, theirs));
            let worst = off.fold(0.0, f64::max);
            println!("{isa} version 3 at {side}: {worst:.1e}, 24 images from files");
            // Held against float32 alone, which is itself off by half of that.
            assert!(worst <= 2.0 * LOGIT, "{isa} {side}: {worst}");
        }
    }
}

#[test]
fn version_3_takes_photos_as_they_are() {
    let Some(shared) = shared() else { return };
    let golden = Golden::open(&shared, "mobilenet_v1_025_192_classification_3");
    for name in golden.names() {
        let Some(rest) = name.strip_prefix("native_size/") else { continue };
        let (file, output) = rest.split_once('/').unwrap();
        let chosen = preprocessing("plain", 1);
        let bytes = std::fs::read(shared.join("images").join(file)).unwrap();
        let image = chosen.decode(&bytes).unwrap();
        let scaled = image.pixels().iter().map(|&v| f32::from(v) * (1.0 / 255.0));
        let images =
            Tensor::new([1, image.height(), image.width(), 3], scaled.collect::<Vec<_>>()).unwrap();
        let key = if output == "logits" { "default" } else { "MobilenetV1/Conv2d_13_pointwise" };
        let theirs = &golden.rows(&name)[0];
        let run = |module: &Module| {
            let outputs = module.call_signature("image_classification", [("images", &images)]);
            rows(&outputs.unwrap()[key])
        };
        for (isa, ours) in on_all(&shared, VERSION_3, run) {
            let off = difference(&ours[0], theirs);
            println!("{isa} version 3 {name} at {}x{}: {off:.1e}", image.width(), image.height());
            assert!(off <= 5e-3, "{isa} {name}: {off}");
        }
    }
}

#[test]
fn momentum_changes_no_inference() {
    let Some(shared) = shared() else { return };
    let module = load(&shared, VERSION_3);
    let images = Golden::open(&shared, "inputs").tensor("192/plain");
    let momentum = Tensor::new(Vec::<usize>::new(), vec![0.9f32]).unwrap();
    let plain = module.call_signature("image_feature_vector", [("images", &images)]).unwrap();
    let inputs = [("images", &images), ("batch_norm_momentum", &momentum)];
    let outputs = module.call_signature("image_feature_vector_with_bn_hparams", inputs).unwrap();
    assert_eq!(outputs["default"], plain["default"], "momentum is for training");
}

#[test]
fn batches_agree_with_single_images() {
    let Some(shared) = shared() else { return };
    let module = load(&shared, "mobilenet_v1_025_192/classification/1");
    let images = Golden::open(&shared, "inputs").tensor("192/plain");
    let all = module.call(&images).unwrap();
    for row in 0..4 {
        let one = module.call(&pick(&images, &[row])).unwrap();
        assert_eq!(one, pick(&all, &[row]));
    }
}
