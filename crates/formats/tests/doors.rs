//! The real files of `../shared/formats` and `../shared/golden`: read, written and read again.
//! Skipped, with the reason printed, where that folder is absent.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::path::{Path, PathBuf};

use mobilenet_formats::{DType, Limits, MemoryFiles, keras, npy, onnx, safetensors, tflite};

/// The reference data, if it is there.
fn shared(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("MOBILENET_SHARED").map_or(beside, PathBuf::from);
    let path = root.join(path);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn bytes(path: &str) -> Option<Vec<u8>> {
    shared(path).map(|path| std::fs::read(path).unwrap())
}

const FOLDER: &str = "formats/mobilenet_v1_025_192/mobilenet_v1_0.25_192";

#[test]
fn tflite_files_round_trip_with_every_constant() {
    for (path, constants) in [
        (format!("{FOLDER}_float.tflite"), 57),
        (format!("{FOLDER}_int8.tflite"), 57),
        ("formats/quant/mobilenet_v1_0_25_192_quant.tflite".into(), 57),
        ("formats/quant/mobilenet_v1_0_5_160_quant.tflite".into(), 57),
    ] {
        let Some(bytes) = bytes(&path) else { return };
        let limits = Limits::default();
        let model = tflite::Model::read(&bytes, &limits).unwrap();
        let again = tflite::Model::read(&model.write().unwrap(), &limits).unwrap();
        assert_eq!(again, model, "{path}");
        assert_eq!(tflite::associated_files(&bytes, &limits).unwrap().iter().count(), 0);

        let tensors = &model.subgraphs[0].tensors;
        let values = tensors.iter().map(|tensor| model.constant(tensor, &limits).unwrap());
        assert_eq!(values.flatten().count(), constants, "{path}");
        let quantized = tensors.iter().filter(|tensor| tensor.affine().unwrap().is_some()).count();
        assert_eq!(quantized > 0, !path.contains("float"), "{path}");
        for operator in &model.subgraphs[0].operators {
            assert!(model.operator_code(operator).unwrap().builtin().name().is_some());
        }
    }
}

#[test]
fn the_onnx_file_round_trips_with_every_constant() {
    let Some(bytes) = bytes(&format!("{FOLDER}.onnx")) else { return };
    assert!(onnx::detect(&bytes));
    let limits = Limits::default();
    let model = onnx::read(&bytes, &limits).unwrap();
    assert_eq!(onnx::read(&onnx::write(&model), &limits).unwrap(), model);
    let graph = model.graph.as_ref().unwrap();
    let values = graph.initializer.iter().map(|proto| {
        let value = proto.to_tensor(&MemoryFiles::default(), &limits).unwrap();
        assert_eq!(onnx::TensorProto::from_tensor(&proto.name, &value).unwrap().dims, proto.dims);
        value.len()
    });
    // The folded network: weights without batch norm, and a few shapes.
    assert!(values.sum::<usize>() > 460_000);
}

#[test]
fn the_keras_file_has_every_layer_of_the_network() {
    let Some(bytes) = bytes(&format!("{FOLDER}.h5")) else { return };
    assert!(keras::detect(&bytes));
    let model = keras::Model::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(model.layers.len(), 27 + 27 + 1);
    let values = model.layers.iter().flat_map(|layer| &layer.weights).map(|(_, value)| value.len());
    assert_eq!(values.sum::<usize>(), 475_801);
    let first = model.layer("conv1").unwrap().weight("kernel").unwrap();
    assert_eq!((first.shape(), first.dtype()), (&[3, 3, 3, 8][..], DType::F32));
    assert_eq!(model.config.unwrap()["class_name"], "Functional");
}

#[test]
fn golden_safetensors_round_trip() {
    let Some(folder) = shared("golden") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        assert!(safetensors::detect(&bytes));
        let file = safetensors::SafeTensors::read(&bytes, &Limits::default()).unwrap();
        let tensors: Vec<_> = file.names().map(|name| (name, file.tensor(name).unwrap())).collect();
        let named = tensors.iter().map(|(name, tensor)| (*name, tensor));
        let written = safetensors::write(named, file.metadata()).unwrap();
        let again = safetensors::SafeTensors::read(&written, &Limits::default()).unwrap();
        for (name, tensor) in &tensors {
            assert!(same_bits(&again.tensor(name).unwrap(), tensor), "{}: {name}", path.display());
        }
        assert_eq!(again.metadata(), file.metadata());
    }
}

/// Equal, NaN included.
fn same_bits(a: &mobilenet_formats::Tensor, b: &mobilenet_formats::Tensor) -> bool {
    npy::write(a).unwrap() == npy::write(b).unwrap()
}
