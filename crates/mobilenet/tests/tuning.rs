//! Kernels measured and chosen: plans run them, results stay what they were.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::Duration;

use mobilenet::quantize::{QuantizeOptions, quantize};
use mobilenet::tuning::{TuningFile, family_times};
use mobilenet::{ErrorKind, Isa, Module, Precision, Request, Tensor};
use mobilenet_kernels::{Choice, Tuning};

fn load(path: &Path, cache: &Path, threads: usize, tuned: bool) -> Module {
    let options = Module::options().cache_dir(cache).threads(threads).tuned(tuned);
    options.load(path.to_str().unwrap()).unwrap()
}

fn logits(module: &Module, images: &Tensor) -> Vec<f32> {
    module.call(images).unwrap().as_f32().unwrap().to_vec()
}

fn kernels(module: &Module) -> Vec<String> {
    let runner = module.runner(&request()).unwrap();
    runner.plan().summary().steps.into_iter().map(|step| step.kernel).collect()
}

fn request() -> Request {
    Request::new("image_classification")
}

#[test]
fn choices_in_the_cache_folder_are_run_and_change_no_result() {
    let archive = support::archive_of(&support::tiny_network(), None);
    let path = support::save("tuned.tar", &archive);
    let cache = path.with_file_name("cache");
    let images = Tensor::new([2, 32, 32, 3], support::pixels(2 * 32 * 32 * 3, 1)).unwrap();
    let plain = load(&path, &cache, 1, true);
    let (before, model) = (logits(&plain, &images), kernels(&plain));

    // The last kernel in the table for every layer, in strips of one row: hardly ever the model's.
    let mut tuning = Tuning::default();
    let plan = plain.runner(&request()).unwrap().plan().summary();
    for op in plan.steps.iter().filter_map(|step| step.tunable) {
        let kernel = op.kernels(plain.isa()).last().and_then(|choice| choice.kernel);
        tuning.set(plain.isa(), &op, Choice { kernel, rows: Some(1) });
    }
    let file = TuningFile::of_this_cpu(&cache);
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), tuning.to_string()).unwrap();

    let one = load(&path, &cache, 1, true);
    let after = logits(&one, &images);
    let off = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "{off}");
    let several = model.iter().any(|name| name.contains("__avx"));
    assert_eq!(kernels(&one) != model, several, "more than one kernel only with AVX");
    assert_eq!(logits(&load(&path, &cache, 3, true), &images), after, "threads");
    assert_eq!(kernels(&load(&path, &cache, 1, false)), model, "untuned");
    file.remove().unwrap();
    file.remove().unwrap();
    assert_eq!(kernels(&load(&path, &cache, 1, true)), model, "forgotten");
}

#[test]
fn tuning_measures_every_layer_and_is_kept() {
    let archive = support::archive_of(&support::tiny_network(), None);
    let path = support::save("measured.tar", &archive);
    let cache = path.with_file_name("measured-cache");
    let module = load(&path, &cache, 1, true);
    let mut tuned = module.tune(&request(), Duration::ZERO).unwrap();
    let count: usize = tuned.times.layers.iter().map(|layer| layer.count).sum();
    assert_eq!(count, 15, "first, 13 blocks, classifier");
    for layer in &tuned.times.layers {
        assert_eq!(layer.kernels.iter().filter(|kernel| kernel.picked).count(), 1, "{layer:?}");
        assert!(layer.kernels.iter().all(|kernel| kernel.of_peak > 0.0), "{layer:?}");
    }
    let file = TuningFile::of_this_cpu(&cache);
    // Whatever was found, something to keep.
    let plan = module.runner(&request()).unwrap().plan().summary();
    let op = plan.steps.iter().find_map(|step| step.tunable).unwrap();
    tuned.tuning.set(module.isa(), &op, Choice { kernel: None, rows: Some(1) });
    file.add(&tuned).unwrap();
    assert!(!file.load().is_empty());
    assert_eq!(file.load(), tuned.tuning);

    // What was kept for another build, and fits nothing here, is as good as nothing.
    let mut unfit = Tuning::default();
    for op in plan.steps.iter().filter_map(|step| step.tunable) {
        unfit.set(module.isa(), &op, Choice::of("depthwise_f32_4x8__portable"));
    }
    std::fs::write(file.path(), unfit.to_string()).unwrap();
    let misled = load(&path, &cache, 1, true);
    assert_eq!(kernels(&misled), kernels(&load(&path, &cache, 1, false)));
    let times = misled.kernel_times(&request(), Duration::ZERO).unwrap();
    assert_eq!(times.layers.len(), tuned.times.layers.len());
    file.remove().unwrap();
    let times = module.kernel_times(&request(), Duration::ZERO).unwrap();
    assert_eq!(times.layers.len(), tuned.times.layers.len());
}

#[test]
fn the_family_marks_what_was_kept() {
    let isa = Isa::detect();
    let picked = |tuning: &Tuning| {
        let times = family_times(isa, (25, 32), tuning, Duration::ZERO).unwrap();
        let layer =
            times.layers.into_iter().find(|layer| layer.layer.starts_with("separable 16x16"));
        layer.unwrap().kernels.into_iter().find(|kernel| kernel.picked).unwrap()
    };
    let ops = mobilenet_kernels::family::layers(25, 32, 1001);
    let mut tuning = Tuning::default();
    for op in ops.iter().filter_map(|layer| layer.tunable()) {
        tuning.set(isa, &op, Choice { kernel: None, rows: Some(3) });
    }
    assert_eq!(picked(&Tuning::default()).strip_rows, None);
    assert_eq!(picked(&tuning).strip_rows, Some(3));
}

/// Before, it was a table without a line and a peak of 0.
#[test]
fn where_there_is_nothing_to_choose_that_is_said() {
    let floats = support::lively_module();
    let images = (0..4).map(|seed| Tensor::new([1, 32, 32, 3], support::pixels(32 * 32 * 3, seed)));
    let images = images.map(|image| Ok(image.unwrap()));
    let bytes = quantize(&floats, images, &QuantizeOptions::default()).unwrap();
    let bytes = bytes.to_module(&floats, &Module::options()).unwrap();
    let mut modules = vec![(bytes, "8 bits")];
    if Precision::Bf16.is_available(Isa::detect()) {
        let path =
            support::save("halves.tar", &support::archive_of(&support::tiny_network(), None));
        let options = Module::options().precision(Precision::Bf16);
        modules.push((options.load(path.to_str().unwrap()).unwrap(), "bf16"));
    }
    for (module, why) in modules {
        let times = module.kernel_times(&request(), Duration::ZERO).unwrap_err();
        let tuned = module.tune(&request(), Duration::ZERO).unwrap_err();
        for error in [times, tuned] {
            assert_eq!(error.kind(), ErrorKind::Input);
            assert!(error.to_string().contains(&format!("the network runs in {why}")), "{error}");
        }
    }
}
