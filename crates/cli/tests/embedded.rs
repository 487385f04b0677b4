//! What a fresh clone can do with no network and no files but its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// Runs the program without network and with an empty cache.
fn mobilenet(arguments: &[&str]) -> Output {
    let cache = std::env::temp_dir().join("mobilenet-no-cache");
    Command::new(env!("CARGO_BIN_EXE_mobilenet"))
        .args(arguments)
        .arg("--offline")
        .env("TFHUB_CACHE_DIR", cache)
        .env_remove("MOBILENET_MODULE")
        .output()
        .unwrap()
}

/// The five likeliest labels of a photo, by the module that is compiled in.
fn likeliest(photo: &Path) -> Vec<String> {
    let output = mobilenet(&["classify", "--jsonl", photo.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let predictions = line["predictions"].as_array().unwrap();
    predictions.iter().map(|prediction| prediction["label"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn photos_of_the_repository_are_named() {
    assert!(likeliest(&example("coffee.jpg"))[0].contains("espresso"));
    assert!(likeliest(&example("cat.jpg"))[0].contains("tabby"));
}

#[test]
fn the_embedded_module_is_whole_and_small() {
    let output = mobilenet(&["inspect", "embedded:default", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mobilenet/models/default.tar.gz");
    assert!(std::fs::metadata(archive).unwrap().len() < 2 << 20);
}

#[test]
fn unknown_names_say_what_there_is() {
    let photo = example("cat.jpg");
    let output = mobilenet(&["classify", "-m", "embedded:nothing", photo.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("\"nothing\"") && text.contains("default"), "{text}");
}
