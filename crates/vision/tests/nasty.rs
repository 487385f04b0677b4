//! 259 hostile and odd files: each decodes or gives a clear error, in bounded time and memory.
//!
//! The files are decoded in a child process, so that its peak memory is theirs alone and a crash
//! would be seen as one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mobilenet_vision::{DecodeOptions, ErrorKind, decode};

/// Set in the child: the folder.
const CHILD: &str = "MOBILENET_NASTY_CHILD";
const MAX_SECONDS: f64 = 5.0;
const MAX_KIB: u64 = 512 * 1024;

/// Both Pillow and TensorFlow decode these and we say clearly that we do not.
const REFUSED: &[&str] = &["testimgari.jpg"]; // arithmetic coding

#[test]
fn hostile_files_decode_or_say_why_within_bounds() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return child(folder.as_ref());
    }
    let Some(folder) = common::shared("nasty") else { return };
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile_files_decode_or_say_why_within_bounds", "--nocapture"])
        .env(CHILD, &folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child failed:\n{text}\n{errors}");
    assert!(!errors.contains("panicked"), "a decoder panicked:\n{errors}");

    let readme = std::fs::read_to_string(folder.join("README.txt")).unwrap();
    let expected = sizes_of_both(&readme);
    let (mut files, mut decoded, mut slowest) = (0, 0, (0.0, String::new()));
    for line in text.lines().filter_map(|line| line.strip_prefix("FILE ")) {
        let [name, seconds, answer] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().unwrap();
        let seconds: f64 = seconds.parse().unwrap();
        assert!(seconds < MAX_SECONDS, "{name} took {seconds} s");
        if seconds > slowest.0 {
            slowest = (seconds, name.to_owned());
        }
        if let Some(size) = expected.get(name) {
            let refused = REFUSED.contains(&name);
            assert!(refused || answer == format!("ok {size}"), "{name}: {answer}, not {size}");
        }
        files += 1;
        decoded += usize::from(answer.starts_with("ok "));
    }
    assert_eq!(files, 259);
    let peak = text.lines().find_map(|line| line.strip_prefix("PEAK ")).unwrap();
    println!("{decoded} of {files} decode; slowest {slowest:?} s; peak {peak} KiB");
    assert!(peak.parse::<u64>().unwrap() < MAX_KIB, "peak {peak} KiB");
}

fn child(folder: &std::path::Path) {
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    println!();
    for path in paths.iter().filter(|path| path.file_name().unwrap() != "README.txt") {
        let bytes = std::fs::read(path).unwrap();
        let start = Instant::now();
        let options = DecodeOptions { ignore_exif: true, ..Default::default() };
        let answer = match decode(&bytes, &options) {
            Ok(image) => format!("ok {}x{}", image.width(), image.height()),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "{}", path.display());
                format!("{:?}: {error}", error.kind())
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        println!("FILE {}\t{seconds}\t{answer}", path.file_name().unwrap().display());
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    println!("PEAK {}", peak_kib());
}

/// The most memory this process has had resident; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")).map_or(0, |n| n.trim().parse().unwrap())
}

/// Name and size (`WxH`) of the files that Pillow and TensorFlow both decode to the same size.
fn sizes_of_both(readme: &str) -> BTreeMap<&str, &str> {
    let size = |text: &'_ str| -> Option<String> {
        let sizes = text.strip_prefix("ok ")?.split(' ');
        sizes
            .filter(|w| w.starts_with(|c: char| c.is_ascii_digit()))
            .find(|w| w.contains('x'))
            .map(str::to_owned)
    };
    let mut sizes = BTreeMap::new();
    for line in readme.lines() {
        let [name, _, _, pillow, tensorflow, _] = line.split(" | ").collect::<Vec<_>>()[..] else {
            continue;
        };
        if let (Some(a), Some(b)) = (size(pillow), size(tensorflow))
            && a == b
        {
            sizes.insert(name, tensorflow.strip_prefix("ok ").unwrap());
        }
    }
    assert!(sizes.len() > 100, "the list of files has changed");
    sizes
}
