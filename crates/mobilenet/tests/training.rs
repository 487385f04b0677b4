//! Training from photo files to a module that classifies, killed and resumed on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mobilenet::builder::MobilenetV1;
use mobilenet::quantize::{QuantizeOptions, carries_ranges, quantize};
use mobilenet::training::{
    Checkpoint, Distillation, Event, FineTuneOptions, Job, Mode, QuantizationAwareOptions, Range,
    Recipe, TrainOptions, recipe,
};
use mobilenet::{Classifier, DecidedBy, Image, Module, Normalization, Tensor};
use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::tensorflow::messages::GraphDef;
use prost::Message as _;
use support::Scratch;

/// A picture of one class: a red dot, a green square or blue stripes on some grey.
fn picture(class: usize, number: usize) -> Image {
    const SIDE: usize = 40;
    let mut state = ((class * 1000 + number) as u32).wrapping_mul(2_654_435_761);
    let mut draw = |end: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % end
    };
    let mut ink = [draw(60), draw(60), draw(60)];
    ink[class] += 190;
    let paper = [80 + draw(80); 3];
    let (x0, y0, r) = (14 + draw(12), 14 + draw(12), 8 + draw(5));
    let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
    for y in 0..SIDE as u32 {
        for x in 0..SIDE as u32 {
            let (dx, dy) = (x.abs_diff(x0), y.abs_diff(y0));
            let inside = match class {
                0 => dx * dx + dy * dy < r * r / 3,
                1 => dx < r && dy < r,
                _ => (y / 4) % 2 == 0,
            };
            let color = if inside { ink } else { paper };
            pixels.extend(color.map(|value| value as u8));
        }
    }
    Image::new(SIDE, SIDE, pixels).unwrap()
}

/// `train/` and `val/` with three classes, and two files that are no pictures.
fn data(root: &Path, each: usize) -> PathBuf {
    let root = root.join("data");
    for (side, offset, count) in [("train", 0, each), ("val", 500, 10)] {
        for (class, name) in ["dot", "square", "stripes"].into_iter().enumerate() {
            let folder = root.join(side).join(name);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let image = picture(class, offset + number);
                let png = mobilenet::encode_png(&image).unwrap();
                fs::write(folder.join(format!("{number:03}.png")), png).unwrap();
            }
        }
    }
    for name in ["train/dot/torn.jpg", "train/square/empty.jpg"] {
        fs::write(root.join(name), b"\xff\xd8\xff\xe0 torn").unwrap();
    }
    root
}

fn options(data: &Path, out: PathBuf) -> TrainOptions {
    let mut recipe = recipe("modern").unwrap();
    recipe.batch_size = 8;
    recipe.learning_rate = 0.02;
    recipe.warmup_epochs = 0.2;
    recipe.epochs = 1.0;
    recipe.dropout_keep = 0.9;
    recipe.ema = Some(0.9);
    recipe.blend.mixup = 0.2;
    let job = Job::new(data, out, 32, recipe);
    TrainOptions { job, depth_multiplier: 0.25 }
}

/// Trains until `stop` steps and says how many were taken in this sitting.
fn train(options: &TrainOptions, stop: u64) -> (u64, bool) {
    let mut steps = 0;
    let trained = options
        .train(&mut |event| match event {
            Event::Stepped { step, .. } => {
                steps += 1;
                if *step == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
    (steps, trained.module.is_some())
}

/// The checkpoint without what time decides.
fn checkpoint(out: &Path) -> Checkpoint {
    let mut checkpoint = Checkpoint::load(&out.join("training")).unwrap();
    checkpoint.progress.seconds = 0.0;
    checkpoint.progress.history.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
    checkpoint
}

#[test]
fn an_interrupted_run_ends_with_the_bits_of_one_that_was_not() {
    let scratch = Scratch::new("resume");
    let data = data(&scratch.0, 26);
    let whole = options(&data, scratch.0.join("whole"));
    assert_eq!(train(&whole, u64::MAX), (10, true));
    let mut parts = options(&data, scratch.0.join("parts"));
    parts.job.threads = 1;
    // A run that was killed before its first checkpoint begins at its start.
    parts.job.resume = true;
    let mut told = false;
    let stopped = parts.train(&mut |event| {
        told |= matches!(event, Event::NothingToResume { .. });
        match event {
            Event::Stepped { step: 4, .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert!(told && stopped.unwrap().module.is_none());
    parts.job.resume = false;
    let error = parts.train(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("resume"), "{error}");
    parts.job.resume = true;
    parts.job.threads = 3;
    assert_eq!(train(&parts, 7), (3, false));
    assert_eq!(train(&parts, u64::MAX), (3, true));
    assert_eq!(checkpoint(&parts.job.out), checkpoint(&whole.job.out));
    for file in ["saved_model.pb", "variables/variables.data-00000-of-00001"] {
        let read = |out: &Path| fs::read(out.join(file)).unwrap();
        assert_eq!(read(&parts.job.out), read(&whole.job.out), "{file}");
    }
    let skipped = checkpoint(&whole.job.out).progress.skipped;
    assert!(skipped.keys().any(|path| path.ends_with("torn.jpg")), "{skipped:?}");
    parts.job.seed = 2;
    let error = parts.train(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("seed 1, this run has 2"), "{error}");
    // What is damaged is not taken for nothing.
    for entry in fs::read_dir(parts.job.out.join("training")).unwrap() {
        fs::write(entry.unwrap().path(), b"torn").unwrap();
    }
    let error = parts.train(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("not a whole checkpoint"), "{error}");
}

#[test]
fn a_run_stopped_while_it_validates_ends_with_the_same_bits() {
    let scratch = Scratch::new("validating");
    let data = data(&scratch.0, 26);
    // More than one batch to validate with: 75.
    for (class, name) in ["dot", "square", "stripes"].into_iter().enumerate() {
        for number in 10..25 {
            let png = mobilenet::encode_png(&picture(class, 500 + number)).unwrap();
            fs::write(data.join(format!("val/{name}/{number:03}.png")), png).unwrap();
        }
    }
    // Stops in a validation, counted from 1 in each sitting, after so many images.
    let sit = |options: &TrainOptions, stop: (u64, u64)| {
        let (mut steps, mut epochs, mut validations) = (0, 0, 0);
        let trained = options.train(&mut |event| {
            match event {
                Event::Stepped { .. } => steps += 1,
                Event::Epoch(_) => epochs += 1,
                Event::Validating { done, total } => {
                    assert_eq!(*total, 75);
                    validations += u64::from(*done == 0);
                    if (validations, *done) == stop {
                        return ControlFlow::Break(());
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        (steps, epochs, trained.unwrap().module.is_some())
    };
    let mut whole = options(&data, scratch.0.join("whole"));
    whole.job.recipe.epochs = 2.0;
    assert_eq!(sit(&whole, (0, 0)), (20, 2, true));
    let mut parts = whole.clone();
    parts.job.out = scratch.0.join("parts");
    assert_eq!(sit(&parts, (1, 0)), (10, 0, false));
    parts.job.resume = true;
    assert_eq!(sit(&parts, (1, 64)), (0, 0, false), "it goes on with the validation");
    assert_eq!(checkpoint(&parts.job.out).progress.history.len(), 0);
    assert_eq!(sit(&parts, (2, 64)), (10, 1, false), "the last one counts, too");
    assert_eq!(checkpoint(&parts.job.out).progress.step, 20);
    assert_eq!(sit(&parts, (0, 0)), (0, 1, true));
    assert_eq!(checkpoint(&parts.job.out), checkpoint(&whole.job.out));
    for file in ["saved_model.pb", "variables/variables.data-00000-of-00001"] {
        let read = |out: &Path| fs::read(out.join(file)).unwrap();
        assert_eq!(read(&parts.job.out), read(&whole.job.out), "{file}");
    }
}

#[test]
fn a_module_whose_test_is_stopped_is_there() {
    let scratch = Scratch::new("testing");
    data(&scratch.0, 10);
    let mut options = tuning(&scratch.0, "out", Mode::Head);
    let stopped = options.train(&mut |event| match event {
        Event::Testing { done: 0, total: 30 } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let stopped = stopped.unwrap();
    assert!(stopped.outcome.interrupted && stopped.test.is_none());
    assert!(stopped.module.unwrap().join("saved_model.pb").exists());
    options.job.resume = true;
    let tested = options.train(&mut |event| {
        assert!(!matches!(event, Event::Stepped { .. }), "it had ended");
        ControlFlow::Continue(())
    });
    let tested = tested.unwrap();
    assert!(!tested.outcome.interrupted);
    assert_eq!(tested.test.unwrap().evaluation.count(), 30);
}

#[test]
fn photos_that_changed_stop_a_run_that_goes_on() {
    let scratch = Scratch::new("changed");
    let data = data(&scratch.0, 26);
    let mut options = options(&data, scratch.0.join("out"));
    assert_eq!(train(&options, 2), (2, false));
    options.job.resume = true;
    let refused = |options: &TrainOptions| {
        options.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    let (new, old) = (data.join("train/dot/new.png"), data.join("train/square/003.png"));
    fs::copy(&old, &new).unwrap();
    let error = refused(&options);
    assert!(error.contains("training/dot had 27 and has 28") && error.contains("begin anew"));
    fs::remove_file(new).unwrap();
    let photo = fs::read(&old).unwrap();
    fs::write(&old, [&photo[..], b"more"].concat()).unwrap();
    let error = refused(&options);
    assert!(error.contains("training/square has its 27 still"), "{error}");
    // What was written before anybody looked goes on, as it did.
    let folder = options.job.out.join("training");
    let newest = Checkpoint::load(&folder).unwrap();
    Checkpoint { listing: None, ..newest.clone() }.save(&folder).unwrap();
    assert_eq!(train(&options, 3), (1, false));
    // Data that was moved as a whole is the same.
    fs::write(&old, photo).unwrap();
    newest.save(&folder).unwrap();
    let moved = scratch.0.join("moved");
    fs::rename(data, &moved).unwrap();
    options.job.data = vec![moved];
    assert_eq!(train(&options, 4), (2, false));
}

#[test]
fn averaged_weights_are_validated_and_written() {
    let scratch = Scratch::new("average");
    let data = data(&scratch.0, 26);
    let mut options = options(&data, scratch.0.join("out"));
    (options.job.recipe.learning_rate, options.job.recipe.batch_norm_momentum) = (0.1, 0.5);
    options.job.save_every = std::time::Duration::ZERO;
    let mut steps = Vec::new();
    let trained = options.train(&mut |event| {
        if let Event::Saved { .. } = event {
            steps.push(checkpoint(&options.job.out));
        }
        ControlFlow::Continue(())
    });
    let trained = trained.unwrap();
    let last = steps.last().unwrap();
    assert!(steps.len() == 10 && last.average.len() == last.variables.len());
    for pair in steps.windows(2) {
        let step = pair[1].progress.step as f32;
        let keep = 0.9_f32.min((1.0 + step) / (10.0 + step));
        for (name, value) in &pair[1].variables {
            let averages = pair[0].average[name].iter().zip(&pair[1].average[name]);
            for ((before, after), value) in averages.zip(value.as_f32().unwrap()) {
                let wanted = keep * before + (1.0 - keep) * value;
                let scale = before.abs().max(value.abs());
                assert!((after - wanted).abs() <= 1e-6 * scale, "{name}: {after} for {wanted}");
            }
        }
    }
    let module = Module::load(trained.module.unwrap().to_str().unwrap()).unwrap();
    for (name, average) in &last.average {
        assert_eq!(last.best[name].as_f32().unwrap(), average, "{name}");
        assert_eq!(module.variable(name).unwrap().as_f32().unwrap(), average, "{name}");
    }
    let validated = trained.outcome.progress.history[0].validation_loss.unwrap();
    let loss = loss(module);
    assert!((validated - loss).abs() < 1e-5 * loss, "{validated} for {loss}");
    // They change nothing of what is learnt, but what comes of it.
    options.job.out = scratch.0.join("plain");
    options.job.recipe.ema = None;
    let plain = options.train(&mut |_| ControlFlow::Continue(())).unwrap().outcome;
    assert!(last.variables.iter().all(|(name, value)| plain.values[name] == *value));
    let other = plain.progress.history[0].validation_loss.unwrap();
    assert!((other - loss).abs() > 1e-3 * loss, "{other} {loss}");
}

/// Mean cross-entropy of a module on the validation images.
fn loss(module: Module) -> f64 {
    let mut worker = Classifier::new(module).unwrap().worker();
    let losses = (0..30).map(|number| {
        let logits = worker.logits(&picture(number % 3, 500 + number / 3)).unwrap();
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        sum.ln() - f64::from(logits[number % 3])
    });
    losses.sum::<f64>() / 30.0
}

/// A module of random values for three classes.
fn random_module(root: &Path) -> Module {
    module_of(root, 7)
}

/// A module of the random values of `seed`, always at the same place.
fn module_of(root: &Path, seed: u64) -> Module {
    let network = MobilenetV1 { classes: Some(3), ..MobilenetV1::new(0.25, [32, 32]) };
    let module = network.module(|spec| spec.initial_tensor(seed)).unwrap();
    let path = root.join("random.tar");
    fs::write(&path, archive::write(&module.to_files().unwrap(), Compression::None).unwrap())
        .unwrap();
    Module::load(path.to_str().unwrap()).unwrap()
}

fn tuning(root: &Path, name: &str, mode: Mode) -> FineTuneOptions {
    let mut recipe = recipe(if mode == Mode::Head { "head" } else { "fine-tune" }).unwrap();
    (recipe.batch_size, recipe.epochs, recipe.batch_norm_momentum) = (8, 1.0, 0.9);
    FineTuneOptions {
        job: Job::new(root.join("data"), root.join(name), 32, recipe),
        module: random_module(root),
        mode,
        freeze: Vec::new(),
        feature_cache: None,
    }
}

/// A MobileNet V1 in files that hold no variables, with batch norm folded in, and what it wants to see;
/// what is no such network says why.
#[test]
fn files_of_constants_are_fine_tuned() {
    let scratch = Scratch::new("constants");
    data(&scratch.0, 10);
    let values = |module: &Module| {
        let pixels: Vec<f32> = (0..32 * 32 * 3).map(|i| (i % 251) as f32 / 250.0).collect();
        let images = Tensor::new([1, 32, 32, 3], pixels).unwrap();
        let outputs = module.call_signature("image_feature_vector", [("images", &images)]);
        outputs.unwrap().remove("default").unwrap().as_f32().unwrap().to_vec()
    };
    let unit = Normalization::UNIT;
    for (format, name, range) in [
        ("frozen", "m.pb", None),
        ("onnx", "m.onnx", None),
        ("tflite", "m.tflite", None),
        ("safetensors", "m.safetensors", Some(unit)),
    ] {
        let files = support::lively_module().export(format.parse().unwrap(), name).unwrap();
        let path = scratch.0.join(name);
        fs::write(&path, files.get(name).unwrap()).unwrap();
        let options = Module::options().threads(2);
        let options = match range {
            Some(range) => options.normalization(range),
            None => options,
        };
        let source = options.load(path.to_str().unwrap()).unwrap();
        let mut options = tuning(&scratch.0, &format!("out-{format}"), Mode::Head);
        options.module = source.clone();
        let tuned = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
        let tuned = Module::load(tuned.module.unwrap().to_str().unwrap()).unwrap();
        // The backbone, and what it sees, is the one of the file.
        let (before, after) = (values(&source), values(&tuned));
        let largest = before.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        assert!(largest > 1e-2, "{format}: {largest}");
        for (before, after) in before.iter().zip(&after) {
            assert!((before - after).abs() <= 1e-4 * largest, "{format}: {before} {after}");
        }
        assert_eq!(tuned.own_labels().unwrap().unwrap().len(), 3);
    }
    let graph = {
        let files = support::lively_module().export("frozen".parse().unwrap(), "x").unwrap();
        let mut graph = GraphDef::decode(files.get("x").unwrap()).unwrap();
        let relu = graph.node.iter_mut().find(|node| node.op == "Relu6").unwrap();
        relu.op = "Relu".to_owned();
        graph.encode_to_vec()
    };
    fs::write(scratch.0.join("other.pb"), graph).unwrap();
    let mut options = tuning(&scratch.0, "refused", Mode::Head);
    options.module = Module::load(scratch.0.join("other.pb").to_str().unwrap()).unwrap();
    let error = options.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    for part in ["other.pb", "only slim's MobileNet V1", "its activation is `Relu`, not `Relu6`"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_run_without_gain_ends_early() {
    let scratch = Scratch::new("patience");
    data(&scratch.0, 10);
    let mut options = tuning(&scratch.0, "out", Mode::Head);
    // Too little to change an answer.
    (options.job.recipe.learning_rate, options.job.recipe.epochs) = (1e-12, 7.0);
    let run = |options: &FineTuneOptions| {
        let mut steps = 0;
        let tuned = options.train(&mut |event| {
            steps += u64::from(matches!(event, Event::Stepped { .. }));
            ControlFlow::Continue(())
        });
        (tuned.unwrap(), steps)
    };
    assert_eq!(run(&options).0.outcome.progress.history.len(), 7);
    options.job.out = scratch.0.join("patient");
    options.job.patience = Some(2);
    let (tuned, steps) = run(&options);
    let progress = &tuned.outcome.progress;
    assert!(tuned.module.is_some() && !tuned.outcome.interrupted);
    assert_eq!((progress.history.len(), progress.epochs_without_gain), (3, 2));
    assert_eq!(progress.best.unwrap().1, progress.history[0].step);
    assert_eq!(steps, progress.history[2].step);
    // It has ended for good.
    options.job.resume = true;
    assert_eq!(run(&options).1, 0);
}

#[test]
fn only_the_last_blocks_change() {
    let scratch = Scratch::new("last");
    let data = data(&scratch.0, 10);
    // Of a network of random values hardly anything would come out of the blocks before.
    let mut before = self::options(&data, scratch.0.join("before"));
    (before.job.recipe.batch_norm_momentum, before.job.recipe.ema) = (0.5, None);
    let before = before.train(&mut |_| ControlFlow::Continue(())).unwrap().module.unwrap();
    let mut options = tuning(&scratch.0, "out", Mode::LastBlocks(2));
    options.module = Module::load(before.to_str().unwrap()).unwrap();
    let tuned = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    let after = Module::load(tuned.module.unwrap().to_str().unwrap()).unwrap();
    let mut counts = [0, 0];
    for (name, _) in options.module.variables() {
        let block = name.split("Conv2d_").nth(1).and_then(|rest| rest.split('_').next());
        let block: Option<usize> = block.and_then(|block| block.parse().ok());
        let learns = name.contains("/Logits/") || block.is_some_and(|block| block >= 12);
        let bits = |module: &Module| -> Vec<u32> {
            let value = module.variable(&name).unwrap();
            value.as_f32().unwrap().iter().map(|value| value.to_bits()).collect()
        };
        assert_eq!(bits(&options.module) != bits(&after), learns, "{name}");
        counts[usize::from(learns)] += 1;
    }
    // Kernel and four numbers of batch norm of each layer; kernel and biases of the classifier.
    assert_eq!(counts, [5 * 23, 5 * 4 + 2]);
}

/// Frozen by patterns or by the mode, the first blocks run the same: folded, and with their moving
/// averages, which are not those of a batch here.
#[test]
fn blocks_that_are_frozen_from_the_first_on_run_as_at_inference() {
    let scratch = Scratch::new("prefix");
    data(&scratch.0, 12);
    let values = |mode: Mode, name: &str, freeze: &str| {
        let mut options = tuning(&scratch.0, name, mode);
        options.freeze = freeze.split_whitespace().map(str::to_owned).collect();
        let tuned = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
        let file = "variables/variables.data-00000-of-00001";
        (fs::read(options.job.out.join(file)).unwrap(), tuned.outcome)
    };
    let (last, _) = values(Mode::LastBlocks(2), "last", "");
    let blocks = "*/Conv2d_0/* */Conv2d_?_* */Conv2d_1[01]_*";
    let (frozen, outcome) = values(Mode::Full, "frozen", blocks);
    assert!(frozen == last, "other values than with the last two blocks");
    let settings = Checkpoint::load(&outcome.folder).unwrap().settings;
    assert!(settings["layers folded up to"].contains("Conv2d_11_pointwise"), "{settings:?}");
    // Where not all before it is frozen, a layer sees its batch.
    let (other, _) = values(Mode::Full, "other", "*/Conv2d_?_* */Conv2d_1[01]_*");
    assert!(other != last);
    // Nothing but the classifier is left.
    let (head, outcome) = values(Mode::LastBlocks(2), "head", "*/Conv2d_0/* */Conv2d_*wise/*");
    assert!(head != last);
    let trained = Checkpoint::load(&outcome.folder).unwrap().slots;
    assert!(trained.iter().all(|(name, _)| name.contains("/Logits/")) && trained.len() == 2);
}

#[test]
fn a_run_goes_on_with_the_module_it_began_with_alone() {
    let scratch = Scratch::new("module");
    data(&scratch.0, 12);
    let mut options = tuning(&scratch.0, "out", Mode::LastBlocks(1));
    let stopped = options.train(&mut |event| match event {
        Event::Stepped { step: 2, .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(stopped.unwrap().outcome.interrupted);
    options.job.resume = true;
    // Another module under the same name.
    options.module = module_of(&scratch.0, 8);
    let error = options.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("a module of digest"), "{error}");
    options.module = module_of(&scratch.0, 7);
    let tuned = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    assert!(tuned.module.is_some());
}

#[test]
fn features_computed_before_a_stop_are_kept() {
    let scratch = Scratch::new("stopped");
    data(&scratch.0, 64);
    // 194 training photos, two of them torn, and 30 to validate with.
    let run = |options: &FineTuneOptions, stop: &str| {
        let mut told = Vec::new();
        let tuned = options.train(&mut |event| match event {
            Event::Preparing { what, done, total } => {
                told.push((*what, *done, *total));
                let stops = *what == stop && *done > 0;
                if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        });
        (tuned.unwrap(), told)
    };
    let options = tuning(&scratch.0, "out", Mode::Head);
    for stop in ["hashes", "features"] {
        let (tuned, told) = run(&options, stop);
        assert!(tuned.outcome.interrupted && tuned.module.is_none());
        assert_eq!(told.last(), Some(&(stop, 64, 224)));
    }
    let (tuned, told) = run(&options, "");
    let features: Vec<_> = told.into_iter().filter(|(what, ..)| *what == "features").collect();
    assert_eq!(features, [0, 64, 128].map(|done| ("features", done, 160)));
    assert!(tuned.module.is_some());
    let whole = tuning(&scratch.0, "whole", Mode::Head);
    run(&whole, "");
    let values = |options: &FineTuneOptions| {
        fs::read(options.job.out.join("variables/variables.data-00000-of-00001")).unwrap()
    };
    assert_eq!(values(&options), values(&whole));
    // The classifier that is trained before the rest can be stopped, too.
    let full = tuning(&scratch.0, "full", Mode::Full);
    let (tuned, told) = run(&full, "classifier");
    assert!(tuned.outcome.interrupted && tuned.outcome.progress.step == 0);
    assert!(matches!(told.last(), Some(("classifier", 32, total)) if *total > 32), "{told:?}");
    assert!(!full.job.out.join("training/head").exists());
    assert!(!Checkpoint::exists(&full.job.out.join("training")));
}

#[test]
fn dividing_photos_is_told_and_can_be_stopped() {
    let scratch = Scratch::new("dividing");
    // 83 photos without sides: 27 of each class, and two that are torn.
    let train = data(&scratch.0, 27).join("train");
    let told = |event: &Event<'_>, told: &mut Vec<(u64, u64)>| match event {
        Event::Preparing { what: "division", done, total } => {
            told.push((*done, *total));
            if *done == 64 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => panic!("{event:?}"),
    };
    let mut heard = Vec::new();
    let trained = options(&train, scratch.0.join("trained"));
    let stopped = trained.train(&mut |event| told(event, &mut heard)).unwrap();
    assert_eq!(heard, [(0, 83), (64, 83)]);
    assert!(stopped.outcome.interrupted && stopped.module.is_none() && stopped.labels.is_empty());
    let mut tuned = tuning(&scratch.0, "tuned", Mode::Head);
    tuned.job.data = vec![train.clone()];
    heard.clear();
    let stopped = tuned.train(&mut |event| told(event, &mut heard)).unwrap();
    assert_eq!(heard, [(0, 83), (64, 83)]);
    assert!(stopped.outcome.interrupted && stopped.module.is_none());
    let curve = tuned.test_learning_rates(Range::default(), &mut |event| told(event, &mut heard));
    assert!(curve.unwrap().points.is_empty());
}

#[test]
fn a_run_that_is_stopped_before_it_goes_on_says_how_far_it_is() {
    let scratch = Scratch::new("before");
    data(&scratch.0, 12);
    let mut options = tuning(&scratch.0, "out", Mode::Head);
    let stopped = options.train(&mut |event| match event {
        Event::Stepped { step: 3, .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(stopped.unwrap().outcome.progress.step, 3);
    options.job.resume = true;
    let stopped = options.train(&mut |event| match event {
        Event::Preparing { what: "hashes", .. } => ControlFlow::Break(()),
        _ => panic!("{event:?}"),
    });
    let outcome = stopped.unwrap().outcome;
    assert!(outcome.interrupted);
    assert_eq!(outcome.progress.step, 3);
}

#[test]
fn shapes_are_learned_and_the_module_classifies() {
    let scratch = Scratch::new("learn");
    let data = data(&scratch.0, 64);
    let names = scratch.0.join("names.txt");
    fs::write(&names, "dot\ta dot\nsquare\ta square\nstripes\tsome stripes\n").unwrap();
    let mut options = options(&data, scratch.0.join("out"));
    options.job.names = Some(names);
    options.job.image_size = 48;
    options.job.recipe.batch_size = 16;
    options.job.recipe.epochs = 10.0;
    options.job.recipe.learning_rate = 0.05;
    options.job.recipe.blend.mixup = 0.0;
    options.job.recipe.batch_norm_momentum = 0.9;
    options.job.recipe.augmentation = "gentle".to_owned();
    let trained = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    let (best, _) = trained.outcome.progress.best.unwrap();
    for epoch in &trained.outcome.progress.history {
        println!("{epoch:?}");
    }
    assert!(best > 0.9, "{best}");
    let module = Module::load(trained.module.unwrap().to_str().unwrap()).unwrap();
    assert_eq!(module.tag_sets().len(), 2);
    assert_eq!(module.preprocessing().unwrap().decided_by, DecidedBy::Module);
    for (mode, name, moves) in [
        (Mode::Head, "head", [false, false]),
        (Mode::LastBlocks(2), "last", [false, true]),
        (Mode::Full, "full", [true, true]),
    ] {
        let out = scratch.0.join(name);
        let top_1 = tune(&module, &data, out.clone(), mode);
        println!("{name}: {top_1}");
        assert!(top_1 > 0.9, "{name}: {top_1}");
        assert_eq!(moved(&module, &out), moves, "{name}");
    }
    keeps_what_is_frozen(&module, &data, &scratch.0.join("frozen"));
    follows_a_teacher(&scratch.0, &module);
    let classifier = Classifier::new(module).unwrap();
    let right = (0..30).filter(|number| {
        let best = classifier.classify_image(&picture(number % 3, 900 + number), 1).unwrap();
        best[0].label == ["a dot", "a square", "some stripes"][number % 3]
    });
    assert!(right.count() > 27);
}

/// A layer in the middle that is frozen keeps its values and averages, and all around it learns.
fn keeps_what_is_frozen(module: &Module, data: &Path, out: &Path) {
    let mut recipe = recipe("fine-tune").unwrap();
    (recipe.batch_size, recipe.epochs) = (8, 1.0);
    let mut options = FineTuneOptions {
        job: Job::new(data, out, 48, recipe),
        module: module.clone(),
        mode: Mode::Full,
        freeze: vec!["*/Conv2d_14_*".to_owned()],
        feature_cache: None,
    };
    let error = options.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("Conv2d_14_") && error.contains("MobilenetV1/"), "{error}");
    options.freeze = vec!["*/Conv2d_3_pointwise/*".to_owned()];
    options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(moved(module, out), [false, true]);
    let after = Module::load(out.to_str().unwrap()).unwrap();
    for (name, moves) in [
        ("MobilenetV1/Conv2d_3_pointwise/BatchNorm/gamma", false),
        ("MobilenetV1/Conv2d_3_pointwise/BatchNorm/moving_mean", false),
        ("MobilenetV1/Conv2d_3_depthwise/BatchNorm/moving_mean", true),
        ("MobilenetV1/Conv2d_2_pointwise/weights", true),
    ] {
        let changed = module.variable(name).unwrap() != after.variable(name).unwrap();
        assert_eq!(changed, moves, "{name}");
    }
}

/// Labels that are all wrong, and a teacher who is right and alone counts: what was learnt is right.
fn follows_a_teacher(root: &Path, teacher: &Module) {
    let wrong = data(&root.join("wrong"), 64);
    let (train, aside) = (wrong.join("train"), wrong.join("aside"));
    for (from, to) in [("dot", "aside"), ("square", "dot"), ("stripes", "square")] {
        let to = if to == "aside" { aside.clone() } else { train.join(to) };
        fs::rename(train.join(from), to).unwrap();
    }
    fs::rename(aside, train.join("stripes")).unwrap();
    let names = root.join("names.txt");
    let top_1 = |share: f32, name: &str| {
        let mut options = options(&wrong, root.join(name));
        options.job.names = Some(names.clone());
        options.job.recipe.batch_size = 16;
        options.job.recipe.epochs = 10.0;
        options.job.recipe.learning_rate = 0.05;
        options.job.recipe.batch_norm_momentum = 0.9;
        options.job.recipe.blend.mixup = 0.0;
        options.job.recipe.augmentation = "gentle".to_owned();
        options.job.distillation = Some(Distillation { module: teacher.clone(), share });
        let trained = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
        trained.outcome.progress.best.unwrap().0
    };
    let (taught, untaught) = (top_1(1.0, "taught"), top_1(0.0, "untaught"));
    println!("taught: {taught}, by the labels alone: {untaught}");
    assert!(taught > 0.9, "{taught}");
    assert!(untaught < 0.5, "{untaught}");

    let recipe = recipe("fine-tune").unwrap();
    let mut job = Job::new(&wrong, root.join("tuned"), 48, recipe);
    job.names = Some(names);
    job.recipe.batch_size = 16;
    job.recipe.epochs = 5.0;
    job.recipe.batch_norm_momentum = 0.9;
    job.distillation = Some(Distillation { module: teacher.clone(), share: 1.0 });
    let mut options = FineTuneOptions {
        job,
        module: teacher.clone(),
        mode: Mode::Full,
        freeze: Vec::new(),
        feature_cache: None,
    };
    let tuned = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    let top_1 = tuned.outcome.progress.best.unwrap().0;
    println!("fine-tuned with a teacher: {top_1}");
    assert!(top_1 > 0.9, "{top_1}");
    options.mode = Mode::Head;
    let error = options.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("last-blocks"), "{error}");
}

/// Fine-tunes `module` on `data` and says how good it is on the validation images.
fn tune(module: &Module, data: &Path, out: PathBuf, mode: Mode) -> f64 {
    let mut recipe = recipe(if mode == Mode::Head { "head" } else { "fine-tune" }).unwrap();
    recipe.batch_size = 8;
    recipe.epochs = if mode == Mode::Head { 20.0 } else { 2.0 };
    recipe.batch_norm_momentum = 0.9;
    let job = Job::new(data, out, 48, recipe);
    let (module, freeze) = (module.clone(), Vec::new());
    let options = FineTuneOptions { job, module, mode, freeze, feature_cache: None };
    let tuned = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    let folder = tuned.module.unwrap();
    let again = Module::load(folder.to_str().unwrap()).unwrap();
    let best = Classifier::new(again).unwrap().classify_image(&picture(0, 900), 1).unwrap();
    assert!(tuned.labels.contains(&best[0].label));
    tuned.test.unwrap().evaluation.top_1()
}

/// What each mode leaves as it was, by the names of two variables.
fn moved(before: &Module, after: &Path) -> Vec<bool> {
    let after = Module::load(after.to_str().unwrap()).unwrap();
    ["MobilenetV1/Conv2d_3_pointwise/weights", "MobilenetV1/Conv2d_13_pointwise/weights"]
        .map(|name| before.variable(name).unwrap() != after.variable(name).unwrap())
        .to_vec()
}

#[test]
fn divergence_says_where_and_what_to_try() {
    let scratch = Scratch::new("diverge");
    let data = data(&scratch.0, 8);
    let mut options = options(&data, scratch.0.join("out"));
    options.job.recipe.learning_rate = 1e30;
    options.job.recipe.epochs = 5.0;
    let error = options.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("step ") && error.contains("learning rate"), "{error}");
}

#[test]
fn a_network_trained_for_8_bits_carries_its_ranges_and_answers_as_in_floats() {
    let scratch = Scratch::new("aware");
    let data = data(&scratch.0, 24);
    let floats = options(&data, scratch.0.join("floats"));
    floats.train(&mut |_| ControlFlow::Continue(())).unwrap();
    let module = Module::load(scratch.0.join("floats").to_str().unwrap()).unwrap();
    let mut recipe = recipe("quantization-aware").unwrap();
    (recipe.batch_size, recipe.epochs, recipe.learning_rate) = (8, 6.0, 1e-3);
    let job = Job::new(&data, scratch.0.join("aware"), 32, recipe);
    let aware = QuantizationAwareOptions::new(job, module.clone());
    let mut losses = Vec::new();
    let tuned = aware.train(&mut |event| {
        if let Event::Stepped { losses: step, .. } = event {
            losses.push(step.loss);
        }
        ControlFlow::Continue(())
    });
    let tuned = tuned.unwrap();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..5]), mean(&losses[losses.len() - 5..]));
    println!("loss {first:.4} -> {last:.4}");
    assert!(last < first, "{first} {last}");
    assert_eq!(tuned.labels, ["dot", "square", "stripes"]);
    let score = tuned.test.unwrap();
    assert_eq!(score.evaluation.count(), 30);
    assert!(score.evaluation.top_1() > 0.9, "{}", score.evaluation.top_1());
    let rounded = Module::load(tuned.module.unwrap().to_str().unwrap()).unwrap();
    assert!(carries_ranges(&rounded));
    assert!(rounded.signature("image_feature_vector").is_ok());
    let small = quantize(&rounded, std::iter::empty(), &QuantizeOptions::default()).unwrap();
    let path = scratch.0.join("small.tflite");
    fs::write(&path, small.to_tflite().unwrap()).unwrap();
    let small = Module::load(path.to_str().unwrap()).unwrap();
    let classifier = |module: &Module| Classifier::new(module.clone()).unwrap();
    let [floats, rounded, small] = [&module, &rounded, &small].map(classifier);
    let mut same = 0;
    for number in 0..30 {
        let image = picture(number % 3, 600 + number);
        let logits = |classifier: &Classifier| classifier.worker().logits(&image).unwrap();
        let (floats, rounded, small) = (logits(&floats), logits(&rounded), logits(&small));
        let spread = floats.iter().map(|value| value.abs()).fold(0.0, f32::max);
        for (simulated, small) in rounded.iter().zip(&small) {
            assert!((simulated - small).abs() < 0.05 * spread, "{rounded:?} {small:?}");
        }
        same += usize::from(best(&floats) == best(&small));
    }
    assert!(same >= 28, "{same} of 30");
    let mut other = QuantizationAwareOptions::new(aware.job.clone(), module.clone());
    other.job.out = scratch.0.join("other");
    let stopped = other.train(&mut |event| match event {
        Event::Preparing { what: "answers", .. } => ControlFlow::Break(()),
        Event::Stepped { .. } => panic!("nobody stopped it"),
        _ => ControlFlow::Continue(()),
    });
    assert!(stopped.unwrap().outcome.interrupted);
    type Set = (fn(&mut Recipe), &'static str);
    let set: [Set; 3] = [
        (|recipe| recipe.l2_regularization = 1e-4, "L2"),
        (|recipe| recipe.dropout_keep = 0.9, "dropout"),
        (|recipe| recipe.label_smoothing = 0.1, "label smoothing"),
    ];
    for (set, says) in set {
        let mut refused = other.clone();
        set(&mut refused.job.recipe);
        let error = refused.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let again = QuantizationAwareOptions::new(aware.job.clone(), module);
    assert!(
        again
            .train(&mut |_| ControlFlow::Continue(()))
            .unwrap_err()
            .to_string()
            .contains("checkpoint")
    );
}

fn best(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}
