use std::fs;
use std::path::PathBuf;

use super::*;

/// A folder that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("mobilenet-dataset-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn undivided_folders_split_by_content_and_not_by_name() {
    let scratch = Scratch::new("split");
    for class in ["cat", "dog"] {
        for n in 0..200 {
            scratch.file(&format!("{class}/{n}.jpg"), format!("{class}{n}").as_bytes());
        }
    }
    scratch.file("cat/notes.txt", b"");
    let before = Dataset::open(&scratch.0, Shares::default()).unwrap();
    assert_eq!(before.classes, ["cat", "dog"]);
    assert_eq!(before.ignored, 1);
    assert_eq!(before.train.len() + before.validation.len() + before.test.len(), 400);
    assert!((20..60).contains(&before.validation.len()), "{}", before.validation.len());
    let moved = before.validation[0].source.to_string();
    let renamed = moved.replace(".jpg", "-renamed.jpg");
    fs::rename(&moved, &renamed).unwrap();
    let after = Dataset::open(&scratch.0, Shares::default()).unwrap();
    assert!(after.validation.iter().any(|sample| sample.source.to_string() == renamed));
    assert_eq!(after.validation.len(), before.validation.len());
}

#[test]
fn divided_folders_are_taken_as_they_are() {
    let scratch = Scratch::new("divided");
    for side in ["train", "val", "test"] {
        for class in ["a", "b"] {
            scratch.file(&format!("{side}/{class}/1.png"), side.as_bytes());
        }
    }
    let dataset = Dataset::open(&scratch.0, Shares::default()).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len(), dataset.test.len()), (2, 2, 2));
    scratch.file("test/c/1.png", b"");
    let error = Dataset::open(&scratch.0, Shares::default()).unwrap_err();
    assert!(error.to_string().contains("no class \"c\""), "{error}");
}

#[test]
fn empty_folders_and_empty_classes_are_named() {
    let scratch = Scratch::new("empty");
    let error = Dataset::open(&scratch.0, Shares::default()).unwrap_err();
    assert!(error.to_string().contains("no images found"), "{error}");
    scratch.file("a/1.jpg", b"1");
    fs::create_dir(scratch.0.join("b")).unwrap();
    let error = Dataset::open(&scratch.0, Shares::default()).unwrap_err();
    assert!(error.to_string().contains("class \"b\" has no training image"), "{error}");
}

#[test]
fn webdataset_shards_give_pictures_and_classes() {
    let scratch = Scratch::new("tar");
    for shard in 0..2 {
        let mut builder = tar::Builder::new(Vec::new());
        for n in 0..3 {
            let mut add = |name: String, bytes: &[u8]| {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_cksum();
                builder.append_data(&mut header, name, bytes).unwrap();
            };
            add(format!("x/{shard}{n}.jpg"), format!("picture {shard}{n}").as_bytes());
            add(format!("x/{shard}{n}.cls"), n.to_string().as_bytes());
        }
        scratch.file(&format!("s-{shard:02}.tar"), &builder.into_inner().unwrap());
    }
    let shares = Shares { validation: 0.0, test: 0.0 };
    let dataset = Dataset::open(&scratch.0.join("s-{00..01}.tar"), shares).unwrap();
    assert_eq!(dataset.classes, ["0", "1", "2"]);
    assert_eq!(dataset.train.len(), 6);
    assert_eq!(dataset.train[4].label, 1);
    assert_eq!(dataset.train[4].source.read().unwrap(), b"picture 11");
}
