//! Training from photo files to a module that classifies, killed and resumed on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mobilenet::training::{Checkpoint, Event, TrainOptions, recipe};
use mobilenet::{Classifier, DecidedBy, Image, Module};

/// A folder that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("mobilenet-training-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

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
    let mut options = TrainOptions::new(data, out, recipe);
    options.image_size = 32;
    options
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
    parts.threads = 1;
    assert_eq!(train(&parts, 4), (4, false));
    let error = parts.train(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("resume"), "{error}");
    parts.resume = true;
    parts.threads = 3;
    assert_eq!(train(&parts, 7), (3, false));
    assert_eq!(train(&parts, u64::MAX), (3, true));
    assert_eq!(checkpoint(&parts.out), checkpoint(&whole.out));
    for file in ["saved_model.pb", "variables/variables.data-00000-of-00001"] {
        let read = |out: &Path| fs::read(out.join(file)).unwrap();
        assert_eq!(read(&parts.out), read(&whole.out), "{file}");
    }
    let skipped = checkpoint(&whole.out).progress.skipped;
    assert!(skipped.keys().any(|path| path.ends_with("torn.jpg")), "{skipped:?}");
    parts.seed = 2;
    let error = parts.train(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("seed 1, this run has 2"), "{error}");
}

#[test]
fn shapes_are_learned_and_the_module_classifies() {
    let scratch = Scratch::new("learn");
    let data = data(&scratch.0, 64);
    let names = scratch.0.join("names.txt");
    fs::write(&names, "dot\ta dot\nsquare\ta square\nstripes\tsome stripes\n").unwrap();
    let mut options = options(&data, scratch.0.join("out"));
    options.names = Some(names);
    options.image_size = 48;
    options.recipe.batch_size = 16;
    options.recipe.epochs = 10.0;
    options.recipe.learning_rate = 0.05;
    options.recipe.blend.mixup = 0.0;
    options.recipe.batch_norm_momentum = 0.9;
    options.recipe.augmentation = "gentle".to_owned();
    let trained = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    let (best, _) = trained.outcome.progress.best.unwrap();
    for epoch in &trained.outcome.progress.history {
        println!("{epoch:?}");
    }
    assert!(best > 0.9, "{best}");
    let module = Module::load(trained.module.unwrap().to_str().unwrap()).unwrap();
    assert_eq!(module.tag_sets().len(), 2);
    assert_eq!(module.preprocessing().unwrap().decided_by, DecidedBy::Module);
    let classifier = Classifier::new(module).unwrap();
    let right = (0..30).filter(|number| {
        let best = classifier.classify_image(&picture(number % 3, 900 + number), 1).unwrap();
        best[0].label == ["a dot", "a square", "some stripes"][number % 3]
    });
    assert!(right.count() > 27);
}

#[test]
fn divergence_says_where_and_what_to_try() {
    let scratch = Scratch::new("diverge");
    let data = data(&scratch.0, 8);
    let mut options = options(&data, scratch.0.join("out"));
    options.recipe.learning_rate = 1e30;
    options.recipe.epochs = 5.0;
    let error = options.train(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("step ") && error.contains("learning rate"), "{error}");
}
