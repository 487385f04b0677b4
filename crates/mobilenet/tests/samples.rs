//! 200 ImageNet photos, file to label, beside TensorFlow on the same photos and preprocessing.
//!
//! `data/samples200.csv` is TensorFlow's top-1 of the very files tested here, made by
//! `data/samples200.py`. The reference data's `accuracy.json` is about 1000 photos before they
//! were made smaller and encoded again, so its figures are near these and not the same.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use mobilenet::{Choice, Classifier, Module, Preprocessing, Resize, Worker};
use mobilenet_formats::{Limits, MemoryFiles, archive};
use support::shared;

const TENSORFLOW: &str = include_str!("data/samples200.csv");

/// Columns of [`TENSORFLOW`]: top-1 of `plain` and of `slim_eval` by file.
fn tensorflow() -> HashMap<&'static str, [usize; 2]> {
    let row = |line: &'static str| {
        let mut cells = line.split(',');
        let file = cells.next().unwrap();
        (file, std::array::from_fn(|_| cells.next().unwrap().parse().unwrap()))
    };
    TENSORFLOW.lines().skip(1).map(row).collect()
}

/// The 200 photos and where the reference data is.
fn photos() -> Option<(MemoryFiles, PathBuf)> {
    let shared = shared()?;
    let mut bytes = Vec::new();
    let path = shared.join("data/imagenet-samples-200.tar");
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    Some((archive::read(&bytes, &Limits::default()).unwrap(), shared))
}

fn load(shared: &Path, name: &str) -> Module {
    let path = shared.join(format!("modules/{name}/classification/1.tar.gz"));
    Module::load(path.to_str().unwrap()).unwrap()
}

fn worker(module: &Module, slim: bool) -> Worker {
    let mut chosen = Preprocessing::hub_convention(192, 192);
    chosen.decode.ignore_exif = true;
    if slim {
        chosen.crop = "central:0.875".parse().unwrap();
        chosen.resize = "tf1-legacy-bilinear".parse::<Resize>().unwrap();
    }
    Classifier::options().preprocessing(chosen).build(module.clone()).unwrap().worker()
}

#[test]
fn top_1_of_200_photos_is_tensorflows() {
    let Some((photos, shared)) = photos() else { return };
    let module = load(&shared, "mobilenet_v1_025_192");
    let theirs = tensorflow();
    assert_eq!(theirs.len(), 200);
    for (column, way) in ["plain", "slim_eval"].into_iter().enumerate() {
        let mut worker = worker(&module, column == 1);
        let (mut right, mut their_right, mut same, mut count) = (0, 0, 0, 0);
        for (path, file) in photos.iter() {
            let name = path.rsplit('/').next().unwrap();
            let Some(their) = theirs.get(name) else { continue };
            let wnid = name.split('_').next().unwrap();
            let label = mobilenet::synset_index(wnid).unwrap();
            let ours = worker.classify_bytes(file, &Choice::top(1)).unwrap()[0].index;
            right += i32::from(ours == label);
            their_right += i32::from(their[column] == label);
            same += i32::from(ours == their[column]);
            count += 1;
        }
        println!("{way}: top-1 {right} of {count}, TensorFlow {their_right}; same class {same}");
        assert_eq!(count, 200);
        assert!((right - their_right).abs() <= 1, "within 0.5 points");
        assert!(same >= 199, "{same} of 200 as TensorFlow");
    }
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

/// The shorter side of most of the photos is 256: at the 128 pixels of this module they are decoded
/// at a half.
#[test]
fn fast_decoding_agrees_as_far_as_the_documents_say() {
    let Some((photos, shared)) = photos() else { return };
    let module = load(&shared, "mobilenet_v1_025_128");
    let exact = Preprocessing::hub_convention(128, 128);
    let mut fast = exact.clone();
    fast.decode_fast();
    let [mut exact, mut fast] = [exact, fast].map(|chosen| {
        Classifier::options().preprocessing(chosen).build(module.clone()).unwrap().worker()
    });
    let (mut same, mut right, mut count, mut sum, mut max) = (0, [0, 0], 0, 0.0, 0.0f32);
    for (path, file) in photos.iter().filter(|(path, _)| path.ends_with(".JPEG")) {
        let name = path.rsplit('/').next().unwrap();
        let label = mobilenet::synset_index(name.split('_').next().unwrap()).unwrap();
        let images = [exact.decode(file).unwrap(), fast.decode(file).unwrap()];
        if images[0].height() == images[1].height() {
            continue;
        }
        assert_eq!(images[0].height().div_ceil(2), images[1].height(), "{path}");
        let [a, b] = [exact.logits(&images[0]).unwrap(), fast.logits(&images[1]).unwrap()];
        let top = [&a, &b].map(|logits| best(logits));
        same += i32::from(top[0] == top[1]);
        right.iter_mut().zip(top).for_each(|(right, top)| *right += i32::from(top == label));
        let differences = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0f32, f32::max);
        (sum, max, count) = (sum + worst, max.max(worst), count + 1);
    }
    let mean = sum / count as f32;
    println!(
        "fast decoding: the same class for {same} of {count}; right {right:?} (exact, fast); \
         largest logit difference of a photo: mean {mean:.2}, at most {max:.2}"
    );
    // 148, [86, 86], 1.47 and 4.05 are what the documents and the help of `--decode` say; the last
    // bits of logits are the instruction set's.
    assert_eq!(count, 183, "photos were made smaller");
    assert!(same >= 146, "the same class for {same}");
    assert!(right.iter().all(|&right| (85..=87).contains(&right)), "right {right:?}");
    assert!(mean <= 1.5 && max <= 4.1, "mean {mean}, at most {max}");
}
