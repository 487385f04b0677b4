//! What the tests share: the reference data beside the repository, modules and goldens.
#![allow(dead_code, reason = "every test file uses another part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use mobilenet_engine::{Graph, Isa, Plan, PlanOptions, Pool, Session, Shape};
use mobilenet_formats::safetensors::SafeTensors;
use mobilenet_formats::tensorflow::BundleReader;
use mobilenet_formats::tensorflow::messages::{MetaGraphDef, SavedModel};
use mobilenet_formats::{FileSource, Limits, MemoryFiles, Tensor};

/// A file of the reference data, or `None`, with the reason printed.
pub fn shared(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("MOBILENET_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    match std::fs::read(root.join(path)) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            println!("skipped: {path}: {error}");
            None
        }
    }
}
