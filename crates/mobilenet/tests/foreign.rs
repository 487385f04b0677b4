//! Forms that other makers' files have and ours have not, on small networks made here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::error::Error;

use mobilenet::export::tflite::WeightType;
use mobilenet::quantize::{QuantizeOptions, quantize};
use mobilenet::{ExportFormat, Limits, Module, Scores, Tensor};
use mobilenet_formats::MemoryFiles;
use mobilenet_formats::tflite::{self, BuiltinOperator, BuiltinOptions, Model, TensorType};
use support::{difference, lively_module, rows, save};

const SIDE: usize = 32;

fn images(count: usize) -> Tensor {
    let pixels = support::pixels(count * SIDE * SIDE * 3, 5);
    Tensor::new([count, SIDE, SIDE, 3], pixels).unwrap()
}

/// An error with what it comes from.
fn text(error: &dyn Error) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

// TFLite.

/// A TFLite file on the way to another.
struct Edit(Model);

impl Edit {
    /// The lively network's, without metadata.
    fn new() -> Self {
        let bytes = lively_module().to_tflite(WeightType::Float32).unwrap();
        Self(Model { metadata: Vec::new(), ..Model::read(&bytes, &Limits::default()).unwrap() })
    }

    fn tensor(&mut self, name: &str, r#type: TensorType, shape: &[i32]) -> i32 {
        let tensors = &mut self.0.subgraphs[0].tensors;
        let tensor = tflite::Tensor {
            name: name.into(),
            r#type,
            shape: shape.to_vec(),
            ..Default::default()
        };
        tensors.push(tensor);
        i32::try_from(tensors.len() - 1).unwrap()
    }

    fn integers(&mut self, name: &str, shape: &[i32], values: &[i32]) -> i32 {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0.buffers.push(tflite::Buffer { data, ..Default::default() });
        let buffer = u32::try_from(self.0.buffers.len() - 1).unwrap();
        let index = self.tensor(name, TensorType::INT32, shape);
        self.0.subgraphs[0].tensors.last_mut().unwrap().buffer = buffer;
        index
    }

    fn operator(
        &mut self,
        code: BuiltinOperator,
        inputs: &[i32],
        output: i32,
        builtin_options: BuiltinOptions,
    ) -> tflite::Operator {
        self.0.operator_codes.push(tflite::OperatorCode::new(code, 1));
        let opcode_index = u32::try_from(self.0.operator_codes.len() - 1).unwrap();
        let (inputs, outputs) = (inputs.to_vec(), vec![output]);
        tflite::Operator { opcode_index, inputs, outputs, builtin_options, ..Default::default() }
    }

    /// The last operator, and the tensor that it reads.
    fn last(&mut self) -> (&mut tflite::Operator, i32) {
        let last = self.0.subgraphs[0].operators.last_mut().unwrap();
        let read = last.inputs[0];
        (last, read)
    }

    fn before_last(&mut self, new: Vec<tflite::Operator>) {
        let operators = &mut self.0.subgraphs[0].operators;
        let at = operators.len() - 1;
        operators.splice(at..at, new);
    }

    fn load(&self) -> mobilenet::Result<Module> {
        let mut labels = MemoryFiles::default();
        labels.insert("labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
        let bytes = tflite::append_files(self.0.write().unwrap(), &labels).unwrap();
        let path = save("foreign.tflite", &bytes);
        Module::options().threads(2).load(path.to_str().unwrap())
    }
}

/// What stands before the softmax where Keras's `Reshape` met an open number of images: the shape of
/// the scores, its first size, and that with `rest` as the shape they get.
fn with_computed_shape(rest: i32) -> Edit {
    let mut edit = Edit::new();
    let scores = edit.last().1;
    let [zero, one] = [0, 1].map(|value| edit.integers("at", &[1], &[value]));
    let rest = edit.integers("rest", &[], &[rest]);
    let shape = edit.tensor("shape", TensorType::INT32, &[2]);
    let count = edit.tensor("count", TensorType::INT32, &[]);
    let sizes = edit.tensor("sizes", TensorType::INT32, &[2]);
    // What the file says of it is for one image.
    let rows = edit.tensor("rows", TensorType::FLOAT32, &[1, 5]);
    let slice = tflite::StridedSliceOptions { shrink_axis_mask: 1, ..Default::default() };
    let new = vec![
        edit.operator(BuiltinOperator::SHAPE, &[scores], shape, BuiltinOptions::None),
        edit.operator(
            BuiltinOperator::STRIDED_SLICE,
            &[shape, zero, one, one],
            count,
            BuiltinOptions::StridedSlice(slice),
        ),
        edit.operator(BuiltinOperator::PACK, &[count, rest], sizes, BuiltinOptions::None),
        edit.operator(BuiltinOperator::RESHAPE, &[scores, sizes], rows, BuiltinOptions::None),
    ];
    edit.before_last(new);
    edit.last().0.inputs[0] = rows;
    edit
}

#[test]
fn shapes_that_tflite_files_compute_of_the_number_of_images() {
    let answers = |module: &Module| {
        let outputs = module.call_signature("image_classification", [("images", &images(3))]);
        let mut outputs = outputs.unwrap();
        ["default", "MobilenetV1/Predictions"].map(|key| outputs.remove(key).unwrap())
    };
    let plain = Edit::new().load().unwrap();
    let computed = with_computed_shape(5).load().unwrap();
    assert_eq!(answers(&computed), answers(&plain));
    let again = save("again.tflite", &computed.to_tflite(WeightType::Float32).unwrap());
    let again = Module::options().threads(2).load(again.to_str().unwrap()).unwrap();
    assert_eq!(answers(&again), answers(&plain));

    let said = |edit: Edit| match edit.load() {
        Ok(module) => text(&module.call(&images(1)).unwrap_err()),
        Err(error) => text(&error),
    };
    assert!(said(with_computed_shape(4)).contains("rows"), "{}", said(with_computed_shape(4)));
    // Sizes are no numbers to compute with.
    let mut edit = with_computed_shape(5);
    let sizes = edit.0.subgraphs[0].operators.iter().rev().nth(1).unwrap().inputs[1];
    edit.last().0.inputs[0] = sizes;
    let said = said(edit);
    assert!(said.contains("`sizes` holds sizes, which only a RESHAPE may take"), "{said}");
}

/// A head that is asked about each class by itself.
#[test]
fn a_sigmoid_answers_with_probabilities() {
    let scores = Edit::new().load().unwrap();
    let scores = rows(&scores.call(&images(2)).unwrap());
    let mut edit = Edit::new();
    let code = edit.operator(BuiltinOperator::LOGISTIC, &[], 0, BuiltinOptions::None).opcode_index;
    let last = edit.last().0;
    (last.opcode_index, last.builtin_options) = (code, BuiltinOptions::None);
    let module = edit.load().unwrap();
    assert_eq!(module.scores(), Scores::Probabilities);
    let expected: Vec<Vec<f64>> =
        scores.iter().map(|row| row.iter().copied().map(sigmoid).collect()).collect();
    let answers = |module: &Module| rows(&module.call(&images(2)).unwrap());
    let near = |ours: &[Vec<f64>], by: f64, what: &str| {
        for (ours, expected) in ours.iter().zip(&expected) {
            assert!(difference(ours, expected) <= by, "{what}: {ours:?} {expected:?}");
        }
    };
    near(&answers(&module), 1e-6, "tflite");
    for (format, name) in [
        (ExportFormat::TfLite, "sigmoid.tflite"),
        (ExportFormat::Onnx, "sigmoid.onnx"),
        (ExportFormat::FrozenGraph, "sigmoid.pb"),
        (ExportFormat::HubArchive, "sigmoid.tar.gz"),
    ] {
        let files = module.export(format, name).unwrap();
        let path = save(name, files.get(name).unwrap());
        let again = Module::options().threads(2).load(path.to_str().unwrap()).unwrap();
        assert_eq!(again.scores(), Scores::Probabilities, "{name}");
        near(&answers(&again), 1e-5, name);
    }
    let photos = (0..8).map(|_| Ok(images(1)));
    let small = quantize(&module, photos, &QuantizeOptions::default()).unwrap();
    let path = save("small.tflite", &small.to_tflite().unwrap());
    let small = Module::options().threads(2).load(path.to_str().unwrap()).unwrap();
    assert_eq!(small.scores(), Scores::Probabilities);
    near(&answers(&small), 0.1, "8 bits");
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
