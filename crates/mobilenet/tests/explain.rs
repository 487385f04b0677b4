//! Heat maps held against arithmetic: between the last feature map and the logits there is only a
//! mean and a matrix, so the slope of a logit by that map is a column of the matrix.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "tests")]

mod support;

use mobilenet::builder::MobilenetV1;
use mobilenet::explain::Explainer;
use mobilenet::{Classifier, Crop, Embedder, Image, Module, Preprocessing};
use support::{archive_of, save};

const LAST: &str = "MobilenetV1/Conv2d_13_pointwise";

fn module() -> Module {
    let network = MobilenetV1 { classes: Some(5), ..MobilenetV1::new(0.25, [96, 96]) };
    let path = save("explain.tar", &archive_of(&network, Some("a\nb\nc\nd\ne\n")));
    Module::load(path.to_str().unwrap()).unwrap()
}

fn photo() -> Image {
    let pixels = (0..120 * 100 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
    Image::new(120, 100, pixels.collect()).unwrap()
}

#[test]
fn the_last_layer_agrees_with_the_matrix_behind_it() {
    let module = module();
    let classifier = Classifier::new(module.clone()).unwrap();
    let mut explainer = Explainer::new(&classifier, None).unwrap();
    assert!(explainer.layer().contains("Conv2d_13_pointwise"), "{}", explainer.layer());
    let features = Embedder::options().output(LAST).signature("image_classification");
    let features = features.build(module.clone()).unwrap();
    assert_eq!(features.shape(), [3, 3, 256]);
    let features = features.worker().embed_image(&photo()).unwrap();
    let matrix = module.variable("MobilenetV1/Logits/Conv2d_1c_1x1/weights").unwrap();
    let matrix = matrix.as_f32().unwrap();
    let mut warm = 0;
    for class in 0..5 {
        let explained = explainer.explain(&photo(), Some(class)).unwrap();
        assert_eq!((explained.class, explained.size), (class, (3, 3)));
        let place = |row: &[f32]| {
            let sum = |(channel, &x): (usize, &f32)| f64::from(x * matrix[channel * 5 + class]);
            (row.iter().enumerate().map(sum).sum::<f64>() / 9.0).max(0.0)
        };
        let wanted: Vec<f64> = features.chunks_exact(256).map(place).collect();
        let scale = wanted.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        warm += usize::from(scale > f64::MIN_POSITIVE);
        for (got, wanted) in explained.heat.iter().zip(&wanted) {
            let off = (f64::from(*got) - wanted).abs() / scale;
            assert!(off < 1e-4, "class {class}: {got} for {wanted}");
        }
    }
    assert!(warm > 0, "something was compared");
}

#[test]
fn the_likeliest_class_is_explained_by_default_at_any_layer() {
    let classifier = Classifier::new(module()).unwrap();
    let best = classifier.classify_image(&photo(), 1).unwrap().remove(0);
    for (layer, side) in [("Conv2d_13_pointwise", 3), ("Conv2d_5_depthwise", 12), ("Conv2d_0", 48)]
    {
        let mut explainer = Explainer::new(&classifier, Some(layer)).unwrap();
        let explained = explainer.explain(&photo(), None).unwrap();
        assert_eq!((explained.class, &explained.label), (best.index, &best.label));
        assert!((explained.probability - best.probability).abs() < 1e-5);
        assert_eq!(explained.size, (side, side));
        assert_eq!(explained.heat.len(), side * side);
        assert!(explained.heat.iter().all(|heat| *heat >= 0.0));
    }
    assert!(
        Explainer::new(&classifier, Some("MobilenetV1/Logits")).is_err(),
        "no rows, no columns"
    );
    assert!(Explainer::new(&classifier, None).unwrap().explain(&photo(), Some(5)).is_err());
}

#[test]
fn what_the_crop_leaves_out_stays_as_it_is() {
    let mut chosen = Preprocessing::hub_convention(96, 96);
    chosen.crop = Crop::Central(0.5);
    let classifier = Classifier::options().preprocessing(chosen).build(module()).unwrap();
    let mut explainer = Explainer::new(&classifier, None).unwrap();
    let classes = (0..5).map(|class| explainer.explain(&photo(), Some(class)).unwrap());
    let warm = classes.into_iter().find(|e| e.heat.iter().any(|heat| *heat > 0.0)).unwrap();
    let overlay = warm.overlay(&photo(), 1.0).unwrap();
    let changed = |y: usize, x: usize| {
        overlay.row(y).unwrap()[3 * x..3 * x + 3] != photo().row(y).unwrap()[3 * x..3 * x + 3]
    };
    assert!((0..120).all(|y| {
        (0..100).all(|x| !changed(y, x) || (30..90).contains(&y) && (25..75).contains(&x))
    }));
    assert!((30..90).any(|y| (25..75).any(|x| changed(y, x))));
    assert!(warm.overlay(&Image::new(2, 2, vec![0; 12]).unwrap(), 1.0).is_err());
}
