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

use mobilenet::{Choice, Classifier, Module, Preprocessing, Resize, Worker};
use mobilenet_formats::Limits;
use mobilenet_formats::archive;
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
    let Some(shared) = shared() else { return };
    let mut bytes = Vec::new();
    let path = shared.join("data/imagenet-samples-200.tar");
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    let photos = archive::read(&bytes, &Limits::default()).unwrap();
    let module = shared.join("modules/mobilenet_v1_025_192/classification/1.tar.gz");
    let module = Module::load(module.to_str().unwrap()).unwrap();
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
