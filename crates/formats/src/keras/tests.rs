use super::*;
use crate::{ErrorKind, Limits};

/// `tests/data/keras/make.py` makes these files: one network, saved three times.
const H5: &[u8] = include_bytes!("../../tests/data/keras/tiny.h5");
const KERAS: &[u8] = include_bytes!("../../tests/data/keras/tiny.keras");
const WEIGHTS: &[u8] = include_bytes!("../../tests/data/keras/tiny.weights.h5");

fn read(bytes: &[u8]) -> Model {
    assert!(detect(bytes));
    Model::read(bytes, &Limits::default()).unwrap()
}

#[test]
fn the_three_kinds_of_file_hold_the_same_weights() {
    let (h5, keras, weights) = (read(H5), read(KERAS), read(WEIGHTS));
    let names = ["conv1", "conv1_bn", "conv_dw_1", "conv_pw_1"];
    for model in [&h5, &keras, &weights] {
        assert_eq!(model.layers.len(), names.len());
        for name in names {
            let values = |model: &Model| -> Vec<_> {
                model.layer(name).unwrap().weights.iter().map(|(_, value)| value.clone()).collect()
            };
            assert_eq!(values(model), values(&h5), "{name}");
        }
    }
    for model in [&h5, &keras] {
        let order: Vec<_> = model.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(order, names);
        assert_eq!(model.keras_version.as_deref(), Some("3.15.1"));
        let layers = model.config.as_ref().unwrap().pointer("/config/layers").unwrap();
        assert_eq!(layers.as_array().unwrap().len(), 6);
    }
    assert_eq!(weights.config, None);
}

/// Keras 2's kind of file gives the outermost model all weights, Keras 3's each layer its own.
#[test]
fn layers_of_models_that_are_layers() {
    let names = |model: &Model| -> Vec<String> {
        model.layers.iter().map(|layer| layer.name.clone()).collect()
    };
    let h5 = read(include_bytes!("../../tests/data/keras/nested.h5"));
    assert_eq!(names(&h5), ["body", "norm", "mixed"]);
    let body = &h5.layers[0].weights;
    let body: Vec<_> = body.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let keras = read(include_bytes!("../../tests/data/keras/nested.keras"));
    assert_eq!(names(&keras), ["body/base/mixed", "body/base/weighed", "norm", "mixed"]);
    let [mixed, weighed] = [0, 1].map(|layer| &keras.layers[layer].weights[0].1);
    assert_eq!(body, [("mixed/kernel", mixed), ("weighed/kernel", weighed)]);
}

#[test]
fn weights_are_found_by_their_plain_name() {
    let model = read(H5);
    let conv = model.layer("conv1").unwrap();
    assert_eq!(conv.weight("kernel").unwrap().shape(), [3, 3, 3, 2]);
    assert_eq!(conv.weight("bias").unwrap().shape(), [2]);
    assert!(conv.weight("gamma").is_none());
    assert_eq!(read(KERAS).layer("conv1").unwrap().weight("0").unwrap().shape(), [3, 3, 3, 2]);
}

#[test]
fn other_files_are_not_taken_for_keras() {
    assert!(!detect(b""));
    assert!(!detect(b"PK\x03\x04"));
    let error = Model::read(b"PK\x03\x04", &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let layouts = include_bytes!("../../tests/data/keras/layouts.h5");
    let error = Model::read(layouts, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn every_truncation_is_an_error() {
    for bytes in [H5, KERAS] {
        for len in (0..bytes.len() - 1).step_by(101) {
            assert!(Model::read(&bytes[..len], &Limits::default()).is_err(), "{len} bytes");
        }
    }
}
