//! Networks of 8 bits in files that take and give uint8, as MediaPipe wants them: what stands between
//! that and the network's int8 changes no answer and takes no time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use mobilenet::export::tflite::WeightType;
use mobilenet::quantize::{QuantizeOptions, quantize};
use mobilenet::{Limits, Module, Request, Tensor};
use mobilenet_formats::MemoryFiles;
use mobilenet_formats::tflite::{BuiltinOperator, Model, TensorType, append_files};
use support::save;

const SIDE: usize = 32;

/// The file that `quantize` writes of the lively network.
fn file() -> Vec<u8> {
    let images = (0..8).map(|seed| Ok(images(0.0, seed)));
    let small = quantize(&support::lively_module(), images, &QuantizeOptions::default());
    small.unwrap().to_tflite().unwrap()
}

/// A picture of whole pixels, moved by parts of one.
fn images(parts: f32, seed: u32) -> Tensor {
    let pixels = support::pixels(SIDE * SIDE * 3, seed);
    let whole = pixels.iter().map(|value| (value * 255.0).round());
    let values = whole.map(|pixel| (pixel + parts) / 255.0).collect::<Vec<f32>>();
    Tensor::new([1, SIDE, SIDE, 3], values).unwrap()
}

fn read(bytes: &[u8]) -> Model {
    Model::read(bytes, &Limits::default()).unwrap()
}

fn load(model: &Model) -> Module {
    let mut labels = MemoryFiles::default();
    labels.insert("labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    let path = save("uint8.tflite", &append_files(model.write().unwrap(), &labels).unwrap());
    Module::options().threads(2).load(path.to_str().unwrap()).unwrap()
}

/// The file as it was before int8 was hidden: without the operators at its ends.
fn without_ends(mut model: Model) -> Model {
    let graph = &mut model.subgraphs[0];
    let (first, last) = (graph.operators.remove(0), graph.operators.pop().unwrap());
    graph.inputs = first.outputs;
    graph.outputs = last.inputs;
    model.signature_defs.clear();
    model
}

fn kernels(module: &Module) -> Vec<String> {
    let runner = module.runner(&Request::new("image_classification")).unwrap();
    runner.plan().summary().steps.into_iter().map(|step| step.kernel).collect()
}

fn answers(module: &Module, images: &Tensor) -> [Tensor; 2] {
    let outputs = module.call_signature("image_classification", [("images", images)]).unwrap();
    ["default", "MobilenetV1/Predictions"].map(|key| outputs[key].clone())
}

#[test]
fn ends_of_uint8_change_no_answer_and_take_no_step() {
    let model = read(&file());
    let graph = &model.subgraphs[0];
    let codes: Vec<_> = (graph.operators.iter())
        .map(|operator| model.operator_code(operator).unwrap().builtin())
        .collect();
    let quantize = BuiltinOperator::QUANTIZE;
    assert_eq!(codes.iter().filter(|&&code| code == quantize).count(), 2, "{codes:?}");
    assert_eq!([codes.first(), codes.last()], [Some(&quantize); 2], "{codes:?}");
    let tensor = |index: i32| {
        let tensor = &graph.tensors[usize::try_from(index).unwrap()];
        let steps = tensor.quantization.as_ref().unwrap();
        (tensor.r#type, steps.scale.clone(), steps.zero_point[0])
    };
    let (first, last) = (&graph.operators[0], graph.operators.last().unwrap());
    assert_eq!([&first.inputs, &last.outputs], [&graph.inputs, &graph.outputs]);
    for (outer, inner) in [(&first.inputs, &first.outputs), (&last.outputs, &last.inputs)] {
        let (kind, scale, zero) = tensor(outer[0]);
        assert_eq!(kind, TensorType::UINT8);
        assert_eq!(tensor(inner[0]), (TensorType::INT8, scale, zero - 128));
    }

    let (module, plain) = (load(&model), load(&without_ends(model)));
    let steps = kernels(&module);
    assert_eq!(steps, kernels(&plain));
    assert!(steps.iter().all(|kernel| kernel.contains("_u8")), "{steps:?}");
    for seed in 10..14 {
        let images = images(0.0, seed);
        assert_eq!(answers(&module, &images), answers(&plain, &images));
    }
}

/// Files of int8 come out of `convert` as those of `quantize` do, and go in and out again.
#[test]
fn a_file_of_int8_is_written_as_uint8() {
    let model = read(&file());
    let plain = without_ends(model.clone());
    let images = images(0.0, 3);
    let expected = answers(&load(&model), &images);
    for model in [model, plain] {
        let again = read(&load(&model).to_tflite(WeightType::Float32).unwrap());
        let graph = &again.subgraphs[0];
        for end in [&graph.inputs, &graph.outputs] {
            let tensor = &graph.tensors[usize::try_from(end[0]).unwrap()];
            assert_eq!(tensor.r#type, TensorType::UINT8, "{}", tensor.name);
        }
        assert_eq!(answers(&load(&again), &images), expected);
    }
}

/// TensorFlow's converter writes such files without a word about pixels: they go in as they are.
#[test]
fn without_metadata_pixels_go_in_as_they_are() {
    let model = read(&file());
    let stated = load(&model);
    let silent = load(&Model { metadata: Vec::new(), ..model });
    // Pixels of callers are in [0, 1]: what makes whole ones of them is no step of its own.
    assert_eq!(kernels(&silent), kernels(&stated));
    for seed in 20..22 {
        // Half a pixel more, and the network of floats is rounded to the pixel itself.
        let (pixels, moved) = (images(0.0, seed), images(0.5, seed));
        assert_eq!(answers(&silent, &pixels), answers(&stated, &moved));
    }
}

/// A `QUANTIZE` that changes what integers stand for is a step.
#[test]
fn other_steps_are_rounded_anew() {
    for change in ["scale", "zero"] {
        let mut model = read(&file());
        let graph = &mut model.subgraphs[0];
        let inner = usize::try_from(graph.operators[0].outputs[0]).unwrap();
        let steps = graph.tensors[inner].quantization.as_mut().unwrap();
        match change {
            "scale" => steps.scale[0] *= 1.5,
            _ => steps.zero_point[0] += 1,
        }
        let steps = kernels(&load(&model));
        assert!(steps.iter().any(|kernel| kernel.contains("requantize_u8")), "{steps:?}");
    }
}
