//! A module end to end, from the repository alone: a tiny network is written as a hub module,
//! loaded back and called in every way a user may call it.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use mobilenet::builder::MobilenetV1;
use mobilenet::{
    Choice, Classifier, Embedder, ErrorKind, ExportFormat, Image, Isa, Labels, Module, Request,
    Tensor,
};
use support::{archive_of, pixels, save, tiny_module, tiny_network};

fn images(count: usize) -> Tensor {
    Tensor::new([count, 32, 32, 3], pixels(count * 32 * 32 * 3, 7)).unwrap()
}

fn text(result: mobilenet::Result<impl Sized>, kind: ErrorKind) -> String {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

#[test]
fn a_module_says_what_it_is() {
    let module = tiny_module();
    assert_eq!(module.expected_image_size().unwrap(), (32, 32));
    assert_eq!(module.tag_sets(), [vec![], vec!["train".to_owned()]]);
    let names: Vec<_> = module.signatures().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["default", "image_classification", "image_feature_vector"]);
    let images = module.signature("default").unwrap().input("images").unwrap();
    assert_eq!(images.shape.as_deref(), Some(&[None, Some(32), Some(32), Some(3)][..]));
    assert_eq!(module.variables().len(), tiny_network().variables().len());
}

#[test]
fn any_number_of_images_gives_the_same_rows() {
    let module = tiny_module();
    let all = module.call(&images(5)).unwrap();
    assert_eq!(all.shape(), [5, 5]);
    for row in 0..5 {
        let one = module.call(&support::pick(&images(5), &[row])).unwrap();
        assert_eq!(one.as_f32().unwrap(), &all.as_f32().unwrap()[row * 5..][..5], "row {row}");
    }
}

#[test]
fn bytes_give_the_bits_of_their_floats() {
    let module = tiny_module();
    let bytes: Vec<u8> =
        pixels(3 * 32 * 32 * 3, 11).iter().map(|value| (value * 256.0) as u8).collect();
    let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * Image::STEP).collect();
    // What photos of the right size become.
    let photo = Image::new(32, 32, bytes[..32 * 32 * 3].to_vec()).unwrap();
    let mut prepared = vec![0.0; 32 * 32 * 3];
    let preprocessing = module.preprocessing().unwrap();
    preprocessing.run(&photo, &mut prepared, &mut Default::default()).unwrap();
    assert_eq!(prepared, floats[..32 * 32 * 3]);

    let [bytes, floats] =
        [Tensor::new([3, 32, 32, 3], bytes).unwrap(), Tensor::new([3, 32, 32, 3], floats).unwrap()];
    let expected = module.call(&floats).unwrap();
    assert_eq!(module.call(&bytes).unwrap(), expected);
    let embedder = Embedder::new(module.clone()).unwrap();
    let rows = |images| embedder.worker().embed_tensor(images).unwrap();
    assert_eq!(rows(&bytes), rows(&floats));

    let layer = "MobilenetV1/Conv2d_0";
    let request = Request::new("image_classification").outputs(["default", layer]);
    for count in [1, 3] {
        let request = request.clone().images(count, (32, 32));
        let of_bytes = request.clone().bytes();
        for runners in [
            [module.runner(&request).unwrap(), module.runner(&of_bytes).unwrap()],
            [module.parallel_runner(&request).unwrap(), module.parallel_runner(&of_bytes).unwrap()],
        ] {
            let [mut plain, mut runner] = runners;
            let len = count * 32 * 32 * 3;
            plain.input_mut().copy_from_slice(&floats.as_f32().unwrap()[..len]);
            runner.bytes_mut().copy_from_slice(&bytes.as_u8().unwrap()[..len]);
            assert!(plain.bytes_mut().is_empty() && runner.input_mut().is_empty());
            plain.run().unwrap();
            runner.run().unwrap();
            assert_eq!(plain.output(0), runner.output(0), "{count} images");
            assert_eq!(plain.output(1), runner.output(1), "{count} images");
            assert_eq!(plain.output(0), &expected.as_f32().unwrap()[..count * 5]);
            let first = &runner.plan().summary().steps[0];
            assert!(first.kernel.starts_with("conv2d of bytes"), "{}", first.kernel);
        }
    }
}

#[test]
fn threads_and_clones_do_not_change_results() {
    let module = tiny_module();
    let expected = module.call(&images(3)).unwrap();
    let path = module.files().handle().as_str();
    let single = Module::options().threads(1).load(path).unwrap();
    assert_eq!(single.call(&images(3)).unwrap(), expected);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let module = module.clone();
            let expected = &expected;
            scope.spawn(move || {
                for _ in 0..8 {
                    assert_eq!(&module.call(&images(3)).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn instruction_sets_agree_to_rounding() {
    let path = save("isa.tar", &archive_of(&tiny_network(), None));
    let call = |isa| {
        let module = Module::options().isa(isa).load(path.to_str().unwrap()).unwrap();
        support::rows(&module.call(&images(2)).unwrap())
    };
    let reference = call(Isa::Portable);
    for isa in Isa::available() {
        for (a, b) in call(isa).iter().zip(&reference) {
            let largest = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!(support::difference(a, b) <= 1e-5 * largest, "{isa}: {a:?} {b:?}");
        }
    }
}

#[test]
fn a_signature_gives_every_end_point() {
    let module = tiny_module();
    let inputs = BTreeMap::from([("images".to_owned(), images(2))]);
    let outputs = module.call_signature("image_classification", inputs).unwrap();
    let declared = &module.signature("image_classification").unwrap().outputs;
    assert_eq!(outputs.len(), declared.len());
    for port in declared {
        assert!(port.admits(outputs[&port.key].shape()), "{} {}", port.key, port);
    }
    assert_eq!(outputs["default"], module.call(&images(2)).unwrap());
    let sums = outputs["MobilenetV1/Predictions"].as_f32().unwrap().chunks(5);
    sums.for_each(|row| assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
}

#[test]
fn the_training_graph_runs_with_batch_statistics() {
    let path = save("train.tar", &archive_of(&tiny_network(), None));
    let module = Module::options().tags(["train"]).load(path.to_str().unwrap()).unwrap();
    for count in [4, 2] {
        let logits = module.call(&images(count)).unwrap();
        assert_eq!(logits.shape(), [count, 5]);
        assert!(logits.as_f32().unwrap().iter().all(|v| v.is_finite()));
    }
}

#[test]
fn wrong_tensors_are_refused_with_the_cause() {
    let module = tiny_module();
    let shape = Tensor::new([1, 32, 31, 3], vec![0.5f32; 32 * 31 * 3]).unwrap();
    let message = text(module.call(&shape), ErrorKind::Input);
    assert!(message.contains("[?, 32, 32, 3]") && message.contains("[1, 32, 31, 3]"), "{message}");
    let counts = Tensor::new([1, 32, 32, 3], vec![128i32; 32 * 32 * 3]).unwrap();
    assert!(text(module.call(&counts), ErrorKind::Input).contains("float32 or uint8, not int32"));
    let scaled: Vec<f32> = pixels(32 * 32 * 3, 1).iter().map(|v| v * 255.0).collect();
    let scaled = Tensor::new([1, 32, 32, 3], scaled).unwrap();
    assert!(text(module.call(&scaled), ErrorKind::Input).contains("Divide by 255"));
    let none = Tensor::new([0, 32, 32, 3], Vec::<f32>::new()).unwrap();
    text(module.call(&none), ErrorKind::Input);
}

#[test]
fn unknown_names_list_the_known_ones() {
    let module = tiny_module();
    let calls = [("images", images(1))];
    let message = text(module.call_signature("clasify", calls.clone()), ErrorKind::NotFound);
    assert!(message.contains("image_classification"), "{message}");
    let wrong_key = [("image", images(1))];
    let message = text(module.call_signature("default", wrong_key), ErrorKind::NotFound);
    assert!(message.contains("`image`") && message.contains("images"), "{message}");
    let request = Request::new("image_classification").outputs(["MobilenetV1/Conv2d_99"]);
    let message = text(module.runner(&request), ErrorKind::NotFound);
    assert!(message.contains("MobilenetV1/Conv2d_0") && message.contains("more"), "{message}");
    let path = module.files().handle().as_str().to_owned();
    let message = text(Module::options().tags(["serve"]).load(&path), ErrorKind::Format);
    assert!(message.contains("{train}"), "{message}");
    text(Module::load("/nowhere/at/all"), ErrorKind::Fetch);
}

#[test]
fn labels_come_from_the_module_and_must_fit() {
    let labels = tiny_module().labels(5).unwrap();
    assert_eq!(labels.get(4), Some("zebra"));
    let wrong = save("wrong.tar", &archive_of(&tiny_network(), Some("cat\ndog\n")));
    let module = Module::load(wrong.to_str().unwrap()).unwrap();
    let message = text(Classifier::new(module), ErrorKind::Labels);
    assert!(message.contains("2 labels for 5 classes"), "{message}");
    let none = save("none.tar", &archive_of(&tiny_network(), None));
    let module = Module::load(none.to_str().unwrap()).unwrap();
    text(Classifier::new(module.clone()), ErrorKind::Labels);
    let given = Labels::from_names(["a", "b", "c", "d", "e"]).unwrap();
    Classifier::options().labels(given).build(module).unwrap();
    assert_eq!(tiny_module().labels(1001).unwrap_err().kind(), ErrorKind::Labels);
}

#[test]
fn a_classifier_ranks_what_the_module_answers() {
    let classifier = Classifier::new(tiny_module()).unwrap();
    let image =
        Image::new(40, 50, (0..40 * 50 * 3).map(|i| (i * 7 % 251) as u8).collect()).unwrap();
    let best = classifier.classify_image(&image, 5).unwrap();
    assert_eq!(best.len(), 5);
    assert!(best.is_sorted_by(|a, b| a.probability >= b.probability));
    assert!((best.iter().map(|p| p.probability).sum::<f32>() - 1.0).abs() < 1e-5);
    let mut worker = classifier.worker();
    let choice = Choice::top(1).allow(classifier.labels(), &["dog"]).unwrap();
    assert_eq!(worker.classify_image(&image, &choice).unwrap()[0].label, "dog");
    assert_eq!(worker.classify_image(&image, &Choice::top(5)).unwrap(), best);
    let message = text(classifier.classify_bytes(b"<html>", 1), ErrorKind::Image);
    assert!(message.contains("not an image"), "{message}");
    text(classifier.classify_path("/nowhere.jpg", 1), ErrorKind::Io);
}

#[test]
fn an_embedder_gives_any_output_normalised_on_request() {
    let module = tiny_module();
    let embedder = Embedder::options().l2_normalize(true).build(module.clone()).unwrap();
    assert_eq!(embedder.shape(), [256]);
    let rows = embedder.worker().embed_tensor(&images(3)).unwrap();
    assert_eq!(rows.shape(), [3, 256]);
    for row in rows.as_f32().unwrap().chunks(256) {
        assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let options = Embedder::options().signature("image_classification");
    let layer = options.output("MobilenetV1/Conv2d_3_pointwise").build(module).unwrap();
    let image = Image::new(8, 8, vec![99; 8 * 8 * 3]).unwrap();
    let values = layer.worker().embed_image(&image).unwrap();
    assert_eq!(values.len(), layer.shape().iter().product::<usize>());
    assert_eq!(layer.shape().len(), 3);
}

#[test]
fn labels_that_are_given_are_the_modules_wherever_it_goes() {
    let names = Labels::from_names(["a", "b", "c", "d", "e"]).unwrap();
    let given = || Module::options().threads(1).labels(names.clone());
    let mut hub = tiny_network().module(|variable| variable.initial_tensor(support::SEED)).unwrap();
    // Before `assets/labels.txt` in the order of names.
    hub.saved_model_mut().set_file("assets/a_labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    let module = given().load_files(hub.to_files().unwrap(), None).unwrap();
    assert_eq!(Classifier::new(module.clone()).unwrap().labels(), &names);
    for format in ["hub-archive", "onnx", "tflite", "safetensors"] {
        let files = module.export(format.parse::<ExportFormat>().unwrap(), "x").unwrap();
        let path = save("x", files.get("x").unwrap());
        let again = Module::load(path.to_str().unwrap()).unwrap();
        assert_eq!(again.own_labels().unwrap().as_ref(), Some(&names), "{format}");
    }
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let two = Labels::from_names(["a", "b"]).unwrap();
    let path = save("plain.tar", &archive_of(&tiny_network(), None));
    let load =
        |path: &std::path::Path| Module::options().labels(two.clone()).load(path.to_str().unwrap());
    assert_eq!(text(load(&path), ErrorKind::Labels), "2 labels for 5 classes");
    let path =
        save("features.tar", &archive_of(&MobilenetV1 { classes: None, ..tiny_network() }, None));
    let said = text(load(&path), ErrorKind::Labels);
    assert!(said.contains("feature vectors and no classes"), "{said}");
}
