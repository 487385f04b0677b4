//! Networks built from their numbers, held against modules exported by TensorFlow Hub.
#![allow(clippy::expect_used, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use mobilenet::builder::MobilenetV1;
use mobilenet::{Limits, Module};
use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::tensorflow::{HubModule, messages::MetaGraphDef};

/// The real modules and the numbers that should rebuild them.
fn cases() -> [(&'static str, MobilenetV1); 4] {
    let network = |size| MobilenetV1::new(0.25, [size; 2]);
    [
        ("mobilenet_v1_025_192/classification/1", network(192)),
        ("mobilenet_v1_025_128/classification/1", network(128)),
        ("mobilenet_v1_025_192/feature_vector/1", MobilenetV1 { classes: None, ..network(192) }),
        (
            "mobilenet_v1_025_192/classification/3",
            MobilenetV1 { configurable: true, batch_norm_momentum: 0.99, ..network(192) },
        ),
    ]
}

fn real(name: &str) -> Option<HubModule> {
    let path = support::shared()?.join(format!("modules/{name}.tar.gz"));
    let files = archive::read(&std::fs::read(path).unwrap(), &Limits::default()).unwrap();
    Some(HubModule::read(&files, &Limits::default()).unwrap())
}

/// Op and inputs of every node; TensorFlow 2 calls float addition `AddV2`.
fn nodes(meta: &MetaGraphDef) -> BTreeMap<String, (String, Vec<String>)> {
    let graph = meta.graph_def.as_ref().unwrap();
    let node = |node: &mobilenet_formats::tensorflow::messages::NodeDef| {
        (node.name.clone(), (node.op.replace("AddV2", "Add"), node.input.clone()))
    };
    graph.node.iter().map(node).collect()
}

#[test]
fn graphs_have_the_nodes_signatures_and_collections_of_tensorflows_exporter() {
    for (name, network) in cases() {
        let Some(module) = real(name) else { return };
        for (tags, ours) in
            [(vec![], network.inference_graph()), (vec!["train"], network.training_graph())]
        {
            let theirs = module.meta_graph(&tags).unwrap().def().unwrap();
            let (built, exported) = (nodes(&ours), nodes(theirs));
            for (node, what) in &built {
                let same = exported.get(node) == Some(what);
                // The exporter fills large zeros with an op; a constant does as well.
                assert!(same || node.contains("/Initializer/"), "{name} {tags:?} {node}: {what:?}");
            }
            for node in exported.keys().filter(|node| !built.contains_key(*node)) {
                let unused = [
                    "/Initializer/",
                    "/depthwise/Shape",
                    "/depthwise/dilation_rate",
                    "/ReadVariableOp_1",
                ];
                assert!(
                    unused.iter().any(|part| node.contains(part)),
                    "{name} {tags:?} lacks {node}"
                );
            }
            assert_eq!(ours.signature_def, theirs.signature_def, "{name} {tags:?}");
            assert_eq!(
                ours.collection_def.keys().collect::<Vec<_>>(),
                theirs.collection_def.keys().collect::<Vec<_>>()
            );
            for key in ["regularization_losses", "update_ops", "hub_module_attachments"] {
                assert_eq!(ours.collection_def.get(key), theirs.collection_def.get(key), "{key}");
            }
        }
    }
}

#[test]
fn a_network_built_with_real_weights_gives_the_real_logits() {
    let (name, network) = cases()[0].clone();
    let Some(module) = real(name) else { return };
    let built = network.module(|variable| module.variable(&variable.name)).unwrap();
    let bytes = archive::write(&built.to_files().unwrap(), Compression::None).unwrap();
    let path = support::save("builder.tar", &bytes);
    let rebuilt = Module::load(path.to_str().unwrap()).unwrap();
    let shared = support::shared().unwrap();
    let original = shared.join(format!("modules/{name}.tar.gz"));
    let original = Module::load(original.to_str().unwrap()).unwrap();
    let images = support::Golden::open(&shared, "inputs").tensor("192/plain");
    assert_eq!(rebuilt.call(&images).unwrap(), original.call(&images).unwrap());
}
