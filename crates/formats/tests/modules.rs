//! Every real module in `../shared/modules`: read, written back, and compared byte for byte.
//!
//! Skips with a printed reason where the folder is absent.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mobilenet_formats::tensorflow::messages::MetaGraphDef;
use mobilenet_formats::tensorflow::{
    BundleReader, BundleWriter, Checkpoint, HubModule, SavedModel, decode_message,
};
use mobilenet_formats::{DType, FileSource, Limits, MemoryFiles, archive};
use prost::Message as _;

const VARIABLES: &str = "variables/variables";

fn shared() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("MOBILENET_SHARED").map_or(default, PathBuf::from);
    if path.join("modules").is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not there (set MOBILENET_SHARED)", path.display());
    None
}

/// The archives, as path and bytes.
fn archives() -> Vec<(String, Vec<u8>)> {
    let Some(shared) = shared() else { return Vec::new() };
    let mut found = Vec::new();
    let mut folders = vec![shared.join("modules")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".tar.gz") {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    assert!(found.len() >= 8, "all modules are there");
    found
}

fn modules() -> Vec<(String, MemoryFiles)> {
    let limits = Limits::default();
    archives()
        .into_iter()
        .map(|(path, bytes)| (path, archive::read(&bytes, &limits).unwrap()))
        .collect()
}

#[test]
fn archives_hold_what_they_should_and_survive_a_round_trip() {
    for (path, files) in modules() {
        assert_eq!(
            files.paths(),
            [
                "saved_model.pb",
                "tfhub_module.pb",
                "variables/variables.data-00000-of-00001",
                "variables/variables.index"
            ],
            "{path}"
        );
        assert!(files.folders().any(|folder| folder == "assets"), "{path}");
        for compression in [archive::Compression::None, archive::Compression::Gzip] {
            let written = archive::write(&files, compression).unwrap();
            assert_eq!(archive::write(&files, compression).unwrap(), written, "deterministic");
            assert_eq!(archive::read(&written, &Limits::default()).unwrap(), files, "{path}");
        }
    }
}

#[test]
fn modules_come_back_byte_for_byte() {
    for (path, files) in modules() {
        let module = HubModule::read(&files, &Limits::default()).unwrap();
        let written = module.to_files().unwrap();
        for (name, bytes) in files.iter() {
            assert!(written.get(name) == Some(bytes), "{path}: {name} changed");
        }
        assert_eq!(written.paths(), files.paths(), "{path}");
    }
}

/// Nothing is lost in decoding: encoding gives a message of the same length, field for field.
#[test]
fn no_field_of_a_meta_graph_is_dropped() {
    for (path, files) in modules() {
        let model = SavedModel::read(&files, &Limits::default()).unwrap();
        assert_eq!(model.meta_graphs().len(), 2, "{path}");
        let raw = files.get("saved_model.pb").unwrap();
        let outer = mobilenet_formats::tensorflow::messages::SavedModel::decode(raw).unwrap();
        for (graph, bytes) in model.meta_graphs().iter().zip(outer.meta_graphs) {
            let encoded = graph.def().unwrap().encode_to_vec();
            assert_eq!(encoded.len(), bytes.len(), "{path} {}", graph.tag_set());
            let again = MetaGraphDef::decode(encoded.as_slice()).unwrap();
            assert_eq!(&again, graph.def().unwrap(), "{path} {}", graph.tag_set());
            let ops = graph.info().unwrap().unwrap().op_list().unwrap();
            assert!(ops.op.iter().any(|op| op.name == "Conv2D"));
            let bytes = graph.info().unwrap().unwrap().stripped_op_list.clone().unwrap();
            assert_eq!(ops.encoded_len(), bytes.len(), "{path}: op list");
        }
    }
}

#[test]
fn collections_are_typed() {
    for (path, files) in modules() {
        let module = HubModule::read(&files, &Limits::default()).unwrap();
        let features = path.contains("feature_vector");
        let (all, trainable) = if features { (135, 81) } else { (137, 83) };
        for tags in [&[][..], &["train"][..]] {
            let graph = module.meta_graph(tags).unwrap();
            let variables = graph.variables().unwrap();
            assert_eq!(variables.len(), all, "{path}");
            assert_eq!(graph.trainable_variables().unwrap().len(), trainable, "{path}");
            let updates = if tags.is_empty() { 0 } else { 54 };
            assert_eq!(graph.update_ops().unwrap().len(), updates, "{path}");
            assert_eq!(
                graph.regularization_losses().unwrap().len(),
                if features { 14 } else { 15 }
            );
            let side = if path.contains("128") { 128 } else { 192 };
            assert_eq!(graph.image_size().unwrap(), Some((side, side)), "{path}");
            assert!(graph.signature("image_feature_vector").is_ok());
            let error = graph.signature("nonsense").unwrap_err().to_string();
            assert!(error.contains("image_feature_vector"), "{error}");
            for variable in variables {
                let name = variable.variable_name.trim_end_matches(":0");
                assert_eq!(module.variable(name).unwrap().dtype(), DType::F32, "{path} {name}");
            }
        }
    }
}

#[test]
fn our_bundle_is_tensorflow_s_byte_for_byte() {
    for (path, files) in modules() {
        let bundle =
            BundleReader::open(Arc::new(files.clone()), VARIABLES, &Limits::default()).unwrap();
        let mut writer = BundleWriter::default();
        for name in bundle.names() {
            writer.add(name, &bundle.read(name).unwrap()).unwrap();
        }
        for (name, bytes) in writer.finish(VARIABLES).unwrap().iter() {
            assert!(files.get(name) == Some(bytes), "{path}: {name} differs");
        }
    }
}

/// A TF2 SavedModel: strings in the bundle, an object graph, functions.
#[test]
fn a_tf2_saved_model_comes_back_byte_for_byte() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("formats/mobilenet_v1_025_192/saved_model_tf2");
    let mut files = MemoryFiles::default();
    for name in [
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ] {
        files.insert(name, std::fs::read(folder.join(name)).unwrap());
    }
    let model = SavedModel::read(&files, &Limits::default()).unwrap();
    let written = model.to_files().unwrap();
    for (name, bytes) in files.iter() {
        assert!(written.get(name) == Some(bytes), "{name} changed");
    }
    let graph = model.meta_graph(&["serve"]).unwrap();
    let def = graph.def().unwrap();
    assert_eq!(MetaGraphDef::decode(def.encode_to_vec().as_slice()).unwrap(), *def);
    assert!(def.object_graph_def.is_some());
    assert!(!graph.graph_def().unwrap().library.as_ref().unwrap().function.is_empty());
    for name in model.variable_names() {
        model.variable(name).unwrap();
    }
    let objects = model.variable("_CHECKPOINTABLE_OBJECT_GRAPH").unwrap();
    assert_eq!(objects.dtype(), DType::String);
}

/// Slim's checkpoints of both versions hold the same tensors; V2 comes back byte for byte.
#[test]
fn slim_s_checkpoints_agree() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("formats/mobilenet_v1_025_192");
    let name = "mobilenet_v1_0.25_192.ckpt";
    let mut files = MemoryFiles::default();
    files.insert(name, std::fs::read(folder.join("ckpt_v1").join(name)).unwrap());
    for part in ["index", "data-00000-of-00001"] {
        let bytes = std::fs::read(folder.join(format!("ckpt_v2/{name}.{part}"))).unwrap();
        files.insert(format!("{name}.{part}"), bytes);
    }
    let v2 = Checkpoint::open(Arc::new(files.clone()), name, &Limits::default()).unwrap();
    let mut alone = MemoryFiles::default();
    alone.insert(name, files.get(name).unwrap());
    let v1 = Checkpoint::open(Arc::new(alone), name, &Limits::default()).unwrap();
    assert!(matches!((&v1, &v2), (Checkpoint::V1(_), Checkpoint::V2(_))));
    assert_eq!(v1.names(), v2.names());
    assert_eq!(v1.names().len(), 137);
    let mut writer = BundleWriter::default();
    for name in v2.names() {
        let tensor = v2.read(name).unwrap();
        assert_eq!(v1.read(name).unwrap(), tensor, "{name}");
        writer.add(name, &tensor).unwrap();
    }
    for (path, bytes) in writer.finish(name).unwrap().iter() {
        assert!(files.get(path) == Some(bytes), "{path} differs");
    }
    let meta = std::fs::read(folder.join(format!("ckpt_v2/{name}.meta"))).unwrap();
    let meta: MetaGraphDef = decode_message(meta, &Limits::default()).unwrap();
    assert!(!meta.graph_def.unwrap().node.is_empty());
}
