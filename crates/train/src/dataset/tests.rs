use std::fs;
use std::path::PathBuf;

use mobilenet_formats::tfrecord::RecordWriter;
use mobilenet_formats::tfrecord::example::Example;

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

#[cfg(unix)]
#[test]
fn files_that_cannot_be_read_stay_with_the_training_images() {
    let scratch = Scratch::new("dangling");
    for class in ["cat", "dog"] {
        for n in 0..20 {
            scratch.file(&format!("{class}/{n}.jpg"), format!("{class}{n}").as_bytes());
        }
    }
    std::os::unix::fs::symlink("nowhere.jpg", scratch.0.join("cat/gone.jpg")).unwrap();
    let dataset = Dataset::open(&scratch.0, Shares::default()).unwrap();
    assert!(dataset.train.iter().any(|sample| sample.source.to_string().ends_with("gone.jpg")));
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
fn folders_of_classes_are_not_hidden_by_the_archive_they_came_from() {
    let scratch = Scratch::new("unpacked");
    for class in ["a", "b"] {
        scratch.file(&format!("{class}/1.png"), class.as_bytes());
    }
    scratch.file("photos.tar", b"any");
    assert_eq!(Dataset::open(&scratch.0, ALL).unwrap().classes, ["a", "b"]);
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
        let files: Vec<(String, String)> = (0..3)
            .flat_map(|n| {
                let picture = (format!("x/{shard}{n}.jpg"), format!("picture {shard}{n}"));
                [picture, (format!("x/{shard}{n}.cls"), n.to_string())]
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(n, b)| (n.as_str(), b.as_bytes())).collect();
        scratch.file(&format!("s-{shard:02}.tar"), &tar(&files));
    }
    let dataset = Dataset::open(&scratch.0.join("s-{00..01}.tar"), ALL).unwrap();
    assert_eq!(dataset.classes, ["0", "1", "2"]);
    assert_eq!(dataset.train.len(), 6);
    assert_eq!(dataset.train[4].label, 1);
    assert_eq!(dataset.train[4].source.read().unwrap(), b"picture 11");
}

const ALL: Shares = Shares { validation: 0.0, test: 0.0 };

/// A file of records.
fn records(examples: &[Example]) -> Vec<u8> {
    let mut writer = RecordWriter::new(Vec::new());
    examples.iter().for_each(|example| writer.write(&example.to_record()).unwrap());
    writer.into_inner()
}

/// As TensorFlow's script for ImageNet writes them.
fn example(picture: &[u8], label: i64, words: &str) -> Example {
    let example = Example::default()
        .with_bytes("image/encoded", vec![picture.to_vec().into()])
        .with_ints("image/class/label", vec![label])
        .with_ints("image/height", vec![7]);
    if words.is_empty() {
        return example;
    }
    example.with_bytes("image/class/text", vec![words.as_bytes().to_vec().into()])
}

#[test]
fn records_in_a_folder_give_pictures_classes_and_sides() {
    let scratch = Scratch::new("records");
    let cranes = [example(b"bird", 1, "crane"), example(b"machine", 3, "crane")];
    scratch.file("train-00000-of-00002", &records(&cranes));
    let others = [example(b"third", 2, ""), example(b"another bird", 1, "a crane")];
    scratch.file("train-00001-of-00002", &records(&others));
    scratch.file("validation-00000-of-00001", &records(&[example(b"seen once", 3, "crane")]));
    scratch.file("labels.txt", b"not a shard");
    let dataset = Dataset::open(&scratch.0, Shares::default()).unwrap();
    assert_eq!(dataset.classes, ["background", "crane", "2", "crane (3)"]);
    let pictures: Vec<(usize, Vec<u8>)> =
        dataset.train.iter().map(|sample| (sample.label, sample.source.read().unwrap())).collect();
    let expected: [(usize, &[u8]); 4] =
        [(1, b"bird"), (3, b"machine"), (2, b"third"), (1, b"another bird")];
    assert!(pictures.iter().map(|(label, bytes)| (*label, &bytes[..])).eq(expected));
    assert_eq!(dataset.validation[0].source.read().unwrap(), b"seen once");
    let range = scratch.0.join("train-0000{0..1}-of-00002");
    let again = Dataset::open(&range, ALL).unwrap();
    assert_eq!((again.classes, again.train), (dataset.classes, dataset.train));
}

#[test]
fn records_of_tensorflow_datasets_have_shorter_names() {
    let scratch = Scratch::new("tfds");
    let tfds = |picture: &'static [u8], label| {
        let example = Example::default().with_bytes("image", vec![picture.into()]);
        example.with_ints("label", vec![label])
    };
    scratch.file("a.tfrecord", &records(&[tfds(b"x", 0), tfds(b"y", 1)]));
    let dataset = Dataset::open(&scratch.0.join("a.tfrecord"), ALL).unwrap();
    assert_eq!(dataset.classes, ["0", "1"]);
    assert_eq!(dataset.train[1].source.read().unwrap(), b"y");
}

#[test]
fn hostile_records_say_what_is_wrong_and_where() {
    let scratch = Scratch::new("hostile-records");
    let good = records(&[example(b"good", 0, "")]);
    let message = |bytes: &[u8]| {
        scratch.file("x.tfrecord", bytes);
        Dataset::open(&scratch.0.join("x.tfrecord"), ALL).unwrap_err().to_string()
    };
    let after = |bytes: &[u8]| message(&[&good, bytes].concat());
    let second = format!("record at byte {}", good.len());
    let gzip_head = [&[0x1f, 0x8b, 8, 0], &[0; 20][..]].concat();
    for (error, says) in [
        (message(&gzip_head), "decompress it"),
        (message(&good[..good.len() - 1]), "record at byte 0: the file ends within the record"),
        (after(&good[..5]), second.as_str()),
        (after(&records(&[example(b"x", -1, "")])), "is -1, no class number"),
        (after(&records(&[example(b"x", i64::MAX, "")])), "no class number"),
        (after(&records(&[example(b"x", 0, "two\nlines")])), "more than a line"),
        (after(&records(&[Example::default()])), "not one integer `image/class/label`"),
        (after(&records(&[Example::default().with_ints("label", vec![1])])), "`image/encoded`"),
    ] {
        assert!(error.contains(says) && error.contains("x.tfrecord"), "{error} lacks {says}");
    }
    let mut writer = RecordWriter::new(Vec::new());
    writer.write(b"\x0a\xff\xff").unwrap();
    assert!(after(&writer.into_inner()).contains(&second));
    let mut flipped = good.clone();
    flipped[14] ^= 1;
    assert!(message(&flipped).contains("record at byte 0"));
    // A length of 2^62 with the right checksum, read from a file of a few bytes.
    let mut giant = RecordWriter::new(Vec::new());
    giant.write(&(1u64 << 62).to_le_bytes()).unwrap();
    let giant = giant.into_inner();
    let header = [&giant[12..20], &giant[20..24]].concat();
    assert!(after(&header).contains("limit"), "{}", after(&header));
}

/// A tar of files by name.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn hostile_tars_say_what_is_wrong_and_where() {
    let scratch = Scratch::new("hostile-tars");
    let open = |bytes: &[u8]| {
        scratch.file("x.tar", bytes);
        Dataset::open(&scratch.0.join("x.tar"), ALL)
    };
    let message = |bytes: &[u8]| open(bytes).unwrap_err().to_string();
    for (class, says) in [
        (&b"cat"[..], "\"cat\" is no class number"),
        (b"-1", "no class number"),
        (b"99999999999999999999", "no class number"),
        (b"1000000", "no class number"),
        (&[b'0'; 5000], ""),
        (b"\xff\xfe", "UTF-8"),
    ] {
        let result = open(&tar(&[("a.jpg", b"x"), ("a.cls", class)]));
        let error = result.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(error.contains(says), "{error} lacks {says}");
    }
    let good = tar(&[("a.jpg", b"x"), ("a.cls", b"0")]);
    assert!(message(&good[..700]).contains("x.tar"), "cut within a member");
    assert!(message(&[b'?'; 2048]).contains("x.tar"), "no tar at all");
    assert!(message(b"").contains("no images"));
    // A member that claims 8 GiB minus one byte, of a file that has none of them.
    let mut header = tar::Header::new_gnu();
    header.set_path("a.jpg").unwrap();
    header.set_size((8 << 30) - 1);
    header.set_cksum();
    let giant = [header.as_bytes(), &[0; 512][..]].concat();
    assert!(message(&giant).contains("x.tar"), "{}", message(&giant));
    // The last picture, 512 bytes after its header at byte 3072, lacks its second half.
    let picture = [b'y'; 512];
    let whole = tar(&[("a.jpg", b"x"), ("a.cls", b"0"), ("b.cls", b"1"), ("b.jpg", &picture)]);
    let torn = message(&whole[..3840]);
    for says in ["x.tar", "b.jpg", "ends early"] {
        assert!(torn.contains(says), "{torn} lacks {says}");
    }
    // Pictures without a class, and classes without a picture, are no samples.
    let strays = tar(&[("a.jpg", b"x"), ("b.cls", b"0"), ("c.png", b"y"), ("c.cls", b"1")]);
    let dataset = open(&strays).unwrap();
    assert_eq!((dataset.train.len(), dataset.train[0].label), (1, 1));
}

/// All images of `paths`, undivided.
fn open_all(paths: &[PathBuf]) -> Result<Dataset> {
    Dataset::open_all(paths, ALL, &mut |_| panic!("nothing is read")).map(Option::unwrap)
}

#[test]
fn dividing_counts_the_images_it_reads_and_can_be_stopped() {
    let scratch = Scratch::new("counted");
    for n in 0..40 {
        scratch.file(&format!("whole/cat/{n}.jpg"), format!("{n}").as_bytes());
        scratch.file(&format!("more/dog/{n}.jpg"), format!("dog {n}").as_bytes());
        scratch.file(&format!("parts/train/cat/{n}.jpg"), b"any");
    }
    scratch.file("parts/val/cat/1.jpg", b"any");
    let open = |names: &[&str], stop: usize| {
        let paths: Vec<PathBuf> = names.iter().map(|name| scratch.0.join(name)).collect();
        let mut told = Vec::new();
        let dataset = Dataset::open_all(&paths, Shares::default(), &mut |total| {
            told.push(total);
            if told.len() == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (dataset.unwrap(), told)
    };
    let (dataset, told) = open(&["whole", "parts", "more"], usize::MAX);
    let dataset = dataset.unwrap();
    // What is divided already is not read.
    assert_eq!(told, [80; 80]);
    assert_eq!(dataset.train.len() + dataset.validation.len() + dataset.test.len(), 121);
    let alone = Dataset::open(&scratch.0.join("whole"), Shares::default()).unwrap();
    let of_first = |samples: &[Sample]| -> Vec<Sample> {
        samples.iter().filter(|sample| sample.origin == 0).cloned().collect()
    };
    assert_eq!(of_first(&dataset.validation), alone.validation);
    assert!(open(&["parts"], usize::MAX).1.is_empty());
    let (dataset, told) = open(&["whole", "more"], 50);
    assert!(dataset.is_none() && told.len() == 50);
}

#[test]
fn sources_are_joined_by_the_names_of_their_classes() {
    let scratch = Scratch::new("join");
    scratch.file("a/cat/1.jpg", b"1");
    scratch.file("a/dog/1.jpg", b"2");
    scratch.file("b/ant/1.jpg", b"3");
    scratch.file("b/cat/1.jpg", b"4");
    let records = records(&[example(b"5", 0, "dog"), example(b"6", 1, "bee")]);
    scratch.file("c.tfrecord", &records);
    let paths = ["a", "b", "c.tfrecord"].map(|name| scratch.0.join(name));
    let mut dataset = open_all(&paths).unwrap();
    assert_eq!(dataset.classes, ["cat", "dog", "ant", "bee"]);
    let found: Vec<_> = dataset.train.iter().map(|s| (s.origin, s.label)).collect();
    assert_eq!(found, [(0, 0), (0, 1), (1, 2), (1, 0), (2, 1), (2, 3)]);
    dataset.validate_with(&paths[2]).unwrap();
    let found: Vec<_> = dataset.validation.iter().map(|s| s.label).collect();
    assert_eq!(found, [1, 3]);
    dataset.classes.pop();
    let error = dataset.validate_with(&paths[2]).unwrap_err();
    assert!(error.to_string().contains("no class \"bee\""), "{error}");
    assert!(open_all(&[]).is_err());
}

#[test]
fn classes_of_one_name_are_told_apart_by_number_or_refused() {
    let scratch = Scratch::new("cranes");
    let cranes =
        [example(b"bird", 1, "crane"), example(b"dog", 2, "dog"), example(b"tower", 3, "crane")];
    scratch.file("all.tfrecord", &records(&cranes));
    scratch.file("tower.tfrecord", &records(&[example(b"another tower", 3, "crane")]));
    let moved = [example(b"dog", 0, "dog"), example(b"bird or tower", 1, "x")];
    scratch.file("other.tfrecord", &records(&moved));
    let moved = [example(b"dog", 0, "dog"), example(b"bird or tower", 2, "crane")];
    scratch.file("moved.tfrecord", &records(&[&moved[..], &[example(b"x", 1, "x")]].concat()));
    let path = |name: &str| scratch.0.join(name);
    let mut dataset = Dataset::open(&path("all.tfrecord"), ALL).unwrap();
    dataset.validate_with(&path("tower.tfrecord")).unwrap();
    assert_eq!(dataset.validation.iter().map(|s| s.label).collect::<Vec<_>>(), [3]);
    let error = dataset.validate_with(&path("moved.tfrecord")).unwrap_err().to_string();
    assert!(error.contains("class 2 is called \"crane\"") && error.contains("moved"), "{error}");
    let join = |other: &str| open_all(&[path("all.tfrecord"), path(other)]);
    let twice = join("all.tfrecord").unwrap();
    assert_eq!(twice.train.iter().map(|s| s.label).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3]);
    assert_eq!(join("other.tfrecord").unwrap().classes[4..], ["x"]);
    let error = join("moved.tfrecord").unwrap_err().to_string();
    assert!(error.contains("does not say which"), "{error}");
}

#[test]
fn only_the_shards_furthest_from_training_are_read_to_evaluate() {
    let scratch = Scratch::new("held-out");
    scratch.file("train-00000-of-00001", b"not looked at");
    scratch.file("validation-00000-of-00001", &records(&[example(b"seen once", 3, "crane")]));
    let dataset = Dataset::open_held_out(&scratch.0).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len()), (0, 1));
    assert_eq!(dataset.words, [(3, "crane".to_owned())].into());
    scratch.file("test-00000-of-00001", &records(&[example(b"the end", 1, "")]));
    let dataset = Dataset::open_held_out(&scratch.0).unwrap();
    assert_eq!((dataset.validation.len(), dataset.test.len()), (0, 1));
    let alone = Dataset::open_held_out(&scratch.0.join("test-00000-of-00001")).unwrap();
    assert_eq!(alone.train.len(), 1);
}

#[test]
fn listings_tell_other_data_and_know_data_that_was_moved() {
    let scratch = Scratch::new("listing");
    for class in ["cat", "dog"] {
        for n in 0..5 {
            scratch.file(&format!("a/train/{class}/{n}.jpg"), b"photo");
        }
        scratch.file(&format!("a/val/{class}/9.jpg"), b"photo");
    }
    let list =
        |name: &str| Listing::of(&Dataset::open(&scratch.0.join(name), Shares::default()).unwrap());
    let before = list("a");
    let differs = || before.difference(&list("a"));
    assert_eq!(differs(), None);
    scratch.file("a/train/cat/5.jpg", b"photo");
    assert_eq!(differs().unwrap(), "training/cat had 5 and has 6");
    fs::remove_file(scratch.0.join("a/train/cat/5.jpg")).unwrap();
    scratch.file("a/val/dog/9.jpg", b"another");
    assert!(differs().unwrap().starts_with("validation/dog has its 1 still"), "{:?}", differs());
    scratch.file("a/val/dog/9.jpg", b"photo");
    fs::rename(scratch.0.join("a/train/dog/4.jpg"), scratch.0.join("a/val/dog/4.jpg")).unwrap();
    let text = "training/dog had 5 and has 4; validation/dog had 1 and has 2";
    assert_eq!(differs().unwrap(), text);
    fs::rename(scratch.0.join("a/val/dog/4.jpg"), scratch.0.join("a/train/dog/4.jpg")).unwrap();
    fs::rename(scratch.0.join("a"), scratch.0.join("b")).unwrap();
    assert_eq!(before.difference(&list("b")), None);
}
